"""Intervals for a mean and a share, and adjustments of p values for how many there are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special

from triaxis.types import Interval

Floats = NDArray[np.float64]
CONFIDENCE = 0.95


def t_interval(value: float, variance: float, df: float, confidence: float = CONFIDENCE) -> Interval:
    """`value` ± t(df) · sqrt(variance). Raises ValueError where df is not positive: there is no interval then."""
    if not df > 0:
        raise ValueError("an interval needs at least one degree of freedom")
    half = float(special.stdtrit(df, 0.5 + confidence / 2)) * max(variance, 0.0) ** 0.5
    return Interval(value, value - half, value + half)


def gain_interval(value: float, variance: float, df: float) -> Interval:
    """`t_interval` within what a gain can be, -1 to 1: a narrower interval that covers what the wide one does."""
    wide = t_interval(value, variance, df)
    return Interval(value, max(wide.low, -1.0), min(wide.high, 1.0))


def t_p_value(value: float, variance: float, df: float) -> float:
    """Two-sided p of value = 0; with no variance at all it is 1 for a value of 0, else 0."""
    if variance <= 0:
        return 1.0 if value == 0 else 0.0
    return float(2 * special.stdtr(df, -abs(value) / variance**0.5))


def t_tail(value: float, variance: float, df: float) -> float:
    """One-sided p of a value of at most 0, against one above it; with no variance at all it is 0 or 1."""
    if variance <= 0:
        return 0.0 if value > 0 else 1.0
    return float(special.stdtr(df, -value / variance**0.5))


def wilson(share: float, n: float, confidence: float = CONFIDENCE) -> Interval:
    """Wilson's score interval of a share out of `n` (which may be an effective, fractional size): never leaves [0, 1].

    Wilson 1927, J. Am. Stat. Assoc. 22:209.
    """
    z = float(special.ndtri(0.5 + confidence / 2))
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (max(share * (1 - share), 0.0) / n + z * z / (4 * n * n)) ** 0.5
    return Interval(share, min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half)))


def satterthwaite(variances: Sequence[float], dfs: Sequence[float]) -> float:
    """Degrees of freedom of a sum of independent variances: (Σ v)² / Σ v²/df; infinite where nothing varies."""
    below = sum(v * v / df for v, df in zip(variances, dfs, strict=True) if df > 0 and v > 0)
    return float(sum(variances) ** 2 / below) if below > 0 else float("inf")


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p values that bound the chance of any false one in the family. Holm 1979, Scand. J. Stat. 6:65."""
    if not p:
        return []
    raw = np.asarray(p, dtype=np.float64)
    order = np.argsort(raw)
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1)))
    return [float(value) for value in adjusted]


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """Adjusted p values that bound the false discovery rate. Benjamini & Hochberg 1995."""
    if not p:
        return []
    raw = np.asarray(p, dtype=np.float64)
    order = np.argsort(raw)[::-1]
    ranks = np.arange(len(raw), 0, -1)
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(raw[order] * len(raw) / ranks))
    return [float(value) for value in adjusted]
