"""Designs whose runs all differ (points spread over ranges): a response surface fitted to the runs, and its peaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from triaxis.analyze.contrasts import (
    BASE_CEILING,
    CELL_CEILING,
    LEAST_VARIANCE,
    NO_ERROR,
    OTHER_TASKS,
    Asked,
    base_of,
    extremes,
    least,
    saturated,
    summaries,
)
from triaxis.analyze.design import Cells, level_text
from triaxis.analyze.effects import ITEMS_LIKE_THESE, SCALES, THIS_POOL
from triaxis.analyze.evidence import Evidence
from triaxis.analyze.margins import head, noted, refused
from triaxis.analyze.questions.optimum import CURVATURE, LOCATION, OPTIMUM, in_doublings, is_number
from triaxis.stats.effects import Estimate, Units, sum_codes
from triaxis.stats.intervals import Floats, t_interval, t_p_value
from triaxis.stats.peak import top, unit_scale
from triaxis.stats.regression import Regression
from triaxis.types import Finding, Interval, NotEstimable, Scale

SURFACE = "response surface"
SLOPE, PRODUCT = "effect on the gain", "interaction in the gain"
LEAST_DF, RUNS_A_COLUMN = 10, 2
MANY_CONDITIONS = 16
MOSTLY = 0.75  # of the runs have a condition of their own
NOTE = "the residual holds lack of fit and what differs from seed to seed, together"
BASE_UNKNOWN = "base rows without items: the error of a contrast across bases is not known"


def is_random(cells: Cells, n_runs: int) -> bool:
    """Whether runs hardly share a condition, and conditions are many or spread over a range."""
    n = len(cells.design.levels)
    return n >= MOSTLY * n_runs and (n >= MANY_CONDITIONS or bool(cells.identification.continuous))


@dataclass(frozen=True, eq=False)
class Block:
    """The columns of a term (runs x columns), and the contrasts of their coefficients that are told."""

    factors: tuple[str, ...]
    columns: Floats
    quantity: str
    contrasts: tuple[tuple[str, Floats], ...]  # in words, with weights over the columns


def findings(evidence: Evidence) -> list[Finding]:
    """The slopes, products and curvatures of a surface over the factors, and where it peaks, for every group whose runs
    hardly share a condition.
    """
    found: list[Finding] = []
    for asked in evidence.asked.values():
        if is_random(asked.cells, len(asked.paths)):
            for scale in SCALES:
                found += _surface(asked, scale)
    return found


def model(cells: Cells) -> list[Block] | NotEstimable:
    """The terms of the largest model that the design has room for, by the design alone: slopes, products of pairs and
    quadratics; or less, down to slopes.
    """
    n = len(cells.cell_of)
    slopes = [slope(cells, name) for name in cells.factors]
    pairs = [_product(one, other) for one, other in combinations(slopes, 2)]
    bends = [_bend(cells, block) for block in slopes if _is_bent(cells, block.factors[0])]
    reason = ""
    for chosen in ([*slopes, *pairs, *bends], [*slopes, *pairs], [*slopes, *bends], slopes):
        x = matrix(chosen)
        columns = len(x.T)
        if n < RUNS_A_COLUMN * columns or n - columns < LEAST_DF:
            reason = f"{n} runs for {columns} columns: a surface asks for {RUNS_A_COLUMN} runs a column, and for"
            reason += f" {LEAST_DF} runs more than columns"
        elif why := move_together(cells, chosen):
            reason = why
        else:
            return chosen
    return NotEstimable(reason)


def move_together(cells: Cells, blocks: Sequence[Block]) -> str:
    """Why the columns of a model can't be told apart; "" where they can."""
    x = matrix(blocks)
    if np.linalg.matrix_rank(x) == len(x.T):
        return ""
    known = [pair.why for pair in cells.identification.together]
    return known[0] if known else "factors move together: their effects can't be told apart"


