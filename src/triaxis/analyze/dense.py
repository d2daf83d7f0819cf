"""From the long table to dense arrays: for each run, task and mode the scores at each step on each item.

Strings become codes once; one `bincount` a task makes all its cells, so 10^7 rows take seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from triaxis.analyze.coding import Coded, Ints, coded, combine, first_row, numbers
from triaxis.analyze.judged import JudgedTask, apart, with_judged
from triaxis.records.columns import is_factor
from triaxis.stats.intervals import Floats
from triaxis.types import Level, Outcome, TriaxisError

if TYPE_CHECKING:
    from triaxis.records import Table

ACCURACY = "accuracy"
ROUNDING = 1e-9  # of a square: less is what rounding leaves, and that depends on the order of the rows
OUTCOMES = (Outcome.TRUNCATED, Outcome.UNPARSED, Outcome.REFUSED)  # whose shares are measured
RESPONSES = ("response_tokens", *(outcome.value for outcome in OUTCOMES), "finished")
AVERAGED = (  # further columns, averaged over the rows of a checkpoint that have them
    "tokens",
    "epoch",
    "loss",
    "token_accuracy",
    "log_probability",
    "sharpness",
    "copied",
    "verified_steps",
)
COUNTED = ("response_tokens", "verified_steps")  # whose means are a sample of items too, with a variance of their own
VARIANCES = {name: f"{name}_variance" for name in COUNTED}
MEASURES = (*RESPONSES, *AVERAGED, *VARIANCES.values())


@dataclass(frozen=True, eq=False)
class Curve:
    """One run (or base) on one task in one mode, at the steps where it was scored; rows are in order of step.

    `items` are scores averaged over samples, steps x items of the task, NaN where an item is missing; None for
    summaries. `measures` has every name of MEASURES, a number a step, NaN where the table doesn't have it; its
    `finished` is the mean score of the responses that ended; a `_variance` is that of a mean over the items.
    """

    steps: Ints
    scores: Floats  # mean over items
    items: Floats | None
    n_items: Floats  # NaN: unknown
    samples: Floats
    measures: Mapping[str, Floats]


@dataclass(frozen=True, eq=False)
class Series:
    """A run's curve on one task in one mode, its base at step 0 in front where there is one."""

    run: str
    seed: int
    base: str
    source: str
    condition: Mapping[str, Level]  # the factors that vary in the table
    fixed: Mapping[str, Level]  # those that don't
    task: str
    group: str
    mode: str
    metric: str
    variant: tuple[str, str]  # the task whose surface this one varies, and what of it; empty: none
    curve: Curve
    item_ids: NDArray[np.object_]  # of the curve's items

    @property
    def has_base(self) -> bool:
        return int(self.curve.steps[0]) == 0


@dataclass(frozen=True, eq=False)
class Panel:
    """All series of a table, and the curves of the bases by (source, base, task, mode)."""

    series: tuple[Series, ...]
    bases: Mapping[tuple[str, str, str, str], Curve]
    factors: Mapping[str, tuple[Level, ...]]
    n_records: int
    warnings: list[str]
    judged: tuple[JudgedTask, ...] = ()


def build(table: Table) -> Panel:
    """The panel of a validated table, of an adaptive evaluation on its pilot items alone.

    Raises TriaxisError where an accuracy is said to be better when lower.
    """
    _refuse_lower_accuracy(table.arrow)
    told: list[str] = []
    arrow, judged = with_judged(apart(pilot_rows(table.arrow), told), told)
    factors = dict(table.factors)
    columns = {
        name: coded(arrow, name, default)
        for name, default in [
            ("source", ""),
            ("run", ""),
            ("task", ""),
            ("mode", "default"),
            ("group", "ungrouped"),
            ("metric", ACCURACY),
            ("item", ""),
            ("outcome", ""),
            ("seed", 0),
            ("model.base", ""),
            ("variant_of", ""),
            ("variant", ""),
        ]
    }
    step = coded(arrow, "step", 0)
    owner_codes, owner = combine(columns["source"], columns["run"], _base_of_base_rows(columns))
    owners = _owners(arrow, columns, owner_codes, owner, factors)
    curves: dict[tuple[int, str, str], _Built] = {}
    cell_codes, cell = combine(Coded(owner, list(range(len(owner_codes)))), columns["task"], columns["mode"], step)
    measures = _measures(arrow, columns)
    first = first_row(cell, len(cell_codes))
    for task in np.unique(cell_codes[:, 1]):
        of_task = np.flatnonzero(cell_codes[:, 1] == task)
        for which, built in _task_curves(of_task, cell_codes, cell, step, columns, measures, first):
            curves[which] = built
    panel = _join(curves, owners, columns, factors, table.n_rows)
    panel.warnings.extend(told)
    return replace(panel, judged=judged)


