"""The way of a score through training: how much of the gain is there at a step, and what a dip or a late fall takes.

Time is `u`, the logarithm of `1 + step / first step` scaled to 1 at the last step of the study; it goes on beyond.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from triaxis.simulate.keys import need, need_finite
from triaxis.stats.intervals import Floats

NAMES = ("flat", "rise", "ramp", "dip", "dip_rise", "overfit", "dip_overfit")
RISES = ("none", "rise", "ramp")
RISE_AT, RISE_WIDTH = 0.45, 0.06  # of u
DIP_AT, DIP_WIDTH = 0.3, 0.12
LATE_FROM = 0.7


@dataclass(frozen=True)
class Course:
    """A course in numbers: sizes in logits, places in optimizer steps (None: a place that suits any steps).

    `rise` is how the gain comes: an S-shaped rise around `rise_at`, a `ramp` in log step, or `none`. A dip takes `dip`
    logits at `dip_at`, of which the share `regained` comes back. From `late_from` on the score falls by `late` logits
    and grows by `late_growth` until the last step, in log step, and would go on.
    """

    rise: str = "rise"
    rise_at: float | None = None
    dip: float = 0.0
    dip_at: float | None = None
    regained: float = 1.0
    late: float = 0.0
    late_from: float | None = None
    late_growth: float = 0.0

    def __post_init__(self) -> None:
        numbers = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "rise"}
        need_finite("Course", **numbers)
        need(self.rise in RISES, "Course.rise", f"{self.rise!r} is none of {', '.join(RISES)}")
        for name in ("rise_at", "dip_at", "late_from"):
            need(numbers[name] is None or numbers[name] > 0, f"Course.{name}", f"{numbers[name]} is no step above 0")
        for name in ("dip", "late"):
            need(numbers[name] >= 0, f"Course.{name}", f"{numbers[name]} is negative; give the logits that are lost")
        need(0 <= self.regained <= 1, "Course.regained", f"{self.regained} is not a share from 0 to 1")

    @staticmethod
    def named(name: str, dip: float, late: float) -> Course:
        """One of NAMES, with these sizes where it dips or falls at the end."""
        need(name in NAMES, "course", f"{name!r} is none of {', '.join(NAMES)}")
        return Course(
            rise={"flat": "none", "dip": "none", "ramp": "ramp"}.get(name, "rise"),
            dip=dip if name.startswith("dip") else 0.0,
            late=late if name.endswith("overfit") else 0.0,
        )


NUMBERS = tuple(f.name for f in fields(Course) if f.name != "rise")
PLACES = {"rise_at": RISE_AT, "dip_at": DIP_AT, "late_from": LATE_FROM}  # in steps; moved in doublings


@dataclass(frozen=True)
class Clock:
    """Steps as `u` and back."""

    first: int
    last: int

    def u(self, steps: Floats | float) -> Floats:
        found = np.log1p(np.asarray(steps, dtype=np.float64) / max(self.first, 1))
        return np.asarray(found / np.log1p(self.last / max(self.first, 1)), dtype=np.float64)

    def step(self, u: float) -> float:
        return float(max(self.first, 1) * np.expm1(u * np.log1p(self.last / max(self.first, 1))))

    def place(self, step: float | None, default: float, doublings: float = 0.0) -> float:
        """A step, or the default place, moved later by doublings: as u."""
        if step is None and not doublings:
            return default
        return float(self.u((self.step(default) if step is None else step) * 2.0**doublings))


def rise(u: Floats, at: float, width: float = RISE_WIDTH) -> Floats:
    """A logistic rise in u from 0 at u = 0 towards 1."""
    start = 1 / (1 + np.exp(at / width))
    return np.asarray((1 / (1 + np.exp(-(u - at) / width)) - start) / (1 - start), dtype=np.float64)


def bump(u: Floats, at: float, width: float = DIP_WIDTH) -> Floats:
    """A Gaussian bump in u, 1 at its top; nothing at u = 0."""
    return np.asarray(np.exp(-0.5 * ((u - at) / width) ** 2) * (u > 0), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Curves:
    """At each step: the share of the full gain that is there, logits grown late beside it, and logits lost."""

    share: Floats
    grown: Floats
    lost: Floats


def curves(course: Course, clock: Clock, steps: Floats, moved: dict[str, float]) -> Curves:
    """A course at these steps, its numbers changed by `moved` (places in doublings); sizes stay 0 or more."""
    u = clock.u(steps)
    places = {name: clock.place(getattr(course, name), at, moved.get(name, 0.0)) for name, at in PLACES.items()}
    sizes = {name: getattr(course, name) + moved.get(name, 0.0) for name in NUMBERS if name not in PLACES}
    if course.rise == "rise":
        share = rise(u, places["rise_at"]) / rise(np.ones(1), RISE_AT)
    else:
        share = u if course.rise == "ramp" else np.zeros_like(u)
    fall = bump(u, places["dip_at"])
    stays = 1 - float(np.clip(sizes["regained"], 0, 1))
    fall = np.where(u > places["dip_at"], stays + (1 - stays) * fall, fall)
    start = places["late_from"]
    late = np.maximum((u - start) / (1 - start), 0) if start < 1 else np.zeros_like(u)  # moved past the end: never
    lost = max(sizes["dip"], 0.0) * fall + max(sizes["late"], 0.0) * late
    return Curves(share, sizes["late_growth"] * late, lost)
