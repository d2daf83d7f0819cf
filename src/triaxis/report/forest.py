"""Forest plots: effects with their intervals, in points and in log odds side by side."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from triaxis.report import words
from triaxis.report.digest import EffectRow, contrast_word
from triaxis.report.look import PALETTE
from triaxis.report.names import naming
from triaxis.report.sheet import GRID, SOFT, Figure, cells, sheet
from triaxis.types import Analysis, Interval

ESTIMANDS = {"gain": (PALETTE[0], "circle"), "best": (PALETTE[1], "diamond"), "mean": (PALETTE[2], "square")}


def forest_figure(rows: Sequence[EffectRow], analysis: Analysis) -> Figure:
    """Effects with their intervals, points left and logits right, a line a contrast and group, a mark an estimand."""
    lines: dict[tuple[str, str], list[EffectRow]] = {}
    names = naming(analysis)
    for row in rows:
        basis = names.basis(next(iter(row.scales.values())))
        what = f"{contrast_word(row, analysis.factors)}: {row.contrast}{f' ({basis})' if basis else ''}"
        lines.setdefault((row.group, what), []).append(row)
    groups = words.in_order(group for group, _ in lines)
    labels: list[str] = []
    placed: list[tuple[int, EffectRow]] = []
    for group in groups:
        labels.append(f"<b>{html.escape(words.group_word(group))}</b>")
        for (own, what), found in lines.items():
            if own == group:
                placed += [(len(labels), row) for row in found]
                labels.append("<br>".join(html.escape(part) for part in _wrapped(what, 44)))
    layout = sheet(70 + 34 * len(labels), {"l": 300, "r": 16, "t": 30, "b": 40})
    data: list[Figure] = []
    for index, (scale, title) in enumerate((("points", "points"), ("logit", "log odds"))):
        suffix = "" if index == 0 else "2"
        layout[f"xaxis{suffix}"] = _forest_x(cells(index, 2, 0.05, 0.0), title)
        data += _forest_marks(placed, scale, suffix)
    layout["yaxis"] = {
        "tickvals": list(range(len(labels))),
        "ticktext": labels,
        "range": [len(labels) - 0.4, -0.6],
        "gridcolor": "#f3f4f6",
        "zeroline": False,
        "fixedrange": True,
    }
    return {"data": data, "layout": layout}


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _forest_x(span: tuple[float, float], title: str) -> Figure:
    return {
        "domain": list(span),
        "anchor": "y",
        "title": {"text": title, "font": {"size": 11, "color": SOFT}, "standoff": 6},
        "tickfont": {"size": 11, "color": SOFT},
        "gridcolor": GRID,
        "rangemode": "tozero",
        "zeroline": True,
        "zerolinecolor": "#57606a",
        "zerolinewidth": 1,
        "fixedrange": True,
    }


def _forest_marks(placed: Iterable[tuple[int, EffectRow]], scale: str, suffix: str) -> list[Figure]:
    offsets = {"gain": -0.22, "best": 0.0, "mean": 0.22}
    marks: dict[str, list[tuple[float, Interval]]] = {}
    for at, row in placed:
        effect = row.scales.get("points" if scale == "points" else "logit")
        if (
            effect is not None
            and isinstance(effect.estimate, Interval)
            and words.interval(effect.estimate) != words.NOT_ESTIMABLE
        ):
            marks.setdefault(row.estimand, []).append((at + offsets.get(row.estimand, 0.0), effect.estimate))
    factor = 100 if scale == "points" else 1
    drawn = []
    for estimand, found in marks.items():
        color, symbol = ESTIMANDS.get(estimand, (PALETTE[-1], "circle"))
        wide = [item if words.has_width(item) else Interval(item.value, item.value, item.value) for _, item in found]
        drawn.append(
            {
                "type": "scatter",
                "mode": "markers",
                "xaxis": f"x{suffix}",
                "yaxis": "y",
                "x": [round(factor * item.value, 3) for item in wide],
                "y": [round(at, 2) for at, _ in found],
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": [round(factor * (item.high - item.value), 3) for item in wide],
                    "arrayminus": [round(factor * (item.value - item.low), 3) for item in wide],
                    "color": color,
                    "thickness": 1.5,
                    "width": 0,
                },
                "marker": {"color": color, "symbol": symbol, "size": 8},
                "text": [words.interval(item, scale) for item in wide],
                "hovertemplate": f"{words.ESTIMAND_WORDS.get(estimand, estimand)}<br>%{{text}} {scale}<extra></extra>",
            }
        )
    return drawn
