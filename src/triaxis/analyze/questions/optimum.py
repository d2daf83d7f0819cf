"""The best level of a number (a learning rate, a batch size): whether the gain is peaked in it, where, and how the peak
moves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from triaxis.analyze.contrasts import Asked
from triaxis.analyze.design import Cells, level_text
from triaxis.analyze.evidence import Evidence
from triaxis.analyze.margins import NOT_CROSSED, Fitted, head, margins, method, noted, refused
from triaxis.stats.effects import Estimate
from triaxis.stats.intervals import Floats, t_interval, t_p_value
from triaxis.stats.peak import ALPHA, difference, parabola, top
from triaxis.types import Estimand, Finding, Interval, Level, NotEstimable, Scale

OPTIMUM = "optimum"
CURVATURE, LOCATION, SHIFT = "curvature of the gain", "level of the highest gain", "shift of the best level"
MAX_MOVERS = 60  # curves a group; the factors past it are left out, and it is said
FEW_LEVELS = "a curve needs three levels of a number"
NO_PARABOLA = "no parabola: its cubic part is clear (p = {p:.2g}), and the peak is that of the nearest parabola"
BEYOND_LEVELS = "the interval reaches beyond the levels that were run"


@dataclass(frozen=True)
class Optimum:
    """The parabola of one factor's curve of gains, fitted to the means of its levels.

    `curvature` is how far the middle of the range stands above the mean of its two ends, in units of `scale`: positive
    where the gain is peaked. `location` is the top in x: log2 of the level `in_doublings`, else the level itself.
    """

    factor: str
    scale: Scale
    curvature: Interval
    p: float  # of no curvature
    location: Interval | NotEstimable
    in_doublings: bool
    method: str
    note: str

    def level(self, x: float) -> float:
        """The level at x."""
        return float(2.0**x) if self.in_doublings else x


def is_number(cells: Cells, factor: str) -> bool:
    """Whether a factor's levels are numbers."""
    return all(type(level) in (int, float) for level in cells.levels[factor])


def in_doublings(levels: tuple[Level, ...]) -> bool:
    """Whether levels are taken in log2: positive, and spanning ten-fold or in equal ratios."""
    array = np.sort(np.array([float(level) for level in levels]))
    if array[0] <= 0:
        return False
    ratios = array[1:] / array[:-1]
    return bool(array[-1] >= 10 * array[0] or np.allclose(ratios, ratios[0], rtol=0.05))


def optimum_of(
    asked: Asked, factor: str, within: Mapping[str, Level] | None = None, estimand: Estimand = "gain"
) -> Optimum | NotEstimable:
    """The curvature and the best level of a factor, within levels of others or with these averaged evenly.

    A least-squares parabola through the means of the factor's levels, of which every coefficient is a contrast of
    conditions: Welch between runs, crossed with items. In logits, or in points where logits can't be had; the two need
    not peak at one place. Not estimable without three levels of a number, or with combinations that were not run.
    """
    first = NotEstimable("")
    for scale in ("logit", "points"):
        curve = Curve.of(Fitted.of(asked, estimand, scale), factor, within or {})
        found = curve if isinstance(curve, NotEstimable) else _fitted(curve)
        if isinstance(found, Optimum):
            return found if scale == "logit" else replace(found, note=_why_points(found.note, first.reason))
        first = first if first.reason else found
    return found


def shift_of(
    asked: Asked, factor: str, moved_by: str, low_level: Level, high_level: Level, estimand: Estimand = "gain"
) -> Interval | NotEstimable:
    """The best level of a factor at `high_level` of another less that at `low_level`: in log2 (doublings), or in levels
    where the factor is not taken in logs (`in_doublings`).

    By MOVER on the two Fieller intervals, whose runs are others. Not estimable where either has no peak.
    """
    found = _both(asked, factor, moved_by, low_level, high_level, estimand)
    return found if isinstance(found, NotEstimable) else found[0]


def findings(evidence: Evidence) -> list[Finding]:
    """For every number of three levels or more, in every group: its curve, that within each level of each other factor,
    and how its peak moves from the first level of that factor to the others.
    """
    return [finding for asked in evidence.asked.values() for finding in _of_group(asked)]


