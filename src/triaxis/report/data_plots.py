"""The plots of a data profile as SVG text, written by hand: the page holds them, the documents show them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from triaxis.report.look import PALETTE, RAMP
from triaxis.report.sheet import FONT, GRID, INK, SOFT

WIDTH = 760  # pixels
BLUE, ORANGE = PALETTE[0], PALETTE[1]
MAX_LABEL = 30  # characters of a label at an axis
LETTER = 6.6  # pixels a character takes, at most, at the size of the labels


def histogram(
    edges: Sequence[float], counts: Sequence[int], limits: Mapping[float, float], title: str, unit: str
) -> str:
    """How many rows have a length between two edges, on an axis as spaced as the edges; `limits` are marked.

    `edges` has one value more than `counts`. `limits` maps a length to the share (0..1) of rows beyond it; one that
    lies beyond the last edge is left out.
    """
    left, right, top, height = 64.0, 14.0, 58.0, 170.0
    inner, most = WIDTH - left - right, max([*counts, 1])
    width, bottom = inner / len(counts), top + height

    def x_of(value: float) -> float:
        at = next((i for i in range(len(counts)) if value < edges[i + 1]), len(counts) - 1)
        low, high = edges[at], edges[at + 1]
        return left + width * (at + min(max((value - low) / (high - low), 0.0), 1.0))

    parts = _count_axis(left, right, top, height, most)
    for at, count in enumerate(counts):
        tall = height * count / most
        told = f"{edges[at]:,.0f} to {edges[at + 1]:,.0f} {unit}: {count:,} rows"
        parts.append(_box(left + width * at + 0.5, bottom - tall, width - 1, tall, BLUE, told))
    said = ""
    for at in _spaced(len(edges), 9):
        if _short(edges[at]) != said:
            said = _short(edges[at])
            parts.append(_text(left + width * at, bottom + 16, said, SOFT, "middle"))
    shown = [(limit, share) for limit, share in sorted(limits.items()) if edges[0] < limit < edges[-1]]
    ends = [-math.inf, -math.inf]  # where the last label of each of the two lines above the plot ends
    for limit, share in shown:
        x, said = x_of(limit), f"{_short(limit)}: {100 * share:.0f} % beyond"
        line = 0 if x > ends[0] else 1
        ends[line] = x + LETTER * len(said)
        parts += [
            _line(x, top - 4 - 14 * line, x, bottom, ORANGE, ' stroke-dasharray="5 3"'),
            _text(x + 3, top - 6 - 14 * line, said, ORANGE, "start", 11),
        ]
    parts.append(_text(left + inner / 2, bottom + 34, unit, SOFT, "middle"))
    return _drawn(title, bottom + 44, parts)


def heat_map(rows: Sequence[str], columns: Sequence[str], counts: Sequence[Sequence[int]], title: str, of: str) -> str:
    """Counts of rows by two labels, the darker the more; `of` says what the columns are. An empty cell shows a dot."""
    names = [_clipped(name) for name in rows]
    left = 20 + LETTER * max(len(name) for name in names)
    top, tall = 46.0 + (30 if max(map(len, columns)) > 7 else 16), 24.0
    width = min((WIDTH - left - 14) / len(columns), 110.0)
    most = max([1, *(count for line in counts for count in line)])
    parts = [_text(left, top - (36 if max(map(len, columns)) > 7 else 24), of, SOFT, "start")]
    for at, name in enumerate(columns):
        x = left + width * (at + 0.5)
        short = _clipped(name, max(3, int(width / LETTER)))
        parts.append(_text(x, top - 7, short, SOFT, "middle", 11))
    for line, (name, values) in enumerate(zip(names, counts, strict=True)):
        y = top + tall * line
        parts.append(_text(left - 8, y + tall / 2 + 4, name, INK, "end"))
        for at, count in enumerate(values):
            x, share = left + width * at, count / most
            told = f"{rows[line]}, {columns[at]}: {count:,} rows"
            parts.append(_box(x + 1, y + 1, width - 2, tall - 2, _shade(share), told))
            ink = "#ffffff" if share > 0.3 else INK
            said = _short(count) if count else "·"
            parts.append(_text(x + width / 2, y + tall / 2 + 4, said, ink if count else SOFT, "middle", 11))
    return _drawn(title, top + tall * len(rows) + 12, parts)


def bars(values: Mapping[str, float], title: str, unit: str, digits: int = 1, whole: float | None = None) -> str:
    """A bar a label, with its value; `whole` fixes the end of the axis (1 for shares), else the largest value is it."""
    names = {name: _clipped(name) for name in values}
    left, top, tall = 20 + LETTER * max(map(len, names.values())), 44.0, 24.0
    room = WIDTH - left - 110
    most = whole or max([*values.values(), 0.0]) or 1.0
    parts = []
    for at, (name, value) in enumerate(values.items()):
        y = top + tall * at
        told = f"{value:,.{digits}f}{unit}"
        parts += [
            _text(left - 8, y + tall / 2 + 4, names[name], INK, "end"),
            _box(left, y + 3, room * min(value / most, 1.0), tall - 6, BLUE, f"{name}: {told}"),
            _text(left + room * min(value / most, 1.0) + 6, y + tall / 2 + 4, told, INK, "start"),
        ]
    parts.append(_line(left, top, left, top + tall * len(values), "#b9c0c7"))
    return _drawn(title, top + tall * len(values) + 10, parts)


def _count_axis(left: float, right: float, top: float, height: float, most: int) -> list[str]:
    parts = []
    for value in _ticks(most):
        y = top + height * (1 - value / most)
        parts += [_line(left, y, WIDTH - right, y, GRID), _text(left - 8, y + 4, _short(value), SOFT, "end")]
    return [*parts, _text(14, top - 10, "rows", SOFT, "start")]


def _ticks(most: int) -> list[int]:
    """Round counts from 0 to `most`, at most five."""
    step = 10 ** math.floor(math.log10(max(most, 1)))
    size = next(size for size in (step / 5, step / 2, step, 2 * step, 5 * step) if most / size <= 4.999)
    size = max(1, int(size))
    return list(range(0, most + 1, size))


def _spaced(n: int, most: int) -> list[int]:
    step = max(1, math.ceil((n - 1) / (most - 1)))
    return list(range(0, n, step))


def _short(value: float) -> str:
    """A count in few characters: 12,000 is 12k."""
    if value >= 10_000:
        return f"{value / 1000:,.0f}k"
    return f"{value:,.0f}"


def _clipped(name: str, most: int = MAX_LABEL) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _shade(share: float) -> str:
    """White for nothing, then the ramp from light to dark."""
    if share <= 0:
        return "#f6f8fa"
    low, high = (0xDC, 0xE9, 0xF5), tuple(int(RAMP[0][i : i + 2], 16) for i in (1, 3, 5))
    mixed = [round(a + (b - a) * share**0.7) for a, b in zip(low, high, strict=True)]
    return "#" + "".join(f"{value:02x}" for value in mixed)


def _drawn(title: str, height: float, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
        f'height="{height:.0f}" font-family="{FONT}" font-size="12" fill="{INK}" role="img" '
        f'aria-label="{escape(title)}">'
    )
    back = f'<rect width="{WIDTH}" height="{height:.0f}" rx="8" fill="#ffffff"/>'
    return (
        "\n".join([head, back, _text(14, 22, title, INK, "start", 13, ' font-weight="600"'), *parts, "</svg>"]) + "\n"
    )


def _box(x: float, y: float, width: float, height: float, color: str, told: str) -> str:
    shape = f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}" fill="{color}">'
    return f"{shape}<title>{escape(told)}</title></rect>"


def _line(x1: float, y1: float, x2: float, y2: float, color: str, more: str = "") -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{color}"{more}/>'


def _text(x: float, y: float, text: str, color: str, anchor: str, size: float = 12, more: str = "") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" fill="{color}" text-anchor="{anchor}" font-size="{size:g}"{more}'
    return f"<text {place}>{escape(text)}</text>"
