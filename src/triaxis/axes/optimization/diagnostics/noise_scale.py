"""How many rows a batch needs before its gradient is more signal than noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special
from torch import nn

from triaxis.axes.optimization.batches import Batch
from triaxis.axes.optimization.diagnostics.probe import Precision, probing
from triaxis.axes.optimization.diagnostics.reading import Diagnosis, Value, reading
from triaxis.axes.optimization.diagnostics.rows import rows_of
from triaxis.stats.intervals import CONFIDENCE, t_interval
from triaxis.stats.ratio import Pair, fieller
from triaxis.types import NotEstimable

FEWEST_ROWS = 4  # the spread of estimates that each leave one row out means nothing with fewer
METHOD = "two batch sizes, one row and all {} rows; leave-one-row-out jackknife"

Gradients = Callable[[], Iterator[tuple[torch.Tensor, int]]]  # of each row: sum over its tokens, how many they are
Floats = NDArray[np.float64]


def noise_scale(module: nn.Module, batches: Sequence[Batch], *, precision: Precision = "float32") -> Diagnosis:
    """The simple gradient noise scale B = tr(Σ) / |G|² in rows (arXiv:1812.06162, eq. 2.9 and appendix A.1).

    |G|² = (n |G_n|² - |G_1|²) / (n - 1) and tr(Σ) = (|G_1|² - |G_n|²) / (1 - 1/n), unbiased, with |G_1|² the mean over
    the rows: the paper's estimator with a small batch of one row and a big one of all, which uses every pair of rows.
    A batch's gradient is divided by its tokens, not its rows; so a row deviates by (s - t G) / mean(t), for s the sum
    of its t tokens' gradients. With rows of one length these are the paper's formulas, else they hold to first order.

    Readings: the scale in rows; `tokens`, the same in supervised tokens; `variance`, tr(Σ) of a row; and
    `gradient_squared`, |G|². The interval of the ratio is Fieller's over the jackknife; where |G|² isn't clear of 0 it
    has a lower end alone, and where |G|² isn't positive there is no scale. Takes two backward passes a row and memory
    for three more copies of the weights. Raises Undefined where no token carries loss.
    """
    with probing(module, precision) as probe:
        rows = list(rows_of(batches))
        if len(rows) < FEWEST_ROWS:
            return probe.done({"": NotEstimable(f"{len(rows)} rows; the noise between rows needs {FEWEST_ROWS}")})

        def gradients() -> Iterator[tuple[torch.Tensor, int]]:
            for row in rows:
                yield probe.gradient([row], summed=True)[1], row.supervised

        return probe.done(readings(moments(gradients)))


@dataclass(frozen=True)
class Moments:
    """Inner products of the rows' summed gradients s with T = Σ s and W = Σ t s, for t tokens a row."""

    tokens: Floats  # t
    squares: Floats  # s · s
    along: Floats  # s · T
    along_weighted: Floats  # s · W
    total: float  # T · T
    cross: float  # T · W


def moments(gradients: Gradients) -> Moments:
    """Two passes over the rows, so that two sums are kept and not a gradient for each row."""
    total = weighted = torch.zeros(())
    tokens = []
    for s, t in gradients():
        total, weighted = total + s, weighted + t * s
        tokens.append(t)
    found = np.array([[float(s @ s), float(s @ total), float(s @ weighted)] for s, _ in gradients()])
    lengths = np.array(tokens, dtype=np.float64)
    return Moments(lengths, found[:, 0], found[:, 1], found[:, 2], float(total @ total), float(total @ weighted))


def estimates(m: Moments) -> tuple[Floats, Floats]:
    """tr(Σ) and |G|²: first of all the rows, then of all rows but each; (1 + rows,) each."""
    t, a, b, c = m.tokens, m.squares, m.along, m.along_weighted
    zero = np.zeros(1)
    left = {  # what a row takes away when it is left out
        "n": np.r_[zero, np.ones_like(t)],
        "tokens": np.r_[zero, t],
        "tokens2": np.r_[zero, t * t],
        "squares": np.r_[zero, a],
        "total": np.r_[zero, 2 * b - a],
        "cross": np.r_[zero, c + t * b - t * a],
    }
    n, tokens = len(t) - left["n"], t.sum() - left["tokens"]
    total, cross = m.total - left["total"], m.cross - left["cross"]
    spread = a.sum() - left["squares"] - 2 * cross / tokens
    spread += ((t * t).sum() - left["tokens2"]) * total / tokens**2
    variance = spread / (n - 1) * (n / tokens) ** 2
    return variance, total / tokens**2 - variance / n


def readings(m: Moments) -> dict[str, Value]:
    """The readings of `noise_scale`."""
    variances, squares = estimates(m)
    n, method = len(m.tokens), METHOD.format(len(m.tokens))
    spread = (n - 1) ** 2 / n * np.cov(variances[1:], squares[1:])  # of the jackknife
    pair = Pair(variances[0], squares[0], spread[0, 0], spread[1, 1], spread[0, 1], n - 1)
    parts: dict[str, Value] = {}
    for name, value, variance in (
        ("variance", pair.top, pair.top_variance),
        ("gradient_squared", pair.bottom, pair.bottom_variance),
    ):
        interval = t_interval(float(value), float(variance), n - 1)
        parts[name] = reading(interval.value, "nats² per unit of weight²", method, interval.low, interval.high)
    if not pair.bottom > 0:
        why = NotEstimable(f"the estimate of |G|² is {pair.bottom:.3g}, not positive; give more rows than {n}")
        return {"": why, "tokens": why, **parts}
    low, high = _ends(pair)
    found: dict[str, Value] = {}
    for name, unit, factor in (("", "rows", 1.0), ("tokens", "tokens", float(m.tokens.mean()))):
        ends = (None if end is None else end * factor for end in (low, high))
        found[name] = reading(pair.top / pair.bottom * factor, unit, method, *ends)
    return {**found, **parts}


def _ends(pair: Pair) -> tuple[float | None, float | None]:
    """Fieller's interval of a ratio that can't be negative; without an upper end where the denominator may be 0."""
    if (interval := fieller(pair)) is not None:
        return max(interval.low, 0.0), interval.high
    # top - r · bottom isn't clear of 0 for r outside the two roots: the piece that holds the estimate has no end.
    t2 = float(special.stdtrit(pair.df, 0.5 + CONFIDENCE / 2)) ** 2
    bottom2, top2 = pair.bottom**2 - t2 * pair.bottom_variance, pair.top**2 - t2 * pair.top_variance
    cross = pair.top * pair.bottom - t2 * pair.covariance
    inside = cross * cross - bottom2 * top2
    if bottom2 == 0 or inside <= 0:
        return 0.0, None
    return max((cross - inside**0.5) / bottom2, 0.0), None
