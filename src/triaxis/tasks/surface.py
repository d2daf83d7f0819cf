"""Surface variants of the lab's tasks: the same structure in other numbers, or with its arbitrary symbols renamed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from triaxis.tasks.letters import Letters
from triaxis.tasks.names import Named
from triaxis.tasks.pointer import Pointer
from triaxis.tasks.steps import Problem, StepTask
from triaxis.tasks.streams import Split, in_split
from triaxis.tasks.task import MAX_REPEATS, Task, item_problem
from triaxis.types import Item, NoiseKind, Outcome, TriaxisError, Variant


@dataclass(frozen=True)
class Varied(Task[Any]):
    """A lab task whose items have another surface.

    `numbers` draws other items of the same levels, from a stream of its own. `symbols` takes the task's own items, one
    for one, and renames what stands for nothing but itself.
    """

    varied: Task[Any] | None = None

    @property
    def task(self) -> Task[Any]:
        assert self.varied is not None
        return self.varied

    @property
    def words(self) -> tuple[str, ...]:
        return self.task.words

    def draw(self, rng: np.random.Generator, level: int) -> Any:
        return self.task.draw(rng, level)

    def nth(self, rng: np.random.Generator, split: Split, seed: int, level: int, index: int) -> Any:
        if self.variant != "symbols":
            return super().nth(rng, split, seed, level, index)
        problem = item_problem(self.task, split, seed, level, index)
        for _ in range(MAX_REPEATS):
            renamed = _renamed(self.task, problem, rng)
            if self.prompt(renamed) != self.prompt(problem) and in_split(self.prompt(renamed), split):
                return renamed
        raise TriaxisError(f"{self.name}: no renaming of an item is one to {split} on")

    def prompt(self, problem: Any) -> str:
        return self.task.prompt(problem)

    def answer(self, problem: Any) -> str:
        return self.task.answer(problem)

    def trace(self, problem: Any, structure: str) -> str:
        return self.task.trace(problem, structure)

    def noise_kinds(self, structure: str) -> tuple[NoiseKind, ...]:
        return self.task.noise_kinds(structure)

    def noisy_trace(self, problem: Any, structure: str, seed: int, kind: NoiseKind = "wrong_step") -> str:
        return self.task.noisy_trace(problem, structure, seed, kind)

    def outcome(self, example: Item, text: str, finished: bool) -> Outcome:
        return self.task.outcome(example, text, finished)

    def verified_steps(self, example: Item, text: str) -> int | None:
        return self.task.steps_in(self.problem(example), text) if isinstance(self.task, StepTask) else None


def _renamed(task: Task[Any], problem: Any, rng: np.random.Generator) -> Any:
    """The problem with its symbols mapped one to one onto the same symbols."""
    symbols = _SYMBOLS[type(task)](task)
    new = dict(zip(symbols, (symbols[i] for i in rng.permutation(len(symbols))), strict=True))
    return _RENAME[type(task)](problem, new)


def _letters(problem: Problem[str, str], new: Mapping[str, str]) -> Problem[str, str]:
    return Problem("".join(new[letter] for letter in problem.start), problem.ops)


def _pointer(problem: Problem[str, Any], new: Mapping[str, str]) -> Problem[str, Any]:
    arrows = tuple((new[a], new[b]) for a, b in problem.ops[0])
    return Problem(new[problem.start], (arrows,) * len(problem.ops))


_SYMBOLS: dict[type, Callable[[Any], tuple[str, ...]]] = {
    Letters: lambda task: tuple(task.alphabet),
    Pointer: lambda task: task.nodes,
}
_RENAME: dict[type, Callable[[Any, Mapping[str, str]], Any]] = {Letters: _letters, Pointer: _pointer}


def varied(name: str, named: Named, task: Task[Any], worded: str) -> Varied:
    """The surface variant of a lab task that a name asks for; `worded` is the task that words it otherwise, if any.

    Raises TriaxisError where the task has no such variant.
    """
    if named.options or named.surface is None:
        key = named.options[0][0] if named.options else ""
        raise TriaxisError(f'task "{name}": no option {key}; the lab\'s tasks have surface alone')
    if named.surface == "wording":
        other = f"{task.name} in other words is the task {worded}" if worded else f"{task.name} has one wording"
        raise TriaxisError(f'task "{name}": {other}; it can have {_has(task)}')
    if named.surface == "symbols" and type(task) not in _SYMBOLS:
        raise TriaxisError(f'task "{name}": the symbols of {task.name} mean something; it can have {_has(task)}')
    return Varied(
        name,
        task.group,
        task.levels,
        task.eval_levels,
        task.kind,
        task.modes,
        variant_of=named.varies,
        variant=named.surface,
        varied=task,
    )


def _has(task: Task[Any]) -> str:
    kinds: tuple[Variant, ...] = ("numbers", "symbols") if type(task) in _SYMBOLS else ("numbers",)
    return " and ".join(f"surface={kind}" for kind in kinds)
