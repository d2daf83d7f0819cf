"""At the edge: results that others made (lm-evaluation-harness, inspect_ai, tables with a CSV of runs), and runs that
others train (a callback for transformers' Trainer and TRL).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from triaxis.integrations.results import brought, read_results

if TYPE_CHECKING:
    from triaxis.integrations.trajectory import TrajectoryCallback

__all__ = ["TrajectoryCallback", "brought", "read_results"]


def __getattr__(name: str) -> Any:
    """The callback when it is first asked for: whoever reads results needs nothing of it."""
    if name == "TrajectoryCallback":
        from triaxis.integrations.trajectory import TrajectoryCallback

        return TrajectoryCallback
    raise AttributeError(f"module 'triaxis.integrations' has no attribute {name!r}")
