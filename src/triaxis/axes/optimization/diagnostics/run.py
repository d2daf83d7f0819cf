"""The diagnostics that were asked for, at one checkpoint, as one flat mapping."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError
from torch import nn

from triaxis.axes.memory import is_out_of_memory
from triaxis.axes.optimization.batches import Batch
from triaxis.axes.optimization.diagnostics.catalogue import DIAGNOSTICS, Diagnostic
from triaxis.axes.optimization.diagnostics.probe import Weights
from triaxis.axes.optimization.diagnostics.reading import Undefined, Value
from triaxis.types import NotEstimable, TriaxisError

PREFIX = "diagnostic."
Settings = Mapping[str, Mapping[str, Any]]  # of each diagnostic: {"hessian_trace": {"probes": 32}}

MISSING = {
    "training": "no training batch was given",
    "held_out": "no held-out batch was given",
    "base": "the weights of the base were not given",
}


@dataclass(frozen=True)
class Inputs:
    """What diagnostics look at beside the module; what isn't given makes those that need it not estimable."""

    training: Sequence[Batch] = ()  # the micro-batches of one batch of rows that the run trains on
    held_out: Sequence[Batch] = ()  # rows that it doesn't
    base: Weights | None = None  # `copy_weights` of the module before training
    missing: Mapping[str, str] = field(default_factory=dict)  # "held_out": why it isn't given, where that is known


@dataclass(frozen=True)
class Diagnosed:
    """Readings by column, and by diagnostic what they cost: (seconds, tokens of all forward passes)."""

    values: Mapping[str, Value]  # "diagnostic.gradient_norm", "diagnostic.hessian_eigenvalue.residual", ...
    costs: Mapping[str, tuple[float, int]]  # "diagnostic.gradient_norm"


def run_diagnostics(
    names: Iterable[str], module: nn.Module, inputs: Inputs, settings: Settings | None = None
) -> Diagnosed:
    """Compute each named diagnostic on a module, which stays as it is.

    What can't be computed here is NotEstimable, under the diagnostic's own column, and stops no other. Raises
    TriaxisError for a name or a setting that doesn't exist: `check_diagnostics` says so before a run.
    """
    asked, given = tuple(dict.fromkeys(names)), settings or {}
    check_diagnostics(asked, given)
    values: dict[str, Value] = {}
    costs: dict[str, tuple[float, int]] = {}
    for diagnostic in (d for d in DIAGNOSTICS if d.name in asked):
        column = f"{PREFIX}{diagnostic.name}"
        looked_at = [getattr(inputs, what) for what in diagnostic.looks_at]
        if missing := [w for w, found in zip(diagnostic.looks_at, looked_at, strict=True) if not found]:
            values[column] = NotEstimable("; ".join(inputs.missing.get(w, MISSING[w]) for w in missing))
            continue
        try:
            found = diagnostic.compute(module, *looked_at, **given.get(diagnostic.name, {}))
        except (Undefined, RuntimeError, MemoryError) as error:
            values[column] = NotEstimable(_reason(error))
            continue
        values |= {f"{column}.{part}" if part else column: value for part, value in found.values.items()}
        costs[column] = (found.seconds, found.tokens)
    return Diagnosed(values, costs)


def check_diagnostics(names: Iterable[str], settings: Settings) -> None:
    """Raise TriaxisError for a name that is no diagnostic's, with the nearest, for a setting that one lacks, and for a
    value that a setting can't have."""
    listed = {d.name: d for d in DIAGNOSTICS}
    for name in (*names, *settings):
        if name not in listed:
            near = difflib.get_close_matches(name, listed, n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"choose among {', '.join(listed)}"
            raise TriaxisError(f'diagnostics: no diagnostic is called "{name}"; {hint}')
    for name, chosen in settings.items():
        if unknown := sorted(set(chosen) - set(known := settings_of(listed[name]))):
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise TriaxisError(f"diagnostics.{name}: no setting is called {', '.join(unknown)}; {has}")
        kinds = get_type_hints(listed[name].compute, include_extras=True)
        for key, value in chosen.items():
            _check_value(f"diagnostics.{name}.{key}", value, kinds[key])


def _check_value(where: str, value: Any, kind: Any) -> None:
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        told = error.errors(include_url=False)[0]["msg"]
        raise TriaxisError(f"{where}: {told[:1].lower()}{told[1:]}, got {value!r}") from None


def settings_of(diagnostic: Diagnostic) -> dict[str, Any]:
    """The settings of a diagnostic with their defaults."""
    parameters = inspect.signature(diagnostic.compute).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def _reason(error: Exception) -> str:
    """Why a model or a machine can't give a reading. An error that says neither is a fault of ours: it goes on."""
    told = str(error)
    if isinstance(error, Undefined):
        return told
    if is_out_of_memory(error):
        return "out of memory; lower the micro-batch"
    if "is not implemented" in told:
        return "the model's attention has no second derivative; load it with attn_implementation sdpa or eager"
    raise error
