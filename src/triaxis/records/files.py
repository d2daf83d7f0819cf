"""Tables in files as raw Arrow columns: CSV, TSV and Parquet, and which row of the file holds a row of the table."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from triaxis.records.columns import BY_NAME, LABEL, NEEDED, column_of, is_factor
from triaxis.types import TriaxisError

MISSING = ("", "NA", "N/A", "#N/A", "NaN", "nan", "null", "NULL", "None", "<NA>")  # a number column's empty cells
BLOCK = 1 << 24  # bytes; a row has to fit in one block, and a response can be long
SYNONYMS = {
    "run": ("run_id", "run_name", "model", "name"),
    "step": ("global_step", "steps", "checkpoint", "iteration"),
    "task": ("benchmark", "dataset", "eval", "tasks"),
    "score": ("accuracy", "acc", "value", "metric_value"),
}


@dataclass(frozen=True)
class Origin:
    """Where rows come from, to name the place of a mistake: `row(i)` is the row of the file that holds row i."""

    name: str
    rows: int
    unused: tuple[str, ...] = ()  # columns that are neither declared nor factors
    row: Callable[[int], int] = lambda i: i + 1

    def where(self, i: int) -> str:
        """The place of row i (from 0) in words."""
        return f"{self.name}, row {self.row(i)}"


def read_file(path: Path, *, text: bool) -> tuple[pa.Table, Origin]:
    """The raw columns of a CSV (.csv, .tsv, also .gz) or Parquet file; what it is is told by its content.

    `text` False leaves the responses out. Raises TriaxisError where the file is none of these.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise TriaxisError(_unreadable(path, error)) from None
    if not head:
        raise TriaxisError(f"{path}: the file is empty; a table needs a header with {', '.join(NEEDED)} and rows")
    if head.startswith(b"PAR1"):
        return _read_parquet(path, text=text)
    if path.suffix == ".parquet":
        raise TriaxisError(f"{path}: not a Parquet file, or its beginning is lost; write it again")
    return _read_csv(path, text=text)


