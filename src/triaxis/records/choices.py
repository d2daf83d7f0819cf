"""What checkpoints came to on the selection split, and which runs ended by it: apart from what is reported."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SELECTION = (
    "CREATE TABLE IF NOT EXISTS selection (run TEXT NOT NULL, step INTEGER NOT NULL, task TEXT NOT NULL,"
    " task_group TEXT NOT NULL, items INTEGER NOT NULL, score REAL NOT NULL, response_tokens REAL,"
    " PRIMARY KEY (run, step, task))"
)
# `steps` and `numbers` are what the rule looked at (JSON lists): checkpoints, and the score or the length at each
STOPS = (
    "CREATE TABLE IF NOT EXISTS stops (run TEXT PRIMARY KEY, step INTEGER NOT NULL, rule TEXT NOT NULL,"
    " steps TEXT NOT NULL, numbers TEXT NOT NULL, why TEXT NOT NULL)"
)


@dataclass(frozen=True)
class Selected:
    """What a checkpoint came to on one task of the selection split."""

    task: str
    group: str
    items: int
    score: float
    response_tokens: float | None  # mean; None where nothing is generated


@dataclass(frozen=True)
class Stop:
    """The decision to end a run: the step after which nothing is trained, and the numbers that it was made by."""

    step: int
    rule: str
    steps: tuple[int, ...]  # the checkpoints that were looked at
    values: tuple[float, ...]  # the score of each, or its mean response length in tokens
    why: str


Scores = dict[int, tuple[Selected, ...]]  # by step


def write_choices(db: sqlite3.Connection, run: str, step: int, selected: Sequence[Selected], stop: Stop | None) -> None:
    """Keep what a checkpoint came to, in place of what was kept of it; within a transaction of the caller."""
    if selected:
        db.execute("DELETE FROM selection WHERE run = ? AND step = ?", (run, step))
        rows = [(run, step, s.task, s.group, s.items, s.score, s.response_tokens) for s in selected]
        db.executemany("INSERT INTO selection VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    if stop is not None:
        numbers = json.dumps(stop.steps), json.dumps(stop.values)
        db.execute(
            "INSERT OR REPLACE INTO stops VALUES (?, ?, ?, ?, ?, ?)", (run, stop.step, stop.rule, *numbers, stop.why)
        )


def scores_in(rows: Sequence[tuple[Any, ...]]) -> Scores:
    """The rows of one run (step, task, group, items, score, tokens) by step."""
    found: dict[int, list[Selected]] = {}
    for step, task, group, items, score, tokens in rows:
        found.setdefault(step, []).append(Selected(task, group, items, score, tokens))
    return {step: tuple(each) for step, each in found.items()}


def stop_in(step: int, rule: str, steps: str, numbers: str, why: str) -> Stop:
    """A row of `stops` without its run."""
    return Stop(step, rule, tuple(json.loads(steps)), tuple(json.loads(numbers)), why)
