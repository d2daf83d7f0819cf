"""Synergy: whether factors changed together give more than the sum of what each gives alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations, product

import numpy as np

from triaxis.analyze.contrasts import Asked
from triaxis.analyze.design import Target
from triaxis.analyze.estimands import looked_at
from triaxis.analyze.evidence import Evidence
from triaxis.analyze.margins import NOT_CROSSED, Fitted, fits, head, margin, no_fit, noted, on_scales, refused
from triaxis.stats.intervals import Floats
from triaxis.types import Finding, Interval, Level, NotEstimable

SYNERGY = "synergy"
BEYOND, OBSERVED, EXPECTED = "gain beyond the sum of its parts", "gain together", "gain expected of the sum"
MAX_CORNERS = 40  # pairs and triples a group; those past it are left out, and it is said
FEW = "synergy is asked of factors with two levels, and there are not two of them"


def findings(evidence: Evidence) -> list[Finding]:
    """The matched corner of every pair and triple of two-level factors against the sum of its parts, in every group.

    The corner is all second levels, in sorted order, and its parts are the single changes from all first levels. It is
    fixed before the data: a corner chosen for its score would hold the luck of the best. For a pair the sign is that
    of the interaction, whichever level is called the first; a triple at another corner is asked by a claim.
    """
    found: list[Finding] = []
    for asked in evidence.asked.values():
        found += _of_group(asked)
    return found


def corner_weights(asked: Asked, target: Target) -> dict[str, Floats] | NotEstimable:
    """Weights over cells for the corner `target.high` from `target.low`: beyond the sum, together, and expected.

    Together is the gain of the corner less that at all low levels; expected is the sum of the single changes from
    there; both leave out what all conditions gain. Beyond is their difference, for a pair its interaction.
    """
    low = dict(zip(target.factors, target.low, strict=True))
    high = dict(zip(target.factors, target.high, strict=True))
    start, corner = margin(asked.cells, low), margin(asked.cells, high)
    singles = [margin(asked.cells, {**low, name: high[name]}) for name in target.factors]
    there = [single for single in singles if single is not None]
    if start is None or corner is None or len(there) < len(singles):
        return NotEstimable(NOT_CROSSED)
    together = corner - start
    expected = np.sum(there, axis=0) - len(there) * start
    return {BEYOND: together - expected, OBSERVED: together, EXPECTED: expected}


def _of_group(asked: Asked) -> list[Finding]:
    cells = asked.cells
    if len(cells.factors) < 2:
        return []
    two = [name for name in cells.factors if len(cells.levels[name]) == 2]
    whole = head(asked, SYNERGY, BEYOND, two or cells.factors)
    if len(two) < 2:
        return [refused(whole, FEW)]
    fitted = fits(asked, "gain")
    if refusals := no_fit(fitted, whole):
        return refusals
    wanted = [names for k in (2, 3) for names in combinations(two, k)]
    found: list[Finding] = []
    for names in wanted[:MAX_CORNERS]:
        ends = [cells.levels[name] for name in names]
        target = Target(names, tuple(levels[1] for levels in ends), tuple(levels[0] for levels in ends))
        found += _corner(asked, fitted, target)
    if len(wanted) > MAX_CORNERS:
        told = f"{len(wanted) - MAX_CORNERS} of {len(wanted)} pairs and triples are left out, more than {MAX_CORNERS}"
        found.append(refused(whole, told))
    return found


def _corner(asked: Asked, fitted: Sequence[Fitted], target: Target) -> list[Finding]:
    """Beyond the sum, tested, with what was observed and what the sum expects, on both scales."""
    weights = corner_weights(asked, target)
    start = head(asked, SYNERGY, BEYOND, target.factors, target.text)
    if isinstance(weights, NotEstimable):
        return [replace(start, estimate=weights)]
    found: list[Finding] = []
    reach = _reach(asked, target)
    for quantity, each in weights.items():
        told = on_scales(fitted, replace(start, quantity=quantity), each, tested=quantity == BEYOND)
        found += [
            noted(one, reach) if one.unit == "points" and isinstance(one.estimate, Interval) else one for one in told
        ]
    return found


def _reach(asked: Asked, target: Target) -> str:
    """Whether the sum expects a score that can't be had in some condition of the others; "" where it can in all."""
    cell_of = asked.cells.cell_of
    scores = np.bincount(cell_of, weights=[looked_at(path, "gain") for path in asked.paths]) / np.bincount(cell_of)
    others = [name for name in asked.cells.factors if name not in target.factors]
    worst = 0.5
    for levels in product(*(asked.cells.levels[name] for name in others)):
        rest: dict[str, Level] = dict(zip(others, levels, strict=True))
        expected = _expected_score(asked, target, rest, scores)
        worst = expected if abs(expected - 0.5) > abs(worst - 0.5) else worst
    if 0 <= worst <= 1:
        return ""
    bound = "1: no score can be as high" if worst > 1 else "0: no score can be as low"
    return f"the sum expects a score of {worst:.2f}, beyond {bound}"


def _expected_score(asked: Asked, target: Target, rest: Mapping[str, Level], scores: Floats) -> float:
    """The score at the corner if effects added up, at these levels of the other factors."""
    low = {**rest, **dict(zip(target.factors, target.low, strict=True))}
    start = margin(asked.cells, low)
    assert start is not None
    expected = float(start @ scores)
    for name, level in zip(target.factors, target.high, strict=True):
        changed = margin(asked.cells, {**low, name: level})
        assert changed is not None
        expected += float((changed - start) @ scores)
    return expected
