"""A small picture of trajectories as SVG text, written by hand: for a README, a slide, a mail."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from triaxis.report import words
from triaxis.report.curves import MAX_BANDS, MAX_PHASES, Cast, StepAxis, Style, cast, identity, spread, step_axis
from triaxis.report.digest import main_mode
from triaxis.types import Analysis, Trajectory, TriaxisError

WIDTH = 800  # pixels
INK, SOFT, GRID = "#1f2328", "#57606a", "#e6e8eb"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
DASH_ARRAYS = {"solid": "", "dash": "7 4", "dot": "2 3.5", "dashdot": "8 3.5 2 3.5"}


def trajectory_svg(analysis: Analysis, groups: Sequence[str] = ("in_domain", "near_ood", "far_ood")) -> str:
    """Trajectories of the conditions in these task groups, with their 95 % intervals, as the text of an SVG file.

    A panel a group, a line a condition, log steps with step 0 set apart. Groups that were not measured are left out;
    raises TriaxisError where none was.
    """
    held = [one for one in analysis.condition_trajectories or analysis.group_trajectories if one.steps]
    mode = main_mode(analysis)
    panels = [(group, [one for one in held if one.group == group and one.mode == mode]) for group in groups]
    panels = [(group, found) for group, found in panels if found]
    if not panels:
        known = ", ".join(words.in_order(one.group for one in held)) or "none"
        raise TriaxisError(f"no trajectory in the groups {', '.join(groups)}: name one of those measured ({known})")
    shown = [one for _, found in panels for one in found]
    who = cast(shown, analysis)
    axis = step_axis((step for one in shown for step in one.steps), most=5 if len(panels) > 2 else 7)
    top, panel_height = _legend_height(who) + 40, 220
    height = top + panel_height + 52
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'font-family="{FONT}" font-size="12" fill="{INK}" role="img" aria-label="Accuracy over training steps">',
        f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#ffffff"/>',
        *_legend(who),
    ]
    left, right, gap = 46, 10, 22
    width = (WIDTH - left - right - gap * (len(panels) - 1)) / len(panels)
    for index, (group, found) in enumerate(panels):
        frame = _Frame(left + index * (width + gap), top, width, panel_height, axis)
        parts += _panel(frame, group, found, who, first=index == 0)
    parts.append(_text(WIDTH / 2, height - 10, "optimizer step (log)", SOFT, "middle"))
    parts.append(
        f'<text transform="translate(13 {top + panel_height / 2:.0f}) rotate(-90)" fill="{SOFT}" '
        'text-anchor="middle">accuracy, %</text>'
    )
    return "\n".join([*parts, "</svg>"]) + "\n"


class _Frame:
    """Where a panel lies, in pixels, and where values lie in it."""

    def __init__(self, left: float, top: float, width: float, height: float, axis: StepAxis) -> None:
        self.left, self.top, self.width, self.height, self.axis = left, top, width, height, axis
        self.inner = width - 78  # the rest is room for the phases

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
    bands = len(who.styles) <= MAX_BANDS
    for one in found:
        parts += _curve(frame, one, who.styles[identity(one)], bands)
    return parts + (_phases(frame, found, who) if len(found) <= MAX_PHASES else [])


def _curve(frame: _Frame, one: Trajectory, style: Style, bands: bool) -> list[str]:
    points = [
        (frame.x(step), score) for step, score in zip(one.steps, one.scores, strict=True) if math.isfinite(score.value)
    ]
    parts = []
    wide = [(x, score) for x, score in points if words.has_width(score)]
    if wide and bands:
        outline = [(x, score.high) for x, score in wide] + [(x, score.low) for x, score in reversed(wide)]
        path = " ".join(f"{x:.1f},{frame.y(value):.1f}" for x, value in outline)
        parts.append(f'<polygon points="{path}" fill="{style.color}" opacity="0.13"/>')
    path = " ".join(f"{x:.1f},{frame.y(score.value):.1f}" for x, score in points)
    dash = f' stroke-dasharray="{DASH_ARRAYS[style.dash]}"' if DASH_ARRAYS[style.dash] else ""
    line = (
        f'<polyline points="{path}" fill="none" stroke="{style.color}" stroke-width="2" stroke-linejoin="round"{dash}/>'
    )
    return [*parts, line, *(marker(x, frame.y(score.value), style) for x, score in points)]


def marker(x: float, y: float, style: Style, size: float = 3.0) -> str:
    """A mark as an SVG element."""
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


def _legend_columns(who: Cast) -> int:
    longest = max(map(len, who.names.values()))
    return max(1, min(len(who.names), int((WIDTH - 30) // (44 + 6.4 * longest))))


def _legend_height(who: Cast) -> int:
    if len(who.names) > MAX_BANDS:
        return 26
    return 10 + 20 * math.ceil(len(who.names) / _legend_columns(who))


def _legend(who: Cast) -> list[str]:
    if len(who.names) > MAX_BANDS:
        return [_text(16, 24, f"{len(who.names)} conditions. {who.legend}", INK, "start")]
    columns = _legend_columns(who)
    width, parts = (WIDTH - 30) / columns, []
    for index, (key, name) in enumerate(who.names.items()):
        x, y, style = 16 + width * (index % columns), 20 + 20 * (index // columns), who.styles[key]
        dash = f' stroke-dasharray="{DASH_ARRAYS[style.dash]}"' if DASH_ARRAYS[style.dash] else ""
        parts.append(f'<path d="M{x:.1f} {y}h30" stroke="{style.color}" stroke-width="2"{dash}/>')
        parts += [marker(x + 15, y, style), _text(x + 38, y + 4, name, INK, "start")]
    return parts


def _line(x1: float, y1: float, x2: float, y2: float, color: str) -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{color}"/>'


def _text(x: float, y: float, text: str, color: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{color}" text-anchor="{anchor}" {more}>{escape(text)}</text>'
