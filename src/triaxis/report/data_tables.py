"""Values of a data profile's document as the cells of tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from triaxis.report.tables import Cell, Table


def table(titles: Sequence[str], rows: Sequence[Sequence[Any]], digits: int = 0) -> Table:
    """Values as a table: numbers with so many digits and sorted as numbers, what is not estimable with its reason."""
    numeric = {
        at
        for at in range(len(titles))
        if rows and all(isinstance(row[at], int | float) or missing(row[at]) for row in rows)
    }
    return Table(titles, frozenset(numeric), [[_cell(value, digits) for value in row] for row in rows])


def missing(value: object) -> bool:
    """Whether a value of the document says why it could not be estimated."""
    return isinstance(value, Mapping) and "not_estimable" in value


def share(value: object) -> str:
    """A share as per cent; the reason where it is not estimable."""
    if isinstance(value, Mapping):
        return f"not estimable: {value['not_estimable']}"
    assert isinstance(value, int | float)
    percent = 100 * value
    return f"{percent:.0f} %" if percent in (0, 100) or 10 <= percent < 99.5 else f"{percent:.2g} %"


def _cell(value: Any, digits: int) -> Cell:
    if missing(value):
        return Cell(f"not estimable: {value['not_estimable']}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Cell(str(value))
    return Cell(f"{value:,.{digits}f}" if isinstance(value, float) else f"{value:,}", float(value))
