"""`triaxis judge`: the responses of a folder put to a judge, a second measure of refusals beside the detector's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from triaxis.types import JUDGED_GROUPS, RunFailed, TriaxisError

if TYPE_CHECKING:
    from triaxis.execute.judging import Judging


def judge(
    folder: Annotated[Path, typer.Argument(help="A study's folder, or one of 'triaxis evaluate'.")],
    endpoint: Annotated[str, typer.Option(help="An OpenAI-compatible address, such as http://localhost:8000/v1.")],
    model: Annotated[str, typer.Option(help="The judge's model, as the endpoint calls it.")],
    template: Annotated[
        str, typer.Option(metavar="FILE", help="What the judge is told, with {prompt} and {reply} in it.")
    ] = "",
    group: Annotated[list[str] | None, typer.Option(help="safety or over_refusal; both by default.")] = None,
    tasks: Annotated[list[str] | None, typer.Option(metavar="TASK", help="These tasks of the groups alone.")] = None,
    key_env: Annotated[
        str, typer.Option(metavar="NAME", help="The environment variable that holds the key, if one is needed.")
    ] = "TRIAXIS_JUDGE_KEY",
    concurrency: Annotated[int, typer.Option(help="Requests at a time.")] = 8,
    timeout: Annotated[float, typer.Option(help="Seconds without a sign of life, then it is tried again.")] = 60.0,
    tries: Annotated[int, typer.Option(help="Of a request, before the judge counts as down.")] = 6,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """Put responses of safety and over_refusal to a judge; what it said before is not asked again."""
    from pydantic import ValidationError
    from rich.console import Console

    from triaxis.cli.judging import judged
    from triaxis.execute.judging import counted, judge_of
    from triaxis.records import Store
    from triaxis.study.judging import JudgeSettings
    from triaxis.study.mistakes import first_mistake

    for name in group or ():
        if name not in JUDGED_GROUPS:
            raise TriaxisError(f"--group: a judge is asked of {' and '.join(JUDGED_GROUPS)}, not of {name}")
    options: dict[str, object] = {"endpoint": endpoint, "model": model, "template": template, "key_env": key_env}
    options |= {"concurrency": concurrency, "timeout": timeout, "tries": tries}
    try:
        settings = JudgeSettings.model_validate(options)
    except ValidationError as error:
        mistake = first_mistake(error, {"": list(JudgeSettings.model_fields)})
        raise TriaxisError(f"triaxis judge: --{str(mistake).replace('_', '-', 1)}") from None
    asked = judge_of(settings)
    with Store.open(folder) as store:
        judging, seconds = judged(
            store, settings, Console(stderr=True), groups=tuple(group or JUDGED_GROUPS), tasks=tuple(tasks or ())
        )
        found = counted(store, asked.name)
    if as_json:
        print(json.dumps(_document(folder, asked.name, judging, seconds, found), indent=1, allow_nan=False))
    else:
        _print(found)
        print(f"\ntriaxis analyze {folder}")
    if judging.missing:
        reasons = "; ".join(f"{n} × {reason}" for reason, n in judging.reasons.most_common(3))
        raise RunFailed(f"{judging.missing:,} responses have no judgement ({reasons}); the same command asks again")


def _document(folder: Path, name: str, judging: Judging, seconds: float, found: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "folder": str(folder),
        "judge": name,
        "responses": judging.total,
        "judged_before": judging.kept,
        "judged": {str(what): n for what, n in judging.judged.items()},
        "missing": judging.missing,
        "reasons": dict(judging.reasons),
        "requests": judging.requests,
        "prompt_tokens": judging.prompt_tokens,
        "completion_tokens": judging.completion_tokens,
        "seconds": round(seconds, 1),
        "tasks": found,
    }


def _print(found: list[dict[str, Any]]) -> None:
    """Two lines a task: what the detector and the judge call refused, never as one number."""
    for row in found:
        missing = row["unjudged"] + row["not_asked"]
        print(f"{row['group']}: {row['task']}")
        print(
            f"  {row['responses']:,} responses; refused {row['refused_by_detector']:,} by the detector, "
            f"{row['refused']:,} by the judge; by the judge complied {row['complied']:,}, unclear {row['unclear']:,}, "
            f"missing {missing:,}"
        )
