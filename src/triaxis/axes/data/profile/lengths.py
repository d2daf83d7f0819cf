"""Lengths of many texts in bounded memory: a histogram whose quantiles are exact for small lengths."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

EXACT = 1024  # lengths below this have a bin of their own
BINS = 512  # in each doubling above it
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
ERROR = 1 / (2 * BINS)  # of a quantile at most, relative to it


@dataclass(frozen=True)
class LengthSummary:
    """Lengths of one part of the examples in one unit. All 0 where there is no text at all."""

    n: int  # texts, empty ones included
    total: int
    mean: float
    quantiles: dict[str, float]  # "0.5": the median. Exact below EXACT and at the ends; else within ERROR of itself
    edges: tuple[float, ...]  # of a histogram, one more than counts, evenly spaced on a log scale from 1
    counts: tuple[int, ...]


@dataclass
class Lengths:
    """A histogram of whole numbers from 0: at most a few thousand bins, whatever is added. Merging loses nothing."""

    bins: Counter[int] = field(default_factory=Counter)
    n: int = 0
    total: int = 0
    least: int | None = None
    most: int = 0

    def add(self, length: int) -> None:
        self.bins[_bin(length)] += 1
        self.n += 1
        self.total += length
        self.most = max(self.most, length)
        self.least = length if self.least is None else min(self.least, length)

    def merge(self, other: Lengths) -> None:
        self.bins.update(other.bins)
        self.n += other.n
        self.total += other.total
        self.most = max(self.most, other.most)
        both = [least for least in (self.least, other.least) if least is not None]
        self.least = min(both, default=None)

    def quantile(self, share: float) -> float:
        """The smallest length that at least this share of the texts don't exceed."""
        if share <= 0 or self.n == 0:
            return float(self.least or 0)
        if share >= 1:
            return float(self.most)
        wanted, seen = share * self.n, 0
        for bin in sorted(self.bins):
            seen += self.bins[bin]
            if seen >= wanted - 1e-9:
                return min(max(_middle(bin), float(self.least or 0)), float(self.most))
        return float(self.most)

    def summary(self) -> LengthSummary:
        edges, counts = self._histogram()
        quantiles = {f"{share:g}": self.quantile(share) for share in QUANTILES}
        return LengthSummary(self.n, self.total, self.total / self.n if self.n else 0.0, quantiles, edges, counts)

    def _histogram(self) -> tuple[tuple[float, ...], tuple[int, ...]]:
        """Four bins a doubling from 1 (with the empty texts) to the longest."""
        steps = 1
        while 2 ** (steps / 4) <= max(self.most, 1):
            steps += 1
        edges = [2 ** (step / 4) for step in range(steps + 1)]
        counts, at = [0] * steps, 0
        for bin in sorted(self.bins):
            while at < steps - 1 and _middle(bin) >= edges[at + 1]:
                at += 1
            counts[at] += self.bins[bin]
        return tuple(edges), tuple(counts)


def _bin(length: int) -> int:
    """Its own value below EXACT; above it, a bin of width 1/BINS of the power of two below it."""
    if length < EXACT:
        return length
    shift = length.bit_length() - BINS.bit_length()
    return EXACT + (shift << BINS.bit_length()) + (length >> shift)


def _middle(bin: int) -> float:
    if bin < EXACT:
        return float(bin)
    bits = BINS.bit_length()
    shift = (bin - EXACT) >> bits
    low = ((bin - EXACT) & ((1 << bits) - 1)) << shift
    return low + ((1 << shift) - 1) / 2
