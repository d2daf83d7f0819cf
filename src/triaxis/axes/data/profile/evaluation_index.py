"""Evaluation sets as an index of their texts and n-grams, in which rows of a training set are looked up."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from triaxis.axes.data.profile.minhash import batches, exact_hash
from triaxis.axes.data.profile.shingles import (
    I64,
    U64,
    Grams,
    Words,
    bounds_of,
    ngrams,
    ngrams_of_each,
    sequences,
    words_of,
)
from triaxis.types import Example, Item, TriaxisError

Kind = Literal["exact", "normalised", "n-gram", "numbers", "span"]
KINDS: tuple[Kind, ...] = ("exact", "normalised", "n-gram", "numbers", "span")  # the closest first
TOUCHING: tuple[Kind, ...] = KINDS[:3]  # what counts as leaked; the others are near, and told apart
N = 13  # words in a row (GPT-3's length, arXiv:2005.14165, appendix C)
COMMON_SHARE, COMMON_TEXTS = 0.005, 3  # an n-gram in over .5 % of the evaluation texts, and in over 3, is boilerplate
SHARE = 0.5  # of a text's n-grams in one row: "n-gram" from here on, "span" below
SHORTER = (
    5,
    8,
)  # n-grams by which prompts are looked for in turns, too, where one changed word would break too many of 13
ENOUGH_WORDS, ENOUGH_NUMBERS = 5, 2  # of a prompt below n words, to be looked for within turns: either
INSTRUCTION_WORDS, INSTRUCTION_ITEMS = 4, 5  # that the prompts of a set begin or end with, to be an instruction
BOUNDARY = re.compile(r"[.?!:;\n。？！：；]")  # where what is asked can begin or end


@dataclass(frozen=True)
class EvaluationText:
    """A text that must not be trained on: the prompt of an item, or its worked answer."""

    set: str
    item: str  # its id, or its place in the set
    number: int  # of the item, over all sets
    part: Literal["prompt", "answer"]
    text: str
    core: str  # the text without the instruction that most prompts of its set begin or end with


@dataclass(frozen=True)
class Hit:
    """A row of the training set that shares something with a text of an evaluation set.

    `exact`: the text stands in the row, character by character; `normalised`: ... but for case, spacing and
    punctuation; `n-gram`: the row holds half of the text's n-grams or more; `numbers`: a turn is the text but for its
    numbers; `span`: the row holds fewer of its n-grams. The text is its core: an instruction does not count.
    """

    row: int  # place in what was looked up
    text: int  # place in the index
    kind: Kind
    share: float  # of the text's n-grams (boilerplate left out) that the row holds


class EvaluationIndex:
    """The texts of evaluation sets, looked up by the whole and by runs of `n` words. Its size is that of the sets."""

    def __init__(self, sets: Mapping[str, Iterable[str | Example | Item]], *, n: int = N) -> None:
        if n < 2:
            raise TriaxisError(f"n-grams of {n} words say nothing; take 8 or 13")
        self.n, self.sets = n, tuple(sets)
        self.items: dict[str, int] = {}
        self.texts: list[EvaluationText] = []
        self.instructions: dict[str, str] = {}  # of each set, how what most prompts share at their ends reads
        for name, items in sets.items():
            before = sum(self.items.values())
            texts: list[EvaluationText] = []
            for place, item in enumerate(items, 1):
                texts += _texts_of(name, place, before + place - 1, item, n)
                self.items[name] = place
            if name not in self.items:
                raise TriaxisError(f"{name}: holds no items to compare with; give a file with items")
            self.texts += with_cores(texts)
            self.instructions[name] = instruction_of(self.texts[-len(texts) :])
        self.most = max(COMMON_TEXTS, int(COMMON_SHARE * len(self.texts)))  # texts that may share an n-gram
        self._whole = _Whole(self.texts, self.n, self.most)
        self._grams = _Grams(self.texts, self.n, self.most, self._whole.first)
        self._runs = _Runs(self.texts, self.n)
        shorter = {k: _for_shorter(self.texts, k, self.n) for k in SHORTER if k < n}
        self._shorter = {
            k: _Grams([self.texts[i] for i in places], k, self.most, self._whole.first[places], places)
            for k, places in shorter.items()
            if len(places)
        }

    def __deepcopy__(self, memo: object) -> EvaluationIndex:
        """Itself: it is never changed, and it can be large."""
        return self

    @property
    def families(self) -> int:
        """Prompts that are alike but for their numbers in more than `most` texts: a template's, not looked up so."""
        return self._whole.families

    @property
    def without_own(self) -> int:
        """Texts without an n-gram of their own: short, or all boilerplate; they are only found as a whole turn."""
        return int((self._grams.own == 0).sum())

    def only_whole(self) -> dict[str, int]:
        """Of each set, the items whose prompt is found as a whole turn and not within a longer one."""
        within = self._grams.own > 0
        within[self._runs.texts] = True
        for grams in self._shorter.values():
            within[grams.places[grams.own > 0]] = True
        found = dict.fromkeys(self.items, 0)
        for i, text in enumerate(self.texts):
            found[text.set] += text.part == "prompt" and not within[i]
        return found

    def word_for_word(self) -> dict[str, int]:
        """Of each set, the items below n words that are looked for within turns, where all words must be the same."""
        counts = Counter(self.texts[i].set for i in self._runs.texts.tolist())
        return {name: counts[name] for name in self.items}

    @property
    def boilerplate(self) -> int:
        """N-grams that were left out, since more than `most` texts share them."""
        return self._grams.left_out

    @property
    def boilerplate_begins(self) -> str:
        """The words with which the commonest of them goes on in a text."""
        if self._grams.commonest is None:
            return ""
        text, start = self._grams.commonest
        return " ".join(self.texts[text].core[start : start + 100].split())

    def look_up(self, examples: Sequence[Example]) -> list[Hit]:
        """What the rows share with the texts, by row and text. Worth calling with many rows at a time."""
        turns = [(i, text) for i, example in enumerate(examples) for text in _turns(example)]
        responses = [
            (i, text) for i, example in enumerate(examples) for text in (example.thought, example.solution) if text
        ]
        texts = [text for _, text in turns + responses]
        rows = np.array([i for i, _ in turns + responses], dtype=np.int64)
        words = words_of(texts)
        said = words.first(len(turns))
        whole = self._whole.look_up(turns, said)
        shares = self._grams.look_up(ngrams(words, self.n), rows)
        self._look_up_shorter(said, rows, whole, shares)
        for place, text in self._runs.look_up(said, texts):
            shares[int(rows[place]), text] = 1.0
        hits = []
        for row, text in sorted({*whole, *shares}):
            share = shares.get((row, text), 0.0)
            kind = whole.get((row, text), "n-gram" if share >= SHARE else "span")
            if kind != "exact" and share >= SHARE:
                mine = np.flatnonzero(rows == row).tolist()
                kind = self._contained(text, [texts[i] for i in mine], [words.of(i) for i in mine]) or kind
            hits.append(Hit(row, text, kind, share))
        return hits

    def _look_up_shorter(
        self, said: Words, rows: I64, whole: Mapping[tuple[int, int], Kind], shares: dict[tuple[int, int], float]
    ) -> None:
        """Into `shares`: prompts of which a turn holds half of the shorter n-grams, and all numbers in their order.

        Other items of a template share that much, and differ in their numbers.
        """
        for n, grams in ngrams_of_each(said, tuple(self._shorter)):
            index = self._shorter[n]
            for (turn, place), share in index.look_up(grams, np.arange(len(said))).items():
                row, text = int(rows[turn]), int(index.places[place])
                if share >= SHARE and index.numbers_in(place, said, turn):
                    shares[row, text] = max(share, shares.get((row, text), 0.0))

    def _contained(self, text: int, rows: Sequence[str], words: Sequence[U64]) -> Kind | None:
        """Whether the whole text stands in one of the row's, as it is or normalised."""
        wanted = self.texts[text].core.strip()
        if any(wanted in row for row in rows):
            return "exact"
        run = words_of([wanted]).hashes.tobytes()
        return "normalised" if any(run in row.tobytes() for row in words) else None


