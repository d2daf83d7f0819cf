"""Simulated studies hold what was planted in them."""

import io
import re
import time
from contextlib import redirect_stdout
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from triaxis.records.table import make_table
from triaxis.simulate import (
    Capability,
    Course,
    Measure,
    Noise,
    Peak,
    Saturation,
    Settings,
    Surge,
    Threshold,
    Truth,
    Variant,
    study,
)
from triaxis.types import TriaxisError

NOISE, BASE, RATE = "data.noise_rate", "model.base", "optimization.learning_rate"
EXAMPLES, EPOCHS, SIZE = "data.examples", "data.epochs", "model.parameters"
FACTORS = {RATE: (3e-4, 3e-3), NOISE: (0.0, 0.6), BASE: ("strong", "weak")}
SURE = Noise(item=0.0, item_checkpoint=0.0, run=0.0, checkpoint=0.0)  # a score is the sigmoid of its logit
TEN = tuple(f"b{i}" for i in range(10))
SIZES = {base: 10.0 ** (7 + i / 3) for i, base in enumerate(TEN)}
OF_BASES = {"factors": {BASE: TEN}, "traits": {SIZE: SIZES}}


def column(table, name):
    """A column as numbers, or as an array of texts."""
    values = table.arrow[name]
    if pa.types.is_dictionary(values.type):
        values = values.cast(pa.string())
    return values.to_numpy()


def where(table, **levels):
    return np.logical_and.reduce([column(table, name) == level for name, level in levels.items()])


def mean_of(table, name, **levels):
    return float(column(table, name)[where(table, **levels)].mean())


def logit_gain(truth, condition, group="in_domain", task=""):
    return truth.summary(condition, group, "gain", "logit", task)


# What there was


def test_scores_come_out_as_expected():
    simulated = study(items=3000, seeds=4, course="dip_rise", noise=Noise(run=0.05), seed=1)
    expected = simulated.truth.scores({}, "in_domain")
    for step, score in zip(simulated.truth.settings.steps, expected, strict=True):
        assert mean_of(simulated.table, "score", step=step) == pytest.approx(score, abs=0.03)
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
    simulated = study(course="dip", dip=3.0, truncation=1.0, items=400, seeds=1)
    cut = where(simulated.table, outcome="truncated")
    assert cut.sum() > 100
    assert not column(simulated.table, "score")[cut].any()
    for step, share in zip(simulated.truth.settings.steps, simulated.truth.truncated({}, "in_domain"), strict=True):
        assert cut[where(simulated.table, step=step)].mean() == pytest.approx(share, abs=0.08)


# What is in the table is what the truth expects

SCORES = {
    "peak": {"factors": {RATE: (1e-4, 1e-3, 1e-2)}, "peaks": {RATE: Peak(1e-3, 0.3, moved_by_steps=-0.2)}},
    "saturation": {"factors": {EXAMPLES: (100, 6400)}, "saturations": {EXAMPLES: Saturation(2.0, 200)}},
    "threshold": {**OF_BASES, "thresholds": {SIZE: Threshold(3e8, 2.0, 0.5)}, "seeds": 1},
    "variant": {"variants": {"renamed": Variant("chain", "symbols", 0.2)}, "gain": 2.0},
    "course": {"course": Course(dip=1.5, dip_at=20, regained=0.4, late_from=80, late_growth=0.8)},
    "cell": {"factors": FACTORS, "effects": {f"{NOISE}=0.6 x {BASE}=weak": -1.5}, "course": "overfit"},
    "capability": {**OF_BASES, "capability": Capability(shown=0.5), "effects": {"capability": 0.5}, "seeds": 1},
    "answers": {"items": 20_000, "answer_tokens": 3, "base_logit": 1.0, "course": "ramp", "log_probability_sd": 0.5},
    "samples": {"samples": 3, "noise": Noise(run=0.02, checkpoint=0.02, item_condition=0.8), "gain": {"in_domain": 2}},
}
MEASURED = {
    "response_tokens": Measure(200, 0.5, "log", run_sd=0.4),
    "verified_steps": Measure(3, 2, half_at=20, effects={NOISE: -1.0}, checkpoint_sd=0.5),
    "copied": Measure(0.1, 2.0, "logit", surge=Surge(40, 1.0, effects={NOISE: 1.0}), checkpoint_sd=1.0),
    "sharpness": Measure(5, 1, "log", with_gain={"in_domain": -0.5}, run_sd=0.2),
}


