"""Runs that end where a rule says so: each is whole at its own end, which is what its rule hands over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from triaxis.study.axes import NO_RULE, RULE

if TYPE_CHECKING:
    from triaxis.analyze.paths import Path

OWN_END = "each run at its own end, as its rule hands it over: that holds what the steps left out would have done"

BEFORE_ANY_END = "at the checkpoints that all runs have, before the first ended: what a rule does is not in it"


def by_rule(path: Path) -> bool:
    """Whether a run may end before its last step by a rule of early stopping."""
    return path.level(RULE) not in (None, NO_RULE)


def aligned(paths: Sequence[Path]) -> Sequence[Path]:
    """The replicates of a condition at the checkpoints that all of them reached before the first ended, and at their
    own ends, which are told at the latest of them.

    Only of runs that end by a rule, and where their ends differ; others are given back as they are.
    """
    ends = {path.steps[-1] for path in paths}
    if len(ends) == 1 or not all(map(by_rule, paths)):
        return paths
    shared = set.intersection(*(set(path.steps) for path in paths))
    before = sorted(step for step in shared if step < min(ends))
    return [_at_own_end(path, before, max(ends)) for path in paths]


def _at_own_end(path: Path, before: Sequence[int], end: int) -> Path:
    rows = [path.steps.index(step) for step in before] + [len(path.steps) - 1]
    return replace(
        path,
        steps=(*before, end),
        ended=path.end,
        scores=path.scores[rows],
        x=None if path.x is None else path.x[rows],
        variances=path.variances[rows],
        measures={name: values[rows] for name, values in path.measures.items()},
    )
