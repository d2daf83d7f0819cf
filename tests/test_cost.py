"""What a gain costs: ratios with an honest interval, the front of checkpoints, and a picked one's honest score."""

import numpy as np
import pytest
from scipy import special

from triaxis.analyze.analysis import evidence_of
from triaxis.analyze.dense import build
from triaxis.analyze.paths import task_paths
from triaxis.analyze.questions import cost, front
from triaxis.records import make_table
from triaxis.simulate import Noise, study
from triaxis.stats.pareto import front as undominated
from triaxis.stats.pareto import front_probability, run_draws
from triaxis.stats.ratio import Pair, fieller
from triaxis.types import Interval, NotEstimable

NOISE = "data.noise_rate"
GROUPS = {"in_domain": ("chain",), "far_ood": ("a",), "safety": ("refusal",)}
RATE = "points of safety lost per point gained"


def evidence(table):
    panel = build(table)
    (found,) = evidence_of(task_paths(panel), panel)
    return found


def all_of(found, quantity, group):
    return [f for f in found if f.quantity == quantity and f.group == group]


# Ratios


def test_fieller_is_the_set_of_ratios_that_are_not_rejected():
    pair = Pair(-0.06, 0.2, 0.0004, 0.0009, 0.0002, 7.3)
    found = fieller(pair)
    t = float(special.stdtrit(7.3, 0.975))

    def beyond(r):
        error = pair.top_variance - 2 * r * pair.covariance + r * r * pair.bottom_variance
        return abs(pair.top - r * pair.bottom) - t * error**0.5

    assert found.value == pytest.approx(-0.3)
    assert beyond(found.low) == pytest.approx(0, abs=1e-9) and beyond(found.high) == pytest.approx(0, abs=1e-9)
    assert beyond(found.low - 0.01) > 0 and beyond(found.high + 0.01) > 0


def test_fieller_has_no_interval_where_the_denominator_may_be_zero():
    assert fieller(Pair(0.1, 0.05, 0.001, 0.001, 0.0, 20.0)) is None
    assert fieller(Pair(0.1, 0.0, 0.001, 0.0, 0.0, 20.0)) is None


def test_fieller_covers_the_ratio_of_correlated_means():
    rng, hits = np.random.default_rng(0), []
    for _ in range(2000):
        x = rng.multivariate_normal([-0.05, 0.12], [[0.0016, 0.0008], [0.0008, 0.0025]], 6)
        c = np.cov(x.T) / 6
        found = fieller(Pair(*x.mean(axis=0), c[0, 0], c[1, 1], c[0, 1], 5.0))
        hits.append(found is None or found.low <= -0.05 / 0.12 <= found.high)
    assert 0.935 <= np.mean(hits) <= 0.97


# The front on plain arrays


def test_the_front_is_what_nothing_beats():
    points = np.array([[1.0, 5.0], [2.0, 4.0], [1.0, 4.0], [3.0, 1.0], [3.0, 1.0]])
    assert undominated(points).tolist() == [True, True, False, True, True]  # equal ones don't beat each other
    assert undominated(points[:, :1]).tolist() == [False, False, False, True, True]
    assert undominated(np.stack([points, -points])).shape == (2, 5)


def test_the_probability_is_the_share_of_draws_whatever_the_block(monkeypatch):
    draws = np.random.default_rng(1).normal(size=(300, 7, 2))
    plain = np.mean([undominated(draw) for draw in draws], axis=0)
    assert front_probability(draws) == pytest.approx(plain)
    monkeypatch.setattr("triaxis.stats.pareto._AT_ONCE", 500)
    assert front_probability(draws) == pytest.approx(plain)


def test_run_draws_have_the_variance_of_other_runs_less_what_items_explain():
    rng = np.random.default_rng(2)
    runs = rng.normal(0, [0.03, 0.05], (400, 2))
    deviations = runs - runs.mean(axis=0)
    drawn = run_draws(deviations, np.zeros((2, 2)), 4, 20_000, rng)
    assert drawn.std(axis=0) == pytest.approx(np.array([0.03, 0.05]) / 2, rel=0.1)
    less = run_draws(deviations, np.diag([1.0, 0.0005]), 4, 20_000, rng)
    assert less[:, 0].std() == pytest.approx(0, abs=1e-4), "what items explain is never taken out below nothing"
    assert less[:, 1].std() == pytest.approx((0.0025 - 0.0005) ** 0.5 / 2, rel=0.1)


# The price


def priced(seed, safety=-0.8, gain=1.5, **more):
    return study(
        groups=GROUPS,
        gain={"in_domain": gain, "far_ood": gain / 2, "safety": safety},
        steps=(0, 20, 80, 320),
        items=200,
        seed=seed,
        **more,
    )


def test_the_rate_of_exchange_is_covered():
    hits = []
    for seed in range(40):
        made = priced(seed, seeds=4, noise=Noise(run=0.15))
        truth = {g: made.truth.summary({}, g, "gain", "points") for g in GROUPS}
        (rate,) = all_of(cost.findings(evidence(made.table)), RATE, "in_domain")
        assert isinstance(rate.estimate, Interval) and rate.sampled == "run"
        hits.append(rate.estimate.low <= -truth["safety"] / truth["in_domain"] <= rate.estimate.high)
    assert np.mean(hits) >= 0.87


