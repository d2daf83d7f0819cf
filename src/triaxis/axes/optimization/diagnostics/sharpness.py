"""How much the loss rises at the worst point nearby."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from triaxis.axes.optimization.batches import Batch
from triaxis.axes.optimization.diagnostics.probe import Amount, Positive, Precision, probing
from triaxis.axes.optimization.diagnostics.reading import Diagnosis, reading
from triaxis.types import NotEstimable


def sam_sharpness(
    module: nn.Module, batches: Sequence[Batch], *, radius: Positive = 0.05, precision: Precision = "float32"
) -> Diagnosis:
    """L(w + e) - L(w) for e = radius · g / |g|, the worst point of a ball to first order (arXiv:2010.01412, eq. 2).

    A lower bound of the rise at the worst point, if the ascent step rises at all. It changes when a layer is scaled up
    and the next one down, although the function stays the same: compare it within one base, or take the adaptive one.
    Raises Undefined where no token carries loss.
    """
    return _rise(module, batches, radius, precision, None)


def adaptive_sam_sharpness(
    module: nn.Module,
    batches: Sequence[Batch],
    *,
    radius: Positive = 0.5,
    floor: Amount = 0.01,
    precision: Precision = "float32",
) -> Diagnosis:
    """The same in a ball measured in units of the weights: |e / T| <= radius for T = |w| + `floor`, elementwise.

    e = radius · T² g / |T g| (arXiv:2102.11600, eq. 7, its radius and η by default). It doesn't change under the
    rescalings of weights that leave the function alone, up to `floor`. Raises Undefined where no token carries loss.
    """
    return _rise(module, batches, radius, precision, floor)


def _rise(
    module: nn.Module, batches: Sequence[Batch], radius: float, precision: Precision, floor: float | None
) -> Diagnosis:
    with probing(module, precision) as probe:
        before, gradient = probe.gradient(batches)
        unit = torch.ones_like(gradient) if floor is None else probe.at.detach().abs() + floor
        length = float((unit * gradient).norm())
        if length == 0:
            return probe.done({"": NotEstimable("the gradient is 0: no direction rises to first order")})
        worst = probe.at.detach() + radius / length * unit**2 * gradient
        method = f"one ascent step of radius {radius:g}"
        if floor is not None:
            method += f" in units of |w| + {floor:g}"
        return probe.done({"": reading(probe.mean_loss(worst, batches) - before, "nats", method)})
