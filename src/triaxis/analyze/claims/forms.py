"""Statements that are no contrast of conditions: what the bases are, and what goes along with what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from math import log2

import numpy as np

from triaxis.analyze.bases import ENOUGH_BASES, BaseTarget, base_effect
from triaxis.analyze.claims.conditions import ALIKE, Asking, Pole, pole_of
from triaxis.analyze.claims.numbers import run_summaries
from triaxis.analyze.claims.reading import Reading, Settled
from triaxis.analyze.contrasts import LEAST_VARIANCE, NO_ERROR, Asked, base_of
from triaxis.analyze.design import Target, sorted_levels
from triaxis.analyze.margins import Fitted, margins
from triaxis.analyze.questions.capability import capability_against_size
from triaxis.analyze.questions.emergence import threshold_verdict
from triaxis.analyze.questions.optimum import NO_PARABOLA, Curve, in_doublings, optimum_of, shift_of
from triaxis.stats.intervals import CONFIDENCE, Floats, t_tail
from triaxis.study.axes import COURSE
from triaxis.types import Level, NotEstimable

NOT_A_PARABOLA = NO_PARABOLA.partition(":")[0]
ENOUGH_CONDITIONS = 8  # points of a line whose slope is to speak of conditions


def of_bases(asking: Asking, trait: str) -> list[Reading] | NotEstimable:
    """A contrast of what the bases are, with the base as unit; every pair of kinds where `any` two are asked for."""
    asked, end = asking.asked, asking.part.contrast[trait]
    if len(asking.part.contrast) > 1:
        return NotEstimable(f"{trait} describes the bases: a claim contrasts it alone")
    if asked.n_bases < ENOUGH_BASES:
        few = f"a claim about bases needs {ENOUGH_BASES} of them, here {asked.n_bases}"
        return NotEstimable(f"{trait} describes the bases: {few}")
    kinds = {path.base: path.condition[trait] for path in asked.paths}
    levels = sorted_levels(list(kinds.values()))
    if end == "any":
        poles = [Pole(high, low) for low, high in combinations(levels, 2)]
    else:
        found = pole_of(trait, end, levels, asking)
        if isinstance(found, NotEstimable):
            return found
        poles = [found[0]]
    readings = [_between_kinds(asking, trait, kinds, pole) for pole in poles]
    lacking = [reading for reading in readings if isinstance(reading, NotEstimable)]
    return lacking[0] if lacking else [reading for reading in readings if isinstance(reading, Reading)]


def _between_kinds(asking: Asking, trait: str, kinds: Mapping[str, Level], pole: Pole) -> Reading | NotEstimable:
    if min(sum(kind == level for kind in kinds.values()) for level in (pole.this, pole.minus)) < 2:
        return NotEstimable(f"{trait}: two bases at least of {pole.this} and of {pole.minus} are needed")
    if told := _unequal(asking, kinds, pole):
        return NotEstimable(told)
    summaries = run_summaries(asking)
    if isinstance(summaries, NotEstimable):
        return summaries
    target = BaseTarget(trait, (), Target((trait,), (pole.this,), (pole.minus,)))
    effect = base_effect(asking.asked, target, summaries, "points")
    if isinstance(effect, NotEstimable):
        return effect
    estimate, n_bases = effect
    if estimate.variance.value < LEAST_VARIANCE:
        return NotEstimable(NO_ERROR)
    told = f"{pole.this} against {pole.minus} over {n_bases} bases"
    return Reading.of(
        estimate, len(asking.asked.paths), told, f"means by kind of base, Welch, t with {estimate.variance.df:.1f} df"
    )


def _unequal(asking: Asking, kinds: Mapping[str, Level], pole: Pole) -> str:
    """What the two kinds of bases do not share on average though the claim asks for it; empty where they do."""
    for name in asking.part.equal:
        of_base = {path.base: path.level(name) for path in asking.asked.paths}
        if None in of_base.values():
            return f"the table does not say {name} of every base, and both sides must share it"
        if len(set(of_base.values())) == 1:
            continue
        if any(isinstance(value, str) for value in of_base.values()):
            return f"{name} varies, and both sides must share it"
        up, down = (
            float(np.mean([float(of_base[base] or 0) for base, kind in kinds.items() if kind == level]))
            for level in (pole.this, pole.minus)
        )
        if abs(up - down) > ALIKE * max(abs(up), abs(down)):
            return f"{name} differs ({up:g} against {down:g}), and both sides must share it"
    return ""


def association(asking: Asking) -> Reading | NotEstimable:
    """The slope of a condition's gain on log2 of its sharpness: what goes along, whatever brings it about.

    Within bases, each with a level of its own: a base is measured once, and its luck is in all its conditions. So is a
    trunk's in those that branched off it: their residuals are summed before they are squared, where that is wider.
    """
    asked = asking.asked
    summaries = run_summaries(asking)
    if isinstance(summaries, NotEstimable):
        return summaries
    points: dict[tuple[tuple[object, ...], int], list[tuple[float, float]]] = defaultdict(list)
    for path, number, cell in zip(asked.paths, summaries, asked.cells.cell_of, strict=True):
        sharpness = float(path.measures["sharpness"][-1])
        if not sharpness > 0:
            return NotEstimable("sharpness was not measured at every last checkpoint, or is not above 0")
        points[base_of(path), int(cell)].append((log2(sharpness), number.value))
    if len(points) < ENOUGH_CONDITIONS:
        return NotEstimable(f"an association over conditions needs {ENOUGH_CONDITIONS} of them, here {len(points)}")
    x, y = np.array([np.mean(own, axis=0) for own in points.values()]).T
    bases = [base for base, _ in points]
    for base in dict.fromkeys(bases):
        own = np.array([other == base for other in bases])
        x[own] -= x[own].mean()
        y[own] -= y[own].mean()
    spread, df = float(x @ x), len(x) - len(set(bases)) - 1
    if spread < 1e-9:
        return NotEstimable("sharpness is the same in all conditions of a base")
    if df < 1:
        return NotEstimable("one condition a base: nothing tells sharpness from the base")
    slope = float(x @ y / spread)
    left = y - slope * x
    variance = float((left**2).sum()) / df / spread
    trunks = _trunks(asked, list(points))
    apart = len(set(trunks))
    if apart < len(x):
        if apart < ENOUGH_CONDITIONS:
            few = f"here {len(points)} that branched off {apart}, whose luck they share"
            return NotEstimable(f"an association over conditions needs {ENOUGH_CONDITIONS} of them, {few}")
        summed = np.array([(x * left)[[t == trunk for t in trunks]].sum() for trunk in set(trunks)])
        variance = max(variance, float((summed**2).sum()) * apart / (apart - 1) / spread**2)
        df = min(df, apart - 1)
    if variance < LEAST_VARIANCE:
        return NotEstimable(NO_ERROR)
    told = f"gain per doubling of sharpness over {len(x)} conditions, within bases"
    return Reading(slope, variance, df, len(asked.paths), told, f"least squares over condition means, t with {df} df")


def _trunks(asked: Asked, points: Sequence[tuple[tuple[object, ...], int]]) -> list[object]:
    """For each base and condition what its runs may have branched from; itself where no seeds are told."""
    if asked.trunks is None:
        return list(points)
    first = {(base_of(path), int(cell)): path for path, cell in zip(asked.paths, asked.cells.cell_of, strict=True)}
    return [
        (point[0], *sorted(((n, v) for n, v in first[point].condition.items() if n not in COURSE), key=str))
        for point in points
    ]


def peak(asking: Asking) -> Reading | NotEstimable:
    """How far the gain in the middle of a number's range stands above the mean of its ends, in points, by a parabola.

    A curve that only levels off bends too: support needs the top within the levels that were run, and one of these
    clearly above both ends.
    """
    asked = asking.asked
    (factor,) = asking.part.contrast
    curve = Curve.of(Fitted.of(asked, "gain", "points"), factor, {})
    found = optimum_of(asked, factor)
    if isinstance(curve, NotEstimable):
        return curve
    if isinstance(found, NotEstimable):
        return found
    bend = curve.estimate(0.0, -1.0)
    place, levels = found.location, asked.cells.levels[factor]
    if isinstance(place, NotEstimable):
        veto, told = place.reason, ""
    else:
        low, top, high = (found.level(x) for x in (place.low, place.value, place.high))
        told = f"top at {top:.3g} [{low:.3g}, {high:.3g}]"
        inside = float(levels[0]) <= low and high <= float(levels[-1])
        veto = "" if inside else "the top may lie beyond the levels that were run"
    veto = veto or (
        "" if _above_both_ends(asked, factor) else "no level is clearly above both ends: it may only level off"
    )
    return replace(Reading.of(bend, len(asked.paths), told, found.method), veto=veto)


def _above_both_ends(asked: Asked, factor: str) -> bool:
    """Whether an inner level gains more than either end, the differences clear at Bonferroni's level over levels."""
    rows = margins(asked.cells, factor, {})
    if rows is None:
        return False
    fitted = Fitted.of(asked, "gain", "points")

    def clear(weights: Floats) -> bool:
        found = fitted.contrast(weights)[1]
        return found is not None and t_tail(found.value, found.variance.value, found.variance.df) < limit

    limit = (1 - CONFIDENCE) / 2 / max(1, len(rows) - 2)
    return any(clear(row - rows[0]) and clear(row - rows[-1]) for row in rows[1:-1])


