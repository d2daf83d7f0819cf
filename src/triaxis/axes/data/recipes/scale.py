"""`scale`: the first n rows in an order that the seed draws, so that smaller sets are parts of larger ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from triaxis.axes.data.recipes.dice import draw
from triaxis.axes.data.recipes.operation import Context, Operation
from triaxis.study.fields import Count
from triaxis.types import Example


class Scale(Operation):
    """Nested subsets: the rows at 1,000 are among those at 3,000. They stay in the order in which they came."""

    name: ClassVar[str] = "scale"
    main: ClassVar[str] = "examples"

    examples: Count

    def run(self, examples: Iterator[Example], context: Context) -> Iterator[Example]:
        with context.spill() as rows:
            ids = [example.id for example in rows.keeping(examples)]
            if len(ids) < self.examples:
                raise context.mistake(
                    f"{self.examples:,} rows are asked for, and only {len(ids):,} come; ask for fewer"
                )
            chosen = set(first(ids, self.examples, context.seed))
            for number, id in enumerate(ids):
                if number in chosen:
                    yield rows[number]
                else:
                    context.entry.leave_out(id, "beyond the size")


def first(ids: Sequence[str], n: int, seed: int) -> list[int]:
    """The numbers of the first n rows in the order that the seed draws; the first m of n are the same for every n."""
    return sorted(range(len(ids)), key=lambda i: (draw(seed, "scale", ids[i]), i))[:n]
