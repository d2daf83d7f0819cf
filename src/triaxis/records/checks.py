"""The rules that a table of results keeps as a whole: unique rows, one metric a task, constant factors, a base."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from triaxis.records.columns import ACCURACY, ADAPTIVE, BASE, is_factor
from triaxis.records.typed import codes, position
from triaxis.types import TriaxisError

Codes = NDArray[np.int32] | NDArray[np.int64]  # as they come; combined ones are the latter
Places = Callable[[int], str]
HOW = {  # columns that tell how responses were had, and what a change of it does to scores
    "backend": "another backend rounds and draws otherwise",
    "dtype": "other weights answer",
    "temperature": "another distribution answers",
}
BATCH = "batch_size"
SHOWN = 3  # names in a warning before "and n more"


def check(table: pa.Table, where: Places, name: str) -> list[str]:
    """Raise TriaxisError at the first rule that is broken; give back what is allowed but worth a warning.

    `table` has the declared types; `where(i)` tells the place of row i, and `name` the place of all.
    """
    columns = _Columns(table)
    _scores(table, where)
    _base_rows(table, columns, where)
    _adaptive(table, where, name)
    cell = combined(columns["source"], columns.unit, columns["step"], columns["task"], columns["mode"])
    _no_duplicates(columns, cell, where)
    _no_mixture(table, cell, where)
    for told in ("metric", "higher_is_better"):
        _constant(columns, combined(columns["task"]), told, where, _one_metric)
    run = combined(columns["source"], columns["run"])
    of_runs = ~columns.base
    for told in ["seed", *filter(is_factor, table.column_names)]:
        _constant(columns, run, told, where, _changes, rows=of_runs)
    _constant(columns, combined(run, columns["task"]), "group", where, _two_groups, rows=of_runs)
    asked = combined(columns["source"], columns["task"], columns["mode"])
    for told in [how for how in HOW if how in table.column_names]:
        _constant(columns, asked, told, where, _two_ways, rows=columns[told] >= 0)
    return [
        *_batches(table, columns, asked, name),
        *_without_base(table, columns, run, name),
        *_missing_levels(table, columns, run),
        *_disagreeing(table, columns),
    ]


class _Columns:
    """The table's columns as integer codes, each made once; a run is told from a base by `unit`."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self.made: dict[str, Codes] = {}
        self.base: NDArray[np.bool_] = self["run"] == position(table["run"], "")
        self.model = self[BASE] if BASE in table.column_names else np.zeros(table.num_rows, np.int32)
        self.unit = combined(self["run"], np.where(self.base, self.model, -1))

    def __getitem__(self, name: str) -> Codes:
        if name not in self.made:
            self.made[name] = codes(self.table[name])
        return self.made[name]


def combined(*columns: Codes) -> NDArray[np.int64]:
    """One number from 0 a row that is equal where all the columns are (codes from -1)."""
    result = columns[0].astype(np.int64) + 1
    size = int(result.max(initial=0)) + 1
    for column in columns[1:]:
        width = int(column.max(initial=0)) + 2
        if size * width >= 2**62:
            result = np.unique(result, return_inverse=True)[1]
            size = int(result.max(initial=0)) + 1
        result *= width
        result += column
        result += 1
        size *= width
    return result


