"""Seeds and factors of runs from a CSV with a row a run, joined onto results."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from triaxis.integrations.measured import number
from triaxis.integrations.places import count, listed
from triaxis.records.columns import BASE, is_factor
from triaxis.records.files import MISSING
from triaxis.records.typed import label
from triaxis.types import AXES, TriaxisError

SEED = "seed"


@dataclass(frozen=True)
class Runs:
    """The rows of a CSV of runs: `values[column][run]`, empty cells left out; `rows[run]` is the row of the file."""

    file: str
    rows: dict[str, int]
    values: dict[str, dict[str, str]]
    warnings: tuple[str, ...] = ()


def read_runs(path: Path) -> Runs:
    """The runs in a CSV (or, named .tsv, in a table with tabs): a column `run`, and `seed` and factors.

    Raises TriaxisError, naming file, row and column, for what it can't be; warns of columns that are not used.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise TriaxisError(f"{path}: no such file; name a CSV with a column run and the runs' factors") from None
    except UnicodeDecodeError as error:
        raise TriaxisError(f"{path}: not UTF-8 text (byte {error.start}); save it as CSV in UTF-8") from None
    except OSError as error:
        raise TriaxisError(f"{path}: can't be read ({error.strerror}); check the path") from None
    lines = csv.reader(text.splitlines(), delimiter="\t" if path.suffix == ".tsv" else ",")
    try:
        table = [(lines.line_num, [cell.strip() for cell in cells]) for cells in lines if any(map(str.strip, cells))]
    except csv.Error as error:
        raise TriaxisError(f"{path}: not a table ({error}); save it as CSV") from None
    if len(table) < 2:
        raise TriaxisError(f"{path}: no runs; give a header with run, seed and factors, and a row a run")
    names = table[0][1]
    used, warnings = _header(names, str(path))
    return _body(table[1:], names, used, str(path), warnings)


