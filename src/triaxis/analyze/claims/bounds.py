"""What floor and ceiling do to a verdict: near 0 and 1 effects in points are small whatever the factor does."""

from __future__ import annotations

import numpy as np

from triaxis.analyze.claims.conditions import Asking
from triaxis.analyze.claims.numbers import contrast_of
from triaxis.analyze.claims.spec import Part
from triaxis.analyze.contrasts import extremes
from triaxis.analyze.estimands import looked_at
from triaxis.stats.intervals import Floats, t_interval
from triaxis.types import Estimand, Interval, NotEstimable

NEAR_BOUND = 0.1  # of 0 or 1: there an interaction in points may be the bound's
LOGITS_A_SCORE = 4.0  # the slope of the logit at a score of one half


def _estimand(asking: Asking) -> Estimand:
    found: Estimand = asking.part.estimand  # type: ignore[assignment]  # asked of gains only
    return found


def sign_of(part: Part) -> float:
    """The sign of the effect that a part speaks of."""
    return -1.0 if part.direction in ("negative", "not negative") else 1.0


def _sides(asking: Asking) -> tuple[float, ...]:
    """The signs that the claim looks for: a claim of a difference looks both ways."""
    return (1.0, -1.0) if asking.part.direction == "either" else (sign_of(asking.part),)


def stuck(asking: Asking, weights: Floats) -> str:
    """Why an interaction can't be tested: a condition is at the bound; empty where it can."""
    if len(asking.part.contrast) < 2:
        return ""
    low, high = extremes(asking.asked, weights, _estimand(asking))
    return "ceiling: a condition is at 0 or 1 in every run" if low <= 0 or high >= 1 else ""


def no_room(asking: Asking, weights: Floats) -> str:
    """Why scores so near 0 or 1 could not show the smallest effect, though it were there; empty where they could."""
    reasons = [_no_room(asking, weights, sign) for sign in _sides(asking)]
    return reasons[0] if all(reasons) else ""


def _no_room(asking: Asking, weights: Floats, sign: float) -> str:
    part, asked = asking.part, asking.asked
    if part.contrast:
        scores = np.array([looked_at(path, _estimand(asking)) for path in asked.paths])
        unit = weights / max(float(weights.clip(min=0).sum()), 1e-12)  # of a doubling the weights sum to less than 1
        smallest = part.smallest_effect / max(float(weights.clip(min=0).sum()), 1e-12)
        toward = (sign * unit / np.bincount(asked.cells.cell_of))[asked.cells.cell_of]
        upper = float((scores * toward.clip(min=0)).sum())  # where the claim expects the higher scores
        lower = float(-(scores * toward.clip(max=0)).sum())
        too_low, too_high, what = upper < smallest, lower > 1 - smallest, "the scores are"
    else:
        base = float(np.mean([path.scores[0] for path in asked.paths]))
        too_low = sign < 0 and base < part.smallest_effect
        too_high = sign > 0 and base > 1 - part.smallest_effect
        what = "the base is"
    size = f"{100 * part.smallest_effect:g} points"
    if too_low:
        return f"floor: {what} so near 0 that an effect of {size} could not show"
    return f"ceiling: {what} so near 1 that an effect of {size} could not show" if too_high else ""


def at_bound(asking: Asking) -> str:
    """Why an effect on the score could not show: the runs' last scores lie within the smallest effect of 0 or 1."""
    last = float(np.mean([path.scores[-1] for path in asking.asked.paths]))
    smallest = asking.part.smallest_effect
    if smallest <= last <= 1 - smallest:
        return ""
    end = "floor: the scores are so near 0" if last < smallest else "ceiling: the scores are so near 1"
    return f"{end} that an effect of {100 * smallest:g} points could not show"


def shrunk_by_bound(asking: Asking, weights: Floats) -> str:
    """Why points alone don't refute near 0 or 1, where the bound shrinks them; empty where the logits refute too.

    The smallest effect in logits is what it is at a score of one half: four times as large.
    """
    low, high = extremes(asking.asked, weights, _estimand(asking))
    if low >= NEAR_BOUND and high <= 1 - NEAR_BOUND:
        return ""
    found = _in_logits(asking, weights)
    if isinstance(found, NotEstimable):
        return f"ceiling: a condition is outside .1 to .9, and in logits {found.reason}"
    limit = LOGITS_A_SCORE * asking.part.smallest_effect
    if all(max(sign * found.low, sign * found.high) < limit for sign in _sides(asking)):
        return ""
    return "ceiling: a condition is outside .1 to .9, and the logits do not exclude the effect"


def other_scale(asking: Asking, weights: Floats, sign: float) -> str:
    """Why the logit scale doesn't bear the points out, which have this sign; empty where it does."""
    found = _in_logits(asking, weights)
    if isinstance(found, NotEstimable):
        return found.reason
    return "" if min(sign * found.low, sign * found.high) > 0 else "scale dependent: not so in logits"


def _in_logits(asking: Asking, weights: Floats) -> Interval | NotEstimable:
    found = contrast_of(asking, weights, "logit")
    if isinstance(found, NotEstimable):
        return found
    return t_interval(found.value, found.variance.value, found.variance.df)
