"""Whether what the live line says of a run is as true as it says, when only the beginning of it has been seen.

    python benchmarks/live.py [--series 160] [--replicates 0] [--seed 2026]

The generator is that of benchmarks/shape.py, which is not the model's prior. Each series is cut off after 3, 4, .. of
its trained checkpoints and read as `TrajectoryCallback` reads a run in training: one run, with the noise of its
checkpoints from `--replicates` finished runs of the same condition, or averaged over what it may be where there are
none. What is true is told by the curve without noise on the checkpoints seen, where a point is the smallest change.
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np
from shape import DIFFICULTY, ITEM_CHECKPOINT, ITEMS, SHAPES, STEPS, _answers, _curve  # beside this file

from triaxis.integrations.live import BELOW, IN_DIP, WANDERS, claim
from triaxis.stats.noise import SeedNoise, estimate_noise, with_noise
from triaxis.stats.paired import Strata, mean_covariance
from triaxis.stats.shape import DECIDED, SMALLEST_CHANGE, fit_shapes

BINS = np.array([0.0, 0.05, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 1.0001])
ALONE = tuple(SeedNoise(wander, 0.0, "default") for wander in WANDERS)


def scores(curve: np.ndarray) -> np.ndarray:
    """The mean score of a curve without noise, over all difficulties."""
    z = np.linspace(-4, 4, 81)
    weight = np.exp(-0.5 * z**2)
    grid = z * (DIFFICULTY**2 + ITEM_CHECKPOINT**2) ** 0.5
    return np.asarray((1 / (1 + np.exp(-1.5 * curve[:, None] + grid))) @ weight / weight.sum())


def truths(level: np.ndarray) -> dict[str, bool]:
    """Of each thing that can be said, whether it is so of a curve without noise at its last checkpoint."""
    c = level - level[0]
    up, down = c[-1] - c[-2] >= SMALLEST_CHANGE, c[-1] - c[-2] <= -SMALLEST_CHANGE
    under, over, fell = c[-1] <= -SMALLEST_CHANGE, c[-1] >= SMALLEST_CHANGE, c.min() <= -SMALLEST_CHANGE
    return {
        "level with its base": not under and not over,
        "risen and level": over and not up and not down,
        "rising": up,
        "recovered from a dip": fell and not under,
        "falling after a rise": down and c.max() >= SMALLEST_CHANGE,
        "falling": down,
        "risen or still rising": over or up,
        IN_DIP: under,
        BELOW: under,
    }


def run(rng: np.random.Generator, curve: np.ndarray, difficulty: np.ndarray, sd: float, base: np.ndarray) -> np.ndarray:
    x = _answers(rng, 1.5 * (curve + rng.normal(0, sd, len(STEPS)))[:, None] - difficulty)
    x[0] = base
    return x


def measure(n: int, replicates: int, sd: float, seed: int) -> None:
    rng = np.random.default_rng([seed, int(sd * 100), replicates])
    strata = Strata.one(ITEMS)
    claims: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    below: list[tuple[float, bool]] = []
    total = 0
    for i in range(n):
        curve = _curve(rng, *SHAPES[i % len(SHAPES)][:3])
        difficulty = rng.normal(0, DIFFICULTY, ITEMS)
        base = _answers(rng, 1.5 * curve[:1, None] - difficulty)[0]
        own, *others = (run(rng, curve, difficulty, sd, base) for _ in range(1 + replicates))
        for seen in range(4, len(STEPS) + 1):
            x, noises = own[:seen], ALONE
            if others:
                noises = tuple(estimate_noise([(np.array([x[1:], *(o[1:seen] for o in others)]), strata)])[0])
            covariance = mean_covariance(x, strata)
            each = [with_noise(covariance, noise, 1, lasting=False) for noise in noises]
            shape = fit_shapes([int(s) for s in STEPS[:seen]], x.mean(axis=1), each)
            true = truths(scores(curve)[:seen])
            total += 1
            below.append((shape.below_probability, true[BELOW]))
            if said := claim(shape):
                claims[said[0]].append((said[1], true[said[0]]))
    every = [one for found in claims.values() for one in found]
    print(f"\ncheckpoint sd {sd}, {replicates} replicates: {n} series, {total} beginnings")
    for words, found in [*sorted(claims.items(), key=lambda pair: -len(pair[1])), ("all that is said", every)]:
        p, right = (np.mean(column) for column in zip(*found, strict=True))
        print(f"  {words:34} {len(found):4}, mean P {p:.2f}, true {right:.2f}")
    told, true_below = (np.array(column) for column in zip(*below, strict=True))
    place = np.digitize(told, BINS) - 1
    rows = [(told[place == b].mean(), true_below[place == b].mean(), (place == b).sum()) for b in np.unique(place)]
    print("  P(below its base): true   " + "; ".join(f"{p:.2f}: {share:.2f} of {count}" for p, share, count in rows))
    print(f"  nothing has {DECIDED}: {1 - len(every) / total:.0%}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--series", type=int, default=160)
    parser.add_argument("--replicates", type=int, default=0)
    parser.add_argument("--seed", type=int, default=2026)
    asked = parser.parse_args()
    for sd in (0.0, 0.05, 0.15):
        measure(asked.series, asked.replicates, sd, asked.seed)


if __name__ == "__main__":
    main()
