"""The engine of one machine: a pool of single-threaded processes."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pickle import UnpicklingError
from typing import Any

from triaxis.execute.engine import Ending, Event, State, imported, told
from triaxis.types import DiskFull

THREADS = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
}


@dataclass
class _Job:
    id: str
    work: str
    payload: Callable[[], Any]
    state: State = "waiting"
    tries: int = 0
    message: str = ""


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection
    job: _Job | None = field(default=None)


class LocalPool:
    """An `Engine` of `processes` workers, each started when there is work for it and kept for the next job."""

    def __init__(self, processes: int, retries: int = 1) -> None:
        self.processes, self.retries = processes, retries
        self._jobs: dict[str, _Job] = {}
        self._waiting: deque[_Job] = deque()
        self._workers: list[_Worker] = []
        self._news: deque[Event] = deque()

    def submit(self, job: str, work: str, payload: Callable[[], Any]) -> None:
        if job in self._jobs:
            raise ValueError(f"job {job} was submitted before")
        self._jobs[job] = _Job(job, work, payload)
        self._waiting.append(self._jobs[job])

    def watch(self) -> Iterator[Event]:
        while True:
            self._hand_out()
            while self._news:
                yield self._news.popleft()
            busy = [w for w in self._workers if w.job is not None]
            if not busy and not self._waiting:
                return
            by_handle: dict[Any, _Worker] = {}
            for worker in busy:
                by_handle[worker.pipe] = by_handle[worker.process.sentinel] = worker
            ready = {id(by_handle[h]): by_handle[h] for h in wait(list(by_handle), timeout=1.0)}
            for worker in ready.values():
                if worker.job is not None:  # a consumer may have cancelled it meanwhile
                    yield from self._hear(worker)

    def cancel(self, job: str) -> None:
        target = self._jobs[job]
        if target.state == "waiting":
            self._waiting.remove(target)
        elif target.state == "running":
            self._discard(next(w for w in self._workers if w.job is target))
        else:
            return
        target.state = "cancelled"
        self._news.append(Event(job, "cancelled"))

    def collect(self, job: str) -> Ending:
        held = self._jobs[job]
        return Ending(held.state, held.tries, held.message)

    def close(self) -> None:
        for worker in list(self._workers):
            if worker.job is None:
                worker.pipe.close()  # an idle worker ends by itself when nobody can give it work
                worker.process.join(timeout=5)
            self._discard(worker)

    def _hand_out(self) -> None:
        while self._waiting:
            worker = next((w for w in self._workers if w.job is None), None)
            if worker is None and len(self._workers) == self.processes:
                return
            worker = worker or self._start()
            job = self._waiting[0]
            try:
                worker.pipe.send((job.work, job.payload()))
            except OSError:  # it died while it was idle: no fault of the job, which counts no try
                self._discard(worker)
                continue
            self._waiting.popleft()
            job.state, worker.job = "running", job
            job.tries += 1
            self._news.append(Event(job.id, "started"))

    def _start(self) -> _Worker:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, os.getpid()), daemon=True)
        with _environment(THREADS):  # read when a library is first loaded, so it has to be there at the start
            process.start()
        theirs.close()
        worker = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def _hear(self, worker: _Worker) -> Iterator[Event]:
        job = worker.job
        assert job is not None
        try:
            kind, value = worker.pipe.recv()
        except (EOFError, OSError, UnpicklingError):  # it died, perhaps with half of a message sent
            worker.process.join(timeout=5)
            code = worker.process.exitcode
            self._discard(worker)
            yield self._again_or_failed(job, f"its process {_death(code)}")
            return
        if kind == "measured":
            yield Event(job.id, "measured", value)
            if worker.job is job:
                with contextlib.suppress(OSError):  # a death is heard at the next turn
                    worker.pipe.send("go on")
            return
        worker.job = None
        if kind == "full":
            job.state, job.message = "failed", value
            raise DiskFull(value)
        if kind == "done":
            job.state = "done"
            yield Event(job.id, "done")
        else:
            yield self._again_or_failed(job, value, final=kind == "final")

    def _again_or_failed(self, job: _Job, message: str, final: bool = False) -> Event:
        job.message = message
        if not final and job.tries <= self.retries:
            job.state = "waiting"
            self._waiting.appendleft(job)
            return Event(job.id, "retried", message=message)
        job.state = "failed"
        return Event(job.id, "failed", message=message)

    def _discard(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.job = None
        worker.process.kill()
        worker.process.join()
        worker.pipe.close()


def _death(code: int | None) -> str:
    if code == -signal.SIGKILL:  # nobody can tell more: whoever is killed so says nothing any more
        return (
            "was killed (SIGKILL), by the system where memory ran out: lower optimization.micro_batch_size or "
            "evaluation.batch_size, or run fewer at once (--jobs)"
        )
    return f"died ({signal.Signals(-code).name if code is not None and code < 0 else f'exit code {code}'})"


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(pipe: Connection, parent: int) -> None:
    """A worker's life: take a job, send what it yields one by one, wait to be told to go on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the pool decides what stops
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            work, payload = pipe.recv()
            try:
                for value in imported(work)(payload):
                    pipe.send(("measured", value))
                    pipe.recv()
                pipe.send(("done", None))
            except (EOFError, BrokenPipeError, ConnectionResetError):
                raise
            except Exception as error:
                pipe.send(told(error))


def _die_with(parent: int) -> None:
    """A worker whose pool was killed must not go on training for nobody."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
