"""The summary in the terminal: what was varied, gains, effects, verdicts and everything that could not be said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from triaxis.report import words
from triaxis.report.answer import answer
from triaxis.report.digest import (
    EffectRow,
    clearest_first,
    contrast_word,
    effect_rows,
    is_clear,
    main_mode,
    missing,
    n_runs,
)
from triaxis.report.findings import clear, clearest, estimable, title_of, what_of, where_of
from triaxis.report.names import Names, conditions, mode_word, naming
from triaxis.types import Analysis, CellGain, Effect, GroupSummary, Interval

WIDTH = 100  # columns, where the output is no terminal
MAX_CONDITIONS = 12  # rows a group
MAX_EFFECTS = 10
MAX_FINDINGS = 2  # a question
MIN_EFFECTS = 5  # shown though they are not clear of zero
MAX_LINES = 8  # warnings, reasons
LEGEND = (
    "Scores in %, gains in points with 95 % intervals; best: gain at the checkpoint chosen on other items; "
    f"tokens: mean response length; cut and ref: % truncated and refused; {words.NOT_RECORDED}: not recorded."
)
GAIN_HEADERS = ("base", "score", "gain [95 %]", "best", "phase", "tokens", "cut", "ref")


def print_analysis(
    analysis: Analysis,
    console: Console,
    *,
    title: str,
    path: Path | None = None,
    what: Mapping[str, object] | None = None,
) -> None:
    """Print the summary of an analysis to `console`.

    `path` is the report, named at the end. `what` holds more facts of the study, name -> value, printed as they are
    below what was varied. Output that is no terminal is laid out for 100 columns, without colour.
    """
    if console.is_terminal:
        _print_all(analysis, console, title, path, what or {})
        return
    width = console.width
    console.width = WIDTH
    try:
        with console.capture() as capture:
            _print_all(analysis, console, title, path, what or {})
    finally:
        console.width = width
    plain = "\n".join(line.rstrip() for line in capture.get().splitlines())
    console.print(Text(plain), soft_wrap=True)


def _print_all(analysis: Analysis, console: Console, title: str, path: Path | None, what: Mapping[str, object]) -> None:
    _print(console, Text(title, style="bold"))
    _print(console, Text("=" * min(len(title), console.width)))
    for block in _blocks(analysis, what, has_report=path is not None):
        _print(console, block)
    if path is not None:
        _print(console, Text(""))
        console.print(Text(f"Report: {path}"), soft_wrap=True)


def _print(console: Console, block: RenderableType) -> None:
    console.print(block, markup=False, highlight=False)


def _blocks(analysis: Analysis, what: Mapping[str, object], has_report: bool) -> Iterator[RenderableType]:
    rest = "more in the report" if has_report else "more; write a report to see them"
    yield from _varied(analysis, what)
    yield _heading("In words")
    yield _items(f"{statement.label}: {statement.text}" for statement in answer(analysis))
    yield from _gains(analysis, rest)
    yield from _effects(analysis, rest)
    yield from _findings(analysis, rest)
    yield from _verdicts(analysis, rest)
    yield from _listing("Warnings", _counted(analysis.warnings), rest)
    reasons = [f"{item.n:,} × {item.reason} ({_kinds(item.kinds)})" for item in missing(analysis)]
    total = sum(item.n for item in missing(analysis))
    yield from _listing(f"Not estimable: {words.count(total, 'quantity', 'quantities')}", reasons, rest)


def _heading(text: str) -> Text:
    return Text(f"\n{text}", style="bold")


def _items(lines: Iterable[str]) -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=1)
    grid.add_column(overflow="fold")
    for line in lines:
        grid.add_row(Text("-"), Text(line))
    return grid


def _listing(title: str, lines: Sequence[str], rest: str) -> Iterator[RenderableType]:
    if not lines:
        return
    yield _heading(title)
    shown = list(lines[:MAX_LINES])
    if len(lines) > MAX_LINES:
        shown.append(f"... and {len(lines) - MAX_LINES} {rest}")
    yield _items(shown)


def _counted(lines: Sequence[str]) -> list[str]:
    """Each distinct line once, with how often it came where that is more than once."""
    return [line if (n := lines.count(line)) == 1 else f"{line} ({n} times)" for line in dict.fromkeys(lines)]


def _kinds(kinds: Mapping[str, Sequence[str]]) -> str:
    return ", ".join(f"{kind}: {len(where):,}" if len(kinds) > 1 else kind for kind, where in kinds.items())


def _varied(analysis: Analysis, what: Mapping[str, object]) -> Iterator[RenderableType]:
    facts = [(factor, words.levels(levels, MAX_CONDITIONS)) for factor, levels in analysis.factors.items()]
    if not facts:
        facts = [("varied", "nothing: one condition")]
    facts.append(("measured", f"{words.count(len(conditions(analysis)), 'condition')}, "
                  f"{words.count(n_runs(analysis), 'run')}, {words.count(analysis.n_records, 'record')}"))  # fmt: skip
    if analysis.gains:
        facts.append(("adaptive", saved(analysis.gains)))
    facts += [(str(name), words.level(value)) for name, value in what.items()]
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts:
        grid.add_row(Text(name), Text(value))
    yield grid


def saved(gains: Sequence[CellGain]) -> str:
    """What an adaptive evaluation asked and generated of what all items would have taken; the bases are asked in full.

    What was not asked is taken to be as long as what was, cell by cell.
    """
    asked, of = (sum(counts) for counts in zip(*((cell.asked, cell.of) for cell in gains), strict=True))
    told = f"{sum(cell.stopped for cell in gains):,} of {len(gains):,} cells stopped early"
    told += f", {asked:,} of {of:,} items asked"
    tokens, in_full = sum(cell.tokens for cell in gains), sum(cell.tokens * cell.of / cell.asked for cell in gains)
    if not in_full:
        return told
    return f"{told}; {tokens:,.0f} tokens generated of about {in_full:,.0f}: {100 * (1 - tokens / in_full):.0f} % saved"


# -- gains ------------------------------------------------------------------------------------------------------------


def _gains(analysis: Analysis, rest: str) -> Iterator[RenderableType]:
    mode = main_mode(analysis)
    names = naming(analysis)
    shown = sorted((summary for summary in analysis.summaries if summary.mode == mode), key=names.order)
    for group in words.in_order(summary.group for summary in shown):
        found = [summary for summary in shown if summary.group == group]
        yield _heading(f"{words.group_word(group)}: {_common(found)}")
        kept = _shortened(found)
        yield from _gain_rows(kept, names, analysis)
        if len(kept) < len(found):
            yield Text(f"... and {len(found) - MAX_CONDITIONS} {rest}; here are the highest and the lowest gains")
    others = words.modes_in_order(summary.mode for summary in analysis.summaries if summary.mode != mode)
    if others:
        n = len(analysis.summaries) - len(shown)
        yield Text(f"... and {n} {rest}, in {' and '.join(map(mode_word, others))}")
    if shown:
        yield Text(LEGEND, style="dim")


def _common(found: Sequence[GroupSummary]) -> str:
    """What the conditions of a group share: step, runs, items; as a range where they don't."""
    steps = _range([item.step for item in found])
    runs = _range([item.n_runs for item in found])
    items = [item.n_items for item in found if item.n_items is not None]
    told = f"{_range(items)} items" if items else "number of items unknown"
    if any(item.stopped is not None for item in found):
        told += f" (the pilot; {sum(item.stopped or 0 for item in found)} cells stopped early)"
    return f"step {steps}, {runs} run{'' if runs == '1' else 's'} a condition, {told}"


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,}-{high:,}"


