"""Texts as hashed words and n-grams, many texts at once: the ground of near-duplicates, leakage and coverage."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]

PIECE = 1 << 20  # characters hashed at a time: bounds the memory that a long text takes
_OPERATORS = "+-/=<>^%|&~()[]"  # they carry meaning in a problem, so they are words; other punctuation is not
_MARKS = "_#*@!:'"  # words where they stand outside words, as in the grid of a puzzle; beside a word they separate
_DASHES = "‐‑‒–−"  # written for a minus
_BY_CHARACTER = (  # scripts that put no spaces between words: each character is a word
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x2E80, 0x2FDF), (0x3040, 0x30FF), (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF), (0xF900, 0xFAFF),
)  # fmt: skip
_KNOWN = 0x20000  # code points with a row of the table; those above are ideographs, a word each
_ALONE, _DIGIT, _CODE = np.uint32(1 << 24), np.uint32(1 << 25), np.uint32((1 << 24) - 1)
_MARK, _SCRIPT = np.uint32(1 << 26), np.uint32(1 << 27)  # one of _MARKS; a character of those in _BY_CHARACTER
_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64
_GRAM, _PLACE, _NUMBER = np.uint64(0xD6E8FEB86659FD93), np.uint64(0xA0761D6478BD642F), np.uint64(0xE7037ED1A0B428DB)


@dataclass(frozen=True, eq=False)
class Words:
    """The words of some texts, one after another: `bounds[i]:bounds[i + 1]` are those of text i.

    Words are lower-case runs of letters and digits; operators, brackets and ideographs are words alone, and so are some
    marks outside words; other punctuation and spacing only separate.
    """

    hashes: U64
    starts: I64  # of each word, characters from the beginning of its text
    numbers: NDArray[np.bool_]  # it begins with a digit
    symbols: NDArray[np.bool_]  # it is a number, a sign or a single letter, as formulas and grids are made of
    bounds: I64

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def of(self, i: int) -> U64:
        """The words of text i."""
        return self.hashes[self.bounds[i] : self.bounds[i + 1]]

    def first(self, n: int) -> Words:
        """The first n texts."""
        end = self.bounds[n]
        kept = (self.hashes[:end], self.starts[:end], self.numbers[:end], self.symbols[:end])
        return Words(*kept, self.bounds[: n + 1])

    def where(self, kept: NDArray[np.bool_]) -> Words:
        """Without the words that are not kept."""
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept)])
        parts = (self.hashes[kept], self.starts[kept], self.numbers[kept], self.symbols[kept])
        return Words(*parts, before[self.bounds])


@dataclass(frozen=True, eq=False)
class Grams:
    """The n-grams of some texts, one after another: `bounds[i]:bounds[i + 1]` are those of text i."""

    hashes: U64
    bounds: I64

    @property
    def texts(self) -> I64:
        """Of each n-gram, the text that it is of."""
        return np.repeat(np.arange(len(self.bounds) - 1), np.diff(self.bounds))


def words_of(texts: Sequence[str]) -> Words:
    """The words of the texts; equal texts give equal words in every process, whatever stands beside them."""
    parts = [(*_hashed(piece), at) for piece, at in _pieces(texts)]
    starts = np.concatenate([part[1] + part[4] for part in parts]) if parts else np.zeros(0, np.int64)
    begins = bounds_of([len(text) + 1 for text in texts])
    bounds = np.searchsorted(starts, begins)
    return Words(
        np.concatenate([part[0] for part in parts]) if parts else np.zeros(0, np.uint64),
        starts - np.repeat(begins[:-1], np.diff(bounds)),
        np.concatenate([part[2] for part in parts]) if parts else np.zeros(0, np.bool_),
        np.concatenate([part[3] for part in parts]) if parts else np.zeros(0, np.bool_),
        bounds,
    )


def ngrams(words: Words, n: int) -> Grams:
    """Every run of `n` words as one hash; a text with fewer has none."""
    sizes = np.maximum(np.diff(words.bounds) - (n - 1), 0)
    bounds = bounds_of(sizes)
    total = len(words.hashes) - (n - 1)
    if total < 1 or not bounds[-1]:
        return Grams(np.zeros(0, np.uint64), np.zeros_like(bounds))
    rolled = words.hashes[:total].copy()
    for k in range(1, n):
        rolled *= _GRAM
        rolled += words.hashes[k : k + total]
    if len(sizes) > 1:  # those that reach over the end of a text go
        rolled = rolled[np.repeat(words.bounds[:-1] - bounds[:-1], sizes) + np.arange(bounds[-1])]
    return Grams(mixed(rolled), bounds)


def ngrams_of_each(words: Words, sizes: Sequence[int]) -> Iterator[tuple[int, Grams]]:
    """`ngrams` of several sizes for little more than the largest costs: (n, n-grams) from the smallest on."""
    rolled, done = words.hashes, 1
    for n in sorted(sizes):
        for k in range(done, n):
            total = max(len(words.hashes) - k, 0)
            rolled = rolled[:total] * _GRAM + words.hashes[k : k + total]
        done = n
        counts = np.maximum(np.diff(words.bounds) - (n - 1), 0)
        bounds = bounds_of(counts)
        place = np.repeat(words.bounds[:-1] - bounds[:-1], counts) + np.arange(bounds[-1])
        yield n, Grams(mixed(rolled[place]), bounds)


def sequences(words: Words, *, numbers: bool = True) -> U64:
    """One hash a text for its whole sequence of words; without `numbers`, any number is as good as any other.

    A text without words has the hash 0.
    """
    hashes = words.hashes if numbers else np.where(words.numbers, _NUMBER, words.hashes)
    sizes = np.diff(words.bounds)
    place = np.arange(len(hashes)) - np.repeat(words.bounds[:-1], sizes)
    placed = mixed(hashes + place.astype(np.uint64) * _PLACE)
    sums = np.zeros(len(words), dtype=np.uint64)
    some = sizes > 0
    if some.any():
        sums[some] = mixed(np.add.reduceat(placed, words.bounds[:-1][some]))
    return sums


def mixed(hashes: U64) -> U64:
    """Every bit of a 64-bit number spread over all of them (the finalizer of MurmurHash3)."""
    hashes = hashes ^ (hashes >> np.uint64(33))
    hashes *= np.uint64(0xFF51AFD7ED558CCD)
    hashes ^= hashes >> np.uint64(33)
    hashes *= np.uint64(0xC4CEB9FE1A85EC53)
    hashes ^= hashes >> np.uint64(33)
    return hashes


def bounds_of(sizes: Sequence[int] | I64) -> I64:
    """Where each of some runs begins, laid end to end, and where the last ends."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(np.asarray(sizes, dtype=np.int64))])


