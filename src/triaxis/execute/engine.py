"""What every engine offers: submit jobs, watch them, cancel them, collect how they ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, Protocol

from triaxis.types import DiskFull, RunFailed, TriaxisError

State = Literal["waiting", "running", "done", "failed", "cancelled"]
Work = Callable[[Any], Iterator[Any]]


class TryFailed(Exception):
    """Why one try of a job came to nothing, in one line; another may go through."""


@dataclass(frozen=True)
class Event:
    """Something that happened to a job: it started, gave a measurement, was tried again, or settled."""

    job: str
    kind: Literal["started", "measured", "retried", "done", "failed", "cancelled"]
    value: Any = None  # of "measured": what the work yielded
    message: str = ""  # of "retried" and "failed": one line


@dataclass(frozen=True)
class Ending:
    """How a job stands: its state, how often it was tried, and why it failed."""

    state: State
    tries: int
    message: str = ""


class Engine(Protocol):
    """A place where jobs run. `execute.local` is one. `tests/test_engines.py` is the contract that every engine passes.

    A job is `work(payload)`, an iterator of measurements; `work` is named as "module:function" and imported where it
    runs, so that whoever submits it need not load what it needs. The work goes on past a measurement only when the
    watcher has asked for the next event, so a measurement that was handled is safe before anything after it happens.
    Work that dies (its process is killed, or it raises) is tried again from the start of the iterator, up to `retries`
    times; a `TriaxisError` or `RunFailed` would fail again and is not retried. A `DiskFull` would meet every job: the
    watch ends by raising it.
    """

    def submit(self, job: str, work: str, payload: Callable[[], Any]) -> None:
        """Queue a job under an id of its own, also while others are watched. `payload` is called when a try starts: a
        retry can tell what is done."""

    def watch(self) -> Iterator[Event]:
        """Events as they come, until every submitted job is settled."""

    def cancel(self, job: str) -> None:
        """Stop a waiting or running job; a settled one is left as it is."""

    def collect(self, job: str) -> Ending:
        """How a job stands now. Raises KeyError for an id that was never submitted."""

    def close(self) -> None:
        """Stop everything and give back what the engine holds."""


def told(error: Exception) -> tuple[Literal["full", "final", "failed"], str]:
    """What becomes of a job whose work raises, and why, in one line: `final` would fail again."""
    if isinstance(error, DiskFull):
        return "full", str(error)
    if isinstance(error, TriaxisError | RunFailed):
        return "final", str(error)
    if isinstance(error, TryFailed):
        return "failed", str(error)
    text = str(error) or "no message"
    return "failed", f"{type(error).__name__}: {text.splitlines()[0]}"


def imported(work: str) -> Work:
    """The function that "module:function" names."""
    module, _colon, name = work.partition(":")
    function: Work = getattr(import_module(module), name)
    return function
