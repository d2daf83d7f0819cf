"""A study's folder as the commands see it: the study that it was made for, and that study's own records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from triaxis.types import TriaxisError

if TYPE_CHECKING:
    from triaxis.records import Store, Table
    from triaxis.study import Study


def as_stored(study: Study) -> dict[str, object]:
    """A study as its folder keeps it; `study_of` makes the same of it."""
    return {"study": study.to_dict(), "fingerprints": dict(study.fingerprints), "notes": study.found}


def study_of(store: Store) -> Study:
    """The study that a folder was made for."""
    from triaxis.study import parse_study

    stored = store.study()
    study = parse_study(stored.get("study"), where=str(store.path / "study.yaml"))
    return study.with_fingerprints(stored.get("fingerprints", {}), stored.get("notes", ()))


def table_of(store: Store, study: Study) -> Table:
    """The records of the study's own runs: the folder may also hold those of an earlier version of it."""
    runs = {run.id for run in study.runs()}
    if not any(status.steps for status in store.status() if status.run in runs):
        raise TriaxisError(f"{store.path}: no run of this study is measured yet; run it, or wait for a checkpoint")
    return store.table(text=False, runs=runs)


def opened(folder: Path) -> Store:
    """The folder, to read: a study may be looked at while it runs."""
    from triaxis.records import Store

    return Store.open(folder, read_only=True)