def pilot_rows(arrow: pa.Table) -> pa.Table:
    """The rows that ordinary statistics may read: all but those of items that an adaptive evaluation asks of some
    checkpoints and not of others, which depends on what was answered (analyze/stopped.py)."""
    if "pilot" not in arrow.column_names:
        return arrow
    return arrow.filter(pc.fill_null(arrow.column("pilot"), True))


def _refuse_lower_accuracy(arrow: pa.Table) -> None:
    """Verdicts take a larger accuracy for the better one: read the other way round they would be false."""
    if "higher_is_better" not in arrow.column_names:
        return
    wrong = pc.invert(pc.fill_null(arrow.column("higher_is_better"), True))
    if "metric" in arrow.column_names:
        wrong = pc.and_(wrong, pc.equal(arrow.column("metric").cast(pa.string()), ACCURACY))
    tasks = arrow.column("task").filter(wrong)
    if len(tasks):
        raise TriaxisError(f"task {tasks[0].as_py()}: {ACCURACY} with higher_is_better 0; give 1 - score")


def _base_of_base_rows(columns: Mapping[str, Coded]) -> Coded:
    """model.base on the rows with an empty run, so that each base is an owner of its own; elsewhere one code."""
    run, base = columns["run"], columns["model.base"]
    is_base_row = np.array([value == "" for value in run.values])[run.codes]
    return Coded(np.where(is_base_row, base.codes, len(base.values)), [*base.values, None])


@dataclass(frozen=True)
class _Owner:
    """A run, or a base (`run` empty)."""

    source: str
    run: str
    seed: int
    base: str
    condition: Mapping[str, Level]
    fixed: Mapping[str, Level]


def _owners(
    arrow: pa.Table, columns: Mapping[str, Coded], codes: Ints, owner: Ints, factors: Mapping[str, tuple[Level, ...]]
) -> list[_Owner]:
    rows = pa.array(first_row(owner, len(codes)))
    levels = {name: arrow.column(name).take(rows).to_pylist() for name in filter(is_factor, arrow.column_names)}
    found = []
    for i, row in enumerate(rows.to_pylist()):
        told = {name: values[i] for name, values in levels.items() if values[i] is not None}
        condition, fixed = ({n: v for n, v in told.items() if (n in factors) == varies} for varies in (True, False))
        at = {name: columns[name].values[columns[name].codes[row]] for name in ("source", "run", "seed", "model.base")}
        found.append(
            _Owner(str(at["source"]), str(at["run"]), int(at["seed"]), str(at["model.base"]), condition, fixed)
        )
    return found


@dataclass(frozen=True, eq=False)
class _Built:
    """A curve with what its first row says of it."""

    curve: Curve
    item_ids: NDArray[np.object_]
    group: str
    metric: str
    variant: tuple[str, str]


@dataclass(frozen=True, eq=False)
class _Measures:
    """What is averaged in each cell, row by row."""

    score: Floats
    averaged: Mapping[str, Floats]  # columns that the table has, NaN where a cell is empty
    has_outcome: NDArray[np.bool_]
    flags: Mapping[str, NDArray[np.bool_]]
    is_record: NDArray[np.bool_]
    n_items: Floats
    samples: Floats


