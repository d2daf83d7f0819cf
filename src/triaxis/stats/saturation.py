"""Where more data stops paying: a power law with an asymptote, and the size from which a doubling gives too little."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from triaxis.stats.effects import Contrasts
from triaxis.stats.intervals import CONFIDENCE, Floats, satterthwaite

LEAST_SIZES = 5  # three parameters and two sizes to be wrong at
EXPONENTS = np.geomspace(0.02, 4.0, 80)  # from a straight line in log size to a curve that is level after one doubling
_ZERO = 1e-12


@dataclass(frozen=True)
class PowerLaw:
    """y(n) = asymptote - drop · (n / first)^-exponent, with `first` the smallest size."""

    first: float
    asymptote: float
    drop: float
    exponent: float

    def at(self, size: float) -> float:
        """The curve at a size."""
        return float(self.asymptote - self.drop * (size / self.first) ** -self.exponent)

    def doublings_until(self, gain: float) -> float:
        """Doublings of the smallest size after which a further one gives less than `gain`.

        Negative where it gives less at the smallest size already; -inf where the curve does not rise.
        """
        pays = self.drop * (1 - 2.0**-self.exponent)  # of the first doubling
        return float(np.log2(pays / gain) / self.exponent) if pays > 0 else -float("inf")


@dataclass(frozen=True)
class Saturation:
    """The size from which a doubling gives less than what is asked, with the ends of its interval.

    0 stands for "below the smallest size", infinity for "beyond what any size shows".
    """

    law: PowerLaw
    size: float
    low: float
    high: float


def fit_power_law(sizes: Floats, means: Floats) -> PowerLaw:
    """Least squares, all sizes alike (variances of three seeds are too unsure to weigh by).

    Given the exponent the curve is linear in its two other parameters (Golub & Pereyra 1973): so the exponent is tried
    over a grid, which stands for many starts, and refined. Raises ValueError for fewer than five different sizes.
    """
    if len(np.unique(sizes)) < LEAST_SIZES or len(sizes) != len(means):
        raise ValueError(f"a power law needs {LEAST_SIZES} different sizes, each with a mean")
    first = float(sizes.min())
    squares = _squares(sizes / first, means[None])[0]
    best = int(squares.argmin())
    around = np.log(EXPONENTS[[max(best - 1, 0), min(best + 1, len(EXPONENTS) - 1)]])
    found = minimize_scalar(
        lambda log_c: _solve(sizes / first, means, float(np.exp(log_c)))[2],
        bounds=(float(around[0]), float(around[1])),
        method="bounded",
    )
    exponent = float(np.exp(found.x)) if found.fun < squares[best] else float(EXPONENTS[best])
    asymptote, drop, _ = _solve(sizes / first, means, exponent)
    return PowerLaw(first, asymptote, drop, exponent)


def _solve(ratio: Floats, means: Floats, exponent: float) -> tuple[float, float, float]:
    """Asymptote, drop and sum of squares at one exponent."""
    falling = ratio**-exponent
    centred = falling - falling.mean()
    drop = -float(centred @ means) / float(centred @ centred)
    asymptote = float(means.mean() + drop * falling.mean())
    rest = means - asymptote + drop * falling
    return asymptote, drop, float(rest @ rest)


def _squares(ratio: Floats, means: Floats) -> Floats:
    """Sum of squares of each row of means (rows x sizes) at each exponent of the grid."""
    falling = ratio[None, :] ** -EXPONENTS[:, None]
    centred = falling - falling.mean(axis=1, keepdims=True)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    about = means - means.mean(axis=1, keepdims=True)
    return np.asarray((about**2).sum(axis=1)[:, None] - (about @ unit.T) ** 2, dtype=np.float64)


def saturation(sizes: Floats, means: Floats, errors: Floats, gain: float) -> Saturation:
    """The size from which a doubling gives less than `gain`, with a percentile interval over drawn errors.

    errors: (draws x sizes), what other runs and items would add to the means (`joint_errors`).
    """
    law = fit_power_law(sizes, means)
    ratio = sizes / law.first
    drawn = means + errors
    exponents = EXPONENTS[_squares(ratio, drawn).argmin(axis=1)]
    falling = ratio[None, :] ** -exponents[:, None]
    centred = falling - falling.mean(axis=1, keepdims=True)
    drops = -(centred * drawn).sum(axis=1) / (centred**2).sum(axis=1)
    pays = drops * (1 - 2.0**-exponents)
    doublings = np.where(pays > 0, np.log2(np.maximum(pays, _ZERO) / gain) / exponents, -np.inf)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(doublings, [tail, 1 - tail], method="inverted_cdf")
    return Saturation(law, *(_size(law.first, float(d)) for d in (law.doublings_until(gain), low, high)))


def _size(first: float, doublings: float) -> float:
    """The size; past 2^100 times the smallest it is no number of anything."""
    if doublings < 0:
        return 0.0
    return first * 2.0**doublings if doublings < 100 else float("inf")


def joint_errors(fit: Contrasts, weights: Sequence[Floats], draws: int, rng: np.random.Generator) -> Floats:
    """What other runs and items would add to several contrasts of cells at once: (draws x contrasts).

    A parametric bootstrap: the cells' means move by normals with Welch's variances, all of a draw stretched alike so
    that it is Student's t with the degrees of freedom of all cells together (Satterthwaite). Three seeds drawn again
    from themselves move too little, and a t of two degrees of freedom for each cell too much (intervals cover 99 %).
    """
    shares = np.array(weights)
    variances = fit.residual / fit.counts
    parts = (shares**2).sum(axis=0) * variances
    lent = np.bincount(fit.lender, weights=parts, minlength=len(parts))
    df = min(satterthwaite(lent.tolist(), (fit.counts - 1).tolist()), float(fit.df))
    alone, of_runs = shares**2 @ variances, [fit.of_runs(row) for row in shares]
    wider = np.array([max(1.0, found.value / own) for (found, _), own in zip(of_runs, alone, strict=True)])
    if (wider > 1).any():  # runs that share a trunk are no new evidence
        df = min(df, satterthwaite([found.value for found, _ in of_runs], [found.df for found, _ in of_runs]))
    stretch = np.sqrt(df / rng.chisquare(df, draws))[:, None]
    errors = (rng.standard_normal((draws, len(variances))) * np.sqrt(variances) * stretch) @ shares.T * np.sqrt(wider)
    units = fit.units
    if fit.crossed and units.per_item is not None and units.strata is not None:
        each = (shares / fit.counts)[:, units.cells] @ units.per_item
        z = units.strata.scaled(each)
        extra = z @ z.T - (shares**2 / fit.counts * fit.noise) @ shares.T * np.eye(len(shares))
        values, vectors = np.linalg.eigh(extra)
        errors = errors + rng.standard_normal((draws, len(values))) @ (vectors * np.sqrt(values.clip(min=0))).T
    return np.asarray(errors, dtype=np.float64)
