"""What a study trains on, by the names under which tasks are asked: a source and a task can be the same thing."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from triaxis.study.axes import REPLAY_TASK, TRAINED_ON, trained_on
from triaxis.types import Level

LAB, RG, FILE, HUB = "lab:", "rg:", "file:", "hf:"
HARNESS = "lm_eval:"
OF_SOURCES = ("n", "seed", "structure", "difficulty")  # options that say which rows, and not of what task


class Asked(NamedTuple):
    """A task by its name taken apart. The spelling is checked where tasks are opened."""

    base: str  # "chain", "rg:chain_sum", "file:tests/aime.jsonl"
    options: str  # after the question mark

    @property
    def name(self) -> str:
        return f"{self.base}?{self.options}" if self.options else self.base

    @property
    def of_file(self) -> bool:
        """Whether the items are rows that somebody brought, which no option changes."""
        return self.base.startswith((FILE, HUB))


def asked(name: str) -> Asked:
    """A task of a study."""
    base, _, options = name.partition("?")
    if base.startswith(FILE):
        return Asked(FILE + posixpath.normpath(base.removeprefix(FILE)), options)
    return Asked(base, options)


def task_of(source: str) -> Asked:
    """The task that a source is, `lab:chain?n=99` chain; for a file the one that would ask its rows."""
    base, _, options = source.partition("?")
    if not base.startswith((LAB, RG)):
        return Asked(source if base.startswith(HUB) else FILE + posixpath.normpath(source), "")
    own = sorted(part for part in options.split("&") if part.partition("=")[0] not in OF_SOURCES)
    return Asked(base.removeprefix(LAB), "&".join(own))


def source_of(name: str) -> str:
    """The source that trains on a task: the other way round."""
    path = name.removeprefix(FILE).partition("?")[0]
    return name if name.startswith(RG) else path if name.startswith(FILE) else LAB + name


def key_of(conditions: Sequence[Mapping[str, Level]]) -> str:
    """Which setting says what is trained on: the same in every condition."""
    return next(name for name in TRAINED_ON if name in conditions[0])


def trained(conditions: Sequence[Mapping[str, Level]]) -> Counter[Asked]:
    """What is trained on, with the number of conditions that train on each."""
    of = task_of if key_of(conditions) == "data.source" else asked
    return Counter(of(trained_on(condition)) for condition in conditions)


def replayed(conditions: Sequence[Mapping[str, Level]]) -> Counter[Asked]:
    """The safety task, with the number of conditions that replay it."""
    return Counter(Asked(REPLAY_TASK, "") for condition in conditions if float(condition["data.replay_share"]) > 0)


def same(counts: Mapping[Asked, int], task: Asked) -> int:
    """How many conditions train on this very task."""
    return sum(n for one, n in counts.items() if one == task or (one.base == task.base and one.of_file))


def alike(counts: Mapping[Asked, int], task: Asked) -> int:
    """How many conditions train on the task with other options, which make other items of the same kind."""
    return sum(n for one, n in counts.items() if one.base == task.base) - same(counts, task)
