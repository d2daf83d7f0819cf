"""May one stop asking? Confidence sequences for the mean of a pool of items that are asked one by one in random order.

They hold at every item at once, so that one may look whenever one likes and stop when one has seen enough. They speak
of the pool alone: when all of it is asked nothing is left uncertain.

Two gamblers bet against a candidate mean before each item, one that it is too low, the other that it is too high; where
the candidate is the pool's mean neither game is favourable (the rest of the pool has the mean that is left over), so
that the chance that one of them ever makes 1 into 2/α is α/2 at most: Ville's inequality. Hedged capital without
replacement, predictable plug-in bets: Waudby-Smith & Ramdas, J. R. Stat. Soc. B 86:1 (2024), arXiv:2010.09686.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from triaxis.stats.intervals import CONFIDENCE, Floats

Truths = NDArray[np.bool_]
Settled = Literal["above", "below", "inside", ""]

STAKE = 0.75  # largest share of the capital that an item can lose
HORIZON = 0.25  # of the pool: bets never get smaller than those that are best for stopping there
GRID = 2000  # steps between 0 and 1 that the ends of an interval are rounded outward to: .001 of a gain
TOLERANCE = 1e-9  # of sums and of the logarithm of a capital; always taken against a rejection


def too_low(x: Floats, total: int, mean: float | Floats, confidence: float = CONFIDENCE) -> Truths:
    """Whether `mean` is known to be below the pool's after each item, once known for good: the shape of `x`.

    x: (..., asked) values in [0, 1] in the order in which they were asked, of a pool of `total`. `mean` is one number,
    or one for each row (...,). The larger a candidate, the later it is rejected, so that what is rejected is everything
    below some number. Raises ValueError for values outside [0, 1] or more of them than the pool has.
    """
    asked = x.shape[-1]
    if asked > total or (x.size and (x.min() < 0 or x.max() > 1)):
        raise ValueError(f"{asked} values of a pool of {total}: they must be in [0, 1], and no more than the pool has")
    before = np.cumsum(x, axis=-1) - x
    left = np.asarray(total * np.asarray(mean)[..., None] - before) / (total - np.arange(asked))
    # The most that a bet may be is STAKE over what an item of 0 loses.
    bets = np.minimum(_bets(x, total, confidence), STAKE / np.clip(left, 1e-12, 1.0))
    wealth = np.cumsum(np.log1p(bets * (x - np.clip(left, 0.0, 1.0))), axis=-1)
    impossible = before + x > total * np.asarray(mean)[..., None] + TOLERANCE  # what is there already is more than that
    known = (wealth >= np.log(2 / (1 - confidence)) + TOLERANCE) | impossible
    return np.logical_or.accumulate(known, axis=-1)


def _bets(x: Floats, total: int, confidence: float) -> Floats:
    """What is bet on each item, from the items before it alone: the best for their variance, and for a while to go."""
    n = np.arange(1, x.shape[-1] + 1)
    means = (0.5 + np.cumsum(x, axis=-1)) / (n + 1)
    squares = np.cumsum((x - means) ** 2, axis=-1)
    variance = (0.25 + np.concatenate([np.zeros_like(x[..., :1]), squares[..., :-1]], axis=-1)) / n
    to_go = np.minimum(n * np.log1p(n), max(HORIZON * total, 1.0))
    return np.asarray(np.sqrt(2 * np.log(2 / (1 - confidence)) / (variance * to_go)), dtype=np.float64)


def mean_bounds(x: Floats, total: int, confidence: float = CONFIDENCE) -> tuple[Floats, Floats]:
    """Both ends of the interval for the pool's mean after the items of `x` (..., asked), each (...,).

    It lies within those after each item before (running intersection). The ends are rounded outward to the grid, or are
    those that arithmetic alone leaves: with all of the pool asked both are its mean.
    """
    summed, asked = x.sum(axis=-1), x.shape[-1]
    if asked == total:
        return summed / total, summed / total
    low = np.maximum(_largest_too_low(x, total, confidence), summed / total)
    high = np.minimum(1 - _largest_too_low(1 - x, total, confidence), (summed + total - asked) / total)
    return low, high


def _largest_too_low(x: Floats, total: int, confidence: float) -> Floats:
    """The largest point of the grid that is known to be below the mean; 0 where none is. By halving."""
    low = np.zeros(x.shape[:-1], dtype=np.int64)
    high = np.full(x.shape[:-1], GRID)
    while (high - low > 1).any():
        middle = (low + high) // 2
        below = too_low(x, total, middle / GRID, confidence)[..., -1] if x.shape[-1] else np.zeros(low.shape, bool)
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray(low / GRID, dtype=np.float64)


def gain_bounds(differences: Floats, total: int, confidence: float = CONFIDENCE) -> tuple[Floats, Floats]:
    """`mean_bounds` of paired differences in [-1, 1]: of the gain over all items of the pool."""
    low, high = mean_bounds((differences + 1) / 2, total, confidence)
    return 2 * low - 1, 2 * high - 1


def settled(differences: Floats, total: int, smallest: float, confidence: float = CONFIDENCE) -> Settled:
    """What is known of a gain from the differences (asked,) in order: above `smallest`, below minus it, inside, or "".

    With the whole pool asked the answer is the gain's own.
    """
    if len(differences) == 0:
        return ""
    if len(differences) == total:
        gain = float(differences.mean())
        return "above" if gain >= smallest else "below" if gain <= -smallest else "inside"
    above, below, under, over = _known(differences, total, smallest, confidence)[..., -1]
    return "above" if above else "below" if below else "inside" if under and over else ""


def settled_after(
    differences: Floats, total: int, smallest: float, looks: NDArray[np.int64], confidence: float = CONFIDENCE
) -> NDArray[np.int64]:
    """The first of `looks` (numbers of items asked, rising, the last the whole pool) at which a gain is settled.

    differences: (..., total) in order. Gives (...,): how many items are asked of each.
    """
    above, below, under, over = _known(differences, total, smallest, confidence)
    known = (above | below | (under & over))[..., looks - 1]
    known[..., -1] = True
    return np.asarray(looks[known.argmax(axis=-1)], dtype=np.int64)


def _known(differences: Floats, total: int, smallest: float, confidence: float) -> Truths:
    """After each item: the gain is above `smallest`, below minus it, below it, above minus it (4, ..., asked)."""
    x, end = (differences + 1) / 2, (1 + smallest) / 2
    return np.array([
        too_low(x, total, end, confidence),
        too_low(1 - x, total, end, confidence),
        too_low(1 - x, total, 1 - end, confidence),
        too_low(x, total, 1 - end, confidence),
    ])  # fmt: skip
