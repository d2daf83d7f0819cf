"""Rows of tokens to batches: the order of a run, padding, and packing without cross-contamination."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from triaxis.types import TriaxisError

IGNORED = -100  # the label of a token that carries no loss


@dataclass(frozen=True)
class Row:
    """One training example in tokens: the prompt's carry no loss, the completion's (its end token included) do."""

    id: str
    tokens: tuple[int, ...]
    prompt_tokens: int

    def __post_init__(self) -> None:
        """Raise TriaxisError for a row that would train nothing, in silence."""
        if len(self.tokens) <= self.prompt_tokens:
            raise TriaxisError(f"training row {self.id}: no token carries loss; give it a response or remove it")


@dataclass(frozen=True)
class Batch:
    """Token tensors of one forward pass, each (lines, length), int64.

    `labels` is `IGNORED` where there is no loss. `positions` is None for padded lines (padding is on the right, where a
    causal model cannot see it), and restarts at each row of packed ones, which is how transformers tells rows apart.
    """

    input_ids: torch.Tensor
    labels: torch.Tensor
    positions: torch.Tensor | None
    ids: tuple[str, ...]

    @property
    def supervised(self) -> int:
        """The number of tokens that carry loss. The first of a line is never predicted."""
        return int((self.labels[:, 1:] != IGNORED).sum())


def batches_per_epoch(rows: int, batch_size: int) -> int:
    """The ragged last batch of an epoch counts: nothing is dropped."""
    return -(-rows // batch_size)


def order(rows: int, batch_size: int, step: int, seed: int) -> list[int]:
    """The indices of the rows of batch `step`: a permutation an epoch, keyed by (seed, epoch); a pure function."""
    epoch, place = divmod(step, batches_per_epoch(rows, batch_size))
    return [int(i) for i in _shuffled(rows, seed, epoch)[place * batch_size : (place + 1) * batch_size]]


@lru_cache(maxsize=4)
def _shuffled(rows: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(rows)


def collate(rows: Sequence[Row], pad: int) -> Batch:
    """One row a line, padded on the right to the longest."""
    length = max(len(r.tokens) for r in rows)
    input_ids = torch.tensor([(*r.tokens, *[pad] * (length - len(r.tokens))) for r in rows])
    begins, ends = torch.tensor([(r.prompt_tokens, len(r.tokens)) for r in rows]).T[:, :, None]
    columns = torch.arange(length)[None]
    labels = torch.where((columns >= begins) & (columns < ends), input_ids, IGNORED)
    return Batch(input_ids, labels, None, tuple(r.id for r in rows))


def pack(rows: Sequence[Row], pad: int, length: int) -> Batch:
    """The same rows laid end to end in lines of at most `length` tokens (first fit, longest first).

    Packing changes the layout of a batch, never its rows: the number of optimizer steps and the loss stay the same.
    A row longer than `length` raises TriaxisError; nothing is cut.
    """
    lines: list[list[Row]] = []
    room: list[int] = []
    for row in sorted(rows, key=lambda r: -len(r.tokens)):
        if len(row.tokens) > length:
            raise TriaxisError(f"training row {row.id}: {len(row.tokens)} tokens do not fit lines of {length}")
        place = next((i for i, free in enumerate(room) if free >= len(row.tokens)), len(lines))
        if place == len(lines):
            lines.append([])
            room.append(length)
        lines[place].append(row)
        room[place] -= len(row.tokens)
    width = length - min(room)
    input_ids = torch.full((len(lines), width), pad, dtype=torch.int64)
    labels = torch.full_like(input_ids, IGNORED)
    positions = torch.zeros_like(input_ids)
    for line, members in enumerate(lines):
        at = 0
        for row in members:
            end = at + len(row.tokens)
            input_ids[line, at:end] = torch.tensor(row.tokens)
            # The first token of a row has no predecessor of its own: its label stays ignored even without a prompt.
            first = max(1, row.prompt_tokens)
            labels[line, at + first : end] = input_ids[line, at + first : end]
            positions[line, at:end] = torch.arange(end - at)
            at = end
        positions[line, at:] = torch.arange(width - at)
    return Batch(input_ids, labels, positions, tuple(r.id for members in lines for r in members))
