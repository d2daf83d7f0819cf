"""The verdict on each claim: supported, refuted, inconclusive, or not testable with this design, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from triaxis.analyze.claims.bounds import at_bound, no_room, other_scale, shrunk_by_bound, sign_of, stuck
from triaxis.analyze.claims.conditions import Asking, confined, pairs, poles, unequal, weights_of
from triaxis.analyze.claims.forms import FORMS, of_bases
from triaxis.analyze.claims.numbers import contrast_of, is_gain, unit_of
from triaxis.analyze.claims.reading import Reading, Settled
from triaxis.analyze.claims.spec import Claim, Course, Part
from triaxis.analyze.evidence import Evidence
from triaxis.analyze.paths import by_condition
from triaxis.analyze.trajectories import condition_trajectory, seed_noises
from triaxis.stats.intervals import CONFIDENCE, Floats, holm
from triaxis.types import Decision, Dip, Interval, NotEstimable, Verdict

SEVERAL, SURER = 3, 0.95
ORDER: tuple[Decision, ...] = ("refuted", "not testable", "inconclusive", "supported")


@dataclass(frozen=True)
class Judged:
    """A part's decision with its estimate; `p` is doubled, so that it is below .05 where the part is supported."""

    decision: Decision
    reason: str
    estimate: Interval | None = None
    p: float | None = None
    n_runs: int = 0
    method: str = ""


def judge(claim: Claim, evidence: Evidence) -> Verdict:
    """The verdict on one claim. Parts are joined by intersection and union: all supported, or one refuted."""
    if claim.course is not None:
        return _verdict(claim, _judge_course(claim.course, evidence), None)
    parts = [_judge_part(part, evidence) for part in claim.parts]
    first = min(range(len(parts)), key=lambda i: ORDER.index(parts[i].decision))
    judged = parts[first]
    if len(parts) > 1:
        told = "; ".join(f"{_named(p)}: {found.reason}" for p, found in zip(claim.parts, parts, strict=True))
        judged = replace(judged, reason=judged.reason if judged.decision == "not testable" else told)
    known = [found.p for found in parts]
    tested = [p for p in known if p is not None]
    return _verdict(claim, replace(judged, p=max(tested) if len(tested) == len(known) else None), claim.parts[first])


def _named(part: Part) -> str:
    what = "" if part.estimand == "gain" else f"{part.estimand.replace('_', ' ')}, "
    sides = {name: side if isinstance(side, str) else " or ".join(map(str, side)) for name, side in part.within.items()}
    within = "".join(f" at {side} {name}" for name, side in sides.items())
    return f"{what}{', '.join(part.groups)}{within}"


def untestable(claim: Claim, reason: str) -> Verdict:
    """The verdict where there is nothing to judge by."""
    return _verdict(claim, _no(reason), claim.parts[0] if claim.parts else None)


def _verdict(claim: Claim, judged: Judged, part: Part | None) -> Verdict:
    return Verdict(
        claim=claim.id,
        statement=claim.statement,
        decision=judged.decision,
        reason=judged.reason,
        estimand=part.estimand if part is not None else claim.course.event if claim.course else "",
        smallest_effect=None if part is None or judged.decision == "not testable" else part.smallest_effect,
        estimate=judged.estimate,
        scale=unit_of(part) if part is not None else "probability",
        source=claim.source,
        excludes=tuple(claim.excludes),
        p=judged.p,
        n_runs=judged.n_runs,
        method=judged.method,
    )


def adjusted(claims: Sequence[Claim], found: Sequence[Verdict]) -> list[Verdict]:
    """With Holm's p over the tested claims of each family (Holm 1979)."""
    families = {claim.id: claim.family for claim in claims}
    out = list(found)
    for family in dict.fromkeys(families.values()):
        mine = [i for i, verdict in enumerate(found) if families[verdict.claim] == family and verdict.p is not None]
        for i, p in zip(mine, holm([found[i].p or 0.0 for i in mine]), strict=True):
            out[i] = replace(out[i], p_holm=p)
    return out


def _no(reason: str) -> Judged:
    return Judged("not testable", reason)


