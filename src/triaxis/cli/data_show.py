"""Rows of a data set as Triaxis sees them, set as text: turns, thought, solution, answer, reference."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from triaxis.tasks.rows import printable
from triaxis.types import TriaxisError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from triaxis.types import Example

MARGIN = 10  # characters of the names at the left
HEAD, TAIL = 600, 200  # characters of a long text that are shown
MOST_ROWS = 1000


def rows_of(asked: str) -> list[int]:
    """ "1-3,7" as [1, 2, 3, 7]. Raises TriaxisError where it reads otherwise."""
    found: set[int] = set()
    for part in asked.split(","):
        match = re.fullmatch(r"\s*([1-9][0-9]{0,11})(?:\s*-\s*([1-9][0-9]{0,11}))?\s*", part, re.ASCII)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            raise TriaxisError(f"--rows {asked}: not rows; write them as 3, 1-3 or 1-3,7, counted from 1")
        if last - first >= MOST_ROWS:
            raise TriaxisError(f"--rows {asked}: more than {MOST_ROWS:,} rows; ask for fewer at a time")
        found.update(range(first, last + 1))
    return sorted(found)


def set_as_text(example: Example, width: int, full: bool) -> str:
    """One row, its parts named at the left."""
    told = [("id", example.id), ("domain", example.domain)]
    told.append(("difficulty", "" if example.difficulty is None else f"{example.difficulty}"))
    lines = [f"row {example.row:,}  " + "  ".join(printable(f"{name} {value}") for name, value in told if value)]
    parts: list[tuple[str, str | None]] = [(turn.role, turn.content) for turn in example.turns]
    parts += [("thought", example.thought), ("solution", example.solution)]
    parts += [("answer", example.answer), ("reference", example.reference)]
    for name, text in parts:
        lines += _part(name, text, width, full)
    return "\n".join(lines)


def _part(name: str, text: str | None, width: int, full: bool) -> Iterator[str]:
    said = {"thought": "none", "answer": "none was found", "reference": "the row has none"}
    shown = f"({said[name]})" if text is None else "(empty)" if not text.strip() else text.strip()
    if len(shown) > HEAD + TAIL + 100 and not full:
        left = len(shown) - HEAD - TAIL
        shown = f"{shown[:HEAD]} … ({left:,} characters more, --full shows them) … {shown[-TAIL:]}"
    for at, line in enumerate(shown.split("\n")):
        wrapped = textwrap.wrap(printable(line), max(20, width - MARGIN - 2), break_on_hyphens=False) or [""]
        for more, piece in enumerate(wrapped):
            label = name if at == 0 and more == 0 else ""
            yield f"{label[:MARGIN]:<{MARGIN}}| {piece}".rstrip()


def printable_throughout(value: Any) -> Any:
    """A document whose texts, keys among them, hold nothing that a terminal would obey."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {printable(key): printable_throughout(held) for key, held in value.items()}
    return [printable_throughout(held) for held in value] if isinstance(value, list) else value


def as_dict(example: Example) -> dict[str, object]:
    """One row, ready for JSON."""
    return {
        "row": example.row,
        "id": example.id,
        "turns": [{"role": turn.role, "content": turn.content} for turn in example.turns],
        "thought": example.thought,
        "solution": example.solution,
        "answer": example.answer,
        "reference": example.reference,
        "domain": example.domain,
        "difficulty": example.difficulty,
        "source": example.source,
    }
