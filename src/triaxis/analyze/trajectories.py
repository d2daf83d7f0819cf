"""What each trajectory did: scores with intervals, phase, dip, regained ground, net gain; for runs and for
conditions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from triaxis.analyze.dense import ACCURACY, MEASURES
from triaxis.analyze.paths import NO_BASE, Path, by_condition, comparable
from triaxis.stats.intervals import Floats, gain_interval, satterthwaite, wilson
from triaxis.stats.noise import DEFAULT, SeedNoise, estimate_noise, with_noise
from triaxis.stats.paired import Strata, Variance, crossed_variance, mean_covariance
from triaxis.stats.shape import Shape, fit_shapes
from triaxis.types import UNDECIDED, Dip, Interval, NotEstimable, Trajectory

MIN_TRAINED = 3  # checkpoints below which a shape is not asked for
LARGE = 1e9  # degrees of freedom of a normal


@dataclass(frozen=True)
class Noises:
    """Seed noise of every condition that has replicates, and of each group or task for those that have none."""

    own: Mapping[tuple[object, ...], SeedNoise]
    common: Mapping[tuple[str, str, str, str], SeedNoise]

    def of(self, path: Path) -> SeedNoise:
        return self.own.get(path.key) or self.common[_pool(path)]


def _pool(path: Path) -> tuple[str, str, str, str]:
    return path.source, path.mode, path.group, path.task


def seed_noises(paths: Sequence[Path]) -> Noises:
    """Seed noise of each condition, drawn towards the others of its source, mode, group and task."""
    pools: dict[tuple[str, str, str, str], dict[tuple[object, ...], tuple[Floats, Strata]]] = defaultdict(dict)
    for key, own in by_condition(paths).items():
        full, steps = comparable(own)
        head = full[0]
        trained = [step for step in steps if step > 0]
        if len(full) >= 2 and trained and head.strata is not None and head.strata.estimable:
            stack = np.array([p.x[np.searchsorted(p.steps, trained)] for p in full if p.x is not None])
            pools[_pool(head)][key] = (stack, head.strata)
    noises: dict[tuple[object, ...], SeedNoise] = {}
    common = {_pool(path): DEFAULT for path in paths}
    for pool, conditions in pools.items():
        each, common[pool] = estimate_noise(list(conditions.values()))
        noises |= dict(zip(conditions, each, strict=True))
    return Noises(noises, common)


def run_trajectory(path: Path, noise: SeedNoise, *others: SeedNoise) -> Trajectory:
    """One run. Its net gain speaks of this run on items like these; seed noise enters its shape, not its net gain.

    Where the noise isn't known, `others` are what it may be as well: the shape is averaged over them.
    """
    covariance, problem = _covariance(path)
    net: Interval | NotEstimable = NotEstimable(problem)
    if not problem and covariance is not None:
        if not path.has_base:
            net = NotEstimable(NO_BASE)
        elif len(path.steps) < 2:
            net = NotEstimable("no trained checkpoint")
        else:
            variance = covariance[0, 0] + covariance[-1, -1] - 2 * covariance[0, -1]
            net = gain_interval(float(path.scores[-1] - path.scores[0]), float(variance), _df(path))
    shape, reason = _shape(path, covariance, problem, (noise, *others), runs=1)
    return _assemble(path, 1, covariance, shape, reason, net, noise)


def condition_trajectory(own: Sequence[Path], noise: SeedNoise) -> Trajectory:
    """The mean over a condition's seeds. With one seed it is that run, and its net gain speaks of that run."""
    full, steps = comparable(own)
    if len(full) == 1:
        return replace(run_trajectory(full[0], noise), run="", seed=None)
    mean = average(full, steps)
    covariance, problem = _covariance(mean)
    net: Interval | NotEstimable = NotEstimable(problem) if problem else NotEstimable(NO_BASE)
    if not problem and mean.has_base and len(steps) >= 2:
        net = condition_gain(
            full,
            [path.scores[-1] - path.scores[0] for path in full],
            None if mean.x is None else np.array([p.x[-1] - p.x[0] for p in full if p.x is not None]),
        )
    shape, reason = _shape(mean, covariance, problem, (noise,), runs=len(full))
    trained = None if covariance is None else with_noise(covariance, noise, len(full), lasting=True)
    if trained is not None and not mean.has_base:
        trained = covariance
    return replace(_assemble(mean, len(full), trained, shape, reason, net, noise), run="", seed=None)


def average(full: Sequence[Path], steps: tuple[int, ...]) -> Path:
    """The mean of replicates, step by step and item by item."""
    rows = [np.searchsorted(path.steps, steps) for path in full]
    head = full[0]
    return replace(
        head,
        steps=steps,
        scores=np.mean([p.scores[at] for p, at in zip(full, rows, strict=True)], axis=0),
        x=None
        if head.x is None
        else np.mean([p.x[at] for p, at in zip(full, rows, strict=True) if p.x is not None], axis=0),
        variances=_mean_variance(full, rows),
        measures={
            name: np.mean([p.measures[name][at] for p, at in zip(full, rows, strict=True)], axis=0) for name in MEASURES
        },
    )


def _mean_variance(full: Sequence[Path], rows: Sequence[np.ndarray]) -> Floats:
    """Of the mean of summaries: the base is measured once, and items are shared, so runs average out nothing of
    them.
    """
    return np.asarray(np.mean([p.variances[at] for p, at in zip(full, rows, strict=True)], axis=0), dtype=np.float64)


