"""Contrasts of a group's runs: summaries fitted to the cells of the design, and the errors that a contrast carries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from triaxis.analyze.design import Cells, make_cells
from triaxis.analyze.estimands import Summary, summarise
from triaxis.analyze.paths import Path
from triaxis.stats.effects import Contrasts, Estimate, Units
from triaxis.stats.intervals import Floats, t_interval
from triaxis.stats.paired import Strata
from triaxis.types import Estimand, Interval, NotEstimable, Scale

ONE_SEED = "one seed a condition: nothing tells the factor from the seed; run each condition with two or more seeds"
OTHER_TASKS = "no task is there in every run: their scores can't be compared"


@dataclass(frozen=True, eq=False)
class Asked:
    """The runs of one group with their design, ready to be contrasted."""

    paths: tuple[Path, ...]
    cells: Cells
    shared_items: bool

    @classmethod
    def of(cls, paths: Sequence[Path]) -> Asked:
        first = paths[0]
        shared = all(p.items == first.items and p.x is not None for p in paths)
        return cls(tuple(paths), make_cells([path.condition for path in paths]), shared)

    @property
    def step(self) -> int | None:
        ends = {path.steps[-1] for path in self.paths}
        return ends.pop() if len(ends) == 1 else None

    @property
    def n_bases(self) -> int:
        return len({path.base for path in self.paths})


def summaries(paths: Sequence[Path], estimand: Estimand, scale: Scale) -> list[Summary] | NotEstimable:
    """Every run's summary, or the first reason why one has none."""
    found = [summarise(path, estimand, scale) for path in paths]
    bad = [(path.run, s.reason) for path, s in zip(paths, found, strict=True) if isinstance(s, NotEstimable)]
    if not bad:
        return [s for s in found if isinstance(s, Summary)]
    run, reason = bad[0]
    return NotEstimable(reason if len(bad) == len(paths) else f"run {run}: {reason}")


def fit_runs(asked: Asked, of_runs: list[Summary] | NotEstimable, scale: Scale) -> Contrasts | NotEstimable:
    if isinstance(of_runs, NotEstimable):
        return of_runs
    if len({path.tasks for path in asked.paths}) > 1:
        return NotEstimable(OTHER_TASKS)
    per_item = None
    if asked.shared_items:
        per_item = np.array([s.per_item for s in of_runs if s.per_item is not None])
    strata = asked.paths[0].strata
    values = np.array([s.value for s in of_runs])
    fit = Contrasts(Units(values, asked.cells.cell_of, per_item, strata, pseudo(strata, scale)))
    return fit if fit.df > 0 else NotEstimable(ONE_SEED)


def pseudo(strata: Strata | None, scale: Scale) -> float:
    """The least variance of a run's gain, base and checkpoint; in logits the counts are smoothed already."""
    return 2 * strata.pseudo if strata is not None and scale == "points" else 0.0


def cell_contrast(asked: Asked, weights: Floats, estimand: Estimand, scale: Scale) -> Interval | NotEstimable:
    """The interval of any contrast of the design's cells, as `effect` would give it."""
    fit = fit_runs(asked, summaries(asked.paths, estimand, scale), scale)
    if isinstance(fit, NotEstimable):
        return fit
    return interval_of(asked, fit, weights, estimand, scale)[0]


def interval_of(
    asked: Asked, fit: Contrasts, weights: Floats, estimand: Estimand, scale: Scale
) -> tuple[Interval | NotEstimable, Estimate | None]:
    """Interval and estimate of a contrast of cells; not testable in logits where a condition is at the ceiling."""
    low, high = extremes(asked, weights, estimand)
    if scale == "logit" and (low <= 0 or high >= 1):
        return NotEstimable("not testable: ceiling (a condition is at 0 or 1 in every run)"), None
    found = fit.estimate(weights)
    if not found.items:
        extra = _base_variance(asked, fit, weights, scale)
        if np.isnan(extra):
            return NotEstimable("base rows without n_items: the error of a contrast across bases is not known"), None
        found = replace(found, variance=replace(found.variance, value=found.variance.value + extra))
    return t_interval(found.value, found.variance.value, found.variance.df), found


def extremes(asked: Asked, weights: Floats, estimand: Estimand) -> tuple[float, float]:
    """Lowest and highest score of a condition in the contrast, over its runs, where the estimand looks."""
    by_cell: dict[int, list[float]] = defaultdict(list)
    for path, cell in zip(asked.paths, asked.cells.cell_of, strict=True):
        scores = path.scores[1:] if path.has_base and len(path.steps) > 1 else path.scores
        by_cell[int(cell)].append(
            float(scores.mean() if estimand == "mean" else scores.max() if estimand == "best" else scores[-1])
        )
    levels = [float(np.mean(by_cell[cell])) for cell in by_cell if weights[cell] != 0]
    return min(levels), max(levels)


def _base_variance(asked: Asked, fit: Contrasts, weights: Floats, scale: Scale) -> float:
    """Error of the bases' own scores in a contrast across bases, which cancels within one; NaN where it is unknown."""
    share: dict[str, float] = defaultdict(float)
    variance: dict[str, float] = {}
    for path, cell in zip(asked.paths, asked.cells.cell_of, strict=True):
        share[path.base] += float(weights[cell] / fit.counts[cell])
        slope = 1.0 if scale == "points" else 1 / max(float(path.scores[0] * (1 - path.scores[0])), 0.01)
        variance[path.base] = float(path.variances[0]) * slope**2
    return sum(share[base] ** 2 * variance[base] for base in share if abs(share[base]) > 1e-9)
