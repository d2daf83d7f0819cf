"""`pointer`: follow arrows around a cycle, a given number of times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from triaxis.tasks.steps import Problem, Step, StepTask

Arrows = tuple[tuple[str, str], ...]  # (from, to), in the order of the prompt


@dataclass(frozen=True)
class Pointer(StepTask[str, Arrows]):
    """`pointer a c , b a , c b , from a 2 ?`: i1 a c, i2 c b. Every step follows the same arrows."""

    name: str = "pointer"
    group: str = "far_ood"
    levels: tuple[int, ...] = (3, 4, 5)
    eval_levels: tuple[int, ...] = (3, 4, 5)
    nodes: tuple[str, ...] = tuple("abcdef")

    def validate(self) -> None:
        super().validate()
        if len(set(self.nodes)) < 3:
            raise ValueError(f"{self.name}: a cycle needs at least three nodes")

    @property
    def words(self) -> tuple[str, ...]:
        return (self.name, "from", ",", *self.nodes, *map(str, range(1, 9)))

    def start(self, rng: np.random.Generator) -> str:
        return self.nodes[rng.integers(len(self.nodes))]

    def operation(self, rng: np.random.Generator) -> Arrows:
        cycle = [self.nodes[i] for i in rng.permutation(len(self.nodes))]
        arrows = list(zip(cycle, [*cycle[1:], cycle[0]], strict=True))
        return tuple(arrows[i] for i in rng.permutation(len(arrows)))

    def draw(self, rng: np.random.Generator, level: int) -> Problem[str, Arrows]:
        return Problem(self.start(rng), (self.operation(rng),) * level)

    def apply(self, state: str, op: Arrows) -> str:
        return dict(op)[state]

    def other(self, rng: np.random.Generator, state: str) -> str:
        rest = [node for node in self.nodes if node != state]
        return rest[rng.integers(len(rest))]

    def show(self, state: str) -> str:
        return state

    def show_step(self, step: Step[str, Arrows]) -> str:
        return f"{step.before} {step.after}"

    def prompt(self, problem: Problem[str, Arrows]) -> str:
        arrows = " ".join(f"{a} {b} ," for a, b in problem.ops[0])
        return f"{self.name} {arrows} from {problem.start} {len(problem.ops)} ?"
