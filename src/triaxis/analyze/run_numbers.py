"""Any number that a run gives, with its interval over a condition's runs, between conditions, and as a ratio."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from triaxis.analyze.contrasts import LEAST_VARIANCE, NEAR, NO_ERROR, ONE_SEED, ONE_TRUNK, Asked, base_of
from triaxis.analyze.design import Target
from triaxis.analyze.estimands import Summary, at_steps, halves, responses, slope
from triaxis.analyze.paths import NO_BASE, Path, by_condition, comparable
from triaxis.stats.effects import Contrasts, Units, contrast
from triaxis.stats.intervals import Floats, satterthwaite, t_interval, t_p_value
from triaxis.stats.paired import Strata, Variance, crossed_variance, mean_covariance
from triaxis.stats.ratio import Pair, fieller
from triaxis.types import Finding, Interval, NotEstimable, Scale

LARGE = 1e9  # degrees of freedom of a normal
THIS_RUN = "one seed: speaks of this run, on items like these"
NOT_CLEAR = "not clear of 0"
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Number:
    """A number of one run. With `per_item` it is the mean of that over the items of `strata`.

    `least` is the least variance it can have (half a pseudo-item a score). `own` and `base` are what sampling gives the
    run's own scores and its base's, for where there are no items; NaN where that isn't known.
    """

    value: float
    per_item: Floats | None = None
    strata: Strata | None = None
    items: tuple[str, ...] = ()
    least: float = 0.0
    own: float = 0.0
    base: float = 0.0
    n_items: int = 0  # items behind it; 0 where that isn't known

    @property
    def summary(self) -> Summary:
        return Summary(self.value, self.per_item)


@dataclass(frozen=True)
class Answer:
    """An interval with what stands behind it."""

    estimate: Interval | NotEstimable
    p: float | None = None
    df: float = 0.0
    variance: float = 0.0
    sampled: str = "run"
    n_runs: int = 0
    items: bool = False  # whether other items would be as good as these
    note: str = ""
    n_items: int = 0  # of one run's numbers

    def told(self, finding: Finding, what: str) -> Finding:
        """The finding with this answer in it; `what` is the number that was taken of each run."""
        known = not isinstance(self.estimate, NotEstimable)
        how = f"t with {self.df:.1f} df" if self.df < LARGE else "normal"
        if self.sampled.startswith("run"):
            over = f"mean over runs, {how}{', crossed with items' if self.items else ''}"
        else:
            over = f"over the items of one run, {how}" if self.items else f"one run, unpaired binomial errors, {how}"
        return replace(
            finding,
            estimate=self.estimate,
            p=self.p,
            sampled=self.sampled,
            n_units=self.n_items if self.sampled == "item" else self.n_runs,
            n_runs=self.n_runs,
            item_pool="items like these" if self.items or self.sampled == "item" else "this item pool",
            method=f"{what}, {over}" if known else what,
            note="; ".join(filter(None, [finding.note, self.note])),
        )


def logit_or_points(path: Path, score: float, scale: Scale) -> tuple[float, float]:
    """A score on a scale (half a response added to right and to wrong), and how it changes with the score."""
    if scale == "points":
        return score, 1.0
    n = responses(path)
    smooth = (score * n + 0.5) / (n + 1)
    return float(np.log(smooth / (1 - smooth))), slope(path, score)


def change(path: Path, row: int, since: int = 0, scale: Scale = "points") -> Number | NotEstimable:
    """The score at one checkpoint minus that at another (rows of the path; by default its base)."""
    if since == 0 and not path.has_base:
        return NotEstimable(NO_BASE)
    if len(path.steps) < 2:
        return NotEstimable("no trained checkpoint")
    if scale == "logit" and path.n_items is None:
        return NotEstimable("without n_items a score of 0 or 1 has no logit")
    scores = float(path.scores[row]), float(path.scores[since])
    if scale == "logit" and any(min(score, 1 - score) * responses(path) < NEAR for score in scores):
        return NotEstimable("not testable: ceiling (fewer than 3 right or wrong responses have no logit to speak of)")
    (late, steep), (early, flat) = (logit_or_points(path, score, scale) for score in scores)
    per_item, least = None, 0.0
    if path.x is not None and path.strata is not None:
        per_item = late - early + (path.x[row] - scores[0]) * steep - (path.x[since] - scores[1]) * flat
        least = path.strata.pseudo * (steep**2 + flat**2)
    own, base = float(path.variances[row]) * steep**2, float(path.variances[since]) * flat**2
    if since and path.has_base:
        own, base = own + base, 0.0
    strata = path.strata if per_item is not None else None
    return Number(late - early, per_item, strata, path.items, least, own, base, path.n_items or 0)


def weighted(numbers: Sequence[Number], weights: Sequence[float]) -> Number:
    """A sum of one run's numbers; those that share their items are paired over them, others stand side by side."""
    pools: dict[tuple[str, ...], tuple[Floats, Strata]] = {}
    whole = all(n.per_item is not None for n in numbers)
    for number, weight in zip(numbers, weights, strict=True):
        if number.per_item is not None and number.strata is not None:
            before = pools[number.items][0] if number.items in pools else 0.0
            pools[number.items] = (before + weight * number.per_item, number.strata)
    squares = [weight**2 for weight in weights]
    per_item, strata = _side_by_side(list(pools.values())) if whole and pools else (None, None)
    return Number(
        value=sum(w * n.value for w, n in zip(weights, numbers, strict=True)),
        per_item=per_item,
        strata=strata,
        items=tuple(item for items in pools for item in items) if whole else (),
        n_items=max(n.n_items for n in numbers),
        **{
            name: sum(s * getattr(n, name) for s, n in zip(squares, numbers, strict=True))
            for name in ("least", "own", "base")
        },
    )


