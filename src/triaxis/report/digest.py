"""What is shown first: effects paired over scales and sorted; and what could not be estimated, counted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from triaxis.report.names import naming
from triaxis.report.words import (
    ESTIMAND_WORDS,
    condition_word,
    group_word,
    has_width,
    modes_in_order,
    short_names,
)
from triaxis.types import Analysis, Effect, GroupSummary, Interval, NotEstimable, Scale, Trajectory

OUT_OF_DOMAIN = ("near_ood", "far_ood")
CLEAR_P = 0.05  # adjusted; below it an effect is called clear of zero


_Head = tuple[str, int | None, str, tuple[str, ...], str, str, str]


@dataclass(frozen=True)
class EffectRow:
    """One effect on both scales, side by side."""

    estimand: str
    step: int | None
    group: str
    factors: tuple[str, ...]
    contrast: str
    source: str
    mode: str
    scales: Mapping[Scale, Effect]

    @property
    def lead(self) -> Effect | None:
        """The effect that the row is sorted by: in points where that is estimable, else in logits."""
        for scale in ("points", "logit"):
            effect = self.scales.get(scale)
            if effect is not None and _is_number(effect.estimate):
                return effect
        return None

    @property
    def estimand_word(self) -> str:
        """The estimand in words, with the step where it has one."""
        at = "" if self.step is None else f" (step {self.step})"
        return ESTIMAND_WORDS.get(self.estimand, self.estimand) + at

    def distinct(self, field: str) -> str:
        """A field of the effects of the row, said once where both scales agree."""
        values = (str(getattr(effect, field)) for effect in self.scales.values())
        return "; ".join(dict.fromkeys(value for value in values if value))


@dataclass(frozen=True)
class Missing:
    """What could not be estimated for one reason: how many of each kind, and each one by name."""

    reason: str
    kinds: Mapping[str, tuple[str, ...]]  # kind -> where

    @property
    def n(self) -> int:
        """How many quantities this reason takes away."""
        return sum(map(len, self.kinds.values()))


def _is_number(finding: Interval | NotEstimable) -> bool:
    return isinstance(finding, Interval) and math.isfinite(finding.value)


def excludes_zero(finding: Interval) -> bool:
    """Whether an interval that has a width lies on one side of zero."""
    return has_width(finding) and (finding.low > 0 or finding.high < 0)


def is_clear(effect: Effect) -> bool:
    """Whether an effect is clear of zero: by its adjusted p where there is one, else by its interval."""
    if not isinstance(effect.estimate, Interval):
        return False
    if effect.p_adjusted is not None:
        return effect.p_adjusted < CLEAR_P
    return excludes_zero(effect.estimate)


def effect_rows(effects: Iterable[Effect]) -> list[EffectRow]:
    """Effects with points and logits of the same contrast in one row, in the order in which they come."""
    rows: dict[_Head, dict[Scale, Effect]] = {}
    for effect in effects:
        rows.setdefault(_head(effect), {})[effect.scale] = effect
    return [EffectRow(*head, scales) for head, scales in rows.items()]


def _head(effect: Effect) -> _Head:
    return effect.estimand, effect.step, effect.group, effect.factors, effect.contrast, effect.source, effect.mode


def clearest_first(rows: Iterable[EffectRow]) -> list[EffectRow]:
    """The estimable rows, sorted by adjusted p, then by |value| / half width, then by |value|."""
    return sorted((row for row in rows if row.lead is not None), key=_clarity)


def _clarity(row: EffectRow) -> tuple[float, float, float]:
    effect = row.lead
    if effect is None or not isinstance(effect.estimate, Interval):
        return math.inf, 0.0, 0.0
    estimate = effect.estimate
    half = (estimate.high - estimate.low) / 2 if has_width(estimate) else math.inf
    adjusted = math.inf if effect.p_adjusted is None else effect.p_adjusted
    return adjusted, -abs(estimate.value) / half, -abs(estimate.value)


def contrast_word(row: EffectRow, factors: Iterable[str]) -> str:
    """The factors of an effect in words: "learning_rate", "learning_rate × noise_rate"."""
    names = short_names([*factors, *(name for name in row.factors if name not in set(factors))])
    return " × ".join(names[name] for name in row.factors)


def missing(analysis: Analysis) -> list[Missing]:
    """Everything that is not estimable, by reason; the reasons that take away effects and gains come first."""
    reasons: dict[str, dict[str, list[str]]] = {}
    for kind, where, reason in _not_estimable(analysis):
        reasons.setdefault(reason or "no reason given", {}).setdefault(kind, []).append(where)
    return [Missing(reason, {kind: tuple(where) for kind, where in kinds.items()}) for reason, kinds in reasons.items()]


def _not_estimable(analysis: Analysis) -> Iterator[tuple[str, str, str]]:
    """Each as (what it is, where, why)."""
    names = naming(analysis)
    for effect in analysis.effects:
        if reason := _reason(effect.estimate):
            row = EffectRow(*_head(effect), {effect.scale: effect})
            what = f"{contrast_word(row, analysis.factors)} {effect.contrast}"
            where = ", ".join(part for part in (row.estimand_word, effect.scale, names.basis(effect)) if part)
            yield "effect", f"{group_word(effect.group)}: {what} ({where})", reason
    for asked in analysis.findings:
        if reason := _reason(asked.estimate):
            about = " × ".join(short_names(asked.factors).values())
            what = f"{asked.quantity}{': ' + about if about else ''} {asked.contrast}".strip()
            within = f" ({condition_word(asked.within, list(asked.within))})" if asked.within else ""
            yield asked.question, f"{group_word(asked.group)}: {what}{within}", reason
    for summary in analysis.summaries:
        where = f"{group_word(summary.group)}: {names.condition(summary)}"
        for kind, finding in (("gain", summary.gain), ("best gain", summary.best_gain)):
            if reason := _reason(finding):
                yield kind, where, reason
    for trajectory in (*analysis.condition_trajectories, *analysis.group_trajectories, *analysis.trajectories):
        for kind, reason in _unknown_parts(trajectory):
            yield kind, names.trajectory(trajectory), reason


def _unknown_parts(trajectory: Trajectory) -> Iterator[tuple[str, str]]:
    parts: list[tuple[str, object]] = [
        ("net gain", trajectory.net_gain),
        ("regained ground", trajectory.regain_probability),
    ]
    if isinstance(trajectory.dip, NotEstimable):
        parts.append(("dip", trajectory.dip))
    else:
        parts += [("dip depth", trajectory.dip.depth), ("truncated part of a dip", trajectory.dip.truncation_share)]
    for kind, part in parts:
        if reason := _reason(part):
            yield kind, reason


def _reason(finding: object) -> str:
    """The reason why a finding is not there; empty where it is. A value that is not a number counts as missing."""
    if isinstance(finding, NotEstimable):
        return finding.reason or "no reason given"
    value = finding.value if isinstance(finding, Interval) else finding
    return "the estimate is not a finite number" if isinstance(value, float) and not math.isfinite(value) else ""


def main_mode(analysis: Analysis) -> str:
    """The mode that is shown first: the default where it was evaluated."""
    found = [item.mode for item in analysis.summaries] + [item.mode for item in analysis.condition_trajectories]
    modes = modes_in_order(found)
    return modes[0] if modes else "default"


def n_runs(analysis: Analysis) -> int:
    """How many runs were followed."""
    followed = (*analysis.trajectories, *analysis.group_trajectories)
    return len({(trajectory.source, trajectory.run) for trajectory in followed if trajectory.run})


def last_summaries(analysis: Analysis, groups: Iterable[str]) -> list[GroupSummary]:
    """The conditions that were trained, in these groups, in the main mode and the order of the design."""
    wanted, mode, names = list(groups), main_mode(analysis), naming(analysis)
    found = [item for item in analysis.summaries if item.group in wanted and item.step > 0 and item.mode == mode]
    return sorted(found, key=lambda item: (wanted.index(item.group), names.order(item)))


def best_over_last(summary: GroupSummary) -> float | None:
    """How far the best checkpoint lies above the last (fraction of 1), by the estimates; None where one is missing."""
    if not isinstance(summary.gain, Interval) or not isinstance(summary.best_gain, Interval):
        return None
    return summary.best_gain.value - summary.gain.value
