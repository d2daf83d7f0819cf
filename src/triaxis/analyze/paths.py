"""Trajectories as arrays without holes: one run on one task, or on the mean of a group's tasks, paired over items."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from triaxis.analyze.dense import ACCURACY, MEASURES, VARIANCES, Curve, Panel, Series
from triaxis.analyze.ends import aligned
from triaxis.stats.intervals import Floats
from triaxis.stats.paired import Strata
from triaxis.types import Level

NO_BASE = "no step 0 for this run: add the base model's scores (run empty, step 0, its model.base)"


@dataclass(frozen=True, eq=False)
class Path:
    """One run on one task, or with `task` empty on the mean of a group's tasks, which weigh equally.

    `x` (steps x items) has no holes; None for summaries, which have `variances` instead (NaN: unknown).
    """

    run: str
    seed: int
    base: str
    source: str
    condition: Mapping[str, Level]  # the factors that vary in the table
    fixed: Mapping[str, Level]  # those that don't
    task: str
    group: str
    mode: str
    metric: str
    steps: tuple[int, ...]
    scores: Floats
    x: Floats | None
    strata: Strata | None
    items: tuple[str, ...]  # "task/item", in the order of x
    samples: float  # responses an item, NaN unknown
    variances: Floats
    n_items: int | None
    measures: Mapping[str, Floats]  # of each name in dense.MEASURES, a number a step
    tasks: tuple[str, ...]
    variant: tuple[str, str] = ("", "")  # of one task: whose surface it varies, and what of it
    ended: int = 0  # where its last checkpoint is told at another step (`ends.aligned`), that checkpoint's own

    @property
    def has_base(self) -> bool:
        return self.steps[0] == 0

    @property
    def end(self) -> int:
        """The step of its last checkpoint."""
        return self.ended or self.steps[-1]

    def level(self, name: str) -> Level | None:
        """The run's level of a factor, varying or not; None where the table doesn't say it."""
        told = self.condition.get(name, self.fixed.get(name))
        return self.base or None if name == "model.base" and told is None else told

    @property
    def key(self) -> tuple[object, ...]:
        """What its replicates share."""
        return (
            self.source,
            self.mode,
            self.group,
            self.task,
            self.base,
            tuple(sorted(self.condition.items(), key=str)),
        )


def task_paths(panel: Panel) -> list[Path]:
    """One path a run, task and mode. Thin checkpoints and items that some checkpoint lacks are left out and counted."""
    by_pool: dict[tuple[str, str, str], list[Series]] = defaultdict(list)
    for series in panel.series:
        by_pool[series.source, series.mode, series.task].append(series)
    paths = []
    for pool in by_pool.values():
        trimmed = [_without_thin(series, panel.warnings) for series in pool]
        keep = _common_items(trimmed, panel.warnings)
        paths += [_path(series, items) for series, items in zip(trimmed, keep, strict=True)]
    return paths


def _label(series: Series) -> str:
    return f"run {series.run}, task {series.task}" + ("" if series.mode == "default" else f", mode {series.mode}")


def _without_thin(series: Series, warnings: list[str]) -> Series:
    """Without the trained checkpoints where fewer than half of the items were answered that another one has.

    The base may be scored on more items or on fewer: it stays, and pairs are taken on the items they share.
    """
    items = series.curve.items
    if items is None:
        return series
    answered = (~np.isnan(items)).sum(axis=1)
    trained = series.curve.steps > 0
    thin = trained & (answered < 0.5 * answered[trained].max(initial=0))
    if not thin.any():
        return series
    steps = ", ".join(str(step) for step in series.curve.steps[thin])
    warnings.append(f"{_label(series)}: left out step {steps}: fewer than half of its items were answered there")
    return replace(series, curve=_rows(series.curve, ~thin))


def _rows(curve: Curve, keep: NDArray[np.bool_]) -> Curve:
    fields = {name: getattr(curve, name)[keep] for name in ("steps", "scores", "n_items", "samples")}
    measures = {name: values[keep] for name, values in curve.measures.items()}
    return Curve(items=None if curve.items is None else curve.items[keep], measures=measures, **fields)


def _common_items(pool: Sequence[Series], warnings: list[str]) -> list[NDArray[np.bool_] | None]:
    """The items each series keeps: those that all runs answered at all checkpoints, or its own where those are too
    few.
    """
    own = [None if s.curve.items is None else _complete(s.curve.items) for s in pool]
    masks = [mask for mask in own if mask is not None]
    if not masks:
        return own
    common: NDArray[np.bool_] = np.logical_and.reduce(masks)
    used = np.logical_or.reduce([~np.isnan(s.curve.items).all(axis=0) for s in pool if s.curve.items is not None])
    where = f"task {pool[0].task}" + (f" ({pool[0].source})" if pool[0].source else "")
    if 2 * common.sum() >= np.median([mask.sum() for mask in masks]) and common.any():
        if common.sum() < used.sum():
            lost = int(used.sum() - common.sum())
            warnings.append(f"{where}: {lost} of {int(used.sum())} items left out of pairs: some checkpoint lacks them")
        return [None if mask is None else common for mask in own]
    warnings.append(f"{where}: runs were scored on different items; each is compared with its base on its own items")
    return own


def _complete(items: Floats) -> NDArray[np.bool_]:
    return np.asarray(~np.isnan(items).any(axis=0), dtype=np.bool_)


def _path(series: Series, keep: NDArray[np.bool_] | None) -> Path:
    curve = series.curve
    x = strata = None
    items: tuple[str, ...] = ()
    scores, variances = curve.scores, _binomial(curve)
    if curve.items is not None and keep is not None and keep.any():
        x = np.ascontiguousarray(curve.items[:, keep])
        strata = Strata.one(x.shape[1])
        items = tuple(f"{series.task}/{name}" for name in series.item_ids[keep])
        scores = x.mean(axis=1)
    n_items = x.shape[1] if x is not None else None
    if x is None and not np.isnan(curve.n_items).any():
        n_items = int(curve.n_items.min())
    return Path(
        run=series.run,
        seed=series.seed,
        base=series.base,
        source=series.source,
        condition=series.condition,
        fixed=series.fixed,
        task=series.task,
        group=series.group,
        mode=series.mode,
        metric=series.metric,
        steps=tuple(int(s) for s in curve.steps),
        scores=scores,
        x=x,
        strata=strata,
        items=items,
        samples=float(np.min(curve.samples)),
        variances=variances,
        n_items=n_items,
        measures=curve.measures,
        tasks=(series.task,),
        variant=series.variant,
    )


def _binomial(curve: Curve) -> Floats:
    """Variance of a summary's score, the number of items as effective size; half a pseudo-item keeps it off 0."""
    n = curve.n_items
    p = np.clip(curve.scores, 0, 1)
    return np.asarray(p * (1 - p) / n + 0.5 / (n + 2.0) ** 2, dtype=np.float64)


