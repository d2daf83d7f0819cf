"""Capability against size: disjoint items, slopes over bases, two dependent correlations, and when it can't be told."""

from __future__ import annotations

import numpy as np
import pytest

from analyze_cases import columns
from triaxis.analyze.analysis import evidence_of
from triaxis.analyze.capability import beside
from triaxis.analyze.dense import build
from triaxis.analyze.paths import task_paths
from triaxis.analyze.questions import capability
from triaxis.analyze.questions.capability import capability_against_size
from triaxis.records.table import make_table
from triaxis.simulate import Noise, study
from triaxis.stats.correlation import Outcomes, correlation, regress, stronger_correlation
from triaxis.stats.paired import Strata
from triaxis.types import Interval, NotEstimable

SLOPE = "gain per 10 points of accuracy at step 0 made to think"


def many_bases(n=10, think=True, by_capability=0.0, seed=1, **more):
    """A table of `n` bases whose size says nothing of their capability; logits gained rise with the capability."""
    names = [f"base{i:02d}" for i in range(n)]
    logits = np.linspace(-1.2, 1.2, n)
    settings = {
        "factors": {"model.base": tuple(names)},
        "bases": dict(zip(names, logits, strict=True)),
        "traits": {"model.parameters": {name: 2 ** (20 + (7 * i) % n) for i, name in enumerate(names)}},
        "effects": {"model.base": by_capability},
        "items": 120,
        "steps": (0, 10, 40),
        "gain": 0.8,
        "seeds": 2,
        "seed": seed,
        "noise": Noise(item_checkpoint=0.3),
    }
    data = columns(study(**{**settings, **more}).table)
    return with_think(data) if think else data


def with_think(data):
    """The same step 0 once more in mode think, on the same items: each base's luck there is the same as in default."""
    base = [i for i, run in enumerate(data["run"]) if not run]
    return {
        name: [*values, *(["think"] * len(base) if name == "mode" else [values[i] for i in base])]
        for name, values in data.items()
    }


def evidence(data):
    panel = build(make_table(data))
    return evidence_of(task_paths(panel), panel)[0]


def quantities(found):
    return {f.quantity: f for f in found}


def test_slopes_are_those_of_least_squares_with_t_on_bases():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 2))
    y = 1 + x @ [0.5, -0.3] + rng.normal(0, 0.1, 12)
    found = regress(x, Outcomes(y))
    design = np.c_[np.ones(12), x]
    beta = np.linalg.lstsq(design, y)[0]
    rest = y - design @ beta
    variance = rest @ rest / 9 * np.linalg.inv(design.T @ design)
    assert [e.value for e in found] == pytest.approx(beta[1:])
    assert [e.variance.value for e in found] == pytest.approx(np.diag(variance)[1:])
    assert {e.variance.df for e in found} == {9.0}
    with pytest.raises(ValueError, match="do not vary apart"):
        regress(np.c_[x[:, 0], 2 * x[:, 0]], Outcomes(y))
    with pytest.raises(ValueError, match="more units"):
        regress(x[:3], Outcomes(y[:3]))


def test_items_that_all_units_share_widen_a_slope_only_where_they_differ_by_unit():
    rng = np.random.default_rng(1)
    x, hard = np.arange(10.0), rng.normal(size=50)
    alone = regress(x[:, None], Outcomes(0.1 * x + rng.normal(0, 0.1, 10)))[0]
    per_item = 0.1 * x[:, None] + hard[None]
    shared = regress(x[:, None], Outcomes(per_item.mean(axis=1), per_item, Strata.one(50)))[0]
    assert shared.variance.value == pytest.approx(0, abs=1e-20)  # an item's difficulty cancels
    tilted = per_item + 0.1 * np.outer(x, rng.normal(size=50))
    wide = regress(x[:, None], Outcomes(tilted.mean(axis=1), tilted, Strata.one(50)))[0]
    assert wide.variance.value == pytest.approx(0.01 * 1 / 50, rel=0.5)
    assert not alone.items
    assert wide.items


def test_zou_has_the_published_limits():
    """Zou 2007, example of two overlapping correlations: r = .396 and .179, r between them .088, n = 66."""
    rng = np.random.default_rng(2)
    wanted = np.array([[1, 0.396, 0.179], [0.396, 1, 0.088], [0.179, 0.088, 1]])
    z = rng.normal(size=(66, 3))
    z = (z - z.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(z.T))).T @ np.linalg.cholesky(wanted).T
    found = stronger_correlation(z[:, 0], z[:, 1], z[:, 2])
    assert found.value == pytest.approx(0.217)
    assert (found.low, found.high) == pytest.approx((-0.093, 0.517), abs=0.002)
    turned = stronger_correlation(z[:, 0], -z[:, 1], z[:, 2])
    assert (turned.low, turned.high) == pytest.approx((found.low, found.high))


def test_correlations_need_four_units_that_vary():
    with pytest.raises(ValueError, match="four units"):
        correlation(np.arange(3.0), np.arange(3.0))
    with pytest.raises(ValueError, match="does not vary"):
        correlation(np.ones(5), np.arange(5.0))


