"""Near-duplicates among many texts: MinHash finds the candidates, Jaccard's index of their n-grams decides."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from triaxis.axes.data.profile.shingles import I64, U64, Grams, Words, bounds_of, mixed, ngrams, sequences, words_of

U32 = NDArray[np.uint32]
Mask = NDArray[np.bool_]
SIMILARITY = 0.8  # Jaccard's index from which two texts are near-duplicates
OWN_SIMILARITY = 0.5  # and that of what is their own: n-grams that are not a template's
MOST_SHARE = 0.2  # ... and one in over 20 % of an instruction, whatever the answers
FEW = 2  # words: texts that differ by no more, under a template, are one problem where all of them have one answer
AGREE = 0.9  # of such texts with one answer, from which their answers are no chance; below it a family's may be by
CHANCE = 0.001
DENSE = 0.2  # share of n-grams of symbols alone from which a text is a formula or a grid, told by its symbols
GRID = 10  # ... and the number of them
REPEATED = 0.15  # share of n-grams that stand in a text before, from which only their order tells it from others
SHINGLE = 3  # words
COMMON_SHARE, COMMON_TEXTS = 0.01, 20  # an n-gram in over 1 % of the texts, and in over 20, is a template's
BANDS, ROWS = 25, 5  # a pair at .8 becomes a candidate with probability .9999, one at .5 with .55
WIDTH = 3  # neighbours in a bucket that a text is compared with, beside the bucket's first
BUDGET = 1 << 24  # hashes kept in all, 4 bytes each
CHUNK = 1 << 18  # hashes worked on at a time
EXCERPT = 80  # characters of a text that are kept to be shown
_UNDRESSED = re.compile(r"[\s$]|(?<=\d),(?=\d{3})|\\boxed|(?<=\d)\.0+(?!\d)|\.$")  # 1,000 and $1000$ are one answer
_COUNTERS = 1 << 22
_ALL = np.uint32(0xFFFFFFFF)


@dataclass(frozen=True, eq=False)
class Sets:
    """The n-grams of some texts as sorted sets of 32-bit hashes: `bounds[i]:bounds[i + 1]` are those of text i."""

    hashes: U32
    bounds: I64
    limits: U32  # of each text, the largest hash kept where it had more than the cap
    symbols: U64  # a hash of what must be equal in order, odd where it must: the symbols of a formula or a grid

    @property
    def sizes(self) -> I64:
        return np.diff(self.bounds)

    def where(self, kept: Mask) -> Sets:
        """Without the hashes that are not kept."""
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept)])
        return Sets(self.hashes[kept], before[self.bounds], self.limits, self.symbols)

    def capped(self, cap: int) -> Sets:
        """The `cap` smallest hashes of each text: a sample from which Jaccard's index is estimated without bias."""
        sizes = self.sizes
        over = sizes > cap
        if not over.any():
            return self
        limits = self.limits.copy()
        limits[over] = self.hashes[self.bounds[:-1][over] + cap - 1]
        trimmed = self.where(np.arange(len(self.hashes)) - np.repeat(self.bounds[:-1], sizes) < cap)
        return Sets(trimmed.hashes, trimmed.bounds, limits, self.symbols)

    def texts(self, kept: Mask) -> Sets:
        """Only the texts that are kept."""
        hashes = self.hashes[np.repeat(kept, self.sizes)]
        return Sets(hashes, bounds_of(self.sizes[kept]), self.limits[kept], self.symbols[kept])

    def taken(self, order: I64) -> Sets:
        """The texts in another order."""
        places, bounds = self.places(order)
        return Sets(self.hashes[places], bounds, self.limits[order], self.symbols[order])

    def places(self, texts: I64) -> tuple[I64, I64]:
        """Where the hashes of the texts stand, text after text, and the bounds of each."""
        bounds = bounds_of(self.sizes[texts])
        return np.repeat(self.bounds[texts] - bounds[:-1], self.sizes[texts]) + np.arange(bounds[-1]), bounds


