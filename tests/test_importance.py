"""Random designs: a surface by robust least squares, a forest's shares by exact sums over boxes, and honest nulls."""

import subprocess
import sys
from itertools import product

import numpy as np
import pytest

from analyze_cases import BASE, LR, records
from triaxis.analyze.analysis import evidence_of
from triaxis.analyze.contrasts import Asked
from triaxis.analyze.dense import build
from triaxis.analyze.paths import task_paths
from triaxis.analyze.questions import importance, surface
from triaxis.analyze.questions.optimum import CURVATURE, LOCATION
from triaxis.records.table import make_table
from triaxis.stats.effects import Units
from triaxis.stats.importance import (
    Boxes,
    Input,
    any_signal_p,
    boxes,
    forest,
    input_p,
    shares,
    tree_variances,
    variances,
)
from triaxis.stats.intervals import t_p_value
from triaxis.stats.paired import Strata
from triaxis.stats.regression import Regression
from triaxis.types import Interval, NotEstimable

WARMUP, DECAY = "optimization.warmup_ratio", "optimization.weight_decay"


def units(values, per_item=None):
    strata = Strata.one(per_item.shape[1]) if per_item is not None else None
    return Units(np.asarray(values), np.zeros(len(values), dtype=np.int64), per_item, strata)


def test_least_squares_with_hc3_by_hand():
    rng = np.random.default_rng(0)
    x = np.column_stack([np.ones(12), rng.normal(size=12)])
    y = rng.normal(size=12)
    found = Regression(x, units(y)).estimate(np.array([0.0, 1.0]))
    bread = np.linalg.inv(x.T @ x)
    coefficients = bread @ x.T @ y
    leverage = np.diag(x @ bread @ x.T)
    meat = x.T @ np.diag(((y - x @ coefficients) / (1 - leverage)) ** 2) @ x
    assert found.value == pytest.approx(coefficients[1])
    assert found.variance.value == pytest.approx((bread @ meat @ bread)[1, 1])
    assert found.variance.df == 10


def test_a_regression_refuses_what_it_can_not_fit():
    with pytest.raises(ValueError, match="no degree of freedom"):
        Regression(np.ones((1, 1)), units([1.0]))
    with pytest.raises(ValueError, match="not independent"):
        Regression(np.ones((5, 2)), units(np.arange(5.0)))
    with pytest.raises(ValueError, match="alone carries"):
        Regression(np.column_stack([np.ones(5), np.eye(5)[0]]), units(np.arange(5.0)))


def test_a_slope_over_runs_that_branched_off_fewer_is_called_clear_as_often_as_chance_has_it():
    """Sixteen trunks, three branches of each: taken as 48 runs a slope of nothing was clear in .26."""
    rng, false = np.random.default_rng(4), {True: 0, False: 0}
    trunk = np.arange(16).repeat(3)
    for _ in range(400):
        x = np.column_stack([np.ones(48), rng.uniform(-1, 1, 16)[trunk], np.tile([-1.0, 0.0, 1.0], 16)])
        y = rng.normal(size=16)[trunk] + 0.3 * rng.normal(size=48)
        for told in false:
            of = Units(y, np.zeros(48, dtype=np.int64), None, None, 1e-9, trunk if told else None)
            found = Regression(x, of).estimate(np.array([0.0, 1.0, 0.0]))
            false[told] += t_p_value(found.value, found.variance.value, found.variance.df) < 0.05
    assert false[True] < 0.09 * 400 < 0.18 * 400 < false[False]
    with pytest.raises(ValueError, match="in common alone carry"):
        Regression(np.column_stack([np.ones(6), np.repeat([1.0, 0.0], [2, 4])]), Units(
            np.arange(6.0), np.zeros(6, dtype=np.int64), None, None, 0.0, np.array([0, 0, 1, 2, 3, 4])
        ))  # fmt: skip


def test_a_slope_covers_when_runs_differ_in_spread_and_items_are_a_sample():
    rng = np.random.default_rng(1)
    hits = []
    for _ in range(300):
        z = np.linspace(-0.5, 0.5, 24)
        of_item = rng.normal(0, 0.5, 50)  # items differ in the slope itself
        values = (
            z[:, None] * of_item + rng.normal(0, 0.05 + 0.2 * (z[:, None] > 0), (24, 1)) + rng.normal(0, 0.3, (24, 50))
        )
        found = Regression(np.column_stack([np.ones(24), z]), units(values.mean(axis=1), values)).estimate(
            np.r_[0, 1.0]
        )
        assert found.items
        hits.append(abs(found.value) <= 2.07 * found.variance.value**0.5)
    assert 0.93 <= np.mean(hits) <= 0.99


