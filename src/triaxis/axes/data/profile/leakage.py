"""Whether a training set holds evaluation items: exact, normalised and n-gram overlap, the worst pairs shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass

import numpy as np

from triaxis.axes.data.profile.evaluation_index import KINDS, SHORTER, TOUCHING, EvaluationIndex, Hit, Kind, N
from triaxis.axes.data.profile.spans import longest_run
from triaxis.types import Example, Item

SHOWN = 10  # pairs
ROWS_LISTED = 1000
BATCH_CHARACTERS, BATCH_ROWS = 1 << 19, 2048  # rows that are worth one vectorised pass


@dataclass(frozen=True)
class Touch:
    """The closest that a row comes to an evaluation item."""

    kind: Kind
    set: str
    item: str
    part: str  # "prompt" or "answer"
    share: float  # of the text's n-grams that the row holds


@dataclass(frozen=True)
class Pair:
    """A row of the training set beside the evaluation item that it touches."""

    kind: Kind
    set: str
    item: str
    part: str
    row: int
    share: float  # of the text's n-grams, boilerplate left out, that the row holds
    words: int  # of the longest run that both hold
    shared: str  # how that run begins
    evaluation: str  # the item's text around it
    training: str  # the row's


@dataclass(frozen=True)
class SetLeakage:
    """One evaluation set: how many of its items a row of the training set touches, by the closest row."""

    name: str
    items: int
    by_kind: Mapping[Kind, int]
    rows: int  # rows of the training set that touch an item
    only_whole: int  # items that are too short, or too much like others, to be found within a longer turn
    word_for_word: int  # items below n words, which are found within a turn with all of their words as they are
    instruction: str  # what most items begin and end with, which was not compared

    @property
    def touched(self) -> int:
        """Items that the training set holds: exact, normalised, or half of their n-grams in one row."""
        return sum(self.by_kind[kind] for kind in TOUCHING)

    @property
    def share(self) -> float:
        """Of the items, the share that is touched."""
        return self.touched / self.items


@dataclass(frozen=True)
class LeakageProfile:
    """What `Overlap` found."""

    rows: int
    n: int  # words of an n-gram
    sets: tuple[SetLeakage, ...]
    rows_by_kind: Mapping[Kind, int]  # rows of the training set, by the closest that they come to an item of any set
    touching_rows: tuple[int, ...]  # numbers of the rows, the first ROWS_LISTED
    pairs: tuple[Pair, ...]  # the worst, one an item
    boilerplate: int  # n-grams left out, since more than `most` evaluation texts share them
    most: int
    boilerplate_begins: str  # the commonest
    without_own: int  # evaluation texts without an n-gram of their own: found only as a whole turn
    families: int  # evaluation prompts of templates: not compared but for their numbers

    @property
    def touching(self) -> int:
        """Rows of the training set that hold an item."""
        return sum(self.rows_by_kind[kind] for kind in TOUCHING)


_Rank = tuple[int, float, int]


class Overlap:
    """Leakage in one pass over the training set; memory is that of the evaluation sets.

    `sets` maps the name of each evaluation set to its items (texts, Examples or Items). Raises TriaxisError for a set
    without items.
    """

    def __init__(self, sets: Mapping[str, Iterable[str | Example | Item]], *, n: int = N) -> None:
        self.index = EvaluationIndex(sets, n=n)
        self._begin()

    def _begin(self) -> None:
        items = sum(self.index.items.values())
        self._closest = np.full(items, len(KINDS), dtype=np.int8)  # of each item; len(KINDS): untouched
        self._rows_of_sets: Counter[str] = Counter()
        self._by_kind: Counter[Kind] = Counter()
        self._n = 0
        self._listed: list[int] = []
        self._worst: dict[int, tuple[_Rank, Pair]] = {}  # by item
        self._held: list[Example] = []
        self._rows: list[int] = []
        self._held_size = 0

    def fresh(self) -> Overlap:
        """The same part before any row, on the same index."""
        part = copy(self)
        part._begin()
        return part

    def add(self, example: Example) -> None:
        """One more row of the training set."""
        self._n += 1
        self._held.append(example)
        self._rows.append(example.row or self._n)
        self._held_size += _size(example)
        if self._held_size >= BATCH_CHARACTERS or len(self._held) >= BATCH_ROWS:
            self._flush()

    def merge(self, other: Overlap) -> None:
        """Take in the rows that another saw, which was made with the same sets."""
        self._flush()
        other._flush()
        self._closest = np.minimum(self._closest, other._closest)
        self._rows_of_sets += other._rows_of_sets
        self._by_kind += other._by_kind
        self._n += other._n
        self._listed = sorted(self._listed + other._listed)[:ROWS_LISTED]
        for item, (rank, pair) in other._worst.items():
            self._keep(item, rank, pair)

    def touches(self, example: Example, *, kinds: Collection[Kind] = TOUCHING) -> Touch | None:
        """The closest that this row comes to an item, if it is of one of these kinds; else None.

        It doesn't count in the result, as `add` does. For many rows `touched` is faster.
        """
        return next(touch for _, touch in self.touched([example], kinds=kinds))

    def touched(
        self, examples: Iterable[Example], *, kinds: Collection[Kind] = TOUCHING
    ) -> Iterator[tuple[Example, Touch | None]]:
        """Each row with the closest that it comes to an item; rows are looked up some hundreds at a time."""
        for batch in _batches(examples):
            closest: dict[int, Touch] = {}
            for hit in sorted(self.index.look_up(batch), key=_rank, reverse=True):
                if hit.row not in closest and hit.kind in kinds:
                    text = self.index.texts[hit.text]
                    closest[hit.row] = Touch(hit.kind, text.set, text.item, text.part, hit.share)
            for i, example in enumerate(batch):
                yield example, closest.get(i)

    def result(self) -> LeakageProfile:
        """What was found so far."""
        self._flush()
        pairs = sorted(self._worst.values(), key=lambda held: (held[0], -held[1].row), reverse=True)
        return LeakageProfile(
            rows=self._n,
            n=self.index.n,
            sets=tuple(self._sets()),
            rows_by_kind={kind: self._by_kind[kind] for kind in KINDS},
            touching_rows=tuple(sorted(self._listed)),
            pairs=tuple(pair for _, pair in pairs),
            boilerplate=self.index.boilerplate,
            most=self.index.most,
            boilerplate_begins=self.index.boilerplate_begins,
            without_own=self.index.without_own,
            families=self.index.families,
        )

    def _sets(self) -> Iterator[SetLeakage]:
        first = 0
        only_whole, word_for_word = self.index.only_whole(), self.index.word_for_word()
        for name, items in self.index.items.items():
            closest = self._closest[first : first + items]
            counts = {kind: int((closest == k).sum()) for k, kind in enumerate(KINDS)}
            of_short = (only_whole[name], word_for_word[name])
            yield SetLeakage(name, items, counts, self._rows_of_sets[name], *of_short, self.index.instructions[name])
            first += items

    def _flush(self) -> None:
        by_row: dict[int, list[Hit]] = {}
        for hit in self.index.look_up(self._held):
            by_row.setdefault(hit.row, []).append(hit)
        for row, hits in by_row.items():
            self._take(self._held[row], self._rows[row], hits)
        self._held, self._rows, self._held_size = [], [], 0

    def _take(self, example: Example, row: int, hits: list[Hit]) -> None:
        sets = set()
        for hit in hits:
            text = self.index.texts[hit.text]
            self._closest[text.number] = min(self._closest[text.number], KINDS.index(hit.kind))
            if hit.kind in TOUCHING:
                sets.add(text.set)
            self._show(example, row, hit)
        self._by_kind[min((hit.kind for hit in hits), key=KINDS.index)] += 1
        self._rows_of_sets.update(sets)
        if sets and len(self._listed) < ROWS_LISTED:
            self._listed.append(row)

    def _show(self, example: Example, row: int, hit: Hit) -> None:
        """Keep the pair if it is among the worst."""
        text, rank = self.index.texts[hit.text], _rank(hit)
        held = self._worst.get(text.number)
        if held is not None and held[0] >= rank:
            return
        if held is None and len(self._worst) == SHOWN and min(held[0] for held in self._worst.values()) >= rank:
            return
        span = longest_run(text.core, _texts(example), SHORTER[0])
        of = (hit.kind, text.set, text.item, text.part, row, hit.share)
        pair = Pair(*of, span.words, span.shared, span.here, span.there)
        self._keep(text.number, rank, pair)

    def _keep(self, item: int, rank: _Rank, pair: Pair) -> None:
        if item not in self._worst or self._worst[item][0] < rank:
            self._worst[item] = rank, pair
        if len(self._worst) > SHOWN:
            del self._worst[min(self._worst, key=lambda number: (self._worst[number][0], -number))]


def _rank(hit: Hit) -> _Rank:
    """The closer the larger; among equals the larger share of the n-grams."""
    return (len(KINDS) - KINDS.index(hit.kind), round(hit.share, 6), -hit.text)


def _texts(example: Example) -> list[str]:
    return [turn.content for turn in example.turns] + [text for text in (example.thought, example.solution) if text]


def _size(example: Example) -> int:
    return sum(len(turn.content) for turn in example.turns) + len(example.thought or "") + len(example.solution)


def _batches(examples: Iterable[Example]) -> Iterator[list[Example]]:
    held: list[Example] = []
    size = 0
    for example in examples:
        held.append(example)
        size += _size(example)
        if size >= BATCH_CHARACTERS or len(held) >= BATCH_ROWS:
            yield held
            held, size = [], 0
    if held:
        yield held
