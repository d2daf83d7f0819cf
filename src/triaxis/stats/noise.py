"""How much checkpoints of one condition differ from seed to seed, beyond what their items and samples explain.

Conditions differ in this by orders of magnitude (a rate that destroys the model does it at another step in every
seed), so each has its own noise, drawn towards the median of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from triaxis.stats.intervals import Floats
from triaxis.stats.paired import Strata

DEFAULT_TAU = 0.01  # score; what a checkpoint is taken to wander where there is one seed
_PRIOR_DF = 4.0  # what the median of all conditions weighs against a condition's own seeds
_FLOOR = 0.002


@dataclass(frozen=True)
class SeedNoise:
    """Seed variance of a trained checkpoint's mean, split in what is drawn anew at each and what lasts through a
    run.
    """

    tau: float  # sd, score: anew at each checkpoint
    offset: float  # sd, score: lasting
    source: str  # "seeds" or "default"


DEFAULT = SeedNoise(DEFAULT_TAU, 0.0, "default")


@dataclass(frozen=True)
class _Moments:
    tau2: float  # may be negative: sampling error is subtracted
    offset2: float
    runs_df: int
    tau_df: int


def estimate_noise(conditions: Sequence[tuple[Floats, Strata]]) -> tuple[list[SeedNoise], SeedNoise]:
    """The seed noise of each condition, and what to take for one that has no replicates.

    Each condition: scores (runs, trained checkpoints, items). Moments: the covariance of run means between
    seeds, less the run x item part of the sampling error; off the diagonal is the offset, the rest of the
    diagonal tau². Each is drawn towards the median over conditions, in which the default has a vote. Without
    replicates anywhere: the default.
    """
    moments = [_moments(x, strata) if len(x) > 1 else None for x, strata in conditions]
    known = [m for m in moments if m is not None]
    if not known:
        return [DEFAULT] * len(moments), DEFAULT
    tau2 = max(float(np.median([DEFAULT_TAU**2, *(m.tau2 for m in known)])), 0.0)
    offset2 = max(float(np.median([0.0, *(m.offset2 for m in known)])), 0.0)
    common = SeedNoise(max(tau2, _FLOOR**2) ** 0.5, offset2**0.5, "seeds")
    return [common if m is None else _drawn(m, tau2, offset2) for m in moments], common


def _moments(x: Floats, strata: Strata) -> _Moments:
    runs, checkpoints, _ = x.shape
    deviation = x - x.mean(axis=0)
    means = strata.mean(deviation)  # runs x checkpoints
    z = strata.scaled(deviation)
    between = (means.T @ means - np.einsum("rki,rli->kl", z, z, optimize=True)) / (runs - 1)
    diagonal = float(np.trace(between)) / checkpoints
    off = 0.0
    if checkpoints > 1:
        off = (float(between.sum()) - checkpoints * diagonal) / (checkpoints * (checkpoints - 1))
        off = min(max(off, 0.0), max(diagonal, 0.0))
    return _Moments(diagonal - off, off, runs - 1, (runs - 1) * checkpoints)


def _drawn(own: _Moments, tau2: float, offset2: float) -> SeedNoise:
    tau2 = (own.tau_df * own.tau2 + _PRIOR_DF * tau2) / (own.tau_df + _PRIOR_DF)
    offset2 = (own.runs_df * own.offset2 + _PRIOR_DF * offset2) / (own.runs_df + _PRIOR_DF)
    return SeedNoise(max(tau2, _FLOOR**2) ** 0.5, offset2**0.5, "seeds")


def with_noise(covariance: Floats, noise: SeedNoise, runs: int, lasting: bool) -> Floats:
    """The covariance of checkpoint means, base first, plus the seed noise of the mean of `runs` runs on the trained
    ones.
    """
    n = len(covariance) - 1
    extra = np.zeros_like(covariance)
    extra[1:, 1:] = (np.eye(n) * noise.tau**2 + (noise.offset**2 if lasting else 0.0)) / runs
    return np.asarray(covariance + extra, dtype=np.float64)