def test_gain_and_price_are_told_beside_each_other():
    found = cost.findings(evidence(priced(0).table))
    for group in ("in_domain", "far_ood"):
        (gain,), (safety,) = all_of(found, "gain", group), all_of(found, "change of safety beside it", group)
        (rate,) = all_of(found, RATE, group)
        assert gain.estimate.value > 0 > safety.estimate.value
        assert rate.estimate.value == pytest.approx(-safety.estimate.value / gain.estimate.value)
        (tokens,) = all_of(found, "response tokens against the base's", group)
        assert tokens.unit == "ratio" and tokens.estimate.value == pytest.approx(1, abs=0.1)


def test_nothing_gained_has_no_rate():
    (none,) = all_of(cost.findings(evidence(priced(0, gain=0.0).table)), RATE, "in_domain")
    assert "not clear of 0" in none.estimate.reason
    (loss,) = all_of(cost.findings(evidence(priced(0, gain=-2.0).table)), RATE, "in_domain")
    assert "loss" in loss.estimate.reason


def test_a_price_that_some_run_lacks_is_said():
    table = priced(0).table.arrow
    task, step = table["task"].to_pylist(), table["step"].to_pylist()
    keep = [t != "refusal" or s < 320 for t, s in zip(task, step, strict=True)]
    found = cost.findings(evidence(make_table(table.filter(np.array(keep)))))
    (rate,) = all_of(found, RATE, "in_domain")
    assert rate.estimate == NotEstimable(f"safety: {cost.OTHER_ENDS}")


# The front in a study


def on_front(found):
    return [f for f in found if f.unit == "probability"]


def test_the_dominant_checkpoint_is_on_the_front_and_scored_on_other_items_and_seeds():
    made = priced(1, safety=1.0, gain=2.0, factors={NOISE: (0.0, 0.9)}, effects={NOISE: -2.5}, seeds=4)
    found = front.front_findings(evidence(made.table))
    named = on_front(found)
    assert all(f.estimate.low <= f.estimate.value <= f.estimate.high for f in named)
    best = next(f for f in named if f.within.get(NOISE) == 0.0 and f.contrast == "step 320")
    assert best.estimate.value > 0.9
    assert not [f for f in named if f.within.get(NOISE) == 0.9 and f.estimate.value > 0.9]
    scores = [f for f in found if f.contrast == "step 320" and f.within == best.within and f.unit == "points"]
    assert {f.quantity for f in scores} == {
        "far_ood of a checkpoint on the front",
        "safety of a checkpoint on the front",
    }
    assert all(f.n_runs == 2 and f.sampled == "run" and "picked on half" in f.note for f in scores)


def test_one_seed_says_that_its_luck_stays():
    found = front.front_findings(evidence(priced(1, seeds=1).table))
    trained = [f for f in found if f.contrast.startswith("step")]
    assert trained and all(f.sampled == "item" for f in trained if f.unit != "tokens")
    assert all("another run" in f.note for f in trained if f.unit == "points")
    assert all(isinstance(f.estimate, NotEstimable) for f in trained if f.unit == "tokens")


def test_without_two_goals_or_without_items_there_is_no_front():
    table = priced(1).table.arrow.drop_columns(["response_tokens"])
    alone = table.filter(np.array(table["task"].to_pylist()) == "a")
    assert front.front_findings(evidence(make_table(alone))) == []
    rows = [(r, s, t) for r in ("a", "b") for s in (0, 10) for t in ("x", "y")]
    summary = {
        "run": [r for r, _, _ in rows], "step": [s for _, s, _ in rows], "task": [t for _, _, t in rows],
        "group": ["far_ood" if t == "x" else "safety" for _, _, t in rows], "score": [0.5] * 8, "n_items": [50] * 8,
    }  # fmt: skip
    (finding,) = front.front_findings(evidence(make_table(summary)))
    assert finding.estimate.reason.startswith("summaries have no items")


def test_permuting_rows_changes_no_front():
    table = priced(2, factors={NOISE: (0.0, 0.6)}).table.arrow
    mixed = table.take(np.random.default_rng(0).permutation(table.num_rows))
    one, two = (cost.findings(evidence(make_table(t))) for t in (table, mixed))
    assert [f.contrast for f in one] == [f.contrast for f in two]
    for a, b in zip(one, two, strict=True):
        if isinstance(a.estimate, Interval):
            assert (a.estimate.low, a.estimate.high) == pytest.approx((b.estimate.low, b.estimate.high))


def test_a_picked_checkpoints_score_is_honest_where_all_are_equal():
    """All checkpoints are equal and wander: the ones picked look better where they were picked, not where not."""
    honest, naive, covered = [], [], []
    for seed in range(40):
        made = study(
            groups={"far_ood": ("a",), "safety": ("b",)},
            gain=0.0,
            course="flat",
            factors={NOISE: (0.0, 0.6)},
            steps=(0, 10, 20, 40, 80, 160, 320),
            items=60,
            seeds=4,
            noise=Noise(run=0.1, checkpoint=0.3),
            seed=seed,
        )
        known = evidence(made.table)
        true = made.truth.scores({NOISE: 0.0}, "far_ood")[-1]
        runs = known.asked["far_ood"].paths
        for finding in front.front_findings(known):
            if finding.quantity.startswith("far_ood of") and finding.contrast.startswith("step"):
                step = int(finding.contrast.split()[1])
                own = [p for p in runs if dict(p.condition) == dict(finding.within)]
                honest.append(finding.estimate.value - true)
                naive.append(np.mean([p.scores[p.steps.index(step)] for p in own]) - true)
                covered.append(finding.estimate.low <= true <= finding.estimate.high)
    error = np.std(honest) / 40**0.5  # a study's picks share its items
    assert len(honest) > 40
    assert abs(np.mean(honest)) < 2.5 * error and np.mean(naive) > np.mean(honest) + 0.01
    assert np.mean(covered) >= 0.9
