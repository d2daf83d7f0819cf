"""Where a solution gives its final answer once more, in sentences of its own beside the one that states it.

"In the end Jon has 21 seeds." above a boxed 21 gives the answer too: where the answer is made wrong or taken out, so
must this be. An equation is a step, and stays; a sentence that gives the answer before the last equation is taken for
one of the steps, which nothing here may change.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Sequence
from functools import lru_cache

from triaxis.axes.data.recipes.arithmetic import NUMBER, equations, value_of, written
from triaxis.axes.data.recipes.operation import CannotDo
from triaxis.axes.data.recipes.places import sentences

Span = tuple[int, int]
_MEASURE = re.compile(rf"[-−+$€£\s\\]*(?P<number>{NUMBER.pattern})\s*\\?%?(?:\s*+[^\W\d_]++\W*+){{0,3}}+")
_ECHO = re.compile(rf">>\s*{NUMBER.pattern}")  # what stands behind a calculator's note: <<3+4=7>>7
_RESULT = re.compile(
    r"\b(?:so|thus|hence|therefore|total|altogether|in all|in the end|at the end|finally|result|left|remains?)\b", re.I
)
_GIVEN = re.compile(r"\b(?:is|are|equals?|gives?|leaves?|gets?|becomes?)\W*\Z", re.IGNORECASE)
_UNIT_BEHIND = re.compile(r"(?:\W*+[^\W\d_]++){0,3}+\W*+\Z")  # at most three words, and no number
_NEAR = 24  # characters before an answer in which it is said to be given


def result_sentences(solution: str, answers: Sequence[str], beside: Span = (0, 0)) -> list[Span]:
    """The sentences that give one of these answers as the result, in order, but for those within `beside`, the place
    of the statement. Raises CannotDo where one of them stands among the steps."""
    given = [at for at in _mentions(solution, answers) if not beside[0] <= at[0] < beside[1]]
    if not given:
        return []
    steps_end = max((last for _, last in _equations(solution)), default=0)
    found = []
    for start, end in (*sentences(solution, 0, beside[0]), *sentences(solution, beside[1], len(solution))):
        here = given[bisect(given, (start, start)) : bisect(given, (end, end))]
        if not here or not _is_result(solution, start, end, here):
            continue
        if here[-1][0] < steps_end:
            raise CannotDo("an answer that is given among the steps")
        found.append((start, end))
    return found


def reworded(text: str, answers: Sequence[str], new: str) -> str:
    """The text with another answer wherever it gives one of these; equations stay."""
    pieces, at, core = [], 0, _core(new)
    for start, end in _mentions(text, answers):
        pieces += [text[at:start], _like(core, text[start:end])]
        at = end
    return "".join([*pieces, text[at:]])


def _like(core: str, old: str) -> str:
    """An answer written as the old one was: 7 for 3 where it is 7.0 for 3.0 elsewhere, and No for Yes."""
    if NUMBER.fullmatch(core) and NUMBER.fullmatch(old):
        return written(value_of(core), old) or core
    return core.title() if old.istitle() else core


def _equations(text: str) -> list[Span]:
    """Where the equations of a text stand, with a calculator's echo of their results."""
    found = []
    for equation in equations(text):
        echo = _ECHO.match(text, equation.end)
        found.append((equation.start, echo.end() if echo else equation.end))
    return found


def _mentions(text: str, answers: Sequence[str]) -> list[Span]:
    """Where a text says one of these answers, in order, outside its equations. A number is told by its value."""
    found: set[Span] = set()
    for core in {_core(answer) for answer in answers}:
        if NUMBER.fullmatch(core):
            number = value_of(core)
            found.update(match.span() for match in NUMBER.finditer(text) if value_of(match[0]) == number)
        else:
            found.update(match.span() for match in _pattern(core).finditer(text))
    if not found:
        return []
    inside = [edge for equation in _equations(text) for edge in equation]  # start, end, start, end, ..
    return sorted(at for at in found if bisect(inside, at[0]) % 2 == 0)


def _core(answer: str) -> str:
    """The number of an answer that is one, without its unit or sign; else the answer."""
    measure = _MEASURE.fullmatch(answer)
    return measure["number"] if measure else answer


@lru_cache(maxsize=256)
def _pattern(core: str) -> re.Pattern[str]:
    """An answer in words by itself; a letter only where it stands for a choice, since "A" is a word too."""
    said = re.escape(core)
    if len(core) > 1:
        return re.compile(rf"(?<![\w\\.]){said}(?!\w)", re.IGNORECASE)
    named = "".join(rf"(?<={word} )|" for word in ("option", "choice", "answer", "letter", "Option", "Choice"))
    return re.compile(rf"(?:{named}(?<=\()){said}(?!\w)|(?:(?<=is )|(?<=^)){said}(?=[.,;:)])", re.MULTILINE)


def _is_result(text: str, start: int, end: int, said: Sequence[Span]) -> bool:
    """Whether the sentence `text[start:end]`, which says an answer there, gives it as what comes out, and not as
    something that it needs."""
    (first, _), (last, behind) = said[0], said[-1]
    if len(text[first : said[0][1]]) == 1 and text[first].isalpha():
        return True
    if any(_GIVEN.search(text, max(start, at - _NEAR), at) for at, _ in said):
        return True
    if text[last].isdigit():
        return bool(_UNIT_BEHIND.match(text, behind, end) or _RESULT.search(text, start, last))
    opens = not any(map(str.isalnum, text[start:first])) and text[said[0][1]] in ",.;:!"
    return opens or not any(map(str.isalnum, text[behind:end]))
