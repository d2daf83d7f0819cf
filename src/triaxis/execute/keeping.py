"""Weights for analysis: whose are kept, written whole or not at all, and the room that the study may take."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from triaxis.execute.stopping import best_of
from triaxis.records.choices import Selected
from triaxis.records.paths import FULL, disk_full, files_told
from triaxis.study.selection import BEST, LAST
from triaxis.types import RunFailed

WEIGHTS, STATE_FOLDER, RECORDS = "weights", "state", "records"  # folders of a study
HELD = (WEIGHTS, STATE_FOLDER, RECORDS, "study.db", "study.db-wal")  # what a disk budget counts: a report comes on top
DRAFT = ".draft-"
_STEP = re.compile(r"step-([0-9]{6,})")


@dataclass(frozen=True)
class Keep:
    """Whose weights a run keeps, and where. Plain values: it crosses processes."""

    what: tuple[int | str, ...]  # steps, "best", "last"
    by: str  # what the best is best on: in_domain, out_of_domain, all
    folder: str = ""  # empty: nowhere, and nothing is kept

    def wanted(self, steps: Sequence[int], end: int, scores: Mapping[int, Sequence[Selected]]) -> set[str]:
        """The folders that should be there of a run that ends there, as far as is known.

        The best is kept apart, in a folder of its own that holds one checkpoint.
        """
        known = {step: scores[step] for step in steps if step in scores and step <= end}
        found = {name_of(s) for s in self.what if isinstance(s, int) and s <= end}
        if LAST in self.what:
            found.add(name_of(end))
        if BEST in self.what and known:
            found.add(f"{BEST}/{name_of(best_of(known, self.by))}")
        return found

    def there(self) -> set[str]:
        """The folders that are there; each is whole, or it wouldn't be."""
        root = Path(self.folder)
        found = {path.name for path in _folders(root)}
        return found | {f"{BEST}/{path.name}" for path in _folders(root / BEST)}

    def tidy(self, wanted: set[str]) -> None:
        """Remove drafts that were never finished, and what was the best and is no more."""
        root = Path(self.folder)
        for draft in root.glob(f"{DRAFT}*"):
            shutil.rmtree(draft, ignore_errors=True)
        if any(name.startswith(f"{BEST}/") and name in self.there() for name in wanted):
            for path in _folders(root / BEST):
                if f"{BEST}/{path.name}" not in wanted:
                    shutil.rmtree(path, ignore_errors=True)

    def write(self, name: str, save: Callable[[Path], None], size: int, room: Room | None) -> str:
        """Have `save` write a folder of about `size` bytes, which is then there whole, on the disk, or not at all.

        Gives back why there is no room for it; empty where it is there. Raises DiskFull where the disk has none.
        """
        root, target = Path(self.folder), Path(self.folder) / name
        draft = root / f"{DRAFT}{os.getpid()}"
        with room.held() if room else contextlib.nullcontext():
            if room and (full := room.lacks(size, f"the weights of {root.name} {name}")):
                return full
            try:
                with files_told(draft):
                    shutil.rmtree(draft, ignore_errors=True)
                    draft.mkdir(parents=True)
                    target.parent.mkdir(parents=True, exist_ok=True)
                _saved(save, draft)
                if room and (full := room.lacks(0, f"the weights of {root.name} {name}")):
                    return full  # what lies beside the weights was more than was thought
                with files_told(target):
                    _flush(draft)
                    shutil.rmtree(target, ignore_errors=True)
                    draft.rename(target)
                    _flush(target.parent, inside=False)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        return ""


def name_of(step: int) -> str:
    """The folder of a step's weights, from which `triaxis evaluate` reads the step."""
    return f"step-{step:06d}"


def step_of(name: str) -> int:
    """The step that a folder's name tells."""
    return int(name.rpartition("-")[2])


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(path for path in root.iterdir() if _STEP.fullmatch(path.name) and path.is_dir())
    except OSError:
        return []


def _saved(save: Callable[[Path], None], draft: Path) -> None:
    try:
        save(draft)
    except Exception as error:  # safetensors and peft tell a full disk in errors of their own
        full = isinstance(error, OSError) and error.errno in FULL
        if full or any(f"os error {number}" in str(error) for number in FULL):
            raise disk_full(draft) from None
        line = (str(error).splitlines() or [""])[0]
        raise RunFailed(
            f"{draft.parent}: weights can't be written ({type(error).__name__}: {line}); what is measured is kept"
        ) from error


def _flush(folder: Path, inside: bool = True) -> None:
    for path in [*(p for p in folder.rglob("*") if inside and p.is_file()), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@dataclass(frozen=True)
class NoRoom:
    """What a job gives instead of a measurement when the disk budget leaves no room for what it would write."""

    message: str


@dataclass(frozen=True)
class Room:
    """A disk budget. Plain values: it crosses processes."""

    bytes: float
    folder: str = ""  # the study's

    def lacks(self, more: int, what: str) -> str:
        """Why so many bytes more can't be written; empty where they can."""
        if used(Path(self.folder)) + more <= self.bytes:
            return ""
        told = f"the disk budget of {self.bytes / 1e9:g} GB is used up"
        told += f": no room for {what} ({more / 1e6:.1f} MB)" if more else ""
        return f"{told}; raise budget.disk_gb"

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """While one process looks and writes, the others wait: two may not take the same room."""
        lock = Path(self.folder) / STATE_FOLDER / ".room"
        with files_told(lock):
            lock.parent.mkdir(parents=True, exist_ok=True)
            with lock.open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield


def used(folder: Path) -> int:
    """Bytes of a study's records, database, states and weights."""
    total = 0
    for name in HELD:
        path = folder / name
        for file in path.rglob("*") if path.is_dir() else [path]:
            with contextlib.suppress(OSError):  # states and drafts come and go
                total += file.stat().st_size if file.is_file() else 0
    return total
