"""A whole study: bases measured, runs followed on an engine, everything in the store as it comes."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from triaxis.execute.branching import Saving, by_chance, parts_of, saving_of
from triaxis.execute.course import Course
from triaxis.execute.engine import Engine, Event
from triaxis.execute.job import Job, Measured
from triaxis.execute.keeping import STATE_FOLDER, WEIGHTS, Keep, NoRoom, Room
from triaxis.execute.layout import ALONE, Layout
from triaxis.execute.queue import Feed, Queue, Ready
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
    study: Study,
    store: Store,
    engine: Engine,
    watcher: Watcher = lambda event: None,
    layout: Layout = ALONE,
    branching: bool = True,
) -> Conducted:
    """Measure what the store does not hold yet, and say how the study stands.

    Bases come first, then the runs seed by seed, so that a study stopped early is still balanced; what runs share is
    trained once (`branching`), before them. A run that fails is marked and the others go on. When a budget is used up,
    runs are stopped at their last checkpoint; their state is kept, and conducting again goes on from there.
    """
    runs = {run.id: run for run in study.runs()}
    store.add_runs((r.id, r.seed, study.name, r.condition.levels, r.condition.settings) for r in runs.values())
    jobs = [replace(job, layout=layout) for job in to_do(study, store)]
    unmeasured = {id for id, run in runs.items() if course_of(study, store, run).unmeasured()}
    for job in jobs:
        if job.id in unmeasured:
            store.mark(job.id, "waiting")  # a process that was killed leaves its runs as running
    evaluation = evaluation_id(study)
    lacking = [runs[job.id] for job in jobs if job.id in runs]
    parts = parts_of(study.runs()) if branching else []

    def standing(id: str) -> Job:
        return _as_it_stands(replace(job_of(study, runs[id]), layout=layout), store, evaluation)

    held, queue = _held(study, store, jobs), Queue(lacking, parts, store, standing)
    bases = {job.id for job in jobs if job.id not in runs}  # that are still to be measured
    feed = Feed(engine, layout.work)
    feed.add(Ready(job.id, partial(_as_it_stands, job, store, evaluation)) for job in jobs if job.id in bases)
    feed.add(queue.first() if not held else ())
    began, stopped = time.monotonic(), ""
    try:
        for event in engine.watch():
            told = event.kind == "measured" and not isinstance(event.value, NoRoom)
            if told:
                _keep(study, store, event.job, event.value)
            # Of a run that lacks diagnostics alone, every record is there: it stays done, whatever comes of them.
            for run in queue.members(event.job) if event.kind in STATES else ():
                if run in unmeasured and (run == event.job or event.kind == "started"):
                    store.mark(run, STATES[event.kind], event.message)
            if told or event.kind != "measured":
                watcher(event)
            if event.kind == "measured" and not stopped:
                stopped = _used_up(study, store, time.monotonic() - began) if told else event.value.message
                if stopped:
                    feed.cancel()
            if event.kind in ("done", "failed") and not stopped:
                if event.job in queue.by_id:
                    _settle(study, store, [runs[run] for run in queue.members(event.job)])
                bases.discard(event.job)
                if held and not bases:  # a run whose base failed is left
                    left, held = _held(study, store, jobs), set()
                    queue = Queue([run for run in lacking if run.id not in left], parts, store, standing)
                    feed.settled(queue.first())
                else:
                    feed.settled(queue.after(event.job))
                queue.clear(lambda id: complete(study, store, runs[id]))
    finally:
        engine.close()
    _settle(study, store, lacking)
    endings = {id: engine.collect(id) for id in feed.submitted}
    states = {status.run: status.state for status in store.status()}
    # What runs share is no run: where it failed, they went on alone.
    failed = {id: e.message for id, e in endings.items() if e.state == "failed" and id not in queue.by_id}
    done = sum(states[id] == "done" and id not in failed and complete(study, store, run) for id, run in runs.items())
    return Conducted(done, failed, len(runs) - done - sum(id in runs for id in failed), stopped)


def _settle(study: Study, store: Store, runs: Sequence[Run]) -> None:
    """Say how runs stand whose checkpoints were measured by another job, which several of them share."""
    states = {status.run: status.state for status in store.status()}
    for run in runs:
        if states[run.id] in ("waiting", "running"):
            store.mark(run.id, "done" if complete(study, store, run) else "waiting")


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
        course = course_of(study, store, run)
        if states.get(run.id) != "done" and not course.unmeasured():  # killed after its last checkpoint
            store.mark(run.id, "done")
        if course.lacking() or course.untidy():
            yield job_of(study, run)


def _held(study: Study, store: Store, jobs: Sequence[Job]) -> set[str]:
    """The runs that can't be asked yet: what an adaptive evaluation asks depends on their base, which isn't measured.

    They start together, once no base is left to be measured, so that a study stopped early is still balanced.
    """
    if study.evaluation.adaptive is None:
        return set()
    there = store.bases_done(evaluation_id(study))
    return {job.id for job in jobs if job.steps != (0,) and job.settings["model.base"] not in there}


def asked_of(study: Study) -> Mapping[str, Mapping[str, Any]]:
    """The diagnostics that a study asks for with all of their settings: to give a default is to ask for the same."""
    if not study.diagnostics:
        return {}
    from triaxis.execute.run import with_defaults  # the check has loaded torch by now

    return with_defaults(study.diagnostics)


def course_of(study: Study, store: Store, run: Run) -> Course:
    """A run as it stands."""
    return Course(_as_it_stands(job_of(study, run), store, ""))


def trained_again(study: Study, store: Store) -> int:
    """How many runs have to be trained again only because something was asked for after they were measured."""
    courses = (course_of(study, store, run) for run in study.runs())
    return sum(not course.unmeasured() and bool(course.lacking()) for course in courses)


def complete(study: Study, store: Store, run: Run) -> bool:
    """Whether nothing of a run is left to be done: every checkpoint, diagnostic and folder of weights is there."""
    course = course_of(study, store, run)
    return not course.lacking() and not course.untidy()


def complete_steps(study: Study, store: Store, run: Run) -> list[int]:
    """The steps of a run after the base at which nothing is left to be measured."""
    course = course_of(study, store, run)
    lacking = set(course.lacking())
    return [step for step in course.steps if step not in lacking]


def planned_steps(study: Study, store: Store, run: Run) -> list[int]:
    """The steps of a run after the base that it has, as far as is known: it may end by its rule before the last."""
    return course_of(study, store, run).steps


def saved(study: Study, store: Store, branching: bool = True) -> Saving:
    """What was not done again since runs share their first steps."""
    runs = study.runs()
    parts = parts_of(runs) if branching else []
    ends = {run.id: course_of(study, store, run).end for run in runs}
    return saving_of(runs, parts, ends, by_chance(study))


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
        select={} if base else study.selects(run.condition),
        select_items=study.selection.items,
        keep=Keep(study.trajectory.keep, study.selection.best) if study.trajectory.keep and not base else None,
        room=Room(1e9 * study.budget.disk_gb) if study.budget.disk_gb is not None else None,
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
    """Which budget is used up, in words; empty while none is."""
    minutes, disk = study.budget.minutes, study.budget.disk_gb
    if minutes is not None and seconds > 60 * minutes:
        return f"the budget of {minutes:g} minutes is used up"
    return Room(1e9 * disk, str(store.path)).lacks(0, "") if disk is not None else ""


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
    selected = store.selected(job.id) if job.select else {}
    keep = replace(job.keep, folder=str(store.path / WEIGHTS / job.id)) if job.keep else None
    room = replace(job.room, folder=str(store.path)) if job.room else None
    state = str(store.path / STATE_FOLDER / job.id)
    known = replace(job, done=done, diagnosed=there, losses=losses, selected=selected, base_scores=scores)
    return replace(known, state=state, keep=keep, room=room)


def _keep(study: Study, store: Store, job: str, measured: Measured) -> None:
    """What was measured to the store, before anything else happens."""
    found = Diagnostics(measured.diagnostics, asked_of(study))
    run, base = ("", job.removeprefix(BASE)) if job.startswith(BASE) else (measured.run or job, "")
    step, records, costs = measured.checkpoint.step, measured.records, measured.costs
    if records is None:
        store.add_diagnostics(run, base, step, found, costs, measured.selected, measured.stop)
    elif base:
        store.write_base(base, records, costs, evaluation_id(study), found)
    else:
        store.write_checkpoint(
            run,
            measured.checkpoint,
            records,
            costs,
            diagnostics=found,
            selected=measured.selected,
            stop=measured.stop,
        )