def shift(asking: Asking) -> Reading | Settled | NotEstimable:
    """How far the best level of one number moves between the ends of another factor, in doublings."""
    asked, (factor, mover) = asking.asked, asking.part.contrast
    if mover not in asked.cells.factors:
        return NotEstimable(asked.cells.described.get(mover, f"the design doesn't vary {mover}"))
    ends = pole_of(mover, asking.part.contrast[mover], asked.cells.levels[mover], asking)
    if isinstance(ends, NotEstimable):
        return ends
    if factor in asked.cells.factors and not in_doublings(asked.cells.levels[factor]):
        return NotEstimable(f"the levels of {factor} are not taken in doublings")
    for level in (ends[0].this, ends[0].minus):
        curve = optimum_of(asked, factor, {mover: level})
        if isinstance(curve, NotEstimable):
            return curve
        if curve.note.startswith(NOT_A_PARABOLA):
            told = f"at {mover} {level}: the curve is no parabola, so that another height would look like another place"
            return Settled("inconclusive", told)
    found = shift_of(asked, factor, mover, ends[0].minus, ends[0].this)
    if isinstance(found, NotEstimable):
        return Settled("inconclusive", found.reason)  # the design could show it, the data do not
    told = f"best {factor} at {mover} {ends[0].this} against {ends[0].minus}"
    return Reading(found.value, 0.0, 0.0, len(asked.paths), told, "parabolas, Fieller, MOVER", found)


def rival(asking: Asking) -> Reading | NotEstimable:
    """How much more closely the gain of the bases goes with their capability than with their size."""
    found = capability_against_size(asking.evidence, asking.part.groups)
    if isinstance(found, NotEstimable):
        return found
    told = "correlation of gain with capability less that with size, over bases"
    return Reading(found.value, 0.0, 0.0, len(asking.asked.paths), told, "dependent correlations, Zou 2007", found)


def threshold(asking: Asking) -> Settled | NotEstimable:
    """Whether accuracy, and log-probability where it was measured, jump at one size of the bases."""
    found = threshold_verdict(asking.evidence, asking.part.groups, smallest=asking.part.smallest_effect)
    if isinstance(found, NotEstimable):
        return found
    return Settled(found.decision, found.reason, "AICc of step against smooth forms over bases")


FORMS: Mapping[str, Callable[[Asking], Reading | Settled | NotEstimable]] = {
    "association": association,
    "peak": peak,
    "rival": rival,
    "shift": shift,
    "threshold": threshold,
}
