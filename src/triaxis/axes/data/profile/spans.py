"""What two texts share, to be shown: the longest run of words that stands in both, with what is around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from triaxis.axes.data.profile.shingles import Words, ngrams, words_of

EXCERPT, AROUND = 300, 60  # characters shown from the beginning of a run, and before it


@dataclass(frozen=True)
class Span:
    """A run of words that a text shares with another."""

    words: int  # 0: none was found
    shared: str  # how it begins
    here: str  # the text around it
    there: str  # the other text around it


def longest_run(text: str, others: Sequence[str], n: int) -> Span:
    """The longest run of at least n words that a text shares with one of the others; n is less for a short text."""
    mine = words_of([text])
    n = min(n, len(mine.hashes))
    best = (0, 0, 0, 0)  # words, first word here, first character there, which other
    for k, other in enumerate(others):
        theirs = words_of([other])
        words, here, there = _longest(mine, theirs, n)
        if words > best[0]:
            best = words, here, int(theirs.starts[there]), k
    words, first, there, k = best
    if not words:
        return Span(0, "", excerpt(text, 0), excerpt(others[0] if others else "", 0))
    begin = int(mine.starts[first])
    end = int(mine.starts[first + words]) if first + words < len(mine.hashes) else len(text)
    shared = " ".join(text[begin : min(end, begin + EXCERPT)].split())
    return Span(words, shared, excerpt(text, begin), excerpt(others[k], there))


def _longest(mine: Words, theirs: Words, n: int) -> tuple[int, int, int]:
    """The first longest run of n words or more in both: how long, and its first word here and there."""
    grams = ngrams(mine, n).hashes if n else np.zeros(0, np.uint64)
    if not len(grams):
        return 0, 0, 0
    order = np.argsort(grams, kind="stable")
    found = ngrams(theirs, n).hashes
    place = np.minimum(np.searchsorted(grams, found, sorter=order), len(grams) - 1)
    there = np.flatnonzero(grams[order[place]] == found)
    if not len(there):
        return 0, 0, 0
    here = order[place[there]]
    broken = np.flatnonzero((np.diff(there) != 1) | (np.diff(here) != 1)) + 1
    begins = np.concatenate([np.zeros(1, np.int64), broken])
    sizes = np.diff(np.append(begins, len(there)))
    k = int(sizes.argmax())
    return int(sizes[k]) + n - 1, int(here[begins[k]]), int(there[begins[k]])


def excerpt(text: str, at: int) -> str:
    """What stands around a character, spacing made plain."""
    begin, end = max(0, at - AROUND), at + EXCERPT
    cut = " ".join(text[begin:end].split())
    return ("…" if begin else "") + cut + ("…" if end < len(text) else "")