def test_gain_and_capability_share_no_item():
    found = beside(evidence(many_bases()), ["in_domain"])
    assert found.split
    assert found.capability.name == "accuracy at step 0 made to think"
    assert {len(path.items) for path in found.asked.paths} == {60}
    data = many_bases()
    half = {item for path in found.asked.paths for item in path.items}
    scored = [
        (base, score)
        for base, mode, item, score in zip(data["model.base"], data["mode"], data["item"], data["score"], strict=True)
        if mode == "think" and f"chain/{item}" not in half
    ]
    own = [score for base, score in scored if base == "base03"]
    assert len(own) == 60
    assert found.capability.of["base03"] == pytest.approx(np.mean(own))
    assert 0.8 < found.capability.reliability < 1


def test_other_tasks_leave_all_items_to_the_gain():
    data = many_bases()
    for name in ("task", "item"):
        both = zip(data[name], data["mode"], strict=True)
        data[name] = [f"other {value}" if mode == "think" else value for value, mode in both]
    found = beside(evidence(data), ["in_domain"])
    assert not found.split
    assert {len(path.items) for path in found.asked.paths} == {120}


def test_capability_is_found_to_predict_where_it_does():
    planted = evidence(many_bases(16, by_capability=4.0, gain=1.0))
    found = capability.findings(planted)
    slope = quantities(found)[SLOPE]
    assert slope.estimate.low > 0
    assert (slope.sampled, slope.n_units) == ("base", 16)
    assert "reliability" in slope.note
    rivals = capability_against_size(planted, ["in_domain"])
    assert rivals.low > 0
    given = quantities(found)[f"{SLOPE}, at equal model.parameters"]
    assert given.estimate.low > 0


def test_luck_shared_by_capability_and_gain_is_not_called_an_effect():
    """Equal bases: on the same items a lucky base would seem capable and gain less (regression to the mean)."""
    false = 0
    for seed in range(24):
        data = many_bases(8, seed=seed, bases={f"base{i:02d}": 0.0 for i in range(8)}, items=60, noise=Noise())
        slope = quantities(capability.findings(evidence(data)))[SLOPE]
        false += slope.p < 0.05
    assert false <= 4  # .05 of 24 and three standard errors


def without_names():
    """Runs that bring their own step 0, all on a base of the same name, told apart by its size only."""
    data = many_bases(9, think=False)
    rows = {base: [i for i, b in enumerate(data["model.base"]) if b == base] for base in set(data["model.base"])}
    order, runs = [], []
    for of_base in rows.values():
        own = [i for i in of_base if not data["run"][i]]
        for run in sorted({data["run"][i] for i in of_base} - {""}):
            mine = [*own, *(i for i in of_base if data["run"][i] == run)]
            order += mine
            runs += [run] * len(mine)
    of_run = {run: i for i, run in enumerate(data["run"])}
    moved = {name: [values[i] for i in order] for name, values in data.items()} | {"run": runs}
    moved |= {name: [data[name][of_run[run]] for run in runs] for name in ("seed", "model.parameters")}
    return moved | {"model.base": ["same"] * len(runs)}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda: many_bases(5), "needs 8 of them, here 5"),
        (lambda: {k: v for k, v in many_bases(9).items() if k != "model.parameters"}, "how large each base is"),
        (lambda: {**many_bases(9), "score": [1.0] * len(many_bases(9)["run"])}, "does not vary"),
        (without_names, "not told apart by their names"),
    ],
)
def test_what_cannot_be_told_is_not_estimable(change, reason):
    found = capability_against_size(evidence(change()), ["in_domain"])
    assert isinstance(found, NotEstimable)
    assert reason in found.reason


def test_base_loss_is_set_beside_size_too():
    data = many_bases(9)
    level = {f"base{i:02d}": 3.0 - 0.1 * i for i in range(9)}
    data["loss"] = [
        level[base] if step == 0 else 1.0 for base, step in zip(data["model.base"], data["step"], strict=True)
    ]
    found = quantities(capability.findings(evidence(data)))
    assert isinstance(found["gain per nat of base loss"].estimate, Interval)
    assert isinstance(found["|r| of gain with base loss, minus |r| with size"].estimate, Interval)


def test_one_base_is_asked_nothing_and_order_changes_nothing():
    assert capability.findings(evidence(columns(study(factors={"data.noise_rate": (0.0, 0.6)}, items=20).table))) == []
    data = many_bases(8, items=30)
    order = np.random.default_rng(0).permutation(len(data["run"]))
    moved = {name: [values[i] for i in order] for name, values in data.items()}
    for one, other in zip(*(capability.findings(evidence(each)) for each in (data, moved)), strict=True):
        assert other.quantity == one.quantity
        if isinstance(one.estimate, Interval):
            assert other.estimate.value == pytest.approx(one.estimate.value)
            assert other.estimate.high == pytest.approx(one.estimate.high)
