"""What goes with what over few units: slopes by least squares with items crossed, and two correlations compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from triaxis.stats.effects import Estimate
from triaxis.stats.intervals import CONFIDENCE, Floats
from triaxis.stats.paired import Strata, Variance, crossed_variance
from triaxis.types import Interval

_NEAR_ONE = 1 - 1e-9


@dataclass(frozen=True, eq=False)
class Outcomes:
    """A number a unit, and, where the units share their items, the same item by item (units x items)."""

    values: Floats
    per_item: Floats | None = None
    strata: Strata | None = None


def regress(covariates: Floats, outcomes: Outcomes) -> list[Estimate]:
    """Slope on each column of `covariates` (units x columns), an intercept beside them, by ordinary least squares.

    One variance for all units, t with units - columns - 1 degrees of freedom; what shared items add is taken from the
    slope item by item, less the unit x item part that the residuals hold already. Raises ValueError with too few units
    or with columns that are linear combinations of each other.
    """
    n, columns = covariates.shape
    df = n - columns - 1
    if df < 1:
        raise ValueError("a regression needs more units than coefficients")
    centred = covariates - covariates.mean(axis=0)
    scale = np.sqrt((centred**2).sum(axis=0))
    if (scale == 0).any() or np.linalg.matrix_rank(centred / scale, tol=1e-8) < columns:
        raise ValueError("the covariates do not vary apart from each other")
    weights = np.linalg.pinv(centred)  # columns x units: the slopes are weights @ values
    slopes = weights @ outcomes.values
    rest = outcomes.values - outcomes.values.mean() - centred @ slopes
    residual = float(rest @ rest) / df
    both = zip(slopes, weights, strict=True)
    return [_estimate(float(slope), own, residual, df, centred, outcomes) for slope, own in both]


def _estimate(slope: float, weights: Floats, residual: float, df: int, centred: Floats, of: Outcomes) -> Estimate:
    runs = Variance(residual * float(weights @ weights), float(df))
    if of.per_item is None or of.strata is None or not of.strata.estimable:
        return Estimate(slope, runs, False)
    about = of.per_item - of.per_item.mean(axis=0)
    rest = about - centred @ (np.linalg.pinv(centred) @ about)
    z = of.strata.scaled(rest)
    noise = float((z * z).sum()) / df * float(weights @ weights)
    return Estimate(slope, crossed_variance(weights @ of.per_item, noise, runs, of.strata), True)


def correlation(x: Floats, y: Floats) -> Interval:
    """Pearson's r with Fisher's interval. Raises ValueError below four units or where one does not vary."""
    if len(x) < 4:
        raise ValueError("an interval of a correlation needs four units")
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        raise ValueError("what does not vary correlates with nothing")
    r = float(np.clip(np.corrcoef(x, y)[0, 1], -_NEAR_ONE, _NEAR_ONE))
    half = float(special.ndtri(0.5 + CONFIDENCE / 2)) / (len(x) - 3) ** 0.5
    return Interval(r, float(np.tanh(np.arctanh(r) - half)), float(np.tanh(np.arctanh(r) + half)))


def stronger_correlation(y: Floats, first: Floats, second: Floats) -> Interval:
    """How much more strongly `first` goes with `y` than `second` does: |r1| - |r2|, both over the same units.

    Zou's interval for two correlations that share a variable (2007, Psychological Methods 12:399), which takes the
    limits of each and their dependence. A covariate that falls as `y` rises is turned round, so that a strong negative
    correlation counts as strong.
    """
    one, two = correlation(first, y), correlation(second, y)
    between = correlation(first, second).value
    if one.value < 0:
        one, between = Interval(-one.value, -one.high, -one.low), -between
    if two.value < 0:
        two, between = Interval(-two.value, -two.high, -two.low), -between
    together = _dependence(one.value, two.value, between)
    gap = one.value - two.value
    below = _distance(one.value - one.low, two.high - two.value, together)
    above = _distance(one.high - one.value, two.value - two.low, together)
    return Interval(gap, max(gap - below, -1.0), min(gap + above, 1.0))


def _dependence(one: float, two: float, between: float) -> float:
    """Correlation of two sample correlations r(y,1) and r(y,2), given r(1,2): Olkin & Siotani, as in Zou's eq. 15."""
    top = (between - one * two / 2) * (1 - one**2 - two**2 - between**2) + between**3
    return float(np.clip(top / ((1 - one**2) * (1 - two**2)), -1.0, 1.0))


def _distance(one: float, two: float, together: float) -> float:
    return float(max(one**2 + two**2 - 2 * together * one * two, 0.0) ** 0.5)
