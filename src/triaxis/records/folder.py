"""A study's folder as a place: whose it is, whether it can be one, and which process has it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from triaxis.records.paths import files_told
from triaxis.types import TriaxisError

DATABASE = "study.db"
MEASURED = ("records", "report.html", "analysis.json")  # there only once something was measured
OURS = ("study.yaml", DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", "lock", "state", "trackers", *MEASURED)


class InUse(TriaxisError):
    """Another process writes into the folder now."""


def make_folder(folder: Path) -> None:
    """Make the folder where it is not there. Raises TriaxisError where something else is, or the database is lost."""
    with files_told(folder):
        if folder.exists() and not folder.is_dir():
            raise TriaxisError(f"{folder}: a file, where the study's folder should be; choose another place")
        folder.mkdir(parents=True, exist_ok=True)
        there = sorted(p.name for p in folder.iterdir())
    if DATABASE in there:
        return
    foreign = [name for name in there if name not in OURS]
    if foreign:
        raise TriaxisError(f"{folder}: holds {foreign[0]!r} and no study; choose a new or empty folder")
    if set(MEASURED) & set(there):
        raise _without_database(folder)


def check_folder(folder: Path) -> None:
    """Raise TriaxisError where there is no study's folder."""
    try:
        if not folder.is_dir():
            what = "a file, not a study's folder" if folder.exists() else "no such folder"
            raise TriaxisError(f"{folder}: {what}; check the path")
        there = sorted(p.name for p in folder.iterdir())
        if (folder / DATABASE).is_dir():
            raise TriaxisError(f"{folder / DATABASE}: a folder, where the study's database should be; move it away")
        if DATABASE in there:
            return
    except PermissionError:
        raise TriaxisError(f"{folder}: may not be read; give yourself permission (chmod u+rx)") from None
    if "study.yaml" in there and set(MEASURED) & set(there):
        raise _without_database(folder)
    tables = [name for name in there if Path(name).suffix in (".csv", ".tsv", ".parquet")]
    hint = f"name the table: {folder / tables[0]}" if tables else "give the folder that 'triaxis run' made"
    raise TriaxisError(f"{folder}: not a study (it has no study.db); {hint}")


def _without_database(folder: Path) -> TriaxisError:
    return TriaxisError(
        f"{folder}: its {DATABASE} is gone, and what is measured can't be read without it; put back a copy of it, or"
        " run the study in a new folder"
    )


def locked(folder: Path) -> int:
    """The handle of the writers' lock, which the system lets go of however the process ends."""
    with files_told(folder / "lock"):
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(handle)
        raise InUse(
            f"another process (pid {owner}) is running this study in {folder}; wait for it or stop it"
        ) from None
    with files_told(folder / "lock"):
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return handle
