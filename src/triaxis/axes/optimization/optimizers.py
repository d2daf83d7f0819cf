"""The optimizers of a recipe, from torch and one of our own, with the parameters that each may touch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Adafactor, AdamW, Muon, Optimizer

from triaxis.axes.optimization.lion import Lion
from triaxis.axes.optimization.losses import output_head
from triaxis.axes.optimization.masters import keep_masters
from triaxis.axes.optimization.recipe import Recipe


def build_optimizers(module: nn.Module, recipe: Recipe) -> list[Optimizer]:
    """The optimizers that together update every trainable parameter of `module` once a step, in float32."""
    optimizers = _BUILDERS[recipe.optimizer](module, recipe)
    for optimizer in optimizers:
        keep_masters(optimizer)
    return optimizers


def _adamw(module: nn.Module, recipe: Recipe) -> list[Optimizer]:
    return [_adamw_over(trainable(module), recipe)]


def _adafactor(module: nn.Module, recipe: Recipe) -> list[Optimizer]:
    """Factored second moments (Shazeer and Stern 2018, arXiv:1804.04235).

    Its rate is relative: a matrix moves by at most min(rate, 1 / sqrt(step)) of its own root mean square.
    """
    return [Adafactor(_decay_groups(trainable(module), recipe), lr=recipe.learning_rate)]


def _lion(module: nn.Module, recipe: Recipe) -> list[Optimizer]:
    return [Lion(_decay_groups(trainable(module), recipe), lr=recipe.learning_rate)]


def _sgd(module: nn.Module, recipe: Recipe) -> list[Optimizer]:
    return [SGD(_decay_groups(trainable(module), recipe), lr=recipe.learning_rate, momentum=recipe.momentum)]


def _muon(module: nn.Module, recipe: Recipe) -> list[Optimizer]:
    """Muon on the hidden matrices, AdamW on the rest (Jordan et al. 2024), both at the same rate.

    The update is scaled to AdamW's RMS (arXiv:2502.16982), so that one rate serves both. Embeddings and heads are
    recognised by what they are, not by name: one that lands in Muon by mistake ruins the run.
    """
    tables = {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding)}
    head = output_head(module)
    if head is not None:
        tables.add(id(head.weight))
    matrices = [p for p in trainable(module) if p.ndim == 2 and id(p) not in tables]
    chosen = {id(p) for p in matrices}
    rest = [p for p in trainable(module) if id(p) not in chosen]
    muon = Muon(
        matrices,
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        momentum=0.95,
        nesterov=True,
        adjust_lr_fn="match_rms_adamw",
    )
    return [muon, _adamw_over(rest, recipe)]


def _adamw_over(parameters: list[nn.Parameter], recipe: Recipe) -> Optimizer:
    return AdamW(_decay_groups(parameters, recipe), lr=recipe.learning_rate, betas=recipe.betas, fused=True)


def trainable(module: nn.Module) -> list[nn.Parameter]:
    """The parameters that training may change, in the module's order."""
    return [p for p in module.parameters() if p.requires_grad]


def _decay_groups(parameters: list[nn.Parameter], recipe: Recipe) -> list[dict[str, Any]]:
    """Weight decay acts on matrices; norms and biases are left alone, as in transformers' Trainer."""
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]


_BUILDERS: dict[str, Callable[[nn.Module, Recipe], list[Optimizer]]] = {
    "adamw": _adamw,
    "adafactor": _adafactor,
    "sgd": _sgd,
    "lion": _lion,
    "muon": _muon,
}


def set_rate(optimizers: list[Optimizer], rate: float) -> None:
    """Give every parameter group the same learning rate."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate


def clip(module: nn.Module, limit: float | None) -> float | None:
    """Clip the gradient's 2-norm to `limit` in place and give back the norm before; None where nothing is clipped."""
    if limit is None:
        return None
    norm = torch.nn.utils.clip_grad_norm_(trainable(module), limit)
    return float(getattr(norm, "full_tensor", lambda: norm)())  # of a model in pieces, over all of them
