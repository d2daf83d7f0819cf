"""Scoring a checkpoint: decode, judge, record."""

from triaxis.evaluate.behaviours import Ngrams
from triaxis.evaluate.generate import Response, generate
from triaxis.evaluate.measure import Question, measure, questions

__all__ = ["Ngrams", "Question", "Response", "generate", "measure", "questions"]
