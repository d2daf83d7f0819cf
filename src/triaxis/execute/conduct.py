"""A whole study: bases measured, runs followed on an engine, everything in the store as it comes."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from triaxis.execute.engine import Engine, Event
from triaxis.execute.job import Job, Measured
from triaxis.execute.layout import ALONE, Layout
from triaxis.records import Diagnostics, Store
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
BASE = "base:"  # how the job that measures a base is called


@dataclass(frozen=True)
class Conducted:
    """How a study stands after it was conducted."""

    done: int
    failed: dict[str, str]  # job: why
    left: int  # runs not finished
    stopped: str  # why it ended before its runs did; empty if it didn't


def conduct(
    study: Study, store: Store, engine: Engine, watcher: Watcher = lambda event: None, layout: Layout = ALONE
) -> Conducted:
    """Measure what the store does not hold yet, and say how the study stands.

    Bases come first, then the runs seed by seed, so that a study stopped early is still balanced. A run that fails is
    marked and the others go on. When a budget is used up, runs are stopped at their last checkpoint; their state is
    kept, and conducting again goes on from there.
    """
    runs = {run.id: run for run in study.runs()}
    store.add_runs((r.id, r.seed, study.name, r.condition.levels, r.condition.settings) for r in runs.values())
    jobs = [replace(job, layout=layout) for job in to_do(study, store)]
    unmeasured = {id for id, run in runs.items() if not _measured(store, run)}
    held = _held(study, store, jobs)
    submitted: list[Job] = []

    def submit(job: Job) -> None:
        submitted.append(job)
        engine.submit(job.id, layout.work, partial(_as_it_stands, job, store, evaluation_id(study)))

    for job in jobs:
        if job.id in unmeasured:
            store.mark(job.id, "waiting")  # a process that was killed leaves its runs as running
        if job.id not in held:
            submit(job)
    bases = {job.id for job in submitted if job.steps == (0,)}  # that are still to be measured
    began, stopped = time.monotonic(), ""
    try:
        for event in engine.watch():
            if event.kind == "measured":
                _keep(study, store, event.job, event.value)
            # Of a run that lacks diagnostics alone, every record is there: it stays done, whatever comes of them.
            elif event.kind in STATES and event.job in unmeasured:
                store.mark(event.job, STATES[event.kind], event.message)
            watcher(event)
            if event.kind == "measured" and not stopped:
                stopped = _used_up(study, store, time.monotonic() - began)
                for job in submitted if stopped else ():
                    engine.cancel(job.id)
            if event.kind in ("done", "failed") and event.job in bases:
                bases.remove(event.job)
                for job in _unheld(study, store, jobs, held) if not (bases or stopped) else ():
                    submit(job)
    finally:
        engine.close()
    endings = {job.id: engine.collect(job.id) for job in submitted}
    states = {status.run: status.state for status in store.status()}
    failed = {job: ending.message for job, ending in endings.items() if ending.state == "failed"}
    done = sum(states[id] == "done" and id not in failed and complete(study, store, run) for id, run in runs.items())
    return Conducted(done, failed, len(runs) - done - sum(job in runs for job in failed), stopped)


def to_do(study: Study, store: Store) -> Iterator[Job]:
    """The jobs that a study still needs, in the order in which they should start."""
    runs = study.runs()
    by_base = {str(run.condition.settings["model.base"]): run for run in runs}
    there = store.bases_done(evaluation_id(study))
    for base in sorted(by_base):
        job = job_of(study, by_base[base], base=True)
        if base not in there or any(job.diagnostics.keys() - store.diagnosed("", job.diagnostics, base).get(0, ())):
            yield job
    states = {status.run: status.state for status in store.status()}
    for run in runs:  # seed by seed
        if states.get(run.id) != "done" and _measured(store, run):  # killed after its last checkpoint
            store.mark(run.id, "done")
        if not complete(study, store, run):
            yield job_of(study, run)


def _held(study: Study, store: Store, jobs: Sequence[Job]) -> set[str]:
    """The runs that can't be asked yet: what an adaptive evaluation asks depends on their base, which isn't measured.

    They start together, once no base is left to be measured, so that a study stopped early is still balanced.
    """
    if study.evaluation.adaptive is None:
        return set()
    there = store.bases_done(evaluation_id(study))
    return {job.id for job in jobs if job.steps != (0,) and job.settings["model.base"] not in there}


def _unheld(study: Study, store: Store, jobs: Sequence[Job], held: set[str]) -> list[Job]:
    """Those of them whose base is measured by now; the others are left, as their base failed."""
    left = _held(study, store, jobs)
    return [job for job in jobs if job.id in held - left]


def asked_of(study: Study) -> Mapping[str, Mapping[str, Any]]:
    """The diagnostics that a study asks for with all of their settings: to give a default is to ask for the same."""
    if not study.diagnostics:
        return {}
    from triaxis.execute.run import with_defaults  # the check has loaded torch by now

    return with_defaults(study.diagnostics)


def _measured(store: Store, run: Run) -> bool:
    """Whether the records of every checkpoint are there."""
    return set(run.steps[1:]) <= store.done(run.id)


def trained_again(study: Study, store: Store) -> int:
    """How many runs have to be trained again only because diagnostics were asked for after they were measured."""
    return sum(_measured(store, run) and not complete(study, store, run) for run in study.runs())


def complete(study: Study, store: Store, run: Run) -> bool:
    """Whether every checkpoint of a run is there, with the diagnostics that are asked for."""
    return len(complete_steps(study, store, run)) == len(run.steps) - 1


def complete_steps(study: Study, store: Store, run: Run) -> list[int]:
    """The steps of a run after the base at which nothing is left to be measured."""
    done, there = store.done(run.id), store.diagnosed(run.id, asked_of(study))
    return [s for s in run.steps[1:] if s in done and study.diagnostics.keys() <= there.get(s, frozenset())]


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
        diagnostics=asked_of(study),
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


def _as_it_stands(job: Job, store: Store, evaluation: str) -> Job:
    """The job with what is done by now: a retry must not measure again what the first try has given."""
    if job.steps == (0,):
        base = job.id.removeprefix(BASE)
        done = frozenset({0} if base in store.bases_done(evaluation) else ())
        return replace(job, done=done, diagnosed=store.diagnosed("", job.diagnostics, base) if done else {})
    done = frozenset(store.done(job.id))
    there = {step: names for step, names in store.diagnosed(job.id, job.diagnostics).items() if step in done}
    losses = {step: loss for step, loss in store.losses(job.id).items() if step in done}
    scores = store.base_scores(str(job.settings["model.base"])) if job.evaluation.get("adaptive") else {}
    state = str(store.state_dir(job.id))
    return replace(job, done=done, state=state, diagnosed=there, losses=losses, base_scores=scores)


def _keep(study: Study, store: Store, job: str, measured: Measured) -> None:
    """What was measured to the store, before anything else happens."""
    found = Diagnostics(measured.diagnostics, asked_of(study))
    run, base = ("", job.removeprefix(BASE)) if job.startswith(BASE) else (job, "")
    step, records, costs = measured.checkpoint.step, measured.records, measured.costs
    if records is None:
        store.add_diagnostics(run, base, step, found, costs)
    elif base:
        store.write_base(base, records, costs, evaluation_id(study), found)
    else:
        store.write_checkpoint(run, measured.checkpoint, records, costs, diagnostics=found)
