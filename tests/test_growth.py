"""Would more training help, would less have said the same, and what length does meanwhile: counted, planted, null."""

import numpy as np
import pytest
from scipy import special

from analyze_cases import records
from triaxis.analyze.analysis import evidence_of
from triaxis.analyze.dense import build
from triaxis.analyze.paths import task_paths
from triaxis.analyze.questions import growth, length
from triaxis.records import make_table
from triaxis.simulate import Noise, study
from triaxis.stats.forecast import next_change
from triaxis.types import Interval, NotEstimable

STEPS = (0, 10, 20, 40, 80, 160, 320)
LAST = "change over the last doubling of steps"
NEXT = "change at the next doubling of steps, if it goes on or levels off"
LONGEST, SHRUNK = "longest responses against the base's", "last responses against the longest"


def evidence(table):
    panel = build(table)
    (found,) = evidence_of(task_paths(panel), panel)
    return found


def of(found, quantity):
    (finding,) = [f for f in found if f.quantity.startswith(quantity)]
    return finding


def made(score, runs=3, items=40, steps=STEPS, **more):
    return evidence(make_table(records(runs, items, score, steps, **more)))


def rising(run, step, item):
    """Two items more at each doubling, and one run that is an item ahead at the end."""
    return item < 2 * (1 + STEPS.index(step)) + (run == 2 and step == STEPS[-1])


def test_the_last_doubling_and_the_early_end_are_counted_by_hand():
    found = growth.findings(made(rising))
    last = of(found, LAST)
    assert last.estimate.value == pytest.approx((2 + 2 + 3) / 3 / 40) and last.contrast == "step 320 against step 160"
    assert of(found, NEXT).estimate.value == pytest.approx(last.estimate.value / 2)
    late = of(found, "score at the last")
    assert late.contrast == "step 320 - step 40"
    assert late.estimate.value == pytest.approx((6 + 6 + 7) / 3 / 40)
    path = made(rising).asked["ungrouped"].paths[2]
    summary = growth.late_minus_early(path)
    assert summary.value == pytest.approx(7 / 40) and summary.per_item.mean() == pytest.approx(7 / 40)


def test_a_slope_is_per_doubling_and_the_nearest_checkpoint_to_half_is_taken():
    path = made(lambda run, step, item: item < step / 10, steps=(0, 100, 130, 300)).asked["ungrouped"].paths[0]
    assert growth.octave_row(path) == 2
    assert growth.last_doubling(path).value == pytest.approx(17 / 40 / np.log2(300 / 130))
    assert isinstance(growth.early_row(path), NotEstimable)


@pytest.mark.parametrize(("steps", "reason"), [((0, 10, 100), growth.NO_OCTAVE), ((0, 100), growth.NO_OCTAVE)])
def test_without_a_checkpoint_near_half_there_is_no_slope(steps, reason):
    found = growth.findings(made(lambda run, step, item: (item + run) % 3 == 0 or step > 0, steps=steps))
    assert of(found, LAST).estimate == of(found, NEXT).estimate == NotEstimable(reason)


def test_one_seed_speaks_of_its_run():
    found = growth.findings(made(rising, runs=1))
    assert {f.sampled for f in found} == {"item"} and all("this run" in f.note for f in found)
    assert all(isinstance(f.estimate, Interval) for f in found)


def test_what_cannot_be_had_is_told_why():
    def of_all(**changes):
        rows = {"run": ["a", "a", "a", "b", "b", "b"], "step": [0, 5, 10] * 2, "seed": [0] * 3 + [1] * 3,
                "task": ["t"] * 6, "score": [0.1, 0.5, 0.5, 0.1, 0.4, 0.6]}  # fmt: skip
        return growth.findings(evidence(make_table(rows | changes)))

    assert of(of_all(), LAST).estimate.reason.startswith("summaries without n_items")
    assert of(of_all(n_items=[200] * 6), LAST).estimate.value == pytest.approx(0.1)
    one_item = growth.findings(made(lambda run, step, item: step > 20, items=1, runs=1))
    assert of(one_item, LAST).estimate.reason == "one item in a task: no variance over items"
    all_right = of(growth.findings(made(lambda *_: True)), LAST).estimate
    assert all_right.value == 0 and all_right.low < 0 < all_right.high


