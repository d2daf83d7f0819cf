"""How hard a row is, in an order: numbers as they are, words in their known or given order, bands of equal counts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

_WORDS = (  # from easy to hard; those of a group stand at the same place
    ("trivial", "very easy", "very_easy", "beginner"),
    ("easy", "simple", "introductory"),
    ("medium", "moderate", "normal", "intermediate", "interview"),
    ("hard", "difficult", "advanced", "challenging", "competition"),
    ("very hard", "very_hard", "expert", "olympiad", "extreme"),
)
_RANKS = {word: float(rank) for rank, group in enumerate(_WORDS) for word in group}
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
LISTED = 6  # levels of a band that are named each
BAND_NAMES = {2: ("easy", "hard"), 3: ("easy", "medium", "hard")}


def ranks(levels: Iterable[str], order: Sequence[str] | None) -> dict[str, float] | None:
    """Each level with its place from easy to hard; None where words stand in no known order.

    `order` names words from easy to hard. Without it a level is ranked by the words that are known, or by the one
    number that it holds ("Level 5", "0.25").
    """
    found: dict[str, float] = {}
    places = {word: float(i) for i, word in enumerate(order or ())}
    for level in levels:
        numbers = _NUMBER.findall(level)
        if order is not None:
            rank = places.get(level)
        else:
            rank = _RANKS.get(level.strip().lower(), float(numbers[0]) if len(numbers) == 1 else None)
        if rank is None:
            return None
        found[level] = rank
    return found


def bands(counts: Counter[str], rank: dict[str, float], n: int) -> dict[str, str]:
    """Each level with its band of at most n, from easy to hard, about as many rows in each; a level is never parted.

    Bands are named by their order among those that there are: with two left of three they are easy and hard, and the
    easiest is never called medium. One level alone is no band, and keeps its name.
    """
    total, before, number = counts.total(), 0, {}
    for level in sorted(counts, key=lambda k: (rank[k], k)):
        middle = (before + counts[level] / 2) / total
        number[level] = min(int(middle * n), n - 1)
        before += counts[level]
    there = sorted(set(number.values()))
    if len(there) == 1:
        return {level: level for level in counts}
    names = BAND_NAMES.get(len(there) if n in BAND_NAMES else n, tuple(f"band {i + 1}" for i in range(n)))
    return {level: names[there.index(i)] for level, i in number.items()}


def told(counts: Counter[str], rank: dict[str, float], band: dict[str, str]) -> str:
    """Which levels are in which band, in words."""
    of: dict[str, list[str]] = {}
    for level in sorted(counts, key=lambda k: (rank[k], k)):
        of.setdefault(band[level], []).append(level)
    parts = []
    for name, levels in of.items():
        listed = ", ".join(levels) if len(levels) <= LISTED else f"{levels[0]} to {levels[-1]}"
        parts.append(f"{name} is {listed} ({sum(counts[level] for level in levels):,} rows)")
    return "difficulty: " + "; ".join(parts)
