"""An estimate as a claim's rule takes it: with a t interval, or with limits that were found in another way."""

from __future__ import annotations

from dataclasses import dataclass

from scipy import special

from triaxis.stats.effects import Estimate
from triaxis.stats.intervals import CONFIDENCE, t_interval, t_tail
from triaxis.types import Decision, Interval

_Z = float(special.ndtri(0.5 + CONFIDENCE / 2))


@dataclass(frozen=True)
class Settled:
    """A decision that does not come from an interval of one estimate."""

    decision: Decision
    reason: str
    method: str = ""


@dataclass(frozen=True)
class Reading:
    """An estimate with its variance, or with 95 % limits of its own where it has no t (`limits`)."""

    value: float
    variance: float
    df: float
    n_runs: int
    told: str = ""  # what it is an estimate of, where the claim's contrast doesn't say it
    method: str = ""
    limits: Interval | None = None
    veto: str = ""  # why it can't be supported, whatever the interval

    @classmethod
    def of(cls, estimate: Estimate, n_runs: int, told: str = "", method: str = "") -> Reading:
        """The reading that a contrast gives."""
        v = estimate.variance
        items = "crossed with items" if estimate.items else "items fixed"
        return cls(
            estimate.value,
            v.value,
            v.df,
            n_runs,
            told,
            method or f"condition means, Welch, {items}, t with {v.df:.1f} df",
        )

    def interval(self, tests: int) -> Interval:
        """The interval at 95 %, or at Bonferroni's level for several tests."""
        if self.limits is not None:
            return self.limits
        return t_interval(self.value, self.variance, self.df, 1 - (1 - CONFIDENCE) / tests)

    def tail(self, sign: float, limit: float) -> float:
        """One-sided p of sign · value > limit; from given limits as if the side that faces it were a normal's."""
        if self.limits is None:
            return t_tail(sign * self.value - limit, self.variance, self.df)
        gap = sign * self.value - limit
        half = self.value - self.limits.low if (sign > 0) == (gap > 0) else self.limits.high - self.value
        return float(special.ndtr(-gap / (max(half, 1e-12) / _Z)))
