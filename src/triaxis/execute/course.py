"""A run while it is followed: which of its checkpoints lack something, where it ends, and whose weights it keeps."""

from __future__ import annotations

from collections.abc import Sequence

from triaxis.execute.job import Job
from triaxis.execute.keeping import step_of
from triaxis.execute.stopping import Rule, stop_of
from triaxis.records.choices import Selected, Stop


class Course:
    """What is known of a run so far. Whoever follows it tells it what its checkpoints come to."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.scores: dict[int, tuple[Selected, ...]] = dict(job.selected)
        self._rule = Rule.of(job.settings)
        self.keep = job.keep if job.keep and job.keep.folder else None
        self._there = self.keep.there() if self.keep else set()

    @property
    def stop(self) -> Stop | None:
        """The decision to end it before its last step, where there is one."""
        return stop_of(self._rule, self.job.steps, self.scores)

    @property
    def end(self) -> int:
        """Its last step, as far as is known."""
        stop = self.stop
        return stop.step if stop else self.job.steps[-1]

    @property
    def steps(self) -> list[int]:
        """Its checkpoints after the base, up to its end."""
        end = self.end
        return [step for step in self.job.steps if 0 < step <= end]

    def before(self, step: int) -> int:
        """Its last checkpoint before a step; 0 is the base."""
        return max((s for s in self.job.steps if s < step), default=0)

    def lacks_score(self, step: int) -> bool:
        """Whether a checkpoint is still to be scored on the selection split."""
        return bool(self.job.select) and step not in self.scores

    def unmeasured(self) -> list[int]:
        """The checkpoints whose records aren't safe."""
        return [step for step in self.steps if step not in self.job.done]

    def lacking(self) -> list[int]:
        """The checkpoints that lack something: records, a diagnostic, a score on the selection split, weights."""
        unkept = {step_of(name) for name in self._wanted() - self._there}
        return [s for s in self.steps if s in unkept or self.job.lacks(s) or self.lacks_score(s)]

    def untidy(self) -> bool:
        """Whether weights of a former best are left."""
        best = {name for name in self._there if "/" in name}
        return bool(best - self._wanted()) and bool(best & self._wanted())

    def to_keep(self, step: int) -> list[str]:
        """The folders to be written of this checkpoint's weights."""
        return [name for name in sorted(self._wanted() - self._there) if step_of(name) == step]

    def kept(self, name: str) -> None:
        """Take note that a folder is there."""
        self._there.add(name)

    def tidy(self) -> None:
        """Remove what is left of an interrupted try, and a former best."""
        if self.keep:
            self.keep.tidy(self._wanted())
            self._there = self.keep.there()

    def _wanted(self) -> set[str]:
        return self.keep.wanted(self.job.steps, self.end, self.scores) if self.keep else set()


def stops_of(courses: Sequence[Course], until: int | None) -> list[int]:
    """Where a training that runs share is looked at: at each one's checkpoints, and where they part."""
    steps = {s for course in courses for s in course.job.steps if s > 0 and (until is None or s <= until)}
    return sorted(steps | ({until} if until is not None else set()))


def horizon(courses: Sequence[Course], until: int | None) -> int:
    """The step up to which they still have to be trained together."""
    if until is None:
        return max((step for course in courses for step in course.lacking()), default=0)
    lacking = {step for course in courses for step in course.lacking()}
    return until if any(step > until for step in lacking) else max(lacking, default=0)


def accounted(courses: Sequence[Course], step: int) -> int:
    """The last step before this one that is on the account of one of these runs: that of a checkpoint of theirs."""
    return max((s for course in courses for s in course.steps if s < step), default=0)
