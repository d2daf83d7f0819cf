"""The sharpest direction of the loss: the largest eigenvalue of its Hessian."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal
from torch import nn

from triaxis.axes.optimization.batches import Batch
from triaxis.axes.optimization.diagnostics.probe import Amount, Count, Precision, Seed, probing, second_derivatives
from triaxis.axes.optimization.diagnostics.reading import Diagnosis, Undefined, reading
from triaxis.axes.optimization.diagnostics.rows import supervised

Product = Callable[[torch.Tensor], torch.Tensor]


def hessian_eigenvalue(
    module: nn.Module,
    batches: Sequence[Batch],
    *,
    products: Count = 40,
    tolerance: Amount = 0.01,
    keep_graph: bool = True,
    seed: Seed = 0,
    precision: Precision = "float32",
) -> Diagnosis:
    """The largest (most positive) eigenvalue of the Hessian of the mean loss, by Lanczos (arXiv:1912.07145).

    At most `products` Hessian-vector products, fewer where the residual falls below `tolerance` times the eigenvalue.
    `residual` bounds its error: some eigenvalue of the Hessian lies that near (Parlett 1998, theorem 4.5.1), and the
    largest is never below the reading, to rounding. `smallest` and `smallest_residual` are the same of the other end,
    which comes for free and is not waited for: below 0 the point is no minimum. Both bounds leave rounding out: 2e-5 of
    the reading in float32. Keeps a vector as large as the weights for each product taken and, with `keep_graph`, the
    graphs of all micro-batches, which is faster. Raises Undefined where no token carries loss or the second derivative
    isn't finite.
    """
    with probing(module, precision) as probe, second_derivatives():
        count = supervised(batches)
        kept = [probe.products(batch, count) for batch in batches] if keep_graph else None

        def product(v: torch.Tensor) -> torch.Tensor:
            each = kept or (probe.products(batch, count) for batch in batches)
            return sum((of(v) for of in each), torch.zeros_like(v))

        start = torch.randn(len(probe.at), generator=torch.Generator().manual_seed(seed)).to(probe.at)
        top, bottom, taken = lanczos(product, start, products, tolerance)
        method = f"Lanczos with full reorthogonalisation, {taken} products, {precision}"
        return probe.done(
            {
                "": reading(top.value, "nats per unit of weight²", method),
                "residual": reading(top.residual, "nats per unit of weight²", method),
                "smallest": reading(bottom.value, "nats per unit of weight²", method),
                "smallest_residual": reading(bottom.residual, "nats per unit of weight²", method),
            }
        )


@dataclass(frozen=True)
class Ritz:
    """An eigenvalue as Lanczos has it, and how far from one of the matrix it may be."""

    value: float
    residual: float


def lanczos(product: Product, start: torch.Tensor, products: int, tolerance: float) -> tuple[Ritz, Ritz, int]:
    """The two ends of the spectrum of a symmetric matrix, and the products taken; the upper end to `tolerance`."""
    basis: list[torch.Tensor] = []  # grows: most runs stop long before `products` vectors
    diagonal: list[float] = []
    beside: list[float] = []
    v = start / start.norm()
    for _ in range(min(products, len(start))):
        basis.append(v)
        w = product(v)
        diagonal.append(float(w @ v))
        for _ in range(2):  # once leaves what rounding left of the earlier vectors; twice is enough (Parlett 1998, 6.9)
            for earlier in basis:
                w -= (earlier @ w) * earlier
        length = float(w.norm())
        if not np.isfinite([diagonal[-1], length]).all():
            raise Undefined("the second derivative of the loss is not finite")
        values, vectors = eigh_tridiagonal(diagonal, beside)
        residuals = length * np.abs(vectors[-1])
        exhausted = (
            length <= 10 * torch.finfo(v.dtype).eps * np.abs(values).max()
        )  # the basis spans all that the start can reach
        if exhausted or residuals[-1] <= tolerance * abs(values[-1]):
            break
        beside.append(length)
        v = w / length
    top, bottom = (Ritz(float(values[end]), float(residuals[end])) for end in (-1, 0))
    return top, bottom, len(diagonal)
