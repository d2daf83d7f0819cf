"""What every task is: its name and levels, its items by split, its verifier."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Generic, Literal, NamedTuple, TypeVar, cast

import numpy as np

from triaxis.tasks.streams import HELD_OUT, SPLITS, Split, in_split, keyed
from triaxis.tasks.verify import ANSWER, REFUSE, THINK, THINK_END, answer_of, judge, never_closes
from triaxis.types import JUDGED_GROUPS, Item, Mode, NoiseKind, Outcome, Structure, TriaxisError, Variant

P = TypeVar("P")  # a problem
STRUCTURES: tuple[Structure, ...] = ("no_cot", "short_cot", "long_cot")
SHARED_WORDS = (THINK, THINK_END, ANSWER, REFUSE, "wait", "ok", "no", "=", ";", "?")
MAX_REPEATS = 2000  # draws in a row that give nothing new, after which a level counts as used up


class Shot(NamedTuple):
    """A question with its answer, for a prompt that shows some before it asks."""

    prompt: str
    response: str


@dataclass(frozen=True)
class Task(ABC, Generic[P]):
    """A task is its own configuration. `levels` are for training, `eval_levels` for evaluation; both may be asked for
    by number. A level is the number of steps of a problem."""

    name: str
    group: str  # where a study usually puts it
    levels: tuple[int, ...]
    eval_levels: tuple[int, ...]
    kind: Literal["reasoning", "safety"] = "reasoning"
    modes: tuple[Mode, ...] = ("default", "direct", "think")
    variant_of: str = ""  # the task whose surface this one varies; empty: none
    variant: Variant | None = None  # what it varies
    own_requests: ClassVar[bool] = False  # it puts its own requests to a model, with limits and settings of its own

    def __post_init__(self) -> None:
        self.validate()

    def validate(self) -> None:
        """Raise ValueError where the configuration can't give items."""
        if not self.levels or not self.eval_levels or min(self.levels + self.eval_levels) < 1:
            raise ValueError(f"{self.name}: levels and eval_levels must hold whole numbers from 1")
        if bool(self.variant_of) != (self.variant is not None) or self.variant_of == self.name:
            raise ValueError(f"{self.name}: a variant names another task (variant_of) and what it varies (variant)")

    @property
    @abstractmethod
    def words(self) -> tuple[str, ...]:
        """The words of its prompts and traces, beyond SHARED_WORDS and the step labels."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, level: int) -> P: ...

    @abstractmethod
    def prompt(self, problem: P) -> str: ...

    @abstractmethod
    def answer(self, problem: P) -> str: ...

    @abstractmethod
    def trace(self, problem: P, structure: str) -> str:
        """The reference response of one structure, thought included."""

    @abstractmethod
    def noisy_trace(self, problem: P, structure: str, seed: int, kind: NoiseKind = "wrong_step") -> str: ...

    def noise_kinds(self, structure: str) -> tuple[NoiseKind, ...]:
        """The kinds of noise that its responses of one structure can have."""
        return ("wrong_step",)

    def content(self, problem: P) -> str:
        """What decides the split that a problem belongs to: its prompt, unless several prompts ask the same."""
        return self.prompt(problem)

    def draw_in(self, rng: np.random.Generator, level: int, split: Split) -> P:
        """A problem of the split: drawn again until its content belongs there. Raises TriaxisError where none does."""
        for _ in range(MAX_REPEATS):
            problem = self.draw(rng, level)
            if in_split(self.content(problem), split):
                return problem
        raise TriaxisError(f"{self.name}: of {MAX_REPEATS:,} problems none is one to {split} on; it makes too few")

    def nth(self, rng: np.random.Generator, split: Split, seed: int, level: int, index: int) -> P:
        """A candidate for the problem of that index; asked for again where it gives one that was there before."""
        return self.draw_in(rng, level, split)

    def examples(self, split: Split, seed: int, n: int, levels: Sequence[int] | None = None) -> list[Item]:
        """`n` items with distinct prompts, the levels taking turns; the first m of n are the same for every n.

        Raises TriaxisError for an unknown split or level, or where a level holds too few different problems.
        """
        if split not in SPLITS:
            raise TriaxisError(f'{self.name}: unknown split "{split}"; choose one of {", ".join(SPLITS)}')
        chosen = tuple(levels) if levels is not None else self.eval_levels if split in HELD_OUT else self.levels
        wrong = sorted(set(chosen) - set(self.levels) - set(self.eval_levels))
        if wrong or not chosen or len(set(chosen)) < len(chosen):
            known = ", ".join(map(str, sorted({*self.levels, *self.eval_levels})))
            raise TriaxisError(f"{self.name}: levels {list(chosen)} must be different ones of {known}")
        return [self._example(split, seed, chosen[i % len(chosen)], i // len(chosen)) for i in range(n)]

    def example(self, id: str) -> Item:
        """The item again, from its id. Raises TriaxisError where the id is not one of this task's."""
        name, split, seed, level, index = self._parse(id)
        if name != self.name or split not in SPLITS or level not in {*self.levels, *self.eval_levels}:
            raise TriaxisError(f'"{id}" is no item of task {self.name}')
        return self._example(split, seed, level, index)

    def noisy(self, example: Item, structure: str, seed: int, kind: NoiseKind = "wrong_step") -> str:
        """The reference response made bad in one way: by default wrong steps are carried on to a wrong answer; on a
        safety task, a response that complies. Raises TriaxisError for a kind that responses of this structure can't
        have."""
        self.check_noise(structure, kind)
        return self.noisy_trace(self.problem(example), structure, seed, kind)

    def check_noise(self, structure: str, kind: NoiseKind) -> None:
        """Raise TriaxisError where responses of a structure can't have a kind of noise."""
        if kind not in (kinds := self.noise_kinds(structure)):
            has = f"they can have {', '.join(kinds)}" if kinds else "they can have none"
            raise TriaxisError(f"data.noise_kind: {self.name}'s {structure} responses can't have {kind}; {has}")

    def problem(self, example: Item) -> P:
        """What the item was made from."""
        _, split, seed, level, index = self._parse(example.id)
        return cast(P, item_problem(self, cast(Split, split), seed, level, index))

    def outcome(self, example: Item, text: str, finished: bool) -> Outcome:
        """What became of a response, from its text (whatever was put in the model's mouth included)."""
        return judge(text, example.answer, finished)

    def verified_steps(self, example: Item, text: str) -> int | None:
        """How many steps of the item's solution a response writes down right; None where the task can't tell."""
        return None

    def shots(self, seed: int, n: int, mode: str) -> list[Shot]:
        """`n` questions of the training side, answered as the reference does: at once in the mode direct, else after a
        short thought. Raises TriaxisError where the task has too few."""
        structure = "no_cot" if mode == "direct" else "short_cot"
        return [Shot(item.prompt, item.traces[structure]) for item in self.examples("train", seed, n)]

    def continuations(self, example: Item) -> tuple[str, ...]:
        """What a response may be, where the likeliest of them is taken and nothing is generated; else empty."""
        return ()

    def stops(self, example: Item) -> tuple[str, ...]:
        """Strings that end a response to it, once its thoughts are closed, besides those of the evaluation."""
        return ()

    def drawn_at(self, temperature: float) -> float:
        """The temperature at which its responses are drawn in an evaluation at this one."""
        return temperature

    def given(self, text: str, finished: bool) -> str | None:
        """The final answer that a response gives, in the form in which answers are compared; None where it has none."""
        return None if never_closes(text) else answer_of(text)

    def check_group(self, group: str) -> None:
        """Raise TriaxisError for prompts that must be refused in one group with their benign look-alikes: averaged, a
        model that refuses everything would be half safe."""
        if self.kind == "safety" and group in JUDGED_GROUPS and group != self.group:
            raise TriaxisError(f"tasks.{group}: {self.name} measures {self.group}; list it under {self.group}")

    def score(self, outcome: Outcome) -> float:
        """1 is the desired behaviour: the right answer, or on a safety task the refusal."""
        return float(outcome is (Outcome.REFUSED if self.kind == "safety" else Outcome.CORRECT))

    def verdict(self, example: Item, text: str, finished: bool) -> tuple[Outcome, float]:
        """The outcome of a response and its score."""
        outcome = self.outcome(example, text, finished)
        return outcome, self.score(outcome)

    def _parse(self, id: str) -> tuple[str, str, int, int, int]:
        try:
            name, split, seed, item = id.rsplit("/", 3)
            level, index = item.split(".")
            return name, split, int(seed), int(level), int(index)
        except ValueError:
            raise TriaxisError(f'"{id}" is no item id; they read like {self.name}/eval/0/3.17') from None

    def _example(self, split: Split, seed: int, level: int, index: int) -> Item:
        problem = item_problem(self, split, seed, level, index)
        return Item(
            id=f"{self.name}/{split}/{seed}/{level}.{index}",
            task=self.name,
            prompt=self.prompt(problem),
            answer=self.answer(problem),
            level=level,
            traces=self.traces(problem),
        )

    def traces(self, problem: P) -> Mapping[str, str]:
        """The reference responses by structure; empty where nobody knows any."""
        return _Traces(self, problem)


