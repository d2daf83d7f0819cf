"""The study's SQLite database: its schema, its version, and SQLite's failures told as ours."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from triaxis.records import versions
from triaxis.records.choices import SELECTION, STOPS
from triaxis.records.paths import disk_full, is_folder, read_only
from triaxis.types import RunFailed, TriaxisError
from triaxis.version import __version__

FORMAT = 4  # of the folder; a folder with a larger one was made by a newer Triaxis

# `name` is the column of the table, `asked` the settings of its diagnostic (JSON); where there is
# no number, `reason` says why
DIAGNOSTICS = (
    "CREATE TABLE IF NOT EXISTS diagnostics (run TEXT NOT NULL, base TEXT NOT NULL DEFAULT '', step INTEGER NOT NULL,"
    " name TEXT NOT NULL, value REAL, low REAL, high REAL, unit TEXT NOT NULL DEFAULT '',"
    " method TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '', asked TEXT NOT NULL DEFAULT '{}',"
    " PRIMARY KEY (run, base, step, name))"
)
SCHEMA = (
    "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    # levels, settings: JSON objects of the factors, and of every resolved setting
    "CREATE TABLE IF NOT EXISTS runs (run TEXT PRIMARY KEY, seed INTEGER NOT NULL, source TEXT NOT NULL,"
    " levels TEXT NOT NULL, settings TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'waiting',"
    " message TEXT NOT NULL DEFAULT '')",
    "CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL, source TEXT NOT NULL,"
    " place INTEGER NOT NULL)",
    # a base is run '' at step 0, told from other bases by `base`; `evaluation` says what it was asked, `sha256` is the
    # part's, `version` the id of the versions that measured it
    "CREATE TABLE IF NOT EXISTS checkpoints (run TEXT NOT NULL, base TEXT NOT NULL DEFAULT '', step INTEGER NOT NULL,"
    " tokens INTEGER NOT NULL, epoch REAL NOT NULL, loss REAL, token_accuracy REAL, n_records INTEGER NOT NULL,"
    " file TEXT NOT NULL, bytes INTEGER NOT NULL, evaluation TEXT NOT NULL DEFAULT '',"
    " sha256 TEXT NOT NULL, version INTEGER NOT NULL, PRIMARY KEY (run, base, step))",
    "CREATE TABLE IF NOT EXISTS costs (run TEXT NOT NULL, base TEXT NOT NULL DEFAULT '', step INTEGER NOT NULL,"
    " phase TEXT NOT NULL, seconds REAL NOT NULL, tokens INTEGER NOT NULL, PRIMARY KEY (run, base, step, phase))",
    versions.TABLE,
    DIAGNOSTICS,
    SELECTION,
    STOPS,
)
FROM_1_TO_2 = (
    "ALTER TABLE checkpoints ADD COLUMN sha256 TEXT NOT NULL DEFAULT ''",  # '': not known
    "ALTER TABLE checkpoints ADD COLUMN version INTEGER NOT NULL DEFAULT 1",
    versions.TABLE,
    "INSERT INTO versions SELECT 1, (SELECT value FROM meta WHERE key = 'created'), value, '', '', '', '', ''"
    " FROM meta WHERE key = 'triaxis'",
    "UPDATE meta SET value = '2' WHERE key = 'format'",
)
FROM_2_TO_3 = (DIAGNOSTICS, "UPDATE meta SET value = '3' WHERE key = 'format'")
FROM_3_TO_4 = (SELECTION, STOPS, "UPDATE meta SET value = '4' WHERE key = 'format'")
UPGRADES = {1: (*FROM_1_TO_2, *FROM_2_TO_3, *FROM_3_TO_4), 2: (*FROM_2_TO_3, *FROM_3_TO_4), 3: FROM_3_TO_4}


@contextmanager
def told(path: Path) -> Iterator[None]:
    """SQLite's errors on the database at `path`, and a database that may not be read, as one line with a remedy."""
    try:
        yield
    except sqlite3.OperationalError as error:
        words = str(error)
        if "full" in words or "disk I/O" in words:
            raise disk_full(path) from None
        if "locked" in words:
            raise RunFailed(f"{path}: busy for too long; stop the other program that has it open, and go on") from None
        if "readonly" in words:
            raise read_only(path.parent) from None
        if is_folder(path):
            raise TriaxisError(f"{path}: a folder, where the study's database should be; move it away") from None
        raise TriaxisError(f"{path}: can't be used ({words}); check the folder") from None
    except sqlite3.DatabaseError as error:
        raise _damaged(path, str(error)) from None
    except PermissionError:
        raise TriaxisError(f"{path}: may not be read; give yourself permission (chmod u+r)") from None


