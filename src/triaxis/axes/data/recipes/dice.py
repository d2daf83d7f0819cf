"""Chance that depends on words alone: the same draws on every machine, in every process and Python version."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def draw(*key: object) -> float:
    """A uniform number in [0, 1) that belongs to this key."""
    return int.from_bytes(_digest(key)[:8], "big") / 2**64


class Dice:
    """A stream of draws that belongs to a key; Python's own generator promises the same shuffle to no later version."""

    def __init__(self, *key: object) -> None:
        self._key, self._thrown, self._left = _digest(key), 0, b""

    def unit(self) -> float:
        """Uniform in [0, 1)."""
        if not self._left:
            self._thrown += 1
            self._left = hashlib.sha256(self._key + self._thrown.to_bytes(8, "big")).digest()
        number, self._left = int.from_bytes(self._left[:8], "big"), self._left[8:]
        return number / 2**64

    def below(self, n: int) -> int:
        """A whole number from 0 to n - 1."""
        return min(int(self.unit() * n), n - 1)

    def pick(self, values: Sequence[T]) -> T:
        return values[self.below(len(values))]

    def shuffled(self, values: Sequence[T]) -> list[T]:
        return [value for _, _, value in sorted((self.unit(), i, value) for i, value in enumerate(values))]


def _digest(key: tuple[object, ...]) -> bytes:
    return hashlib.sha256("\x1f".join(map(str, key)).encode("utf-8", "surrogatepass")).digest()
