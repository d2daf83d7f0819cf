"""The verdict on each claim: supported, refuted, inconclusive, or not testable with this design, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from triaxis.analyze.claims.order import by_capability
from triaxis.analyze.claims.spec import Claim, Course, Ends, Part
from triaxis.analyze.contrasts import Asked, cell_contrast, extremes
from triaxis.analyze.design import sorted_levels
from triaxis.analyze.estimands import looked_at
from triaxis.analyze.evidence import Evidence
from triaxis.analyze.paths import by_condition
from triaxis.analyze.trajectories import condition_trajectory, seed_noises
from triaxis.stats.effects import contrast
from triaxis.stats.intervals import Floats
from triaxis.types import Decision, Dip, Interval, Level, NotEstimable, Scale, Verdict

NEAR_BOUND = 0.1  # of 0 or 1: there an interaction in points may be the bound's
LOGITS_A_SCORE = 4.0  # the slope of the logit at a score of one half


@dataclass(frozen=True)
class Judged:
    """A part's decision with its estimate."""

    decision: Decision
    reason: str
    estimate: Interval | None = None


def judge(claim: Claim, evidence: Evidence) -> Verdict:
    """The verdict on one claim. Parts are joined by intersection and union: all supported, or one refuted."""
    if claim.course is not None:
        course = claim.course
        judged = _judge_course(course, evidence)
        return _verdict(claim, judged, course.event, None, "probability")
    parts = [_judge_part(part, evidence) for part in claim.parts]
    order: tuple[Decision, ...] = ("refuted", "not testable", "inconclusive", "supported")
    first = min(range(len(parts)), key=lambda i: order.index(parts[i].decision))
    part, judged = claim.parts[first], parts[first]
    if len(parts) > 1:
        told = "; ".join(f"{', '.join(p.groups)}: {found.reason}" for p, found in zip(claim.parts, parts, strict=True))
        judged = replace(judged, reason=judged.reason if judged.decision == "not testable" else told)
    return _verdict(
        claim, judged, part.estimand, part.smallest_effect, "points and logit" if part.both_scales else "points"
    )


def untestable(claim: Claim, reason: str) -> Verdict:
    """The verdict where there is nothing to judge by."""
    return _verdict(claim, _no(reason), claim.course.event if claim.course else claim.parts[0].estimand, None, "points")


def _verdict(claim: Claim, judged: Judged, estimand: str, smallest: float | None, scale: str) -> Verdict:
    return Verdict(
        claim=claim.id,
        statement=claim.statement,
        decision=judged.decision,
        reason=judged.reason,
        estimand=estimand,
        smallest_effect=smallest,
        estimate=judged.estimate,
        scale=scale,
        source=claim.source,
    )


def _no(reason: str) -> Judged:
    return Judged("not testable", reason)


def _judge_part(part: Part, evidence: Evidence) -> Judged:
    paths = evidence.pooled(part.groups)
    if isinstance(paths, NotEstimable):
        return _no(paths.reason)
    asked = Asked.of(paths)
    missing = [name for name in part.contrast if name not in asked.cells.factors]
    if missing:
        return _no("; ".join(asked.cells.described.get(name, f"the design doesn't vary {name}") for name in missing))
    ends: dict[str, tuple[Level, Level]] = {}
    known = ""
    for name, end in part.contrast.items():
        found = _ends(name, end, asked, evidence)
        if isinstance(found, NotEstimable):
            return _no(found.reason)
        ends[name], told = found
        known = told or known
    weights = _weights(part, asked, ends)
    if weights is None:
        return _no("the design lacks conditions that the contrast needs")
    sign = 1.0 if part.direction == "positive" else -1.0
    return _decide(part, asked, weights, sign, known)


def _ends(name: str, end: Ends, asked: Asked, evidence: Evidence) -> tuple[tuple[Level, Level], str] | NotEstimable:
    """The level counted positive and the one counted negative, with how a base's strength is known."""
    levels = sorted_levels(asked.cells.levels[name])
    if isinstance(end, list):
        if not set(end) <= {str(level) for level in levels}:
            return NotEstimable(f"{name} has no levels {' and '.join(end)} here")
        by_name = {str(level): level for level in levels}
        return (by_name[end[0]], by_name[end[1]]), ""
    if end in ("stronger", "weaker"):
        ordered = by_capability(evidence.panel, evidence.source, asked.paths[0].mode, levels)
        if isinstance(ordered, NotEstimable):
            return ordered
        levels, told = ordered
    else:
        told = ""
        if any(isinstance(level, str) for level in levels):
            return NotEstimable(f"the levels of {name} are not numbers")
    first, last = levels[0], levels[-1]
    return ((last, first) if end in ("higher", "stronger") else (first, last)), told


def _weights(part: Part, asked: Asked, ends: dict[str, tuple[Level, Level]]) -> Floats | None:
    """Weights over the design's cells."""
    cells = asked.cells
    if not ends:
        return np.full(len(cells.design.levels), 1.0 / len(cells.design.levels))
    names = sorted(ends)
    index = [cells.factors.index(name) for name in names]
    high = [cells.levels[name].index(ends[name][0]) for name in names]
    low = [cells.levels[name].index(ends[name][1]) for name in names]
    if part.form == "effect":
        return contrast(cells.design, index, high, low)
    return _corner(cells.design.levels, index, high, low)


