"""Effects of what the bases are (their size, their pretraining) where there are enough of them: the base is the
unit.

Runs on one base are pseudo-replicates of it. So each base gives one number, its contrast of the other factors
averaged over its runs, and bases of one kind are compared with bases of another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from triaxis.analyze.contrasts import Asked, pseudo
from triaxis.analyze.design import Cells, Target, make_cells, sorted_levels
from triaxis.analyze.estimands import Summary
from triaxis.stats.effects import Contrasts, Estimate, Units, contrast
from triaxis.stats.intervals import Floats
from triaxis.types import Level, NotEstimable, Scale

ENOUGH_BASES = 8
LOPSIDED = "each base needs a run in every condition of the other factors"


@dataclass(frozen=True)
class BaseTarget:
    """An effect of a column that describes the bases, alone or with factors of two levels that are no base's."""

    trait: str
    others: tuple[str, ...]
    target: Target


def base_targets(asked: Asked) -> list[BaseTarget]:
    """The effects to ask for: columns of two levels or more that describe eight bases or more, two at least of each
    level.
    """
    if asked.n_bases < ENOUGH_BASES:
        return []
    two = [n for n in asked.cells.factors if len(asked.cells.levels[n]) == 2 and not n.startswith("model.")]
    found = []
    for trait in (name for name in asked.cells.described if name.startswith("model.")):
        kinds = _kinds(asked, trait)
        levels = sorted_levels(list(kinds.values()))
        if any(list(kinds.values()).count(level) < 2 for level in levels):
            continue
        for high in levels[1:]:
            for others in (names for k in (0, 1, 2) for names in combinations(two, k)):
                ends = {n: (asked.cells.levels[n][1], asked.cells.levels[n][0]) for n in others}
                ends[trait] = (high, levels[0])
                names = tuple(sorted(ends))
                target = Target(names, tuple(ends[n][0] for n in names), tuple(ends[n][1] for n in names))
                found.append(BaseTarget(trait, others, target))
    return found


def _kinds(asked: Asked, trait: str) -> Mapping[str, Level]:
    """The level of each base."""
    return {path.base: path.condition[trait] for path in asked.paths}


def base_effect(
    asked: Asked, wanted: BaseTarget, of_runs: Sequence[Summary], scale: Scale
) -> tuple[Estimate, int] | NotEstimable:
    """The effect over bases, and how many there were."""
    plain = [name for name in asked.cells.factors if not name.startswith("model.")]
    cells = make_cells([{name: path.condition[name] for name in plain} for path in asked.paths])
    weights = _within(cells, wanted.others)
    if weights is None:
        return NotEstimable(cells.aliased(wanted.others))
    kinds = _kinds(asked, wanted.trait)
    place = wanted.target.factors.index(wanted.trait)
    ends = (wanted.target.low[place], wanted.target.high[place])
    bases = [base for base, kind in kinds.items() if kind in ends]
    values, per_item = [], []
    for base in bases:
        rows = [i for i, path in enumerate(asked.paths) if path.base == base]
        at = cells.cell_of[rows]
        counts = np.bincount(at, minlength=len(weights))
        if (counts[weights != 0] == 0).any():
            return NotEstimable(LOPSIDED)
        share = weights[at] / counts[at]
        values.append(float(share @ np.array([of_runs[i].value for i in rows])))
        if asked.shared_items:
            per_item.append(share @ np.array([of_runs[i].per_item for i in rows]))
    side = np.array([ends.index(kinds[base]) for base in bases], dtype=np.int64)
    items = np.array(per_item) if asked.shared_items else None
    strata = asked.paths[0].strata
    fit = Contrasts(Units(np.array(values), side, items, strata, pseudo(strata, scale)))
    return fit.estimate(np.array([-1.0, 1.0])), len(bases)


def _within(cells: Cells, others: Sequence[str]) -> Floats | None:
    """Weights over the other factors' cells: their contrast, or their mean."""
    if not others:
        return np.full(len(cells.design.levels), 1.0 / len(cells.design.levels))
    index = [cells.factors.index(name) for name in others]
    return contrast(cells.design, index, [1] * len(index), [0] * len(index))