def _damaged(path: Path, what: str) -> TriaxisError:
    return TriaxisError(
        f"{path}: the study's database is damaged ({what}); put back a copy of it, records/ is untouched"
    )


def decoded(text: str, path: Path, what: str, kind: type = dict) -> Any:
    """A JSON value (an object by default) out of the database at `path`. Raises TriaxisError where it is none."""
    with suppress(ValueError, TypeError):
        value = json.loads(text)
        if isinstance(value, kind):
            return value
    raise TriaxisError(
        f"{path}: damaged: {what} can't be read; run the study again, which writes it anew, or put back a copy"
    )


def connect_writer(path: Path) -> sqlite3.Connection:
    """The one connection that writes; makes the schema where there is none. Every commit is on the disk."""
    with told(path):
        connection = sqlite3.connect(path, isolation_level=None, timeout=30.0)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        version = _version(connection, path)
        if version is None:
            with transaction(connection):
                for statement in SCHEMA:
                    connection.execute(statement)
                values = [("format", str(FORMAT)), ("triaxis", __version__)]
                connection.executemany("INSERT INTO meta VALUES (?, ?)", values)
                connection.execute("INSERT INTO meta VALUES ('created', datetime('now'))")
        elif version in UPGRADES:
            _upgrade(connection, version)
    _check(connection, path)
    return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that only reads, while another process may write.

    Readers of a WAL database need its shared-memory file; in a folder that can't be written to there may be none, and
    then a copy of the database is read.
    """
    with told(path):
        try:
            connection = sqlite3.connect(
                f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=30.0
            )
            version = _version(connection, path)
        except sqlite3.OperationalError:
            with tempfile.TemporaryDirectory(prefix="triaxis-") as folder:
                for part in (path, path.with_name(path.name + "-wal")):
                    if part.exists():
                        shutil.copyfile(part, Path(folder) / part.name)
                connection = _in_memory(sqlite3.connect(Path(folder) / path.name))
                version = _version(connection, path)
        if version in UPGRADES:
            connection = _in_memory(connection)
            _upgrade(connection, version)
    _check(connection, path)
    return connection


def _in_memory(connection: sqlite3.Connection) -> sqlite3.Connection:
    """A copy of a database that may be changed; the connection to the original is closed."""
    copy = sqlite3.connect(":memory:", isolation_level=None)
    connection.backup(copy)
    connection.close()
    return copy


def _upgrade(connection: sqlite3.Connection, version: int) -> None:
    with transaction(connection):
        for statement in UPGRADES[version]:
            connection.execute(statement)


def _version(connection: sqlite3.Connection, path: Path) -> int | None:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
        return None
    row = connection.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
    if row is not None and not re.fullmatch("[1-9][0-9]*", str(row[0])):
        raise _damaged(path, f"its format is {row[0]!r}")
    return int(row[0]) if row else None


def _check(connection: sqlite3.Connection, path: Path) -> None:
    with told(path):
        version = _version(connection, path)
        if version is None:
            raise TriaxisError(f"{path}: a study that was never begun; run it again")
        if version > FORMAT:
            maker = connection.execute("SELECT value FROM meta WHERE key = 'triaxis'").fetchone()
            raise TriaxisError(
                f"{path.parent}: made by a newer Triaxis ({maker[0] if maker else '?'}, format {version}; this one,"
                f" {__version__}, reads format {FORMAT}); upgrade Triaxis"
            )
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise _damaged(path, str(found).splitlines()[0])


@contextmanager
def transaction(connection: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    """All of the statements within, or none. Kind DEFERRED is for reading: one state throughout."""
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