def by_hand(inputs, tree, columns_of):
    """A tree's variances by going through a fine grid."""
    grid = [np.arange(i.levels) if i.levels else (np.arange(200) + 0.5) / 200 for i in inputs]
    points = np.array(list(product(*grid)), dtype=float)
    predictions = tree.predict(columns_of(points)).reshape([len(axis) for axis in grid])
    centred = predictions - predictions.mean()
    one, other = centred.mean(axis=1), centred.mean(axis=0)
    return (centred**2).mean(), (one**2).mean(), (other**2).mean(), ((centred - one[:, None] - other) ** 2).mean()


@pytest.mark.parametrize("second", [Input(None), Input(3), Input(4, ordered=False)])
def test_marginals_over_leaves_are_those_of_a_grid(second):
    rng = np.random.default_rng(2)
    x = np.column_stack(
        [rng.random(80), rng.random(80) if second.levels is None else rng.integers(0, second.levels, 80)]
    )
    y = np.round(5 * x[:, 0]) * (1 + x[:, 1]) + rng.normal(0, 0.1, 80)
    inputs = [Input(None), second]
    x[:, 0] = np.round(x[:, 0] * 200) / 200  # cuts fall on the edges of the grid's cells
    x[:, 1] = np.round(x[:, 1] * 200) / 200 if second.levels is None else x[:, 1]

    def columns(points):
        return np.hstack([each.columns(points[:, i]) for i, each in enumerate(inputs)])

    for tree in forest(inputs, x, y, 3, 0).trees:
        total, parts = tree_variances(boxes(inputs, tree.tree_))
        expected = by_hand(inputs, tree, columns)
        assert (total, parts[0,], parts[1,], parts[0, 1]) == pytest.approx(expected, rel=0.03, abs=1e-3 * total)
        assert parts[0,] + parts[1,] + parts[0, 1] == pytest.approx(total)


def test_shares_of_a_known_tree():
    whole, half = np.array([[True, True]] * 2), np.array([[True, False], [False, True]])
    size = np.array([0.5, 0.5])
    total, parts = tree_variances(Boxes(np.array([0.0, 2.0]), (half, whole), (size, size)))
    assert total == pytest.approx(1)
    assert parts == pytest.approx({(0,): 1, (1,): 0, (0, 1): 0})


def test_shares_of_nothing_are_refused():
    x = np.random.default_rng(3).random((30, 2))
    with pytest.raises(ValueError, match="do not vary"):
        shares([Input(None)] * 2, forest([Input(None)] * 2, x, np.ones(30), 4, 0))


def test_a_weak_input_beside_a_strong_one_is_found_and_a_null_one_is_not():
    rng = np.random.default_rng(4)
    x = rng.random((64, 3))
    y = 1.2 * x[:, 0] + 0.6 * x[:, 1] + rng.normal(0, 0.15, 64)
    inputs = [Input(None)] * 3
    assert any_signal_p(inputs, x, y, 10, 39, 0) == pytest.approx(1 / 40)
    p = [input_p(inputs, x, y, i, 10, 39, 0) for i in range(3)]
    assert p[0] == pytest.approx(1 / 40)
    assert p[1] <= 0.05 < p[2]
    assert variances(inputs, forest(inputs, x, y, 32, 0))[1][0,] > 0


def test_no_input_matters_and_the_gate_says_so():
    rng = np.random.default_rng(5)
    p = [any_signal_p([Input(None)] * 2, rng.random((30, 2)), rng.normal(size=30), 10, 39, k) for k in range(12)]
    assert np.mean(np.array(p) <= 0.05) <= 0.25
    assert np.mean(p) > 0.25


