"""What a reader of results gives: one task at one checkpoint, its rows as columns, each with its place in a file."""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from triaxis.integrations.places import Place
from triaxis.records.files import Origin

ACCURACY = "accuracy"


@dataclass(frozen=True)
class Measured:
    """One task at one checkpoint: records, or a summary in a single row without `item`.

    `columns` are those of the long table that differ between rows, lists of one length; `at(i)` says where row i
    stands.
    """

    place: Place
    task: str
    metric: str
    higher_is_better: bool
    columns: Mapping[str, list[Any]]
    at: Callable[[int], str]

    @property
    def n(self) -> int:
        return len(self.columns["score"])


@dataclass(frozen=True)
class Rows(Origin):
    """The origin of rows that come from many files: each tells its own place."""

    parts: tuple[Measured, ...] = ()
    ends: tuple[int, ...] = field(default=())

    @classmethod
    def of(cls, name: str, parts: Sequence[Measured]) -> Rows:
        ends = tuple(accumulate(part.n for part in parts))
        return cls(name, ends[-1] if ends else 0, parts=tuple(parts), ends=ends)

    def where(self, i: int) -> str:
        part = bisect_right(self.ends, i)
        return self.parts[part].at(i - (self.ends[part - 1] if part else 0))


def number(value: object) -> float | None:
    """A finite number, a truth value, or either in words, as results hold them; None for anything else."""
    if isinstance(value, str):
        words = {"true": 1.0, "false": 0.0}
        try:
            value = words[value.lower()] if value.lower() in words else float(value)
        except ValueError:
            return None
    if not isinstance(value, (bool, int, float)) or not math.isfinite(value):
        return None
    return float(value)


def brief(value: object) -> str:
    """A value of a JSON file in a message: short, on one line."""
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= 40 else text[:37] + "..."
