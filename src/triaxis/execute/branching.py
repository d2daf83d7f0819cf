"""Runs that share their first steps train them once: what they share, when, and what that saves."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from triaxis.study import Run, Study
from triaxis.study.axes import COURSE
from triaxis.tasks import get_task

SHARED = "shared-"  # before the name of a part


@dataclass(frozen=True)
class Part:
    """The steps after `begin`, up to `end`, which are the same in several runs."""

    runs: tuple[Run, ...]  # in the order of the study
    begin: int
    end: int
    parent: Part | None  # the part that these runs, and perhaps others, come from

    @property
    def id(self) -> str:
        """A name that stays while the study does: its state is found again."""
        told = json.dumps([[run.id for run in self.runs], self.begin, self.end])
        return f"{SHARED}{hashlib.sha256(told.encode()).hexdigest()[:12]}"

    @property
    def line(self) -> Iterator[Part]:
        """The part and those that it comes from, the nearest first."""
        part: Part | None = self
        while part is not None:
            yield part
            part = part.parent


def parts_of(runs: Sequence[Run]) -> list[Part]:
    """What runs share, each part after the one it comes from.

    Two runs share a step where all that it reads is the same in both, and all steps before it are shared: the base, the
    seed, the data and their order, the batch, the optimizer, and the rate of that step, by whatever schedule it came
    about. A part ends where the first of its runs parts, or ends.
    """
    alike: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        read = {name: level for name, level in run.condition.settings.items() if name not in COURSE}
        alike[json.dumps([run.seed, read], sort_keys=True)].append(run)
    return [part for own in alike.values() if len(own) > 1 for part in _parts(own, 0, None)]


def _parts(runs: Sequence[Run], begin: int, parent: Part | None) -> Iterator[Part]:
    from triaxis.axes.optimization.schedules import rate_factor  # loads torch, which most studies needn't wait for
    from triaxis.execute.run import recipe_of

    recipes = [recipe_of(run.condition.settings, run.seed, run.steps[-1]) for run in runs]

    def rates(step: int) -> list[float | None]:
        return [rate_factor(recipe, step) if step < recipe.steps else None for recipe in recipes]

    end = next(k for k in count(begin) if None in (told := rates(k)) or len(set(told)) > 1)
    if end > begin:
        parent = Part(tuple(runs), begin, end, parent)
        yield parent
    going_on: dict[float, list[Run]] = defaultdict(list)
    for run, rate in zip(runs, rates(end), strict=True):
        if rate is not None:
            going_on[rate].append(run)
    for own in going_on.values():
        if len(own) > 1:
            yield from _parts(own, end, parent)


def home_of(parts: Iterable[Part]) -> dict[str, Part]:
    """The last part of each run that shares one."""
    return {run.id: part for part in parts for run in part.runs}  # a part comes after the one that it comes from


@dataclass(frozen=True)
class Saving:
    """What is not done again since runs share their first steps."""

    steps: int = 0  # of training
    all_steps: int = 0  # that the runs would train alone
    checkpoints: int = 0  # whose answers are those of another run
    all_checkpoints: int = 0


def by_chance(study: Study) -> bool:
    """Whether any answer is drawn by chance: then those of a checkpoint belong to each run, though they share it."""
    temperature = study.evaluation.temperature
    return any(get_task(name).drawn_at(temperature) > 0 for names in study.tasks.values() for name in names)


def saving_of(runs: Sequence[Run], parts: Sequence[Part], ends: Mapping[str, int], chance: bool) -> Saving:
    """The saving where runs end at these steps; answers that are drawn by `chance` belong to each run."""
    steps = checkpoints = 0
    for part in parts:
        lengths = [max(0, min(ends[run.id], part.end) - part.begin) for run in part.runs]
        steps += sum(lengths) - max(lengths)
        looks: dict[int, int] = defaultdict(int)
        for run in part.runs:
            for step in run.steps:
                looks[step] += part.begin < step <= min(ends[run.id], part.end)
        checkpoints += 0 if chance else sum(n - 1 for n in looks.values() if n)
    reached = [sum(0 < step <= ends[run.id] for step in run.steps) for run in runs]
    return Saving(steps, sum(ends[run.id] for run in runs), checkpoints, sum(reached))
