"""How likely a contrast of condition means is to be found, from its variance components: known before any data is.

What is planned is the test of `stats.effects.Contrasts`: Welch between runs, crossed with items, a least variance for
runs that agree by chance. The estimate is normal. Its interval is wide or narrow by chance too, and with two or three
seeds a condition much so: degrees of freedom are estimated from the same few runs. So the power is the mean over what
the interval may come to, a fixed set of draws (Latin hypercube), and not a noncentral t at the degrees of freedom that
equal variances would give, which promises too much (a three-way interaction of 2x2x2 with two seeds:
.91 promised, .77 found).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from triaxis.stats.intervals import CONFIDENCE, Floats

Ints = NDArray[np.int64]
NO_REPLICATE = "one run a condition: no degree of freedom between runs"
ONE_ITEM = "a task with one item: no variance over items"
_DRAWS, _LEAST_DRAWS, _LARGEST = 1024, 16, 1 << 17  # of variances; fewer where many conditions average them anyhow


@dataclass(frozen=True)
class Components:
    """Variances (fractions of 1, squared) of a score on one item, each drawn anew for what its name says.

    Miller 2024, arXiv:2411.00640, has the items and the samples; a study adds its runs.
    """

    run: float  # a run's lasting offset and its wander at the checkpoint, the same on all items
    run_item: float  # an item's luck in one run
    sample: float  # one response: the mean of p(1 - p)
    item_condition: float  # a condition changes which items are hard
    item_base: float  # and a base does; the part that its conditions share

    def noise(self, samples: float) -> float:
        """What one run's score on one item holds beside its condition's."""
        return self.run_item + self.sample / samples


@dataclass(frozen=True, eq=False)
class Plan:
    """A contrast to be measured: `weights` and number of runs `counts` of each cell, `shares` the weight that each
    base's own score has (0: it cancels), `sizes` the number of items of each task, `samples` responses an item.
    """

    weights: Floats
    counts: Floats
    shares: Floats
    sizes: Ints
    samples: float

    @cached_property
    def per_item(self) -> float:
        """What a variance an item is multiplied with to be that of the mean over tasks, which weigh equally."""
        return float((1.0 / self.sizes).sum()) / len(self.sizes) ** 2

    @property
    def items_df(self) -> int:
        return int((self.sizes - 1).sum())

    @property
    def pseudo(self) -> float:
        """The least variance of a run's gain in points, twice `Strata.pseudo`: for the base and for the checkpoint."""
        return float((1.0 / (self.sizes + 2.0) ** 2).sum()) / len(self.sizes) ** 2

    def items_variance(self, of: Components) -> float:
        """Variance of the contrast over items, run x item noise included."""
        noise = of.noise(self.samples)
        cells = float((self.weights**2 * (of.item_condition + noise / self.counts)).sum())
        return self.per_item * (cells + float((self.shares**2).sum()) * (of.item_base + noise))


@dataclass(frozen=True, eq=False)
class Law:
    """The estimate's standard deviation, and half-widths of its interval that are equally likely."""

    sd: float
    halves: Floats

    def power(self, effect: float, smallest: float = 0.0) -> float:
        """The chance that the interval lies beyond `smallest`, on the effect's own side."""
        margin = abs(effect) - smallest - self.halves
        if self.sd <= 0:
            return float((margin > 0).mean())
        return float(special.ndtr(margin / self.sd).mean())

    def detects(self, power: float, smallest: float = 0.0) -> float:
        """The smallest effect that is found with this power."""
        low, high = smallest, smallest + float(self.halves.max()) + 9 * self.sd
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (low, middle) if self.power(middle, smallest) >= power else (middle, high)
        return high


