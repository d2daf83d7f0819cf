"""A blank Plotly figure in the look of the page, and the division of it into cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Figure = dict[str, Any]
INK, SOFT, GRID = "#1f2328", "#57606a", "#e6e8eb"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def sheet(height: int, margin: Mapping[str, int]) -> Figure:
    """An empty layout of this height (pixels) with these margins (pixels)."""
    return {
        "height": height,
        "margin": dict(margin),
        "font": {"family": FONT, "size": 12, "color": INK},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "showlegend": False,
        "hovermode": "closest",
        "hoverlabel": {"align": "left", "bgcolor": "#ffffff", "font": {"color": INK, "size": 12}},
        "annotations": [],
        "shapes": [],
    }


def cells(index: int, of: int, gap: float, room: float) -> tuple[float, float]:
    """The part of [0, 1] for one of several equal cells with a gap between them and room at the end of each."""
    width = (1 - gap * (of - 1)) / of
    start = index * (width + gap)
    return round(start, 4), round(min(start + width - (room if of > 1 else room / 2), 1), 4)
