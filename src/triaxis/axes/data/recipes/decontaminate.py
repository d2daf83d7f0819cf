"""`decontaminate`: leave out what is also in an evaluation set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from triaxis.axes.data.recipes.operation import Context, Operation
from triaxis.study.fields import Names
from triaxis.types import Example


class Decontaminate(Operation):
    """Rows that touch no item of the sets in `against`: not to the letter, not normalised, not by long n-grams."""

    name: ClassVar[str] = "decontaminate"
    main: ClassVar[str] = "against"

    against: Names  # files or names of evaluation sets

    def run(self, examples: Iterator[Example], context: Context) -> Iterator[Example]:
        from triaxis.axes.data.profile.leakage import Overlap

        overlap = Overlap({name: context.opener(name, response=False) for name in self.against})
        for example, touch in overlap.touched(examples):
            if touch is None:
                yield example
            else:
                context.entry.leave_out(
                    example.id, f"touches {touch.set} ({touch.kind})", f"{touch.part} of {touch.item}"
                )
