"""Where a response states its final answer: one rule, for what a model is trained on and for what it is asked."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from triaxis.tasks.verify import THINK, THINK_END

LONGEST_SAID = 100  # characters; "the answer is" with more after it is prose
FEW_WORDS = 4  # a reply of so few, on one line, is an answer and nothing else
WHOLE = ("tagged", "boxed")  # forms that have an end of their own: a response that is cut off may hold them in full

_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_BRACE = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)  # an escaped brace is a sign, not a bracket
_HASHES = re.compile(r"^[ \t]*####[ \t]*(?P<answer>\S[^\n]*)$", re.MULTILINE)
_NUMBER = re.compile(r"[-+$€£\s]*[0-9][0-9,./]*\s*%?\s*")
_HENCE = r"(?:(?:therefore|thus|hence|then|simply|just|clearly|now|indeed)\b[ \t*_:,]*){0,2}"
_SAID = re.compile(
    rf"\banswer\b[ \t*_]*(?:is\b|:|=)[ \t*_:]*{_HENCE}(?=(?P<answer>[^\s*_:][^\n]{{0,200}}))", re.IGNORECASE
)
_SENTENCE_END = re.compile(r"[.;!?](?=\s|\*|$)|,?\s+(?:because|since|which|so that|as we|where)\b", re.IGNORECASE)
_LAB = re.compile(r"\s*A(?P<answer>(?: \S+)+)\s*\Z")
_WRAPPERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"), ("`", "`"))


class Stated(NamedTuple):
    """A final answer where it is stated: `text[start:end]`, in which form: `tagged`, `boxed`, `hashes`,
    `said`, `lab` or `bare`."""

    form: str
    start: int
    end: int


def boxed(text: str) -> list[str]:
    r"""What stands in each closed `\boxed{..}` (or `\fbox`), braces in it included, in order."""
    return [text[start:end] for start, end in _boxes(text)]


def _boxes(text: str) -> list[tuple[int, int]]:
    """Where the outermost closed boxes are; one that is never closed hides none that stands in it."""
    if "\\boxed" not in text and "\\fbox" not in text:
        return []
    found: list[tuple[int, int]] = []
    open_ones: list[int] = []  # where each brace's inside begins, if it is a box's; else -1
    for match in _BRACE.finditer(text):
        if match[0] == "}":
            start = open_ones.pop() if open_ones else -1
            if start >= 0:
                while found and found[-1][0] > start:
                    found.pop()
                found.append((start, match.start()))
        elif match[0][-1] == "{" and match[0] != "\\{":
            open_ones.append(match.end() if len(match[0]) > 1 else -1)
    return found


def reply_of(text: str) -> str:
    """What a response says once it has thought: after the last closed thought, and up to one that is opened again."""
    return text.rpartition(THINK_END)[2].partition(THINK)[0].strip()


def stated_answer(solution: str) -> Stated | None:
    r"""Where the final answer is stated; None where it is not.

    The last of the most explicit form that there is: `<answer>..</answer>`, `\boxed{..}`, `#### ..` (a number, or the
    last line: elsewhere it is a heading), "the answer is ..", "Answer: ..", the lab's `A ..` where it is all there is,
    and a solution of at most `FEW_WORDS` words on one line. The last number of a text is no statement.
    """
    for form, found in (("tagged", _tagged(solution)), ("boxed", _boxes(solution))):
        if found:
            return _trimmed(form, solution, *found[-1])
    last = solution.rstrip()
    hashes = [m for m in _HASHES.finditer(last) if m.end() == len(last) or _NUMBER.fullmatch(m["answer"])]
    for form, matches in (("hashes", hashes), ("said", list(_SAID.finditer(solution)))):
        if matches and (stated := _trimmed(form, solution, *matches[-1].span("answer"))):
            return stated
    return _alone(solution)


def _tagged(text: str) -> list[tuple[int, int]]:
    """The last pair of answer tags; by search for its ends, since a pattern looks to the end from every opening."""
    end = text.rfind("</answer>")
    start = text.rfind("<answer>", 0, end) if end >= 0 else -1
    return [(start + len("<answer>"), end)] if start >= 0 else []


def _alone(solution: str) -> Stated | None:
    """The answer of a solution that holds nothing else."""
    lab = _LAB.match(solution)
    if lab and set(lab["answer"].split()) <= _lab_words():
        return _trimmed("lab", solution, *lab.span("answer"))
    if len(solution) > LONGEST_SAID and len(solution.strip()) > LONGEST_SAID:
        return None
    few = len(solution.split()) <= FEW_WORDS and "\n" not in solution.strip()
    begun = "<answer>" in solution or _BOX.search(solution)  # a statement that isn't finished
    return _trimmed("bare", solution, 0, len(solution)) if few and not begun else None


def final_answer(solution: str, finished: bool = True) -> str | None:
    r"""The final answer that a solution states, without the mark; None where it states none. See `stated_answer`.

    Where the response was cut off (`finished` False) only the forms in `WHOLE` count, and no box before one that is
    still open: of anything else nobody knows whether it was complete.
    """
    found = stated_answer(solution)
    if found is None or (not finished and found.form not in WHOLE):
        return None
    if not finished and found.form == "boxed" and _BOX.search(solution, found.end):
        return None
    return solution[found.start : found.end]


def with_answer(solution: str, answer: str) -> str | None:
    """The solution with another final answer in its place; None where it states none."""
    found = stated_answer(solution)
    return solution[: found.start] + answer + solution[found.end :] if found else None


def _trimmed(form: str, text: str, start: int, end: int) -> Stated | None:
    """The answer without white space around it and, in a sentence, without what follows it and what wraps it."""
    if form == "said" and (stop := _SENTENCE_END.search(text, start, end)):
        end = stop.start()
    changed = True
    while changed:
        before = (start, end)
        while start < end and text[start].isspace():
            start += 1
        while start < end and (text[end - 1].isspace() or (form in ("said", "bare") and text[end - 1] in ".,;*")):
            end -= 1
        for left, right in _WRAPPERS if form not in ("boxed", "tagged") else ():
            inner = text[start + len(left) : end - len(right)]
            if text.startswith(left, start, end) and text.endswith(right, start, end) and left not in inner and inner:
                start, end = start + len(left), end - len(right)
        changed = (start, end) != before
    said_nothing = form == "said" and (end - start > LONGEST_SAID or text.startswith("not ", start))
    return None if start == end or said_nothing else Stated(form, start, end)


@cache
def _lab_words() -> frozenset[str]:
    from triaxis.tasks import vocabulary  # which is known once all tasks are

    return frozenset(vocabulary())
