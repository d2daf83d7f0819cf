"""What a trajectory did: the posterior of its shape, from the checkpoints' means and their paired covariance.

A Bayesian model with spike-and-slab sizes: each part of a curve (see `shape_designs`) is absent, or larger than the
smallest change of interest. The base level has a flat prior; sizes have a normal slab, cut below that change. The
normal integral over the sizes is exact, the cut is an orthant probability by the method of Geweke, Hajivassiliou and
Keane (GHK), whose draws also give the posterior of every curve.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from triaxis.stats.intervals import Floats
from triaxis.stats.shape_designs import BUMP, FALL, NO_DIP, PART, Designs, designs
from triaxis.types import PHASES, UNDECIDED, Interval, NotEstimable

SMALLEST_CHANGE = 0.01  # a change is 0 or larger: one point
SLAB = 0.2  # sd of a size, in score
MISFIT = 0.03  # true curves differ from these shapes by about this part of their range
DECIDED = 0.8  # below this no phase is named
_KEPT = 600  # designs that get draws; what is left out is counted in the tests
_DRAWS = 16


@dataclass(frozen=True)
class Shape:
    """The posterior of one trajectory's shape. Sizes are in score (0.01 is a point)."""

    probabilities: Mapping[str, float]  # of each phase; they sum to 1
    phase: str  # the most probable, or `undecided` below 0.8
    phase_probability: float  # of the most probable
    dip_probability: float
    dip_step: int | None  # most probable checkpoint of the bottom
    dip_depth: Interval | NotEstimable  # base minus bottom, given a dip
    regain_probability: float | NotEstimable  # given a dip, that ground was regained: a point or 3 misfits, if more
    curve: Floats  # (checkpoints,) posterior mean, relative to the base
    below_probability: float  # that the curve ends below the base, by the smallest change or more
    in_dip_probability: float  # that it does so after a dip: it fell, and does not only go on falling
    log_evidence: float  # of the means, given their covariance


def fit_shapes(steps: Sequence[int], means: Floats, covariances: Sequence[Floats]) -> Shape:
    """The shape where one of several covariances holds, each as likely as the others before the means are seen.

    Probabilities are averaged by the evidence for each covariance; the dip's place and depth, and the curve, are those
    under the likeliest one.
    """
    each = [fit_shape(steps, means, covariance) for covariance in covariances]
    evidence = np.array([shape.log_evidence for shape in each])
    weights = np.exp(evidence - evidence.max())
    weights /= weights.sum()
    probabilities = {
        phase: float(sum(w * shape.probabilities[phase] for w, shape in zip(weights, each, strict=True)))
        for phase in PHASES
    }
    phase = max(PHASES, key=lambda name: probabilities[name])
    dip, below, in_dip = (
        float(weights @ [getattr(shape, name) for shape in each])
        for name in ("dip_probability", "below_probability", "in_dip_probability")
    )
    return replace(
        each[int(evidence.argmax())],
        probabilities=probabilities,
        phase=phase if probabilities[phase] >= DECIDED else UNDECIDED,
        phase_probability=probabilities[phase],
        dip_probability=dip,
        below_probability=below,
        in_dip_probability=in_dip,
        log_evidence=float(evidence.max() + np.log(np.exp(evidence - evidence.max()).mean())),
    )


def fit_shape(steps: Sequence[int], means: Floats, covariance: Floats) -> Shape:
    """The shape of `means` (checkpoints,) at `steps`, base first, with their covariance (checkpoints x checkpoints).

    The covariance holds everything that makes a checkpoint's mean differ from its lasting level: items, samples, and
    the checkpoint noise τ² of the trained ones. Raises ValueError for fewer than three trained checkpoints.
    """
    grid = designs(tuple(int(step) for step in steps))
    misfit = np.eye(len(means)) * (MISFIT * float(np.ptp(means))) ** 2
    total = covariance + misfit
    precision = _precision(total)
    gram = grid.vectors @ precision @ grid.vectors.T
    projection = grid.vectors @ precision @ means
    log_weight, chosen, sign = _shortlist(grid, gram, projection)
    sizes, log_weight = _draw(grid, gram, projection, chosen, sign)
    weight = np.exp(log_weight - log_weight.max())
    evidence = float(np.log(weight.sum()) + log_weight.max()) + _log_evidence_of_none(total, precision, means)
    return _summarise(grid, steps, chosen, sign, sizes, weight / weight.sum(), means, evidence)


def _log_evidence_of_none(total: Floats, precision: Floats, means: Floats) -> float:
    """The log-likelihood of means around one level, whatever it is, up to what is the same for every covariance."""
    level = float(np.linalg.inv(total).sum())
    return float(-0.5 * (np.linalg.slogdet(total)[1] + means @ precision @ means + np.log(level)))


def _precision(covariance: Floats) -> Floats:
    """Inverse covariance with the base level (a flat prior on a constant) projected out."""
    inverse = np.linalg.inv(covariance)
    ones = inverse.sum(axis=1)
    return np.asarray(inverse - np.outer(ones, ones) / ones.sum(), dtype=np.float64)


