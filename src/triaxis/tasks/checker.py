"""Whether answers are equal as mathematics: what plain comparison leaves open is asked of math-verify.

Symbolic comparison can hang, so each pair has a time limit; a process that doesn't answer in time is ended and another
is started. The processes are those of `math_worker`: pairs go in, verdicts come out, a line of JSON each. They are the
system's and no children of multiprocessing, since a run's worker may have none of those.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from types import TracebackType
from typing import Literal, Self

from triaxis.tasks.answers import Judged, quick_check, written_out
from triaxis.types import TriaxisError

Verdict = Literal["correct", "wrong", "unparsable", "timeout", "unchecked"]
VERDICTS: tuple[Verdict, ...] = ("correct", "wrong", "unparsable", "timeout", "unchecked")

SECONDS = 5.0  # for one pair
STARTING = 60.0  # seconds that a process may take to import its libraries
MEMORY = 4 << 30  # bytes of address space for a process: a short text can ask for a number without end
REMEMBERED = 4096  # pairs

_WORKER = (
    f"import resource, runpy; resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}));"
    "runpy.run_module('triaxis.tasks.math_worker', run_name='__main__')"
)


def require_math() -> None:
    """Raise TriaxisError where math-verify isn't installed."""
    if find_spec("math_verify") is None:
        raise TriaxisError("verifier=math needs math-verify; pip install 'triaxis[data]'")


def judge_math(given: str, reference: str) -> Judged:
    """Whether two answers are equal as mathematics; what can't be read or decided in `SECONDS` is unparsable.

    Raises TriaxisError where that takes math-verify and it isn't installed or can't be started.
    """
    verdict = _checker(os.getpid()).check([(given, reference)])[0]
    if verdict == "unchecked":
        require_math()
        raise TriaxisError("math-verify can't be started; pip install 'triaxis[data]'")
    return "unparsable" if verdict == "timeout" else verdict


@cache
def _checker(process: int) -> AnswerChecker:
    """One for this process: a fork must not talk to the processes of the one that it came from."""
    return AnswerChecker()


class AnswerChecker:
    """Checks pairs of a given answer and its reference, several at a time.

    `processes` of math-verify are started when the first pair needs one; `seconds` is the limit of a pair. Where
    math-verify isn't installed, what it would have decided is `unchecked`, and `missing` says so.
    """

    def __init__(self, processes: int = 1, seconds: float = SECONDS, command: Sequence[str] | None = None) -> None:
        if processes < 1 or not seconds > 0:
            raise ValueError("a checker has one process or more, and a limit above 0 seconds")
        self.processes, self.seconds = processes, seconds
        self.command = tuple(command or (sys.executable, "-c", _WORKER))
        self.missing = command is None and find_spec("math_verify") is None
        self._workers: list[_Worker] = []
        self._known: OrderedDict[tuple[str, str], Verdict] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_workers": []}  # processes stay where they were started

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # at the interpreter's end its modules may be gone
            self.close()

    def close(self) -> None:
        """End the processes; the next pair that needs one starts them again."""
        for worker in self._workers:
            worker.end()
        self._workers = []

    def check(self, pairs: Sequence[tuple[str, str]]) -> list[Verdict]:
        """The verdict on each pair (given, reference), in order."""
        verdicts: dict[int, Verdict] = {}
        asked: OrderedDict[tuple[str, str], list[int]] = OrderedDict()
        for i, pair in enumerate(pairs):
            verdict = quick_check(*pair) or self._known.get(pair) or ("unchecked" if self.missing else None)
            if verdict:
                verdicts[i] = verdict
            else:
                asked.setdefault(pair, []).append(i)
        for pair, verdict in self._ask(list(asked)):
            self._remember(pair, verdict)
            verdicts |= dict.fromkeys(asked[pair], verdict)
        return [verdicts[i] for i in range(len(pairs))]

    def _remember(self, pair: tuple[str, str], verdict: Verdict) -> None:
        self._known[pair] = verdict
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def _ask(self, pairs: list[tuple[str, str]]) -> Iterator[tuple[tuple[str, str], Verdict]]:
        """Each pair with its verdict, as they come; a process is asked one pair at a time."""
        while len(self._workers) < min(self.processes, len(pairs)):
            self._workers.append(_Worker(self.command, self.seconds))
        waiting = pairs[::-1]
        busy: dict[_Worker, tuple[str, str]] = {}
        while waiting or busy:
            for worker in self._workers:
                if worker not in busy and waiting:
                    busy[worker] = waiting.pop()
                    worker.ask(busy[worker])
            for worker, verdict in _answered(list(busy)):
                self.missing |= verdict == "unchecked"
                yield busy.pop(worker), verdict
            if self.missing:
                yield from ((pair, "unchecked") for pair in [*busy.values(), *waiting])
                self.close()
                return


def _answered(busy: list[_Worker]) -> list[tuple[_Worker, Verdict]]:
    """Waits until one of the processes has answered, has ended or is out of time; at least one verdict."""
    found: list[tuple[_Worker, Verdict]] = []
    while not found:
        with selectors.DefaultSelector() as selector:
            for worker in busy:
                selector.register(worker.output, selectors.EVENT_READ, worker)
            ready = selector.select(max(0.0, min(worker.deadline for worker in busy) - time.monotonic()))
        for key, _ in ready:
            if verdict := key.data.read():
                found.append((key.data, verdict))
        answered = {worker for worker, _ in found}
        for worker in busy:
            if worker not in answered and time.monotonic() >= worker.deadline:
                worker.end()
                found.append((worker, "timeout"))
    return found


class _Worker:
    """One process, and the pair that it is at."""

    def __init__(self, command: tuple[str, ...], seconds: float) -> None:
        self.command, self.seconds = command, seconds
        self.deadline = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._pair: tuple[str, str] = ("", "")
        self._begun = b""  # of a line that has not ended
        self._ready = False

    @property
    def output(self) -> int:
        assert self._process is not None and self._process.stdout is not None
        return self._process.stdout.fileno()

    def ask(self, pair: tuple[str, str]) -> None:
        self._pair = pair
        if self._process is None:
            self._ready, self._begun = False, b""
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
            self.deadline = time.monotonic() + STARTING  # its imports are no part of a comparison
        else:
            self._send()

    def _send(self) -> None:
        assert self._process is not None and self._process.stdin is not None
        self.deadline = time.monotonic() + self.seconds
        with contextlib.suppress(OSError):  # it has ended: reading from it tells
            self._process.stdin.write(json.dumps([written_out(text) for text in self._pair]).encode() + b"\n")
            self._process.stdin.flush()

    def read(self) -> Verdict | None:
        """The verdict if it is there in full. A process that ended by itself took more than the system gives."""
        part = os.read(self.output, 1 << 16)
        if not part:
            was_ready = self._ready
            self.end()
            return "timeout" if was_ready else "unchecked"
        *lines, self._begun = (self._begun + part).split(b"\n")
        for line in lines:
            if self._ready:
                said = json.loads(line)
                return said if said in VERDICTS else "unparsable"
            self._ready = True
            self._send()
        return None

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            with contextlib.suppress(OSError, ValueError):
                self._process.communicate()
        self._process = None
