"""What a diagnostic gives: its readings by name, or why there is none, and what they cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triaxis.stats.intervals import t_interval
from triaxis.types import NotEstimable, Reading


class Undefined(ValueError):
    """What is asked for is not defined on these inputs, with the reason; `run_diagnostics` makes it NotEstimable."""


Value = Reading | NotEstimable


@dataclass(frozen=True)
class Diagnosis:
    """The readings of one diagnostic. The name "" is that of the diagnostic itself, the others are parts of it.

    `tokens` are those of all forward passes, padding not counted.
    """

    values: Mapping[str, Value]
    seconds: float
    tokens: int


def reading(value: float, unit: str, method: str, low: float | None = None, high: float | None = None) -> Value:
    """A reading, if it is a number."""
    if not all(math.isfinite(number) for number in (value, low, high) if number is not None):
        return NotEstimable(f"the number is not finite ({value})")
    ends = (None if end is None else float(end) for end in (low, high))
    return Reading(float(value), unit, method, *ends)


def mean_reading(values: NDArray[np.float64], unit: str, method: str) -> Value:
    """The mean of independent repeats with a t interval; one repeat has none."""
    mean = float(values.mean())
    if len(values) < 2 or not np.isfinite(values).all():
        return reading(mean, unit, method)
    found = t_interval(mean, float(values.var(ddof=1)) / len(values), len(values) - 1)
    return reading(mean, unit, method, found.low, found.high)


def per_token(sums: NDArray[np.float64], counts: NDArray[np.float64], unit: str, method: str) -> Value:
    """Σ sums / Σ counts over rows, with a t interval whose unit is the row: tokens of a row go together.

    The variance is that of a ratio of two means, linearised (Cochran 1977, Sampling Techniques, 6.3).
    """
    n, total = len(sums), float(counts.sum())
    mean = float(sums.sum()) / total
    if n < 2 or not np.isfinite(sums).all():
        return reading(mean, unit, method)
    variance = n / (n - 1) * float(((sums - mean * counts) ** 2).sum()) / total**2
    found = t_interval(mean, variance, n - 1)
    return reading(mean, unit, method, found.low, found.high)