class _Whole:
    """Prompts by the hash of the whole: exact, normalised, and normalised without their numbers."""

    def __init__(self, texts: Sequence[EvaluationText], n: int, most: int) -> None:
        self.exact: dict[int, list[int]] = {}
        self.normalised: dict[int, list[int]] = {}
        unnumbered: dict[int, list[int]] = {}
        hashes: list[int] = []
        for batch in batches(text.text for text in texts):
            words = words_of(batch)
            but_numbers = _but_numbers(words, n)
            for i, same in enumerate(sequences(words).tolist()):
                place = len(hashes)
                hashes.append(same or exact_hash(batch[i]))
                if texts[place].part == "prompt" and batch[i].strip():
                    self.exact.setdefault(exact_hash(batch[i].strip()), []).append(place)
                    self.normalised.setdefault(hashes[-1], []).append(place)
                    if but_numbers[i]:
                        unnumbered.setdefault(but_numbers[i], []).append(place)
        shortened = [place for place, text in enumerate(texts) if text.core != text.text]
        for place, key in zip(shortened, _but_numbers(words_of([texts[i].core for i in shortened]), n), strict=True):
            if key and place not in unnumbered.setdefault(key, []):
                unnumbered[key].append(place)
        self.first = np.zeros(len(texts), dtype=np.bool_)  # a text that equals none before it
        self.first[np.unique(np.array(hashes, dtype=np.uint64), return_index=True)[1]] = True
        self.unnumbered = {key: held for key, held in unnumbered.items() if self.first[held].sum() <= most}
        self.families = sum(map(len, unnumbered.values())) - sum(map(len, self.unnumbered.values()))

    def look_up(self, turns: Sequence[tuple[int, str]], words: Words) -> dict[tuple[int, int], Kind]:
        """By (row, text): how a turn of the row is the text."""
        found: dict[tuple[int, int], Kind] = {}
        both = zip(sequences(words).tolist(), sequences(words, numbers=False).tolist(), strict=True)
        for (row, turn), (same, but_numbers) in zip(turns, both, strict=True):
            for text in self.unnumbered.get(but_numbers, []):
                found.setdefault((row, text), "numbers")
            for text in self.normalised.get(same or exact_hash(turn), []):
                if found.get((row, text)) != "exact":
                    found[row, text] = "normalised"
            for text in self.exact.get(exact_hash(turn.strip()), []):
                found[row, text] = "exact"
        return found


