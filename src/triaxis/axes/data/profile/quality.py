"""Quality of a data set: final answers against references, traces against their own answers, slips, boilerplate."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from heapq import nsmallest
from typing import NamedTuple

from triaxis.axes.data.profile.arithmetic import check_equations
from triaxis.axes.data.profile.behaviours import count_behaviours
from triaxis.axes.data.profile.lab_steps import check_steps, final_states, in_lab_language, state_after
from triaxis.axes.data.profile.wording import boilerplate, loop_in
from triaxis.tasks import get_task
from triaxis.tasks.answers import number_of, plain, quick_check
from triaxis.tasks.checker import SECONDS, VERDICTS, AnswerChecker, Verdict
from triaxis.tasks.declines import is_refusal
from triaxis.tasks.stated import stated_answer
from triaxis.tasks.verify import judge
from triaxis.tasks.words import Words
from triaxis.types import Example, NotEstimable, Outcome, TriaxisError

_SENTENCE_END = re.compile(r"[.!?](?=\s|$)|\n(?=\s*\S)")
_GUESS = re.compile(  # in the sentence of a result: it is not stated
    r"\b(?:guess|maybe|perhaps|suppose|assum\w+|might|if|whether|unless|probably|possibly|can't|cannot)\b",
    re.IGNORECASE,
)
SHOWN = 20  # rows of each kind that are listed: the first ones
_WORDS = Words()  # whose digits are words
WAITING = 256  # pairs that are put to math-verify together
EXCERPT = 200  # characters
TRACE_END = 2000  # characters of a trace in which its result is looked for


class Shown(NamedTuple):
    """A row where something was found, and what."""

    row: int
    id: str
    found: str  # the given answer, the equation, the span
    against: str = ""  # the reference, or the answer


@dataclass(frozen=True)
class AnswerCounts:
    """Examples by what came of their final answer; the first four are those that were put to the test."""

    checked: int  # correct + wrong
    correct: int
    wrong: int
    unparsable: int  # one of the two can't be read
    timeout: int  # no verdict in time
    missing: int  # there is a reference, and the response states no answer
    other_form: int  # it states one in another form than its task reads
    no_reference: int
    unchecked: int  # only math-verify could tell, and it isn't installed
    correct_share: float | NotEstimable  # of those checked


@dataclass(frozen=True)
class QualityProfile:
    """What `Quality` found. The lists hold the first SHOWN rows of their kind."""

    examples: int
    answers: AnswerCounts
    seconds: float  # the limit of a pair
    verifiers: dict[str, int]  # pairs by who decided: "comparison", "math-verify", "lab", "reasoning-gym"
    comparable_traces: int  # traces that state a result which can be compared with the answer
    inconsistent: int  # ... and where it is another
    answer_not_in_trace: int  # a whole number of two digits or more that never stands in the trace
    equations: int  # that could be checked, in thoughts and solutions
    slips: int  # wrong ones
    slips_caught: int  # ... that what follows withdraws
    examples_with_slips: int
    slip_share: float | NotEstimable  # of equations
    lab_steps: int  # steps in the lab's language that could be checked, by its rules
    lab_wrong_steps: int
    refusals: int
    boilerplate: dict[str, int]  # examples: "about itself", "opening", "closing"
    loops: int  # examples whose text repeats a span again and again
    wrong_rows: tuple[Shown, ...]
    unparsable_rows: tuple[Shown, ...]  # timeouts included
    inconsistent_rows: tuple[Shown, ...]
    slip_rows: tuple[Shown, ...]
    refusal_rows: tuple[Shown, ...]
    loop_rows: tuple[Shown, ...]


class _Pair(NamedTuple):
    row: int
    id: str
    given: str
    reference: str


class Quality:
    """Quality in one pass. What plain comparison doesn't decide is asked of math-verify, some pairs at a time."""

    def __init__(self, processes: int = 1, seconds: float = SECONDS) -> None:
        self.processes, self.seconds = processes, seconds
        self.counts: Counter[str] = Counter()
        self.verdicts: Counter[str] = Counter()
        self.verifiers: Counter[str] = Counter()
        self.boilerplate: Counter[str] = Counter()
        self.rows: dict[str, list[Shown]] = {
            name: [] for name in ("wrong", "unparsable", "inconsistent", "slip", "refusal", "loop")
        }
        self._checker = AnswerChecker(processes, seconds)
        self._waiting: list[_Pair] = []

    def fresh(self) -> Quality:
        """One with the same settings that has seen nothing."""
        return Quality(self.processes, self.seconds)

    def __getstate__(self) -> dict[str, object]:
        self._flush()
        return self.__dict__

    def add(self, example: Example) -> None:
        self.counts["examples"] += 1
        thought = example.thought or ""
        self._answer(example)
        if in_lab_language(thought):
            checked, wrong = check_steps(thought)
            self.counts["lab_steps"] += checked
            self.counts["lab_wrong_steps"] += wrong
        else:
            self._equations(example, thought)
        self._consistency(example, thought)
        self._wording(example, thought)

    def _answer(self, example: Example) -> None:
        if example.reference is None or not example.reference.strip():
            self.counts["no_reference"] += 1
            return
        own = _own_verdict(example)
        pair = _Pair(example.row, example.id, example.answer or "", example.reference)
        verdict, verifier = own if own else (quick_check(pair.given, pair.reference), "comparison")
        if own and verdict is None and example.answer is not None:
            self.counts["other_form"] += 1
        elif (own and verdict is None) or (not own and example.answer is None):
            self.counts["missing"] += 1
        elif verdict:
            self._note(pair, verdict, verifier)
        else:
            self._waiting.append(pair)
            if len(self._waiting) >= WAITING:
                self._flush()

    def _flush(self) -> None:
        pairs, self._waiting = self._waiting, []
        if pairs:
            for pair, verdict in zip(pairs, self._checker.check([(p.given, p.reference) for p in pairs]), strict=True):
                self._note(pair, verdict, "math-verify")

    def _note(self, pair: _Pair, verdict: Verdict, verifier: str) -> None:
        self.verdicts[verdict] += 1
        self.verifiers[verifier] += verdict != "unchecked"
        listed = {"wrong": "wrong", "unparsable": "unparsable", "timeout": "unparsable"}.get(verdict)
        if listed:
            self._show(listed, pair.row, pair.id, pair.given, pair.reference)

    def _show(self, kind: str, row: int, id: str, found: str, against: str = "") -> None:
        rows = self.rows[kind]
        rows.append(Shown(row, id, _excerpt(found), _excerpt(against)))
        if len(rows) >= 2 * SHOWN:
            rows[:] = _first(rows)

    def _equations(self, example: Example, thought: str) -> None:
        slips = []
        for text in (thought, example.solution):
            checked = check_equations(text)
            self.counts["equations"] += checked.equations
            slips += checked.slips
        if slips:
            self.counts["slips"] += len(slips)
            self.counts["slips_caught"] += sum(slip.caught for slip in slips)
            self.counts["examples_with_slips"] += 1
            self._show("slip", example.row, example.id, slips[0].text)

    def _consistency(self, example: Example, thought: str) -> None:
        if example.answer is None or not thought.strip():
            return
        result = stated_result(thought)
        same = _same_result(result, example.answer) if result else None
        if same is not None and result:
            self.counts["comparable"] += 1
            if not same:
                self.counts["inconsistent"] += 1
                self._show("inconsistent", example.row, example.id, result, example.answer)
        answer = plain(example.answer)
        if answer.isascii() and answer.isdigit() and len(answer) > 1:
            self.counts["absent"] += answer not in thought and f"{int(answer[:4000]):,}" not in thought

    def _wording(self, example: Example, thought: str) -> None:
        if is_refusal(example.solution):
            self.counts["refusals"] += 1
            self._show("refusal", example.row, example.id, example.solution)
        self.boilerplate.update(boilerplate(example.solution))
        if span := loop_in(thought) or loop_in(example.solution):
            self.counts["loops"] += 1
            self._show("loop", example.row, example.id, span)

    def merge(self, other: Quality) -> None:
        other._flush()
        for name in ("counts", "verdicts", "verifiers", "boilerplate"):
            getattr(self, name).update(getattr(other, name))
        for kind, rows in other.rows.items():
            self.rows[kind] = _first([*self.rows[kind], *rows])

    def result(self) -> QualityProfile:
        self._flush()
        self._checker.close()
        c, v = self.counts, self.verdicts
        checked = v["correct"] + v["wrong"]
        return QualityProfile(
            examples=c["examples"],
            answers=AnswerCounts(
                checked=checked,
                **{verdict: v[verdict] for verdict in VERDICTS},
                missing=c["missing"],
                other_form=c["other_form"],
                no_reference=c["no_reference"],
                correct_share=v["correct"] / checked if checked else NotEstimable("no answer could be checked"),
            ),
            seconds=self.seconds,
            verifiers=dict(self.verifiers),
            comparable_traces=c["comparable"],
            inconsistent=c["inconsistent"],
            answer_not_in_trace=c["absent"],
            equations=c["equations"],
            slips=c["slips"],
            slips_caught=c["slips_caught"],
            examples_with_slips=c["examples_with_slips"],
            slip_share=c["slips"] / c["equations"] if c["equations"] else NotEstimable("no equation could be checked"),
            lab_steps=c["lab_steps"],
            lab_wrong_steps=c["lab_wrong_steps"],
            refusals=c["refusals"],
            boilerplate={kind: self.boilerplate[kind] for kind in ("about itself", "opening", "closing")},
            loops=c["loops"],
            **{f"{kind}_rows": tuple(_first(rows)) for kind, rows in self.rows.items()},
        )