@pytest.mark.parametrize("name", sorted(SCORES))
def test_scores_are_what_the_truth_expects(name):
    calm = Noise(run=0.02, checkpoint=0.02)
    simulated = study(**{"items": 3000, "seeds": 2, "seed": 2, "noise": calm, **SCORES[name]})
    truth, s = simulated.truth, simulated.truth.settings
    levels = {name: column(simulated.table, name) for name in ("task", "step", "score", *s.factors)}
    told = column(simulated.table, "log_probability") if name == "answers" else None
    for at in product(*s.factors.values()):
        condition = dict(zip(s.factors, at, strict=True))
        for task in s.group_tasks()["in_domain"]:
            mine = np.logical_and.reduce([levels[n] == level for n, level in {**condition, "task": task}.items()])
            for step, score in zip(s.steps[1:], truth.scores(condition, "in_domain", task)[1:], strict=True):
                assert levels["score"][mine & (levels["step"] == step)].mean() == pytest.approx(score, abs=0.04)
        if told is not None:
            for step, value in zip(s.steps, truth.log_probability(condition, "in_domain"), strict=True):
                assert told[levels["step"] == step].mean() == pytest.approx(value, rel=0.03)


@pytest.mark.parametrize("name", sorted(MEASURED))
def test_measures_are_what_the_truth_expects(name):
    measures = {name: MEASURED[name]}
    settings = {"factors": {NOISE: (0.0, 0.6)}, "measures": measures, "truncation": 0.5, "course": "dip_rise"}
    simulated = study(**settings, items=2, seeds=800, noise=Noise(run=0.5, checkpoint=0.3), seed=3)
    level, step, value = (column(simulated.table, of) for of in (NOISE, "step", name))
    for noise in (0.0, 0.6):
        expected = simulated.truth.measure(name, {NOISE: noise}, "in_domain")
        for at, mean in zip(simulated.truth.settings.steps[1:], expected[1:], strict=True):
            assert value[(level == noise) & (step == at)].mean() == pytest.approx(mean, rel=0.08)
    assert value[step == 0].mean() == pytest.approx(MEASURED[name].start, rel=0.2)
    effect = simulated.truth.measure_effect(name, [NOISE], "in_domain")
    assert abs(effect) < 1e-9 if name in ("sharpness", "response_tokens") else abs(effect) > 0.0


# Optima, saturation, thresholds


def test_a_peak_lies_where_it_was_planted_and_moves_as_planted():
    factors = {RATE: tuple(np.geomspace(1e-4, 1e-2, 9)), NOISE: (0.0, 0.6)}
    truth = Truth(Settings(factors=factors, peaks={RATE: Peak(1e-3, 0.3, {NOISE: -0.8})}, noise=SURE))
    x = np.log(factors[RATE])
    for noise in factors[NOISE]:
        curve = np.polyfit(x, [logit_gain(truth, {RATE: rate, NOISE: noise}) for rate in factors[RATE]], 2)
        assert np.exp(-curve[1] / (2 * curve[0])) == pytest.approx(truth.peak(RATE, "in_domain", {NOISE: noise}))
        assert curve[0] == pytest.approx(-0.3)
    assert truth.peak(RATE, "in_domain") == pytest.approx(1e-3)
    assert truth.peak_shift(RATE, [NOISE], "in_domain") == pytest.approx(-0.8)
    assert truth.peak_shift(RATE, [RATE], "in_domain") == pytest.approx(0)


def test_a_peak_may_move_with_the_steps_trained():
    settings = Settings(
        factors={RATE: tuple(np.geomspace(1e-4, 1e-2, 21))},
        peaks={RATE: Peak(1e-3, 0.3, moved_by_steps=-0.35)},
        course="ramp",
        noise=SURE,
        gain=3.0,
    )
    truth = Truth(settings)
    for step in (40, 320):
        at = settings.steps.index(step)
        scores = [truth.scores({RATE: rate}, "in_domain")[at] for rate in settings.factors[RATE]]
        curve = np.polyfit(np.log(settings.factors[RATE]), np.log(np.array(scores) / (1 - np.array(scores))), 2)
        assert np.exp(-curve[1] / (2 * curve[0])) == pytest.approx(truth.peak(RATE, "in_domain", step=step), rel=1e-3)
    assert truth.peak(RATE, "in_domain", step=40) == pytest.approx(1e-3 * np.exp(3 * 0.35))


