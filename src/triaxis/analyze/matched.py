"""Levels of one factor set against each other like with like, run by run or over bases: the others are matched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from triaxis.analyze.bases import ENOUGH_BASES, LOPSIDED
from triaxis.analyze.contrasts import (
    LEAST_VARIANCE,
    NO_ERROR,
    Asked,
    base_of,
    extremes,
    interval_of,
)
from triaxis.analyze.design import Cells, level_text, make_cells
from triaxis.analyze.estimands import Summary
from triaxis.stats.correlation import Outcomes, regress
from triaxis.stats.effects import Contrasts, Estimate
from triaxis.stats.intervals import Floats, t_interval, t_p_value
from triaxis.types import Finding, Interval, Level, NotEstimable, Scale

ITEMS = {True: "items like these", False: "this item pool"}


@dataclass(frozen=True, eq=False)
class Matched:
    """For each level its weights over cells, which sum to 1: the other factors have the same mixture at every level."""

    weights: Mapping[Level, Floats]

    def contrast(self, of: Mapping[Level, float]) -> Floats:
        """Weights over cells of a sum of levels."""
        parts = [size * self.weights[level] for level, size in of.items()]
        return np.asarray(np.sum(parts, axis=0), dtype=np.float64)


def matched(
    cells: Cells, factor: str, levels: Sequence[Level], within: Mapping[str, Level] | None = None
) -> Matched | NotEstimable:
    """The levels' weights, no model of the other factors assumed; `within` confines the others to a level each."""
    within = within or {}
    for name in (factor, *within):
        if name not in cells.factors:
            return NotEstimable(cells.described.get(name, f"the design doesn't vary {name}"))
    if lacking := [level for level in levels if level not in cells.levels[factor]]:
        return NotEstimable(f"{factor} has no level {level_text(lacking[0])} here")
    place = cells.factors.index(factor)
    rest = [i for i in range(len(cells.factors)) if i != place]
    by_rest: dict[tuple[int, ...], dict[Level, int]] = {}
    for cell, codes in enumerate(cells.design.levels):
        at = {cells.factors[i]: cells.levels[cells.factors[i]][codes[i]] for i in rest}
        if any(at[name] != level for name, level in within.items()):
            continue
        by_rest.setdefault(tuple(codes[rest]), {})[cells.levels[factor][codes[place]]] = cell
    whole = [own for own in by_rest.values() if all(level in own for level in levels)]
    if not whole:
        where = "".join(f", {name} {level_text(level)}" for name, level in within.items())
        named = ", ".join(level_text(level) for level in levels[:4]) + (" ..." if len(levels) > 4 else "")
        return NotEstimable(f"{factor}: no combination of the other factors has all of {named}{where}")
    weights = {level: np.zeros(len(cells.design.levels)) for level in levels}
    for own in whole:
        for level in levels:
            weights[level][own[level]] = 1.0 / len(whole)
    return Matched(weights)


def answered(
    asked: Asked, fit: Contrasts | NotEstimable, weights: Floats | NotEstimable, finding: Finding, scale: Scale
) -> Finding:
    """The finding with the interval, p and sample of a contrast of cells, or with the reason why there is none."""
    first = asked.paths[0]
    finding = replace(finding, group=first.group, source=first.source, mode=first.mode)
    for reason in (weights, fit):
        if isinstance(reason, NotEstimable):
            return replace(finding, estimate=reason, n_runs=len(asked.paths), n_units=len(asked.paths))
    assert not isinstance(fit, NotEstimable) and not isinstance(weights, NotEstimable)
    n = int(fit.counts[weights != 0].sum())
    finding = replace(finding, n_runs=n, n_units=n)
    interval, found = interval_of(asked, fit, weights, "gain", scale)
    if isinstance(interval, NotEstimable) or found is None:
        return replace(finding, estimate=interval)
    of_bases = any(name.startswith("model.") for name in (*finding.factors, *finding.within))
    return replace(
        finding,
        estimate=interval,
        p=t_p_value(found.value, found.variance.value, found.variance.df),
        sampled="run (these bases)" if of_bases else "run",
        item_pool=ITEMS[found.items],
        method=_method(scale, found),
        note="; ".join(filter(None, [finding.note, _ceiling(asked, weights, finding, scale), _partial(asked.cells)])),
    )


