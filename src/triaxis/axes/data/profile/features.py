"""Texts as vectors of fixed length: signed hashed counts of their words and pairs of words."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy

import numpy as np
from numpy.typing import NDArray

from triaxis.axes.data.profile.shingles import U64, Words, ngrams

Singles = NDArray[np.float32]
HALF = 512  # a half for the words, a half for the pairs of words
DIMENSIONS = 2 * HALF
ORDERS = (1, 2)


class Rarity:
    """How much each word and pair of words tells: log((1 + texts) / (1 + texts with it)), from some texts."""

    def __init__(self, parts: Iterable[Words]) -> None:
        texts, found = 0, [np.zeros(0, np.uint64)]
        for words in parts:
            texts += len(words)
            for n in ORDERS:
                grams = ngrams(words, n)
                once = np.unique(np.stack([grams.texts.astype(np.uint64), grams.hashes]), axis=1)
                found.append(once[1])
        self.hashes, counts = np.unique(np.concatenate(found), return_counts=True)
        self.texts, self.counts = texts, counts
        self.weights = np.log((1 + texts) / (1 + counts))
        self.unknown = float(np.log(1 + texts))

    def seen_from_outside(self) -> Rarity:
        """The weights that one of the texts has for the others: it does not count itself, as no other text does."""
        other = copy(self)
        other.weights = np.log((1 + self.texts) / self.counts)
        return other

    def __call__(self, hashes: U64) -> NDArray[np.float64]:
        """The weight of each n-gram; one that no text had has the largest."""
        if not len(self.hashes):
            return np.ones(len(hashes))
        place = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        return np.where(self.hashes[place] == hashes, self.weights[place], self.unknown)


def hashed_counts(words: Words, weight: Rarity | None = None) -> Singles:
    """A vector of DIMENSIONS a text: unit length, or 0 for a text without words.

    The cosine of two is the mean of their cosines over words and over pairs of words, with an error of about
    1/sqrt(512) and no bias (feature hashing with signs: Weinberger et al. 2009).
    """
    halves = []
    for n in ORDERS:
        grams = ngrams(words, n)
        cells = grams.texts * HALF + (grams.hashes >> np.uint64(55)).astype(np.int64)
        signs = 1.0 - 2.0 * (grams.hashes & np.uint64(1)).astype(np.float64)
        sums = np.bincount(cells, signs if weight is None else signs * weight(grams.hashes), len(words) * HALF)
        halves.append(_unit(sums.astype(np.float64).reshape(len(words), HALF)))
    return _unit(np.concatenate(halves, axis=1)).astype(np.float32)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return vectors / np.where(lengths > 0, lengths, 1.0)[:, None]