@dataclass(frozen=True, eq=False)
class Clusters:
    """Which of some texts say the same; texts are in the order of their rows, and places in that order name them."""

    rows: I64
    normalised: I64  # of each text, the first that equals it normalised
    near: I64  # of each text, the first of its cluster: itself where it repeats none before it
    other_answer: int  # clusters that are near one before, and have another answer
    template: int  # different texts near one before by what looks like a template alone, and not joined to it
    excerpts: Mapping[int, str]  # how each first of a normalised text begins
    only_exact: int  # different texts without an n-gram of their own: they have only equal ones, no near ones
    cap: int | None  # n-grams that a text was compared by at most, where memory did not hold all


class NearDuplicates:
    """Clusters of near-duplicate texts from one pass, in bounded memory: of texts that differ, hashes are kept."""

    def __init__(self, *, similarity: float = SIMILARITY, shingle: int = SHINGLE, budget: int = BUDGET) -> None:
        self.similarity, self.shingle, self.budget = similarity, shingle, budget
        self._cap, self._held = budget, 0
        self._rows: list[I64] = []
        self._hashes: list[U64] = []
        self._answers: list[U64] = []
        self._owners: dict[int, str] = {}  # normalised hash of each text that differs, in the order of the sets
        self._sets: list[Sets] = []

    def add(
        self,
        texts: Sequence[str],
        rows: Sequence[int],
        words: Words | None = None,
        answers: Sequence[str | None] | None = None,
    ) -> None:
        """More texts with the numbers of their rows; `words` are theirs, where they were made already.

        Near texts whose `answers` differ are other problems; one without an answer is near either.
        """
        words = words_of(texts) if words is None else words
        hashes = sequences(words)
        for i in np.flatnonzero(hashes == 0).tolist():  # no words: it equals only itself
            hashes[i] = exact_hash(texts[i])
        begins = [text[:EXCERPT] for text in texts]
        self._answers.append(answers_of(answers or [None] * len(texts)))
        sets = sets_of(ngrams(words, self.shingle), words)
        self._take(np.array(rows, np.int64), hashes, sets, hashes.tolist(), begins)

    def merge(self, other: NearDuplicates) -> None:
        """Take in the texts of another."""
        self._cap = min(self._cap, other._cap)
        nothing = np.zeros(0, np.int64)
        rows = np.concatenate([nothing, *other._rows])
        hashes = np.concatenate([nothing.astype(np.uint64), *other._hashes])
        self._answers += other._answers
        self._take(rows, hashes, _joined(other._sets), list(other._owners), list(other._owners.values()))

    def _take(self, rows: I64, hashes: U64, sets: Sets, owners: list[int], begins: list[str]) -> None:
        """`owners` and `begins` are the normalised hashes and the beginnings of the texts of `sets`."""
        new = np.zeros(len(owners), dtype=np.bool_)
        for i, owner in enumerate(owners):
            if owner not in self._owners:
                self._owners[owner] = begins[i]
                new[i] = True
        self._rows.append(rows)
        self._hashes.append(hashes)
        self._sets.append(sets.texts(new).capped(self._cap))
        self._held += len(self._sets[-1].hashes)
        if self._held > self.budget:
            self._shrink()

    def _shrink(self) -> None:
        """Fewer hashes a text, until a quarter of the budget is free again."""
        held = _joined(self._sets)
        cap = min(self._cap, int(held.sizes.max()))
        while cap > 1 and np.minimum(held.sizes, cap).sum() > 0.75 * self.budget:
            cap //= 2
        self._cap = cap
        self._sets = [held.capped(cap)]
        self._held = len(self._sets[0].hashes)

    def result(self) -> Clusters:
        """The clusters among all texts so far, whatever the order in which they came."""
        rows = np.concatenate([np.zeros(0, np.int64), *self._rows])
        order = np.argsort(rows, kind="stable")
        hashes = np.concatenate([np.zeros(0, np.uint64), *self._hashes])[order]
        different, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
        held = np.searchsorted(different, np.array(list(self._owners), dtype=np.uint64))  # of each set, its text
        firsts = np.sort(first)
        sets = _joined(self._sets).taken(np.argsort(first[held]))
        own = distinctive(sets)
        normalised = first[inverse]
        text_of = np.searchsorted(firsts, normalised)
        answers = np.concatenate([np.zeros(0, np.uint64), *self._answers])[order]
        linked = links(sets, own, _first_known(answers, text_of, len(firsts)), self.similarity, self.shingle)
        excerpts = dict(zip(first[held].tolist(), self._owners.values(), strict=True))
        cap = self._cap if (sets.limits < _ALL).any() else None
        only_exact = int((own.sizes == 0).sum())
        near = firsts[linked.same][text_of]
        return Clusters(rows[order], normalised, near, linked.other_answer, linked.template, excerpts, only_exact, cap)


