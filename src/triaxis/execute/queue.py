"""Which jobs of a study may start, and when: the parts that runs share come before the runs that go on from them."""

from __future__ import annotations

import math
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from triaxis.execute.branching import Part, home_of
from triaxis.execute.course import Course
from triaxis.execute.engine import Engine
from triaxis.execute.job import ENDED, STATE, Job
from triaxis.execute.keeping import STATE_FOLDER
from triaxis.records import Store
from triaxis.study import Run

Standing = Callable[[str], Job]  # a run's job with what is done by now


@dataclass(frozen=True)
class Ready:
    """A job that may start, by its id; the payload is made when it does."""

    id: str
    payload: Callable[[], Job]


@dataclass
class Queue:
    """The runs that lack something, in the order in which they should start, and the parts that they share.

    A part is trained where two runs or more lack something and one of them needs it: records before its end, or the
    state in which it ends. The others wait for it. Where it fails, each of its runs goes on alone, and is as it would
    be.
    """

    runs: Sequence[Run]  # that lack something
    parts: Sequence[Part]
    store: Store
    standing: Standing
    _waiting: dict[str, list[str]] = field(default_factory=dict)  # by what it waits for: parts and runs

    def __post_init__(self) -> None:
        self.by_id = {part.id: part for part in self.parts}
        self.home = home_of(self.parts)
        self._lacking = {run.id for run in self.runs}

    def first(self) -> Iterator[Ready]:
        """What may start at once; the rest waits."""
        needed = {part.id for part in self.parts if self._needs(part)}
        queued: set[str] = set()
        for run in self.runs:
            home = self.home.get(run.id)
            line = [part for part in reversed(list(home.line)) if part.id in needed] if home else []
            for before, part in zip([None, *line], line, strict=False):
                if part.id not in queued:
                    queued.add(part.id)
                    if before is None:
                        yield self._ready(part.id)
                    else:
                        self._waiting.setdefault(before.id, []).append(part.id)
            if line:
                self._waiting.setdefault(line[-1].id, []).append(run.id)
            else:
                yield self._ready(run.id)

    def after(self, job: str) -> Iterator[Ready]:
        """What may start since this job has settled; what lacks nothing any more is left out."""
        for id in self._waiting.pop(job, []):
            if id in self.by_id:
                if self._needs(self.by_id[id]):
                    yield self._ready(id)
                else:
                    yield from self.after(id)
            elif Course(self.standing(id)).lacking():
                yield self._ready(id)

    def members(self, job: str) -> tuple[str, ...]:
        """The runs that a job follows and that lacked something."""
        part = self.by_id.get(job)
        return tuple(run.id for run in part.runs if run.id in self._lacking) if part else (job,)

    def clear(self, done: Callable[[str], bool]) -> None:
        """Remove the states in which parts ended that no run needs any more."""
        for part in self.parts:
            folder = self._folder(part.id)
            if folder.exists() and all(done(run.id) for run in part.runs):
                shutil.rmtree(folder, ignore_errors=True)

    def _needs(self, part: Part) -> bool:
        courses = [Course(self.standing(run.id)) for run in part.runs if run.id in self._lacking]
        lacking = [(course, steps) for course in courses if (steps := course.lacking())]
        if len(lacking) < 2:
            return False
        if any(steps[0] <= part.end for _, steps in lacking):
            return True
        if (self._folder(part.id) / ENDED).exists():
            return False
        return any(not self._on_its_way(course.job.id, part) for course, _ in lacking)

    def _on_its_way(self, run: str, part: Part) -> bool:
        """Whether a run has a state beyond the part: its own, or that of a later part."""
        if (self.store.path / STATE_FOLDER / run / STATE).exists():
            return True
        home = self.home[run]
        return any((self._folder(p.id) / ENDED).exists() for p in home.line if p.begin >= part.end)

    def _folder(self, id: str) -> Path:
        return self.store.path / STATE_FOLDER / id

    def _ready(self, id: str) -> Ready:
        return Ready(id, lambda: self._of_part(self.by_id[id]) if id in self.by_id else self._of_run(id))

    def _of_run(self, id: str) -> Job:
        home = self.home.get(id)
        return replace(self.standing(id), starts=self._starts(id, home.line if home else ()))

    def _of_part(self, part: Part) -> Job:
        together = tuple(replace(self.standing(run.id), state=None) for run in part.runs if run.id in self._lacking)
        head = together[0]
        select: dict[str, tuple[str, ...]] = {}
        for job in together:
            select |= dict(job.select)
        starts = self._starts(head.id, part.parent.line) if part.parent else ()
        state = str(self.store.state_dir(part.id))
        return replace(head, id=part.id, state=state, together=together, until=part.end, starts=starts, select=select)

    def _starts(self, run: str, line: Iterator[Part] | tuple[Part, ...]) -> tuple[tuple[str, bool], ...]:
        return tuple((str(self._folder(part.id) / ENDED), self._pays(run, part)) for part in line)

    def _pays(self, run: str, part: Part) -> bool:
        """Whether the end of a part, after its last checkpoint, is on this run's account: the first that goes on."""
        going_on = (other.id for other in part.runs if Course(self.standing(other.id)).end > part.end)
        return next(going_on, "") == run


class Feed:
    """Hands jobs to an engine, as many at a time as it works on: what goes on from a job that is done comes before what
    has not begun, so that a study that is stopped is balanced, and few states lie about."""

    def __init__(self, engine: Engine, work: str) -> None:
        self.engine, self.work, self.submitted = engine, work, list[str]()
        self._waiting: deque[Ready] = deque()
        self._room: float = getattr(engine, "processes", math.inf)

    def add(self, jobs: Iterable[Ready]) -> None:
        """Take jobs in, in this order, after those that are there."""
        self._waiting.extend(jobs)
        self._hand_out()

    def settled(self, next_ones: Iterable[Ready]) -> None:
        """A job has settled; what goes on from it comes first."""
        self._room += 1
        self._waiting.extendleft(reversed(list(next_ones)))
        self._hand_out()

    def cancel(self) -> None:
        """Stop what was handed out, and hand out nothing more."""
        self._waiting.clear()
        for id in self.submitted:
            self.engine.cancel(id)

    def _hand_out(self) -> None:
        while self._waiting and self._room > 0:
            job = self._waiting.popleft()
            self._room -= 1
            self.submitted.append(job.id)
            self.engine.submit(job.id, self.work, job.payload)
