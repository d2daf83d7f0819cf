"""The length of the gradient of the whole batch's mean loss."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from triaxis.axes.optimization.batches import Batch
from triaxis.axes.optimization.diagnostics.probe import Precision, probing
from triaxis.axes.optimization.diagnostics.reading import Diagnosis, reading


def gradient_norm(module: nn.Module, batches: Sequence[Batch], *, precision: Precision = "float32") -> Diagnosis:
    """|∇L| for L the mean loss per supervised token of all the batches together, before any clipping.

    It holds the noise of these rows: E|G_B|² = |G|² + S / B, which `noise_scale` takes apart. Raises Undefined where
    no token carries loss.
    """
    with probing(module, precision) as probe:
        _, gradient = probe.gradient(batches)
        method = "2-norm over all trainable weights, of the mean over the whole batch"
        return probe.done({"": reading(float(gradient.norm()), "nats per unit of weight", method)})
