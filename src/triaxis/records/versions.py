"""Which versions measured a study: told by the packages' metadata, so that none is loaded for it."""

from __future__ import annotations

import platform
import sqlite3
from importlib.metadata import PackageNotFoundError, version

from triaxis.version import __version__

NAMES = ("triaxis", "torch", "transformers", "numpy", "python")
TABLE = (
    "CREATE TABLE IF NOT EXISTS versions (id INTEGER PRIMARY KEY, opened TEXT NOT NULL,"
    f" {', '.join(f'{name} TEXT NOT NULL' for name in (*NAMES, 'platform'))})"
)


def current(how: str = "") -> tuple[str, ...]:
    """The versions in `NAMES`, then the platform and how it is used; empty where a package isn't installed."""
    packages = [_version(name) for name in NAMES[1:-1]]
    where = f"{platform.system()} {platform.machine()}{f', {how}' if how else ''}"
    return (__version__, *packages, platform.python_version(), where)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def remember(connection: sqlite3.Connection, how: str = "") -> int:
    """The id of the versions that run now, in a row of their own where the last row differs. Within a transaction."""
    now = current(how)
    columns = ", ".join((*NAMES, "platform"))
    last = connection.execute(f"SELECT id, {columns} FROM versions ORDER BY id DESC LIMIT 1").fetchone()
    if last is not None and last[1:] == now:
        return int(last[0])
    places = ", ".join("?" * len(now))
    added = connection.execute(f"INSERT INTO versions (opened, {columns}) VALUES (datetime('now'), {places})", now)
    return int(added.lastrowid or 0)


def measured_with(rows: list[tuple[str, ...]]) -> str:
    """Rows of (opened, versions..., platform), oldest first, in words: the last, then those before it."""
    told = [
        ", ".join([*(f"{name} {v}" for name, v in zip(NAMES, row[1:], strict=False) if v), *filter(None, row[-1:])])
        for row in rows
    ]
    earlier = [f"{words} (from {row[0]})" for row, words in zip(rows, told, strict=True)][-2::-1]
    return told[-1] + (f"; earlier: {'; '.join(earlier)}" if earlier else "")
