"""Which engine carries out a study; a new one is a file beside this and a line here."""

from __future__ import annotations

import os

from triaxis.execute.engine import Engine
from triaxis.execute.local import LocalPool


def cores() -> int:
    """The cores that this process may use: the default number of jobs at once."""
    return len(os.sched_getaffinity(0))


def make_engine(jobs: int) -> Engine:
    """The engine for `jobs` runs at a time."""
    return LocalPool(jobs)
