"""A study's folder: what is measured is on the disk, atomically, before the next thing starts."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, Self

from triaxis.records import judgements, versions
from triaxis.records.choices import Scores, Selected, Stop, scores_in, stop_in, write_choices
from triaxis.records.columns import DIAGNOSTIC
from triaxis.records.database import connect_reader, connect_writer, decoded, told, transaction
from triaxis.records.folder import DATABASE, check_folder, locked, make_folder
from triaxis.records.parts import DamagedPart, check_part, read_part, write_atomically, write_part
from triaxis.records.paths import files_told
from triaxis.records.table import Table
from triaxis.types import Checkpoint, Judged, Level, NotEstimable, Reading, Record

if TYPE_CHECKING:
    import pyarrow as pa

    from triaxis.records.joined import Part

State = Literal["waiting", "running", "done", "failed"]
SAVED, SELECT = "saved.", "select"  # before a phase of the costs; the phase of the selection split
UNKNOWN = -1  # in the database: tokens that nobody counted
Key = tuple[str, str, int]  # of a checkpoint: run, base, step
READINGS = "SELECT run, base, step, name, value, low, high, unit, method, reason FROM diagnostics"
PARTS = "SELECT run, base, step, tokens, epoch, loss, token_accuracy, file, bytes, sha256 FROM checkpoints"


class CostRow(NamedTuple):
    """What a phase (`train`, `evaluate`, `diagnostic.gradient_norm`) of a checkpoint took; a base has an empty run.

    `retrain` is training that was done again, for a diagnostic that was asked for later; `select` is the evaluation on
    the selection split. They are what the run would take alone: `saved.train` is the part of `train` that another run,
    which shares it, took.
    """

    run: str
    base: str
    step: int
    phase: str
    seconds: float
    tokens: int


Costs = Mapping[str, tuple[float, int]]  # phase: seconds, tokens


class DiagnosticRow(NamedTuple):
    """One diagnostic of a checkpoint (a base has an empty run); without a value `reason` says why there is none."""

    run: str
    base: str
    step: int
    name: str  # "diagnostic.gradient_norm", "diagnostic.hessian_eigenvalue.residual"
    value: float | None
    low: float | None
    high: float | None
    unit: str
    method: str
    reason: str


@dataclass(frozen=True)
class Diagnostics:
    """What diagnostics say of a checkpoint, and what was asked: of each, by name, its settings."""

    values: Mapping[str, Reading | NotEstimable] = field(default_factory=dict)  # by column
    asked: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


NO_DIAGNOSTICS = Diagnostics()


class RunRow(NamedTuple):
    """A run as it is made known; `levels` are its factors as `axis.factor`, `settings` all that it resolves to."""

    run: str
    seed: int
    source: str
    levels: Mapping[str, Level]
    settings: Mapping[str, Any]


class SettingLike(Protocol):
    """A resolved setting with where it came from (`triaxis.study.Setting`)."""

    @property
    def name(self) -> str: ...
    @property
    def value(self) -> Any: ...
    @property
    def source(self) -> str: ...


@dataclass(frozen=True)
class RunStatus:
    """A run of a study and how far it is."""

    run: str
    seed: int
    source: str
    levels: Mapping[str, Level]
    settings: Mapping[str, Any]
    state: State
    message: str
    steps: tuple[int, ...]  # checkpoints measured


class Store:
    """A study's folder: `study.yaml`, `study.db`, `records/`, `state/`. One process writes, any number read.

    Parts of `records/` are written before their row in the database; a part without a row doesn't count and is written
    again, a row whose part is not what was written (its SHA-256 is in the row) is told in `damaged` and its checkpoint
    doesn't count as done. Hashes are compared at opening to write, and by readers when they read the table.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: int | None) -> None:
        self.path = path
        self._db = connection
        self._lock = lock
        self._version = 0  # the id of the versions that run now, for a writer
        self._damaged = self._find_damage()

    @classmethod
    def create(
        cls,
        path: str | Path,
        study_yaml: str,
        study_json: Mapping[str, Any],
        settings: Iterable[SettingLike],
        how: str = "",
    ) -> Self:
        """Open a study's folder for writing, making it where there is none; the study in it becomes this one.

        `how` says how it is carried out where that isn't as by default; checkpoints are told to be measured with it.
        Raises TriaxisError where the folder holds something else, can't be written to, or another process has it.
        """
        folder = Path(path)
        make_folder(folder)
        store = cls._writer(folder, how)
        try:
            write_atomically(folder / "study.yaml", study_yaml.encode())
            rows = [(s.name, json.dumps(s.value), s.source, place) for place, s in enumerate(settings)]
            with store._change():
                store._db.execute("INSERT OR REPLACE INTO meta VALUES ('study', ?)", (json.dumps(study_json),))
                store._db.execute("DELETE FROM settings")
                store._db.executemany("INSERT INTO settings VALUES (?, ?, ?, ?)", rows)
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def open(cls, path: str | Path, read_only: bool = False) -> Self:
        """Open a study's folder, to go on with it or only to read.

        Raises TriaxisError where it is no study's, was made by a newer Triaxis, is damaged, or another process has it.
        """
        folder = Path(path)
        check_folder(folder)
        if read_only:
            return cls(folder, connect_reader(folder / DATABASE), None)
        return cls._writer(folder)

    @classmethod
    def _writer(cls, folder: Path, how: str = "") -> Self:
        lock, connection = locked(folder), None
        try:
            connection = connect_writer(folder / DATABASE)
            store = cls(folder, connection, lock)
            with store._change():
                store._version = versions.remember(connection, how)
        except BaseException:
            if connection is not None:
                connection.close()
            os.close(lock)
            raise
        return store

    def close(self) -> None:
        """Let go of the database and, if it was held, the lock."""
        self._db.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Writing

    def add_run(
        self, run: str, seed: int, source: str, levels: Mapping[str, Level], settings: Mapping[str, Any]
    ) -> None:
        """Make a run known; one that is known already keeps its state. `levels` are its factors as `axis.factor`."""
        self.add_runs([RunRow(run, seed, source, levels, settings)])

    def add_runs(self, runs: Iterable[RunRow | tuple[str, int, str, Mapping[str, Level], Mapping[str, Any]]]) -> None:
        """Make runs known as `add_run` does, all of them or none: one wait for the disk."""
        rows = []
        for run, seed, source, levels, settings in runs:
            _check_name(run)
            rows.append((run, seed, source, json.dumps(dict(levels)), json.dumps(dict(settings))))
        with self._change():
            self._db.executemany(
                "INSERT INTO runs (run, seed, source, levels, settings) VALUES (?, ?, ?, ?, ?) ON CONFLICT (run)"
                " DO UPDATE SET seed = excluded.seed, source = excluded.source, levels = excluded.levels,"
                " settings = excluded.settings",
                rows,
            )

    def write_checkpoint(
        self,
        run: str,
        checkpoint: Checkpoint,
        records: Sequence[Record],
        costs: Costs,
        evaluation: str = "",
        diagnostics: Diagnostics = NO_DIAGNOSTICS,
        selected: Sequence[Selected] = (),
        stop: Stop | None = None,
    ) -> None:
        """Keep a checkpoint's measurements, records, diagnostics and costs by phase: all of it or nothing.

        `selected` is what it came to on the selection split, `stop` that the run ends here. `evaluation` is an id of
        what was asked of which weights, where the run's own id doesn't tell. Raises RunFailed where the disk is full;
        what was kept before stays.
        """
        _check_name(run)
        wrong = next((r for r in records if (r.run, r.step) != (run, checkpoint.step)), None)
        if wrong is not None:
            raise ValueError(
                f"a record of run {wrong.run!r} step {wrong.step} among those of {run!r} {checkpoint.step}"
            )
        if not self._db.execute("SELECT 1 FROM runs WHERE run = ?", (run,)).fetchone():
            raise ValueError(f"run {run!r} is not known; add_run first")
        file = f"{run}/step-{checkpoint.step:06d}.parquet"
        key = (run, "", checkpoint.step)
        self._keep(key, checkpoint, records, costs, diagnostics, file, evaluation, (selected, stop))

    def write_base(
        self,
        base: str,
        records: Sequence[Record],
        costs: Costs,
        evaluation: str = "",
        diagnostics: Diagnostics = NO_DIAGNOSTICS,
    ) -> None:
        """Keep the records of a base model (run empty, step 0), which serve every run of that base.

        `evaluation` is an id of what it was asked; a base that was asked something else is replaced.
        """
        wrong = next((r for r in records if (r.run, r.step) != ("", 0)), None)
        if wrong is not None:
            raise ValueError(f"a record of run {wrong.run!r} step {wrong.step} among those of base {base!r}")
        digest = hashlib.sha256(f"{base}\0{evaluation}".encode()).hexdigest()[:8]  # the old one counts until then
        readable = re.sub(r"[^\w.=,+-]+", "-", base)[-60:]
        file = f"_bases/{readable}-{digest}.parquet"
        self._keep(("", base, 0), Checkpoint(0), records, costs, diagnostics, file, evaluation)

    def add_diagnostics(
        self,
        run: str,
        base: str,
        step: int,
        found: Diagnostics,
        costs: Costs,
        selected: Sequence[Selected] = (),
        stop: Stop | None = None,
    ) -> None:
        """Keep diagnostics of a checkpoint that is measured already, and what it came to on the selection split: all of
        it with its costs, or nothing."""
        key = (run, base, step)
        with self._change():
            self._diagnosed(key, found)
            write_choices(self._db, run, step, selected, stop)
            spent = [(*key, phase, seconds, tokens) for phase, (seconds, tokens) in costs.items()]
            self._db.executemany("INSERT OR REPLACE INTO costs VALUES (?, ?, ?, ?, ?, ?)", spent)

    def _diagnosed(self, key: Key, found: Diagnostics) -> None:
        """Within a change: in place of what the same diagnostics said before; others stay."""
        rows = []
        for name, value in found.values.items():
            said: tuple[object, ...] = (None, None, None, "", "", getattr(value, "reason", ""))
            if isinstance(value, Reading):
                said = (value.value, value.low, value.high, value.unit, value.method, "")
            rows.append((*key, name, *said, _as_asked(found.asked.get(diagnostic_of(name), {}))))
        for column in {f"{DIAGNOSTIC}{diagnostic_of(name)}" for name in found.values}:
            self._db.execute(
                "DELETE FROM diagnostics WHERE run = ? AND base = ? AND step = ?"
                " AND (name = ? OR substr(name, 1, ?) = ?)",
                (*key, column, len(column) + 1, f"{column}."),
            )
        self._db.executemany("INSERT INTO diagnostics VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def _keep(
        self,
        key: Key,
        checkpoint: Checkpoint,
        records: Sequence[Record],
        costs: Costs,
        diagnostics: Diagnostics,
        file: str,
        evaluation: str = "",
        choices: tuple[Sequence[Selected], Stop | None] = ((), None),
    ) -> None:
        size, sha256 = write_part(self.path / "records" / file, records)
        c = checkpoint
        tokens = UNKNOWN if c.tokens is None else c.tokens
        measured = (tokens, c.epoch, c.loss, c.token_accuracy, len(records))
        row = (*key, *measured, file, size, evaluation, sha256, self._version)
        spent = [(*key, phase, seconds, tokens) for phase, (seconds, tokens) in costs.items()]
        before = self._rows("SELECT file FROM checkpoints WHERE run = ? AND base = ? AND step = ?", key)
        with self._change():
            self._db.execute("INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            # Scores on the selection split that were kept before stay, and so does what they took.
            stays = "" if choices[0] else f" AND phase NOT IN ('{SELECT}', '{SAVED}{SELECT}')"
            self._db.execute(f"DELETE FROM costs WHERE run = ? AND base = ? AND step = ?{stays}", key)
            self._diagnosed(key, diagnostics)
            write_choices(self._db, key[0], key[2], *choices)
            self._db.executemany("INSERT INTO costs VALUES (?, ?, ?, ?, ?, ?)", spent)
        for (old,) in before:
            if old != file:
                (self.path / "records" / old).unlink(missing_ok=True)
        self._damaged.pop(key, None)

    def add_judge(self, judge: str, settings: Mapping[str, Any]) -> None:
        """Make known that a judge is asked; from now on the table tells what this one says."""
        with self._change():
            judgements.make(self._db)
            self._db.execute(
                "INSERT OR REPLACE INTO judges VALUES (?, ?, strftime('%Y-%m-%d %H:%M:%f', 'now'))",
                (judge, json.dumps(dict(settings), sort_keys=True)),
            )

    def keep_judgements(self, rows: Iterable[judgements.JudgementRow]) -> None:
        """Keep what a judge says of responses: all of it or nothing."""
        with self._change():
            judgements.keep(self._db, rows)

    def mark(self, run: str, state: State, message: str = "") -> None:
        """Say how a run stands."""
        with self._change():
            self._db.execute("UPDATE runs SET state = ?, message = ? WHERE run = ?", (state, message, run))

    def state_dir(self, run: str) -> Path:
        """The folder for what the run needs to go on after it was stopped."""
        _check_name(run)
        folder = self.path / "state" / run
        with files_told(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    @contextlib.contextmanager
    def _change(self) -> Any:
        if self._lock is None:
            raise ValueError(f"{self.path} was opened to read")
        with told(self.path / DATABASE), transaction(self._db):
            yield

    # Reading

    @property
    def damaged(self) -> tuple[str, ...]:
        """Parts that are gone, cut off or changed, each with what to do; their checkpoints don't count as done."""
        return tuple(self._damaged.values())

    def _find_damage(self) -> dict[Key, str]:
        """Parts that are not whole; for a writer also those that are not what was written."""
        found = {}
        for run, base, step, file, size, sha256 in self._rows(
            "SELECT run, base, step, file, bytes, sha256 FROM checkpoints"
        ):
            path = self.path / "records" / file
            try:
                check_part(path, size, sha256 if self._lock is not None else "")
            except DamagedPart as damage:
                found[run, base, step] = _in_words((run, base, step), path, damage)
        return found

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with told(self.path / DATABASE):
            return self._db.execute(query, values).fetchall()

    def done(self, run: str) -> set[int]:
        """The steps of a run whose checkpoints are measured and whole."""
        steps = self._rows("SELECT step FROM checkpoints WHERE run = ? AND base = ''", (run,))
        return {step for (step,) in steps if (run, "", step) not in self._damaged}

    def bases_done(self, evaluation: str = "") -> set[str]:
        """The base models that are measured on this evaluation, and whole."""
        bases = self._rows("SELECT base FROM checkpoints WHERE run = '' AND evaluation = ?", (evaluation,))
        return {base for (base,) in bases if ("", base, 0) not in self._damaged}

    def hashes(self) -> dict[Key, str]:
        """The SHA-256 of each checkpoint's records."""
        rows = self._rows("SELECT run, base, step, sha256 FROM checkpoints")
        return {(run, base, step): sha256 for run, base, step, sha256 in rows}

    def evaluations(self) -> dict[Key, str]:
        """What each checkpoint (run, base, step) that is measured and whole was asked, as its writer told it."""
        rows = self._rows("SELECT run, base, step, evaluation FROM checkpoints")
        return {(run, base, step): told for run, base, step, told in rows if (run, base, step) not in self._damaged}

    def parts(self, *, text: bool = True) -> list[Part]:
        """The records of each checkpoint that is measured and whole, apart: also where no table can be made of them."""
        return self._read(None, text)[1]

    def last_records(self, runs: Collection[str] | None = None) -> Iterator[tuple[str, int, pa.Table]]:
        """Each run (of these) with its last whole checkpoint and that one's records, texts included, one after the
        other. What is damaged is told where the table is read."""
        for status in self.status():
            if not status.steps or (runs is not None and status.run not in runs):
                continue
            key = (status.run, max(status.steps))
            for file, size, sha256 in self._rows(
                "SELECT file, bytes, sha256 FROM checkpoints WHERE run = ? AND step = ?", key
            ):
                with contextlib.suppress(DamagedPart):
                    yield *key, read_part(self.path / "records" / file, size, sha256, text=True)

    def base_scores(self, base: str) -> dict[tuple[str, str], dict[str, float]]:
        """A base's score on each item, averaged over samples, by task and mode; empty where it isn't measured."""
        rows = self._rows("SELECT file, bytes, sha256 FROM checkpoints WHERE run = '' AND base = ?", (base,))
        if not rows or ("", base, 0) in self._damaged:
            return {}
        file, size, sha256 = rows[0]
        columns = ("task", "mode", "item", "score")
        try:
            table = read_part(self.path / "records" / file, size, sha256, text=False).select(columns)
        except DamagedPart:
            return {}
        listed: dict[tuple[str, str], dict[str, list[float]]] = {}
        for task, mode, item, score in zip(*(table[name].to_pylist() for name in columns), strict=True):
            listed.setdefault((task, mode), {}).setdefault(item, []).append(score)
        return {cell: {item: sum(s) / len(s) for item, s in of.items()} for cell, of in listed.items()}

    def diagnosed(self, run: str, asked: Mapping[str, Mapping[str, Any]], base: str = "") -> dict[int, frozenset[str]]:
        """By step, which of the diagnostics that are asked for are there, with the settings that are asked for."""
        wanted = {name: _as_asked(settings) for name, settings in asked.items()}
        found: dict[int, set[str]] = {}
        if not asked:
            return {}
        rows = self._rows("SELECT step, name, asked FROM diagnostics WHERE run = ? AND base = ?", (run, base))
        for step, column, settings in rows:
            if wanted.get(name := diagnostic_of(column)) == settings:
                found.setdefault(step, set()).add(name)
        return {step: frozenset(names) for step, names in found.items()}

    def judged(self, judge: str = "") -> list[judgements.JudgementRow]:
        """What a judge, by default the one that was asked last, said of responses that are still there."""
        parts = self.hashes()
        found = judgements.rows(self._db, judge or judgements.last_judge(self._db))
        return [row for row in found if parts.get((row.run, row.base, row.step)) == row.sha256]

    def judges(self) -> dict[str, dict[str, Any]]:
        """Every judge that was asked, the last one last, with how it was asked."""
        if not judgements.are_there(self._db):
            return {}
        rows = self._rows("SELECT judge, settings FROM judges ORDER BY asked, rowid")
        return {judge: decoded(told, self.path / DATABASE, f"settings of judge {judge}") for judge, told in rows}

    def losses(self, run: str) -> dict[int, float | None]:
        """What training had come to at each checkpoint: its loss, nats a token."""
        return dict(self._rows("SELECT step, loss FROM checkpoints WHERE run = ? AND base = ''", (run,)))

    def selected(self, run: str) -> Scores:
        """What the checkpoints of a run came to on the selection split, by step and task."""
        told = "step, task, task_group, items, score, response_tokens"
        return scores_in(self._rows(f"SELECT {told} FROM selection WHERE run = ? ORDER BY step, rowid", (run,)))

    def stops(self) -> dict[str, Stop]:
        """The runs that ended before their last step, each with the decision."""
        return {run: stop_in(*told) for run, *told in self._rows("SELECT * FROM stops")}

    def diagnostics(self) -> list[DiagnosticRow]:
        """What the diagnostics of every checkpoint say, and why where they say nothing."""
        return [DiagnosticRow(*row) for row in self._rows(f"{READINGS} ORDER BY run, base, step, name")]

    def status(self) -> list[RunStatus]:
        """The runs in the order in which they became known."""
        steps: dict[str, list[int]] = {}
        for run, step in self._rows("SELECT run, step FROM checkpoints WHERE run != '' ORDER BY step"):
            if (run, "", step) not in self._damaged:
                steps.setdefault(run, []).append(step)
        columns = "run, seed, source, levels, settings, state, message"
        return [
            RunStatus(
                run,
                seed,
                source,
                decoded(levels, self.path / DATABASE, f"levels of run {run}"),
                decoded(settings, self.path / DATABASE, f"settings of run {run}"),
                state,
                message,
                tuple(steps.get(run, ())),
            )
            for run, seed, source, levels, settings, state, message in self._rows(
                f"SELECT {columns} FROM runs ORDER BY rowid"
            )
        ]

    def costs(self) -> list[CostRow]:
        """What each phase of each checkpoint took."""
        return [CostRow(*row) for row in self._rows("SELECT * FROM costs ORDER BY run, base, step, phase")]

    def settings(self) -> list[tuple[str, Any, str]]:
        """Every resolved setting of the study as (name, value, where it came from)."""
        rows = self._rows("SELECT name, value, source FROM settings ORDER BY place")
        place = self.path / DATABASE
        return [(name, decoded(value, place, f"setting {name}", object), source) for name, value, source in rows]

    def study(self) -> dict[str, Any]:
        """The study as it was given to `create`. Raises TriaxisError where that can't be read any more."""
        rows = self._rows("SELECT value FROM meta WHERE key = 'study'")
        study: dict[str, Any] = decoded(rows[0][0] if rows else "", self.path / DATABASE, "the study")
        return study

    def provenance(self) -> dict[str, str]:
        """The version that made the folder, when (UTC), and `measured with`: the versions that its records come from.

        Where these are several, the last is first. Before anything is measured they are those that opened it.
        """
        told_by = dict(self._rows("SELECT key, value FROM meta WHERE key IN ('format', 'triaxis', 'created')"))
        columns = f"SELECT opened, {', '.join(versions.NAMES)}, platform FROM versions"
        used = self._rows(f"{columns} WHERE id IN (SELECT version FROM checkpoints) ORDER BY id")
        used = used or self._rows(f"{columns} ORDER BY id DESC LIMIT 1")
        return told_by | ({"measured with": versions.measured_with(used)} if used else {})

    def table(self, *, text: bool = True, runs: Collection[str] | None = None) -> Table:
        """Every record with its run's factors and its checkpoint's measurements, in canonical order.

        `text` False leaves responses out; `runs` keeps only these and their bases. Parts that are damaged are left out,
        with a warning each; runs that failed or are unfinished are told too, and are the table's `incomplete`. Raises
        TriaxisError where nothing, or no base of any run, is measured and whole.
        """
        from triaxis.records.joined import joined, sources

        known, parts = self._read(runs, text)
        damaged = {key: words for key, words in self._damaged.items() if sources(key[0], key[1], known)}
        return joined(parts, known, str(self.path), damaged)

    def _read(self, runs: Collection[str] | None, text: bool) -> tuple[dict[str, RunStatus], list[Part]]:
        """The runs and their whole parts. One that a writer replaced meanwhile is no damage: then all is read again."""
        from triaxis.records.joined import Part, sources

        while True:
            with told(self.path / DATABASE), transaction(self._db, "DEFERRED"):
                known = {status.run: status for status in self.status() if runs is None or status.run in runs}
                rows = {row[:3]: row[3:] for row in self._rows(PARTS)}
                readings: dict[Key, dict[str, float]] = {}
                for run, base, step, name, value, *_ in self._rows(f"{READINGS} WHERE value IS NOT NULL"):
                    readings.setdefault((run, base, step), {})[name] = value
                judge = judgements.last_judge(self._db)
                said: dict[Key, dict[judgements.Place, Judged]] = {}
                for row in self.judged(judge) if judge else ():
                    said.setdefault(row[:3], {})[row.place] = row.judged
            parts, damaged = [], {}
            for (run, base, step), (tokens, *measured, file, size, sha256) in rows.items():
                if (run, base, step) in self._damaged or not sources(run, base, known):
                    continue
                path = self.path / "records" / file
                try:
                    records = read_part(path, size, sha256, text=text)
                    if (run, base, step) in said:
                        records = judgements.beside(records, said[run, base, step], judge)
                    point = Checkpoint(step, None if tokens == UNKNOWN else tokens, *measured)
                    parts.append(Part(run, base, point, records, readings.get((run, base, step), {})))
                except DamagedPart as damage:
                    damaged[run, base, step] = _in_words((run, base, step), path, damage)
            now = {row[:3]: row[3:] for row in self._rows(PARTS)} if damaged else rows
            if all(now.get(key) == rows[key] for key in damaged):
                self._damaged |= damaged
                return known, parts


def _in_words(key: Key, path: Path, damage: DamagedPart) -> str:
    run, base, step = key
    what = f"step {step} of run {run}" if run else f"base {base}"
    return f"{path}: {damage}; {what} doesn't count: run the study again to measure it"


def diagnostic_of(column: str) -> str:
    """The diagnostic that a column is of: hessian_eigenvalue of `diagnostic.hessian_eigenvalue.residual`."""
    return column.removeprefix(DIAGNOSTIC).partition(".")[0]


def _as_asked(settings: Mapping[str, Any]) -> str:
    return json.dumps(dict(settings), sort_keys=True)


def _check_name(run: str) -> None:
    if not run or run[0] in "._" or "/" in run or "\0" in run:
        raise ValueError(f"{run!r} can't be a run's id: it names a folder")
