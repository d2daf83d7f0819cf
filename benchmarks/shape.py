"""How well trajectories are read: dips and end phases on a fixed generator, beside two naive rules.

    python benchmarks/shape.py [--series 400] [--seeds 3] [--seed 2026]

The generator is fixed and is not the model's prior (docs/statistics.md): eight shapes with equal weight, 500 items,
3 samples, checkpoints that wander from seed to seed with an sd of 0, .05 or .15 (in logit / 1.5). A base is one
fixed model, so it doesn't wander; it is measured once and shared by the seeds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from triaxis.stats.noise import SeedNoise, estimate_noise, with_noise
from triaxis.stats.paired import Strata, bootstrap_means, mean_covariance
from triaxis.stats.shape import DECIDED, Shape, fit_shape
from triaxis.types import NotEstimable

STEPS = np.array([0, 10, 20, 40, 80, 160, 320, 480, 640])
U = np.log2(STEPS + 5.0)
U = (U - U[0]) / (U[-1] - U[0])
ITEMS, SAMPLES = 500, 3
DIFFICULTY, ITEM_CHECKPOINT = 1.6, 0.8
SHAPES = (  # dip, rise, late change, the phase it ends in
    (0, 0, 0, "flat"), (0, 1, 0, "plateau"), (0, 1, 1, "rising"), (0, 1, -1, "overfit"),
    (1, 0, 0, "recovered"), (1, 1, 0, "plateau"), (1, 1, 1, "rising"), (1, 1, -1, "overfit"),
)  # fmt: skip
END = {
    "flat": "level",
    "plateau": "level",
    "recovered": "level",
    "dip": "level",
    "rising": "up",
    "overfit": "down",
    "declining": "down",
}
LATE_FROM = 5  # index of step 160: where a late change begins


@dataclass(frozen=True)
class Case:
    dips: bool
    below: float  # how far the true mean score falls below the base
    phase: str
    items: np.ndarray  # seeds x steps x items


def cases(rng: np.random.Generator, n: int, seeds: int, sd: float) -> Iterator[Case]:
    """`n` series, the shapes in turn."""
    for i in range(n):
        dip, rise, late, phase = SHAPES[i % len(SHAPES)]
        curve = _curve(rng, dip, rise, late)
        difficulty = rng.normal(0, DIFFICULTY, ITEMS)
        x = np.empty((seeds, len(STEPS), ITEMS))
        base = _answers(rng, 1.5 * curve[:1, None] - difficulty)
        for s in range(seeds):
            x[s] = _answers(rng, 1.5 * (curve + rng.normal(0, sd, len(STEPS)))[:, None] - difficulty)
            x[s, 0] = base[0]
        grid = np.linspace(-4, 4, 81) * (DIFFICULTY**2 + ITEM_CHECKPOINT**2) ** 0.5
        weight = np.exp(-0.5 * np.linspace(-4, 4, 81) ** 2)
        score = (1 / (1 + np.exp(-1.5 * curve[:, None] + grid))) @ weight / weight.sum()
        yield Case(bool(dip), float(score[0] - score[: LATE_FROM + 1].min()), phase, x)


def _curve(rng: np.random.Generator, dip: int, rise: int, late: int) -> np.ndarray:
    curve = np.full(len(STEPS), rng.uniform(-0.8, 1.0))
    if dip:
        depth, centre, width = rng.uniform(0.3, 0.8), rng.uniform(0.15, 0.5), rng.uniform(0.06, 0.2)
        curve -= depth * np.exp(-((U - centre) ** 2) / (2 * width**2)) * (U > 0)
    if rise:
        curve += rng.uniform(0.4, 1.2) / (1 + np.exp(-(U - rng.uniform(0.3, 0.55)) / 0.06))
    return curve + late * rng.uniform(0.25, 0.7) * np.clip((U - 0.72) / 0.28, 0, 1)


def _answers(rng: np.random.Generator, logit: np.ndarray) -> np.ndarray:
    logit = logit + rng.normal(0, ITEM_CHECKPOINT, logit.shape)
    return rng.binomial(SAMPLES, 1 / (1 + np.exp(-logit))) / SAMPLES


def read(case: Case) -> tuple[Shape, SeedNoise]:
    """The condition's shape, over its seeds, as `triaxis analyze` takes it."""
    strata = Strata.one(ITEMS)
    (noise,), _ = estimate_noise([(case.items[:, 1:], strata)])
    mean = case.items.mean(axis=0)
    covariance = with_noise(mean_covariance(mean, strata), noise, len(case.items), lasting=len(case.items) > 1)
    return fit_shape(STEPS, mean.mean(axis=1), covariance), noise


