"""Response length in training: how far it surges, whether it comes back, and whether that goes with the dip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import log, log2

import numpy as np

from triaxis.analyze.dense import VARIANCES
from triaxis.analyze.evidence import Evidence
from triaxis.analyze.paths import NO_BASE, Path
from triaxis.analyze.run_numbers import Answer, Number, conditions, head, mean
from triaxis.analyze.trajectories import Noises, condition_trajectory, seed_noises
from triaxis.stats.intervals import Floats
from triaxis.stats.shape import SMALLEST_CHANGE
from triaxis.types import Dip, Finding, Interval, NotEstimable

QUESTION = "length"
LENGTH = "response_tokens"
NO_LENGTHS = "response_tokens were not recorded at every checkpoint"
IN_LOG = "log2 of the mean response tokens"
DIPPED = 0.5  # probability of a dip, above which its timing is asked for
NEAR_DIP = 1.5  # doublings of steps within which a run's own bottom is looked for: a late fall may be lower still


def measure_change(path: Path, name: str) -> Number | NotEstimable:
    """Doublings of a count from the base to the last checkpoint: log2 of the ratio, with the error of either mean."""
    if not path.has_base:
        return NotEstimable(NO_BASE)
    if len(path.steps) < 2:
        return NotEstimable("no trained checkpoint")
    base, last = (float(path.measures[name][row]) for row in (0, -1))
    if np.isnan(base) or np.isnan(last):
        return NotEstimable(f"{name} was not measured at the base and at the last checkpoint")
    if base <= 0 or last <= 0:
        return NotEstimable(f"{name} is 0 at the base or at the last checkpoint: no ratio")
    own, of_base = (log_variance(path, name, row) for row in (-1, 0))
    return Number(log2(last / base), own=own, base=of_base)


def log_variance(path: Path, name: str, row: int) -> float:
    """The variance of log2 of a mean count at one checkpoint, over items (delta method); NaN where it isn't known."""
    return float(path.measures[VARIANCES[name]][row]) / (float(path.measures[name][row]) * log(2)) ** 2


def doublings(path: Path) -> Floats:
    """How far along each checkpoint is, in doublings of steps: log2(1 + step / first trained step)."""
    steps = np.asarray(path.steps, dtype=np.float64)
    return np.asarray(np.log2(1 + steps / steps[1]), dtype=np.float64)


def lengths(path: Path) -> Floats | NotEstimable:
    """log2 of the mean response tokens at each checkpoint."""
    tokens = path.measures[LENGTH]
    if not path.has_base:
        return NotEstimable(NO_BASE)
    if len(path.steps) < 3:
        return NotEstimable("a surge needs two trained checkpoints")
    return NotEstimable(NO_LENGTHS) if np.isnan(tokens).any() or (tokens <= 0).any() else np.log2(tokens)


def surge_row(path: Path, of: Floats) -> int:
    """The checkpoint at the end of the steepest rise of log length per doubling of steps."""
    return 1 + int((np.diff(of) / np.diff(doublings(path))).argmax())


def findings(evidence: Evidence) -> list[Finding]:
    """For each group and condition the surge, what is left of it at the end, and when it comes beside the dip."""
    found = []
    for asked in evidence.asked.values():
        if all(np.isnan(path.measures[LENGTH]).all() for path in asked.paths):
            continue
        noises = seed_noises(asked.paths)
        for first, runs, _ in conditions(asked):
            found += _of_condition(first, runs, noises)
    return found


def _of_condition(first: Path, runs: Sequence[Path], noises: Noises) -> list[Finding]:
    rows = [lengths(path) for path in runs]
    bad = next((row for row in rows if isinstance(row, NotEstimable)), None)
    if bad is not None:
        return [replace(head(QUESTION, "longest responses against the base's", "ratio", first), estimate=bad)]
    curves = np.array([row for row in rows if not isinstance(row, NotEstimable)])
    peaks = _peaks(curves)
    chosen = list(zip(runs, curves, peaks.tolist(), strict=True))
    surge = mean([_apart(path, curve, row, 0) for path, curve, row in chosen])
    shrunk = mean([_apart(path, curve, -1, row) for path, curve, row in chosen])
    if (peaks == len(first.steps) - 1).all():
        shrunk = replace(shrunk, estimate=NotEstimable("the longest are the last: nothing comes after them"), p=None)
    note = "one seed: the longest is chosen on the run that it is taken from" if len(runs) == 1 else ""
    found = []
    for quantity, answer in (
        ("longest responses against the base's", surge),
        ("last responses against the longest", shrunk),
    ):
        finding = replace(head(QUESTION, quantity, "ratio", first), note=note)
        finding = as_ratio(answer).told(finding, f"{IN_LOG}; longest checkpoint chosen on other seeds")
        found.append(finding)
    steepest = _steepest(first, curves)
    found[0] = replace(found[0], contrast=steepest)
    return [*found, *_timing(first, runs, curves, noises, surge)]


