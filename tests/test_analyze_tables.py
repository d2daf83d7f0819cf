"""Tables with holes: what can't be known is said, with the reason, and nothing is NaN."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyze_cases import BASE, LR, NOISE, SMALL, check_json, columns, find, records
from triaxis.analyze import analyze
from triaxis.records.table import make_table
from triaxis.simulate import study
from triaxis.study import parse_study
from triaxis.types import Interval, NotEstimable, TriaxisError


@pytest.fixture(scope="module")
def small():
    return study(**SMALL, effects={NOISE: -1.5})


@pytest.fixture(scope="module")
def small_analysis(small):
    return analyze(small.table)


def test_a_run_without_step_0_says_so():
    data = records(2, 10, lambda r, s, i: i % 2, steps=(0, 10, 20, 40, 80))
    keep = [run == "r0" or step > 0 for run, step in zip(data["run"], data["step"], strict=True)]
    data = {name: [v for v, kept in zip(values, keep, strict=True) if kept] for name, values in data.items()}
    analysis = analyze(make_table(data))
    check_json(analysis)
    with_base, without = analysis.trajectories
    assert isinstance(with_base.net_gain, Interval)
    assert "no step 0" in without.net_gain.reason
    assert len(without.scores) == 4


def test_a_base_serves_the_runs_of_its_source_only(small):
    data = columns(small.table)
    n = small.table.n_rows
    data["source"] = [
        "lab" if run or base == "strong" else "elsewhere" for run, base in zip(data["run"], data[BASE], strict=True)
    ]
    analysis = analyze(make_table(data))
    by_base = {t.base: t.net_gain for t in analysis.trajectories}
    assert isinstance(by_base["strong"], Interval)
    assert isinstance(by_base["weak"], NotEstimable)
    assert n == analysis.n_records


def test_two_sources_are_never_mixed_in_a_contrast(small, small_analysis):
    data = columns(small.table)
    twice = {name: values * 2 for name, values in data.items()}
    twice["source"] = ["one"] * small.table.n_rows + ["two"] * small.table.n_rows
    analysis = analyze(make_table(twice))
    effects = [
        e
        for e in analysis.effects
        if e.factors == (NOISE,) and e.scale == "points" and e.group == "far_ood" and e.estimand == "gain"
    ]
    assert sorted(e.source for e in effects) == ["one", "two"]
    assert {e.n_runs for e in effects} == {16}
    assert effects[0].estimate.value == pytest.approx(find(small_analysis, [NOISE]).estimate.value)


def test_what_moves_together_is_not_estimable(small):
    data = columns(small.table)
    data["optimization.steps"] = [None if rate is None else 100 if rate < 1e-3 else 200 for rate in data[LR]]
    data["data.quality"] = [None if rate is None else "good" if rate == 0 else "bad" for rate in data[NOISE]]
    analysis = analyze(make_table(data))
    reason = find(analysis, [LR]).estimate.reason + find(analysis, ["optimization.steps"]).estimate.reason
    assert LR in reason
    assert "optimization.steps" in reason
    assert (
        isinstance(find(analysis, [NOISE]).estimate, Interval) or "quality" in find(analysis, [NOISE]).estimate.reason
    )
    check_json(analysis)


def test_a_missing_combination_leaves_the_interaction_out(small):
    keep = [not ("noise_rate=0.6" in run and "learning_rate=0.003" in run) for run in columns(small.table)["run"]]
    analysis = analyze(make_table(small.table.arrow.filter(keep)))
    assert isinstance(find(analysis, [NOISE, LR]).estimate, NotEstimable)
    assert isinstance(find(analysis, [NOISE, LR, BASE]).estimate, NotEstimable)
    assert NOISE in find(analysis, [NOISE, LR]).estimate.reason
    check_json(analysis)


def test_one_seed_gives_this_run_and_no_population(small):
    keep = [
        seed == 0 or not run
        for run, seed in zip(columns(small.table)["run"], columns(small.table)["seed"], strict=True)
    ]
    analysis = analyze(make_table(small.table.arrow.filter(keep)))
    assert "one seed a condition" in find(analysis, [NOISE]).estimate.reason
    assert isinstance(analysis.summaries[0].gain, Interval)
    assert analysis.summaries[0].n_runs == 1
    assert analysis.trajectories[0].tau_from == "default"


def test_a_ceiling_is_named():
    simulated = study(**{**SMALL, "base_logit": 1.0, "gain": 9.0}, effects={})
    analysis = analyze(simulated.table)
    assert "ceiling" in find(analysis, [NOISE, LR]).note
    full = columns(simulated.table)
    full["score"] = [1.0 if step == 160 else score for step, score in zip(full["step"], full["score"], strict=True)]
    full["outcome"] = [None] * len(full["score"])
    analysis = analyze(make_table(full))
    assert "ceiling" in find(analysis, [NOISE, LR], scale="logit").estimate.reason
    assert find(analysis, [NOISE, LR]).estimate.value == pytest.approx(0)
    check_json(analysis)


def test_missing_checkpoints_items_and_tasks_are_counted(small):
    data = columns(small.table)
    runs = sorted({run for run in data["run"] if run})

    def dropped(run, step, task, item):
        return (
            (run == runs[0] and step == 160) or (run == runs[1] and task == "b") or (run == runs[2] and item == "a/3")
        )

    rows = zip(data["run"], data["step"], data["task"], data["item"], strict=True)
    keep = [not dropped(*row) for row in rows]
    analysis = analyze(make_table(small.table.arrow.filter(keep)))
    told = " ".join(analysis.warnings)
    assert f"run {runs[0]}" in told
    assert "left out b" in told
    assert "1 of 30 items" in told
    assert find(analysis, [NOISE]).n_runs == 15
    assert isinstance(find(analysis, [NOISE]).estimate, Interval)
    check_json(analysis)


def test_modes_are_followed_apart_and_effects_speak_of_default(small):
    data = columns(small.table)
    twice = {name: values * 2 for name, values in data.items()}
    n = small.table.n_rows
    twice["mode"] = ["default"] * n + ["think"] * n
    twice["score"] = data["score"] + [1.0] * n
    twice["outcome"] = [None] * (2 * n)
    analysis = analyze(make_table(twice))
    assert {t.mode for t in analysis.trajectories} == {"default", "think"}
    assert {e.mode for e in analysis.effects} == {"default"}
    check_json(analysis)


@pytest.mark.parametrize(
    ("runs", "items", "score"),
    [
        (2, 1, lambda r, s, i: 1.0),
        (2, 2, lambda r, s, i: 1.0),
        (1, 1, lambda r, s, i: s > 0),
        (3, 5, lambda r, s, i: 0.0),
        (2, 3, lambda r, s, i: (r + s + i) % 2),
        (2, 40, lambda r, s, i: i % 2),
    ],
)
@pytest.mark.parametrize("steps", [(0, 10), (0, 10, 20, 40), (0,)])
def test_degenerate_tables(runs, items, score, steps):
    data = records(runs, items, score, steps, **{LR: lambda run: 1e-3 * (1 + run % 2)})
    check_json(analyze(make_table(data)))


def test_runs_of_the_study_that_are_not_there_are_told():
    planned = parse_study(
        {
            "name": "s",
            "model": {"base": "lab:strong"},
            "data": {"task": "chain", "examples": 640},
            "optimization": {"learning_rate": [1e-3, 3e-3], "steps": 16},
            "seeds": 2,
            "tasks": {"in_domain": ["chain"]},
        },
        where="test",
    )
    data = records(2, 10, lambda r, s, i: i % 2)
    first = planned.runs()[0].id
    data["run"] = [first if run == "r0" else "stray" for run in data["run"]]
    told = " ".join(analyze(make_table(data), study=planned).warnings)
    assert "3 of 4 runs of the study are not in the table" in told
    assert "stray" in told


def test_base_rows_alone_are_no_results():
    data = {"run": ["", ""], "step": [0, 0], "task": ["t", "t"], "item": ["1", "2"], "score": [0.0, 1.0]}
    with pytest.raises(TriaxisError, match="no run"):
        analyze(make_table(data))


def test_summaries_without_sizes_have_no_interval():
    data = {"run": ["", "r", "r", "r"], "step": [0, 10, 20, 40], "task": ["t"] * 4, "score": [0.2, 0.3, 0.4, 0.5]}
    analysis = analyze(make_table(data))
    check_json(analysis)
    assert "n_items" in analysis.trajectories[0].net_gain.reason
    assert analysis.trajectories[0].scores[0] == Interval(0.2, 0.2, 0.2)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_table_is_analysed(data):
    draw = data.draw
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    steps = sorted(draw(st.sets(st.integers(1, 500), min_size=1, max_size=6)))
    n_runs, n_items = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    tasks, groups = ["t", "u"][: draw(st.integers(1, 2))], ["far_ood", "safety"]
    holes = draw(st.sampled_from([0.0, 0.0, 0.2, 0.6]))
    rows = []
    for run in range(-1, n_runs):
        for step in [0] if run < 0 else steps:
            for t, task in enumerate(tasks):
                for item in range(n_items):
                    if rng.random() >= holes:
                        rows.append((f"r{run}" if run >= 0 else "", step, task, groups[t], f"{item}", run % 2, run % 3))
    rows.append(("", 0, tasks[0], groups[0], "first", 0, 0))
    rows.append(("r0", steps[-1], tasks[0], groups[0], "first", 0, 0))
    levels = draw(st.sampled_from([("a", "b"), (1, 2), (True, False)]))
    table = {
        "run": [r[0] for r in rows],
        "step": [r[1] for r in rows],
        "task": [r[2] for r in rows],
        "group": [r[3] for r in rows],
        "item": [r[4] for r in rows],
        "seed": [max(r[6], 0) for r in rows],
        "score": rng.choice([0.0, 0.5, 1.0], len(rows)).tolist(),
        "data.kind": [levels[r[5]] if r[0] else None for r in rows],
        "optimization.epochs": [1 + r[6] if r[0] else None for r in rows],
        "outcome": rng.choice(["correct", "wrong", "truncated", "unparsed"], len(rows)).tolist(),
    }
    check_json(analyze(make_table(table)))
