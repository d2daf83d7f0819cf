"""One number a run: gain at the last checkpoint, at the best one chosen on other items, and on average; points and
logits.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from triaxis.analyze.paths import NO_BASE, Path
from triaxis.stats.intervals import Floats
from triaxis.types import Estimand, NotEstimable, Scale


@dataclass(frozen=True, eq=False)
class Summary:
    """A run's value, and the same item by item (its mean over items is the value); None without items."""

    value: float
    per_item: Floats | None


def summarise(path: Path, estimand: Estimand, scale: Scale) -> Summary | NotEstimable:
    """The run's gain over its base. On the logit scale: of the mean score, half a response added to right and to
    wrong.
    """
    if not path.has_base:
        return NotEstimable(NO_BASE)
    if len(path.steps) < 2:
        return NotEstimable("no trained checkpoint")
    if scale == "logit" and path.n_items is None:
        return NotEstimable("without n_items a score of 0 or 1 has no logit")
    if estimand == "best":
        if path.x is None or path.strata is None:
            return NotEstimable("summaries have no items to choose the checkpoint on and others to score it on")
        folds = halves(path)
        if folds is None:
            return NotEstimable("one item in a task: none left to choose the checkpoint on")
        return _difference(path, *_level(path, path.scores, _best_rows(path, folds), scale), scale)
    rows = [len(path.steps) - 1] if estimand == "gain" else list(range(1, len(path.steps)))
    levels = [_level(path, path.scores[row], None if path.x is None else path.x[row], scale) for row in rows]
    value = float(np.mean([level[0] for level in levels]))
    per_item = None if path.x is None else np.mean([level[1] for level in levels if level[1] is not None], axis=0)
    return _difference(path, value, per_item, scale)


def halves(path: Path) -> NDArray[np.bool_] | None:
    """A fixed half of each task's items, by a hash of their names: the same for every run, whatever else is in the
    table.
    """
    assert path.strata is not None
    if not path.strata.estimable:
        return None
    digest = np.array([blake2b(item.encode(), digest_size=8).digest() for item in path.items])
    order = np.lexsort((digest, path.strata.codes))
    first = np.concatenate([[0], np.cumsum(path.strata.sizes)[:-1]])
    half = np.empty(len(order), dtype=bool)
    half[order] = (np.arange(len(order)) - first[path.strata.codes[order]]) % 2 == 0
    return half


def _best_rows(path: Path, half: NDArray[np.bool_]) -> Floats:
    """Each item's score at the trained checkpoint that is best on the other half of the items: (items,)."""
    assert path.x is not None and path.strata is not None
    weights = path.strata.weights
    on_half, on_rest = path.x[1:, half] @ weights[half], path.x[1:, ~half] @ weights[~half]
    best: Floats = np.where(half, path.x[1 + int(on_rest.argmax())], path.x[1 + int(on_half.argmax())])
    return best


def _level(path: Path, score: Floats | float, row: Floats | None, scale: Scale) -> tuple[float, Floats | None]:
    """Score or its logit, and its linear part item by item."""
    mean = float(path.strata.mean(row)) if row is not None and path.strata is not None else float(score)
    if scale == "points":
        return mean, row
    n = float(path.n_items or 0) * (1.0 if np.isnan(path.samples) else path.samples)
    smooth = (mean * n + 0.5) / (n + 1)
    value = float(np.log(smooth / (1 - smooth)))
    return value, None if row is None else value + (row - mean) / (smooth * (1 - smooth))


def _difference(path: Path, value: float, per_item: Floats | None, scale: Scale) -> Summary:
    base, base_items = _level(path, path.scores[0], None if path.x is None else path.x[0], scale)
    return Summary(value - base, None if per_item is None or base_items is None else per_item - base_items)