def test_a_factor_that_does_not_span_ten_fold_has_its_peak_in_its_own_unit():
    truth = Truth(Settings(factors={NOISE: (0.0, 0.2, 0.4)}, peaks={NOISE: Peak(0.1, 5.0)}, noise=SURE))
    gains = [logit_gain(truth, {NOISE: noise}) for noise in (0.0, 0.2, 0.4)]
    assert gains == pytest.approx([1 - 0.05, 1 - 0.05, 1 - 0.45])
    assert truth.peak(NOISE, "in_domain") == pytest.approx(0.1)


def test_saturation_follows_its_power_law():
    factors = {EXAMPLES: (125, 500, 8000), BASE: ("strong", "weak")}
    planted = Saturation(2.0, 500, exponent=0.5, moved_by={BASE: 2.0}, effects={BASE: 0.0})
    truth = Truth(Settings(factors=factors, saturations={EXAMPLES: planted}, gain=0.5, noise=SURE))
    at = {base: {EXAMPLES: 500 * size, BASE: base} for base, size in (("strong", 0.5), ("weak", 2.0))}
    for condition in at.values():  # half the gain at half_size, which lies a doubling lower or higher
        assert logit_gain(truth, condition) == pytest.approx(0.5 + 1.0)
    ninety = truth.saturated_at(EXAMPLES, "in_domain", 0.9, {BASE: "weak"})
    assert logit_gain(truth, {EXAMPLES: ninety, BASE: "weak"}) == pytest.approx(0.5 + 1.8)
    assert truth.saturated_at(EXAMPLES, "in_domain", 0.5) == pytest.approx(500)
    strong = {BASE: "strong"}
    step = logit_gain(truth, {EXAMPLES: 1000, **strong}) - logit_gain(truth, {EXAMPLES: 500, **strong})
    assert truth.per_doubling(EXAMPLES, "in_domain", (500, 1000), scale="logit", within=strong) == pytest.approx(step)
    early, late = (truth.per_doubling(EXAMPLES, "in_domain", (n, 2 * n)) for n in (125, 8000))
    assert early > 3 * late > 0


def test_a_threshold_is_a_step_or_smooth():
    step = Truth(Settings(**OF_BASES, thresholds={SIZE: Threshold(3e8, 2.0)}, gain=0.0, noise=SURE))
    gains = np.array([logit_gain(step, {BASE: base}) for base in TEN])
    assert gains == pytest.approx([2.0 * (SIZES[base] >= 3e8) for base in TEN])
    assert step.threshold(SIZE, "in_domain") == pytest.approx(3e8)
    smooth = Truth(Settings(**OF_BASES, thresholds={SIZE: Threshold(3e8, 2.0, 3.0)}, gain=0.0, noise=SURE))
    rises = np.diff([logit_gain(smooth, {BASE: base}) for base in TEN])
    assert rises.min() > 0
    assert rises.max() < 2 * rises.min()


def test_accuracy_may_look_like_a_threshold_where_log_probability_is_smooth():
    settings = Settings(
        **OF_BASES, effects={SIZE: 7.0}, base_logit=-3.5, gain=3.5, answer_tokens=8, log_probability_sd=0.2, noise=SURE
    )
    truth = Truth(settings)
    scores = np.array([truth.scores({BASE: base}, "in_domain")[-1] for base in TEN])
    told = np.array([truth.log_probability({BASE: base}, "in_domain")[-1] for base in TEN])
    assert (scores[:5] < 0.02).all()
    assert scores[-1] > 0.7
    assert np.diff(told[:5]).min() > 3  # where accuracy shows nothing, each size tells more than the one before
    assert np.log(scores) == pytest.approx(told, abs=0.15)


# Bases


