"""Whether effects are found as often as `triaxis study power` promises: simulated studies with planted effects.

    python benchmarks/power.py [--studies 400] [--seed 2026] [--only NAME]

A design is promised a power from the variances of a large pilot of the same settings (30 seeds, 600 items a task), at
the effect that is truly there (an expectation over seeds and items). Then studies are drawn and read by the intervals
of `triaxis analyze`: an effect is found where the interval lies beyond the smallest effect, on the true effect's side.
Agreement within .05 is asked for. Beside it what a noncentral t promises whose degrees of freedom are those of equal,
known variances.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import special

from triaxis.analyze.analysis import evidence_of
from triaxis.analyze.contrasts import Asked, cell_contrast
from triaxis.analyze.dense import build
from triaxis.analyze.design import Target
from triaxis.analyze.evidence import Evidence
from triaxis.analyze.paths import task_paths
from triaxis.analyze.power import Sampling, law_of, plan_of, weights_of
from triaxis.analyze.variances import pilot_variances
from triaxis.simulate import Noise, Settings, study
from triaxis.stats.intervals import satterthwaite
from triaxis.stats.power import Components
from triaxis.types import Interval, NotEstimable

RATE, NOISE, EXAMPLES, BASE = "optimization.learning_rate", "data.noise_rate", "data.examples", "model.base"
THREE = {RATE: (3e-4, 3e-3), NOISE: (0.0, 0.6), EXAMPLES: (1024, 4096)}
GROUP = "far_ood"
PILOT_SEEDS, PILOT_ITEMS = 30, 600


@dataclass(frozen=True)
class Case:
    """A design with one planted effect."""

    name: str
    on: tuple[str, ...]
    effect: float  # logits
    settings: dict[str, object] = field(default_factory=dict)
    smallest: float = 0.0

    def drawn(self, **changes: object) -> Settings:
        """The simulator's settings of one study."""
        own = {"factors": THREE, "seeds": 3, "items": 60, "samples": 1, **self.settings, **changes}
        return Settings(
            effects={" x ".join(self.on): self.effect},
            groups={GROUP: ("a", "b")},
            steps=(0, 40, 160),
            base_logit=-0.3,
            gain=0.5,
            **own,  # type: ignore[arg-type]
        )


CALM, WILD = Noise(), Noise(run=0.3, checkpoint=0.1)
CASES = (
    Case("main, 3 seeds", (RATE,), 0.35),
    Case("pair, 3 seeds", (RATE, NOISE), 0.75),
    Case("triple, 3 seeds", (RATE, NOISE, EXAMPLES), 1.5),
    Case("triple, 2 seeds", (RATE, NOISE, EXAMPLES), 2.0, {"seeds": 2}),
    Case("triple, 5 seeds, wild runs", (RATE, NOISE, EXAMPLES), 1.9, {"seeds": 5, "noise": WILD}),
    Case("pair, wild runs", (RATE, NOISE), 1.2, {"noise": WILD}),
    Case("pair, beyond 3 points", (RATE, NOISE), 0.9, smallest=0.03),
    Case("pair, items shift by condition", (RATE, NOISE), 0.9, {"noise": Noise(item_condition=0.8)}),
    Case("main, 3 samples", (RATE,), 0.3, {"samples": 3}),
    Case(
        "main of the base",
        (BASE,),
        0.8,
        {"factors": {BASE: ("strong", "weak"), RATE: THREE[RATE]}, "bases": {"strong": 0.3, "weak": -0.3}},
    ),
    Case("main, 2 conditions, 2 seeds", (RATE,), 0.9, {"factors": {RATE: THREE[RATE]}, "seeds": 2}),
)


def evidence(settings: Settings) -> Evidence:
    """A simulated study as the analysis sees it."""
    panel = build(study(settings).table)
    (found,) = evidence_of(task_paths(panel), panel)
    return found


def target_of(asked: Asked, on: tuple[str, ...]) -> Target:
    names = tuple(sorted(on))
    levels = [asked.cells.levels[name] for name in names]
    return Target(names, tuple(of[-1] for of in levels), tuple(of[0] for of in levels))


def textbook(
    asked: Asked, weights: np.ndarray, sampling: Sampling, of: Components, effect: float, smallest: float
) -> float:
    """Noncentral t at the degrees of freedom of equal and known variances."""
    plan = plan_of(asked.cells, weights, sampling)
    share = weights**2 / plan.counts
    runs = share * (of.run + of.noise(plan.samples) * plan.per_item)
    items = plan.items_variance(of) - float(share.sum()) * of.noise(plan.samples) * plan.per_item
    df = satterthwaite([*runs, items], [*(plan.counts - 1), plan.items_df])
    variance = float(runs.sum()) + items
    t = float(special.stdtrit(df, 0.975))
    return float(1 - special.nctdtr(df, (effect - smallest) / variance**0.5, t))


def measure(case: Case, studies: int, seed: int) -> tuple[float, float, float, float]:
    """True effect, promised, by the textbook, and found."""
    settings = case.drawn(seed=seed)
    truth = study(replace(settings, items=2, seeds=1)).truth.effect(case.on, GROUP)
    pilot = evidence(case.drawn(seed=seed + 10**6, seeds=PILOT_SEEDS, items=PILOT_ITEMS))
    components = pilot_variances(pilot, GROUP).values
    asked = pilot.asked[GROUP]
    weights = weights_of(asked.cells, target_of(asked, case.on))
    assert weights is not None
    sampling = Sampling(settings.seeds, (settings.items,) * 2, settings.samples)
    law = law_of(asked.cells, weights, sampling, components)
    assert not isinstance(law, NotEstimable)
    found = []
    for k in range(studies):
        drawn = evidence(case.drawn(seed=seed + 1 + k)).asked[GROUP]
        interval = cell_contrast(drawn, weights, "gain", "points")
        assert isinstance(interval, Interval)
        found.append(interval.low > case.smallest if truth > 0 else interval.high < -case.smallest)
    known = textbook(asked, weights, sampling, components, abs(truth), case.smallest)
    return truth, law.power(truth, case.smallest), known, float(np.mean(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=400)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--only", default="", help="Cases whose name holds this.")
    asked = parser.parse_args()
    print(f"{asked.studies} studies a line; the share found is sure to about {(0.16 / asked.studies) ** 0.5:.3f}")
    print("| planted | points | promised | textbook | found | difference |\n|---|---|---|---|---|---|")
    began = time.process_time()
    for case in (case for case in CASES if asked.only in case.name):
        truth, promised, known, found = measure(case, asked.studies, asked.seed)
        row = f"{promised:.2f} | {known:.2f} | {found:.2f} | {found - promised:+.3f}"
        print(f"| {case.name} | {100 * truth:.1f} | {row} |", flush=True)
    print(f"{time.process_time() - began:.0f} CPU-seconds")


if __name__ == "__main__":
    main()
