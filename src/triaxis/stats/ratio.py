"""The ratio of two estimates with an honest interval, or none where the denominator may be 0."""

from __future__ import annotations

from dataclasses import dataclass

from scipy import special

from triaxis.stats.intervals import CONFIDENCE
from triaxis.types import Interval


@dataclass(frozen=True)
class Pair:
    """A numerator and a denominator with their variances and covariance, and the degrees of freedom of their t."""

    top: float
    bottom: float
    top_variance: float
    bottom_variance: float
    covariance: float
    df: float


def fieller(pair: Pair, confidence: float = CONFIDENCE) -> Interval | None:
    """top / bottom with Fieller's interval: every ratio r for which top - r · bottom isn't clear of 0.

    None where the denominator isn't clear of 0: the interval is then no interval (it has no end, or is two pieces).
    Fieller 1954, J. R. Stat. Soc. B 16:175.
    """
    t2 = float(special.stdtrit(pair.df, 0.5 + confidence / 2)) ** 2
    bottom2 = pair.bottom**2 - t2 * pair.bottom_variance
    if not bottom2 > 0:
        return None
    cross = pair.top * pair.bottom - t2 * pair.covariance
    top2 = pair.top**2 - t2 * pair.top_variance
    half = max(cross * cross - bottom2 * top2, 0.0) ** 0.5
    value = pair.top / pair.bottom
    return Interval(value, min(value, (cross - half) / bottom2), max(value, (cross + half) / bottom2))
