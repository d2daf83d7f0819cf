"""What judges say of the responses of a study, in tables of its database that are there once a judge was asked."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa

from triaxis.records.columns import LABEL
from triaxis.types import Judged

TABLES = (
    # `settings` is JSON of how it was asked, its template whole; `asked` is when it was asked last (UTC)
    "CREATE TABLE IF NOT EXISTS judges (judge TEXT PRIMARY KEY, settings TEXT NOT NULL, asked TEXT NOT NULL)",
    # `sha256` is that of the part that holds the response: of one that was measured anew nothing is known.
    # `text` is a hash of what was put to the judge, so that what is alike is asked once.
    "CREATE TABLE IF NOT EXISTS judgements (run TEXT NOT NULL, base TEXT NOT NULL, step INTEGER NOT NULL,"
    " task TEXT NOT NULL, mode TEXT NOT NULL, item TEXT NOT NULL, sample INTEGER NOT NULL, judge TEXT NOT NULL,"
    " sha256 TEXT NOT NULL, text TEXT NOT NULL, judged TEXT NOT NULL, reason TEXT NOT NULL,"
    " PRIMARY KEY (judge, run, base, step, task, mode, item, sample))",
)
Place = tuple[str, str, str, int]  # of a response in its checkpoint: task, mode, item, sample
Key = tuple[str, str, int]  # of a checkpoint: run, base, step


class JudgementRow(NamedTuple):
    """What a judge says of one response; `reason` says why where it is `unjudged`."""

    run: str
    base: str
    step: int
    task: str
    mode: str
    item: str
    sample: int
    judge: str
    sha256: str
    text: str
    judged: Judged
    reason: str

    @property
    def place(self) -> Place:
        return self.task, self.mode, self.item, self.sample


def are_there(connection: sqlite3.Connection) -> bool:
    """Whether a judge was ever asked."""
    return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'judges'").fetchone())


def make(connection: sqlite3.Connection) -> None:
    """Make the tables where they aren't there; a Triaxis that doesn't know them leaves them alone."""
    for statement in TABLES:
        connection.execute(statement)


def last_judge(connection: sqlite3.Connection) -> str:
    """The judge that was asked last and gave a judgement: judgements of several are never mixed. Empty where there is
    none."""
    if not are_there(connection):
        return ""
    found = connection.execute(
        "SELECT judge FROM judges WHERE judge IN (SELECT judge FROM judgements WHERE judged != ?)"
        " ORDER BY asked DESC, rowid DESC LIMIT 1",
        (Judged.UNJUDGED,),
    ).fetchone()
    return str(found[0]) if found else ""


def rows(connection: sqlite3.Connection, judge: str) -> list[JudgementRow]:
    """All that a judge said, also of responses that were measured anew since."""
    if not are_there(connection):
        return []
    columns = ", ".join(JudgementRow._fields)
    told = connection.execute(f"SELECT {columns} FROM judgements WHERE judge = ?", (judge,)).fetchall()
    return [JudgementRow(*row)._replace(judged=Judged(row[10])) for row in told]


def keep(connection: sqlite3.Connection, found: Iterable[JudgementRow]) -> None:
    """Within a change: in place of what the judge said of the same responses before."""
    places = ", ".join("?" * len(JudgementRow._fields))
    columns = ", ".join(JudgementRow._fields)
    connection.executemany(f"INSERT OR REPLACE INTO judgements ({columns}) VALUES ({places})", found)


def beside(records: pa.Table, said: Mapping[Place, Judged], judge: str) -> pa.Table:
    """Records with what the judge says of each, and the judge; both empty where it says nothing."""
    task, mode, item, sample = (records[name].to_pylist() for name in ("task", "mode", "item", "sample"))
    judged = [said.get(place) for place in zip(task, mode, item, sample, strict=True)]
    by = [judge if one is not None else None for one in judged]
    columns: dict[str, Sequence[str | None]] = {"judged": judged, "judge": by}
    for name in ("judged", "judge"):
        column = pa.array([None if value is None else str(value) for value in columns[name]], pa.string())
        records = records.append_column(name, column.dictionary_encode().cast(LABEL))
    return records
