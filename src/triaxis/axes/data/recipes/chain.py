"""The operations of a recipe one after the other over a stream of examples, and the same on examples in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triaxis.axes.data.recipes.as_read import AsRead
from triaxis.axes.data.recipes.operation import Action, Context, Entry, Opener, Operation, Sink
from triaxis.axes.data.recipes.spill import Spill
from triaxis.types import Example


@dataclass(frozen=True)
class Chain:
    """What comes out of the last operation. Entries and extras are filled as the examples are taken."""

    examples: Iterator[Example]
    entries: tuple[Entry, ...]
    extras: dict[str, list[str]]  # file suffix -> lines to write beside the output


def chained(
    steps: Sequence[Operation],
    examples: Iterable[Example],
    seed: int,
    *,
    sink: Sink,
    opener: Opener | None = None,
    folder: Path | None = None,
) -> Chain:
    """The steps over the examples, a row at a time where they can. `folder` is where rows wait that memory can't hold.

    Taking the examples raises TriaxisError where the data can't give what a step asks for.
    """
    extras: dict[str, list[str]] = {}
    entries = []
    read = examples if isinstance(examples, AsRead) else None
    stream = iter(examples)
    for number, step in enumerate(steps):
        entry = Entry(number, step.name, step.model_dump(mode="json", exclude_none=True), sink)
        context = Context(seed, entry, opener or open_source, lambda: Spill(folder, read), extras)
        stream = _leaving(step.run(_entering(stream, entry), context), entry)
        entries.append(entry)
    return Chain(stream, tuple(entries), extras)


def make_examples(
    steps: Sequence[Operation], examples: Iterable[Example], seed: int, *, opener: Opener | None = None
) -> tuple[list[Example], tuple[Entry, ...], list[tuple[int, Action, str, str]]]:
    """Examples in memory through the steps: those that come out, what each step came to, and every row that it
    touched as (step, action, id, how)."""
    touched: list[tuple[int, Action, str, str]] = []
    chain = chained(steps, examples, seed, sink=lambda *row: touched.append(row), opener=opener)
    return list(chain.examples), chain.entries, touched


def open_source(path: str, **options: Any) -> Iterable[Example]:
    """The examples of another data set, as `data profile` reads it."""
    from triaxis.axes.data.open import open_examples

    return open_examples(path, **options)


def _entering(examples: Iterator[Example], entry: Entry) -> Iterator[Example]:
    for example in examples:
        entry.rows_in += 1
        yield example


def _leaving(examples: Iterator[Example], entry: Entry) -> Iterator[Example]:
    for example in examples:
        entry.rows_out += 1
        yield example
