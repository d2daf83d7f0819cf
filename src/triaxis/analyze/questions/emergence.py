"""Does ability come at a threshold of size, or does it scale smoothly: over bases, on accuracy and log-probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from triaxis.analyze.contrasts import Asked, base_of
from triaxis.analyze.estimands import Summary
from triaxis.analyze.evidence import Evidence
from triaxis.analyze.matched import OfBases, evenly, of_bases
from triaxis.analyze.paths import Path
from triaxis.stats.intervals import Floats
from triaxis.stats.threshold import LEAST_SIZES, MARGIN, Threshold, threshold_evidence
from triaxis.types import Decision, Finding, Interval, NotEstimable

QUESTION = "emergence"
PARAMETERS = "model.parameters"
ACCURACY, LIKELIHOOD = "accuracy", "log-probability of the right answer"
ALONE = f"{LIKELIHOOD} was not measured, and accuracy alone may jump where ability does not"
SMALLEST = 0.1  # score; a jump that is worth the name of a threshold
FEW = 3  # levels, below which a column of the bases is no scale to look along


@dataclass(frozen=True)
class Emergence:
    """What accuracy and log-probability after training say of a threshold in size."""

    decision: Decision  # supported: a threshold
    reason: str
    at: Interval | None  # the size, where there is a threshold


def findings(evidence: Evidence) -> list[Finding]:
    """For each group and numeric column of the bases: accuracy after and before training, and log-probability."""
    found = []
    for group, asked in evidence.asked.items():
        for column in columns(asked):
            for what, row in [(w, r) for w in (ACCURACY, LIKELIHOOD) for r in (-1, 0)]:
                if what == LIKELIHOOD and not _has_likelihood(asked, row):
                    continue
                when = "at the last checkpoint" if row else "of the base"
                head = Finding(
                    QUESTION, f"threshold in {column}: {what} {when}", NotEstimable(""), column.partition(".")[2],
                    group=group, factors=(column,), sampled="base", n_units=asked.n_bases, n_runs=len(asked.paths),
                    source=evidence.source, mode=asked.paths[0].mode,
                )  # fmt: skip
                found.append(_finding(head, threshold_over(asked, column, what, row)))
    return found


def threshold_verdict(
    evidence: Evidence, groups: Sequence[str], column: str = PARAMETERS, smallest: float = SMALLEST
) -> Emergence | NotEstimable:
    """A threshold is supported where accuracy after training shows one and log-probability, where it was measured,
    shows it too: else it may be the metric's (arXiv:2304.15004).

    It is refuted where a smooth form fits better and the data exclude a jump of `smallest` at every size. That a
    form with fewer parameters fits better is no evidence against a threshold: with few sizes it always does.
    """
    paths = evidence.pooled(groups)
    if isinstance(paths, NotEstimable):
        return paths
    asked = Asked.of(paths)
    found = threshold_over(asked, column, ACCURACY, -1)
    if isinstance(found, NotEstimable):
        return found
    told = _words(found)
    if found.shape != "threshold":
        told += f"; a jump of up to {100 * found.largest:.0f} points is not excluded"
        refuted = found.shape == "smooth" and found.largest < smallest
        return Emergence("refuted" if refuted else "inconclusive", told, None)
    if not _has_likelihood(asked, -1):
        return Emergence(
            "supported",
            f"{told}; {ALONE}",
            found.at,
        )
    other = threshold_over(asked, column, LIKELIHOOD, -1)
    if isinstance(other, Threshold) and other.shape == "threshold":
        return Emergence("supported", f"{told}; and so in {LIKELIHOOD}", found.at)
    why = other.reason if isinstance(other, NotEstimable) else _words(other)
    return Emergence("inconclusive", f"{told}; {LIKELIHOOD}: {why}, so it may be the metric's", None)


def columns(asked: Asked) -> list[str]:
    """Numeric columns of the model axis with three levels or more, all above 0."""
    names = sorted({name for path in asked.paths for name in path.condition if name.startswith("model.")})
    return [name for name in names if _scale(asked, name)]


def _scale(asked: Asked, name: str) -> bool:
    values = [path.condition.get(name) for path in asked.paths]
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool) and v > 0]
    return len(numbers) == len(values) and len(set(numbers)) >= FEW


def _has_likelihood(asked: Asked, row: int) -> bool:
    return not any(np.isnan(path.measures["log_probability"][row]) for path in asked.paths)


def threshold_over(asked: Asked, column: str, what: str, row: int) -> Threshold | NotEstimable:
    """The evidence over bases: a number a base, the mean of its runs over conditions that all bases have.

    `row` is -1 for the last checkpoint and 0 for the base.
    """
    if not _scale(asked, column):
        return NotEstimable(f"{column} is no number above 0 in every run, with {FEW} levels or more")
    if row == 0 and not all(path.has_base for path in asked.paths):
        return NotEstimable("no step 0 in some runs")
    of_runs = [_number(path, what, row) for path in asked.paths]
    found = of_bases(asked, of_runs, evenly)
    if isinstance(found, NotEstimable):
        return found
    size = {base_of(path): float(path.condition[column]) for path in asked.paths}
    sizes = np.array([size[base] for base in found.bases])
    if (n := len(set(sizes))) < LEAST_SIZES:
        return NotEstimable(f"a threshold needs {LEAST_SIZES} different sizes to be told from smooth scaling, here {n}")
    if np.ptp(found.outcomes.values) == 0:
        return NotEstimable("all bases are alike: nothing changes with size")
    accuracy = what == ACCURACY
    return threshold_evidence(sizes, found.outcomes.values, _known(found, sizes) if accuracy else 0.0, accuracy)


def _number(path: Path, what: str, row: int) -> Summary:
    if what == ACCURACY:
        return Summary(float(path.scores[row]), None if path.x is None else path.x[row])
    value = float(path.measures["log_probability"][row])
    return Summary(value, None if path.x is None else np.full(path.x.shape[1], value))


def _known(found: OfBases, sizes: Floats) -> float:
    """The part of a base's variance that its items explain: half the square of what two neighbours in size differ by,
    item by item and beside their means, the median over pairs (one of them may hold the step). 0 without items.
    """
    outcomes = found.outcomes
    if outcomes.per_item is None or outcomes.strata is None or not outcomes.strata.estimable:
        return 0.0
    z = outcomes.strata.scaled(np.diff(outcomes.per_item[np.argsort(sizes, kind="stable")], axis=0))
    return float(np.median((z * z).sum(axis=1)) / 2)


def _finding(head: Finding, found: Threshold | NotEstimable) -> Finding:
    if isinstance(found, NotEstimable):
        return replace(head, estimate=found)
    head = replace(head, method=f"AICc of smooth against broken forms over {found.n_sizes} sizes, margin {MARGIN:g}")
    if found.shape == "threshold":
        return replace(head, estimate=found.at, note=_words(found))
    return replace(head, estimate=NotEstimable(_words(found)))


def _words(found: Threshold) -> str:
    lead = f"{abs(found.delta_aicc):.1f} of AICc"
    if found.shape == "threshold":
        return f"threshold: {found.broken} beats {found.smooth} by {lead}"
    if found.shape == "smooth":
        return f"no threshold: {found.smooth} beats {found.broken} by {lead}"
    return f"undecided: {found.broken} and {found.smooth} differ by {lead}, less than {MARGIN:g}"