def _of_group(asked: Asked) -> list[Finding]:
    cells = asked.cells
    found: list[Finding] = []
    left: list[str] = []
    n = 0
    for factor in cells.factors:
        if not is_number(cells, factor) or len(cells.levels[factor]) < 3:
            continue
        found += _curve(asked, factor, {})
        if isinstance(found[-1].estimate, NotEstimable) and found[-1].quantity == CURVATURE:
            continue  # what can't be had on the average of the others can't be had within them
        for mover in cells.factors:
            if mover == factor:
                continue
            n += len(cells.levels[mover])
            if n > MAX_MOVERS:
                left.append(f"{factor} by {mover}")
                continue
            for level in cells.levels[mover]:
                found += _curve(asked, factor, {mover: level})
            for level in cells.levels[mover][1:]:
                found.append(_shift(asked, factor, mover, cells.levels[mover][0], level))
    if left:
        shown = ", ".join(left[:3]) + (" ..." if len(left) > 3 else "")
        told = f"{len(left)} pairs of factors are left out, being past {MAX_MOVERS} curves a group: {shown}"
        found.append(refused(head(asked, OPTIMUM, SHIFT, cells.factors), told))
    return found


def _curve(asked: Asked, factor: str, within: Mapping[str, Level]) -> list[Finding]:
    """Curvature and best level; the curvature alone where it can't be had."""
    ends = asked.cells.levels[factor]
    text = f"middle above the mean of {level_text(ends[0])} and {level_text(ends[-1])}"
    bend = head(asked, OPTIMUM, CURVATURE, [factor], text, within)
    place = replace(head(asked, OPTIMUM, LOCATION, [factor], "", within), unit="level")
    found = optimum_of(asked, factor, within)
    if isinstance(found, NotEstimable):
        return [refused(bend, found.reason)]
    runs = sum(all(path.condition[name] == level for name, level in within.items()) for path in asked.paths)
    bend, place = (replace(one, n_units=runs, n_runs=runs, method=found.method) for one in (bend, place))
    bend = noted(replace(bend, unit=found.scale, estimate=found.curvature, p=found.p), found.note)
    if isinstance(found.location, NotEstimable):
        return [bend, replace(place, estimate=found.location)]
    x = found.location
    level = Interval(found.level(x.value), found.level(x.low), found.level(x.high))
    outside = level.low < float(ends[0]) or level.high > float(ends[-1])
    notes = (f"fitted in {found.scale}", BEYOND_LEVELS if outside else "", found.note)
    return [bend, noted(replace(place, estimate=level), *notes)]


def _shift(asked: Asked, factor: str, mover: str, low: Level, high: Level) -> Finding:
    found = _both(asked, factor, mover, low, high, "gain")
    here = head(asked, OPTIMUM, SHIFT, [factor, mover], f"{factor} at {mover} {level_text(high)} - {level_text(low)}")
    here = replace(here, unit="doublings" if in_doublings(asked.cells.levels[factor]) else "level")
    if isinstance(found, NotEstimable):
        return replace(here, estimate=found)
    interval, one, other = found
    runs = sum(path.condition[mover] in (low, high) for path in asked.paths)
    here = replace(here, estimate=interval, n_units=runs, n_runs=runs, method=f"MOVER; {one.method}")
    return noted(here, f"fitted in {one.scale}", one.note, other.note)