def _but_numbers(words: Words, n: int) -> list[int]:
    """A hash of each text but for its numbers; 0 where it has none, or fewer than n other words to be the same by."""
    numbers = np.diff(words.where(words.numbers).bounds)
    told_apart = (numbers > 0) & (np.diff(words.bounds) - numbers >= n)
    hashes: list[int] = np.where(told_apart, sequences(words, numbers=False), np.uint64(0)).tolist()
    return hashes


class _Runs:
    """Prompts of fewer than n words, as whole runs of words that stand within a turn."""

    def __init__(self, texts: Sequence[EvaluationText], n: int) -> None:
        words = words_of([text.core for text in texts])
        sizes = np.diff(words.bounds)
        numbers = np.diff(words.where(words.numbers).bounds)
        enough = (sizes >= ENOUGH_WORDS) | (numbers >= ENOUGH_NUMBERS)
        prompts = np.array([text.part == "prompt" for text in texts])
        self.texts = np.flatnonzero(enough & prompts & (sizes < n) & (sizes > 1))
        self.sizes = sorted(set(sizes[self.texts].tolist()))
        self.held: dict[int, dict[int, list[int]]] = {size: {} for size in self.sizes}
        for size, grams in ngrams_of_each(words, self.sizes):
            for text in self.texts[sizes[self.texts] == size].tolist():
                self.held[size].setdefault(int(grams.hashes[grams.bounds[text]]), []).append(text)
        self._sorted = {size: np.array(sorted(held), dtype=np.uint64) for size, held in self.held.items()}
        self._maybe = {size: _mask_of(known) for size, known in self._sorted.items()}

    def look_up(self, words: Words, turns: Sequence[str]) -> Iterator[tuple[int, int]]:
        """(turn, text) of each that stands in a turn with the ends of a sentence or line around it."""
        for size, grams in ngrams_of_each(words, self.sizes):
            known, maybe = self._sorted[size], self._maybe[size]
            there = np.flatnonzero(maybe[grams.hashes & np.uint64(len(maybe) - 1)])
            place = np.minimum(np.searchsorted(known, grams.hashes[there]), len(known) - 1)
            for at in there[known[place] == grams.hashes[there]].tolist():
                turn = int(np.searchsorted(grams.bounds, at, side="right")) - 1
                first = int(words.bounds[turn] + at - grams.bounds[turn])
                if _stands_alone(words, turn, first, first + size, turns[turn]):
                    for text in self.held[size][int(grams.hashes[at])]:
                        yield turn, text