def group_paths(paths: Sequence[Path], warnings: list[str]) -> list[Path]:
    """One path a run, group and mode: the mean over the tasks that all runs of that source and mode have in the
    group.
    """
    accurate = [path for path in paths if path.metric == ACCURACY]
    for task, metric in sorted({(p.task, p.metric) for p in paths if p.metric != ACCURACY}):
        warnings.append(f"task {task}: its metric is {metric}, so it is no part of a group's accuracy")
    runs: dict[tuple[str, str, str], dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for path in accurate:
        runs[path.source, path.mode, path.group][path.run].append(path)
    found = []
    for (source, _, group), by_run in runs.items():
        sets = [frozenset(path.task for path in own) for own in by_run.values()]
        common = frozenset.intersection(*sets)
        if not common:  # runs that share no task can't be compared; each keeps its own
            warnings.append(f"group {group}{_in(source)}: no task is there in every run; its runs are not compared")
        elif any(tasks != common for tasks in sets):
            left = ", ".join(sorted(frozenset.union(*sets) - common))
            warnings.append(f"group {group}{_in(source)}: left out {left}: not every run has it")
        for own in by_run.values():
            found.append(_mean_of([p for p in own if not common or p.task in common]))
    return found


def mean_of_tasks(paths: Sequence[Path]) -> list[Path]:
    """One path a run over all the given tasks that every run has, whatever their groups; none where they share no
    task.
    """
    runs: dict[tuple[str, str, str], list[Path]] = defaultdict(list)
    for path in paths:
        if path.metric == ACCURACY:
            runs[path.source, path.mode, path.run].append(path)
    if not runs:
        return []
    common = frozenset.intersection(*(frozenset(path.task for path in own) for own in runs.values()))
    group = "+".join(sorted({path.group for path in paths}))
    return (
        [replace(_mean_of([p for p in own if p.task in common]), group=group) for own in runs.values()]
        if common
        else []
    )


def _in(source: str) -> str:
    return f" ({source})" if source else ""


def _mean_of(own: Sequence[Path]) -> Path:
    own = sorted(own, key=lambda path: path.task)
    head = own[0]
    tasks = tuple(path.task for path in own)
    if len(own) == 1:
        return replace(head, task="", tasks=tasks, variant=("", ""))
    steps = tuple(sorted(set.intersection(*(set(path.steps) for path in own))))
    if not steps:
        steps = head.steps
        own = [head]
    rows = [np.searchsorted(path.steps, steps) for path in own]
    x = strata = None
    xs = [path.x[at] for path, at in zip(own, rows, strict=True) if path.x is not None]
    if len(xs) == len(own):
        x = np.concatenate(xs, axis=1)
        strata = Strata(np.repeat(np.arange(len(xs)), [part.shape[1] for part in xs]))

    def mean(name: str) -> Floats:
        found = np.mean([p.measures[name][at] for p, at in zip(own, rows, strict=True)], axis=0)
        return np.asarray(found / (len(own) if name in VARIANCES.values() else 1), dtype=np.float64)

    sizes = [path.n_items for path in own]
    return replace(
        head,
        task="",
        steps=steps,
        x=x,
        strata=strata,
        items=tuple(item for path in own for item in path.items),
        scores=np.mean([path.scores[at] for path, at in zip(own, rows, strict=True)], axis=0),
        samples=float(np.min([path.samples for path in own])),
        variances=np.sum([path.variances[at] for path, at in zip(own, rows, strict=True)], axis=0) / len(own) ** 2,
        n_items=None if any(size is None for size in sizes) else int(sum(size or 0 for size in sizes)),
        measures={name: mean(name) for name in MEASURES},
        tasks=tuple(path.task for path in own),
        variant=("", ""),
    )


def by_condition(paths: Sequence[Path]) -> dict[tuple[object, ...], list[Path]]:
    """Paths that are replicates of each other, in order of seed."""
    found: dict[tuple[object, ...], list[Path]] = defaultdict(list)
    for path in sorted(paths, key=lambda p: (p.seed, p.run)):
        found[path.key].append(path)
    return dict(found)


def copies(paths: Sequence[Path], warnings: list[str]) -> set[tuple[str, str]]:
    """The runs, by source and id, that repeat the seed of another run of their condition: no replicates of it.

    The run that went furthest stands for them. A source whose seeds are all 0 says nothing of seeds (0 is what an
    absent column is read as): there each run is a replicate.
    """
    told = {path.source for path in paths if path.seed != 0}
    runs: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for path in paths:
        if path.source in told:
            runs[path.source, path.run].append(path)
    alike: dict[tuple[object, ...], list[tuple[str, str]]] = defaultdict(list)
    for run, own in runs.items():
        head = own[0]
        alike[head.source, head.base, tuple(sorted(head.condition.items(), key=str)), head.seed].append(run)
    left = set()
    for names in alike.values():
        kept: set[tuple[str, str]] = set()
        for run in sorted(names, key=lambda name: (-max(p.steps[-1] for p in runs[name]), -len(runs[name]), name)):
            scored = {(path.task, path.mode) for path in runs[run]}
            if scored & kept:
                left.add(run)
                told_of = f"run {run[1]}{_in(run[0])}: repeats seed {runs[run][0].seed} of another run of its condition"
                warnings.append(f"{told_of}: no replicate; left out of effects, summaries and claims")
            kept |= scored
    return left


def comparable(paths: Sequence[Path]) -> tuple[Sequence[Path], tuple[int, ...]]:
    """The replicates that can be averaged item by item, and the steps they share: same items, all with or without base.

    A run that stopped before the others is left out, so that the steps they share reach the end; those that end by a
    rule are all whole, and their last checkpoints stand beside each other.
    """
    paths = aligned(paths)
    end = max(path.steps[-1] for path in paths)
    full = [path for path in paths if path.steps[-1] == end]
    first = full[0]
    full = [
        p
        for p in full
        if p.items == first.items and (p.x is None) == (first.x is None) and p.has_base == first.has_base
    ]
    steps = tuple(sorted(set.intersection(*(set(path.steps) for path in full))))
    return full, steps
