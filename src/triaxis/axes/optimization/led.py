"""Training as the first of several processes leads it: the others are told what it does, and do it with it."""

from __future__ import annotations

from typing import Any

from triaxis.axes.optimization.training import Training
from triaxis.types import Checkpoint


class Led(Training):
    """A training whose every step, state and restoring the other processes of its crew are told of."""

    def run_to(self, step: int) -> Checkpoint:
        self.crew.tell("run_to", step)
        return super().run_to(step)

    def state(self) -> dict[str, Any]:
        self.crew.tell("state")
        return super().state()

    def restore(self, state: dict[str, Any] | None) -> None:
        self.crew.tell("restore", None)
        super().restore(state)
