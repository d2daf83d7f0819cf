"""Contrasts of factors over the cells of a design: which the design can give, with what weights, and their error.

A cell is a condition. Effects are defined on the full grid of levels, the other factors averaged with equal weights:
a main effect is one level minus another, an interaction the difference of such differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from triaxis.stats.intervals import Floats, satterthwaite
from triaxis.stats.paired import Strata, Variance, crossed_variance

Ints = NDArray[np.int64]
MAX_ORDER = 3
MAX_COLUMNS = 1500


@dataclass(frozen=True, eq=False)
class Design:
    """Cells of a design: `levels` (cells x factors) are level numbers from 0; `codes` a matrix levels x columns a
    factor.

    Codes sum to zero over the levels, so that a term averages the factors that are not in it with equal weights.
    """

    levels: Ints
    codes: tuple[Floats, ...]

    def term(self, factors: Sequence[int]) -> Floats:
        """Columns of a main effect or interaction: products of codes (cells x columns)."""
        columns = np.ones((len(self.levels), 1))
        for factor in factors:
            code = self.codes[factor][self.levels[:, factor]]
            columns = (columns[:, :, None] * code[:, None, :]).reshape(len(columns), -1)
        return columns

    def width(self, factors: Sequence[int]) -> int:
        return int(np.prod([self.codes[factor].shape[1] for factor in factors]))

    def terms(self, order: int) -> list[tuple[int, ...]]:
        """All main effects and interactions up to `order`, lower ones first."""
        n = len(self.codes)
        return [term for k in range(1, min(order, n) + 1) for term in combinations(range(n), k)]


def sum_codes(size: int) -> Floats:
    """Codes of a factor of `size` levels; two levels are -1/2 and +1/2."""
    return np.vstack([np.full((1, size - 1), -1.0), np.eye(size - 1)]) * (0.5 if size == 2 else 1.0)


def slope_codes(values: Sequence[float]) -> Floats:
    """One column for a number, rising from its least to its largest value by 1; in its logarithm where it spans
    ten-fold.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.min() > 0 and array.max() >= 10 * array.min():
        array = np.log(array)
    return np.asarray((array - array.mean()) / (array.max() - array.min()), dtype=np.float64)[:, None]


def contrast(design: Design, factors: Sequence[int], high: Sequence[int], low: Sequence[int]) -> Floats | None:
    """Weights over cells for the effect of `factors` between levels `high` and `low` (a number a factor); None if
    aliased.

    The largest model (up to third order) in which the effect is estimable is taken: fewer assumptions come first. A
    main effect must be clear of pairwise interactions, as `study.identify` asks for it.
    """
    n = len(design.codes)
    for order in range(min(MAX_ORDER, n), min(max(len(factors), 2), n) - 1, -1):
        terms = design.terms(order)
        if sum(design.width(term) for term in terms) > MAX_COLUMNS:
            continue
        blocks, target = [np.ones((len(design.levels), 1))], [np.zeros(1)]
        for term in terms:
            blocks.append(design.term(term))
            target.append(_target(design, term, factors, high, low))
        weights = _solve(np.hstack(blocks), np.concatenate(target))
        if weights is not None:
            return weights
    return None


def _target(
    design: Design, term: tuple[int, ...], factors: Sequence[int], high: Sequence[int], low: Sequence[int]
) -> Floats:
    """What the effect is of a term's coefficients: nothing but its own, since codes average to zero over levels."""
    if term != tuple(factors):
        return np.zeros(design.width(term))
    out = np.ones(1)
    for factor, up, down in zip(factors, high, low, strict=True):
        code = design.codes[factor]
        out = np.outer(out, code[up] - code[down]).ravel()
    return out


def _solve(x: Floats, target: Floats) -> Floats | None:
    """Weights w with w'X = target', of least norm; None where there are none."""
    weights, *_ = np.linalg.lstsq(x.T, target, rcond=1e-9)
    if np.abs(x.T @ weights - target).max() > 1e-7:
        return None
    return np.where(np.abs(weights) < 1e-10, 0.0, weights)


