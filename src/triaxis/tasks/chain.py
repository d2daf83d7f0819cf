"""`chain`: digits added and subtracted from left to right, modulo 10. The domain of the demo's SFT."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from triaxis.tasks.steps import Problem, Step, StepTask


@dataclass(frozen=True)
class Chain(StepTask[int, tuple[str, int]]):
    """`chain 3 + 4 - 9 ?`: i1 3 + 4 = 7, i2 7 - 9 = 8."""

    name: str = "chain"
    group: str = "in_domain"
    levels: tuple[int, ...] = (3, 4, 5)
    eval_levels: tuple[int, ...] = (4, 5, 6, 7)
    plus: str = "+"
    minus: str = "-"
    digits: tuple[str, ...] = tuple("0123456789")

    def validate(self) -> None:
        super().validate()
        if self.plus == self.minus or len(set(self.digits)) < 2:
            raise ValueError(f"{self.name}: needs two signs and at least two digits")

    @property
    def words(self) -> tuple[str, ...]:
        return (self.name, self.plus, self.minus, *self.digits)

    def start(self, rng: np.random.Generator) -> int:
        return int(rng.integers(len(self.digits)))

    def operation(self, rng: np.random.Generator) -> tuple[str, int]:
        return (self.plus, self.minus)[rng.integers(2)], int(rng.integers(len(self.digits)))

    def apply(self, state: int, op: tuple[str, int]) -> int:
        sign, number = op
        return (state + (number if sign == self.plus else -number)) % len(self.digits)

    def other(self, rng: np.random.Generator, state: int) -> int:
        return int(state + rng.integers(1, len(self.digits))) % len(self.digits)

    def show(self, state: int) -> str:
        return self.digits[state]

    def show_step(self, step: Step[int, tuple[str, int]]) -> str:
        return f"{self.show(step.before)} {step.op[0]} {self.show(step.op[1])} = {self.show(step.after)}"

    def prompt(self, problem: Problem[int, tuple[str, int]]) -> str:
        ops = " ".join(f"{sign} {self.show(number)}" for sign, number in problem.ops)
        return f"{self.name} {self.show(problem.start)} {ops} ?"
