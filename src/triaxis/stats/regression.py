"""Least squares on units with errors that need no equal variance (HC3), crossed with items where units share them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from triaxis.stats.effects import Estimate, Ints, Units
from triaxis.stats.intervals import Floats
from triaxis.stats.paired import Variance, crossed_variance

_FULL = 1 - 1e-9  # a unit that alone carries a column has this leverage: its residual is 0 whatever its error


@dataclass(frozen=True, eq=False)
class Regression:
    """Units regressed on the columns of `x` (units x columns); `units.cells` are not used.

    The residual holds what the columns leave out (lack of fit) and what differs from seed to seed, together. Raises
    ValueError where columns are not independent, where no degree of freedom is left, or where one unit alone
    carries a column.
    """

    x: Floats
    units: Units

    def __post_init__(self) -> None:
        n, columns = self.x.shape
        if n <= columns:
            raise ValueError(f"{n} units for {columns} columns: no degree of freedom")
        if np.linalg.matrix_rank(self.x) < columns:
            raise ValueError("columns are not independent")
        if self._leverage.max() > _FULL:
            raise ValueError("one unit alone carries a column")
        if any(np.linalg.eigvalsh(self._hat(own)).max() > _FULL for own in self._shared):
            raise ValueError("units that have their luck in common alone carry a column")

    @property
    def df(self) -> int:
        return len(self.x) - len(self.x.T)

    @cached_property
    def _solver(self) -> Floats:
        return np.asarray(np.linalg.pinv(self.x), dtype=np.float64)

    @cached_property
    def _leverage(self) -> Floats:
        return np.asarray(np.einsum("ij,ji->i", self.x, self._solver), dtype=np.float64)

    def of_units(self, weights: Floats) -> Floats:
        """Weights over units of a contrast with `weights` over coefficients."""
        return np.asarray(weights @ self._solver, dtype=np.float64)

    def estimate(self, weights: Floats) -> Estimate:
        """The contrast of coefficients with HC3's variance (MacKinnon & White 1985, J. Econometrics 29:305).

        Each unit's squared residual stands for its variance, divided by (1 - leverage)². Items are crossed with units
        as in `paired.crossed_variance`, the part that is unit x item taken from the residuals item by item. Units that
        have their luck in common (`units.blocks`) are summed before they are squared, with the leverage that they have
        together (CR3: Bell & McCaffrey 2002, Surv. Methodol. 28:169).
        """
        solver, units = self._solver, self.units
        share = weights @ solver
        spread, blocks = self._spread(share), self._blocks
        residual = units.values - self.x @ (solver @ units.values)
        summed = np.bincount(blocks, weights=spread * residual)
        runs = Variance(
            float((summed**2).sum()) + float(share**2 @ self._pseudo()), float(min(self.df, max(1, blocks.max())))
        )
        value = float(share @ units.values)
        if units.per_item is None or units.strata is None or not units.strata.estimable:
            return Estimate(value, runs, False)
        left = units.strata.scaled(units.per_item - self.x @ (solver @ units.per_item))
        rows = np.zeros((blocks.max() + 1, left.shape[1]))
        np.add.at(rows, blocks, spread[:, None] * left)
        noise = float((rows * rows).sum())
        return Estimate(value, crossed_variance(share @ units.per_item, noise, runs, units.strata), True)

    @cached_property
    def _blocks(self) -> Ints:
        """The block of each unit, from 0."""
        if self.units.blocks is None:
            return np.arange(len(self.x))
        return np.unique(self.units.blocks, return_inverse=True)[1].ravel()

    @cached_property
    def _shared(self) -> list[Ints]:
        """The units of each block of several."""
        return [np.flatnonzero(self._blocks == b) for b in np.flatnonzero(np.bincount(self._blocks) > 1)]

    def _hat(self, own: Ints) -> Floats:
        return np.asarray(self.x[own] @ self._solver[:, own], dtype=np.float64)

    def _spread(self, share: Floats) -> Floats:
        """Weights of the residuals, each block's by the inverse of what is left of it beside its own fit."""
        spread = share / (1 - self._leverage)
        for own in self._shared:
            spread[own] = np.linalg.solve(np.eye(len(own)) - self._hat(own), share[own])
        return np.asarray(spread, dtype=np.float64)

    def _pseudo(self) -> Floats:
        return np.broadcast_to(np.asarray(self.units.pseudo, dtype=np.float64), self.units.values.shape)
