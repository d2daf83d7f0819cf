"""Threshold or smooth scaling: forms that change at one size against forms that do not, compared by AICc."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from triaxis.stats.intervals import CONFIDENCE, Floats
from triaxis.types import Interval

LEAST_SIZES = 8
MARGIN = 4.0  # of AICc, by which the threshold must win; measured in docs/statistics.md
SMOOTH_SHARE = 1 / 3  # of the range of log sizes, over which a smooth S-curve takes at least to go from 10 % to 90 %
_TEN_TO_NINETY = 2 * np.log(9.0)  # widths of a logistic curve
_LEAST_ERROR = 1e-6  # sd below which errors are rounding

Shape = Literal["threshold", "smooth", "undecided"]


@dataclass(frozen=True, eq=False)
class _Form:
    """Curves of one kind: for each an offset (n,) and columns (n x p) that enter linearly."""

    name: str
    parameters: int  # without the error's
    offsets: Floats  # curves x n
    columns: Floats  # curves x n x p
    breaks: Floats | None = None  # curves x 2: between which x the curve changes


@dataclass(frozen=True)
class Threshold:
    """AICc of the best smooth form less that of the best form with a threshold: positive speaks for the threshold."""

    delta_aicc: float
    smooth: str  # the best form of each kind, in words
    broken: str
    at: Interval  # the size of the change, with the sizes that fit about as well; a size, not its logarithm
    largest: float  # jump that the data allow at some size beside the best smooth curve (97.5 %), in y's unit
    n_sizes: int

    @property
    def shape(self) -> Shape:
        """Which kind fits better for its parameters; "smooth" alone excludes no threshold: see `largest`."""
        if abs(self.delta_aicc) < MARGIN:
            return "undecided"
        return "threshold" if self.delta_aicc > 0 else "smooth"


def threshold_evidence(sizes: Floats, y: Floats, variance: float = 0.0, bounded: bool = False) -> Threshold:
    """Compares smooth forms with broken ones in log size; a number a base in `sizes` and `y`.

    Smooth: no change, a line, a power law with an asymptote, a power of log size, an S-curve that takes a third of the
    range of log sizes or more, and with `bounded` (an accuracy) one from 0 to 1. Broken: two levels, a line with a
    step, a line with a kink. Errors are normal with one variance, at least `variance`, the known part of it: else a
    tiny misfit of points that are almost exact would decide. AICc: Hurvich & Tsai 1989. Raises ValueError below eight
    different sizes: with six the AICc of a four-parameter step divides by zero, with seven nothing can win.
    """
    x = np.log2(sizes)
    n_sizes = len(np.unique(x))
    if n_sizes < LEAST_SIZES:
        raise ValueError(f"a threshold needs {LEAST_SIZES} different sizes, here {n_sizes}")
    best = min((_best(form, y, variance) for form in _smooth_forms(x, bounded)), key=lambda found: found.aicc)
    broken = min((_best(form, y, variance) for form in _broken_forms(x)), key=lambda found: found.aicc)
    at = _where(broken, len(y), variance)
    steps = np.array([x > low for low in np.unique(x)[1:-2]], dtype=np.float64)
    largest = _largest(y, best.curve, steps, best.form.parameters, variance)
    return Threshold(best.aicc - broken.aicc, best.form.name, broken.form.name, at, largest, n_sizes)


@dataclass(frozen=True, eq=False)
class _Fitted:
    """A form's best curve."""

    form: _Form
    aicc: float
    squares: Floats  # of each of its curves
    curve: Floats  # (n,) the best one


def _best(form: _Form, y: Floats, variance: float) -> _Fitted:
    """The curve with the least sum of squares, and AICc."""
    about = y - form.offsets
    curves = form.offsets
    if form.columns.shape[2]:
        basis, _ = np.linalg.qr(form.columns)
        curves = curves + np.einsum("cnp,cp->cn", basis, np.einsum("cnp,cn->cp", basis, about))
    squares = ((y - curves) ** 2).sum(axis=1)
    n, k = len(y), form.parameters + 1  # the error's variance is one
    aicc = float(_deviance(squares, n, variance).min()) + 2 * k + 2 * k * (k + 1) / (n - k - 1)
    return _Fitted(form, aicc, squares, curves[int(squares.argmin())])


