"""Rows of tasks that make their own items: `lab:chain?structure=long_cot&n=1000` and `rg:chain_sum?max_terms=4`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from triaxis.study import difficulty_levels
from triaxis.tasks import Task, get_task, is_open
from triaxis.tasks.rows import Row
from triaxis.types import Item, TriaxisError

LAB, GYM = "lab:", "rg:"
PREFIXES = (LAB, GYM)
OURS = {"n": "1000", "seed": "0", "structure": "short_cot", "difficulty": "all"}  # options that are not the task's
MOST = 10_000_000


def generated_source(name: str) -> Callable[[], Iterator[Row]]:
    """The rows of a name: of the training split, the first m of n the same for every n.

    A lab row has the item's own trace; a reasoning-gym row only its answer, between the tags that its prompt asks for.
    Raises TriaxisError for a task, an option or a value that isn't known.
    """
    base, _, query = name.partition("?")
    if base.startswith(LAB) and is_open(other := base.removeprefix(LAB)):
        raise TriaxisError(f"{name}: {LAB} is for the lab's own tasks; write {other}")
    given: dict[str, str] = {}
    for part in query.split("&") if query else ():
        key, equals, value = part.partition("=")
        if not key or not equals or not value:
            raise TriaxisError(f"{name}: options read like ?n=1000&seed=0, and {part!r} is none")
        if key in given:
            raise TriaxisError(f"{name}: the option {key} is given twice; keep one")
        given[key] = value
    if base.startswith(GYM) and (extra := {"structure", "difficulty"} & set(given)):
        raise TriaxisError(f"{name}: {min(extra)}: a reasoning-gym task has no such option; its own options set it")
    own = "&".join(f"{key}={value}" for key, value in sorted(given.items()) if key not in OURS)
    task = get_task(base.removeprefix(LAB) + ("?" if own else "") + own)
    ours = OURS | {key: value for key, value in given.items() if key in OURS}
    n, seed = _whole(name, "n", ours["n"], 1), _whole(name, "seed", ours["seed"], 0)
    levels = difficulty_levels(ours["difficulty"])
    if base.startswith(LAB):
        _check_structure(name, task, ours["structure"])
    task.examples("train", seed, 0, levels)  # which makes none, and refuses levels that the task doesn't have
    return lambda: _rows(_items(task, seed, n, levels or task.levels), task, ours["structure"])


def _whole(name: str, key: str, text: str, low: int) -> int:
    if not re.fullmatch("[0-9]{1,18}", text) or not low <= int(text) <= MOST:
        raise TriaxisError(f"{name}: {key} must be a whole number from {low} to {MOST:,}, got {text!r}")
    return int(text)


def _check_structure(name: str, task: Task[Any], structure: str) -> None:
    has = next(iter(task.examples("train", 0, 1))).traces
    if structure not in has:
        raise TriaxisError(f"{name}: structure must be one of {', '.join(has)}, got {structure!r}")


def _items(task: Task[Any], seed: int, n: int, levels: Sequence[int]) -> Iterator[Item]:
    """`task.examples`, an item at a time; what the task itself keeps, to make none twice, grows with their number."""
    for i in range(n):
        yield task.example(f"{task.name}/train/{seed}/{levels[i % len(levels)]}.{i // len(levels)}")


def _rows(items: Iterator[Item], task: Task[Any], structure: str) -> Iterator[Row]:
    for number, item in enumerate(items, 1):
        lab = bool(item.traces)
        if not item.answer:
            yield Row(number, None, "the task accepts many answers and names none, so that there is none to learn")
            continue
        yield Row(
            number,
            {
                "id": item.id,
                "prompt": item.prompt,
                "completion": item.traces[structure] if lab else f"<answer>{item.answer}</answer>",
                "answer": item.answer,
                "domain": item.task.partition("?")[0].removeprefix(GYM),
                "difficulty": item.level if lab else _difficulty(task, item),
                "source": "lab" if lab else "reasoning-gym",
            },
        )


def _difficulty(task: Task[Any], item: Item) -> str | int | float | None:
    """What reasoning-gym says of an item's difficulty: a number, or several by name where it has several."""
    metadata = task.problem(item).data.get("metadata", {})
    ranges = metadata.get("difficulty")
    if not isinstance(ranges, Mapping):
        return None
    said = {key: metadata[key] for key in ranges if isinstance(metadata.get(key), int | float | str)}
    if len(said) == 1:
        return next(iter(said.values()))  # type: ignore[no-any-return]
    return ", ".join(f"{key}={value}" for key, value in said.items()) or None
