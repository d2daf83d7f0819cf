"""Main effects and interactions of the factors on run-level summaries, for each group, estimand and scale."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from triaxis.analyze.design import Cells, Target, make_cells, targets
from triaxis.analyze.estimands import Summary, summarise
from triaxis.analyze.paths import Path
from triaxis.stats.effects import Contrasts, Estimate, Units, contrast
from triaxis.stats.intervals import Floats, benjamini_hochberg, t_interval, t_p_value
from triaxis.types import MODES, Effect, Estimand, Interval, NotEstimable, Scale

ESTIMANDS: tuple[Estimand, ...] = ("gain", "best", "mean")
SCALES: tuple[Scale, ...] = ("points", "logit")
ENOUGH_BASES = 8
ONE_SEED = "one seed a condition: nothing tells the factor from the seed; run each condition with two or more seeds"
ITEMS_LIKE_THESE, THIS_POOL = "items like these", "this item pool"


def primary_mode(modes: set[str]) -> str:
    """The mode that effects and summaries speak of: default where the table has it."""
    return next((mode for mode in MODES if mode in modes), "default")


def effects(group_paths: Sequence[Path], warnings: list[str]) -> tuple[Effect, ...]:
    """All effects of a table; sources apart, in the primary mode, p adjusted over all of them."""
    by_group: dict[tuple[str, str], list[Path]] = defaultdict(list)
    modes: dict[str, set[str]] = defaultdict(set)
    for path in group_paths:
        modes[path.source].add(path.mode)
    for path in group_paths:
        if path.mode == primary_mode(modes[path.source]):
            by_group[path.source, path.group].append(path)
    found: list[Effect] = []
    for paths in by_group.values():
        found += group_effects(finished(paths, warnings), warnings)
    return adjusted(found)


def finished(paths: Sequence[Path], warnings: list[str]) -> list[Path]:
    """Without the runs that stopped before another seed of their condition did: their last checkpoint is not
    comparable.
    """
    ends: dict[tuple[object, ...], int] = defaultdict(int)
    for path in paths:
        ends[path.key] = max(ends[path.key], path.steps[-1])
    kept = [path for path in paths if path.steps[-1] == ends[path.key]]
    for path in paths:
        if path.steps[-1] < ends[path.key]:
            end = f"ends at step {path.steps[-1]}, other seeds of its condition at {ends[path.key]}"
            told = f"run {path.run}: {end}: not in effects"
            if told not in warnings:
                warnings.append(told)
    return kept


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


def group_effects(paths: Sequence[Path], warnings: list[str]) -> list[Effect]:
    """The effects of one group, before p values are adjusted."""
    asked = Asked.of(paths)
    wanted, left = targets(asked.cells)
    if left:
        told = f"left out of the effects, being too many: {', '.join(left[:3])}{' ...' if len(left) > 3 else ''}"
        if told not in warnings:
            warnings.append(told)
    index = {name: i for i, name in enumerate(asked.cells.factors)}
    weights = {target: _contrast(asked.cells, target, index) for target in wanted}
    found: list[Effect] = []
    for estimand in ESTIMANDS:
        for name, reason in asked.cells.described.items():
            found += [
                replace(
                    _head(asked, Target((name,), (), ()), estimand, scale), estimate=NotEstimable(reason), contrast=name
                )
                for scale in SCALES
            ]
        both = {scale: summaries(asked.paths, estimand, scale) for scale in SCALES}
        fits = {scale: _fit(asked, both[scale]) for scale in SCALES}
        for target in wanted:
            pair = [effect(asked, target, weights[target], estimand, scale, fits[scale]) for scale in SCALES]
            found += _scale_notes(pair)
    return found


def _contrast(cells: Cells, target: Target, index: dict[str, int]) -> Floats | None:
    def at(picked: Sequence[object]) -> list[int]:
        return [cells.levels[name].index(level) for name, level in zip(target.factors, picked, strict=True)]

    return contrast(cells.design, [index[name] for name in target.factors], at(target.high), at(target.low))


def summaries(paths: Sequence[Path], estimand: Estimand, scale: Scale) -> list[Summary] | NotEstimable:
    """Every run's summary, or the first reason why one has none."""
    found = [summarise(path, estimand, scale) for path in paths]
    bad = [(path.run, s.reason) for path, s in zip(paths, found, strict=True) if isinstance(s, NotEstimable)]
    if not bad:
        return [s for s in found if isinstance(s, Summary)]
    run, reason = bad[0]
    return NotEstimable(reason if len(bad) == len(paths) else f"run {run}: {reason}")


def _fit(asked: Asked, of_runs: list[Summary] | NotEstimable) -> Contrasts | NotEstimable:
    if isinstance(of_runs, NotEstimable):
        return of_runs
    per_item = None
    if asked.shared_items:
        per_item = np.array([s.per_item for s in of_runs if s.per_item is not None])
    fit = Contrasts(Units(np.array([s.value for s in of_runs]), asked.cells.cell_of, per_item, asked.paths[0].strata))
    return fit if fit.df > 0 else NotEstimable(ONE_SEED)


def _head(asked: Asked, target: Target, estimand: Estimand, scale: Scale) -> Effect:
    few = any(name.startswith("model.") for name in target.factors)
    first = asked.paths[0]
    return Effect(
        estimand=estimand,
        step=asked.step if estimand == "gain" else None,
        group=first.group,
        factors=target.factors,
        contrast=target.text if target.high else "",
        scale=scale,
        estimate=NotEstimable(""),
        unit="run (these bases)" if few else "run",
        n_units=len(asked.paths),
        n_runs=len(asked.paths),
        item_pool=ITEMS_LIKE_THESE if asked.shared_items else THIS_POOL,
        method="",
        source=first.source,
        mode=first.mode,
    )