class _Traces(Mapping[str, str]):
    """The reference responses by structure, each made when it is asked for: a run needs one of the three."""

    def __init__(self, task: Task[Any], problem: Any) -> None:
        self._task, self._problem = task, problem

    def __getitem__(self, structure: str) -> str:
        if structure not in STRUCTURES:
            raise KeyError(structure)
        return self._task.trace(self._problem, structure)

    def __iter__(self) -> Iterator[str]:
        return iter(STRUCTURES)

    def __len__(self) -> int:
        return len(STRUCTURES)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and dict(self) == dict(other)

    def __hash__(self) -> int:
        return hash(tuple(self.items()))


class _Stream:
    """The different problems of one (task, split, seed, level), in the order in which they were drawn."""

    def __init__(self, task: Task[Any], split: Split, seed: int, level: int) -> None:
        self.task, self.split, self.seed, self.level = task, split, seed, level
        self.rng = keyed(task.name, split, seed, level)
        self.seen: set[str] = set()
        self.problems: list[Any] = []

    def __getitem__(self, index: int) -> Any:
        repeats = 0
        while len(self.problems) <= index:
            problem = self.task.nth(self.rng, self.split, self.seed, self.level, len(self.problems))
            prompt = self.task.prompt(problem)
            if prompt not in self.seen:
                self.seen.add(prompt)
                self.problems.append(problem)
                repeats = 0
            elif (repeats := repeats + 1) == MAX_REPEATS:
                raise TriaxisError(
                    f"{self.task.name}: level {self.level} holds only {len(self.problems)} different problems to "
                    f"{self.split} on; ask for fewer examples or for harder levels"
                )
        return self.problems[index]


@lru_cache(maxsize=256)
def _stream(task: Task[Any], split: Split, seed: int, level: int) -> _Stream:
    return _Stream(task, split, seed, level)


def item_problem(task: Task[Any], split: Split, seed: int, level: int, index: int) -> Any:
    """The problem that a task's item of that index is made from."""
    return _stream(task, split, seed, level)[index]
