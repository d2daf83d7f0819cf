"""Reasoning behaviours in a trace: verification, backtracking, sub-goals, enumeration, backward chaining.

Four are those of Gandhi et al. 2025 (arXiv:2503.01307). English is read by the lists of `phrases.py`, the language of
the lab's tasks by its own words. Nothing else is looked at: no model, no context beyond a sentence. How often it is
right is measured by `benchmarks/behaviours.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from triaxis.axes.data.profile.phrases import HESITATIONS, PHRASES

BEHAVIOURS = tuple(PHRASES)
_BRACES = re.compile(r"\{([^{}]*)\}")
_LAB = re.compile(r"\s*i1 ")
_LAB_LABEL = re.compile(r"i[1-9]")
_SENTENCE_END = re.compile(r"[.!?;](?=\s)|\n")
_BEFORE_SENTENCE = frozenset(".!?;\n…—*(\"'->")
_FIRST_WORD = re.compile(r"[a-z]+")
_SIGNS = {"#": "[0-9]{1,9}", "~": "(?:[a-z0-9'-]{1,20} ){0,3}", "+": "{1,9}"}
_LONGEST_SENTENCE = 400  # characters
_MARKED = "✓✔✅"  # a check that was passed, as many models write it


class Behaviour(NamedTuple):
    """Where a behaviour shows: its name, and the span of the phrase in the text."""

    name: str
    start: int
    end: int


def find_behaviours(text: str) -> list[Behaviour]:
    """The behaviours of a trace, in order. One that a sentence shows by several phrases counts once.

    `Wait` alone withdraws; where its sentence goes on to check something it is the check that counts. In the lab's
    language a step label is a sub-goal, `wait` a verification and `no` a backtracking.
    """
    return list(_lab(text) if _LAB.match(text) else _english(text))


def count_behaviours(text: str) -> dict[str, int]:
    """How many times each behaviour shows in a trace."""
    counts = dict.fromkeys(BEHAVIOURS, 0)
    for found in find_behaviours(text):
        counts[found.name] += 1
    return counts


def _lab(text: str) -> Iterator[Behaviour]:
    for match in re.finditer(r"\S+", text):
        word = match[0]
        name = "verification" if word == "wait" else "backtracking" if word == "no" else ""
        if name or _LAB_LABEL.fullmatch(word):
            yield Behaviour(name or "subgoals", *match.span())


def _english(text: str) -> Iterator[Behaviour]:
    lowered = "\n" + text.lower().replace("’", "'")
    regex, leaves = _compiled()
    last: dict[str, Behaviour] = {}
    waiting: Behaviour | None = None  # a bare `wait`, until its sentence ends or says what is waited for
    for match in regex.finditer(lowered):
        name, at_start, bare = leaves[match.lastindex or 0]
        if at_start and not _begins_sentence(lowered, match.start() + 1):
            continue
        found = Behaviour(name, match.start(), match.end() - 1)
        if waiting and not (name == "verification" and _same_sentence(lowered, waiting, found)):
            if name == "backtracking" or not _same_sentence(lowered, waiting, found):
                yield waiting
                waiting = None
        elif waiting:
            waiting = None
        before = last.get(name)
        last[name] = found
        if before and _same_sentence(lowered, before, found):
            continue
        if bare:
            waiting = found
        else:
            yield found
    if waiting:
        yield waiting


def _begins_sentence(text: str, start: int) -> bool:
    before = text[max(start - 8, 0) : start].rstrip(" \t")
    return not before or before[-1] in _BEFORE_SENTENCE


def _same_sentence(text: str, one: Behaviour, other: Behaviour) -> bool:
    if other.start - one.end > _LONGEST_SENTENCE:
        return False
    return not _SENTENCE_END.search(text, one.end + 1, other.start + 1)


class _Leaf(NamedTuple):
    name: str
    at_start: bool  # only where a sentence begins
    bare: bool  # a `wait` that doesn't say what for


@cache
def _compiled() -> tuple[re.Pattern[str], list[_Leaf]]:
    """One pattern for all phrases, by their first letters and words, and what each of its groups stands for.

    A group is empty and stands after its phrase. Every repetition is bounded, so the time is linear in the text.
    """
    words: dict[str, list[tuple[str, _Leaf]]] = {}
    for name, phrase, bare in _listed():
        for variant in _variants(phrase.removeprefix("^")):
            bare_variant = variant.removeprefix("^")
            first = _FIRST_WORD.match(bare_variant)
            assert first, f"a phrase begins with a word: {phrase}"
            leaf = _Leaf(name, phrase.startswith("^") or variant != bare_variant, bare)
            words.setdefault(first[0], []).append((_regex(bare_variant[first.end() :]), leaf))
    leaves = [_Leaf("", False, False)]
    letters: dict[str, list[str]] = {}
    for word in sorted(words, key=lambda word: (word[0], -len(word), word)):
        leaves += [leaf for _, leaf in words[word]]
        rests = "|".join(f"{rest}()" for rest, _ in words[word])
        letters.setdefault(word[0], []).append(f"{word[1:]}(?:{rests})")
    branches = "|".join(f"{letter}(?:{'|'.join(rests)})" for letter, rests in letters.items())
    return re.compile(f"[^a-z0-9](?:{branches}|[{_MARKED}]())"), [*leaves, _Leaf("verification", False, False)]


def _listed() -> Iterator[tuple[str, str, bool]]:
    """Every phrase with its behaviour, and whether it is a bare `wait`; what says more comes first."""
    for name, phrases in PHRASES.items():
        yield from ((name, phrase, False) for phrase in phrases)
    yield from (("backtracking", phrase, True) for phrase in HESITATIONS)


def _variants(phrase: str) -> Iterator[str]:
    """The phrase with its beginning spelt out, so that it begins with a word."""
    choice = _BRACES.match(phrase)
    if not choice:
        yield phrase
        return
    for head in choice[1].split("|"):
        yield from _variants(head + phrase[choice.end() :])


def _regex(rest: str) -> str:
    """What follows the first word of a phrase, as a regular expression with a boundary at its end."""
    rest, _, unless = rest.partition(" !")
    open_end = rest.endswith("*")
    pattern = _BRACES.sub(lambda choice: f"(?:{choice[1]})", rest.removesuffix("*"))
    for sign, meaning in _SIGNS.items():
        pattern = pattern.replace(sign, meaning)
    end = "" if open_end else "(?![a-z0-9])"
    return pattern + end + (f"(?!,? (?:{unless})(?![a-z]))" if unless else "")
