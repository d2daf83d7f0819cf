"""Inference from the one table: trajectories, effects, verdicts on claims."""

from triaxis.analyze.analysis import analyze
from triaxis.analyze.to_json import to_json

__all__ = ["analyze", "to_json"]