def _gain_rows(kept: Sequence[GroupSummary | None], names: Names, analysis: Analysis) -> Iterator[RenderableType]:
    """A table with a column a factor where they fit; else each condition on a line of its own above its numbers."""
    factors = {name: analysis.factors[name] for name in names.factors}
    titles = [short.split("_") for short in words.short_names(factors).values()]
    room = [
        max(map(len, (*title, *map(words.level, levels)))) + 1
        for title, levels in zip(titles, factors.values(), strict=True)
    ]
    cells = [None if summary is None else _gain_cells(summary) for summary in kept]
    widths = [max(map(len, column)) for column in zip(GAIN_HEADERS, *filter(None, cells), strict=True)]
    if factors and not names.sources and sum(room) + sum(widths) + len(widths) - 1 <= WIDTH:
        rows = [["..."] if summary is None else _row(summary, factors) for summary in kept]
        yield _gain_table(["\n".join(title) for title in titles], rows)
        return
    yield _gain_table([], [], widths)
    for summary, numbers in zip(kept, cells, strict=True):
        yield Text("..." if summary is None else names.condition(summary))
        if numbers is not None:
            yield _gain_table([], [numbers], widths, headed=False)


def _row(summary: GroupSummary, factors: Iterable[str]) -> list[str]:
    return [*(words.level(summary.condition.get(name)) for name in factors), *_gain_cells(summary)]


