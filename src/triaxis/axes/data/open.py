"""Data sets as a stream of examples: whatever people have, recognised, said, and with every bad row told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from triaxis.axes.data.formats import Format, example_of, render_row, response_of
from triaxis.axes.data.problems import Problem, RowProblem
from triaxis.axes.data.recognise import earlier_thoughts, lines_of, recognised
from triaxis.axes.data.seen import Seen
from triaxis.axes.data.sources import Source, sources_of
from triaxis.study.mistakes import shown
from triaxis.tasks.rows import Row
from triaxis.types import Example, TriaxisError

__all__ = ["Format", "Opened", "Problem", "open_examples", "render_row", "response_of"]
OnError = Literal["stop", "skip"]
FIRST, ROOM = 100, 8_000_000  # rows, and characters in them, by which a format is recognised
LISTED = 10_000  # problems that are kept; the rest are counted


@dataclass
class Opened:
    """A data set that was opened: iterate over it once for its examples.

    `problems` fills as it is read. With `on_error` "stop" the first one ends the reading, as a TriaxisError.
    """

    name: str
    format: Format
    recognised: list[str]  # what was recognised, how, and what is missing, a line each
    problems: list[Problem] = field(default_factory=list)
    skipped: int = 0  # problems in all, also those beyond the list
    rows: int = 0  # read so far, good and bad
    examples: int = 0  # given so far
    earlier_thoughts: int = 0  # of turns before the response: they are not read, and stay in the rows
    _stream: Iterator[Example] = field(default_factory=lambda: iter(()), repr=False)

    def __iter__(self) -> Iterator[Example]:
        return self._stream


def open_examples(
    path_or_name: str | Path | Sequence[str | Path],
    *,
    fields: Mapping[str, str] | None = None,
    on_error: OnError = "stop",
    limit: int | None = None,
    response: bool = True,
    where_there: bool = False,
) -> Opened:
    """Open files (a path, a pattern, several), a `save_to_disk` folder, `lab:..`, `rg:..` or `hf:..` for reading.

    `fields` says which column plays a role where that isn't told by its name: {"prompt": "question_text"}. With
    `on_error` "skip" rows that can't be used are passed over, counted and listed. `limit` is a number of examples.
    `response` False takes rows that only ask, to compare with; `where_there` takes of `fields`, said of another data
    set, the columns that this one has.

    Raises TriaxisError where there is nothing to read, the format isn't recognised or could be several, and with
    "stop" for the first row that can't be used; with "skip" where no row can.
    """
    if on_error not in ("stop", "skip"):
        raise TriaxisError(f'on_error must be "stop" or "skip", got {on_error!r}')
    if limit is not None and limit < 1:
        raise TriaxisError(f"limit must be at least 1, got {limit}")
    sources = sources_of(path_or_name)
    name = sources[0].name if len(sources) == 1 else f"{sources[0].name} and {len(sources) - 1:,} more"
    rows = ((source, row) for source in sources for row in source.rows())
    front = _front(rows)
    good = [row.values for _, row in front if row.values is not None]
    if not good:
        raise _nothing(name, [_problem(source, row) for source, row in front])
    if where_there:
        held = {column for row in good for column in row}
        fields = {role: column for role, column in (fields or {}).items() if not column or column in held}
    made = recognised(good, name, fields, response=response)
    lines = [f"{source.name}: {source.kind}" for source in sources[:3]]
    lines += [f"and {len(sources) - 3:,} more files"] if len(sources) > 3 else []
    opened = Opened(name, made, lines + lines_of(made, good))
    opened._stream = _examples(opened, chain(front, rows), on_error, limit)
    return opened


def _front(rows: Iterator[tuple[Source, Row]]) -> list[tuple[Source, Row]]:
    """The first rows: `FIRST` that can be read, fewer where they are long, with those between them that can't."""
    taken, good, room = [], 0, ROOM
    for source, row in rows:
        taken.append((source, row))
        good += row.values is not None
        room -= _size(row.values) if row.values is not None else 1000
        if good == FIRST or room < 0:
            break
    return taken


def _size(value: Any) -> int:
    """About how many characters a value holds."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(_size, value.values()))
    return sum(map(_size, value)) if isinstance(value, list) else 8


def _examples(
    opened: Opened, rows: Iterator[tuple[Source, Row]], on_error: OnError, limit: int | None
) -> Iterator[Example]:
    made = opened.format
    seen = Seen() if "id" in made.fields else None
    for source, row in rows:
        opened.rows += row.number > 0
        try:
            example = _example(made, source, row, seen)
        except RowProblem as problem:
            told = Problem(row.number, problem.field, problem.problem, source.name)
            if on_error == "stop":
                raise TriaxisError(str(told)) from None
            opened.skipped += 1
            if opened.skipped <= LISTED:
                opened.problems.append(told)
            continue
        opened.examples += 1
        opened.earlier_thoughts += earlier_thoughts(example.fields, made)
        yield example
        if opened.examples == limit:
            return
    if not opened.examples:
        raise _nothing(opened.name, opened.problems)


def _example(made: Format, source: Source, row: Row, seen: Seen | None) -> Example:
    if row.values is None:
        raise RowProblem(row.field, row.problem)
    example = example_of(row.values, made, label=source.label, row=row.number)
    if seen is not None and not seen.add(example.id):
        raise RowProblem(
            made.fields["id"],
            f"the id {shown(example.id)} is that of a row before; give each row its own, or say id= to have ids made",
        )
    return example


def _problem(source: Source, row: Row) -> Problem:
    return Problem(row.number, row.field, row.problem, source.name)


def _nothing(name: str, problems: Sequence[Problem]) -> TriaxisError:
    """No row can be used: the first problem, which is likely that of all."""
    if not problems:
        return TriaxisError(f"{name}: holds no rows; give a file with some")
    if len(problems) == 1:
        return TriaxisError(str(problems[0]))
    return TriaxisError(f"{problems[0]} (none of the {len(problems):,} rows that were read can be used)")