def _corner(levels: np.ndarray, index: Sequence[int], high: Sequence[int], low: Sequence[int]) -> Floats | None:
    """All at their high level, minus all low, minus each single change from all low; other factors averaged evenly."""
    wanted = {tuple(high): 1.0, tuple(low): float(len(index) - 1)}
    for i in range(len(index)):
        wanted[tuple(h if i == j else lo for j, (h, lo) in enumerate(zip(high, low, strict=True)))] = -1.0
    picked = levels[:, list(index)]
    weights = np.zeros(len(levels))
    for corner, size in wanted.items():
        at = (picked == np.array(corner)).all(axis=1)
        if not at.any():
            return None
        weights[at] = size / at.sum()
    return weights


def _decide(part: Part, asked: Asked, weights: Floats, sign: float, known: str) -> Judged:
    found = cell_contrast(asked, weights, part.estimand, "points")
    if isinstance(found, NotEstimable):
        return _no(found.reason)
    ends = extremes(asked, weights, part.estimand)
    if len(part.contrast) > 1 and (ends[0] <= 0 or ends[1] >= 1):
        return _no("ceiling: a condition is at 0 or 1 in every run")
    low, high = sorted((sign * found.low, sign * found.high))
    told = f"{_points(found)}, smallest effect {100 * part.smallest_effect:g} points" + (f"; {known}" if known else "")
    if any(name.startswith("model.") for name in part.contrast):
        told += f"; speaks of these {asked.n_bases} bases"
    if low > part.smallest_effect:
        if part.both_scales and (why := _other_scale(part, asked, weights, sign)):
            return Judged("inconclusive", f"{told}; {why}", found)
        return Judged("supported", told, found)
    if len(part.contrast) < 2 and (why := _no_room(part, asked, weights, sign)):
        return _no(why)
    if high < part.smallest_effect:
        if len(part.contrast) > 1 and (ends[0] < NEAR_BOUND or ends[1] > 1 - NEAR_BOUND):
            why = _logit_allows(part, asked, weights, sign)
            return Judged("inconclusive", f"{told}; {why}", found) if why else Judged("refuted", told, found)
        return Judged("refuted", told, found)
    return Judged("inconclusive", told, found)


def _no_room(part: Part, asked: Asked, weights: Floats, sign: float) -> str:
    """Why scores so near 0 or 1 could not show the smallest effect, though it were there; empty where they could."""
    if part.contrast:
        scores = np.array([looked_at(path, part.estimand) for path in asked.paths])
        counts = np.bincount(asked.cells.cell_of)
        toward = sign * weights / counts
        of_runs = toward[asked.cells.cell_of]
        upper = float((scores * of_runs.clip(min=0)).sum())  # where the claim expects the higher scores
        lower = float(-(scores * of_runs.clip(max=0)).sum())
        too_low, too_high, what = upper < part.smallest_effect, lower > 1 - part.smallest_effect, "the scores are"
    else:
        base = float(np.mean([path.scores[0] for path in asked.paths]))
        too_low = sign < 0 and base < part.smallest_effect
        too_high = sign > 0 and base > 1 - part.smallest_effect
        what = "the base is"
    smallest = f"{100 * part.smallest_effect:g} points"
    if too_low:
        return f"floor: {what} so near 0 that an effect of {smallest} could not show"
    return f"ceiling: {what} so near 1 that an effect of {smallest} could not show" if too_high else ""


def _logit_allows(part: Part, asked: Asked, weights: Floats, sign: float) -> str:
    """Why points alone don't refute near 0 or 1, where the bound shrinks them; empty where the logits refute too.

    The smallest effect in logits is what it is at a score of one half: four times as large.
    """
    found = cell_contrast(asked, weights, part.estimand, "logit")
    if isinstance(found, NotEstimable):
        return f"ceiling: a condition is outside .1 to .9, and in logits {found.reason}"
    if max(sign * found.low, sign * found.high) < LOGITS_A_SCORE * part.smallest_effect:
        return ""
    return "ceiling: a condition is outside .1 to .9, and the logits do not exclude the effect"


def _other_scale(part: Part, asked: Asked, weights: Floats, sign: float) -> str:
    """Why the logit scale doesn't bear the points out; empty where it does."""
    scale: Scale = "logit"
    found = cell_contrast(asked, weights, part.estimand, scale)
    if isinstance(found, NotEstimable):
        return found.reason
    return "" if min(sign * found.low, sign * found.high) > 0 else "scale dependent: not so in logits"


def _points(found: Interval) -> str:
    return f"{100 * found.value:+.1f} points [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"


def _judge_course(course: Course, evidence: Evidence) -> Judged:
    """Counts the conditions that do it and those that don't; a verdict needs replicates, since one run's wander looks
    like it.
    """
    paths = evidence.pooled(course.groups)
    if isinstance(paths, NotEstimable):
        return _no(paths.reason)
    noises = seed_noises(paths)
    did, did_not, total = 0, 0, 0
    for own in by_condition(paths).values():
        if len(own) < 2:
            return _no("one seed a condition: a dip is judged over seeds; run each condition with two or more")
        trajectory = condition_trajectory(own, noises.of(own[0]))
        if not isinstance(trajectory.dip, Dip):
            return _no(trajectory.dip.reason)
        regain = trajectory.regain_probability
        p = trajectory.dip.probability * (regain if isinstance(regain, float) else 0.0)
        did += p >= course.probability
        did_not += p <= 1 - course.probability
        total += 1
    told = f"{did} of {total} conditions did, {did_not} did not, each at P >= {course.probability:g}"
    told += f"; a share of {course.share:g} is asked for"
    if did >= course.share * total:
        return Judged("supported", told)
    if total - did_not < course.share * total:
        return Judged("refuted", told)
    return Judged("inconclusive", told)
