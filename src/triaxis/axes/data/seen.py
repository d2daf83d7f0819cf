"""Which ids were there before, in eight bytes an id: a set of texts would grow with the file to many times that."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MASK = (1 << 64) - 1
FEW = 1 << 15  # ids that are looked up in a set, before they are sorted into an array


class Seen:
    """A set of texts that only grows, by Python's 64-bit hashes: of ten million ids, two share one with chance 3e-6."""

    def __init__(self) -> None:
        self._recent: set[int] = set()
        self._sorted: list[NDArray[np.uint64]] = []  # each at least twice as long as the next

    def add(self, text: str) -> bool:
        """Take a text in; False where it was there."""
        number = hash(text) & MASK
        if number in self._recent or (self._sorted and any(_holds(array, number) for array in self._sorted)):
            return False
        self._recent.add(number)
        if len(self._recent) == FEW:
            self._sorted.append(np.sort(np.fromiter(self._recent, np.uint64, FEW)))
            self._recent.clear()
            while len(self._sorted) > 1 and len(self._sorted[-2]) < 2 * len(self._sorted[-1]):
                last = self._sorted.pop()
                self._sorted[-1] = np.sort(np.concatenate([self._sorted[-1], last]))
        return True


def _holds(array: NDArray[np.uint64], number: int) -> bool:
    at = int(np.searchsorted(array, np.uint64(number)))
    return at < len(array) and int(array[at]) == number
