"""Data: where more of it stops paying, exposure against coverage, and what noise costs in which base."""

from __future__ import annotations

import numpy as np
import pytest

from analyze_cases import columns, records
from triaxis.analyze.analysis import evidence_of
from triaxis.analyze.dense import build
from triaxis.analyze.design import make_cells
from triaxis.analyze.matched import matched
from triaxis.analyze.paths import task_paths
from triaxis.analyze.questions import exposure, noise, saturation
from triaxis.records.table import make_table
from triaxis.simulate import study
from triaxis.stats.effects import Contrasts, Units
from triaxis.stats.intervals import satterthwaite
from triaxis.stats.saturation import PowerLaw, fit_power_law, joint_errors
from triaxis.stats.saturation import saturation as point_of
from triaxis.types import Interval, NotEstimable

SIZES = 250 * 2.0 ** np.arange(7)
EXAMPLES, RATE, NOISE, BASE = "data.examples", "optimization.learning_rate", "data.noise_rate", "model.base"

POINT = "size from which a doubling gives less than 1 point"


def evidence(data):
    panel = build(make_table(data))
    return evidence_of(task_paths(panel), panel)[0]


def grown(law, sizes=SIZES, seeds=3, items=400, noise_sd=0.01, seed=0, **more):
    """A table in which sizes gain by a power law, each run with an error of its own; records of one task."""
    rng = np.random.default_rng(seed)
    at = [law.at(size) + rng.normal(0, noise_sd) for size in sizes for _ in range(seeds)]
    easy = rng.random(items)
    table = records(
        len(at),
        items,
        lambda run, step, item: easy[item] < (at[run] if step else 0.2),
        steps=(0, 100),
        **{EXAMPLES: lambda run: int(sizes[run // seeds]), **more},
    )
    table["seed"] = [run % seeds for run in table["seed"]]
    return table


def one(found, quantity, **wanted):
    (finding,) = [
        f for f in found if f.quantity == quantity and all(getattr(f, name) == value for name, value in wanted.items())
    ]
    return finding


def test_an_exact_power_law_is_fitted_exactly():
    law = PowerLaw(250.0, 0.7, 0.3, 0.8)
    found = fit_power_law(SIZES, np.array([law.at(size) for size in SIZES]))
    assert found.exponent == pytest.approx(0.8, abs=1e-3)
    assert found.asymptote == pytest.approx(0.7, abs=1e-4)
    until = found.doublings_until(0.01)
    size = 250 * 2**until
    assert found.at(2 * size) - found.at(size) == pytest.approx(0.01, abs=1e-5)


def test_a_law_needs_five_sizes_and_one_that_falls_never_pays():
    with pytest.raises(ValueError, match="5 different sizes"):
        fit_power_law(SIZES[:4], np.arange(4.0))
    assert fit_power_law(SIZES, -np.arange(7.0)).doublings_until(0.01) == -np.inf


def test_errors_of_cell_means_are_as_wide_as_their_t():
    rng = np.random.default_rng(1)
    fit = Contrasts(Units(rng.normal(0, 0.02, 21), np.arange(7).repeat(3), None, None))
    errors = joint_errors(fit, list(np.eye(7)), 4000, rng)
    df = satterthwaite(list(fit.residual / 3), [2.0] * 7)
    assert errors.var(axis=0) == pytest.approx(fit.residual / 3 * df / (df - 2), rel=0.15)


def test_the_interval_of_the_saturation_point_covers_the_truth():
    rng, law = np.random.default_rng(5), PowerLaw(250.0, 0.7, 0.3, 0.8)
    truth, held = 250 * 2 ** law.doublings_until(0.01), 0
    for _ in range(80):
        y = np.repeat([law.at(size) for size in SIZES], 3) + rng.normal(0, 0.02, 21)
        fit = Contrasts(Units(y, np.arange(7).repeat(3), None, None, 1e-8))
        found = point_of(SIZES, fit.means, joint_errors(fit, list(np.eye(7)), 500, rng), 0.01)
        held += found.low <= truth <= found.high
    assert held >= 70  # .95 less three standard errors


def test_a_curve_that_is_level_has_its_saturation_point_among_the_sizes():
    law = PowerLaw(250.0, 0.75, 0.4, 1.5)
    finding = one(saturation.findings(evidence(grown(law))), POINT)
    truth = 250 * 2 ** law.doublings_until(0.01)
    assert isinstance(finding.estimate, Interval)
    assert finding.estimate.low <= truth <= finding.estimate.high <= SIZES[-1]
    assert (finding.unit, finding.sampled, finding.n_units) == ("examples", "run", 21)


def test_a_curve_that_still_rises_has_not_reached_it_and_a_flat_one_is_past_it():
    rising = saturation.findings(evidence(grown(PowerLaw(250.0, 1.6, 1.3, 0.1))))
    reason = one(rising, POINT).estimate.reason
    assert "not reached" in reason
    level = grown(PowerLaw(250.0, 0.6, 0.0, 1.0), noise_sd=0.002)
    reason = one(saturation.findings(evidence(level)), POINT).estimate.reason
    assert "no doubling pays" in reason or "not reached for sure" in reason


def test_the_gain_per_doubling_is_the_difference_over_the_doublings():
    data = grown(PowerLaw(100.0, 0.9, 0.6, 0.5), sizes=(100, 400, 6400), noise_sd=0.005)
    found = saturation.findings(evidence(data))
    (asked,) = evidence(data).asked.values()
    score = {n: np.mean([p.scores[-1] for p in asked.paths if p.condition[EXAMPLES] == n]) for n in (100, 400, 6400)}
    first = one(found, "gain per doubling", contrast="400 - 100").estimate
    last = one(found, "gain per doubling", contrast="6400 - 400").estimate
    assert first.value == pytest.approx((score[400] - score[100]) / 2)
    assert last.value == pytest.approx((score[6400] - score[400]) / 4)
    bend = one(found, "gain per doubling, last minus first", unit="points").estimate
    assert bend.value == pytest.approx(last.value - first.value)
    assert bend.high < 0
    assert "needs 5 sizes" in one(found, POINT).estimate.reason


def test_an_interaction_with_size_is_the_difference_of_doublings_and_nulls_stay():
    settings = {"factors": {EXAMPLES: (100, 200, 400), RATE: (1e-4, 1e-3)}, "items": 80, "steps": (0, 10, 40)}
    planted = evidence(columns(study(**settings, effects={f"{EXAMPLES} x {RATE}": 3.0}, seed=2).table))
    (asked,) = planted.asked.values()
    rates = (1e-3, 1e-4)
    score = {
        (n, rate): np.mean([
            p.scores[-1] for p in asked.paths if (p.condition[EXAMPLES], p.condition[RATE]) == (n, rate)
        ])
        for n in (200, 400) for rate in rates
    }  # fmt: skip
    within = [score[400, rate] - score[200, rate] for rate in rates]
    found = one(saturation.findings(planted), "gain per doubling, last", contrast="0.001 - 0.0001", unit="points")
    assert found.estimate.value == pytest.approx(within[0] - within[1])
    assert found.estimate.low > 0
    assert found.factors == (EXAMPLES, RATE)
    null = saturation.findings(evidence(columns(study(**settings, seed=3).table)))
    tested = [f.p for f in null if f.p is not None]
    assert np.mean(np.array(tested) < 0.05) <= 0.2


def test_rows_in_another_order_and_other_names_change_nothing():
    data = grown(PowerLaw(250.0, 0.75, 0.4, 1.0), items=60)
    found = saturation.findings(evidence(data))
    order = np.random.default_rng(0).permutation(len(data["run"]))
    moved = {name: [values[i] for i in order] for name, values in data.items()}
    for one_way, other in zip(found, saturation.findings(evidence(moved)), strict=True):
        if isinstance(one_way.estimate, Interval):
            assert other.estimate.value == pytest.approx(one_way.estimate.value)
            assert other.estimate.low == pytest.approx(one_way.estimate.low)


def test_levels_are_matched_within_combinations_that_have_them_all():
    cells = make_cells([{"a": 1, "b": "x"}, {"a": 2, "b": "x"}, {"a": 2, "b": "y"}, {"a": 3, "b": "y"}])
    found = matched(cells, "a", (1, 2))
    assert found.contrast({2: 1.0, 1: -1.0}) == pytest.approx([-1, 1, 0, 0])
    assert "no combination" in matched(cells, "a", (1, 3)).reason
    assert "doesn't vary" in matched(cells, "c", (1, 2)).reason
    assert "has no level 9" in matched(cells, "a", (1, 9)).reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"seeds": 1}, "one seed a condition"),
        ({EXAMPLES: lambda run: 64, "data.tokens": lambda run: f"set {run // 3}"}, "not all numbers above 0"),
        ({EXAMPLES: lambda run: 64, "data.tokens": lambda run: run // 3}, "not all numbers above 0"),
        ({"sizes": 2.0 ** np.arange(22), "items": 4}, "22 values"),
    ],
)
def test_what_size_cannot_tell_is_not_estimable(change, reason):
    found = saturation.findings(evidence(grown(PowerLaw(1.0, 0.7, 0.3, 0.5), **{"items": 20, **change})))
    assert found
    assert all(isinstance(f.estimate, NotEstimable) for f in found)
    assert any(reason in f.estimate.reason for f in found)


def test_all_right_leaves_no_crash_and_nothing_in_logits():
    data = grown(PowerLaw(250.0, 2.0, 0.1, 1.0), noise_sd=0.0, items=30)
    for finding in saturation.findings(evidence(data)):
        if isinstance(finding.estimate, Interval):
            assert finding.estimate.low <= finding.estimate.value <= finding.estimate.high
        else:
            assert finding.estimate.reason


def exposed(steps, epochs, gain=(0.7, 0.5), items=200):
    """Two sizes, three seeds: 64 examples and 1,280, with the last step and the passes of each."""
    rng = np.random.default_rng(4)
    easy = rng.random(items)
    rows = [(run, step) for run in range(6) for step in (0, steps[run // 3])]
    at = [gain[run // 3] + rng.normal(0, 0.01) for run in range(6)]
    data = [(run, step, item) for run, step in rows for item in range(items)]
    return {
        "run": [f"r{run}" for run, _, _ in data],
        "seed": [run % 3 for run, _, _ in data],
        "step": [step for _, step, _ in data],
        "task": ["t"] * len(data),
        "item": [f"t/{item}" for _, _, item in data],
        "score": [float(easy[item] < (at[run] if step else 0.3)) for run, step, item in data],
        "epoch": [epochs[run // 3] if step else 0.0 for run, step, _ in data],
        EXAMPLES: [(64, 1280)[run // 3] for run, _, _ in data],
    }


def test_repetition_is_set_against_coverage_at_equal_steps_only():
    data = exposed((100, 100), (20.0, 1.0))
    (finding,) = exposure.findings(evidence(data))
    assert finding.contrast == "64 - 1280"
    assert finding.estimate.low > 0.1
    assert finding.note == "20 passes over the smaller set against 1 over the larger"
    (finding,) = exposure.findings(evidence(exposed((100, 2000), (20.0, 20.0))))
    assert "never trained for the same steps" in finding.estimate.reason
    assert exposure.findings(evidence(columns(study(factors={NOISE: (0.0, 0.6)}, items=20).table))) == []


def test_epochs_may_differ_where_they_make_the_steps_equal():
    data = exposed((100, 100), (20.0, 1.0))
    data["optimization.epochs"] = data.pop("epoch")
    data["optimization.epochs"] = [20 if n == 64 else 1 for n in data[EXAMPLES]]
    (finding,) = exposure.findings(evidence(data))
    assert finding.estimate.low > 0.1
    assert "20 passes" in finding.note


def noisy(bases, effects, seed=1, **more):
    settings = {
        "factors": {NOISE: (0.0, 0.3, 0.6), BASE: tuple(bases)},
        "bases": bases,
        "items": 80,
        "steps": (0, 20, 80),
    }
    return evidence(columns(study(**{**settings, **more}, effects=effects, seed=seed).table))


def test_the_cost_of_noise_is_its_slope_in_each_base_and_differs_between_them():
    bases = {"lab:weak": -0.3, "lab:strong": 0.3}
    found = noise.findings(noisy(bases, {NOISE: -1.0, f"{NOISE} x {BASE}": 2.5}))
    overall = one(found, noise.COST, within={})
    each = [one(found, noise.COST, within={BASE: base}) for base in bases]
    assert overall.estimate.high < 0
    assert overall.estimate.value == pytest.approx(np.mean([f.estimate.value for f in each]))
    assert {f.sampled for f in each} == {"run (these bases)"}
    gap = one(found, f"{noise.COST}, stronger base minus weaker", unit="points")
    assert gap.contrast == "lab:strong - lab:weak"
    assert gap.estimate.high < 0  # the second level in order of name is the weak base, to which the effect is good
    assert "needs 8 of them, here 2" in one(found, f"{noise.COST}, on 10 points of base capability").estimate.reason


def test_over_eight_bases_the_cost_of_noise_is_set_beside_capability():
    bases = {f"base{i}": -1.0 + 0.28 * i for i in range(8)}
    found = noise.findings(noisy(bases, {NOISE: -0.8, f"{NOISE} x {BASE}": 2.5}, seeds=2))
    slope = one(found, f"{noise.COST}, on 10 points of base capability")
    assert (slope.sampled, slope.n_units) == ("base", 8)
    assert slope.estimate.low > 0