def test_capability_goes_with_a_trait_to_the_degree_asked_for():
    size = np.log([SIZES[base] for base in TEN])
    drawn = [
        Settings(**OF_BASES, capability=Capability(trait=SIZE, correlation=0.6, sd=0.8), seed=seed).capabilities
        for seed in range(300)
    ]
    able = np.array([[of[base] for base in TEN] for of in drawn])
    z = (size - size.mean()) / size.std()
    assert (able @ z).mean() / len(TEN) / 0.8 == pytest.approx(0.6, abs=0.05)
    assert able.std() == pytest.approx(0.8, abs=0.06)


def test_capability_shows_in_mode_think_on_items_of_its_own():
    able = {base: 0.3 * i - 1.3 for i, base in enumerate(TEN)}
    simulated = study(**OF_BASES, capability=Capability(able), think_items=400, items=50, seeds=1, seed=4)
    table = simulated.table
    think = {base: mean_of(table, "score", mode="think", **{BASE: base}) for base in TEN}
    assert np.corrcoef([think[base] for base in TEN], list(able.values()))[0, 1] > 0.97
    asked = {mode: set(column(table, "item")[where(table, mode=mode)]) for mode in ("think", "default")}
    assert len(asked["think"]) == 400
    assert not asked["think"] & asked["default"]
    assert set(column(table, "step")[where(table, mode="think")]) == {0}


def test_noise_costs_by_capability():
    able = {base: 0.3 * i - 1.3 for i, base in enumerate(TEN)}
    settings = Settings(
        factors={BASE: TEN, NOISE: (0.0, 0.6)},
        effects={NOISE: -1.0, f"{NOISE} x capability": 0.4},
        capability=Capability(able),
        gain=2.0,
        noise=SURE,
    )
    truth = Truth(settings)
    assert truth.slope("capability", "in_domain", [NOISE], scale="logit") == pytest.approx(0.4)
    assert truth.slope("capability", "in_domain", scale="logit") == pytest.approx(0)
    of_one = truth.effect([NOISE], "in_domain", scale="logit", within={BASE: "b9"})
    assert of_one == pytest.approx(-1.0 + 0.4 * able["b9"])


def test_effects_of_a_trait_are_taken_over_its_bases():
    kinds = {"model.depth": {base: 3 if i % 2 else 6 for i, base in enumerate(TEN)}}
    truth = Truth(Settings(factors={BASE: TEN}, traits=kinds, effects={"model.depth": 0.7}, noise=SURE))
    assert truth.effect(["model.depth"], "in_domain", scale="logit") == pytest.approx(0.7)


# Courses


def test_a_dip_has_the_depth_and_the_step_that_were_asked_for():
    for at, regained in ((20, 1.0), (80, 0.5), (40, 0.0)):
        truth = Truth(Settings(course=Course(rise="none", dip=1.2, dip_at=at, regained=regained), noise=SURE))
        dip = truth.dip({}, "in_domain")
        level = truth.scores({}, "in_domain")
        assert dip.step == at
        logits = np.log(level / (1 - level))
        assert logits[0] - logits[truth.settings.steps.index(at)] == pytest.approx(1.2)
        assert (logits[-1] - logits.min()) / 1.2 == pytest.approx(regained, abs=0.02)
        assert dip.regained == pytest.approx(regained, abs=0.15)
    assert Truth(Settings(course="rise")).dip({}, "in_domain") is None


def test_late_growth_goes_on_beyond_the_last_step_and_a_plateau_does_not():
    growing = Truth(Settings(course=Course(late_from=80, late_growth=0.6), noise=SURE))
    assert growing.next_doubling({}, "in_domain", "logit") == pytest.approx(0.3, abs=0.02)
    assert Truth(Settings(course="rise")).next_doubling({}, "in_domain") == pytest.approx(0, abs=1e-3)
    falling = Truth(Settings(course="overfit"))
    assert falling.next_doubling({}, "in_domain") < -0.02


def test_a_late_fall_may_be_of_one_cell_of_three_factors():
    factors = {RATE: (1e-3, 1e-2), EPOCHS: (1, 16), "optimization.schedule": ("constant", "cosine")}
    cell = f"{RATE}=0.01 x {EPOCHS}=16 x optimization.schedule=constant"
    truth = Truth(Settings(factors=factors, course=Course(late_from=80), course_effects={"late": {cell: 1.5}}))
    best = {
        levels: truth.best_step(dict(zip(factors, levels, strict=True)), "in_domain")
        for levels in product(*factors.values())
    }
    assert best.pop((1e-2, 16, "constant")) == 80
    assert set(best.values()) == {320}
    assert truth.effect(list(factors), "in_domain") > 0.1


