"""How far an evaluation is, on standard error: a bar with an ETA on a terminal, a line a checkpoint elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

if TYPE_CHECKING:
    from rich.console import Console

    from triaxis.execute.engine import Event
    from triaxis.execute.evaluation import Ask
    from triaxis.records import Store


class PortionBars:
    """Counts tasks of checkpoints: each is kept before the next is measured."""

    def __init__(self, asks: Sequence[Ask], store: Store, console: Console) -> None:
        self.total = sum(len(ask.tasks) for ask in asks)
        self.already = sum(len(ask.portions(store).kept(len(ask.tasks))) for ask in asks)
        self.measured, self.checkpoints = self.already, len(asks)
        self.console, self.began = console, time.monotonic()
        self.bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("tasks"),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self.bars.start()
        self.bar = self.bars.add_task("loading", total=self.total, completed=self.measured)
        if not self.console.is_terminal:
            left = self.total - self.measured
            told = f"{_count(self.checkpoints, 'checkpoint')}, {_count(left, 'task')} to measure"
            self._line(told if self.checkpoints else "nothing left to measure")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def heard(self, event: Event) -> None:
        """Take note of what happened to a checkpoint."""
        if event.kind == "measured":
            self.measured += 1
            self.bars.update(self.bar, completed=self.measured, description=event.job)
        elif event.kind == "retried":
            self._line(f"{event.job}: {event.message}; trying again")
        elif event.kind == "failed":
            self._line(f"{event.job}: {event.message}")
        elif event.kind == "done" and not self.console.is_terminal:
            self._line(f"{event.job} done, {self.measured}/{self.total} tasks, {self._left()}")

    def _left(self) -> str:
        fresh = self.measured - self.already
        if not fresh:
            return "ETA unknown"
        seconds = (time.monotonic() - self.began) / fresh * (self.total - self.measured)
        return f"ETA {int(seconds) // 60}:{int(seconds) % 60:02d}"

    def _line(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'s' * (n != 1)}"
