"""The inference from a table: what is planted is found, and nothing hangs on names or the order of rows."""

import numpy as np
import pytest

from analyze_cases import BASE, FACTORS, LR, NOISE, SMALL, check_json, columns, find, records
from triaxis.analyze import analyze, to_json
from triaxis.analyze.dense import build
from triaxis.analyze.estimands import best_of_others
from triaxis.analyze.paths import task_paths
from triaxis.records import published
from triaxis.records.table import make_table
from triaxis.simulate import Noise, study
from triaxis.types import UNDECIDED, NotEstimable


@pytest.fixture(scope="module")
def small():
    return study(**SMALL, effects={NOISE: -1.5})


@pytest.fixture(scope="module")
def small_analysis(small):
    return analyze(small.table)


def rounded(value):
    """The same JSON with its numbers to nine digits: sums in another order differ in the last ones."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return (
        float(f"{value:.9g}") + 0.0
        if isinstance(value, float) and abs(value) > 1e-12
        else 0.0
        if isinstance(value, float)
        else value
    )


def test_every_effect_of_a_two_level_design_is_there_once(small_analysis):
    heads = [(e.group, e.factors, e.estimand, e.scale) for e in small_analysis.effects]
    assert len(heads) == len(set(heads)) == 2 * 7 * 3 * 2
    assert all(e.factors == tuple(sorted(e.factors)) for e in small_analysis.effects)


def test_a_planted_effect_is_found_with_its_sign_and_size(small, small_analysis):
    for scale in ("points", "logit"):
        effect = find(small_analysis, [NOISE], scale=scale)
        truth = small.truth.effect([NOISE], "far_ood", "gain", scale)
        assert effect.estimate.low <= truth <= effect.estimate.high < 0
        assert effect.contrast == "0.6 - 0"
        assert effect.p <= effect.p_adjusted <= 1
        assert (effect.unit, effect.n_runs, effect.item_pool) == ("run", 16, "items like these")
    assert find(small_analysis, [NOISE]).step == 160
    assert find(small_analysis, [NOISE], estimand="mean").step is None
    assert "these bases" in find(small_analysis, [BASE]).unit
    assert "2 bases" in find(small_analysis, [BASE, NOISE]).note


def test_points_equal_cell_means_by_hand(small, small_analysis):
    data = columns(small.table)
    score = {}
    for run, step, task, value in zip(data["run"], data["step"], data["task"], data["score"], strict=True):
        score.setdefault((run, step, task), []).append(value)
    gains = {}
    for (run, step, task), values in score.items():
        if run and step == 160 and task in ("a", "b"):
            base = "strong" if "strong" in run else "weak"
            own = [
                v
                for r, s, t, v, b in zip(*(data[n] for n in ("run", "step", "task", "score", BASE)), strict=True)
                if not r and t == task and b == base
            ]
            gains.setdefault(run, []).append(np.mean(values) - np.mean(own))
    noisy = [np.mean(g) for run, g in gains.items() if "noise_rate=0.6" in run]
    clean = [np.mean(g) for run, g in gains.items() if "noise_rate=0.0" in run]
    assert find(small_analysis, [NOISE]).estimate.value == pytest.approx(np.mean(noisy) - np.mean(clean))


def test_json_has_the_documented_keys(small_analysis):
    found = check_json(small_analysis)
    assert found["version"] == 1
    head = {
        "run",
        "seed",
        "model.base",
        "source",
        "task",
        "group",
        "mode",
        "phase",
        "phase_probability",
        "probabilities",
        "dip",
    }
    head |= {"regain_probability", "net_gain", "tau"}
    assert head <= found["trajectories"][0].keys()
    assert set(found["trajectories"][0]["dip"]) == {"probability", "step", "depth", "truncation_share"}
    assert set(found["trajectories"][0]["tau"]) == {"value", "from"}
    effect = (
        "estimand step group factors contrast scale value low high p p_adjusted unit n_units n_runs item_pool method"
    )
    effect = set(effect.split())
    assert effect <= next(e for e in found["effects"] if "value" in e).keys()
    assert {"claims", "warnings", "summaries", "group_trajectories", "condition_trajectories"} <= found.keys()
    assert found["trajectories"][0]["tau"]["from"] == "seeds"


def test_rows_in_another_order_change_nothing(small, small_analysis):
    order = np.random.default_rng(0).permutation(small.table.n_rows)
    shuffled = make_table(small.table.arrow.take(order))
    assert rounded(to_json(analyze(shuffled))) == rounded(to_json(small_analysis))


def test_names_of_levels_decide_the_sign(small, small_analysis):
    data = columns(small.table)
    data[NOISE] = [None if level is None else {0.0: "z", 0.6: "a"}[level] for level in data[NOISE]]
    renamed = analyze(make_table(data))
    for names in ([NOISE], [NOISE, LR], [NOISE, LR, BASE], [LR]):
        one, other = find(small_analysis, names).estimate, find(renamed, names).estimate
        sign = -1 if NOISE in names else 1
        assert other.value == pytest.approx(sign * one.value)
        assert {round(abs(other.low), 9), round(abs(other.high), 9)} == {
            round(abs(one.low), 9),
            round(abs(one.high), 9),
        }


def test_summaries_of_the_same_table_give_the_same_estimates(small, small_analysis):
    data = columns(small.table)
    cells = {}
    names = ["run", "step", "task", "group", "seed", *FACTORS]
    for row in zip(*(data[name] for name in names), data["score"], strict=True):
        cells.setdefault(row[:-1], []).append(row[-1])
    summary = {name: [key[i] for key in cells] for i, name in enumerate(names)}
    summary |= {"score": [float(np.mean(v)) for v in cells.values()], "n_items": [len(v) for v in cells.values()]}
    found = analyze(make_table(summary))
    for names in ([NOISE], [LR, BASE], [NOISE, LR, BASE]):
        assert find(found, names).estimate.value == pytest.approx(find(small_analysis, names).estimate.value)
        assert isinstance(find(found, names, estimand="best").estimate, NotEstimable)
    assert find(found, [NOISE]).item_pool == "this item pool"
    wide, narrow = find(found, [BASE]).estimate, find(small_analysis, [BASE]).estimate
    assert wide.high - wide.low > 0.5 * (narrow.high - narrow.low)  # the bases' own errors enter without items too
    check_json(found)


def test_the_best_checkpoint_is_chosen_on_other_items():
    rng = np.random.default_rng(0)
    bias, naive = [], []
    for _ in range(40):
        x = rng.integers(0, 2, (9, 40)).astype(float)
        table = make_table(records(1, 40, lambda r, s, i, x=x: x[s, i], steps=range(9)))
        best = analyze(table).summaries[0].best_gain.value
        bias.append(best)
        naive.append(x[1:].mean(axis=1).max() - x[0].mean())
    assert abs(np.mean(bias)) < 3.5 * np.std(bias) / 40**0.5
    assert np.mean(naive) > 0.08  # the maximum of nothing looks like a gain


def test_the_paper_is_read_and_its_limits_are_told():
    analysis = analyze(published())
    check_json(analysis)
    assert all(isinstance(e.estimate, NotEstimable) for e in analysis.effects)
    reasons = {e.estimate.reason for e in analysis.effects}
    assert any("one seed a condition" in reason for reason in reasons)
    assert any("model.family" in reason for reason in reasons)
    assert len({t.source for t in analysis.trajectories}) == 3
    assert any("Table 5: base rows only" in w for w in analysis.warnings)
    assert all(t.tau_from == "default" for t in analysis.trajectories)
    assert any("reward_model_score" in w for w in analysis.warnings)
    (math500,) = [t for t in analysis.trajectories if t.task == "MATH500" and "Table 9" in t.source]
    assert math500.net_gain.low > 0
    assert {v.decision for v in analysis.verdicts} == {"not testable"}


def test_a_dip_that_is_truncation_is_seen_as_such():
    kept = {
        "seeds": 3,
        "items": 150,
        "steps": (0, 5, 10, 20, 40, 80, 160, 320),
        "dip": 2.0,
        "base_logit": 0.5,
        "noise": Noise(run=0.0),
    }
    cut, wrong = (analyze(study(course="dip", truncation=share, **kept).table) for share in (1.0, 0.0))
    (one,), (other,) = cut.condition_trajectories, wrong.condition_trajectories
    assert one.dip.probability > 0.95
    assert other.dip.probability > 0.95
    assert one.dip.truncation_share > 0.5
    assert other.dip.truncation_share < 0.1
    assert one.regain_probability > 0.9
    assert one.dip.step in (10, 20, 40)


def test_phases_of_planted_courses():
    kept = {
        "seeds": 3,
        "items": 400,
        "steps": (0, 5, 10, 20, 40, 80, 160, 320),
        "gain": 2.0,
        "samples": 2,
        "noise": Noise(run=0.05, item_checkpoint=0.2),
    }
    for course, phase in [("rise", "plateau"), ("ramp", "rising"), ("overfit", "overfit"), ("dip", "recovered")]:
        (found,) = analyze(study(course=course, dip=1.5, late=1.5, **kept).table).condition_trajectories
        assert found.phase in (phase, UNDECIDED), course
        assert phase == "recovered" or max(found.probabilities, key=found.probabilities.get) == phase
        assert (found.dip.probability > 0.9) == (course == "dip")
        assert found.n_runs == 3


def scores(rows, **more):
    """A table of summaries from rows (run, seed, step, level of data.name, score)."""
    names = ("run", "seed", "step", "data.name", "score")
    return {name: [row[i] for row in rows] for i, name in enumerate(names)} | {
        "task": ["m"] * len(rows),
        "group": ["far_ood"] * len(rows),
        **{name: [value] * len(rows) for name, value in more.items()},
    }


AGREEING = [("", 0, 0, None, 0.5)] + [(f"{n}{s}", s, 10, n, v) for n, v in (("a", 0.55), ("b", 0.56)) for s in (0, 1)]


def test_seeds_that_agree_do_not_make_an_effect_certain():
    known = analyze(make_table(scores(AGREEING, n_items=100)))
    for scale in ("points", "logit"):
        effect = find(known, ["data.name"], scale=scale)
        assert effect.p > 0.05
        assert effect.estimate.high - effect.estimate.low > 0.05
    unknown = find(analyze(make_table(scores(AGREEING))), ["data.name"])
    assert "no n_items" in unknown.estimate.reason


def test_records_that_agree_do_not_make_an_effect_certain_in_logits():
    right = {"a": 20, "b": 30}
    table = records(
        4,
        40,
        lambda r, s, i: i < (right["ab"[r // 2]] if s else 10),
        steps=(0, 10),
        **{"data.name": lambda r: "ab"[r // 2]},
    )
    table["item"] = [f"{item}/{run}" for item, run in zip(table["item"], table["run"], strict=True)]  # nothing shared
    effect = find(analyze(make_table(table)), ["data.name"], scale="logit", group="ungrouped")
    assert effect.p > 1e-6
    assert effect.estimate.low < effect.estimate.value < effect.estimate.high


def test_one_run_in_a_condition_is_told(small):
    data = columns(small.table)
    gone = next(run for run in data["run"] if run)
    kept = [i for i, run in enumerate(data["run"]) if run != gone]
    found = analyze(make_table({name: [values[i] for i in kept] for name, values in data.items()}))
    assert "a condition with one run: its variance is taken from the widest other" in find(found, [NOISE]).note
    assert "one seed: holds the luck of the best of 3 checkpoints" in find(found, [NOISE], estimand="best").note


def test_mean_and_best_compare_the_steps_that_all_runs_have():
    curve = {0: 0.3, 10: 0.3, 20: 0.35, 40: 0.45, 80: 0.6, 160: 0.7, 320: 0.7}
    rng = np.random.default_rng(1)
    u = rng.random((6, 7, 100))
    table = records(
        6,
        100,
        lambda r, s, i: u[r, list(curve).index(s), i] < curve[s],
        steps=curve,
        **{"data.name": lambda r: "ab"[r % 2]},
    )
    early = [run in ("r1", "r3", "r5") and 0 < step < 80 for run, step in zip(table["run"], table["step"], strict=True)]
    whole = analyze(make_table(table))
    table = {name: [v for v, out in zip(values, early, strict=True) if not out] for name, values in table.items()}
    found = analyze(make_table(table))
    assert abs(find(found, ["data.name"], estimand="mean", group="ungrouped").estimate.value) < 0.08  # else .16
    assert (
        find(found, ["data.name"], group="ungrouped").estimate == find(whole, ["data.name"], group="ungrouped").estimate
    )
    assert any("3 of 6 checkpoints are not there in every run" in told for told in found.warnings)
    assert not any("not there in every run" in told for told in whole.warnings)


def test_bases_without_a_name_are_told_apart_by_what_is_said_of_them():
    rows = [(f"{n}{s}", s, step, n, v) for n, v in ((1, 0.5), (2, 0.6)) for s in (0, 1, 2) for step in (0, 10)]
    data = scores(rows, n_items=100)
    data["model.parameters"] = data.pop("data.name")
    effect = find(analyze(make_table(data)), ["model.parameters"])
    assert effect.note == "speaks of these 2 bases, not of bases like them"
    assert effect.estimate.high - effect.estimate.low > 0.2  # the bases' own errors are in it


def test_no_two_of_three_seeds_choose_the_best_checkpoint_for_each_other():
    x = np.random.default_rng(0).integers(0, 2, (3, 7, 40)).astype(float)

    def best(x):
        paths = task_paths(build(make_table(records(3, 40, lambda r, s, i: x[r, s, i], steps=range(7)))))
        return np.array([found.value for found in best_of_others(paths, "points")])

    moved = np.zeros((3, 3), dtype=bool)  # whether another course of one seed changes the number of another
    for seed in range(3):
        for checkpoint in range(1, 7):
            other = x.copy()
            other[seed, 1:] = 0
            other[seed, checkpoint] = 1
            moved[seed] |= best(other) != best(x)
    assert moved.diagonal().all()
    assert moved.sum() == 6  # its own number and one other
    assert not (moved & moved.T)[~np.eye(3, dtype=bool)].any()


def _branched(schedules):
    """Two rates, three seeds; each run is gone on with by these schedules, which change nothing."""
    rng, seeds = np.random.default_rng(7), (1, 2, 3)
    answers = {(rate, seed): rng.random(60) < rng.uniform(0.3, 0.7) for rate in FACTORS[LR] for seed in seeds}
    runs = [(rate, name, seed) for rate in FACTORS[LR] for name in schedules for seed in seeds]

    def score(run, step, item):
        rate, _, seed = runs[run]
        return answers[rate, seed][item] if step else item % 3 == 0

    levels = {LR: lambda run: runs[run][0], "optimization.schedule": lambda run: runs[run][1]}
    told = records(len(runs), 60, score, **levels)
    told["seed"] = [runs[int(name[1:])][2] for name in told["run"]]
    return analyze(make_table(told | {"group": ["far_ood"] * len(told["run"])}), claims=[])


@pytest.mark.parametrize("estimand", ["gain", "mean", "best"])
@pytest.mark.parametrize("scale", ["points", "logit"])
def test_runs_that_share_their_first_steps_make_nothing_surer(estimand, scale):
    once, thrice = (
        find(_branched(schedules), (LR,), scale=scale, estimand=estimand)
        for schedules in (("constant",), ("constant", "linear", "wsd"))
    )
    assert thrice.estimate.value == pytest.approx(once.estimate.value)
    assert thrice.estimate.high - thrice.estimate.low >= once.estimate.high - once.estimate.low - 1e-9
    assert "share their first steps" in thrice.note and "share" not in once.note
