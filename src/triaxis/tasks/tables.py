"""The rows of any file that is read, Parquet and Arrow among them, and which files a folder of `save_to_disk` holds."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from triaxis.tasks.rows import Row, compression_of, head_of, json_rows, printable
from triaxis.types import TriaxisError

SEARCHED = 10_000  # entries of a folder that are looked at, to say what could be named instead of it
SUFFIXES = ("parquet", "jsonl", "jsonl.gz", "jsonl.zst", "json", "arrow")
ROWS = 64  # made into Python objects at a time; a row can be a megabyte
PARQUET, ARROW_FILE, ARROW_STREAM = b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"
MISTAKES = (pa.ArrowException, OSError, ValueError)  # a name that is not UTF-8 is the last


def file_rows(path: Path) -> tuple[str, Callable[[], Iterator[Row]]]:
    """What kind of file it is, in words ("JSON lines, gzip"), and a function that reads its rows from the first on.

    The kind is told by the file's first bytes. Raises TriaxisError where it can't be read or holds no rows.
    """
    head = head_of(path)
    if head.startswith(PARQUET):
        return "Parquet", lambda: parquet_rows(path)
    if head.startswith((ARROW_FILE, ARROW_STREAM)):
        return "Arrow", lambda: arrow_rows(path, head)
    if path.suffix == ".parquet":
        raise TriaxisError(f"{path}: not a Parquet file, or its beginning is lost; write or copy it again")
    if path.suffix == ".arrow":
        raise TriaxisError(f"{path}: not an Arrow file, or its beginning is lost; write or copy it again")
    packed = compression_of(head)
    array = head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")
    kind = f"JSON, {packed}" if packed else "JSON array" if array else "JSON lines"
    return kind, lambda: json_rows(path, packed)


def parquet_rows(path: Path) -> Iterator[Row]:
    """The rows of a Parquet file, of which only pages are in memory."""
    try:
        with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
            groups = range(file.num_row_groups)  # one by one, so that those before a damaged one are read
            batches = chain.from_iterable(file.iter_batches(batch_size=ROWS, row_groups=[group]) for group in groups)
            yield from _batch_rows(file.schema_arrow, batches, "Parquet")
    except MISTAKES as error:
        yield Row(0, None, f"a Parquet file that is cut off or damaged ({_said(error)}); write or copy it again")


def arrow_rows(path: Path, head: bytes) -> Iterator[Row]:
    """The rows of an Arrow file or stream (what `save_to_disk` writes), mapped into memory and not read as a whole."""
    try:
        with pa.memory_map(str(path)) as source:
            if head.startswith(ARROW_FILE):
                file = pa.ipc.open_file(source)
                batches = (file.get_batch(i) for i in range(file.num_record_batches))
                yield from _batch_rows(file.schema, _checked(batches), "Arrow")
            else:
                stream = pa.ipc.open_stream(source)
                yield from _batch_rows(stream.schema, _checked(stream), "Arrow")
    except MISTAKES as error:
        yield Row(0, None, f"an Arrow file that is cut off or damaged ({_said(error)}); write or copy it again")


def _checked(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same batches, none of which points outside itself: what is mapped into memory was never looked at."""
    for batch in batches:
        batch.validate(full=True)
        yield batch


def _batch_rows(schema: pa.Schema, batches: Iterator[pa.RecordBatch], kind: str) -> Iterator[Row]:
    twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if twice:
        yield Row(0, None, f"column {twice[0]!r} is there twice; keep one", twice[0])
        return
    number = 0
    while True:
        try:
            batch = next(batches, None)
        except MISTAKES as error:
            what = f"the {kind} file is cut off or damaged from here on ({_said(error)}); write or copy it again"
            yield Row(number + 1, None, what)
            return
        if batch is None:
            return
        for start in range(0, batch.num_rows, ROWS):
            part = batch.slice(start, ROWS)
            yield from _python_rows(number + start, part)
        number += batch.num_rows


