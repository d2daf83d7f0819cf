"""What a response does beside being right or wrong: how much of it stands word for word in the training traces."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

WORDS = 8  # of an n-gram: longer than a step of the lab's traces, so that a match is a copy and no habit of wording
_CHUNK = 1 << 20  # words that are hashed at a time

Hashes = NDArray[np.uint64]


class Ngrams:
    """The distinct word n-grams of some texts, as sorted 64-bit hashes: eight bytes each, whatever the texts' length.

    An n-gram lies within one text. Two different ones share a hash with a chance of 2⁻⁶⁴; words are told apart exactly.
    """

    def __init__(self, texts: Iterable[str], n: int = WORDS) -> None:
        if n < 1:
            raise ValueError("an n-gram has one word or more")
        self.n = n
        self._words: dict[str, int] = {}
        found: list[Hashes] = []
        chunk: list[list[int]] = []
        size = 0
        for text in texts:
            chunk.append([self._words.setdefault(word, len(self._words)) for word in text.split()])
            size += len(chunk[-1])
            if size > _CHUNK:
                found.append(self._distinct(chunk))
                chunk, size = [], 0
        self._hashes = np.unique(np.concatenate([*found, self._distinct(chunk)]))

    def __len__(self) -> int:
        return len(self._hashes)

    def share(self, text: str) -> float | None:
        """Part of a text's n-grams that are among these, 0..1; None where it is shorter than one."""
        words = text.split()
        if len(words) < self.n:
            return None
        # A word that no text holds gets a number that no word has: its n-grams match nothing.
        hashes = _hashed([self._words.get(word, len(self._words)) for word in words], self.n)
        at = np.searchsorted(self._hashes, hashes)
        inside = at < len(self._hashes)
        return float((self._hashes[at[inside]] == hashes[inside]).sum() / len(hashes))

    def _distinct(self, texts: Iterable[list[int]]) -> Hashes:
        parts = [_hashed(words, self.n) for words in texts if len(words) >= self.n]
        return np.unique(np.concatenate(parts)) if parts else np.array([], dtype=np.uint64)


def _hashed(words: list[int], n: int) -> Hashes:
    """The hash of each n-gram of a text: a polynomial of its words' mixed numbers, modulo 2⁶⁴."""
    mixed = _mixed(np.asarray(words, dtype=np.uint64))
    length = len(words) - n + 1
    total = np.zeros(length, dtype=np.uint64)
    for k in range(n):
        total = total * np.uint64(0x9E3779B97F4A7C15) + mixed[k : k + length]
    return _mixed(total)


def _mixed(x: Hashes) -> Hashes:
    """splitmix64's finaliser: every bit of the result depends on every bit of `x`."""
    x = (x + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)), dtype=np.uint64)
