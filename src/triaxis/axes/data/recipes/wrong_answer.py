"""`wrong_answer`: a right trace, and another final answer than the one that it comes to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction

from triaxis.axes.data.recipes.arithmetic import NUMBER, decimals, value_of, written
from triaxis.axes.data.recipes.dice import Dice
from triaxis.axes.data.recipes.operation import CannotDo
from triaxis.axes.data.recipes.other_trace import Others
from triaxis.axes.data.recipes.places import place_of, sentence_around
from triaxis.axes.data.recipes.restated import result_sentences, reworded
from triaxis.tasks.answers import quick_check
from triaxis.tasks.stated import final_answer
from triaxis.types import Example

_OPPOSITES = {"yes": "no", "true": "false", "valid": "invalid", "correct": "incorrect", "even": "odd", "left": "right"}
_OPPOSITES |= {b: a for a, b in _OPPOSITES.items()}
_CHOICE = re.compile(r"(?P<open>\(?)(?P<letter>[A-E])(?P<close>\)?)")


def wrong_answer(example: Example, dice: Dice, others: Others) -> tuple[Example, str]:
    """The row with another final answer where it is stated, in the sentence that states it, and in others that give
    it as the result."""
    place = place_of(example.solution)
    if place is None:
        raise CannotDo("no final answer found")
    solution = example.solution
    old = solution[place.start : place.end]
    statement = sentence_around(solution, place.first, place.last)
    said = [old] if example.reference in (None, old) else [old, str(example.reference)]
    again = result_sentences(solution, said, statement)
    new = other_answer(example, old, dice, others)
    pieces, at = [], 0
    for first, last in sorted([*again, statement]):
        pieces.append(solution[at:first])
        if (first, last) == statement:
            pieces += [reworded(solution[first : place.start], said, new), new]
            first = place.end
        pieces.append(reworded(solution[first:last], said, new))
        at = last
    solution = "".join([*pieces, solution[at:]])
    if final_answer(solution) != new:
        raise CannotDo("an answer that is stated in several ways")
    return replace(example, solution=solution, answer=new), f"{old} to {new}"


def other_answer(example: Example, old: str, dice: Dice, others: Others) -> str:
    """An answer of the same kind that is not the right one: another number, letter or truth value, else the answer of
    another row of the domain. Raises CannotDo."""
    for new in _candidates(example, old, dice, others):
        if is_other(new, old, example.reference):
            return new
    raise CannotDo("no other answer of its kind near it")


def is_other(new: str, old: str, reference: str | None) -> bool:
    """Whether an answer is neither the old one nor what is right, in whatever way those are written."""
    return not any(_same(new, each) for each in {old, reference} if each is not None)


def _same(one: str, other: str) -> bool:
    if one.isascii() and one.isdigit() and other.isascii() and other.isdigit():  # most answers, and ten times as fast
        return one.lstrip("0") == other.lstrip("0")
    return quick_check(one, other) == "correct"


def _candidates(example: Example, old: str, dice: Dice, others: Others) -> Iterable[str]:
    numbers = list(NUMBER.finditer(old))
    if numbers:
        chosen = dice.pick(numbers)
        return [old[: chosen.start()] + new + old[chosen.end() :] for new in near(chosen.group(), dice)]
    word = old.strip().lower()
    if word in _OPPOSITES:
        opposite = _OPPOSITES[word]
        return [opposite.upper() if old.strip().isupper() else opposite.title() if old.strip().istitle() else opposite]
    if letter := _CHOICE.fullmatch(old.strip()):
        rest = [c for c in "ABCD" if c != letter["letter"]]
        return [f"{letter['open']}{c}{letter['close']}" for c in dice.shuffled(rest)]
    return (other.answer for other in others.of(example, dice) if other.answer)


def near(number: str, dice: Dice) -> Iterator[str]:
    """Numbers such as a slip gives, written as this one: off by one, two, three or ten in its last place."""
    value, unit = value_of(number), Fraction(1, 10 ** decimals(number)) if "." in number else 1
    for step in dice.shuffled((1, -1, 2, -2, 3, 10, -10)):
        slipped = value + step * unit
        if slipped >= 0 and (text := written(slipped, number)) is not None:
            yield text
