"""Whether a data set covers what its user will meet: domains, difficulties, and the nearest row to each target item."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass

import numpy as np

from triaxis.axes.data.profile.cells import CellCounts, joined, said_of, totals
from triaxis.axes.data.profile.diversity import problem_of
from triaxis.axes.data.profile.features import ORDERS, Rarity, hashed_counts
from triaxis.axes.data.profile.minhash import batches
from triaxis.axes.data.profile.shingles import words_of
from triaxis.axes.data.profile.spans import excerpt
from triaxis.types import Example, Item, NotEstimable, TriaxisError, Turn

SAMPLE = 1000  # target items whose neighbours are looked for; of more, these are drawn
NEAR = 0.5  # cosine from which a row counts as a neighbour
FAR = 0.05  # quantile of the target's own nearest similarities, below which an item is far from the data
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SUBSAMPLES = 20  # of the target, in place of as few rows
UNRELATED = 200  # texts whose greatest cosine with a row is hashing noise, and
NOISE = 0.99  # its quantile: below it an item may share no word with any row
ROUNDING = 1e-5  # of a cosine
SHOWN = 10
MISSING_SHARE = 0.01  # of the target, from which a domain or cell without a row is listed
BATCH_CHARACTERS, BATCH_ROWS = 1 << 19, 1024  # rows that are worth one vectorised pass


@dataclass(frozen=True)
class Gap:
    """How far the rows' distribution over categories is from the target's."""

    distance: float  # total variation: the share of rows that would have to move
    by_chance: float  # what two samples of these sizes from one distribution would show
    rows: Mapping[str, float]  # shares
    target: Mapping[str, float]
    missing: tuple[str, ...]  # categories of 1 % of the target or more, and of no row
    rows_unsaid: float = 0.0  # share of the rows that say none, and are left out of all of this
    target_unsaid: float = 0.0  # ... and of the target


@dataclass(frozen=True)
class Far:
    """A target item with the row nearest to it."""

    item: str
    text: str  # how it begins
    similarity: float  # cosine
    row: int
    nearest: str


@dataclass(frozen=True)
class CoverageProfile:
    """What `Coverage` found. Similarities are cosines of hashed words and pairs of words, rare ones weighing more."""

    rows: int
    target: int  # items
    sampled: int  # of these, whose nearest rows were looked for
    domains: Gap | NotEstimable
    difficulties: Gap | NotEstimable
    cells: Gap | NotEstimable  # domain x difficulty
    nearest: Mapping[float, float] | NotEstimable  # quantiles of an item's similarity to its nearest row
    own: Mapping[float, float] | NotEstimable  # the same to the nearest of `compared` other items of the target
    compared: int  # as many as there are rows, or all
    floor: float | NotEstimable  # similarity that unrelated texts have to one of so many rows, by hashing alone
    unrelated: float | NotEstimable  # share of items no nearer to a row than that
    own_unrelated: float | NotEstimable  # ... no nearer to the others of the target
    near: float  # similarity from which a row is a neighbour
    without_neighbour: float | NotEstimable  # share of items
    far: float | NotEstimable  # share of items farther than 95 % of the target's are from `compared` others
    far_by_chance: float  # what rows and target of one distribution exceed once in a hundred times; .05 is their mean
    farthest: tuple[Far, ...]


class Coverage:
    """Coverage of target items in one pass over the rows; memory is that of a sample of the target.

    Raises TriaxisError where the target holds nothing.
    """

    def __init__(self, target: Iterable[str | Example | Item], *, sample: int = SAMPLE, seed: int = 0) -> None:
        self.target = CellCounts()
        self.size = 0
        drawn: list[tuple[str, str]] = []
        rng = random.Random(seed)
        for item in target:
            place = self.size if self.size < sample else rng.randrange(self.size + 1)
            self.size += 1
            example = _example(item, self.size)
            self.target.add(example)
            if place < sample:
                drawn[place : place + 1] = [(example.id, problem_of(example))]
        if not self.size:
            raise TriaxisError("the target holds no items to compare with; give a file with items")
        self.items = drawn
        parts = [words_of(batch) for batch in batches(text for _, text in drawn)]
        self._rarity = Rarity(parts)
        self._vectors = np.concatenate([hashed_counts(part, self._rarity) for part in parts])
        outside = self._rarity.seen_from_outside()
        self._as_rows = np.concatenate([hashed_counts(part, outside) for part in parts])
        self._noise = unrelated(self._vectors, seed)
        self._begin()

    def _begin(self) -> None:
        self.rows = CellCounts()
        self._n = 0
        self._similarity = np.full(len(self.items), -1.0, dtype=np.float32)
        self._nearest: list[tuple[int, str]] = [(0, "")] * len(self.items)
        self._by_noise = np.full(len(self._noise), -1.0, dtype=np.float32)
        self._held: list[str] = []
        self._held_rows: list[int] = []
        self._held_size = 0

    def fresh(self) -> Coverage:
        """The same part before any row, with the same target."""
        part = copy(self)
        part._begin()
        return part

    def add(self, example: Example) -> None:
        """One more row."""
        self._n += 1
        self.rows.add(example)
        prompt = problem_of(example)
        self._held.append(prompt)
        self._held_rows.append(example.row or self._n)
        self._held_size += len(prompt)
        if self._held_size >= BATCH_CHARACTERS or len(self._held) >= BATCH_ROWS:
            self._flush()

    def _flush(self) -> None:
        if not self._held:
            return
        vectors = hashed_counts(words_of(self._held), self._rarity)
        similarity = self._vectors @ vectors.T
        self._by_noise = np.maximum(self._by_noise, (self._noise @ vectors.T).max(axis=1))
        best = similarity.argmax(axis=1)
        values = similarity[np.arange(len(best)), best]
        for i in np.flatnonzero(values > self._similarity).tolist():
            self._similarity[i] = values[i]
            self._nearest[i] = self._held_rows[best[i]], excerpt(self._held[best[i]], 0)
        self._held, self._held_rows, self._held_size = [], [], 0

    def merge(self, other: Coverage) -> None:
        """Take in the rows that another saw, which was made with the same target."""
        self._flush()
        other._flush()
        self._n += other._n
        self.rows.merge(other.rows)
        self._by_noise = np.maximum(self._by_noise, other._by_noise)
        for i in range(len(self.items)):
            closer = other._similarity[i] - self._similarity[i]
            if closer > 0 or (closer == 0 and other._nearest[i][0] < self._nearest[i][0]):
                self._similarity[i], self._nearest[i] = other._similarity[i], other._nearest[i]

    def result(self) -> CoverageProfile:
        """What was found so far."""
        self._flush()
        edges = self.target.edges(self.rows)
        ours, theirs = self.rows.cells(edges), self.target.cells(edges)
        domains, difficulties = (gap(totals(ours, side), totals(theirs, side)) for side in (0, 1))
        told = not isinstance(domains, NotEstimable) and not isinstance(difficulties, NotEstimable)
        both = [joined(cells) for cells in (ours, theirs)]
        similarity = self._similarity.astype(np.float64)
        own, compared = self._own()
        some, alone = self._n > 0, NotEstimable("the target holds one item")
        none = NotEstimable("there are no rows")
        floor = float(np.quantile(self._by_noise, NOISE)) if some and len(self._noise) else none
        return CoverageProfile(
            rows=self._n,
            target=self.size,
            sampled=len(self.items),
            domains=domains,
            difficulties=difficulties,
            cells=gap(*both) if told else NotEstimable("domains or difficulties are not said on both sides"),
            nearest=_quantiles(similarity) if some else none,
            own=_quantiles(own) if len(own) else alone,
            compared=compared,
            floor=floor,
            unrelated=_below(similarity, floor),
            own_unrelated=_below(own, floor) if len(own) else alone,
            near=NEAR,
            without_neighbour=float((similarity < NEAR).mean()) if some else none,
            far=far_of(similarity, own, floor),
            far_by_chance=by_chance(len(similarity), compared),
            farthest=self._farthest() if some else (),
        )

    def _own(self) -> tuple[np.ndarray, int]:
        """Similarities of target items to the nearest of as many others as there are rows, and how many those are.

        The nearest of few is farther than the nearest of many. So where the rows are fewer than the target, subsamples
        of it take their place.
        """
        items = len(self.items)
        compared = min(self._n, items - 1)
        if compared < 1:
            return np.zeros(0), 0
        similarity = self._vectors @ self._as_rows.T
        np.fill_diagonal(similarity, -1.0)
        if compared == items - 1:
            return np.asarray(similarity.max(axis=1), dtype=np.float64), compared
        rng = np.random.default_rng(0)
        drawn = (rng.permutation(items) for _ in range(SUBSAMPLES))
        nearest = [similarity[np.ix_(order[compared:], order[:compared])].max(axis=1) for order in drawn]
        return np.concatenate(nearest).astype(np.float64), compared

    def _farthest(self) -> tuple[Far, ...]:
        order = np.argsort(self._similarity, kind="stable")[:SHOWN].tolist()
        return tuple(
            Far(self.items[i][0], excerpt(self.items[i][1], 0), float(self._similarity[i]), *self._nearest[i])
            for i in order
        )


def unrelated(vectors: np.ndarray, seed: int) -> np.ndarray:
    """Vectors of texts like these that share no word with any: their numbers at other places, with other signs."""
    rng = np.random.default_rng(seed)
    some = vectors[rng.permutation(len(vectors))[:UNRELATED]]
    half = vectors.shape[1] // len(ORDERS)
    halves = [rng.permuted(some[:, at : at + half], axis=1) for at in range(0, vectors.shape[1], half)]
    turned: np.ndarray = np.concatenate(halves, axis=1) * rng.choice([-1.0, 1.0], size=some.shape)
    return turned.astype(np.float32)


def _below(similarity: np.ndarray, floor: float | NotEstimable) -> float | NotEstimable:
    return floor if isinstance(floor, NotEstimable) else float((similarity < floor).mean())


def far_of(similarity: np.ndarray, own: np.ndarray, floor: float | NotEstimable) -> float | NotEstimable:
    """The share of items that are farther from every row than 95 % of the target's are from each other."""
    if isinstance(floor, NotEstimable):
        return floor
    if not len(own):
        return NotEstimable("the target holds one item")
    limit = float(np.quantile(own, FAR))
    if limit < floor:
        return NotEstimable("many items of the target share no more words with each other than unrelated texts do")
    return float((similarity < limit - ROUNDING).mean())


