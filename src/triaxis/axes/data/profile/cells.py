"""How many rows there are of each domain and difficulty, in bounded memory, and how evenly they are spread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

from triaxis.stats.entropy import effective_number, entropy
from triaxis.types import Example, NotEstimable

NONE = "(none)"  # a row that doesn't say
OTHER = "(other)"
MOST_LABELS = 10_000  # different labels that are counted apart; the rest counts as OTHER
MOST_LEVELS = 20  # different numbers of difficulty that are told apart; more are put into BINS of equal width
BINS = 10

Cells = dict[tuple[str, str], int]


@dataclass(frozen=True)
class Spread:
    """How evenly rows are spread over categories, of those that say theirs."""

    entropy: float  # nats
    effective: float  # as many categories of equal size are as diverse
    counts: Mapping[str, int]
    missing: int  # rows that don't say; they are in nothing else here
    missing_share: float
    others: int = 0  # rows of labels beyond MOST_LABELS, which are in nothing else here, too


class CellCounts:
    """Rows by domain and difficulty."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self._domains: set[str] = set()
        self._difficulties: set[str] = set()

    def add(self, example: Example) -> None:
        domain = _bounded(example.domain.strip() or NONE, self._domains)
        self.counts[domain, _bounded(difficulty_label(example.difficulty), self._difficulties)] += 1

    def merge(self, other: CellCounts) -> None:
        for (domain, difficulty), count in other.counts.items():
            self.counts[_bounded(domain, self._domains), _bounded(difficulty, self._difficulties)] += count

    def cells(self, edges: tuple[float, float] | None = None) -> Cells:
        """The counts, numbers of difficulty in bins where there are many (between `edges`, if given)."""
        bins = edges or self.edges()
        if bins is None:
            return dict(sorted(self.counts.items()))
        binned: Counter[tuple[str, str]] = Counter()
        for (domain, difficulty), count in self.counts.items():
            binned[domain, _bin(difficulty, *bins)] += count
        return dict(sorted(binned.items()))

    def edges(self, *others: CellCounts) -> tuple[float, float] | None:
        """Smallest and largest number of difficulty, here and in the others, where they need bins; else None."""
        labels = set().union(*({label for _, label in counts.counts} for counts in (self, *others)))
        numbers = [x for x in map(number_of, labels) if x is not None]
        return (min(numbers), max(numbers)) if len(numbers) > MOST_LEVELS else None


def difficulty_label(value: str | float | None) -> str:
    """How a difficulty is counted: numbers to three figures, 3 and 3.0 and "3" as one."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return NONE
    number = number_of(value)
    return " ".join(str(value).split()) if number is None else f"{number:.3g}"


def number_of(label: str | float) -> float | None:
    """The number that a label is; None where it is none."""
    try:
        number = float(label)
    except (ValueError, OverflowError):  # the latter of a whole number with hundreds of digits
        return None
    return number if isfinite(number) else None


def ordered(labels: set[str]) -> list[str]:
    """Difficulties as they are shown: numbers and bins by size, then words, then rows that don't say."""

    def key(label: str) -> tuple[bool, bool, float, str]:
        number = number_of(label.split(" to ")[0])
        return (label in (NONE, OTHER), number is None, number or 0.0, label)

    return sorted(labels, key=key)


def said_of(counts: Mapping[str, int]) -> dict[str, int]:
    """The counts without rows that don't say, and without those that are counted together: neither is a category."""
    return {label: count for label, count in counts.items() if label not in (NONE, OTHER)}


def spread(counts: Mapping[str, int]) -> Spread | NotEstimable:
    """How evenly the rows are spread; not estimable where no row says what it is."""
    said, missing = said_of(counts), counts.get(NONE, 0)
    if not sum(said.values()):
        return NotEstimable("no row says it")
    share = missing / sum(counts.values())
    return Spread(entropy(said.values()), effective_number(said.values()), said, missing, share, counts.get(OTHER, 0))


def joined(cells: Cells) -> dict[str, int]:
    """Counts by domain and difficulty as one label; rows that don't say both say none."""
    counts: Counter[str] = Counter()
    for (domain, level), count in cells.items():
        counts[NONE if {domain, level} & {NONE, OTHER} else f"{domain} / {level}"] += count
    return dict(counts)


def totals(cells: Cells, side: int) -> dict[str, int]:
    """Counts by domain (side 0) or by difficulty (side 1), the largest domains first."""
    sums: Counter[str] = Counter()
    for labels, count in cells.items():
        sums[labels[side]] += count
    if side:
        return {label: sums[label] for label in ordered(set(sums))}
    return dict(sorted(sums.items(), key=lambda pair: (-pair[1], pair[0])))


def _bounded(label: str, known: set[str]) -> str:
    label = label[:200]
    if label not in known:
        if len(known) >= MOST_LABELS:
            return OTHER
        known.add(label)
    return label


def _bin(label: str, low: float, high: float) -> str:
    number = number_of(label)
    if number is None:
        return label
    width = (high - low) / BINS
    place = min(BINS - 1, int((number - low) / width))
    return f"{low + place * width:.3g} to {low + (place + 1) * width:.3g}"
