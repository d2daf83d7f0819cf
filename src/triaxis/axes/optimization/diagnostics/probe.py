"""A module as a pure function of its weights, so that it can be looked at without being touched."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy

from triaxis.axes.optimization.batches import IGNORED, Batch
from triaxis.axes.optimization.diagnostics.reading import Diagnosis, Undefined, Value
from triaxis.axes.optimization.diagnostics.rows import supervised, tokens_read

Precision = Literal["float32", "float64"]
Count = Annotated[int, Field(ge=1, strict=True)]  # of a diagnostic's settings, which a study may give
Seed = Annotated[int, Field(ge=0, strict=True)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Weights = Mapping[str, torch.Tensor]


class Probe:
    """The trainable weights of a module as one flat vector, and its loss as a function of such a vector.

    Everything is computed on a copy in `precision`; a tied weight counts once. What the loss is of a run's training
    (label smoothing, reweighted tokens) makes no difference here: it is always nats per supervised token.
    """

    def __init__(self, module: nn.Module, precision: Precision) -> None:
        self.module = module
        self.dtype = {"float32": torch.float32, "float64": torch.float64}[precision]
        self.shapes = {n: p.shape for n, p in module.named_parameters() if p.requires_grad}
        if not self.shapes:
            raise Undefined("the module has no trainable weight")
        fixed = {n: p for n, p in module.named_parameters() if not p.requires_grad} | dict(module.named_buffers())
        self.fixed = {n: t.to(self.dtype, copy=True) if t.is_floating_point() else t.clone() for n, t in fixed.items()}
        self.at = self.flat(dict(module.named_parameters()))
        self._tokens, self._began = 0, time.perf_counter()

    def flat(self, weights: Weights) -> torch.Tensor:
        """The trainable ones of `weights` as one vector, a copy."""
        return torch.cat([weights[name].detach().to(self.dtype).flatten() for name in self.shapes])

    def named(self, vector: torch.Tensor) -> dict[str, torch.Tensor]:
        """The weights that a vector stands for: views of it, in their shapes."""
        parts = torch.split_with_sizes(vector, [shape.numel() for shape in self.shapes.values()])
        return {name: part.view(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}

    def logits(self, vector: torch.Tensor, batch: Batch) -> torch.Tensor:
        """What is predicted for each supervised token: (supervised tokens, vocabulary)."""
        self._tokens += tokens_read(batch)
        where = {} if batch.positions is None else {"position_ids": batch.positions.to(vector.device)}
        inputs = {"input_ids": batch.input_ids.to(vector.device), "use_cache": False, **where}
        given = functional_call(self.module, {**self.fixed, **self.named(vector)}, kwargs=inputs).logits
        kept = (batch.labels[:, 1:] != IGNORED).to(vector.device)
        predicted: torch.Tensor = given[:, :-1][kept].to(self.dtype)
        return predicted

    def losses(self, vector: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Cross-entropy of each supervised token, in nats."""
        targets = batch.labels[:, 1:][batch.labels[:, 1:] != IGNORED].to(vector.device)
        return cross_entropy(self.logits(vector, batch), targets, reduction="none")

    def mean_loss(self, vector: torch.Tensor, batches: Sequence[Batch]) -> float:
        """Mean loss per supervised token of all the batches together."""
        with torch.no_grad():
            return sum(float(self.losses(vector, b).double().sum()) for b in batches) / supervised(batches)

    def gradient(self, batches: Sequence[Batch], summed: bool = False) -> tuple[float, torch.Tensor]:
        """The mean loss of all the batches together and its gradient; or the sums over tokens."""
        count = 1 if summed else supervised(batches)
        leaf = self.at.requires_grad_()
        total, gradient = 0.0, torch.zeros_like(self.at)
        for batch in batches:
            loss = self.losses(leaf, batch).sum() / count
            gradient += torch.autograd.grad(loss, leaf)[0]
            total += loss.item()
        return total, gradient

    def products(self, batch: Batch, count: int) -> Callable[[torch.Tensor], torch.Tensor]:
        """v -> H v of the summed loss of a batch over `count`, exact (Pearlmutter 1994); keeps a graph while it lives.

        To be called, and the products taken, inside `second_derivatives()`.
        """
        leaf = self.at.requires_grad_()
        loss = self.losses(leaf, batch).sum() / count
        (gradient,) = torch.autograd.grad(loss, leaf, create_graph=True)
        return lambda v: torch.autograd.grad(gradient, leaf, v, retain_graph=True)[0]

    def done(self, values: Mapping[str, Value]) -> Diagnosis:
        """The readings with what was spent on them since the probe was made."""
        return Diagnosis(values, time.perf_counter() - self._began, self._tokens)


def second_derivatives() -> AbstractContextManager[None]:
    """The plain attention kernel: the fused ones (`scaled_dot_product_flash_attention`) have no second derivative."""
    return sdpa_kernel(SDPBackend.MATH)


@contextmanager
def probing(module: nn.Module, precision: Precision = "float32") -> Iterator[Probe]:
    """A probe of the module as it stands, in evaluation mode.

    When it is over, weights, gradients, buffers, the mode of every part and the random state are what they were. Raises
    Undefined for a module without trainable weights.
    """
    modes = [(part, part.training) for part in module.modules()]
    device = next(module.parameters()).device
    with (
        torch.random.fork_rng([device] if device.type == "cuda" else []),
        torch.autocast(device.type, enabled=False),
        torch.enable_grad(),
    ):
        module.eval()
        try:
            yield Probe(module, precision)
        finally:
            for part, mode in modes:
                part.training = mode


def copy_weights(module: nn.Module) -> dict[str, torch.Tensor]:
    """The weights as they are now, for a comparison later on: take it of the base, before training."""
    return {name: weight.detach().clone() for name, weight in module.named_parameters()}


def pairs(module: nn.Module, base: Weights) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Each weight of the module beside the base's. Raises Undefined where the base lacks it, or has another shape."""
    found = {}
    for name, weight in module.named_parameters():
        if name not in base or base[name].shape != weight.shape:
            raise Undefined(f"the base has no weight {name} of shape {tuple(weight.shape)}; merge an adapter first")
        found[name] = (weight.detach(), base[name].detach().to(weight.device))
    return found


def changes(module: nn.Module, base: Weights) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
    """Each weight by name as it is used, now and in the base: what an adapter adds to a matrix is part of the matrix.

    An adapter's own factors say nothing of how far the model has moved: the first is drawn at random, and the second
    is scaled. Raises Undefined as `pairs` does, and for adapters that don't add a product of two factors.
    """
    found = pairs(module, base)
    adapted = {prefix: part for prefix, part in module.named_modules() if hasattr(part, "lora_A")}
    for prefix, part in adapted.items():
        now, before = (weight.double() for weight in found.pop(f"{prefix}.base_layer.weight"))
        for adapter, scale in part.scaling.items():
            first, second = (found.pop(f"{prefix}.lora_{factor}.{adapter}.weight", None) for factor in "AB")
            if first is None or second is None:
                raise Undefined(f"{prefix} has an adapter that adds no product of two factors; merge it first")
            added = (scale * b.double() @ a.double() for a, b in zip(first, second, strict=True))
            turned = (each.t() if part.fan_in_fan_out else each for each in added)
            now, before = (weight + each for weight, each in zip((now, before), turned, strict=True))
        yield f"{prefix}.weight", now, before
    for name, (now, before) in found.items():
        if ".lora_" in name:
            raise Undefined(f"{name} is of an adapter that adds no product of two factors; merge it first")
        yield name.replace(".base_layer.", "."), now, before