def effect(
    asked: Asked,
    target: Target,
    weights: Floats | None,
    estimand: Estimand,
    scale: Scale,
    fit: Contrasts | NotEstimable,
) -> Effect:
    """One effect with its interval and p, or the reason why there is none."""
    head = _head(asked, target, estimand, scale)
    if weights is None:
        return replace(head, estimate=NotEstimable(asked.cells.aliased(target.factors)))
    if isinstance(fit, NotEstimable):
        return replace(head, estimate=fit)
    interval, found = _interval(asked, fit, weights, estimand, scale)
    if isinstance(interval, NotEstimable) or found is None:
        return replace(head, estimate=interval)
    return replace(
        head,
        estimate=interval,
        p=t_p_value(found.value, found.variance.value, found.variance.df),
        item_pool=ITEMS_LIKE_THESE if found.items else THIS_POOL,
        method=_method(scale, found),
        note="; ".join(_notes(asked, target, weights, scale, estimand)),
    )


def _interval(
    asked: Asked, fit: Contrasts, weights: Floats, estimand: Estimand, scale: Scale
) -> tuple[Interval | NotEstimable, Estimate | None]:
    """Interval and estimate of a contrast of cells; not testable in logits where a condition is at the ceiling."""
    low, high = _extremes(asked, weights, estimand)
    if scale == "logit" and (low <= 0 or high >= 1):
        return NotEstimable("not testable: ceiling (a condition is at 0 or 1 in every run)"), None
    found = fit.estimate(weights)
    if not found.items:
        extra = _base_variance(asked, fit, weights, scale)
        found = replace(found, variance=replace(found.variance, value=found.variance.value + extra))
    return t_interval(found.value, found.variance.value, found.variance.df), found


def cell_contrast(asked: Asked, weights: Floats, estimand: Estimand, scale: Scale) -> Interval | NotEstimable:
    """The interval of any contrast of the design's cells, as `effect` would give it."""
    fit = _fit(asked, summaries(asked.paths, estimand, scale))
    if isinstance(fit, NotEstimable):
        return fit
    return _interval(asked, fit, weights, estimand, scale)[0]


def _method(scale: Scale, found: Estimate) -> str:
    what = "OLS on run gains" if scale == "points" else "OLS on run logits (counts + 1/2)"
    items = "crossed with items" if found.items else "items fixed"
    return f"{what}, pooled within conditions, {items}, t with {found.variance.df:.1f} df"


def _extremes(asked: Asked, weights: Floats, estimand: Estimand) -> tuple[float, float]:
    """Lowest and highest score of a condition in the contrast, over its runs, where the estimand looks."""
    by_cell: dict[int, list[float]] = defaultdict(list)
    for path, cell in zip(asked.paths, asked.cells.cell_of, strict=True):
        scores = path.scores[1:] if path.has_base and len(path.steps) > 1 else path.scores
        by_cell[int(cell)].append(
            float(scores.mean() if estimand == "mean" else scores.max() if estimand == "best" else scores[-1])
        )
    levels = [float(np.mean(by_cell[cell])) for cell in by_cell if weights[cell] != 0]
    return min(levels), max(levels)


def _notes(asked: Asked, target: Target, weights: Floats, scale: Scale, estimand: Estimand) -> list[str]:
    notes = []
    low, high = _extremes(asked, weights, estimand)
    if len(target.factors) > 1 and scale == "points" and (low < 0.1 or high > 0.9):
        notes.append("ceiling")
    if assumes := asked.cells.assumes(target.factors):
        notes.append(f"if {assumes}")
    if any(name.startswith("model.") for name in target.factors):
        notes.append(f"speaks of these {asked.n_bases} bases, not of bases like them")
    return notes


def _base_variance(asked: Asked, fit: Contrasts, weights: Floats, scale: Scale) -> float:
    """Error of the bases' own scores in a contrast across bases; within one base it cancels. Zero where n_items is
    unknown.
    """
    share: dict[str, float] = defaultdict(float)
    variance: dict[str, float] = {}
    for path, cell in zip(asked.paths, asked.cells.cell_of, strict=True):
        share[path.base] += float(weights[cell] / fit.counts[cell])
        own = float(path.variances[0])
        slope = 1.0 if scale == "points" else 1 / max(float(path.scores[0] * (1 - path.scores[0])), 0.01)
        variance[path.base] = 0.0 if np.isnan(own) else own * slope**2
    return sum(share[base] ** 2 * variance[base] for base in share)


def _scale_notes(pair: Sequence[Effect]) -> list[Effect]:
    """Marks an effect whose two scales disagree: other signs, or one interval with 0 and one without."""
    points, logit = pair
    if isinstance(points.estimate, NotEstimable) or isinstance(logit.estimate, NotEstimable):
        return list(pair)
    clear = [_excludes_zero(points.estimate), _excludes_zero(logit.estimate)]
    opposite = points.estimate.value * logit.estimate.value < 0
    if clear[0] == clear[1] and not (clear[0] and opposite):
        return list(pair)
    return [replace(e, note="; ".join(filter(None, [e.note, "scale dependent"]))) for e in pair]


def _excludes_zero(interval: Interval) -> bool:
    return interval.low > 0 or interval.high < 0


def adjusted(found: Sequence[Effect]) -> tuple[Effect, ...]:
    """With Benjamini-Hochberg's p over all effects that have one."""
    having = [i for i, e in enumerate(found) if e.p is not None]
    values = benjamini_hochberg([found[i].p or 0.0 for i in having])
    out = list(found)
    for i, value in zip(having, values, strict=True):
        out[i] = replace(out[i], p_adjusted=value)
    return tuple(out)
