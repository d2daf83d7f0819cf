"""How far the reading of a data set is, on standard error: a bar with an ETA where it takes more than two seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

if TYPE_CHECKING:
    from rich.console import Console

WAIT, EVERY = 2.0, 30.0  # seconds without a bar; between lines where there is no terminal


class Reading:
    """Counts the rows that were read, or what else was done to rows (`what`); `total` says how many there are, and is
    asked only once a bar is shown."""

    def __init__(
        self, console: Console, total: Callable[[], int | None], limit: int | None, what: str = "rows"
    ) -> None:
        self.console, self._total, self._limit, self._what = console, total, limit, what
        self._began = self._told = time.monotonic()
        self._bars: Bars | None = None
        self._counting: threading.Thread | None = None
        self._seen, self._all = 0, limit

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def heard(self, seen: int) -> None:
        """Take note of how many rows were read so far."""
        self._seen = seen
        now = time.monotonic()
        if now - self._began < WAIT:
            return
        if self._counting is None:
            self._counting = threading.Thread(target=self._count, daemon=True)
            self._counting.start()
        if self.console.is_terminal:
            self._draw()
        elif now - self._told > EVERY:
            self._told = now
            of = f" of {self._all:,}" if self._all else ""
            self.console.print(f"{seen:,}{of} {self._what}, {self._left(now)}", highlight=False, soft_wrap=True)

    def _count(self) -> None:
        total = self._total()
        if total is not None:
            self._all = min(total, self._limit or total)

    def _draw(self) -> None:
        if self._bars is None:
            columns = (
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn(self._what),
                TimeElapsedColumn(),
                TextColumn("ETA"),
            )
            self._bars = Bars(*columns, TimeRemainingColumn(), console=self.console, transient=True)
            self._bars.start()
            self._bar = self._bars.add_task("reading", total=None)
        self._bars.update(self._bar, completed=self._seen, total=self._all)

    def _left(self, now: float) -> str:
        if not self._all or not self._seen:
            return "ETA unknown"
        seconds = (now - self._began) / self._seen * max(self._all - self._seen, 0)
        return f"ETA {int(seconds) // 60}:{int(seconds) % 60:02d}"
