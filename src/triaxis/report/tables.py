"""The tables of the page: every field of the findings as text, with the number that a column is sorted by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from triaxis.report import words
from triaxis.report.digest import EffectRow, contrast_word, is_clear
from triaxis.report.names import Names, mode_word, naming
from triaxis.types import Analysis, Dip, Effect, GroupSummary, Interval, NotEstimable, Trajectory, Verdict

MAX_GAINS = 1000  # rows of the gains of an adaptive evaluation
MAX_PLACES = 200  # places named for one reason and kind of what is not estimable; all are counted
PHASE_TITLES = (
    "trajectory",
    "phase",
    "dipped (probability)",
    "bottom at step",
    "depth, points",
    "truncated part of the dip, %",
    "regained ground (probability)",
    "net gain, points",
    "items",
    "extra checkpoint sd τ, points (from)",
)
EFFECT_TITLES = (
    "factors",
    "contrast",
    "group",
    "estimand",
    "points [95 %]",
    "p",
    "adjusted p",
    "log odds [95 %]",
    "p",
    "adjusted p",
    "unit (units)",
    "runs",
    "items",
    "method",
    "note",
)
CONDITION_TITLES = (
    "group",
    "condition",
    "step",
    "runs",
    "items",
    "base, %",
    "score, %",
    "gain, points [95 %]",
    "best gain, points [95 %]",
    "phase",
    "tokens",
    "truncated, %",
    "unparsed, %",
    "refused, %",
    "of the finished, %",
)


@dataclass(frozen=True)
class Cell:
    """A cell of a table: its text, and a number to sort by where the text is no number."""

    text: str
    sort: float | None = None
    strong: bool = False


@dataclass(frozen=True)
class Table:
    """A table for the template: titles, which columns are numbers, rows of cells."""

    titles: Sequence[str]
    numeric: frozenset[int]
    rows: Sequence[Sequence[Cell]]


def phase_table(trajectories: Sequence[Trajectory], analysis: Analysis) -> Table:
    names = naming(analysis)
    rows = []
    for one in trajectories:
        dip = one.dip if isinstance(one.dip, Dip) else None
        rows.append(
            [
                Cell(names.trajectory(one)),
                Cell(words.phase(one.phase, one.phase_probability), one.phase_probability),
                _number(
                    words.probability(dip.probability) if dip else words.NOT_ESTIMABLE, dip.probability if dip else None
                ),
                Cell(
                    words.NOT_RECORDED if dip is None or dip.step is None else f"{dip.step:,}",
                    None if dip is None else dip.step,
                ),
                _change(dip.depth if dip else None),
                _number(*_share_of(dip.truncation_share if dip else None)),
                _number(*_chance(one.regain_probability)),
                _change(one.net_gain),
                _items(one.n_items, sum(one.stopped) if one.stopped else None),
                Cell(words.NOT_RECORDED if one.tau is None else f"{100 * one.tau:.1f} ({one.tau_from})", one.tau),
            ]
        )
    return Table(PHASE_TITLES, frozenset(range(2, 10)), rows)


def _items(n: int | None, stopped: int | None) -> Cell:
    """How many items it is inferred from, flagged where some of its cells were stopped early (adaptive evaluation)."""
    early = f" (pilot; {stopped} cells stopped early)" if stopped else " (pilot)" if stopped is not None else ""
    return Cell("unknown" if n is None else f"{n:,}{early}", n)


def _number(text: str, sort: float | None) -> Cell:
    return Cell(text, sort)


def _share_of(finding: object) -> tuple[str, float | None]:
    return (words.percent(finding), finding) if isinstance(finding, float | int) else (words.NOT_ESTIMABLE, None)


def _chance(finding: object) -> tuple[str, float | None]:
    return (words.probability(finding), finding) if isinstance(finding, float | int) else (words.NOT_ESTIMABLE, None)


def _change(finding: object, n_items: int | None = 0) -> Cell:
    if not isinstance(finding, Interval):
        return Cell(words.NOT_ESTIMABLE)
    return Cell(words.gain(finding, n_items), finding.value)


def effect_table(rows: Sequence[EffectRow], analysis: Analysis, methods: list[str]) -> Table:
    """Effects with every field. Methods are given by their number in `methods`, which takes on those it lacks."""
    cells = []
    names = naming(analysis)
    for row in rows:
        lead = row.lead or next(iter(row.scales.values()))
        methods += [name for name, _ in _methods(row) if name not in methods]
        cells.append(
            [
                Cell(contrast_word(row, analysis.factors)),
                Cell(row.contrast),
                Cell(words.group_word(row.group)),
                Cell(row.estimand if row.step is None else f"{row.estimand}, step {row.step:,}"),
                *_scale_cells(row.scales.get("points"), "points"),
                *_scale_cells(row.scales.get("logit"), "logit"),
                Cell(
                    f"{row.distinct('unit')} ({row.distinct('n_units')})" if row.lead else words.NOT_RECORDED,
                    lead.n_units,
                ),
                Cell(row.distinct("n_runs") if row.lead else words.NOT_RECORDED, lead.n_runs),
                Cell(row.distinct("item_pool")),
                Cell("; ".join(_numbered(*method, methods) for method in _methods(row)) or words.NOT_RECORDED),
                Cell("; ".join(part for part in (names.basis(lead), row.distinct("note"), *_reasons(row)) if part)),
            ]
        )
    return Table(EFFECT_TITLES, frozenset((4, 5, 6, 7, 8, 9, 11)), cells)


def _reasons(row: EffectRow) -> list[str]:
    """Why a scale of an effect is not estimable."""
    missing = [effect.estimate for effect in row.scales.values() if isinstance(effect.estimate, NotEstimable)]
    return list(dict.fromkeys(f"not estimable: {finding.reason}" for finding in missing))


def method_parts(method: str) -> tuple[str, str]:
    """A method and what of it is this effect's own: "OLS on run gains" and "t with 18.7 df"."""
    name, _, own = method.partition(", t with ")
    return name, f"t with {own}" if own else ""


