"""Every setting of the optimization of one run, with the defaults of the field."""

from __future__ import annotations

from dataclasses import dataclass

from triaxis.types import TriaxisError

OPTIMIZERS = ("adamw", "sgd", "muon")
SCHEDULES = ("constant", "linear", "cosine", "wsd")


@dataclass(frozen=True)
class Recipe:
    """How a module is optimized.

    `learning_rate` is the peak; `warmup_ratio` is the share of `steps` of the linear rise to it. `wsd`
    (warmup-stable-decay) holds the peak until `decay_start` (a share of `steps`), then falls linearly. Every decaying
    schedule ends at `final_ratio` times the peak. `betas` are AdamW's, and those of the part that Muon leaves to it.
    """

    steps: int
    learning_rate: float
    optimizer: str = "adamw"
    schedule: str = "cosine"
    warmup_ratio: float = 0.1
    decay_start: float = 0.8
    final_ratio: float = 0.0
    weight_decay: float = 0.01
    gradient_clip: float | None = 1.0
    betas: tuple[float, float] = (0.9, 0.999)
    momentum: float = 0.9  # SGD's; Muon's is 0.95, as published
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise TriaxisError for a setting that no run could follow."""
        if self.optimizer not in OPTIMIZERS:
            raise TriaxisError(f"optimization.optimizer: {self.optimizer!r} is not one of {', '.join(OPTIMIZERS)}")
        if self.schedule not in SCHEDULES:
            raise TriaxisError(f"optimization.schedule: {self.schedule!r} is not one of {', '.join(SCHEDULES)}")
        if self.steps < 1:
            raise TriaxisError(f"optimization.steps: {self.steps} is not a positive number of optimizer steps")
        if not self.learning_rate > 0:
            raise TriaxisError(f"optimization.learning_rate: {self.learning_rate} is not above 0")
        if not 0 <= self.warmup_ratio <= 1:
            raise TriaxisError(f"optimization.warmup_ratio: {self.warmup_ratio} is not a share between 0 and 1")
