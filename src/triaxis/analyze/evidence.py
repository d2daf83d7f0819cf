"""What one source has to say: its runs on each task and on each group, and the bases that they started from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from triaxis.analyze.contrasts import Asked
from triaxis.analyze.dense import ACCURACY, Panel
from triaxis.analyze.effects import finished, primary_mode
from triaxis.analyze.paths import Path, mean_of_tasks
from triaxis.types import GROUPS, NotEstimable


@dataclass(frozen=True, eq=False)
class Evidence:
    """The runs of one source that are whole, no copies among them: a path a run, task and mode."""

    source: str
    paths: Sequence[Path]
    panel: Panel
    seed: int = 0  # of every resampling

    def pooled(self, groups: Sequence[str]) -> list[Path] | NotEstimable:
        """A path a run: the mean over the tasks of these groups that all runs have, in a mode that the groups share."""
        key = tuple(groups)
        if key not in self._pools:  # a ledger asks for the same groups again and again
            self._pools[key] = self._pool(key)
        return self._pools[key]

    @cached_property
    def _pools(self) -> dict[tuple[str, ...], list[Path] | NotEstimable]:
        return {}

    def _pool(self, groups: tuple[str, ...]) -> list[Path] | NotEstimable:
        accurate = [path for path in self.paths if path.metric == ACCURACY]
        modes = [{path.mode for path in accurate if path.group == group} for group in groups]
        there = [of_group for of_group in modes if of_group]
        names = f"group{'s' if len(groups) > 1 else ''} {', '.join(groups)}"
        if not there:
            known = any(path.group in groups for path in self.paths)
            return NotEstimable(f"{names}: not scored in accuracy" if known else f"the table has no {names}")
        shared = set.intersection(*there)
        if not shared:
            return NotEstimable(f"{names}: scored in no mode that all of them have")
        mode = primary_mode(shared)
        paths = mean_of_tasks([path for path in accurate if path.group in groups and path.mode == mode])
        return finished(paths, []) if paths else NotEstimable(f"{names}: no task is there in every run")

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """The groups that are there, in the house's order, then others by name."""
        there = {path.group for path in self.paths}
        return (*(group for group in GROUPS if group in there), *sorted(there - set(GROUPS)))

    @cached_property
    def asked(self) -> dict[str, Asked]:
        """The runs of each group with their design, in the group's primary mode; groups that can't be pooled are left
        out.
        """
        pooled = {group: self.pooled([group]) for group in self.groups}
        return {group: Asked.of(paths) for group, paths in pooled.items() if not isinstance(paths, NotEstimable)}