def law_of_runs(plan: Plan, of: Components, confidence: float = CONFIDENCE) -> Law:
    """The law of a contrast that speaks of runs and items like these.

    Raises ValueError where no condition has two runs, or a task has one item.
    """
    if not (plan.counts > 1).any():
        raise ValueError(NO_REPLICATE)
    if (plan.sizes < 2).any():
        raise ValueError(ONE_ITEM)
    noise = of.noise(plan.samples) * plan.per_item
    share = plan.weights**2 / plan.counts
    ratios = _ratios(tuple((plan.counts - 1).tolist()))
    runs, df = _between_runs(plan, share, ratios * (of.run + noise))
    over_items = plan.items_variance(of)
    seen = over_items * _ratios((float(plan.items_df),), len(runs), 1)[:, 0]
    held = noise * float(share.sum())  # the part of the items' variance that the runs' holds already
    seen -= held * _ratios((plan.items_df * float((plan.counts - 1).sum()),), len(runs), 2)[:, 0]
    extra = np.maximum(seen, 0.0)
    both = (runs + extra) ** 2 / (runs**2 / df + extra**2 / plan.items_df)
    halves = special.stdtrit(both, 0.5 + confidence / 2) * np.sqrt(runs + extra)
    return Law((of.run * float(share.sum()) + over_items) ** 0.5, np.asarray(halves, dtype=np.float64))


def _between_runs(plan: Plan, share: Floats, own: Floats) -> tuple[Floats, Floats]:
    """In each draw the variance of the contrast between runs and its degrees of freedom, as `Contrasts` has them.

    `own` (draws x cells) are the variances within cells; a cell with one run borrows the widest.
    """
    single = plan.counts == 1
    parts = share * (np.where(single, own.max(axis=1, keepdims=True), own) + plan.pseudo)
    lent = np.where(single, 0.0, parts)
    lent[np.arange(len(own)), own.argmax(axis=1)] += parts[:, single].sum(axis=1)
    total = parts.sum(axis=1)
    below = (lent**2 / np.maximum(plan.counts - 1, 1)).sum(axis=1)
    df = np.divide(total**2, below, out=np.full(len(own), np.inf), where=below > 0)
    return total, np.minimum(df, float(plan.counts.sum() - len(plan.counts)))


def law_of_items(plan: Plan, of: Components, confidence: float = CONFIDENCE) -> Law:
    """The law of a contrast of these very runs over items: nothing in it speaks of other runs. Raises ValueError where
    a task has one item.
    """
    if (plan.sizes < 2).any():
        raise ValueError(ONE_ITEM)
    variance, df = plan.items_variance(of), float(plan.items_df)
    seen = variance * _ratios((df,), _DRAWS, 1)[:, 0] + plan.pseudo * float((plan.weights**2 / plan.counts).sum())
    return Law(variance**0.5, np.asarray(special.stdtrit(df, 0.5 + confidence / 2) * np.sqrt(seen), dtype=np.float64))


@lru_cache(maxsize=256)
def _ratios(dfs: tuple[float, ...], draws: int = 0, stream: int = 0) -> Floats:
    """Estimated over true variance, chi-square(df)/df: draws x len(dfs), each column spread evenly; 0 where df is 0.

    The uniforms behind them depend on the shape alone, so that power rises smoothly with seeds, items and samples.
    """
    draws = draws or min(_DRAWS, max(_LEAST_DRAWS, _LARGEST // len(dfs)))
    rng = np.random.default_rng([stream, len(dfs)])
    order = rng.permuted(np.tile(np.arange(draws), (len(dfs), 1)), axis=1).T
    df = np.asarray(dfs)
    half = np.maximum(df, 1.0) / 2
    found = special.gammaincinv(half, (order + 0.5) / draws) / half
    return np.asarray(np.where(df > 0, found, 0.0), dtype=np.float64)


def least(enough: Callable[[int], bool], start: int, most: int) -> int | None:
    """The least whole number from `start` to `most` that is enough; None where none is. `enough` stays true once it
    is.
    """
    if enough(start):
        return start
    low, high = start, start
    while not enough(high):
        if high >= most:
            return None
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
