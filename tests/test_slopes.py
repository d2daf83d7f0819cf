"""Simple slopes and marginal means: planted truths, the corners of bad designs, and nothing that hangs on names."""

from dataclasses import replace

import numpy as np
import pytest

from analyze_cases import BASE, LR, NOISE, SMALL, columns, records
from triaxis.analyze.analysis import evidence_of
from triaxis.analyze.contrasts import ONE_SEED
from triaxis.analyze.dense import build
from triaxis.analyze.margins import NOT_CROSSED, margin
from triaxis.analyze.paths import task_paths
from triaxis.analyze.questions.slopes import MAX_SLOPES, MEANS, SLOPES, findings
from triaxis.records.table import make_table
from triaxis.simulate import Noise, study
from triaxis.types import Interval, NotEstimable

PLANTED = {NOISE: -1.5, f"{NOISE} x {LR}": -1.2}


def found_in(table):
    panel = build(table)
    (evidence,) = evidence_of(task_paths(panel), panel)
    return findings(evidence)


@pytest.fixture(scope="module")
def simulated():
    return study(**{**SMALL, "items": 60, "seeds": 3}, effects=PLANTED)


@pytest.fixture(scope="module")
def found(simulated):
    return found_in(simulated.table)


def slopes(found, factor, within, unit="points", estimand="effect on the gain", group="far_ood"):
    return [
        f
        for f in found
        if (f.question, f.factors, f.unit, f.quantity, f.group) == (SLOPES, (factor,), unit, estimand, group)
        and f.within == within
    ]


def test_a_planted_slope_is_found_within_each_level(simulated, found):
    truth = {}
    for rate in (3e-4, 3e-3):
        gains = {
            noise: np.mean(
                [
                    simulated.truth.summary({NOISE: noise, LR: rate, BASE: base}, "far_ood", "gain", "points")
                    for base in ("strong", "weak")
                ]
            )
            for noise in (0.0, 0.6)
        }
        truth[rate] = gains[0.6] - gains[0.0]
        (slope,) = slopes(found, NOISE, {LR: rate})
        assert slope.estimate.low <= truth[rate] <= slope.estimate.high
        assert slope.contrast == "0.6 - 0"
        assert slope.n_runs == 12
        assert slope.p is not None
        assert "Welch" in slope.method
    assert truth[3e-3] < truth[3e-4] < 0


def test_two_slopes_differ_by_the_interaction_and_average_to_the_main_effect(simulated, found):
    low, high = (slopes(found, NOISE, {LR: rate})[0].estimate.value for rate in (3e-4, 3e-3))
    means = {
        (name, level): f.estimate.value
        for f in found
        if f.question == MEANS and (f.group, f.unit, f.quantity) == ("far_ood", "points", "gain at a level")
        for name, level in f.within.items()
    }
    assert (low + high) / 2 == pytest.approx(means[NOISE, 0.6] - means[NOISE, 0.0])
    back = [slopes(found, LR, {NOISE: noise})[0].estimate.value for noise in (0.0, 0.6)]
    assert high - low == pytest.approx(back[1] - back[0])


def test_marginal_means_have_no_p_and_hold_the_truth(simulated, found):
    means = [f for f in found if f.question == MEANS and f.group == "far_ood" and f.quantity == "gain at a level"]
    assert len(means) == 3 * 2 * 2
    assert all(f.p is None and f.estimate.low <= f.estimate.value <= f.estimate.high for f in means)
    (clean,) = [f for f in means if f.within == {NOISE: 0.0} and f.unit == "points"]
    expected = np.mean(
        [
            simulated.truth.summary({NOISE: 0.0, LR: rate, BASE: base}, "far_ood", "gain", "points")
            for rate in (3e-4, 3e-3)
            for base in ("strong", "weak")
        ]
    )
    assert clean.estimate.low <= expected <= clean.estimate.high


def test_a_slope_within_a_base_speaks_of_that_base(found):
    (slope,) = slopes(found, NOISE, {BASE: "weak"})
    assert slope.sampled == "run (these bases)"
    assert "speaks of model.base weak" in slope.note


def test_a_number_of_many_levels_gets_one_slope():
    rates = (1e-4, 2e-4, 4e-4, 8e-4, 1.6e-3, 3.2e-3)
    simulated = study(
        factors={LR: rates, NOISE: (0.0, 0.6)},
        effects={LR: 1.5},
        seeds=2,
        items=60,
        steps=(0, 40, 160),
        noise=Noise(run=0.05),
        seed=2,
    )
    found = found_in(simulated.table)
    (slope,) = slopes(found, LR, {NOISE: 0.0}, unit="logit", group="in_domain")
    assert slope.contrast == "0.0032 - 0.0001"
    ends = [simulated.truth.summary({LR: r, NOISE: 0.0}, "in_domain", "gain", "logit") for r in (rates[0], rates[-1])]
    assert slope.estimate.low <= ends[1] - ends[0] <= slope.estimate.high
    assert len(slopes(found, NOISE, {LR: rates[2]}, group="in_domain")) == 1


