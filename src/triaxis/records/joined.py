"""A study's parts as one table: records with their run's factors and their checkpoint's measurements."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from triaxis.records.columns import BASE, BY_NAME, LABEL, is_factor
from triaxis.records.files import Origin
from triaxis.records.parts import read_part
from triaxis.records.table import Table, assembled
from triaxis.records.typed import codes
from triaxis.types import Checkpoint

if TYPE_CHECKING:
    from triaxis.records.store import RunStatus

ORDER = ("source", "run", BASE, "step", "task", "mode", "item", "sample")
MEASURED = ("tokens", "epoch", "loss", "token_accuracy")


class Part(NamedTuple):
    """A file of records with what the database knows of its checkpoint; a base has an empty run."""

    run: str
    base: str
    checkpoint: Checkpoint
    path: Path


def joined(
    parts: Sequence[Part], runs: Mapping[str, RunStatus], name: str, damaged: Sequence[str], *, text: bool
) -> Table:
    """The checked table of a study, rows in the order of `ORDER`."""
    factors = sorted({factor for status in runs.values() for factor in status.levels if is_factor(factor)} | {BASE})
    tables = []
    for part in parts:
        for source in sources(part.run, part.base, runs):
            tables.append(_with_columns(part, source, runs, factors, text=text))
    raw = pa.concat_tables(tables).unify_dictionaries()
    table = assembled([(raw, Origin(name, raw.num_rows))])
    return Table(in_canonical_order(table.arrow), (*damaged, *table.warnings))


def _level(status: RunStatus, factor: str) -> Any:
    return status.levels.get(factor, status.settings.get(factor))


def sources(run: str, base: str, runs: Mapping[str, RunStatus]) -> list[str]:
    """A run's source; for a base, each source whose runs it serves. Empty where a part belongs to none of `runs`."""
    if run:
        return [runs[run].source] if run in runs else []
    served = {status.source for status in runs.values() if _level(status, BASE) == base}
    return sorted(served) if runs else [""]


def _with_columns(
    part: Part, source: str, runs: Mapping[str, RunStatus], factors: Sequence[str], *, text: bool
) -> pa.Table:
    table = read_part(part.path, text=text)
    n = table.num_rows
    status = runs.get(part.run)
    constants: dict[str, tuple[Any, pa.DataType]] = {"source": (source, LABEL)}
    if status is not None:
        constants["seed"] = (status.seed, pa.int64())
        for measure in MEASURED:
            constants[measure] = (getattr(part.checkpoint, measure), BY_NAME[measure].type)
    for factor in factors:
        level = _level(status, factor) if status is not None else part.base if factor == BASE else None
        constants[factor] = (None if level is None else _written(level), LABEL)
    for column, (value, kind) in constants.items():
        table = table.append_column(column, _constant(value, kind, n))
    for column in {"seed", *MEASURED} - set(constants):
        table = table.append_column(column, pa.nulls(n, BY_NAME[column].type))
    return table.select(sorted(table.column_names))


def _written(level: Any) -> str:
    return str(level).lower() if isinstance(level, bool) else str(level)


def _constant(value: Any, kind: pa.DataType, n: int) -> pa.Array:
    if kind != LABEL or value is None:
        return pa.nulls(n, kind) if value is None else pa.repeat(pa.scalar(value, kind), n)
    return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), n), pa.array([value], pa.string()))


def in_canonical_order(arrow: pa.Table) -> pa.Table:
    """The rows sorted by source, run, base, step, task, mode, item and sample, so that equal tables are equal."""
    keys = [
        codes(arrow[name]) if _is_label(arrow, name) else arrow[name].to_numpy()
        for name in ORDER
        if name in arrow.column_names
    ]
    order = np.lexsort(keys[::-1])
    if (order[1:] > order[:-1]).all():
        return arrow
    return arrow.take(pa.array(order)).combine_chunks()


def _is_label(arrow: pa.Table, name: str) -> bool:
    return bool(arrow.schema.field(name).type == LABEL)


def records_digest(table: Table) -> str:
    """SHA-256 of a table's content, responses included, whatever the order of its rows."""
    arrow = in_canonical_order(table.arrow)
    digest = hashlib.sha256()
    for name in arrow.column_names:
        column = arrow[name]
        digest.update(f"{name}:{column.type}:{len(column)};".encode())
        if _is_label(arrow, name):
            digest.update("\0".join(column.chunk(0).dictionary.to_pylist()).encode())
            digest.update(codes(column).tobytes())
        elif pa.types.is_large_string(column.type):
            digest.update(pc.binary_length(column).to_numpy().tobytes())
            digest.update("".join(column.to_pylist()).encode())
        else:
            empty = pc.is_null(column).to_numpy()
            filled = pc.fill_null(column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column, 0)
            digest.update(np.asarray(empty).tobytes())
            digest.update(filled.to_numpy().tobytes())
    return digest.hexdigest()
