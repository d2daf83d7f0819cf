"""Rows like those that a run trains on, and none of them: what its diagnostics call held out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

from triaxis.axes.data.training_set import TrainingExample, made_for_run, said_to, training_set, whole_source
from triaxis.tasks.prompts import fingerprint
from triaxis.types import Level, TriaxisError

FEWEST = 8  # rows: with fewer, the interval of a mean over rows says little
BEYOND = 2**31  # seeds from here on are no run's


def held_out_set(
    settings: Mapping[str, Level], seed: int, trained: Sequence[TrainingExample], n: int
) -> list[TrainingExample]:
    """`n` examples with the same data settings (`data.*`, without the prefix) that ask nothing that is trained on.

    What the two ask is compared as `check_apart` compares training with evaluation. `seed` (of the evaluation, so that
    runs with other seeds look at the same rows, save those that they train on) draws them: of a task, among examples of
    its own; of a file, among all of its rows. Gives back fewer where there are no more. Raises TriaxisError where fewer
    than `FEWEST` are left.
    """
    known = {fingerprint(text) for example in trained for text in said_to(example)}
    left: list[TrainingExample] = []
    for drawn in _drawn(settings, seed, len(trained), n):
        left = [example for example in drawn if known.isdisjoint(map(fingerprint, said_to(example)))]
        if len(left) >= n:
            break
    if len(left) < FEWEST:
        what = settings.get("source", settings.get("task"))
        raise TriaxisError(
            f"{what} has {len(left)} rows that are not trained on, fewer than {FEWEST}; lower data.examples"
        )
    return sorted(left, key=lambda example: _place(seed, example.id))[:n]


def _drawn(settings: Mapping[str, Level], seed: int, trained: int, n: int) -> Iterator[list[TrainingExample]]:
    """Rows to choose from: twice as many as are asked for, then more than are trained on, until one suffices."""
    if not made_for_run(settings):
        yield whole_source(settings, seed)
        return
    for total in (2 * n, trained + 2 * n):
        try:
            yield training_set({**settings, "examples": total}, BEYOND + seed)
        except TriaxisError:  # a task that has no more of them: what was drawn before is all there is
            return


def _place(seed: int, example: str) -> bytes:
    return hashlib.sha256(f"held out/{seed}/{example}".encode()).digest()