def random_study(curve, rng, *, runs=48, items=60, run_sd=0.1):
    """A random design in learning rate, warmup and base, a run a condition; `curve` of the three codes is in logits."""
    rate = 10 ** rng.uniform(-4, -2.5, runs)
    warmup, base = rng.uniform(0, 0.3, runs), rng.integers(0, 2, runs)
    z = (np.log10(rate) + 3.25) / 1.5
    hard = rng.normal(0, 0.3, items)  # little, so that the logit of a mean is the mean of logits
    right0 = rng.random((2, items)) < 1 / (1 + np.exp(hard + 0.5))
    logits = np.array([curve(*row) for row in zip(z, warmup / 0.3 - 0.5, base - 0.5, strict=True)])
    logits = logits + rng.normal(0, run_sd, runs)
    right = rng.random((runs, items)) < 1 / (1 + np.exp(hard + 0.5 - logits[:, None]))
    kinds = {LR: lambda r: float(rate[r]), WARMUP: lambda r: float(warmup[r]), BASE: lambda r: "ab"[base[r]]}
    table = records(runs, items, lambda r, s, i: right[r, i] if s else right0[base[r], i], steps=(0, 10), **kinds)
    table["seed"] = [0] * len(table["run"])
    return table


def asked_of(table):
    panel = build(make_table(table))
    (evidence,) = evidence_of(task_paths(panel), panel)
    return evidence


def bent(z, warmup, base):
    return 1 + 1.5 * z - 6 * z**2 + 2 * z * base


@pytest.fixture(scope="module")
def planted():
    table = random_study(bent, np.random.default_rng(6))
    evidence = asked_of(table)
    return table, surface.findings(evidence), importance.findings(evidence)


def told(found, quantity, factors, unit="logit"):
    (finding,) = [f for f in found if (f.quantity, f.factors, f.unit) == (quantity, tuple(sorted(factors)), unit)]
    return finding


def test_a_surface_finds_slope_bend_product_and_peak(planted):
    _, found, _ = planted
    slope = told(found, surface.SLOPE, [LR])
    assert slope.estimate.low < 1.5 < slope.estimate.high
    assert "lack of fit and what differs from seed to seed" in slope.note
    assert (slope.sampled, slope.n_units, slope.item_pool) == ("run", 48, "items like these")
    assert "HC3" in slope.method
    bend = told(found, CURVATURE, [LR])
    assert 0 < bend.estimate.low < 1.5 < bend.estimate.high
    product = told(found, surface.PRODUCT, [LR, BASE])
    assert product.estimate.low < 2 < product.estimate.high
    assert product.sampled == "run (these bases)"
    peak = next(f for f in found if f.quantity == LOCATION and f.factors == (LR,))
    assert peak.estimate.low < 10 ** (-3.25 + 1.5 * 0.125) < peak.estimate.high
    assert told(found, surface.SLOPE, [WARMUP]).p > 0.01


def test_a_forest_gives_its_shares_to_what_matters(planted):
    _, _, found = planted
    alone = {f.factors[0]: f for f in found if f.quantity == importance.ALONE}
    assert alone[LR].estimate.value > 0.5
    assert alone[LR].p <= 0.05
    assert alone[WARMUP].p > 0.01
    assert alone[WARMUP].estimate.value < 0.2
    pairs = [f for f in found if f.quantity == importance.PAIR]
    assert len(pairs) == 3
    assert all(f.p is None and "response surface" in f.note for f in pairs)
    assert all(0 <= f.estimate.low <= f.estimate.value <= f.estimate.high <= 1 for f in found)
    assert all(f.unit == "share" and f.item_pool == "this item pool" for f in found)


def test_rows_in_another_order_and_names_of_levels_change_nothing(planted, monkeypatch):
    table, of_surface, _ = planted
    monkeypatch.setattr(importance, "PERMUTATIONS", 19)
    monkeypatch.setattr(importance, "RESAMPLES", 5)
    found = importance.findings(asked_of(table))
    order = np.random.default_rng(0).permutation(len(table["run"]))
    names = {run: f"q{hash(run) % 1000}{run}" for run in table["run"]}
    turned = {name: [values[i] for i in order] for name, values in table.items()}
    turned["run"] = [names[run] for run in turned["run"]]
    turned[BASE] = [{"a": "z", "b": "y"}[base] for base in turned[BASE]]
    again = asked_of(turned)
    assert [(f.factors, f.p) for f in importance.findings(again)] == [(f.factors, f.p) for f in found]
    for one, other in zip(importance.findings(again), found, strict=True):
        assert one.estimate.value == pytest.approx(other.estimate.value)
        assert one.estimate.low == pytest.approx(other.estimate.low)
    slope = told(surface.findings(again), surface.SLOPE, [LR]).estimate
    assert slope.low == pytest.approx(told(of_surface, surface.SLOPE, [LR]).estimate.low)


