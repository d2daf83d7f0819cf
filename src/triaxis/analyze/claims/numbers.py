"""What a claim looks at in a run: one number, item by item where it has items, and on both scales where it has two."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import log2
from typing import TypeGuard

import numpy as np

from triaxis.analyze.claims.conditions import Asking
from triaxis.analyze.claims.spec import Part, Quantity
from triaxis.analyze.contrasts import NO_ERROR, fit_runs, interval_of, summaries
from triaxis.analyze.effects import ESTIMANDS
from triaxis.analyze.estimands import Summary, best_of_others
from triaxis.analyze.paths import Path
from triaxis.analyze.questions.growth import late_minus_early
from triaxis.analyze.questions.length import measure_change
from triaxis.analyze.questions.reliance import NO_VARIANT, reliances
from triaxis.analyze.run_numbers import Number, between_conditions, change, each, weighted
from triaxis.stats.effects import Estimate
from triaxis.stats.intervals import Floats
from triaxis.stats.paired import Variance
from triaxis.types import Estimand, Interval, NotEstimable, Scale

MEMORISED = 0.99  # token accuracy from which on training has little left to fit (arXiv:2602.11149: "nears 1")
DOMAIN_SHARE = 0.9  # of the in-domain gain that every run reaches: where runs are compared at equal in-domain gain
ROUNDING = 0.01  # doublings: the least sd of a run's length or loss, where seeds agree by chance

Numbers = list[Number] | NotEstimable


def is_gain(quantity: Quantity) -> TypeGuard[Estimand]:
    """Whether it is a gain as effects look at it, on either scale."""
    return quantity in ESTIMANDS


def unit_of(part: Part) -> str:
    """What a part's effect is measured in: points of score, doublings, or what its form compares."""
    return _UNITS.get(part.form, "doublings" if part.estimand in _IN_DOUBLINGS else "points")


def contrast_of(asking: Asking, weights: Floats, scale: Scale = "points") -> Estimate | NotEstimable:
    """The contrast of conditions, with its variance between runs and, where there are items, over items."""
    asked, quantity = asking.asked, asking.part.estimand
    if is_gain(quantity):
        fit = fit_runs(asked, summaries(asked, quantity, scale), quantity, scale)
        if isinstance(fit, NotEstimable):
            return fit
        interval, found = interval_of(asked, fit, weights, quantity, scale)
        if isinstance(interval, Interval) and found is not None:
            return found
        return interval if isinstance(interval, NotEstimable) else NotEstimable(NO_ERROR)
    numbers = _QUANTITIES[quantity](asking)
    if isinstance(numbers, NotEstimable):
        return numbers
    answer = between_conditions(asked, numbers, weights)
    if isinstance(answer.estimate, NotEstimable):
        return answer.estimate
    return Estimate(answer.estimate.value, Variance(answer.variance, answer.df), answer.items)


def run_summaries(asking: Asking) -> list[Summary] | NotEstimable:
    """The number of every run, for what is no contrast of conditions."""
    quantity = asking.part.estimand
    if is_gain(quantity):
        return summaries(asking.asked, quantity, "points")
    numbers = _QUANTITIES[quantity](asking)
    return numbers if isinstance(numbers, NotEstimable) else [number.summary for number in numbers]


def _late(asking: Asking) -> Numbers:
    """The score at the last checkpoint minus that after an eighth of the run's steps."""
    return each(asking.asked.paths, late_minus_early)


def _fall(asking: Asking) -> Numbers:
    """What was lost after the best checkpoint, which other seeds and other items have chosen."""
    asked = asking.asked
    if not asked.common_steps:
        return NotEstimable("the runs share no trained checkpoint: their best can't be compared")
    found: list[Number] = []
    for path, best in zip(asked.at_common_steps, best_of_others(asked.at_common_steps, "points"), strict=True):
        end = change(path, len(path.steps) - 1)
        if isinstance(best, NotEstimable) or isinstance(end, NotEstimable):
            return best if isinstance(best, NotEstimable) else NotEstimable(f"run {path.run}: {end}")
        top = Number(best.value, best.per_item, end.strata, end.items, end.least, end.own, end.base)
        found.append(weighted([top, end], (1.0, -1.0)))
    return found


