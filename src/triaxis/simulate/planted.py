"""What can be planted in a simulated study beside plain effects: optima, saturation, thresholds, surface variants,
what a base can do, and every variance of a real study.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import numpy as np

from triaxis.simulate.keys import Effects, need, need_finite
from triaxis.types import VARIANTS


@dataclass(frozen=True)
class Noise:
    """Standard deviations in logits, of everything that is drawn anew."""

    item: float = 1.6  # difficulty of items
    item_checkpoint: float = 0.8  # an item's luck at one checkpoint of one run
    item_condition: float = 0.0  # a condition changes which items are hard
    run: float = 0.1  # a run's lasting offset
    checkpoint: float = 0.05  # wander of a run from checkpoint to checkpoint
    autocorrelation: float = 0.0  # of that wander, from one checkpoint to the next
    base: float = 0.0  # a base's own gain: what another pretraining seed would give

    def __post_init__(self) -> None:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        need_finite("Noise", **values)
        for name, value in values.items():
            if name != "autocorrelation":
                need(value >= 0, f"Noise.{name}", f"{value} is negative; a standard deviation is 0 or more")
        need(abs(self.autocorrelation) < 1, "Noise.autocorrelation", f"{self.autocorrelation} is not between -1 and 1")


@dataclass(frozen=True)
class Peak:
    """An optimum of a numeric factor: adds `-curvature * (x - x_at - moved)²` logits at full course.

    x is the natural logarithm of the level where the factor's levels are positive and span ten-fold, else the level;
    `x_at` is that of the level `at`. `moved_by` maps effect keys to shifts in x between the first and the last level
    of the factors they name; `moved_by_steps` shifts it for each doubling of the steps trained, 0 at the last step.
    """

    at: float
    curvature: float
    moved_by: Effects = field(default_factory=dict)
    moved_by_steps: float = 0.0

    def __post_init__(self) -> None:
        need_finite("Peak", at=self.at, curvature=self.curvature, moved_by_steps=self.moved_by_steps)
        need(self.curvature >= 0, "Peak.curvature", f"{self.curvature} is negative; a peak has 0 or more")


@dataclass(frozen=True)
class Saturation:
    """A power law with asymptote: adds `gain * (1 - (n / half_size)^-exponent / 2)` logits at full course.

    So half of `gain` is there at `half_size`, all but one tenth at `half_size * 5^(1 / exponent)`, and nothing at
    `half_size * 2^(-1 / exponent)`. `moved_by` maps effect keys to doublings of `half_size`, `effects` to logits of
    `gain`, between first and last level of what they name.
    """

    gain: float
    half_size: float
    exponent: float = 0.5
    moved_by: Effects = field(default_factory=dict)
    effects: Effects = field(default_factory=dict)

    def __post_init__(self) -> None:
        need_finite("Saturation", gain=self.gain, half_size=self.half_size, exponent=self.exponent)
        for name, value in (("half_size", self.half_size), ("exponent", self.exponent)):
            need(value > 0, f"Saturation.{name}", f"{value} is not above 0")

    def size_at(self, share: float) -> float:
        """The size at which this share of the asymptotic gain is there, before anything moves it."""
        need(0 <= share < 1, "share", f"{share} is not at least 0 and below 1")
        return float(self.half_size * (2 * (1 - share)) ** (-1 / self.exponent))


@dataclass(frozen=True)
class Threshold:
    """A rise of `height` logits at one place: adds `height / (1 + exp(-(x - x_at - moved) / width))` at full course.

    x as in `Peak`, of a numeric factor or of a column that describes the bases. `width` 0 is a step; a large one is
    smooth over all levels.
    """

    at: float
    height: float
    width: float = 0.0
    moved_by: Effects = field(default_factory=dict)

    def __post_init__(self) -> None:
        need_finite("Threshold", at=self.at, height=self.height, width=self.width)
        need(self.width >= 0, "Threshold.width", f"{self.width} is negative; 0 is a step")


@dataclass(frozen=True)
class Variant:
    """A task that is another one with its surface changed: only the share `kept` of the other's gain is there.

    The share is of the logits gained; what training loses is lost in both. `effects` change the share (held to 0..1).
    Items keep their difficulty, save where numbers are changed. In the other's group, or in `group`.
    """

    of: str
    kind: str
    kept: float = 1.0
    effects: Effects = field(default_factory=dict)
    group: str = ""

    def __post_init__(self) -> None:
        need_finite("Variant", kept=self.kept)
        need(self.kind in VARIANTS, "Variant.kind", f"{self.kind!r} is none of {', '.join(VARIANTS)}")
        need(0 <= self.kept <= 1, "Variant.kept", f"{self.kept} is not a share from 0 to 1")


@dataclass(frozen=True)
class Capability:
    """What a base can do before SFT, in logits of its score when made to think.

    `of` gives it for each base; where it is empty it is drawn with the study's seed, N(0, sd²), so that it correlates
    with a numeric column of the bases (in its logarithm where that spans ten-fold) to the degree `correlation`.
    `shown` logits of it are in the ordinary score at step 0. In effect keys it is `capability`, in its own unit.
    """

    of: Mapping[str, float] = field(default_factory=dict)
    sd: float = 1.0
    trait: str = ""
    correlation: float = 0.0
    shown: float = 0.0

    def __post_init__(self) -> None:
        need_finite("Capability", sd=self.sd, correlation=self.correlation, shown=self.shown, **dict(self.of))
        need(self.sd >= 0, "Capability.sd", f"{self.sd} is negative")
        need(abs(self.correlation) <= 1, "Capability.correlation", f"{self.correlation} is not between -1 and 1")
        need(not self.correlation or bool(self.trait), "Capability.trait", "missing; name what it correlates with")
        need(
            not (self.of and self.correlation), "Capability.of", "leaves nothing to correlate; give it or a correlation"
        )

    def drawn(self, bases: tuple[str, ...], trait: np.ndarray | None, seed: int) -> dict[str, float]:
        """Each base's capability; `trait` holds the column it goes with, a number a base."""
        if self.of:
            return {base: float(self.of[base]) for base in bases}
        fresh = np.random.default_rng([seed, 0xCAB]).normal(size=len(bases))
        if trait is not None and np.ptp(trait) > 0:
            z = (trait - trait.mean()) / trait.std()
            fresh = self.correlation * z + (1 - self.correlation**2) ** 0.5 * fresh
        return dict(zip(bases, (self.sd * fresh).tolist(), strict=True))
