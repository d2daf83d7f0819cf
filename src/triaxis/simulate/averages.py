"""Expectations over luck, and averages and contrasts over the full grid of a study's conditions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product

import numpy as np

from triaxis.simulate.expected import Condition
from triaxis.simulate.keys import is_log, need
from triaxis.simulate.settings import Settings
from triaxis.stats.intervals import Floats
from triaxis.types import Level, Scale

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(41)
_PLACES, _SHARES = np.polynomial.legendre.leggauss(5)


def expectation(of: Callable[[Floats], Floats], mean: Floats, sd: Floats) -> Floats:
    """E[of(mean + sd·z)] by Gauss-Hermite quadrature, place by place."""
    return np.asarray(of(mean[:, None] + sd[:, None] * _NODES) @ _WEIGHTS / _WEIGHTS.sum(), dtype=np.float64)


def on(scale: Scale, scores: Floats) -> Floats:
    """Scores as they are or as logits."""
    return scores if scale == "points" else np.asarray(np.log(scores / (1 - scores)), dtype=np.float64)


def grid(
    s: Settings, within: Mapping[str, Level], ends_of: Sequence[str] = ()
) -> Iterator[tuple[dict[str, Level], float]]:
    """Every condition of the full grid with its weight: levels evenly, a range evenly in x (five nodes); the factors in
    `ends_of` at their first and last level only, those in `within` as given there.
    """
    for name in within:
        need(name in s.levels, "within", f"{name!r} is no factor; factors are {', '.join(s.levels) or 'none'}")
    options: list[list[tuple[Level, float]]] = []
    for name, levels in s.levels.items():
        if name in within:
            options.append([(within[name], 1.0)])
        elif name in ends_of:
            options.append([(level, 1.0) for level in dict.fromkeys((levels[0], levels[-1]))])
        elif name in s.ranges:
            low, high = (s.x(name, end) for end in levels)
            x = low + (high - low) * (_PLACES + 1) / 2
            at = np.exp(x) if is_log(levels) else x
            options.append([(float(level), float(share)) for level, share in zip(at, _SHARES, strict=True)])
        else:
            options.append([(level, 1.0) for level in levels])
    for pick in product(*options):
        condition = dict(zip(s.levels, (level for level, _ in pick), strict=True))
        yield condition, float(np.prod([weight for _, weight in pick]))


def average(s: Settings, value: Callable[[Condition], float], within: Mapping[str, Level]) -> float:
    """Mean of a value over the grid."""
    found = [(value(condition), weight) for condition, weight in grid(s, within)]
    return float(np.average([worth for worth, _ in found], weights=[weight for _, weight in found]))


def contrast(
    s: Settings, factors: Sequence[str], value: Callable[[Condition], float], within: Mapping[str, Level]
) -> float:
    """Last level minus first of each factor (a difference of such differences), averaged over the others.

    A trait takes the bases that have its first and its last level.
    """
    for name in factors:
        need(name in s.known, "effect", f"{name!r} is no factor; factors are {', '.join(s.known) or 'none'}")
    sums = {ends: np.zeros(2) for ends in product((0, -1), repeat=len(factors))}
    for condition, weight in grid(s, within, factors):
        there = [s.level(name, condition) for name in factors]
        mine = [ends for ends in sums if all(s.known[n][e] == v for n, e, v in zip(factors, ends, there, strict=True))]
        if mine:
            worth = value(condition)
            for ends in mine:
                sums[ends] += (weight * worth, weight)
    total = 0.0
    for ends, (worth, weight) in sums.items():
        need(bool(weight > 0), "effect", f"no condition has {', '.join(factors)} at these ends")
        total += float(np.prod([1 if end else -1 for end in ends])) * worth / weight
    return float(total)
