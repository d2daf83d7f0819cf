"""Functional analysis of variance of a random forest: which inputs its predictions vary with, alone and in pairs.

Hutter, Hoos & Leyton-Brown 2014 (ICML): a tree is constant on boxes, so that its mean over all inputs but one or two is
a sum over its leaves, exact, with no sampling. Inputs are independent and uniform: a number over its range, or any
factor over its levels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triaxis.stats.intervals import Floats

Bools = NDArray[np.bool_]
LEAST_LEAF = 3  # units in a leaf: smaller ones fit the noise
ENOUGH_ABOVE = 10  # draws of a permutation test as large as the value, which end it


@dataclass(frozen=True, eq=False)
class Input:
    """A factor as the forest sees it.

    `levels`: None for a number that may take any value in [0, 1]; else how many levels it has, coded 0, 1, ...
    `ordered` levels are split between neighbours, others one against the rest.
    """

    levels: int | None
    ordered: bool = True

    def columns(self, values: Floats) -> Floats:
        """The columns that the trees split on: units x columns."""
        if self.ordered or self.levels is None:
            return values[:, None]
        return np.asarray(values[:, None] == np.arange(self.levels), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Boxes:
    """The leaves of one tree: what they predict and, for each input, which of its pieces they hold."""

    predictions: Floats  # (leaves,)
    holds: tuple[Bools, ...]  # an input each: leaves x pieces
    sizes: tuple[Floats, ...]  # an input each: share of the range of each piece

    @cached_property
    def shares(self) -> Floats:
        """Of each input's range the share that a leaf holds: inputs x leaves."""
        return np.array([hold @ size for hold, size in zip(self.holds, self.sizes, strict=True)])

    @cached_property
    def centred(self) -> Floats:
        """The predictions less their mean over all inputs."""
        return np.asarray(self.predictions - self.shares.prod(axis=0) @ self.predictions, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Forest:
    """Regression trees, each grown on a resample of the units (a random forest that looks at all inputs at each split:
    looking at a part of them gives weak inputs splits that they don't earn).
    """

    trees: tuple[Any, ...]  # scikit-learn's
    columns: NDArray[np.float32]  # units x columns
    seen: Bools  # trees x units: whether the unit is in the tree's resample

    def predicted_unseen(self, y: Floats) -> float:
        """Share of the variance of `y` that the trees predict on units they have not seen (out-of-bag R²); below 0
        where they do worse than the mean.
        """
        unseen = ~self.seen
        each = np.array([tree.predict(self.columns, check_input=False) for tree in self.trees])
        there = unseen.any(axis=0)
        predicted = (each * unseen).sum(axis=0)[there] / unseen.sum(axis=0)[there]
        return float(1 - ((y[there] - predicted) ** 2).sum() / ((y[there] - y.mean()) ** 2).sum())


def forest(inputs: Sequence[Input], x: Floats, y: Floats, trees: int, seed: int) -> Forest:
    """A forest on units `x` (units x inputs) with response `y`."""
    import sklearn  # here: a second to import, and few tables need it
    from sklearn.tree import DecisionTreeRegressor

    rng = np.random.default_rng(seed)
    columns = np.hstack([each.columns(x[:, i]) for i, each in enumerate(inputs)]).astype(np.float32)
    counts = np.array([np.bincount(rng.integers(0, len(y), len(y)), minlength=len(y)) for _ in range(trees)])
    with sklearn.config_context(skip_parameter_validation=True):  # a quarter of the time of so small trees
        grown = [
            DecisionTreeRegressor(min_samples_leaf=LEAST_LEAF, random_state=seed + k).fit(
                columns, y, sample_weight=count.astype(np.float64), check_input=False
            )
            for k, count in enumerate(counts)
        ]
    return Forest(tuple(grown), columns, counts > 0)


def boxes(inputs: Sequence[Input], tree: Any) -> Boxes:
    """The leaves of one of scikit-learn's trees."""
    found: list[tuple[float, Floats, Floats]] = []
    n_columns = int(tree.n_features)
    stack = [(0, np.full(n_columns, -np.inf), np.full(n_columns, np.inf))]
    left, right, feature, threshold = tree.children_left, tree.children_right, tree.feature, tree.threshold
    while stack:
        node, low, high = stack.pop()
        if left[node] < 0:
            found.append((float(tree.value[node].ravel()[0]), low, high))
            continue
        at, cut = int(feature[node]), float(threshold[node])
        below, above = high.copy(), low.copy()
        below[at], above[at] = min(high[at], cut), max(low[at], cut)
        stack += [(int(left[node]), low, below), (int(right[node]), above, high)]
    lows, highs = np.array([low for _, low, _ in found]), np.array([high for _, _, high in found])
    holds, sizes, first = [], [], 0
    for each in inputs:
        width = 1 if each.ordered or each.levels is None else each.levels
        hold, size = _pieces(each, lows[:, first : first + width], highs[:, first : first + width])
        holds.append(hold)
        sizes.append(size)
        first += width
    return Boxes(np.array([value for value, _, _ in found]), tuple(holds), tuple(sizes))


def _pieces(each: Input, low: Floats, high: Floats) -> tuple[Bools, Floats]:
    """Which pieces of an input each leaf holds (leaves x pieces), and their sizes.

    Pieces are the levels, or the parts of [0, 1] between a tree's cuts. Of levels split one against the rest a leaf
    holds those whose columns, a 1 among zeros, lie within all its bounds.
    """
    if each.levels is None:
        cuts = np.unique(np.clip(np.r_[0.0, low[:, 0], high[:, 0], 1.0], 0.0, 1.0))
        middle = (cuts[1:] + cuts[:-1]) / 2
        return np.asarray((middle > low) & (middle <= high)), np.asarray(np.diff(cuts), dtype=np.float64)
    size = np.full(each.levels, 1.0 / each.levels)
    if each.ordered:
        levels = np.arange(each.levels)
        return np.asarray((levels > low) & (levels <= high)), size
    ones = np.eye(each.levels)[None]
    return np.asarray(((ones > low[:, None, :]) & (ones <= high[:, None, :])).all(axis=2)), size


def variances(inputs: Sequence[Input], grown: Forest) -> tuple[float, dict[tuple[int, ...], float]]:
    """The variance of a forest's trees over all inputs, and the part of each input alone and of each pair beyond its
    two; averages over trees, in the unit of y squared.
    """
    parts: dict[tuple[int, ...], float] = {}
    total = 0.0
    for tree in grown.trees:
        whole, of_tree = tree_variances(boxes(inputs, tree.tree_))
        total += whole / len(grown.trees)
        for key, value in of_tree.items():
            parts[key] = parts.get(key, 0.0) + value / len(grown.trees)
    return total, parts


def tree_variances(leaves: Boxes) -> tuple[float, dict[tuple[int, ...], float]]:
    """The variance of one tree over all inputs, and the part of each input and of each pair."""
    share = leaves.shares
    centred = leaves.centred
    parts: dict[tuple[int, ...], float] = {(i,): _part(leaves, i) for i in range(len(share))}
    for i, j in combinations(range(len(share)), 2):
        rest = centred * np.delete(share, (i, j), axis=0).prod(axis=0)
        plane = (leaves.holds[i] * rest[:, None]).T @ leaves.holds[j]
        both = float(leaves.sizes[i] @ plane**2 @ leaves.sizes[j])
        parts[(i, j)] = both - parts[(i,)] - parts[(j,)]
    return float(share.prod(axis=0) @ centred**2), parts


def _part(leaves: Boxes, i: int) -> float:
    """The variance along one input of a tree's mean over the others."""
    rest = leaves.centred * np.delete(leaves.shares, i, axis=0).prod(axis=0)
    return float(leaves.sizes[i] @ (rest @ leaves.holds[i]) ** 2)


def shares(inputs: Sequence[Input], grown: Forest) -> dict[tuple[int, ...], float]:
    """The parts of a forest's variance as shares of the whole, none below 0 (rounding). Raises ValueError where its
    predictions do not vary: shares of nothing would be made up.
    """
    total, parts = variances(inputs, grown)
    if not total > 0:
        raise ValueError("the predictions do not vary")
    return {key: min(max(value / total, 0.0), 1.0) for key, value in parts.items()}


def resampled_shares(
    inputs: Sequence[Input], x: Floats, y: Floats, trees: int, draws: int, seed: int
) -> dict[tuple[int, ...], Floats]:
    """Shares of forests grown on resamples of the units (bootstrap): a row of `draws` each. A resample whose forest
    does not vary gives none.
    """
    rng = np.random.default_rng(seed)
    found: dict[tuple[int, ...], list[float]] = {}
    for draw in range(draws):
        pick = rng.integers(0, len(y), len(y))
        grown = forest(inputs, x[pick], y[pick], trees, seed + draw)
        try:
            each = shares(inputs, grown)
        except ValueError:
            continue
        for key, value in each.items():
            found.setdefault(key, []).append(value)
    return {key: np.array(values) for key, values in found.items()}


def any_signal_p(inputs: Sequence[Input], x: Floats, y: Floats, trees: int, draws: int, seed: int) -> float:
    """Permutation p of no input mattering: how often a forest predicts unseen units as well with the units shuffled."""
    rng = np.random.default_rng(seed)

    def predicted(draw: int) -> float:
        response = rng.permutation(y) if draw else y
        return forest(inputs, x, response, trees, seed).predicted_unseen(response)

    return _sequential_p(predicted, draws)


def input_p(inputs: Sequence[Input], x: Floats, y: Floats, which: int, trees: int, draws: int, seed: int) -> float:
    """Permutation p of one input's not mattering: how often its part of the variance is as large when its own column
    is shuffled, the others and the response left as they are.

    Shuffling the response instead would compare a weak input with the noise of a response that the strong one has
    left, and miss it (measured: an input with .17 of the variance found in 7 % of studies of 64 runs).
    """
    rng = np.random.default_rng(seed)

    def part(draw: int) -> float:
        columns = x.copy()
        if draw:
            columns[:, which] = rng.permutation(x[:, which])
        grown = forest(inputs, columns, y, trees, seed)
        return float(np.mean([_part(boxes(inputs, tree.tree_), which) for tree in grown.trees]))

    return _sequential_p(part, draws)


def _sequential_p(statistic: Callable[[int], float], draws: int) -> float:
    """Share of a permutation distribution that is as large as `statistic(0)`, which is counted in.

    All draws need the same resamples of units: those of one seed predict better than those of another, whatever the
    response. Draws 1, 2, ... end where ten are as large: what matters little is soon known (Besag & Clifford 1991,
    Biometrika 78:301).
    """
    value = statistic(0)
    above = 0
    for draw in range(1, draws + 1):
        above += statistic(draw) >= value - 1e-12
        if above == ENOUGH_ABOVE:
            return above / draw
    return (above + 1) / (draws + 1)
