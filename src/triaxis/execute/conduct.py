"""A whole study: bases measured, runs followed on an engine, everything in the store as it comes."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from triaxis.execute.engine import Engine, Event
from triaxis.execute.job import Job, Measured
from triaxis.records import Store
from triaxis.study import OF_BASES, Run, Study, default_of
from triaxis.types import Level

Watcher = Callable[[Event], None]
STATES: dict[str, Literal["waiting", "running", "done", "failed"]] = {
    "started": "running",
    "retried": "waiting",
    "cancelled": "waiting",
    "done": "done",
    "failed": "failed",
}
WORK = "triaxis.execute.run:follow"  # by name: torch is loaded where it runs, not here
BASE = "base:"  # how the job that measures a base is called


@dataclass(frozen=True)
class Conducted:
    """How a study stands after it was conducted."""

    done: int
    failed: dict[str, str]  # job: why
    left: int  # runs not finished
    stopped: str  # why it ended before its runs did; empty if it didn't


def conduct(study: Study, store: Store, engine: Engine, watcher: Watcher = lambda event: None) -> Conducted:
    """Measure what the store does not hold yet, and say how the study stands.

    Bases come first, then the runs seed by seed, so that a study stopped early is still balanced. A run that fails is
    marked and the others go on. When a budget is used up, runs are stopped at their last checkpoint; their state is
    kept, and conducting again goes on from there.
    """
    runs = {run.id: run for run in study.runs()}
    store.add_runs((r.id, r.seed, study.name, r.condition.levels, r.condition.settings) for r in runs.values())
    jobs = list(to_do(study, store))
    for job in jobs:
        if job.id in runs:
            store.mark(job.id, "waiting")  # a process that was killed leaves its runs as running
        engine.submit(job.id, WORK, partial(_as_it_stands, job, store))
    began, stopped, asked = time.monotonic(), "", evaluation_id(study)
    try:
        for event in engine.watch():
            _remember(store, event, asked)
            watcher(event)
            if event.kind == "measured" and not stopped:
                stopped = _used_up(study, store, time.monotonic() - began)
                for job in jobs if stopped else ():
                    engine.cancel(job.id)
    finally:
        engine.close()
    endings = {job.id: engine.collect(job.id) for job in jobs}
    states = {status.run: status.state for status in store.status()}
    done = sum(states[run] == "done" for run in runs)
    failed = {job: ending.message for job, ending in endings.items() if ending.state == "failed"}
    return Conducted(done, failed, len(runs) - done - sum(job in runs for job in failed), stopped)


def to_do(study: Study, store: Store) -> Iterator[Job]:
    """The jobs that a study still needs, in the order in which they should start."""
    runs = study.runs()
    by_base = {str(run.condition.settings["model.base"]): run for run in runs}
    for base in sorted(by_base.keys() - store.bases_done(evaluation_id(study))):
        yield job_of(study, by_base[base], base=True)
    states = {status.run: status.state for status in store.status()}
    for run in runs:  # seed by seed
        if not set(run.steps[1:]) <= store.done(run.id):
            yield job_of(study, run)
        elif states.get(run.id) != "done":  # killed after its last checkpoint
            store.mark(run.id, "done")


def job_of(study: Study, run: Run, *, base: bool = False) -> Job:
    """A run as a job; with `base`, the job that measures the base of the run instead."""
    settings: dict[str, Level] = dict(run.condition.settings)
    return Job(
        id=f"{BASE}{settings['model.base']}" if base else run.id,
        settings=settings,
        seed=run.seed,
        steps=(0,) if base else run.steps,
        tasks=dict(study.tasks),
        evaluation=study.evaluation.model_dump(mode="json"),
        done=frozenset(),
        state=None,
        read=study.read_by(None if base else run.condition),
    )


def evaluation_id(study: Study) -> str:
    """What a base was measured with: it is measured again where the items, the limits or the sampling differ."""
    settings = next(iter(study.conditions())).settings  # those of a base are the same in all of them
    told = {name: settings[name] for name in OF_BASES if settings[name] != default_of(name)}
    asked = {
        "bases": study.fingerprints,
        "tasks": study.tasks,
        "evaluation": study.evaluation.model_dump(mode="json"),
    } | ({"model": told} if told else {})
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=list).encode()).hexdigest()[:12]


def _used_up(study: Study, store: Store, seconds: float) -> str:
    """Which budget is used up, in words; empty while none is. The disk is what is measured; states come and go."""
    minutes, disk = study.budget.minutes, study.budget.disk_gb
    if minutes is not None and seconds > 60 * minutes:
        return f"the budget of {minutes:g} minutes is used up"
    if disk is not None and store.size() > disk * 1e9:
        return f"the disk budget of {disk:g} GB is used up"
    return ""


def _as_it_stands(job: Job, store: Store) -> Job:
    """The job with what is done by now: a retry must not measure again what the first try has given."""
    if job.steps == (0,):
        return job
    done = frozenset(store.done(job.id))
    return replace(job, done=done, state=str(store.state_dir(job.id)))


def _remember(store: Store, event: Event, evaluation: str) -> None:
    """One event to the store. A base that fails shows in its runs, which lack it."""
    if event.job.startswith(BASE):
        if event.kind == "measured":
            measured: Measured = event.value
            store.write_base(event.job.removeprefix(BASE), measured.records, measured.costs, evaluation)
        return
    if event.kind == "measured":
        store.write_checkpoint(event.job, event.value.checkpoint, event.value.records, event.value.costs)
    elif event.kind in STATES:
        store.mark(event.job, STATES[event.kind], event.message)
