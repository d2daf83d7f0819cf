"""Known answers and calibration of intervals, paired errors, crossed errors, contrasts and seed noise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from triaxis.stats.effects import Contrasts, Design, Units, contrast, slope_codes, sum_codes
from triaxis.stats.estimators import average_at_k, pass_at_k
from triaxis.stats.intervals import benjamini_hochberg, satterthwaite, t_interval, t_p_value, wilson
from triaxis.stats.noise import DEFAULT_TAU, estimate_noise, with_noise
from triaxis.stats.paired import Strata, Variance, bootstrap_means, crossed_variance, mean_covariance


def test_t_interval_and_p_agree_with_scipy():
    x = np.array([0.1, 0.3, -0.05, 0.2])
    found = t_interval(x.mean(), x.var(ddof=1) / 4, 3)
    expected = scipy_stats.ttest_1samp(x, 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert t_p_value(x.mean(), x.var(ddof=1) / 4, 3) == pytest.approx(scipy_stats.ttest_1samp(x, 0).pvalue)


def test_t_interval_needs_degrees_of_freedom():
    with pytest.raises(ValueError, match="degree of freedom"):
        t_interval(0.1, 0.01, 0)


def test_wilson_known_answer():
    assert wilson(0.2, 10).low == pytest.approx(0.0567, abs=1e-4)  # 2 of 10
    assert wilson(0.2, 10).high == pytest.approx(0.5098, abs=1e-4)


@given(st.floats(0, 1), st.floats(1, 1e6))
def test_wilson_stays_in_range_and_holds_its_estimate(share, n):
    found = wilson(share, n)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_benjamini_hochberg_known_answer():
    p = [0.01, 0.04, 0.03, 0.5]
    assert benjamini_hochberg(p) == pytest.approx(scipy_stats.false_discovery_control(p))
    assert benjamini_hochberg([]) == []


def test_satterthwaite_of_equal_parts():
    assert satterthwaite([1.0, 1.0], [4, 4]) == pytest.approx(8)
    assert satterthwaite([1.0, 0.0], [4, 9]) == pytest.approx(4)


def test_average_at_k_and_pass_at_k():
    assert average_at_k([[1, 0, np.nan], [1, 1, 1]]) == pytest.approx(0.75)
    assert pass_at_k([0, 3, 1], [3, 3, 3], 1) == pytest.approx([0, 1, 1 / 3])
    assert pass_at_k(2, 5, 2) == pytest.approx(1 - 3 / 10)  # 1 - C(3,2)/C(5,2)
    assert pass_at_k(5, 5, 3) == pytest.approx(1)
    with pytest.raises(ValueError, match="k <= samples"):
        pass_at_k(1, 2, 3)
    with pytest.raises(ValueError, match="at least one sample"):
        average_at_k([[np.nan], [1]])


def test_pass_at_k_is_unbiased():
    rng = np.random.default_rng(0)
    correct = rng.binomial(8, 0.3, 200_000)
    assert pass_at_k(correct, 8, 4).mean() == pytest.approx(1 - 0.7**4, abs=2e-3)


def test_paired_standard_error_by_hand():
    x = np.array([[0, 1, 1, 0, 1.0], [1, 1, 1, 0, 0]])
    difference = x[1] - x[0]
    c = mean_covariance(x, Strata.one(5), smooth=False)
    assert c[0, 0] + c[1, 1] - 2 * c[0, 1] == pytest.approx(difference.var(ddof=1) / 5)


def test_strata_weigh_equally_whatever_their_size():
    strata = Strata(np.array([0, 0, 0, 0, 1, 1]))
    x = np.array([[1, 1, 1, 1, 0, 0.0]])
    assert strata.mean(x)[0] == pytest.approx(0.5)
    y = np.array([[0, 1, 0, 1, 0, 1.0]])
    expected = (y[0, :4].var(ddof=1) / 4 + y[0, 4:].var(ddof=1) / 2) / 4
    assert mean_covariance(y, strata, smooth=False)[0, 0] == pytest.approx(expected)


def test_nothing_right_still_has_an_error():
    variance = mean_covariance(np.zeros((2, 60)), Strata.one(60))
    assert variance[0, 0] ** 0.5 == pytest.approx(0.0114, abs=1e-4)
    assert variance[0, 1] == 0


def test_crossed_interval_covers_when_runs_and_items_are_samples():
    rng = np.random.default_rng(1)
    runs, items, hits, items_only = 4, 60, [], []
    for _ in range(600):
        x = rng.normal(0, 0.1, (runs, 1)) + rng.normal(0, 0.6, items) + rng.normal(0, 0.5, (runs, items))
        strata = Strata.one(items)
        z = strata.scaled(x - x.mean(axis=0))
        total = crossed_variance(
            x.mean(axis=0),
            float((z * z).sum()) / (runs - 1) / runs,
            Variance(x.mean(axis=1).var(ddof=1) / runs, 3),
            strata,
        )
        interval = t_interval(x.mean(), total.value, total.df)
        hits.append(interval.low <= 0 <= interval.high)
        alone = t_interval(x.mean(), x.mean(axis=1).var(ddof=1) / runs, 3)
        items_only.append(alone.low <= 0 <= alone.high)
    assert 0.93 <= np.mean(hits) <= 0.985
    assert np.mean(items_only) < 0.9  # what goes wrong when the items are taken for fixed


def test_bootstrap_means_have_the_standard_error():
    rng = np.random.default_rng(2)
    x = rng.random((3, 200))
    draws = bootstrap_means(x, 4000, rng)
    assert draws.shape == (4000, 3)
    assert draws.mean(axis=0) == pytest.approx(x.mean(axis=1), abs=2e-3)
    assert draws.std(axis=0) == pytest.approx(x.std(axis=1) / 200**0.5, rel=0.05)


FULL = np.array([[a, b] for a in (0, 1) for b in (0, 1)])


def test_contrasts_of_a_full_two_by_two():
    design = Design(FULL, (sum_codes(2), sum_codes(2)))
    assert contrast(design, [0], [1], [0]) == pytest.approx([-0.5, -0.5, 0.5, 0.5])
    assert contrast(design, [0, 1], [1, 1], [0, 0]) == pytest.approx([1, -1, -1, 1])


def test_a_missing_cell_leaves_nothing_clear_of_the_interaction():
    design = Design(FULL[:3], (sum_codes(2), sum_codes(2)))
    assert contrast(design, [0, 1], [1, 1], [0, 0]) is None
    assert contrast(design, [0], [1], [0]) is None


def test_a_slope_rises_by_one_over_its_range():
    codes = slope_codes([1e-4, 1e-3, 1e-2])
    assert codes[:, 0] == pytest.approx([-0.5, 0, 0.5])
    assert slope_codes([1, 2, 3])[:, 0] == pytest.approx([-0.5, 0, 0.5])
    design = Design(np.arange(3)[:, None], (codes,))
    assert contrast(design, [0], [2], [0]) == pytest.approx([-1, 0, 1])


def test_a_contrast_of_two_cells_is_welch():
    rng = np.random.default_rng(3)
    a, b = rng.normal(0, 1, 5), rng.normal(0, 3, 7)
    fit = Contrasts(Units(np.r_[a, b], np.repeat([0, 1], [5, 7]), None, None))
    found = fit.estimate(np.array([1.0, -1.0]))
    expected = scipy_stats.ttest_ind(a, b, equal_var=False)
    assert found.value == pytest.approx(a.mean() - b.mean())
    assert found.variance.df == pytest.approx(expected.df)
    assert t_p_value(found.value, found.variance.value, found.variance.df) == pytest.approx(expected.pvalue)


def test_an_interaction_by_hand():
    cells = np.repeat(np.arange(4), 2)
    y = np.array([1, 3, 2, 2, 5, 7, 1, 2.0])
    found = Contrasts(Units(y, cells, None, None)).estimate(np.array([1, -1, -1, 1.0]))
    assert found.value == pytest.approx(2 - 2 - 6 + 1.5)
    assert found.variance.value == pytest.approx((2 + 0 + 2 + 0.5) / 2)


def test_a_cell_with_one_run_takes_the_widest_variance_and_its_degrees_of_freedom():
    values, cells = np.array([1, 3, 9, 5, 5.5, 6, 4.0]), np.array([0, 0, 1, 2, 2, 2, 3])
    found = Contrasts(Units(values, cells, None, None)).estimate(np.array([0, 1, -1, 0.0]))
    assert found.variance.value == pytest.approx(2 / 1 + 0.25 / 3)
    assert found.variance.df == pytest.approx(satterthwaite([2, 0.25 / 3], [1, 2]))
    both = Contrasts(Units(values, cells, None, None)).estimate(np.array([0, 1, 0, -1.0]))
    assert both.variance.df == pytest.approx(1)  # both borrow from one cell: no more evidence than that has


def test_one_wild_cell_does_not_borrow_the_others_degrees_of_freedom():
    rng = np.random.default_rng(6)
    weights, cells = np.repeat([0.25, -0.25], 4), np.repeat(np.arange(8), 3)
    false = []
    for _ in range(2000):
        y = rng.normal(size=(8, 3)) * np.r_[1, np.full(7, 0.1)][:, None]
        found = Contrasts(Units(y.ravel(), cells, None, None)).estimate(weights)
        false.append(t_p_value(found.value, found.variance.value, found.variance.df) < 0.05)
    assert np.mean(false) < 0.09  # .14 with one variance for all


def _false(weights, own, blocks, copies=3, draws=1500):
    """How often nothing is called something: two kinds of runs, of each three seeds, each gone on with in `copies`."""
    rng = np.random.default_rng(9)
    cells, trunk = np.repeat(np.arange(2 * copies), 3), np.tile(np.arange(3), 2 * copies)
    trunk = trunk + 3 * (cells // copies) if blocks else None
    false = 0
    for _ in range(draws):
        y = rng.normal(size=(2, 1, 3)) + own * rng.normal(size=(2, copies, 3))
        found = Contrasts(Units(y.ravel(), cells, None, None, 1e-9, trunk)).estimate(weights)
        false += t_p_value(found.value, found.variance.value, found.variance.df) < 0.05
    return false / draws


@pytest.mark.parametrize("own", [0.0, 0.5])
def test_runs_that_branched_off_one_trunk_are_no_replicates_of_each_other(own):
    between = np.repeat([-1 / 3, 1 / 3], 3)
    assert _false(between, own, blocks=True) < 0.06
    assert _false(between, own, blocks=False) > 0.15  # what the trunk does


def test_branches_against_each_other_are_told_apart_no_more_often_than_that():
    assert _false(np.tile([-1.0, 0.5, 0.5], 2), 0.5, blocks=True) < 0.06
    assert _false(np.tile([-1.0, 0.0, 1.0], 2), 0.5, blocks=True) < 0.06


def test_blocks_change_nothing_where_no_unit_shares_its_own():
    rng = np.random.default_rng(2)
    x, cells, strata = rng.random((8, 12)), np.repeat(np.arange(4), 2), Strata.one(12)
    weights = np.array([0.5, 0.5, -0.5, -0.5])
    one, other = (
        Contrasts(Units(x.mean(axis=1), cells, x, strata, 1e-4, blocks)).estimate(weights)
        for blocks in (None, np.arange(8))
    )
    assert one == other


def test_what_copies_of_runs_come_to_is_what_one_of_each_comes_to():
    rng = np.random.default_rng(5)
    x, strata = rng.random((6, 40)), Strata.one(40)
    once = Contrasts(Units(x.mean(axis=1), np.repeat([0, 1], 3), x, strata, 1e-4)).estimate(np.array([-1.0, 1.0]))
    cells = np.concatenate([np.repeat([0, 1], 3), np.repeat([2, 3], 3)])
    twice = Units(np.tile(x.mean(axis=1), 2), cells, np.tile(x, (2, 1)), strata, 1e-4, np.tile(np.arange(6), 2))
    found = Contrasts(twice).estimate(np.array([-0.5, 0.5, -0.5, 0.5]))
    assert found.value == pytest.approx(once.value)
    assert found.variance.value == pytest.approx(once.variance.value)
    assert found.variance.df <= once.variance.df + 1e-9


def test_one_run_a_cell_has_no_error():
    fit = Contrasts(Units(np.arange(4.0), np.arange(4), None, None))
    with pytest.raises(ValueError, match="no degree of freedom"):
        fit.estimate(np.array([1, -1, 0, 0.0]))


@pytest.mark.parametrize(("tau", "offset"), [(0.0, 0.0), (0.04, 0.0), (0.03, 0.05)])
def test_seed_noise_is_recovered(tau, offset):
    rng = np.random.default_rng(4)
    conditions = []
    for _ in range(40):
        difficulty = rng.normal(0, 1, 100)
        x = 0.5 + 0.2 * difficulty + rng.normal(0, 0.3, (3, 8, 100))
        x += rng.normal(0, tau, (3, 8, 1)) + rng.normal(0, offset, (3, 1, 1))
        conditions.append((x, Strata.one(100)))
    each, common = estimate_noise(conditions)
    assert {noise.source for noise in each} == {"seeds"}
    assert np.mean([noise.tau**2 for noise in each]) ** 0.5 == pytest.approx(tau, abs=0.012)
    assert np.mean([noise.offset**2 for noise in each]) ** 0.5 == pytest.approx(offset, abs=0.02)
    assert common.tau == pytest.approx(tau, abs=0.015)


def test_a_calm_condition_is_not_told_it_is_wild():
    rng = np.random.default_rng(5)
    wild = [(0.5 + rng.normal(0, 0.15, (3, 8, 1)) + np.zeros((3, 8, 60)), Strata.one(60)) for _ in range(3)]
    calm = [(np.ones((3, 8, 60)), Strata.one(60)) for _ in range(3)]
    each, _ = estimate_noise(wild + calm)
    assert min(noise.tau for noise in each[:3]) > 0.06
    assert max(noise.tau for noise in each[3:]) < 0.015


def test_without_replicates_the_default_is_taken_and_said():
    (noise,), common = estimate_noise([(np.zeros((1, 8, 10)), Strata.one(10))])
    assert noise == common
    assert (noise.tau, noise.source) == (DEFAULT_TAU, "default")
    extra = with_noise(np.zeros((3, 3)), noise, 1, lasting=True)
    assert np.diag(extra) == pytest.approx([0, DEFAULT_TAU**2, DEFAULT_TAU**2])  # the base is one fixed model
