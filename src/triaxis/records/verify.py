"""The verifiers run again over the stored responses: what the records say must still be what their text says."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from triaxis.records.store import Store
from triaxis.types import Outcome

BATCH = 10_000  # rows turned to Python at a time


@dataclass(frozen=True)
class Disagreement:
    """A response whose stored outcome or score isn't what its task's verifier says of its text now."""

    run: str
    base: str
    step: int
    task: str
    mode: str
    item: str
    sample: int
    stored: str
    now: str


@dataclass(frozen=True)
class VerifyResult:
    """How many responses were judged again, and those where the verdict differs."""

    n: int
    disagreements: tuple[Disagreement, ...]


def verify(store: Store) -> VerifyResult:
    """Judge every stored response of a study again, from its text and whether it ended.

    Raises TriaxisError where a task or an item is not known any more, or nothing is measured yet.
    """
    from triaxis.tasks import get_task

    opened = lru_cache(maxsize=None)(get_task)  # some look at their files whenever they are asked for
    example = lru_cache(maxsize=None)(lambda task, item: opened(task).example(item))
    arrow = store.table().arrow
    found = []
    for batch in arrow.to_batches(max_chunksize=BATCH):
        for row in batch.to_pylist():
            task = opened(row["task"])
            outcome, score = task.verdict(example(row["task"], row["item"]), row["text"], row["finished"])
            if outcome != Outcome(row["outcome"]) or score != row["score"]:
                found.append(_disagreement(row, outcome, score))
    return VerifyResult(arrow.num_rows, tuple(found))


def _disagreement(row: dict[str, Any], outcome: Outcome, score: float) -> Disagreement:
    return Disagreement(
        run=row["run"],
        base=row["model.base"],
        step=row["step"],
        task=row["task"],
        mode=row["mode"],
        item=row["item"],
        sample=row["sample"],
        stored=f"{row['outcome']} ({row['score']:g})",
        now=f"{outcome} ({score:g})",
    )
