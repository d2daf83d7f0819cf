"""reasoning-gym's tasks, `rg:chain_sum?max_terms=3`: its generators and verifiers, on our own item streams.

Its own item seed is `seed + index`, so that two sets with neighbouring seeds share most of their items. Here every
item's seed is drawn from the stream of (task, split, seed), and its question decides which split it belongs to.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import io
import math
import re
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from triaxis.tasks.answers import LONGEST, Judged
from triaxis.tasks.names import RG, Named
from triaxis.tasks.open_task import OpenTask
from triaxis.tasks.prompts import asked, said_alike
from triaxis.tasks.streams import Split, in_split
from triaxis.tasks.task import MAX_REPEATS, item_problem
from triaxis.types import TriaxisError

RIGHT = 1.0  # of the task's own verifier; what it gives partial credit for is wrong
SEEDS = 2**32  # some generators take no larger one

_OTHER_ITEMS = "it makes other items in every process"  # iteration over a set of strings, in 0.1.25
_RUNS_CODE = "its verifier runs a response as code"
REFUSED = {
    "codeio": "it runs code that its data set ships",
    "composite": "it mixes other tasks; name those",
    "game_of_life_halting": "its verifier takes any answer for right",  # bool("False") is true, in 0.1.25
    "intermediate_integration": _RUNS_CODE,
    "isomorphic_strings": _OTHER_ITEMS,
    "list_functions": _OTHER_ITEMS,
    "polynomial_multiplication": _OTHER_ITEMS,
    "puzzle24": "its verifier takes other numbers than those given",
    "ransom_note": _OTHER_ITEMS,
    "simple_integration": _RUNS_CODE,
    "word_ladder": _OTHER_ITEMS,
}
_LIST = r"[\w\s-]*"  # nothing that could be called
_ARITHMETIC = r"(?!.*\*\*)[\d\s+*/().-]{1,300}"  # no powers: a short one can ask for a number without end
ADMISSIBLE = {  # what an answer may be made of, where the verifier passes it to eval, or computes with it
    "binary_matrix": _LIST,
    "coin_flip": r"[\d\s./]{1,100}",
    "countdown": _ARITHMETIC,
    "n_queens": _LIST,
    "spiral_matrix": _LIST,
    "string_insertion": _LIST,
}
_HUGE = re.compile(r"\d[eE][+-]?\d{4}")  # an exponent that asks for a number without end

_NAMES = ("Ada", "Bo", "Chen", "Dalia", "Edwin", "Farah", "Goran", "Hana", "Ines", "Jorge", "Kenji", "Leila", "Milo",
          "Nadia", "Otto", "Priya", "Quinn", "Rosa", "Sven", "Tariq", "Ulla", "Vera", "Wim", "Zeno")  # fmt: skip
_ARBITRARY: dict[str, tuple[Callable[[Mapping[str, Any], str], list[str]], tuple[str, ...]]] = {
    # task: what in an entry stands for nothing but itself, and what may take its place
    "knights_knaves": (lambda metadata, question: [str(name) for name in metadata["names"]], _NAMES),
    "simple_equations": (lambda metadata, question: [metadata["variable"]], tuple(string.ascii_letters)),
    "zebra_puzzles": (
        lambda metadata, question: re.findall(r"unique name: ([^\n]*)", question)[0].split(", "),
        tuple(name.lower() for name in _NAMES),
    ),
}


class Entry(NamedTuple):
    """One item as reasoning-gym makes it, with the symbols that were renamed in its question."""

    question: str
    data: Mapping[str, Any]
    renamed: tuple[tuple[str, str], ...] = ()  # (in the data, in the question)

    @property
    def answer(self) -> str:
        """Its reference answer; empty where the task accepts many and names none."""
        given = self.data["answer"]
        return "" if given is None else _substituted(str(given), dict(self.renamed))


@dataclass(frozen=True)
class ReasoningGym(OpenTask[Entry]):
    """A task of reasoning-gym with its options; a surface variant of one where `surface` says so."""

    template: str = "tagged"
    dataset: str = ""
    options: tuple[tuple[str, int | float | bool | str], ...] = ()
    varied: ReasoningGym | None = None  # the task whose surface this one varies

    @property
    def domain(self) -> str:
        """reasoning-gym's category: algebra, arithmetic, games, ..."""
        return str(self._generator(0).category)

    def entry(self, seed: int) -> Entry:
        """The item that reasoning-gym makes of a seed, 0 to 2³² - 1."""
        with contextlib.redirect_stdout(io.StringIO()):  # some generators print
            data = self._generator(seed)[0]
        return Entry(str(data["question"]), data)

    def _generator(self, seed: int) -> Any:
        import reasoning_gym

        # A new one for each item: several tasks look at the seed only when they are made.
        return reasoning_gym.create_dataset(self.dataset, seed=seed, size=1, **dict(self.options))

    def draw(self, rng: np.random.Generator, level: int) -> Entry:
        return self.entry(int(rng.integers(SEEDS)))

    def nth(self, rng: np.random.Generator, split: Split, seed: int, level: int, index: int) -> Entry:
        if self.varied is None or self.variant == "numbers":
            return super().nth(rng, split, seed, level, index)
        entry: Entry = item_problem(self.varied, split, seed, level, index)
        return entry if self.variant == "wording" else self._renamed(entry, rng, split)

    def _renamed(self, entry: Entry, rng: np.random.Generator, split: Split) -> Entry:
        """The entry with its arbitrary symbols replaced, so that it still belongs to the split."""
        symbols, others = _ARBITRARY[self.dataset]
        old = symbols(entry.data["metadata"], entry.question)
        words = {word.casefold() for word in re.findall(r"\w+", entry.question)}
        free = [new for new in others if new.casefold() not in words]
        for _ in range(MAX_REPEATS):
            new = [free[i] for i in rng.permutation(len(free))[: len(old)]]
            question = _substituted(entry.question, dict(zip(old, new, strict=True)))
            if in_split(said_alike(question), split):
                return Entry(question, entry.data, tuple(zip(old, new, strict=True)))
        raise TriaxisError(f"{self.name}: no renaming of an item is one to {split} on")

    def question(self, problem: Entry) -> str:
        return problem.question

    def prompt(self, problem: Entry) -> str:
        return asked(problem.question, self.template, reworded=self.variant == "wording")

    def answer(self, problem: Entry) -> str:
        return problem.answer

    def judged(self, problem: Entry, given: str) -> Judged:
        """By the task's own verifier: `RIGHT` is correct, partial credit is not."""
        # One to one, both ways: a name of the item that this one was made from is a wrong name here.
        given = _substituted(given, dict(problem.renamed) | {new: old for old, new in problem.renamed})
        admissible = ADMISSIBLE.get(self.dataset)
        if (
            len(given) > LONGEST
            or _HUGE.search(given)
            or (admissible and not re.fullmatch(admissible, given, re.DOTALL))
        ):
            return "wrong"
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                score = float(_verifier(self.dataset, self.options).score_answer(given, dict(problem.data)))
        except Exception:  # its verifiers expect a form, and fail on any other
            return "wrong"
        return "correct" if score >= RIGHT else "wrong"


