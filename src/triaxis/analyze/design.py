"""The design that the runs of a table make: its factors, its cells, and in words what it can't tell apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from triaxis.stats.effects import Design
from triaxis.types import Level

MAX_TARGETS = 400  # contrasts a group; past it interactions of factors with many levels are left out, and it is said


@dataclass(frozen=True)
class Target:
    """One effect to estimate: factors (sorted), and for each the upper and the lower level."""

    factors: tuple[str, ...]
    high: tuple[Level, ...]
    low: tuple[Level, ...]

    @property
    def text(self) -> str:
        """`0.003 - 0.0003`, or for an interaction the product of such differences."""
        parts = [f"{level_text(up)} - {level_text(down)}" for up, down in zip(self.high, self.low, strict=True)]
        return parts[0] if len(parts) == 1 else " x ".join(f"({part})" for part in parts)


def level_text(level: Level) -> str:
    return f"{level:g}" if isinstance(level, float) else str(level)


def sorted_levels(levels: Sequence[Level]) -> tuple[Level, ...]:
    """Numbers in numeric order, then texts in alphabetical order; False before True."""
    return tuple(sorted(set(levels), key=lambda v: (isinstance(v, str), v if not isinstance(v, str) else 0, str(v))))


@dataclass(frozen=True, eq=False)
class Cells:
    """The conditions of some runs as a design; `described` tells why a varying column is no factor of its own."""

    factors: tuple[str, ...]
    levels: Mapping[str, tuple[Level, ...]]
    design: Design
    cell_of: NDArray[np.int64]  # of each run
    described: Mapping[str, str]


def make_cells(conditions: Sequence[Mapping[str, Level]]) -> Cells:
    """Cells of the runs' conditions (one mapping a run). A column that another one of its axis determines is no factor."""
    names = sorted({name for condition in conditions for name in condition})
    varying = [n for n in names if len({c.get(n) for c in conditions}) > 1]
    missing = {n: f"{n} is empty in some runs" for n in varying if any(n not in c for c in conditions)}
    varying = [n for n in varying if n not in missing]
    described = _described(varying, conditions)
    factors = tuple(n for n in varying if n not in described)
    levels = {n: sorted_levels([c[n] for c in conditions]) for n in factors}
    codes = np.array([[levels[n].index(c[n]) for n in factors] for c in conditions], dtype=np.int64).reshape(
        len(conditions), -1
    )
    cells, cell_of = np.unique(codes, axis=0, return_inverse=True)
    design = Design(cells, tuple(len(levels[n]) for n in factors))
    return Cells(factors, levels, design, cell_of.ravel().astype(np.int64), {**described, **missing})


def _described(names: Sequence[str], conditions: Sequence[Mapping[str, Level]]) -> dict[str, str]:
    """Columns that only describe another column of the same axis (a base's family, a data set's structure)."""
    found: dict[str, str] = {}
    sizes = {name: len({c[name] for c in conditions}) for name in names}
    for name in names:
        for other in names:
            if other == name or other in found or other.partition(".")[0] != name.partition(".")[0]:
                continue
            pairs = len({(c[other], c[name]) for c in conditions})
            preferred = sizes[other] > sizes[name] or (sizes[other] == sizes[name] and _rank(other) < _rank(name))
            if pairs == sizes[other] and preferred:
                found[name] = f"{other} determines {name}: the design can't tell them apart; see {other}"
                break
    return found


def _rank(name: str) -> tuple[bool, str]:
    return (name not in ("model.base", "data.name", "data.task"), name)


def targets(cells: Cells) -> tuple[list[Target], list[str]]:
    """Every effect to ask for: up to three factors of two levels; main effects and pairs of the others, against the first level."""
    two = [name for name in cells.factors if len(cells.levels[name]) == 2]
    wanted = [
        names for k in (1, 2, 3) for names in combinations(cells.factors, k) if k < 3 or all(n in two for n in names)
    ]
    found: list[Target] = []
    left: list[str] = []
    for names in wanted:
        pairs = [[(level, cells.levels[name][0]) for level in cells.levels[name][1:]] for name in names]
        size = int(np.prod([len(options) for options in pairs]))
        if len(names) > 1 and len(found) + size > MAX_TARGETS:
            left.append(" x ".join(names))
            continue
        found += [Target(names, tuple(p[0] for p in pick), tuple(p[1] for p in pick)) for pick in product(*pairs)]
    return found, left


def aliased(cells: Cells, names: Sequence[str]) -> str:
    """Why an effect can't be had: the effects it moves with, or the cells that are not there."""
    index = {name: i for i, name in enumerate(cells.factors)}
    mine = cells.design.term([index[name] for name in names])
    mine = mine - mine.mean(axis=0)
    same = []
    for term in cells.design.terms(3):
        other = tuple(cells.factors[i] for i in term)
        if other == tuple(names):
            continue
        columns = np.hstack([np.ones((len(mine), 1)), cells.design.term(term)])
        left = mine - columns @ np.linalg.lstsq(columns, mine, rcond=1e-9)[0]
        if np.abs(left).max() < 1e-9:
            same.append(" x ".join(other))
    if same:
        return f"aliased with {', '.join(same[:4])}: they change together in every condition"
    total = int(np.prod(cells.design.sizes))
    return f"not identified: the design has {len(mine)} of the {total} combinations of levels"