def _judge_part(part: Part, evidence: Evidence) -> Judged:
    """A part's decision; that nothing is there is not said where scores so near 0 or 1 could not show it."""
    asking = confined(part, evidence)
    if isinstance(asking, NotEstimable):
        return _no(asking.reason)
    judged = _of_form(asking) if part.form in FORMS else _of_contrast(asking)
    plain = part.form not in FORMS and is_gain(part.estimand)  # these look at each side's own scores
    return judged if plain else _with_room(asking, judged)


def _excluded(part: Part) -> Decision:
    """The decision that says that there is no such effect."""
    return "supported" if part.direction.startswith("not ") else "refuted"


def _of_form(asking: Asking) -> Judged:
    reading = FORMS[asking.part.form](asking)
    if isinstance(reading, Settled):
        return Judged(reading.decision, reading.reason, n_runs=len(asking.asked.paths), method=reading.method)
    return _no(reading.reason) if isinstance(reading, NotEstimable) else _decided(asking, reading)


def _of_contrast(asking: Asking) -> Judged:
    part = asking.part
    traits = [name for name in part.contrast if name.startswith("model.") and name in asking.asked.cells.described]
    if traits:
        readings = of_bases(asking, traits[0])
        judged = _no(readings.reason) if isinstance(readings, NotEstimable) else _one_of(asking, readings)
        return _with_room(asking, judged)
    if "any" in part.contrast.values():
        return _with_room(asking, _any_pair(asking))
    ends = poles(asking)
    if isinstance(ends, NotEstimable):
        return _no(ends.reason)
    asking = replace(asking, known=ends[1])
    weights = weights_of(asking, ends[0])
    if isinstance(weights, NotEstimable):
        return _no(weights.reason)
    if told := unequal(asking, weights):
        return _no(told)
    return _of_conditions(asking, weights)


def _with_room(asking: Asking, judged: Judged) -> Judged:
    """Not testable where nothing was found at the end of the scale."""
    bounded = unit_of(asking.part) == "points" and judged.decision == _excluded(asking.part)
    return _no(why) if bounded and (why := at_bound(asking)) else judged


def _of_conditions(asking: Asking, weights: Floats) -> Judged:
    """A contrast of conditions, with what floor and ceiling do to it."""
    part, asked = asking.part, asking.asked
    found = contrast_of(asking, weights)
    if isinstance(found, NotEstimable):
        return _no(found.reason)
    if is_gain(part.estimand) and (why := stuck(asking, weights)):
        return _no(why)
    few = any(name.startswith("model.") for name in (*part.contrast, *part.within))
    which = f"speaks of {'this base' if asked.n_bases == 1 else f'these {asked.n_bases} bases'}" if few else ""
    judged = _decided(asking, Reading.of(found, len(asked.paths)), which)
    if not is_gain(part.estimand):
        return judged
    if (
        judged.decision == "supported"
        and part.both_scales
        and (why := other_scale(asking, weights, 1.0 if found.value > 0 else -1.0))
    ):
        return replace(judged, decision="inconclusive", reason=f"{judged.reason}; {why}")
    excluded = _excluded(part)
    if judged.decision in (excluded, "inconclusive") and len(part.contrast) < 2 and (why := no_room(asking, weights)):
        return _no(why)
    if judged.decision == excluded and len(part.contrast) > 1 and (why := shrunk_by_bound(asking, weights)):
        return replace(judged, decision="inconclusive", reason=f"{judged.reason}; {why}")
    return judged


def _any_pair(asking: Asking) -> Judged:
    """Whether any two levels differ, each pair compared on its own."""
    found = pairs(asking)
    if isinstance(found, NotEstimable):
        return _no(found.reason)
    readings: list[Reading] = []
    for ends in found:
        weights = weights_of(asking, ends)
        if isinstance(weights, NotEstimable):
            return _no(weights.reason)
        if told := unequal(asking, weights):
            return _no(told)
        estimate = contrast_of(asking, weights)
        if isinstance(estimate, NotEstimable):
            return _no(estimate.reason)
        (pole,) = ends.values()
        readings.append(Reading.of(estimate, len(asking.asked.paths), f"{pole.this} against {pole.minus}"))
    return _one_of(asking, readings)


