"""What the inference is believed on: false verdicts on nulls, power, coverage, dips, promised power; as Markdown.

    python benchmarks/calibration.py [--studies 100] [--series 480] [--jobs 2] [--only PART ...]

Every study is simulated with a known truth and a seed of its own, so the same options give the same tables. Verdicts
are false where a claim is supported though nothing of it is there, or refuted though it holds at its planned effect.
The power that `triaxis study power` promises is held against what is found by benchmarks/power.py.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import shape as dips_generator

from triaxis.analyze import analyze
from triaxis.analyze.analysis import evidence_of
from triaxis.analyze.claims import judge, shipped_claims
from triaxis.analyze.dense import build
from triaxis.analyze.effects import effects
from triaxis.analyze.paths import by_condition, group_paths, task_paths
from triaxis.analyze.questions import growth, optimum, reliance, saturation, slopes
from triaxis.analyze.trajectories import condition_trajectory, seed_noises
from triaxis.records import published
from triaxis.simulate import Measure, Noise, Peak, Saturation, Settings, Simulated, Truth, Variant, study
from triaxis.simulate.trials import Case, evidence, settings_of
from triaxis.types import Interval

SEED_SD = (0.0, 1.0, 3.0)  # points of score by which runs of one condition differ
LOGITS_A_POINT = 0.06  # at scores around one half, with items as hard as the simulator's
CLAIMS = {claim.id: claim for claim in shipped_claims()}
LR, NOISE, BASE, SIZE = "optimization.learning_rate", "data.noise_rate", "model.base", "data.examples"
DESIGN = {LR: (3e-4, 3e-3), NOISE: (0.0, 0.6), BASE: ("lab:strong", "lab:weak")}


def row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def share(hits: Sequence[bool]) -> str:
    return f"{np.mean(hits):.3f}" if len(hits) else "none"


def with_seeds(settings: Settings, points: float) -> Settings:
    """Runs of a condition that differ by so many points, a third as much again from checkpoint to checkpoint."""
    run = points * LOGITS_A_POINT
    return replace(settings, noise=replace(settings.noise, run=run, checkpoint=run / 3))


# The ledger


def judged(task: tuple[tuple[str, ...], Case, float, int]) -> dict[str, str]:
    """The decisions on some claims in one study of the first one's case."""
    claims, case, points, seed = task
    settings = with_seeds(settings_of(CLAIMS[claims[0]], case), points)
    found = evidence(settings, seed)
    return {claim: judge(CLAIMS[claim], found).decision for claim in claims}


def alike(case: Case) -> list[tuple[str, ...]]:
    """Claims whose case is the same study, judged on it together."""
    groups: dict[str, list[str]] = defaultdict(list)
    for claim in CLAIMS:
        groups[repr(settings_of(CLAIMS[claim], case))].append(claim)
    return [tuple(group) for group in groups.values()]


def ledger(pool: ProcessPoolExecutor, studies: int) -> None:
    said: dict[tuple[Case, float], dict[str, list[str]]] = {}
    by_study: dict[float, list[list[bool]]] = {points: [] for points in SEED_SD}
    for points in SEED_SD:
        for case in ("holds", "nothing"):
            groups = alike(case)  # type: ignore[arg-type]
            tasks = [(group, case, points, 50_000 + k) for group in groups for k in range(studies)]
            found: dict[str, list[str]] = defaultdict(list)
            for decisions in pool.map(judged, tasks, chunksize=4):
                for claim, decision in decisions.items():
                    found[claim].append(decision)
                if case == "nothing":
                    by_study[points].append([decision == "supported" for decision in decisions.values()])
            said[case, points] = found  # type: ignore[index]
    print(f"\n### The ledger: {len(CLAIMS)} claims, {studies} studies of each case\n")
    columns = ("found where true", "supported where nothing is", "refuted where true")
    heads = [f"{column}, {points:g}" for column in columns for points in SEED_SD]
    print(row("claim", *heads))
    print(row(*["---"] * (len(heads) + 1)))
    wrong = []
    limit = 0.05 + 3.5 * (0.05 * 0.95 / studies) ** 0.5
    for claim in CLAIMS:
        power = [share([d == "supported" for d in said["holds", p][claim]]) for p in SEED_SD]
        false = [share([d == "supported" for d in said["nothing", p][claim]]) for p in SEED_SD]
        refuted = [share([d == "refuted" for d in said["holds", p][claim]]) for p in SEED_SD]
        print(row(claim, *power, *false, *refuted))
        wrong += [claim for rate in (*false, *refuted) if float(rate) > limit]
    print(f"\nEach false rate is to be at most {limit:.3f} (.05 + 3.5 standard errors); above it: {wrong or 'none'}.")
    for points, studies_of in by_study.items():
        sums = np.array([sum(one) for one in studies_of], dtype=float)
        sizes = np.array([len(one) for one in studies_of], dtype=float)
        pooled = sums.sum() / sizes.sum()
        error = float(np.sqrt(((sums - pooled * sizes) ** 2).sum()) / sizes.sum())  # clustered by study
        print(
            f"Seeds that differ by {points:g} points: of {int(sizes.sum())} verdicts on nulls {pooled:.4f} are"
            f" supported (standard error {error:.4f}; at most {0.05 + 2 * error:.3f})."
        )


