"""One pass over the rows that feeds every part of a profile, with worker processes where they pay."""

from __future__ import annotations

import copy
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from typing import Any, Protocol

from triaxis.types import Example, RunFailed

PAYS = 8 << 20  # characters; fewer are done before worker processes would have started
BATCH = 1 << 19  # characters that are handed to a worker at a time
BATCH_ROWS = 2048
AHEAD = 3  # batches that wait for a worker, so that it never waits for the reader; memory is bounded by it


class Part(Protocol):
    """One part of the profile: rows go in one by one, what another process saw is merged in, the result comes last."""

    def add(self, example: Example) -> None: ...

    def merge(self, other: Any) -> None: ...

    def result(self) -> Any: ...


Parts = dict[str, Part]


def feed(
    examples: Iterable[Example],
    here: Parts,
    spread: Parts,
    *,
    processes: int | None = None,
    heard: Callable[[int], None] = lambda seen: None,
) -> None:
    """Add every example to every part, in one pass. `heard` is told how many were read so far.

    The parts `here` see the rows in order. Those in `spread` may be copied to as many processes as `processes` (all
    cores by default), each of which sees some of the rows, without their `fields`, and are merged at the end.
    """
    wanted = processes or len(os.sched_getaffinity(0))
    blank = copy.deepcopy(spread) if wanted > 1 else {}
    workers: Workers | None = None
    seen = characters = 0
    try:
        for batch in batches(examples):
            add_all(here, batch)
            if workers is None and wanted > 1 and characters > PAYS:
                workers = Workers(blank, wanted)
            if workers is None:
                add_all(spread, batch)
            else:
                workers.add([replace(example, fields={}) for example in batch])
            seen, characters = seen + len(batch), characters + sum(map(size_of, batch))
            heard(seen)
        for parts in workers.gathered() if workers else ():
            for name, part in parts.items():
                spread[name].merge(part)
    finally:
        if workers is not None:
            workers.close()


def add_all(parts: Parts, batch: Sequence[Example]) -> None:
    """Every example to every part."""
    for part in parts.values():
        for example in batch:
            part.add(example)


def size_of(example: Example) -> int:
    """About how many characters an example holds."""
    said = sum(len(turn.content) for turn in example.turns)
    return 200 + said + len(example.thought or "") + len(example.solution)


def batches(examples: Iterable[Example]) -> Iterator[list[Example]]:
    """The examples in groups of about BATCH characters."""
    held: list[Example] = []
    size = 0
    for example in examples:
        held.append(example)
        size += size_of(example)
        if size >= BATCH or len(held) >= BATCH_ROWS:
            yield held
            held, size = [], 0
    if held:
        yield held


class Workers:
    """As many processes, each with its own copy of the parts; batches go to them in turn, so that it is repeatable."""

    def __init__(self, parts: Parts, processes: int) -> None:
        spawned = multiprocessing.get_context("spawn")  # the reader has threads of Arrow's, which a fork would break
        self._pools = [
            ProcessPoolExecutor(1, mp_context=spawned, initializer=_begin, initargs=(parts,)) for _ in range(processes)
        ]
        self._waiting: list[deque[Future[None]]] = [deque() for _ in self._pools]
        self._next = 0

    def add(self, batch: Sequence[Example]) -> None:
        """Hand a batch to the next process; waits while that one has enough to do."""
        waiting = self._waiting[self._next]
        while len(waiting) >= AHEAD:
            _done(waiting.popleft())
        waiting.append(self._pools[self._next].submit(_add, batch))
        self._next = (self._next + 1) % len(self._pools)

    def gathered(self) -> Iterator[Parts]:
        """The parts of every process, in the order of the processes, after all of their batches."""
        for waiting, pool in zip(self._waiting, self._pools, strict=True):
            while waiting:
                _done(waiting.popleft())
            yield _done(pool.submit(_held))

    def close(self) -> None:
        """End the processes; what waits is not done."""
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)


def _done(future: Future[Any]) -> Any:
    try:
        return future.result()
    except BrokenProcessPool:
        raise RunFailed(
            "a process that profiled rows was ended from outside, most likely for want of memory; "
            "give --processes 1, or profile a part of the file with --limit"
        ) from None


_parts: Parts = {}  # of this process


def _begin(parts: Parts) -> None:
    _parts.update(parts)


def _add(batch: Sequence[Example]) -> None:
    add_all(_parts, batch)


def _held() -> Parts:
    return _parts
