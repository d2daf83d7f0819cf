"""A study's folder: what is measured is on the disk, atomically, before the next thing starts."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Protocol, Self

from triaxis.records.database import connect_reader, connect_writer, files_told, told, transaction
from triaxis.records.parts import damage, write_atomically, write_part
from triaxis.records.table import Table
from triaxis.types import Checkpoint, Level, Record, TriaxisError

State = Literal["waiting", "running", "done", "failed"]
OURS = ("study.yaml", "study.db", "study.db-wal", "study.db-shm", "lock", "records", "state")


class CostRow(NamedTuple):
    """What a phase (`train`, `evaluate`) of a checkpoint took; a base has an empty run."""

    run: str
    base: str
    step: int
    phase: str
    seconds: float
    tokens: int


Costs = Mapping[str, tuple[float, int]]  # phase: seconds, tokens


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
    again, a row without its whole part is told in `damaged` and its checkpoint doesn't count as done.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: int | None) -> None:
        self.path = path
        self._db = connection
        self._lock = lock
        self._damaged = self._find_damage()

    @classmethod
    def create(
        cls, path: str | Path, study_yaml: str, study_json: Mapping[str, Any], settings: Iterable[SettingLike]
    ) -> Self:
        """Open a study's folder for writing, making it where there is none; the study in it becomes this one.

        Raises TriaxisError where the folder holds something else, can't be written to, or another process has it.
        """
        folder = Path(path)
        _make_folder(folder)
        store = cls._writer(folder)
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
        if not folder.is_dir():
            raise TriaxisError(f"{folder}: no such folder; check the path")
        if not (folder / "study.db").exists():
            tables = sorted(p.name for p in folder.iterdir() if p.suffix in (".csv", ".tsv", ".parquet"))
            hint = f"name the table: {folder / tables[0]}" if tables else "give the folder that 'triaxis run' made"
            raise TriaxisError(f"{folder}: not a study (it has no study.db); {hint}")
        if read_only:
            return cls(folder, connect_reader(folder / "study.db"), None)
        return cls._writer(folder)

    @classmethod
    def _writer(cls, folder: Path) -> Self:
        lock = _locked(folder)
        try:
            return cls(folder, connect_writer(folder / "study.db"), lock)
        except BaseException:
            os.close(lock)
            raise

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
        _check_name(run)
        row = (run, seed, source, json.dumps(dict(levels)), json.dumps(dict(settings)))
        with self._change():
            self._db.execute(
                "INSERT INTO runs (run, seed, source, levels, settings) VALUES (?, ?, ?, ?, ?) ON CONFLICT (run)"
                " DO UPDATE SET seed = excluded.seed, source = excluded.source, levels = excluded.levels,"
                " settings = excluded.settings",
                row,
            )

    def write_checkpoint(self, run: str, checkpoint: Checkpoint, records: Sequence[Record], costs: Costs) -> None:
        """Keep a checkpoint's measurements, its records and its costs by phase: all of it or nothing.

        Raises RunFailed where the disk is full; what was kept before stays.
        """
        _check_name(run)
        wrong = next((r for r in records if (r.run, r.step) != (run, checkpoint.step)), None)
        if wrong is not None:
            raise ValueError(
                f"a record of run {wrong.run!r} step {wrong.step} among those of {run!r} {checkpoint.step}"
            )
        if not self._db.execute("SELECT 1 FROM runs WHERE run = ?", (run,)).fetchone():
            raise ValueError(f"run {run!r} is not known; add_run first")
        self._keep(run, "", checkpoint, records, costs, f"{run}/step-{checkpoint.step:06d}.parquet")

    def write_base(self, base: str, records: Sequence[Record], costs: Costs, evaluation: str = "") -> None:
        """Keep the records of a base model (run empty, step 0), which serve every run of that base.

        `evaluation` is an id of what it was asked; a base that was asked something else is replaced.
        """
        wrong = next((r for r in records if (r.run, r.step) != ("", 0)), None)
        if wrong is not None:
            raise ValueError(f"a record of run {wrong.run!r} step {wrong.step} among those of base {base!r}")
        digest = hashlib.sha256(f"{base}\0{evaluation}".encode()).hexdigest()[:8]  # the old one counts until then
        readable = re.sub(r"[^\w.=,+-]+", "-", base)[-60:]
        self._keep("", base, Checkpoint(0), records, costs, f"_bases/{readable}-{digest}.parquet", evaluation)

    def _keep(
        self,
        run: str,
        base: str,
        checkpoint: Checkpoint,
        records: Sequence[Record],
        costs: Costs,
        file: str,
        evaluation: str = "",
    ) -> None:
        size = write_part(self.path / "records" / file, records)
        c = checkpoint
        row = (run, base, c.step, c.tokens, c.epoch, c.loss, c.token_accuracy, len(records), file, size, evaluation)
        spent = [(run, base, c.step, phase, seconds, tokens) for phase, (seconds, tokens) in costs.items()]
        key = (run, base, c.step)
        before = self._rows("SELECT file FROM checkpoints WHERE run = ? AND base = ? AND step = ?", key)
        with self._change():
            self._db.execute("INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            self._db.execute("DELETE FROM costs WHERE run = ? AND base = ? AND step = ?", key)
            self._db.executemany("INSERT INTO costs VALUES (?, ?, ?, ?, ?, ?)", spent)
        for (old,) in before:
            if old != file:
                (self.path / "records" / old).unlink(missing_ok=True)
        self._damaged.pop(key, None)

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
        with told(self.path / "study.db"), transaction(self._db):
            yield

    # Reading

    @property
    def damaged(self) -> tuple[str, ...]:
        """Parts that are missing or half-written, each with what to do; their checkpoints don't count as done."""
        return tuple(self._damaged.values())

    def _find_damage(self) -> dict[tuple[str, str, int], str]:
        found = {}
        for run, base, step, file, size in self._rows("SELECT run, base, step, file, bytes FROM checkpoints"):
            path = self.path / "records" / file
            problem = damage(path, size)
            if problem:
                what = f"step {step} of run {run}" if run else f"base {base}"
                found[run, base, step] = f"{path}: {problem}; {what} doesn't count: run the study again to measure it"
        return found

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with told(self.path / "study.db"):
            return self._db.execute(query, values).fetchall()

    def done(self, run: str) -> set[int]:
        """The steps of a run whose checkpoints are measured and whole."""
        steps = self._rows("SELECT step FROM checkpoints WHERE run = ? AND base = ''", (run,))
        return {step for (step,) in steps if (run, "", step) not in self._damaged}

    def bases_done(self, evaluation: str = "") -> set[str]:
        """The base models that are measured on this evaluation, and whole."""
        bases = self._rows("SELECT base FROM checkpoints WHERE run = '' AND evaluation = ?", (evaluation,))
        return {base for (base,) in bases if ("", base, 0) not in self._damaged}

    def status(self) -> list[RunStatus]:
        """The runs in the order in which they became known."""
        steps: dict[str, list[int]] = {}
        for run, step in self._rows("SELECT run, step FROM checkpoints WHERE run != '' ORDER BY step"):
            if (run, "", step) not in self._damaged:
                steps.setdefault(run, []).append(step)
        columns = "run, seed, source, levels, settings, state, message"
        return [
            RunStatus(
                run, seed, source, json.loads(levels), json.loads(settings), state, message, tuple(steps.get(run, ()))
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
        return [(name, json.loads(value), source) for name, value, source in rows]

    def study(self) -> dict[str, Any]:
        """The study as it was given to `create`."""
        rows = self._rows("SELECT value FROM meta WHERE key = 'study'")
        return dict(json.loads(rows[0][0])) if rows else {}

    def provenance(self) -> dict[str, str]:
        """The version that made the folder, and when (UTC)."""
        return dict(self._rows("SELECT key, value FROM meta WHERE key IN ('format', 'triaxis', 'created')"))

    def trajectory_checkpoints(self, run: str) -> list[Checkpoint]:
        """The checkpoints of a run that are measured and whole, by step."""
        columns = "step, tokens, epoch, loss, token_accuracy"
        rows = self._rows(f"SELECT {columns} FROM checkpoints WHERE run = ? AND base = '' ORDER BY step", (run,))
        return [Checkpoint(*row) for row in rows if (run, "", row[0]) not in self._damaged]

    def table(self, *, text: bool = True, runs: Collection[str] | None = None) -> Table:
        """Every record with its run's factors and its checkpoint's measurements, in canonical order.

        `text` False leaves responses out; `runs` keeps only these and their bases. Raises TriaxisError where nothing is
        measured yet. Parts that are not whole are left out, with a warning each.
        """
        from triaxis.records.joined import Part, joined, sources

        with told(self.path / "study.db"), transaction(self._db, "DEFERRED"):
            known = {status.run: status for status in self.status() if runs is None or status.run in runs}
            rows = self._rows("SELECT run, base, step, tokens, epoch, loss, token_accuracy, file FROM checkpoints")
        parts = [
            Part(run, base, Checkpoint(step, *measured), self.path / "records" / file)
            for run, base, step, *measured, file in rows
            if sources(run, base, known) and (run, base, step) not in self._damaged
        ]
        if not parts:
            raise TriaxisError(f"{self.path}: nothing is measured yet; run the study")
        return joined(parts, known, str(self.path), self.damaged, text=text)


def _check_name(run: str) -> None:
    if not run or run[0] in "._" or "/" in run or "\0" in run:
        raise ValueError(f"{run!r} can't be a run's id: it names a folder")


def _make_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise TriaxisError(f"{folder}: a file, where the study's folder should be; choose another place")
    with files_told(folder):
        folder.mkdir(parents=True, exist_ok=True)
    foreign = sorted(p.name for p in folder.iterdir() if p.name not in OURS)
    if foreign and not (folder / "study.db").exists():
        raise TriaxisError(f"{folder}: holds {foreign[0]!r} and no study; choose a new or empty folder")


def _locked(folder: Path) -> int:
    """The handle of the writers' lock, which the system lets go of however the process ends."""
    with files_told(folder / "lock"):
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(handle)
        raise TriaxisError(
            f"another process (pid {owner}) is running this study in {folder}; wait for it or stop it"
        ) from None
    with files_told(folder / "lock"):
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return handle
