"""`extremes`: a running digit, added to modulo 10 or held against another (the larger, the smaller)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from triaxis.tasks.steps import Problem, Step, StepTask


@dataclass(frozen=True)
class Extremes(StepTask[int, tuple[str, int]]):
    """`extremes 3 + 4 max 9 min 5 ?`: i1 3 + 4 = 7, i2 7 max 9 = 9, i3 9 min 5 = 5."""

    name: str = "extremes"
    group: str = "far_ood"
    levels: tuple[int, ...] = (3, 4, 5)
    eval_levels: tuple[int, ...] = (3, 4, 5)
    add_share: float = 0.5  # the others forget what came before: many of them, and the last words tell the answer

    def validate(self) -> None:
        super().validate()
        if not 0 <= self.add_share <= 1:
            raise ValueError(f"{self.name}: add_share is a share, from 0 to 1")

    @property
    def words(self) -> tuple[str, ...]:
        return (self.name, "+", "max", "min", *"0123456789")

    def start(self, rng: np.random.Generator) -> int:
        return int(rng.integers(10))

    def operation(self, rng: np.random.Generator) -> tuple[str, int]:
        name = "+" if rng.random() < self.add_share else ("max", "min")[rng.integers(2)]
        return name, int(rng.integers(10))

    def apply(self, state: int, op: tuple[str, int]) -> int:
        name, number = op
        return {"+": (state + number) % 10, "max": max(state, number), "min": min(state, number)}[name]

    def other(self, rng: np.random.Generator, state: int) -> int:
        return int(state + rng.integers(1, 10)) % 10

    def show(self, state: int) -> str:
        return str(state)

    def show_step(self, step: Step[int, tuple[str, int]]) -> str:
        return f"{step.before} {step.op[0]} {step.op[1]} = {step.after}"

    def prompt(self, problem: Problem[int, tuple[str, int]]) -> str:
        return f"{self.name} {problem.start} {' '.join(f'{name} {number}' for name, number in problem.ops)} ?"
