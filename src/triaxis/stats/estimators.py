"""Scores of an item from several samples: avg@k and the unbiased pass@k."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from triaxis.stats.intervals import Floats


def average_at_k(scores: ArrayLike) -> float:
    """Mean over items of the mean over samples. `scores`: items x samples in [0, 1], NaN where a sample is missing."""
    array = np.asarray(scores, dtype=np.float64)
    if array.size == 0 or np.isnan(array).all(axis=-1).any():
        raise ValueError("every item needs at least one sample")
    return float(np.nanmean(array, axis=-1).mean())


def pass_at_k(correct: ArrayLike, samples: ArrayLike, k: int) -> Floats:
    """The chance that at least one of `k` samples is correct, unbiased: 1 - C(n-c, k)/C(n, k), an item each.

    Chen et al. 2021, arXiv:2107.03374. Raises ValueError where an item has fewer than `k` samples.
    """
    c, n = np.broadcast_arrays(np.asarray(correct, dtype=np.int64), np.asarray(samples, dtype=np.int64))
    if k < 1 or (n < k).any() or (c < 0).any() or (c > n).any():
        raise ValueError("pass@k needs 1 <= k <= samples and 0 <= correct <= samples")
    factors = np.arange(k)
    wrong = np.clip((n - c)[..., None] - factors, 0, None)  # C(n-c, k)/C(n, k) as a product: no overflow
    return np.asarray(1.0 - np.prod(wrong / (n[..., None] - factors), axis=-1), dtype=np.float64)
