"""From a problem to its text: the derivation, the traces of each structure, and noise, for any (state, operation)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from triaxis.tasks.streams import keyed
from triaxis.tasks.task import Task
from triaxis.tasks.verify import ANSWER, THINK, THINK_END
from triaxis.types import NOISE_KINDS, Item, NoiseKind, TriaxisError

S = TypeVar("S")  # what a step changes: a digit, a truth value, a node, a word
Op = TypeVar("Op")  # what changes it

MAX_STEPS = 8  # step labels i1 ... i8
LABELS = tuple(f"i{k}" for k in range(1, MAX_STEPS + 1))
SLIP_RATE = 0.15  # of the steps of a long trace: wrong at first, caught by the re-derivation
WRONG_RATE = 0.5  # of the steps of a noisy trace: wrong and carried on
WITH_WRONG_STEPS: tuple[NoiseKind, ...] = ("wrong_step", "wrong_step_right_answer")
IN_ANSWERS: tuple[NoiseKind, ...] = ("wrong_step", "wrong_answer", "other_trace", "inconsistent_format")
OTHER_FORMS = ("= {}", "{} ;", "{}")  # of an answer, in the lab's words; none is where the verifier looks


class Problem(NamedTuple, Generic[S, Op]):
    """Where to start, and what to do, in order. The level is the number of operations."""

    start: S
    ops: tuple[Op, ...]


class Step(NamedTuple, Generic[S, Op]):
    """One operation with what it was applied to and what was written down as its result, right or wrong."""

    before: S
    op: Op
    after: S


@dataclass(frozen=True)
class StepTask(Task[Problem[S, Op]], ABC, Generic[S, Op]):
    """A task that folds operations over a state. A subclass gives the state and its words; traces, noise and answers
    all come from one derivation."""

    def validate(self) -> None:
        super().validate()
        if max(self.levels + self.eval_levels) > MAX_STEPS:
            raise ValueError(f"{self.name}: a level is a number of steps, {MAX_STEPS} at most")

    @abstractmethod
    def start(self, rng: np.random.Generator) -> S: ...

    @abstractmethod
    def operation(self, rng: np.random.Generator) -> Op: ...

    @abstractmethod
    def apply(self, state: S, op: Op) -> S: ...

    @abstractmethod
    def other(self, rng: np.random.Generator, state: S) -> S:
        """Any state but this one: what a wrong step writes down."""

    @abstractmethod
    def show(self, state: S) -> str:
        """The state in words, as it stands after the answer mark."""

    @abstractmethod
    def show_step(self, step: Step[S, Op]) -> str:
        """The step in words, without its label."""

    def draw(self, rng: np.random.Generator, level: int) -> Problem[S, Op]:
        return Problem(self.start(rng), tuple(self.operation(rng) for _ in range(level)))

    def derive(self, problem: Problem[S, Op]) -> list[Step[S, Op]]:
        """The right steps."""
        steps, state = [], problem.start
        for op in problem.ops:
            steps.append(Step(state, op, self.apply(state, op)))
            state = steps[-1].after
        return steps

    def derive_wrong(self, problem: Problem[S, Op], rng: np.random.Generator) -> list[Step[S, Op]]:
        """Each step is wrong with probability 1/2, at least one is; it is carried on, and the end is wrong."""
        right = self.derive(problem)[-1].after
        while True:
            steps, state = [], problem.start
            for op, wrong in zip(problem.ops, rng.random(len(problem.ops)) < WRONG_RATE, strict=True):
                after = self.apply(state, op)
                steps.append(Step(state, op, self.other(rng, after) if wrong else after))
                state = steps[-1].after
            if state != right:
                return steps

    def render(self, steps: list[Step[S, Op]], structure: str, rng: np.random.Generator) -> str:
        """The response that writes these steps down; `rng` places the slips that a long trace catches."""
        return _response(self.lines(steps, structure, rng), f"{ANSWER} {self.show(steps[-1].after)}")

    def lines(self, steps: list[Step[S, Op]], structure: str, rng: np.random.Generator) -> list[str]:
        """The steps in words, a line each; none in a structure without a thought."""
        lines: list[str] = []
        if structure == "no_cot":
            return lines
        for label, step in zip(LABELS, steps, strict=False):
            shown = self.show_step(step)
            if structure == "short_cot":
                lines.append(f"{label} {shown} ;")
            elif rng.random() < SLIP_RATE:
                slip = self.show_step(step._replace(after=self.other(rng, step.after)))
                lines.append(f"{label} {slip} wait {shown} no {self.show(step.after)} ok ;")
            else:
                lines.append(f"{label} {shown} wait {shown} ok ;")
        return lines

    def verified_steps(self, example: Item, text: str) -> int:
        """Steps of the solution that stand in the response under their label, as they are left once it has thought.

        Each counts once: repeating a step, or writing down a true one that the problem doesn't ask for, adds nothing.
        """
        return self.steps_in(self.problem(example), text)

    def steps_in(self, problem: Problem[S, Op], text: str) -> int:
        """`verified_steps` of the problem itself."""
        written = _written_steps(text)
        right = zip(LABELS, self.derive(problem), strict=False)
        return sum(_says(written.get(label, ()), self.show_step(step), self.show(step.after)) for label, step in right)

    def answer(self, problem: Problem[S, Op]) -> str:
        return self.show(self.derive(problem)[-1].after)

    def trace(self, problem: Problem[S, Op], structure: str) -> str:
        rng = keyed(self.name, "slips", self.prompt(problem))
        return self.render(self.derive(problem), structure, rng)

    def noise_kinds(self, structure: str) -> tuple[NoiseKind, ...]:
        return IN_ANSWERS if structure == "no_cot" else NOISE_KINDS

    def noisy_trace(self, problem: Problem[S, Op], structure: str, seed: int, kind: NoiseKind = "wrong_step") -> str:
        """The response made bad in one way, by draws that belong to (seed, kind, problem)."""
        rng = self._noise(problem, seed, kind)
        if kind == "wrong_step":
            return self.render(self.derive_wrong(problem, rng), structure, rng)
        right = self.derive(problem)
        lines = self.lines(right, structure, keyed(self.name, "slips", self.prompt(problem)))  # as the clean trace has
        state, answer = right[-1].after, f"{ANSWER} {self.show(right[-1].after)}"
        if kind == "wrong_answer":
            return _response(lines, f"{ANSWER} {self.show(self.other(rng, state))}")
        if kind == "wrong_step_right_answer":
            return _response(self.lines(self.derive_wrong(problem, rng), structure, rng), answer)
        if kind == "other_trace":
            other = self.derive(self._another(problem, rng))
            said = answer if lines else f"{ANSWER} {self.show(other[-1].after)}"
            return _response(self.lines(other, structure, rng), said)
        if kind == "shuffled_steps":
            return _response(_shuffled(lines, rng), answer)
        if kind == "truncated":
            return _cut(lines, rng)
        if kind == "missing_answer":
            return _response(lines, "")
        return _response(lines, OTHER_FORMS[rng.integers(len(OTHER_FORMS))].format(self.show(state)))

    def wrong_steps(self, example: Item, seed: int, kind: NoiseKind) -> tuple[int, int]:
        """How many steps of an item's noisy trace are wrong themselves, where others only carry them on, and of how
        many; `kind` is one of WITH_WRONG_STEPS."""
        problem = self.problem(example)
        steps = self.derive_wrong(problem, self._noise(problem, seed, kind))
        return sum(self.apply(step.before, step.op) != step.after for step in steps), len(steps)

    def _noise(self, problem: Problem[S, Op], seed: int, kind: NoiseKind) -> np.random.Generator:
        """The draws of a kind of noise; `wrong_step` goes by the name that it had when it was the only kind."""
        return keyed(self.name, "noise" if kind == "wrong_step" else kind, seed, self.prompt(problem))

    def _another(self, problem: Problem[S, Op], rng: np.random.Generator) -> Problem[S, Op]:
        """Another problem to train on, as long, that comes to another answer."""
        while True:
            other = self.draw_in(rng, len(problem.ops), "train")
            if self.answer(other) != self.answer(problem):
                return other


def _response(lines: list[str], answer: str) -> str:
    """A thought of these lines, where there are any, and the answer after it, where there is one."""
    thought = [THINK, *lines, THINK_END] if lines else []
    return " ".join([*thought, *([answer] if answer else [])])


def _shuffled(lines: list[str], rng: np.random.Generator) -> list[str]:
    """The lines in another order, each under its label."""
    if len(lines) < 2:
        raise TriaxisError("data.noise_kind: shuffled_steps needs two steps, and a problem has one; take harder levels")
    while True:
        order = rng.permutation(len(lines))
        if (order != np.arange(len(lines))).any():
            return [lines[i] for i in order]


def _cut(lines: list[str], rng: np.random.Generator) -> str:
    """The thought broken off after 20 to 80 % of its words, and closed, with nothing after it."""
    words = " ".join(lines).split()
    return " ".join([THINK, *words[: max(1, round((0.2 + 0.6 * rng.random()) * len(words)))], THINK_END])


def _written_steps(text: str) -> dict[str, tuple[str, ...]]:
    """What a response last wrote under each step label, up to the step's end mark."""
    found: dict[str, tuple[str, ...]] = {}
    words = text.split()
    starts = [i for i, word in enumerate(words) if word in LABELS]
    for start, end in zip(starts, [*starts[1:], len(words)], strict=False):
        step = words[start + 1 : end]
        found[words[start]] = tuple(step[: step.index(";")]) if ";" in step else ()
    return found


def _says(written: tuple[str, ...], step: str, after: str) -> bool:
    """Whether a step stands there right: where it was derived again, what came of that counts."""
    last = " ".join(written).rpartition("wait ")[2].removesuffix(" ok")
    return last in (step, f"{step} no {after}")
