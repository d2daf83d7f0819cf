"""Steps that traces in the lab's language write down, held against the rules of its tasks (digits are modulo 10)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import Any

from triaxis.tasks import get_task
from triaxis.tasks.steps import LABELS, Step, StepTask

_LAB = re.compile(r"\s*i1 ")


def in_lab_language(thought: str) -> bool:
    """Whether a thought is written in the step labels of the lab's tasks."""
    return bool(_LAB.match(thought))


def final_states(thought: str) -> list[str]:
    """What each labelled step says in the end, without its label: after `wait`, what was derived again counts."""
    found, words = [], thought.split()
    starts = [i for i, word in enumerate(words) if word in LABELS]
    for start, end in zip(starts, [*starts[1:], len(words)], strict=False):
        step = words[start + 1 : end]
        step = step[: step.index(";")] if ";" in step else step
        while "wait" in step:
            step = step[step.index("wait") + 1 :]
        found.append(" ".join(word for word in step if word != "ok"))
    return found


def state_after(step: str) -> str:
    """The state that a step leaves: what it was corrected to, its right side, or where an arrow leads."""
    for mark in (" no ", " = "):
        if mark in step:
            return step.rpartition(mark)[2]
    return step.rpartition(" ")[2]


def check_steps(thought: str) -> tuple[int, int]:
    """How many steps could be checked from what they say alone, and how many of those are wrong.

    Those of `letters` and `pointer` need the prompt, and those of renamed tasks their names: they aren't checked.
    """
    rules = _rules()
    checked = wrong = 0
    for step in final_states(thought):
        left, equals, _ = step.partition(" = ")
        if equals and left in rules:
            checked += 1
            wrong += rules[left] != state_after(step)
    return checked, wrong


@cache
def _rules() -> dict[str, str]:
    """The left side of each step that depends on nothing else, and what comes of it by the task's own rules."""
    rules: dict[str, str] = {}
    for task, states, operations in _tables():
        for state, operation in product(states, operations):
            shown = task.show_step(Step(state, operation, task.apply(state, operation)))
            left, _, after = shown.partition(" = ")
            rules[left] = after
    return rules


def _tables() -> Iterator[tuple[StepTask[Any, Any], list[Any], list[Any]]]:
    digits = list(range(10))
    for name in ("chain", "words"):
        task: Any = get_task(name)
        yield task, digits, list(product((task.plus, task.minus), digits))
    yield get_task("extremes"), digits, list(product(("+", "max", "min"), digits))  # type: ignore[misc]
    yield get_task("boolean"), [True, False], list(product(("xor", "and", "or"), (True, False)))  # type: ignore[misc]
