"""`triaxis demo` and `triaxis run`: a study from its declaration to its report."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from triaxis.types import DiskFull, RunFailed, Sharding, TriaxisError

if TYPE_CHECKING:
    from triaxis.execute.layout import Layout
    from triaxis.study import Study

SEEDS_APART = 100  # between the seeds of demos, and at most as many: no run of one demo is a run of another

Jobs = Annotated[int | None, typer.Option(min=1, help="Processes; one a core by default.")]
RunJobs = Annotated[int | None, typer.Option(min=1, help="Runs at a time; as many as there are cores by default.")]
PerRun = Annotated[int | None, typer.Option(min=1, help="Processes that train each run together; 1 by default.")]
Sharded = Annotated[
    Sharding | None,
    typer.Option(help="What each of them holds of the model: a copy (ddp), or a piece (fsdp). ddp by default."),
]
Track = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME[=PLACE]",
        help="Show the runs in tensorboard, wandb or mlflow too; in the study's folder, or PLACE.",
    ),
]


def demo(
    out: Annotated[Path, typer.Option(help="The study's folder.")] = Path("triaxis-demo"),
    seed: Annotated[int, typer.Option(min=0, max=10**6, help="Another seed gives other data and other items.")] = 0,
    seeds: Annotated[int | None, typer.Option(min=1, max=SEEDS_APART, help="Replicates a condition.")] = None,
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
    jobs: RunJobs = None,
    processes_per_run: PerRun = None,
    sharding: Sharded = None,
    track: Track = None,
    branching: Annotated[bool, typer.Option(help="Train what runs share once; the records are the same.")] = True,
) -> None:
    """Run a study, or go on with it: runs that are done are not run again."""
    from triaxis.execute.layout import laid_out
    from triaxis.study import load_study

    declared = load_study(study)
    layout = laid_out(processes_per_run, sharding)
    text = study.read_text(encoding="utf-8")
    _carry_out(declared, text, out or Path(declared.name), jobs, layout, track or (), branching)


def _carry_out(
    study: Study,
    text: str,
    out: Path,
    jobs: int | None,
    layout: Layout | None = None,
    track: Sequence[str] = (),
    branching: bool = True,
) -> None:
    from rich.console import Console

    from triaxis.cli.folder import as_stored, refuse_elsewhere
    from triaxis.cli.output import write_outputs
    from triaxis.cli.progress import Progress
    from triaxis.cli.saving import told_saving
    from triaxis.cli.track import destinations, following
    from triaxis.execute.check import checked
    from triaxis.execute.engines import cores
    from triaxis.execute.layout import ALONE, check_layout, jobs_at_once
    from triaxis.records import Store

    refuse_elsewhere(out)
    to = destinations(track, out, study.name)
    layout = layout or ALONE
    study, notes = checked(study)
    check_layout(layout, study)
    for note in notes:
        print(f"triaxis: note: {note}", file=sys.stderr)
    processes = jobs_at_once(layout, jobs, cores())
    began = time.monotonic()
    if study.budget.minutes is not None or study.budget.disk_gb is not None:
        from triaxis.execute.cost import estimate

        # Refuses a budget that can't hold one run, before the folder becomes this study's.
        estimate(study, processes, branching)
    with Store.create(out, text, as_stored(study), [*study.settings, *layout.settings], layout.words) as store:
        from triaxis.execute.conduct import conduct, trained_again
        from triaxis.execute.engines import make_engine

        for damage in store.damaged:
            print(f"triaxis: {damage}", file=sys.stderr)
        if again := trained_again(study, store):
            lacking = f"{again} runs lack diagnostics or weights that were asked for after they were measured"
            print(f"triaxis: note: {lacking}: they are trained again, their records stay", file=sys.stderr)
        with (
            Progress(study, store, Console(stderr=True)) as progress,
            following(to, study, store, progress) as watcher,
        ):
            ended = conduct(study, store, make_engine(processes), watcher, layout, branching)
        if shared := told_saving(study, store):
            print(f"triaxis: runs share their first steps: {shared} were not done again", file=sys.stderr)
        if study.evaluation.judge is not None and not ended.stopped:
            from triaxis.cli.judging import judge_at_end

            judge_at_end(store, study.evaluation.judge, Console(stderr=True))
        if ended.failed:  # each was told when it happened
            print(f"triaxis: {len(ended.failed)} jobs failed; the same command tries them again", file=sys.stderr)
        try:
            write_outputs(study, store, Console(), seconds=time.monotonic() - began)
        except TriaxisError as lacking:  # nothing was wrong with what the user gave
            raise RunFailed(str(lacking)) from None
        except OSError as error:
            raise DiskFull(f"{out}: no report was written ({error.strerror}); free space and run again") from None
    if ended.stopped:
        print(f"triaxis: {ended.stopped}; {ended.left} runs are left, the same command goes on", file=sys.stderr)
    if ended.failed or ended.stopped:
        raise typer.Exit(1)
