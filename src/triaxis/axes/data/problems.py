"""What is wrong with a row, and where: one line for a person, three fields for a program."""

from __future__ import annotations

from dataclasses import dataclass

from triaxis.tasks.rows import printable


@dataclass(frozen=True)
class Problem:
    """Why a row can't be used. `row` counts from 1 in its file, and is 0 where the file as a whole is meant."""

    row: int
    field: str  # the column; empty: the row as a whole
    problem: str  # what is wrong, and what to do
    file: str = ""

    def __str__(self) -> str:
        place = [self.file, f"row {self.row:,}" if self.row else "", self.field]
        return printable(f"{', '.join(part for part in place if part)}: {self.problem}")


class RowProblem(Exception):
    """A row that can't be used: the field and what is wrong with it. The reader adds file and row."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field, self.problem = field, problem
