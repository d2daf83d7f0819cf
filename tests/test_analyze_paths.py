"""From a table to paths: what is a replicate, what is paired, and what is refused."""

import numpy as np
import pytest

from analyze_cases import find, records
from triaxis.analyze import analyze
from triaxis.records.table import make_table
from triaxis.types import Interval, NotEstimable


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
