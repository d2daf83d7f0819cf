"""The loss of a checkpoint on rows: those that it trains on, or held-out ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from triaxis.axes.optimization.batches import Batch
from triaxis.axes.optimization.diagnostics.probe import Precision, probing
from triaxis.axes.optimization.diagnostics.reading import Diagnosis, per_token
from triaxis.axes.optimization.diagnostics.rows import by_row, supervised


def mean_loss(module: nn.Module, batches: Sequence[Batch], *, precision: Precision = "float32") -> Diagnosis:
    """Mean cross-entropy per supervised token (nats), of the weights as they stand and without dropout.

    The interval is for rows like these: clustered by row, t with rows - 1 degrees of freedom. It differs from a
    checkpoint's training loss, which is a mean over the steps before it, each at its own weights. Raises Undefined
    where no token carries loss.
    """
    with probing(module, precision) as probe:
        supervised(batches)
        with torch.no_grad():
            parts = [by_row(probe.losses(probe.at, batch), batch) for batch in batches]
        sums, counts = (np.concatenate(column) for column in zip(*parts, strict=True))
        return probe.done({"": per_token(sums, counts, "nats", f"mean over the tokens of {len(sums)} rows")})
