"""How often a model solves the rows of a data set: what its pass rates come to. Who asks the model is `execute`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from triaxis.stats.intervals import t_interval, wilson
from triaxis.stats.reliability import reliability
from triaxis.types import Interval, NotEstimable, Outcome

FEWEST = 2  # rows for an interval


@dataclass(frozen=True)
class Asking:
    """What was asked of which model, and how."""

    model: str
    fingerprint: str
    seed: int
    temperature: float
    samples: int  # a row
    max_new_tokens: int  # a response
    rows: int  # that were read
    unjudged: Mapping[str, int]  # of them, rows without anything to judge a response by, by the reason
    drawn: int  # of the others
    left_out: Mapping[str, int]  # of those drawn, rows that have no pass rate, by the reason


@dataclass(frozen=True)
class PassRates(Asking):
    """A model's pass rates, and what they come to. Every interval is over rows, which are the unit that was drawn."""

    asked: int  # rows with a pass rate
    mean: Interval | NotEstimable
    never_solved: Interval | NotEstimable  # share of rows with no right response among `samples`
    always_solved: Interval | NotEstimable  # share of rows with nothing else
    outcomes: Mapping[str, int]  # responses
    correct: int  # responses that do what is right: on a prompt that must be refused, those that refuse
    reliability: Interval | NotEstimable  # of the rates: the part of their variance that is between rows
    rates: Mapping[str, float]  # by row id: correct / samples


def pass_rates_of(asking: Asking, correct: Mapping[str, int], outcomes: Mapping[Outcome, int]) -> PassRates:
    """What the pass rates come to, from right responses by row id, and all responses by outcome."""
    counts = [correct[id] for id in sorted(correct)]  # sums in one order, whatever that of the rows
    n, k = len(counts), asking.samples
    return PassRates(
        **vars(asking),
        asked=n,
        mean=_mean(np.array(counts, dtype=np.float64) / k),
        never_solved=_share(sum(count == 0 for count in counts), n),
        always_solved=_share(sum(count == k for count in counts), n),
        outcomes={outcome.value: outcomes.get(outcome, 0) for outcome in Outcome},
        correct=sum(counts),
        reliability=reliability(counts, k),
        rates={id: count / k for id, count in correct.items()},
    )


def _mean(rates: np.ndarray) -> Interval | NotEstimable:
    """The mean with its t interval, within 0 to 1. Rows that all have the same rate show no spread, and t would claim
    certainty: there it is Wilson's, with one trial a row, the widest that rates of that mean can need."""
    if len(rates) < FEWEST:
        return _few(len(rates))
    value = float(rates.mean())
    if np.ptp(rates) == 0:
        return wilson(value, len(rates))
    wide = t_interval(value, float(rates.var(ddof=1)) / len(rates), len(rates) - 1)
    return Interval(value, max(wide.low, 0.0), min(wide.high, 1.0))


def _share(rows: int, n: int) -> Interval | NotEstimable:
    return wilson(rows / n, n) if n >= FEWEST else _few(n)


def _few(n: int) -> NotEstimable:
    return NotEstimable(f"the model was asked {n} row{'s' if n != 1 else ''}; {FEWEST} are needed")
