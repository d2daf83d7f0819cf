"""`triaxis study`: what a study would do, before it does it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from triaxis.cli.examples import USUAL, Showing, as_documents, print_examples
from triaxis.cli.power import power
from triaxis.cli.saving import in_words

if TYPE_CHECKING:
    from triaxis.execute.cost import Cost
    from triaxis.study import Study

app = typer.Typer(help="What a study would do, before it does it.", no_args_is_help=True)


@app.command(cls=Showing)
def check(
    study: Annotated[Path, typer.Argument(help="The study, a YAML file.")],
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes that would run it; one a core by default.")] = None,
    show_examples: Annotated[
        int, typer.Option(min=0, max=100, metavar="[N]", help=f"Show N training rows of each data set ({USUAL}).")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """The resolved study, its runs, its cost on this machine, and what it can and can't identify. Nothing is run."""
    from rich.console import Console

    from triaxis.execute.backends import told_backend
    from triaxis.execute.check import checked
    from triaxis.execute.engines import cores
    from triaxis.study import load_study

    declared = load_study(study)
    declared, notes = checked(declared)
    from triaxis.execute.cost import estimate  # loads torch, which a mistake in the study need not wait for

    examples: list[Any] = []
    if show_examples:
        from triaxis.execute.examples import examples_of

        examples = list(examples_of(declared, show_examples))
    processes = jobs or cores()
    with Console(stderr=True).status("calibrating on this machine"):
        total, longest = estimate(declared, processes)
    backend = told_backend(declared.evaluation.backend, [run.condition.settings for run in declared.runs()])
    found = _Checked(declared, notes, total, longest, processes, backend, _diagnostics(declared, total))
    if as_json:
        told = {"examples": as_documents(examples)} if show_examples else {}
        print(json.dumps(found.document() | told, indent=1, default=list))
        return
    found.print()
    if show_examples:
        print_examples(examples, Console())


def _parts_of_disk(cost: Cost) -> str:
    """What of the disk is weights and states, where weights are kept."""
    if not cost.weights_bytes:
        return ""
    rest = cost.disk_bytes - cost.weights_bytes - cost.state_bytes
    parts = ((cost.weights_bytes, "weights"), (cost.state_bytes, "states while it runs"), (rest, "records and report"))
    return f": {', '.join(f'{size / 1e6:.1f} {what}' for size, what in parts)}"


@dataclass(frozen=True)
class _Checked:
    """What a check has found out, as JSON and in words."""

    study: Study
    notes: Sequence[str]
    total: Cost
    longest: Cost
    processes: int
    backend: str  # in words
    diagnostics: list[dict[str, Any]]

    def document(self) -> dict[str, Any]:
        """All of it, as it is printed with --json."""
        total = self.total
        runs = [
            {"run": run.id, "seed": run.seed, **run.condition.levels, "steps": run.steps} for run in self.study.runs()
        ]
        return {
            "study": self.study.to_dict(),
            "settings": [{"name": s.name, "value": s.value, "source": s.source} for s in self.study.settings],
            "backend": self.backend,
            "runs": runs,
            "cost": {
                "runs": total.runs,
                "train_tokens": total.train_tokens,
                "generated_tokens": total.generated_tokens,
                **({"generated_tokens_least": total.generated_least} if self.study.evaluation.adaptive else {}),
                "minutes": round(total.minutes(self.processes), 2),
                "jobs": self.processes,
                "minutes_longest_run": round(self.longest.minutes(1), 2),
                "disk_bytes": total.disk_bytes,
                "weights_bytes": total.weights_bytes,
                "state_bytes": total.state_bytes,
                "saved_steps": total.saving.steps,
                "saved_checkpoints": total.saving.checkpoints,
                "saved_train_tokens": total.saved_train,
                "saved_generated_tokens": total.saved_generated,
            },
            "diagnostics": self.diagnostics,
            "identification": self.study.identification().describe(),
            "notes": self.notes,
        }

    def print(self) -> None:
        """All of it, in words."""
        print(f"{self.study.name}\n\nSettings, and where each came from")
        for setting in self.study.settings:
            print(f"  {setting.name:<34} {setting.value!s:<28} {setting.source}")
        print(f"  answers are had from {self.backend}")
        runs = self.study.runs()
        print(f"\nRuns ({len(runs)})")
        for run in runs:
            print(f"  {run.id}  steps {' '.join(map(str, run.steps))}")
        self._print_cost()
        _print_diagnostics(self.diagnostics)
        identified = self.study.identification().describe()
        print("\nWhat this design can identify")
        for line in (*identified, *(note for note in self.notes if note not in identified)):
            print(f"  {line}")

    def _print_cost(self) -> None:
        total, alone = self.total, self.longest.minutes(1)
        print("\nCost on this machine, estimated from a calibration of a few seconds")
        print(f"  {total.train_tokens:,} tokens trained, {total.generated_tokens:,} generated")
        if self.study.evaluation.adaptive and total.generated_tokens:
            saved = 100 * (1 - total.generated_least / total.generated_tokens)
            least = f"{total.generated_least:,} at least ({saved:.0f} % saved), as gains are settled"
            print(f"  generated: that at most, {least}")
        minutes = total.minutes(self.processes)
        print(f"  about {minutes:.1f} minutes with {self.processes} processes; the longest run alone {alone:.1f}")
        print(f"  about {total.disk_bytes / 1e6:.1f} MB on disk{_parts_of_disk(total)}")
        if shared := in_words(total.saving, total.saved_train, total.saved_generated):
            print(f"  without {shared}, which runs share")


def _diagnostics(study: Study, cost: Cost) -> list[dict[str, Any]]:
    """Each diagnostic that is asked for, with what it costs: in words, and in CPU seconds as calibrated."""
    if not study.diagnostics:
        return []
    from triaxis.execute.conduct import job_of
    from triaxis.execute.run import diagnostics_told

    runs = study.runs()
    checkpoints = sum(len(run.steps) - 1 for run in runs)
    return [
        {
            "name": name,
            "settings": settings,
            "costs": words,
            "seconds_checkpoint": round(cost.diagnostics[name] / checkpoints, 4),
            "minutes": round(cost.diagnostics[name] / 60, 4),
        }
        for name, words, settings in diagnostics_told(job_of(study, runs[0]))
    ]


def _print_diagnostics(diagnostics: list[dict[str, Any]]) -> None:
    if not diagnostics:
        return
    print("\nDiagnostics at each checkpoint, and what each costs (CPU, in the minutes above)")
    for told in diagnostics:
        seconds, minutes = told["seconds_checkpoint"], told["minutes"]
        print(f"  {told['name']:<24} about {seconds:.3g} s a checkpoint, {minutes:.2g} min in all: {told['costs']}")
        if told["settings"]:
            settings = ", ".join(f"{key} {_said(value)}" for key, value in told["settings"].items())
            print(f"  {'':<24} {settings}")


def _said(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


app.command("power")(power)
