"""Random streams keyed by what they are for, and the rule that keeps train and evaluation apart."""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np

Split = Literal["pretrain", "train", "eval", "select"]
SPLITS: tuple[Split, ...] = ("pretrain", "train", "eval", "select")
HELD_OUT = ("eval", "select")  # what is reported, and what checkpoints are chosen on (`selection.selection_items`)
EVAL_SHARE = 64  # of 256: a quarter of all problems is never trained on


def _digest(key: tuple[object, ...]) -> bytes:
    return hashlib.sha256("\x1f".join(map(str, key)).encode()).digest()


def keyed(*key: object) -> np.random.Generator:
    """A generator that depends on the key's words alone: the same on every machine, in every process."""
    return np.random.Generator(np.random.Philox(key=int.from_bytes(_digest(key)[:16], "little")))


def held_out(prompt: str) -> bool:
    """Whether a problem belongs to evaluation. Its content decides, so no seed can put it on both sides."""
    return _digest((prompt,))[0] < EVAL_SHARE


def in_split(prompt: str, split: Split) -> bool:
    """Pretraining and training share the problems that aren't held out; evaluation and selection those that are."""
    return held_out(prompt) == (split in HELD_OUT)
