"""The diagnostics by name, what each looks at, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from triaxis.axes.optimization.diagnostics.gradient_norm import gradient_norm
from triaxis.axes.optimization.diagnostics.hessian_eigenvalue import hessian_eigenvalue
from triaxis.axes.optimization.diagnostics.hessian_trace import hessian_trace
from triaxis.axes.optimization.diagnostics.kl_from_base import kl_from_base
from triaxis.axes.optimization.diagnostics.loss import mean_loss
from triaxis.axes.optimization.diagnostics.loss_slice import loss_slice
from triaxis.axes.optimization.diagnostics.noise_scale import noise_scale
from triaxis.axes.optimization.diagnostics.reading import Diagnosis
from triaxis.axes.optimization.diagnostics.sharpness import adaptive_sam_sharpness, sam_sharpness
from triaxis.axes.optimization.diagnostics.update_spectrum import update_spectrum
from triaxis.axes.optimization.diagnostics.weight_distance import weight_distance


@dataclass(frozen=True)
class Diagnostic:
    """A function of a module and of what it looks at, in this order: "training" or "held_out" rows, "base" weights."""

    name: str
    compute: Callable[..., Diagnosis]
    looks_at: tuple[str, ...]
    costs: str
    steps: float  # what that came to in training steps on the lab's strong base (benchmarks/diagnostics.py)


# To add a diagnostic, write a file with such a function, and add a line here.
DIAGNOSTICS = (
    Diagnostic("training_loss", mean_loss, ("training",), "a forward pass", 0.4),
    Diagnostic("held_out_loss", mean_loss, ("held_out",), "a forward pass", 0.4),
    Diagnostic("gradient_norm", gradient_norm, ("training",), "a forward and a backward pass", 1),
    Diagnostic("noise_scale", noise_scale, ("training",), "a forward and a backward pass, twice, row by row", 7),
    Diagnostic(
        "hessian_eigenvalue",
        hessian_eigenvalue,
        ("training",),
        "up to 40 Hessian products, each two training steps",
        13,
    ),
    Diagnostic("hessian_trace", hessian_trace, ("training",), "16 Hessian products, each two training steps", 39),
    Diagnostic("sam_sharpness", sam_sharpness, ("training",), "two forward passes and a backward pass", 1.3),
    Diagnostic(
        "adaptive_sam_sharpness", adaptive_sam_sharpness, ("training",), "two forward passes and a backward pass", 1.4
    ),
    Diagnostic("loss_slice", loss_slice, ("training",), "a forward pass a place (7)", 2.6),
    Diagnostic("weight_distance", weight_distance, ("base",), "a pass over the weights", 0.02),
    Diagnostic("kl_from_base", kl_from_base, ("held_out", "base"), "two forward passes", 0.7),
    Diagnostic("update_spectrum", update_spectrum, ("base",), "the singular values of every matrix", 0.1),
)