def _side_by_side(pools: Sequence[tuple[Floats, Strata]]) -> tuple[Floats, Strata]:
    """Pools of items as one, whose mean is the sum of theirs: strata weigh equally, so each is scaled up."""
    total = sum(len(strata.sizes) for _, strata in pools)
    parts, codes, first = [], [], 0
    for values, strata in pools:
        parts.append(values * (total / len(strata.sizes)))
        codes.append(strata.codes + first)
        first += len(strata.sizes)
    return np.concatenate(parts), Strata(np.concatenate(codes))


def of_half(path: Path, *, report: bool) -> Path | NotEstimable:
    """The path on the half of its items that checkpoints are picked on, or (`report`) on the other half."""
    if path.x is None or path.strata is None:
        return NotEstimable("summaries have no items to pick a checkpoint on and others to score it on")
    half = halves(path)
    if half is None or (path.strata.sizes < 4).any():
        return NotEstimable("fewer than four items in a task: too few to pick a checkpoint on half of them")
    keep = ~half if report else half
    x, strata = path.x[:, keep], Strata(path.strata.codes[keep])
    items = tuple(item for item, kept in zip(path.items, keep, strict=True) if kept)
    return replace(path, x=x, strata=strata, items=items, scores=strata.mean(x), n_items=len(items))


def conditions(asked: Asked) -> list[tuple[Path, list[Path], tuple[int, ...]]]:
    """Each condition: its first run, its comparable runs at the checkpoints that they share, and these."""
    found = []
    for own in by_condition(asked.paths).values():
        full, steps = comparable(own)
        runs = [at_steps(path, steps) for path in full]
        found.append((runs[0], runs, runs[0].steps))
    return found


def each(paths: Sequence[T], number: Callable[[T], Number | NotEstimable]) -> list[Number] | NotEstimable:
    """The number of every run, or the first reason why one has none."""
    found = [number(path) for path in paths]
    bad = [n for n in found if isinstance(n, NotEstimable)]
    if not bad:
        return [n for n in found if isinstance(n, Number)]
    run = getattr(next(p for p, n in zip(paths, found, strict=True) if isinstance(n, NotEstimable)), "run", "")
    return bad[0] if len(bad) == len(found) else NotEstimable(f"run {run}: {bad[0].reason}")


