"""Would more training help, and would less have said the same: the last doubling of steps, the next, an early end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import log2

from triaxis.analyze.evidence import Evidence
from triaxis.analyze.paths import Path
from triaxis.analyze.run_numbers import Answer, Number, change, conditions, each, head, mean, weighted
from triaxis.stats.forecast import next_change
from triaxis.stats.shape import SMALLEST_CHANGE
from triaxis.types import Finding, Interval, NotEstimable

QUESTION = "growth"
EARLY = 8  # an early end is after this part of the run's steps
NEAREST, FARTHEST = 0.5, 2.0  # doublings between the last checkpoint and the one that its slope is taken from
NO_OCTAVE = "no checkpoint near half of the run's steps: the change over its last doubling can't be told"
NO_EARLY = f"no trained checkpoint within the first 1/{EARLY} of the run's steps"


def octave_row(path: Path) -> int | NotEstimable:
    """The trained checkpoint nearest to half of the last one's steps, in log steps."""
    last = path.steps[-1]
    apart = {row: log2(last / step) for row, step in enumerate(path.steps[:-1]) if step > 0}
    rows = [row for row, doublings in apart.items() if NEAREST <= doublings <= FARTHEST]
    return min(rows, key=lambda row: abs(apart[row] - 1)) if rows else NotEstimable(NO_OCTAVE)


def early_row(path: Path) -> int | NotEstimable:
    """The last trained checkpoint within an eighth of the run's steps."""
    rows = [row for row, step in enumerate(path.steps) if 0 < step <= path.steps[-1] / EARLY]
    return rows[-1] if rows else NotEstimable(NO_EARLY)


def last_doubling(path: Path) -> Number | NotEstimable:
    """The score's change per doubling of steps at the end of a run: points, item by item where there are items."""
    row = octave_row(path)
    if isinstance(row, NotEstimable):
        return row
    number = change(path, len(path.steps) - 1, row)
    if isinstance(number, NotEstimable):
        return number
    return weighted([number], [1 / log2(path.steps[-1] / path.steps[row])])


def late_minus_early(path: Path) -> Number | NotEstimable:
    """The score at the last checkpoint minus that at the early one (`early_row`): points."""
    row = early_row(path)
    return row if isinstance(row, NotEstimable) else change(path, len(path.steps) - 1, row)


def findings(evidence: Evidence) -> list[Finding]:
    """For each group and condition the last doubling, the next one, and the last checkpoint against an early one."""
    found = []
    for asked in evidence.asked.values():
        for first, runs, _ in conditions(asked):
            found += [*_growing(first, runs), _late(first, runs)]
    return found


def _growing(first: Path, runs: Sequence[Path]) -> list[Finding]:
    answer = mean(each(runs, last_doubling))
    row = octave_row(first)
    since = "" if isinstance(row, NotEstimable) else f"step {first.steps[-1]} against step {first.steps[row]}"
    now = answer.told(
        head(QUESTION, "change over the last doubling of steps", "points", first),
        "last checkpoint minus the one near half of its steps, per doubling",
    )
    after = head(QUESTION, "change at the next doubling of steps, if it goes on or levels off", "points", first)
    ahead = answer.told(after, "half of the last doubling's change, which may go on or level off")
    if isinstance(answer.estimate, Interval):
        ahead = replace(ahead, estimate=next_change(answer.estimate.value, answer.variance, answer.df), p=None)
        now = replace(now, note="; ".join(filter(None, [_growth_in_words(answer.estimate), now.note])))
    return [replace(now, contrast=since), replace(ahead, contrast=since)]


def _growth_in_words(estimate: Interval) -> str:
    if estimate.low > 0:
        return "still improving at the end"
    return "falling at the end" if estimate.high < 0 else ""


def _late(first: Path, runs: Sequence[Path]) -> Finding:
    """The difference, and whether a reader of the early checkpoint would have concluded something else."""
    answer = mean(each(runs, late_minus_early))
    quantity = f"score at the last checkpoint minus that within the first 1/{EARLY} of the steps"
    finding = answer.told(head(QUESTION, quantity, "points", first), "last checkpoint minus the early one")
    row = early_row(first)
    if isinstance(row, NotEstimable):
        return finding
    finding = replace(finding, contrast=f"step {first.steps[-1]} - step {first.steps[row]}")
    early, late = (_conclusion(mean(each(runs, partial(change, row=at)))) for at in (row, -1))
    if not early or not late:
        return finding
    told = f"the conclusion is the same: {late}" if early == late else f"the conclusion differs: {early}, then {late}"
    if early != late and _unclear(answer):
        told += "; the difference itself is not clear"
    return replace(finding, note="; ".join(filter(None, [told, finding.note])))


def _conclusion(answer: Answer) -> str:
    """What a gain is taken for, a point being the smallest change of interest; empty where there is no interval."""
    if isinstance(answer.estimate, NotEstimable):
        return ""
    low, high = answer.estimate.low, answer.estimate.high
    if low > 0 or high < 0:
        return "a gain" if low > 0 else "a loss"
    return "no change to speak of" if max(-low, high) < SMALLEST_CHANGE else "neither gain nor loss is clear"


def _unclear(answer: Answer) -> bool:
    """Whether a difference is not clear of 0."""
    return isinstance(answer.estimate, NotEstimable) or answer.estimate.low <= 0 <= answer.estimate.high
