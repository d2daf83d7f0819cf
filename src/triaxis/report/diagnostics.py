"""The diagnostics of a study's checkpoints: a table of each over steps by condition, a line for the terminal, costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from triaxis.records import SAVED
from triaxis.report import words
from triaxis.report.names import naming
from triaxis.report.tables import Cell, Table
from triaxis.stats.intervals import t_interval
from triaxis.types import Analysis

if TYPE_CHECKING:
    from triaxis.records import CostRow, DiagnosticRow

MAX_STEPS = 9  # columns of a table
PREFIX = "diagnostic."
WHOLE = ("kl_from_base.forward", "kl_from_base.reverse")  # parts that are shown: their diagnostic has no number itself
NO_READING = words.NOT_ESTIMABLE


@dataclass(frozen=True)
class Diagnosed:
    """One diagnostic over steps by condition: its name with its unit, how many are estimable, and the table."""

    title: str
    told: str
    table: Table


def diagnostic_tables(analysis: Analysis, rows: Iterable[DiagnosticRow]) -> list[Diagnosed]:
    """A table of each diagnostic of whole checkpoints; parts by layer or matrix are left to the long table.

    A cell is the mean over the runs of a condition with the t interval over them; of one run, its reading with its own
    interval (over rows or probes), where it has one.
    """
    names = naming(analysis)
    conditions: dict[str, str] = {}  # of each run
    for one in sorted(analysis.trajectories, key=names.order):
        conditions.setdefault(one.run, names.condition(one) or "all runs")
    found: dict[str, list[DiagnosticRow]] = {}
    for row in rows:
        if row.run in conditions and is_whole(row.name):
            found.setdefault(row.name.removeprefix(PREFIX), []).append(row)
    return [_diagnosed(name, own, conditions) for name, own in found.items()]


def is_whole(name: str) -> bool:
    """Whether a column is a diagnostic itself and not a part of one, such as its residual, or its value in a layer."""
    short = name.removeprefix(PREFIX)
    return "." not in short or short in WHOLE


def _diagnosed(name: str, rows: Sequence[DiagnosticRow], conditions: Mapping[str, str]) -> Diagnosed:
    cells: dict[tuple[str, int], list[DiagnosticRow]] = {}
    for row in rows:
        cells.setdefault((conditions[row.run], row.step), []).append(row)
    steps = _shown(sorted({row.step for row in rows}))
    titles = ("condition", "runs", *(f"step {step:,}" for step in steps))
    lines = []
    for condition in dict.fromkeys(conditions.values()):
        runs = {row.run for row in rows if conditions[row.run] == condition}
        if runs:
            readings = [_cell(cells.get((condition, step), ())) for step in steps]
            lines.append([Cell(condition), Cell(str(len(runs)), len(runs)), *readings])
    known = [row for row in rows if row.value is not None]
    title = f"{name}, {known[0].unit}" if known else name
    told = f"{len(known):,} of {len(rows):,} estimable"
    return Diagnosed(title, told, Table(titles, frozenset(range(1, len(titles))), lines))


def _shown(steps: Sequence[int]) -> list[int]:
    """All steps where they are few; else some, evenly, the first and the last among them."""
    if len(steps) <= MAX_STEPS:
        return list(steps)
    return [steps[i] for i in np.linspace(0, len(steps) - 1, MAX_STEPS).round().astype(int)]


def _cell(rows: Sequence[DiagnosticRow]) -> Cell:
    if not rows:
        return Cell(words.NOT_RECORDED)
    values = [row.value for row in rows if row.value is not None]
    if not values:
        return Cell(NO_READING)
    mean = float(np.mean(values))
    low, high = next((row.low, row.high) for row in rows if row.value is not None)
    if len(values) > 1:
        over = t_interval(mean, float(np.var(values, ddof=1)) / len(values), len(values) - 1)
        low, high = over.low, over.high
    some = f" ({len(values)} of {len(rows)} runs)" if len(values) < len(rows) else ""
    return Cell(f"{mean:.3g}{_bounds(low, high)}{some}", mean)


def _bounds(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return ""
    ends = ("no end" if end is None else f"{end:.3g}" for end in (low, high))
    return f" [{', '.join(ends)}]"


def why_not(rows: Iterable[DiagnosticRow]) -> list[str]:
    """Why diagnostics of runs are not estimable: each reason with its diagnostic and how often it came."""
    reasons = Counter((row.name.removeprefix(PREFIX), row.reason) for row in rows if row.run and row.value is None)
    return [f"{n:,} × {name}: {reason}" for (name, reason), n in reasons.items()]


def in_a_line(rows: Sequence[DiagnosticRow]) -> str:
    """How many diagnostics there are at how many checkpoints, and what of them is not estimable."""
    of_runs = [row for row in rows if row.run]
    names = {row.name.removeprefix(PREFIX).partition(".")[0] for row in of_runs}
    points = {(row.run, row.step) for row in of_runs}
    told = f"{len(names)} at {words.count(len(points), 'checkpoint')}"
    missing = why_not(of_runs)
    return f"{told}; not estimable: {'; '.join(missing)}" if missing else told


def cost_table(costs: Iterable[CostRow]) -> list[tuple[str, str, str, str]]:
    """What a study took by phase: (phase, seconds, share, tokens), training and evaluation first. What runs share
    counts once."""
    seconds: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    for cost in costs:
        phase, sign = cost.phase.removeprefix(SAVED), -1 if cost.phase.startswith(SAVED) else 1
        seconds[phase] += sign * cost.seconds  # type: ignore[assignment]
        tokens[phase] += sign * cost.tokens
    total = sum(seconds.values()) or 1
    phases = sorted(seconds, key=lambda phase: (phase.startswith(PREFIX), -seconds[phase]))
    return [(p, f"{seconds[p]:.1f} s", f"{100 * seconds[p] / total:.1f} %", f"{tokens[p]:,}") for p in phases]
