"""What travels between a study and an engine: jobs out, measurements back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from triaxis.execute.keeping import Keep, Room
from triaxis.execute.layout import ALONE, Layout
from triaxis.records.choices import Selected, Stop
from triaxis.types import Checkpoint, Level, NotEstimable, Reading, Record

STATE = "resume.pt"  # what a job writes to go on from, in the folder of its state
ENDED = "end.pt"  # of a training that runs share: where they go on from


@dataclass(frozen=True)
class Job:
    """One run to follow, or (`steps` only 0) one base to measure. Plain values: it crosses processes and machines."""

    id: str  # a run's id, or a base's name
    settings: Mapping[str, Level]  # every "axis.key"
    seed: int
    steps: tuple[int, ...]  # of the trajectory; the last is the length of the run
    tasks: Mapping[str, tuple[str, ...]]  # by group
    evaluation: Mapping[str, Any]  # items, samples, temperature, max_new_tokens, modes, seed, batch_size
    done: frozenset[int]  # steps whose records are already safe
    state: str | None  # folder for the state to resume from
    read: Mapping[str, str] = field(default_factory=dict)  # files and libraries by name, with their fingerprints
    diagnostics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # asked for, with their settings
    diagnosed: Mapping[int, frozenset[str]] = field(default_factory=dict)  # by step, those that are already safe
    losses: Mapping[int, float | None] = field(default_factory=dict)  # of the steps whose records are safe
    layout: Layout = ALONE  # over processes
    # Of an adaptive evaluation: the base's score on each item, by task and mode.
    base_scores: Mapping[tuple[str, str], Mapping[str, float]] = field(default_factory=dict)
    select: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # tasks of the selection split, by group
    select_items: int = 0  # a task
    selected: Mapping[int, tuple[Selected, ...]] = field(default_factory=dict)  # what is known of that, by step
    keep: Keep | None = None  # whose weights
    room: Room | None = None  # on the disk
    together: tuple[Job, ...] = ()  # the runs that share this training up to `until`; empty: the run alone
    until: int | None = None
    # Files with the states in which shared trainings ended, the best to go on from first; each with whether the run is
    # the one that accounts for what no run's checkpoint does.
    starts: tuple[tuple[str, bool], ...] = ()

    def to_diagnose(self, step: int) -> tuple[str, ...]:
        """The diagnostics that a checkpoint still lacks."""
        return tuple(name for name in self.diagnostics if name not in self.diagnosed.get(step, ()))

    def lacks(self, step: int) -> bool:
        """Whether a checkpoint is still to be measured, or a diagnostic of it."""
        return step not in self.done or bool(self.to_diagnose(step))


@dataclass(frozen=True)
class Measured:
    """A checkpoint with its records and what it took, by phase: (seconds, tokens).

    "train" counts tokens in forward passes (as "retrain", where only diagnostics were lacking), "evaluate" and "select"
    tokens generated, "diagnostic.gradient_norm" tokens in forward passes. These are what the run would take alone;
    "saved.train" and the like are the part of it that another run, which shares it, took.
    """

    checkpoint: Checkpoint
    records: tuple[Record, ...] | None  # None: these are safe, and only diagnostics were lacking
    costs: Mapping[str, tuple[float, int]]
    diagnostics: Mapping[str, Reading | NotEstimable] = field(default_factory=dict)  # by column
    selected: tuple[Selected, ...] = ()  # what it came to on the selection split
    stop: Stop | None = None  # the run ends here by its rule
    run: str = ""  # whose checkpoint it is, where a job follows several runs
