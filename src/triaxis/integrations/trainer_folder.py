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
MADE_OF = "made of"  # among a run's settings: what tells it from other runs, as digests
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
        self,
        run: str,
        seed: int,
        source: str,
        levels: Mapping[str, Level],
        settings: Mapping[str, Any],
        made_of: Mapping[str, str],
    ) -> tuple[set[int], float]:
        """Make a run known; gives back the steps that it has measured and the seconds that these took.

        `made_of` is what tells the run from others beside its settings, each as a digest: its data, its questions.
        Raises TriaxisError where the folder is a study's, or where a run of this name was another.
        """
        if (self.path / DATABASE).exists():
            with Store.open(self.path, read_only=True) as store:
                self._refuse(store, run, seed, levels, made_of)
        with self._writing(create=True) as store:
            store.add_run(run, seed, source, levels, {**settings, MADE_OF: dict(made_of)})
            store.mark(run, "running")
            self._base = str(levels[BASE])
            return store.done(run), sum(cost.seconds for cost in store.costs() if cost.run == run)

    def _refuse(
        self, store: Store, run: str, seed: int, levels: Mapping[str, Level], made_of: Mapping[str, str]
    ) -> None:
        if store.study().get("study"):
            raise TriaxisError(f"{self.path}: holds a study that triaxis run made; give the callback another folder")
        known = next((status for status in store.status() if status.run == run and status.steps), None)
        if known is None:
            return
        before = known.settings.get(MADE_OF, {})  # missing in folders from before this was kept
        other = [name for name, now in made_of.items() if before.get(name, now) != now]
        told = ""
        if dict(known.levels) != dict(levels):
            name = next(n for n in sorted({*known.levels, *levels}) if known.levels.get(n) != levels.get(n))
            was, now = known.levels.get(name, "not known"), levels.get(name, "not known")
            told = f"with {name} {was}, and here it is {now}"
        elif known.seed != seed:
            told = f"with seed {known.seed}, and here it is {seed}"
        elif other:
            told = f"with other {other[0]}"
        if told:
            raise TriaxisError(f"{self.path}: run {run} is there {told}; name this run otherwise (run=..)")

    def base(self, asked: Mapping[str, Any]) -> Base:
        """Where step 0 of a run belongs. A base that is there under this name, but isn't this one, is left alone: its
        rows serve other runs."""
        told = digest(asked)
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


def digest(asked: Mapping[str, Any]) -> str:
    """Twelve hex digits of what is asked."""
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=list).encode()).hexdigest()[:12]


def _bases(store: Store) -> set[str]:
    return {cost.base for cost in store.costs() if not cost.run}
