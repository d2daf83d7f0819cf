"""Rows into files: JSON lines, plain or compressed, and Parquet; the same rows always give the same bytes."""

from __future__ import annotations

import gzip
import json
import math
from abc import ABC, abstractmethod
from collections import Counter
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from triaxis.tasks.rows import printable
from triaxis.types import TriaxisError

SCHEMA_ROWS = 4096  # rows that a Parquet file's columns are told from
GROUP = 4096  # rows written together
LEVEL = 6  # of gzip


class Writer(ABC):
    """A file that rows are added to; nothing is complete before it is closed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(broken=kind is not None)

    @abstractmethod
    def add(self, row: dict[str, Any], id: str) -> None:
        """One row. Raises TriaxisError, naming the row, where the format can't hold it."""

    @abstractmethod
    def close(self, *, broken: bool = False) -> None: ...

    def notes(self) -> list[str]:
        """Which values the file could not hold as they came."""
        return []


def writer_for(path: Path, name: str) -> Writer:
    """The writer of a file at `path` that will be called `name`: its suffix says the format."""
    return _Parquet(path) if name.endswith(".parquet") else _JsonLines(path, name)


class _JsonLines(Writer):
    """One row a line, keys sorted; .gz and .zst say the compression."""

    def __init__(self, path: Path, name: str) -> None:
        self._raw = path.open("wb")
        self._file: IO[bytes] = self._raw
        if name.endswith(".gz"):  # no name and no time in its head: the same rows are the same bytes
            self._file = gzip.GzipFile("", "wb", LEVEL, self._raw, mtime=0)  # type: ignore[assignment]
        elif name.endswith(".zst"):
            self._file = pa.CompressedOutputStream(self._raw, "zstd")
        self._encoder = json.JSONEncoder(ensure_ascii=False, sort_keys=True, allow_nan=False, default=self._as_text)
        self._nulls: Counter[str] = Counter()  # rows by column
        self._texts: set[str] = set()  # kinds of values

    def add(self, row: dict[str, Any], id: str) -> None:
        self._file.write(self._line(row, id))

    def _line(self, row: dict[str, Any], id: str) -> bytes:
        """A row as a line of JSON, keys sorted. What is no number is null; dates are written as ISO 8601."""
        try:
            try:
                text = self._encoder.encode(row)
            except ValueError:
                self._nulls.update(name for name, value in row.items() if not _is_finite(value))
                row = _finite(row)
                text = self._encoder.encode(row)
            return text.encode() + b"\n"
        except UnicodeEncodeError:  # half a character, as its escape
            return json.dumps(row, sort_keys=True, default=self._as_text).encode() + b"\n"
        except TypeError as error:
            raise TriaxisError(
                printable(f"row {id}: {error}; write a .parquet file, or leave the column out")
            ) from None

    def _as_text(self, value: object) -> str:
        if not isinstance(value, datetime | date | time | Decimal):
            raise TypeError(f"JSON holds no {type(value).__name__}")
        self._texts.add(type(value).__name__)
        return str(value) if isinstance(value, Decimal) else value.isoformat()

    def notes(self) -> list[str]:
        nulls = ", ".join(f"{name} in {n:,} rows" for name, n in sorted(self._nulls.items()))
        said = [f"NaN and infinity, which JSON lacks, are written as null: {nulls}"] if nulls else []
        texts = ", ".join(sorted(self._texts))
        return said + ([f"values that JSON lacks are written as text: {texts}"] if texts else [])

    def close(self, *, broken: bool = False) -> None:
        if self._file is not self._raw:
            self._file.close()
        self._raw.close()


def _is_finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def _finite(value: Any) -> Any:
    """The value with NaN and infinities, which JSON lacks, as null."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class _Parquet(Writer):
    """Columns are those of the first rows; a later row that doesn't fit them is an error and no row loses a field."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: list[dict[str, Any]] = []
        self._first = ""  # id of the first row that waits
        self._schema: pa.Schema | None = None
        self._writer: pq.ParquetWriter | None = None

    def add(self, row: dict[str, Any], id: str) -> None:
        self._first = self._first or id
        self._rows.append(row)
        if len(self._rows) >= (GROUP if self._writer else SCHEMA_ROWS):
            self._flush()

    def _flush(self) -> None:
        table = _table(self._rows, self._first)
        if self._writer is None:
            self._schema = table.schema
            self._writer = pq.ParquetWriter(self._path, table.schema, compression="zstd")
        try:
            if pa.unify_schemas([self._schema, table.schema], promote_options="permissive") != self._schema:
                raise pa.ArrowInvalid("another column, or another type")
            self._writer.write_table(pa.Table.from_pylist(self._rows, self._schema))
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            first = f"row {self._first} or one of the {len(self._rows):,} from it on"
            problem = f"{first}: doesn't fit the columns of those before ({error}); write .jsonl"
            raise TriaxisError(printable(problem)) from None
        self._rows, self._first = [], ""

    def close(self, *, broken: bool = False) -> None:
        if not broken and (self._rows or self._writer is None):
            self._flush()
        if self._writer is not None:
            self._writer.close()


def _table(rows: list[dict[str, Any]], first: str) -> pa.Table:
    """The rows as columns in the order of their names; a column that is empty throughout is text."""
    names = sorted({name for row in rows for name in row})
    try:
        table = pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows])
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        problem = f"row {first} or one from it on: no Parquet column holds all of a field ({error}); write .jsonl"
        raise TriaxisError(printable(problem)) from None
    return table.cast(pa.schema([f.with_type(_filled(f.type)) for f in table.schema]))


def _filled(kind: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_null(kind) else kind