def _stands_alone(words: Words, turn: int, first: int, end: int, text: str) -> bool:
    """Whether a run of words is not part of a longer question: `2 + 2` is none of `2 + 2 - 1` and of `3 * 2 + 2`.

    Behind it a sentence or line must end; before it words may go on, but no formula. Lines of a grid go on.
    """
    behind = end == words.bounds[turn + 1] or _parted(words, end - 1, text, must=True)
    return behind and (first == words.bounds[turn] or _parted(words, first - 1, text, must=False))


def _parted(words: Words, word: int, text: str, *, must: bool) -> bool:
    """Whether a sentence or line ends between a word and the next; without `must`, words but no symbols may go on."""
    between = re.sub(r"^\w([\w.]*\w)?", "", text[words.starts[word] : words.starts[word + 1]])
    if words.symbols[word] and words.symbols[word + 1]:
        return bool(BOUNDARY.search(between.replace("\n", " ")))
    return bool(BOUNDARY.search(between)) or not (must or words.symbols[word])


class _Grams:
    """The n-grams of the texts, boilerplate left out, each with the texts that hold it.

    `places` names the texts, where they are some of an index.
    """

    def __init__(
        self, texts: Sequence[EvaluationText], n: int, most: int, first: NDArray[np.bool_], places: I64 | None = None
    ) -> None:
        self.n = n
        self.places = np.arange(len(texts)) if places is None else places
        self._numbers: dict[int, list[int]] = {}
        self._texts = texts
        hashes, holders, starts = _gathered(texts, n)
        order = np.lexsort((holders, hashes))
        hashes, holders, starts = hashes[order], holders[order], starts[order]
        once = np.ones(len(hashes), dtype=np.bool_)  # an n-gram that a text repeats counts once
        once[1:] = (hashes[1:] != hashes[:-1]) | (holders[1:] != holders[:-1])
        hashes, holders, starts = hashes[once], holders[once], starts[once]
        self.hashes, begins, sizes = np.unique(hashes, return_index=True, return_counts=True)
        texts_with = np.add.reduceat(first[holders].astype(np.int64), begins) if len(begins) else begins
        common = texts_with > most
        self.left_out = int(common.sum())
        self.commonest: tuple[int, int] | None = None  # a text, and the character at which its commonest n-gram begins
        if self.left_out:
            tops = begins[texts_with == texts_with.max()]
            top = tops[starts[tops].argmin()]
            self.commonest = int(holders[top]), int(starts[top])
        self.holders = holders[np.repeat(~common, sizes)]
        self.hashes, self.bounds = self.hashes[~common], bounds_of(sizes[~common])
        self.own = np.bincount(self.holders, minlength=len(texts))
        self._maybe = _mask_of(self.hashes)
        self._mask = np.uint64(len(self._maybe) - 1)

    def numbers_in(self, place: int, words: Words, turn: int) -> bool:
        """Whether all numbers of a text stand in a turn, in their order."""
        if place not in self._numbers:
            mine = words_of([self._texts[place].core])
            self._numbers[place] = mine.hashes[mine.numbers].tolist()
        part = slice(words.bounds[turn], words.bounds[turn + 1])
        theirs = iter(words.hashes[part][words.numbers[part]].tolist())
        return all(number in theirs for number in self._numbers[place])

    def look_up(self, grams: Grams, rows: I64) -> dict[tuple[int, int], float]:
        """By (row, text): the share of the text's n-grams that the row holds, `rows` being that of each of `grams`."""
        if not len(self.hashes):
            return {}
        at = np.flatnonzero(self._maybe[grams.hashes & self._mask])
        place = np.searchsorted(self.hashes, grams.hashes[at])
        there = self.hashes[np.minimum(place, len(self.hashes) - 1)] == grams.hashes[at]
        at, place = at[there], place[there]
        if not len(at):
            return {}
        row = rows[np.searchsorted(grams.bounds, at, side="right") - 1]
        row, place = np.unique(np.stack([row, place]), axis=1)
        sizes = np.diff(self.bounds)[place]
        run = bounds_of(sizes)
        holders = self.holders[np.repeat(self.bounds[place] - run[:-1], sizes) + np.arange(run[-1])]
        pairs, counts = np.unique(np.stack([np.repeat(row, sizes), holders]), axis=1, return_counts=True)
        shares = counts / self.own[pairs[1]]
        return {(int(r), int(t)): float(s) for r, t, s in zip(*pairs, shares, strict=True)}


