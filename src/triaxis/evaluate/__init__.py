"""Scoring a checkpoint: decode, judge, record."""

from triaxis.evaluate.generate import Response, generate
from triaxis.evaluate.measure import Question, measure, questions

__all__ = ["Question", "Response", "generate", "measure", "questions"]
