"""`triaxis evaluate`: checkpoints that were trained elsewhere, scored into a folder that `triaxis analyze` reads."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from triaxis.types import TriaxisError

if TYPE_CHECKING:
    from triaxis.execute.checkpoints import Point
    from triaxis.execute.evaluation import Ask, RunTold
    from triaxis.records import Store
    from triaxis.study.asking import Asking


def evaluate(
    checkpoints: Annotated[
        list[str],
        typer.Argument(
            metavar="CHECKPOINT...",
            help="Folders of save_pretrained, a Trainer's folder, names of the hub; CHECKPOINT@STEP gives a step.",
        ),
    ],
    tasks: Annotated[Path, typer.Option(help="YAML: tasks by group, evaluation and model settings.")],
    out: Annotated[Path, typer.Option(help="The folder for the records; further calls add to it.")],
    base: Annotated[str | None, typer.Option(help="What the runs started from: measured as step 0.")] = None,
    run: Annotated[str, typer.Option(help="The run's name; by default the folder that holds the checkpoint.")] = "",
    seed: Annotated[int | None, typer.Option(help="The run's seed.")] = None,
    levels: Annotated[
        list[str] | None, typer.Option("--set", metavar="AXIS.FACTOR=LEVEL", help="A factor of the run or runs.")
    ] = None,
    runs: Annotated[Path | None, typer.Option(help="A CSV of runs with their seeds and factors.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; one a core by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """Score checkpoints of finished runs: the same records as a study's, for `triaxis analyze DIR`."""
    from triaxis.cli.evaluated import print_scores, scores_of
    from triaxis.cli.runs_told import runs_of_studies, told_runs
    from triaxis.execute.checkpoints import points_of
    from triaxis.execute.evaluation import check_folder_of
    from triaxis.study.asking import load_asking
    from triaxis.tasks import read_from

    asking = load_asking(tasks)
    points = points_of(checkpoints, run)
    names = [point.run for point in points]
    told = told_runs(names, levels or [], seed, runs, base or "", _note, runs_of_studies(points))
    _check_asking(asking, tasks)
    read = {name: about for names in asking.tasks.values() for name in names if (about := read_from(name))}
    check_folder_of(out, asking, read)
    asks = _asks(asking, read, points, told)
    _note_in_full(asks)
    with _opened(out, asking, read, tasks) as store:
        failed = _measure(asks, told, store, jobs)
        if not failed:
            _note_without_base(store)
        if asking.evaluation.judge is not None:
            from rich.console import Console

            from triaxis.cli.judging import judge_at_end

            judge_at_end(store, asking.evaluation.judge, Console(stderr=True))
        scores = scores_of(store)
    if as_json:
        print(json.dumps({"folder": str(out), "failed": failed, "scores": scores}, indent=1, allow_nan=False))
    else:
        print_scores(scores)
        print(f"\ntriaxis analyze {out}")
    if failed:
        print(f"triaxis: failed: {', '.join(failed)}; the same command tries again", file=sys.stderr)
        raise typer.Exit(1)


def _note(words: str) -> None:
    print(f"triaxis: note: {words}", file=sys.stderr)


def _check_asking(asking: Asking, path: Path) -> None:
    """Refuse tasks that can't be asked, and tell of those that lack a mode."""
    from triaxis.execute.check import check_asked

    try:
        notes = check_asked(asking.tasks, asking.evaluation)[1]
    except TriaxisError as error:
        raise TriaxisError(f"{path}: {error}") from None
    for words in notes:
        _note(words)


def _asks(asking: Asking, read: dict[str, str], points: list[Point], told: dict[str, RunTold]) -> list[Ask]:
    """What is asked of each base and each checkpoint, bases first: a trajectory without one says nothing."""
    from triaxis.execute.answering import check_fits, check_one_backend, looked_at
    from triaxis.execute.checkpoints import Point
    from triaxis.execute.evaluation import ask_of

    bases = [Point(name, "", 0) for name in dict.fromkeys(run.base for run in told.values()) if name]
    each = [(point, told[point.run].base if point.run else "") for point in [*bases, *points]]
    asks = [ask_of(asking, read, point, looked_at(point, base), base) for point, base in each]
    for ask in asks:
        check_fits(ask)
    check_one_backend(asks)
    return asks


def _opened(out: Path, asking: Asking, read: dict[str, str], path: Path) -> Store:
    from triaxis.execute.evaluation import as_kept
    from triaxis.records import Store
    from triaxis.study.spec import Setting

    settings = [
        Setting(name, tuple(value) if isinstance(value, list) else value, "user" if asking.given(name) else "default")
        for name, value in asking.settings.items()
    ]
    return Store.create(out, path.read_text(encoding="utf-8-sig"), as_kept(asking, read), settings)


def _measure(asks: list[Ask], told: dict[str, RunTold], store: Store, jobs: int | None) -> dict[str, str]:
    """Measure what is missing; the checkpoints that failed, with the reason."""
    from rich.console import Console

    from triaxis.cli.portions import PortionBars
    from triaxis.cli.runs_told import make_known
    from triaxis.execute.engines import cores, make_engine
    from triaxis.execute.evaluation import evaluate as measured
    from triaxis.execute.evaluation import mark_runs, missing

    for damage in store.damaged:
        print(f"triaxis: {damage}", file=sys.stderr)
    left = missing(asks, store)
    make_known(told, store)
    with PortionBars(left, store, Console(stderr=True)) as bars:
        failed = measured(left, store, make_engine(jobs or cores()), bars.heard)
    mark_runs(asks, failed, store)
    return failed


def _note_in_full(asks: list[Ask]) -> None:
    """Tell of runs whose checkpoints are asked every item, there being nothing to settle."""
    bare = dict.fromkeys(ask.point.run for ask in asks if ask.point.run and not ask.base)
    if bare and asks[0].evaluation.get("adaptive"):
        names = ", ".join(list(bare)[:3]) + (f" and {len(bare) - 3:,} more" if len(bare) > 3 else "")
        _note(f"{names}: every item is asked, since evaluation.adaptive compares with a base: give --base")


def _note_without_base(store: Store) -> None:
    """Tell of runs of which no gain can be told."""
    measured = store.evaluations()
    bases = {base for run, base, _ in measured if not run}
    bare = [
        status.run
        for status in store.status()
        if status.levels.get("model.base") not in bases and (status.run, "", 0) not in measured
    ]
    if bare:
        some = ", ".join(bare[:3]) + (f" and {len(bare) - 3:,} more" if len(bare) > 3 else "")
        _note(f"no base of {some} is measured, so no gain can be told: evaluate again with --base")
