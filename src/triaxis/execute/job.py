"""What travels between a study and an engine: jobs out, measurements back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from triaxis.types import Checkpoint, Level, Record


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


@dataclass(frozen=True)
class Measured:
    """A checkpoint with its records and what it took, by phase: (seconds, tokens)."""

    checkpoint: Checkpoint
    records: tuple[Record, ...]
    costs: Mapping[str, tuple[float, int]]  # "train": tokens in forward passes; "evaluate": tokens generated