@cache
def _verifier(dataset: str, options: tuple[tuple[str, Any], ...]) -> Any:
    import reasoning_gym

    return reasoning_gym.create_dataset(dataset, seed=0, size=1, **dict(options))


def _substituted(text: str, new: Mapping[str, str]) -> str:
    """The text with whole words replaced, all at once, capitals kept."""
    if not new:
        return text
    exact = "|".join(map(re.escape, new))
    capital = {old.capitalize(): word.capitalize() for old, word in new.items()}
    every = exact if len(next(iter(new))) == 1 else f"{exact}|{'|'.join(map(re.escape, capital))}"
    return re.sub(rf"(?<![^\W\d_])(?:{every})(?![^\W\d_])", lambda m: new.get(m[0]) or capital[m[0]], text)


def reasoning_gym_task(name: str, named: Named) -> ReasoningGym:
    """The task of a name. Raises TriaxisError where reasoning-gym isn't installed, has no such task or option, or its
    task can't be used here."""
    if find_spec("reasoning_gym") is None:
        raise TriaxisError(f"task \"{name}\": reasoning-gym isn't installed; pip install 'triaxis[data]'")
    from reasoning_gym.factory import DATASETS

    dataset = named.base.removeprefix(RG)
    if dataset not in DATASETS:
        near = difflib.get_close_matches(dataset, DATASETS, n=1)
        hint = f"did you mean {RG}{near[0]}?" if near else "its tasks are in reasoning-gym's GALLERY.md"
        raise TriaxisError(f'task "{name}": reasoning-gym has no {dataset}; {hint}')
    if dataset in REFUSED:
        raise TriaxisError(f'task "{name}": {REFUSED[dataset]}; take another task')
    options = _options(name, DATASETS[dataset][1], named.options)
    plain = ReasoningGym(named.varies or name, dataset=dataset, options=options)
    if named.surface is None:
        return plain
    if named.surface == "symbols" and dataset not in _ARBITRARY:
        raise TriaxisError(
            f'task "{name}": what its symbols are matters to its answers; symbols can be renamed in '
            f"{', '.join(sorted(_ARBITRARY))}, and numbers and wording varied in every task"
        )
    return dataclasses.replace(plain, name=name, variant_of=named.varies, variant=named.surface, varied=plain)


def _options(name: str, config: Any, given: tuple[tuple[str, str], ...]) -> tuple[tuple[str, Any], ...]:
    """The options in their own types, checked by reasoning-gym's own configuration."""
    fields = {f.name: f for f in dataclasses.fields(config) if f.name not in ("seed", "size")}
    values: dict[str, Any] = {}
    usual = config()
    for key, text in given:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(fields) or 'none'}"
            raise TriaxisError(f'task "{name}": no option {key}; {hint}')
        values[key] = _value(name, key, text, getattr(usual, key), str(fields[key].type))
    try:
        made = config(**values)
        if hasattr(made, "validate"):
            made.validate()
    except Exception as error:
        raise TriaxisError(
            f'task "{name}": {str(error).splitlines()[0] if str(error) else type(error).__name__}'
        ) from None
    return tuple(values.items())


def _value(name: str, key: str, text: str, usual: object, annotation: str) -> int | float | bool | str:
    kind = type(usual) if usual is not None else int if "int" in annotation else str
    if kind not in _KINDS:
        raise TriaxisError(f'task "{name}": {key} is no single value, and a name gives one; leave it out')
    wanted, read = _KINDS[kind]
    try:
        return read(text)
    except (ValueError, KeyError):
        raise TriaxisError(f'task "{name}": {key} must be {wanted}, got {text!r}') from None


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(text)
    return number


_KINDS: dict[type, tuple[str, Callable[[str], int | float | bool | str]]] = {
    bool: ("true or false", {"true": True, "false": False}.__getitem__),
    int: ("a whole number", int),
    float: ("a number", _finite),
    str: ("text", str),
}