def _python_rows(before: int, batch: pa.RecordBatch) -> Iterator[Row]:
    """The rows of a few as Python objects; `before` is how many came before them."""
    try:
        for number, values in enumerate(batch.to_pylist(), before + 1):
            yield Row(number, values)
    except (UnicodeDecodeError, ValueError):
        for i in range(batch.num_rows):
            yield _one_by_one(before + 1 + i, batch.slice(i, 1))


def _one_by_one(number: int, batch: pa.RecordBatch) -> Row:
    values: dict[str, Any] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            values[name] = column[0].as_py()
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            return Row(number, None, f"byte {byte:#04x} is not UTF-8; write the column as UTF-8 text", name)
        except ValueError as error:
            return Row(number, None, f"a {column.type} that can't be read ({_said(error)})", name)
    return Row(number, values)


def folder_files(folder: Path) -> list[Path]:
    """The Arrow files of a folder that the datasets library wrote with `save_to_disk`.

    Raises TriaxisError for any other folder, for one with several splits, and for one that names a file outside it.
    """
    splits = _json(folder / "dataset_dict.json")
    if splits is not None:
        names = splits.get("splits")
        if not isinstance(names, list) or len(names) != 1 or not isinstance(names[0], str):
            shown = ", ".join(map(str, names)) if isinstance(names, list) and names else "no"
            raise TriaxisError(f"{folder}: holds the splits {shown}; name one, as {folder}/train")
        return folder_files(_inside(folder, names[0]))
    state = _json(folder / "state.json")
    if state is None:
        raise TriaxisError(f"{folder}: is a folder; {_instead(folder)}")
    if state.get("_indices_data_files") or state.get("_indices_files"):
        raise TriaxisError(f"{folder}: its rows are picked by an index file; save it again after flatten_indices()")
    files = state.get("_data_files")
    names = [file.get("filename") for file in files if isinstance(file, dict)] if isinstance(files, list) else []
    if not names or not all(isinstance(name, str) for name in names):
        raise TriaxisError(f"{folder / 'state.json'}: names no data files; save the data set again")
    return [_inside(folder, name) for name in names]


def _instead(folder: Path) -> str:
    """What to name instead of a folder."""
    entries = list(islice(_below(folder), SEARCHED))
    least = "at least " if len(entries) == SEARCHED else ""
    for suffix in SUFFIXES:
        below = [entry for entry in entries if entry.endswith(f".{suffix}")]
        here = [entry for entry in below if os.sep not in entry]
        for pattern, found in ((f"*.{suffix}", here), (f"**/*.{suffix}", below)):
            if found:
                return f"name its files, as '{folder / pattern}' ({least}{len(found):,} of them)"
    where = f"among its first {SEARCHED:,} entries are" if least else "it holds"
    return f"name a file in it; {where} no JSON lines, Parquet or Arrow files"


def _below(folder: Path) -> Iterator[str]:
    """What a folder holds, and then what is below it, level by level; links to folders aren't followed."""
    folders = deque([""])
    while folders:
        place = folders.popleft()
        try:
            with os.scandir(folder / place) as entries:
                for entry in entries:
                    name = os.path.join(place, entry.name)  # noqa: PTH118
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(name)
                        name += os.sep  # so that it is no file's name
                    yield name
        except OSError:  # may not be read, or is gone
            continue


def _json(path: Path) -> dict[str, Any] | None:
    """The object in a file; None where there is no such file."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise TriaxisError(f"{path}: can't be read ({_said(error)}); save the data set again") from None
    if not isinstance(value, dict):
        raise TriaxisError(f"{path}: not the object that save_to_disk writes; save the data set again")
    return value


def _inside(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise TriaxisError(f"{folder}: names {name!r}, which lies outside it, and is not read")
    return path


def _said(error: BaseException) -> str:
    return printable((str(error).strip().splitlines() or [type(error).__name__])[0].rstrip("."))
