"""The system's errors on files and folders, each told as one line with its remedy."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from triaxis.types import DiskFull, RunFailed, TriaxisError

FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)
MISPLACED = (errno.ENOTDIR, errno.EEXIST, errno.ENOENT, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP)


def disk_full(path: Path) -> DiskFull:
    """The failure to raise where the disk (or a limit on files) left no room for `path`."""
    return DiskFull(f"disk full while writing {path}; nothing measured is lost: free space and run again")


def read_only(folder: Path) -> TriaxisError:
    """The mistake of writing into a folder that may only be read."""
    return TriaxisError(
        f"{folder}: read-only, so the study can't go on here; give permission to write, or copy the folder"
    )


def misplaced(path: Path, error: OSError) -> TriaxisError:
    """The mistake of a path at which no file or folder can be, for an error of the kinds `MISPLACED`."""
    if error.errno == errno.EISDIR:
        return TriaxisError(f"{path}: a folder, where a file should be; move it away, or choose another place")
    blocking = next((p for p in (path, *path.parents) if _is_there(p) and not is_folder(p)), None)
    if blocking is not None:
        return TriaxisError(f"{path}: {blocking} is a file, not a folder; move it away, or choose another place")
    if error.errno == errno.ENOENT and not is_folder(path.parent):
        return TriaxisError(f"{path}: there is no folder {path.parent}; make it, or choose another place")
    return TriaxisError(f"{path}: nothing can be made there ({os.strerror(error.errno or 0)}); choose another place")


def is_folder(path: Path) -> bool:
    """Whether it is a folder, as far as may be seen."""
    try:
        return path.is_dir()
    except OSError:  # a folder above it may not be entered, or its name is too long
        return False


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


@contextmanager
def files_told(path: Path) -> Iterator[None]:
    """The system's errors on writing `path`, a file or folder of a study, as one line with a remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise disk_full(path) from None
        if error.errno in FORBIDDEN:
            raise read_only(path if is_folder(path) else path.parent) from None
        if error.errno in MISPLACED:
            raise misplaced(path, error) from None
        raise RunFailed(f"{path}: can't be written ({error.strerror}); what is measured is kept: run again") from None
