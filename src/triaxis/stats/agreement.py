"""How far two raters agree: the share of responses and Cohen's kappa, clustered on the items that were rated."""

from __future__ import annotations

import numpy as np

from triaxis.stats.intervals import CONFIDENCE, Floats, t_interval
from triaxis.types import Interval, NotEstimable


def agreement(counts: Floats) -> tuple[Interval | NotEstimable, Interval | NotEstimable]:
    """The share of responses on which two raters agree, and Cohen's kappa, each with its 95 % interval.

    `counts` (items, k, k) has for each item how many of its responses the first rater put into class a and the second
    into b. Responses to one item are alike, so items are what was drawn: variances are those of linearised ratios over
    items (delta method), t with items - 1 degrees of freedom. Where they agree throughout, the lower end is the exact
    binomial one over items. Kappa is not estimable where both use one class only (Cohen 1960, Educ. Psychol. Meas.
    20:37).
    """
    counts = counts[counts.sum(axis=(1, 2)) > 0]
    m, n = len(counts), float(counts.sum())
    if m < 2:
        few = NotEstimable("fewer than two items were rated by both")
        return few, few
    per_item = counts.sum(axis=(1, 2))
    share = counts.sum(axis=0) / n
    rows, columns = share.sum(axis=1), share.sum(axis=0)
    same, chance = float(np.trace(share)), float(rows @ columns)
    d_same = (np.trace(counts, axis1=1, axis2=2) - same * per_item) / n
    d_rows = (counts.sum(axis=2) - rows * per_item[:, None]) / n
    d_columns = (counts.sum(axis=1) - columns * per_item[:, None]) / n
    raw = _within(same, d_same, 0.0)
    if same == 1:
        raw = Interval(1.0, (0.5 - CONFIDENCE / 2) ** (1 / m), 1.0)
    if 1 - chance < 1e-12:
        return raw, NotEstimable("both put every response into one class: nothing is left beyond chance")
    kappa = (same - chance) / (1 - chance)
    if same == 1:
        return raw, Interval(1.0, (raw.low - chance) / (1 - chance), 1.0)
    d_chance = d_rows @ columns + d_columns @ rows
    return raw, _within(kappa, d_same / (1 - chance) - d_chance * (1 - same) / (1 - chance) ** 2, -1.0)


def _within(value: float, influence: Floats, least: float) -> Interval:
    """The t interval of a ratio with these influences of the items, within what it can be."""
    m = len(influence)
    found = t_interval(value, float((influence**2).sum()) * m / (m - 1), m - 1)
    return Interval(value, max(found.low, least), min(found.high, 1.0))
