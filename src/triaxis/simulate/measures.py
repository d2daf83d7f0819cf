"""Measured columns of a simulated study: response length, loss, sharpness and the like, at each step of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from triaxis.simulate.keys import Effects, need, need_finite
from triaxis.stats.intervals import Floats

OF_RUNS = ("tokens", "loss", "token_accuracy", "sharpness")  # one value for all groups
OF_GROUPS = ("response_tokens", "copied", "verified_steps")
MEASURES = (*OF_GROUPS, *OF_RUNS)
WHOLE = ("tokens",)  # a count that the table holds as a whole number
SHARES = ("token_accuracy", "copied")  # never outside 0 to 1
SCALES = ("linear", "log", "logit")


@dataclass(frozen=True)
class Surge:
    """A bump of a measure that comes and goes: `height` on the measure's scale, at an optimizer step, `width` as a
    share of the study's log steps. `effects` change the height, `moved_by` the step (in doublings, later).
    """

    at: float
    height: float
    width: float = 0.12
    effects: Effects = field(default_factory=dict)
    moved_by: Effects = field(default_factory=dict)

    def __post_init__(self) -> None:
        need_finite("Surge", at=self.at, height=self.height, width=self.width)
        need(self.at > 0, "Surge.at", f"{self.at} is no step above 0")
        need(self.width > 0, "Surge.width", f"{self.width} is not above 0")


@dataclass(frozen=True)
class Measure:
    """A measured column, a number a run and step (a group too for response_tokens, copied and verified_steps).

    On its `scale` (linear; log; logit for shares) it is `start` at step 0 plus, at each trained step,
    `growth * share + with_gain * gain + surge + run_sd * N(0, 1) + checkpoint_sd * N(0, 1)`. `start` is in the
    column's own unit, all else on the scale. `share` goes to 1 in an S around the step `half_at` (None: where a score
    rises), `width` a share of the study's log steps. `effects` change the growth, `start_effects` the start (by what a
    base is, so that it shows at step 0 and after), `half_at_effects` the step, in doublings. `with_gain` maps groups
    to what comes with each logit of the run's own gain there, its luck included.
    """

    start: float
    growth: float = 0.0
    scale: str = "linear"
    half_at: float | None = None
    width: float = 0.12
    effects: Effects = field(default_factory=dict)
    start_effects: Effects = field(default_factory=dict)
    half_at_effects: Effects = field(default_factory=dict)
    with_gain: Mapping[str, float] = field(default_factory=dict)
    surge: Surge | None = None
    run_sd: float = 0.0
    checkpoint_sd: float = 0.0

    def __post_init__(self) -> None:
        sds = {"run_sd": self.run_sd, "checkpoint_sd": self.checkpoint_sd}
        need_finite("Measure", start=self.start, growth=self.growth, half_at=self.half_at, width=self.width, **sds)
        need(self.scale in SCALES, "Measure.scale", f"{self.scale!r} is none of {', '.join(SCALES)}")
        need(self.width > 0, "Measure.width", f"{self.width} is not above 0")
        need(self.half_at is None or self.half_at > 0, "Measure.half_at", f"{self.half_at} is no step above 0")
        for name, sd in sds.items():
            need(sd >= 0, f"Measure.{name}", f"{sd} is negative; a standard deviation is 0 or more")
        low, high = {"linear": (-np.inf, np.inf), "log": (0.0, np.inf), "logit": (0.0, 1.0)}[self.scale]
        need(low < self.start < high, "Measure.start", f"{self.start} has no value on the {self.scale} scale")

    def on_scale(self, value: float) -> float:
        """A value in the column's unit, on the scale."""
        if self.scale == "linear":
            return value
        return float(np.log(value) if self.scale == "log" else np.log(value / (1 - value)))

    def in_unit(self, value: Floats) -> Floats:
        """Back from the scale to the column's unit."""
        if self.scale == "linear":
            return value
        with np.errstate(over="ignore"):
            return np.asarray(np.exp(value) if self.scale == "log" else 1 / (1 + np.exp(-value)), dtype=np.float64)


DEFAULT_TOKENS = Measure(start=25.0)
CUT_OFF = 160.0  # tokens that a response which ran into the limit has more
