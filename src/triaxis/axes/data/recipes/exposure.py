"""`exposure`: few distinct rows many times, or many rows once, at the same number of optimizer steps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import ceil
from typing import ClassVar, Literal

from pydantic import model_validator

from triaxis.axes.data.recipes.copies import copy_of
from triaxis.axes.data.recipes.dice import Dice
from triaxis.axes.data.recipes.operation import Context, Operation
from triaxis.axes.data.recipes.scale import first
from triaxis.study.fields import Count
from triaxis.types import Example


class Exposure(Operation):
    """`distinct` rows, shown `presentations` times in all (or for `epochs`), each epoch in an order of its own.

    `write: order` writes each row once, and the epochs beside the output as lists of ids. `write: rows` writes every
    presentation, for a trainer that takes one epoch without shuffling.
    """

    name: ClassVar[str] = "exposure"

    distinct: Count
    epochs: Count | None = None
    presentations: Count | None = None
    batch_size: Count
    write: Literal["order", "rows"] = "order"

    @model_validator(mode="after")
    def _one(self) -> Exposure:
        if (self.epochs is None) == (self.presentations is None):
            raise ValueError("give epochs or presentations, and not both")
        if self.presentations is not None and self.presentations < self.distinct:
            raise ValueError(f"{self.presentations:,} presentations show not all of {self.distinct:,} rows")
        return self

    def run(self, examples: Iterator[Example], context: Context) -> Iterator[Example]:
        with context.spill() as rows:
            ids = [example.id for example in rows.keeping(examples)]
            if len(ids) < self.distinct:
                raise context.mistake(f"{self.distinct:,} distinct rows are asked for, and {len(ids):,} come")
            chosen = sorted(first(ids, self.distinct, context.seed))
            left = set(range(len(ids))).difference(chosen)
            for number in sorted(left):
                context.entry.leave_out(ids[number], "beyond the distinct rows")
            epochs = self._epochs(chosen, ids, context)
            if self.write == "order":
                yield from (rows[number] for number in chosen)
                return
            for epoch, numbers in enumerate(epochs, 1):
                for number in numbers:
                    shown = rows[number] if epoch == 1 else copy_of(rows[number], epoch)
                    if epoch > 1:
                        context.entry.add(shown.id, "shown again")
                    yield shown

    def _epochs(self, chosen: list[int], ids: list[str], context: Context) -> list[list[int]]:
        """The rows of each epoch, in order. Says the steps, and writes the order down."""
        total = self.presentations or self.distinct * (self.epochs or 1)
        whole, rest = divmod(total, self.distinct)
        sizes = [self.distinct] * whole + ([rest] if rest else [])
        epochs = [Dice(context.seed, "epoch", e).shuffled(chosen)[:size] for e, size in enumerate(sizes, 1)]
        through, ragged = ceil(total / self.batch_size), sum(ceil(size / self.batch_size) for size in sizes)
        shown = f"{self.distinct:,} distinct rows, {total:,} presentations, {total / self.distinct:g} epochs"
        context.entry.notes.append(f"{shown}: {through:,} steps of {self.batch_size:,} in one stream")
        if ragged != through:
            context.entry.notes.append(f"{ragged:,} steps where a trainer ends every epoch with a smaller batch")
        if self.write == "order":
            context.extras[".epochs.jsonl"] = [
                json.dumps({"epoch": e, "ids": [ids[number] for number in numbers]}, sort_keys=True)
                for e, numbers in enumerate(epochs, 1)
            ]
        return epochs
