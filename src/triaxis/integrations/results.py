"""Results that were made elsewhere as one long table: folders with a map, tables, and factors from a CSV of runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from triaxis.integrations import harness, inspect_logs
from triaxis.integrations.mapping import Map, read_map
from triaxis.integrations.measured import Measured, Rows
from triaxis.integrations.places import files_below, listed, located
from triaxis.integrations.runs import Runs, fit_bases, joined, read_runs, without_results
from triaxis.records import Table, read_table
from triaxis.records.columns import BY_NAME
from triaxis.records.files import Origin, read_file
from triaxis.records.table import assembled
from triaxis.types import TriaxisError

READERS = {"lm-eval": harness, "inspect": inspect_logs}
OWN = (  # what differs between rows
    "score", "item", "sample", "outcome", "response_tokens", "n_items", "text", "backend", "batch_size", "dtype",
)  # fmt: skip


def brought(paths: Sequence[Path], *, map_file: Path | None = None, runs_file: Path | None = None) -> Table:
    """The long table of what a user brings: a folder of results with its map, or tables; with the factors of runs.

    Raises TriaxisError, in one line, for what breaks a rule of the table, the map or the CSV of runs.
    """
    folders = [path for path in paths if path.is_dir()]
    if map_file is not None:
        if len(paths) != 1 or not (folders or not paths[0].exists()):
            raise TriaxisError(f"{map_file}: a map belongs to one folder of results; give that folder alone")
        return read_results(paths[0], map_file, runs_file)
    for folder in folders:
        _refuse_unmapped(folder)
    if runs_file is None:
        return read_table(*paths)
    if folders:
        raise TriaxisError(f"{folders[0]}: a study knows its runs' factors; leave --runs out")
    return _with_runs(paths, read_runs(runs_file))


def read_results(folder: Path, map_file: Path, runs_file: Path | None = None) -> Table:
    """The long table of a folder of results of lm-evaluation-harness or inspect_ai, as its map says.

    `runs_file` goes before the map's `runs`. Raises TriaxisError; `Table.warnings` counts all that was not used.
    """
    spec = read_map(map_file)
    reader = READERS[spec.format]
    files = files_below(folder)
    ours = [file for file in files if reader.is_ours(file)]
    if not ours:
        raise TriaxisError(f"{folder}: no results of {spec.format} below it{_other_format(files, spec.format)}")
    places, warnings = located(folder, ours, spec.pattern, spec.base, spec.file)
    measured, families, told = reader.read(places, spec)
    warnings += told
    groups = spec.group_of(sorted({m.task for m in measured}), families)
    raw = pa.concat_tables([_table(m, groups, spec) for m in measured], promote_options="default")
    origin = Rows.of(str(folder), measured)
    file = runs_file or spec.runs
    if file is not None:
        runs = read_runs(file)
        raw, told = joined(raw, runs, origin.where, str(folder))
        warnings += [*told, *runs.warnings, *without_results(runs, {m.place.run for m in measured})]
    table = assembled([(fit_bases(raw, str(folder)), origin)])
    return replace(table, warnings=(*warnings, *table.warnings, *_alike(table, str(folder))))


def _alike(table: Table, name: str) -> list[str]:
    """A warning where nothing tells the runs apart: they would count as seeds of one condition."""
    n = sum(run != "" for run in table.arrow["run"].unique().to_pylist())
    if table.factors or n < 2:
        return []
    return [
        f"{name}: no factor tells its {n} runs apart, so they count as seeds of one condition; name theirs in --runs"
    ]


def _table(measured: Measured, groups: dict[str, str], spec: Map) -> pa.Table:
    """The raw columns of one task at one checkpoint."""
    n, place = measured.n, measured.place
    same = {
        "run": place.run,
        "step": place.step,
        "task": measured.task,
        "group": groups.get(measured.task),
        "mode": spec.mode,
        "metric": measured.metric,
        "higher_is_better": measured.higher_is_better,
        **place.told,
    }
    texts = {name: pa.string() for name in ("run", "task", "group", "mode", "metric", *place.told)}
    columns = {
        name: pa.array([value] * n, texts.get(name) or BY_NAME[name].type).cast(
            pa.dictionary(pa.int32(), pa.string()) if name in texts else BY_NAME[name].type
        )
        for name, value in same.items()
    }
    kinds = dict.fromkeys(("item", "outcome", "backend", "dtype"), pa.string())
    for name in OWN:
        if name in measured.columns:
            columns[name] = pa.array(measured.columns[name], kinds.get(name, BY_NAME[name].type))
    return pa.table(columns)


def _with_runs(paths: Sequence[Path], runs: Runs) -> Table:
    """Long tables in files, with the seeds and factors of their runs."""
    parts: list[tuple[pa.Table, Origin]] = []
    seen: set[str] = set()
    warnings: list[str] = []
    for path in paths:
        raw, origin = read_file(path, text=True)
        raw, told = joined(raw, runs, origin.where, origin.name)
        warnings += told
        seen |= set(map(str, raw["run"].unique().to_pylist()))
        parts.append((fit_bases(raw, origin.name), origin))
    table = assembled(parts)
    warnings = [*runs.warnings, *warnings, *without_results(runs, seen)]
    return replace(table, warnings=(*warnings, *table.warnings, *_alike(table, runs.file)))


def _refuse_unmapped(folder: Path) -> None:
    """Raise where a folder holds results, which need a map to be read."""
    if (folder / "study.db").exists():
        return
    for name, reader in READERS.items():
        found = [file for file in files_below(folder) if reader.is_ours(file)]
        if found:
            like = found[0].parent.relative_to(folder).as_posix()
            raise TriaxisError(
                f"{folder}: results of {name}, as in {like}; say which folder is which checkpoint with --map MAP.yaml,"
                f" the smallest is {_smallest(name, [f.parent.relative_to(folder).as_posix() for f in found])}"
            )


def _smallest(name: str, folders: Sequence[str]) -> str:
    """A map that would fit the folders, as far as their names tell."""
    pattern, base = "{run}/checkpoint-{step}", "base"
    for folder in folders:
        match = re.match(r"(?:[^/]+/)?([^/]*?)\d+(?=/|$)", folder)
        if match and "/" in match[0]:
            pattern = f"{{run}}/{match[1]}{{step}}"
            break
    tops = {folder.split("/")[0] for folder in folders if "/" in folder or len(folders) > 1}
    bases = sorted(
        top
        for top in tops
        if "base" in top.lower()
        and not any(re.match(rf"{re.escape(top)}/[^/]*?\d+(?=/|$)", folder) for folder in folders)
    )
    base = bases[0] if bases else base
    form = "" if name == "lm-eval" else f"format: {name}, "
    return f"{{{form}checkpoints: {{pattern: '{pattern}', base: '{base}'}}}}"


def _other_format(files: Sequence[Path], wanted: str) -> str:
    others = [name for name, reader in READERS.items() if name != wanted and any(map(reader.is_ours, files))]
    if others:
        return f"; there are those of {others[0]}: set format: {others[0]}"
    return f"; there are {listed([file.name for file in files])}" if files else "; the folder is empty"
