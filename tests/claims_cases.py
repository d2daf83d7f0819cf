"""Simulated studies in which a shipped claim is true at the size it asks for, or in which nothing of it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

from triaxis.analyze.analysis import evidence_of, verdicts
from triaxis.analyze.claims import shipped_claims
from triaxis.analyze.dense import build
from triaxis.analyze.paths import task_paths
from triaxis.simulate import Noise, Settings, Truth, study
from triaxis.types import Decision, Level

LR, NOISE, BASE, STRUCTURE = "optimization.learning_rate", "data.noise_rate", "model.base", "data.structure"
DEMO: dict[str, tuple[Level, ...]] = {LR: (3e-4, 3e-3), NOISE: (0.0, 0.6), BASE: ("lab:strong", "lab:weak")}
CLAIMS = {claim.id: claim for claim in shipped_claims()}
COMMON: dict[str, Any] = {
    "factors": DEMO, "bases": {"lab:strong": 0.4, "lab:weak": -0.6}, "steps": (0, 20, 80, 320), "items": 60, "seeds": 3,
    "groups": {"in_domain": ("chain",), "near_ood": ("words",), "far_ood": ("a", "b"), "safety": ("refusal",)},
    "noise": Noise(run=0.15, checkpoint=0.05, item_condition=0.2),
}  # fmt: skip


def planned(claim: str) -> float:
    return CLAIMS[claim].parts[0].planned_effect


def _sized(settings: Callable[[float], dict[str, Any]], truth: Callable[[Truth], float], size: float) -> dict[str, Any]:
    """The settings whose true contrast, in score, is `size` (bisection over the planted logits)."""
    low, high = 0.0, 12.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if truth(Truth(Settings(**{**COMMON, **settings(middle)}))) < size else (low, middle)
    return settings(high)


def _effect(names: tuple[str, ...], sign: float, claim: str) -> dict[str, Any]:
    key = " x ".join(names)
    return _sized(lambda x: {"effects": {key: sign * x}}, lambda t: sign * t.effect(names, "far_ood"), planned(claim))


def corner(truth: Truth) -> float:
    """The matched corner's gain beyond the sum of its parts: strong, clean, lower rate against weak, noisy, higher."""
    matched, other = {LR: 3e-4, NOISE: 0.0, BASE: "lab:strong"}, {LR: 3e-3, NOISE: 0.6, BASE: "lab:weak"}
    total = 0.0
    for ends in product((0, 1), repeat=3):
        condition = {name: (matched if end else other)[name] for name, end in zip(matched, ends, strict=True)}
        weight = {3: 1.0, 1: -1.0, 0: 2.0}.get(sum(ends), 0.0)
        total += weight * truth.summary(condition, "far_ood", "gain", "points")
    return total


def true_case(claim: str) -> dict[str, Any]:
    """Settings in which the claim holds at its planned effect."""
    if claim == "D10":
        factors = {STRUCTURE: ("long_cot", "no_cot"), BASE: DEMO[BASE]}
        return _sized(
            lambda x: {"factors": factors, "effects": {STRUCTURE: -x}},
            lambda t: -t.effect((STRUCTURE,), "far_ood"),
            planned(claim),
        )
    if claim == "C1":
        return {"gain": _both_gains(planned(claim))}
    if claim == "O6":
        return {"course": "dip_rise", "dip": 1.0, "steps": (0, 5, 10, 20, 40, 80, 160, 320)}
    if claim == "I7":
        return _sized(lambda x: {"effects": {" x ".join(DEMO): x, "data.noise_rate": -x / 2}}, corner, planned(claim))
    names, sign = {
        "D3": ((NOISE,), -1.0), "D5": ((NOISE, BASE), -1.0), "D6": ((NOISE, BASE), 1.0), "I5": ((LR, BASE), -1.0),
    }[claim]  # fmt: skip
    return _effect(names, sign, claim)


def _both_gains(size: float) -> Mapping[str, float]:
    up = _sized(lambda x: {"gain": x}, lambda t: _mean_gain(t, "in_domain"), size)["gain"]
    down = _sized(lambda x: {"gain": -x}, lambda t: -_mean_gain(t, "safety"), size)["gain"]
    return {"in_domain": up, "safety": down}


def _mean_gain(truth: Truth, group: str) -> float:
    gains = [
        truth.summary(dict(zip(DEMO, levels, strict=True)), group, "gain", "points")
        for levels in product(*DEMO.values())
    ]
    return sum(gains) / len(gains)


def null_case(claim: str) -> dict[str, Any]:
    """Settings in which nothing of what the claim says is there."""
    if claim == "D10":
        return {"factors": {STRUCTURE: ("long_cot", "no_cot"), BASE: DEMO[BASE]}, "effects": {}}
    if claim == "C1":
        return {
            "gain": {"in_domain": _both_gains(planned(claim))["in_domain"], "safety": 0.0}
        }  # a conjunction: one half fails
    if claim == "O6":
        return {"course": "rise", "steps": (0, 5, 10, 20, 40, 80, 160, 320)}
    return {"effects": {}}


def decide(claim: str, case: Mapping[str, Any], seed: int) -> Decision:
    """The verdict in one simulated study."""
    simulated = study(**{**COMMON, **case, "seed": seed})
    panel = build(simulated.table)
    found = {v.claim: v.decision for v in verdicts(evidence_of(task_paths(panel), panel))}
    return found[claim]