def stated_result(thought: str) -> str | None:
    """What a trace says that it has come to: the last answer that its end boxes, marks or says; in the lab's language,
    the state after its last step. None where it says nothing of the kind, or guesses, or withdraws it."""
    if in_lab_language(thought):
        steps = final_states(thought)
        return state_after(steps[-1]) if steps and steps[-1] else None
    end = thought[-TRACE_END:]
    stated = stated_answer(end)
    if stated is None or stated.form in ("bare", "lab"):
        return None
    if stated.form == "said" and len(_SENTENCE_END.findall(end, stated.end)) > 2:
        return None  # said on the way, and thought on from
    sentence = [0, *(match.end() for match in _SENTENCE_END.finditer(end, 0, stated.start))][-1]
    if _GUESS.search(end, sentence, stated.start) or end[stated.end :].lstrip("}$*` )]")[:1] == "?":
        return None
    if count_behaviours(end[stated.end :])["backtracking"]:
        return None
    return end[stated.start : stated.end]


def _same_result(result: str, answer: str) -> bool | None:
    """Whether a trace's result is the answer, where that can be told without mathematics; None elsewhere.

    What is said in a sentence ("the answer is somewhere between") counts only where both are numbers or one letter.
    """
    one, other = plain(result), plain(answer)
    if one.casefold() == other.casefold():
        return True
    numbers = number_of(one), number_of(other)
    if numbers[0] is not None and numbers[1] is not None:
        return numbers[0] == numbers[1]
    if re.fullmatch(r"[A-Za-z]|(?:[A-Za-z] ){1,5}[A-Za-z]", one) and re.fullmatch(r"[A-Za-z ]{1,11}", other):
        return False
    return False if one in _WORDS.digits and other in _WORDS.digits else None


