"""How far a study is, on standard error: a bar with an ETA on a terminal, a line a run elsewhere."""

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


class Progress:
    """Counts checkpoints: they are what is measured, and they cost about the same."""

    def __init__(self, study: Study, store: Store, console: Console) -> None:
        from triaxis.execute.conduct import complete_steps

        runs = study.runs()
        self.total = sum(len(run.steps) - 1 for run in runs)
        self.measured = sum(len(complete_steps(study, store, run)) for run in runs)
        self.runs, self.settled = len(runs), 0
        self.console = console
        self.began, self.already = time.monotonic(), self.measured
        self.bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("checkpoints"),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self.bars.start()
        self.bar = self.bars.add_task("starting", total=self.total, completed=self.measured)
        if not self.console.is_terminal and self.measured < self.total:
            self._line(f"{self.runs} runs, {self.total - self.measured} checkpoints to measure")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def heard(self, event: Event) -> None:
        """Take note of what happened to a job."""
        if event.kind == "measured" and event.value.checkpoint.step > 0:
            self.measured += 1
            self.bars.update(self.bar, completed=self.measured, description="training and measuring")
        elif event.kind == "retried":
            self._line(f"{event.job}: {event.message}; trying again")
        elif event.kind == "failed":
            self._line(f"{event.job}: {event.message}")
        elif event.kind == "done" and not self.console.is_terminal:
            self._line(f"{event.job} done, {self.measured}/{self.total} checkpoints, {self._left()}")

    def _left(self) -> str:
        fresh = self.measured - self.already
        if not fresh:
            return "ETA unknown"
        seconds = (time.monotonic() - self.began) / fresh * (self.total - self.measured)
        return f"ETA {int(seconds) // 60}:{int(seconds) % 60:02d}"

    def _line(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)
