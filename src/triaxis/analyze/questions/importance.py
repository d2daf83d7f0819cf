"""Which factors matter in a random design: the share of a forest's variance that each has, alone and in pairs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from triaxis.analyze.contrasts import Asked
from triaxis.analyze.effects import THIS_POOL
from triaxis.analyze.evidence import Evidence
from triaxis.analyze.margins import head, refused
from triaxis.analyze.questions.optimum import in_doublings, is_number
from triaxis.analyze.questions.surface import MANY_CONDITIONS, move_together, slope, units_of
from triaxis.stats.importance import Input, any_signal_p, forest, input_p, resampled_shares, shares
from triaxis.stats.intervals import CONFIDENCE, Floats
from triaxis.types import Finding, Interval, NotEstimable

IMPORTANCE = "importance"
ALONE, PAIR = "share of the forest's variance", "share of the forest's variance beyond the two alone"
LEAST_RUNS = 24
MAX_FACTORS, MAX_PAIRS = 12, 15  # by name and by share; those past them are left out, and it is said
TREES, FEW_TREES = 64, 10  # of the forest that is told, and of those that tell how sure it is
RESAMPLES, PERMUTATIONS = 60, 99
LEAST_SPREAD = 1e-9  # of gains; below it is rounding
NOT_FIXED = "the forest fits some noise: small shares and shares of pairs come out too large, others too small"
PAIR_NOTE = "pairs get a share where effects add up too: the response surface tests interactions"


def findings(evidence: Evidence) -> list[Finding]:
    """Shares of the variance of run gains, in points, for every group whose conditions are many or spread over a range.

    What the factors' ranges are decides what they can vary: a share speaks of these ranges, each level or each value in
    a range weighing the same.
    """
    found: list[Finding] = []
    for asked in evidence.asked.values():
        cells = asked.cells
        if cells.factors and (cells.identification.continuous or len(cells.design.levels) >= MANY_CONDITIONS):
            found += _of_group(asked, evidence.seed)
    return found


def _of_group(asked: Asked, seed: int) -> list[Finding]:
    whole = head(asked, IMPORTANCE, ALONE, asked.cells.factors)
    whole = replace(whole, unit="share", item_pool=THIS_POOL)
    names = asked.cells.factors
    if len(names) > MAX_FACTORS:
        return [refused(whole, f"{len(names)} factors, more than {MAX_FACTORS}: too many for their runs")]
    if len(asked.paths) < LEAST_RUNS:
        return [refused(whole, f"{len(asked.paths)} runs: a forest asks for {LEAST_RUNS} or more")]
    if why := move_together(asked.cells, [slope(asked.cells, name) for name in names]):
        return [refused(whole, why)]
    units = units_of(asked, "points")
    if isinstance(units, NotEstimable):
        return [replace(whole, estimate=units)]
    if np.ptp(units.values) < LEAST_SPREAD:
        return [refused(whole, "the runs do not vary: there is nothing to share out")]
    inputs, x = _coded(asked, units.values)
    order = np.lexsort((units.values, *x.T))  # of runs: rows in another order change nothing
    x, y = x[order], units.values[order]
    p = any_signal_p(inputs, x, y, FEW_TREES, PERMUTATIONS, seed=seed)
    if p > 1 - CONFIDENCE:
        told = f"a forest predicts runs that it has not seen no better than chance (permutation p = {p:.2g})"
        return [refused(whole, f"{told}: shares of nothing would be made up")]
    return _shares(asked, whole, inputs, x, y, seed)


def _shares(asked: Asked, whole: Finding, inputs: list[Input], x: Floats, y: Floats, seed: int) -> list[Finding]:
    names = asked.cells.factors
    of_all = shares(inputs, forest(inputs, x, y, TREES, seed))
    spread = resampled_shares(inputs, x, y, FEW_TREES, RESAMPLES, seed=seed)
    kept = sorted((key for key in of_all if len(key) == 2), key=lambda key: (-of_all[key], key))
    found: list[Finding] = []
    for key in [*(key for key in of_all if len(key) == 1), *kept[:MAX_PAIRS]]:
        alone = len(key) == 1
        here = head(asked, IMPORTANCE, ALONE if alone else PAIR, [names[i] for i in key])
        found.append(
            replace(
                here,
                unit="share",
                item_pool=THIS_POOL,
                estimate=_interval(of_all[key], spread[key]),
                p=input_p(inputs, x, y, key[0], FEW_TREES, PERMUTATIONS, seed) if alone else None,
                method=f"functional ANOVA of a random forest of {TREES} trees; bootstrap over runs"
                + (f"; p by {PERMUTATIONS} permutations of the factor" if alone else ""),
                note=NOT_FIXED if alone else f"{NOT_FIXED}; {PAIR_NOTE}",
            )
        )
    if left := kept[MAX_PAIRS:]:
        rest = sum(of_all[key] for key in left)
        told = f"the {len(left)} pairs of smallest share are left out, being past {MAX_PAIRS}: together {rest:.2f}"
        found.append(refused(replace(whole, quantity=PAIR), told))
    return found


def _interval(share: float, resampled: Floats) -> Interval:
    """The middle 95 % of the resamples, stretched to hold the share: a resample repeats runs, and shifts."""
    low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(share, min(float(low), share), max(float(high), share))


def _coded(asked: Asked, values: Floats) -> tuple[list[Input], Floats]:
    """The factors as a forest sees them, and the runs' levels: runs x factors.

    A number that is taken as continuous is scaled to [0, 1], in its logarithm where that is natural. Texts are numbered
    by the mean of their runs, so that their names don't matter.
    """
    cells = asked.cells
    inputs: list[Input] = []
    columns: list[Floats] = []
    for i, name in enumerate(cells.factors):
        at = cells.design.levels[cells.cell_of, i]
        levels = cells.levels[name]
        if name in cells.identification.continuous:
            x = np.array([float(level) for level in levels])
            x = np.log2(x) if in_doublings(levels) else x
            inputs.append(Input(None))
            columns.append(((x - x.min()) / np.ptp(x))[at])
            continue
        rank = np.arange(len(levels))
        if not is_number(cells, name):
            means = np.bincount(at, weights=values) / np.bincount(at)
            rank = np.argsort(np.argsort(means, kind="stable"), kind="stable")
        inputs.append(Input(len(levels), ordered=is_number(cells, name)))
        columns.append(rank[at].astype(np.float64))
    return inputs, np.column_stack(columns)
