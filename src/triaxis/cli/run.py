"""`triaxis demo` and `triaxis run`: a study from its declaration to its report."""

from __future__ import annotations

import os
import sys
import time
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from triaxis.types import RunFailed

if TYPE_CHECKING:
    from triaxis.study import Study

SEEDS_APART = 100  # between the seeds of demos: no run of one demo is a run of another

Jobs = Annotated[int | None, typer.Option(min=1, help="Processes; one a core by default.")]


def demo(
    out: Annotated[Path, typer.Option(help="The study's folder.")] = Path("triaxis-demo"),
    seed: Annotated[int, typer.Option(min=0, help="Another seed gives other data and other items.")] = 0,
    seeds: Annotated[int | None, typer.Option(min=1, help="Replicates a condition.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A smaller study, in a minute.")] = False,
    jobs: Jobs = None,
) -> None:
    """A real study on the built-in tiny models, in minutes on a laptop's CPU."""
    import yaml

    from triaxis.study import load_study

    with as_file(files("triaxis.data") / ("demo-quick.yaml" if quick else "demo.yaml")) as path:
        declared = load_study(path)
    replicates = seeds or len(declared.seeds)
    chosen = declared.replace(seeds=[SEEDS_APART * seed + k for k in range(replicates)], evaluation={"seed": seed})
    _carry_out(chosen, yaml.safe_dump(chosen.to_dict(), sort_keys=False), out, jobs)


def run(
    study: Annotated[Path, typer.Argument(help="The study, a YAML file.")],
    out: Annotated[Path | None, typer.Option(help="The study's folder; its name by default.")] = None,
    jobs: Jobs = None,
) -> None:
    """Run a study, or go on with it: runs that are done are not run again."""
    from triaxis.study import load_study

    declared = load_study(study)
    _carry_out(declared, study.read_text(encoding="utf-8"), out or Path(declared.name), jobs)


def _carry_out(study: Study, text: str, out: Path, jobs: int | None) -> None:
    from rich.console import Console

    from triaxis.cli.output import write_outputs
    from triaxis.cli.progress import Progress
    from triaxis.execute.check import check
    from triaxis.records import Store

    check(study)
    processes = jobs or len(os.sched_getaffinity(0))
    began = time.monotonic()
    with Store.create(out, text, study.to_dict(), study.settings) as store:
        if study.budget.minutes is not None or study.budget.disk_gb is not None:
            from triaxis.execute.cost import estimate

            estimate(study, processes)
        from triaxis.execute.conduct import conduct
        from triaxis.execute.local import LocalPool

        for damage in store.damaged:
            print(f"triaxis: {damage}", file=sys.stderr)
        with Progress(study, store, Console(stderr=True)) as progress:
            ended = conduct(study, store, LocalPool(processes), progress.heard)
        if not any(store.done(r.id) for r in study.runs()):
            raise RunFailed(f"{out}: no checkpoint was measured; {next(iter(ended.failed.values()), ended.stopped)}")
        write_outputs(study, store, Console(), seconds=time.monotonic() - began)
    for job, reason in ended.failed.items():
        print(f"triaxis: {job} failed: {reason}", file=sys.stderr)
    if ended.stopped:
        print(f"triaxis: {ended.stopped}; {ended.left} runs are left, the same command goes on", file=sys.stderr)
    if ended.failed or ended.stopped:
        raise typer.Exit(1)
