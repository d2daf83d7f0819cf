"""A table's columns as codes into their distinct values, and their combinations as codes of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from triaxis.stats.intervals import Floats

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Coded:
    """A column: each row's code, and the value of each code."""

    codes: Ints
    values: list[Any]


def coded(table: pa.Table, name: str, default: object) -> Coded:
    """A column as codes into its distinct values; an absent column is one value."""
    if name not in table.column_names:
        return Coded(np.zeros(table.num_rows, dtype=np.int64), [default])
    column = table.column(name)
    if not pa.types.is_dictionary(column.type):
        column = pc.dictionary_encode(column, null_encoding="encode")
    column = column.unify_dictionaries().combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks else pa.array([], type=pa.string()).dictionary_encode()
    values = [default if value is None else value for value in column.dictionary.to_pylist()]
    codes = pc.fill_null(column.indices, len(values)).to_numpy(zero_copy_only=False).astype(np.int64)
    return Coded(codes, [*values, default])


def numbers(table: pa.Table, name: str) -> Floats:
    """A column as floats, NaN where empty or absent."""
    if name not in table.column_names:
        return np.full(table.num_rows, np.nan)
    return np.asarray(table.column(name).cast(pa.float64()).to_numpy(), dtype=np.float64)


def combine(*columns: Coded) -> tuple[Ints, Ints]:
    """The distinct combinations of columns: their codes (combinations x columns), and each row's combination."""
    key = np.zeros(len(columns[0].codes), dtype=np.int64)
    for column in columns:
        key = key * len(column.values) + column.codes
    kept, inverse = np.unique(key, return_inverse=True)
    codes = np.empty((len(kept), len(columns)), dtype=np.int64)
    for j in range(len(columns) - 1, -1, -1):
        kept, codes[:, j] = np.divmod(kept, len(columns[j].values))
    return codes, inverse.astype(np.int64)


def first_row(codes: Ints, n: int) -> Ints:
    """The first row with each code (n,)."""
    first = np.empty(n, dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    return first
