"""`letters`: three letters swapped and turned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from triaxis.tasks.steps import Problem, Step, StepTask

# Where each letter of the result comes from.
MOVES = {"swap": (1, 0, 2), "flip": (2, 1, 0), "left": (1, 2, 0), "right": (2, 0, 1)}


@dataclass(frozen=True)
class Letters(StepTask[str, str]):
    """`letters c a f swap left ?`: i1 swap = a c f, i2 left = c f a."""

    name: str = "letters"
    group: str = "far_ood"
    levels: tuple[int, ...] = (2, 3, 4, 5)
    eval_levels: tuple[int, ...] = (3, 4, 5)
    alphabet: str = "abcdef"

    def validate(self) -> None:
        super().validate()
        if len(set(self.alphabet)) < 3:
            raise ValueError(f"{self.name}: needs at least three letters")

    @property
    def words(self) -> tuple[str, ...]:
        return (self.name, *MOVES, *self.alphabet)

    def start(self, rng: np.random.Generator) -> str:
        return "".join(self.alphabet[i] for i in rng.permutation(len(self.alphabet))[:3])

    def operation(self, rng: np.random.Generator) -> str:
        return tuple(MOVES)[rng.integers(len(MOVES))]

    def apply(self, state: str, op: str) -> str:
        return "".join(state[i] for i in MOVES[op])

    def other(self, rng: np.random.Generator, state: str) -> str:
        moved = list(MOVES)
        return self.apply(state, moved[rng.integers(len(moved))])

    def show(self, state: str) -> str:
        return " ".join(state)

    def show_step(self, step: Step[str, str]) -> str:
        return f"{step.op} = {self.show(step.after)}"

    def prompt(self, problem: Problem[str, str]) -> str:
        return f"{self.name} {self.show(problem.start)} {' '.join(problem.ops)} ?"
