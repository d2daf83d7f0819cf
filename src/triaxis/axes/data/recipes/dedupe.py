"""`dedupe`: of rows that say the same, the first."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import ClassVar, Literal

from triaxis.axes.data.recipes.cap import part_of
from triaxis.axes.data.recipes.operation import Context, Operation
from triaxis.axes.data.text import normalised
from triaxis.types import Example


class Dedupe(Operation):
    """Rows whose part `of` no row before has: to the letter, up to case, white space and marks, or nearly (MinHash).

    Rows that are nearly the same and have different references are different problems: all of them stay.
    """

    name: ClassVar[str] = "dedupe"
    main: ClassVar[str] = "how"

    how: Literal["exact", "normalised", "near"] = "normalised"
    of: Literal["prompt", "response", "whole"] = "prompt"

    def run(self, examples: Iterator[Example], context: Context) -> Iterator[Example]:
        if self.how == "near":
            yield from self._near(examples, context)
            return
        seen: set[bytes] = set()
        for example in examples:
            text = part_of(example, self.of)
            text = normalised(text) if self.how == "normalised" else text
            key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
            if key in seen:
                context.entry.leave_out(example.id, f"its {self.of} came before")
            else:
                seen.add(key)
                yield example

    def _near(self, examples: Iterator[Example], context: Context) -> Iterator[Example]:
        from triaxis.axes.data.profile.minhash import answers_of, near_duplicates

        with context.spill() as rows:
            answers = [example.reference for example in rows.keeping(examples)]
            first_of = near_duplicates((part_of(example, self.of) for example in rows), answers=answers).tolist()
            references = answers_of(answers).tolist()
            kept: dict[tuple[int, int], int] = {}  # by cluster and reference, the row that stays
            others = 0
            for number, example in enumerate(rows):
                first, reference = first_of[number], references[number]
                place = (first, reference or references[first])
                if kept.setdefault(place, number) == number:
                    others += number != first
                    yield example
                else:
                    context.entry.leave_out(
                        example.id, f"its {self.of} is nearly one that came before", rows[kept[place]].id
                    )
            if others:
                context.entry.notes.append(
                    f"kept {others:,} rows whose {self.of} an earlier row has, since their reference is another"
                )