def test_factors_move_the_rise_and_the_fall_in_doublings():
    truth = Truth(
        Settings(
            factors={NOISE: (0.0, 0.6)},
            steps=(0, *(2**k for k in range(3, 11))),
            course=Course(rise_at=32, late=1.5, late_from=256),
            course_effects={"late_from": {NOISE: -2.0}},
        )
    )
    assert truth.best_step({NOISE: 0.0}, "in_domain") == 4 * truth.best_step({NOISE: 0.6}, "in_domain")
    slow = Truth(Settings(factors={NOISE: (0.0, 0.6)}, course_effects={"rise_at": {NOISE: 2.0}}))
    early, late = (slow.scores({NOISE: noise}, "in_domain") for noise in (0.0, 0.6))
    assert early[3] > late[3] + 0.05
    assert early[-1] == pytest.approx(late[-1], abs=0.01)


def test_groups_may_have_courses_of_their_own():
    groups = {"in_domain": ("a",), "far_ood": ("b",)}
    truth = Truth(Settings(groups=groups, course={"far_ood": "dip_rise"}))
    assert truth.dip({}, "in_domain") is None
    assert truth.dip({}, "far_ood").depth > 0.02


# Variants and measures


def test_a_variant_keeps_a_share_of_the_gain_and_its_items():
    settings = Settings(
        factors={RATE: (1e-3, 1e-2)},
        variants={"renamed": Variant("chain", "symbols", 0.5, {RATE: -0.6})},
        gain=2.0,
        noise=SURE,
    )
    truth = Truth(settings)
    for rate, kept in ((1e-3, 0.8), (1e-2, 0.2)):
        gains = [logit_gain(truth, {RATE: rate}, task=task) for task in ("chain", "renamed")]
        assert gains[1] / gains[0] == pytest.approx(kept)
    assert truth.reliance("renamed", scale="logit") == pytest.approx(1.0)
    assert truth.reliance("renamed", [RATE], scale="logit") == pytest.approx(1.2)
    hard = Noise(item=4.0, item_checkpoint=0.0)
    table = study(
        noise=hard, variants={"renamed": Variant("chain", "symbols"), "larger": Variant("chain", "numbers")}
    ).table
    assert set(zip(column(table, "task"), column(table, "variant_of"), column(table, "variant"), strict=True)) == {
        ("chain", None, None),
        ("renamed", "chain", "symbols"),
        ("larger", "chain", "numbers"),
    }
    right = {task: _item_means(table, task) for task in ("chain", "renamed", "larger")}
    assert np.corrcoef(right["chain"], right["renamed"])[0, 1] > 0.9
    assert abs(np.corrcoef(right["chain"], right["larger"])[0, 1]) < 0.3


def _item_means(table, task):
    mine = where(table, task=task)
    items, scores = column(table, "item")[mine], column(table, "score")[mine]
    number = np.array([int(item.rpartition("/")[2]) for item in items])
    return np.bincount(number, weights=scores) / np.bincount(number)


def test_length_may_grow_in_weak_bases_only():
    truth = Truth(
        Settings(
            factors={BASE: ("strong", "weak")},
            measures={"response_tokens": Measure(100, scale="log", effects={f"{BASE}=weak": 0.9})},
        )
    )
    strong, weak = (truth.measure("response_tokens", {BASE: base}, "in_domain") for base in ("strong", "weak"))
    assert strong == pytest.approx(np.full(7, 100.0))
    assert weak[-1] > 220
    assert truth.measure_effect("response_tokens", [BASE], "in_domain", scale="own") == pytest.approx(0.9, abs=0.02)


def test_a_surge_comes_when_it_was_asked_for():
    at = {}
    for step in (20, 160):
        tokens = Truth(Settings(measures={"response_tokens": Measure(100, surge=Surge(step, 80))})).measure(
            "response_tokens", {}, "in_domain"
        )
        at[step] = Settings().steps[int(tokens.argmax())]
    assert at == {20: 20, 160: 160}


