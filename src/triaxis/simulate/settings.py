"""What a simulated study is made of: factors and their effects, the course of training, and every variance of a real
one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from triaxis.stats.intervals import Floats
from triaxis.types import Level, TriaxisError

COURSES = ("flat", "rise", "ramp", "dip", "dip_rise", "overfit", "dip_overfit")


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


@dataclass(frozen=True)
class Settings:
    """A study. Effects are at full course, in logits of the score: second level minus first, or differences of such
    differences.

    `effects` maps factor names joined by " x " to a size, for all groups, or "group: factors" for one group. Levels
    of a factor are equally spaced codes from -1/2 to +1/2, in their sorted order.
    """

    factors: Mapping[str, tuple[Level, ...]] = field(default_factory=dict)
    seeds: int = 3
    steps: tuple[int, ...] = (0, 10, 20, 40, 80, 160, 320)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"in_domain": ("chain",)})
    items: int = 100  # a task
    samples: int = 1
    base_logit: float = -0.5
    bases: Mapping[str, float] = field(default_factory=lambda: {"base": 0.0})  # base -> logits above base_logit
    traits: Mapping[str, Mapping[str, Level]] = field(default_factory=dict)  # column of the model axis -> base -> level
    gain: float | Mapping[str, float] = 1.0  # logits at full course, all groups or each
    effects: Mapping[str, float] = field(default_factory=dict)
    course: str = "rise"
    dip: float = 1.0  # depth in logits, for the courses that dip
    late: float = 0.8  # logits lost at the end, for the courses that overfit
    truncation: float = 0.0  # share of the dip's lost responses that are cut off rather than wrong
    noise: Noise = field(default_factory=Noise)
    missing_runs: float = 0.0  # share of runs that are not there
    seed: int = 0

    def __post_init__(self) -> None:
        if self.course not in COURSES:
            raise TriaxisError(f"simulate, course: {self.course!r} is none of {', '.join(COURSES)}")
        known = {*self.factors, *self.traits}
        for key in self.effects:
            for name in _split(key)[1]:
                if name not in known:
                    raise TriaxisError(
                        f"simulate, effects: {name!r} is no factor; factors are {', '.join(sorted(known)) or 'none'}"
                    )

    def base_names(self) -> tuple[str, ...]:
        return (
            tuple(str(level) for level in self.factors["model.base"])
            if "model.base" in self.factors
            else (next(iter(self.bases)),)
        )

    def full_gain(self, condition: Mapping[str, Level], group: str) -> float:
        """Logits gained at full course by a condition in a group, effects included."""
        total = float(self.gain if not isinstance(self.gain, Mapping) else self.gain.get(group, 0.0))
        for key, size in self.effects.items():
            of_group, names = _split(key)
            if of_group in ("", group):
                total += size * float(np.prod([self._code(name, condition[name]) for name in names]))
        return total

    def _code(self, name: str, level: Level) -> float:
        levels = sorted(self.factors.get(name, ()) or set(self.traits[name].values()))
        return -0.5 + levels.index(level) / max(len(levels) - 1, 1)

    def course_at(self) -> tuple[Floats, Floats]:
        """At each step the share of the full gain that is there, and the logits lost to dip and late fall."""
        u = np.log1p(np.asarray(self.steps, dtype=np.float64) / max(self.steps[1], 1))
        u = u / u[-1]
        up = 1 / (1 + np.exp(-(u - 0.45) / 0.06))
        up = (up - up[0]) / (up[-1] - up[0])
        lost = np.zeros_like(u)
        if self.course.startswith("dip"):
            lost += self.dip * np.exp(-0.5 * ((u - 0.3) / 0.12) ** 2) * (u > 0)
        if self.course.endswith("overfit"):
            lost += self.late * np.clip((u - 0.7) / 0.3, 0, 1)
        share = {"flat": np.zeros_like(u), "ramp": u, "dip": np.zeros_like(u)}.get(self.course, up)
        return share, lost


def _split(key: str) -> tuple[str, tuple[str, ...]]:
    group, colon, rest = key.rpartition(": ")
    return (group if colon else "", tuple(name.strip() for name in rest.split(" x ")))