def _memorised(after: bool) -> Callable[[Asking], Numbers]:
    """The gain up to the checkpoint at which the training tokens are known, or from there to the end.

    Token accuracy is measured on the training data: choosing the checkpoint by it leaves the score without bias.
    """

    def of(path: Path) -> Number | NotEstimable:
        known = path.measures["token_accuracy"]
        if len(known) < 2 or np.isnan(known[1:]).any():
            return NotEstimable("token_accuracy was not measured at every checkpoint")
        rows = [row for row in range(1, len(known)) if known[row] >= MEMORISED]
        if not rows or rows[0] == len(known) - 1:
            return NotEstimable(f"training token accuracy reaches {MEMORISED:g} at no checkpoint before the last")
        return change(path, len(known) - 1, rows[0]) if after else change(path, rows[0])

    return lambda asking: each(asking.asked.paths, of)


def _at_equal_domain(asking: Asking) -> Numbers:
    """The gain where the in-domain gain first reaches what every run reaches: between checkpoints, by a straight line
    in log step. Its items are others than those of the score, so that choosing by it leaves the score without bias.
    """
    domain = asking.evidence.pooled(["in_domain"])
    if isinstance(domain, NotEstimable):
        return domain
    by_run = {path.run: path for path in domain}
    if any(path.run not in by_run or not by_run[path.run].has_base or not path.has_base for path in asking.asked.paths):
        return NotEstimable("a run has no in-domain scores with a base")
    own = [by_run[path.run] for path in asking.asked.paths]
    reached = min(float((path.scores[1:] - path.scores[0]).max()) for path in own)
    if reached <= 0:
        return NotEstimable("a run gains nothing in the domain: runs can't be compared at equal in-domain gain")
    return each(asking.asked.paths, lambda path: _where(path, by_run[path.run], DOMAIN_SHARE * reached))


def _where(path: Path, domain: Path, wanted: float) -> Number | NotEstimable:
    if path.steps != domain.steps:
        return NotEstimable("its in-domain checkpoints are others than those of the group")
    gains = domain.scores - domain.scores[0]
    row = int((gains >= wanted).argmax())
    share = float((wanted - gains[row - 1]) / (gains[row] - gains[row - 1]))
    after, before = change(path, row), change(path, row - 1) if row > 1 else None
    if isinstance(after, NotEstimable) or isinstance(before, NotEstimable):
        return after if isinstance(after, NotEstimable) else NotEstimable("no trained checkpoint")
    if before is None:
        return weighted([after], [share])
    return replace(weighted([after, before], (share, 1 - share)), base=after.base)  # one base, measured once


def _reliance(asking: Asking) -> Numbers:
    """The gain on tasks minus that on their surface variants."""
    of_runs = reliances(asking.evidence)
    return each(asking.asked.paths, lambda path: of_runs.get(path.run, NotEstimable(NO_VARIANT)))


def _growth(name: str) -> Callable[[Asking], Numbers]:
    """Doublings of a count from the base to the last checkpoint, with the error of the base's own mean."""

    def of(path: Path) -> Number | NotEstimable:
        found = measure_change(path, name)
        return found if isinstance(found, NotEstimable) else replace(found, least=ROUNDING**2)

    return lambda asking: each(asking.asked.paths, of)


def _level(name: str) -> Callable[[Asking], Numbers]:
    """log2 of a measurement at the last checkpoint."""

    def of(path: Path) -> Number | NotEstimable:
        value = float(path.measures[name][-1])
        if not value > 0:
            return NotEstimable(f"{name} was not measured at the last checkpoint, or is not above 0")
        return Number(log2(value), least=ROUNDING**2)

    return lambda asking: each(asking.asked.paths, of)


_QUANTITIES: Mapping[str, Callable[[Asking], Numbers]] = {
    "late": _late,
    "fall": _fall,
    "at_equal_domain": _at_equal_domain,
    "until_memorised": _memorised(after=False),
    "after_memorised": _memorised(after=True),
    "reliance": _reliance,
    "response_tokens": _growth("response_tokens"),
    "verified_steps": _growth("verified_steps"),
    "loss": _level("loss"),
    "sharpness": _level("sharpness"),
}
_IN_DOUBLINGS = ("response_tokens", "verified_steps", "loss", "sharpness")
_UNITS = {"shift": "doublings", "rival": "correlation"}