# Verdicts at the boundary: an effect that is exactly the smallest one of interest is neither beyond it nor excluded

BOUNDARY = ("D1", "D3", "D5", "D6", "I4", "I5", "I6", "O8")  # effects and interactions of one part


@cache
def at_the_boundary(claim: str) -> Settings:
    """The case in which it holds, with its effects made smaller until the contrast is the smallest effect."""
    settings, smallest = settings_of(CLAIMS[claim], "holds"), CLAIMS[claim].parts[0].smallest_effect
    factors = tuple(CLAIMS[claim].parts[0].contrast)
    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        scaled = replace(settings, effects={key: middle * size for key, size in settings.effects.items()})
        size = np.mean([Truth(scaled).effect(factors, group) for group in ("near_ood", "far_ood", "far_ood")])
        low, high = (middle, high) if abs(size) < smallest else (low, middle)
    return scaled


def judged_at_boundary(task: tuple[str, float, int]) -> str:
    claim, points, seed = task
    return judge(CLAIMS[claim], evidence(with_seeds(at_the_boundary(claim), points), seed)).decision


def boundary(pool: ProcessPoolExecutor, studies: int) -> None:
    print(f"\n### At the boundary: the effect is exactly the smallest one, {studies} studies a cell\n")
    heads = [f"{decision}, {points:g}" for decision in ("supported", "refuted") for points in SEED_SD]
    print(row("claim", *heads))
    print(row(*["---"] * (len(heads) + 1)))
    cells = list(product(("supported", "refuted"), SEED_SD))
    said: dict[tuple[str, float], list[str]] = {}
    for claim in BOUNDARY:
        for points in SEED_SD:
            tasks = [(claim, points, 60_000 + k) for k in range(studies)]
            said[claim, points] = list(pool.map(judged_at_boundary, tasks, chunksize=8))
        print(row(claim, *(share([one == d for one in said[claim, points]]) for d, points in cells)))
    pooled = [[one == d for claim in BOUNDARY for one in said[claim, points]] for d, points in cells]
    print(row("all, nominal .025", *map(share, pooled)))


# Intervals

Truths = list[tuple[str, Interval, float]]


def planted(points: float, seed: int) -> list[tuple[Simulated, Callable[[Simulated], Truths]]]:
    """Studies of each kind of quantity, with how its intervals are held against the truth."""
    common = {"items": 80, "seeds": 3, "groups": {"far_ood": ("a", "b")}, "seed": seed}
    noise = Noise(run=points * LOGITS_A_POINT, checkpoint=points * LOGITS_A_POINT / 3, item_condition=0.2)
    bases = {"lab:strong": 0.4, "lab:weak": -0.6}
    steps = (0, 10, 20, 40, 80, 160, 320)
    three = {NOISE: -0.8, f"{NOISE} x {BASE}": 0.5, f"{NOISE} x {BASE} x {LR}": 0.6}
    rates = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
    return [
        (study(factors=DESIGN, bases=bases, effects=three, steps=(0, 20, 80, 320), noise=noise, **common), _effects),
        (study(factors={NOISE: (0.0, 0.6)}, course="dip_rise", steps=steps, noise=noise, **common), _courses),
        (
            study(
                factors={LR: rates, NOISE: (0.0, 0.6)}, steps=(0, 80, 320), noise=noise,
                peaks={LR: Peak(1e-3, 0.3, {NOISE: -0.7})}, **common,
            ),
            _optima,
        ),
        (
            study(
                factors={SIZE: (256, 512, 1024, 4096, 16384), LR: (3e-4, 3e-3)}, steps=(0, 80, 320), noise=noise,
                gain=0.0,
                saturations={SIZE: Saturation(2.5, 800.0, 0.8)}, **common,
            ),
            _saturations,
        ),
        (
            study(
                factors={LR: (3e-4, 3e-3)}, steps=(0, 80, 320), noise=noise, gain=1.5,
                variants={"a-renamed": Variant("a", "symbols", 0.6, {LR: -0.4})},
                measures={"response_tokens": Measure(30.0, 0.8, "log", run_sd=0.1)}, **common,
            ),
            _surfaces,
        ),
    ]  # fmt: skip


