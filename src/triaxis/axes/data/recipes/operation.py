"""What every operation of a recipe is: its settings, what it does to a stream of examples, and what it writes down."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from triaxis.axes.data.recipes.spill import Spill
from triaxis.study.fields import Strict
from triaxis.types import Example, TriaxisError

Action = Literal["changed", "left_out", "added", "could_not"]
Sink = Callable[[int, Action, str, str], None]  # (operation, action, id, how)
Opener = Callable[..., Iterable[Example]]  # (path, fields=...) -> examples


class CannotDo(Exception):
    """Why one row can't be changed as an operation wants it; a reason that many rows can share."""


@dataclass
class Entry:
    """What one operation came to: rows in and out, how many it touched and how, what it could not do."""

    number: int  # of the operation, from 0
    operation: str
    settings: dict[str, object]
    sink: Sink
    rows_in: int = 0
    rows_out: int = 0
    changed: Counter[str] = field(default_factory=Counter)  # how -> rows
    left_out: Counter[str] = field(default_factory=Counter)  # why -> rows
    added: Counter[str] = field(default_factory=Counter)  # from where -> rows
    could_not: Counter[str] = field(default_factory=Counter)  # why -> rows, which went on as they were
    notes: list[str] = field(default_factory=list)

    def change(self, id: str, how: str, detail: str = "") -> None:
        """A row that went on changed; `detail` is the row's own ("42 to 47") and stands only in the list of rows."""
        self.changed[how] += 1
        self.sink(self.number, "changed", id, f"{how}: {detail}" if detail else how)

    def leave_out(self, id: str, why: str, detail: str = "") -> None:
        self.left_out[why] += 1
        self.sink(self.number, "left_out", id, f"{why}: {detail}" if detail else why)

    def add(self, id: str, how: str) -> None:
        self.added[how] += 1
        self.sink(self.number, "added", id, how)

    def fail(self, id: str, why: str) -> None:
        """A row that could not be made as it should be, and goes on as it is."""
        self.could_not[why] += 1
        self.sink(self.number, "could_not", id, why)

    @property
    def place(self) -> str:
        """Of the operation in its recipe."""
        return f"steps[{self.number}].{self.operation}"

    def to_dict(self) -> dict[str, object]:
        """Ready for JSON."""
        return {
            "operation": self.operation,
            "settings": self.settings,
            "rows_in": self.rows_in,
            "rows_out": self.rows_out,
            "changed": dict(sorted(self.changed.items())),
            "left_out": dict(sorted(self.left_out.items())),
            "added": dict(sorted(self.added.items())),
            "could_not": dict(sorted(self.could_not.items())),
            "notes": self.notes,
        }


@dataclass
class Context:
    """What an operation is given besides the rows."""

    seed: int
    entry: Entry
    opener: Opener  # opens another data set: replay, decontaminate
    spill: Callable[[], AbstractContextManager[Spill]]  # a place for rows that have to wait for a decision
    extras: dict[str, list[str]] = field(default_factory=dict)  # file suffix -> its lines, written beside the output

    def mistake(self, message: str) -> TriaxisError:
        """The user's mistake in this step, in one line, to be raised."""
        return TriaxisError(f"{self.entry.place}: {message}")


class Operation(Strict, ABC):
    """One step of a recipe; its fields are its settings. To add one, write a file and list it in `operations.py`."""

    name: ClassVar[str]
    main: ClassVar[str] = ""  # the setting that a bare value gives: `scale: 100` is `scale: {examples: 100}`

    @abstractmethod
    def run(self, examples: Iterator[Example], context: Context) -> Iterator[Example]:
        """The rows that go on, in order. Raises TriaxisError where the data can't give what is asked."""
