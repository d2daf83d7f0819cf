"""Which base is the stronger one, decided by nothing that a gain is computed from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from triaxis.analyze.dense import ACCURACY, Curve, Panel
from triaxis.stats.intervals import t_interval
from triaxis.types import OF_REFUSALS, Level, NotEstimable

CLEAR_GAP = 0.05  # score in think mode
NAMES = ("weak", "strong")


def by_capability(
    panel: Panel, source: str, mode: str, bases: Sequence[Level]
) -> tuple[tuple[Level, ...], str] | NotEstimable:
    """The bases from weak to strong and how that is known: their scores at step 0 made to think, else their names'
    ends.

    Scores in `mode`, which the gains are computed from, won't do: ordered by them, weak bases gain by chance.
    """
    curves = _think_curves(panel, source)
    scores = {base: float(np.mean([c.scores[0] for c in of_tasks.values()])) for base, of_tasks in curves.items()}
    if mode != "think" and all(str(base) in scores for base in bases):
        ordered = sorted(bases, key=lambda base: scores[str(base)])
        gaps = np.diff([scores[str(base)] for base in ordered])
        if gaps.min() < CLEAR_GAP:
            return NotEstimable("made to think, the bases score too alike to say which is the stronger")
        for weaker, stronger in pairwise(ordered):
            variance, df = _gap_variance(curves[str(weaker)], curves[str(stronger)])
            gap = scores[str(stronger)] - scores[str(weaker)]
            if not np.isfinite(variance) or t_interval(gap, variance, df).low <= 0:
                return NotEstimable(
                    f"made to think, {stronger} scores {100 * gap:.1f} points more than {weaker}, on too few items to"
                    " say that it is the stronger"
                )
        return tuple(ordered), "stronger by score at step 0 when made to think"
    ends = {name: [base for base in bases if str(base).lower().endswith(name)] for name in NAMES}
    if len(bases) == 2 and all(len(found) == 1 for found in ends.values()):
        return (ends["weak"][0], ends["strong"][0]), "stronger by name"
    return NotEstimable(
        "nothing but the gains' own base scores says which base is the stronger: evaluate step 0 in mode think,"
        " or name the bases ...weak and ...strong"
    )


def _think_curves(panel: Panel, source: str) -> Mapping[str, Mapping[str, Curve]]:
    """Each base's curves in mode think, by task, on the tasks that all of them have."""
    metric = {series.task: series.metric for series in panel.series}
    group = {series.task: series.group for series in panel.series}
    by_base: dict[str, dict[str, Curve]] = {}
    for (of, base, task, mode), curve in panel.bases.items():
        able = metric.get(task, ACCURACY) == ACCURACY and group.get(task) not in OF_REFUSALS
        if of == source and mode == "think" and able:
            by_base.setdefault(base, {})[task] = curve
    if not by_base:
        return {}
    common = sorted(set.intersection(*(set(tasks) for tasks in by_base.values())))
    return {base: {task: tasks[task] for task in common} for base, tasks in by_base.items()} if common else {}


def _gap_variance(one: Mapping[str, Curve], other: Mapping[str, Curve]) -> tuple[float, float]:
    """Variance of the gap between two bases' mean over tasks, and its degrees of freedom: paired on the items that both
    have, else that of two samples of n_items. NaN where neither is known.
    """
    variances, df = [], 0.0
    for task, curve in one.items():
        found, n = _task_gap(curve, other[task])
        variances.append(found)
        df += n - 1
    return float(np.sum(variances)) / len(variances) ** 2, df


def _task_gap(one: Curve, other: Curve) -> tuple[float, float]:
    if one.items is not None and other.items is not None:
        gaps = other.items[0] - one.items[0]
        gaps = gaps[~np.isnan(gaps)]
        if len(gaps) > 1:
            return float(gaps.var(ddof=1)) / len(gaps) + 2 * 0.5 / (len(gaps) + 2.0) ** 2, float(len(gaps))
    n = min(float(one.n_items[0]), float(other.n_items[0]))
    scores = np.array([one.scores[0], other.scores[0]])
    return float((scores * (1 - scores)).sum()) / n + 2 * 0.5 / (n + 2.0) ** 2, n
