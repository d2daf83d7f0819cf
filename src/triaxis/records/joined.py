"""A study's parts as one table: records with their run's factors and their checkpoint's measurements."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from triaxis.records.checks import SHOWN
from triaxis.records.columns import BASE, BY_NAME, DIAGNOSTIC, LABEL, is_factor
from triaxis.records.files import Origin
from triaxis.records.parts import LATER
from triaxis.records.table import Table, assembled
from triaxis.records.typed import codes
from triaxis.study.axes import NO_RULE, RULE
from triaxis.types import Checkpoint, TriaxisError

if TYPE_CHECKING:
    from triaxis.records.store import RunStatus

ORDER = ("source", "run", BASE, "step", "task", "mode", "item", "sample")
MEASURED = ("tokens", "epoch", "loss", "token_accuracy")
SHARPNESS, SHARPEST = "sharpness", f"{DIAGNOSTIC}adaptive_sam_sharpness"  # the one that compares across bases


class Part(NamedTuple):
    """The records of a checkpoint with what the database knows of it; a base has an empty run."""

    run: str
    base: str
    checkpoint: Checkpoint
    records: pa.Table
    diagnostics: Mapping[str, float] = {}  # by column


def joined(
    parts: Sequence[Part], runs: Mapping[str, RunStatus], name: str, damaged: Mapping[tuple[str, str, int], str]
) -> Table:
    """The checked table of a study, rows in the order of `ORDER`; `damaged` are the parts that are not among `parts`.

    Raises TriaxisError where there is nothing to put together, or no base for any run.
    """
    _check_parts(parts, runs, name, damaged)
    factors = sorted({factor for status in runs.values() for factor in status.levels if is_factor(factor)} | {BASE})
    factors += [RULE] if RULE not in factors and any(_ends_early(status) for status in runs.values()) else []
    tables = []
    for part in parts:
        for source in sources(part.run, part.base, runs):
            tables.append(_with_columns(part, source, runs, factors))
    raw = _with_variants(_measured_only(pa.concat_tables(tables, promote_options="default"))).unify_dictionaries()
    table = assembled([(raw, Origin(name, raw.num_rows))])
    told, incomplete = standing({(p.run, p.checkpoint.step) for p in parts if p.run}, runs, damaged)
    return Table(in_canonical_order(table.arrow), (*damaged.values(), *told, *table.warnings), incomplete)


def _ends_early(status: RunStatus) -> bool:
    """Whether a run may end before its last step: then the table says so, though every run does."""
    return bool(status.settings.get(RULE, NO_RULE) != NO_RULE)


def _check_parts(
    parts: Sequence[Part], runs: Mapping[str, RunStatus], name: str, damaged: Mapping[tuple[str, str, int], str]
) -> None:
    """Raise where a table of these parts would be refused, or hold no run, for a reason that a study has."""
    of_runs = [part for part in parts if part.run]
    bases = {part.base for part in parts if not part.run}
    lost = [words for (run, _, _), words in damaged.items() if bool(run) != bool(of_runs)]
    if not of_runs and lost:
        raise TriaxisError(_first_of(lost))
    if not parts:
        raise TriaxisError(_first_of([*damaged.values()] or [f"{name}: nothing is measured yet; run the study"]))
    if of_runs and not any(part.checkpoint.step == 0 or _level(runs[part.run], BASE) in bases for part in of_runs):
        raise TriaxisError(
            _first_of(lost or [f"{name}: no base is measured yet, so no gain can be told; run the study again"])
        )


def _first_of(lines: Sequence[str]) -> str:
    return lines[0] + (f" ({len(lines) - 1:,} more parts are damaged)" if len(lines) > 1 else "")


def standing(
    measured: Collection[tuple[str, int]],
    runs: Mapping[str, RunStatus],
    damaged: Collection[tuple[str, str, int]],
) -> tuple[list[str], frozenset[str]]:
    """What is to be said of runs that failed or are unfinished, and which of the runs in the table are not whole.

    `measured` are the runs and steps in the table. A run whose last checkpoint is damaged is not whole either.
    """
    last: dict[str, int] = {}
    for run, step in measured:
        last[run] = max(step, last.get(run, step))
    failed = [run for run, status in runs.items() if status.state == "failed"]
    unfinished = [run for run, status in runs.items() if status.state in ("waiting", "running")]
    cut = {run for run, _, step in damaged if run in last and step > last[run]}
    told = []
    if failed:
        reasons = [f"{run} ({_shortened(runs[run].message) or 'no reason given'})" for run in failed]
        told.append(f"{_share(failed, runs)} failed: {_some(reasons)}; their checkpoints before that are here")
    if unfinished:
        there = sorted(unfinished, key=lambda run: run not in last)
        reach = [f"{run} ({f'to step {last[run]}' if run in last else 'not measured'})" for run in there]
        be = "is" if len(unfinished) == 1 else "are"
        told.append(f"{_share(unfinished, runs)} {be} unfinished: {_some(reach)}; run the study again to go on")
    return told, frozenset(last.keys() & {*failed, *unfinished, *cut})


def _share(some: Sequence[str], runs: Mapping[str, RunStatus]) -> str:
    return f"{len(some):,} of {len(runs):,} run{'s' * (len(runs) != 1)}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _shortened(message: str) -> str:
    line = (message.strip().splitlines() or [""])[0]
    return line if len(line) <= 100 else line[:97] + "..."


def _level(status: RunStatus, factor: str) -> Any:
    return status.levels.get(factor, status.settings.get(factor))


def sources(run: str, base: str, runs: Mapping[str, RunStatus]) -> list[str]:
    """A run's source; for a base, each source whose runs it serves. Empty where a part belongs to none of `runs`."""
    if run:
        return [runs[run].source] if run in runs else []
    served = {status.source for status in runs.values() if _level(status, BASE) == base}
    return sorted(served) if runs else [""]


