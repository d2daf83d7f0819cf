"""Checkpoints that were trained elsewhere, measured into a folder as a study's are: what is missing, task by task."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from triaxis.execute.checkpoints import Point
from triaxis.execute.engine import Engine, Event
from triaxis.records import Store
from triaxis.records.portions import Portions, in_records
from triaxis.study.asking import Asking
from triaxis.types import Checkpoint, Level, TriaxisError

WORK = "triaxis.execute.answering:answer"  # by name: torch is loaded where it runs, not here
EVALUATED = "evaluated"  # the key under which a folder keeps what its checkpoints were asked
STUDY = "study"  # the key of a study's folder


@dataclass(frozen=True)
class Ask:
    """One checkpoint and what it is asked. Plain values: it crosses processes."""

    point: Point
    fingerprint: str  # of its weights, configuration and tokenizer
    tasks: tuple[tuple[str, str], ...]  # (group, task)
    evaluation: Mapping[str, Any]
    model: Mapping[str, Level]  # how it is loaded
    base: str = ""  # what its run started from, where that is told: adapters need it
    read: Mapping[str, str] = field(default_factory=dict)  # files and libraries by name, with their fingerprints
    done: frozenset[int] = frozenset()  # tasks, by place, that are safe
    # Of an adaptive evaluation: the base's score on each item, by task and mode.
    base_scores: Mapping[tuple[str, str], Mapping[str, float]] = field(default_factory=dict)

    @property
    def needs(self) -> str:
        """The base that has to be measured before: what an adaptive evaluation asks depends on it. Empty: none."""
        return self.base if self.point.run and self.evaluation.get("adaptive") else ""

    @property
    def id(self) -> str:
        """What was asked of which weights."""
        told = [self.fingerprint, self.tasks, self.evaluation, self.model, self.read]
        return hashlib.sha256(json.dumps(told, sort_keys=True, default=list).encode()).hexdigest()[:16]

    def portions(self, store: Store) -> Portions:
        """Where its tasks are kept until all are measured."""
        point = self.point
        key = f"{self.id}\0{point.run}\0{point.step}\0{'' if point.run else point.model}"
        return Portions(store.path, f"evaluate-{hashlib.sha256(key.encode()).hexdigest()[:16]}")


@dataclass(frozen=True)
class RunTold:
    """A run of somebody's trainer: its seed and factors as they were given, and the base it started from, if known."""

    name: str
    seed: int | None = None  # None: not told, which is 0
    levels: Mapping[str, Level] = field(default_factory=dict)
    base: str = ""


def ask_of(asking: Asking, read: Mapping[str, str], point: Point, fingerprint: str, base: str) -> Ask:
    """What a checkpoint is asked."""
    tasks = tuple((group, name) for group, names in asking.tasks.items() for name in names)
    evaluation = asking.evaluation.model_dump(mode="json")
    return Ask(point, fingerprint, tasks, evaluation, asking.model, base, dict(read))


def as_kept(asking: Asking, read: Mapping[str, str]) -> dict[str, Any]:
    """What a folder keeps of what its checkpoints are asked."""
    return {EVALUATED: {"settings": asking.settings, "read": dict(read)}}


def check_folder_of(out: Path, asking: Asking, read: Mapping[str, str]) -> None:
    """Refuse a folder of a study, or one whose checkpoints were asked something else: it would mix what can't be
    compared."""
    if not (out / "study.db").is_file():
        return
    with Store.open(out, read_only=True) as store:
        try:
            kept = store.study()
        except TriaxisError:
            if store.evaluations():
                raise
            return  # killed before it had begun
    if EVALUATED not in kept:
        raise TriaxisError(f"{out}: holds a study; choose another folder for checkpoints that were trained elsewhere")
    before, now = kept[EVALUATED], as_kept(asking, read)[EVALUATED]
    for name in dict.fromkeys([*before["settings"], *now["settings"]]):
        old, new = before["settings"].get(name), now["settings"].get(name)
        if json.dumps(old) != json.dumps(new, default=list):
            raise TriaxisError(
                f"{out}: its checkpoints were evaluated with {name} {_words(old)}, and now it is {_words(new)}; scores "
                "of the two can't be compared: put it back, or choose another --out"
            )
    for name, told in now["read"].items():
        if before["read"].get(name) != told:
            raise TriaxisError(
                f"{name}: has changed since checkpoints were asked it into {out}; put it back, or choose another --out"
            )