def _gain_table(
    conditions: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int] | None = None, headed: bool = True
) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False, show_header=headed)
    for header in conditions:
        table.add_column(header, overflow="fold")
    for index, header in enumerate(GAIN_HEADERS):
        side: Literal["left", "right"] = "left" if header == "phase" else "right"
        table.add_column(header, justify=side, overflow="fold", width=widths[index] if widths else None)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _gain_cells(summary: GroupSummary) -> list[str]:
    return [
        words.percent(summary.base_score),
        words.percent(summary.score),
        words.gain(summary.gain, summary.n_items),
        words.interval(summary.best_gain, bounds=False),
        words.phase(summary.phase, summary.phase_probability),
        words.tokens(summary.response_tokens),
        words.percent(summary.truncated),
        words.percent(summary.refused),
    ]


def _shortened(found: Sequence[GroupSummary]) -> list[GroupSummary | None]:
    """All conditions as they come where they are few; else those that gained most and least, with a gap between."""
    if len(found) <= MAX_CONDITIONS:
        return list(found)
    ranked = sorted(found, key=lambda item: -item.gain.value if isinstance(item.gain, Interval) else float("inf"))
    half = MAX_CONDITIONS // 2
    return [*ranked[:half], None, *ranked[-half:]]


# -- effects and verdicts ---------------------------------------------------------------------------------------------


def _effects(analysis: Analysis, rest: str) -> Iterator[RenderableType]:
    rows = effect_rows(analysis.effects)
    ranked = clearest_first(rows)
    if not rows:
        compared = any(len(levels) > 1 for levels in analysis.factors.values())
        reason = "none was asked for" if compared else "none, no factor has two levels to compare"
        yield _heading(f"Effects: {reason}")
        return
    if not ranked:
        yield _heading(f"Effects: none of {len(rows)} is estimable (the reasons are below)")
        return
    clear = sum(row.lead is not None and is_clear(row.lead) for row in ranked)
    distinct = _one_estimand_each(ranked)
    worth = sum(row.lead is not None and is_clear(row.lead) for row in distinct)
    shown = distinct[: min(MAX_EFFECTS, max(MIN_EFFECTS, worth))]
    yield _heading(f"Largest effects, clearest first ({len(ranked)} estimable, {clear} clear of zero)")
    names = naming(analysis)
    bases = [_basis(row, names) for row in shown]
    shared = [part for part in bases[0] if all(part in basis for basis in bases)]
    if shared:
        yield Text(f"All: {'; '.join(shared)}.", style="dim")
    marks = _footnotes(bases, shared)
    table = Table(box=SIMPLE_HEAD, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False)
    for header in ("effect", "group", "points", "logit", "adj. p"):
        table.add_column(header, overflow="fold", no_wrap=header in ("points", "logit", "adj. p"))
    for row, basis in zip(shown, bases, strict=True):
        own = [marks.get(part, part) for part in basis if part not in shared]
        table.add_row(*map(Text, _effect_cells(row, own, analysis)))
    yield table
    yield from (Text(f"{mark} {part}", style="dim") for part, mark in marks.items())
    if len(rows) > len(shown):
        yield Text(f"... and {len(rows) - len(shown)} {rest}")
    yield Text("Second level minus first; adj. p: Benjamini-Hochberg over the analysis, in points.", style="dim")


