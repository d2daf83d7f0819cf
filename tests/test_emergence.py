"""Threshold against smooth scaling: known curves, too few sizes, a metric's threshold, false alarms."""

from __future__ import annotations

import numpy as np
import pytest

from analyze_cases import columns
from triaxis.analyze.analysis import evidence_of
from triaxis.analyze.dense import build
from triaxis.analyze.paths import task_paths
from triaxis.analyze.questions import emergence
from triaxis.records.table import make_table
from triaxis.simulate import study
from triaxis.stats.threshold import threshold_evidence
from triaxis.types import Interval, NotEstimable

SIZES = 2.0 ** np.arange(20, 30)
U = np.linspace(0, 1, 10)
SMOOTH = {
    "line": 0.2 + 0.5 * U,
    "level": 0.4 + 0 * U,
    "power": 0.7 - 0.5 * np.exp(-3 * U),
    "s_curve": 1 / (1 + np.exp(-(U - 0.5) / 0.09)),
    "tail": 1 / (1 + np.exp(-(U - 1.2) / 0.18)),
    "quadratic": 0.1 + 0.6 * U**2,
}


def bases_study(logits, seeds=2, **more):
    names = [f"base{i}" for i in range(len(logits))]
    settings = {
        "factors": {"model.base": tuple(names)},
        "bases": dict(zip(names, logits, strict=True)),
        "traits": {"model.parameters": {name: 2 ** (20 + i) for i, name in enumerate(names)}},
        "items": 80,
        "steps": (0, 10, 40),
        "gain": 0.5,
        "seeds": seeds,
        "seed": 1,
    }
    return columns(study(**{**settings, **more}).table)


def evidence(data):
    panel = build(make_table(data))
    return evidence_of(task_paths(panel), panel)[0]


def test_a_step_is_a_threshold_between_its_two_sizes():
    found = threshold_evidence(SIZES, np.where(U > 0.5, 0.6, 0.2) + 0.01 * np.cos(np.arange(10)))
    assert found.shape == "threshold"
    assert found.broken in ("two levels", "a line with a step")
    assert (found.at.low, found.at.high) == (SIZES[4], SIZES[5])
    assert found.at.low < found.at.value < found.at.high


def test_an_exact_line_is_smooth_and_leaves_room_for_no_jump():
    found = threshold_evidence(SIZES, 0.2 + 0.5 * U)
    assert found.shape == "smooth"
    assert found.smooth == "a line in log size"
    assert found.largest < 0.01


def test_order_of_the_bases_and_unit_of_size_change_nothing():
    y = np.where(U > 0.5, 0.6, 0.2) + 0.01 * np.cos(np.arange(10))
    found, order = threshold_evidence(SIZES, y), np.random.default_rng(0).permutation(10)
    moved = threshold_evidence(SIZES[order] * 4, y[order])
    assert moved.delta_aicc == pytest.approx(found.delta_aicc)
    assert moved.at.value == pytest.approx(4 * found.at.value)


def test_seven_sizes_are_too_few():
    with pytest.raises(ValueError, match="needs 8 different sizes"):
        threshold_evidence(SIZES[:7], U[:7])
    with pytest.raises(ValueError, match="here 5"):
        threshold_evidence(np.repeat(SIZES[:5], 2), U)


def test_noise_makes_no_threshold_of_smooth_curves_and_hides_no_clear_step():
    rng = np.random.default_rng(7)
    for name, curve in SMOOTH.items():
        called = [threshold_evidence(SIZES, curve + rng.normal(0, 0.03, 10), bounded=True).shape for _ in range(30)]
        assert called.count("threshold") <= 4, name  # .05 of 30 and two standard errors
    step = np.where(U > 0.5, 0.5, 0.2)
    called = [threshold_evidence(SIZES, step + rng.normal(0, 0.03, 10), bounded=True).shape for _ in range(30)]
    assert called.count("threshold") >= 26


def test_a_planted_threshold_in_bases_is_found_and_a_line_is_not():
    step = emergence.threshold_verdict(evidence(bases_study([-2.0] * 5 + [1.0] * 5)), ["in_domain"])
    assert step.decision == "supported"
    assert step.at.low <= 2**24.5 <= step.at.high
    assert "was not measured" in step.reason
    line = emergence.threshold_verdict(evidence(bases_study(np.linspace(-1.5, 1.5, 10))), ["in_domain"])
    assert line.decision != "supported"


def test_a_smooth_log_probability_leaves_the_threshold_to_the_metric():
    data = bases_study([-2.0] * 5 + [1.0] * 5)
    size = {f"base{i}": i for i in range(10)}
    data["log_probability"] = [-3 + 0.25 * size[base] for base in data["model.base"]]
    found = emergence.threshold_verdict(evidence(data), ["in_domain"])
    assert found.decision == "inconclusive"
    assert "may be the metric's" in found.reason
    data["log_probability"] = [-3.0 if size[base] < 5 else -1.0 for base in data["model.base"]]
    assert emergence.threshold_verdict(evidence(data), ["in_domain"]).decision == "supported"


def test_findings_name_the_measure_and_the_unit_is_the_base():
    found = emergence.findings(evidence(bases_study([-2.0] * 5 + [1.0] * 5)))
    assert [f.quantity for f in found] == [
        "threshold in model.parameters: accuracy at the last checkpoint",
        "threshold in model.parameters: accuracy of the base",
    ]
    for f in found:
        assert isinstance(f.estimate, Interval)
        assert (f.sampled, f.n_units, f.unit) == ("base", 10, "parameters")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: bases_study([0.0] * 5), "needs 8 different sizes"),
        (lambda data: {**data, "model.parameters": [1 for _ in data["run"]]}, "no number above 0 in every run"),
        (lambda data: {**data, "score": [1.0 for _ in data["run"]]}, "all bases are alike"),
    ],
)
def test_what_cannot_be_told_is_not_estimable(change, reason):
    found = emergence.threshold_verdict(evidence(change(bases_study([0.0] * 9))), ["in_domain"])
    assert isinstance(found, NotEstimable)
    assert reason in found.reason


def test_a_table_without_sizes_is_asked_nothing():
    assert emergence.findings(evidence(columns(study(factors={"data.noise_rate": (0.0, 0.6)}, items=20).table))) == []
