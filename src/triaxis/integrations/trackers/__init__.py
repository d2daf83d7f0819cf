"""Trackers that show runs while they are trained: TensorBoard, Weights & Biases, MLflow, behind one small protocol.

A tracker is a view: what is on the local disk is the truth, and `triaxis track` sends a folder again.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, Protocol

from triaxis.study.mistakes import nearest
from triaxis.types import Level, TriaxisError

FOLDER = "trackers"  # in a study's folder: where they write unless told otherwise
Points = Mapping[int, AbstractSet[str]]  # by step, the names of the values that a tracker has


class Kind(NamedTuple):
    """How a tracker comes to be: the file beside this one that has it, and what has to be installed."""

    module: str
    needs: tuple[str, ...]  # packages, as they are imported
    extra: str


TRACKERS = {
    "tensorboard": Kind("triaxis.integrations.trackers.tensorboard", ("tensorboard",), "triaxis[tensorboard]"),
    "wandb": Kind("triaxis.integrations.trackers.wandb", ("wandb",), "triaxis[wandb]"),
    "mlflow": Kind("triaxis.integrations.trackers.mlflow", ("mlflow", "sqlalchemy"), "triaxis[mlflow]"),
}


@dataclass(frozen=True)
class Tracked:
    """A run as a tracker sees it."""

    name: str  # its id
    config: Mapping[str, Level]  # every resolved setting, and its seed


class Tracker(Protocol):
    """Where the points of runs are sent. One process uses it; whatever it raises switches it off, and nothing else.

    A run goes on in the tracker's run of the same name, in this session or a later one.
    """

    def has(self, run: Tracked) -> Points:
        """What the tracker has of a run, from whatever session."""

    def log(self, run: Tracked, step: int, values: Mapping[str, float]) -> None:
        """Add values at an optimizer step; they are safe with the tracker when this returns, as far as it can tell."""

    def end(self, run: Tracked, failed: bool) -> None:
        """Say that a run is over."""

    def close(self) -> None:
        """Let go of everything, and say nothing of runs that are not over."""


@dataclass(frozen=True)
class Destination:
    """A tracker and where it writes."""

    kind: str
    place: str  # a folder, or of some trackers an address
    title: str  # of the study: the project, or experiment
    local: Path  # a folder for what is not sent: the log of the tracker's own words

    @property
    def log(self) -> Path:
        """The file with what the tracker's library prints."""
        return self.local / f"{self.kind}.log"


def destination(told: str, folder: Path, title: str) -> Destination:
    """The tracker that `NAME` or `NAME=PLACE` stands for; by default it writes into the study's folder.

    Raises TriaxisError for a name that is none, a place left empty, and where what it needs is not installed.
    """
    name, equals, place = told.partition("=")
    if name not in TRACKERS:
        near = nearest(name, TRACKERS)
        raise TriaxisError(f"no tracker is called {name!r}; {f'did you mean {near}? ' if near else ''}{_all()}")
    if equals and not place:
        raise TriaxisError(f"{told}: no place after the =; give a folder, or leave the = out")
    kind = TRACKERS[name]
    if missing := [package for package in kind.needs if not _installed(package)]:
        raise TriaxisError(f"{name} needs {' and '.join(missing)}, which is not here: pip install '{kind.extra}'")
    local = folder / FOLDER
    return Destination(name, place or str(local / name), title, local)


def _all() -> str:
    return f"there are {', '.join(TRACKERS)}"


def _installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def opened(to: Destination) -> tuple[Tracker, str]:
    """The tracker at a destination, its library loaded, and what the user should know of it (empty: nothing)."""
    tracker, note = import_module(TRACKERS[to.kind].module).opened(to)
    return tracker, note
