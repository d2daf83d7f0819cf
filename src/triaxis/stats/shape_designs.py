"""The shapes that a trajectory may have on a grid of checkpoints, before any data is seen.

A curve is base - a·dip + b·rise ± c·late, each part there or not, in this order. A dip is a bump that comes
back, one that comes back in part, or a fall that stays; a rise levels off before the last checkpoint but one; a
late change is a ramp in log step that still goes on at the end. Centres and widths are a grid made from the
checkpoints; the sizes a, b, c are left to the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from triaxis.stats.intervals import Floats

NO_DIP, BUMP, PART, FALL = 0, 1, 2, 3
SETTLED = 0.1  # a rise or fall has levelled off when its last interval holds at most this part of it
DIP_PRIOR = (0.32, 0.4, 0.11, 0.17)  # of each kind; a rise hides part of the dips: with no data P(dip) is about 0.38
STAYING = (0.25, 0.5)  # part of a bump that stays, where it comes back in part
HALFWAY = (0.25, 0.5, 0.75)  # where a jump over two intervals stands between them
DISTINCT = 0.1  # shapes that differ by less at every checkpoint are one
OVERLAP = 0.1  # of log step: how much earlier than the centre of one part the next may set in
BACK = 0.15  # a bump has come back when at most this part of it is left at the end


@dataclass(frozen=True, eq=False)
class Designs:
    """All combinations of parts on one grid of steps. Vector 0 is the empty part."""

    u: Floats  # (checkpoints,) log step, 0 at base, 1 at the last
    vectors: Floats  # (vectors, checkpoints), each 0 at base, largest value 1
    dip: NDArray[np.int64]  # (designs,) index of the dip's vector
    rise: NDArray[np.int64]
    late: NDArray[np.int64]
    kind: NDArray[np.int64]  # (designs,) NO_DIP, BUMP or FALL
    log_prior: Floats  # (designs,) the sign of a late change not included


def log_steps(steps: Sequence[int]) -> Floats:
    """log(1 + step / first trained step), scaled to end at 1. `steps` begins with 0."""
    array = np.asarray(steps, dtype=np.float64)
    u = np.log1p(array / array[1])
    return np.asarray(u / u[-1], dtype=np.float64)


def _unit(rows: list[Floats]) -> list[Floats]:
    """Each row shifted to 0 at base and scaled to a largest value of 1; rows that nothing in the grid shows are left
    out.
    """
    kept = []
    for row in rows:
        shifted = row - row[0]
        if shifted.max() > 0.3:
            kept.append(shifted / shifted.max())
    return kept


def _bumps(u: Floats, staying: Sequence[float], n_widths: int) -> tuple[list[Floats], list[float]]:
    spacing = 1.0 / (len(u) - 1)
    widths = np.geomspace(0.5 * spacing, max(0.25, spacing), n_widths)
    centres = np.unique(np.r_[u[1:-1], (u[1:-1] + u[2:]) / 2, u[1] / 2])
    rows, where = [], []
    for width, rest in product(widths, staying):
        for centre in centres:
            bump = np.exp(-0.5 * ((u - centre) / width) ** 2)
            for row in _unit([np.where(u > centre, rest + (1 - rest) * bump, bump)]):
                if row[-1] <= BACK + rest and row.argmax() < len(u) - 1:
                    rows.append(row)
                    where.append(float(centre))
    return rows, where


def _sigmoids(u: Floats, n_centres: int, widths: Sequence[float]) -> tuple[list[Floats], list[float]]:
    rows, where = [], []
    for width in widths:
        for centre in np.linspace(u[1] / 2, 0.9, n_centres):
            for row in _unit([1.0 / (1.0 + np.exp(-(u - centre) / width))]):
                if row[-1] - row[-2] <= SETTLED:
                    rows.append(row)
                    where.append(float(centre))
    return rows, where


def _windows(u: Floats) -> tuple[list[Floats], list[float]]:
    """Abrupt bumps over one to three checkpoints. Without them a dip with steep sides is patched by a late change."""
    index = np.arange(len(u))
    spans = [(i, j) for i in index[1:-1] for j in index[i : i + 3] if j < index[-1]]
    rows = [((index >= i) & (index <= j)).astype(np.float64) for i, j in spans]
    return rows, [float(u[i] + u[j]) / 2 for i, j in spans]


def _jumps(u: Floats) -> tuple[list[Floats], list[float]]:
    """Abrupt changes within one interval, or two, to a level that stays. Sigmoids are too smooth for an early one: a
    fall would be patched by a rise, and read as ground regained.
    """
    index = np.arange(len(u))
    one = [(index >= i).astype(np.float64) for i in index[1:-1]]
    between = list(product(index[1:-2], HALFWAY))
    two = [np.where(index > i, 1.0, np.where(index == i, part, 0.0)) for i, part in between]
    return [*one, *two], [*(float(u[i] + u[i - 1]) / 2 for i in index[1:-1]), *(float(u[i]) for i, _ in between)]


def _joined(
    one: tuple[list[Floats], list[float]], other: tuple[list[Floats], list[float]]
) -> tuple[list[Floats], list[float]]:
    """Two families of shapes as one, with where they sit."""
    return [*one[0], *other[0]], [*one[1], *other[1]]


def _ramps(u: Floats) -> list[Floats]:
    return _unit([np.clip((u - knot) / (1 - knot), 0, 1) for knot in u[:-2]])


def _even(total: float, n: int) -> Floats:
    """A prior spread evenly over `n` shapes."""
    return np.full(n, total / max(n, 1))


def _distinct(rows: list[Floats], where: list[float]) -> tuple[list[Floats], list[float]]:
    """Without rows that equal an earlier one on this grid (a coarse grid can't tell widths apart)."""
    kept: list[int] = []
    for i, row in enumerate(rows):
        if all(np.abs(row - rows[j]).max() > DISTINCT for j in kept):
            kept.append(i)
    return [rows[i] for i in kept], [where[i] for i in kept]


@lru_cache(maxsize=64)
def designs(steps: tuple[int, ...]) -> Designs:
    """The designs for checkpoints at `steps` (0 first, at least three trained). Cached: series on one grid share
    them.
    """
    if len(steps) < 4 or steps[0] != 0:
        raise ValueError("a shape needs step 0 and at least three trained checkpoints")
    u = log_steps(steps)
    spacing = 1.0 / (len(u) - 1)
    bumps, bump_at = _distinct(*_joined(_bumps(u, (0.0,), 6), _windows(u)))
    parts, part_at = _distinct(*_bumps(u, STAYING, 3))
    falls, fall_at = _distinct(*_joined(_sigmoids(u, 8, (0.4 * spacing, spacing)), _jumps(u)))
    rises, rise_at = _distinct(*_joined(_sigmoids(u, 12, (0.3 * spacing, 0.6 * spacing, 1.2 * spacing)), _jumps(u)))
    ramps = _ramps(u)
    dips = [*bumps, *parts, *falls]
    vectors = np.array([np.zeros_like(u), *dips, *rises, *ramps])
    n_dip, n_rise = len(dips), len(rises)
    kinds = np.repeat([NO_DIP, BUMP, PART, FALL], [1, len(bumps), len(parts), len(falls)])
    dip_prior = np.concatenate([_even(p, n) for p, n in zip(DIP_PRIOR, np.bincount(kinds, minlength=4), strict=True)])
    rise_prior = np.r_[0.5, _even(0.5, n_rise)]
    late_prior = np.r_[0.5, _even(0.5, len(ramps))]
    grid = np.meshgrid(np.arange(n_dip + 1), np.arange(n_rise + 1), np.arange(len(ramps) + 1), indexing="ij")
    d, r, t = (axis.ravel() for axis in grid)
    at_dip, at_rise = np.r_[-1.0, bump_at, part_at, fall_at], np.r_[9.0, rise_at]
    at_late = np.r_[9.0, u[:-2]]
    before_late = np.maximum(at_dip[d], np.where(r > 0, at_rise[r], -1.0))
    ordered = (at_rise[r] >= at_dip[d] - np.where(kinds[d] == BUMP, OVERLAP, 0.0)) & (
        at_late[t] >= before_late - OVERLAP
    )
    d, r, t = d[ordered], r[ordered], t[ordered]
    return Designs(
        u=u,
        vectors=vectors,
        dip=d,
        rise=np.where(r > 0, r + n_dip, 0),
        late=np.where(t > 0, t + n_dip + n_rise, 0),
        kind=kinds[d],
        log_prior=np.log(dip_prior[d]) + np.log(rise_prior[r]) + np.log(late_prior[t]),
    )
