"""Contrasts of factors over the cells of a design: which the design can give, with what weights, and their error.

A cell is a condition. Effects are defined on the full grid of levels, the other factors averaged with equal weights:
a main effect is one level minus another, an interaction the difference of such differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

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
        cell_items = np.zeros((len(self.counts), units.per_item.shape[1]))
        np.add.at(cell_items, units.cells, units.per_item)
        z = units.strata.scaled(units.per_item - (cell_items / self.counts[:, None])[units.cells])
        return self._within((z * z).sum(axis=1))[self.lender]

    def estimate(self, weights: Floats) -> Estimate:
        """The contrast with `weights` over cells. Raises ValueError without residual degrees of freedom."""
        if not self.df:
            raise ValueError("one unit a cell: no degree of freedom")
        value = float(weights @ self.means)
        share = weights**2 / self.counts
        parts = share * self.residual
        lent = np.bincount(self.lender, weights=parts, minlength=len(parts))  # borrowed parts are no new evidence
        df = satterthwaite(lent.tolist(), (self.counts - 1).tolist())
        runs = Variance(float(parts.sum()), min(df, float(self.df)))
        units = self.units
        if units.per_item is None or units.strata is None or not self.crossed:
            return Estimate(value, runs, False)
        item_contrast = (weights / self.counts)[units.cells] @ units.per_item
        return Estimate(value, crossed_variance(item_contrast, float(share @ self.noise), runs, units.strata), True)
