"""How far a long command is, on standard error: a bar with an ETA on a terminal, a line a job elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

if TYPE_CHECKING:
    from rich.console import Console

    from triaxis.execute.engine import Event
    from triaxis.records import Store
    from triaxis.study import Study


class Counted:
    """A bar over what is measured; `already` was there before, and says nothing of how fast it goes."""

    unit = ""  # what is counted, in the plural
    begins = "starting"  # what the bar says before anything is measured

    def __init__(self, total: int, already: int, console: Console) -> None:
        self.total, self.measured, self.already = total, already, already
        self.console, self.began = console, time.monotonic()
        self.bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(self.unit),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self.bars.start()
        self.bar = self.bars.add_task(self.begins, total=self.total, completed=self.measured)
        if not self.console.is_terminal and (told := self.to_do()):
            self.line(told)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def to_do(self) -> str:
        """What is left at the start, in words; empty where there is nothing to say."""
        raise NotImplementedError

    def counts(self, event: Event) -> bool:
        """Whether what was measured is one of those that are counted."""
        return True

    def doing(self, event: Event) -> str:
        """What the bar says while it is at work."""
        return event.job

    def heard(self, event: Event) -> None:
        """Take note of what happened to a job."""
        if event.kind == "measured" and self.counts(event):
            self.measured += 1
            self.bars.update(self.bar, completed=self.measured, description=self.doing(event))
        elif event.kind == "retried":
            self.line(f"{event.job}: {event.message}; trying again")
        elif event.kind == "failed":
            self.line(f"{event.job}: {event.message}")
        elif event.kind == "done" and not self.console.is_terminal:
            self.line(f"{event.job} done, {self.measured}/{self.total} {self.unit}, {self._left()}")

    def line(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _left(self) -> str:
        fresh = self.measured - self.already
        if not fresh:
            return "ETA unknown"
        seconds = (time.monotonic() - self.began) / fresh * (self.total - self.measured)
        return f"ETA {int(seconds) // 60}:{int(seconds) % 60:02d}"


class Progress(Counted):
    """Counts checkpoints: they are what is measured, and they cost about the same."""

    unit = "checkpoints"

    def __init__(self, study: Study, store: Store, console: Console) -> None:
        from triaxis.execute.conduct import complete_steps, planned_steps

        runs = study.runs()
        self.runs = len(runs)
        already = sum(len(complete_steps(study, store, run)) for run in runs)
        self.steps = {run.id: run.steps for run in runs}
        super().__init__(sum(len(planned_steps(study, store, run)) for run in runs), already, console)

    def heard(self, event: Event) -> None:
        stop = event.value.stop if event.kind == "measured" else None
        if stop is not None:  # what comes after isn't measured
            run = event.value.run or event.job
            self.total -= sum(step > stop.step for step in self.steps[run])
            self.bars.update(self.bar, total=self.total)
            self.line(f"{run} ends at step {stop.step}: {stop.why}")
        super().heard(event)

    def to_do(self) -> str:
        from triaxis.report.words import count

        left = self.total - self.measured
        told = f"{count(self.runs, 'run')}, {count(left, 'checkpoint')} to measure"
        return told if left else ""

    def counts(self, event: Event) -> bool:
        return bool(event.value.checkpoint.step > 0)

    def doing(self, event: Event) -> str:
        return "training and measuring"
