"""Simulated studies hold what was planted in them."""

import numpy as np
import pytest

from triaxis.simulate import Noise, Settings, Truth, study
from triaxis.types import TriaxisError

NOISE, BASE, RATE = "data.noise_rate", "model.base", "optimization.learning_rate"
FACTORS = {RATE: (3e-4, 3e-3), NOISE: (0.0, 0.6), BASE: ("strong", "weak")}


def mean_score(table, **where):
    arrow = table.arrow.to_pydict() if not isinstance(table, dict) else table
    keep = [all(arrow[name][i] == value for name, value in where.items()) for i in range(len(arrow["score"]))]
    return np.mean([score for score, kept in zip(arrow["score"], keep, strict=True) if kept])


def test_scores_come_out_as_expected():
    simulated = study(items=3000, seeds=4, course="dip_rise", noise=Noise(run=0.05), seed=1)
    arrow = {name: simulated.table.arrow[name].to_pylist() for name in ("step", "score")}
    expected = simulated.truth.scores({}, "in_domain")
    for step, score in zip(simulated.truth.settings.steps, expected, strict=True):
        assert mean_score(arrow, step=step) == pytest.approx(score, abs=0.03)
    assert simulated.truth.dips


def test_the_same_seed_gives_the_same_table_and_another_gives_another():
    one, same, other = study(items=20, seed=5), study(items=20, seed=5), study(items=20, seed=6)
    assert one.table.arrow.equals(same.table.arrow)
    assert not one.table.arrow.equals(other.table.arrow)


def test_true_effects_follow_their_definition():
    truth = Truth(Settings(factors=FACTORS, effects={NOISE: -1.0, f"{NOISE} x {BASE}": 0.5}, gain=1.0))
    gains = {
        (noise, base): truth.summary({RATE: 3e-4, NOISE: noise, BASE: base}, "in_domain", "gain", "points")
        for noise in (0.0, 0.6)
        for base in ("strong", "weak")
    }
    by_hand = (gains[0.6, "weak"] - gains[0.0, "weak"]) - (gains[0.6, "strong"] - gains[0.0, "strong"])
    assert truth.effect([NOISE, BASE], "in_domain") == pytest.approx(by_hand)
    assert truth.effect([RATE], "in_domain") == pytest.approx(0)
    assert truth.effect([NOISE], "in_domain") < 0


def test_an_effect_may_be_of_one_group():
    groups = {"in_domain": ("a",), "far_ood": ("b",)}
    truth = Truth(Settings(factors=FACTORS, groups=groups, effects={f"far_ood: {NOISE}": -1.0}))
    assert truth.effect([NOISE], "in_domain") == pytest.approx(0)
    assert truth.effect([NOISE], "far_ood") < -0.1


def test_every_condition_keeps_a_run_when_runs_are_missing():
    simulated = study(factors=FACTORS, bases={"strong": 0, "weak": 0}, missing_runs=0.6, items=5, seeds=3)
    runs = {run for run in simulated.table.arrow["run"].to_pylist() if run}
    assert 8 <= len(runs) < 24
    assert len({run.rsplit("-s", 1)[0] for run in runs}) == 8


def test_truncation_takes_the_place_of_wrong_answers():
    arrow = study(course="dip", dip=3.0, truncation=1.0, items=200, seeds=1).table.arrow.to_pydict()
    cut = [score for score, outcome in zip(arrow["score"], arrow["outcome"], strict=True) if outcome == "truncated"]
    assert len(cut) > 50
    assert not any(cut)


def test_a_faulty_setting_is_named():
    with pytest.raises(TriaxisError, match="zigzag"):
        study(course="zigzag")
    with pytest.raises(TriaxisError, match=r"data\.nose"):
        study(factors=FACTORS, effects={"data.nose": 1.0})