def _moments(grid: Designs, gram: Floats, projection: Floats) -> tuple[Floats, Floats, Floats]:
    """Log marginal likelihood of each design with uncut sizes, and the sizes' posterior mean and sd; dip counted
    downwards.

    Closed-form inverse of Q = G + I/slab², three by three; an absent part has a zero vector and keeps its prior.
    """
    d, r, t = grid.dip, grid.rise, grid.late
    prior = 1.0 / SLAB**2
    a, b, c = gram[d, d] + prior, gram[r, r] + prior, gram[t, t] + prior
    ab, ac, bc = -gram[d, r], -gram[d, t], gram[r, t]
    h = np.array([-projection[d], projection[r], projection[t]])
    i_aa, i_bb, i_cc = b * c - bc * bc, a * c - ac * ac, a * b - ab * ab
    i_ab, i_ac, i_bc = ac * bc - ab * c, ab * bc - ac * b, ab * ac - a * bc
    det = a * i_aa + ab * i_ab + ac * i_ac
    mean = (
        np.array(
            [
                i_aa * h[0] + i_ab * h[1] + i_ac * h[2],
                i_ab * h[0] + i_bb * h[1] + i_bc * h[2],
                i_ac * h[0] + i_bc * h[1] + i_cc * h[2],
            ]
        )
        / det
    )
    sd = np.sqrt(np.array([i_aa, i_bb, i_cc]) / det)
    log_marginal = 0.5 * (h * mean).sum(axis=0) - 0.5 * np.log(det) + 1.5 * np.log(prior)
    return log_marginal, mean, sd


def _log_tail(z: Floats) -> Floats:
    """A cheap bound-like stand-in for log Φ(z), close enough to choose a shortlist."""
    low = np.minimum(z, 0.0)
    return -0.5 * low * low - np.log1p(-low) - 0.7 * (z < 0.5)


def _shortlist(grid: Designs, gram: Floats, projection: Floats) -> tuple[Floats, NDArray[np.int64], Floats]:
    """The designs that hold nearly all the weight, with the sign of their late change."""
    log_marginal, mean, sd = _moments(grid, gram, projection)
    z = (mean - SMALLEST_CHANGE) / sd
    base = log_marginal + grid.log_prior + _log_tail(z[0]) + _log_tail(z[1])
    up = base + _log_tail(z[2])
    down = np.where(grid.late > 0, base + _log_tail((-mean[2] - SMALLEST_CHANGE) / sd[2]), -np.inf)
    both = np.concatenate([up, down])
    keep = np.argpartition(both, -_KEPT)[-_KEPT:] if len(both) > _KEPT else np.arange(len(both))
    keep = keep[both[keep] > both[keep].max() - 12.0]
    return both[keep], keep % len(up), np.where(keep < len(up), 1.0, -1.0)


@lru_cache(maxsize=1)
def _lattice() -> Floats:
    """A fixed low-discrepancy set in three dimensions (Roberts' R3 sequence): draws x 3."""
    root = 1.2207440846057596
    alpha = 1.0 / root ** np.arange(1, 4)
    return np.asarray((0.5 + np.arange(1, _DRAWS + 1)[:, None] * alpha) % 1.0, dtype=np.float64)


def _draw(
    grid: Designs, gram: Floats, projection: Floats, chosen: NDArray[np.int64], sign: Floats
) -> tuple[Floats, Floats]:
    """Weighted draws of the sizes of each chosen design, cut at the smallest change: sizes (designs, draws, 3), log
    weights.

    GHK: with Q⁻¹ = LL', each standard normal is drawn above its bound given those before it.
    """
    index = np.array([grid.dip[chosen], grid.rise[chosen], grid.late[chosen]])
    flip = np.array([-np.ones(len(chosen)), np.ones(len(chosen)), sign])
    q = gram[index[:, None], index[None, :]] * flip[:, None] * flip[None, :]
    q = np.moveaxis(q, 2, 0) + np.eye(3) / SLAB**2
    h = (projection[index] * flip).T
    covariance = np.linalg.inv(q)
    mean = np.einsum("mij,mj->mi", covariance, h)
    root = np.linalg.cholesky(covariance)
    log_marginal = 0.5 * (h * mean).sum(axis=1) - 0.5 * np.linalg.slogdet(q)[1] - 3 * np.log(SLAB)
    normal = np.zeros((len(chosen), _DRAWS, 3))
    log_orthant = np.zeros((len(chosen), _DRAWS))
    uniform = _lattice()
    for j in range(3):
        before = np.einsum("mk,mdk->md", root[:, j, :j], normal[:, :, :j])
        bound = (SMALLEST_CHANGE - mean[:, j, None] - before) / root[:, j, j, None]
        tail = special.ndtr(-bound)
        log_orthant += np.log(np.maximum(tail, 1e-300))
        normal[:, :, j] = -special.ndtri(np.clip(uniform[:, j] * tail, 1e-300, None))
    sizes = mean[:, None, :] + np.einsum("mij,mdj->mdi", root, normal)
    cut = 3 * np.log(special.ndtr(-SMALLEST_CHANGE / SLAB))  # an absent part keeps its prior, so its cut cancels
    return sizes, (log_marginal + grid.log_prior[chosen])[:, None] + log_orthant - cut


