"""The training examples of one run: a subset, a structure, a share of noisy traces, a share of replay."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from triaxis.study import REPLAY_TASK, difficulty_levels
from triaxis.tasks import get_task
from triaxis.types import Level, TriaxisError


@dataclass(frozen=True)
class TrainingExample:
    """One prompt with the response to learn; `noisy` where its trace was made wrong on purpose."""

    id: str
    prompt: str
    response: str
    noisy: bool


def training_set(settings: Mapping[str, Level], seed: int) -> list[TrainingExample]:
    """The examples of a run, a pure function of the data settings (`data.*`, without the prefix) and the seed.

    The seed draws the subset and the noise mask. Masks are nested: the rows that are noisy at a rate of .1 are among
    those at .3. The first `replay_share` of the total are examples of the safety task instead of the task's own.

    Raises TriaxisError for a task or level that doesn't exist.
    """
    total, structure = int(settings["examples"]), str(settings["structure"])
    replayed = round(float(settings["replay_share"]) * total)
    task, replay = get_task(str(settings["task"])), get_task(REPLAY_TASK)
    if replayed and task.name == REPLAY_TASK:
        raise TriaxisError(f"data.replay_share: {REPLAY_TASK} is the task itself; set it to 0 or train on another task")
    levels = levels_of(str(settings["difficulty"]), task.levels, task.name)
    rows = [
        TrainingExample(e.id, e.prompt, e.traces[structure], False) for e in replay.examples("train", seed, replayed)
    ]
    for example in task.examples("train", seed, total - replayed, levels):
        noisy = _draw(example.id, seed) < float(settings["noise_rate"])
        response = task.noisy(example, structure, seed) if noisy else example.traces[structure]
        rows.append(TrainingExample(example.id, example.prompt, response, noisy))
    return rows


def levels_of(difficulty: str, known: tuple[int, ...], task: str) -> tuple[int, ...]:
    """ "all", "3" or "3-5" as the levels of a task. Raises TriaxisError for a level that it doesn't have."""
    wanted = difficulty_levels(difficulty) or known
    if not set(wanted) <= set(known):
        has = f"{known[0]}-{known[-1]}"
        raise TriaxisError(f"data.difficulty: {difficulty!r} is not a level of task {task}, which has {has}")
    return wanted


def _draw(example: str, seed: int) -> float:
    """A uniform number in [0, 1) that belongs to this example in this run."""
    return int.from_bytes(hashlib.sha256(f"noise/{seed}/{example}".encode()).digest()[:8], "big") / 2**64