@dataclass(frozen=True, eq=False)
class Units:
    """One number a unit (run), the cell of each, and, where items are shared, the same item by item (units x items).

    `per_item` averages over items to `values`; on a transformed scale it is the linear part (delta method). `pseudo` is
    the least variance of a unit, one for all or one a cell, which keeps units that agree by chance, or that are all at
    0 or at 1, from having no error.
    """

    values: Floats
    cells: Ints
    per_item: Floats | None
    strata: Strata | None
    pseudo: float | Floats = 0.0
    blocks: Ints | None = None


@dataclass(frozen=True)
class Estimate:
    """A contrast's value and error, with `items` true where other items would be as good as these."""

    value: float
    variance: Variance
    items: bool


class Contrasts:
    """Contrasts of cell means, each cell with its own variance between units, and the crossed variance of items.

    Cells differ in their variance by orders of magnitude (a rate that destroys the model, one that changes
    nothing): pooled, a contrast that one wild cell dominates would be given the degrees of freedom of all
    (measured: 14 % false at 5 %). Welch's way: degrees of freedom by Satterthwaite over the cells. A cell with
    one unit borrows the variance of the widest other cell, and its degrees of freedom: it may be as wild.

    Where units of several cells have their luck in common, a mean over these cells is no surer for them: what counts
    is one number a block (with three copies of each run 26 % false at 5 %). Of one cell minus another, luck
    in common is not taken out: that errs to the safe side, and three seeds tell too little of how much there is.
    """

    def __init__(self, units: Units) -> None:
        n_cells = int(units.cells.max()) + 1
        self.units = units
        self.counts = np.bincount(units.cells, minlength=n_cells).astype(np.float64)
        self.means = np.bincount(units.cells, weights=units.values, minlength=n_cells) / self.counts
        self.df = len(units.values) - n_cells
        self.crossed = units.per_item is not None and units.strata is not None and units.strata.estimable
        if self.df:
            squares = (units.values - self.means[units.cells]) ** 2
            own = np.where(self.counts > 1, self._within(squares), -1.0)
            self.lender = np.where(self.counts > 1, np.arange(n_cells), int(own.argmax()))
            self.residual = own[self.lender] + units.pseudo
            self.noise = self._item_noise() if self.crossed else np.zeros(n_cells)

    def _within(self, squares: Floats) -> Floats:
        """Variance in each cell from its units' squared deviations; 0 in a cell with one unit."""
        sums = np.bincount(self.units.cells, weights=squares, minlength=len(self.counts))
        return np.asarray(sums / np.maximum(self.counts - 1, 1), dtype=np.float64)

    def _item_noise(self) -> Floats:
        """In each cell the variance of a unit's mean that is unit x item: what differs from its fellows item by
        item.
        """
        units = self.units
        assert units.per_item is not None and units.strata is not None
        z = units.strata.scaled(units.per_item - self._cell_items[units.cells])
        return self._within((z * z).sum(axis=1))[self.lender]

    @cached_property
    def _cell_items(self) -> Floats:
        """The mean of each cell item by item."""
        units = self.units
        assert units.per_item is not None
        sums = np.zeros((len(self.counts), units.per_item.shape[1]))
        np.add.at(sums, units.cells, units.per_item)
        return np.asarray(sums / self.counts[:, None], dtype=np.float64)

    def estimate(self, weights: Floats) -> Estimate:
        """The contrast with `weights` over cells. Raises ValueError without residual degrees of freedom."""
        if not self.df:
            raise ValueError("one unit a cell: no degree of freedom")
        value = float(weights @ self.means)
        runs, residual = self.of_runs(weights)
        units = self.units
        if units.per_item is None or units.strata is None or not self.crossed:
            return Estimate(value, runs, False)
        item_contrast = (weights / self.counts)[units.cells] @ units.per_item
        return Estimate(value, crossed_variance(item_contrast, residual, runs, units.strata), True)

    def of_runs(self, weights: Floats) -> tuple[Variance, float]:
        """A contrast's variance between units, and the part of it that is unit x item."""
        share = weights**2 / self.counts
        parts, noise = share * self.residual, share * self.noise
        shared: list[_Sum] = []
        for cells in self.sharing:
            if found := self._over_blocks(cells, weights):
                shared.append(found)
                parts[cells] = noise[cells] = 0.0
        lent = np.bincount(self.lender, weights=parts, minlength=len(parts))  # borrowed parts are no new evidence
        variances = [*lent.tolist(), *(each.variance for each in shared)]
        df = satterthwaite(variances, [*(self.counts - 1).tolist(), *(each.df for each in shared)])
        return (
            Variance(float(sum(variances)), min(df, float(self.df))),
            float(noise.sum()) + sum(each.noise for each in shared),
        )

    @cached_property
    def sharing(self) -> list[Ints]:
        """The sets of cells that blocks join, of two cells or more."""
        if self.units.blocks is None:
            return []
        _, blocks = np.unique(self.units.blocks, return_inverse=True)
        n = len(self.counts)
        joined = coo_matrix((np.ones(len(blocks)), (self.units.cells, n + blocks)), shape=(n + blocks.max() + 1,) * 2)
        of = connected_components(joined, directed=False)[1][:n]
        return [cells for part in np.unique(of) if len(cells := np.flatnonzero(of == part)) > 1]

    def meets(self, weights: Floats) -> bool:
        """Whether a contrast takes several units with luck in common."""
        blocks = self.units.blocks
        if blocks is None:
            return False
        used = blocks[weights[self.units.cells] != 0]
        return len(np.unique(used)) < len(used)

    def _over_blocks(self, cells: Ints, weights: Floats) -> _Sum | None:
        """What these cells add to a contrast, a number a block; None where no block is met twice on one side."""
        units = self.units
        assert units.blocks is not None
        used = np.flatnonzero(np.isin(units.cells, cells) & (weights[units.cells] != 0))
        if not len(used):
            return None
        _, block = np.unique(units.blocks[used], return_inverse=True)
        cell = units.cells[used]
        each = (weights / self.counts)[cell]

        def summed(of_units: Floats) -> Floats:
            return np.bincount(block, weights=of_units).astype(np.float64)

        if max(np.bincount(block[each > 0], minlength=1).max(), np.bincount(block[each < 0], minlength=1).max()) < 2:
            return None
        if (self.counts[cell] == 1).any():  # nothing tells how much is shared: all of it
            spread = np.abs(each) * np.sqrt(self.residual[cell])
            most = summed(np.where(each > 0, spread, 0.0)) ** 2 + summed(np.where(each < 0, spread, 0.0)) ** 2
            own = self.counts[cell] > 1
            df = float((self.counts[self.lender[cell]] - 1).min())
            noise = np.where(own, each**2 * self.noise[cell], 0.0)
            return _Sum(float(most.sum()), df, float(noise.sum()))
        each = each * np.sqrt(self.counts[cell] / (self.counts[cell] - 1))
        least = summed((weights / self.counts)[cell] * np.sqrt(np.broadcast_to(units.pseudo, self.counts.shape)[cell]))
        variance = float((summed(each * (units.values[used] - self.means[cell])) ** 2).sum() + (least**2).sum())
        parts = (weights**2 / self.counts * self.residual)[np.unique(cell)]
        df = min(satterthwaite(parts.tolist(), (self.counts[np.unique(cell)] - 1).tolist()), float(block.max()))
        return _Sum(variance, df, self._noise_of(used, block, each) if self.crossed else 0.0)

    def _noise_of(self, used: Ints, block: Ints, each: Floats) -> float:
        """The part of a sum over blocks that is unit x item."""
        units = self.units
        assert units.per_item is not None and units.strata is not None
        rows = np.zeros((block.max() + 1, units.per_item.shape[1]))
        np.add.at(rows, block, each[:, None] * (units.per_item - self._cell_items[units.cells])[used])
        return float((units.strata.scaled(rows) ** 2).sum())


@dataclass(frozen=True)
class _Sum:
    """What cells with luck in common add to a contrast: variance between blocks, its part that is unit x item."""

    variance: float
    df: float
    noise: float