def test_permuting_rows_and_renaming_changes_nothing():
    rows = records(3, 20, lambda run, step, item: (item * 7 + run * step) % 11 < 5, STEPS)
    rows["response_tokens"] = [10.0 + i % 7 for i in range(len(rows["run"]))]
    order = np.random.default_rng(0).permutation(len(rows["run"]))
    mixed = {name: [values[i] for i in order] for name, values in rows.items()}
    mixed["task"] = ["other"] * len(order)
    for question in (growth, length):
        one, two = (question.findings(evidence(make_table(table))) for table in (rows, mixed))
        assert len(one) == len(two)
        for a, b in zip(one, two, strict=True):
            if isinstance(a.estimate, NotEstimable):
                assert a.estimate == b.estimate
            else:
                assert (a.estimate.low, a.estimate.high) == pytest.approx((b.estimate.low, b.estimate.high))


def test_a_ramp_is_still_improving_a_plateau_is_not_and_short_training_would_have_missed_it():
    called = {"ramp": 0, "flat": 0}
    differs = 0
    for seed in range(12):
        for course in called:
            table = study(course=course, steps=STEPS, items=300, samples=2, seed=seed, gain=1.6, seeds=5).table
            found = growth.findings(evidence(table))
            called[course] += "still improving" in of(found, LAST).note
            differs += course == "ramp" and of(found, "score at the last").estimate.low > 0
    assert called["ramp"] >= 6 and called["flat"] <= 2 and differs >= 9


def test_the_next_change_always_allows_for_levelling_off():
    for last in (-0.2, 0.0, 0.05, 0.3):
        found = next_change(last, 1e-6, 5.0)
        assert found.low <= min(0.0, last / 2) and found.high >= max(0.0, last / 2) and found.value == last / 2
    assert next_change(0.1, 0.01, 3.0).low < next_change(0.1, 0.0001, 3.0).low


def course(rng, shape, goes_on):
    """Latent score at 160, 320 and 640 steps: it stays, goes on rising or falling, or saturates."""
    size = rng.uniform(0.1, 0.5)
    if shape == "plateau":
        return np.zeros(3)
    if shape == "saturating":
        centre, width = rng.uniform(-1.5, 1.0), rng.uniform(0.5, 1.0)
        return 3 * size / (1 + np.exp(-(np.arange(3) - 1 - centre) / width))
    sign = 1 if shape == "rising" else -1
    return sign * size * np.array([0.0, 1.0, 1.0 + goes_on])


def test_the_next_doubling_is_covered_where_the_trend_itself_overstates():
    rng = np.random.default_rng(1)
    hit = {"ours": [], "as it is": []}
    for _ in range(600):
        shape = ("plateau", "rising", "overfit", "saturating")[rng.integers(4)]
        latent = course(rng, shape, rng.choice([0.0, 0.5, 1.0]))
        expected = 1 / (1 + np.exp(-0.4 * latent))
        runs = 0.4 * (latent + rng.normal(0, 0.1, (3, 3)))
        slopes = np.diff(rng.binomial(1500, 1 / (1 + np.exp(-runs))) / 1500, axis=1)[:, 0]
        variance = slopes.var(ddof=1) / 3
        half = float(special.stdtrit(2, 0.975)) * variance**0.5
        ours, true = next_change(float(slopes.mean()), float(variance), 2.0), expected[2] - expected[1]
        hit["ours"].append(ours.low <= true <= ours.high)
        hit["as it is"].append(abs(slopes.mean() - true) <= half)
    assert np.mean(hit["ours"]) >= 0.94 and np.mean(hit["as it is"]) < 0.93


