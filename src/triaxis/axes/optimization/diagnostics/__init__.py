"""What can be told of a checkpoint beside its scores: its loss, its gradient, its curvature, how far it has moved.

Each diagnostic is a pure function that leaves the module as it is and counts what it costs; `catalogue` lists them.
"""

from triaxis.axes.optimization.diagnostics.catalogue import DIAGNOSTICS, Diagnostic
from triaxis.axes.optimization.diagnostics.gradient_norm import gradient_norm
from triaxis.axes.optimization.diagnostics.hessian_eigenvalue import hessian_eigenvalue
from triaxis.axes.optimization.diagnostics.hessian_trace import hessian_trace
from triaxis.axes.optimization.diagnostics.kl_from_base import kl_from_base
from triaxis.axes.optimization.diagnostics.loss import mean_loss
from triaxis.axes.optimization.diagnostics.loss_slice import loss_slice
from triaxis.axes.optimization.diagnostics.noise_scale import noise_scale
from triaxis.axes.optimization.diagnostics.probe import copy_weights
from triaxis.axes.optimization.diagnostics.reading import Diagnosis, Undefined, Value
from triaxis.axes.optimization.diagnostics.run import (
    PREFIX,
    Diagnosed,
    Inputs,
    check_diagnostics,
    run_diagnostics,
    settings_of,
)
from triaxis.axes.optimization.diagnostics.sharpness import adaptive_sam_sharpness, sam_sharpness
from triaxis.axes.optimization.diagnostics.update_spectrum import update_spectrum
from triaxis.axes.optimization.diagnostics.weight_distance import weight_distance
from triaxis.types import Reading

__all__ = [
    "DIAGNOSTICS",
    "PREFIX",
    "Diagnosed",
    "Diagnosis",
    "Diagnostic",
    "Inputs",
    "Reading",
    "Undefined",
    "Value",
    "adaptive_sam_sharpness",
    "check_diagnostics",
    "copy_weights",
    "gradient_norm",
    "hessian_eigenvalue",
    "hessian_trace",
    "kl_from_base",
    "loss_slice",
    "mean_loss",
    "noise_scale",
    "run_diagnostics",
    "sam_sharpness",
    "settings_of",
    "update_spectrum",
    "weight_distance",
]
