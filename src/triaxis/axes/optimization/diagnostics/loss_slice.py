"""The loss along a line through the weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from triaxis.axes.optimization.batches import Batch
from triaxis.axes.optimization.diagnostics.probe import Precision, Probe, Seed, probing
from triaxis.axes.optimization.diagnostics.reading import Diagnosis, reading

Places = Annotated[Sequence[float], Field(min_length=1)]
PLACES = (-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0)


def loss_slice(
    module: nn.Module,
    batches: Sequence[Batch],
    *,
    places: Places = PLACES,
    seed: Seed = 0,
    precision: Precision = "float32",
) -> Diagnosis:
    """L(w + a d) at each place a, for one random direction d that is filter-normalised (arXiv:1712.09913, section 4).

    A filter is a row of a matrix: the weights into one output, or of one word of an embedding. Each row of d is drawn
    from a normal and scaled to the length of the same row of w, so that at a = 1 every filter is moved by its own size;
    norms and biases stay, as in the paper. Readings: `at_0.5`, … the loss at that place; the diagnostic itself is the
    rise at the two outermost places, their mean minus the loss at 0. One direction: its spread over seeds is not known.
    Raises Undefined where no token carries loss.
    """
    with probing(module, precision) as probe:
        at, direction = probe.at.detach(), filter_normalised(probe, seed)
        losses = {a: probe.mean_loss(at + a * direction, batches) for a in sorted({0.0, *places})}
        ends = (min(places), max(places))  # not 0, which is looked at in any case and has no rise
        rise = sum(losses[a] for a in ends) / 2 - losses[0.0]
        method = f"one filter-normalised direction, seed {seed}"
        values = {f"at_{a:g}": reading(loss, "nats", method) for a, loss in losses.items()}
        return probe.done({"": reading(rise, "nats", f"{method}, mean of {ends[0]:g} and {ends[1]:g}"), **values})


def filter_normalised(probe: Probe, seed: int) -> torch.Tensor:
    """The direction as one vector; the same numbers on every device and in both precisions."""
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for weight in probe.named(probe.at.detach()).values():
        drawn = torch.randn(weight.shape, generator=generator).to(weight)
        if weight.ndim < 2:
            parts.append(torch.zeros_like(drawn).flatten())
            continue
        rows, target = drawn.flatten(1), weight.flatten(1)
        scaled = rows * (target.norm(dim=1, keepdim=True) / rows.norm(dim=1, keepdim=True))
        parts.append(scaled.flatten())
    return torch.cat(parts)