def _mask_of(hashes: U64) -> NDArray[np.bool_]:
    """By the last bits of a hash, whether it can be one of these: most n-grams end here."""
    size = 1 << min(27, max(16, int(16 * len(hashes)).bit_length()))
    maybe = np.zeros(size, dtype=np.bool_)
    maybe[hashes & np.uint64(size - 1)] = True
    return maybe


def _gathered(texts: Sequence[EvaluationText], n: int) -> tuple[U64, I64, I64]:
    """Every n-gram of the texts: its hash, the place of its text, the character at which it begins."""
    hashes, holders, starts = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    before = 0
    for batch in batches(text.core for text in texts):
        words = words_of(batch)
        grams = ngrams(words, n)
        place = np.arange(len(grams.hashes)) - np.repeat(grams.bounds[:-1], np.diff(grams.bounds))
        hashes.append(grams.hashes)
        holders.append(grams.texts + before)
        starts.append(words.starts[words.bounds[grams.texts] + place])
        before += len(batch)
    return np.concatenate(hashes), np.concatenate(holders), np.concatenate(starts)


def _for_shorter(texts: Sequence[EvaluationText], k: int, n: int) -> I64:
    """Places of the prompts, of n words or more, that are looked for by n-grams of k words.

    A changed word breaks k of the size - k + 1 n-grams; half are left from a size of 3 k - 1 on, where longer ones do.
    """
    words = words_of([text.core for text in texts])
    sizes = np.diff(words.bounds)
    mostly_symbols = 2 * np.diff(words.where(words.symbols).bounds) >= sizes  # one that is changed asks something else
    prompts = np.array([text.part == "prompt" for text in texts]) & ~mostly_symbols
    least = n if k == SHORTER[0] else 3 * k - 1
    most = 3 * min(size for size in (*SHORTER, n) if size > k) - 1
    return np.flatnonzero(prompts & (sizes >= max(n, least)) & (sizes < most))


