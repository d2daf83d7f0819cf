"""The log step axis and the room for labels, whatever draws the curves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class StepAxis:
    """Optimizer steps on a log2 axis, with step 0 set apart on the left."""

    zero: float
    last: float
    ticks: tuple[tuple[float, str], ...]

    def position(self, step: int) -> float:
        """Where a step lies on the axis."""
        return math.log2(step) if step > 0 else self.zero


def step_axis(steps: Iterable[int], most: int = 7) -> StepAxis:
    """An axis over these steps with at most about `most` ticks; the first, the last and step 0 always have one."""
    positive = sorted({step for step in steps if step > 0}) or [1]
    low, high = math.log2(positive[0]), math.log2(positive[-1])
    zero = low - max(0.9, 0.14 * (high - low))
    kept = [positive[-1]]
    for step in reversed(positive[:-1]):
        if math.log2(kept[-1]) - math.log2(step) >= (high - zero) / most and math.log2(step) - low >= 0:
            kept.append(step)
    ticks = ((zero, "0"), *((math.log2(step), f"{step:,}") for step in reversed(kept)))
    return StepAxis(zero, high, ticks)


def spread(values: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move labels apart to at least `gap` where there is room, staying near `values` and within [low, high]."""
    order = sorted(range(len(values)), key=lambda index: values[index])
    gap = min(gap, (high - low) / max(len(values) - 1, 1))
    placed = list(values)
    floor = low
    for index in order:
        placed[index] = max(values[index], floor)
        floor = placed[index] + gap
    ceiling = high
    for index in reversed(order):
        placed[index] = min(placed[index], ceiling)
        ceiling = placed[index] - gap
    return placed
