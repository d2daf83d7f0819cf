"""What a study trains on, made once for every seed before anything runs: what fails, what is left as it came, and which
levels come to the same."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from triaxis.axes.data import TrainingExample, TrainingSet, check_apart, noted_training_set
from triaxis.types import Item, Level, TriaxisError

# What decides which examples of a task are drawn; structure and noise only change how they are written.
DRAWN = ("task", "difficulty", "mixture", "examples", "replay_share")
SAME = 0.95  # of the rows; two levels of which more are the same are one level
FEW = 256  # examples of a task whose levels are compared
PATIENCE = 2.0  # seconds without a word
Data = Mapping[str, Level]  # settings `data.*`, without the prefix
Say = Callable[[str], None]
Key = tuple[str, ...]  # a factor, what is trained on, (for noise) the structure, a level


def say(line: str) -> None:
    print(f"triaxis: {line}", file=sys.stderr)


def check_training(
    conditions: Sequence[Data],
    seeds: Sequence[int],
    items: Sequence[Item],
    check: Callable[[Data, Sequence[TrainingExample]], None] = lambda data, examples: None,
    tell: Say = say,
) -> list[str]:
    """Notes on the training data of all conditions and seeds; `check` looks at every set of it.

    A task of the lab is made as it is drawn, without noise, and a source as each condition has it, since what can be
    made of a source depends on its rows. Raises TriaxisError for what can't be made, for a row that is evaluated too,
    and for two levels that are one.
    """
    levels, left, words = _Levels(conditions, seeds[0]), _Left(), _Patience(tell)
    todo = [(data, seed) for seed in seeds for data in _distinct(conditions)]
    for done, (data, seed) in enumerate(todo):
        words.told(f"making the training data of every condition and seed, to check it: {done} of {len(todo)} sets")
        made = noted_training_set(data, seed)
        check_apart(made.examples, items)
        check(data, made.examples)
        left.add(data, made)
        levels.add(data, seed, made)
    return [*left.notes(), *levels.notes()]


def _distinct(conditions: Sequence[Data]) -> list[Data]:
    """The settings of which each has to be tried."""
    found: dict[tuple[object, ...], Data] = {}
    for data in conditions:
        if "source" in data:
            found.setdefault(tuple(data.items()), data)
        else:
            found.setdefault(tuple(data.get(name) for name in DRAWN), {**data, "noise_rate": 0.0})
    return list(found.values())


class _Patience:
    """Says how far a long check is: first when it takes long, then from time to time."""

    def __init__(self, tell: Say) -> None:
        self.tell, self.next = tell, time.monotonic() + PATIENCE

    def told(self, line: str) -> None:
        if (now := time.monotonic()) > self.next:
            self.next = now + 5 * PATIENCE
            self.tell(line)


class _Asked(NamedTuple):
    """A level that rows could not be made to have, of a source."""

    source: str
    factor: str
    level: Level
    examples: Level


class _Rows(NamedTuple):
    """Of such rows, those with the same reason."""

    asked: _Asked
    why: str


class _Left:
    """How many rows stay as they came, over all sets that were made with a level."""

    def __init__(self) -> None:
        self.rows: dict[_Rows, list[int]] = {}
        self.sets: Counter[_Asked] = Counter()

    def add(self, data: Data, made: TrainingSet) -> None:
        asked = {
            f"data.{key}": _Asked(_trained_on(data), f"data.{key}", level, data["examples"])
            for key, level in data.items()
            if key != "noise_kind" or data["noise_rate"]
        }
        self.sets.update(asked.values())
        for kept in made.kept:
            self.rows.setdefault(_Rows(asked[kept.factor], kept.why), []).append(kept.rows)

    def notes(self) -> Iterator[str]:
        for (asked, why), rows in self.rows.items():
            few, many, sets = min(rows), max(rows), self.sets[asked]
            count = f"{many:,}" if few == many else f"{few:,} to {many:,}"
            share = f", in {len(rows)} of {sets} training sets" if len(rows) < sets else ""
            where = f"{asked.source}: {asked.factor} {asked.level}"
            yield f"{where}: {count} of {asked.examples:,} rows are left as they came ({why}){share}"


class _Levels:
    """The responses of each level of `data.structure`, and of each kind of noise, in the first seed's draw."""

    def __init__(self, conditions: Sequence[Data], seed: int) -> None:
        self.seed = seed
        self.wanted: dict[Key, Data] = {}  # the settings to look at
        for data in conditions:
            of = _trained_on(data)
            key: Key = ("structure", of, str(data["structure"]))
            if key not in self.wanted or float(data["noise_rate"]) < float(self.wanted[key]["noise_rate"]):
                self.wanted[key] = data
            key = ("noise_kind", of, str(data["structure"]), str(data["noise_kind"]))
            if float(data["noise_rate"]) > float(self.wanted.get(key, {"noise_rate": 0.0})["noise_rate"]):
                self.wanted[key] = data
        for key in [key for key in self.wanted if sum(other[:-1] == key[:-1] for other in self.wanted) < 2]:
            del self.wanted[key]  # no factor
        self.responses: dict[Key, dict[str, int]] = {}
        for key, data in self.wanted.items():
            if "source" not in data:  # sets of the lab are made without noise, and those of one structure alone
                few = {**data, "examples": min(FEW, int(data["examples"])), "replay_share": 0.0}
                self._keep(key, noted_training_set(few, seed))

    def add(self, data: Data, seed: int, made: TrainingSet) -> None:
        for key in (key for key, wanted in self.wanted.items() if seed == self.seed and wanted == data):
            self._keep(key, made)

    def _keep(self, key: Key, made: TrainingSet) -> None:
        noisy = key[0] == "noise_kind"
        self.responses[key] = {e.id: hash(e.response) for e in made.examples if e.noisy == noisy}

    def notes(self) -> Iterator[str]:
        """In how many rows two levels have the same response. Raises TriaxisError where it is nearly all."""
        alike: dict[Key, list[str]] = {}
        for (one, ours), (other, theirs) in combinations(self.responses.items(), 2):
            both = ours.keys() & theirs.keys() if one[:-1] == other[:-1] else set()
            equal = sum(ours[id] == theirs[id] for id in both)
            said = f"{one[-1]} and {other[-1]} in {equal:,} of {len(both):,}"
            if both and equal > SAME * len(both):
                raise TriaxisError(
                    f"{_place(one)}: the same responses for {said}{_rows(one)}: one level, and not two; leave one out "
                    "(design.exclude), or take other data"
                )
            if equal:
                alike.setdefault(one[:-1], []).append(said)
        for key, pairs in alike.items():
            yield f"{_place(key)}: the same responses for {', '.join(pairs)}{_rows(key)} (seed {self.seed})"


def _place(key: Sequence[str]) -> str:
    return f"{key[1]}: data.{key[0]}"


def _rows(key: Sequence[str]) -> str:
    return f" noisy {key[2]} rows" if key[0] == "noise_kind" else " rows"


def _trained_on(data: Data) -> str:
    return str(data.get("source", data.get("task")))