def test_combinations_that_were_not_run_are_told(simulated):
    data = columns(simulated.table)
    there = [
        not (base == "weak" and rate == 3e-3 and noise == 0.6)
        for base, rate, noise in zip(data[BASE], data[LR], data[NOISE], strict=True)
    ]
    kept = {name: [v for v, keep in zip(values, there, strict=True) if keep] for name, values in data.items()}
    found = found_in(make_table(kept))
    assert all(isinstance(f.estimate, NotEstimable) for f in found if f.question == SLOPES)
    assert all(NOT_CROSSED in f.estimate.reason for f in found if f.question == SLOPES)


def test_one_seed_is_told_once_an_estimand_and_scale():
    found = found_in(study(**{**SMALL, "seeds": 1}).table)
    assert {f.estimate for f in found} == {NotEstimable(ONE_SEED)}
    assert len(found) == 2 * 2 * 3 * 2  # groups, questions, estimands, scales


def test_nothing_varies_and_nothing_is_found():
    table = make_table(records(3, 20, lambda run, step, item: (item + step) % 2))
    assert found_in(table) == []


def test_all_right_has_no_logit():
    kinds = {"data.name": lambda run: "ab"[run % 2], "data.noise_rate": lambda run: 0.3 * (run // 2 % 2)}
    found = found_in(make_table(records(8, 20, lambda run, step, item: step > 0 or item % 2, **kinds)))
    assert found
    assert all("ceiling" in f.estimate.reason for f in found if f.unit == "logit")
    assert all(
        isinstance(f.estimate, Interval) and "ceiling" in f.note
        for f in found
        if f.unit == "points" and f.question == SLOPES and f.quantity != "effect on the best gain"
    )


def test_too_many_slopes_are_left_out_and_told():
    factors = {NOISE: (0.0, 0.2, 0.4, 0.6, 0.8), "data.examples": (1, 2, 4, 8, 16), LR: (1e-4, 1e-3)}
    table = study(factors=factors, seeds=2, items=8, steps=(0, 10)).table
    found = [f for f in found_in(table) if f.question == SLOPES and f.quantity == "effect on the gain"]
    told = [f for f in found if isinstance(f.estimate, NotEstimable) and "left out" in f.estimate.reason]
    assert len(told) == 1
    assert len({(f.factors, f.contrast, str(f.within)) for f in found}) <= MAX_SLOPES + 1


def test_rows_in_another_order_and_other_names_change_nothing(simulated, found):
    order = np.random.default_rng(0).permutation(simulated.table.n_rows)
    shuffled = found_in(make_table(simulated.table.arrow.take(order)))
    assert [replace(f, estimate=0, p=0) for f in shuffled] == [replace(f, estimate=0, p=0) for f in found]
    assert all(
        a.estimate == b.estimate or a.estimate.value == pytest.approx(b.estimate.value)
        for a, b in zip(shuffled, found, strict=True)
    )
    data = columns(simulated.table)
    data[BASE] = [{"strong": "alpha", "weak": "beta"}[level] for level in data[BASE]]
    renamed = found_in(make_table(data))
    one, other = slopes(found, NOISE, {BASE: "weak"})[0], slopes(renamed, NOISE, {BASE: "beta"})[0]
    assert other.estimate.low == pytest.approx(one.estimate.low)
    assert other.p == pytest.approx(one.p)


def test_a_margin_needs_every_combination(simulated):
    panel = build(simulated.table)
    (evidence,) = evidence_of(task_paths(panel), panel)
    cells = evidence.asked["far_ood"].cells
    weights = margin(cells, {NOISE: 0.6})
    assert weights.sum() == pytest.approx(1)
    assert sorted(set(weights.round(9))) == [0, 0.25]


@pytest.mark.slow
def test_no_slope_where_nothing_is():
    false = []
    for seed in range(120):
        table = study(**{**SMALL, "seeds": 3, "items": 40, "noise": Noise(run=0.15), "seed": seed}).table
        false += [f.p < 0.05 for f in found_in(table) if f.p is not None and f.quantity == "effect on the gain"]
    assert np.mean(false) <= 0.05 + 3.5 * (0.05 * 0.95 / 240) ** 0.5  # slopes of a study are not independent