def _pieces(texts: Sequence[str]) -> Iterator[tuple[str, int]]:
    """The texts as strings of about PIECE characters at most, with the place of each; a long text is cut at a space.

    A long text is cut from its own beginning, so that its words are the same wherever it stands.
    """
    held: list[str] = []
    at = size = 0
    for text in texts:
        if held and size + len(text) > PIECE:
            yield "\n".join(held), at
            held, at, size = [], at + size, 0
        while len(text) > PIECE:
            cut = 1 + max(text.rfind(" ", 0, PIECE), text.rfind("\n", 0, PIECE)) or PIECE
            yield text[:cut], at
            text, at = text[cut:], at + cut
        held.append(text)
        size += len(text) + 1
    if held:
        yield "\n".join(held), at


def _hashed(text: str) -> tuple[U64, I64, NDArray[np.bool_], NDArray[np.bool_]]:
    """Hash, first character, whether a number, whether a symbol, of each word of a text of at most PIECE characters.

    A word is a polynomial over its characters modulo 2^64, then mixed.
    """
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    codes = _table()[np.minimum(points, _KNOWN)]
    high = points >= _KNOWN
    if high.any():
        codes[high] = points[high] | _ALONE | _SCRIPT
    _join(codes, points)
    _place_marks(codes)
    word, alone = codes != 0, codes >= _ALONE
    alone &= (codes & _ALONE) != 0
    begins = word.copy()
    begins[1:] &= ~word[:-1] | alone[1:] | alone[:-1]
    starts = np.flatnonzero(begins)
    if not len(starts):
        return np.zeros(0, np.uint64), starts, np.zeros(0, np.bool_), np.zeros(0, np.bool_)
    powers, inverses = _powers()
    sums = np.add.reduceat((codes & _CODE) * powers[: len(codes)], starts)
    first, after = codes[starts], np.minimum(starts + 1, len(codes) - 1)
    single = (~word[after] | begins[after] | (after == starts)) & ((first & _SCRIPT) == 0)
    numbers = (first & _DIGIT) != 0
    return mixed(sums * inverses[starts]), starts, numbers, numbers | single


