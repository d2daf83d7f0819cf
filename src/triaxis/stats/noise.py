"""How much checkpoints of one condition differ from seed to seed, beyond what their items and samples explain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from triaxis.stats.intervals import Floats
from triaxis.stats.paired import Strata

DEFAULT_TAU = 0.01  # score; what a checkpoint is taken to wander where there is one seed
_PRIOR_DF = 2.0  # the default weighs as two degrees of freedom against what the seeds say
_FLOOR = 0.002


@dataclass(frozen=True)
class SeedNoise:
    """Seed variance of a trained checkpoint's mean, split in what is drawn anew at each and what lasts through a
    run.
    """

    tau: float  # sd, score: anew at each checkpoint
    offset: float  # sd, score: lasting
    source: str  # "seeds" or "default"


def estimate_noise(conditions: Sequence[tuple[Floats, Strata]]) -> SeedNoise:
    """Seed noise, pooled over conditions and checkpoints. Each condition: scores (runs, checkpoints, items) of the
    trained ones.

    Moments: covariance of run means between seeds, less the run x item part of the sampling error; off the diagonal
    is the offset, the rest of the diagonal is tau². Conditions with one run say nothing; with none left, the
    default.
    """
    diagonal = off = df = off_df = 0.0
    for x, strata in conditions:
        runs, checkpoints, _ = x.shape
        if runs < 2:
            continue
        deviation = x - x.mean(axis=0)
        means = strata.mean(deviation)  # runs x checkpoints
        between = means.T @ means / (runs - 1)
        z = strata.scaled(deviation)
        between -= np.einsum("rki,rli->kl", z, z, optimize=True) / (runs - 1)
        trace = float(np.trace(between))
        diagonal += (runs - 1) * trace
        df += (runs - 1) * checkpoints
        off += (runs - 1) * (float(between.sum()) - trace)
        off_df += (runs - 1) * checkpoints * (checkpoints - 1)
    if df == 0:
        return SeedNoise(DEFAULT_TAU, 0.0, "default")
    offset = off / off_df if off_df else 0.0
    offset = max(0.0, min(offset, diagonal / df))
    tau2 = (diagonal - df * offset + _PRIOR_DF * DEFAULT_TAU**2) / (df + _PRIOR_DF)
    return SeedNoise(max(tau2, _FLOOR**2) ** 0.5, offset**0.5, "seeds")


def with_noise(covariance: Floats, noise: SeedNoise, runs: int, lasting: bool) -> Floats:
    """The covariance of checkpoint means, base first, plus the seed noise of the mean of `runs` runs on the trained
    ones.
    """
    n = len(covariance) - 1
    extra = np.zeros_like(covariance)
    extra[1:, 1:] = (np.eye(n) * noise.tau**2 + (noise.offset**2 if lasting else 0.0)) / runs
    return np.asarray(covariance + extra, dtype=np.float64)
