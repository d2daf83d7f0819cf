"""The study's SQLite database: its schema, its version, and SQLite's failures told as ours."""

from __future__ import annotations

import errno
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from triaxis.types import RunFailed, TriaxisError
from triaxis.version import __version__

FORMAT = 1  # of the folder; a folder with a larger one was made by a newer Triaxis
FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    # levels, settings: JSON objects of the factors, and of every resolved setting
    "CREATE TABLE IF NOT EXISTS runs (run TEXT PRIMARY KEY, seed INTEGER NOT NULL, source TEXT NOT NULL,"
    " levels TEXT NOT NULL, settings TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'waiting',"
    " message TEXT NOT NULL DEFAULT '')",
    "CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL, source TEXT NOT NULL,"
    " place INTEGER NOT NULL)",
    # a base is run '' at step 0, told from other bases by `base`; `evaluation` says what it was asked
    "CREATE TABLE IF NOT EXISTS checkpoints (run TEXT NOT NULL, base TEXT NOT NULL DEFAULT '', step INTEGER NOT NULL,"
    " tokens INTEGER NOT NULL, epoch REAL NOT NULL, loss REAL, token_accuracy REAL, n_records INTEGER NOT NULL,"
    " file TEXT NOT NULL, bytes INTEGER NOT NULL, evaluation TEXT NOT NULL DEFAULT '', PRIMARY KEY (run, base, step))",
    "CREATE TABLE IF NOT EXISTS costs (run TEXT NOT NULL, base TEXT NOT NULL DEFAULT '', step INTEGER NOT NULL,"
    " phase TEXT NOT NULL, seconds REAL NOT NULL, tokens INTEGER NOT NULL, PRIMARY KEY (run, base, step, phase))",
)


def disk_full(path: Path) -> RunFailed:
    """The failure to raise where the disk (or a limit on files) left no room for `path`."""
    return RunFailed(f"disk full while writing {path}; nothing measured is lost: free space and run again")


@contextmanager
def files_told(path: Path) -> Iterator[None]:
    """The system's errors on writing `path` as one line with a remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise disk_full(path) from None
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise read_only(path if path.is_dir() else path.parent) from None
        raise RunFailed(f"{path}: can't be written ({error.strerror}); what is measured is kept: run again") from None


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
        raise TriaxisError(f"{path}: can't be used ({words}); check the folder") from None
    except sqlite3.DatabaseError as error:
        raise _damaged(path, str(error)) from None
    except PermissionError:
        raise TriaxisError(f"{path}: may not be read; give yourself permission (chmod u+r)") from None


def read_only(folder: Path) -> TriaxisError:
    """The mistake of writing into a folder that may only be read."""
    return TriaxisError(
        f"{folder}: read-only, so the study can't go on here; give permission to write, or copy the folder"
    )


def _damaged(path: Path, what: str) -> TriaxisError:
    return TriaxisError(
        f"{path}: the study's database is damaged ({what}); put back a copy of it, records/ is untouched"
    )


def connect_writer(path: Path) -> sqlite3.Connection:
    """The one connection that writes; makes the schema where there is none. Every commit is on the disk."""
    with told(path):
        connection = sqlite3.connect(path, isolation_level=None, timeout=30.0)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        if _version(connection) is None:
            with transaction(connection):
                for statement in SCHEMA:
                    connection.execute(statement)
                values = [("format", str(FORMAT)), ("triaxis", __version__)]
                connection.executemany("INSERT INTO meta VALUES (?, ?)", values)
                connection.execute("INSERT INTO meta VALUES ('created', datetime('now'))")
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
            _version(connection)
        except sqlite3.OperationalError:
            with tempfile.TemporaryDirectory(prefix="triaxis-") as folder:
                for part in (path, path.with_name(path.name + "-wal")):
                    if part.exists():
                        shutil.copyfile(part, Path(folder) / part.name)
                connection = sqlite3.connect(":memory:", isolation_level=None)
                copied = sqlite3.connect(Path(folder) / path.name)
                copied.backup(connection)
                copied.close()
    _check(connection, path)
    return connection


def _version(connection: sqlite3.Connection) -> int | None:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
        return None
    row = connection.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
    return int(row[0]) if row else None


def _check(connection: sqlite3.Connection, path: Path) -> None:
    with told(path):
        version = _version(connection)
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