def _evidence(simulated: Simulated):
    panel = build(simulated.table)
    tasks = task_paths(panel)
    (found,) = evidence_of(tasks, panel)
    return tasks, found


def _effects(simulated: Simulated) -> Truths:
    tasks, found = _evidence(simulated)
    out: Truths = []
    for e in effects(group_paths(tasks, []), []):
        if isinstance(e.estimate, Interval):
            truth = simulated.truth.effect(e.factors, e.group, e.estimand, e.scale)
            out.append((f"effects, {e.estimand}, {e.scale}", e.estimate, truth))
    for f in slopes.findings(found):
        if f.question == "simple slopes" and f.quantity == "effect on the gain" and isinstance(f.estimate, Interval):
            truth = simulated.truth.effect(f.factors, f.group, "gain", f.unit, within=f.within)
            out.append((f"simple slopes, {f.unit}", f.estimate, truth))
    return out


def _courses(simulated: Simulated) -> Truths:
    tasks, found = _evidence(simulated)
    out: Truths = []
    steps = simulated.truth.settings.steps
    paths = group_paths(tasks, [])
    noises = seed_noises(paths)
    for own in by_condition(paths).values():
        one = condition_trajectory(own, noises.of(own[0]))
        if isinstance(one.net_gain, Interval):
            truth = simulated.truth.summary(one.condition, one.group, "gain", "points")
            out.append(("gain of a condition over its seeds", one.net_gain, truth))
    for f in growth.findings(found):
        scores = simulated.truth.scores(f.within, f.group)
        early = max(i for i, step in enumerate(steps) if 0 < step <= steps[-1] / 8)
        if isinstance(f.estimate, Interval):
            if f.quantity.startswith("score at the last"):
                out.append(("last checkpoint against an early one", f.estimate, float(scores[-1] - scores[early])))
            elif f.quantity.startswith("change over the last doubling"):
                out.append(("change over the last doubling of steps", f.estimate, float(scores[-1] - scores[-2])))
            elif f.quantity.startswith("change at the next"):
                truth = simulated.truth.next_doubling(f.within, f.group)
                out.append(("change at the next doubling (a forecast)", f.estimate, truth))
    return out


def _optima(simulated: Simulated) -> Truths:
    _, found = _evidence(simulated)
    out: Truths = []
    for f in optimum.findings(found):
        if (f.factors[-1] != LR and LR not in f.factors) or not isinstance(f.estimate, Interval):
            continue
        if f.quantity == optimum.LOCATION:
            out.append(("best learning rate", f.estimate, simulated.truth.peak(LR, f.group, f.within)))
        elif f.quantity == optimum.SHIFT:
            truth = simulated.truth.peak_shift(LR, [NOISE], f.group) / float(np.log(2))
            out.append(("shift of the best learning rate, doublings", f.estimate, truth))
    return out


def _saturations(simulated: Simulated) -> Truths:
    _, found = _evidence(simulated)
    out: Truths = []
    for f in saturation.findings(found):
        if f.quantity != "gain per doubling" or f.within or f.unit != "points" or not isinstance(f.estimate, Interval):
            continue
        high, low = (float(level) for level in f.contrast.split(" - "))
        truth = simulated.truth.per_doubling(SIZE, f.group, (low, high))
        out.append(("gain per doubling of the data", f.estimate, truth))
    return out


def _surfaces(simulated: Simulated) -> Truths:
    _, found = _evidence(simulated)
    out: Truths = []
    for f in reliance.findings(found):
        plain = f.unit == "points" and f.contrast == "a - a-renamed" and not f.factors
        if isinstance(f.estimate, Interval) and plain:
            truth = simulated.truth.reliance("a-renamed", within=f.within)
            out.append(("reliance on the surface", f.estimate, truth))
    return out


