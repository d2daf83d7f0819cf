"""The rows of a batch again, whether it is padded or packed: a diagnostic must not depend on the layout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from triaxis.axes.optimization.batches import IGNORED, Batch
from triaxis.axes.optimization.diagnostics.reading import Undefined


def supervised(batches: Sequence[Batch]) -> int:
    """The tokens that carry loss in all the batches. Raises Undefined where there are none."""
    if not (count := sum(b.supervised for b in batches)):
        raise Undefined("no token of these batches carries loss")
    return count


def tokens_read(batch: Batch) -> int:
    """The tokens of a batch without its padding: a line ends with the last token that carries loss."""
    ends = torch.arange(1, batch.labels.shape[1] + 1, device=batch.labels.device)
    return int(torch.where(batch.labels != IGNORED, ends, 0).amax(1).sum())


def rows_of(batches: Sequence[Batch]) -> Iterator[Batch]:
    """Each row alone and unpadded, as a batch of one line."""
    for batch in batches:
        for line, labels in enumerate(batch.labels):
            starts = [0]
            if batch.positions is not None:
                starts = (batch.positions[line] == 0).nonzero().flatten().tolist()
            for start, end in zip(starts, [*starts[1:], len(labels)], strict=True):
                losses = (labels[start + 1 : end] != IGNORED).nonzero()
                if len(losses):  # else it is the padding of a packed line
                    cut = slice(start, start + 2 + int(losses[-1]))
                    yield Batch(batch.input_ids[line : line + 1, cut], batch.labels[line : line + 1, cut], None, ())


def by_row(values: torch.Tensor, batch: Batch) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums and counts for each row of a number for each supervised token; `values` are in the order of the labels."""
    lines, length = batch.labels.shape
    if batch.positions is None:
        rows = torch.arange(lines, device=values.device)[:, None].expand(lines, length)
    else:
        rows = (batch.positions == 0).flatten().cumsum(0).view(lines, length).to(values.device)
    rows = rows[:, 1:][(batch.labels[:, 1:] != IGNORED).to(values.device)]
    _, numbers = torch.unique(rows, return_inverse=True)
    where = numbers.cpu().numpy()
    sums = np.bincount(where, values.detach().double().cpu().numpy())
    return sums.astype(np.float64), np.bincount(where).astype(np.float64)