def matrix(blocks: Sequence[Block]) -> Floats:
    """The columns of a model, the mean first: runs x columns."""
    return np.hstack([np.ones((len(blocks[0].columns), 1)), *(block.columns for block in blocks)])


def slope(cells: Cells, name: str) -> Block:
    """A number's column, from -1/2 at its least level to 1/2 at its largest; else codes that sum to 0 over levels."""
    at = cells.design.levels[cells.cell_of, cells.factors.index(name)]
    levels = cells.levels[name]
    if is_number(cells, name):
        text = f"{level_text(levels[-1])} - {level_text(levels[0])}"
        return Block((name,), unit_scale(_x(cells, name))[at][:, None] / 2, SLOPE, ((text, np.ones(1)),))
    codes = sum_codes(len(levels))
    pairs = [(f"{level_text(levels[i])} - {level_text(levels[0])}", codes[i] - codes[0]) for i in range(1, len(levels))]
    return Block((name,), codes[at], SLOPE, tuple(pairs))


def _x(cells: Cells, name: str) -> Floats:
    """The levels of a number in x: log2 where that is natural."""
    levels = np.array([float(level) for level in cells.levels[name]])
    return np.log2(levels) if in_doublings(cells.levels[name]) else levels


def _product(one: Block, other: Block) -> Block:
    columns = (one.columns[:, :, None] * other.columns[:, None, :]).reshape(len(one.columns), -1)
    both = [
        (f"({left}) x ({right})", np.outer(up, down).ravel())
        for left, up in one.contrasts
        for right, down in other.contrasts
    ]
    return Block((*one.factors, *other.factors), columns, PRODUCT, tuple(both))


def _is_bent(cells: Cells, name: str) -> bool:
    return is_number(cells, name) and len(cells.levels[name]) > 2


def _bend(cells: Cells, straight: Block) -> Block:
    """The square of a number's column, less its mean over the range, so that slopes stay averages over the range.

    Its contrast is how far the middle stands above the mean of the ends.
    """
    (name,) = straight.factors
    ends = cells.levels[name]
    text = f"middle above the mean of {level_text(ends[0])} and {level_text(ends[-1])}"
    return Block((name,), straight.columns**2 - 1 / 12, CURVATURE, ((text, np.array([-0.25])),))


