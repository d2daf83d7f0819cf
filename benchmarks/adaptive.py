"""Adaptive evaluation: whether its intervals hold wherever one stops, what it asks, and what is lost; as Markdown.

    python benchmarks/adaptive.py [--only sequence effects replay] [--draws 2000] [--studies 200] [--study DIR]

sequence  coverage at every stopping time and items asked, on pools of 1,000 paired differences and smaller ones
effects   simulated studies: bias, coverage, false positives and power of four ways to infer effects from what was asked
replay    a finished study's folder as an adaptive evaluation would have left it: tokens, and which verdicts differ
          (`triaxis demo --out DIR` makes the one that docs/adaptive.md tells of)
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from triaxis.analyze import analyze
from triaxis.analyze.contrasts import Asked, cell_contrast
from triaxis.analyze.dense import build
from triaxis.analyze.paths import group_paths, task_paths
from triaxis.analyze.stopped import cell_gains
from triaxis.records import Table, read_table
from triaxis.records.columns import ADAPTIVE
from triaxis.report.terminal import saved
from triaxis.simulate import Noise, Simulated, study
from triaxis.simulate.replay import replayed
from triaxis.stats.effects import Contrasts, Units, contrast
from triaxis.stats.intervals import Floats, t_interval
from triaxis.stats.sequence import settled_after, too_low
from triaxis.study.evaluation import Adaptive
from triaxis.types import Interval

RATE, NOISE = "optimization.learning_rate", "data.noise_rate"
DESIGN = {RATE: (3e-4, 3e-3), NOISE: (0.0, 0.6)}


def row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


# -- the sequence -----------------------------------------------------------------------------------------------------

POOLS: dict[str, tuple[int, Callable[[int], Floats]]] = {
    "no difference anywhere": (200, lambda n: np.zeros(n)),
    "no gain, a fifth of the items differ": (1000, lambda n: _signs(n, 0.1, 0.1)),
    "no gain, all items differ": (1000, lambda n: _signs(n, 0.5, 0.5)),
    "no gain, one item of a hundred differs": (1000, lambda n: _signs(n, 0.005, 0.005)),
    "a gain on one item of a hundred": (1000, lambda n: _signs(n, 0.01, 0.0)),
    "no gain, of 60 items": (60, lambda n: _signs(n, 0.1, 0.1)),
    "gain of 3 points": (1000, lambda n: _signs(n, 0.125, 0.095)),
    "gain of 6 points": (1000, lambda n: _signs(n, 0.14, 0.08)),
    "gain of 10 points": (1000, lambda n: _signs(n, 0.16, 0.06)),
    "gain of 50 points, of 60 items": (60, lambda n: _signs(n, 0.55, 0.05)),
    "means of 8 samples, gain of 2 points": (400, lambda n: _averaged(n, 0.02)),
    "a loss of 90 points": (300, lambda n: _signs(n, 0.0, 0.9)),
}


def _signs(n: int, up: float, down: float) -> Floats:
    ups, downs = round(n * up), round(n * down)
    return np.concatenate([np.ones(ups), -np.ones(downs), np.zeros(n - ups - downs)])


def _averaged(n: int, gain: float) -> Floats:
    """Differences of means of eight responses, each item with its own chance."""
    rng = np.random.default_rng(8)
    before = rng.beta(0.8, 0.8, n)
    after = np.clip(before + rng.normal(gain, 0.1, n), 0, 1)
    return (rng.binomial(8, after) - rng.binomial(8, before)) / 8


def peeked(pools: Floats) -> Floats:
    """Whether a t interval for the gain (at 95 %, corrected for the finite pool), looked at after each item from the
    tenth on, ever leaves the gain out."""
    total = pools.shape[1]
    n = np.arange(1, total + 1)
    means = np.cumsum(pools, axis=1) / n
    variances = np.clip(np.cumsum(pools**2, axis=1) / n - means**2, 0, None) * n / np.maximum(n - 1, 1)
    half = 1.96 * np.sqrt(variances / n * (1 - n / total))
    out = np.abs(means - pools.mean(axis=1, keepdims=True)) > half + 1e-12
    return out[:, 9:-1].any(axis=1)


def missed(pools: Floats) -> Floats:
    """Whether the sequence ever leaves the gain out."""
    x, mean = (pools + 1) / 2, (pools.mean(axis=1) + 1) / 2
    total = pools.shape[1]
    return (too_low(x, total, mean) | too_low(1 - x, total, 1 - mean)).any(axis=1)


def sequence(draws: int) -> None:
    print("\n## The sequence\n")
    print(row("pool", "items", "sequence ever misses", "peeking misses", "items asked to tell the gain from 0", "to"
              " settle it at 3 points"))  # fmt: skip
    print(row(*["---"] * 6))
    rng = np.random.default_rng(2026)
    for name, (total, of) in POOLS.items():
        pools = np.array([rng.permutation(of(total)) for _ in range(draws)])
        looks = np.arange(1, total + 1)
        x = (pools + 1) / 2
        clear = too_low(x, total, 0.5) | too_low(1 - x, total, 0.5)
        first = np.where(clear.any(axis=1), clear.argmax(axis=1) + 1, total)
        settled = settled_after(pools, total, 0.03, looks)
        shares = [f"{np.mean(of_pools):.3f}" for of_pools in (missed(pools), peeked(pools))]
        print(row(name, total, *shares, f"{first.mean():.0f}", f"{settled.mean():.0f}"))


# -- effects ----------------------------------------------------------------------------------------------------------

CASES = {  # effects in logits; a gain of .16 logits is about 3 points
    "no effect, all gain 5 points": {"gain": 0.28},
    "an effect of 8 points": {"gain": 0.28, "effects": {RATE: 0.45}},
}


IN_FULL = "all items, everywhere"


def of_rate(table: Table) -> Interval:
    """The effect of the rate on the gain in points at the last checkpoint, as an analysis infers it."""
    asked = Asked.of(group_paths(task_paths(build(table)), []))
    found = cell_contrast(asked, weights_of(asked), "gain", "points")
    assert isinstance(found, Interval)
    return found


def weights_of(asked: Asked) -> Floats:
    weights = contrast(asked.cells.design, [asked.cells.factors.index(RATE)], [1], [0])
    assert weights is not None
    return weights


def of_everything(table: Table) -> Interval:
    """The same from each run's mean gain over whatever it was asked, items fixed: what ought not to be done."""
    asked = Asked.of(group_paths(task_paths(build(table)), []))
    gains: dict[tuple[str, str], list[float]] = {}
    for cell in cell_gains(table):
        if cell.step == asked.step:
            assert isinstance(cell.gain, Interval)
            gains.setdefault((cell.source, cell.run), []).append(cell.gain.value)
    values = np.array([np.mean(gains[path.source, path.run]) for path in asked.paths])
    cells = asked.cells.cell_of
    e = Contrasts(Units(values, cells, None, None, np.zeros(cells.max() + 1))).estimate(weights_of(asked))
    return t_interval(e.value, e.variance.value, e.variance.df)


