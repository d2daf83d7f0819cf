"""The plots of the page as plain Plotly figures (data and layout as dictionaries); the drawing is the browser's."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from triaxis.report import words
from triaxis.report.curves import StepAxis, spread, step_axis
from triaxis.report.look import MAX_BANDS, MAX_PHASES, Cast, band_opacity, identity
from triaxis.report.sheet import GRID, SOFT, Figure, cells, sheet
from triaxis.types import Interval, Trajectory

Values = Callable[[Trajectory], Sequence[Interval | float | None]]


@dataclass(frozen=True)
class Panel:
    """One small plot: its title, its lines, what is on its y axis and where it stands in the grid."""

    title: str
    trajectories: Sequence[Trajectory]
    values: Values
    y_title: str
    row: int
    column: int
    top: float | None = 1.0  # of the y axis, in the unit of the values; None leaves it open
    percent: bool = True
    phases: bool = False


def scores(trajectory: Trajectory) -> Sequence[Interval | float | None]:
    """The accuracy as run."""
    return trajectory.scores


def trajectories_figure(panels: Sequence[Panel], cast: Cast, *, panel_height: int = 240, runs: bool = False) -> Figure:
    """Small multiples with a line a condition (or a run, with `runs`) and its interval band, over log steps."""
    axis = step_axis((step for panel in panels for one in panel.trajectories for step in one.steps), most=6)
    rows, columns = max(panel.row for panel in panels) + 1, max(panel.column for panel in panels) + 1
    top, bottom = 30, 46
    height = top + bottom + rows * panel_height + (rows - 1) * 40
    labelled = any(panel.phases and len(panel.trajectories) <= MAX_PHASES for panel in panels)
    room = 0.085 if labelled else 0.02
    data: list[Figure] = []
    layout = sheet(height, {"l": 52, "r": 12, "t": top, "b": bottom})
    for index, panel in enumerate(panels):
        suffix = "" if index == 0 else str(index + 1)
        x_span = cells(panel.column, columns, 0.045 if columns > 3 else 0.05, room)
        y_span = cells(rows - 1 - panel.row, rows, 0.5 / rows * 0.45, 0.0)
        layout[f"xaxis{suffix}"] = _x_axis(axis, x_span, f"y{suffix}", panel.row == rows - 1)
        layout[f"yaxis{suffix}"] = _y_axis(panel, y_span, f"x{suffix}")
        layout["annotations"].append(_title(panel, x_span, y_span))
        data += _lines(panel, cast, axis, suffix, runs)
        if panel.phases and len(panel.trajectories) <= MAX_PHASES:
            layout["annotations"] += _phase_labels(panel, cast, suffix, panel_height)
    return {"data": data, "layout": layout}


def _x_axis(axis: StepAxis, span: tuple[float, float], anchor: str, titled: bool) -> Figure:
    pad = 0.03 * (axis.last - axis.zero)
    return {
        "domain": list(span),
        "anchor": anchor,
        "range": [axis.zero - pad, axis.last + pad],
        "tickvals": [round(position, 4) for position, _ in axis.ticks],
        "ticktext": [text for _, text in axis.ticks],
        "title": {"text": "optimizer step (log)" if titled else "", "font": {"size": 11, "color": SOFT}, "standoff": 6},
        "tickfont": {"size": 11, "color": SOFT},
        "showgrid": False,
        "zeroline": False,
        "linecolor": "#b9c0c7",
        "showline": True,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": "#b9c0c7",
        "fixedrange": True,
    }


def _y_axis(panel: Panel, span: tuple[float, float], anchor: str) -> Figure:
    axis: Figure = {
        "domain": list(span),
        "anchor": anchor,
        "title": {
            "text": panel.y_title if panel.column == 0 else "",
            "font": {"size": 11, "color": SOFT},
            "standoff": 4,
        },
        "tickfont": {"size": 11, "color": SOFT},
        "gridcolor": GRID,
        "zeroline": False,
        "fixedrange": True,
    }
    shown = [value for one in panel.trajectories for value in map(_value, panel.values(one)) if value is not None]
    if panel.top is None or any(not 0 <= value <= panel.top for value in shown):
        return axis | {"rangemode": "tozero"}
    top = panel.top * (100 if panel.percent else 1)
    if panel.percent and panel.top == 1:
        axis |= {"tickvals": [0, 25, 50, 75, 100]}
    return axis | {"range": [-0.03 * top, 1.03 * top]}


def _title(panel: Panel, x_span: tuple[float, float], y_span: tuple[float, float]) -> Figure:
    return {
        "text": f"<b>{html.escape(panel.title)}</b>",
        "x": x_span[0],
        "y": y_span[1],
        "xref": "paper",
        "yref": "paper",
        "xanchor": "left",
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"size": 13},
    }


def _value(value: Interval | float | None) -> float | None:
    return value.value if isinstance(value, Interval) else value


def _lines(panel: Panel, cast: Cast, axis: StepAxis, suffix: str, runs: bool) -> list[Figure]:
    drawn: list[Figure] = []
    keys = list(cast.styles)
    for trajectory in panel.trajectories:
        key = identity(trajectory)
        style, number = cast.styles[key], keys.index(key)
        shared = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}", "meta": number, "type": "scatter"}
        values = panel.values(trajectory)
        x = [round(axis.position(step), 4) for step in trajectory.steps]
        factor = 100 if panel.percent else 1
        y = [None if (value := _value(item)) is None else round(factor * value, 2) for item in values]
        band = [
            (at, item)
            for at, item in zip(x, values, strict=True)
            if isinstance(item, Interval) and words.has_width(item)
        ]
        if band and not runs and len(cast.styles) <= MAX_BANDS:
            drawn.append(shared | _band(band, style.color, factor, band_opacity(len(cast.styles))))
        line = shared | {
            "x": x,
            "y": y,
            "mode": "lines" if runs else "lines+markers",
            "line": {"color": style.color, "dash": style.dash, "width": 1 if runs else 2},
            "opacity": 0.65 if runs else 1,
            "text": [f"{step:,}" for step in trajectory.steps],
            "hovertemplate": _hover(trajectory, cast.names[key], panel, runs),
        }
        if not runs:
            line["marker"] = {"color": style.color, "symbol": style.marker, "size": 6}
            line["customdata"] = [_bounds(item, factor) for item in values]
        drawn.append(line)
    return drawn


def _band(band: Sequence[tuple[float, Interval]], color: str, factor: int, opacity: float) -> Figure:
    ahead, back = list(band), list(reversed(band))
    return {
        "x": [at for at, _ in (*ahead, *back)],
        "y": [round(factor * item.high, 2) for _, item in ahead] + [round(factor * item.low, 2) for _, item in back],
        "fill": "toself",
        "fillcolor": color,
        "opacity": opacity,
        "line": {"width": 0},
        "mode": "lines",
        "hoverinfo": "skip",
    }


def _bounds(item: Interval | float | None, factor: int) -> str:
    if not isinstance(item, Interval) or not words.has_width(item):
        return ""
    return f" [{factor * item.low:.1f}, {factor * item.high:.1f}]"


def _hover(trajectory: Trajectory, name: str, panel: Panel, runs: bool) -> str:
    who = f"{name}, run {trajectory.run}" if runs and trajectory.run else name
    unit = " %" if panel.percent else ""
    title = f"{panel.title}, {panel.y_title}" if panel.y_title else panel.title
    escaped = [html.escape(text).replace("%{", "% {") for text in (who, title)]
    bounds = "" if runs else "%{customdata}"
    return f"<b>{escaped[0]}</b><br>{escaped[1]}<br>step %{{text}}: %{{y:.1f}}{unit}{bounds}<extra></extra>"


def _phase_labels(panel: Panel, cast: Cast, suffix: str, height: int) -> list[Figure]:
    ends = [(one, 100 * one.scores[-1].value) for one in panel.trajectories if one.scores]
    heights = spread([end for _, end in ends], gap=106 * 12 / height, low=0, high=100)
    return [
        {
            "text": html.escape(words.phase(one.phase, one.phase_probability)),
            "x": 1.015,
            "y": round(at, 2),
            "xref": f"x{suffix} domain",
            "yref": f"y{suffix}",
            "xanchor": "left",
            "yanchor": "middle",
            "showarrow": False,
            "font": {"size": 10.5, "color": cast.styles[identity(one)].color},
        }
        for (one, _), at in zip(ends, heights, strict=True)
    ]
