"""Means over the same items, and how uncertain they are: paired over items, and crossed with runs.

Arrays are dense: the last axis holds the items. Items belong to strata (tasks); a mean over strata weighs them equally,
whatever their number of items. Strata are fixed: an interval speaks of other items, not of other tasks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from triaxis.stats.intervals import Floats, satterthwaite


@dataclass(frozen=True, eq=False)
class Strata:
    """The stratum (task) of each item: `codes` (items,) from 0; every stratum has at least one item."""

    codes: NDArray[np.int64]

    @classmethod
    def one(cls, n_items: int) -> Strata:
        """All items in one stratum."""
        return cls(np.zeros(n_items, dtype=np.int64))

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        return np.bincount(self.codes).astype(np.int64)

    @cached_property
    def weights(self) -> Floats:
        """Weight of each item in the mean: 1 / (strata · items of its stratum)."""
        return np.asarray(1.0 / (len(self.sizes) * self.sizes[self.codes]), dtype=np.float64)

    @cached_property
    def _indicator(self) -> Floats:
        return np.eye(len(self.sizes))[self.codes]

    def centre(self, x: Floats) -> Floats:
        """`x` (..., items) minus its mean within each stratum."""
        means = x @ self._indicator / self.sizes
        return np.asarray(x - means[..., self.codes], dtype=np.float64)

    def mean(self, x: Floats) -> Floats:
        return np.asarray(x @ self.weights, dtype=np.float64)

    def scaled(self, x: Floats) -> Floats:
        """Centred and scaled so that a product of two such vectors is the covariance of their means (n - 1 in each)."""
        size = self.sizes[self.codes]
        return np.asarray(self.centre(x) * self.weights * np.sqrt(size / np.maximum(size - 1, 1)), dtype=np.float64)

    @property
    def df(self) -> int:
        return int((self.sizes - 1).sum())

    @cached_property
    def pseudo(self) -> float:
        """Variance of a mean that half a pseudo-item adds: Jeffreys' at 0 of n is about 1/2 / (n + 2)²."""
        return float((0.5 / (self.sizes + 2.0) ** 2).sum()) / len(self.sizes) ** 2

    @property
    def estimable(self) -> bool:
        """A variance over items needs two of them in every stratum."""
        return bool((self.sizes >= 2).all())


def mean_covariance(x: Floats, strata: Strata, smooth: bool = True) -> Floats:
    """Covariance of the means of the rows of `x` (rows x items), paired over items: rows x rows.

    With `smooth`, each diagonal gets half a pseudo-item, so that a checkpoint at 0 of 60 has an error, and two of them
    have a difference with an error.
    """
    z = strata.scaled(x)
    covariance = z @ z.T
    if smooth:
        covariance[np.diag_indices(len(x))] += strata.pseudo
    return np.asarray(covariance, dtype=np.float64)


@dataclass(frozen=True)
class Variance:
    """A variance with the degrees of freedom of its t."""

    value: float
    df: float


def crossed_variance(contrast: Floats, residual_variance: float, runs: Variance, strata: Strata) -> Variance:
    """Variance of a contrast of runs that share their items, both a sample: V_runs + max(0, V_items - V_run·item).

    contrast: (items,) the contrast item by item (its weighted mean is the estimate). residual_variance: the part of
    V_items that is run x item noise, which V_runs holds already. Two-way clustering: Cameron, Gelbach & Miller 2011.
    """
    z = strata.scaled(contrast)
    v_items = float(z @ z)
    extra = max(0.0, v_items - residual_variance)
    df = satterthwaite([runs.value, extra], [runs.df, strata.df])
    return Variance(runs.value + extra, min(df, 1e9))


def bootstrap_means(x: Floats, draws: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Means of the rows of `x` (rows x items) in `draws` resamples of the items, the same resample for every row.

    One bincount of weights and one float32 matrix product: draws x rows.
    """
    n = x.shape[-1]
    picks = rng.integers(0, n, size=(draws, n), dtype=np.int64)
    picks += np.arange(draws, dtype=np.int64)[:, None] * n
    weights = np.bincount(picks.ravel(), minlength=draws * n).reshape(draws, n).astype(np.float32)
    return np.asarray(weights @ x.T.astype(np.float32) / np.float32(n), dtype=np.float32)