def without_pilot(table: Table) -> Table:
    """The table as one would have it that says nothing of how it was asked: all runs meet on their common prefix."""
    return Table(table.arrow.drop_columns(list(ADAPTIVE)))


def ways(simulated: Simulated, seed: int) -> Iterator[tuple[str, Interval]]:
    yield IN_FULL, of_rate(simulated.table)
    for pilot in (0.25, 0.5):
        asked = replayed(simulated.table, Adaptive(pilot=pilot), seed)
        yield f"the pilot, {pilot}", of_rate(asked)
        yield f"the common prefix, pilot {pilot}", of_rate(without_pilot(asked))
        yield f"whatever was asked, pilot {pilot}", of_everything(asked)


def effect_study(studies: int) -> None:
    print("\n## Effects from what was asked (2 x 2, 3 seeds, 2 tasks, runs differ by about 1.5 points)\n")
    titles = ("truth", "items", "inferred from", "bias, points", "covers", "found", "width, points")
    print(row(*titles))
    print(row(*["---"] * len(titles)))
    for case, settings in CASES.items():
        for items in (60, 400):
            found: dict[str, list[tuple[float, bool, bool, float]]] = {}
            for seed in range(studies):
                simulated = study(
                    factors=DESIGN,
                    steps=(0, 20),
                    items=items,
                    seed=seed,
                    groups={"far_ood": ("a", "b")},
                    noise=Noise(run=0.09),
                    **settings,
                )
                truth = simulated.truth.effect((RATE,), "far_ood", "gain", "points")
                in_full = None
                for name, e in ways(simulated, seed):
                    in_full = e.value if in_full is None else in_full
                    clear = e.low > 0 or e.high < 0
                    told = e.value - in_full, e.low <= truth <= e.high, clear, e.high - e.low
                    found.setdefault(name, []).append(told)
            for name, every in found.items():
                bias, covers, clear, width = np.array(every, dtype=float).T
                error = 100 * bias.std() / len(bias) ** 0.5
                numbers = f"{100 * bias.mean():+.2f} ± {error:.2f}", f"{covers.mean():.3f}", f"{clear.mean():.3f}"
                print(row(case, items, name, *numbers, f"{100 * width.mean():.1f}"), flush=True)


# -- a finished study -------------------------------------------------------------------------------------------------


def replay(folder: Path, orders: int) -> None:
    table = read_table(folder, text=False)
    before = {v.claim: v.decision for v in analyze(table).verdicts}
    tested = sum(decision != "not testable" for decision in before.values())
    print(f"\n## {folder}: {table.n_rows:,} records, {tested} claims tested\n")
    print(row("pilot", "order", "asked and generated", "verdicts that differ"))
    print(row("---", "---", "---", "---"))
    for pilot in (0.25, 0.5, 0.75):
        for seed in range(orders):
            asked = replayed(table, Adaptive(pilot=pilot), seed)
            after = {v.claim: v.decision for v in analyze(asked).verdicts}
            changed = [f"{claim}: {old}, now {after[claim]}" for claim, old in before.items() if after[claim] != old]
            print(row(pilot, seed, saved(cell_gains(asked)), "; ".join(changed) or "none"), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=["sequence", "effects"], choices=["sequence", "effects", "replay"])
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--study", type=Path)
    parser.add_argument("--orders", type=int, default=4)
    asked = parser.parse_args()
    if "sequence" in asked.only:
        sequence(asked.draws)
    if "effects" in asked.only:
        effect_study(asked.studies)
    if "replay" in asked.only or asked.study:
        replay(asked.study or Path("triaxis-demo"), asked.orders)


if __name__ == "__main__":
    main()