def near_duplicates(
    texts: Iterable[str],
    *,
    answers: Iterable[str | None] | None = None,
    similarity: float = SIMILARITY,
    shingle: int = SHINGLE,
) -> I64:
    """Of each text, the index of the first text of its cluster: its own where it repeats none before it.

    Near texts with different `answers` are in different clusters.
    """
    found = NearDuplicates(similarity=similarity, shingle=shingle)
    known = None if answers is None else iter(answers)
    at = 0
    for batch in batches(texts):
        theirs = None if known is None else list(islice(known, len(batch)))
        found.add(batch, range(at, at + len(batch)), answers=theirs)
        at += len(batch)
    return found.result().near


def batches(texts: Iterable[str], characters: int = 1 << 19, most: int = 2048) -> Iterator[list[str]]:
    """Texts in groups that are worth one vectorised pass."""
    held: list[str] = []
    size = 0
    for text in texts:
        held.append(text)
        size += len(text)
        if size >= characters or len(held) >= most:
            yield held
            held, size = [], 0
    if held:
        yield held


def exact_hash(*parts: str) -> int:
    """64 bits of a text as it stands, never 0; parts are kept apart."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return int.from_bytes(digest.digest(), "little") or 1


def answers_of(answers: Sequence[str | None]) -> U64:
    """A hash of each answer, in whatever case, spacing and mathematical dress it is written; 0 where there is none."""
    plain = [_UNDRESSED.sub("", answer.lower()) if answer else "" for answer in answers]
    return np.array([exact_hash(answer) if answer else 0 for answer in plain], dtype=np.uint64)


def sets_of(grams: Grams, words: Words | None = None) -> Sets:
    """The n-grams of each text as a set; `words` tell which texts are formulas or grids.

    An n-gram that stands in a text again is another one: else long texts of few words would soon hold the same.
    """
    n = len(grams.bounds) - 1
    keys = np.sort((grams.texts.astype(np.uint64) << np.uint64(32)) | (grams.hashes >> np.uint64(32)))
    place, new = np.arange(len(keys)), np.append(True, keys[1:] != keys[:-1])[: len(keys)]
    if not new.all():
        again = (place - np.maximum.accumulate(np.where(new, place, 0))).astype(np.uint64)[~new]
        turned = mixed((keys[~new] << np.uint64(32)) + again) >> np.uint64(32)
        keys[~new] = (keys[~new] >> np.uint64(32) << np.uint64(32)) | turned
    repeats = np.bincount((keys[~new] >> np.uint64(32)).astype(np.int64), minlength=n)
    if not new.all():
        keys = np.unique(keys)
    bounds = np.searchsorted(keys, np.arange(n + 1, dtype=np.uint64) << np.uint64(32))
    ordered = repeats > REPEATED * np.maximum(np.diff(grams.bounds), 1)
    symbols = np.zeros(n, np.uint64) if words is None else _symbols_of(words, ordered)
    return Sets(keys.astype(np.uint32), bounds, np.full(n, _ALL), symbols)


def _symbols_of(words: Words, ordered: Mask) -> U64:
    """As `Sets.symbols`; of texts that are `ordered`, all words.

    In a formula or a grid the set of n-grams is soon full, and one symbol makes another problem.
    """
    three = words.symbols.copy()
    for k in (1, 2):
        three[:-k] &= words.symbols[k:]
    runs = bounds_of(three.astype(np.int64))
    ends = np.maximum(words.bounds[1:] - 2, words.bounds[:-1])
    alone = runs[ends] - runs[words.bounds[:-1]]
    dense = (alone >= GRID) | (alone > DENSE * np.maximum(ends - words.bounds[:-1], 1))
    sequence = sequences(words.where(words.symbols | np.repeat(ordered, np.diff(words.bounds))))
    return (sequence & ~np.uint64(1)) | (dense | ordered)


def distinctive(sets: Sets) -> Sets:
    """The sets without what is common: n-grams of templates, which say nothing of which problem a text poses."""
    return sets.where(~_common(sets, COMMON_SHARE))


def _common(sets: Sets, share: float) -> Mask:
    """Of each n-gram, whether more than a share of the texts have it."""
    counts = np.zeros(_COUNTERS, dtype=np.int32)
    for at in range(0, len(sets.hashes), CHUNK):
        counts += np.bincount(sets.hashes[at : at + CHUNK] % _COUNTERS, minlength=_COUNTERS).astype(np.int32)
    return counts[sets.hashes % _COUNTERS] > max(COMMON_TEXTS, share * len(sets.sizes))


@dataclass(frozen=True, eq=False)
class Links:
    """What `links` found among different texts."""

    same: I64  # of each text, the first of its cluster
    other_answer: int
    template: int


def links(sets: Sets, own: Sets, answers: U64, similarity: float, shingle: int) -> Links:
    """Clusters joined by pairs that were compared, n-gram by n-gram, and what is near and not joined."""
    n = len(sets.sizes)
    joined, apart, close = _Joined(n), _Joined(n), _Joined(n)
    if n > 1:
        for a, b, _ in _near_pairs(sets, own, answers, similarity, joined.labels_of, apart.labels_of):
            one = _same_answer(answers, a, b)
            joined.add(a[one], b[one])
            apart.add(a[~one], b[~one])
    if (own.sizes < sets.sizes).any():
        repeated = _repeated(sets, own)
        for a, b, differ in _near_pairs(sets, repeated, np.zeros_like(answers), similarity, close.labels_of):
            few = (differ <= FEW * shingle) & (joined.labels[a] != joined.labels[b])
            close.add(a[few], b[few])
        problem = _one_problem(close, answers)[close.labels[close.pairs[0]]]
        joined.add(*close.pairs[:, problem])
    same = _told_apart(joined.labels, answers)
    close.pairs = close.pairs[:, _same_answer(answers, *close.pairs)]
    return Links(same, _further(same, apart), _further(same, close))


class _Joined:
    """Pairs of texts, and the components that they make."""

    def __init__(self, n: int) -> None:
        self.labels = np.arange(n)
        self.pairs = np.zeros((2, 0), np.int64)

    def labels_of(self, texts: I64) -> I64:
        return self.labels[texts]

    def add(self, a: I64, b: I64) -> None:
        if len(a):
            self.pairs = np.concatenate([self.pairs, np.stack([a, b])], axis=1)
            self.labels = _components(self.pairs, len(self.labels))


def _further(same: I64, apart: _Joined) -> int:
    """How many clusters are linked to one before by pairs that don't make them one."""
    if not apart.pairs.shape[1]:
        return 0
    n = len(same)
    edges = np.concatenate([np.stack([same, np.arange(n)]), apart.pairs], axis=1)
    return len(np.unique(same)) - len(np.unique(_components(edges, n)))


