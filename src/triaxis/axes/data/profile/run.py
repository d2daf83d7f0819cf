"""The whole profile of a data set: one pass over its rows that feeds all parts, and what they found."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from triaxis.axes.data.open import Opened
from triaxis.axes.data.problems import Problem
from triaxis.axes.data.profile.coverage import Coverage, CoverageProfile
from triaxis.axes.data.profile.difficulty import Difficulty, DifficultyProfile
from triaxis.axes.data.profile.diversity import Diversity, DiversityProfile
from triaxis.axes.data.profile.leakage import LeakageProfile, Overlap
from triaxis.axes.data.profile.pass_rates import PassRates
from triaxis.axes.data.profile.quality import Quality, QualityProfile
from triaxis.axes.data.profile.shape import Shape, ShapeProfile
from triaxis.axes.data.profile.structure import Structure, StructureProfile
from triaxis.axes.data.profile.workers import Parts, feed
from triaxis.types import Example, Item


class CountsTokens(Protocol):
    """A tokenizer: the tokens of each of some texts. `seconds` is the CPU time that this has taken in its process."""

    name: str
    seconds: float

    def __call__(self, texts: list[str]) -> list[int]: ...


@dataclass(frozen=True)
class Profile:
    """Everything that was found in a data set. `document.document_of` gives its documented form."""

    name: str
    recognised: tuple[str, ...]  # what it was taken for, how, and what is missing, a line each
    fields: Mapping[str, str]  # role -> column
    missing: tuple[str, ...]  # roles that no column plays
    examples: int
    skipped: int  # rows that can't be used
    problems: tuple[Problem, ...]  # the first of them
    shape: ShapeProfile
    structure: StructureProfile
    quality: QualityProfile
    diversity: DiversityProfile
    difficulty: DifficultyProfile
    model: PassRates | None  # None: no model was asked
    leakage: LeakageProfile | None  # None: no evaluation set was given
    coverage: CoverageProfile | None  # None: no target was given
    seconds: float  # on the clock
    tokenizing: float  # CPU seconds of it, over all processes


class _Tokenizing:
    """The seconds that the tokenizer took, over all processes; it travels with the part that counts."""

    def __init__(self, count: CountsTokens | None) -> None:
        self.count, self.elsewhere = count, 0.0

    def add(self, example: Example) -> None:
        pass

    def merge(self, other: _Tokenizing) -> None:
        self.elsewhere += other.result()

    def result(self) -> float:
        return self.elsewhere + (self.count.seconds if self.count else 0.0)


def profile_of(
    opened: Opened,
    *,
    count: CountsTokens | None = None,
    against: Mapping[str, Iterable[str | Example | Item]] | None = None,
    target: Iterable[str | Example | Item] | None = None,
    model: PassRates | None = None,
    embeddings: Path | None = None,
    processes: int | None = None,
    heard: Callable[[int], None] = lambda seen: None,
) -> Profile:
    """The profile of a data set that was opened, from one pass over it.

    `count` is a tokenizer (words are counted without one), `against` evaluation sets by name, `target` items like those
    that the model will meet, `model` a model's pass rates on rows of the set, `embeddings` an .npy file with a row for
    each example, for the Vendi score. `processes` workers share the rows of a large set, one a core by default; what is
    found does not depend on how many. Raises TriaxisError for a row that can't be used where the data set was opened
    with "stop", for a set without items and for embeddings of other rows; RunFailed where a worker is ended from
    outside.
    """
    began = time.monotonic()
    difficulty = Difficulty(model.rates if model else None)
    here: Parts = {  # in order, with the row's own fields
        "diversity": Diversity(embeddings=embeddings),
        "difficulty": difficulty,
    }
    spread: Parts = {
        "shape": Shape(count, count.name if count else None),
        "structure": Structure(),
        "quality": Quality(),
        "tokenizing": _Tokenizing(count),
    }
    if against:
        spread["leakage"] = Overlap(against)
    if target is not None:
        here["coverage"] = Coverage(target)
    feed(opened, here, spread, processes=processes, heard=heard)
    found = {name: part.result() for name, part in (here | spread).items()}
    return Profile(
        name=opened.name,
        recognised=tuple(opened.recognised),
        fields=dict(opened.format.fields),
        missing=tuple(opened.format.missing),
        examples=opened.examples,
        skipped=opened.skipped,
        problems=tuple(opened.problems),
        shape=found["shape"],
        structure=found["structure"],
        quality=found["quality"],
        diversity=found["diversity"],
        difficulty=found["difficulty"],
        model=model,
        leakage=found.get("leakage"),
        coverage=found.get("coverage"),
        seconds=time.monotonic() - began,
        tokenizing=found["tokenizing"],
    )
