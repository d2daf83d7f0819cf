"""Where the final answer stands in a solution, with the statement around it, so that it alone can be changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from triaxis.tasks.stated import stated_answer

FORMS = {  # how data sets state a final answer; what an inconsistent one mixes
    "boxed": "$\\boxed{%s}$",
    "hashes": "#### %s",
    "said": "The answer is %s.",
    "tagged": "<answer>%s</answer>",
}
_SENTENCE_START = re.compile(r"[.!?]\s+|\n+")
_SENTENCE_END = re.compile(r"[.!?](?=\s|\Z)\s*|\n+|\Z")
_OPENING = {"boxed": re.compile(r"\\(?:boxed|fbox)\s*\{\s*\Z"), "tagged": re.compile(r"<answer>\s*\Z")}
_CLOSING = {"boxed": re.compile(r"\s*\}"), "tagged": re.compile(r"\s*</answer>")}


class Place(NamedTuple):
    """A stated answer: `text[start:end]` is the answer, `text[first:last]` the statement that holds it."""

    form: str  # tagged, boxed, hashes, said, lab or bare
    start: int
    end: int
    first: int
    last: int


def place_of(solution: str) -> Place | None:
    """The final answer of a solution with its statement: the box with its dollars, the tags, the sentence."""
    stated = stated_answer(solution)
    if stated is None:
        return None
    form, start, end = stated
    if form in ("lab", "bare"):
        return Place(form, start, end, 0, len(solution))
    if form in ("hashes", "said"):
        return Place(form, start, end, *_without_space(solution, *sentence_around(solution, start, end)))
    opening, closing = _OPENING[form].search(solution, 0, start), _CLOSING[form].match(solution, end)
    first, last = (opening.start() if opening else start), (closing.end() if closing else end)
    while first > 0 and last < len(solution) and solution[first - 1] == "$" == solution[last]:
        first, last = first - 1, last + 1
    return Place(form, start, end, first, last)


def sentence_around(text: str, first: int, last: int) -> tuple[int, int]:
    """The sentence, or the line, that holds `text[first:last]`, with the white space after it."""
    begins = [m.end() for m in _SENTENCE_START.finditer(text, 0, first)]
    end = _SENTENCE_END.search(text, last)
    return begins[-1] if begins else 0, end.end() if end else len(text)


def sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where each sentence, or line, of `text[start:end]` stands, with the white space after it."""
    for match in _SENTENCE_END.finditer(text, start, end):
        if match.end() > start:
            yield start, match.end()
        start = match.end()


def _without_space(text: str, first: int, last: int) -> tuple[int, int]:
    kept = text[first:last]
    return first + len(kept) - len(kept.lstrip()), last - len(kept) + len(kept.rstrip())
