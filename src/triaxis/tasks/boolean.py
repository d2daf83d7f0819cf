"""`boolean`: truth values joined from left to right, mostly by xor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from triaxis.tasks.steps import Problem, Step, StepTask


@dataclass(frozen=True)
class Boolean(StepTask[bool, tuple[str, bool]]):
    """`boolean T xor F and T ?`: i1 T xor F = T, i2 T and T = T."""

    name: str = "boolean"
    group: str = "far_ood"
    levels: tuple[int, ...] = (5, 6, 7, 8)
    eval_levels: tuple[int, ...] = (4, 5, 6)
    xor_share: float = 0.75  # the others forget what came before: many of them, and the last words tell the answer

    def validate(self) -> None:
        super().validate()
        if not 0 <= self.xor_share <= 1:
            raise ValueError(f"{self.name}: xor_share is a share, from 0 to 1")

    @property
    def words(self) -> tuple[str, ...]:
        return (self.name, "xor", "and", "or", "T", "F")

    def start(self, rng: np.random.Generator) -> bool:
        return bool(rng.integers(2))

    def operation(self, rng: np.random.Generator) -> tuple[str, bool]:
        name = "xor" if rng.random() < self.xor_share else ("and", "or")[rng.integers(2)]
        return name, bool(rng.integers(2))

    def apply(self, state: bool, op: tuple[str, bool]) -> bool:
        name, value = op
        return {"xor": state != value, "and": state and value, "or": state or value}[name]

    def other(self, rng: np.random.Generator, state: bool) -> bool:
        return not state

    def show(self, state: bool) -> str:
        return "T" if state else "F"

    def show_step(self, step: Step[bool, tuple[str, bool]]) -> str:
        return f"{self.show(step.before)} {step.op[0]} {self.show(step.op[1])} = {self.show(step.after)}"

    def prompt(self, problem: Problem[bool, tuple[str, bool]]) -> str:
        ops = " ".join(f"{name} {self.show(value)}" for name, value in problem.ops)
        return f"{self.name} {self.show(problem.start)} {ops} ?"
