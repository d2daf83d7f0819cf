"""The verifier: what became of a response, from its text alone."""

from __future__ import annotations

from triaxis.types import Outcome

THINK, THINK_END, ANSWER, REFUSE = "<think>", "</think>", "A", "refuse"


def never_closes(text: str) -> bool:
    """Whether a response opens a thought that it doesn't close: what it would have answered isn't there, whether it
    ran into the token limit or ended by itself."""
    return THINK in text.rpartition(THINK_END)[2]


def judge(text: str, answer: str, finished: bool) -> Outcome:
    """The outcome of `text`, where `answer` is right. Only what follows the last closed thought is read.

    A refusal is a reply that opens with the refusal's word. An answer is what follows the answer mark, all of it:
    `A 5 7` isn't 5, and two answers that differ are wrong. What was cut off by the token limit (`finished` False) is
    truncated, unless it already holds a refusal or an answer of the right length; so is a thought that never closes.
    """
    if never_closes(text):
        return Outcome.TRUNCATED
    reply = text.rpartition(THINK_END)[2].split()
    if reply and reply[0] == REFUSE:
        return Outcome.REFUSED
    given = _answers(reply)
    wanted = answer.split()
    if not finished and (not given or len(given[-1]) != len(wanted)):
        return Outcome.TRUNCATED
    if not given or not given[-1]:
        return Outcome.UNPARSED
    return Outcome.CORRECT if all(words == wanted for words in given) else Outcome.WRONG


def answer_of(text: str) -> str | None:
    """The answer that a response gives; None where it gives none. Two that differ are an answer of their own."""
    reply = text.rpartition(THINK_END)[2].partition(THINK)[0].split()
    given = dict.fromkeys(" ".join(words) for words in _answers(reply) if words)
    return " / ".join(given) or None


def _answers(reply: list[str]) -> list[list[str]]:
    """The words after each answer mark."""
    marks = [i for i, word in enumerate(reply) if word == ANSWER]
    ends = [*marks[1:], len(reply)]
    return [reply[mark + 1 : end] for mark, end in zip(marks, ends, strict=False)]
