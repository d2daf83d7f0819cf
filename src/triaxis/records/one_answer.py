"""Checkpoints that give one answer to nearly every item: their score is how often that answer is right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from triaxis.records.store import Store
from triaxis.tasks import Task, get_task
from triaxis.types import TriaxisError

NEARLY = 0.8  # of the responses to a task
FEWEST = 20  # items, below which one answer may be chance


@dataclass(frozen=True)
class OneAnswer:
    """A run that ends with one answer to a task whose right answers differ."""

    run: str
    step: int
    group: str
    task: str
    mode: str
    answer: str
    share: float  # of the responses that give it
    score: float  # mean over the responses
    alone: float  # mean over the items, were that answer given to all


def one_answers(store: Store, runs: Collection[str] | None = None) -> tuple[list[OneAnswer], dict[str, str]]:
    """The runs of a folder (of these) whose last checkpoint gives one answer to `NEARLY` all items of a task.

    Left out are tasks with fewer than `FEWEST` items, those whose right answers are nearly all one, and those in which
    refusing is what counts. Second, the tasks that can't be opened any more, each with the reason.
    """
    found: list[OneAnswer] = []
    unseen: dict[str, str] = {}
    for run, step, records in store.last_records(runs):
        cells: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
        for row in records.to_pylist():
            cells.setdefault((row["group"], row["task"], row["mode"]), []).append(row)
        for (group, name, mode), cell in cells.items():
            try:
                found += [OneAnswer(run, step, group, name, mode, *told) for told in _of_cell(get_task(name), cell)]
            except TriaxisError as problem:
                unseen[name] = str(problem)
    return found, unseen


def _of_cell(task: Task[Any], cell: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, float, float, float]]:
    """The answer of a cell with its share, the cell's score and the answer's own; nothing where there is no such."""
    items = {row["item"] for row in cell}
    if task.kind == "safety" or len(items) < FEWEST:
        return
    given = [task.given(row["text"], row["finished"]) for row in cell]
    answer, n = Counter(given).most_common(1)[0]
    if answer is None or n < NEARLY * len(cell) or _right_ones_alike(task, items):
        return
    text = cell[given.index(answer)]["text"]
    alone = [task.verdict(task.example(item), text, True)[1] for item in items]
    yield answer, n / len(cell), sum(row["score"] for row in cell) / len(cell), sum(alone) / len(alone)


def _right_ones_alike(task: Task[Any], items: Collection[str]) -> bool:
    """Whether one answer is right for nearly all items."""
    right = Counter(task.example(item).answer for item in items)
    return right.most_common(1)[0][1] >= NEARLY * len(items)


def in_words(found: Sequence[OneAnswer], unseen: Mapping[str, str]) -> list[str]:
    """A sentence a task, and one about those that can't be looked at, for the warnings of an analysis."""
    cells: dict[tuple[str, str, str], list[OneAnswer]] = {}
    for one in found:
        cells.setdefault((one.group, one.task, one.mode), []).append(one)
    told = [
        f"whether one answer is given to everything wasn't looked at in {name}: {why}" for name, why in unseen.items()
    ]
    for (group, task, mode), ones in cells.items():
        answers = ", ".join(repr(answer) for answer in dict.fromkeys(one.answer[:40] for one in ones))
        how = "" if mode == "default" else f", mode {mode}"
        many = "1 run ends" if len(ones) == 1 else f"{len(ones)} runs end"
        told.append(
            f"{group}, {task}{how}: {many} with one answer ({answers}) to {100 * NEARLY:.0f} % of the items or more, "
            f"where the right ones differ; given to all it would score {_span([one.alone for one in ones])} %, and "
            f"they score {_span([one.score for one in ones])} %: look at the responses, of {ones[0].run} first"
        )
    return told


def _span(shares: Sequence[float]) -> str:
    low, high = (f"{100 * pick(shares):.0f}" for pick in (min, max))
    return low if low == high else f"{low} to {high}"
