"""Analyses built by hand for the tests of the report: small, with known numbers, and as awkward as real ones."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from triaxis.types import (
    Analysis,
    Dip,
    Effect,
    Finding,
    GroupSummary,
    Interval,
    Level,
    NotEstimable,
    Trajectory,
    Verdict,
)

STEPS = (0, 1, 2, 4, 8, 16, 32, 64, 128)
GROUPS = ("in_domain", "near_ood", "far_ood", "safety")
LR, BASE, NOISE = "optimization.learning_rate", "model.base", "data.noise_rate"
FACTORS: dict[str, tuple[Level, ...]] = {LR: (0.0003, 0.003), BASE: ("lab:strong", "lab:weak")}
SEEDS = (0, 1, 2)


def around(value: float, half: float = 0.04) -> Interval:
    return Interval(value, value - half, value + half)


def curve(condition: Mapping[str, Level], group: str, shift: float = 0.0) -> list[float]:
    """Scores at STEPS: a rise in domain; elsewhere a rise that a high learning rate loses again."""
    hot = float(condition.get(LR, 0.0003)) > 0.001
    weak = "weak" in str(condition.get(BASE, ""))
    start, top = {"in_domain": (0.1, 0.95), "safety": (1.0, 1.0)}.get(group, (0.25, 0.8))
    if weak:
        top = start + (top - start) * 0.4
    scores = []
    for index in range(len(STEPS)):
        x = index / (len(STEPS) - 1)
        rise = 1 / (1 + math.exp(-(x - (0.35 if hot else 0.55)) / 0.07))
        loss = max(x - 0.6, 0) / 0.4 * (0.7 if weak else 0.5) if hot and group != "in_domain" else 0.0
        scores.append(min(max(start + (top - start) * rise - loss + (shift if index else 0.0), 0.0), 1.0))
    return scores


def trajectory(
    condition: Mapping[str, Level], group: str, *, task: str = "", seed: int | None = None, shift: float = 0.0
) -> Trajectory:
    scores = curve(condition, group, shift)
    hot = float(condition.get(LR, 0.0003)) > 0.001 and group != "in_domain"
    length = [3 + 60 * index / (len(STEPS) - 1) for index in range(len(STEPS))]
    run = "" if seed is None else f"{'-'.join(f'{name}={value}' for name, value in condition.items())}-{seed}"
    return Trajectory(
        run=run,
        seed=seed,
        base=str(condition.get(BASE, "lab:strong")),
        source="",
        condition=condition,
        task=task,
        group=group,
        mode="default",
        n_runs=3 if seed is None else 1,
        n_items=240,
        steps=STEPS,
        scores=tuple(around(score) for score in scores),
        response_tokens=tuple(length),
        truncated=tuple(0.01 * index for index in range(len(STEPS))),
        refused=tuple(score if group == "safety" else 0.0 for score in scores),
        accuracy_finished=tuple(min(score * 1.05, 1.0) for score in scores),
        phase="overfit" if hot else "plateau",
        phase_probability=0.93,
        probabilities={"plateau": 0.07, "overfit": 0.93} if hot else {"plateau": 0.93, "rising": 0.07},
        dip=Dip(0.04, None, NotEstimable("no dip has weight"), NotEstimable("no dip has weight")),
        regain_probability=NotEstimable("no dip has weight"),
        net_gain=around(scores[-1] - scores[0]),
        tau=0.012,
        tau_from="seeds",
    )


def summary(condition: Mapping[str, Level], group: str) -> GroupSummary:
    scores = curve(condition, group)
    return GroupSummary(
        condition=condition,
        group=group,
        step=STEPS[-1],
        n_runs=3,
        n_items=240,
        base_score=scores[0],
        score=scores[-1],
        gain=around(scores[-1] - scores[0]),
        best_gain=around(max(scores) - scores[0]),
        phase=trajectory(condition, group).phase,
        phase_probability=0.93,
        response_tokens=63.0,
        truncated=0.08,
        unparsed=0.01,
        refused=scores[-1] if group == "safety" else 0.0,
        accuracy_finished=min(scores[-1] * 1.05, 1.0),
    )


def effect(
    factors: Sequence[str], contrast: str, group: str, points: float, logit: float, **more: object
) -> list[Effect]:
    held: dict[str, object] = {
        "p": 0.0004, "p_adjusted": 0.002, "n_units": 12, "n_runs": 12, "unit": "run", "item_pool": "this item pool",
        "method": "least squares on run gains, t with 8 df",
    }  # fmt: skip
    held |= more
    head = ("gain", 128, group, tuple(sorted(factors)), contrast)
    return [
        Effect(*head, "points", around(points, 0.05), **held),  # type: ignore[arg-type]
        Effect(*head, "logit", around(logit, 0.3), **held),  # type: ignore[arg-type]
    ]


def conditions(factors: Mapping[str, tuple[Level, ...]] = FACTORS) -> list[dict[str, Level]]:
    return [dict(zip(factors, levels, strict=True)) for levels in itertools.product(*factors.values())]


def typical() -> Analysis:
    """2 x 2 conditions, three seeds, four groups: everything that a report shows, with known numbers."""
    cells = conditions()
    tasks = {"in_domain": ["chain"], "near_ood": ["words"], "far_ood": ["boolean", "pointer"], "safety": ["refusal"]}
    effects = [
        *effect([LR], "0.003 - 0.0003", "far_ood", -0.341, -1.52),
        *effect([BASE], "lab:weak - lab:strong", "far_ood", -0.281, -1.21, unit="run, these bases", p_adjusted=0.011),
        *effect([LR], "0.003 - 0.0003", "in_domain", 0.004, 0.11, p=0.7, p_adjusted=0.81, note="ceiling"),
        *effect([BASE, LR], "(lab:weak - lab:strong) x (0.003 - 0.0003)", "far_ood", 0.123, -0.05, p=0.03,
                p_adjusted=0.06, note="scale dependent"),
    ]  # fmt: skip
    for scale in ("points", "logit"):
        reason = NotEstimable("a cell is at 1: not testable, ceiling")
        effects.append(Effect("gain", 128, "safety", (LR,), "0.003 - 0.0003", scale, reason))
    hot = "A higher learning rate costs accuracy out of domain."
    verdicts = (
        Verdict(
            "C1", hot, "supported", "it lies below -5 points", "gain", 0.05, around(-0.341, 0.05), "points", "a paper"
        ),
        Verdict("C2", "Three bases differ.", "not testable", "there are two bases", "gain", None, None, "points", ""),
    )
    findings = (
        Finding(
            "cost", "gain", around(0.12, 0.04), "points", "far_ood", within={LR: 0.003}, p=0.01, p_adjusted=0.02,
            sampled="item", n_units=240, n_runs=1, item_pool="items like these", method="gain at the last checkpoint",
        ),
        Finding("saturation", "gain per doubling", NotEstimable("the design varies no size"), "points", "far_ood"),
    )  # fmt: skip
    return Analysis(
        trajectories=tuple(
            trajectory(cell, group, task=task, seed=seed, shift=0.01 * (seed - 1))
            for cell in cells for seed in SEEDS for group in GROUPS for task in tasks[group]
        ),
        group_trajectories=tuple(
            trajectory(cell, group, seed=seed, shift=0.01 * (seed - 1))
            for cell in cells for seed in SEEDS for group in GROUPS
        ),
        condition_trajectories=tuple(trajectory(cell, group) for cell in cells for group in GROUPS),
        summaries=tuple(summary(cell, group) for cell in cells for group in GROUPS),
        effects=tuple(effects),
        findings=findings,
        verdicts=verdicts,
        warnings=("two bases: the effect of the base speaks of these bases",) * 2,
        factors=FACTORS,
        n_records=25_200,
        seed=0,
    )  # fmt: skip


def large(n: int = 64, n_seeds: int = 1) -> Analysis:
    """A Sobol design: each condition has a learning rate and a noise rate of its own."""
    cells: list[dict[str, Level]] = [
        {LR: 1e-4 * 100 ** (index / (n - 1)), NOISE: round((index * 0.618) % 1, 4), BASE: "lab:strong"}
        for index in range(n)
    ]
    tasks = ("words", "boolean", "pointer", "letters", "extremes", "chain", "refusal")
    return Analysis(
        trajectories=tuple(
            trajectory(cell, "far_ood", task=task, seed=seed)
            for cell in cells for seed in range(n_seeds) for task in tasks
        ),
        group_trajectories=(),
        condition_trajectories=tuple(trajectory(cell, group) for cell in cells for group in GROUPS),
        summaries=tuple(summary(cell, group) for cell in cells for group in GROUPS),
        effects=(),
        findings=(),
        verdicts=(),
        warnings=tuple(f"warning number {index}" for index in range(30)),
        factors={LR: tuple(cell[LR] for cell in cells), NOISE: tuple(cell[NOISE] for cell in cells)},
        n_records=100_000,
        seed=3,
    )  # fmt: skip


def published() -> Analysis:
    """Scores without items or records: no intervals, no lengths, nothing to test."""
    condition: dict[str, Level] = {"data.task": "Math-CoT"}
    bare = tuple(Interval(score, score, score) for score in (0.5, 0.45, 0.6))
    none = (None, None, None)
    unknown = NotEstimable("the number of items is not known")
    one = Trajectory(
        run="r1", seed=0, base="Qwen3-4B", source="paper", condition=condition, task="MATH500", group="ungrouped",
        mode="default", n_runs=1, n_items=None, steps=(0, 10, 640), scores=bare, response_tokens=none, truncated=none,
        refused=none, accuracy_finished=none, phase="undecided", phase_probability=0.55,
        probabilities={"dip": 0.55, "flat": 0.45}, dip=unknown, regain_probability=unknown, net_gain=unknown, tau=None,
        tau_from="default",
    )  # fmt: skip
    held = GroupSummary(
        condition=condition, group="ungrouped", step=640, n_runs=1, n_items=None, base_score=0.5, score=0.6,
        gain=Interval(0.1, 0.1, 0.1), best_gain=unknown, phase="undecided", phase_probability=0.55,
        response_tokens=None, truncated=None, unparsed=None, refused=None, accuracy_finished=None,
    )  # fmt: skip
    return Analysis((one,), (one,), (), (held,), (), (), (), ("no items: no intervals",), {}, 0, 0)


def empty() -> Analysis:
    return Analysis((), (), (), (), (), (), (), (), {}, 0, 0)