@dataclass(frozen=True, eq=False)
class Surface:
    """A model fitted to a group's runs on one scale."""

    asked: Asked
    scale: Scale
    blocks: Sequence[Block]
    fit: Regression

    def weights(self, block: Block, of: Floats) -> Floats:
        """Weights over all coefficients for a contrast within a block."""
        before = 1 + sum(len(each.columns.T) for each in self.blocks[: self.blocks.index(block)])
        out = np.zeros(len(self.fit.x.T))
        out[before : before + len(of)] = of
        return out

    def told(self, block: Block, text: str, weights: Floats) -> Finding:
        here = replace(head(self.asked, SURFACE, block.quantity, block.factors, text), unit=self.scale)
        found = self.fit.estimate(weights)
        if reason := self._refusal(found, self.fit.of_units(weights)):
            return refused(here, reason)
        value, variance = found.value, found.variance
        here = replace(
            here,
            estimate=t_interval(value, variance.value, variance.df),
            p=t_p_value(value, variance.value, variance.df),
            item_pool=ITEMS_LIKE_THESE if found.items else THIS_POOL,
            method=self.method(found),
        )
        low, high = extremes(self.asked, np.ones(len(self.asked.cells.design.levels)), "gain")
        bounded = len(block.factors) > 1 and self.scale == "points" and (low < 0.1 or high > 0.9)
        return noted(here, "ceiling" if bounded else "", NOTE)

    def method(self, found: Estimate) -> str:
        what = "run gains" if self.scale == "points" else "run logits (counts + 1/2)"
        items = "crossed with items" if found.items else "items fixed"
        columns = len(self.fit.x.T)
        return f"least squares on {what}, {columns} columns, HC3, {items}, t with {found.variance.df:.1f} df"

    def _refusal(self, found: Estimate, of_runs: Floats) -> str:
        """Why a contrast can't be told; "" where it can."""
        share: dict[tuple[object, ...], float] = {}
        for path, weight in zip(self.asked.paths, of_runs, strict=True):
            share[base_of(path)] = share.get(base_of(path), 0.0) + float(weight)
        across = [path for path in self.asked.paths if abs(share[base_of(path)]) > 1e-9]
        if self.scale == "logit" and any(saturated(path) for path in across):
            return BASE_CEILING
        if across and not found.items:
            return BASE_UNKNOWN
        return NO_ERROR if found.variance.value < LEAST_VARIANCE else ""

    def peak(self, block: Block) -> Finding:
        """Where the surface has its top along one number, the other factors at the middle of their ranges."""
        (name,) = block.factors
        straight = next(each for each in self.blocks if each.factors == (name,))
        b, c = self.weights(straight, np.array([0.5])), self.weights(block, np.array([0.25]))  # of z, twice the code
        here = replace(head(self.asked, OPTIMUM, LOCATION, [name]), unit="level")
        place = top(lambda u, v: self.fit.estimate(u * b + v * c))
        if isinstance(place, NotEstimable):
            return replace(here, estimate=place)
        x = _x(self.asked.cells, name)
        at = [(x.max() + x.min()) / 2 + z * float(np.ptp(x)) / 2 for z in (place.value, place.low, place.high)]
        levels = [float(2.0**each) if in_doublings(self.asked.cells.levels[name]) else float(each) for each in at]
        outside = place.low < -1 or place.high > 1
        here = replace(here, estimate=Interval(*levels), method=f"Fieller; {self.method(self.fit.estimate(c))}")
        beyond = "the interval reaches beyond the levels that were run" if outside else ""
        return noted(here, f"fitted in {self.scale}, the other factors at their middle", beyond, NOTE)


def fitted(asked: Asked, scale: Scale) -> Surface | NotEstimable:
    """The surface of a group's gains on one scale, or why there is none."""
    blocks = model(asked.cells)
    if isinstance(blocks, NotEstimable):
        return blocks
    units = units_of(asked, scale)
    if isinstance(units, NotEstimable):
        return units
    try:
        return Surface(asked, scale, blocks, Regression(matrix(blocks), units))
    except ValueError as error:
        return NotEstimable(str(error))


def units_of(asked: Asked, scale: Scale) -> Units | NotEstimable:
    """The runs' gains as units; not in logits where a run is at 0 or 1."""
    if len({path.tasks for path in asked.paths}) > 1:
        return NotEstimable(OTHER_TASKS)
    of_runs = summaries(asked, "gain", scale)
    if isinstance(of_runs, NotEstimable):
        return of_runs
    low, high = extremes(asked, np.ones(len(asked.cells.design.levels)), "gain")
    if scale == "logit" and (low <= 0 or high >= 1):
        return NotEstimable(CELL_CEILING)
    per_item = np.array([s.per_item for s in of_runs]) if asked.shared_items else None
    pseudo = least(asked, "gain", scale)[asked.cells.cell_of]
    values = np.array([s.value for s in of_runs])
    return Units(values, asked.cells.cell_of, per_item, asked.paths[0].strata, pseudo, asked.trunks)


def _surface(asked: Asked, scale: Scale) -> list[Finding]:
    surface = fitted(asked, scale)
    if isinstance(surface, NotEstimable):
        return [replace(head(asked, SURFACE, SLOPE, asked.cells.factors), unit=scale, estimate=surface)]
    found: list[Finding] = []
    for block in surface.blocks:
        told = [surface.told(block, text, surface.weights(block, of)) for text, of in block.contrasts]
        found += told
        if block.quantity == CURVATURE and isinstance(told[0].estimate, Interval):
            found.append(surface.peak(block))
    return found