def _words(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "nothing"
    return "not given" if value is None else str(value)


def missing(asks: Sequence[Ask], store: Store) -> list[Ask]:
    """Those that are not measured. Raises TriaxisError where one is, of other weights."""
    measured = store.evaluations()
    left = []
    for ask in asks:
        point = ask.point
        told = measured.get((point.run, "" if point.run else point.model, point.step))
        if told is None:
            left.append(ask)
        elif told != ask.id:
            raise TriaxisError(
                f"{point.model}: {point.id} was measured on other weights; give it another run (--run) or another --out"
            )
    return left


def evaluate(
    asks: Sequence[Ask], store: Store, engine: Engine, heard: Callable[[Event], None] = lambda event: None
) -> dict[str, str]:
    """Measure these checkpoints, each task kept before the next; those that failed, with the reason.

    One that fails is told and the others go on. Doing it again goes on with what is left.
    """
    by_id = {ask.point.id: ask for ask in asks}
    held = _held(asks, store)
    submitted: list[str] = []

    def submit(ask: Ask) -> None:
        submitted.append(ask.point.id)
        engine.submit(ask.point.id, WORK, partial(_as_it_stands, ask, store))

    for ask in asks:
        if not any(ask in waiting for waiting in held.values()):
            submit(ask)
    try:
        for event in engine.watch():
            ask = by_id[event.job]
            if event.kind == "measured":
                ask.portions(store).keep(event.value.place, event.value.portion)
            elif event.kind == "done":
                _complete(ask, store)
                for waiting in held.pop(ask.point.model, ()) if not ask.point.run else ():
                    submit(waiting)
            heard(event)
    finally:
        engine.close()
    endings = {job: engine.collect(job) for job in submitted}
    failed = {job: ending.message for job, ending in endings.items() if ending.state != "done"}
    return failed | {
        ask.point.id: f"its base {base} could not be measured" for base, waiting in held.items() for ask in waiting
    }


def _held(asks: Sequence[Ask], store: Store) -> dict[str, list[Ask]]:
    """By base, the checkpoints that can't be asked before it is measured."""
    there = {base for run, base, _ in store.evaluations() if not run}
    held: dict[str, list[Ask]] = {}
    for ask in asks:
        if ask.needs and ask.needs not in there:
            held.setdefault(ask.needs, []).append(ask)
    return held


def mark_runs(asks: Sequence[Ask], failed: Mapping[str, str], store: Store) -> None:
    """Say how the runs of these checkpoints stand."""
    for run in dict.fromkeys(ask.point.run for ask in asks if ask.point.run):
        why = [failed[ask.point.id] for ask in asks if ask.point.run == run and ask.point.id in failed]
        store.mark(run, "failed" if why else "done", why[0] if why else "")


def _as_it_stands(ask: Ask, store: Store) -> Ask:
    scores = store.base_scores(ask.needs) if ask.needs else {}
    return replace(ask, done=frozenset(ask.portions(store).kept(len(ask.tasks))), base_scores=scores)


def _complete(ask: Ask, store: Store) -> None:
    """A checkpoint's tasks into its one file."""
    portions, point = ask.portions(store), ask.point
    kept = portions.kept(len(ask.tasks))
    records, seconds = in_records([kept[place] for place in range(len(ask.tasks))])
    costs = {"evaluate": (seconds, sum(record.response_tokens or 0 for record in records))}
    if point.run:
        store.write_checkpoint(point.run, Checkpoint(point.step), records, costs, ask.id)
    else:
        store.write_base(point.model, records, costs, ask.id)
    portions.drop()