def _apart(path: Path, curve: Floats, row: int, since: int) -> Number:
    """Doublings of length between two checkpoints of a run."""
    late, early = (log_variance(path, LENGTH, at) for at in (row, since))
    own, base = (late, early) if since == 0 else (late + early, 0.0)
    return Number(float(curve[row] - curve[since]), own=own, base=base)


def _steepest(first: Path, curves: Floats) -> str:
    row = surge_row(first, curves.mean(axis=0))
    alike = sum(surge_row(first, curve) == row for curve in curves)
    return f"steepest from step {first.steps[row - 1]} to step {first.steps[row]}, in {alike} of {len(curves)} runs"


def _peaks(curves: Floats) -> np.ndarray:
    """The trained checkpoint with the longest responses, for each run chosen on the half of the others that follow it
    in a ring: the highest of several would keep its luck.
    """
    runs = len(curves)
    others = [
        [(at + k) % runs for k in range(1, max(1, (runs - 1) // 2) + 1)] if runs > 1 else [0] for at in range(runs)
    ]
    return np.array([1 + int(curves[rows].mean(axis=0)[1:].argmax()) for rows in others])


def as_ratio(answer: Answer) -> Answer:
    """An answer in doublings as one in ratios."""
    if isinstance(answer.estimate, NotEstimable):
        return answer
    value, low, high = (
        2.0 ** min(at, 1000.0) for at in (answer.estimate.value, answer.estimate.low, answer.estimate.high)
    )
    return replace(answer, estimate=Interval(value, low, high))


def _timing(first: Path, runs: Sequence[Path], curves: Floats, noises: Noises, length: Answer) -> list[Finding]:
    """Doublings of steps from the dip's bottom to the steepest growth of length: below 0 the surge comes first.

    Where lengths only wander, the place of their steepest growth is chance: it is asked for a surge that is there.
    """
    dip = _dip(first, runs, noises)
    if dip is None:
        return []
    finding = head(QUESTION, "doublings of steps from the dip's bottom to the surge in length", "doublings", first)
    if isinstance(dip, NotEstimable):
        return [replace(finding, estimate=dip)]
    if not isinstance(length.estimate, Interval) or length.estimate.low <= 0:
        return [replace(finding, estimate=NotEstimable("no surge: the longest responses are not clear of the base's"))]
    at, numbers, apart = doublings(first), [], []
    for path, curve in zip(runs, curves, strict=True):
        bottom, surge = _bottom(path, dip), surge_row(path, curve)
        numbers.append(Number(float(at[surge] - at[bottom])))
        apart.append(surge - bottom)
    at_once, before, after = (sum(np.sign(a) == sign for a in apart) for sign in (0, -1, 1))
    told = f"the surge is at the bottom's checkpoint in {at_once} of {len(runs)} runs, before it in {before}"
    told += f", after it in {after}"
    answer = mean(numbers)
    if len(set(apart)) == 1 and len(runs) > 1:
        why = "the runs agree to the checkpoint: the distance is known to one interval between checkpoints, no closer"
        answer = replace(answer, estimate=NotEstimable(why), p=None)
    return [answer.told(replace(finding, note=told), "steepest rise minus lowest score, a run each")]


def _bottom(path: Path, dip: Dip) -> int:
    """The run's own lowest checkpoint near the dip of its condition."""
    at = doublings(path)
    apart = np.abs(at - at[path.steps.index(dip.step or 0)])
    scores = np.where(apart <= NEAR_DIP, path.scores, np.inf)
    return 1 + int(scores[1:].argmin())


def _dip(first: Path, runs: Sequence[Path], noises: Noises) -> Dip | NotEstimable | None:
    """The condition's dip; None where the mean score never falls below the base, which needs no model of its shape."""
    scores = np.mean([path.scores for path in runs], axis=0)
    if scores[1:].min() > scores[0] - SMALLEST_CHANGE:
        return None
    dip = condition_trajectory(runs, noises.of(first)).dip
    if isinstance(dip, Dip) and dip.probability <= DIPPED:
        return NotEstimable(f"no dip: its probability is at most {DIPPED:g}")
    return dip
