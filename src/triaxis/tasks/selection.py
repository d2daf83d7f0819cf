"""Items to choose checkpoints on, and to stop runs by: never one that is reported, never one that is trained on."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from triaxis.tasks.prompts import fingerprint
from triaxis.tasks.task import Task
from triaxis.types import Item, TriaxisError


def selection_items(task: Task[Any], seed: int, n: int, reported: Collection[bytes]) -> list[Item]:
    """`n` items of the task's selection split, none of which asks what is reported; the same for every run.

    `reported` are the fingerprints (`prompts.fingerprint`) of what the report's items ask, of all tasks. What a task
    makes, it makes from a random stream of its own, of problems that are never trained on; a file's rows are divided,
    the report's from one end of the seed's order and these from the other. Raises TriaxisError where there are too few.
    """
    wanted = n
    while True:
        try:
            drawn = task.examples("select", seed, wanted)
        except TriaxisError as error:
            raise TriaxisError(
                f"selection.items: {task.name} has too few items that are not reported ({error}); lower it, or "
                "evaluation.items"
            ) from None
        apart = [item for item in drawn if fingerprint(item.prompt) not in reported]
        if len(apart) >= n:
            return apart[:n]
        wanted += n - len(apart)


def reported_of(items: Collection[Item]) -> frozenset[bytes]:
    """What the report's items ask, to be kept apart from."""
    return frozenset(fingerprint(item.prompt) for item in items)
