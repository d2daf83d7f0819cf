"""Which conditions a claim sets against which: the runs it is confined to, the ends of its factors, the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import log2

import numpy as np

from triaxis.analyze.claims.spec import End, Names, Part, Side
from triaxis.analyze.contrasts import Asked
from triaxis.analyze.design import sorted_levels
from triaxis.analyze.evidence import Evidence
from triaxis.analyze.order import by_capability
from triaxis.analyze.paths import Path
from triaxis.stats.effects import contrast
from triaxis.stats.intervals import Floats
from triaxis.types import Level, NotEstimable

ALIKE = 0.02  # of their size: how far two sides may differ in what they are to share
LACKING = "the design lacks conditions that the contrast needs"


@dataclass(frozen=True, eq=False)
class Asking:
    """A part of a claim put to one source: the runs it speaks of, and how a base's strength is known."""

    part: Part
    evidence: Evidence
    asked: Asked
    known: str = ""


@dataclass(frozen=True)
class Pole:
    """Of one factor the level counted positive and the one counted negative, and what one unit of it is worth."""

    this: Level
    minus: Level
    scale: float = 1.0  # the difference is multiplied by it: doublings have no common width


def confined(part: Part, evidence: Evidence) -> Asking | NotEstimable:
    """The runs of the part's groups that are at the levels it is confined to."""
    paths = evidence.pooled(part.groups)
    if isinstance(paths, NotEstimable):
        return paths
    known = ""
    for name, side in part.within.items():
        found = _level(name, side, paths, evidence)
        if isinstance(found, NotEstimable):
            return found
        level, told = found
        known = told or known
        paths = [path for path in paths if path.level(name) == level]
    return Asking(part, evidence, Asked.of(paths), known)


def _level(name: str, side: Side, paths: Sequence[Path], evidence: Evidence) -> tuple[Level, str] | NotEstimable:
    """The level that a part is confined to."""
    there = [path.level(name) for path in paths]
    levels = sorted_levels([level for level in there if level is not None])
    if not levels or None in there:
        return NotEstimable(f"the table does not say {name} of every run")
    if isinstance(side, list):
        found = _named(side, levels)
        return (found, "") if found is not None else NotEstimable(f"{name} has no level {_words(side)} here")
    if len(levels) < 2:
        return NotEstimable(f"the design doesn't vary {name}")
    ordered = _ordered(name, side, levels, evidence, paths[0].mode)
    if isinstance(ordered, NotEstimable):
        return ordered
    levels, told = ordered
    return levels[-1 if side in ("higher", "stronger") else 0], told


def _named(names: Names, levels: Sequence[Level]) -> Level | None:
    """The level that goes by one of the names; 0 is 0.0, and a text is the level that is written so."""
    wanted = names if isinstance(names, list) else [names]
    for name in wanted:
        for level in levels:
            if name == level or str(name) == str(level):
                return level
    return None


def _words(names: Names) -> str:
    return " or ".join(map(str, names)) if isinstance(names, list) else str(names)


def _ordered(
    name: str, end: str, levels: tuple[Level, ...], evidence: Evidence, mode: str
) -> tuple[tuple[Level, ...], str] | NotEstimable:
    """Levels from low to high: bases by their strength, numbers by size."""
    if end in ("stronger", "weaker"):
        return by_capability(evidence.panel, evidence.source, mode, levels)
    if any(isinstance(level, str) for level in levels):
        return NotEstimable(f"the levels of {name} are not numbers")
    return levels, ""


def poles(asking: Asking) -> tuple[Mapping[str, Pole], str] | NotEstimable:
    """The ends of every factor in the contrast, and how a base's strength is known."""
    cells, found, known = asking.asked.cells, {}, asking.known
    missing = [name for name in asking.part.contrast if name not in cells.factors]
    if missing:
        told = [cells.described.get(name, f"the design doesn't vary {name}") for name in missing]
        return NotEstimable("; ".join(told))
    for name, end in asking.part.contrast.items():
        pole = pole_of(name, end, cells.levels[name], asking)
        if isinstance(pole, NotEstimable):
            return pole
        found[name], told_of = pole
        known = told_of or known
    return found, known


