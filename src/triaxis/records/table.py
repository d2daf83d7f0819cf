"""The one long table: read from files, checked, written."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from triaxis.records.checks import check
from triaxis.records.columns import column_of, in_order, is_factor
from triaxis.records.files import Origin, check_header, read_file, unused
from triaxis.records.paths import MISPLACED, is_folder, misplaced
from triaxis.records.typed import codes, label, position, typed, typed_factor
from triaxis.types import Level, TriaxisError


@dataclass(frozen=True)
class Table:
    """Results as one long tidy table: a row per record, or per (checkpoint, task) where only a summary is known.

    `arrow` has the columns of `triaxis.records.columns.COLUMNS` in their order and types, then the diagnostics, then
    the factors; those that are needed, defaulted, or belong to records and summaries are always there, measurements
    only where the input has them. `warnings` tells what was dropped, defaulted or is doubtful. `incomplete` are the
    runs of a study's table that failed, are unfinished, or lost their last checkpoint; of a table from files that is
    not known.
    """

    arrow: pa.Table
    warnings: tuple[str, ...] = ()
    incomplete: frozenset[str] = frozenset()

    @property
    def n_rows(self) -> int:
        """Rows, base rows included."""
        return int(self.arrow.num_rows)

    @cached_property
    def factors(self) -> dict[str, tuple[Level, ...]]:
        """What varied: factor columns with more than one level among runs, levels sorted."""
        of_runs = codes(self.arrow["run"]) != position(self.arrow["run"], "")
        found: dict[str, tuple[Level, ...]] = {}
        for name in filter(is_factor, self.arrow.column_names):
            column = self.arrow[name]
            seen = codes(column)
            first = np.unique(seen[of_runs & (seen >= 0)])
            if first.size > 1:
                rows = [int(np.argmax(seen == code)) for code in first]
                found[name] = tuple(sorted(column[row].as_py() for row in rows))
        return found

    def write(self, path: str | Path, *, text: bool = True) -> None:
        """Write it as `.parquet`, `.csv` or `.tsv`; `text` False leaves the responses out. Reading gives it back."""
        path = Path(path)
        arrow = self.arrow if text or "text" not in self.arrow.column_names else self.arrow.drop_columns(["text"])
        if path.suffix not in (".parquet", ".csv", ".tsv"):
            raise TriaxisError(f"{path}: a table is written as .parquet, .csv or .tsv; change the name's end")
        draft = path.with_name(path.name + ".part")  # a file that was there stays until the new one is whole
        try:
            if path.suffix == ".parquet":
                pq.write_table(arrow, draft, compression="zstd")
            else:
                options = pa_csv.WriteOptions(delimiter="\t" if path.suffix == ".tsv" else ",")
                pa_csv.write_csv(arrow, draft, options)
            draft.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            if error.errno in MISPLACED:
                raise misplaced(path, error) from None
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise TriaxisError(f"{path}: can't be written ({reason}); choose another place") from None


def read_table(*paths: str | Path, text: bool = True) -> Table:
    """The table in a CSV, TSV or Parquet file, in several of them, or in a study's folder.

    `text` False leaves the responses out, which saves memory. Raises TriaxisError, in one line that names file, row and
    column, for what breaks a rule of the table (docs/table.md lists them); warns of the rest.
    """
    files = [Path(path) for path in paths]
    if not files:
        raise TriaxisError("no table given; name a CSV or Parquet file")
    for folder in filter(is_folder, files):
        if len(files) > 1:
            raise TriaxisError(f"{folder}: a folder among several tables; give it alone")
        from triaxis.records.store import Store  # a store reads its parts as tables

        with Store.open(folder, read_only=True) as store:
            table = store.table(text=text)
        if not any(table.arrow["run"].chunk(0).dictionary.to_pylist()):
            raise TriaxisError(f"{folder}: no run is measured yet; run the study, or wait for a checkpoint")
        return table
    return assembled(read_file(file, text=text) for file in files)


def make_table(data: pa.Table | Mapping[str, Any], name: str = "table") -> Table:
    """A checked table from an Arrow table, or from columns as lists or arrays; rows are counted from 1 in errors."""
    try:
        raw = data if isinstance(data, pa.Table) else pa.table({key: _column(value) for key, value in data.items()})
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise TriaxisError(f"{name}: {str(error).splitlines()[0]}; give columns of one length and one type") from None
    check_header(raw.column_names, name)
    return assembled([(raw, Origin(name, raw.num_rows, unused(raw.column_names)))])


def _column(values: Any) -> pa.Array:
    return pa.array(values, from_pandas=True)


def assembled(parts: Iterable[tuple[pa.Table, Origin]]) -> Table:
    """One checked table of raw parts, each let go of when it is typed."""
    tables, origins, warnings = [], [], []
    for raw, origin in parts:
        table, told = typed(raw, origin)
        del raw
        tables.append(table)
        origins.append(origin)
        warnings += told
    arrow = _joined(tables)
    del tables, table

    def where(row: int) -> str:
        for origin in origins:
            if row < origin.rows:
                return origin.where(row)
            row -= origin.rows
        raise IndexError(row)

    return Table(arrow, (*warnings, *check(arrow, where, ", ".join(o.name for o in origins))))


def _joined(tables: list[pa.Table]) -> pa.Table:
    """The parts one under another; a column that a part lacks is empty there."""
    names = in_order({name for table in tables for name in table.column_names})
    columns = {}
    for name in names:
        if is_factor(name):
            columns[name] = typed_factor(name, [_part(table, name, pa.string()) for table in tables])
            continue
        column = column_of(name)
        assert column is not None  # `typed` keeps no other
        kind = column.type
        cells = pa.chunked_array([chunk for table in tables for chunk in _part(table, name, kind).chunks], kind)
        if pa.types.is_dictionary(kind):
            columns[name] = cells if cells.num_chunks == 1 else label(cells)
        else:
            columns[name] = pa.chunked_array([cells.combine_chunks()]) if kind != pa.large_string() else cells
    return pa.table(columns)


def _part(table: pa.Table, name: str, kind: pa.DataType) -> pa.ChunkedArray:
    return table[name] if name in table.column_names else pa.chunked_array([pa.nulls(table.num_rows, kind)])
