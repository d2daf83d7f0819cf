"""The design that the runs of a table make: its factors, its cells, and in words what it can't tell apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from triaxis.stats.effects import Design, slope_codes, sum_codes
from triaxis.study import Identification, identify
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
    identification: Identification

    def assumes(self, names: Sequence[str]) -> str:
        """What has to be zero for an effect that the design identifies; "" where nothing has."""
        term = self.identification.term(*names)
        return term.assumes if term is not None else ""

    def aliased(self, names: Sequence[str]) -> str:
        """Why an effect can't be had."""
        term = self.identification.term(*names)
        return term.reason if term is not None and term.reason else f"{':'.join(names)}: combinations are missing"


def make_cells(conditions: Sequence[Mapping[str, Level]]) -> Cells:
    """Cells of the runs' conditions (one mapping a run). A column that another one of its axis determines is no
    factor.
    """
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
    of_cells = [{n: levels[n][code] for n, code in zip(factors, cell, strict=True)} for cell in cells]
    known = identify(of_cells, np.bincount(cell_of.ravel()).tolist())
    codes_of = [
        slope_codes([float(v) for v in levels[n]]) if n in known.continuous else sum_codes(len(levels[n]))
        for n in factors
    ]
    design = Design(cells, tuple(codes_of))
    return Cells(factors, levels, design, cell_of.ravel().astype(np.int64), {**described, **missing}, known)


def _described(names: Sequence[str], conditions: Sequence[Mapping[str, Level]]) -> dict[str, str]:
    """Columns that only describe the base or the data set that is named beside them: a family, a size, a structure."""
    found: dict[str, str] = {}
    for name in names:
        for thing in ("model.base", "data.name"):
            if thing in names and name != thing and name.partition(".")[0] == thing.partition(".")[0]:
                pairs = len({(c[thing], c[name]) for c in conditions})
                if pairs == len({c[thing] for c in conditions}):
                    found[name] = f"{thing} determines {name}: the design can't tell them apart; see {thing}"
    return found


def targets(cells: Cells) -> tuple[list[Target], list[str]]:
    """Every effect to ask for: up to three factors of two levels; main effects and pairs of the others, against the
    first level.
    """
    two = [name for name in cells.factors if len(_upper(cells, name)) == 1]
    wanted = [
        names for k in (1, 2, 3) for names in combinations(cells.factors, k) if k < 3 or all(n in two for n in names)
    ]
    found: list[Target] = []
    left: list[str] = []
    for names in wanted:
        pairs = [[(level, cells.levels[name][0]) for level in _upper(cells, name)] for name in names]
        size = int(np.prod([len(options) for options in pairs]))
        if len(names) > 1 and len(found) + size > MAX_TARGETS:
            left.append(" x ".join(names))
            continue
        found += [Target(names, tuple(p[0] for p in pick), tuple(p[1] for p in pick)) for pick in product(*pairs)]
    return found, left


def _upper(cells: Cells, name: str) -> tuple[Level, ...]:
    """The levels that are compared with the first: all others, or the last one where the effect is a slope."""
    return cells.levels[name][-1:] if name in cells.identification.continuous else cells.levels[name][1:]
