"""One number a run: gain at the last checkpoint, at the best one chosen on other items, and on average; points and
logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from triaxis.analyze.paths import NO_BASE, Path, by_condition
from triaxis.stats.intervals import Floats
from triaxis.types import Estimand, NotEstimable, Scale


@dataclass(frozen=True, eq=False)
class Summary:
    """A run's value, and the same item by item (its mean over items is the value); None without items."""

    value: float
    per_item: Floats | None


def summarise(path: Path, estimand: Estimand, scale: Scale, others: Sequence[Path] = ()) -> Summary | NotEstimable:
    """The run's gain over its base. On the logit scale: of the mean score, half a response added to right and to
    wrong.

    The best checkpoint is chosen on `others`, other seeds of the condition at the same steps and on the same items,
    or without them on the run itself.
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
        return _difference(path, *_level(path, path.scores, _best_rows(path, folds, others), scale), scale)
    rows = [len(path.steps) - 1] if estimand == "gain" else list(range(1, len(path.steps)))
    levels = [_level(path, path.scores[row], None if path.x is None else path.x[row], scale) for row in rows]
    value = float(np.mean([level[0] for level in levels]))
    per_item = None if path.x is None else np.mean([level[1] for level in levels if level[1] is not None], axis=0)
    return _difference(path, value, per_item, scale)


def best_of_others(paths: Sequence[Path], scale: Scale) -> list[Summary | NotEstimable]:
    """Each run at the checkpoint that is best in other seeds of its condition; all have the same trained steps."""
    replicates = by_condition(paths)
    return [summarise(path, "best", scale, _others(path, replicates[path.key])) for path in paths]


def _others(path: Path, own: Sequence[Path]) -> list[Path]:
    """The seeds that choose for this one: the half of them that follow it in a ring.

    So of three seeds or more no two choose for each other: seeds that agree by chance would pick the checkpoint for
    each other, and their numbers would no longer be independent (measured: 13 % false at 5 %). Two seeds do.
    """
    alike = [p for p in own if p.items == path.items and p.x is not None and p.steps == path.steps]
    if path.x is None or len(alike) < 2:
        return []
    at = alike.index(path)
    return [alike[(at + k) % len(alike)] for k in range(1, max(1, (len(alike) - 1) // 2) + 1)]


def at_steps(path: Path, trained: Sequence[int]) -> Path:
    """The path with its base and these of its trained checkpoints."""
    rows = [row for row, step in enumerate(path.steps) if step == 0 or step in trained]
    if len(rows) == len(path.steps):
        return path
    return replace(
        path,
        steps=tuple(path.steps[row] for row in rows),
        scores=path.scores[rows],
        x=None if path.x is None else path.x[rows],
        variances=path.variances[rows],
        measures={name: values[rows] for name, values in path.measures.items()},
    )


def looked_at(path: Path, estimand: Estimand) -> float:
    """The score that an estimand looks at, the best one as it is seen."""
    scores = path.scores[1:] if path.has_base and len(path.steps) > 1 else path.scores
    return float(scores.mean() if estimand == "mean" else scores.max() if estimand == "best" else scores[-1])


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


def _best_rows(path: Path, half: NDArray[np.bool_], others: Sequence[Path]) -> Floats:
    """Each item's score at the trained checkpoint that is best on the other half of the items: (items,).

    It is chosen on other seeds where there are any: both halves of a run's items share its checkpoints' wander, so that
    the highest of six would keep its luck (measured: 30 % false at 5 %).
    """
    assert path.x is not None and path.strata is not None
    weights = path.strata.weights
    seen = np.mean([p.x for p in others if p.x is not None], axis=0) if others else path.x
    on_half, on_rest = seen[1:, half] @ weights[half], seen[1:, ~half] @ weights[~half]
    best: Floats = np.where(half, path.x[1 + int(on_rest.argmax())], path.x[1 + int(on_half.argmax())])
    return best


def responses(path: Path) -> float:
    """How many responses a score is the mean of; 0 where it is not known."""
    return float(path.n_items or 0) * (1.0 if np.isnan(path.samples) else path.samples)


def _smooth(path: Path, score: float) -> float:
    n = responses(path)
    return (score * n + 0.5) / (n + 1)


def slope(path: Path, score: float) -> float:
    """How much the logit of a score changes with it, half a response added to right and to wrong."""
    smooth = _smooth(path, score)
    return 1 / (smooth * (1 - smooth))


def _level(path: Path, score: Floats | float, row: Floats | None, scale: Scale) -> tuple[float, Floats | None]:
    """Score or its logit, and its linear part item by item."""
    mean = float(path.strata.mean(row)) if row is not None and path.strata is not None else float(score)
    if scale == "points":
        return mean, row
    smooth = _smooth(path, mean)
    value = float(np.log(smooth / (1 - smooth)))
    return value, None if row is None else value + (row - mean) * slope(path, mean)


def _difference(path: Path, value: float, per_item: Floats | None, scale: Scale) -> Summary:
    base, base_items = _level(path, path.scores[0], None if path.x is None else path.x[0], scale)
    return Summary(value - base, None if per_item is None or base_items is None else per_item - base_items)