def _header(names: Sequence[str], where: str) -> tuple[list[str], tuple[str, ...]]:
    """The columns to use, and what is told of the others."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise TriaxisError(f"{where}: column {twice[0]!r} is there {names.count(twice[0])} times; keep one")
    if "run" not in names:
        raise TriaxisError(f"{where}: column 'run' is missing; it names each row's run as the results do")
    used = [name for name in names if name == SEED or is_factor(name)]
    others = [name for name in names if name != "run" and name not in used]
    for name in others:
        axis, dot, factor = name.partition(".")
        near = get_close_matches(axis, AXES, 1, 0.7)
        if dot and near:
            raise TriaxisError(f"{where}: column {name!r} names no axis; did you mean '{near[0]}.{factor}'? rename it")
    if not used:
        raise TriaxisError(f"{where}: neither seed nor factors; name a factor axis.factor, as data.name or model.base")
    told = f"{where}: not used: {', '.join(map(repr, others))}; a factor is a column named axis.factor, as model.base"
    return used, (told,) if others else ()


def _body(
    table: Sequence[tuple[int, list[str]]], names: Sequence[str], used: Sequence[str], where: str, told: tuple[str, ...]
) -> Runs:
    rows: dict[str, int] = {}
    values: dict[str, dict[str, str]] = {name: {} for name in used}
    for row, cells in table:
        if len(cells) != len(names):
            raise TriaxisError(f"{where}, row {row}: {len(cells)} cells, the header has {len(names)}; mend the row")
        line = dict(zip(names, cells, strict=True))
        run = line["run"]
        if not run:
            raise TriaxisError(f"{where}, row {row}, run: empty; name the run, or leave the row out")
        if run in rows:
            raise TriaxisError(f"{where}, row {row}: run {run!r} is in row {rows[run]} already; keep one")
        rows[run] = row
        for name in used:
            if line[name] in MISSING:
                continue
            if name == SEED and not re.fullmatch("-?[0-9]{1,18}", line[name]):
                raise TriaxisError(f"{where}, row {row}, seed: {line[name]!r} is not a whole number; give one")
            values[name][run] = line[name]
    return Runs(where, rows, values, told)


def joined(raw: pa.Table, runs: Runs, where: Callable[[int], str], name: str) -> tuple[pa.Table, list[str]]:
    """The raw results with the seeds and factors of their runs, and warnings. Base rows (run empty) get none.

    Raises TriaxisError where a run past step 0 is not in the CSV, and where both give a field, but not the same value.
    """
    codes, labels = _coded(raw["run"])
    known = [run for run in labels if run in runs.rows]
    unknown = sorted(run for run in labels if run and run not in runs.rows)
    if unknown:
        _refuse_unknown(raw, codes, labels, unknown, known, runs, name)
    told = f"{name}: at step 0 only and not in {runs.file}, so without factors: {listed(unknown)}"
    for column in runs.values:
        ours = pa.array([runs.values[column].get(run) for run in labels], pa.string())
        merged = ours.take(pa.array(codes))
        if column in raw.column_names:
            given, values = _coded(raw[column])
            _refuse_conflicts(column, (codes, labels), (given, values), runs, where)
            theirs = pa.array([value or None for value in values], pa.string()).take(pa.array(given))
            merged = pc.coalesce(theirs, merged)
            raw = raw.drop_columns([column])
        raw = raw.append_column(column, merged)
    return raw, [told] if unknown else []


def _coded(column: pa.ChunkedArray) -> tuple[np.ndarray, list[str]]:
    """A column as numbers into its distinct texts; an empty cell is an empty text."""
    flat = label(column).chunk(0)
    values = ["" if value in MISSING else value for value in flat.dictionary.to_pylist()]
    empty = len(values)
    codes = pc.fill_null(flat.indices, empty).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, [*values, ""]


def _refuse_unknown(
    raw: pa.Table, codes: np.ndarray, labels: list[str], unknown: list[str], known: list[str], runs: Runs, name: str
) -> None:
    steps = _coded(raw["step"])
    late = np.array([number(step) != 0 for step in steps[1]])[steps[0]]
    trained = {labels[code] for code in np.unique(codes[late])}
    lacking = [run for run in unknown if run in trained]
    if lacking:
        near = get_close_matches(lacking[0], runs.rows, 1, 0.8) if not known else []
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        n = sum(run != "" for run in labels)
        raise TriaxisError(
            f"{runs.file}: lacks {len(lacking)} of the {count(n, 'run')} in {name}: {listed(lacking)}{hint};"
            " add a row for each, or take them out of the results"
        )


def _refuse_conflicts(
    column: str,
    run: tuple[np.ndarray, list[str]],
    given: tuple[np.ndarray, list[str]],
    runs: Runs,
    where: Callable[[int], str],
) -> None:
    key = run[0] * len(given[1]) + given[0]
    for pair, row in zip(*np.unique(key, return_index=True), strict=True):
        which, value = divmod(int(pair), len(given[1]))
        name, theirs = run[1][which], given[1][value]
        ours = runs.values[column].get(name)
        if theirs and ours is not None and not same(theirs, ours):
            raise TriaxisError(
                f"{where(int(row))}, {column}: {theirs} for run {name!r}, but {ours} at {runs.file}, row"
                f" {runs.rows[name]}; mend one of them"
            )


def same(one: str, other: str) -> bool:
    """Whether two cells are the same level: the same text, or the same number."""
    numbers = number(one), number(other)
    return one == other or (numbers[0] is not None and numbers[0] == numbers[1])


def without_results(runs: Runs, seen: set[str]) -> list[str]:
    """A warning that names the runs of the CSV that no result belongs to."""
    absent = [run for run in runs.rows if run not in seen]
    return [f"{runs.file}: no results for {count(len(absent), 'run')}: {listed(absent)}"] if absent else []


def fit_bases(raw: pa.Table, name: str) -> pa.Table:
    """`model.base` where it goes without saying: with one base only, its rows and the runs need not name it.

    Raises TriaxisError where base rows or runs don't name theirs and several are there, or none is in common.
    """
    codes, labels = _coded(raw["run"])
    of_base = np.array([run == "" for run in labels])[codes]
    if not of_base.any() or of_base.all():
        return raw
    values, words = _coded(raw[BASE]) if BASE in raw.column_names else (np.zeros(len(codes), np.int64), [""])
    named = np.array([word != "" for word in words])[values]
    bases = sorted({words[code] for code in np.unique(values[of_base & named])})
    wanted = sorted({words[code] for code in np.unique(values[~of_base & named])})
    if not bases and len(wanted) > 1:
        raise TriaxisError(
            f"{name}: the base has no model.base, and its runs have {listed(wanted)}; tell each base's, in a map as"
            " base: 'base-{model.base}'"
        )
    if not wanted and len(bases) > 1:
        raise TriaxisError(
            f"{name}: there are bases {listed(bases)}, and runs without model.base; give each run's in a CSV of runs"
        )
    if bases and wanted and not set(bases) & set(wanted):
        raise TriaxisError(
            f"{name}: the base rows have model.base {listed(bases)}, the runs {listed(wanted)}; write them alike"
        )
    if bool(bases) == bool(wanted):
        return raw
    only = pa.array([(bases or wanted)[0]] * raw.num_rows)
    if wanted:  # a run that doesn't name its base keeps none
        theirs = pa.array([word or None for word in words], pa.string()).take(pa.array(values))
        only = pc.if_else(pa.array(of_base), only, theirs)
    return (raw.drop_columns([BASE]) if BASE in raw.column_names else raw).append_column(BASE, only)
