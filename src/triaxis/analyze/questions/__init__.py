"""The questions that are asked of every table beside trajectories and effects, a file each.

To add one, write a file with `findings(evidence) -> list[Finding]` and list it here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from triaxis.analyze.evidence import Evidence
from triaxis.types import Finding

QUESTIONS: tuple[Callable[[Evidence], Sequence[Finding]], ...] = ()

__all__ = ["QUESTIONS"]
