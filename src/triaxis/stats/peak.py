"""The peak of a parabola fitted to a curve: how much it bends, where its top is, and how far apart two tops are.

The curve is b z + c z² on z in [-1, 1]; -c is how far its middle stands above the mean of its ends, and its top is at
-b / 2c. Contrasts of b and c come from whatever fitted them, each with its own variance and degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import optimize, special

from triaxis.stats.effects import Estimate
from triaxis.stats.intervals import CONFIDENCE, Floats, satterthwaite, t_p_value
from triaxis.stats.paired import Variance
from triaxis.types import Interval, NotEstimable

ALPHA = 1 - CONFIDENCE
NO_PEAK = "no peak is shown: the curve's bend can't be told from 0 (p = {p:.2g})"
VALLEY = "no peak: the curve bends upwards (p = {p:.2g})"
OUTSIDE = "no peak among the levels that were run: the curve {course} throughout them"
UNKNOWN = "a peak is there, but where is not known: its interval reaches far beyond the levels that were run"
FAR = 10.0  # in z: half ranges from the middle; an interval that reaches farther is as good as unbounded
_SCAN = 80  # directions on each side of the top in which the limits of its interval are looked for

Estimator = Callable[[float, float], Estimate]  # of u b + v c


def unit_scale(x: Sequence[float] | Floats) -> Floats:
    """`x` as z: its least value -1, its largest 1. Raises ValueError where they are one."""
    array = np.asarray(x, dtype=np.float64)
    half = (array.max() - array.min()) / 2
    if not half > 0:
        raise ValueError("a curve needs two different values")
    return np.asarray((array - (array.max() + array.min()) / 2) / half, dtype=np.float64)


def parabola(x: Sequence[float] | Floats) -> Floats:
    """Weights over the levels `x` that give b and c by least squares, and, from four levels on, the cubic part:
    2 or 3 rows x levels.

    The cubic part is that of the orthogonal polynomial (its size has no unit of its own): where it is not 0 the curve
    is no parabola but rises and falls at different rates. Raises ValueError with fewer than three levels.
    """
    z = unit_scale(x)
    if len(np.unique(z)) < 3:
        raise ValueError("a parabola needs three levels")
    rows = np.linalg.pinv(np.vander(z, 3, increasing=True))[1:]
    if len(np.unique(z)) == 3:
        return np.asarray(rows, dtype=np.float64)
    cubic = z**3 - np.vander(z, 3, increasing=True) @ np.linalg.lstsq(np.vander(z, 3, increasing=True), z**3)[0]
    return np.vstack([rows, cubic / (cubic @ cubic)])


def top(estimate: Estimator, least_df: float = 0.0) -> Interval | NotEstimable:
    """Where the parabola has its top, in z, with Fieller's 95 % interval, or why no top is shown.

    The interval holds every t for which b + 2 t c = 0 is not rejected at 5 % (Fieller 1954, J. R. Stat. Soc. B 16:175),
    each tested with its own variance and degrees of freedom, as conditions differ in their spread. It is bounded where
    c is clear of 0; it may reach beyond [-1, 1], where nothing was run, but not beyond `FAR`. `least_df` raises the
    degrees of freedom to those of a sum that the top is to be part of (`difference`).
    """
    bend = estimate(0.0, 1.0)
    p = t_p_value(bend.value, bend.variance.value, bend.variance.df)
    if not p < ALPHA:
        return NotEstimable(NO_PEAK.format(p=p))
    if bend.value > 0:
        return NotEstimable(VALLEY.format(p=p))
    at = -estimate(1.0, 0.0).value / (2 * bend.value)
    if abs(at) > 1:
        return NotEstimable(OUTSIDE.format(course="rises" if at > 0 else "falls"))
    angle = float(np.arctan(2 * at))
    low, high = (_limit(estimate, angle, end, least_df) for end in (-np.pi / 2, np.pi / 2))
    found = Interval(at, min(float(np.tan(low)) / 2, at), max(float(np.tan(high)) / 2, at))
    return found if found.low >= -FAR and found.high <= FAR else NotEstimable(UNKNOWN)


def top_variance(estimate: Estimator, at: float) -> Variance:
    """The variance of a top `at` by the delta method, with its degrees of freedom."""
    slope = estimate(1.0, 2 * at).variance
    return Variance(slope.value / (2 * estimate(0.0, 1.0).value) ** 2, slope.df)


def _limit(estimate: Estimator, angle: float, end: float, least_df: float) -> float:
    """The direction farthest from `angle` towards `end` that is not rejected; `end`, c alone, is rejected.

    Directions are angles a of the contrast cos a b + sin a c: so the line of all t is a half circle, and its far end no
    special case.
    """

    def excess(a: float) -> float:
        found = estimate(float(np.cos(a)), float(np.sin(a)))
        limit = float(special.stdtrit(max(found.variance.df, least_df), 1 - ALPHA / 2)) * found.variance.value**0.5
        return float(abs(found.value) - limit)

    scan = np.linspace(angle, end, _SCAN)[:-1]
    kept = max((i for i, a in enumerate(scan) if excess(float(a)) <= 0), default=0)
    beyond = float(scan[kept + 1]) if kept + 1 < len(scan) else end
    if excess(float(scan[kept])) >= 0 or excess(beyond) <= 0:
        return beyond
    return float(optimize.brentq(excess, float(scan[kept]), beyond, xtol=1e-9))


def difference(one: Estimator, other: Estimator) -> Interval | NotEstimable:
    """The top of one parabola less that of another on the same x, in z, or why one of them has none.

    From the two intervals, which may be lopsided (MOVER: Zou & Donner 2008, Stat. Med. 27:1693), each with the degrees
    of freedom of the difference (Satterthwaite's; with those of one top alone, of 2 or 3, a 95 % interval of the
    difference covers 99.7 %). For errors that are independent; errors that go the same way make it too wide.
    """
    tops = []
    for each in (one, other):
        found = top(each)
        if isinstance(found, NotEstimable):
            return found
        tops.append(top_variance(each, found.value))
    df = satterthwaite([v.value for v in tops], [v.df for v in tops])
    ends = [top(each, df) for each in (one, other)]
    first, second = (end for end in ends if isinstance(end, Interval))
    value = first.value - second.value
    down = np.hypot(first.value - first.low, second.high - second.value)
    up = np.hypot(first.high - first.value, second.value - second.low)
    return Interval(value, float(value - down), float(value + up))
