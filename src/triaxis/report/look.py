"""The look of conditions: which colour, dash and marker each has, what these say, and how they are drawn as SVG."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from triaxis.report import words
from triaxis.report.names import naming
from triaxis.types import Analysis, Level, Trajectory

# Okabe and Ito's palette without its yellow, which is too light on white; safe for the common colour blindnesses.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D")
RAMP = ("#00204D", "#2C3E6E", "#575D6D", "#7D7C78", "#A59C74", "#C9AE3C", "#E0B400")  # cividis without its light end
DASHES = {"solid": "", "dash": "7 4", "dot": "2 3.5", "dashdot": "8 3.5 2 3.5"}  # name -> SVG dash array
MARKERS = ("circle", "square", "diamond", "triangle-up", "x", "cross")
GREY = "#57606a"
MAX_BANDS = 12  # series in a figure; above it the intervals are left to the hover text and the tables
MAX_PHASES = 8  # series in a panel whose phase is written at its end
FEW = 4  # series up to which bands are drawn at full strength

Key = tuple[object, ...]
Factors = Mapping[str, Sequence[Level]]


@dataclass(frozen=True)
class Style:
    """The look of a line; without a marker or a dash it shows only the rest."""

    color: str
    dash: str | None = "solid"
    marker: str | None = "circle"


@dataclass(frozen=True)
class Legend:
    """How the looks are to be read: a sentence, or for each factor the look of its levels."""

    text: str
    factors: tuple[tuple[str, tuple[tuple[str, Style], ...]], ...] = ()  # name, then (level, look)


@dataclass(frozen=True)
class Cast:
    """The conditions in a set of trajectories: the name and the look of each, and how to read the looks."""

    names: Mapping[Key, str]
    styles: Mapping[Key, Style]
    legend: Legend


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


def _styles(first: Mapping[Key, Trajectory], factors: Factors) -> tuple[dict[Key, Style], Legend]:
    """By factors with few levels where they tell the conditions apart; else a colour each; else as far as it goes."""
    varied = sorted((name for name in factors if len(factors[name]) > 1), key=lambda name: -len(factors[name]))
    room = (len(PALETTE), len(DASHES), len(MARKERS))
    fits = bool(varied) and all(len(factors[name]) <= most for name, most in zip(varied, room, strict=False))
    by_factor = _by_factor(first, factors, varied) if fits else None
    if by_factor and len(set(by_factor[0].values())) == len(first):
        return by_factor
    if len(first) <= len(PALETTE):
        return {key: Style(PALETTE[index]) for index, key in enumerate(first)}, Legend("Colour: condition.")
    return by_factor or _by_ramp(first, factors)


def _by_factor(
    first: Mapping[Key, Trajectory], factors: Factors, varied: Sequence[str]
) -> tuple[dict[Key, Style], Legend]:
    """The factor with the most levels as colour, the next as dash, the third as marker; the others don't show."""
    shown, dashes = varied[:3], tuple(DASHES)
    styles: dict[Key, Style] = {}
    for key, one in first.items():
        at = [_index(factors[name], one.condition.get(name)) or 0 for name in shown] + [0, 0]
        styles[key] = Style(PALETTE[at[0]], dashes[at[1]], MARKERS[at[2]])
    looks = (
        [Style(color, "solid", None) for color in PALETTE],
        [Style(GREY, dash, None) for dash in dashes],
        [Style(GREY, None, marker) for marker in MARKERS],
    )
    names = words.short_names(factors)
    rows = tuple(
        (names[name], tuple((words.level(level), look) for level, look in zip(factors[name], own, strict=False)))
        for name, own in zip(shown, looks, strict=False)
    )
    rest = [names[name] for name in varied[3:]]
    return styles, Legend(f"Not to be seen in the lines: {', '.join(rest)}." if rest else "", rows)


def _index(levels: Sequence[Level], level: Level | None) -> int | None:
    return levels.index(level) if level in levels else None


def _by_ramp(first: Mapping[Key, Trajectory], factors: Factors) -> tuple[dict[Key, Style], Legend]:
    """Too many conditions for a colour each: a ramp over the numeric factor with the most levels, dark is low."""
    numeric = {
        name: sorted(level for level in levels if isinstance(level, int | float))
        for name, levels in factors.items()
        if len(levels) > 1 and all(isinstance(level, int | float) and not isinstance(level, bool) for level in levels)
    }
    if not numeric:
        return dict.fromkeys(first, Style(PALETTE[0])), Legend("Too many conditions for a colour each.")
    factor = max(numeric, key=lambda name: len(numeric[name]))
    levels = numeric[factor]
    styles = {}
    for key, one in first.items():
        at = _index(levels, one.condition.get(factor)) or 0
        styles[key] = Style(RAMP[round(at / max(len(levels) - 1, 1) * (len(RAMP) - 1))])
    name = words.short_names(factors)[factor]
    return styles, Legend(
        f"Colour: {name}, from {words.level(levels[0])} (dark blue) to {words.level(levels[-1])} (yellow)."
    )


def band_opacity(n: int) -> float:
    """How strong the interval bands are where `n` conditions share a figure."""
    return 0.14 if n <= FEW else 0.07


def stroke(style: Style) -> str:
    """The dash of a line as SVG attributes."""
    dashes = DASHES.get(style.dash or "solid", "")
    return f' stroke-dasharray="{dashes}"' if dashes else ""


def swatch(x: float, y: float, style: Style) -> str:
    """A piece of line with its marker, 30 pixels wide from `x`, as SVG."""
    line = (
        ""
        if style.dash is None
        else f'<path d="M{x:.1f} {y:.1f}h30" stroke="{style.color}" stroke-width="2.2"{stroke(style)}/>'
    )
    return line + marker(x + 15, y, style)


def marker(x: float, y: float, style: Style, size: float = 3.0) -> str:
    """A mark as an SVG element."""
    if style.marker is None:
        return ""
    if style.marker == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}" fill="{style.color}"/>'
    if style.marker in ("x", "cross"):
        turn = f' transform="rotate(45 {x:.1f} {y:.1f})"' if style.marker == "x" else ""
        path = f"M{x - size - 1:.1f} {y:.1f}h{2 * size + 2:.1f}M{x:.1f} {y - size - 1:.1f}v{2 * size + 2:.1f}"
        return f'<path d="{path}" stroke="{style.color}" stroke-width="2"{turn}/>'
    corners = {
        "square": ((-1, -1), (1, -1), (1, 1), (-1, 1)),
        "diamond": ((0, -1.4), (1.4, 0), (0, 1.4), (-1.4, 0)),
        "triangle-up": ((0, -1.3), (1.25, 1), (-1.25, 1)),
    }[style.marker]
    path = " ".join(f"{x + size * dx:.1f},{y + size * dy:.1f}" for dx, dy in corners)
    return f'<polygon points="{path}" fill="{style.color}"/>'
