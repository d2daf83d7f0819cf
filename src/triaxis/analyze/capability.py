"""How capable each base was before training, measured on items that the gain beside it does not use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from triaxis.analyze.contrasts import Asked, base_of
from triaxis.analyze.dense import ACCURACY, Curve
from triaxis.analyze.estimands import halves
from triaxis.analyze.evidence import Evidence
from triaxis.analyze.paths import Path
from triaxis.stats.intervals import Floats
from triaxis.stats.paired import Strata
from triaxis.types import OF_REFUSALS, NotEstimable

SIZE_COLUMNS = ("model.parameters", "model.size", "model.params")
NO_NAMES = "bases are not told apart by their names: give each its own model.base"
MEASURED = {"loss": "base loss", "log_probability": "base log-probability of the right answer"}


@dataclass(frozen=True)
class Capability:
    """A number a base, by its name, and how sure it is."""

    name: str
    of: Mapping[str, float]
    reliability: float | None = None  # share of its variance between bases that is not error; None: not known


@dataclass(frozen=True, eq=False)
class Beside:
    """The runs with the items that are left to the gain, and the capability of their bases on the others."""

    asked: Asked
    capability: Capability
    split: bool  # whether items of the gain's tasks had to be divided


def beside(evidence: Evidence, groups: Sequence[str]) -> Beside | NotEstimable:
    """Runs and bases' capability on disjoint items.

    Another mode is not enough: an item that is easy by luck is so in both. Where they share items, half of each task's
    goes to the gain and the rest, with all other tasks', to the capability.
    """
    paths = evidence.pooled(groups)
    if isinstance(paths, NotEstimable):
        return paths
    if not named(paths):
        return NotEstimable(NO_NAMES)
    bases = sorted({path.base for path in paths})
    for mode in ("think", paths[0].mode):
        scores = _scores(evidence, mode, bases)
        if scores:
            break
    else:
        return NotEstimable("no task on which every base was scored at step 0")
    kept, split = _left_to_the_gain(paths, scores)
    found = _capability(scores, bases, {item for path in kept for item in path.items}, set(paths[0].tasks))
    if isinstance(found, NotEstimable):
        return found
    how = "accuracy at step 0 made to think" if mode == "think" else f"accuracy at step 0 in mode {mode}"
    return Beside(Asked.of(kept), replace(found, name=how), split)


def named(paths: Sequence[Path]) -> bool:
    """Whether a base's name tells it from all others."""
    return all(path.base for path in paths) and len({path.base for path in paths}) == len({*map(base_of, paths)})


@dataclass(frozen=True, eq=False)
class _Scored:
    """One base on one task at step 0."""

    score: float
    items: Mapping[str, float]  # empty for summaries


def _scores(evidence: Evidence, mode: str, bases: Sequence[str]) -> dict[str, dict[str, _Scored]]:
    """By task and base, the tasks that all bases have; refusals are no capability."""
    about = {series.task: series for series in evidence.panel.series}
    by_task: dict[str, dict[str, _Scored]] = defaultdict(dict)
    for base, task, curve in _base_curves(evidence, mode):
        series = about.get(task)
        if series is not None and (series.metric != ACCURACY or series.group in OF_REFUSALS):
            continue
        ids = series.item_ids if series is not None else None
        if task not in by_task or base not in by_task[task]:
            by_task[task][base] = _scored(task, curve, ids)
    return {task: of for task, of in by_task.items() if all(base in of for base in bases)}


def _base_curves(evidence: Evidence, mode: str | None) -> Iterator[tuple[str, str, Curve]]:
    """Base and task of each curve that begins at step 0: the bases' own first, then runs that bring one."""
    for (source, base, task, of), curve in evidence.panel.bases.items():
        if source == evidence.source and mode in (of, None):
            yield base, task, curve
    for series in evidence.panel.series:
        if series.source == evidence.source and mode in (series.mode, None) and series.has_base:
            yield series.base, series.task, series.curve


def _scored(task: str, curve: Curve, ids: np.ndarray | None) -> _Scored:
    if curve.items is None:
        return _Scored(float(curve.scores[0]), {})
    row = curve.items[0]
    names = ids if ids is not None and len(ids) == len(row) else [f"#{i}" for i in range(len(row))]
    return _Scored(
        float(np.nanmean(row)),
        {f"{task}/{name}": float(v) for name, v in zip(names, row, strict=True) if not np.isnan(v)},
    )


