"""A small picture of trajectories as SVG text, written by hand: for a README, a slide, a mail."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from triaxis.report import words
from triaxis.report.curves import StepAxis, spread, step_axis
from triaxis.report.digest import main_mode
from triaxis.report.look import (
    MAX_BANDS,
    MAX_PHASES,
    Cast,
    Legend,
    Style,
    band_opacity,
    cast,
    identity,
    marker,
    stroke,
    swatch,
)
from triaxis.report.names import naming
from triaxis.types import Analysis, Trajectory, TriaxisError

WIDTH = 800  # pixels
INK, SOFT, GRID = "#1f2328", "#57606a", "#e6e8eb"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def trajectory_svg(analysis: Analysis, groups: Sequence[str] = ("in_domain", "near_ood", "far_ood")) -> str:
    """Trajectories of the conditions in these task groups, with their 95 % intervals, as the text of an SVG file.

    A panel a group, a line a condition, log steps with step 0 set apart. Groups that were not measured are left out;
    raises TriaxisError where none was.
    """
    measured = [one for one in analysis.condition_trajectories or analysis.group_trajectories if one.steps]
    held = sorted(measured, key=naming(analysis).order)
    mode = main_mode(analysis)
    panels = [(group, [one for one in held if one.group == group and one.mode == mode]) for group in groups]
    panels = [(group, found) for group, found in panels if found]
    if not panels:
        known = ", ".join(words.in_order(one.group for one in held)) or "none"
        raise TriaxisError(f"no trajectory in the groups {', '.join(groups)}: name one of those measured ({known})")
    shown = [one for _, found in panels for one in found]
    who = cast(shown, analysis)
    axis = step_axis((step for one in shown for step in one.steps), most=5 if len(panels) > 2 else 7)
    legend, legend_height = _legend(who)
    top, panel_height = legend_height + 40, 220
    height = top + panel_height + 52
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'font-family="{FONT}" font-size="12" fill="{INK}" role="img" aria-label="Accuracy over training steps">',
        f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#ffffff"/>',
        *legend,
    ]
    left, right, gap = 46, 10, 22
    width = (WIDTH - left - right - gap * (len(panels) - 1)) / len(panels)
    for index, (group, found) in enumerate(panels):
        room = 78 if len(found) <= MAX_PHASES else 14
        frame = _Frame(left + index * (width + gap), top, width, panel_height, axis, room)
        parts += _panel(frame, group, found, who, first=index == 0)
    parts.append(_text(WIDTH / 2, height - 10, "optimizer step (log)", SOFT, "middle"))
    parts.append(
        f'<text transform="translate(13 {top + panel_height / 2:.0f}) rotate(-90)" fill="{SOFT}" '
        'text-anchor="middle">accuracy, %</text>'
    )
    return "\n".join([*parts, "</svg>"]) + "\n"


class _Frame:
    """Where a panel lies, in pixels, and where values lie in it."""

    def __init__(self, left: float, top: float, width: float, height: float, axis: StepAxis, room: int) -> None:
        self.left, self.top, self.width, self.height, self.axis = left, top, width, height, axis
        self.inner = width - room  # the rest is for the phases

    def x(self, step: int) -> float:
        return self.at(self.axis.position(step))

    def at(self, position: float) -> float:
        return self.left + 8 + (self.inner - 8) * (position - self.axis.zero) / (self.axis.last - self.axis.zero)

    def y(self, score: float) -> float:
        return self.top + self.height * (1 - min(max(score, 0.0), 1.0))


def _panel(frame: _Frame, group: str, found: Sequence[Trajectory], who: Cast, first: bool) -> list[str]:
    parts = [
        _text(frame.left, frame.top - 10, words.group_word(group), INK, "start", 'font-weight="600" font-size="13"')
    ]
    for score in (0, 0.25, 0.5, 0.75, 1):
        y = frame.y(score)
        parts.append(_line(frame.left, y, frame.left + frame.inner, y, GRID))
        if first:
            parts.append(_text(frame.left - 6, y + 4, f"{100 * score:.0f}", SOFT, "end"))
    bottom = frame.top + frame.height
    for position, label in frame.axis.ticks:
        x = frame.at(position)
        parts.append(_line(x, bottom, x, bottom + 4, "#b9c0c7"))
        parts.append(_text(x, bottom + 17, label, SOFT, "middle", 'font-size="11"'))
    bands = band_opacity(len(who.styles)) if len(who.styles) <= MAX_BANDS else 0.0
    for one in found:
        parts += _curve(frame, one, who.styles[identity(one)], bands)
    return parts + (_phases(frame, found, who) if len(found) <= MAX_PHASES else [])


def _curve(frame: _Frame, one: Trajectory, style: Style, bands: float) -> list[str]:
    points = [
        (frame.x(step), score) for step, score in zip(one.steps, one.scores, strict=True) if math.isfinite(score.value)
    ]
    parts = []
    wide = [(x, score) for x, score in points if words.has_width(score)]
    if wide and bands:
        outline = [(x, score.high) for x, score in wide] + [(x, score.low) for x, score in reversed(wide)]
        path = " ".join(f"{x:.1f},{frame.y(value):.1f}" for x, value in outline)
        parts.append(f'<polygon points="{path}" fill="{style.color}" opacity="{bands}"/>')
    path = " ".join(f"{x:.1f},{frame.y(score.value):.1f}" for x, score in points)
    look = f'fill="none" stroke="{style.color}" stroke-width="2" stroke-linejoin="round"{stroke(style)}'
    line = f'<polyline points="{path}" {look}/>'
    return [*parts, line, *(marker(x, frame.y(score.value), style) for x, score in points)]


def _phases(frame: _Frame, found: Sequence[Trajectory], who: Cast) -> list[str]:
    ends = [frame.y(one.scores[-1].value) for one in found]
    placed = spread(ends, 12.5, frame.top + 4, frame.top + frame.height)
    return [
        _text(
            frame.left + frame.inner + 5,
            y + 3.5,
            words.phase(one.phase, one.phase_probability),
            who.styles[identity(one)].color,
            "start",
            'font-size="10.5"',
        )
        for one, y in zip(found, placed, strict=True)
    ]


def _legend(who: Cast) -> tuple[list[str], int]:
    """The legend and its height: a row a factor where the looks say factors, else the conditions in columns."""
    if who.legend.factors:
        return _factor_legend(who.legend)
    if len(who.names) > MAX_BANDS:
        return [_text(16, 24, f"{len(who.names)} conditions. {who.legend.text}", INK, "start")], 26
    columns = max(1, min(len(who.names), int((WIDTH - 30) // (44 + 6.4 * max(map(len, who.names.values()))))))
    width, parts = (WIDTH - 30) / columns, []
    for index, (key, name) in enumerate(who.names.items()):
        x, y = 16 + width * (index % columns), 20 + 20 * (index // columns)
        parts += [swatch(x, y, who.styles[key]), _text(x + 38, y + 4, name, INK, "start")]
    return parts, 10 + 20 * math.ceil(len(who.names) / columns)


def _factor_legend(legend: Legend) -> tuple[list[str], int]:
    parts, y = [], 20
    for name, levels in legend.factors:
        parts.append(_text(16, y + 4, name, INK, "start", 'font-weight="600"'))
        x = 30 + 7.4 * max(len(held) for held, _ in legend.factors)
        for level, style in levels:
            width = 52 + 7.0 * len(level)
            if x + width > WIDTH:
                x, y = 40, y + 20
            parts += [swatch(x, y, style), _text(x + 37, y + 4, level, INK, "start")]
            x += width
        y += 20
    if legend.text:
        parts.append(_text(16, y + 4, legend.text, SOFT, "start"))
        y += 20
    return parts, y - 10


def _line(x1: float, y1: float, x2: float, y2: float, color: str) -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{color}"/>'


def _text(x: float, y: float, text: str, color: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{color}" text-anchor="{anchor}" {more}>{escape(text)}</text>'
