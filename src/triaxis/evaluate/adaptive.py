"""A checkpoint asked block by block, each task until its gain over the base is settled; all in one random order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from triaxis.evaluate.measure import Question
from triaxis.stats.sequence import settled
from triaxis.study.evaluation import Adaptive
from triaxis.tasks.order import places
from triaxis.types import Record

Cell = tuple[str, str]  # task, mode
Scores = Mapping[str, float]  # of items by id, averaged over samples
Ask = Callable[[Sequence[Question]], list[Record]]


@dataclass(frozen=True)
class Rule:
    """When to stop, and the seed of the order of asking."""

    adaptive: Adaptive
    seed: int

    @classmethod
    def of(cls, evaluation: Mapping[str, Any]) -> Rule | None:
        """The rule of an evaluation as a job holds it; None where every item is asked."""
        adaptive = evaluation.get("adaptive")
        return None if not adaptive else cls(Adaptive.model_validate(dict(adaptive)), int(evaluation["seed"]))


def answers(
    asked: Sequence[Question], evaluation: Mapping[str, Any], base: Mapping[Cell, Scores] | None, ask: Ask
) -> list[Record]:
    """The records of a checkpoint as its evaluation says, adaptive or not.

    `base` are the scores of what it started from; None where nothing is to be compared: then every item is asked.
    """
    rule = Rule.of(evaluation)
    if rule is None:
        return ask(asked)
    return in_full(asked, rule, ask) if base is None else until_settled(asked, rule, base, ask)


def in_full(asked: Sequence[Question], rule: Rule, ask: Ask) -> list[Record]:
    """Every question, its records with their places: a base, or a checkpoint without one."""
    order = _Order(asked, rule)
    return order.told(ask(order.questions))


def until_settled(asked: Sequence[Question], rule: Rule, base: Mapping[Cell, Scores], ask: Ask) -> list[Record]:
    """The questions of one checkpoint, asked block by block until each task's gain in each mode is settled.

    A pure function of what is answered: the looks are fixed, and at each the paired differences so far decide. A task
    of which the base's scores lack an item is asked in full. Cells that are open are asked together, so that batches
    stay large.
    """
    order = _Order(asked, rule)
    found: dict[Cell, list[Record]] = {cell: [] for cell in order.cells}
    open_cells, looked = list(order.cells), 0
    while open_cells:
        block = [q for cell in open_cells for q in order.between(cell, looked, looked + 1)]
        for record in ask(block):
            found[record.task, record.mode].append(record)
        looked += 1
        open_cells = [c for c in open_cells if not _closed(found[c], order, c, looked, base.get(c, {}))]
    return order.told([record for cell in order.cells for record in found[cell]])


def _closed(records: Sequence[Record], order: _Order, cell: Cell, looked: int, base: Scores) -> bool:
    """Whether a cell is asked no further after so many looks."""
    items = order.cells[cell]
    asked = order.looks(cell)[looked - 1]
    if asked == len(items):
        return True
    if any(item not in base for item in items):
        return False
    scores = mean_scores(records)
    differences = np.array([scores[item] - base[item] for item in items[:asked]])
    return settled(differences, len(items), order.rule.adaptive.smallest_effect) != ""


def mean_scores(records: Sequence[Record]) -> dict[str, float]:
    """The score of each item, averaged over its samples."""
    by_item: dict[str, list[float]] = {}
    for record in records:
        by_item.setdefault(record.item, []).append(record.score)
    return {item: sum(scores) / len(scores) for item, scores in by_item.items()}


class _Order:
    """The questions of an evaluation by cell, items in the order of asking."""

    def __init__(self, asked: Sequence[Question], rule: Rule) -> None:
        self.rule = rule
        by_task: dict[str, dict[str, None]] = {}
        for question in asked:
            by_task.setdefault(question.example.task, {})[question.example.id] = None
        self.places = {task: places(task, tuple(items), rule.seed) for task, items in by_task.items()}
        by_cell: dict[Cell, list[Question]] = {}
        for question in asked:
            by_cell.setdefault((question.example.task, question.mode), []).append(question)
        self._of = {cell: sorted(own, key=self._place) for cell, own in by_cell.items()}
        self.cells = {cell: tuple(dict.fromkeys(q.example.id for q in own)) for cell, own in self._of.items()}

    def _place(self, question: Question) -> tuple[int, int]:
        return self.places[question.example.task][question.example.id], question.sample

    @property
    def questions(self) -> list[Question]:
        return [question for own in self._of.values() for question in own]

    def looks(self, cell: Cell) -> list[int]:
        return self.rule.adaptive.looks(len(self.cells[cell]))

    def between(self, cell: Cell, looked: int, until: int) -> list[Question]:
        """What is asked of a cell between two looks."""
        ends = [0, *self.looks(cell)]
        return [q for q in self._of[cell] if ends[looked] <= self._place(q)[0] < ends[until]]

    def told(self, records: Sequence[Record]) -> list[Record]:
        """The records with what an analysis must know of how they came to be asked."""
        found = []
        for record in records:
            total = len(self.cells[record.task, record.mode])
            place = self.places[record.task][record.item]
            found.append(
                replace(
                    record,
                    asked_at=place,
                    asked_of=total,
                    pilot=place < self.rule.adaptive.pilot_of(total),
                    smallest_effect=self.rule.adaptive.smallest_effect,
                )
            )
        return found