def _repeated(sets: Sets, own: Sets) -> Sets:
    """Texts that hold something of a template, without what so many share that it is an instruction.

    A problem that is repeated with small changes in more rows than a template may have is still in these. A text of
    which nothing is left is taken whole.
    """
    kept = ~_common(sets, MOST_SHARE)
    kept |= np.repeat(sets.where(kept).sizes == 0, sets.sizes)
    return sets.where(kept & np.repeat(own.sizes < sets.sizes, sets.sizes))


Pairs = tuple[I64, I64, NDArray[np.float64]]


def _near_pairs(
    sets: Sets, own: Sets, answers: U64, similarity: float, *labels_of: Callable[[I64], I64]
) -> Iterator[Pairs]:
    """Pairs that agree by half in what is their own and are near in all, with the n-grams by which they differ.

    Pairs that the caller has linked by then are left out: `labels_of` those of one answer, and of different ones.
    """
    some = np.flatnonzero(own.sizes > 0)
    for keys in band_keys(own):
        a, b = _candidates(keys[some], answers[some])
        a, b = some[a], some[b]
        linked = [labels(a) == labels(b) for labels in labels_of]
        new = ~np.where(_same_answer(answers, a, b), linked[0], linked[-1]) & _same_symbols(sets, a, b)
        a, b = a[new], b[new]
        alike = jaccard(own, a, b) >= OWN_SIMILARITY
        a, b = a[alike], b[alike]
        index = jaccard(sets, a, b)
        a, b, index = a[index >= similarity], b[index >= similarity], index[index >= similarity]
        smaller, larger = np.sort(np.stack([sets.sizes[a], sets.sizes[b]]), axis=0)
        yield a, b, larger - np.round(index * (smaller + larger) / (1 + index))


