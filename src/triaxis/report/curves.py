"""How trajectories are drawn, whatever draws them: the look of a line, the log step axis, room for labels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from triaxis.report import words
from triaxis.report.names import naming
from triaxis.types import Analysis, Level, Trajectory

# Okabe and Ito's palette without its yellow, which is too light on white; safe for the common colour blindnesses.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D")
RAMP = (
    "#00204D",
    "#2C3E6E",
    "#575D6D",
    "#7D7C78",
    "#A59C74",
    "#C9AE3C",
    "#E0B400",
)  # cividis, without its lightest end
DASHES = ("solid", "dash", "dot", "dashdot")
MARKERS = ("circle", "square", "diamond", "triangle-up", "x", "cross")
MAX_BANDS = 12  # series in a figure; above it the intervals are left to the hover text and the tables
MAX_PHASES = 8  # series in a panel whose phase is written at its end

Key = tuple[object, ...]
Factors = Mapping[str, Sequence[Level]]


@dataclass(frozen=True)
class Style:
    """The look of one condition's line."""

    color: str
    dash: str = "solid"
    marker: str = "circle"


@dataclass(frozen=True)
class Cast:
    """The conditions in a set of trajectories: the name and the look of each, and how to read the looks."""

    names: Mapping[Key, str]
    styles: Mapping[Key, Style]
    legend: str


def identity(trajectory: Trajectory) -> Key:
    """What makes two trajectories the same condition: its levels, its base and its source."""
    levels = tuple(sorted((name, repr(value)) for name, value in trajectory.condition.items()))
    return levels, trajectory.base, trajectory.source


def cast(trajectories: Iterable[Trajectory], analysis: Analysis) -> Cast:
    """Name and dress every condition, in the order in which they come."""
    first: dict[Key, Trajectory] = {}
    for trajectory in trajectories:
        first.setdefault(identity(trajectory), trajectory)
    called = naming(analysis)
    names = {key: called.condition(one) for key, one in first.items()}
    if len(set(names.values())) < len(names):  # the levels alone don't tell two conditions apart
        names = {key: _joined(names[key], one.base) for key, one in first.items()}
    styles, legend = _styles(first, {name: analysis.factors[name] for name in called.factors})
    return Cast(names, styles, legend)


def _joined(name: str, more: str) -> str:
    return f"{name}, {more}" if more and more not in name else name


def _styles(first: Mapping[Key, Trajectory], factors: Factors) -> tuple[dict[Key, Style], str]:
    """By factors with few levels where they tell the conditions apart; else a colour each; else as far as it goes."""
    varied = sorted((name for name in factors if len(factors[name]) > 1), key=lambda name: -len(factors[name]))
    fitting = [name for name, most in zip(varied, (len(PALETTE), len(DASHES), len(MARKERS)), strict=False)
               if len(factors[name]) <= most]  # fmt: skip
    by_factor = _by_factor(first, {name: factors[name] for name in fitting}) if fitting == varied[:3] else None
    if by_factor and len(set(by_factor[0].values())) == len(first):
        return by_factor
    if len(first) <= len(PALETTE):
        return {key: Style(PALETTE[index]) for index, key in enumerate(first)}, "Colour: condition."
    return by_factor or _by_ramp(first, factors)


def _by_factor(first: Mapping[Key, Trajectory], factors: Factors) -> tuple[dict[Key, Style], str] | None:
    """The first factor as colour, the second as dash, the third as marker."""
    if not factors:
        return None
    styles: dict[Key, Style] = {}
    for key, one in first.items():
        at = [_index(levels, one.condition.get(name)) or 0 for name, levels in factors.items()] + [0, 0]
        styles[key] = Style(PALETTE[at[0]], DASHES[at[1]], MARKERS[at[2]])
    told = zip(("Colour", "Dash", "Marker"), words.short_names(factors).values(), strict=False)
    return styles, ". ".join(f"{look}: {name}" for look, name in told) + "."


def _index(levels: Sequence[Level], level: Level | None) -> int | None:
    return levels.index(level) if level in levels else None


def _by_ramp(first: Mapping[Key, Trajectory], factors: Factors) -> tuple[dict[Key, Style], str]:
    """Too many conditions for a colour each: a ramp over the numeric factor with the most levels, dark is low."""
    numeric = {
        name: sorted(level for level in levels if isinstance(level, int | float))
        for name, levels in factors.items()
        if len(levels) > 1 and all(isinstance(level, int | float) and not isinstance(level, bool) for level in levels)
    }
    if not numeric:
        return dict.fromkeys(first, Style(PALETTE[0])), "Too many conditions for a colour each: see the hover text."
    factor = max(numeric, key=lambda name: len(numeric[name]))
    levels = numeric[factor]
    styles = {}
    for key, one in first.items():
        at = _index(levels, one.condition.get(factor)) or 0
        styles[key] = Style(RAMP[round(at / max(len(levels) - 1, 1) * (len(RAMP) - 1))])
    return styles, f"Colour: {words.short_names(factors)[factor]}, from low (dark blue) to high (yellow)."


@dataclass(frozen=True)
class StepAxis:
    """Optimizer steps on a log2 axis, with step 0 set apart on the left."""

    zero: float
    last: float
    ticks: tuple[tuple[float, str], ...]

    def position(self, step: int) -> float:
        """Where a step lies on the axis."""
        return math.log2(step) if step > 0 else self.zero


def step_axis(steps: Iterable[int], most: int = 7) -> StepAxis:
    """An axis over these steps with at most about `most` ticks; the first, the last and step 0 always have one."""
    positive = sorted({step for step in steps if step > 0}) or [1]
    low, high = math.log2(positive[0]), math.log2(positive[-1])
    zero = low - max(0.9, 0.14 * (high - low))
    kept = [positive[-1]]
    for step in reversed(positive[:-1]):
        if math.log2(kept[-1]) - math.log2(step) >= (high - zero) / most and math.log2(step) - low >= 0:
            kept.append(step)
    ticks = ((zero, "0"), *((math.log2(step), f"{step:,}") for step in reversed(kept)))
    return StepAxis(zero, high, ticks)


def spread(values: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move labels apart to at least `gap` where there is room, staying near `values` and within [low, high]."""
    order = sorted(range(len(values)), key=lambda index: values[index])
    gap = min(gap, (high - low) / max(len(values) - 1, 1))
    placed = list(values)
    floor = low
    for index in order:
        placed[index] = max(values[index], floor)
        floor = placed[index] + gap
    ceiling = high
    for index in reversed(order):
        placed[index] = min(placed[index], ceiling)
        ceiling = placed[index] - gap
    return placed
