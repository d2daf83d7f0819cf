"""The best level of a number: known parabolas, Fieller's interval, planted peaks and how they move, no false peaks."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from analyze_cases import LR, NOISE, records
from triaxis.analyze.analysis import evidence_of
from triaxis.analyze.contrasts import ONE_SEED, Asked
from triaxis.analyze.dense import build
from triaxis.analyze.margins import NOT_CROSSED
from triaxis.analyze.paths import task_paths
from triaxis.analyze.questions.optimum import (
    BEYOND_LEVELS,
    CURVATURE,
    FEW_LEVELS,
    LOCATION,
    SHIFT,
    findings,
    in_doublings,
    optimum_of,
    shift_of,
)
from triaxis.records.table import make_table
from triaxis.stats.effects import Estimate
from triaxis.stats.paired import Variance
from triaxis.stats.peak import difference, parabola, top, top_variance
from triaxis.types import Interval, NotEstimable

RATES = (1e-4, 3e-4, 1e-3, 3e-3)


def coefficients(b, c, v_b, v_c, v_bc=0.0, df=20.0):
    """An estimator of u b + v c from their covariance."""

    def estimate(u, v):
        return Estimate(u * b + v * c, Variance(u * u * v_b + 2 * u * v * v_bc + v * v * v_c, df), True)

    return estimate


def test_a_parabola_is_found_whatever_its_scale():
    x = np.log2(RATES)
    z = 2 * (x - x.min()) / np.ptp(x) - 1
    rows = parabola(x)
    assert rows @ (3 + 0.5 * z - 2 * z**2) == pytest.approx([0.5, -2, 0])
    assert rows[2] @ z**3 == pytest.approx(1)
    assert len(parabola([0, 1, 5])) == 2
    with pytest.raises(ValueError, match="three levels"):
        parabola([1, 2, 2])


def test_the_interval_of_a_top_is_fiellers():
    b, c, v_b, v_c, v_bc, df = 0.4, -1.0, 0.02, 0.05, 0.008, 9
    found = top(coefficients(b, c, v_b, v_c, v_bc, df))
    t2 = scipy_stats.t.ppf(0.975, df) ** 2
    quadratic = [4 * (c * c - t2 * v_c), 4 * (b * c - t2 * v_bc), b * b - t2 * v_b]
    assert found.value == pytest.approx(0.2)
    assert sorted((found.low, found.high)) == pytest.approx(sorted(np.roots(quadratic)), abs=1e-6)


def test_without_a_clear_bend_there_is_no_peak():
    assert "can't be told from 0" in top(coefficients(0.1, -1, 0.1, 0.5)).reason
    assert "bends upwards" in top(coefficients(0.1, 1, 0.01, 0.01)).reason
    assert "rises throughout" in top(coefficients(3, -1, 0.01, 0.01)).reason
    assert "falls throughout" in top(coefficients(-3, -1, 0.01, 0.01)).reason
    just_clear = (1 / scipy_stats.t.ppf(0.975, 20)) ** 2 * (1 - 1e-9)
    assert "where is not known" in top(coefficients(0.1, -1, 0.1, just_clear)).reason


def test_the_difference_of_two_tops():
    one, other = coefficients(0.4, -1, 1e-4, 1e-4), coefficients(-0.4, -1, 1e-4, 1e-4)
    found = difference(one, other)
    assert found.value == pytest.approx(0.4)
    delta = sum(top_variance(each, at).value for each, at in ((one, 0.2), (other, -0.2)))
    half = scipy_stats.t.ppf(0.975, 40) * delta**0.5
    assert (found.low, found.high) == pytest.approx((0.4 - half, 0.4 + half), rel=0.01)
    assert isinstance(difference(one, coefficients(0, -1, 1, 1)), NotEstimable)


def test_which_levels_are_taken_in_doublings():
    assert in_doublings((1e-4, 3e-4, 1e-3))
    assert in_doublings((4, 8, 16))
    assert not in_doublings((2, 4, 6))
    assert not in_doublings((0.0, 0.3, 0.6))


def evidence(levels, curve, rng, *, seeds=3, items=120, run_sd=0.15, moved=(0.0,), factor=LR):
    """The evidence of a study whose logit gain at a level of `factor` and of noise is `curve(level, noise)`."""
    cells = [(level, noise, seed) for noise in moved for level in levels for seed in range(seeds)]
    hard = rng.normal(0, 1.6, items)
    base = rng.random(items) < 1 / (1 + np.exp(0.5 + hard))
    logits = np.array([curve(level, noise) for level, noise, _ in cells]) + rng.normal(0, run_sd, len(cells))
    luck = rng.normal(0, 0.8, (len(cells), items))
    right = rng.random((len(cells), items)) < 1 / (1 + np.exp(0.5 + hard - logits[:, None] - luck))
    kinds = {factor: lambda run: cells[run][0], NOISE: lambda run: cells[run][1]}
    table = records(
        len(cells), items, lambda run, step, item: right[run, item] if step else base[item], steps=(0, 10), **kinds
    )
    table["seed"] = [cells[int(run[1:])][2] for run in table["run"]]
    panel = build(make_table(table))
    (found,) = evidence_of(task_paths(panel), panel)
    return found


def peaked(level, noise):
    return 1.5 - 0.15 * (np.log2(level) - np.log2(6e-4) + 2 * noise) ** 2


@pytest.fixture(scope="module")
def found():
    asked = evidence(RATES, peaked, np.random.default_rng(1), seeds=4, moved=(0.0, 0.6), run_sd=0.08)
    return findings(asked), asked.asked["ungrouped"]


def one(found, quantity, within=None):
    return next(f for f in found if f.quantity == quantity and f.within == (within or {}))


def test_a_planted_peak_is_found_with_its_place(found):
    place = one(found[0], LOCATION, {NOISE: 0.0})
    assert place.unit == "level"
    assert place.estimate.low < 6e-4 < place.estimate.high
    assert "fitted in logit" in place.note
    bend = one(found[0], CURVATURE, {NOISE: 0.0})
    assert bend.estimate.low > 0
    assert bend.p < 0.05
    assert (bend.unit, bend.n_runs) == ("logit", 16)
    assert bend.contrast == "middle above the mean of 0.0001 and 0.003"


def test_a_planted_shift_is_found_in_doublings(found):
    shift = one(found[0], SHIFT)
    assert shift.unit == "doublings"
    assert shift.estimate.low < -1.2 < shift.estimate.high < 0
    assert shift.factors == (NOISE, LR)
    assert shift_of(found[1], LR, NOISE, 0.0, 0.6) == shift.estimate
    back = shift_of(found[1], LR, NOISE, 0.6, 0.0)
    assert (back.low, back.value, back.high) == pytest.approx(
        (-shift.estimate.high, -shift.estimate.value, -shift.estimate.low)
    )


def test_what_the_ledger_asks(found):
    asked = found[1]
    optimum = optimum_of(asked, LR, {NOISE: 0.6})
    assert optimum.in_doublings
    assert optimum.level(optimum.location.value) == pytest.approx(2**optimum.location.value)
    assert optimum.curvature == one(found[0], CURVATURE, {NOISE: 0.6}).estimate
    assert "doesn't vary" in optimum_of(asked, "data.nothing").reason
    assert "no data.noise_rate 0.3" in shift_of(asked, LR, NOISE, 0.0, 0.3).reason
    assert optimum_of(asked, NOISE) == NotEstimable(FEW_LEVELS)


def test_a_curve_that_only_rises_has_no_peak():
    asked = evidence(RATES, lambda level, _: 0.5 * np.log2(level / 1e-4), np.random.default_rng(2), run_sd=0.05)
    found = findings(asked)
    place = next((f for f in found if f.quantity == LOCATION), None)
    assert isinstance(place.estimate, NotEstimable)
    assert "no peak" in place.estimate.reason


def test_a_lopsided_curve_is_noted():
    sharp = {1e-4: 0.0, 3e-4: 0.7, 1e-3: 1.4, 3e-3: -1.5}
    asked = evidence(RATES, lambda level, _: sharp[level], np.random.default_rng(3), seeds=5, run_sd=0.05, items=400)
    assert "no parabola" in one(findings(asked), CURVATURE).note


def test_at_the_ceiling_points_are_taken_and_it_is_said():
    curve = {1: -1.0, 2: 0.5, 4: 30.0, 8: 0.5, 16: -1.0}
    asked = evidence((1, 2, 4, 8, 16), lambda level, _: curve[level], np.random.default_rng(4), factor="data.examples")
    found = findings(asked)
    bend = one(found, CURVATURE)
    assert bend.unit == "points"
    assert "in points, since in logits not testable: ceiling" in bend.note
    assert one(found, LOCATION).estimate.low < 4 < one(found, LOCATION).estimate.high


def test_seven_levels_of_which_one_has_no_weight_in_the_bend():
    levels = (0, 1, 2, 3, 4, 5, 6)  # z² less its mean is 0 at 1 and at 5
    asked = evidence(levels, lambda level, _: 30.0 if level == 5 else 0.2 * level, np.random.default_rng(5), seeds=2)
    assert one(findings(asked), CURVATURE).unit == "points"


def test_an_interval_beyond_the_levels_is_not_cut():
    rng = np.random.default_rng(0)
    for _ in range(40):
        asked = evidence(RATES, lambda level, _: 1.2 - 0.1 * np.log2(level / 1.8e-3) ** 2, rng)
        place = next((f for f in findings(asked) if f.quantity == LOCATION), None)
        if place is not None and isinstance(place.estimate, Interval) and place.estimate.high > RATES[-1]:
            assert BEYOND_LEVELS in place.note
            return
    pytest.fail("no such interval was drawn")


def test_designs_that_can_not_say():
    rng = np.random.default_rng(6)
    single = evidence(RATES, peaked, rng, seeds=1)
    assert [f.estimate for f in findings(single)] == [NotEstimable(ONE_SEED)]
    assert findings(evidence(RATES[:2], peaked, rng)) == []
    crossed = evidence(RATES, peaked, rng, moved=(0.0, 0.6))
    paths = [p for p in crossed.paths if p.condition != {LR: 1e-4, NOISE: 0.6}]
    assert optimum_of(Asked.of(paths), LR) == NotEstimable(NOT_CROSSED)


def test_rows_in_another_order_change_nothing():
    asked = evidence(RATES, peaked, np.random.default_rng(7)).asked["ungrouped"]
    turned = Asked.of(asked.paths[::-1])
    one, other = optimum_of(asked, LR), optimum_of(turned, LR)
    assert other.location.low == pytest.approx(one.location.low)
    assert other.curvature.high == pytest.approx(one.curvature.high)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
def test_optima_and_shifts_cover_and_nothing_bends_falsely(seeds):
    truth = {}
    for noise in (0.0, 0.6):
        big = evidence(RATES, peaked, np.random.default_rng(8), seeds=40, items=4000, run_sd=0.15, moved=(noise,))
        truth[noise] = optimum_of(big.asked["ungrouped"], LR).location.value
    hits, shifts, bends = [], [], []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        asked = evidence(RATES, peaked, rng, seeds=seeds, moved=(0.0, 0.6)).asked["ungrouped"]
        places = {noise: optimum_of(asked, LR, {NOISE: noise}).location for noise in truth}
        hits += [p.low <= truth[noise] <= p.high for noise, p in places.items() if isinstance(p, Interval)]
        shift = shift_of(asked, LR, NOISE, 0.0, 0.6)
        shifts += [shift.low <= truth[0.6] - truth[0.0] <= shift.high] if isinstance(shift, Interval) else []
        flat = evidence(RATES, lambda *_: 0.5, rng, seeds=seeds, moved=(0.0, 0.6)).asked["ungrouped"]
        bends.append(optimum_of(flat, LR).p < 0.05)
    assert np.mean(hits) >= 0.93
    assert np.mean(shifts) >= 0.93
    assert np.mean(bends) <= 0.05 + 3.5 * (0.05 * 0.95 / 150) ** 0.5
