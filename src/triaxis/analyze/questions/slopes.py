"""Simple slopes (what a factor does within each level of another) and marginal means (the gain at each level)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import numpy as np

from triaxis.analyze.contrasts import Asked
from triaxis.analyze.design import Cells, Target, level_text, targets
from triaxis.analyze.effects import ESTIMANDS
from triaxis.analyze.evidence import Evidence
from triaxis.analyze.margins import (
    ESTIMAND_WORDS,
    NOT_CROSSED,
    Fitted,
    fits,
    head,
    margin,
    margins,
    no_fit,
    on_scales,
    refused,
)
from triaxis.stats.intervals import Floats
from triaxis.types import Estimand, Finding, Level

SLOPES, MEANS = "simple slopes", "marginal means"
MAX_SLOPES = 60  # contrasts a group and estimand; the pairs of factors past it are left out, and it is said
MAX_LEVELS = 12  # of a factor whose levels get a mean each


def findings(evidence: Evidence) -> list[Finding]:
    """Simple slopes and marginal means of every group, on every estimand and scale."""
    found: list[Finding] = []
    for asked in evidence.asked.values():
        for estimand in ESTIMANDS:
            fitted = fits(asked, estimand)
            found += _means(asked, fitted, estimand)
            found += _slopes(asked, fitted, estimand)
    return found


def _means(asked: Asked, fitted: list[Fitted], estimand: Estimand) -> list[Finding]:
    """The gain at each level of each factor, the other factors averaged evenly."""
    cells = asked.cells
    quantity = f"{ESTIMAND_WORDS[estimand]} at a level"
    if not cells.factors:
        return []
    if refusals := no_fit(fitted, head(asked, MEANS, quantity, cells.factors)):
        return refusals
    found: list[Finding] = []
    for name in cells.factors:
        if len(cells.levels[name]) > MAX_LEVELS:
            told = f"{name} has {len(cells.levels[name])} levels, more than {MAX_LEVELS}: no mean for each"
            found.append(refused(head(asked, MEANS, quantity, [name]), told))
            continue
        for level in cells.levels[name]:
            here = head(asked, MEANS, quantity, [name], level_text(level), {name: level})
            weights = margin(cells, {name: level})
            if weights is None:
                found.append(refused(here, NOT_CROSSED))
            else:
                found += on_scales(fitted, here, weights, tested=False, bounded=False)
    return found


def _slopes(asked: Asked, fitted: list[Fitted], estimand: Estimand) -> list[Finding]:
    """The effect of each factor within each level of each other one."""
    cells = asked.cells
    quantity = f"effect on the {ESTIMAND_WORDS[estimand]}"
    if len(cells.factors) < 2:
        return []
    if refusals := no_fit(fitted, head(asked, SLOPES, quantity, cells.factors)):
        return refusals
    found: list[Finding] = []
    left: list[str] = []
    n = 0
    main = [target for target in targets(cells)[0] if len(target.factors) == 1]
    pairs = list(permutations(cells.factors, 2))
    if not any(_crossed(cells, name, moderator) for name, moderator in pairs):
        return [refused(head(asked, SLOPES, quantity, cells.factors), NOT_CROSSED)]
    for name, moderator in pairs:
        here = head(asked, SLOPES, quantity, [name])
        wanted = [target for target in main if target.factors == (name,)]
        size = len(wanted) * len(cells.levels[moderator])
        if n + size > MAX_SLOPES:
            left.append(f"{name} within {moderator}")
            continue
        if not _crossed(cells, name, moderator):
            found.append(refused(here, f"within {moderator}: {NOT_CROSSED}"))
            continue
        n += size
        for target, level, weights in _within(cells, wanted, moderator):
            here = head(asked, SLOPES, quantity, [name], target.text, {moderator: level})
            found += on_scales(fitted, here, weights)
    if left:
        shown = ", ".join(left[:3]) + (" ..." if len(left) > 3 else "")
        told = f"{len(left)} pairs of factors are left out, being past {MAX_SLOPES} contrasts a group: {shown}"
        found.append(refused(head(asked, SLOPES, quantity, cells.factors), told))
    return found


def _crossed(cells: Cells, name: str, moderator: str) -> bool:
    """Whether each of their combinations was run with every combination of the others."""
    return all(margins(cells, name, {moderator: level}) is not None for level in cells.levels[moderator])


def _within(cells: Cells, wanted: list[Target], moderator: str) -> Iterator[tuple[Target, Level, Floats]]:
    """Each of a factor's contrasts within each level of the moderator, with its weights over cells."""
    for level in cells.levels[moderator]:
        for target in wanted:
            (name,) = target.factors
            rows = margins(cells, name, {moderator: level})
            if rows is not None:
                yield target, level, slope_weights(cells, target) @ rows


def slope_weights(cells: Cells, target: Target) -> Floats:
    """Weights over the levels of a factor: one level minus another or, of a number with many levels, the
    least-squares slope from its least to its largest.
    """
    (name,) = target.factors
    levels = cells.levels[name]
    if name in cells.identification.continuous:
        code = cells.design.codes[cells.factors.index(name)][:, 0]
        return np.asarray(code / (code @ code), dtype=np.float64)
    weights = np.zeros(len(levels))
    weights[levels.index(target.high[0])], weights[levels.index(target.low[0])] = 1.0, -1.0
    return weights
