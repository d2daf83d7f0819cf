"""`other_trace`: the trace of another problem of the same domain, before the row's own solution."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

from triaxis.axes.data.recipes.dice import Dice, draw
from triaxis.axes.data.recipes.operation import CannotDo
from triaxis.axes.data.recipes.spill import Spill
from triaxis.types import Example

_TRIES = 64  # candidates looked at before a row is given up


class Others:
    """Rows to borrow from, by domain, on a circle: each has a place on it that its id draws.

    From the place that a row draws for itself the next row is taken. So which that is depends on the seed and the ids
    that are there, on no order and on no rate.
    """

    def __init__(self, rows: Spill | None = None, seed: int = 0) -> None:
        self._rows, self._seed = rows, seed
        self._places: dict[str, list[tuple[float, int]]] = {}  # domain -> place on the circle, number of the row
        self.asked = False

    def add(self, example: Example) -> None:
        """One more row to borrow from."""
        assert self._rows is not None
        place = draw(self._seed, "lender", example.id), len(self._rows)
        self._places.setdefault(example.domain, []).append(place)
        self._rows.add(example)

    @cached_property
    def _circles(self) -> dict[str, list[tuple[float, int]]]:
        return {domain: sorted(places) for domain, places in self._places.items()}

    def of(self, example: Example, dice: Dice) -> Iterator[Example]:
        """Rows of its domain that ask something else, from a drawn place on."""
        self.asked = True
        circle = self._circles.get(example.domain, [])
        start = bisect(circle, (dice.unit(), 0))
        for i in range(min(len(circle), _TRIES)):
            assert self._rows is not None
            other = self._rows[circle[(start + i) % len(circle)][1]]
            if other.id != example.id and other.turns != example.turns:
                yield other


def other_trace(example: Example, dice: Dice, others: Others) -> tuple[Example, str]:
    """The thought of another row where both have one; where neither has, its whole solution, with another answer."""
    for other in others.of(example, dice):
        if example.thought and other.thought and other.thought.strip() != example.thought.strip():
            return replace(example, thought=other.thought), f"of {other.id}"
        bare = not example.thought and not other.thought
        if bare and other.solution.strip() and other.answer is not None and other.answer != example.answer:
            return replace(example, solution=other.solution, answer=other.answer), f"of {other.id}"
    raise CannotDo("no other trace of its domain")