def _one_problem(close: _Joined, answers: U64) -> Mask:
    """Of each component, by its label: whether all of its texts have an answer, and the same, and not by chance.

    Chance is how often two such texts agree, over all components: half of the time where answers are yes and no.
    """
    labels = close.labels
    low, high = np.full(len(labels), np.iinfo(np.uint64).max), np.zeros(len(labels), np.uint64)
    np.minimum.at(low, labels, answers)
    np.maximum.at(high, labels, answers)
    one, other = answers[close.pairs]
    agree = float((one == other)[(one > 0) & (other > 0)].mean()) if ((one > 0) & (other > 0)).any() else 0.0
    sizes = np.bincount(labels, minlength=len(labels))
    told: Mask = (low == high) & (high > 0)
    return told if agree >= AGREE else told & (agree ** np.maximum(sizes - 1, 0) < CHANCE)


def _told_apart(labels: I64, answers: U64) -> I64:
    """The clusters, parted where texts without an answer had joined such as have different ones."""
    if not answers.any():
        return labels
    _, text_of = np.unique(labels, return_inverse=True)
    known = _first_known(answers, text_of, int(text_of.max(initial=-1)) + 1)
    answered = np.where(answers > 0, answers, known[text_of])
    pairs = np.stack([labels.astype(np.uint64), answered])
    _, first, place = np.unique(pairs, axis=1, return_index=True, return_inverse=True)
    return np.asarray(first[place.reshape(-1)], dtype=np.int64)


def _first_known(answers: U64, text_of: I64, n: int) -> U64:
    """Of each of n texts, the first answer that one of its rows has; 0 where none has one."""
    known = np.zeros(n, np.uint64)
    with_one = np.flatnonzero(answers > 0)[::-1]
    known[text_of[with_one]] = answers[with_one]
    return known


def _same_answer(answers: U64, a: I64, b: I64) -> Mask:
    one, other = answers[a], answers[b]
    same: Mask = (one == other) | (one == 0) | (other == 0)
    return same


def _same_symbols(sets: Sets, a: I64, b: I64) -> Mask:
    """Whether neither is a formula or a grid, or both have the same symbols in the same order."""
    one, other = sets.symbols[a], sets.symbols[b]
    same: Mask = (((one | other) & np.uint64(1)) == 0) | ((one | np.uint64(1)) == (other | np.uint64(1)))
    return same


def jaccard(sets: Sets, a: I64, b: I64) -> NDArray[np.float64]:
    """Jaccard's index of each pair of texts; 0 where both are empty. Beyond the cap, its bottom-k estimate."""
    index = np.zeros(len(a))
    sizes = sets.sizes[a] + sets.sizes[b]
    for begin, end in _chunks(bounds_of(sizes)):
        left, right = a[begin:end], b[begin:end]
        limit = np.minimum(sets.limits[left], sets.limits[right])
        keys = np.concatenate([_keyed(sets, left, limit), _keyed(sets, right, limit)])
        keys.sort(kind="stable")  # two sorted runs
        pair = (keys >> np.uint64(32)).astype(np.int64)
        shared = np.bincount(pair[1:][keys[1:] == keys[:-1]], minlength=end - begin)
        union = np.bincount(pair, minlength=end - begin) - shared
        index[begin:end] = shared / np.maximum(union, 1)
    return index


