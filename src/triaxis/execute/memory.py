"""Lack of memory told in one line that says what to lower; the run that lacks it stops, and the others go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from triaxis.axes.memory import is_out_of_memory
from triaxis.types import RunFailed

P = ParamSpec("P")
R = TypeVar("R")

LOADING = "while a model and its rows are made ready: run fewer at once (--jobs), or take model.dtype bfloat16"
TRAINING = (
    "in training: lower optimization.micro_batch_size, which changes results to rounding alone, turn on "
    "model.gradient_checkpointing, or run fewer at once (--jobs)"
)
EVALUATING = "in evaluation: lower evaluation.batch_size, or run fewer at once (--jobs)"

TRYING = (
    "in the calibration, as it would be in the study: lower optimization.micro_batch_size or evaluation.batch_size, or "
    "turn on model.gradient_checkpointing"
)


def memory_told(where: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """For a function that may run out of memory: it raises RunFailed then, and says what to lower."""

    def around(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def told(*args: P.args, **kwargs: P.kwargs) -> R:
            with lacking_memory_told(where):
                return function(*args, **kwargs)

        return told

    return around


@contextmanager
def lacking_memory_told(where: str) -> Iterator[None]:
    """A lack of memory within it as RunFailed. What else is raised goes on."""
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as problem:  # torch's own errors are RuntimeErrors
        if not is_out_of_memory(problem):
            raise
        # Not chained: the failed frames hold the tensors that filled the memory.
        raise RunFailed(f"out of memory {where}") from None