def _measures(arrow: pa.Table, columns: Mapping[str, Coded]) -> _Measures:
    outcome = columns["outcome"]

    def is_(value: str) -> NDArray[np.bool_]:
        return np.array([v == value for v in outcome.values])[outcome.codes]

    return _Measures(
        score=numbers(arrow, "score"),
        averaged={name: numbers(arrow, name) for name in _averaged(arrow)},
        has_outcome=~is_(""),
        flags={name: is_(name) for name in OUTCOMES},
        is_record=np.array([value != "" for value in columns["item"].values])[columns["item"].codes],
        n_items=numbers(arrow, "n_items"),
        samples=numbers(arrow, "samples_per_item"),
    )


def _averaged(arrow: pa.Table) -> list[str]:
    """The columns to average that the table has: one that is empty throughout costs nothing."""
    there = [name for name in ("response_tokens", *AVERAGED) if name in arrow.column_names]
    return [name for name in there if arrow.column(name).null_count < arrow.num_rows]


def _share(above: Floats, below: Floats) -> Floats:
    out: Floats = np.full(len(below), np.nan)
    np.divide(above, below, out=out, where=below > 0)
    return out


def _of_mean(squares: Floats, n: Floats, samples: Floats) -> Floats:
    """The variance of a mean over items from that of single responses: exact with one response an item, with several an
    upper bound (an item's mean varies less than its responses). NaN with fewer than two responses.
    """
    return np.where(n > 1, squares.clip(min=0) * samples / np.maximum(n - 1, 1), np.nan)


def _task_curves(
    of_task: Ints,
    cell_codes: Ints,
    cell: Ints,
    step: Coded,
    columns: Mapping[str, Coded],
    measures: _Measures,
    first: Ints,
) -> Sequence[tuple[tuple[int, str, str], _Built]]:
    """The curves of one task: all its cells (owner, mode, step) at once."""
    n = len(of_task)
    local = np.full(len(cell_codes), -1, dtype=np.int64)
    local[of_task] = np.arange(n)
    rows = np.flatnonzero(local[cell] >= 0)
    at = local[cell[rows]]

    items, ids, per_item_samples = _item_scores(rows, at, n, columns["item"], measures)
    measured = _measured(rows, at, n, measures, per_item_samples)
    score = measures.score[rows]
    mean_score = _share(_sums(at, n, score), _sums(at, n))
    found = []
    owner_mode, inverse = np.unique(cell_codes[of_task][:, [0, 2]], axis=0, return_inverse=True)
    steps = np.array([int(value) for value in step.values], dtype=np.int64)[cell_codes[of_task, 3]]
    for i, (owner, _) in enumerate(owner_mode):
        mine = np.flatnonzero(inverse.ravel() == i)
        mine = mine[np.argsort(steps[mine])]
        row = first[of_task[mine]]
        record = items is not None and bool(measures.is_record[row].all())
        scores = items[mine] if record and items is not None else None
        curve = Curve(
            steps=steps[mine],
            scores=np.nanmean(scores, axis=1) if scores is not None else mean_score[mine],
            items=scores,
            n_items=np.sum(~np.isnan(scores), axis=1).astype(float) if scores is not None else measures.n_items[row],
            samples=per_item_samples[mine] if record else measures.samples[row],
            measures={name: values[mine] for name, values in measured.items()},
        )

        def said(name: str, at: int = row[0]) -> str:
            return str(columns[name].values[columns[name].codes[at]])

        built = _Built(curve, ids, said("group"), said("metric"), (said("variant_of"), said("variant")))
        found.append(((int(owner), said("task"), said("mode")), built))
    return found


def _sums(at: Ints, n: int, values: Floats | None = None) -> Floats:
    return np.bincount(at, weights=values, minlength=n).astype(np.float64)


