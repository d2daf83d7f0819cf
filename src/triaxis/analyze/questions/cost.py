"""What a gain in reasoning costs in safety, general ability and length; and which checkpoints no other one beats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from triaxis.analyze.contrasts import Asked
from triaxis.analyze.evidence import Evidence
from triaxis.analyze.paths import Path
from triaxis.analyze.questions.front import OOD, front_findings
from triaxis.analyze.questions.length import LENGTH, as_ratio, measure_change
from triaxis.analyze.run_numbers import Answer, Number, change, conditions, each, head, mean, ratio, weighted
from triaxis.types import Finding, Interval, NotEstimable

QUESTION = "cost"
OTHER_ENDS = "not scored at the last checkpoint of every run"
PRICES = ("safety", "over_refusal", "general")  # what may be paid with


@dataclass(frozen=True, eq=False)
class Priced:
    """A condition's runs on the tasks that gain, and on what may pay for it, run by run."""

    gains: Sequence[Path]
    prices: Mapping[str, Sequence[Path] | NotEstimable]


def findings(evidence: Evidence) -> list[Finding]:
    """For each condition the gain, what was paid for it, and the rate of exchange; then the front of checkpoints."""
    found: list[Finding] = []
    priced = [group for group in PRICES if group in evidence.asked]
    for gaining in (["in_domain"], list(OOD)):
        paths = evidence.pooled(gaining)
        if isinstance(paths, NotEstimable) or not paths:
            continue
        for _, runs, _ in conditions(Asked.of(paths)):
            found += _of_condition(_priced(runs, priced, evidence))
    return [*found, *front_findings(evidence)]


def _priced(runs: Sequence[Path], groups: Sequence[str], evidence: Evidence) -> Priced:
    prices: dict[str, Sequence[Path] | NotEstimable] = {}
    for group in groups:
        by_run = {path.run: path for path in evidence.asked[group].paths}
        alike = all(path.run in by_run and by_run[path.run].end == path.end for path in runs)
        prices[group] = [by_run[path.run] for path in runs] if alike else NotEstimable(f"{group}: {OTHER_ENDS}")
    return Priced(runs, prices)


def gain(path: Path) -> Number | NotEstimable:
    """The gain at the last checkpoint, points."""
    return change(path, -1)


def _of_condition(own: Priced) -> list[Finding]:
    first = own.gains[0]
    gains = each(own.gains, gain)
    found = [mean(gains).told(head(QUESTION, "gain", "points", first), "gain at the last checkpoint")]
    for group, paths in own.prices.items():
        paid = paths if isinstance(paths, NotEstimable) else each(paths, gain)
        quantity = f"change of {group} beside it"
        found.append(mean(paid).told(head(QUESTION, quantity, "points", first), "gain at the last checkpoint"))
        rate = head(QUESTION, f"points of {group} lost per point gained", "ratio", first)
        found.append(_rate(gains, paid).told(rate, "ratio of means, Fieller"))
    if not np.isnan(first.measures[LENGTH]).any():
        tokens = as_ratio(mean(each(own.gains, partial(measure_change, name=LENGTH))))
        finding = head(QUESTION, "response tokens against the base's", "ratio", first)
        found.append(tokens.told(finding, "log2 of the mean response tokens"))
    return found


def _rate(gains: list[Number] | NotEstimable, paid: list[Number] | NotEstimable) -> Answer:
    if isinstance(gains, NotEstimable):
        return Answer(gains)
    if isinstance(paid, NotEstimable):
        return Answer(paid)
    total = mean(gains).estimate
    if isinstance(total, Interval) and total.high < 0:
        return Answer(NotEstimable("the gain is a loss: nothing was gained to pay for"), n_runs=len(gains))
    return ratio([weighted([number], [-1.0]) for number in paid], gains, "the gain")
