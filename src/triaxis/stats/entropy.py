"""Entropy of counts, and the number of equally frequent categories that would have it."""

from __future__ import annotations

from collections.abc import Iterable
from math import exp

import numpy as np


def entropy(counts: Iterable[float]) -> float:
    """Shannon's entropy in nats of the shares that counts have: 0 where one category holds all.

    The plug-in estimate: with few counts a category it is too low, by about (categories - 1) / (2 · total)
    (Miller 1955). Raises ValueError where nothing was counted.
    """
    held = np.array([count for count in counts if count], dtype=np.float64)
    if not len(held) or (held < 0).any():
        raise ValueError("entropy needs counts, one above 0 at least")
    shares = held / held.sum()
    return max(0.0, float(-(shares * np.log(shares)).sum()))


def effective_number(counts: Iterable[float]) -> float:
    """exp(entropy): how many categories of equal size are as diverse (Hill 1973, order 1)."""
    return exp(entropy(counts))
