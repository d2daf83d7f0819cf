"""TensorBoard: a folder of event files, one a checkpoint, each there whole or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from triaxis.integrations.trackers import Destination, Points, Tracked


class TensorBoard:
    """A folder a run below `place`, and in it a file a checkpoint, named by its step and what it holds.

    TensorBoard reads all of them as one run, in the order of their names. A file that is there need not be written
    again, so a session that was killed anywhere is gone on with exactly.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self._has: dict[str, dict[int, set[str]]] = {}

    def has(self, run: Tracked) -> Points:
        if run.name not in self._has:
            self._has[run.name] = _read(self._folder(run))
        return self._has[run.name]

    def log(self, run: Tracked, step: int, values: Mapping[str, float]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        now, folder = time.time(), self._folder(run)
        points = [Summary.Value(tag=name, simple_value=value) for name, value in sorted(values.items())]
        names = hashlib.sha256("\0".join(sorted(values)).encode()).hexdigest()[:8]
        if not self.has(run):
            _write(folder / _name(0, "settings"), [Event(wall_time=now, step=0, summary=_settings(run))])
        event = Event(wall_time=now, step=step, summary=Summary(value=points))
        _write(folder / _name(step, names), [event])
        self._has[run.name].setdefault(step, set()).update(values)

    def end(self, run: Tracked, failed: bool) -> None:
        """TensorBoard knows no end."""

    def close(self) -> None:
        """Every file is closed."""

    def _folder(self, run: Tracked) -> Path:
        return self.place / re.sub(r"[^\w.=,+-]", "_", run.name)


def opened(to: Destination) -> tuple[TensorBoard, str]:
    """The tracker, and what to know of it."""
    import tensorboard.compat.proto.event_pb2  # noqa: F401 - a broken installation is to be told of now

    place = Path(to.place)
    place.mkdir(parents=True, exist_ok=True)
    return TensorBoard(place), ""


def _name(step: int, what: str) -> str:
    return f"events.out.tfevents.{step:010d}.{what}.triaxis"


def _settings(run: Tracked) -> Any:
    """The run's settings for TensorBoard's table of hyperparameters."""
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb

    return hparams_pb(dict(run.config), trial_id=run.name)


def _write(path: Path, events: Iterable[Any]) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"draft.{os.getpid()}")  # without "tfevents", by which TensorBoard knows its files
    with draft.open("wb") as file:
        writer = RecordWriter(file)
        for event in (Event(wall_time=time.time(), file_version="brain.Event:2"), *events):
            writer.write(event.SerializeToString())
    draft.replace(path)


def _read(folder: Path) -> dict[int, set[str]]:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    found: dict[int, set[str]] = {}
    for path in sorted(folder.glob("events.out.tfevents.*.triaxis")):
        for event in EventFileLoader(str(path)).Load():
            names = {value.tag for value in event.summary.value if not value.tag.startswith("_hparams_")}
            if names:
                found.setdefault(event.step, set()).update(names)
    return found