def by_chance(items: int, compared: int) -> float:
    """What `far` exceeds once in a hundred times where rows and target are alike, by the normal approximation.

    The share's own variance and that of the quantile, doubled, since items have their nearest row in common.
    """
    deviation = np.sqrt(2 * FAR * (1 - FAR) * (1 / max(items, 1) + 1 / (compared + 1)))
    return float(min(1.0, FAR + 2.33 * deviation))


def gap(rows: Mapping[str, int], target: Mapping[str, int]) -> Gap | NotEstimable:
    """The total variation distance between two sets of counts, of those that say where they belong.

    Not estimable where a side says nothing.

    `by_chance` is its mean where both are samples from their pooled distribution, by the normal approximation:
    sum over categories of sqrt(p (1 - p) (1/n + 1/m) / (2 pi)).
    """
    unsaid = []
    for name, counts in (("row", rows), ("target item", target)):
        said, total = sum(said_of(counts).values()), sum(counts.values())
        if not said:
            return NotEstimable(f"no {name} says it")
        unsaid.append(1 - said / total)
    rows, target = said_of(rows), said_of(target)
    n, m = sum(rows.values()), sum(target.values())
    labels = sorted({*rows, *target})
    p = np.array([rows.get(label, 0) for label in labels]) / n
    q = np.array([target.get(label, 0) for label in labels]) / m
    pooled = (n * p + m * q) / (n + m)
    chance = float(np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m) / (2 * np.pi)).sum())
    missing = [(share, label) for label, share in zip(labels, q, strict=True) if share >= MISSING_SHARE]
    return Gap(
        distance=float(np.abs(p - q).sum() / 2),
        by_chance=min(1.0, chance),
        rows=dict(zip(labels, p.tolist(), strict=True)),
        target=dict(zip(labels, q.tolist(), strict=True)),
        missing=tuple(label for _, label in sorted(missing, key=lambda pair: -pair[0]) if not rows.get(label)),
        rows_unsaid=unsaid[0],
        target_unsaid=unsaid[1],
    )


def _quantiles(values: np.ndarray) -> dict[float, float]:
    return {q: float(x) for q, x in zip(QUANTILES, np.quantile(values, QUANTILES), strict=True)}


def _example(item: str | Example | Item, place: int) -> Example:
    """Any kind of item as an Example: what it asks, and where it belongs."""
    if isinstance(item, Example):
        return item
    if isinstance(item, Item):
        turns = (Turn("user", item.prompt),)
        return Example(item.id, turns, None, "", None, domain=item.task, difficulty=item.level, row=place)
    return Example(str(place), (Turn("user", item),), None, "", None, row=place)