@pytest.mark.slow
def test_the_change_over_the_last_doubling_is_covered():
    hits = []
    for seed in range(150):
        noise = Noise(run=0.1, checkpoint=0.1)
        made_up = study(course="ramp", steps=STEPS, items=200, samples=2, noise=noise, seed=seed)
        last = of(growth.findings(evidence(made_up.table)), LAST).estimate
        scores = made_up.truth.scores({}, "in_domain")
        hits.append(last.low <= scores[-1] - scores[-2] <= last.high)
    assert np.mean(hits) >= 0.92


# Length


def tokens(per_run, steps=STEPS, items=20, score=lambda run, step, item: (item + run) % 3 == 0 or step > 40):
    """A study whose responses have these lengths: runs x steps."""
    rows = records(len(per_run), items, score, steps)
    at = {step: k for k, step in enumerate(steps)}
    rows["response_tokens"] = [
        float(per_run[int(r[1:])][at[s]]) for r, s in zip(rows["run"], rows["step"], strict=True)
    ]
    return evidence(make_table(rows))


SURGE = [[10, 11, 40, 44, 30, 20, 20], [10, 12, 38, 45, 30, 22, 22], [10, 11, 42, 43, 31, 21, 19]]


def test_the_surge_and_what_is_left_of_it_are_counted_by_hand():
    found = length.findings(tokens(SURGE))
    surge, shrunk = of(found, LONGEST), of(found, SHRUNK)
    assert surge.unit == "ratio" and surge.estimate.value == pytest.approx((4.4 * 4.5 * 4.3) ** (1 / 3))
    assert surge.estimate.low > 3.5 and shrunk.estimate.high < 0.6
    assert surge.contrast == "steepest from step 10 to step 20, in 3 of 3 runs"
    assert length.measure_change(tokens(SURGE).paths[0], "response_tokens").value == pytest.approx(1.0)
    assert isinstance(length.measure_change(tokens(SURGE).paths[0], "verified_steps"), NotEstimable)


def test_lengths_that_only_grow_have_nothing_after_them_and_one_seed_has_no_interval():
    growing = [[10, 12, 14, 18, 20, 25, 30 + r] for r in range(3)]
    assert "nothing comes after" in of(length.findings(tokens(growing)), SHRUNK).estimate.reason
    assert "one seed" in of(length.findings(tokens(SURGE[:1])), LONGEST).estimate.reason
    same = of(length.findings(tokens([[10] * 7] * 3)), LONGEST)
    assert isinstance(same.estimate, NotEstimable), "runs that don't vary tell no error"


def test_length_is_not_asked_where_it_was_not_recorded():
    assert length.findings(made(rising)) == []
    rows = tokens(SURGE, steps=STEPS)
    assert rows.paths[0].measures["response_tokens"][0] == 10


def test_the_longest_keeps_no_luck():
    """Lengths that wander and don't grow: the longest checkpoint isn't called longer than the base."""
    rng, clear = np.random.default_rng(3), 0
    for _ in range(120):
        wander = 20 * np.exp(rng.normal(0, 0.2, (4, 7)))
        wander[:, 0] = 20.0
        estimate = of(length.findings(tokens(wander, items=2)), LONGEST).estimate
        clear += estimate.low > 1 or estimate.high < 1
    assert clear / 120 <= 0.10


def test_a_surge_is_timed_against_the_dip():
    def dips(run, step, item):
        return item < {10: 40, 20: 16 + run, 40: 14, 80: 36, 160: 60, 320: 62}.get(step, 42)

    found = length.findings(tokens(SURGE, items=100, score=dips))
    timing = of(found, "doublings of steps from the dip")
    assert "before it in 3" in timing.note and "closer" in timing.estimate.reason
    later = [SURGE[0], [10, 11, 12, 44, 30, 20, 20], SURGE[2]]
    timing = of(length.findings(tokens(later, items=100, score=dips)), "doublings of steps from the dip")
    assert "checkpoint in 1 of 3 runs, before it in 2" in timing.note and timing.estimate.value < 0
