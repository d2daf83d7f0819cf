"""How far an evaluation is: tasks of checkpoints, each of which is kept before the next is measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from triaxis.cli.progress import Counted

if TYPE_CHECKING:
    from rich.console import Console

    from triaxis.execute.evaluation import Ask
    from triaxis.records import Store


class PortionBars(Counted):
    """Counts tasks of checkpoints."""

    unit, begins = "tasks", "loading"

    def __init__(self, asks: Sequence[Ask], store: Store, console: Console) -> None:
        self.checkpoints = len(asks)
        already = sum(len(ask.portions(store).kept(len(ask.tasks))) for ask in asks)
        super().__init__(sum(len(ask.tasks) for ask in asks), already, console)

    def to_do(self) -> str:
        left = _count(self.total - self.measured, "task")
        told = f"{_count(self.checkpoints, 'checkpoint')}, {left} to measure"
        return told if self.checkpoints else "nothing left to measure"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'s' * (n != 1)}"
