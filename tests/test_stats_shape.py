"""The shape model: clear shapes are named, noise is not, and probabilities mean what they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triaxis.stats import shape as module
from triaxis.stats.noise import SeedNoise, with_noise
from triaxis.stats.shape import fit_shape, fit_shapes, weighted_interval
from triaxis.stats.shape_designs import designs, log_steps
from triaxis.types import PHASES, Interval, NotEstimable

STEPS = (0, 10, 20, 40, 80, 160, 320, 480, 640)
ERROR = 0.004
COVARIANCE = np.eye(9) * ERROR**2
CLEAR = {
    "flat": [0.4] * 9,
    "plateau": [0.4, 0.4, 0.41, 0.55, 0.68, 0.7, 0.7, 0.7, 0.7],
    "rising": [0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.5, 0.56, 0.6],
    "recovered": [0.5, 0.48, 0.4, 0.36, 0.42, 0.48, 0.5, 0.5, 0.5],
    "dip": [0.5, 0.46, 0.35, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3],
    "overfit": [0.4, 0.4, 0.42, 0.6, 0.7, 0.7, 0.62, 0.57, 0.54],
    "declining": [0.6, 0.6, 0.6, 0.6, 0.6, 0.58, 0.46, 0.4, 0.36],
}


@pytest.mark.parametrize("phase", PHASES)
def test_clear_shapes_are_named(phase):
    found = fit_shape(STEPS, np.array(CLEAR[phase]), COVARIANCE)
    assert found.phase == phase
    assert found.dip_probability > 0.9 if phase in ("dip", "recovered") else found.dip_probability < 0.3
    assert sum(found.probabilities.values()) == pytest.approx(1)


def test_depth_and_place_of_a_dip():
    found = fit_shape(STEPS, np.array(CLEAR["recovered"]), COVARIANCE)
    assert found.dip_step == 40
    assert isinstance(found.dip_depth, Interval)
    assert found.dip_depth.low <= 0.14 <= found.dip_depth.high
    assert found.dip_depth.high - found.dip_depth.low < 0.05
    assert found.regain_probability > 0.99
    stayed = fit_shape(STEPS, np.array(CLEAR["dip"]), COVARIANCE)
    assert stayed.regain_probability < 0.1


def test_without_a_dip_its_depth_is_not_estimable():
    found = fit_shape(STEPS, np.array(CLEAR["flat"]), COVARIANCE)
    assert found.dip_step is None
    assert isinstance(found.dip_depth, NotEstimable)
    assert isinstance(found.regain_probability, NotEstimable)


@pytest.mark.parametrize(
    "means",
    [
        [0.67, 0.64, 0.07, 0.07, 0.07, 0.07, 0.07, 0.07, 0.07],
        [0.91, 0.3, 0.04, 0.04, 0.04, 0.04, 0.04, 0.04, 0.04],
        [0.95, 0.8, 0.5, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02],
    ],
)
def test_a_fall_to_a_level_regains_nothing(means):
    found = fit_shape(STEPS, np.array(means), COVARIANCE)
    assert found.dip_probability > 0.5
    assert found.regain_probability < 0.2


@pytest.mark.parametrize("kind", ["dip, then above", "rise"])
def test_an_abrupt_change_to_a_level_is_not_overfitting(kind):
    rng = np.random.default_rng(3)
    for _ in range(40):
        base = rng.uniform(0.3, 0.5)
        level = base + rng.uniform(0.1, 0.3)
        start = [base, base - rng.uniform(0.1, 0.25)] if kind == "dip, then above" else [base, (base + level) / 2]
        means = np.r_[start, np.full(7, level)] + rng.normal(0, 0.005, 9)
        assert fit_shape(STEPS, means, np.eye(9) * 0.005**2).phase in ("plateau", "undecided")


def test_noise_is_not_called_a_shape():
    rng = np.random.default_rng(0)
    found = [fit_shape(STEPS, 0.5 + rng.normal(0, 0.02, 9), np.eye(9) * 0.02**2) for _ in range(300)]
    assert np.mean([f.dip_probability > 0.5 for f in found]) <= 0.08
    wrong = [f.phase for f in found if f.phase not in ("flat", "undecided")]
    assert len(wrong) <= 2  # of 300


def test_ignoring_the_wander_of_checkpoints_would_call_dips():
    rng = np.random.default_rng(1)
    noise, wander = SeedNoise(0.03, 0.0, "seeds"), rng.normal(0, 0.03, (60, 8))
    means = 0.5 + np.c_[np.zeros(60), wander]
    told = [fit_shape(STEPS, m, with_noise(COVARIANCE, noise, 1, lasting=False)).dip_probability > 0.5 for m in means]
    untold = [fit_shape(STEPS, m, COVARIANCE).dip_probability > 0.5 for m in means]
    assert np.mean(told) <= 0.08
    assert np.mean(untold) > 0.25


def test_shifting_all_scores_changes_nothing():
    means = np.array(CLEAR["overfit"])
    one, other = fit_shape(STEPS, means, COVARIANCE), fit_shape(STEPS, means + 0.13, COVARIANCE)
    assert one.probabilities == pytest.approx(other.probabilities, abs=1e-6)


def test_only_ratios_of_steps_matter():
    means = np.array(CLEAR["recovered"])
    tenfold = tuple(10 * step for step in STEPS)
    assert log_steps(STEPS) == pytest.approx(log_steps(tenfold))
    assert fit_shape(tenfold, means, COVARIANCE).dip_step == 400


def test_the_shortlist_leaves_out_next_to_nothing(monkeypatch):
    rng = np.random.default_rng(2)
    for error in (0.005, 0.03):
        means = np.array(CLEAR["overfit"]) + rng.normal(0, error, 9)
        few = fit_shape(STEPS, means, np.eye(9) * error**2)
        monkeypatch.setattr(module, "_KEPT", 4000)
        monkeypatch.setattr(module, "_DRAWS", 128)
        module._lattice.cache_clear()
        many = fit_shape(STEPS, means, np.eye(9) * error**2)
        monkeypatch.undo()
        module._lattice.cache_clear()
        assert few.probabilities == pytest.approx(many.probabilities, abs=0.06)
        assert few.dip_probability == pytest.approx(many.dip_probability, abs=0.04)


def test_three_trained_checkpoints_are_enough_and_two_are_not():
    assert fit_shape((0, 10, 100, 1000), np.full(4, 0.5), np.eye(4) * 1e-5).phase in (*PHASES, "undecided")
    with pytest.raises(ValueError, match="three trained"):
        fit_shape((0, 10, 100), np.full(3, 0.5), np.eye(3) * 1e-5)


def test_designs_are_shared_between_series():
    assert designs(STEPS) is designs(STEPS)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=4, max_size=14), st.floats(1e-3, 0.2), st.integers(1, 50))
def test_any_trajectory_has_a_shape(scores, error, first):
    steps = (0, *(first * (i + 1) ** 2 for i in range(len(scores) - 1)))
    found = fit_shape(steps, np.array(scores), np.eye(len(scores)) * error**2)
    assert sum(found.probabilities.values()) == pytest.approx(1)
    assert 0 <= found.dip_probability <= 1
    assert np.isfinite(found.curve).all()


def test_weighted_interval_of_a_normal():
    grid = np.linspace(-5, 5, 2001)
    found = weighted_interval(grid, np.exp(-0.5 * grid**2))
    assert (found.value, found.low, found.high) == pytest.approx((0, -1.96, 1.96), abs=0.01)


def test_one_covariance_of_several_that_are_equal_changes_nothing():
    means = np.array(CLEAR["dip"])
    alone, several = fit_shape(STEPS, means, COVARIANCE), fit_shapes(STEPS, means, [COVARIANCE] * 3)
    assert several.probabilities == pytest.approx(alone.probabilities)
    assert several.log_evidence == pytest.approx(alone.log_evidence)


def test_the_evidence_finds_how_far_checkpoints_wander():
    """Of noise around one level, the covariance that made it has most evidence, whatever the number of shapes."""
    rng = np.random.default_rng(3)
    wanders = (0.005, 0.02, 0.08)
    found = []
    for _ in range(40):
        means = 0.5 + rng.normal(0, 0.02, 9)
        found.append([fit_shape(STEPS, means, np.eye(9) * w**2).log_evidence for w in wanders])
    assert int(np.mean(found, axis=0).argmax()) == 1


def test_where_it_ends_is_told_apart_from_its_phase():
    dip, back = (fit_shape(STEPS, np.array(CLEAR[phase]), COVARIANCE) for phase in ("dip", "recovered"))
    assert dip.below_probability > 0.99 and dip.in_dip_probability > 0.9
    assert back.below_probability < 0.1 and back.dip_probability > 0.99