def _one_of(asking: Asking, readings: Sequence[Reading]) -> Judged:
    """One contrast as it is; of several, the clearest, with Bonferroni's level for support and none for a refutation
    (which needs every pair to be within the smallest effect: an intersection).
    """
    if len(readings) == 1:
        return _decided(asking, readings[0])
    strict = [_decided(asking, reading, tests=len(readings)) for reading in readings]
    best = min(strict, key=lambda judged: judged.p if judged.p is not None else 1.0)
    if best.decision == "supported":
        level = 100 * (1 - (1 - CONFIDENCE) / len(readings))
        return replace(best, reason=f"{best.reason}; interval at {level:.1f} %, for {len(readings)} pairs")
    plain = [_decided(asking, reading) for reading in readings]
    widest = max(plain, key=_reach)
    every = {judged.decision for judged in plain} == {"refuted"}
    told = f"{widest.reason}; the farthest from 0 of {len(readings)} pairs"
    return replace(widest, decision="refuted" if every else "inconclusive", reason=told, p=best.p)


def _reach(judged: Judged) -> float:
    """How far from 0 an effect may be."""
    return max(abs(judged.estimate.low), abs(judged.estimate.high)) if judged.estimate else 0.0


def _decided(asking: Asking, reading: Reading, *more: str, tests: int = 1) -> Judged:
    """Supported where the interval lies beyond the smallest effect in the claim's direction, refuted where it excludes
    an effect that large. A claim of no such effect is supported where it is excluded, and refuted where it is shown.
    """
    part = asking.part
    smallest, sign = part.smallest_effect, sign_of(part)
    found = reading.interval(tests)
    low, high = sorted((sign * found.low, sign * found.high))
    above, below = reading.tail(sign, smallest), reading.tail(-sign, smallest)
    beyond, within = low > smallest, high < smallest
    p = 2 * above
    if part.direction == "either":
        beyond, within = low > smallest or high < -smallest, -smallest < low and high < smallest
        p = 2 * min(above, below)
    elif part.direction.startswith("not "):
        beyond, within, p = within, beyond, 2 * (1 - above)
    decision: Decision = "supported" if beyond else "refuted" if within else "inconclusive"
    if decision == "supported" and reading.veto:
        decision = "inconclusive"
    told = [
        *([reading.told] if reading.told else []),
        f"{written(found, unit_of(part))}, smallest effect {amount(smallest, unit_of(part))}",
        *([asking.known] if asking.known else []),
        *filter(None, (*more, reading.veto)),
    ]
    return Judged(decision, "; ".join(told), found, min(1.0, tests * p), reading.n_runs, reading.method)


def written(found: Interval, unit: str) -> str:
    """An interval in its unit: points are hundredths of a score."""
    if unit == "points":
        return f"{100 * found.value:+.1f} points [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"
    return f"{found.value:+.2f} {unit} [{found.low:+.2f}, {found.high:+.2f}]"


def amount(value: float, unit: str) -> str:
    """A size in its unit."""
    return f"{100 * value:g} points" if unit == "points" else f"{value:g} {unit}"


def _judge_course(course: Course, evidence: Evidence) -> Judged:
    """Counts the conditions that do it and those that don't; a verdict needs replicates, since one run's wander looks
    like it.
    """
    paths = evidence.pooled(course.groups)
    if isinstance(paths, NotEstimable):
        return _no(paths.reason)
    noises = seed_noises(paths)
    did, did_not, total = 0, 0, 0
    conditions = by_condition(paths)
    # One condition or two decide by one or two dips: each must be surer than where several outvote a false one.
    asked = course.probability if len(conditions) >= SEVERAL else max(course.probability, SURER)
    for own in conditions.values():
        if len(own) < 2:
            return _no("one seed a condition: a dip is judged over seeds; run each condition with two or more")
        trajectory = condition_trajectory(own, noises.of(own[0]))
        if not isinstance(trajectory.dip, Dip):
            return _no(trajectory.dip.reason)
        regain = trajectory.regain_probability  # not estimable where a dip has hardly a chance: then that bounds it
        p = trajectory.dip.probability * (regain if isinstance(regain, float) else 1.0)
        did += p >= asked
        did_not += p <= 1 - asked
        total += 1
    told = f"{did} of {total} conditions did, {did_not} did not, each at P >= {asked:g}"
    told += f"; more than a share of {course.share:g} is asked for"
    decision: Decision = "inconclusive"
    if did > course.share * total:
        decision = "supported"
    elif total - did_not <= course.share * total:
        decision = "refuted"
    return Judged(decision, told, n_runs=len(paths), method="shape model over the seeds of each condition")
