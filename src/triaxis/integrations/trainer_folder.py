"""The folder that the runs of another trainer are measured into: a study's folder without a study."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triaxis.records import Store, Table
from triaxis.records.columns import BASE
from triaxis.records.folder import DATABASE, InUse
from triaxis.types import Checkpoint, Level, Record, TriaxisError

TEXT = "# Runs that another trainer trained, measured by triaxis.integrations.TrajectoryCallback. No study to run.\n"
PATIENCE = 60.0  # seconds to wait for another training that writes: a write takes some tenths of one


@dataclass(frozen=True)
class Base:
    """Step 0 of a run: the rows of a base, which other runs share, or rows of the run's `own`."""

    name: str
    evaluation: str  # id of the weights and of what they were asked
    there: bool  # measured already
    own: bool  # the folder has another model, or other questions, under the same name


class TrainerFolder:
    """A folder whose lock is held while something is written and no longer, so that several trainings can share it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._base = ""

    def begin(
        self, run: str, seed: int, source: str, levels: Mapping[str, Level], settings: Mapping[str, Any]
    ) -> tuple[set[int], float]:
        """Make a run known; gives back the steps that it has measured and the seconds that these took.

        Raises TriaxisError where the folder is a study's, or where a run of this name had other settings.
        """
        if (self.path / DATABASE).exists():
            with Store.open(self.path, read_only=True) as store:
                self._refuse(store, run, levels)
        with self._writing(create=True) as store:
            store.add_run(run, seed, source, levels, settings)
            store.mark(run, "running")
            self._base = str(levels[BASE])
            return store.done(run), sum(cost.seconds for cost in store.costs() if cost.run == run)

    def _refuse(self, store: Store, run: str, levels: Mapping[str, Level]) -> None:
        if store.study().get("study"):
            raise TriaxisError(f"{self.path}: holds a study that triaxis run made; give the callback another folder")
        for status in store.status():
            if status.run == run and status.steps and dict(status.levels) != dict(levels):
                names = [n for n in sorted({*status.levels, *levels}) if status.levels.get(n) != levels.get(n)]
                was, now = status.levels.get(names[0], "not known"), levels.get(names[0], "not known")
                raise TriaxisError(
                    f"{self.path}: run {run} is there with {names[0]} {was}, and here it is {now}; name this run"
                    " otherwise (run=..)"
                )

    def base(self, run: str, asked: Mapping[str, Any]) -> Base:
        """Where step 0 of a run belongs. A base that is there under this name, but isn't this one, is left alone: its
        rows serve other runs."""
        told = hashlib.sha256(json.dumps(asked, sort_keys=True, default=list).encode()).hexdigest()[:12]
        with Store.open(self.path, read_only=True) as store:
            same = self._base in store.bases_done(told)
            return Base(self._base, told, same, not same and self._base in _bases(store))

    def has_base(self, name: str) -> bool:
        """Whether a base of this name is measured."""
        with Store.open(self.path, read_only=True) as store:
            return name in _bases(store)

    def keep(
        self,
        run: str,
        checkpoint: Checkpoint,
        records: Sequence[Record],
        costs: Mapping[str, tuple[float, int]],
        base: Base | None,
    ) -> None:
        """Write a checkpoint's records, or those of a base, to the disk."""
        with self._writing() as store:
            if base is not None and not base.own:
                store.write_base(base.name, records, costs, base.evaluation)
            else:
                store.write_checkpoint(run, checkpoint, records, costs)

    def end(self, run: str, missing: str) -> None:
        """Say how a run ended; `missing` is why its last checkpoint isn't there, empty where it is."""
        with self._writing() as store:
            store.mark(run, "failed" if missing else "done", missing)

    def table(self) -> Table:
        """All that is measured in the folder, texts left out."""
        with Store.open(self.path, read_only=True) as store:
            return store.table(text=False)

    @contextmanager
    def _writing(self, create: bool = False) -> Iterator[Store]:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                store = Store.create(self.path, TEXT, {"study": None}, []) if create else Store.open(self.path)
                break
            except InUse:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
        with store:
            yield store


def _bases(store: Store) -> set[str]:
    return {cost.base for cost in store.costs() if not cost.run}