def _measured(rows: Ints, at: Ints, n: int, measures: _Measures, samples: Floats) -> dict[str, Floats]:
    """Each of MEASURES in each cell (cells,), NaN where the table doesn't have it."""
    has = measures.has_outcome[rows]
    ended = has & ~measures.flags[Outcome.TRUNCATED][rows]

    def mean(values: Floats, among: NDArray[np.bool_]) -> Floats:
        return _share(_sums(at, n, np.where(among, values, 0.0)), _sums(at, n, among.astype(float)))

    found = {name: np.full(n, np.nan) for name in MEASURES}
    found |= {str(name): mean(flag[rows].astype(float), has) for name, flag in measures.flags.items()}
    found["finished"] = mean(measures.score[rows], ended)
    for name, column in measures.averaged.items():
        values = column[rows]
        known = ~np.isnan(values)
        found[name] = mean(values, known)
        if name in COUNTED:
            squares = mean(values * values, known) - found[name] ** 2
            squares = np.where(squares > ROUNDING * found[name] ** 2, squares, 0.0)  # what is left of equal counts
            found[VARIANCES[name]] = _of_mean(squares, _sums(at, n, known.astype(float)), samples)
    return found


def _item_scores(
    rows: Ints, at: Ints, n: int, item: Coded, measures: _Measures
) -> tuple[Floats | None, NDArray[np.object_], Floats]:
    """Mean score of each cell on each item (cells x items, NaN where missing), the items' ids, samples an item."""
    record = measures.is_record[rows]
    empty = np.array([], dtype=object)
    if not record.any():
        return None, empty, np.full(n, np.nan)
    codes = item.codes[rows[record]]
    kept, local = np.unique(codes, return_inverse=True)
    ids = np.array([str(item.values[code]) for code in kept], dtype=object)
    order = np.argsort(ids)  # in order of id: permuting the rows of the table changes nothing
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    key = at[record] * len(kept) + rank[local]
    shape = (n, len(kept))
    counts = np.bincount(key, minlength=n * len(kept)).reshape(shape).astype(np.float64)
    sums = np.bincount(key, weights=measures.score[rows[record]], minlength=n * len(kept)).reshape(shape)
    means = np.divide(sums, counts, out=np.full(shape, np.nan), where=counts > 0)
    samples = counts.sum(axis=1) / np.maximum((counts > 0).sum(axis=1), 1)
    return means, ids[order], samples


def _join(
    curves: Mapping[tuple[int, str, str], _Built],
    owners: Sequence[_Owner],
    columns: Mapping[str, Coded],
    factors: Mapping[str, tuple[Level, ...]],
    n_records: int,
) -> Panel:
    """Each run's curve with its base in front: its own step 0, else the base rows of its source and model.base."""
    bases = {
        (owners[which].source, owners[which].base, task, mode): built.curve
        for (which, task, mode), built in curves.items()
        if owners[which].run == ""
    }
    series = []
    for (which, task, mode), built in curves.items():
        owner, curve = owners[which], built.curve
        if owner.run == "":
            continue
        base = bases.get((owner.source, owner.base, task, mode))
        if curve.steps[0] != 0 and base is not None and (base.items is None) == (curve.items is None):
            curve = _stack(base, curve)
        series.append(
            Series(
                run=owner.run,
                seed=owner.seed,
                base=owner.base,
                source=owner.source,
                condition=owner.condition,
                fixed=owner.fixed,
                task=task,
                group=built.group,
                mode=mode,
                metric=built.metric,
                variant=built.variant,
                curve=curve,
                item_ids=built.item_ids,
            )
        )
    with_runs = {owner.source for owner in owners if owner.run}
    told = [
        f"{source or 'the table'}: base rows only, no run to compare with them"
        for source in sorted({owner.source for owner in owners} - with_runs)
    ]
    series.sort(key=lambda s: (s.source, s.run, s.mode, s.group, s.task))
    return Panel(tuple(series), bases, factors, n_records, told)


def _stack(base: Curve, curve: Curve) -> Curve:
    items = None if base.items is None or curve.items is None else np.concatenate([base.items[:1], curve.items])

    def both(first: Floats, rest: Floats) -> Floats:
        return np.concatenate([first[:1], rest])

    return Curve(
        steps=np.concatenate([base.steps[:1], curve.steps]),
        scores=both(base.scores, curve.scores),
        items=items,
        n_items=both(base.n_items, curve.n_items),
        samples=both(base.samples, curve.samples),
        measures={name: both(base.measures[name], curve.measures[name]) for name in MEASURES},
    )