def test_token_accuracy_reaches_one_earlier_with_few_examples():
    measure = Measure(0.5, 6.0, "logit", half_at=80, half_at_effects={EXAMPLES: 3.0})
    truth = Truth(Settings(factors={EXAMPLES: (100, 6400)}, measures={"token_accuracy": measure}))
    few, many = (truth.reaches("token_accuracy", 0.9, {EXAMPLES: n}) for n in (100, 6400))
    assert many / few == pytest.approx(8, rel=0.15)
    assert truth.reaches("token_accuracy", 0.9999, {EXAMPLES: 100}) is None


def test_sharpness_goes_along_with_the_gain_of_runs():
    measure = Measure(10, scale="log", with_gain={"far_ood": -0.5})
    groups = {"in_domain": ("a",), "far_ood": ("b",)}
    settings = {
        "groups": groups,
        "measures": {"sharpness": measure},
        "noise": Noise(run=0.5),
        "seeds": 12,
        "items": 300,
    }
    table = study(**settings).table
    last = where(table, step=320)
    runs, scores = column(table, "run")[last], column(table, "score")[last]
    far = column(table, "group")[last] == "far_ood"
    sharp = column(table, "sharpness")[last]
    names = sorted(set(runs))
    gains = [scores[far & (runs == run)].mean() for run in names]
    values = [np.unique(sharp[runs == run]) for run in names]
    assert {len(value) for value in values} == {1}  # one a run and step, whatever the task
    assert np.corrcoef(gains, np.log([value[0] for value in values]))[0, 1] < -0.9


# Designs


@pytest.mark.parametrize("design", ["sobol", "random"])
def test_points_are_spread_over_ranges_in_the_logarithm(design):
    simulated = study(
        design=design,
        points=64,
        ranges={RATE: (1e-4, 1e-2), EXAMPLES: (100, 10_000)},
        factors={BASE: ("strong", "weak")},
        effects={RATE: -1.0},
        noise=SURE,
        items=4,
        seeds=1,
    )
    rates, sizes = (np.array(simulated.table.factors[name], dtype=float) for name in (RATE, EXAMPLES))
    assert rates.min() >= 1e-4
    assert rates.max() <= 1e-2
    assert np.median(rates) == pytest.approx(1e-3, rel=0.5)
    assert (sizes == sizes.round()).all()
    assert len({run for run in column(simulated.table, "run") if run}) == 64
    assert simulated.truth.effect([RATE], "in_domain", scale="logit") == pytest.approx(-1.0)
    assert simulated.truth.effect([BASE], "in_domain") == pytest.approx(0)


def test_a_range_is_averaged_evenly_in_its_logarithm():
    planted = Peak(1e-3, 0.3, {NOISE: 0.8})  # noise helps above the peak as much as it costs below
    settings = Settings(
        design="sobol",
        points=8,
        ranges={RATE: (1e-4, 1e-2)},
        factors={NOISE: (0.0, 0.6)},
        peaks={RATE: planted},
        noise=SURE,
    )
    truth = Truth(settings)
    assert truth.effect([NOISE], "in_domain", scale="logit") == pytest.approx(0, abs=1e-9)
    at_top = truth.effect([NOISE], "in_domain", scale="logit", within={RATE: 1e-2})
    assert at_top == pytest.approx(0.3 * 2 * 0.8 * np.log(10))


def test_conditions_may_be_listed_or_missing():
    listed = [{RATE: 1e-3, NOISE: 0.0}, {RATE: 1e-2, NOISE: 0.0}, {RATE: 1e-2, NOISE: 0.6}]
    simulated = study(design="listed", conditions=listed, effects={NOISE: -1.0}, items=4, noise=SURE)
    there = {
        pair for pair in zip(*(column(simulated.table, name) for name in (RATE, NOISE)), strict=True) if pair[0] > 0
    }
    assert there == {tuple(point.values()) for point in listed}
    assert simulated.truth.effect([NOISE], "in_domain", scale="logit") == pytest.approx(-1.0)
    counts = []
    for seed in range(20):
        table = study(
            factors={RATE: (1e-3, 1e-2), NOISE: (0.0, 0.3, 0.6)}, missing_conditions=0.4, items=2, seed=seed
        ).table
        counts.append(len({run.rsplit("-s", 1)[0] for run in column(table, "run") if run}))
    assert 1 <= min(counts) < max(counts) <= 6
    assert np.mean(counts) == pytest.approx(3.7, abs=0.8)


