"""The records of one checkpoint in one Parquet file: written whole or not at all, and checked before it is trusted."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from triaxis.records.columns import BY_NAME
from triaxis.records.database import files_told
from triaxis.types import Record, TriaxisError

MAGIC = b"PAR1"
COLUMNS = (  # of a part; the factors, the seed and the measurements of the checkpoint stand in the database
    "run", "step", "task", "group", "mode", "item", "sample", "outcome", "score", "response_tokens", "thought",
    "finished", "text",
)  # fmt: skip


def write_part(path: Path, records: Sequence[Record]) -> int:
    """Write records to a file that is there whole, on the disk, or not at all; gives back its size in bytes.

    Holds no time and no place, so equal records make equal files.
    """
    arrays = {name: pa.array([getattr(record, name) for record in records], BY_NAME[name].type) for name in COLUMNS}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(arrays), sink, compression="zstd", write_page_checksum=True)
    content = sink.getvalue()
    write_atomically(path, content)
    return int(content.size)


def write_atomically(path: Path, content: bytes | pa.Buffer) -> None:
    """Write a file beside its place, flush it to the disk, then rename it and flush the folder.

    Raises RunFailed where the disk is full, TriaxisError where the folder may not be written to.
    """
    draft = path.with_name(path.name + ".part")
    with files_told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with draft.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            raise
        _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def damage(path: Path, size: int) -> str | None:
    """What is wrong with a part that should have `size` bytes; None where it is whole."""
    try:
        with path.open("rb") as file:
            found = file.seek(0, os.SEEK_END)
            if found != size:
                return f"has {found:,} of {size:,} bytes"
            file.seek(-len(MAGIC), os.SEEK_END)
            return None if file.read() == MAGIC else "has no end"
    except FileNotFoundError:
        return "is gone"
    except OSError as error:
        return f"can't be read ({error.strerror})"


def read_part(path: Path, *, text: bool) -> pa.Table:
    """The records of a part, their checksums compared. Raises TriaxisError where they differ."""
    columns = [name for name in COLUMNS if text or name != "text"]
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            return file.read(columns=columns, use_threads=False)  # threads cost more than so small a file
    except (OSError, pa.ArrowException) as error:
        line = str(error).strip().splitlines()[0]
        raise TriaxisError(
            f"{path}: damaged, or replaced while it was read ({line}); try again, or delete it and run the study again"
        ) from None