def _join(codes: NDArray[np.uint32], points: NDArray[np.uint32]) -> None:
    """A point between two digits is part of the number, and a hyphen between two letters no minus: in place."""
    last = len(codes) - 1
    points_at = np.flatnonzero(points == ord("."))
    points_at = points_at[(points_at > 0) & (points_at < last)]
    digits = ((codes[points_at - 1] & codes[points_at + 1]) & _DIGIT) != 0
    codes[points_at[digits]] = ord(".")
    minus_at = np.flatnonzero(codes == (ord("-") | _ALONE))
    minus_at = minus_at[(minus_at > 0) & (minus_at < last)]
    before, after = codes[minus_at - 1], codes[minus_at + 1]
    codes[minus_at[(before > 0) & (after > 0) & (before < _ALONE) & (after < _ALONE)]] = 0


def _place_marks(codes: NDArray[np.uint32]) -> None:
    """Marks that touch a word go, in place: only a run that touches none is words, and `2*3` and `3:4` as `2 * 3`."""
    at = np.flatnonzero(codes & _MARK)
    if not len(at):
        return
    begins = np.flatnonzero(np.diff(at, prepend=-2) != 1)
    firsts, lasts = at[begins], at[np.append(begins[1:], len(at)) - 1]
    before = np.where(firsts > 0, codes[firsts - 1], 0)
    after = np.where(lasts < len(codes) - 1, codes[np.minimum(lasts + 1, len(codes) - 1)], 0)
    left, right = [((side & _CODE) != 0) & ((side & _ALONE) == 0) for side in (before, after)]
    mark = codes[firsts] & _CODE
    ratio = (mark == ord(":")) & ((before & after & _DIGIT) != 0)
    inner = left & right & ((mark == ord("*")) | ratio)
    kept = np.repeat(inner | ~(left | right), np.diff(np.append(begins, len(at))))
    codes[at[~kept]] = 0


@lru_cache(maxsize=1)
def _powers() -> tuple[U64, U64]:
    """Powers of the base and of its inverse, modulo 2^64, enough for a piece."""
    tables = []
    for base in (_BASE, pow(_BASE, -1, 1 << 64)):
        table = np.full(PIECE + 2, base, dtype=np.uint64)
        table[0] = 1
        tables.append(np.cumprod(table))
    return tables[0], tables[1]


@lru_cache(maxsize=1)
def _table() -> NDArray[np.uint32]:
    """What each code point counts as: 0 separates; else its lower case, and whether it is a word alone or a digit."""
    return np.array([_counts_as(point) for point in range(_KNOWN)] + [0], dtype=np.uint32)


def _counts_as(point: int) -> int:
    folded = unicodedata.normalize("NFKC", chr(point)).lower()  # full-width forms, capitals
    raised = unicodedata.category(chr(point)) == "No"  # 10² is not 102
    character = chr(point) if raised or len(folded) != 1 else folded
    category = unicodedata.category(character)
    if category == "Nd":
        return ord(str(unicodedata.decimal(character))) | int(_DIGIT)
    if character in _DASHES:
        return ord("-") | int(_ALONE)
    if character in _OPERATORS or category == "Sm":
        return ord(character) | int(_ALONE)
    if character in _MARKS:
        return ord(character) | int(_ALONE) | int(_MARK)
    if category[0] not in "LMN":
        return 0
    alone = any(low <= point <= high for low, high in _BY_CHARACTER)
    return ord(character) | (int(_ALONE) | int(_SCRIPT) if alone else 0)
