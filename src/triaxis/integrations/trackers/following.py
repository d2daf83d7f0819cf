"""A study's runs shown in trackers while they run: each checkpoint as it is measured, after those that are there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from triaxis.execute.conduct import BASE, complete, evaluation_id
from triaxis.execute.engine import Event
from triaxis.integrations.trackers import Destination, Tracked
from triaxis.integrations.trackers.points import (
    Sent,
    kept,
    kept_runs,
    known_runs,
    of_diagnostics,
    of_records,
    values_of,
)
from triaxis.integrations.trackers.sending import Sender

if TYPE_CHECKING:
    from triaxis.execute.job import Measured
    from triaxis.records import Store
    from triaxis.study import Study


Message = Callable[[Sender], None]


def log(sent: Sent) -> Message:
    """To send a point."""
    return lambda to: to.log(*sent)


def end(run: Tracked, failed: bool) -> Message:
    """To say that a run is over."""
    return lambda to: to.end(run, failed)


class Following:
    """Takes the events of a study and sends what they measure to its trackers.

    What the folder holds already goes first; trackers leave out what they have, so a study that goes on, or is given a
    tracker later, has every point once. A run's points wait for its base, which is their step 0.
    """

    def __init__(self, to: Sequence[Destination], study: Study, store: Store, tell: Callable[[str], None]) -> None:
        self.senders = [Sender(destination, tell) for destination in to]
        self._study, self._store = study, store
        self._runs = known_runs(study) if to else {}
        self._together: dict[str, dict[str, None]] = {}  # by the job of what runs share, those that it has measured
        self._bases: dict[str, dict[str, float]] = {}  # empty: it failed, and nobody waits for it
        self._held: dict[str, list[tuple[str, Message]]] = {}  # by base, what waits for it
        self._begun: set[str] = set()  # runs that have their step 0
        if to:
            there = kept(store, self._runs)
            measured = store.bases_done(evaluation_id(study))
            self._bases = {base: values for base, values in there.bases.items() if base in measured}
            for sent in there.runs:
                self._of_run(sent.run.name, log(sent))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for base in list(self._held):
            self._release(base)
        for sender in self.senders:
            sender.close()

    def heard(self, event: Event) -> None:
        """Take note of what happened to a job, without waiting for any tracker."""
        if not self.senders:
            return
        base = event.job.removeprefix(BASE) if event.job.startswith(BASE) else ""
        if event.kind == "measured":
            self._measured(event.job, base, event.value)
        elif base and event.kind in ("done", "failed", "cancelled"):
            self._release(base)
        elif event.kind in ("done", "failed") and event.job in self._runs:
            self._of_run(event.job, end(self._runs[event.job][0], event.kind == "failed"))
        elif event.kind == "done":
            self._shared_done(event.job)

    def _measured(self, job: str, base: str, measured: Measured) -> None:
        point = measured.checkpoint
        if measured.records is None:  # these are there, and diagnostics were asked for later
            values = of_diagnostics(measured.diagnostics)
        else:
            values = values_of(point, of_records(measured.records), measured.diagnostics)
        if base:
            self._bases[base] = {**self._bases.get(base, {}), **values}
            self._begun -= {name for name, (_, of) in self._runs.items() if of == base}
            self._release(base)
        else:
            run = measured.run or job
            if run != job:
                self._together.setdefault(job, {})[run] = None
            self._of_run(run, log(Sent(self._runs[run][0], point.step, values)))

    def _shared_done(self, job: str) -> None:
        """What runs share is trained: those that lack nothing more, since they ended within it, are over."""
        there = {run.id: run for run in self._study.runs()}
        for run in self._together.pop(job, {}):
            if complete(self._study, self._store, there[run]):
                self._of_run(run, end(self._runs[run][0], False))

    def _of_run(self, job: str, message: Message) -> None:
        """Send it after the run's base, or keep it until that is measured."""
        run, base = self._runs[job]
        if base not in self._bases:
            self._held.setdefault(base, []).append((job, message))
            return
        if (values := self._bases[base]) and job not in self._begun:
            self._begun.add(job)
            self._say(log(Sent(run, 0, values)))
        self._say(message)

    def _release(self, base: str) -> None:
        """Nobody waits for this base any more: it is measured, or won't be."""
        self._bases.setdefault(base, {})
        for job, message in self._held.pop(base, []):
            self._of_run(job, message)

    def _say(self, message: Message) -> None:
        for sender in self.senders:
            message(sender)


def send_kept(store: Store, sender: Sender) -> int:
    """Send all that a folder holds, as its runs would have sent it; gives back the number of runs."""
    runs = kept_runs(store)
    there = kept(store, runs)
    own: dict[str, list[Sent]] = {}
    for sent in there.runs:
        own.setdefault(sent.run.name, []).append(sent)
    states = {status.run: status.state for status in store.status()}
    for name, listed in own.items():
        run, base = runs[name]
        if base in there.bases and listed[0].step > 0:
            sender.log(run, 0, there.bases[base])
        for sent in listed:
            sender.log(*sent)
        if states[name] in ("done", "failed"):
            sender.end(run, states[name] == "failed")
    return len(own)