def _own_verdict(example: Example) -> tuple[Verdict | None, str] | None:
    """The task's own verdict where the row is one of a task's items, and the verifier's name; None: it isn't.

    The verdict is None where the response states no answer that the task reads.
    """
    if example.source == "lab" or in_lab_language(example.thought or ""):
        outcome = judge(example.solution, example.reference or "", finished=True)
        if outcome is Outcome.REFUSED:
            return "correct" if (example.reference or "").strip() == "refuse" else "wrong", "lab"
        verdicts: dict[Outcome, Verdict] = {Outcome.CORRECT: "correct", Outcome.WRONG: "wrong"}
        return verdicts.get(outcome), "lab"
    if example.source != "reasoning-gym" or not example.id.startswith("rg:"):
        return None
    if example.answer is None:
        return None, "reasoning-gym"
    if quick_check(example.answer, example.reference or "") == "correct":
        return "correct", "comparison"
    try:
        task = get_task(re.split(r"/(?:train|eval)/", example.id)[0])
        item = task.example(example.id)
        if not example.turns or item.prompt != example.turns[-1].content:
            return None
        judged: Verdict = task.judged(task.problem(item), example.answer)  # type: ignore[attr-defined]
    except (TriaxisError, AttributeError):
        return None
    return judged, "reasoning-gym"


def _excerpt(text: str) -> str:
    line = " ".join(text[: 2 * EXCERPT].split())
    return line if len(line) <= EXCERPT else f"{line[: EXCERPT - 1]}…"


def _first(rows: list[Shown]) -> list[Shown]:
    return nsmallest(SHOWN, rows, key=lambda shown: (shown.row, shown.id))
