"""A study's folder as the commands see it: the study that it was made for, and that study's own records."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from triaxis.types import TriaxisError

if TYPE_CHECKING:
    from triaxis.records import Store, Table
    from triaxis.study import Study
    from triaxis.types import Analysis


EVALUATED = "evaluated"  # what `triaxis evaluate` keeps instead of a study (execute/evaluation.py)


def refuse_elsewhere(folder: Path) -> None:
    """Refuse to make a folder of checkpoints that were trained elsewhere into a study's."""
    from triaxis.records import Store

    stored: Mapping[str, object] = {}
    if (folder / "study.db").is_file():
        with suppress(TriaxisError), Store.open(folder, read_only=True) as store:  # running again mends what is damaged
            stored = store.study()
    if _elsewhere(stored):
        by = "of 'triaxis evaluate'" if EVALUATED in stored else "that another trainer made"
        raise TriaxisError(f"{folder}: holds checkpoints {by}; choose another folder (--out)")


def _elsewhere(stored: Mapping[str, object]) -> bool:
    """Whether a folder holds what `triaxis evaluate` measured, or the callback in another trainer, and no study."""
    return EVALUATED in stored or stored.get("study", {}) is None


def as_stored(study: Study) -> dict[str, object]:
    """A study as its folder keeps it; `study_of` makes the same of it."""
    return {"study": study.to_dict(), "fingerprints": dict(study.fingerprints), "notes": study.found}


def study_of(store: Store) -> Study | None:
    """The study that a folder was made for; None where it holds checkpoints that were trained elsewhere."""
    from triaxis.study import parse_study

    stored = store.study()
    if _elsewhere(stored):
        return None
    study = parse_study(stored.get("study"), where=str(store.path / "study.yaml"))
    return study.with_fingerprints(stored.get("fingerprints", {}), stored.get("notes", ()))


def title_of(store: Store, study: Study | None) -> str:
    """What to call what a folder holds."""
    return study.name if study is not None else store.path.resolve().name


def table_of(store: Store, study: Study | None) -> Table:
    """The records of the study's own runs: the folder may also hold those of an earlier version of it. Of checkpoints
    that were trained elsewhere, all."""
    if study is None:
        return store.table(text=False)
    runs = {run.id for run in study.runs()}
    if not any(status.steps for status in store.status() if status.run in runs):
        raise TriaxisError(f"{store.path}: no run of this study is measured yet; run it, or wait for a checkpoint")
    return store.table(text=False, runs=runs)


def with_answers_seen(analysis: Analysis, store: Store, study: Study | None) -> Analysis:
    """The analysis with a warning where runs end with one answer to everything, which the table, without texts, can't
    show."""
    from triaxis.records.one_answer import in_words, one_answers

    runs = None if study is None else {run.id for run in study.runs()}
    return replace(analysis, warnings=(*analysis.warnings, *in_words(*one_answers(store, runs))))


def opened(folder: Path) -> Store:
    """The folder, to read: a study may be looked at while it runs."""
    from triaxis.records import Store

    return Store.open(folder, read_only=True)
