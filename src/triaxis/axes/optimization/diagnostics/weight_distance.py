"""How far training has moved the weights."""

from __future__ import annotations

import time

from torch import nn

from triaxis.axes.optimization.diagnostics.probe import Weights, changes
from triaxis.axes.optimization.diagnostics.reading import Diagnosis, Value, reading
from triaxis.types import NotEstimable

METHOD = "2-norm of the change of the weights"


def weight_distance(module: nn.Module, base: Weights, *, each: bool = True) -> Diagnosis:
    """|w - w0|, and `relative`, |w - w0| / |w0|: of all weights; with `each`, of each group too (`relative.layers.0`).

    A group is a layer, or a part outside the layers (`embed_tokens`, `norm`). Adapters count as what they add to their
    matrices, so that training with and without them compares. Raises Undefined where the base lacks a
    weight.
    """
    began = time.perf_counter()
    squares: dict[str, tuple[float, float]] = {}
    for name, now, before in changes(module, base):
        moved = float((now.double() - before.double()).square().sum())
        size = float(before.double().square().sum())
        for group in ("", f".{group_of(name)}") if each else ("",):
            old = squares.get(group, (0.0, 0.0))
            squares[group] = (old[0] + moved, old[1] + size)
    values: dict[str, Value] = {"": reading(squares[""][0] ** 0.5, "units of weight", METHOD)}
    for group, (moved, size) in squares.items():
        share = reading((moved / size) ** 0.5, "share", METHOD) if size else NotEstimable("the base's weights are 0")
        values[f"relative{group}"] = share
    return Diagnosis(values, time.perf_counter() - began, 0)


def group_of(name: str) -> str:
    """The layer of a weight (`layers.0` of `model.layers.0.mlp.up_proj.weight`), or the part that it belongs to."""
    words = name.removeprefix("model.").split(".")
    numbers = [i for i, word in enumerate(words) if word.isdigit()]
    return ".".join(words[: numbers[0] + 1] if numbers else words[:-1]) or name
