"""Sharpness-aware minimization around any optimizer: the step's gradient is taken a radius up the slope."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.utils import get_total_norm

TINY = 1e-12  # added to the norm, as in the authors' code: a gradient of 0 moves nothing


@contextmanager
def perturbed(parameters: Iterable[nn.Parameter], rho: float) -> Iterator[None]:
    """Inside, the weights stand at w + rho g / |g| (Foret et al. 2021, arXiv:2010.01412, eq. 2); afterwards at w.

    Enter with the gradient of the whole batch in place, all its micro-batches summed: the norm is over all
    parameters, whichever optimizer has them. The gradient is gone inside, so that the one at the perturbed weights can
    be collected, and stays for the optimizer. The weights come back from a copy, not by subtraction: to the bit.
    """
    moved = [p for p in parameters if p.grad is not None]
    kept = [p.detach().clone() for p in moved]
    with torch.no_grad():
        norm = get_total_norm([p.grad for p in moved if p.grad is not None])
        scale = rho / (getattr(norm, "full_tensor", lambda: norm)() + TINY)  # of a model in pieces, over all of them
        for p in moved:
            if p.grad is not None:
                p.add_(p.grad * scale)
            p.grad = None
    try:
        yield
    finally:
        with torch.no_grad():
            for p, was in zip(moved, kept, strict=True):
                p.copy_(was)
