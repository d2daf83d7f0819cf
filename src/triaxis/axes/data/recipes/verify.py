"""`verify`: keep the rows whose final answer is right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from triaxis.axes.data.recipes.cap import chunks
from triaxis.axes.data.recipes.operation import Context, Operation
from triaxis.study.fields import Count, Positive
from triaxis.tasks.checker import AnswerChecker
from triaxis.types import Example

CHUNK = 512  # rows checked together


class Verify(Operation):
    """Answers are checked against references, as mathematics where text and numbers don't decide; what can't be
    checked is left out."""

    name: ClassVar[str] = "verify"

    unchecked: Literal["leave_out", "keep"] = "leave_out"  # no answer, no reference, or one that can't be read
    seconds: Positive = 5.0  # an answer: symbolic comparison can hang
    processes: Count = 1  # of math-verify

    def run(self, examples: Iterator[Example], context: Context) -> Iterator[Example]:
        entry = context.entry
        with AnswerChecker(self.processes, self.seconds) as checker:
            for chunk in chunks(examples, CHUNK):
                for example, outcome in zip(chunk, _outcomes(chunk, checker), strict=True):
                    if outcome == "correct":
                        yield example
                    elif outcome == "wrong":
                        entry.leave_out(example.id, outcome, f"{example.answer}, not {example.reference}")
                    elif self.unchecked == "keep":
                        entry.fail(example.id, outcome)
                        yield example
                    else:
                        entry.leave_out(example.id, outcome)
            if checker.missing:
                entry.notes.append("math-verify isn't installed: what it would decide is unchecked")


def _outcomes(examples: list[Example], checker: AnswerChecker) -> list[str]:
    """What became of each answer: correct, wrong, or why it could not be checked."""
    both = [(e.answer, e.reference) for e in examples if e.answer is not None and e.reference is not None]
    verdicts = iter(checker.check(both))
    found: list[str] = []
    for example in examples:
        if example.answer is None:
            found.append("no answer")
        else:
            found.append("no reference" if example.reference is None else next(verdicts))
    return found
