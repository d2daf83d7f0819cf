"""Noise of form: steps out of order, a trace that breaks off, an answer in another format, no answer at all."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

from triaxis.axes.data.recipes.dice import Dice
from triaxis.axes.data.recipes.operation import CannotDo
from triaxis.axes.data.recipes.other_trace import Others
from triaxis.axes.data.recipes.places import FORMS, place_of, sentence_around
from triaxis.axes.data.recipes.restated import result_sentences
from triaxis.tasks.stated import final_answer, stated_answer
from triaxis.types import Example

_SPLITS = (r"\n\s*\n", r"\n+", r"(?<=[.!?])\s+")  # between paragraphs, lines, sentences


def shuffled_steps(example: Example, dice: Dice, others: Others) -> tuple[Example, str]:
    """The same steps in another order: paragraphs, lines or sentences, whichever there are three of."""
    place = place_of(example.solution)
    end = sentence_around(example.solution, place.first, place.last)[0] if place else len(example.solution)
    text = example.thought if example.thought else example.solution[:end]
    for pattern in _SPLITS:
        cuts = [0, *(m.end() for m in re.finditer(pattern, text.rstrip())), len(text)]
        steps = [text[a:b] for a, b in pairwise(cuts)]
        bodies = [step.strip() for step in steps]
        if len(steps) >= 3 and len(set(bodies)) > 1:
            break
    else:
        raise CannotDo("fewer than three steps")
    order = list(range(len(steps)))
    while [bodies[i] for i in order] == bodies:
        order = dice.shuffled(order)
    gaps = [(step[: len(step) - len(step.lstrip())], step[len(step.rstrip()) :]) for step in steps]
    new = "".join(gap[0] + bodies[i] + gap[1] for gap, i in zip(gaps, order, strict=True))
    how = f"{len(steps)} steps"
    if example.thought:
        return replace(example, thought=new), how
    return replace(example, solution=new + example.solution[end:]), how


def truncated(example: Example, dice: Dice, others: Others) -> tuple[Example, str]:
    """The trace broken off between 20 % and 80 % of its words, and nothing after it; without a trace, the solution
    broken off before its answer. A thought keeps its closing tag, without which no reader or template finds it."""
    place = None if example.thought else place_of(example.solution)
    text = example.thought or example.solution[: place.first if place else None]
    words = list(re.finditer(r"\S+", text))
    if len(words) < 5:
        raise CannotDo("fewer than five words before the answer")
    kept = max(1, int(len(words) * (0.2 + 0.6 * dice.unit())))
    begun, how = text[: words[kept - 1].end()], f"after {kept} of {len(words)} words"
    if example.thought:
        return replace(example, thought=begun, solution="", answer=None), how
    if final_answer(begun) is not None:
        raise CannotDo("an answer that can't be taken out")
    return replace(example, solution=begun, answer=None), how


def inconsistent_format(example: Example, dice: Dice, others: Others) -> tuple[Example, str]:
    """The same answer, stated in another form than the row's own."""
    solution, place = example.solution, place_of(example.solution)
    if place is None:
        raise CannotDo("no final answer found")
    answer = solution[place.start : place.end]
    for form in dice.shuffled([form for form in FORMS if form != place.form]):
        stated = FORMS[form].replace("%s", answer)
        before = solution[: place.first]
        if form == "hashes" and before.strip():  # which only counts at the beginning of a line
            stated = "\n" + stated
        new = before + stated + solution[place.last :]
        found = stated_answer(new)
        if found is not None and found.form == form and new[found.start : found.end] == answer:
            return replace(example, solution=new), f"{place.form} to {form}"
    raise CannotDo("an answer that fits no other form")


def missing_answer(example: Example, dice: Dice, others: Others) -> tuple[Example, str]:
    """The row without the sentences that state its answer or give it as the result."""
    solution, said = example.solution, [example.reference] if example.reference else []
    for _ in range(4):  # an answer may be stated more than once
        place = place_of(solution)
        if place is None:
            break
        said.append(solution[place.start : place.end])
        first, last = sentence_around(solution, place.first, place.last)
        solution = (solution[:first] + solution[last:]).rstrip()
    if solution == example.solution:
        raise CannotDo("no final answer found")
    edges = [0, *(edge for sentence in result_sentences(solution, said) for edge in sentence), len(solution)]
    solution = "".join(solution[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True)).rstrip()
    if not solution and not example.thought:
        raise CannotDo("nothing but the answer")
    if final_answer(solution) is not None:
        raise CannotDo("an answer that can't be taken out")
    return replace(example, solution=solution, answer=None), "its sentences taken out"
