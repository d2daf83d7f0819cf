"""Which points no other point beats, and with what probability where their values are uncertain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from triaxis.stats.intervals import Floats

_DIGITS = 9
_AT_ONCE = 20_000_000  # comparisons held in memory


def front(values: Floats) -> NDArray[np.bool_]:
    """The points on the Pareto front: (..., points) of `values` (..., points, objectives), larger being better.

    A point is off the front where another one is at least as good in everything and better in something.
    """
    one, other = values[..., :, None, :], values[..., None, :, :]
    beaten = (other >= one).all(axis=-1) & (other > one).any(axis=-1)
    return np.asarray(~beaten.any(axis=-1), dtype=np.bool_)


def front_probability(draws: Floats) -> Floats:
    """The share of draws in which each point is on the front: (points,) of `draws` (draws, points, objectives)."""
    counts = np.zeros(draws.shape[1])
    draws = np.round(draws, _DIGITS)  # equal values stay equal, in whichever order they were summed
    block = max(1, _AT_ONCE // (draws.shape[1] ** 2 * draws.shape[2]))
    for start in range(0, len(draws), block):
        counts += front(draws[start : start + block]).sum(axis=0)
    return np.asarray(counts / len(draws), dtype=np.float64)


def run_draws(deviations: Floats, item_part: Floats, runs: int, draws: int, rng: np.random.Generator) -> Floats:
    """What other runs of a condition would add to the mean of `runs` of them: (draws, numbers), centred on 0.

    deviations: (runs of the condition, numbers) each run minus their mean. item_part: (numbers, numbers) the part of a
    run's variance that is run x item; it is drawn with the items, so it is taken out here. Heavier in its tails than a
    normal: a t with one degree of freedom fewer than there are runs.
    """
    df = len(deviations) - 1
    own = (deviations.T @ deviations / df - item_part) / runs
    values, vectors = np.linalg.eigh((own + own.T) / 2)
    # The symmetric root is one matrix, whatever the signs and the order that eigenvectors come in.
    root = vectors * np.sqrt(np.clip(values, 0.0, None)) @ vectors.T
    wide = np.sqrt(df / rng.chisquare(df, size=(draws, 1)))
    return np.asarray(wide * (rng.standard_normal((draws, len(root))) @ root.T), dtype=np.float64)
