"""The questions that are asked of every table beside trajectories and effects, a file each.

To add one, write a file with `findings(evidence) -> list[Finding]` and list it here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from triaxis.analyze.evidence import Evidence
from triaxis.analyze.questions import (
    capability,
    cost,
    emergence,
    exposure,
    growth,
    importance,
    judge,
    length,
    noise,
    optimum,
    reliance,
    samples,
    saturation,
    slopes,
    stopping,
    surface,
    synergy,
)
from triaxis.types import Finding

QUESTIONS: tuple[Callable[[Evidence], Sequence[Finding]], ...] = (
    growth.findings,
    length.findings,
    stopping.findings,
    slopes.findings,
    optimum.findings,
    synergy.findings,
    surface.findings,
    importance.findings,
    saturation.findings,
    exposure.findings,
    noise.findings,
    capability.findings,
    emergence.findings,
    reliance.findings,
    samples.findings,
    cost.findings,
    judge.findings,
)

__all__ = ["QUESTIONS"]