def _footnotes(bases: Sequence[Sequence[str]], shared: Sequence[str]) -> dict[str, str]:
    """A mark for each long part that comes more than once, so that it is said once below the table."""
    parts = [part for basis in bases for part in basis if part not in shared and len(part) > 20]
    repeated = [part for part in dict.fromkeys(parts) if parts.count(part) > 1]
    return {part: f"[{letter}]" for part, letter in zip(repeated, "abcdefghijklmnopqrstuvwxyz", strict=False)}


def _one_estimand_each(ranked: Sequence[EffectRow]) -> list[EffectRow]:
    """The same contrast in the same group once: on the gain at the last checkpoint where that is estimable."""
    first: dict[tuple[object, ...], EffectRow] = {}
    for row in ranked:
        key = (row.group, row.factors, row.contrast, row.source, row.mode)
        if key not in first or (row.estimand == "gain" and first[key].estimand != "gain"):
            first[key] = row
    return clearest_first(first.values())


def _basis(row: EffectRow, names: Names) -> list[str]:
    """What an effect rests on: estimand, number of runs, what was drawn anew, which items, source, and its notes."""
    lead = row.lead or next(iter(row.scales.values()))
    unit = row.distinct("unit")
    parts = [
        row.estimand_word,
        words.count(lead.n_runs, "run"),
        f"unit: {unit}" if unit else "",
        row.distinct("item_pool"),
        names.basis(lead),
        *row.distinct("note").split("; "),
    ]
    return list(dict.fromkeys(part for part in parts if part))


def _effect_cells(row: EffectRow, own: Sequence[str], analysis: Analysis) -> list[str]:
    what = f"{contrast_word(row, analysis.factors)}: {row.contrast}"
    return [
        f"{what}\n{'; '.join(own)}" if own else what,
        words.group_word(row.group),
        _on_scale(row.scales.get("points"), "points"),
        _on_scale(row.scales.get("logit"), "logit"),
        words.p_value(row.lead.p_adjusted if row.lead else None),
    ]


def _on_scale(effect: Effect | None, scale: str) -> str:
    return "not asked" if effect is None else words.interval(effect.estimate, scale)


def _findings(analysis: Analysis, rest: str) -> Iterator[RenderableType]:
    """Of each further question what is clearest."""
    shown = clearest(analysis, MAX_FINDINGS)
    if not shown:
        return
    n = len(estimable(analysis.findings))
    yield _heading(f"Further questions ({n} estimable, {sum(map(clear, analysis.findings))} clear after adjustment)")
    names = naming(analysis)
    for question, found in shown.items():
        yield Text(title_of(question), style="bold")
        lines = []
        for finding in found:
            where = "; ".join(part for part in (words.group_word(finding.group), where_of(finding, names)) if part)
            adjusted = f", adj. p {words.p_value(finding.p_adjusted)}" if finding.p is not None else ""
            lines.append(f"{what_of(finding)} [{where}]: {words.amount(finding.estimate, finding.unit)}{adjusted}")
        yield _items(lines)
    left = n - sum(map(len, shown.values()))
    yield Text(f"... and {left} {rest}", style="dim")


def _verdicts(analysis: Analysis, rest: str) -> Iterator[RenderableType]:
    if not analysis.verdicts:
        yield _heading("Claims: none was put to the test")
        return
    yield _heading(f"Claims: {words.count(len(analysis.verdicts), 'verdict')}")
    for verdict in analysis.verdicts:
        if verdict.decision != "not testable":
            yield Text(f"{verdict.claim}: {verdict.decision}", style="bold")
            yield Padding(Text(f"{verdict.statement}\n{verdict.reason}"), (0, 0, 0, 2))
    reasons: dict[str, list[str]] = {}
    for verdict in analysis.verdicts:
        if verdict.decision == "not testable":
            reasons.setdefault(verdict.reason, []).append(verdict.claim)
    lines = [f"{', '.join(claims)}: {reason}" for reason, claims in reasons.items()]
    yield from _listing(f"Claims that can't be tested here: {sum(map(len, reasons.values()))}", lines, rest)
