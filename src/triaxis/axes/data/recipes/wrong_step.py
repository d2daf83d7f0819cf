"""Wrong steps: an equation of the trace with a wrong result, carried on to a wrong answer, or left to stand alone."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import islice

from triaxis.axes.data.profile.expressions import Number
from triaxis.axes.data.recipes.arithmetic import (
    NUMBER,
    Equation,
    decimals,
    equations,
    rounded,
    value_of,
    worked_out,
    written,
)
from triaxis.axes.data.recipes.dice import Dice
from triaxis.axes.data.recipes.operation import CannotDo
from triaxis.axes.data.recipes.other_trace import Others
from triaxis.axes.data.recipes.places import place_of, sentence_around
from triaxis.axes.data.recipes.wrong_answer import is_other, near
from triaxis.tasks.stated import final_answer
from triaxis.types import Example

_TRIES = 12  # equations tried before a row is given up
_LABELLED = re.compile(r"\b(?:step|case|part|equation|eqn?|problem|line)s?\.?\s*[#(]?\Z", re.IGNORECASE)
_ITEM = re.compile(r"(?:\A|\n)[ \t]*[-*#]*[ \t]*\Z")


def wrong_step(example: Example, dice: Dice, others: Others) -> tuple[Example, str]:
    """One equation gets a wrong result; every later number and equation that rests on it follows, and so does the
    final answer."""
    place = place_of(example.solution)
    if place is None:
        raise CannotDo("no final answer found")
    parts = [example.thought or "", example.solution]
    found = [(part, e) for part, text in enumerate(parts) for e in equations(text) if e.right]
    if not found:
        raise CannotDo("no equation that can be checked")
    old = example.solution[place.start : place.end]
    for part, equation in dice.shuffled(found)[:_TRIES]:
        later = parts[part].find(equation.result_text, equation.end) >= 0
        if not later and (part == 1 or equation.result_text not in parts[1]):
            continue  # nothing rests on it
        for wrong in islice(near(equation.result_text.lstrip("-−"), dice), 3):
            carried = _carried(parts, part, equation, wrong)
            answer = final_answer(carried[1]) if carried is not None else None
            if carried is None or answer is None or not is_other(answer, old, example.reference):
                continue
            thought = carried[0] if example.thought is not None else None
            how = f"{equation.left_text} = {equation.result_text} to {wrong}, answer {old} to {answer}"
            return replace(example, thought=thought, solution=carried[1], answer=answer), how
    raise CannotDo("no wrong step reaches the answer")


def wrong_step_right_answer(example: Example, dice: Dice, others: Others) -> tuple[Example, str]:
    """One equation gets a wrong result, and nothing else changes: the answer stays right."""
    place = place_of(example.solution)
    kept = sentence_around(example.solution, place.first, place.last)[0] if place else len(example.solution)
    text = example.thought if example.thought else example.solution[:kept]
    found = [e for e in equations(text) if e.right]
    if not found:
        raise CannotDo("no equation that can be checked")
    equation = dice.pick(found)
    wrong = next(near(equation.result_text.lstrip("-−"), dice))
    new = text[: equation.result_start] + _signed(equation.result_text, wrong) + text[equation.end :]
    how = f"{equation.left_text} = {equation.result_text} to {wrong}"
    if example.thought:
        return replace(example, thought=new), how
    return replace(example, solution=new + example.solution[kept:]), how


def _carried(parts: list[str], part: int, equation: Equation, wrong: str) -> tuple[str, str] | None:
    """Thought and solution with the wrong result and all that follows from it; None where a later equation would come
    to a number that can't be written as the old one was."""
    text = parts[part]
    wrong = _signed(equation.result_text, wrong)
    now: dict[Number, Number] = {}
    try:
        _learn(now, equation.result, value_of(wrong))
        rest = _rewritten(text[equation.end :], now)
        new = text[: equation.result_start] + wrong + rest
        if part == 1:
            return parts[0], new
        return new, _rewritten(parts[1], now)
    except CannotDo:
        return None


def _rewritten(text: str, now: dict[Number, Number]) -> str:
    """The text with the numbers of `now` replaced, and each equation that was right worked out again; `now` goes on
    to hold what later text has to change. Raises CannotDo where a result can't be written."""
    pieces, at = [], 0
    for equation in equations(text):
        pieces.append(_replaced(text[at : equation.start], now))
        left = _replaced(text[equation.start : equation.left_end], now)
        between = text[equation.left_end : equation.result_start]
        result = equation.result_text
        value = worked_out(left)
        if equation.right and value is not None:
            shown = _shown(value, equation)
            _learn(now, equation.result, value_of(shown))
            result = shown
        pieces += [left, between, result]
        at = equation.end
    return "".join([*pieces, _replaced(text[at:], now)])


def _learn(now: dict[Number, Number], old: Number, new: Number) -> None:
    """Take down that a value has become another. A sign is no part of a number in a text, so it can't change."""
    if (old < 0) != (new < 0):
        raise CannotDo("a result that changes its sign")
    was, is_now = (old, new) if old >= 0 else (-old, -new)
    if was == is_now:
        now.pop(was, None)  # found anew, and right: from here on the number is what it says
    else:
        now[was] = is_now


def _shown(value: Number, equation: Equation) -> str:
    like = equation.result_text
    if equation.left != equation.result:  # it was rounded, and so is this
        value = rounded(value, decimals(like))
    text = written(value, like.lstrip("-−"))
    if text is None:
        raise CannotDo("a result that can't be written")
    return text


def _replaced(text: str, now: dict[Number, Number]) -> str:
    """The text with every number that stands for itself replaced; numbers of steps, cases and list items are not."""

    def new(match: re.Match[str]) -> str:
        value = now.get(value_of(match.group()))
        before, after = text[max(0, match.start() - 16) : match.start()], text[match.end() : match.end() + 2]
        if value is None or _LABELLED.search(before) or (after[:1] in (".", ")") and _ITEM.search(before)):
            return match.group()
        return written(value, match.group()) or match.group()

    return NUMBER.sub(new, text)


def _signed(old: str, new: str) -> str:
    return f"-{new}" if old.startswith(("-", "−")) else new