# What is drawn anew


def run_logits(noise, **settings):
    """Each run's logit at each trained step (runs x steps), and the runs, where items are alike."""
    table = study(noise=noise, items=1500, gain=0.0, course="flat", **settings).table
    runs = np.unique(column(table, "run")[column(table, "run") != ""])
    steps = np.unique(column(table, "step"))[1:]
    owner, at = np.searchsorted(runs, column(table, "run")), np.searchsorted(steps, column(table, "step"))
    trained = column(table, "step") > 0
    key = (owner * len(steps) + at)[trained]
    score = np.bincount(key, weights=column(table, "score")[trained]) / np.bincount(key)
    return np.log(score / (1 - score)).reshape(len(runs), len(steps)), runs


def test_runs_differ_and_wander_as_asked():
    lasting, _ = run_logits(replace(SURE, run=0.6), seeds=60)
    assert lasting.mean(axis=1).std() == pytest.approx(0.6, rel=0.3)
    assert lasting.std(axis=1).mean() < 0.1
    wander, _ = run_logits(replace(SURE, checkpoint=0.6, autocorrelation=0.8), seeds=60)
    assert wander.std() == pytest.approx(0.6, rel=0.25)
    assert np.corrcoef(wander[:, :-1].ravel(), wander[:, 1:].ravel())[0, 1] == pytest.approx(0.8, abs=0.12)


def test_runs_share_the_luck_of_their_base():
    logits, runs = run_logits(replace(SURE, base=0.6), factors={BASE: TEN}, seeds=3)
    mean = logits.mean(axis=1)
    of_base = {base: mean[[f"base={base}-" in run for run in runs]] for base in TEN}
    assert max(np.ptp(values) for values in of_base.values()) < 0.15
    assert np.std([values.mean() for values in of_base.values()]) > 0.25


def test_a_condition_changes_which_items_are_hard_in_all_its_runs():
    table = study(factors={NOISE: (0.0, 0.6)}, noise=replace(SURE, item_condition=3.0), seeds=8, course="flat").table
    last = where(table, step=320)
    items = np.unique(column(table, "item"), return_inverse=True)[1][last]
    seed, noise, score = (column(table, name)[last] for name in ("seed", NOISE, "score"))

    def mean(kept):
        return np.bincount(items[kept], weights=score[kept]) / np.bincount(items[kept])

    first, second, other = (
        mean((noise == level) & (seed % 2 == half)) for level, half in ((0.0, 0), (0.0, 1), (0.6, 0))
    )
    assert np.corrcoef(first, second)[0, 1] > 0.7
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.3


# As a whole


def test_names_of_levels_change_no_draw():
    one = study(factors=FACTORS, bases={"strong": 0.3, "weak": -0.5}, effects={BASE: -0.5}, items=20)
    factors = {**FACTORS, BASE: ("a", "b")}
    other = study(factors=factors, bases={"a": 0.3, "b": -0.5}, effects={BASE: -0.5}, items=20)
    assert (column(one.table, "score") == column(other.table, "score")).all()


def test_the_table_is_a_checked_one():
    settings = SCORES["variant"] | {"measures": {"loss": Measure(2.0, -1.0)}, "think_items": 5, "items": 8}
    table = study(factors=FACTORS, **settings).table
    assert table.warnings == ()
    assert make_table(table.arrow).arrow.equals(table.arrow)


