"""How many rows a data set holds, where that is quick to know: for a progress bar, before anything is read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from triaxis.axes.data.generated import OURS, PREFIXES
from triaxis.axes.data.sources import sources_of
from triaxis.tasks.rows import compression_of, head_of, opened
from triaxis.tasks.tables import PARQUET
from triaxis.types import TriaxisError

CHUNK = 1 << 20  # bytes


def total_rows(where: Sequence[str | Path], most_bytes: int = 2 << 30) -> int | None:
    """The rows of all sources together, as lines for JSON; None where it would take a reading of the whole.

    A compressed file is unpacked for it, which is a hundredth of what a profile takes. `most_bytes` bounds what is
    read.
    """
    total = 0
    for source in sources_of(where):
        rows = _generated(source.name) if source.name.startswith(PREFIXES) else _in_file(Path(source.name), most_bytes)
        if rows is None:
            return None
        total += rows
    return total


def _generated(name: str) -> int:
    found = re.search(r"[?&]n=(\d+)", name)
    return int(found[1] if found else OURS["n"])


def _in_file(path: Path, most_bytes: int) -> int | None:
    if not path.is_file():
        return None
    try:
        head = head_of(path)
        if head.startswith(PARQUET):
            with pq.ParquetFile(path) as file:
                return int(file.metadata.num_rows)
        packed = compression_of(head)
        plain = head.removeprefix(b"\xef\xbb\xbf").lstrip()
        if not packed and not plain.startswith(b"{"):  # an array, or Arrow: no line a row
            return None
        return _lines(path, packed, most_bytes)
    except (TriaxisError, OSError, EOFError, ValueError):  # the reading itself will say what is wrong
        return None


def _lines(path: Path, packed: str, most_bytes: int) -> int | None:
    lines = read = 0
    last = b"\n"
    with opened(path, packed) as file:
        while block := file.read(CHUNK):
            lines, read, last = lines + block.count(b"\n"), read + len(block), block[-1:]
            if read > most_bytes:
                return None
    return lines + (last != b"\n")