def mean(numbers: Sequence[Number] | NotEstimable) -> Answer:
    """Mean over a condition's runs: over runs, and crossed with items where they share them.

    With one run it speaks of this run, over its items; a measurement that has no items then has no interval.
    """
    if isinstance(numbers, NotEstimable):
        return Answer(numbers)
    runs, items = len(numbers), shared(numbers)
    value = float(np.mean([n.value for n in numbers]))
    variance = _one(numbers[0]) if runs == 1 else _over_runs(numbers, items)
    sampled = "run" if runs > 1 else "item"
    if isinstance(variance, NotEstimable):
        return Answer(variance, sampled=sampled, n_runs=runs)
    if variance.value < LEAST_VARIANCE:
        return Answer(NotEstimable(NO_ERROR), sampled=sampled, n_runs=runs)
    return Answer(
        t_interval(value, variance.value, variance.df),
        t_p_value(value, variance.value, variance.df),
        variance.df,
        variance.value,
        sampled,
        runs,
        items,
        THIS_RUN if runs == 1 else "",
        numbers[0].n_items,
    )


def shared(numbers: Sequence[Number]) -> bool:
    """Whether the numbers have the same items, so that these can be a sample too."""
    first = numbers[0]
    if first.strata is None or not first.strata.estimable:
        return False
    return all(n.per_item is not None and n.items == first.items for n in numbers)


def _one(number: Number) -> Variance | NotEstimable:
    if number.per_item is not None and number.strata is not None:
        if not number.strata.estimable:
            return NotEstimable("one item in a task: no variance over items")
        over_items = float(mean_covariance(number.per_item[None], number.strata, smooth=False)[0, 0])
        return Variance(over_items + number.least, number.strata.df)
    if np.isnan(number.own + number.base):
        return NotEstimable("a summary without n_items has no interval")
    if number.own + number.base == 0:
        return NotEstimable("one seed, and a measurement without items: run each condition with two or more seeds")
    return Variance(number.own + number.base, LARGE)


def _over_runs(numbers: Sequence[Number], items: bool) -> Variance | NotEstimable:
    """Of the mean: between runs, plus what items add; without items, at least what sampling gives (the base whole)."""
    runs = len(numbers)
    values = np.array([n.value for n in numbers])
    between = Variance(float(values.var(ddof=1)) / runs, runs - 1)
    least = float(np.mean([n.least for n in numbers]))
    strata = numbers[0].strata
    if items and strata is not None:
        rows = np.array([n.per_item for n in numbers])
        z = strata.scaled(rows - rows.mean(axis=0))
        total = crossed_variance(rows.mean(axis=0), float((z * z).sum()) / (runs - 1) / runs, between, strata)
        return Variance(total.value + least, total.df)
    own, base = (float(np.mean([getattr(n, name) for n in numbers])) for name in ("own", "base"))
    if np.isnan(own + base):
        return NotEstimable("summaries without n_items: the error of their base is not known")
    extra = max(0.0, own / runs - between.value)
    df = satterthwaite([between.value, extra, base], [between.df, LARGE, LARGE])
    return Variance(between.value + extra + base, min(df, LARGE))


def ratio(tops: Sequence[Number], bottoms: Sequence[Number], what: str) -> Answer:
    """Mean of the tops over mean of the bottoms, a pair a run; not estimable where the bottom isn't clear of 0."""
    both = [weighted(pair, (1.0, 1.0)) for pair in zip(tops, bottoms, strict=True)]
    apart = [weighted(pair, (1.0, -1.0)) for pair in zip(tops, bottoms, strict=True)]
    top, bottom = (float(np.mean([n.value for n in numbers])) for numbers in (tops, bottoms))
    errors = [_variance(numbers) for numbers in (tops, bottoms, both, apart)]
    runs = len(tops)
    sampled = "run" if runs > 1 else "item"
    bad = next((e for e in errors if isinstance(e, NotEstimable)), None)
    if bad is not None:
        return Answer(bad, sampled=sampled, n_runs=runs)
    v = [e for e in errors if isinstance(e, Variance)]
    limit = (v[0].value * v[1].value) ** 0.5
    covariance = float(np.clip((v[2].value - v[3].value) / 4, -limit, limit))
    pair = Pair(top, bottom, v[0].value, v[1].value, covariance, min(e.df for e in v))
    found = fieller(pair)
    if found is None:
        return Answer(NotEstimable(f"{what} is {NOT_CLEAR}: nothing to divide by"), sampled=sampled, n_runs=runs)
    note = THIS_RUN if runs == 1 else ""
    return Answer(found, df=pair.df, sampled=sampled, n_runs=runs, items=shared(both), note=note)


