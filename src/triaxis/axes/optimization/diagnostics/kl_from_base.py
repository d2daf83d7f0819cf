"""How far training has moved what the model predicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from triaxis.axes.optimization.batches import Batch
from triaxis.axes.optimization.diagnostics.probe import Precision, Weights, pairs, probing
from triaxis.axes.optimization.diagnostics.reading import Diagnosis, Value, per_token
from triaxis.axes.optimization.diagnostics.rows import by_row, supervised

Directions = Annotated[Sequence[Literal["forward", "reverse"]], Field(min_length=1)]
DIRECTIONS = {"forward": "KL(base || now)", "reverse": "KL(now || base)"}


def kl_from_base(
    module: nn.Module,
    held_out: Sequence[Batch],
    base: Weights,
    *,
    directions: Directions = ("forward",),
    precision: Precision = "float32",
) -> Diagnosis:
    """Mean Kullback-Leibler divergence a supervised token (nats) between the predictions of base and checkpoint.

    `forward` is Σ p_base log(p_base / p_now) over the whole vocabulary, `reverse` the other way round; both at every
    supervised position of the *given* sequences, each token predicted from the given ones before it. Where the base
    itself sampled the responses, `forward` estimates the divergence of whole responses per token (and where the
    checkpoint did, `reverse`); on other texts, such as references, it is the divergence along those texts. The interval
    is clustered by row. Raises Undefined where the base lacks a weight or no token carries loss.
    """
    pairs(module, base)
    with probing(module, precision) as probe, torch.no_grad():
        supervised(held_out)
        origin = probe.flat({name: base[name].to(probe.at.device) for name in probe.shapes})
        found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {direction: [] for direction in directions}
        for batch in held_out:
            before, now = (probe.logits(at, batch).log_softmax(-1) for at in (origin, probe.at))
            for direction in directions:
                p, q = (before, now) if direction == "forward" else (now, before)
                found[direction].append(by_row((p.exp() * (p - q)).sum(-1), batch))
        values: dict[str, Value] = {}
        for name, parts in found.items():
            sums, counts = (np.concatenate(column) for column in zip(*parts, strict=True))
            method = f"{DIRECTIONS[name]} along the given responses, {len(sums)} rows"
            values[name] = per_token(sums, counts, "nats", method)
        return probe.done(values)
