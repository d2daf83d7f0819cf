"""Rows that stand in a data set more than once, each under an id of its own that says whose copy it is."""

from __future__ import annotations

from dataclasses import replace

from triaxis.types import Example


def copy_of(example: Example, number: int) -> Example:
    """The same row as its `number`-th copy, from 2: `id~2`."""
    return replace(example, id=f"{example.id}~{number}")