def _summarise(
    grid: Designs,
    steps: Sequence[int],
    chosen: NDArray[np.int64],
    sign: Floats,
    sizes: Floats,
    weight: Floats,
    means: Floats,
    evidence: float,
) -> Shape:
    parts = grid.vectors[np.array([grid.dip[chosen], grid.rise[chosen], grid.late[chosen]])]
    curves = (
        -sizes[:, :, 0, None] * parts[0][:, None]
        + sizes[:, :, 1, None] * parts[1][:, None]
        + (sign[:, None] * sizes[:, :, 2])[:, :, None] * parts[2][:, None]
    )
    early = curves - (sign[:, None] * sizes[:, :, 2])[:, :, None] * parts[2][:, None]
    lowest = early.min(axis=2, keepdims=True)
    bottom = (early <= lowest + SMALLEST_CHANGE * (lowest < 0)).argmax(axis=2)  # first reached: a level bottom goes on
    depth = -np.take_along_axis(curves, early.argmin(axis=2)[:, :, None], 2)[:, :, 0]
    # A fall that only goes on falling is a decline, not a dip.
    ends_in_fall = (grid.kind[chosen] == FALL) & (grid.rise[chosen] == 0) & (grid.late[chosen] > 0) & (sign < 0)
    dipped = ((grid.kind[chosen] != NO_DIP) & ~ends_in_fall)[:, None] & (depth >= SMALLEST_CHANGE) & (bottom > 0)
    probabilities = _phases(grid, chosen, sign, sizes, curves, weight)
    phase = max(PHASES, key=lambda name: probabilities[name])
    p_dip = float(weight[dipped].sum())
    decided = phase if probabilities[phase] >= DECIDED else UNDECIDED
    curve = (curves * weight[:, :, None]).sum(axis=(0, 1))
    ends_below = curves[:, :, -1] <= -SMALLEST_CHANGE
    last = (*(min(1.0, float(weight[which].sum())) for which in (ends_below, dipped & ends_below)), evidence)
    head = (probabilities, decided, probabilities[phase], min(1.0, p_dip))
    if p_dip < 0.05:
        none = NotEstimable("no dip")
        return Shape(*head, None, none, none, curve, *last)
    at = np.bincount(bottom[dipped], weights=weight[dipped], minlength=len(steps))
    after = np.where(np.arange(len(steps)) >= bottom[:, :, None], curves, -np.inf).max(axis=2)
    # Less than three sd of the misfit may be the model's own patching, not the curve's.
    regained = dipped & (after + depth >= max(SMALLEST_CHANGE, 3 * MISFIT * float(np.ptp(means))))
    return Shape(
        *head,
        int(steps[int(at.argmax())]),
        weighted_interval(depth[dipped], weight[dipped]),
        min(1.0, float(weight[regained].sum()) / p_dip),
        curve,
        *last,
    )


def _phases(
    grid: Designs, chosen: NDArray[np.int64], sign: Floats, sizes: Floats, curves: Floats, weight: Floats
) -> dict[str, float]:
    """Probability of each phase: which parts are there, and where a curve without a late change comes to rest."""
    kind, rose, late = grid.kind[chosen][:, None], (grid.rise[chosen] > 0)[:, None], (grid.late[chosen] > 0)[:, None]
    down = late & (sign < 0)[:, None]
    end = curves[:, :, -1]
    level = ~late & (kind != NO_DIP)
    above, below = end >= SMALLEST_CHANGE, end <= -SMALLEST_CHANGE
    peaked = rose & (curves.max(axis=2) >= SMALLEST_CHANGE)
    full = np.ones_like(weight, dtype=bool)
    is_phase = {
        "flat": ~late & (kind == NO_DIP) & ~rose & full,
        "rising": late & (sign > 0)[:, None] & full,
        "overfit": down & peaked,
        "declining": down & ~peaked,
        "plateau": (~late & (kind == NO_DIP) & rose & full) | (level & rose & above),
        "dip": level & (((kind == FALL) & ~rose) | (((kind == PART) | rose) & below)),
        "recovered": level & (((kind == BUMP) & ~rose) | (((kind == PART) | rose) & ~above & ~below)),
    }
    found = {name: float(weight[is_phase[name]].sum()) for name in PHASES}
    total = sum(found.values())
    return {name: value / total for name, value in found.items()}


def weighted_interval(values: Floats, weights: Floats, confidence: float = 0.95) -> Interval:
    """Weighted median with the central interval of the same weighted sample."""
    order = np.argsort(values)
    share = np.cumsum(weights[order])
    share = (share - weights[order] / 2) / share[-1]
    low, middle, high = np.interp([0.5 - confidence / 2, 0.5, 0.5 + confidence / 2], share, values[order])
    return Interval(float(middle), float(low), float(high))
