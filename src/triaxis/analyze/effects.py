"""Main effects and interactions of the factors on run-level summaries, for each group, estimand and scale."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from triaxis.analyze.bases import ENOUGH_BASES, BaseTarget, base_effect, base_targets
from triaxis.analyze.contrasts import (
    BASE_CEILING,
    LEAST_VARIANCE,
    NO_ERROR,
    ONE_TRUNK,
    Asked,
    extremes,
    fit_runs,
    interval_of,
    saturated,
    summaries,
)
from triaxis.analyze.design import Cells, Target, targets
from triaxis.analyze.ends import BEFORE_ANY_END, OWN_END, by_rule
from triaxis.analyze.estimands import Summary
from triaxis.analyze.paths import Path
from triaxis.stats.effects import Contrasts, Estimate, contrast
from triaxis.stats.intervals import Floats, benjamini_hochberg, t_interval, t_p_value
from triaxis.study.axes import RULE
from triaxis.types import MODES, Effect, Estimand, Interval, NotEstimable, Scale

ESTIMANDS: tuple[Estimand, ...] = ("gain", "best", "mean")
SCALES: tuple[Scale, ...] = ("points", "logit")
ITEMS_LIKE_THESE, THIS_POOL = "items like these", "this item pool"
ONE_RUN = "a condition with one run: its variance is taken from the widest other"


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
    comparable. A run that ends by its rule is whole.
    """
    ends: dict[tuple[object, ...], int] = defaultdict(int)
    for path in paths:
        ends[path.key] = max(ends[path.key], path.steps[-1])
    kept = [path for path in paths if by_rule(path) or path.steps[-1] == ends[path.key]]
    for path in paths:
        if path.steps[-1] < ends[path.key] and not by_rule(path):
            end = f"ends at step {path.steps[-1]}, other seeds of its condition at {ends[path.key]}"
            told = f"run {path.run}: {end}: not in effects"
            if told not in warnings:
                warnings.append(told)
    if len(last := sorted({path.steps[-1] for path in kept})) > 1:
        told = f"runs end at different steps ({last[0]} to {last[-1]}): the last checkpoint compares them as they are"
        if any(map(by_rule, kept)):
            told = f"runs end at different steps ({last[0]} to {last[-1]}), some by a rule: a gain is that of {OWN_END}"
        if told not in warnings:
            warnings.append(told)
    return kept


def group_effects(paths: Sequence[Path], warnings: list[str]) -> list[Effect]:
    """The effects of one group, before p values are adjusted."""
    asked = Asked.of(paths)
    wanted, left = targets(asked.cells)
    every = {step for path in paths for step in path.steps if step > 0}
    if wanted and (lost := len(every) - len(asked.common_steps)):
        told = f"{lost} of {len(every)} checkpoints are not there in every run: left out of the estimands mean and best"
        if told not in warnings:
            warnings.append(told)
    if left:
        told = f"left out of the effects, being too many: {', '.join(left[:3])}{' ...' if len(left) > 3 else ''}"
        if told not in warnings:
            warnings.append(told)
    index = {name: i for i, name in enumerate(asked.cells.factors)}
    weights = {target: _contrast(asked.cells, target, index) for target in wanted}
    found: list[Effect] = []
    for estimand in ESTIMANDS:
        by_base = base_targets(asked)
        for name, reason in asked.cells.described.items():
            if any(name == wanted.trait for wanted in by_base):
                continue
            found += [
                replace(
                    _head(asked, Target((name,), (), ()), estimand, scale), estimate=NotEstimable(reason), contrast=name
                )
                for scale in SCALES
            ]
        both = {scale: summaries(asked, estimand, scale) for scale in SCALES}
        fits = {scale: fit_runs(asked, both[scale], estimand, scale) for scale in SCALES}
        for target in wanted:
            pair = [effect(asked, target, weights[target], estimand, scale, fits[scale]) for scale in SCALES]
            found += _scale_notes(pair)
        for of_bases in by_base:
            found += _scale_notes([_over_bases(asked, of_bases, estimand, scale, both[scale]) for scale in SCALES])
    return found