def _unreadable(path: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        near = get_close_matches(path.name, [p.name for p in path.parent.glob("*")], 1) if path.parent.is_dir() else []
        return f"{path}: no such file" + (f"; did you mean {near[0]!r}?" if near else "; check the path")
    if isinstance(error, PermissionError):
        return f"{path}: may not be read; give yourself permission (chmod u+r)"
    return f"{path}: can't be read ({error.strerror or error}); check the path and the disk"


def _read_parquet(path: Path, *, text: bool) -> tuple[pa.Table, Origin]:
    try:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        check_header(names, str(path))
        kept = _kept(names, text)
        strings = [n for n in kept if n != "text" and _is_string(file.schema_arrow.field(n).type)]
        raw = pq.read_table(path, columns=kept, read_dictionary=strings, partitioning=None)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise TriaxisError(
            f"{path}: a Parquet file that is cut off or damaged ({_first_line(error)}); write or copy it again"
        ) from None
    return raw, Origin(str(path), raw.num_rows, unused(names))


def _kept(names: Sequence[str], text: bool) -> list[str]:
    return [name for name in names if (column_of(name) or is_factor(name)) and (text or name != "text")]


def _is_string(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _read_csv(path: Path, *, text: bool) -> tuple[pa.Table, Origin]:
    delimiter = "\t" if ".tsv" in path.suffixes else ","
    names = _csv_header(path, delimiter)
    check_header(names, str(path))
    kept = _kept(names, text)
    try:
        raw = _parse(path, names, kept, delimiter, numbers_as_text=False)
    except pa.ArrowInvalid as error:
        if "conversion error" not in str(error):
            raise TriaxisError(_diagnosis(path, names, delimiter, error)) from None
        raw = _parse_as_text(path, names, kept, delimiter)
    except (OSError, EOFError) as error:
        raise TriaxisError(f"{path}: cut off or damaged ({_first_line(error)}); write or copy it again") from None
    return raw, Origin(str(path), raw.num_rows, unused(names), lambda i: _row_in_csv(path, delimiter, i))


def _parse_as_text(path: Path, names: list[str], kept: list[str], delimiter: str) -> pa.Table:
    """The same file with numbers left as text, so that the cell that is not one can be named with its row."""
    try:
        return _parse(path, names, kept, delimiter, numbers_as_text=True)
    except pa.ArrowInvalid as error:
        raise TriaxisError(_diagnosis(path, names, delimiter, error)) from None


def _parse(path: Path, names: list[str], kept: list[str], delimiter: str, *, numbers_as_text: bool) -> pa.Table:
    declared = {name: column.type for name in kept if (column := column_of(name))}  # the others are factors
    types = {
        name: LABEL if numbers_as_text and kind != pa.large_string() else kind
        for name in kept
        if (kind := declared.get(name, LABEL))
    }
    with pa.input_stream(str(path), compression="gzip" if _zipped(path) else None) as file:
        return pa_csv.read_csv(
            file,
            read_options=pa_csv.ReadOptions(column_names=names, skip_rows=0, skip_rows_after_names=1, block_size=BLOCK),
            parse_options=pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(
                column_types=types, include_columns=kept, null_values=list(MISSING), strings_can_be_null=False
            ),
        )


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    opened: IO[bytes] = gzip.GzipFile(path) if _zipped(path) else path.open("rb")  # type: ignore[assignment]
    with opened as file:
        yield file


def _zipped(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _csv_header(path: Path, delimiter: str) -> list[str]:
    """The names in the first row. Raises where the bytes are not a text table in UTF-8."""
    try:
        with _opened(path) as file:
            head = file.read(1 << 16)
    except (OSError, EOFError) as error:
        raise TriaxisError(f"{path}: cut off or damaged ({_first_line(error)}); write or copy it again") from None
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise TriaxisError(f"{path}: the text is UTF-16; save it as UTF-8")
    if head.startswith(b"PK\x03\x04"):
        raise TriaxisError(f"{path}: a workbook or zip archive, not a table; save the sheet as CSV")
    if b"\0" in head:
        raise TriaxisError(f"{path}: not a table; give a CSV or Parquet file")
    first = head.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n").splitlines()[:1]
    try:
        line = first[0].decode() if first else ""
    except UnicodeDecodeError as error:
        raise TriaxisError(
            f"{path}, row 1: byte {first[0][error.start]:#04x} is not UTF-8; save the file as UTF-8"
        ) from None
    others = [other for other in ",;\t" if other != delimiter and other in line]
    if delimiter not in line and others:
        raise TriaxisError(
            f"{path}: columns are separated by {others[0]!r}; separate them by commas (or by tabs, in a .tsv)"
        )
    return [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]


def unused(names: Sequence[str]) -> tuple[str, ...]:
    """The columns that are neither declared, nor diagnostics, nor factors."""
    return tuple(name for name in names if not column_of(name) and not is_factor(name))


def check_header(names: list[str], where: str) -> None:
    """Raise where needed columns are absent or a column is there twice."""
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise TriaxisError(f"{where}: column {twice[0]!r} is there {names.count(twice[0])} times; keep one")
    missing = [name for name in NEEDED if name not in names]
    if not missing:
        return
    hints = []
    for name in missing:
        free = [other for other in names if other not in BY_NAME]
        by_case = {other.lower(): other for other in free}
        near = [by_case[s] for s in (name, *SYNONYMS[name]) if s in by_case]
        near = near or [by_case[s] for s in get_close_matches(name, list(by_case), 1, 0.7)]
        hints.append(f"{near[0]!r} could be {name!r}: rename it" if near else f"add {name!r}")
    what = f"column {missing[0]!r} is" if len(missing) == 1 else "columns " + ", ".join(map(repr, missing)) + " are"
    raise TriaxisError(f"{where}: {what} missing; {'; '.join(hints)}")


def _records(path: Path, delimiter: str) -> Iterator[list[str]]:
    """The rows of a CSV file as a spreadsheet counts them, the header and empty ones included."""
    limit = csv.field_size_limit(BLOCK)
    try:
        with _opened(path) as file:
            lines = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
            yield from csv.reader(lines, delimiter=delimiter)
    finally:
        csv.field_size_limit(limit)


def _row_in_csv(path: Path, delimiter: str, i: int) -> int:
    """The row of the file, from 1 with the header, that holds row i of the table; empty rows count here, not there."""
    seen = -2
    for number, cells in enumerate(_records(path, delimiter), 1):
        seen += bool(cells)
        if seen == i:
            return number
    raise ValueError(f"{path} has no row {i}")


def _diagnosis(path: Path, names: list[str], delimiter: str, error: Exception) -> str:
    """What is wrong with a CSV file that could not be parsed, at its first row that shows it."""
    try:
        for number, cells in enumerate(_records(path, delimiter), 1):
            if cells and len(cells) != len(names):
                return (
                    f"{path}, row {number}: {len(cells)} cells where the header has {len(names)} columns; mend the row"
                )
            bad = next((c for c, cell in enumerate(cells) if any("\udc80" <= x <= "\udcff" for x in cell)), None)
            if bad is not None:
                return f"{path}, row {number}, {names[bad]}: not UTF-8; save the file as UTF-8"
    except csv.Error as problem:
        return f"{path}: not a table ({problem}); give a CSV or Parquet file"
    return f"{path}: can't be read as a table ({_first_line(error)}); give a CSV or Parquet file"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
