"""The loss of a batch as tests compare it: the plain sum, with nothing of a recipe."""

import torch
from torch import nn

from triaxis.axes.optimization import Batch
from triaxis.axes.optimization.losses import summed


def summed_loss(module: nn.Module, batch: Batch) -> tuple[torch.Tensor, int]:
    """Cross-entropy summed over the supervised tokens (nats, a scalar), and how many of them were predicted first."""
    sums = summed(module, batch)
    return sums.objective, int(sums.correct)
