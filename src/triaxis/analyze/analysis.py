"""The whole inference from one table, in order: arrays, trajectories, summaries, effects, claims."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from triaxis.analyze.dense import build
from triaxis.analyze.effects import effects
from triaxis.analyze.paths import Path, by_condition, group_paths, task_paths
from triaxis.analyze.summaries import group_summaries
from triaxis.analyze.trajectories import Noises, condition_trajectory, run_trajectory, seed_noises
from triaxis.types import Analysis, Trajectory, TriaxisError

if TYPE_CHECKING:
    from triaxis.records import Table
    from triaxis.study import Study


def analyze(table: Table, *, study: Study | None = None, seed: int = 0) -> Analysis:
    """Everything that Triaxis infers from a table; a pure function of its arguments.

    `study`, where known, adds what the table can't say: order of capability for claims. Raises TriaxisError where the
    table holds no run.
    """
    panel = build(table)
    if not panel.series:
        raise TriaxisError("the table has base rows only: no run to analyse; add rows with a run id")
    warnings = panel.warnings
    tasks = task_paths(panel)
    groups = group_paths(tasks, warnings)
    task_noise, group_noise = seed_noises(tasks), seed_noises(groups)
    conditions = {
        key: condition_trajectory(own, group_noise[_pool(own[0])]) for key, own in by_condition(groups).items()
    }
    found = effects(groups, warnings)
    return Analysis(
        trajectories=_runs(tasks, task_noise),
        group_trajectories=_runs(groups, group_noise),
        condition_trajectories=tuple(conditions.values()),
        summaries=group_summaries(groups, conditions),
        effects=found,
        verdicts=(),
        warnings=(*table.warnings, *warnings),
        factors=panel.factors,
        n_records=panel.n_records,
        seed=seed,
    )


def _pool(path: Path) -> tuple[str, str, str, str]:
    return path.source, path.mode, path.group, path.task


def _runs(paths: Sequence[Path], noises: Noises) -> tuple[Trajectory, ...]:
    return tuple(run_trajectory(path, noises[_pool(path)]) for path in paths)
