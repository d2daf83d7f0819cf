"""Each condition at its last checkpoint in each group, as run: score, gains, phase, lengths and outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from triaxis.analyze.estimands import Summary, at_steps, best_of_others
from triaxis.analyze.paths import Path, by_condition, comparable
from triaxis.analyze.trajectories import condition_gain
from triaxis.stats.intervals import gain_interval
from triaxis.stats.paired import mean_covariance
from triaxis.types import GroupSummary, Interval, NotEstimable, Trajectory


def group_summaries(
    paths: Sequence[Path], trajectories: Mapping[tuple[object, ...], Trajectory]
) -> tuple[GroupSummary, ...]:
    """One a condition, group and mode; `trajectories` are the conditions' by the paths' key."""
    return tuple(_summary(own, trajectories[key]) for key, own in by_condition(paths).items())


def _summary(own: Sequence[Path], trajectory: Trajectory) -> GroupSummary:
    full, steps = comparable(own)
    head = full[0]

    def last(name: str) -> float | None:
        values = [float(path.measures[name][-1]) for path in full]
        return None if np.isnan(values).any() else float(np.mean(values))

    return GroupSummary(
        condition=dict(head.condition),
        group=head.group,
        step=head.steps[-1],
        n_runs=len(full),
        n_items=head.n_items,
        base_score=float(np.mean([path.scores[0] for path in full])) if head.has_base else None,
        score=float(np.mean([path.scores[-1] for path in full])),
        gain=trajectory.net_gain,
        best_gain=_best_gain(full, steps),
        phase=trajectory.phase,
        phase_probability=trajectory.phase_probability,
        **{name: last(name) for name in ("response_tokens", "truncated", "unparsed", "refused")},
        accuracy_finished=last("finished"),
        source=head.source,
        mode=head.mode,
        stopped=trajectory.stopped[-1] if trajectory.stopped else None,
    )


def _best_gain(own: Sequence[Path], steps: Sequence[int]) -> Interval | NotEstimable:
    full = [at_steps(path, steps) for path in own]
    found = best_of_others(full, "points")
    reasons = [s.reason for s in found if isinstance(s, NotEstimable)]
    if reasons:
        return NotEstimable(reasons[0])
    values = [s for s in found if isinstance(s, Summary)]
    per_item = np.array([s.per_item for s in values])
    if len(full) > 1:
        return condition_gain(full, [s.value for s in values], per_item)
    strata = full[0].strata
    assert strata is not None  # without items there is no best checkpoint
    return gain_interval(values[0].value, float(mean_covariance(per_item, strata)[0, 0]), strata.df)