def _small(key: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """The key with a bound that an array can have: as it is, or its distinct values numbered."""
    size = int(key.max(initial=0)) + 1
    if size > 4 * key.size + 1000:
        key = np.unique(key, return_inverse=True)[1]
        size = int(key.max(initial=0)) + 1
    return key, size


def _first_rows(key: NDArray[np.int64]) -> NDArray[np.int64]:
    """For every row, the first row with the same key."""
    key, size = _small(key)
    first = np.zeros(size, np.int64)
    first[key[::-1]] = np.arange(key.size - 1, -1, -1)  # the last one written is the first in the table
    return first[key]


def _among(key: NDArray[np.int64], rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which rows have the key of one of `rows`."""
    key, size = _small(key)
    there = np.zeros(size, bool)
    there[key[rows]] = True
    return there[key]


def _value(table: pa.Table, name: str, row: int) -> str:
    value = table[name][row].as_py()
    return "nothing" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _scores(table: pa.Table, where: Places) -> None:
    accuracy = codes(table["metric"]) == position(table["metric"], ACCURACY)
    scores = table["score"].to_numpy()
    bad = accuracy & ((scores < 0) | (scores > 1))
    if not bad.any():
        return
    row = int(bad.argmax())
    value = scores[row]
    percent = value > 0 and 1.5 < scores[accuracy].max() <= 100
    hint = "looks like percent: divide by 100" if percent else "if it is another measure, name it in column 'metric'"
    raise TriaxisError(f"{where(row)}, score: {value:g} is outside [0, 1] for accuracy; {hint}")


def _base_rows(table: pa.Table, columns: _Columns, where: Places) -> None:
    late = columns.base & (table["step"].to_numpy() > 0)
    if late.any():
        row = int(late.argmax())
        step = table["step"][row].as_py()
        raise TriaxisError(
            f"{where(row)}, run: empty at step {step}; only a base row (step 0) has no run: name the run"
        )


def _adaptive(table: pa.Table, where: Places, name: str) -> None:
    """What an adaptive evaluation says of a row is said in full: rows beyond its pilot are left out of most answers."""
    there = [told for told in ADAPTIVE if told in table.column_names]
    lacking = [told for told in ADAPTIVE if told not in there]
    if there and lacking:
        raise TriaxisError(
            f"{name}: column '{there[0]}' is of an adaptive evaluation, and {', '.join(lacking)} are not there: "
            "give them all, or rename it"
        )
    if not there:
        return
    empty = np.array([pc.is_null(table[told]).to_numpy() for told in there])
    some = empty.any(axis=0) & ~empty.all(axis=0)
    if some.any():
        row = int(some.argmax())
        told = there[int(empty[:, row].argmax())]
        raise TriaxisError(f"{where(row)}, {told}: empty, and {', '.join(ADAPTIVE)} go together; give it")
    place, total = (pc.fill_null(table[told], -1).to_numpy() for told in ("asked_at", "asked_of"))
    late = ~empty[0] & (place >= total)
    if late.any():
        row = int(late.argmax())
        raise TriaxisError(f"{where(row)}, asked_at: {place[row]} of {total[row]} items; places count from 0")


def _no_duplicates(columns: _Columns, cell: Codes, where: Places) -> None:
    key = combined(cell, columns["item"], columns["sample"])
    again = np.flatnonzero(_first_rows(key) != np.arange(key.size))
    if not again.size:
        return
    second = int(again[0])
    first = int((key == key[second]).argmax())
    surplus = f" ({again.size:,} such rows)" if again.size > 1 else ""
    raise TriaxisError(
        f"{where(second)}: same source, run, step, task, mode, item and sample as {where(first)}{surplus};"
        " keep one, or tell them apart by 'sample' or 'source'"
    )


def _no_mixture(table: pa.Table, cell: NDArray[np.int64], where: Places) -> None:
    summary = np.asarray(pc.is_null(table["item"]).combine_chunks().to_numpy(zero_copy_only=False), bool)
    if summary.all() or not summary.any():
        return
    both = summary & _among(cell, ~summary)
    if both.any():
        row = int(both.argmax())
        told = ", ".join(f"{name} {_value(table, name, row)}" for name in ("run", "step", "task"))
        raise TriaxisError(
            f"{where(row)}, item: empty, but {told} has rows with items; keep the records or the summary"
        )


def _constant(
    columns: _Columns,
    key: NDArray[np.int64],
    name: str,
    where: Places,
    told: Callable[[pa.Table, str, int, int, Places], str],
    rows: NDArray[np.bool_] | None = None,
) -> None:
    """Raise `told` where a column takes two values within a key (among `rows`)."""
    values = columns[name]
    if values.size and (values == values[0]).all():
        return
    place = np.arange(values.size) if rows is None else np.flatnonzero(rows)
    first = _first_rows(key[place])
    change = values[place] != values[place][first]
    if change.any():
        at = int(change.argmax())
        raise TriaxisError(told(columns.table, name, int(place[first[at]]), int(place[at]), where))


def _one_metric(table: pa.Table, name: str, first: int, second: int, where: Places) -> str:
    old, new = _value(table, name, first), _value(table, name, second)
    task = _value(table, "task", second)
    return f"{where(second)}, {name}: {new} for task {task!r}, which has {old} at {where(first)}; make it two tasks"


def _changes(table: pa.Table, name: str, first: int, second: int, where: Places) -> str:
    old, new, run = (_value(table, *pair) for pair in ((name, first), (name, second), ("run", second)))
    return f"{where(second)}, {name}: {new} for run {run!r}, but {old} at {where(first)}; make it two runs"


def _two_groups(table: pa.Table, name: str, first: int, second: int, where: Places) -> str:
    old, new = _value(table, name, first), _value(table, name, second)
    run, task = _value(table, "run", second), _value(table, "task", second)
    return f"{where(second)}, group: {new} for task {task!r} of run {run!r}, but {old} at {where(first)}; choose one"


def _two_ways(table: pa.Table, name: str, first: int, second: int, where: Places) -> str:
    """Within a source everything on one task is compared: runs with their base, and with one another."""
    old, new = _value(table, name, first), _value(table, name, second)
    return (
        f"{where(second)}, {name}: {new} for task {_value(table, 'task', second)!r}, but {old} at {where(first)}; "
        f"{HOW[name]}, so the two are not compared: measure both in one way, or name two sources (column 'source')"
    )


def _batches(table: pa.Table, columns: _Columns, asked: Codes, name: str) -> list[str]:
    """A warning where what is compared was asked in batches of several sizes: it changes answers by rounding alone."""
    if BATCH not in table.column_names:
        return []
    rows = np.flatnonzero(columns[BATCH] >= 0)
    first = _first_rows(combined(asked[rows]))
    other = np.flatnonzero(columns[BATCH][rows] != columns[BATCH][rows][first])
    if not other.size:
        return []
    one, two = (_value(table, BATCH, int(rows[i])) for i in (first[other[0]], other[0]))
    other = rows[other]
    runs = sorted({_value(table, "run", int(i)) or "a base" for i in other[_representatives(columns["run"][other])]})
    return [
        f"{name}: batches of {one} and of {two} are compared ({_names(runs)}): an answer may differ by rounding, "
        "in bfloat16 more than in float32"
    ]


def _runs(n: int) -> str:
    return "1 run has" if n == 1 else f"{n:,} runs have"


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(repr(name) for name in names[:SHOWN]) + more


def _without_base(table: pa.Table, columns: _Columns, run: Codes, name: str) -> list[str]:
    """Runs, and tasks of runs, that have no score at step 0: their gains can't be estimated."""
    if columns.base.all():
        return []
    at_zero = table["step"].to_numpy() == 0
    runs = ~columns.base
    warnings = []
    bare: NDArray[np.bool_] = np.zeros(run.size, bool)
    for tasks, what in ((np.zeros(run.size, np.int64), "run"), (combined(columns["task"], columns["mode"]), "task")):
        own, shared = combined(run, tasks), combined(columns["source"], columns.model, tasks)
        has = _among(own, runs & at_zero) | _among(shared, columns.base)
        without = np.flatnonzero(runs & ~has & ~bare)
        if what == "run":
            bare = runs & ~has
            if bare.sum() == runs.sum():
                raise TriaxisError(
                    f"{name}: no step 0: no run has a base score, so no gain can be told; add rows with step 0"
                    " (run empty, same model.base: one base for all its runs)"
                )
            names = sorted({_value(table, "run", int(i)) for i in without[_representatives(run[without])]})
            if names:
                warnings.append(f"{_runs(len(names))} no step 0, so no gains: {_names(names)}")
        elif without.size:
            pairs = without[_representatives(own[without])]
            told = sorted({f"{_value(table, 'task', int(i))} of {_value(table, 'run', int(i))}" for i in pairs})
            warnings.append(f"no base score, so no gain: {_names(told)}")
    return warnings


def _representatives(key: Codes) -> Codes:
    return np.unique(key, return_index=True)[1].astype(np.int64)


def _missing_levels(table: pa.Table, columns: _Columns, run: Codes) -> list[str]:
    """Factors that some runs have no level of."""
    rows = np.flatnonzero(~columns.base)
    rows = rows[_representatives(run[rows])]
    warnings = []
    for name in filter(is_factor, table.column_names):
        empty = int((columns[name][rows] == -1).sum())
        if 0 < empty < rows.size:
            warnings.append(f"{name}: {empty} of {rows.size} runs have no value")
    return warnings


def _disagreeing(table: pa.Table, columns: _Columns) -> list[str]:
    """Base summaries that differ between sources: both are kept, each serves its own source."""
    if BASE not in table.column_names:
        return []
    summary = np.asarray(pc.is_null(table["item"]).combine_chunks().to_numpy(zero_copy_only=False), bool)
    rows = np.flatnonzero(columns.base & summary)
    key = combined(columns.model, columns["task"], columns["mode"])[rows]
    scores = table["score"].to_numpy()[rows]
    first = _first_rows(key)
    found: dict[int, list[int]] = {}
    for other in np.flatnonzero(scores != scores[first]):
        found.setdefault(int(first[other]), []).append(int(other))
    warnings = []
    for i, others in found.items():
        told = dict.fromkeys(
            f"{scores[j]:g} in {_value(table, 'source', int(rows[j])) or 'no source'}" for j in (i, *others)
        )
        base, task = _value(table, BASE, int(rows[i])), _value(table, "task", int(rows[i]))
        warnings.append(
            f"sources disagree on the base score of {base} on {task}: {'; '.join(told)}; each serves its own"
        )
    return warnings