def covered(task: tuple[float, int]) -> list[tuple[str, bool]]:
    points, seed = task
    found = [held for simulated, hold in planted(points, seed) for held in hold(simulated)]
    return [(kind, bool(interval.low <= truth <= interval.high)) for kind, interval, truth in found]


def coverage(pool: ProcessPoolExecutor, studies: int) -> None:
    print(f"\n### Coverage of 95 % intervals, {studies} studies a line and column\n")
    print(row("quantity", *(f"seeds differ by {points:g} points" for points in SEED_SD), "intervals"))
    print(row(*["---"] * (len(SEED_SD) + 2)))
    held: dict[str, dict[float, list[bool]]] = defaultdict(lambda: {points: [] for points in SEED_SD})
    for points in SEED_SD:
        for kinds in pool.map(covered, [(points, 70_000 + k) for k in range(studies)], chunksize=2):
            for kind, hit in kinds:
                held[kind][points].append(hit)
    for kind, by_sd in held.items():
        print(row(kind, *(share(by_sd[points]) for points in SEED_SD), sum(map(len, by_sd.values()))))
    for points in SEED_SD:
        kept = [hit for kind, by_sd in held.items() if "forecast" not in kind for hit in by_sd[points]]
        print(f"\nSeeds that differ by {points:g} points, all but the forecast: {share(kept)}.")


# Dips


def read_series(task: tuple[float, int, int]) -> list[tuple[bool, bool, bool | None, bool, bool]]:
    """Of a block of series: whether each dips, was said to, its called phase is right, and what two naive rules say."""
    sd, block, n = task
    rng = np.random.default_rng([90_000 + block, int(sd * 100)])
    out = []
    for case in dips_generator.cases(rng, n, 3, sd):
        found, _ = dips_generator.read(case)
        called = found.phase == case.phase if found.phase_probability >= dips_generator.DECIDED else None
        naive = dips_generator.by_bootstrap(case, rng)[0], dips_generator.by_points(case.items.mean(axis=(0, 2)))[0]
        out.append((case.dips, found.dip_probability > 0.5, called, *naive))
    return out


def dips(pool: ProcessPoolExecutor, series: int) -> None:
    print(f"\n### Dips, τ from three seeds, {series} series a line\n")
    rules = ("bootstrap: found, false", "1-point rule: found, false")
    print(row("checkpoint sd", "found", "false", "phase called at .8", "right of called", *rules))
    print(row(*["---"] * 7))
    for sd in (0.0, 0.05, 0.15):
        blocks = [(sd, block, 16) for block in range(max(1, series // 16))]
        rows = [one for block in pool.map(read_series, blocks) for one in block]
        dipped, flat = ([one for one in rows if one[0] == there] for there in (True, False))
        called = [one[2] for one in rows if one[2] is not None]

        def rates(column: int, dipped: list = dipped, flat: list = flat) -> str:
            return f"{share([one[column] for one in dipped])}, {share([one[column] for one in flat])}"

        found, false = rates(1).split(", ")
        print(
            row(
                sd, found, false, f"{len(called) / len(rows):.2f}", share([bool(c) for c in called]), rates(3), rates(4)
            )
        )


# The published tables


def published_verdicts(pool: ProcessPoolExecutor, studies: int) -> None:
    print("\n### The published tables (Ren et al. 2026)\n")
    reasons: dict[tuple[str, str], list[str]] = defaultdict(list)
    for verdict in analyze(published()).verdicts:
        reasons[verdict.decision, verdict.reason].append(verdict.claim)
    print(row("verdict", "claims", "why"))
    print(row("---", "---", "---"))
    for (decision, reason), claims in reasons.items():
        print(row(decision, ", ".join(claims), reason))


PARTS: dict[str, Callable[[ProcessPoolExecutor, int], None]] = {
    "ledger": ledger,
    "boundary": boundary,
    "coverage": coverage,
    "dips": dips,
    "published": published_verdicts,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=100)
    parser.add_argument("--series", type=int, default=480)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    asked = parser.parse_args()
    start = time.time()
    with ProcessPoolExecutor(asked.jobs) as pool:
        for name in asked.only:
            PARTS[name](pool, asked.series if name == "dips" else asked.studies)
            print(f"\n({name}: {time.time() - start:.0f} s since the start)", flush=True)


if __name__ == "__main__":
    main()
