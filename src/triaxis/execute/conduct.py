"""A whole study: bases measured, runs followed on an engine, everything in the store as it comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from triaxis.execute.engine import Engine, Event
from triaxis.execute.job import Job, Measured
from triaxis.execute.run import follow
from triaxis.records import Store
from triaxis.study import Run, Study

Watcher = Callable[[Event], None]


@dataclass(frozen=True)
class Conducted:
    """How a study ended: its runs by state, and why it stopped early if it did."""

    done: int
    failed: tuple[str, ...]  # "run: reason"
    left: int  # not started, or not finished
    stopped: str = ""


def conduct(study: Study, store: Store, engine: Engine, watcher: Watcher = lambda event: None) -> Conducted:
    """Measure what the store does not hold yet, one writer, and say how it ended.

    Bases come first, then the runs seed by seed, so that a study stopped early is still balanced. A run that fails is
    marked and the others go on. When `budget.minutes` is used up nothing new starts and what runs is stopped at its
    last checkpoint: its state is kept, and conducting again goes on from there.
    """
    runs = {run.id: run for run in study.runs()}
    for run in runs.values():
        store.add_run(run.id, run.seed, study.name, dict(run.condition.levels), dict(run.condition.settings))
    _submit(study, store, engine, list(runs.values()))
    deadline = None if study.budget.minutes is None else time.monotonic() + 60 * study.budget.minutes
    stopped = ""
    try:
        for event in engine.watch():
            _remember(store, event, runs)
            watcher(event)
            if deadline is not None and time.monotonic() > deadline and not stopped:
                stopped = f"the budget of {study.budget.minutes:g} minutes is used up"
                for run_id in runs:
                    engine.cancel(run_id) if run_id in _submitted(engine, runs) else None
    finally:
        engine.close()
    return _ended(store, runs, stopped)
