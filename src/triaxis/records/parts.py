"""The records of one checkpoint in one Parquet file: written whole or not at all, and checked before it is trusted."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from triaxis.records.columns import ADAPTIVE, BY_NAME
from triaxis.records.paths import files_told
from triaxis.types import Record

MAGIC = b"PAR1"
COLUMNS = (  # of a part; the factors, the seed and the measurements of the checkpoint stand in the database
    "run", "step", "task", "group", "mode", "item", "sample", "outcome", "score", "response_tokens", "thought",
    "finished", "text", "copied", "verified_steps", "log_probability", "backend", "batch_size", "dtype", "temperature",
    *ADAPTIVE,
)  # fmt: skip
LATER = (  # parts written before they were measured lack them
    "copied", "verified_steps", "log_probability", "backend", "batch_size", "dtype", "temperature",
    *ADAPTIVE,
)  # fmt: skip


def write_part(path: Path, records: Sequence[Record]) -> tuple[int, str]:
    """Write records to a file that is there whole, on the disk, or not at all; gives back its bytes and SHA-256.

    Holds no time and no place, so equal records make equal files.
    """
    adaptive = any(record.asked_at is not None for record in records)
    names = [name for name in COLUMNS if adaptive or name not in ADAPTIVE]  # others are as they always were
    arrays = {name: pa.array([getattr(record, name) for record in records], BY_NAME[name].type) for name in names}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(arrays), sink, compression="zstd", write_page_checksum=True)
    content = sink.getvalue()
    write_atomically(path, content)
    return int(content.size), hashlib.sha256(content).hexdigest()


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


class DamagedPart(Exception):
    """What is wrong with a part, in words that follow its path."""


def check_part(path: Path, size: int, sha256: str = "") -> None:
    """Raise DamagedPart where a part isn't there with its size and its end, and, where given, its hash."""
    try:
        with path.open("rb") as file:
            found = file.seek(0, os.SEEK_END)
            if found != size:
                raise DamagedPart(f"has {found:,} of {size:,} bytes")
            file.seek(-len(MAGIC), os.SEEK_END)
            if file.read() != MAGIC:
                raise DamagedPart("has no end")
            file.seek(0)
            if sha256 and hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                raise DamagedPart("was changed since it was written")
    except FileNotFoundError:
        raise DamagedPart("is gone") from None
    except OSError as error:
        raise DamagedPart(f"can't be read ({error.strerror})") from None


def read_part(path: Path, size: int, sha256: str, *, text: bool) -> pa.Table:
    """The records of a part, its hash compared. Raises DamagedPart where it differs or they can't be decoded."""
    check_part(path, size, sha256)
    columns = [name for name in COLUMNS if text or name != "text"]
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            columns = [name for name in columns if name not in LATER or name in file.schema_arrow.names]
            table = file.read(columns=columns, use_threads=False)  # threads cost more than so small a file
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DamagedPart(f"can't be decoded ({line})") from None
    if [(field.name, field.type) for field in table.schema] != [(name, BY_NAME[name].type) for name in columns]:
        raise DamagedPart("has other columns than it was written with")
    return table
