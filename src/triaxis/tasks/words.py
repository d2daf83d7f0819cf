"""`words`: the arithmetic of `chain` in other words."""

from __future__ import annotations

from dataclasses import dataclass

from triaxis.tasks.chain import Chain


@dataclass(frozen=True)
class Words(Chain):
    """`words three more four less nine ?`: i1 three more four = seven, i2 seven less nine = eight."""

    name: str = "words"
    group: str = "near_ood"
    levels: tuple[int, ...] = (3, 4, 5)
    eval_levels: tuple[int, ...] = (3, 4, 5, 6)
    plus: str = "more"
    minus: str = "less"
    digits: tuple[str, ...] = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