def _keyed(sets: Sets, texts: I64, limit: U32) -> U64:
    """The hashes of the texts up to their limits, each behind the place of its text in the list: sorted."""
    places, bounds = sets.places(texts)
    hashes = sets.hashes[places]
    place = np.repeat(np.arange(len(texts)), np.diff(bounds))
    kept = hashes <= limit[place]
    return (place[kept].astype(np.uint64) << np.uint64(32)) | hashes[kept]


def band_keys(sets: Sets) -> U64:
    """BANDS x texts: texts that agree in all rows of a band share its key. Empty sets have a key that means nothing.

    A row is the smallest value of a multiply-shift hash over the set (Dietzfelbinger et al. 1997), so two texts agree
    in it with a probability of about their Jaccard index (Broder 1997).
    """
    keys = np.zeros((BANDS, len(sets.sizes)), dtype=np.uint64)
    for begin, end in _chunks(sets.bounds):
        some = begin + np.flatnonzero(sets.sizes[begin:end] > 0)
        if not len(some):
            continue
        values = sets.hashes[sets.bounds[begin] : sets.bounds[end]].astype(np.uint64)
        starts = sets.bounds[some] - sets.bounds[begin]
        turned = np.empty_like(values)
        for k, (factor, shift) in enumerate(_hash_functions()):
            np.multiply(values, factor, out=turned)
            turned += shift
            smallest = np.minimum.reduceat(turned, starts)
            keys[k // ROWS, some] = mixed(keys[k // ROWS, some] ^ smallest)
    return keys


@lru_cache(maxsize=1)
def _hash_functions() -> list[tuple[np.uint64, np.uint64]]:
    drawn = np.random.default_rng(20210).integers(0, 1 << 64, size=(BANDS * ROWS, 2), dtype=np.uint64)
    return [(factor | np.uint64(1), shift) for factor, shift in drawn]


def _candidates(keys: U64, answers: U64) -> tuple[I64, I64]:
    """Pairs with equal keys: each with its next few in the bucket, and with the bucket's first.

    Those with one answer stand together, so that none of them is missed among others.
    """
    order = np.argsort(keys, kind="stable") if not answers.any() else np.lexsort((answers, keys))
    ordered = keys[order]
    new = np.concatenate([np.ones(1, np.bool_), ordered[1:] != ordered[:-1]])
    first = np.maximum.accumulate(np.where(new, np.arange(len(keys)), 0))
    pairs = [(np.arange(len(keys)) - k, np.arange(len(keys))) for k in range(1, WIDTH + 1)]
    pairs.append((first, np.arange(len(keys))))
    left = np.concatenate([np.maximum(a, 0) for a, _ in pairs])
    right = np.concatenate([b for _, b in pairs])
    inside = (left >= first[right]) & (left < right)
    codes = np.unique(left[inside] * len(keys) + right[inside])
    return order[codes // len(keys)], order[codes % len(keys)]


def _components(edges: I64, n: int) -> I64:
    graph = sparse.coo_matrix((np.ones(edges.shape[1], np.bool_), (edges[0], edges[1])), shape=(n, n))
    _, labels = connected_components(graph, directed=False)
    first = np.full(n, n)
    np.minimum.at(first, labels, np.arange(n))
    return np.asarray(first[labels], dtype=np.int64)


def _joined(parts: Sequence[Sets]) -> Sets:
    return Sets(
        np.concatenate([np.zeros(0, np.uint32), *(part.hashes for part in parts)]),
        bounds_of(np.concatenate([np.zeros(0, np.int64), *(part.sizes for part in parts)])),
        np.concatenate([np.zeros(0, np.uint32), *(part.limits for part in parts)]),
        np.concatenate([np.zeros(0, np.uint64), *(part.symbols for part in parts)]),
    )


def _chunks(bounds: I64) -> Iterator[tuple[int, int]]:
    """Ranges of runs that hold about CHUNK in all, or one run that holds more."""
    begin = 0
    while begin < len(bounds) - 1:
        end = max(begin + 1, int(np.searchsorted(bounds, bounds[begin] + CHUNK, side="right")) - 1)
        yield begin, end
        begin = end
