"""Synergy: known corners, planted truths on both scales, the sum that can't be had, and designs without a corner."""

import numpy as np
import pytest

from analyze_cases import BASE, FACTORS, LR, NOISE, SMALL, columns, records
from triaxis.analyze.analysis import evidence_of
from triaxis.analyze.dense import build
from triaxis.analyze.margins import NOT_CROSSED
from triaxis.analyze.paths import task_paths
from triaxis.analyze.questions.synergy import BEYOND, EXPECTED, FEW, OBSERVED, findings
from triaxis.records.table import make_table
from triaxis.simulate import Noise, study
from triaxis.types import Interval, NotEstimable

THREE = tuple(sorted(FACTORS))


def found_in(table):
    panel = build(table)
    (evidence,) = evidence_of(task_paths(panel), panel)
    return findings(evidence)


def one(found, factors, quantity=BEYOND, unit="points", group="far_ood"):
    (finding,) = [
        f for f in found if (f.factors, f.quantity, f.unit, f.group) == (tuple(sorted(factors)), quantity, unit, group)
    ]
    return finding


def summaries(gains, n_items=400, base=0.3, seeds=3, wobble=0.01):
    """A table of published scores, base plus gain: {(levels of a, b): gain}."""
    rows = [("", 0, 0, None, None, base)]
    for (a, b), gain in gains.items():
        rows += [(f"{a}{b}{s}", s, 10, a, b, base + gain + wobble * (s - 1)) for s in range(seeds)]
    names = ("run", "seed", "step", "data.a", "data.b", "score")
    table = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    n = len(rows)
    return make_table({**table, "task": ["m"] * n, "group": ["far_ood"] * n, "n_items": [n_items] * n})


def test_the_corner_of_a_pair_is_its_interaction():
    found = found_in(summaries({(0, 0): 0.0, (1, 0): 0.1, (0, 1): 0.05, (1, 1): 0.3}))
    pair = ("data.a", "data.b")
    assert one(found, pair).estimate.value == pytest.approx(0.15)
    assert one(found, pair, OBSERVED).estimate.value == pytest.approx(0.3)
    assert one(found, pair, EXPECTED).estimate.value == pytest.approx(0.15)
    assert one(found, pair, OBSERVED).p is None
    assert one(found, pair).p < 0.001
    assert one(found, pair).contrast == "(1 - 0) x (1 - 0)"


def test_a_sum_above_1_is_told():
    found = found_in(summaries({(0, 0): 0.0, (1, 0): 0.1, (0, 1): 0.12, (1, 1): 0.16}, base=0.8))
    finding = one(found, ("data.a", "data.b"))
    assert finding.estimate.value == pytest.approx(-0.06)
    assert "the sum expects a score of 1.02, beyond 1: no score can be as high" in finding.note
    assert "ceiling" in finding.note
    assert "1.02" not in one(found, ("data.a", "data.b"), unit="logit").note


def test_a_synergy_on_one_scale_only_is_scale_dependent():
    low, high = 0.5, 0.9  # equal steps in logits from .5: 2.197 each
    both = 1 / (1 + np.exp(-2 * np.log(9)))
    gains = {(0, 0): 0.0, (1, 0): high - low, (0, 1): high - low, (1, 1): both - low}
    found = found_in(summaries(gains, base=low, n_items=3000, wobble=0.001))
    for unit in ("points", "logit"):
        assert "scale dependent" in one(found, ("data.a", "data.b"), unit=unit).note
    assert (
        one(found, ("data.a", "data.b"), unit="logit").estimate.low
        < 0
        < one(found, ("data.a", "data.b"), unit="logit").estimate.high
    )


def test_a_planted_three_way_corner_is_covered():
    levels = [sorted(FACTORS[name]) for name in THREE]
    covered = []
    for seed in range(6):
        simulated = study(
            **{**SMALL, "items": 60, "seeds": 3, "seed": seed}, effects={" x ".join(THREE): 2.0, NOISE: -0.5}
        )
        found = found_in(simulated.table)
        for unit in ("points", "logit"):

            def gain(*ends, truth=simulated.truth, unit=unit):
                condition = {name: own[end] for name, own, end in zip(THREE, levels, ends, strict=True)}
                return truth.summary(condition, "far_ood", "gain", unit)

            truth = gain(1, 1, 1) + 2 * gain(0, 0, 0) - gain(1, 0, 0) - gain(0, 1, 0) - gain(0, 0, 1)
            finding = one(found, THREE, unit=unit)
            covered.append(finding.estimate.low <= truth <= finding.estimate.high)
            parts = [one(found, THREE, quantity, unit).estimate.value for quantity in (OBSERVED, EXPECTED)]
            assert finding.estimate.value == pytest.approx(parts[0] - parts[1])
    assert sum(covered) >= 9
    assert len(found) == 2 * 4 * 3 * 2  # groups, corners, quantities, scales


def test_designs_without_corners_say_so():
    kinds = {"data.name": lambda run: "abc"[run % 3], "data.noise_rate": lambda run: 0.3 * (run % 2)}
    (finding,) = found_in(make_table(records(12, 20, lambda run, step, item: (item + run + step) % 2, **kinds)))
    assert finding.estimate == NotEstimable(FEW)
    assert found_in(make_table(records(4, 20, lambda run, step, item: item % 2))) == []


def test_a_missing_corner_is_told():
    simulated = study(**SMALL)
    data = columns(simulated.table)
    gone = [noise == 0.6 and rate == 3e-3 for noise, rate in zip(data[NOISE], data[LR], strict=True)]
    data = {name: [v for v, out in zip(values, gone, strict=True) if not out] for name, values in data.items()}
    found = found_in(make_table(data))
    assert {f.estimate for f in found} == {NotEstimable(NOT_CROSSED)}
    assert {f.factors for f in found} >= {(NOISE, LR), THREE}


def test_renaming_levels_changes_at_most_the_sign_of_a_pair():
    simulated = study(**SMALL)
    data = columns(simulated.table)
    data[BASE] = [{"strong": "z", "weak": "a"}[level] for level in data[BASE]]
    before, after = (one(found_in(table), (BASE, NOISE)).estimate for table in (simulated.table, make_table(data)))
    assert after.value == pytest.approx(-before.value)
    assert (after.low, after.high) == pytest.approx((-before.high, -before.low))


def false_rate(n, run_sd):
    false = []
    for seed in range(n):
        settings = {**SMALL, "seeds": 3, "items": 40, "noise": Noise(run=run_sd), "seed": seed}
        false += [f.p < 0.05 for f in found_in(study(**settings).table) if f.p is not None]
    return np.mean(false)


def test_little_synergy_where_nothing_is():
    assert false_rate(10, 0.15) <= 0.1


@pytest.mark.slow
@pytest.mark.parametrize("run_sd", [0.0, 0.15])
def test_synergy_is_false_at_the_nominal_rate(run_sd):
    assert false_rate(150, run_sd) <= 0.05 + 3.5 * (0.05 * 0.95 / 300) ** 0.5


def test_intervals_hold_their_estimates():
    found = found_in(study(**SMALL).table)
    assert all(f.estimate.low <= f.estimate.value <= f.estimate.high for f in found if isinstance(f.estimate, Interval))