def _with_columns(part: Part, source: str, runs: Mapping[str, RunStatus], factors: Sequence[str]) -> pa.Table:
    table = part.records
    n = table.num_rows
    status = runs.get(part.run)
    constants: dict[str, tuple[Any, pa.DataType]] = {"source": (source, LABEL)}
    if status is not None:
        constants["seed"] = (status.seed, pa.int64())
        for measure in MEASURED:
            constants[measure] = (getattr(part.checkpoint, measure), BY_NAME[measure].type)
    constants |= {name: (value, pa.float64()) for name, value in part.diagnostics.items()}
    if SHARPEST in part.diagnostics:
        constants[SHARPNESS] = (part.diagnostics[SHARPEST], pa.float64())
    for factor in factors:
        level = _level(status, factor) if status is not None else part.base if factor == BASE else None
        constants[factor] = (None if level is None else _written(level), LABEL)
    for column, (value, kind) in constants.items():
        table = table.append_column(column, _constant(value, kind, n))
    for column in {"seed", *MEASURED} - set(constants):
        table = table.append_column(column, pa.nulls(n, BY_NAME[column].type))
    return table.select(sorted(table.column_names))


def _measured_only(raw: pa.Table) -> pa.Table:
    """Without the measurements of responses that no part has: a table has them only where they were made."""
    return raw.drop_columns([name for name in LATER if name in raw.column_names and raw[name].null_count == len(raw)])


def _with_variants(raw: pa.Table) -> pa.Table:
    """With what each task varies of which, where one of them does; a task that isn't ours varies nothing."""
    from triaxis.tasks import get_task, surface_of, task_names

    column = pc.dictionary_encode(raw["task"]).unify_dictionaries().combine_chunks()
    names = column.dictionary.to_pylist()
    ours = {name: (get_task(name).variant_of, get_task(name).variant) for name in names if name in task_names()}
    varied = {name: surface_of(name) or ours.get(name) or ("", None) for name in names}
    if not any(of for of, _ in varied.values()):
        return raw
    for place, name in enumerate(("variant_of", "variant")):
        told = pa.array([varied[task][place] or None for task in names], pa.string())
        raw = raw.append_column(name, pc.dictionary_encode(told.take(column.indices)))
    return raw


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
