"""Contrasts of factors over the cells of a design: which the design can give, with what weights, and their error.

A cell is a condition. Effects are defined on the full grid of levels, the other factors averaged with equal weights: a main
effect is one level minus another, an interaction the difference of such differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from triaxis.stats.intervals import Floats
from triaxis.stats.paired import Strata, Variance, crossed_variance

Ints = NDArray[np.int64]
MAX_ORDER = 3
MAX_COLUMNS = 1500


@dataclass(frozen=True, eq=False)
class Design:
    """Cells of a design: `levels` (cells x factors) are level numbers from 0, `sizes` how many levels each factor has."""

    levels: Ints
    sizes: tuple[int, ...]

    def term(self, factors: Sequence[int]) -> Floats:
        """Columns of a main effect or interaction: products of sum-to-zero codes (cells x columns)."""
        columns = np.ones((len(self.levels), 1))
        for factor in factors:
            code = self.code(factor)[self.levels[:, factor]]
            columns = (columns[:, :, None] * code[:, None, :]).reshape(len(columns), -1)
        return columns

    def code(self, factor: int) -> Floats:
        """Sum-to-zero codes of a factor: levels x (levels - 1); two levels are -1/2 and +1/2."""
        size = self.sizes[factor]
        return np.vstack([np.full((1, size - 1), -1.0), np.eye(size - 1)]) * (0.5 if size == 2 else 1.0)

    def terms(self, order: int) -> list[tuple[int, ...]]:
        """All main effects and interactions up to `order`, lower ones first."""
        n = len(self.sizes)
        return [term for k in range(1, min(order, n) + 1) for term in combinations(range(n), k)]


@dataclass(frozen=True, eq=False)
class Contrast:
    """Weights over cells that give an effect, and the highest order of effect that they allow for."""

    weights: Floats
    order: int
    complete: bool  # whether effects of higher order, where the design has them, can't bias it


def contrast(design: Design, factors: Sequence[int], high: Sequence[int], low: Sequence[int]) -> Contrast | None:
    """Weights over cells for the effect of `factors` between levels `high` and `low` (a number a factor); None if aliased.

    The largest model (up to third order) in which the effect is estimable is taken: fewer assumptions come first.
    """
    top = min(MAX_ORDER, len(design.sizes))
    for order in range(top, len(factors) - 1, -1):
        terms = design.terms(order)
        width = sum(int(np.prod([design.sizes[f] - 1 for f in term])) for term in terms)
        if width > MAX_COLUMNS and order > len(factors):
            continue
        blocks, target = [np.ones((len(design.levels), 1))], [np.zeros(1)]
        for term in terms:
            blocks.append(design.term(term))
            target.append(_target(design, term, factors, high, low))
        weights = _solve(np.hstack(blocks), np.concatenate(target))
        if weights is not None:
            return Contrast(weights, order, order == top)
    return None


def _target(
    design: Design, term: tuple[int, ...], factors: Sequence[int], high: Sequence[int], low: Sequence[int]
) -> Floats:
    """What the effect is of a term's coefficients: nothing but its own, since codes average to zero over levels."""
    if term != tuple(factors):
        return np.zeros(int(np.prod([design.sizes[f] - 1 for f in term])))
    out = np.ones(1)
    for factor, up, down in zip(factors, high, low, strict=True):
        code = design.code(factor)
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

    `per_item` averages over items to `values`; on a transformed scale it is the linear part (delta method).
    """

    values: Floats
    cells: Ints
    per_item: Floats | None
    strata: Strata | None


@dataclass(frozen=True)
class Estimate:
    """A contrast's value and error, with `items` true where other items would be as good as these."""

    value: float
    variance: Variance
    items: bool


class Contrasts:
    """Contrasts of cell means, with the pooled variance of units within their cells and the crossed variance of items."""

    def __init__(self, units: Units) -> None:
        n_cells = int(units.cells.max()) + 1
        self.units = units
        self.counts = np.bincount(units.cells, minlength=n_cells).astype(np.float64)
        self.means = np.bincount(units.cells, weights=units.values, minlength=n_cells) / self.counts
        self.df = len(units.values) - n_cells
        residual = units.values - self.means[units.cells]
        self.residual = float(residual @ residual) / self.df if self.df else float("nan")
        self.crossed = units.per_item is not None and units.strata is not None and units.strata.estimable
        self.noise = self._item_noise() if self.crossed and self.df else 0.0

    def _item_noise(self) -> float:
        """Variance of a unit's mean that is unit x item: what differs from its cell's other units item by item."""
        units = self.units
        assert units.per_item is not None and units.strata is not None
        cell_items = np.zeros((len(self.counts), units.per_item.shape[1]))
        np.add.at(cell_items, units.cells, units.per_item)
        z = units.strata.scaled(units.per_item - (cell_items / self.counts[:, None])[units.cells])
        return float((z * z).sum()) / self.df

    def estimate(self, weights: Floats) -> Estimate:
        """The contrast with `weights` over cells. Raises ValueError without residual degrees of freedom."""
        if not self.df:
            raise ValueError("one unit a cell: no degree of freedom")
        value = float(weights @ self.means)
        scale = float((weights**2 / self.counts).sum())
        runs = Variance(scale * self.residual, self.df)
        if not self.crossed:
            return Estimate(value, runs, False)
        units = self.units
        assert units.per_item is not None and units.strata is not None
        item_contrast = (weights / self.counts)[units.cells] @ units.per_item
        return Estimate(value, crossed_variance(item_contrast, scale * self.noise, runs, units.strata), True)
