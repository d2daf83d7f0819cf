"""`structure`: the same rows with another kind of trace: long, short, none, or the bare answer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import ClassVar, Literal

from triaxis.axes.data.profile.structure import kind_of
from triaxis.axes.data.recipes.lab import is_reference, lab_item, last_versions, rewritten, structure_of
from triaxis.axes.data.recipes.operation import CannotDo, Context, Operation
from triaxis.axes.data.recipes.places import FORMS, Place, place_of
from triaxis.axes.data.recipes.shorten import shortened
from triaxis.study.fields import Share
from triaxis.types import Example, Item

_STATEMENT = re.compile(  # what stands before an answer in a sentence that says nothing else
    r"[\W_]*(?:(?:the|my|our)\s+)?(?:(?:final|correct|right)\s+)?answer\b[\W_]*(?:is\b)?[\W_]*", re.IGNORECASE
)


class Structure(Operation):
    """long_cot keeps the rows whose traces are long; short_cot takes their detours out; no_cot removes the traces and
    keeps the solutions; answer_only keeps the final answers alone. The kinds are told as `data profile` tells them."""

    name: ClassVar[str] = "structure"
    main: ClassVar[str] = "kind"

    kind: Literal["long_cot", "short_cot", "no_cot", "answer_only"]
    otherwise: Literal["leave_out", "keep", "error"] = "leave_out"  # a row that can't be made so
    shortfall: Share = 0.5  # of the rows; more that can't be made so are an error

    def run(self, examples: Iterator[Example], context: Context) -> Iterator[Example]:
        entry, made, failed = context.entry, MAKERS[self.kind], Counter[str]()
        for example in examples:
            try:
                new = made(example)
            except CannotDo as reason:
                why, failed[str(reason)] = str(reason), failed[str(reason)] + 1
                if self.otherwise == "error":
                    raise context.mistake(f"row {example.id}: no {self.kind}: {why}") from None
                if self.otherwise == "leave_out":
                    entry.leave_out(example.id, why)
                else:
                    entry.fail(example.id, why)
                    yield example
                continue
            if new is not example:
                entry.change(example.id, self.kind)
            yield new
        if failed.total() > self.shortfall * entry.rows_in:
            reasons = ", ".join(f"{why} ({n:,})" for why, n in failed.most_common(3))
            raise context.mistake(
                f"{failed.total():,} of {entry.rows_in:,} rows can't be made {self.kind}: {reasons}; more than the "
                f"share of {self.shortfall:g} that `shortfall` allows; take a kind that the rows have or can be made"
            )


def long_cot(example: Example) -> Example:
    """The row as it came, if its trace is long; a lab row that came with a shorter one gets the long one."""
    lab = lab_item(example)
    if lab is not None:  # whose long trace re-derives every step, be it one alone
        return example if structure_of(example) == "long_cot" else _reference(example, lab[1], "long_cot")
    if kind_of(example) == "long_cot":
        return example
    raise CannotDo("a short trace" if (example.thought or "").strip() else "no trace")


def short_cot(example: Example) -> Example:
    """The row with the verified steps of its trace; itself where there is no detour in it."""
    lab = lab_item(example)
    if lab is not None and example.thought is None:
        return _reference(example, lab[1], "short_cot")
    thought = example.thought or ""
    if not thought.strip():
        raise CannotDo("no trace")
    short = thought.replace(thought.strip(), last_versions(thought)) if lab is not None else shortened(thought)
    if not short.strip():
        raise CannotDo("nothing but detours")
    return replace(example, thought=short) if short != thought else example


def _reference(example: Example, item: Item, structure: str) -> Example:
    if not is_reference(example, item):
        raise CannotDo("a noisy trace can't be made longer")
    return rewritten(example, item.traces[structure])


def no_cot(example: Example) -> Example:
    """The row without its trace; one whose solution goes on thinking has a thought that no tags tell from it."""
    bare = example
    if example.thought is not None:
        if not example.solution.strip():
            raise CannotDo("no solution after the trace")
        bare = replace(example, thought=None, solution=example.solution.lstrip())
    if kind_of(bare) == "long_cot":
        raise CannotDo("a thought without tags")
    return bare


def answer_only(example: Example) -> Example:
    """The row with its stated answer alone, in the form in which it was stated."""
    place = place_of(example.solution)
    if place is None or example.answer is None:
        raise CannotDo("no final answer found")
    bare = _statement(example.solution, place)
    if example.thought is None and bare == example.solution.strip():
        return example
    return replace(example, thought=None, solution=bare)


def _statement(solution: str, place: Place) -> str:
    """The statement of the answer, without whatever else its sentence says ("Since 3 + 4 = 7, the answer is 7.")."""
    before, after = solution[place.first : place.start], solution[place.end : place.last]
    if place.form != "said" or (_STATEMENT.fullmatch(before) and not any(map(str.isalnum, after))):
        return solution[place.first : place.last].strip()
    return FORMS["said"].replace("%s", solution[place.start : place.end])


MAKERS: dict[str, Callable[[Example], Example]] = {
    "long_cot": long_cot,
    "short_cot": short_cot,
    "no_cot": no_cot,
    "answer_only": answer_only,
}