def _both(
    asked: Asked, factor: str, moved_by: str, low_level: Level, high_level: Level, estimand: Estimand
) -> tuple[Interval, Optimum, Optimum] | NotEstimable:
    """The shift with the two optima, on one scale for both."""
    levels = asked.cells.levels.get(moved_by, ())
    if absent := [level for level in (low_level, high_level) if level not in levels]:
        return NotEstimable(f"the design has no {moved_by} {level_text(absent[0])}")
    reason = NotEstimable("")
    for scale in ("logit", "points"):
        fitted = Fitted.of(asked, estimand, scale)
        found: list[tuple[Curve, Optimum]] = []
        for level in (high_level, low_level):
            curve = Curve.of(fitted, factor, {moved_by: level})
            optimum = curve if isinstance(curve, NotEstimable) else _fitted(curve)
            why = optimum if isinstance(optimum, NotEstimable) else optimum.location
            if isinstance(why, NotEstimable):
                reason = NotEstimable(f"at {moved_by} {level_text(level)}: {why.reason}")
            if isinstance(curve, Curve) and isinstance(optimum, Optimum):
                found.append((curve, optimum))
        if len(found) < 2:
            continue
        (one, high), (other, low) = found
        apart = difference(one.estimate, other.estimate)
        # With the scale there and a peak not, points would be a second chance to find one.
        return reason if isinstance(apart, NotEstimable) else (one.stretched(apart), high, low)
    return reason


@dataclass(frozen=True, eq=False)
class Curve:
    """A factor's curve of gains, as contrasts of conditions."""

    fitted: Fitted
    factor: str
    x: Floats  # (levels,) log2 of the level, or the level
    weights: Floats  # (2 or 3, cells) of b and c of its parabola and, from four levels on, of its cubic part

    @classmethod
    def of(cls, fitted: Fitted, factor: str, within: Mapping[str, Level]) -> Curve | NotEstimable:
        cells = fitted.asked.cells
        if factor not in cells.factors:
            return NotEstimable(cells.described.get(factor, f"the design doesn't vary {factor}"))
        levels = cells.levels[factor]
        if not is_number(cells, factor) or len(levels) < 3:
            return NotEstimable(FEW_LEVELS)
        rows = margins(cells, factor, within)
        if rows is None:
            return NotEstimable(NOT_CROSSED)
        x = np.array([float(level) for level in levels])
        x = np.log2(x) if in_doublings(levels) else x
        return cls(fitted, factor, x, parabola(x) @ rows)

    def estimate(self, u: float, v: float) -> Estimate:
        """u b + v c, where the curvature is estimable."""
        return self._estimate(u * self.weights[0] + v * self.weights[1])

    def _estimate(self, weights: Floats) -> Estimate:
        found = self.fitted.contrast(weights)[1]
        assert found is not None  # `_fitted` asks first
        return found

    def stretched(self, z: Interval) -> Interval:
        """A distance in z, as one in x."""
        half = float(np.ptp(self.x)) / 2
        return Interval(half * z.value, half * z.low, half * z.high)

    def placed(self, z: Interval) -> Interval:
        """A place in z, as one in x."""
        middle, wide = float(self.x.max() + self.x.min()) / 2, self.stretched(z)
        return Interval(middle + wide.value, middle + wide.low, middle + wide.high)

    @property
    def asymmetry(self) -> float | None:
        """The p of the cubic part; None with three levels, which any parabola fits."""
        if len(self.weights) < 3:
            return None
        found = self._estimate(self.weights[2])
        return t_p_value(found.value, found.variance.value, found.variance.df)


def _fitted(curve: Curve) -> Optimum | NotEstimable:
    """The parabola on one scale."""
    for row in curve.weights:  # together they touch every level, of which one alone may be at the ceiling
        if isinstance(refusal := curve.fitted.contrast(row)[0], NotEstimable):
            return refusal
    found = curve.estimate(0.0, -1.0)
    curvature = t_interval(found.value, found.variance.value, found.variance.df)
    place = top(curve.estimate)
    cubic = curve.asymmetry
    logs = in_doublings(curve.fitted.asked.cells.levels[curve.factor])
    how = f"parabola in {'log2 ' if logs else ''}{curve.factor}, Fieller"
    return Optimum(
        factor=curve.factor,
        scale=curve.fitted.scale,
        curvature=curvature,
        p=t_p_value(found.value, found.variance.value, found.variance.df),
        location=curve.placed(place) if isinstance(place, Interval) else place,
        in_doublings=logs,
        method=f"{how}; {method(curve.fitted.scale, found)}",
        note=NO_PARABOLA.format(p=cubic) if cubic is not None and cubic < ALPHA else "",
    )


def _why_points(note: str, reason: str) -> str:
    return "; ".join(part for part in (note, f"in points, since in logits {reason}") if part)