def test_a_study_takes_little_time():
    settings = Settings(
        factors=FACTORS, groups={"far_ood": tuple("abcde")}, items=60, steps=(0, 20, 80, 320), effects={NOISE: -0.8}
    )
    spent = []
    for _ in range(3):
        start = time.process_time()
        study(settings)
        spent.append(time.process_time() - start)
    assert min(spent) < 0.25


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: study(course="zigzag"), "course: 'zigzag' is none of"),
        (lambda: study(course={"far": "rise"}), "course: no group far"),
        (lambda: study(gain={"far": 1.0}), "gain: no group far"),
        (lambda: study(factors=FACTORS, effects={"data.nose": 1.0}), r"effects: 'data\.nose' is no factor"),
        (lambda: study(factors=FACTORS, effects={f"far: {NOISE}": 1.0}), "effects: 'far' is no group"),
        (lambda: study(factors=FACTORS, effects={f"{NOISE}=0.5": 1.0}), "has no level '0.5'; levels are 0, 0.6"),
        (lambda: study(factors=FACTORS, effects={NOISE: float("nan")}), "is not a finite number"),
        (lambda: study(factors=FACTORS, peaks={BASE: Peak(1, 1)}), "peaks: model.base is not a number"),
        (lambda: study(factors=FACTORS, peaks={f"{RATE} x {NOISE}": Peak(1, 1)}), "peaks: .* is not one factor"),
        (lambda: study(factors=FACTORS, peaks={RATE: Peak(-1, 1)}), "at: -1 has no logarithm"),
        (lambda: study(factors=FACTORS, saturations={NOISE: Saturation(1, 1)}), "a level that is not above 0"),
        (lambda: study(course_effects={"depth": {}}), "course_effects: 'depth' is none of"),
        (lambda: study(variants={"x": Variant("y", "symbols")}), "variants: x: 'y' is no task"),
        (lambda: study(measures={"size": Measure(1)}), "measures: 'size' is none of"),
        (lambda: study(measures={"copied": Measure(1)}), "copied is a share"),
        (
            lambda: study(factors=FACTORS, measures={"loss": Measure(1, effects={f"in_domain: {NOISE}": 1})}),
            "measures, loss, effects: .* names a group",
        ),
        (
            lambda: study(factors=FACTORS, measures={"loss": Measure(1, start_effects={NOISE: 1})}),
            r"start_effects: 'data\.noise_rate' is no factor",
        ),
        (lambda: study(design="sobol", ranges={RATE: (1e-4, 1e-2)}), "points"),
        (lambda: study(ranges={RATE: (1e-4, 1e-2)}), "ranges: a factorial design has no ranges"),
        (lambda: study(design="listed"), "conditions"),
        (lambda: study(steps=(0,)), "steps"),
        (lambda: study(traits={SIZE: {"other": 1}}), "traits: model.parameters is not given for base"),
        (lambda: Peak(1, -1), "Peak.curvature"),
        (lambda: Saturation(1, 0), "Saturation.half_size"),
        (lambda: Threshold(1, 1, -1), "Threshold.width"),
        (lambda: Variant("a", "colours"), "Variant.kind: 'colours' is none of symbols, numbers, wording"),
        (lambda: Variant("a", "symbols", 1.5), "Variant.kept"),
        (lambda: Measure(0, scale="log"), "Measure.start"),
        (lambda: Surge(0, 1), "Surge.at"),
        (lambda: Capability(correlation=0.5), "Capability.trait"),
        (lambda: Course(regained=2), "Course.regained"),
        (lambda: Noise(run=-1), "Noise.run"),
    ],
)
def test_a_faulty_setting_is_named(make, named):
    with pytest.raises(TriaxisError, match=named) as told:
        make()
    assert "\n" not in str(told.value)


def test_truths_that_were_not_planted_are_refused():
    truth = Truth(Settings(factors=FACTORS, effects={BASE: 1.0}))
    for ask in (
        lambda: truth.peak(RATE, "in_domain"),
        lambda: truth.measure("loss", {}),
        lambda: truth.reliance("x"),
        lambda: truth.effect(["data.nose"], "in_domain"),
        lambda: truth.scores({}, "far_ood"),
        lambda: truth.summary({RATE: 3e-4, NOISE: 0.3, BASE: "middling"}, "in_domain", "gain", "points"),
    ):
        with pytest.raises(TriaxisError, match="simulate"):
            ask()


def test_the_documents_examples_give_what_they_say():
    text = (Path(__file__).parent.parent / "docs" / "simulate.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```\n+```text\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 8
    shared = {}
    for code, told in blocks:
        out = io.StringIO()
        with redirect_stdout(out):
            exec(code, shared)
        assert out.getvalue() == told
