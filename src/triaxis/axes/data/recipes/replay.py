"""`replay`: a share of rows from another data set, general or safety, among the rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from triaxis.axes.data.recipes.dice import draw
from triaxis.axes.data.recipes.operation import Context, Operation
from triaxis.study.fields import Folder, Name
from triaxis.types import Example


class Replay(Operation):
    """`share` of the rows that go on are from `source`. In the place of rows, which leave, or beside them (add)."""

    name: ClassVar[str] = "replay"

    source: Folder
    share: Annotated[float, Field(gt=0, lt=1)]
    fields: dict[Name, Name] | None = None  # role: column, for a source whose columns have other names
    how: Literal["replace", "add"] = "replace"
    domain: Name | None = None  # what the rows are called from then on; as they are by default

    def run(self, examples: Iterator[Example], context: Context) -> Iterator[Example]:
        entry = context.entry
        with context.spill() as rows:
            n = sum(1 for _ in rows.keeping(examples))
            wanted = round(self.share * n) if self.how == "replace" else round(n * self.share / (1 - self.share))
            replayed = self._replayed(wanted, context)
            total = n if self.how == "replace" else n + wanted
            reached = f"{wanted:,} of {total:,} rows are replayed" + (f" ({wanted / total:.4f}" if total else " (none")
            entry.notes.append(f"{reached}; the share is {self.share:g})")
            # A number of its own for each row decides which leave, and beside which the replayed stand.
            places = sorted(range(n), key=lambda i: (draw(context.seed, "replay", rows[i].id), i))[:wanted]
            extra = dict(zip(places, replayed, strict=False))
            for number, example in enumerate(rows):
                if number not in extra:
                    yield example
                    continue
                if self.how == "add":
                    yield example
                else:
                    entry.leave_out(example.id, "gave its place to a replayed row")
                entry.add(extra[number].id, f"from {self.source}")
                yield extra[number]
            for example in replayed[len(places) :]:  # more than there are rows to stand beside
                entry.add(example.id, f"from {self.source}")
                yield example

    def _replayed(self, wanted: int, context: Context) -> list[Example]:
        """The rows with the smallest draws, so that those at one share are among those at a larger one."""
        every = list(context.opener(self.source, fields=self.fields))
        if len(every) < wanted:
            raise context.mistake(
                f"a share of {self.share:g} is {wanted:,} rows, and {self.source} has {len(every):,}; lower it"
            )
        chosen = sorted(every, key=lambda e: (draw(context.seed, "replayed", e.id), e.row))
        # Written in the format of the others: what its own row held belongs to another format.
        return [replace(e, fields={}, domain=self.domain or e.domain) for e in islice(chosen, wanted)]
