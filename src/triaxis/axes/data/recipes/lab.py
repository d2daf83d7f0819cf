"""Rows that are the lab's own: what the task itself knows of them, whatever file they came through."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import Any

from triaxis.axes.data.recipes.places import place_of
from triaxis.axes.data.text import split_thought
from triaxis.tasks import Task, get_task, task_names
from triaxis.tasks.verify import THINK, THINK_END
from triaxis.types import Example, Item, TriaxisError

_ID = re.compile(r"(?P<task>[a-z]+)/(?:train|eval|pretrain)/\d+/\d+\.\d+")
_STEP = re.compile(r"(?P<label>\bi\d) (?P<body>[^;]*) ;")


def lab_item(example: Example) -> tuple[Task[Any], Item] | None:
    """The task and the item that a row was made from; None for a row that is not the lab's.

    The id says which item, and the prompt has to be that item's: an id that only looks like one is not believed.
    """
    match = _ID.fullmatch(example.id)
    if not match or match["task"] not in task_names() or not example.turns:
        return None
    found = _item(match["task"], example.id)
    return found if found is not None and found[1].prompt == example.turns[-1].content else None


@lru_cache(maxsize=64)  # several operations ask for the same row one after the other
def _item(task: str, id: str) -> tuple[Task[Any], Item] | None:
    try:
        return get_task(task), get_task(task).example(id)
    except TriaxisError:
        return None


def structure_of(example: Example) -> str:
    """Which of the lab's structures a row has now."""
    if example.thought is None:
        return "no_cot"
    return "long_cot" if " wait " in f" {example.thought} " else "short_cot"


def last_versions(thought: str) -> str:
    """Every step of a lab trace once, as it was left after its re-derivation; a trace without steps as it is."""
    steps = []
    for match in _STEP.finditer(thought):
        body = match["body"].rpartition("wait ")[2].removesuffix(" ok").partition(" no ")[0]
        steps.append(f"{match['label']} {body} ;")
    return " ".join(steps) or thought.strip()


def is_reference(example: Example, item: Item) -> bool:
    """Whether a row still holds the item's own trace, without noise."""
    return rewritten(example, item.traces[structure_of(example)]) == example


def rewritten(example: Example, response: str) -> Example:
    """The row with another of the lab's responses. A thought that is never closed is closed, so that it can be read."""
    closed = response if THINK_END in response or THINK not in response else f"{response} {THINK_END}"
    thought, solution, _ = split_thought(closed)
    place = place_of(solution)
    answer = solution[place.start : place.end] if place else None
    return replace(example, thought=thought, solution=solution, answer=answer)