def by_points(means: np.ndarray, smallest: float = 0.01) -> tuple[bool, str]:
    """The rule of one point: a dip is a fall of a point, a late change a difference of a point."""
    late = means[-1] - means[LATE_FROM]
    end = "up" if late > smallest else "down" if late < -smallest else "level"
    return bool(means[1 : LATE_FROM + 1].min() < means[0] - smallest), end


def by_bootstrap(case: Case, rng: np.random.Generator) -> tuple[bool, str]:
    """Minimum and late change in resamples of the items: what more than half of them say."""
    means = bootstrap_means(case.items.mean(axis=0), 400, rng)
    dip = np.mean(means[:, 1 : LATE_FROM + 1].min(axis=1) < means[:, 0] - 0.01) > 0.5
    late = means[:, -1] - means[:, LATE_FROM]
    shares = {"up": np.mean(late > 0.01), "down": np.mean(late < -0.01), "level": np.mean(np.abs(late) <= 0.01)}
    return bool(dip), max(shares, key=lambda end: shares[end])


def _rate(hits: list[bool]) -> str:
    return f"{np.mean(hits):.2f} of {len(hits)}" if hits else "none"


def measure(n: int, seeds: int, sd: float, seed: int) -> None:
    rng = np.random.default_rng([seed, int(sd * 100)])
    rows: list[tuple[Case, Shape, tuple[bool, str], tuple[bool, str]]] = []
    seconds = 0.0
    taus, covered = [], []
    for case in cases(rng, n, seeds, sd):
        start = time.process_time()
        shape, noise = read(case)
        seconds += time.process_time() - start
        taus.append(noise.tau)
        if case.dips and shape.dip_probability > 0.5 and not isinstance(shape.dip_depth, NotEstimable):
            covered.append(shape.dip_depth.low <= case.below <= shape.dip_depth.high)
        rows.append((case, shape, by_points(case.items.mean(axis=(0, 2))), by_bootstrap(case, rng)))
    cost = f"{1000 * seconds / n:.0f} ms a series"
    print(f"\ncheckpoint sd {sd}: {n} series, {seeds} seeds, {cost}, mean tau {np.mean(taus):.4f}")
    dips = [(c, s.dip_probability > 0.5) for c, s, *_ in rows]
    called = [s.phase == c.phase for c, s, *_ in rows if s.phase_probability >= DECIDED]
    visible = _rate([said for c, said in dips if c.dips and c.below >= 0.01])
    print(f"  shape model   dips found {_rate([said for c, said in dips if c.dips])}; below base by a point {visible}")
    print(
        f"                dips false {_rate([said for c, said in dips if not c.dips])}; depth covered {_rate(covered)}"
    )
    print(f"                phase called at P>=.8 {len(called)}/{n}, right {_rate(called)}")
    print(f"                end up/level/down right {_rate([_most(s) == END[c.phase] for c, s, *_ in rows])}")
    for name, column in (("bootstrap", 3), ("1-point rule", 2)):
        said = [(row[0], row[column]) for row in rows]
        found = _rate([dip for c, (dip, _) in said if c.dips])
        false = _rate([dip for c, (dip, _) in said if not c.dips])
        ends = _rate([end == END[c.phase] for c, (_, end) in said])
        print(f"  {name:13} dips found {found}, false {false}; end up/level/down right {ends}")


def _most(shape: Shape) -> str:
    ends = {"up": 0.0, "level": 0.0, "down": 0.0}
    for phase, p in shape.probabilities.items():
        ends[END[phase]] += p
    return max(ends, key=lambda end: ends[end])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--series", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=2026)
    asked = parser.parse_args()
    for sd in (0.0, 0.05, 0.15):
        measure(asked.series, asked.seeds, sd, asked.seed)


if __name__ == "__main__":
    main()