def with_cores(texts: Sequence[EvaluationText]) -> list[EvaluationText]:
    """The texts of a set, each with its core. What most prompts begin or end with is an instruction."""
    prompts = [text.text for text in texts if text.part == "prompt"]
    words = words_of(prompts)
    sizes = np.diff(words.bounds)
    first, last = shared_by_most(words, 1), shared_by_most(words, -1)
    cores = []
    for i, prompt in enumerate(prompts):
        begin, end = first[i], sizes[i] - last[i]
        if end - begin < ENOUGH_WORDS:
            cores.append(prompt)
            continue
        starts = words.starts[words.bounds[i] : words.bounds[i + 1]]
        cores.append(prompt[starts[begin] if begin else 0 : starts[end] if end < sizes[i] else len(prompt)].strip())
    left = iter(cores)
    return [replace(text, core=next(left)) if text.part == "prompt" else text for text in texts]


def instruction_of(texts: Sequence[EvaluationText]) -> str:
    """What was taken off the prompts, as it reads in the first; empty: nothing."""
    for text in texts:
        if text.core != text.text:
            before, _, after = text.text.partition(text.core)
            return " … ".join(" ".join(part.split())[:100] for part in (before, after) if part.strip())
    return ""


def shared_by_most(words: Words, step: Literal[1, -1]) -> I64:
    """Of each text, how many words at its beginning (step 1) or end (-1) more than half of the texts share with it.

    None below INSTRUCTION_WORDS, and none in fewer than INSTRUCTION_ITEMS different texts.
    """
    shared, among = np.zeros(len(words), np.int64), np.arange(len(words))
    for depth in range(int(np.diff(words.bounds).max(initial=0))):
        among = among[np.diff(words.bounds)[among] > depth]
        ends = words.bounds[among] + depth if step > 0 else words.bounds[among + 1] - 1 - depth
        names, counts = np.unique(words.hashes[ends], return_counts=True)
        if not len(names) or 2 * counts.max() <= len(words):
            break
        among = among[words.hashes[ends] == names[counts.argmax()]]
        shared[among] = depth + 1
    ends = np.where(shared > 0, words.bounds[:-1] + shared - 1 if step > 0 else words.bounds[1:] - shared, 0)
    while (inside := (shared > 0) & words.symbols[np.minimum(ends, len(words.hashes) - 1)]).any():
        shared[inside] -= 1  # a formula or grid is no instruction, though most begin with the same number
        ends[inside] -= step
    few = len(np.unique(sequences(words))) < INSTRUCTION_ITEMS
    return np.where((shared < INSTRUCTION_WORDS) | few, 0, shared)


def _texts_of(set: str, place: int, number: int, item: str | Example | Item, n: int) -> list[EvaluationText]:
    """An item's prompt, and what it says of its answer where that has n words at least that are no numbers."""
    if isinstance(item, str):
        return [EvaluationText(set, str(place), number, "prompt", item, item)]
    if isinstance(item, Item):
        prompt, answers = item.prompt, [item.answer]
    else:
        prompt = "\n".join(turn.content for turn in item.turns if turn.role != "system")
        answers = [item.thought or "", item.solution, item.reference or ""]
    texts = [EvaluationText(set, item.id or str(place), number, "prompt", prompt, prompt)]
    for answer in dict.fromkeys(answers):
        if (
            int((~words_of([answer]).numbers).sum()) >= n
        ):  # a solved grid is no text: few exist, and all rows share them
            texts.append(EvaluationText(set, item.id or str(place), number, "answer", answer, answer))
    return texts


def _turns(example: Example) -> list[str]:
    """What is said before the response, turn by turn, and the whole of it where there are several."""
    turns = [turn.content for turn in example.turns]
    said = [turn.content for turn in example.turns if turn.role != "system"]
    return [*turns, "\n".join(said)] if len(said) > 1 else turns