def test_noise_alone_has_no_shares():
    evidence = asked_of(random_study(lambda *_: 0.5, np.random.default_rng(7), runs=32))
    (finding,) = importance.findings(evidence)
    assert "no better than chance" in finding.estimate.reason


def test_runs_that_do_not_vary_have_no_shares():
    table = random_study(bent, np.random.default_rng(8), runs=26)
    table["score"] = [
        float(int(item[2:]) % 3 == 0 or (step > 0 and int(item[2:]) % 2))
        for item, step in zip(table["item"], table["step"], strict=True)
    ]
    evidence = asked_of(table)
    (finding,) = importance.findings(evidence)
    assert "do not vary" in finding.estimate.reason
    assert all(
        isinstance(f.estimate, NotEstimable) or f.estimate.low <= 0 <= f.estimate.high
        for f in surface.findings(evidence)
    )


def test_too_few_runs_say_what_is_asked_for():
    evidence = asked_of(random_study(bent, np.random.default_rng(9), runs=12))
    assert importance.findings(evidence)[0].estimate == NotEstimable("12 runs: a forest asks for 24 or more")
    reasons = {f.estimate.reason for f in surface.findings(evidence)}
    assert any("12 runs for 4 columns" in reason for reason in reasons)


def test_a_small_factorial_is_no_random_design():
    kinds = {"data.name": lambda run: "ab"[run % 2], "data.noise_rate": lambda run: 0.3 * (run // 2 % 2)}
    evidence = asked_of(records(8, 20, lambda run, step, item: (item + run + step) % 2, **kinds))
    assert surface.findings(evidence) == importance.findings(evidence) == []


def test_a_model_takes_what_the_design_has_room_for():
    rng = np.random.default_rng(10)
    rooms = {}
    for runs in (16, 20, 48):
        asked = asked_of(random_study(bent, rng, runs=runs)).asked["ungrouped"]
        rooms[runs] = {block.quantity for block in surface.model(asked.cells)}
    assert rooms[16] == {surface.SLOPE, CURVATURE}
    assert rooms[48] == {surface.SLOPE, surface.PRODUCT, CURVATURE}


def test_factors_that_move_together_are_told():
    table = random_study(bent, np.random.default_rng(11), runs=30)
    table[DECAY] = [10 * warmup for warmup in table[WARMUP]]
    evidence = asked_of(table)
    found = [*surface.findings(evidence), *importance.findings(evidence)]
    assert len(found) == 3
    assert all("told apart" in f.estimate.reason for f in found)


def test_a_run_at_the_ceiling_leaves_points_only():
    table = random_study(bent, np.random.default_rng(12))
    table["score"] = [
        1.0 if run == "r3" and step else score
        for run, step, score in zip(table["run"], table["step"], table["score"], strict=True)
    ]
    found = surface.findings(asked_of(table))
    assert {type(f.estimate) for f in found if f.unit == "points"} == {Interval}
    assert ["ceiling" in f.estimate.reason for f in found if f.unit == "logit"] == [True]


def test_the_library_is_loaded_by_a_forest_only():
    code = "import triaxis.analyze.questions.importance, sys; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_asked_is_made_of_runs_in_any_order(planted):
    asked = asked_of(planted[0]).asked["ungrouped"]
    turned = surface.fitted(Asked.of(asked.paths[::-1]), "points")
    one = surface.fitted(asked, "points")
    weights = np.eye(len(one.fit.x.T))[1]
    assert turned.fit.estimate(weights).value == pytest.approx(one.fit.estimate(weights).value)


@pytest.mark.slow
def test_nothing_is_found_in_noise_more_often_than_it_should():
    slopes, gates = [], []
    for seed in range(100):
        evidence = asked_of(random_study(lambda *_: 0.5, np.random.default_rng(seed), run_sd=0.15, items=40))
        slopes += [f.p < 0.05 for f in surface.findings(evidence) if f.p is not None]
        gates.append(isinstance(importance.findings(evidence)[0].estimate, Interval))
    assert np.mean(slopes) <= 0.05 + 3.5 * (0.05 * 0.95 / 200) ** 0.5  # of one study they are not independent
    assert np.mean(gates) <= 0.05 + 3.5 * (0.05 * 0.95 / 100) ** 0.5