def _variance(numbers: Sequence[Number]) -> Variance | NotEstimable:
    return _one(numbers[0]) if len(numbers) == 1 else _over_runs(numbers, shared(numbers))


def between_conditions(asked: Asked, numbers: Sequence[Number], weights: Floats) -> Answer:
    """A contrast of conditions: Welch between runs, crossed with items where all runs share them.

    Without items a base's own error, which its runs share, enters with the weight that it keeps in the contrast.
    """
    items = shared(numbers)
    rows = np.array([n.per_item for n in numbers]) if items else None
    counts = np.bincount(asked.cells.cell_of)
    least = np.bincount(asked.cells.cell_of, weights=[n.least for n in numbers]) / counts
    values = np.array([n.value for n in numbers])
    strata = numbers[0].strata if items else None
    fit = Contrasts(Units(values, asked.cells.cell_of, rows, strata, least, asked.trunks))
    if fit.df <= 0:
        return Answer(NotEstimable(ONE_SEED), n_runs=len(numbers))
    found = fit.estimate(weights)
    variance = found.variance.value + (0.0 if items else _of_bases(asked, numbers, weights / counts))
    if np.isnan(variance):
        return Answer(NotEstimable("base rows without n_items: their error is not known"), n_runs=len(numbers))
    if variance < LEAST_VARIANCE:
        return Answer(NotEstimable(NO_ERROR), n_runs=len(numbers))
    df = found.variance.df
    interval = t_interval(found.value, variance, df)
    note = ONE_TRUNK if fit.meets(weights) else ""
    p = t_p_value(found.value, variance, df)
    return Answer(interval, p, df, variance, "run", len(numbers), found.items, note)


def _of_bases(asked: Asked, numbers: Sequence[Number], share_of_cell: Floats) -> float:
    share: dict[tuple[object, ...], float] = {}
    error: dict[tuple[object, ...], float] = {}
    for path, cell, number in zip(asked.paths, asked.cells.cell_of, numbers, strict=True):
        share[base_of(path)] = share.get(base_of(path), 0.0) + float(share_of_cell[cell])
        error[base_of(path)] = number.base
    return sum(share[base] ** 2 * error[base] for base in share if abs(share[base]) > 1e-9)


def main_effects(asked: Asked, numbers: Sequence[Number] | NotEstimable) -> list[tuple[Target, Answer]]:
    """The effect of each factor's upper levels against its first, the other factors averaged."""
    found = []
    for index, name in enumerate(asked.cells.factors):
        levels = asked.cells.levels[name]
        for k in [len(levels) - 1] if name in asked.cells.identification.continuous else range(1, len(levels)):
            target = Target((name,), (levels[k],), (levels[0],))
            weights = contrast(asked.cells.design, [index], [k], [0])
            if isinstance(numbers, NotEstimable):
                answer = Answer(numbers, n_runs=len(asked.paths))
            elif weights is None:
                answer = Answer(NotEstimable(asked.cells.aliased((name,))), n_runs=len(asked.paths))
            else:
                answer = between_conditions(asked, numbers, weights)
            if name.startswith("model."):
                told = f"speaks of these {asked.n_bases} bases, not of bases like them"
                answer = replace(answer, sampled="run (these bases)", note=told)
            found.append((target, answer))
    return found


def head(question: str, quantity: str, unit: str, path: Path) -> Finding:
    """A finding about one condition in one group, still without an estimate."""
    return Finding(
        question=question,
        quantity=quantity,
        estimate=NotEstimable(""),
        unit=unit,
        group=path.group,
        within=dict(path.condition),
        source=path.source,
        mode=path.mode,
    )
