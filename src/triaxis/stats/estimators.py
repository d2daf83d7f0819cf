"""Scores of an item from several samples: avg@k, the unbiased pass@k, and majority@k."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from math import comb

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


def majority_at_k(answers: Sequence[Hashable | None], correct: Sequence[bool], k: int) -> float:
    """The chance that the answer given most often among `k` samples of an item is correct: the mean over all draws of
    `k` of its samples without replacement, which is unbiased as `pass_at_k` is (the vote of arXiv:2203.11171).

    `answers`: one a sample, None where it gives none, which votes for nothing. Correct answers are one answer, however
    they are written. Answers that are tied share the vote; a draw without a vote is not correct. Raises ValueError
    where there are fewer than `k` samples.
    """
    n = len(answers)
    if not 1 <= k <= n or len(correct) != n:
        raise ValueError("majority@k needs 1 <= k <= samples, and an answer and a verdict a sample")
    right = sum(map(bool, correct))
    wrong = Counter(a for a, c in zip(answers, correct, strict=True) if not c and a is not None)
    silent = n - right - sum(wrong.values())
    won = 0.0
    for votes in range(1, min(right, k) + 1):
        for (drawn, ties), ways in _no_more_than(votes, list(wrong.values()), k - votes).items():
            won += comb(right, votes) * ways * comb(silent, k - votes - drawn) / (ties + 1)
    return won / comb(n, k)


def _no_more_than(votes: int, sizes: Sequence[int], most: int) -> dict[tuple[int, int], int]:
    """In how many ways up to `most` samples are drawn of answers given `sizes` times, none of them more than `votes`
    times: (drawn, answers drawn exactly `votes` times) to ways."""
    ways = {(0, 0): 1}
    for size in sizes:
        more: dict[tuple[int, int], int] = {}
        for (drawn, ties), so_far in ways.items():
            for i in range(min(size, votes, most - drawn) + 1):
                key = (drawn + i, ties + (i == votes))
                more[key] = more.get(key, 0) + so_far * comb(size, i)
        ways = more
    return ways
