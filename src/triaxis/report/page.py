"""What stands on the page: an analysis as tables, sentences and plots that the template only has to set."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from triaxis.report import words
from triaxis.report.answer import answer
from triaxis.report.diagnostics import Diagnosed, cost_table, diagnostic_tables, why_not
from triaxis.report.digest import clearest_first, effect_rows, is_clear, main_mode, missing
from triaxis.report.findings import by_question, clear, estimable, finding_table, title_of
from triaxis.report.forest import ESTIMANDS, forest_figure
from triaxis.report.look import MAX_BANDS, MAX_PHASES, Cast, cast, swatch
from triaxis.report.names import naming
from triaxis.report.plots import Panel, Values, scores, trajectories_figure
from triaxis.report.sheet import Figure
from triaxis.report.tables import (
    Table,
    condition_table,
    effect_table,
    gain_table,
    method_parts,
    phase_table,
    places_of,
    plain_table,
    verdict_fields,
)
from triaxis.types import Analysis, Interval, Trajectory

if TYPE_CHECKING:
    from triaxis.records import CostRow, DiagnosticRow

MAX_RUNS = 1500  # trajectories of a run on a task on the page, or it would grow past 8 MB
MAX_MISSING = 20  # rows of a question that nothing answers; the section on what is missing counts all
MAX_FOREST = 40  # rows of a forest plot; the table holds all


@dataclass(frozen=True)
class Plot:
    """A figure with the id of its place, as JSON that is inert inside a script element."""

    id: str
    label: str
    height: int
    json: str


@dataclass(frozen=True)
class Legend:
    """How lines are told apart: what the looks say of factors, and every condition by number, name and look (SVG)."""

    text: str
    keys: Sequence[tuple[str, Sequence[tuple[str, str]]]]
    entries: Sequence[tuple[int, str, str]]


@dataclass(frozen=True)
class Question:
    """One of the further questions: its findings as a table, and how many could be estimated."""

    title: str
    told: str
    open: bool
    table: Table


@dataclass
class Page:
    """Everything that the template sets, in the order of the page."""

    title: str
    answer: Sequence[Any]
    legend: Legend
    estimands: Sequence[tuple[str, str]]
    plots: dict[str, Plot] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    verdicts: Sequence[Mapping[str, object]] = ()
    untested: Sequence[Mapping[str, object]] = ()
    questions: Sequence[Question] = ()
    diagnostics: Sequence[Diagnosed] = ()
    undiagnosed: Sequence[str] = ()
    missing: Sequence[Mapping[str, object]] = ()
    n_missing: int = 0
    warnings: Sequence[str] = ()
    methods: list[str] = field(default_factory=list)  # numbered from 1 in the tables of effects


def build(
    analysis: Analysis,
    *,
    title: str,
    provenance: Mapping[str, object],
    settings: Iterable[Sequence[object]],
    runs: Iterable[Sequence[object]],
    diagnostics: Sequence[DiagnosticRow] = (),
    costs: Iterable[CostRow] = (),
) -> Page:
    """Lay out the page."""
    held = [one for one in analysis.condition_trajectories or analysis.group_trajectories if one.steps]
    drawn = sorted(held, key=naming(analysis).order)
    who = cast([*drawn, *analysis.trajectories], analysis)
    asked = {effect.estimand for effect in analysis.effects}
    page = Page(
        title,
        answer(analysis),
        _legend(who),
        [(words.ESTIMAND_WORDS[name], color) for name, (color, _) in ESTIMANDS.items() if name in asked],
    )
    _add_trajectories(page, analysis, drawn, who)
    _add_effects(page, analysis)
    page.tables["conditions"] = condition_table(analysis)
    page.tables["gains"] = gain_table(analysis)
    told = [verdict_fields(item) for item in analysis.verdicts]
    page.verdicts = [item for item in told if item["decision"] != "not testable"]
    page.untested = [item for item in told if item["decision"] == "not testable"]
    page.questions = _questions(analysis)
    found = missing(analysis)
    page.missing = [
        {"reason": item.reason, "n": item.n, "kinds": [places_of(*kind) for kind in item.kinds.items()]}
        for item in found
    ]
    page.n_missing = sum(item.n for item in found)
    page.warnings = [
        line if (n := analysis.warnings.count(line)) == 1 else f"{line} ({n} times)"
        for line in dict.fromkeys(analysis.warnings)
    ]
    page.tables["settings"] = plain_table(("setting", "value", "from"), settings)
    page.tables["runs"] = plain_table(("run", "state", "cost"), runs)
    ours = {one.run for one in analysis.trajectories}  # a folder may also hold runs of an earlier version of the study
    told_of = [row for row in diagnostics if row.run in ours]
    page.diagnostics, page.undiagnosed = diagnostic_tables(analysis, told_of), why_not(told_of)
    page.tables["phase costs"] = plain_table(("phase", "CPU", "share", "tokens"), cost_table(costs))
    known = {
        "records": f"{analysis.n_records:,}",
        "analysis seed": str(analysis.seed),
        "methods": _methods(analysis),
    }
    facts = {**provenance, **{name: value for name, value in known.items() if name not in provenance}}
    page.tables["provenance"] = plain_table(("what", "value"), facts.items())
    return page


def _legend(who: Cast) -> Legend:
    keys = [(name, [(level, swatch(2, 6, style)) for level, style in levels]) for name, levels in who.legend.factors]
    entries = [(number, who.names[key], swatch(2, 6, style)) for number, (key, style) in enumerate(who.styles.items())]
    return Legend(who.legend.text, keys, entries)


def _plot(name: str, label: str, figure: Figure) -> Plot:
    text = json.dumps(figure, ensure_ascii=True, allow_nan=False, separators=(",", ":"), sort_keys=True)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Plot(name, label, figure["layout"]["height"], text)


# -- trajectories -----------------------------------------------------------------------------------------------------


def _add_trajectories(page: Page, analysis: Analysis, drawn: Sequence[Trajectory], who: Cast) -> None:
    if not drawn:
        return
    mode = main_mode(analysis)
    groups = words.in_order(one.group for one in drawn)
    shown = [one for group in groups for one in drawn if one.group == group and one.mode == mode]
    panels = _wrapped_panels(_by_group(shown), phases=True)
    page.plots["groups"] = _plot("groups", "Score over steps by task group", trajectories_figure(panels, who))
    if max(len(found) for found in _by_group(shown).values()) <= MAX_PHASES:
        page.notes["phases"] = "At the end of a line stands its phase with its probability."
    if len(who.styles) > MAX_BANDS:
        page.notes["bands"] = (
            f"With {len(who.styles)} conditions the interval bands are left out; point at a line for its interval."
        )
    page.tables["phases"] = phase_table(shown, analysis)
    others = [one for one in drawn if one.mode != mode]
    if others:
        titled: dict[str, list[Trajectory]] = {}
        for group, found in _by_group(others).items():
            for name in words.modes_in_order(one.mode for one in found):
                titled[f"{group}, {name} mode"] = [one for one in found if one.mode == name]
        page.plots["modes"] = _plot(
            "modes", "Score in the other modes", trajectories_figure(_wrapped_panels(titled), who)
        )
    _add_tasks(page, analysis, mode, who)
    _add_rows(page, shown, who)


def _by_group(trajectories: Sequence[Trajectory]) -> dict[str, list[Trajectory]]:
    groups = words.in_order(one.group for one in trajectories)
    return {words.group_word(group): [one for one in trajectories if one.group == group] for group in groups}


def _wrapped_panels(titled: Mapping[str, Sequence[Trajectory]], columns: int = 3, phases: bool = False) -> list[Panel]:
    columns = min(columns, 2 if len(titled) in (2, 4) else 3)
    return [
        Panel(title, found, scores, "accuracy, %", index // columns, index % columns, phases=phases)
        for index, (title, found) in enumerate(titled.items())
    ]


def _add_tasks(page: Page, analysis: Analysis, mode: str, who: Cast) -> None:
    runs = [one for one in analysis.trajectories if one.steps]
    if len(runs) > MAX_RUNS:
        page.notes["tasks"] = (
            f"Here are the first {MAX_RUNS:,} of {len(runs):,}; the JSON of the analysis holds them all."
        )
        runs = runs[:MAX_RUNS]
    tasks: dict[str, list[Trajectory]] = {}
    for group in words.in_order(one.group for one in runs):
        for one in runs:
            if one.group == group and one.mode == mode:
                tasks.setdefault(f"{one.task} ({words.group_word(group)})", []).append(one)
    if tasks:
        page.plots["tasks"] = _plot(
            "tasks",
            "Score over steps by task, a line a run",
            trajectories_figure(_wrapped_panels(tasks), who, runs=True),
        )
    if runs:
        page.tables["tasks"] = phase_table(runs, analysis)


def _add_rows(page: Page, shown: Sequence[Trajectory], who: Cast) -> None:
    """Length, truncation, refusal; and accuracy as run over that of the finished: a row each, a column a group."""
    measured: list[tuple[str, Values, bool]] = [
        ("tokens", lambda one: one.response_tokens, False),
        ("truncated, %", lambda one: one.truncated, True),
        ("refused, %", lambda one: one.refused, True),
    ]
    finished: list[tuple[str, Values, bool]] = [
        ("as run, %", scores, True),
        ("finished, %", lambda one: one.accuracy_finished, True),
    ]
    for name, label, rows in (
        ("costs", "Response length, truncation and refusal", measured),
        ("finished", "Accuracy as run and of the finished", finished),
    ):
        rows = [row for row in rows if any(value is not None for one in shown for value in row[1](one))]
        if len(rows) == 0 or (name == "finished" and len(rows) == 1):
            continue
        panels = []
        for at, (y_title, values, percent) in enumerate(rows):
            top = _top(shown, values, percent)
            for column, (title, found) in enumerate(_by_group(shown).items()):
                panels.append(Panel(title if at == 0 else "", found, values, y_title, at, column, top, percent))
        page.plots[name] = _plot(name, label, trajectories_figure(panels, who, panel_height=170))


# -- effects, conditions, verdicts ------------------------------------------------------------------------------------


def _top(trajectories: Sequence[Trajectory], values: Values, percent: bool) -> float:
    """One end for the y axes of a row, so that its panels compare: all of it for accuracy, else what is needed."""
    held = [item.value if isinstance(item, Interval) else item for one in trajectories for item in values(one)]
    most = max((item for item in held if item is not None), default=0.0)
    return (1.0 if most > 0.5 else max(0.1, 1.15 * most)) if percent else max(1.0, 1.1 * most)


def _add_effects(page: Page, analysis: Analysis) -> None:
    rows = effect_rows(analysis.effects)
    for name, found in (
        ("effects", [row for row in rows if len(row.factors) < 2]),
        ("interactions", [row for row in rows if len(row.factors) > 1]),
    ):
        ranked = clearest_first(found)
        clear = sum(row.lead is not None and is_clear(row.lead) for row in ranked)
        page.notes[name] = (
            f"{len(ranked)} of {len(found)} estimable, {clear} clear of zero (adjusted p below .05, in points)."
        )
        if ranked:
            page.plots[name] = _plot(
                name,
                "Effects with their intervals, in points and log odds",
                forest_figure(ranked[:MAX_FOREST], analysis),
            )
        if len(ranked) > MAX_FOREST:
            page.notes[name] += f" The {MAX_FOREST} clearest are drawn; the table has all."
        if ranked:
            page.tables[name] = effect_table(ranked, analysis, page.methods)
        if without := [row for row in found if row.lead is None]:
            page.tables[f"{name}-missing"] = effect_table(without, analysis, page.methods)


def _questions(analysis: Analysis) -> list[Question]:
    names, found = naming(analysis), []
    for question, own in by_question(analysis.findings).items():
        known = estimable(own)
        told = f"{len(known)} of {words.count(len(own), 'quantity', 'quantities')} estimable"
        n_clear = sum(clear(finding) for finding in own)
        told += f", {n_clear} clear after adjustment" if any(finding.p is not None for finding in own) else ""
        shown = own if known else own[:MAX_MISSING]
        found.append(Question(title_of(question), told, bool(n_clear), finding_table(shown, names)))
    return found


def _methods(analysis: Analysis) -> str:
    used = dict.fromkeys(method_parts(effect.method)[0] for effect in analysis.effects if effect.method)
    return "; ".join(used) or "none was needed"
