"""Contrasts of a group's runs: summaries fitted to the cells of the design, and the errors that a contrast carries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from triaxis.analyze.design import Cells, make_cells
from triaxis.analyze.estimands import Summary, at_steps, best_of_others, looked_at, responses, slope, summarise
from triaxis.analyze.paths import Path
from triaxis.stats.effects import Contrasts, Estimate, Ints, Units
from triaxis.stats.intervals import Floats, t_interval
from triaxis.stats.paired import Strata
from triaxis.study.axes import COURSE
from triaxis.types import Estimand, Interval, NotEstimable, Scale

ONE_SEED = "one seed a condition: nothing tells the factor from the seed; run each condition with two or more seeds"
OTHER_TASKS = "no task is there in every run: their scores can't be compared"
NO_ERROR = "the runs do not vary and there is no n_items: the error is not known; add n_items, or more seeds"
NO_COMMON_STEP = "the runs share no trained checkpoint: their best and their mean can't be compared"
CELL_CEILING = "not testable: ceiling (a condition is at 0 or 1 in every run)"
BASE_CEILING = "not testable: ceiling (a base with fewer than 3 right or wrong responses has no logit to speak of)"
ONE_TRUNK = "runs of a seed that differ in their course alone share their first steps: no replicates of each other"
NEAR = 3.0  # responses; with fewer the half that is added to them makes the logit
LEAST_VARIANCE = 1e-18  # below it is rounding


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

    @cached_property
    def trunks(self) -> Ints | None:
        """For each run the number of what it may have branched from: runs of one base, data, optimizer and seed, whose
        course alone differs, share their first steps, and with them their luck. None where no seeds are told.
        """
        if not any(path.seed for path in self.paths):
            return None
        numbers: dict[tuple[object, ...], int] = {}
        of = []
        for path in self.paths:
            read = sorted(((name, v) for name, v in path.condition.items() if name not in COURSE), key=str)
            of.append(numbers.setdefault((path.source, path.base, path.seed, *read), len(numbers)))
        return np.array(of, dtype=np.int64)

    @property
    def n_bases(self) -> int:
        return len({base_of(path) for path in self.paths})

    @cached_property
    def common_steps(self) -> tuple[int, ...]:
        """The trained steps that all runs share: a mean or a best over others compares schedules, not conditions."""
        return tuple(sorted(set.intersection(*(set(path.steps) for path in self.paths)) - {0}))

    @cached_property
    def at_common_steps(self) -> tuple[Path, ...]:
        return tuple(at_steps(path, self.common_steps) for path in self.paths)

    def looked_at(self, estimand: Estimand) -> tuple[Path, ...]:
        """The runs with the checkpoints that the estimand compares."""
        return self.paths if estimand == "gain" else self.at_common_steps


def base_of(path: Path) -> tuple[object, ...]:
    """What tells a run's base from others: its name and all that is said of it (a table may not name it)."""
    told = [(name, level) for name, level in path.condition.items() if name.startswith("model.")]
    return path.base, *sorted(told, key=str)


def summaries(asked: Asked, estimand: Estimand, scale: Scale) -> list[Summary] | NotEstimable:
    """Every run's summary, or the first reason why one has none."""
    paths = asked.looked_at(estimand)
    if estimand != "gain" and not asked.common_steps:
        return NotEstimable(NO_COMMON_STEP)
    one_by_one = estimand != "best"
    found = [summarise(path, estimand, scale) for path in paths] if one_by_one else best_of_others(paths, scale)
    bad = [(path.run, s.reason) for path, s in zip(paths, found, strict=True) if isinstance(s, NotEstimable)]
    if not bad:
        return [s for s in found if isinstance(s, Summary)]
    run, reason = bad[0]
    return NotEstimable(reason if len(bad) == len(paths) else f"run {run}: {reason}")


def fit_runs(
    asked: Asked, of_runs: list[Summary] | NotEstimable, estimand: Estimand, scale: Scale
) -> Contrasts | NotEstimable:
    if isinstance(of_runs, NotEstimable):
        return of_runs
    if len({path.tasks for path in asked.paths}) > 1:
        return NotEstimable(OTHER_TASKS)
    per_item = None
    if asked.shared_items:
        per_item = np.array([s.per_item for s in of_runs if s.per_item is not None])
    strata = asked.paths[0].strata
    values = np.array([s.value for s in of_runs])
    fit = Contrasts(Units(values, asked.cells.cell_of, per_item, strata, least(asked, estimand, scale), asked.trunks))
    return fit if fit.df > 0 else NotEstimable(ONE_SEED)