def _deviance(squares: Floats, n: int, variance: float) -> Floats:
    """-2 log likelihood, the error's variance at its most likely value that is not below the known part."""
    error = np.maximum(squares / n, max(variance, _LEAST_ERROR**2))
    return np.asarray(n * np.log(2 * np.pi * error) + squares / error, dtype=np.float64)


def _where(found: _Fitted, n: int, variance: float) -> Interval:
    """The size at which the best curve changes, and the span of those that are not clearly worse (likelihood ratio)."""
    form = found.form
    assert form.breaks is not None  # broken forms have them
    deviance = _deviance(found.squares, n, variance)
    df = max(n - form.parameters, 1)
    allowed = n * float(np.log1p(special.fdtri(1, df, CONFIDENCE) / df))
    near = form.breaks[deviance <= deviance.min() + allowed]
    best = form.breaks[int(deviance.argmin())]
    return Interval(*(float(2.0**at) for at in (best.mean(), near[:, 0].min(), near[:, 1].max())))


def _largest(y: Floats, smooth: Floats, steps: Floats, parameters: int, variance: float) -> float:
    """The largest upper limit of a jump beside the best smooth curve, over all sizes at which it could be.

    smooth: (n,) the curve; steps: (jumps x n). The curve's level and height are fitted again beside each jump; t with
    n - parameters - 1 degrees of freedom.
    """
    n, df = len(y), len(y) - parameters - 1
    level = [np.ones(n), smooth] if np.ptp(smooth) > _LEAST_ERROR else [np.ones(n)]
    found = []
    for step in steps:
        columns = np.stack([*level, step], axis=1)
        inverse = np.linalg.pinv(columns)
        rest = y - columns @ (inverse @ y)
        error = max(float(rest @ rest) / df, variance) * float(inverse[-1] @ inverse[-1])
        found.append(abs(float(inverse[-1] @ y)) + float(special.stdtrit(df, 0.5 + CONFIDENCE / 2)) * error**0.5)
    return float(max(found))


def _smooth_forms(x: Floats, bounded: bool) -> list[_Form]:
    n, span = len(x), float(np.ptp(x))
    u = (x - x.min()) / span
    one = np.ones(n)
    rates = np.concatenate([-np.geomspace(0.3, 8, 14), np.geomspace(0.3, 8, 14)])
    widths = np.geomspace(SMOOTH_SHARE, 4.0, 12) / _TEN_TO_NINETY
    curves = [special.expit((u - m) / w) for w in widths for m in np.linspace(-0.5, 1.5, 41)]
    forms = [
        _linear("no change", 1, [[one]]),
        _linear("a line in log size", 2, [[one, u]]),
        _linear("a power law", 3, [[one, np.exp(rate * u)] for rate in rates]),
        _linear("a power of log size", 3, [[one, u**power] for power in np.geomspace(0.3, 5, 16)]),
        _linear("a smooth S-curve", 4, [[one, curve] for curve in curves]),
    ]
    if bounded:
        wide = [special.expit((u - m) / w) for w in widths for m in np.linspace(-3, 4, 141)]
        falling = [1 - curve for curve in wide]
        offsets = np.array(wide + falling)
        forms.append(_Form("a smooth S-curve from 0 to 1", 2, offsets, np.zeros((len(offsets), n, 0))))
    return forms


def _broken_forms(x: Floats) -> list[_Form]:
    """With two different sizes at least on either side of a step, three of a kink: one alone may be an outlier."""
    one = np.ones(len(x))
    levels = np.unique(x)
    gaps = [(float(levels[i]), float(levels[i + 1])) for i in range(1, len(levels) - 2)]
    after = [np.where(x > low, 1.0, 0.0) for low, _ in gaps]
    kinks = np.linspace(levels[2], levels[-3], 8 * (len(levels) - 5) + 1)
    bent = [np.maximum(x - at, 0.0) for at in kinks]
    line = x - x.mean()
    return [
        _linear("two levels", 3, [[one, up] for up in after], gaps),
        _linear("a line with a step", 4, [[one, line, up] for up in after], gaps),
        _linear("a line with a kink", 4, [[one, line, up] for up in bent], [(at, at) for at in kinks]),
    ]


def _linear(
    name: str, parameters: int, curves: Sequence[Sequence[Floats]], breaks: Sequence[tuple[float, float]] | None = None
) -> _Form:
    columns = np.stack([np.stack(curve, axis=1) for curve in curves])
    return _Form(name, parameters, np.zeros(columns.shape[:2]), columns, None if breaks is None else np.array(breaks))
