"""Runs in several processes, watched from a process of their own: what they measure, and how one of them ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

from triaxis.execute.engine import TryFailed, told
from triaxis.execute.job import Job, Measured
from triaxis.types import DiskFull, RunFailed

GRACE = 2.0  # seconds; that one process has died is heard of as a lost connection in the others, often before

_there: list[_Ranks] = []  # those of this process, kept for its next job: to start them takes seconds


def follow(job: Job) -> Iterator[Measured]:
    """What `run.follow` gives, of a run whose processes train together; the first of them follows it.

    Raises TryFailed where a process dies, with how; what a process raises comes as in one.
    """
    if _there and len(_there[0].ranks) != job.layout.processes:
        dismiss()
    if not _there:
        _there.append(_Ranks(job.layout.processes))
    ranks = _there[0]
    try:
        ranks.begin(job)
        while (value := ranks.next()) is not None:
            yield value
            ranks.go_on()
    except BaseException:  # GeneratorExit too: they would wait for ever
        dismiss()
        raise


def dismiss() -> None:
    """End the processes that were kept."""
    while _there:
        _there.pop().close()


@dataclass
class _Rank:
    process: subprocess.Popen[bytes]
    pipe: Connection
    lifeline: int  # closed by the end of this process, whatever ends it
    ended: bool = False  # nothing more is heard of it


class _Ranks:
    """The processes that train together, by number."""

    def __init__(self, size: int) -> None:
        self.ranks: list[_Rank] = []
        self.trouble: list[tuple[str, Any]] = []  # heard of, and told when what was measured before it is safe
        self.folder = tempfile.mkdtemp(prefix="triaxis-")
        try:
            for rank in range(size):
                self.ranks.append(_start())
                self.ranks[-1].pipe.send((rank, size, self.folder))
        except BaseException:
            self.close()
            raise

    def begin(self, job: Job) -> None:
        """Let the first process follow a run."""
        with contextlib.suppress(OSError):  # a death is heard of at the next turn
            self.ranks[0].pipe.send(job)

    def next(self) -> Measured | None:
        """The next measurement; None where the run is done. Raises what the first process to fail raised."""
        while not self.trouble:
            heard = self._news(None)
            self.trouble += [(kind, value) for kind, value in heard if kind not in ("measured", "done")]
            for kind, value in heard:
                if kind in ("measured", "done"):
                    return cast("Measured | None", value)
        raise self._failure()

    def go_on(self) -> None:
        """Tell the first process that its measurement is safe."""
        with contextlib.suppress(OSError):  # a death is heard of at the next turn
            self.ranks[0].pipe.send("go on")

    def close(self) -> None:
        for rank in self.ranks:
            rank.pipe.close()
            os.close(rank.lifeline)
            rank.process.kill()
            rank.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _news(self, seconds: float | None) -> list[tuple[str, Any]]:
        """What processes say within a time: one message of each that says something."""
        pipes = {id(rank.pipe): (place, rank) for place, rank in enumerate(self.ranks) if not rank.ended}
        ready = wait([rank.pipe for _, rank in pipes.values()], timeout=seconds)
        return [self._hear(*pipes[id(pipe)]) for pipe in ready]

    def _hear(self, place: int, rank: _Rank) -> tuple[str, Any]:
        try:
            kind, value = rank.pipe.recv()
        except (EOFError, OSError, UnpicklingError):  # it died, perhaps with half of a message sent
            rank.ended = True
            with contextlib.suppress(subprocess.TimeoutExpired):
                rank.process.wait(GRACE)
            code = rank.process.returncode
            died = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
            return "died", f"process {place} of {len(self.ranks)} died ({died})"
        return kind, value

    def _failure(self) -> Exception:
        """The cause among what several processes say: that another was lost is none."""
        heard, until = self.trouble, time.monotonic() + GRACE
        while (left := until - time.monotonic()) > 0 and not all(rank.ended for rank in self.ranks):
            heard += self._news(left)
        of = dict(reversed(heard))  # the first of each kind
        if "full" in of:
            return DiskFull(of["full"])
        if "final" in of:
            return RunFailed(of["final"])
        return TryFailed(of.get("died") or of.get("failed") or of["lost"])


def _start() -> _Rank:
    ours, theirs = Pipe()
    ends, lifeline = os.pipe()
    # An interpreter that finds what this one finds; a daemon's child can't be one of multiprocessing's own.
    where = os.pathsep.join(path for path in sys.path if path)
    # How accelerate is set up for other programs says nothing about this one.
    here = {name: value for name, value in os.environ.items() if not name.startswith(("ACCELERATE_", "FSDP_"))}
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, str(theirs.fileno()), str(ends)],
            env={**here, "PYTHONPATH": where},
            pass_fds=(theirs.fileno(), ends),
            stdin=subprocess.DEVNULL,
        )
    except BaseException:
        ours.close()
        os.close(lifeline)
        raise
    finally:
        theirs.close()
        os.close(ends)
    return _Rank(process, ours, lifeline)


# In a process of a run


def _serve(pipe: Connection, lifeline: int) -> None:
    """A process's life. The first follows runs, sends what is measured and waits to be told to go on; the others assist
    it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the pool decides what stops
    rank, size, folder = pipe.recv()
    threading.Thread(target=_die_with, args=(lifeline, folder), daemon=True).start()
    try:
        from triaxis.axes.optimization.crew import join  # both load torch
        from triaxis.execute.run import assist, follow

        crew = join(rank, size, str(Path(folder) / "meeting"))
        if rank > 0:
            assist(crew)
        while True:
            job = pipe.recv()
            for value in follow(job, replace(crew, sharding=job.layout.sharding)):
                pipe.send(("measured", value))
                pipe.recv()
            pipe.send(("done", None))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise
    except Exception as error:
        pipe.send(_lost(error, rank, size) or told(error))
        pipe.recv()  # the others may have more to say; then all are ended


def _lost(error: Exception, rank: int, size: int) -> tuple[str, str] | None:
    """That this process heard no more of another, where that is what an error of gloo or NCCL says."""
    text = str(error)
    if "gloo" not in text and "NCCL" not in text:
        return None
    why = "one of them hangs" if "imed out" in text else "a connection closed"
    return "lost", f"process {rank} of {size} lost the others ({why})"


def _die_with(lifeline: int, folder: str) -> None:
    """A process whose watcher has ended must not go on training for nobody."""
    os.read(lifeline, 1)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)  # at once: what torch would still do in order writes to the folder


if __name__ == "__main__":
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        _serve(Connection(int(sys.argv[1])), int(sys.argv[2]))
    time.sleep(GRACE)  # its watcher lets go of both or is dead
    os._exit(1)
