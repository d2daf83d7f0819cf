"""The conditions and runs of a simulated study: a grid, points spread over ranges, or a list; some may be missing."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import ceil, log2

import numpy as np
from scipy.stats import qmc

from triaxis.simulate.keys import is_log
from triaxis.simulate.settings import Settings
from triaxis.stats.intervals import Floats
from triaxis.types import Level

DIGITS = 4  # of a level drawn from a range, as a study would write it


@dataclass(frozen=True)
class Run:
    """One run: its id, its condition with the traits of its base, the number of that condition, and its seed."""

    id: str
    condition: dict[str, Level]
    cell: int
    seed: int


def draw_runs(settings: Settings, rng: np.random.Generator) -> list[Run]:
    """Runs of the conditions that are there; some are missing, but never all seeds of a condition."""
    points = _points(settings, rng)
    if settings.missing_conditions:
        there = rng.random(len(points)) >= settings.missing_conditions
        there[rng.integers(len(points))] = True
        points = [point for point, kept in zip(points, there, strict=True) if kept]
    runs: list[Run] = []
    for cell, point in enumerate(points):
        condition = {**point, **{name: settings.level(name, point) for name in settings.traits}}
        name = _name(settings, cell, point)
        there = rng.random(settings.seeds) >= settings.missing_runs
        there[rng.integers(settings.seeds)] = True
        runs += [Run(f"{name}-s{seed}", condition, cell, seed) for seed in range(settings.seeds) if there[seed]]
    return runs


def _name(settings: Settings, cell: int, point: dict[str, Level]) -> str:
    if settings.design != "factorial":
        return f"p{cell:03}"  # points may repeat
    return ",".join(f"{key.partition('.')[2]}={level}" for key, level in point.items()) or "run"


def _points(settings: Settings, rng: np.random.Generator) -> list[dict[str, Level]]:
    if settings.design == "listed":
        return [dict(point) for point in settings.conditions]
    if settings.design == "factorial":
        grid = product(*settings.factors.values())
        return [dict(zip(settings.factors, levels, strict=True)) for levels in grid]
    names = [*settings.factors, *settings.ranges]
    where = _spread(settings.design, settings.points, len(names), rng)
    return [{name: _at(settings, name, u) for name, u in zip(names, row, strict=True)} for row in where]


def _spread(design: str, points: int, factors: int, rng: np.random.Generator) -> Floats:
    """Places in the unit cube (points, factors)."""
    if design == "random" or not factors:
        return rng.random((points, factors))
    sequence = qmc.Sobol(factors, scramble=True, seed=rng)
    return np.asarray(sequence.random_base2(ceil(log2(points)))[:points], dtype=np.float64)


def _at(settings: Settings, name: str, u: float) -> Level:
    """The level at a place from 0 to 1: of a list, or of a range, log-uniform where it spans ten-fold."""
    if name in settings.factors:
        levels = settings.factors[name]
        return levels[min(int(u * len(levels)), len(levels) - 1)]
    low, high = settings.ranges[name]
    value = low * (high / low) ** u if is_log((low, high)) else low + u * (high - low)
    whole = isinstance(low, int) and isinstance(high, int)
    return round(value) if whole else float(f"{value:.{DIGITS}g}")
