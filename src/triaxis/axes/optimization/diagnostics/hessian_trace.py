"""The curvature of the loss summed over all directions: the trace of its Hessian."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn

from triaxis.axes.optimization.batches import Batch
from triaxis.axes.optimization.diagnostics.probe import Count, Precision, Seed, probing, second_derivatives
from triaxis.axes.optimization.diagnostics.reading import Diagnosis, mean_reading
from triaxis.axes.optimization.diagnostics.rows import supervised


def hessian_trace(
    module: nn.Module, batches: Sequence[Batch], *, probes: Count = 16, seed: Seed = 0, precision: Precision = "float32"
) -> Diagnosis:
    """tr(H) of the mean loss as the mean of v · H v over random signs v (Hutchinson 1990).

    The interval (t, probes - 1 degrees of freedom) is that of the probes: it speaks of the Hessian on these rows, not
    on others. The probes of a micro-batch share one graph. Raises Undefined where no token carries loss.
    """
    with probing(module, precision) as probe, second_derivatives():
        count = supervised(batches)
        found = np.zeros(probes)
        for batch in batches:
            product = probe.products(batch, count)
            for i, v in enumerate(_signs(probes, seed, probe.at)):
                found[i] += float(v @ product(v))
        method = f"Hutchinson, {probes} Rademacher probes, {precision}"
        return probe.done({"": mean_reading(found, "nats per unit of weight²", method)})


def _signs(probes: int, seed: int, like: torch.Tensor) -> Iterator[torch.Tensor]:
    """The same probes for each micro-batch, drawn again and not kept."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(probes):
        yield torch.randint(0, 2, (len(like),), generator=generator).to(like) * 2 - 1
