"""Rows that wait for a decision about all of them: in memory while they are few, in a temporary file beyond that."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from triaxis.axes.data.recipes.as_read import AsRead
from triaxis.types import Example, Turn

IN_MEMORY = 128 << 20  # characters, about as many bytes
_NAMES = tuple(f.name for f in fields(Example))
_TURNS, _FIELDS = _NAMES.index("turns"), _NAMES.index("fields")
_ENCODER = json.JSONEncoder()


class Spill:
    """A list of examples that only grows, and is read in any order; the file is gone when it is left.

    The file is made in `folder`: where the output goes there is room. Rows that JSON can't hold (dates, bytes of a
    Parquet file) stay in memory.
    """

    def __init__(self, folder: Path | None = None, read: AsRead | None = None, *, in_memory: int = IN_MEMORY) -> None:
        self._folder, self._read, self._room = folder, read, in_memory
        self._file: IO[bytes] | None = None
        self._rows: list[Example | int] = []  # the row, or where it begins in the file

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, example: Example) -> None:
        """Keep a row; its number is the count of those before it."""
        if self._room > 0:
            self._room -= _size(example)
            self._rows.append(example)
            return
        try:
            line = _packed(example, self._read is not None and self._read.before(example) is example)
        except (TypeError, ValueError):
            self._rows.append(example)
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  (closed on leaving)
        self._rows.append(self._file.seek(0, 2))
        self._file.write(line)

    def keeping(self, examples: Iterable[Example]) -> Iterator[Example]:
        """The rows as they come, each kept before the next is asked for."""
        for example in examples:
            self.add(example)
            yield example

    def __getitem__(self, number: int) -> Example:
        row = self._rows[number]
        if isinstance(row, Example):
            return row
        assert self._file is not None
        self._file.seek(row)
        example, as_read = _unpacked(self._file.readline())
        if as_read and self._read is not None:
            self._read.remember(example)
        return example

    def __iter__(self) -> Iterator[Example]:
        return (self[number] for number in range(len(self)))


def _size(example: Example) -> int:
    """About how many characters a row holds; its own fields hold the same text once more."""
    said = sum(len(turn.content) for turn in example.turns)
    return 1000 + 2 * (said + len(example.thought or "") + len(example.solution))


def _packed(example: Example, as_read: bool) -> bytes:
    values = [getattr(example, name) for name in _NAMES]
    values[_TURNS] = [[turn.role, turn.content] for turn in example.turns]
    values[_FIELDS] = dict(example.fields)
    return _ENCODER.encode([as_read, values]).encode() + b"\n"


def _unpacked(line: bytes) -> tuple[Example, bool]:
    as_read, values = json.loads(line)
    values[_TURNS] = tuple(Turn(role, content) for role, content in values[_TURNS])
    return Example(*values), as_read