def _left_to_the_gain(paths: list[Path], scores: Mapping[str, Mapping[str, _Scored]]) -> tuple[list[Path], bool]:
    """The runs on half of their items where the capability is measured on the same ones; as they are otherwise."""
    first = paths[0]
    there = {item for of in scores.values() for scored in of.values() for item in scored.items}
    shared = all(path.items == first.items and path.x is not None for path in paths)
    if not shared or not there.intersection(first.items):
        return paths, False
    half = halves(first)
    return (paths, False) if half is None else ([on_items(path, half) for path in paths], True)


def on_items(path: Path, keep: np.ndarray) -> Path:
    """The run on some of its items, at least one a task."""
    assert path.x is not None and path.strata is not None
    strata = Strata(path.strata.codes[keep])
    x = np.ascontiguousarray(path.x[:, keep])
    items = tuple(item for item, kept in zip(path.items, keep, strict=True) if kept)
    return replace(path, x=x, strata=strata, items=items, scores=strata.mean(x), n_items=int(keep.sum()))


def _capability(
    scores: Mapping[str, Mapping[str, _Scored]], bases: Sequence[str], used: set[str], tasks: set[str]
) -> Capability | NotEstimable:
    """Each base's mean over tasks on the items that the gain does not use; a task without items must be another."""
    of_tasks: list[Floats] = []  # one number a base
    columns: list[Floats] = []  # bases x items, of tasks that have items
    for task, of in sorted(scores.items()):
        items = sorted(set.intersection(*(set(of[base].items) for base in bases)) - used)
        if items:
            columns.append(np.array([[of[base].items[item] for item in items] for base in bases]))
            of_tasks.append(columns[-1].mean(axis=1))
        elif task not in tasks and not any(of[base].items for base in bases):
            of_tasks.append(np.array([of[base].score for base in bases]))
    if not of_tasks:
        return NotEstimable("no item at step 0 that the gain does not use: on its own items capability is no evidence")
    values = np.mean(of_tasks, axis=0)
    reliable = _reliability(values, columns) if len(columns) == len(of_tasks) else None
    return Capability("", {base: float(v) for base, v in zip(bases, values, strict=True)}, reliable)


def _reliability(values: Floats, columns: Sequence[Floats]) -> float | None:
    """The share of the variance between bases that another draw of items would show again."""
    strata = Strata(np.repeat(np.arange(len(columns)), [part.shape[1] for part in columns]))
    variance = float(values.var(ddof=1)) if len(values) > 1 else 0.0
    if not strata.estimable or variance <= 0:
        return None
    x = np.concatenate(columns, axis=1)
    z = strata.scaled(x - x.mean(axis=0))
    return max(0.0, 1 - float((z * z).sum()) / (len(values) - 1) / variance)


def base_measures(evidence: Evidence, paths: Sequence[Path]) -> list[Capability]:
    """What else the table has of all bases at step 0: loss, and log-probability on tasks that are not the gain's."""
    bases, own = sorted({path.base for path in paths}), set(paths[0].tasks)
    found = []
    for measure, name in MEASURED.items():
        by_task: dict[str, dict[str, float]] = defaultdict(dict)
        for base, task, curve in _base_curves(evidence, None):
            value = float(curve.measures[measure][0])
            if not np.isnan(value) and (measure == "loss" or task not in own):
                by_task[task].setdefault(base, value)
        whole = [of for of in by_task.values() if all(base in of for base in bases)]
        if whole:
            found.append(Capability(name, {base: float(np.mean([of[base] for of in whole])) for base in bases}))
    return found


def base_sizes(paths: Sequence[Path]) -> tuple[str, Mapping[str, float]] | NotEstimable:
    """The column that says how large each base is, and log2 of it by the base's name."""
    for column in SIZE_COLUMNS:
        values = {path.base: path.condition.get(column) for path in paths}
        if all(isinstance(v, int | float) and not isinstance(v, bool) and v > 0 for v in values.values()):
            return column, {base: float(np.log2(float(v or 1))) for base, v in values.items()}
    return NotEstimable(f"no column says how large each base is: add {SIZE_COLUMNS[0]}")
