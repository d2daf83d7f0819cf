"""Easy, middle and hard: the rows by thirds of the range of the difficulty that the source gives, within a domain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from triaxis.axes.data.profile.difficulty import DifficultyProfile, ranked
from triaxis.axes.data.profile.diversity import DiversityProfile
from triaxis.types import NotEstimable


@dataclass(frozen=True)
class Third:
    """The rows in a third of the range of difficulty."""

    name: str  # "easy", "middle", "hard"
    levels: str  # in words
    rows: int
    domain: str = ""  # empty where the data is of one domain


def thirds_of(difficulty: DifficultyProfile, diversity: DiversityProfile) -> tuple[Third, ...] | str:
    """The rows by thirds of the range of the source's own difficulty, or why there are none.

    Levels in words count by their places in the order from easy to hard; the thirds are of the range, not of the rows.
    Where there are several domains the range is each domain's own, since a level of one says nothing of another's;
    a domain without an order, or with one difficulty, has no thirds.
    """
    domains: dict[str, dict[str, int]] = {}
    for (domain, level), rows in diversity.cells.items():
        if ranked(level.partition(" to ")[0])[0] is not None:
            domains.setdefault(domain, {})[level] = rows
    if len(domains) < 2:
        spread = diversity.difficulties
        counts = difficulty.levels or ({} if isinstance(spread, NotEstimable) else spread.counts)
        return _thirds(counts, "")
    found = [_thirds(counts, domain) for domain, counts in domains.items()]
    thirds = tuple(third for each in found if not isinstance(each, str) for third in each)
    if thirds:
        return thirds
    reasons = {each.partition(": ")[0] for each in found if isinstance(each, str)}
    return f"no domain has thirds of difficulty: {'; '.join(sorted(reasons))}"


def _thirds(counts: Mapping[str, int], domain: str) -> tuple[Third, ...] | str:
    """The thirds of one domain's rows by level, or why there are none."""
    known = [(place, label, rows) for label, rows in counts.items() if (place := _place(label)) is not None]
    if not known:
        return "difficulties are words without an order that is known here"
    kinds = sorted({kind for (_, kind), _, _ in known})
    if len(kinds) > 1:
        return f"difficulties are of several kinds ({', '.join(kinds)}), which have no common order"
    ranks = [(rank, label, rows) for (rank, _), label, rows in known]
    low, high = min(rank for rank, _, _ in ranks), max(rank for rank, _, _ in ranks)
    if low == high:
        return f"all rows have one difficulty: {ranks[0][1]}"
    held: list[list[tuple[float, str, int]]] = [[], [], []]
    for rank, label, rows in sorted(ranks):
        held[min(2, int(3 * (rank - low) / (high - low)))].append((rank, label, rows))
    found = [
        Third(name, _levels([label for _, label, _ in third]), sum(rows for _, _, rows in third), domain)
        for name, third in zip(("easy", "middle", "hard"), held, strict=True)
    ]
    return tuple(third for third in found if third.levels or third.name != "middle")


def _levels(labels: list[str]) -> str:
    """Levels in order as a range: from the beginning of the first to the end of the last, which may be bins."""
    first, last = labels[:1], labels[-1:]
    ends = [label.partition(" to ")[0] for label in first] + [label.rpartition(" to ")[2] for label in last]
    return " to ".join(dict.fromkeys(ends))


def _place(label: str) -> tuple[float, str] | None:
    """Where a level stands, and its kind; of a bin ("1.5 to 3") its middle."""
    low, to, high = label.partition(" to ")
    rank, kind = ranked(low)
    end = ranked(high)[0] if to else rank
    return None if rank is None or end is None else ((rank + end) / 2, kind)
