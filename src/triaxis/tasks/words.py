"""`words`: the arithmetic of `chain` in other words."""

from __future__ import annotations

from dataclasses import dataclass

from triaxis.tasks.chain import Chain
from triaxis.types import Variant


@dataclass(frozen=True)
class Words(Chain):
    """`words three more four less nine ?`: i1 three more four = seven, i2 seven less nine = eight."""

    name: str = "words"
    group: str = "near_ood"
    variant_of: str = "chain"
    variant: Variant | None = "wording"
    levels: tuple[int, ...] = (3, 4, 5)
    eval_levels: tuple[int, ...] = (3, 4, 5, 6)
    plus: str = "more"
    minus: str = "less"
    digits: tuple[str, ...] = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