def _over_bases(
    asked: Asked, wanted: BaseTarget, estimand: Estimand, scale: Scale, of_runs: list[Summary] | NotEstimable
) -> Effect:
    """An effect of what the bases are, with the base as its unit."""
    head = replace(_head(asked, wanted.target, estimand, scale), unit="base", n_units=asked.n_bases)
    fit = of_runs if isinstance(of_runs, NotEstimable) else base_effect(asked, wanted, of_runs, scale)
    if isinstance(fit, NotEstimable):
        return replace(head, estimate=fit)
    found, n_bases = fit
    if scale == "logit" and not wanted.others and any(saturated(path) for path in asked.paths):
        return replace(head, estimate=NotEstimable(BASE_CEILING))
    if found.variance.value < LEAST_VARIANCE:
        return replace(head, estimate=NotEstimable(NO_ERROR))
    return replace(
        head,
        estimate=t_interval(found.value, found.variance.value, found.variance.df),
        p=t_p_value(found.value, found.variance.value, found.variance.df),
        n_units=n_bases,
        item_pool=ITEMS_LIKE_THESE if found.items else THIS_POOL,
        method=_method(scale, found).replace("condition means of run", "means by kind of base"),
    )


def _contrast(cells: Cells, target: Target, index: dict[str, int]) -> Floats | None:
    def at(picked: Sequence[object]) -> list[int]:
        return [cells.levels[name].index(level) for name, level in zip(target.factors, picked, strict=True)]

    return contrast(cells.design, [index[name] for name in target.factors], at(target.high), at(target.low))


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
    interval, found = interval_of(asked, fit, weights, estimand, scale)
    if isinstance(interval, NotEstimable) or found is None:
        return replace(head, estimate=interval)
    return replace(
        head,
        estimate=interval,
        p=t_p_value(found.value, found.variance.value, found.variance.df),
        item_pool=ITEMS_LIKE_THESE if found.items else THIS_POOL,
        method=_method(scale, found),
        note="; ".join(_notes(asked, target, weights, scale, estimand, fit)),
    )


def _method(scale: Scale, found: Estimate) -> str:
    what = "run gains" if scale == "points" else "run logits (counts + 1/2)"
    items = "crossed with items" if found.items else "items fixed"
    return f"condition means of {what}, Welch, {items}, t with {found.variance.df:.1f} df"


def _notes(
    asked: Asked, target: Target, weights: Floats, scale: Scale, estimand: Estimand, fit: Contrasts
) -> list[str]:
    notes, counts = [], fit.counts
    low, high = extremes(asked, weights, estimand)
    if estimand == "gain" and RULE in target.factors:
        notes.append(OWN_END)
    if estimand != "gain" and RULE in target.factors:
        notes.append(BEFORE_ANY_END)
    if fit.meets(weights):
        notes.append(ONE_TRUNK)
    if len(target.factors) > 1 and scale == "points" and (low < 0.1 or high > 0.9):
        notes.append("ceiling")
    if assumes := asked.cells.assumes(target.factors):
        notes.append(f"if {assumes}")
    if any(name.startswith("model.") for name in target.factors):
        notes.append(f"speaks of these {asked.n_bases} bases, not of bases like them")
    elif asked.n_bases >= ENOUGH_BASES:
        notes.append(f"over these {asked.n_bases} bases: says nothing of other bases")
    if estimand == "best" and (counts[weights != 0] == 2).any():
        notes.append("two seeds choose the best checkpoint for each other: p is below .05 in .13 of nulls")
    if (counts[weights != 0] == 1).any():
        notes.append(ONE_RUN)
        if estimand == "best":
            notes.append(f"one seed: holds the luck of the best of {len(asked.common_steps)} checkpoints")
    return notes


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
