"""Every setting of the optimization of one run, with the defaults of the field."""

from __future__ import annotations

from dataclasses import dataclass

from triaxis.types import TriaxisError

OPTIMIZERS = ("adamw", "adafactor", "sgd", "lion", "muon")
SCHEDULES = ("constant", "linear", "cosine", "wsd", "inverse_sqrt")
LOSSES = ("nll", "dft")


@dataclass(frozen=True)
class Recipe:
    """How a module is optimized.

    `learning_rate` is the peak; `warmup_ratio` is the share of `steps` of the linear rise to it, `warmup_steps` gives
    them by number instead. `wsd`
    (warmup-stable-decay) holds the peak until `decay_start` (a share of `steps`), then falls linearly. Every decaying
    schedule ends at `final_ratio` times the peak (`schedules.rate_factor`). `loss` and `label_smoothing` are those of
    `losses.summed`. `sam_rho` is the radius of sharpness-aware minimization (`sam.perturbed`), 0 without it. `betas`
    are AdamW's, and those of the part that Muon leaves to it.
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
    momentum: float = 0.9  # SGD's; Muon's is 0.95 and Lion's are (0.9, 0.99), as published
    loss: str = "nll"
    label_smoothing: float = 0.0
    sam_rho: float = 0.0
    seed: int = 0
    warmup_steps: int | None = None

    def __post_init__(self) -> None:
        """Raise TriaxisError for a setting that no run could follow."""
        for name, known in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("loss", LOSSES)):
            if (chosen := getattr(self, name)) not in known:
                raise TriaxisError(f"optimization.{name}: {chosen!r} is not one of {', '.join(known)}")
        if self.steps < 1:
            raise TriaxisError(f"optimization.steps: {self.steps} is not a positive number of optimizer steps")
        if not self.learning_rate > 0:
            raise TriaxisError(f"optimization.learning_rate: {self.learning_rate} is not above 0")
        for name in ("warmup_ratio", "decay_start", "final_ratio"):
            if not 0 <= (share := getattr(self, name)) <= 1:
                raise TriaxisError(f"optimization.{name}: {share} is not a share between 0 and 1")
        risen = self.warmup_ratio if self.warmup_steps is None else self.warmup_steps / self.steps
        if self.schedule == "wsd" and self.decay_start < risen:
            early = f"{self.decay_start} is before the warm-up ends ({risen:g})"
            raise TriaxisError(f"optimization.decay_start: {early}; the rate would fall before it has risen")
        if not 0 <= self.label_smoothing < 1:
            raise TriaxisError(f"optimization.label_smoothing: {self.label_smoothing} is not from 0 to below 1")
        if not 0 <= self.sam_rho < float("inf"):
            raise TriaxisError(f"optimization.sam_rho: {self.sam_rho} is no radius; 0 is none")

    @property
    def warmup(self) -> int:
        """Updates of the linear rise."""
        return round(self.warmup_ratio * self.steps) if self.warmup_steps is None else self.warmup_steps

    @property
    def passes(self) -> int:
        """Forward and backward passes over the batch of a step: what a step costs, in units of one without SAM."""
        return 2 if self.sam_rho else 1
