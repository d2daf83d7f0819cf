"""The live line: what is said of a run that is still trained, on trajectories whose truth is known."""

import numpy as np
import pytest

from triaxis.integrations import live
from triaxis.integrations.live import standing
from triaxis.records import make_table
from triaxis.types import Outcome, Record

STEPS = (0, 1, 2, 4, 8, 16, 32, 64, 128)
DIPPED = (0.60, 0.60, 0.55, 0.40, 0.30, 0.30)  # at the bottom, and level there for a checkpoint
BACK = (*DIPPED, 0.45, 0.60, 0.61)


def table(runs, group="near_ood", items=300, **more):
    """Runs by their score at each step, the first the base's; what is easy is answered right, but for some noise."""
    columns = {name: [] for name in ("run", "step", "task", "group", "item", "score", "outcome", "response_tokens")}
    for place, (run, scores) in enumerate(runs.items()):
        rng = np.random.default_rng(place)
        for step, score in zip(STEPS, scores, strict=False):
            if step == 0 and place:
                continue
            hard = (np.arange(items) / items + rng.normal(0, 0.03, items)).argsort().argsort()
            right = hard < round(score * items)
            columns["run"] += [run if step else ""] * items
            columns["step"] += [step] * items
            columns["task"] += ["words"] * items
            columns["group"] += [group] * items
            columns["item"] += [str(i) for i in range(items)]
            columns["score"] += [float(r) for r in right]
            columns["outcome"] += ["correct" if r else "wrong" for r in right]
            columns["response_tokens"] += [5] * items
    return make_table(columns | {name: [value] * len(columns["run"]) for name, value in more.items()})


def said(scores, others=(), **more):
    runs = {"mine": scores} | {f"other{i}": other for i, other in enumerate(others)}
    return standing(table(runs, **more), "mine", STEPS[len(scores) - 1], [])


def test_the_base_is_told_by_its_scores():
    asked = [("near_ood", "words", 1.0), ("near_ood", "letters", 0.0), ("in_domain", "chain", 0.5)]
    records = [
        Record("", 0, task, group, "default", str(i), 0, Outcome.CORRECT, score, 5, False, True, "")
        for group, task, score in asked
        for i in range(2)
    ]
    assert standing(None, "mine", 0, records) == "the base, near_ood .50, in_domain .50"


def test_too_few_checkpoints_are_said():
    assert said(DIPPED[:3]) == "no phase yet (near_ood .60 to .55): a shape needs 3 trained checkpoints, here 2"


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        (DIPPED, "below its base, a dip or a decline, P"),
        ((0.6, 0.6, 0.55, 0.3, 0.3, 0.3, 0.3, 0.3), "in the dip, P"),
        ((0.6,) * 7, "level with its base, P"),
        ((0.3, 0.31, 0.4, 0.5, 0.6, 0.7), "rising, P"),
        ((0.2, 0.2, 0.4, 0.6, 0.6, 0.6, 0.6), "risen"),
        (BACK, "recovered from a dip, P"),
    ],
)
def test_what_the_shape_says(scores, words):
    told = said(scores)
    assert told.startswith(words), told
    assert "(near_ood ." in told


def test_a_run_that_comes_back_and_is_not_back_is_in_the_dip():
    """It was called recovered, or was said to be level below its base: where it stands now comes first."""
    told = said((0.6, 0.6, 0.4, 0.3, 0.3, 0.4, 0.5))
    assert told.startswith("in the dip, P"), told


def test_a_fall_is_told_with_what_it_is_worth_where_checkpoints_wander():
    """At 3 points a checkpoint "in the dip" was said at a mean P of .91 and true .80 of the time."""
    scores = (0.6, 0.6, 0.55, 0.52, 0.52)
    told = said(scores)
    first, most = (float(part.split()[0].rstrip(",")) for part in told.replace("> .99", "= .99").split("P = ")[1:])
    assert "if its checkpoints wander by 4 points, which one seed can't tell" in told and most < first, told
    assert "wander" not in said((0.2, 0.2, 0.4, 0.6, 0.6, 0.6, 0.6))
    twice = table({"mine": scores, "twin": scores}).arrow.to_pydict()
    twice["seed"] = [int(run == "twin") for run in twice["run"]]
    assert "wander" not in standing(make_table(twice), "mine", STEPS[len(scores) - 1], [])


def test_a_run_that_wanders_is_not_in_a_dip_where_no_seeds_tell_how_far_runs_do():
    """Taken to wander by a point, as an analysis takes it, it was below its base at P .84."""
    told = said((0.6, 0.62, 0.58, 0.61, 0.56, 0.56))
    assert told.startswith("can't tell yet"), told


def test_other_runs_are_read_where_this_one_fell_alone(monkeypatch):
    """A folder may hold a hundred of them, and each is read at every checkpoint."""
    read, real = [], live._read
    monkeypatch.setattr(live, "_read", lambda path, noises: read.append(path.run) or real(path, noises))
    said((0.3, 0.31, 0.4, 0.5, 0.6, 0.7), [BACK, BACK])
    assert read == ["mine"]


def test_where_no_phase_can_be_told_it_says_so():
    told = said((0.6, 0.575, 0.625, 0.575, 0.6), items=40)
    assert told.startswith("can't tell yet (near_ood .60 to .60: ") and " or " in told


def test_what_became_of_others_that_fell():
    """Four went on from the same fall: three were level with the base again, at steps 64, 64 and 128."""
    stayed = (*DIPPED, 0.30, 0.30, 0.30)
    late = (*DIPPED, 0.35, 0.45, 0.61)
    told = said(DIPPED, [BACK, BACK, late, stayed])
    assert told.endswith("; 3 of 4 such runs here recovered, by 4.0 times this step"), told
    assert said(DIPPED, [stayed]).endswith("; none of 1 such run here recovered")
    assert "such run" not in said(DIPPED, [DIPPED]), "a run that went no further can't tell"
    assert "such run" not in said(DIPPED, [(0.6,) * 9]), "a run that never fell is no such run"
    assert "such run" not in said((0.6,) * 7, [BACK])


def test_a_run_without_a_base_says_so():
    whole = table({"other": (0.6,) * 5, "mine": (0.6,) * 5})
    named = [None if run == "" else "b" if run == "mine" else "a" for run in whole.arrow["run"].to_pylist()]
    arrow = whole.arrow.to_pydict() | {"model.base": [name or "a" for name in named]}
    told = standing(make_table({k: v for k, v in arrow.items() if v.count(None) < len(v)}), "mine", 8, [])
    assert told == "no phase yet (near_ood .60): its base is not measured"
