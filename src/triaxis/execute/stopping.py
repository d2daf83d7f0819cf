"""When a run ends before its last step: rules that look at the selection split alone, as pure functions of what it
said so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Any

from triaxis.records.choices import Selected, Stop
from triaxis.study.axes import NO_RULE, RULE
from triaxis.study.selection import GROUPS_OF
from triaxis.types import Level

LENGTH_STABLE = "length_stable"


@dataclass(frozen=True)
class Rule:
    """A rule of early stopping with its settings."""

    name: str  # "none": the run goes to its end
    patience: int = 2  # checkpoints in a row
    smallest_improvement: float = 0.01
    stable_length: float = 0.05

    @classmethod
    def of(cls, settings: Mapping[str, Level]) -> Rule:
        """From the settings `axis.key` of a condition, what is missing at its default."""
        name = str(settings.get(RULE, NO_RULE))
        told = {key: settings[f"optimization.{key}"] for key in _TYPES if f"optimization.{key}" in settings}
        return cls(name, **{_TYPES[key][0]: _TYPES[key][1](value) for key, value in told.items()})


_TYPES: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "stopping_patience": ("patience", int),
    "smallest_improvement": ("smallest_improvement", float),
    "stable_length": ("stable_length", float),
}


def score_of(scores: Sequence[Selected], by: str) -> float:
    """The mean over the tasks that `by` (a rule, or `selection.best`) looks at, each weighing the same."""
    return fmean(one.score for one in scores if one.group in GROUPS_OF[by])


def best_of(scores: Mapping[int, Sequence[Selected]], by: str) -> int:
    """The checkpoint that is best on the selection split: of equal ones the first."""
    return max(scores, key=lambda step: (score_of(scores[step], by), -step))


def stop_of(rule: Rule, steps: Sequence[int], scores: Mapping[int, Sequence[Selected]]) -> Stop | None:
    """Where a run with these checkpoints ends by its rule; None where it goes on, as far as is known.

    `in_domain` and `out_of_domain`: when `patience` checkpoints in a row were not better than the best so far, by the
    smallest improvement. `length_stable`: when the mean response length has changed by no more than a share of
    itself, `patience` checkpoints in a row, each from the one before. The base is no checkpoint: what counts is what
    training still adds. A stop at the last step is none.
    """
    if rule.name not in GROUPS_OF:
        return None
    judge = _stable if rule.name == LENGTH_STABLE else _no_better
    seen: list[int] = []
    values: list[float] = []
    for step in steps[:-1]:
        if step == 0:
            continue
        if step not in scores:
            return None
        seen.append(step)
        values.append(_value(rule, scores[step]))
        if why := judge(rule, seen, values):
            return Stop(step, rule.name, tuple(seen), tuple(values), why)
    return None


def _value(rule: Rule, scores: Sequence[Selected]) -> float:
    if rule.name != LENGTH_STABLE:
        return score_of(scores, rule.name)
    return fmean(one.response_tokens for one in scores if one.response_tokens is not None)


def _no_better(rule: Rule, steps: Sequence[int], values: Sequence[float]) -> str:
    """Why to stop now; empty where there is no reason to."""
    best, waited = 0, 0  # the place of the last improvement, and the checkpoints since
    for place, value in enumerate(values[1:], start=1):
        # To the last digit: .7 + .01 is not more than .71 by rounding alone.
        better = value > values[best] and value >= values[best] + rule.smallest_improvement - 1e-9
        best, waited = (place, 0) if better else (best, waited + 1)
    if waited < rule.patience:
        return ""
    return (
        f"{rule.name.replace('_', ' ')}: the best of the last {waited} checkpoints is {max(values[-waited:]):.3f}, not "
        f"{rule.smallest_improvement:g} above the {values[best]:.3f} of step {steps[best]}"
    )


def _stable(rule: Rule, steps: Sequence[int], values: Sequence[float]) -> str:
    if len(values) <= rule.patience:
        return ""
    last = values[-rule.patience - 1 :]
    changes = [abs(b - a) / max(a, 1.0) for a, b in pairwise(last)]
    if max(changes) > rule.stable_length + 1e-9:
        return ""
    return (
        f"length stable: {', '.join(f'{value:.1f}' for value in last)} tokens at the last {len(last)} checkpoints, "
        f"each within {100 * rule.stable_length:g} % of the one before"
    )