def pole_of(name: str, end: End, levels: tuple[Level, ...], asking: Asking) -> tuple[Pole, str] | NotEstimable:
    """The ends of one factor among its levels, and how a base's strength is known."""
    if isinstance(end, list):
        this, minus = (_named(names, levels) for names in end)
        if this is None or minus is None:
            return NotEstimable(f"{name} has no levels {_words(end[0])} and {_words(end[1])} here")
        return Pole(this, minus), ""
    ordered = _ordered(name, end, levels, asking.evidence, asking.asked.paths[0].mode)
    if isinstance(ordered, NotEstimable):
        return ordered
    levels, told = ordered
    if end in ("first doubling", "last doubling"):
        return _doubling(name, end, levels)
    low, high = levels[0], levels[-1]
    return (Pole(high, low) if end in ("higher", "stronger") else Pole(low, high)), told


def _doubling(name: str, end: str, levels: tuple[Level, ...]) -> tuple[Pole, str] | NotEstimable:
    """Two neighbouring sizes, with the difference taken per doubling."""
    if len(levels) < 3 or float(levels[0]) <= 0:
        return NotEstimable(f"{name} has {len(levels)} levels: a first and a last doubling need three sizes above 0")
    low, high = levels[:2] if end == "first doubling" else levels[-2:]
    return Pole(high, low, 1 / log2(float(high) / float(low))), ""


def pairs(asking: Asking) -> list[Mapping[str, Pole]] | NotEstimable:
    """Every pair of levels of the one factor whose levels are compared in pairs."""
    (name,) = asking.part.contrast
    cells = asking.asked.cells
    if name not in cells.factors:
        return NotEstimable(cells.described.get(name, f"the design doesn't vary {name}"))
    return [{name: Pole(high, low)} for low, high in combinations(cells.levels[name], 2)]


def weights_of(asking: Asking, ends: Mapping[str, Pole]) -> Floats | NotEstimable:
    """Weights over the design's cells; not estimable where cells that are needed are not there."""
    cells, form = asking.asked.cells, asking.part.form
    if not ends:
        return np.full(len(cells.design.levels), 1.0 / len(cells.design.levels))
    names = sorted(ends)
    index = [cells.factors.index(name) for name in names]
    high = [cells.levels[name].index(ends[name].this) for name in names]
    low = [cells.levels[name].index(ends[name].minus) for name in names]
    if form == "effect":
        weights = contrast(cells.design, index, high, low)
        scale = float(np.prod([ends[name].scale for name in names]))
        return NotEstimable(LACKING) if weights is None else np.asarray(scale * weights, dtype=np.float64)
    picked = cells.design.levels[:, index]
    return _corner(picked, high, low)


def _corner(picked: np.ndarray, high: Sequence[int], low: Sequence[int]) -> Floats | NotEstimable:
    """All at their high level, minus all low, minus each single change from all low; other factors averaged evenly."""
    wanted = {tuple(high): 1.0, tuple(low): float(len(high) - 1)}
    for i in range(len(high)):
        wanted[tuple(h if i == j else lo for j, (h, lo) in enumerate(zip(high, low, strict=True)))] = -1.0
    weights = np.zeros(len(picked))
    for corner, size in wanted.items():
        at = (picked == np.array(corner)).all(axis=1)
        if not at.any():
            return NotEstimable(LACKING)
        weights[at] = size / at.sum()
    return weights


def unequal(asking: Asking, weights: Floats) -> str:
    """What the two sides of a contrast do not share though the claim asks for it; empty where they do."""
    asked = asking.asked
    counts = np.bincount(asked.cells.cell_of)
    of_runs = (weights / counts)[asked.cells.cell_of]
    for name in asking.part.equal:
        values = [_shared(path, name) for path in asked.paths]
        if any(value is None for value in values):
            return f"the table does not say {name} of every run, and both sides must share it"
        if len(set(values)) == 1:
            continue
        if any(isinstance(value, str) for value in values):
            return f"{name} varies, and both sides must share it"
        numbers = np.array([float(value) for value in values if value is not None])
        up = float((of_runs.clip(min=0) * numbers).sum() / of_runs.clip(min=0).sum())
        down = float((-of_runs.clip(max=0) * numbers).sum() / max(-of_runs.clip(max=0).sum(), 1e-12))
        if abs(up - down) > ALIKE * max(abs(up), abs(down)):
            return f"{name} differs ({up:g} against {down:g}), and both sides must share it"
    return ""


def _shared(path: Path, name: str) -> Level | None:
    """What a run has of a factor, or of its steps or supervised tokens."""
    if name == "steps":
        return path.steps[-1]
    if name == "tokens":
        tokens = float(path.measures["tokens"][-1])
        return None if np.isnan(tokens) else tokens
    return path.level(name)