def pseudo(strata: Strata | None, scale: Scale) -> float:
    """The least variance of a base's number, in points: half a pseudo-item for the base and for the checkpoint."""
    return 2 * strata.pseudo if strata is not None and scale == "points" else 0.0


def least(asked: Asked, estimand: Estimand, scale: Scale) -> Floats:
    """The least variance of a run's gain in each cell: half a pseudo-item for the base and for the checkpoint.

    In logits by the delta method. Summaries take their items as spread evenly over their tasks, and have none without
    n_items.
    """
    cell_of = asked.cells.cell_of
    of_runs = []
    for path in asked.looked_at(estimand):
        tasks = len(path.tasks)
        own = 0.5 * tasks / (path.n_items + 2.0 * tasks) ** 2 if path.n_items else 0.0
        own = path.strata.pseudo if path.strata is not None else own
        both = (float(path.scores[0]), looked_at(path, estimand))
        of_runs.append(sum(own * (slope(path, p) ** 2 if scale == "logit" else 1.0) for p in both))
    return np.asarray(np.bincount(cell_of, weights=of_runs) / np.bincount(cell_of), dtype=np.float64)


def cell_contrast(asked: Asked, weights: Floats, estimand: Estimand, scale: Scale) -> Interval | NotEstimable:
    """The interval of any contrast of the design's cells, as `effect` would give it."""
    fit = fit_runs(asked, summaries(asked, estimand, scale), estimand, scale)
    if isinstance(fit, NotEstimable):
        return fit
    return interval_of(asked, fit, weights, estimand, scale)[0]


def interval_of(
    asked: Asked, fit: Contrasts, weights: Floats, estimand: Estimand, scale: Scale
) -> tuple[Interval | NotEstimable, Estimate | None]:
    """Interval and estimate of a contrast of cells; not testable in logits where a condition or, in a contrast across
    bases, a base is at the ceiling, nor where nothing tells the error.
    """
    if scale == "logit":
        low, high = extremes(asked, weights, estimand)
        if low <= 0 or high >= 1:
            return NotEstimable(CELL_CEILING), None
        share = _base_shares(asked, fit.counts, weights)
        if any(saturated(path) for path in asked.paths if abs(share[base_of(path)]) > 1e-9):
            return NotEstimable(BASE_CEILING), None
    found = fit.estimate(weights)
    if not found.items:
        extra = _base_variance(asked, fit, weights, scale)
        if np.isnan(extra):
            return NotEstimable("base rows without n_items: the error of a contrast across bases is not known"), None
        found = replace(found, variance=replace(found.variance, value=found.variance.value + extra))
    if found.variance.value < LEAST_VARIANCE:
        return NotEstimable(NO_ERROR), None
    return t_interval(found.value, found.variance.value, found.variance.df), found


def extremes(asked: Asked, weights: Floats, estimand: Estimand) -> tuple[float, float]:
    """Lowest and highest score of a condition in the contrast, over its runs, where the estimand looks."""
    by_cell: dict[int, list[float]] = defaultdict(list)
    for path, cell in zip(asked.looked_at(estimand), asked.cells.cell_of, strict=True):
        by_cell[int(cell)].append(looked_at(path, estimand))
    levels = [float(np.mean(by_cell[cell])) for cell in by_cell if weights[cell] != 0]
    return min(levels), max(levels)


def saturated(path: Path) -> bool:
    """Whether fewer than three of the base's responses are right, or wrong."""
    score = float(path.scores[0])
    return path.has_base and min(score, 1 - score) * responses(path) < NEAR


def _base_shares(asked: Asked, counts: Floats, weights: Floats) -> dict[tuple[object, ...], float]:
    """The weight that each base's own score has in a contrast: 0 where it cancels."""
    share: dict[tuple[object, ...], float] = defaultdict(float)
    for path, cell in zip(asked.paths, asked.cells.cell_of, strict=True):
        share[base_of(path)] += float(weights[cell] / counts[cell])
    return share


def _base_variance(asked: Asked, fit: Contrasts, weights: Floats, scale: Scale) -> float:
    """Error of the bases' own scores in a contrast across bases, which cancels within one; NaN where it is unknown."""
    share = _base_shares(asked, fit.counts, weights)
    variance: dict[tuple[object, ...], float] = {}
    for path in asked.paths:
        slope_here = 1.0 if scale == "points" else 1 / max(float(path.scores[0] * (1 - path.scores[0])), 0.01)
        variance[base_of(path)] = float(path.variances[0]) * slope_here**2
    return sum(share[base] ** 2 * variance[base] for base in share if abs(share[base]) > 1e-9)
