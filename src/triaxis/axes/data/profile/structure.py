"""Structure of the responses: long, short or no chain of thought, how answers are marked, which behaviours show."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from math import log
from typing import Literal, get_args

from triaxis.axes.data.profile.behaviours import BEHAVIOURS, count_behaviours
from triaxis.axes.data.profile.scripts import unread, word_count
from triaxis.axes.data.profile.shape import ShapeProfile
from triaxis.stats.entropy import entropy
from triaxis.tasks.stated import boxed, stated_answer
from triaxis.types import Example, NotEstimable

Kind = Literal["long_cot", "short_cot", "unread_cot", "no_cot", "answer_only"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MARKS = ("boxed", "tagged", "hashes", "said", "lab", "bare", "none")  # of a final answer: those of `text.Stated`

LINES = 3  # with text, that make a solution more than an answer
LONG_WORDS = 1500  # a trace of more is long, whatever it does
RECONSIDERS = 2  # verifications and backtrackings together that make a trace long
BESIDES = 20  # words beside the answer, at most, in a solution that is an answer only
NUMBERS = 2  # different ones beside the answer, from which on a solution works with them
_NUMBER = re.compile(r"[0-9]+(?:[.,][0-9]+)*")
_EQUATION = re.compile(r"[0-9)] ?[=≈]|[=≈] ?[-(0-9]")


@dataclass(frozen=True)
class KindProfile:
    """The examples of one kind."""

    examples: int
    share: float | NotEstimable
    words: int  # of their responses
    behaviours: dict[str, int]


@dataclass(frozen=True)
class StructureProfile:
    """What `Structure` found. Shares are of all examples."""

    examples: int
    kinds: dict[str, KindProfile]  # `unread_cot` only where there are such
    kind: str  # the commonest
    thought_share: float | NotEstimable  # with something between think tags, or in a field of thoughts
    boxed_share: float | NotEstimable
    several_boxed: int  # examples whose solution boxes different things
    marks: dict[str, int]  # examples by how the final answer is marked
    mark: str  # the commonest
    mark_share: float | NotEstimable
    mark_entropy: float | NotEstimable  # over the marks that are there: 0 is one mark only, 1 all equally often
    words: int  # of all responses
    unread: int  # responses whose trace is in a script that the phrase lists can't read
    unread_words: int  # in which no behaviours are looked for: of these, and of solutions in such a script
    behaviours: dict[str, int]  # in thoughts and solutions
    behaviour_examples: dict[str, int]  # in how many examples one shows at least once
    behaviours_per_1000_words: dict[str, float | NotEstimable]


def kind_of(example: Example, behaviours: dict[str, int] | None = None) -> Kind:
    """Which kind of response it is, by these rules, in turn; the trace is the thought, or where there is none the
    solution, and `behaviours` are the trace's.

    `long_cot`: the trace verifies or backtracks twice or more, or has more than 1,500 words. `unread_cot`: any other
    thought in a script that the phrase lists can't read, so that long and short are not told apart. `short_cot`: any
    other thought. `answer_only`: no thought, and a solution that has at most 20 words beside its answer, fewer than
    two numbers other than it, no equation and no three lines: it may say what was asked, but works nothing out.
    `no_cot`: no thought, and a solution that says more, as a textbook's does.
    """
    thought = example.thought if example.thought and not example.thought.isspace() else ""
    trace = thought or example.solution
    counts = count_behaviours(trace) if behaviours is None else behaviours
    if counts["verification"] + counts["backtracking"] >= RECONSIDERS:
        return "long_cot"
    words = word_count(trace)
    if words > LONG_WORDS:
        return "long_cot"
    if thought:
        return "unread_cot" if unread(trace) else "short_cot"
    return "no_cot" if _works_out(trace, words, example.answer or "") else "answer_only"


def _works_out(solution: str, words: int, answer: str) -> bool:
    """Whether a solution without a thought is more than its answer in a sentence."""
    if words - word_count(answer) > BESIDES or _EQUATION.search(solution):
        return True
    others = set(_NUMBER.findall(solution)) - set(_NUMBER.findall(answer))
    lines = sum(bool(line.strip()) for line in solution.splitlines())
    return lines >= LINES or (bool(answer) and len(others) >= NUMBERS)


class Structure:
    """Structure in one pass."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.kind_words: Counter[str] = Counter()
        self.kind_behaviours: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
        self.marks: Counter[str] = Counter()
        self.shows: Counter[str] = Counter()
        self.thoughts = self.boxed = self.several = self.unread = self.unread_words = 0

    def fresh(self) -> Structure:
        """One that has seen nothing."""
        return Structure()

    def add(self, example: Example) -> None:
        thought = example.thought if example.thought and not example.thought.isspace() else ""
        dark_thought = unread(thought)  # which hides the solution too, often no more than a number
        hidden = dark_thought, dark_thought or unread(example.solution)
        in_thought, in_solution = (
            dict.fromkeys(BEHAVIOURS, 0) if not text or dark else count_behaviours(text)
            for text, dark in zip((thought, example.solution), hidden, strict=True)
        )
        kind = kind_of(example, in_thought if thought else in_solution)
        words = word_count(thought), word_count(example.solution)
        self.kinds[kind] += 1
        self.kind_words[kind] += sum(words)
        self.unread += hidden[0] if thought else hidden[1]
        self.unread_words += sum(n for n, dark in zip(words, hidden, strict=True) if dark)
        for name in BEHAVIOURS:
            n = in_thought[name] + in_solution[name]
            self.kind_behaviours[kind][name] += n
            self.shows[name] += n > 0
        self.thoughts += bool(thought)
        stated = stated_answer(example.solution)
        self.marks[stated.form if stated else "none"] += 1
        if "\\boxed" in example.solution or "\\fbox" in example.solution:
            boxes = boxed(example.solution)
            self.boxed += bool(boxes)
            self.several += len(set(boxes)) > 1

    def merge(self, other: Structure) -> None:
        for name in ("kinds", "kind_words", "marks", "shows"):
            getattr(self, name).update(getattr(other, name))
        for kind, counts in other.kind_behaviours.items():
            self.kind_behaviours[kind].update(counts)
        for name in ("thoughts", "boxed", "several", "unread", "unread_words"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def result(self) -> StructureProfile:
        n, words = sum(self.kinds.values()), sum(self.kind_words.values())
        none = NotEstimable("no examples")
        kinds: dict[str, KindProfile] = {
            kind: KindProfile(
                examples=self.kinds[kind],
                share=self.kinds[kind] / n if n else none,
                words=self.kind_words[kind],
                behaviours={name: self.kind_behaviours[kind][name] for name in BEHAVIOURS},
            )
            for kind in KINDS
            if kind != "unread_cot" or self.kinds[kind]
        }
        behaviours = {name: sum(held.behaviours[name] for held in kinds.values()) for name in BEHAVIOURS}
        seen = [self.marks[mark] for mark in MARKS if self.marks[mark]]
        return StructureProfile(
            examples=n,
            kinds=kinds,
            kind=max(KINDS, key=lambda kind: self.kinds[kind]) if n else "",
            thought_share=self.thoughts / n if n else none,
            boxed_share=self.boxed / n if n else none,
            several_boxed=self.several,
            marks={mark: self.marks[mark] for mark in MARKS},
            mark=max(MARKS, key=lambda mark: self.marks[mark]) if n else "",
            mark_share=max(seen) / n if n else none,
            mark_entropy=none if not n else entropy(seen) / log(len(seen)) if len(seen) > 1 else 0.0,
            words=words,
            unread=self.unread,
            unread_words=self.unread_words,
            behaviours=behaviours,
            behaviour_examples={name: self.shows[name] for name in BEHAVIOURS},
            behaviours_per_1000_words=_per_1000(behaviours, words - self.unread_words, "words", self.unread),
        )


def behaviours_per_1000(
    structure: StructureProfile, shape: ShapeProfile
) -> tuple[str, dict[str, float | NotEstimable]]:
    """The unit, tokens or without a tokenizer words, and how often each behaviour shows in 1,000 of it. Of a response
    in a script that can't be read the words are left out; with a tokenizer, their share of the tokens."""
    total = shape.lengths[shape.unit]["response"].total
    read = total * (1 - structure.unread_words / structure.words) if structure.words else total
    return shape.unit, _per_1000(structure.behaviours, read, shape.unit, structure.unread)


def _per_1000(behaviours: dict[str, int], read: float, unit: str, unread_rows: int) -> dict[str, float | NotEstimable]:
    """Behaviours per 1,000 of the units that were read."""
    why = "the phrase lists read English, and every response is in another script" if unread_rows else f"no {unit}"
    return {name: 1000 * n / read if read else NotEstimable(why) for name, n in behaviours.items()}
