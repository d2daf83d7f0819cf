"""Responses as text: the thought and its tags, and words for comparing texts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from triaxis.types import Example

THINK = ("<think>", "</think>")
TAGS = (THINK, ("<thinking>", "</thinking>"), ("<|begin_of_thought|>", "<|end_of_thought|>"))
SOLUTION_TAGS = ("<|begin_of_solution|>", "<|end_of_solution|>")  # go with the last of TAGS

_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+|[-+*/=<>^%|&~()\[\]{}]")


class Parts(NamedTuple):
    """A response taken apart so that nothing is lost: joined again, the parts are the response, byte for byte."""

    before: str  # the opening tag, and white space before it
    thought: str | None  # white space at its ends included; None: no tags
    between: str  # the closing tag, and where the data has one the tag that opens the solution
    solution: str
    after: str  # the tag that closes the solution

    def joined(self) -> str:
        """The response again."""
        return f"{self.before}{self.thought or ''}{self.between}{self.solution}{self.after}"


def response_of(example: Example) -> str:
    """The whole response: the thought between think tags, whatever tags it came with, and the solution."""
    return example.solution if example.thought is None else f"{THINK[0]}{example.thought}{THINK[1]}{example.solution}"


def split_thought(response: str, *, opened: bool = True) -> tuple[str | None, str, list[str]]:
    """Thought, solution and what is wrong with the tags; the thought is None where there are no tags.

    White space is kept: `<think>` + thought + `</think>` + solution is the response as written. A response whose tags
    are wrong is all solution. `opened` False takes a closing tag alone as the end of a thought that the prompt opened.
    """
    parts, problem = parts_of(response, opened=opened)
    return parts.thought, parts.solution, [problem] if problem else []


def parts_of(response: str, *, opened: bool = True) -> tuple[Parts, str]:
    """The parts of a response, and what is wrong with its tags (empty: nothing). See `split_thought`."""
    kinds = [tags for tags in TAGS if tags[0] in response or tags[1] in response]
    if len(kinds) != 1:
        problem = f"two kinds of tags, {kinds[0][0]} and {kinds[1][0]}; keep one" if kinds else ""
        return Parts("", None, "", response, ""), problem
    start, end = kinds[0]
    if not opened and start not in response and response.count(end) == 1:
        thought, solution = response.split(end)
        return Parts("", thought, end, solution, ""), ""
    before, _, rest = response.partition(start)
    thought, closed, solution = rest.partition(end)
    if not closed or start in rest or end in solution or before.strip():
        return Parts("", None, "", response, ""), _misplaced(response, start, end)
    parts = Parts(before + start, thought, end, solution, "")
    return (_without_solution_tags(parts), "") if SOLUTION_TAGS[0] in solution else (parts, "")


def _misplaced(response: str, start: str, end: str) -> str:
    """What is wrong with one kind of tags in a response that holds some, but not one pair at its beginning."""
    opens, closes = response.count(start), response.count(end)
    if not closes:
        return f"{start} is never closed; the trace is cut off, or {end} is missing"
    if not opens:
        return f"{end} closes a thought that {start} never opened; put {start} before it"
    depth = 0
    for match in re.finditer(f"{re.escape(start)}|{re.escape(end)}", response):
        depth += 1 if match[0] == start else -1
        if depth > 1:
            return f"{start} inside another {start}; keep one pair of tags"
        if depth < 0:
            return f"{end} stands before its {start}; keep one pair of tags"
    if depth:
        return f"the last {start} is never closed; the trace is cut off, or {end} is missing"
    if opens > 1:
        return f"{opens} thoughts; keep one pair of tags"
    return f"text before {start}; the thought must come first"


def _without_solution_tags(parts: Parts) -> Parts:
    """Solution tags moved out of the solution, where they hold all of it."""
    start, end = SOLUTION_TAGS
    before, _, rest = parts.solution.partition(start)
    solution, closed, after = rest.partition(end)
    if before.strip() or after.strip():
        return parts
    return Parts(parts.before, parts.thought, parts.between + before + start, solution, closed + after)


def normalised(text: str) -> str:
    """Words, numbers and signs of calculation in lower case with single spaces between them, to find the same text in
    another dress. Other punctuation, `$` and backslashes are dropped, and compatibility forms are made one (NFKC)."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(_WORD.findall(text.casefold()))


def ngrams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """The runs of `n` words, in order; none where there are fewer."""
    return list(zip(*(words[i:] for i in range(n)), strict=False))
