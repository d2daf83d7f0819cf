"""Whether training has changed the weights in few directions or in many."""

from __future__ import annotations

import time

import torch
from torch import nn

from triaxis.axes.optimization.diagnostics.probe import Weights, changes
from triaxis.axes.optimization.diagnostics.reading import Diagnosis, Undefined, Value, reading
from triaxis.types import NotEstimable

METHOD = "singular values of the change of a matrix, float64"


def update_spectrum(module: nn.Module, base: Weights, *, each: bool = True) -> Diagnosis:
    """Effective and stable rank of the change D = W - W0 of every matrix, with singular values s of D.

    Effective rank: exp(-Σ p log p) for p = s / Σ s (Roy & Vetterli 2007). Stable rank: Σ s² / max s² (Rudelson &
    Vershynin 2007), which rounding noise hardly moves. Readings: the diagnostic itself and `stable` are the means over
    the matrices that changed, each as a share of its full rank; with `each`, `NAME.effective_rank` and
    `NAME.stable_rank` of every matrix. What an adapter adds to a matrix is its change. Raises Undefined where the base
    lacks a weight or no matrix changed.
    """
    began = time.perf_counter()
    values: dict[str, Value] = {}
    shares = []
    for name, now, before in changes(module, base):
        if now.ndim != 2:
            continue
        short = name.removeprefix("model.").removesuffix(".weight")
        ranks = spectrum_ranks(now.double() - before.double())
        if ranks is not None:
            shares.append([rank / min(now.shape) for rank in ranks])
        if each:
            for i, kind in enumerate(("effective_rank", "stable_rank")):
                none = NotEstimable("the matrix has not changed")
                values[f"{short}.{kind}"] = none if ranks is None else reading(ranks[i], "directions", METHOD)
    if not shares:
        raise Undefined("no matrix differs from the base")
    effective, stable = (sum(column) / len(shares) for column in zip(*shares, strict=True))
    method = f"mean over {len(shares)} matrices; {METHOD}"
    means = {"": reading(effective, "share", method), "stable": reading(stable, "share", method)}
    return Diagnosis({**means, **values}, time.perf_counter() - began, 0)


def spectrum_ranks(change: torch.Tensor) -> tuple[float, float] | None:
    """Effective and stable rank of a matrix; None where it is 0."""
    singular = torch.linalg.svdvals(change)
    if not float(singular[0]) > 0:
        return None
    p = singular / singular.sum()
    effective = float(torch.special.entr(p).sum().exp())
    return effective, float(singular.square().sum() / singular[0] ** 2)
