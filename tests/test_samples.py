"""Several samples an item in an analysis: pass@k against every draw, planted chances recovered, nulls left alone."""

from itertools import combinations

import numpy as np
import pytest

from analyze_cases import check_json
from triaxis.analyze import analyze
from triaxis.analyze.analysis import evidence_of
from triaxis.analyze.dense import build
from triaxis.analyze.paths import task_paths
from triaxis.analyze.questions import samples
from triaxis.records import make_table
from triaxis.types import Interval, NotEstimable


def table(right):
    """A table of one task from `right`, runs x steps x items x samples; step 0 is each run's own base."""
    runs, steps, items, k = right.shape
    rows = [(r, s, i, n) for r in range(runs) for s in range(steps) for i in range(items) for n in range(k)]
    return make_table({
        "run": [f"r{r}" for r, *_ in rows], "seed": [r for r, *_ in rows], "step": [10 * s for _, s, *_ in rows],
        "task": ["t"] * len(rows), "group": ["far_ood"] * len(rows), "item": [f"t/{i}" for *_, i, _ in rows],
        "sample": [n for *_, n in rows], "score": [float(right[row]) for row in rows],
    })  # fmt: skip


def asked(right):
    panel = build(table(right))
    (evidence,) = evidence_of(task_paths(panel), panel)
    return {f.quantity: f for f in samples.findings(evidence)}


def drawn(seed, chances, runs=3, k=4):
    """Samples that are right with a chance of their item at each step; `chances` steps x items."""
    rng = np.random.default_rng(seed)
    return rng.random((runs, *chances.shape, k)) < chances[None, :, :, None]


def test_pass_at_k_is_the_mean_over_all_draws_of_k_samples():
    right = drawn(1, np.random.default_rng(0).random((2, 20)), k=5)
    found = asked(right)
    assert list(found) == [
        f"{what}pass@{k} {where}"
        for k in (2, 4, 5)
        for what, where in (("", "at the last checkpoint"), ("gain in ", "over the base"))
    ]
    for k in (2, 4, 5):
        draws = np.mean([right[..., list(chosen)].any(axis=-1) for chosen in combinations(range(5), k)], axis=0)
        last, gain = found[f"pass@{k} at the last checkpoint"], found[f"gain in pass@{k} over the base"]
        assert last.estimate.value == pytest.approx(draws[:, 1].mean())
        assert gain.estimate.value == pytest.approx((draws[:, 1] - draws[:, 0]).mean())
        assert last.estimate.low < last.estimate.value < last.estimate.high
        assert last.p is None and gain.p is not None
        assert (last.group, last.unit, last.n_runs, last.item_pool) == ("far_ood", "points", 3, "items like these")


def test_a_planted_chance_is_covered_and_none_is_seldom_called_clear():
    """Items that are solved with different chances, the same at both steps: pass@4 of such items, over fresh items."""
    covered = called = 0
    tries = 80
    for seed in range(tries):
        chances = np.tile(np.random.default_rng(seed + 500).beta(0.6, 1.2, 40), (2, 1))
        found = asked(drawn(seed, chances))
        true = 1 - np.mean((1 - np.random.default_rng(0).beta(0.6, 1.2, 200_000)) ** 4)
        last, gain = found["pass@4 at the last checkpoint"].estimate, found["gain in pass@4 over the base"].estimate
        covered += last.low <= true <= last.high
        called += not gain.low <= 0 <= gain.high
    assert covered >= 0.88 * tries and called <= 0.1 * tries, (covered, called)


def test_nothing_is_said_of_one_sample_and_graded_scores_say_why():
    assert asked(drawn(2, np.full((2, 10), 0.5), k=1)) == {}
    found = asked(np.random.default_rng(3).choice([0.0, 0.3, 1.0], (2, 2, 10, 2)))
    assert {f.estimate for f in found.values()} == {NotEstimable(samples.GRADED)}
    right = drawn(4, np.full((2, 10), 0.5), k=3)
    uneven = table(right)
    keep = [not (item == "t/0" and sample == 2) for item, sample in zip(
        uneven.arrow["item"].to_pylist(), uneven.arrow["sample"].to_pylist(), strict=True
    )]  # fmt: skip
    columns = {
        n: [v for v, k in zip(uneven.arrow[n].to_pylist(), keep, strict=True) if k] for n in uneven.arrow.column_names
    }
    panel = build(make_table(columns))
    (evidence,) = evidence_of(task_paths(panel), panel)
    assert {f.estimate for f in samples.findings(evidence)} == {NotEstimable(samples.UNEVEN)}


def test_the_analysis_and_its_json_have_it():
    analysis = analyze(table(drawn(5, np.random.default_rng(6).random((3, 30)))))
    found = [f for f in analysis.findings if f.question == "samples"]
    assert len(found) == 4 and all(isinstance(f.estimate, Interval) for f in found)
    check_json(analysis)
