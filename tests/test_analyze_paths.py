"""From a table to paths: what is a replicate, what is paired, and what is refused."""

import numpy as np
import pytest

from analyze_cases import find, records
from triaxis.analyze import analyze
from triaxis.records import published
from triaxis.records.table import make_table
from triaxis.types import Interval, NotEstimable, TriaxisError


def scored(items_at, *, seed_of=lambda run: run, runs=4, steps=(0, 10, 20), group="far_ood"):
    """Two conditions of half the runs each, scored at random on the first items_at(step) items."""
    rng = np.random.default_rng(0)
    data = records(
        runs, 60, lambda *_: rng.random() < 0.5, steps=steps, **{"data.name": lambda run: "ab"[run * 2 // runs]}
    )
    data["seed"] = [seed_of(int(run[1:])) for run in data["run"]]
    data["group"] = [group] * len(data["run"])
    keep = [int(i[2:]) < items_at(step) for i, step in zip(data["item"], data["step"], strict=True)]
    return {name: [v for v, k in zip(values, keep, strict=True) if k] for name, values in data.items()}


def test_one_seed_under_several_run_ids_is_one_run():
    analysis = analyze(make_table(scored(lambda step: 60, seed_of=lambda run: 7, runs=6)))
    assert isinstance(find(analysis, ("data.name",)).estimate, NotEstimable)
    assert {summary.n_runs for summary in analysis.summaries} == {1}
    assert sum("repeats seed 7" in told for told in analysis.warnings) == 4
    assert len(analysis.trajectories) == 6


def test_runs_without_seeds_are_replicates():
    data = scored(lambda step: 60, runs=6)
    del data["seed"]
    analysis = analyze(make_table(data))
    assert isinstance(find(analysis, ("data.name",)).estimate, Interval)
    assert {summary.n_runs for summary in analysis.summaries} == {3}


@pytest.mark.parametrize(("base", "trained"), [(60, 12), (20, 60)])
def test_a_base_on_more_or_fewer_items_is_paired_on_the_common_ones(base, trained):
    analysis = analyze(make_table(scored(lambda step: trained if step else base)))
    assert all(t.steps == (0, 10, 20) for t in analysis.trajectories)
    assert all(isinstance(summary.gain, Interval) for summary in analysis.summaries)
    assert {summary.n_items for summary in analysis.summaries} == {min(base, trained)}
    assert any(f"{abs(base - trained)} of 60 items left out of pairs" in told for told in analysis.warnings)


def test_a_group_in_another_mode_only_is_told():
    data = scored(lambda step: 60)
    n = len(data["run"])
    twice = {name: values * 2 for name, values in data.items()}
    twice["task"], twice["group"] = ["t"] * n + ["s"] * n, ["far_ood"] * n + ["safety"] * n
    twice["mode"] = ["default"] * n + ["direct"] * n
    analysis = analyze(make_table(twice))
    assert {effect.group for effect in analysis.effects} == {"far_ood"}
    assert "group safety: scored in mode direct, not in default: not in effects" in analysis.warnings


def test_an_accuracy_that_is_better_when_lower_is_refused():
    data = scored(lambda step: 60)
    data["higher_is_better"] = [0] * len(data["run"])
    with pytest.raises(TriaxisError) as told:
        analyze(make_table(data))
    assert str(told.value) == "task t: accuracy with higher_is_better 0; give 1 - score"
    data["metric"] = ["length"] * len(data["run"])
    assert analyze(make_table(data)).trajectories


def test_a_trajectory_in_two_published_tables_is_told():
    told = [text for text in analyze(published()).warnings if "the same trajectory in two sources" in text]
    assert any("Qwen3-14B_Math-CoT-20k_lr5e-05_ep8_bs256" in text and "Table 1 and" in text for text in told)
    assert all(text.count("Qwen3-14B") != 1 for text in told)


def test_equal_scores_under_other_conditions_are_two_trajectories():
    data = scored(lambda step: 60)
    n = len(data["run"])
    twice = {name: values * 2 for name, values in data.items()}
    twice["source"] = ["one"] * n + ["two"] * n
    assert sum("the same trajectory" in text for text in analyze(make_table(twice)).warnings) == 4
    twice["data.name"] = data["data.name"] + [{"a": "b", "b": "c"}[name] for name in data["data.name"]]
    assert not any("the same trajectory" in text for text in analyze(make_table(twice)).warnings)
