"""Which base is the stronger one, decided by nothing that a gain is computed from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from triaxis.analyze.dense import ACCURACY, Panel
from triaxis.types import Level, NotEstimable

CLEAR_GAP = 0.05  # score in think mode
NAMES = ("weak", "strong")


def by_capability(
    panel: Panel, source: str, mode: str, bases: Sequence[Level]
) -> tuple[tuple[Level, ...], str] | NotEstimable:
    """The bases from weak to strong and how that is known: their scores at step 0 made to think, else their names'
    ends.

    Scores in `mode`, which the gains are computed from, won't do: ordered by them, weak bases gain by chance.
    """
    scores = _think_scores(panel, source)
    if mode != "think" and all(str(base) in scores for base in bases):
        ordered = sorted(bases, key=lambda base: scores[str(base)])
        gaps = np.diff([scores[str(base)] for base in ordered])
        if gaps.min() < CLEAR_GAP:
            return NotEstimable("made to think, the bases score too alike to say which is the stronger")
        return tuple(ordered), "stronger by score at step 0 when made to think"
    ends = {name: [base for base in bases if str(base).lower().endswith(name)] for name in NAMES}
    if len(bases) == 2 and all(len(found) == 1 for found in ends.values()):
        return (ends["weak"][0], ends["strong"][0]), "stronger by name"
    return NotEstimable(
        "nothing but the gains' own base scores says which base is the stronger: evaluate step 0 in mode think,"
        " or name the bases ...weak and ...strong"
    )


def _think_scores(panel: Panel, source: str) -> Mapping[str, float]:
    """Mean over tasks of each base's score at step 0 in mode think, on the tasks that all of them have."""
    metric = {series.task: series.metric for series in panel.series}
    group = {series.task: series.group for series in panel.series}
    by_base: dict[str, dict[str, float]] = {}
    for (of, base, task, mode), curve in panel.bases.items():
        if of == source and mode == "think" and metric.get(task, ACCURACY) == ACCURACY and group.get(task) != "safety":
            by_base.setdefault(base, {})[task] = float(curve.scores[0])
    if not by_base:
        return {}
    common = set.intersection(*(set(tasks) for tasks in by_base.values()))
    return {base: float(np.mean([tasks[t] for t in common])) for base, tasks in by_base.items()} if common else {}