def _methods(row: EffectRow) -> list[tuple[str, str]]:
    return list(dict.fromkeys(method_parts(effect.method) for effect in row.scales.values() if effect.method))


def _numbered(name: str, own: str, methods: Sequence[str]) -> str:
    return f"{methods.index(name) + 1}{f', {own}' if own else ''}"


def _scale_cells(effect: Effect | None, scale: str) -> list[Cell]:
    if effect is None:
        return [Cell("not asked"), Cell(words.NOT_RECORDED), Cell(words.NOT_RECORDED)]
    estimate = effect.estimate
    return [
        Cell(
            words.interval(estimate, scale),
            estimate.value if isinstance(estimate, Interval) else None,
            is_clear(effect),
        ),
        Cell(words.p_value(effect.p), effect.p),
        Cell(words.p_value(effect.p_adjusted), effect.p_adjusted),
    ]


def condition_table(analysis: Analysis) -> Table:
    """Each condition in each group at its last checkpoint, with every field."""
    names = naming(analysis)
    groups = words.in_order(item.group for item in analysis.summaries)
    ordered = sorted(analysis.summaries, key=names.order)
    rows = [_condition_row(item, names) for group in groups for item in ordered if item.group == group]
    return Table(CONDITION_TITLES, frozenset((2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14)), rows)


def _condition_row(item: GroupSummary, names: Names) -> list[Cell]:
    shares = (item.truncated, item.unparsed, item.refused, item.accuracy_finished)
    return [
        Cell(words.group_word(item.group)),
        Cell(", ".join(part for part in (names.condition(item), mode_word(item.mode)) if part)),
        Cell(f"{item.step:,}", item.step),
        Cell(str(item.n_runs), item.n_runs),
        _items(item.n_items, item.stopped),
        Cell(words.percent(item.base_score), item.base_score),
        Cell(words.percent(item.score), item.score),
        _change(item.gain, item.n_items),
        _change(item.best_gain, item.n_items),
        Cell(words.phase(item.phase, item.phase_probability)),
        Cell(words.tokens(item.response_tokens), item.response_tokens),
        *(Cell(words.percent(share), share) for share in shares),
    ]


def gain_table(analysis: Analysis) -> Table:
    """Of an adaptive evaluation the gain of each run on each task at its last checkpoint; the JSON has all."""
    last: dict[tuple[str, str], int] = {}
    for cell in analysis.gains:
        last[cell.source, cell.run] = max(cell.step, last.get((cell.source, cell.run), 0))
    shown = [cell for cell in analysis.gains if cell.step == last[cell.source, cell.run]][:MAX_GAINS]
    rows = [
        [
            Cell(cell.run),
            Cell(f"{cell.task}{f', {mode}' if (mode := mode_word(cell.mode)) else ''}"),
            Cell(f"{cell.step:,}", cell.step),
            Cell(f"{cell.asked:,} of {cell.of:,}", cell.asked),
            _change(cell.gain),
            Cell(cell.settled or "not settled"),
        ]
        for cell in shown
    ]
    return Table(("run", "task", "step", "items asked", "gain, points", "settled"), frozenset((2, 3, 4)), rows)


def verdict_fields(verdict: Verdict) -> Mapping[str, object]:
    smallest = verdict.smallest_effect
    return {
        "claim": verdict.claim,
        "statement": verdict.statement,
        "decision": verdict.decision,
        "reason": verdict.reason,
        "estimand": verdict.estimand,
        "estimate": words.amount(verdict.estimate, verdict.scale),
        "smallest": "not stated"
        if smallest is None
        else words.amount(Interval(smallest, smallest, smallest), verdict.scale, bounds=False),
        "p": words.p_value(verdict.p),
        "p_holm": words.p_value(verdict.p_holm),
        "rests": f"{words.count(verdict.n_runs, 'run')}; {verdict.method}" if verdict.n_runs else "",
        "source": verdict.source or "not stated",
        "excludes": ", ".join(verdict.excludes),
    }


def places_of(kind: str, places: Sequence[str]) -> Mapping[str, object]:
    distinct = list(dict.fromkeys(places))
    shown, left = distinct[:MAX_PLACES], len(distinct) - MAX_PLACES
    return {"kind": kind, "n": len(places), "places": [*shown, f"... and {left} more"] if left > 0 else shown}


def plain_table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    return Table(titles, frozenset(), [[Cell(words.level(value)) for value in row] for row in rows])
