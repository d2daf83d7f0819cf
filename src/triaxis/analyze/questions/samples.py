"""Several samples an item: the chance that one of k is right, which a score of one sample doesn't tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from triaxis.analyze.evidence import Evidence
from triaxis.analyze.paths import NO_BASE, Path
from triaxis.analyze.run_numbers import Number, conditions, each, head, mean
from triaxis.stats.estimators import pass_at_k
from triaxis.stats.intervals import Floats
from triaxis.types import Finding, NotEstimable

QUESTION = "samples"
HOW = "unbiased estimator of an item (Chen et al. 2021, arXiv:2107.03374)"
GRADED = "scores between right and wrong: a sample is neither"
UNEVEN = "items with fewer samples than others"
TOLERANCE = 1e-6  # of a count of right samples that was read back from a mean


def findings(evidence: Evidence) -> list[Finding]:
    """For each group and condition with several samples an item: pass@k at the last checkpoint, and its gain over the
    base, for k of 2, 4, .. and all samples. Nothing where items have one sample, or a table has no items.
    """
    found = []
    for asked in evidence.asked.values():
        for first, runs, _ in conditions(asked):
            if all(path.x is not None and path.samples >= 2 for path in runs):
                found += _of_condition(first, runs)
    return found


def _of_condition(first: Path, runs: Sequence[Path]) -> list[Finding]:
    found = []
    for k in ks(int(min(path.samples for path in runs))):
        last = mean(each(runs, lambda path, k=k: passed(path, k)))  # type: ignore[misc]
        # A chance is no difference: there is nothing of it to be tested against 0.
        finding = head(QUESTION, f"pass@{k} at the last checkpoint", "points", first)
        found.append(replace(last, p=None).told(finding, HOW))
        gain = mean(each(runs, lambda path, k=k: passed(path, k, since=0)))  # type: ignore[misc]
        found.append(gain.told(head(QUESTION, f"gain in pass@{k} over the base", "points", first), HOW))
    return found


def ks(samples: int) -> list[int]:
    """2, 4, 8, .. and all samples."""
    return sorted({2**i for i in range(1, samples.bit_length()) if 2**i <= samples} | {samples})


def passed(path: Path, k: int, since: int | None = None) -> Number | NotEstimable:
    """pass@k at the last checkpoint, or with `since` what it has changed from the checkpoint in that row."""
    if since == 0 and not path.has_base:
        return NotEstimable(NO_BASE)
    if len(path.steps) < 2:
        return NotEstimable("no trained checkpoint")
    chances = by_item(path, k)
    if isinstance(chances, NotEstimable) or path.strata is None:
        return chances if isinstance(chances, NotEstimable) else NotEstimable("the table has no items")
    per_item = chances[-1] - (0.0 if since is None else chances[since])
    least = path.strata.pseudo * (1 if since is None else 2)
    value = float(per_item @ path.strata.weights)
    return Number(value, per_item, path.strata, path.items, least, n_items=path.n_items or 0)


def by_item(path: Path, k: int) -> Floats | NotEstimable:
    """pass@k of every item at every checkpoint, from how many of its samples are right."""
    if path.x is None:
        return NotEstimable("the table has no items")
    if abs(path.samples - round(path.samples)) > TOLERANCE:
        return NotEstimable(UNEVEN)
    samples = round(path.samples)
    right = path.x * samples
    if np.abs(right - np.round(right)).max() > TOLERANCE:
        return NotEstimable(GRADED)
    return pass_at_k(np.round(right), samples, k)
