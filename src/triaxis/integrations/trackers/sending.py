"""Sending points to a tracker from a process of its own, so that nothing that a tracker does reaches the run."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from multiprocessing import get_context
from multiprocessing.connection import Connection
from queue import Empty
from typing import Any

from triaxis.integrations.trackers import Destination, Tracked, opened

PATIENCE = 60.0  # seconds without an answer, after which a tracker is given up
SECONDS = "TRIAXIS_TRACKER_SECONDS"  # the environment's say in that
LONGEST = 200  # characters of what a tracker complains of


class Sender:
    """A tracker in its own process. What is sent waits there, in order; nothing here waits for it, until `close`.

    The first failure, or silence for longer than `patience`, switches it off: one line to `tell`, and from then on
    what is sent goes nowhere.
    """

    def __init__(self, to: Destination, tell: Callable[[str], None], patience: float | None = None) -> None:
        self.to, self.tell = to, tell
        self.patience = patience or float(os.environ.get(SECONDS) or PATIENCE)
        self.sent = self.already = 0  # checkpoints that the tracker took, and that it had
        self.failed = ""
        self._last = time.monotonic()  # when it last answered
        self._waiting = deque([self._last])  # when what is not answered was sent; first of all: opening it
        context = get_context("spawn")
        self._queue = context.Queue()
        self._queue.cancel_join_thread()  # what a dead tracker never took must not keep this process
        self._heard, theirs = context.Pipe(duplex=False)
        self._process = context.Process(target=_serve, args=(self._queue, theirs, to, os.getpid()), daemon=True)
        try:
            self._process.start()
        except OSError as problem:  # no more processes, or no memory for one
            self._give_up(_line(problem))
        theirs.close()

    def log(self, run: Tracked, step: int, values: Mapping[str, float]) -> None:
        """Send the values of a checkpoint; those that the tracker has are left out there."""
        self._put(("log", run, step, dict(values)))

    def end(self, run: Tracked, failed: bool) -> None:
        """Say that a run is over."""
        self._put(("end", run, failed))

    def close(self) -> None:
        """Wait for what was sent, as long as the tracker answers within its patience, and let go of it."""
        self._put(("close",))
        while not self.failed and self._waiting:
            self._heard.poll(min(1.0, self.patience))
            self._hear()
        self._stop()

    def _put(self, message: tuple[Any, ...]) -> None:
        self._hear()
        if not self.failed:
            self._waiting.append(time.monotonic())
            self._queue.put(message)

    def _hear(self) -> None:
        """Take what the tracker has answered so far."""
        try:
            while not self.failed and self._heard.poll():
                kind, value = self._heard.recv()
                self._last = time.monotonic()
                if kind == "note":
                    self.tell(f"triaxis: note: {self.to.kind}: {value}")
                elif kind == "failed":
                    self._give_up(value)
                else:
                    self._waiting.popleft()
                    self.sent += kind == "new"
                    self.already += kind == "there"
        except (EOFError, OSError):
            if self._waiting:
                self._process.join(timeout=5)
                self._give_up(f"its process died (exit code {self._process.exitcode})")
        if self._waiting and time.monotonic() - max(self._last, self._waiting[0]) > self.patience:
            self._give_up(f"no answer for {self.patience:g} s")

    def _give_up(self, why: str) -> None:
        if self.failed:
            return
        self.failed = why
        self.tell(
            f"triaxis: warning: {self.to.kind} is switched off: {why}; nothing measured is lost, and 'triaxis track' "
            f"sends it again ({self.to.log})"
        )
        self._stop()

    def _stop(self) -> None:
        if self._process.pid is not None and self._process.is_alive():
            self._process.join(timeout=0 if self.failed else 5)
            self._process.kill()
            self._process.join(timeout=5)
        self._heard.close()
        self._queue.close()
        self._waiting.clear()


# -- in the tracker's process -----------------------------------------------------------------------------------------


def _serve(queue: Any, answers: Connection, to: Destination, parent: int) -> None:
    """Open the tracker, take what comes, and answer each message once it is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C: what is measured is still sent
    code = 0
    try:
        _apart(to)
        _work(queue, answers, to, parent)
    except BaseException as problem:  # whatever a library raises, SystemExit too
        code = 1
        with contextlib.suppress(OSError):
            answers.send(("failed", _line(problem)))
    os._exit(code)  # what libraries do on leaving may wait for a server that is gone


def _apart(to: Destination) -> None:
    """What the library prints goes to a file, and nobody can be asked for a password."""
    try:
        to.local.mkdir(parents=True, exist_ok=True)
        out = os.open(to.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError:
        out = os.open(os.devnull, os.O_WRONLY)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for stream, place in ((0, nothing), (1, out), (2, out)):
        os.dup2(place, stream)
    sys.stdin = os.fdopen(0)


def _work(queue: Any, answers: Connection, to: Destination, parent: int) -> None:
    tracker, note = opened(to)
    if note:
        answers.send(("note", note))
    answers.send(("done", None))
    changed: set[str] = set()
    while (message := _next(queue, parent)) is not None:
        kind, *rest = message
        if kind == "close":
            break
        if kind == "log":
            run, step, values = rest
            there = tracker.has(run).get(step, frozenset())
            if new := {name: value for name, value in values.items() if name not in there}:
                tracker.log(run, step, new)
                changed.add(run.name)
            _answer(answers, ("new" if new else "there", None))
        else:
            run, failed = rest
            if failed or run.name in changed:
                tracker.end(run, failed)
            _answer(answers, ("done", None))
    tracker.close()
    _answer(answers, ("done", None))


def _next(queue: Any, parent: int) -> Any:
    """The next message; None where there is none left and whoever sent them was killed."""
    while True:
        try:
            return queue.get(timeout=1.0)
        except Empty:
            if os.getppid() != parent:
                return None


def _answer(answers: Connection, word: tuple[str, None]) -> None:
    with contextlib.suppress(OSError):  # nobody is left to hear it
        answers.send(word)


def _line(problem: BaseException) -> str:
    line = next((line.strip() for line in str(problem).splitlines() if line.strip()), "no reason given")
    return f"{type(problem).__name__}: {line[:LONGEST]}"