def condition_gain(full: Sequence[Path], values: Sequence[float], per_item: Floats | None) -> Interval | NotEstimable:
    """Mean of the runs' gains with an interval over seeds and, where there are items, over items (crossed).

    Summaries have no items: the base is measured once, so its error stays whatever the number of runs, and seeds that
    happen to agree are not taken to agree more closely than their sampling allows.
    """
    runs = len(full)
    array = np.asarray(values, dtype=np.float64)
    between = Variance(float(array.var(ddof=1)) / runs, runs - 1)
    strata = full[0].strata
    if per_item is None or strata is None or not strata.estimable:
        base, last = (float(np.mean([path.variances[row] for path in full])) for row in (0, -1))
        if len({float(path.scores[0]) for path in full}) > 1:  # each run measured its own: the base is sampled with it
            base, last = 0.0, base + last
        extra = max(0.0, last / runs - between.value)
        df = min(satterthwaite([between.value, extra, base], [between.df, LARGE, LARGE]), LARGE)
        return gain_interval(float(array.mean()), between.value + extra + base, df)
    z = strata.scaled(per_item - per_item.mean(axis=0))
    residual = float((z * z).sum()) / (runs - 1) / runs
    total = crossed_variance(per_item.mean(axis=0), residual, between, strata)
    return gain_interval(float(array.mean()), total.value + 2 * strata.pseudo, total.df)


def _df(path: Path) -> float:
    return float(path.strata.df) if path.strata is not None else LARGE


def _covariance(path: Path) -> tuple[Floats | None, str]:
    """Covariance of the checkpoints' means over items, or why there is none."""
    if path.metric != ACCURACY:
        return None, f"no error is known for a {path.metric} score"
    if path.x is not None and path.strata is not None:
        if not path.strata.estimable:
            return None, "one item in a task: no variance over items"
        return mean_covariance(path.x, path.strata), ""
    if np.isnan(path.variances).any():
        return None, "a summary without n_items has no interval"
    return np.diag(path.variances), ""


def _shape(
    path: Path, covariance: Floats | None, problem: str, noises: Sequence[SeedNoise], runs: int
) -> tuple[Shape | None, str]:
    if problem or covariance is None:
        return None, problem
    if not path.has_base:
        return None, NO_BASE
    if len(path.steps) - 1 < MIN_TRAINED:
        return None, f"a shape needs {MIN_TRAINED} trained checkpoints, here {len(path.steps) - 1}"
    covariances = [with_noise(covariance, noise, runs, lasting=runs > 1) for noise in noises]
    return fit_shapes(path.steps, path.scores, covariances), ""


def score_interval(score: float, variance: float, n_items: int) -> Interval:
    """Wilson's interval at the size that the clustered variance is worth."""
    spread = score * (1 - score)
    n = min(spread / variance, 1e12) if spread > 1e-12 and variance > 0 else float(n_items)
    return wilson(score, max(n, 1.0))


def _optional(values: Floats) -> tuple[float | None, ...]:
    return tuple(None if np.isnan(value) else float(value) for value in values)


def _assemble(
    path: Path,
    n_runs: int,
    covariance: Floats | None,
    shape: Shape | None,
    reason: str,
    net: Interval | NotEstimable,
    noise: SeedNoise,
) -> Trajectory:
    values = [float(score) for score in path.scores]
    if covariance is None or path.n_items is None:
        scores = tuple(Interval(value, value, value) for value in values)
    else:
        scores = tuple(
            score_interval(v, float(var), path.n_items) for v, var in zip(values, np.diag(covariance), strict=True)
        )
    why = NotEstimable(reason)
    dip: Dip | NotEstimable = why
    regain: float | NotEstimable = why
    if shape is not None:
        dip = Dip(shape.dip_probability, shape.dip_step, shape.dip_depth, truncation_share(path, shape.dip_step))
        regain = shape.regain_probability
    return Trajectory(
        run=path.run,
        seed=path.seed,
        base=path.base,
        source=path.source,
        condition=dict(path.condition),
        task=path.task,
        group=path.group,
        mode=path.mode,
        n_runs=n_runs,
        n_items=path.n_items,
        steps=path.steps,
        scores=scores,
        **{name: _optional(path.measures[name]) for name in ("response_tokens", "truncated", "refused")},
        accuracy_finished=_optional(path.measures["finished"]),
        phase=shape.phase if shape else UNDECIDED,
        phase_probability=shape.phase_probability if shape else 0.0,
        probabilities=dict(shape.probabilities) if shape else {},
        dip=dip,
        regain_probability=regain,
        net_gain=net,
        tau=noise.tau if shape else None,
        tau_from=noise.source if shape else "default",
        below_probability=shape.below_probability if shape else None,
        in_dip_probability=shape.in_dip_probability if shape else None,
        stopped=(),
    )


def truncation_share(path: Path, step: int | None) -> float | NotEstimable:
    """Part of the fall from base to bottom that is responses cut off: 1 - (fall among the finished) / (fall as run), in
    0..1.
    """
    if step is None:
        return NotEstimable("no dip")
    at = path.steps.index(step)
    finished = path.measures["finished"]
    if np.isnan(finished[0]) or np.isnan(finished[at]):
        return NotEstimable("no outcomes, or no response ended at the base or at the bottom")
    fall = float(path.scores[0] - path.scores[at])
    if fall <= 0:
        return NotEstimable("the score at the bottom is not below the base")
    return float(np.clip(1 - (finished[0] - finished[at]) / fall, 0.0, 1.0))