def _partial(cells: Cells) -> str:
    """That a design lacks combinations, where it does: then fewer of them are compared."""
    whole = int(np.prod([len(cells.levels[name]) for name in cells.factors]))
    run = len(cells.design.levels)
    if run == whole:
        return ""
    return f"{run} of {whole} combinations were run: only those that have every level compared enter"


def _method(scale: Scale, found: Estimate) -> str:
    what = "run gains" if scale == "points" else "run logits (counts + 1/2)"
    items = "crossed with items" if found.items else "items fixed"
    return f"matched condition means of {what}, Welch, {items}, t with {found.variance.df:.1f} df"


def _ceiling(asked: Asked, weights: Floats, finding: Finding, scale: Scale) -> str:
    """Where an interaction in points may be the ceiling's."""
    low, high = extremes(asked, weights, "gain")
    return "ceiling" if len(finding.factors) > 1 and scale == "points" and (low < 0.1 or high > 0.9) else ""


@dataclass(frozen=True, eq=False)
class OfBases:
    """A number a base: a contrast of the factors that are no base's, or their mean, over its runs."""

    bases: tuple[tuple[object, ...], ...]  # as `contrasts.base_of` tells them
    names: tuple[str, ...]
    outcomes: Outcomes
    n_runs: int


def of_bases(
    asked: Asked, of_runs: Sequence[Summary], contrast: Callable[[Cells], Floats | NotEstimable]
) -> OfBases | NotEstimable:
    """Each base's contrast over the cells of the other factors, all of which every base must have."""
    plain = [name for name in asked.cells.factors if not name.startswith("model.")]
    cells = make_cells([{name: path.condition[name] for name in plain} for path in asked.paths])
    weights = contrast(cells)
    if isinstance(weights, NotEstimable):
        return weights
    rows: dict[tuple[object, ...], list[int]] = {}
    for i, path in enumerate(asked.paths):
        rows.setdefault(base_of(path), []).append(i)
    values, per_item, n_runs = [], [], 0
    for own in rows.values():
        at = cells.cell_of[own]
        counts = np.bincount(at, minlength=len(weights))
        if (counts[weights != 0] == 0).any():
            return NotEstimable(LOPSIDED)
        share = weights[at] / counts[at]
        n_runs += int((share != 0).sum())
        values.append(float(share @ np.array([of_runs[i].value for i in own])))
        if asked.shared_items:
            per_item.append(share @ np.array([of_runs[i].per_item for i in own]))
    items = np.array(per_item) if asked.shared_items else None
    names = tuple(asked.paths[own[0]].base for own in rows.values())
    return OfBases(tuple(rows), names, Outcomes(np.array(values), items, asked.paths[0].strata), n_runs)


def evenly(cells: Cells) -> Floats:
    """The mean over all cells."""
    return np.full(len(cells.design.levels), 1.0 / len(cells.design.levels))


def enough_bases(n: int, what: str) -> NotEstimable | None:
    """Why so few bases carry no statement about bases; None from eight on."""
    if n >= ENOUGH_BASES:
        return None
    return NotEstimable(f"{what} is a statement about bases: it needs {ENOUGH_BASES} of them, here {n}")


def slopes(covariates: Floats, of: OfBases) -> list[tuple[Interval, float, Estimate]] | NotEstimable:
    """Interval, p and estimate of the slope on each covariate (bases x columns), the base as the unit."""
    try:
        found = regress(covariates, of.outcomes)
    except ValueError as error:
        return NotEstimable(str(error))
    if any(one.variance.value < LEAST_VARIANCE for one in found):
        return NotEstimable(NO_ERROR)
    return [(t_interval(e.value, e.variance.value, e.variance.df), _p(e), e) for e in found]


def _p(found: Estimate) -> float:
    return t_p_value(found.value, found.variance.value, found.variance.df)


def regressed(finding: Finding, found: tuple[Interval, float, Estimate], of: OfBases) -> Finding:
    """The finding with a slope over bases."""
    interval, p, estimate = found
    items = "crossed with items" if estimate.items else "items fixed"
    return replace(
        finding,
        estimate=interval,
        p=p,
        sampled="base",
        n_units=len(of.bases),
        n_runs=of.n_runs,
        item_pool=ITEMS[estimate.items],
        method=f"least squares over bases, {items}, t with {estimate.variance.df:.1f} df",
    )
