"""The one random order in which an adaptive evaluation asks the items of a task."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from triaxis.tasks.streams import keyed


@lru_cache(maxsize=256)
def places(task: str, items: tuple[str, ...], seed: int) -> Mapping[str, int]:
    """The place of each item in the order of asking, from 0: the same at every checkpoint, base and mode.

    It depends on nothing that a model says, which is what a confidence sequence's guarantee needs, nor on the order in
    which the items are given.
    """
    drawn = keyed("order of asking", task, seed, len(items)).permutation(len(items))
    known = sorted(items)
    return {known[index]: place for place, index in enumerate(drawn)}
