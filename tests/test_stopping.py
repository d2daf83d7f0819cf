"""Rules of early stopping: planted scores stop a run where they must; the selection split meets no other."""

import json

import numpy as np
import pytest

from retention_cases import Inline, Killed, conducted, study
from triaxis.analyze import analyze
from triaxis.analyze.ends import BEFORE_ANY_END, OWN_END
from triaxis.axes.data import check_apart, training_set
from triaxis.execute import run as room
from triaxis.execute.check import check_selection, checked
from triaxis.execute.stopping import Rule, best_of, stop_of
from triaxis.records import Store, make_table, read_table
from triaxis.records.choices import Selected
from triaxis.tasks import get_task, reported_of, selection_items, task_names
from triaxis.tasks.prompts import fingerprint
from triaxis.types import NotEstimable, TriaxisError

STEPS = (0, 1, 2, 4, 8, 16, 32)


def scores(values, group="in_domain", lengths=None):
    """What the checkpoints after the base come to on one task."""
    told = zip(STEPS[1:], values, lengths or [10.0] * len(values), strict=False)
    return {step: (Selected("t", group, 10, value, length),) for step, value, length in told}


@pytest.mark.parametrize(
    ("rule", "values", "step"),
    [
        (Rule("in_domain", patience=2), [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], None),
        (Rule("in_domain", patience=2), [0.5, 0.4, 0.3, 0.6], 4),  # two in a row that are no better than step 1
        (Rule("in_domain", patience=1), [0.5, 0.4, 0.9, 0.9], 2),
        (Rule("in_domain", patience=3), [0.5, 0.4, 0.3, 0.6, 0.6, 0.6], None),  # 8 is better; the last is no stop
        (Rule("in_domain", patience=2, smallest_improvement=0.1), [0.5, 0.55, 0.59, 0.6], 4),
        (Rule("in_domain", patience=2, smallest_improvement=0.1), [0.5, 0.55, 0.6, 0.6, 0.6], 16),  # .1 is enough
        (Rule("in_domain", patience=2, smallest_improvement=0.0), [0.5, 0.5, 0.5], 4),  # no better is no better
        (Rule("none"), [0.5, 0.1, 0.1, 0.1], None),
        (Rule("in_domain", patience=5), [0.5] * 6, None),  # a stop at the last step is none
    ],
)
def test_a_rule_stops_where_its_scores_say_so(rule, values, step):
    found = stop_of(rule, STEPS, scores(values))
    assert (found.step if found else None) == step
    if found:
        assert found.values == tuple(values[: len(found.steps)]) and found.steps[-1] == step and found.why
        cut = {s: told for s, told in scores(values).items() if s <= step}
        assert stop_of(rule, STEPS, cut) == found, "what comes later changes nothing"
        assert stop_of(rule, STEPS, {s: told for s, told in cut.items() if s < step}) is None


def test_each_rule_looks_at_its_own_groups():
    both = {
        step: (Selected("a", "in_domain", 9, 0.1 * i, 5.0), Selected("b", "near_ood", 9, 0.5 - 0.1 * i, None))
        for i, step in enumerate(STEPS[1:])
    }
    assert stop_of(Rule("in_domain"), STEPS, both) is None
    assert stop_of(Rule("out_of_domain"), STEPS, both).step == 4
    assert stop_of(Rule("length_stable"), STEPS, both).values == (5.0, 5.0, 5.0)  # of what has a length
    assert (best_of(both, "in_domain"), best_of(both, "out_of_domain"), best_of(both, "all")) == (32, 1, 1)


@pytest.mark.parametrize(
    ("lengths", "share", "step"),
    [([10, 20, 40, 41, 42, 43], 0.05, 16), ([10, 20, 40, 80, 160, 161], 0.05, None), ([10, 11, 12], 0.2, 4)],
)
def test_length_is_stable_where_it_moves_by_no_more_than_a_share(lengths, share, step):
    found = stop_of(Rule("length_stable", stable_length=share), STEPS, scores([0.5] * len(lengths), lengths=lengths))
    assert (found.step if found else None) == step


# The selection split


@pytest.mark.parametrize("name", task_names())
def test_selection_reporting_and_training_never_meet(name):
    task = get_task(name)
    reported = task.examples("eval", 0, 40)
    chosen = selection_items(task, 0, 30, reported_of(reported))
    assert len({fingerprint(item.prompt) for item in chosen} | reported_of(reported)) == 70
    assert chosen[:10] == selection_items(task, 0, 10, reported_of(reported))
    assert all(item.level in task.eval_levels and task.example(item.id) == item for item in chosen)
    if name == "chain":
        data = {"task": name, "examples": 400, "structure": "short_cot", "difficulty": "all", "noise_rate": 0.0}
        check_apart(training_set(data | {"replay_share": 0.0}, 0), chosen)


def test_a_file_is_divided_and_one_that_is_too_small_is_told(tmp_path):
    path = tmp_path / "set.jsonl"
    path.write_text(
        "".join(json.dumps({"question": f"What is {i} + 1?", "answer": str(i + 1)}) + "\n" for i in range(20))
    )
    task = get_task(f"file:{path}?verifier=exact")
    reported = task.examples("eval", 0, 12)
    chosen = selection_items(task, 0, 8, reported_of(reported))
    assert {i.prompt for i in chosen}.isdisjoint(i.prompt for i in reported) and len({i.prompt for i in chosen}) == 8
    assert task.outcome(chosen[0], f"\\boxed{{{chosen[0].answer}}}", True) == "correct"
    assert task.example(chosen[0].id) == chosen[0]
    with pytest.raises(TriaxisError, match=r"selection.items: .* too few items that are not reported"):
        selection_items(task, 0, 9, reported_of(reported))


# In a study

IN, FAR = {"in_domain": ["chain"]}, {"far_ood": ["boolean"]}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"optimization": {"early_stopping": "never"}}, "early_stopping: must be 'none', 'in_domain'"),
        ({"optimization": {"stopping_patience": 3}}, "stopping_patience: has no effect with early_stopping none"),
        (
            {"optimization": {"early_stopping": ["none", "in_domain"], "stopping_patience": [1, 2]}},
            "stopping_patience: varies, and has no effect with early_stopping none",
        ),
        ({"optimization": {"early_stopping": "in_domain", "stable_length": 0.1}}, "stable_length: has no effect"),
        (
            {"optimization": {"early_stopping": "in_domain"}, "tasks": {"far_ood": ["boolean"]}},
            "looks at tasks.in_domain",
        ),
        (
            {"optimization": {"early_stopping": "out_of_domain"}, "tasks": {"in_domain": ["chain"]}},
            "near_ood or tasks.far",
        ),
        (
            {"trajectory": {"keep": "best"}, "selection": {"best": "in_domain"}, "tasks": {"far_ood": ["boolean"]}},
            "best",
        ),
        ({"trajectory": {"keep": [3]}}, "trajectory.keep: step 3 is no checkpoint of a run that is measured at 2 4 6"),
        ({"trajectory": {"keep": ["first"]}}, "must list steps from 1, best or last"),
        ({"trajectory": {"keep": ["best", "best"]}}, "listed twice"),
        ({"optimization": {"warmup_ratio": 0.1}}, "warmup_steps: given with optimization.warmup_ratio"),
        ({"optimization": {"warmup_steps": 7}}, "warmup_steps: 7 is more than the 6 steps"),
        ({"optimization": {"warmup_steps": 5, "schedule": "wsd", "decay_start": 0.5}}, "before the warm-up ends"),
        ({"selection": {"items": 0}}, "selection.items"),
    ],
)
def test_a_mistake_is_one_line(changes, words):
    with pytest.raises(TriaxisError, match=words) as told:
        study(**changes)
    assert "\n" not in str(told.value)


def test_ids_know_the_rule_and_nothing_that_changes_no_step():
    ids = [run.id for run in study().runs()]
    assert [run.id for run in study(trajectory={"keep": ["best", 2]}, selection={"items": 9}).runs()] == ids
    ruled = {"optimization": {"early_stopping": ["none", "in_domain"]}}
    first, second = study(**ruled).runs()
    assert ids == [first.id] and second.id != first.id
    other = study(**ruled, selection={"items": 9}).runs()
    assert other[0].id == first.id and other[1].id != second.id
    heard = {"early_stopping": ["none", "in_domain"], "smallest_improvement": 0.5}
    assert study(optimization=heard).runs()[0].id == first.id


def test_items_to_choose_on_are_checked_before_anything_runs(tmp_path):
    checked(study(trajectory={"keep": "best"}))
    path = tmp_path / "set.jsonl"
    path.write_text("".join(json.dumps({"question": f"{i} + 1 ?", "answer": str(i + 1)}) + "\n" for i in range(5)))
    name = f"file:{path}?verifier=exact"
    made = study(tasks=IN | {"far_ood": [name]}, trajectory={"keep": "best"}, evaluation={"max_new_tokens": 9})
    with pytest.raises(TriaxisError, match=r"selection.items: .* has too few items"):
        check_selection(made, {name: get_task(name).examples("eval", 0, 3)})


PLANTED = {2: 0.9, 4: 0.2, 6: 0.1}  # on the selection split


def planted(monkeypatch):
    """Scores that are given, whatever the model says."""

    def given(model, tokenizer, asked, run, step, evaluation):
        return (Selected("chain", "in_domain", 3, PLANTED[step], 7.0),), (0.0, 0)

    monkeypatch.setattr(room, "selected_of", given)


RULED = {
    "optimization": {"early_stopping": "in_domain", "stopping_patience": 1},
    "trajectory": {"keep": ["best", "last"]},
}


@pytest.mark.parametrize("moment", ["", "before measured", "after measured"])
def test_a_run_ends_at_the_planted_step_whenever_it_is_killed(tmp_path, monkeypatch, moment):
    planted(monkeypatch)
    made, sessions = study(**RULED), 0
    while True:
        left = [2]

        def die(when, left=left):
            left[0] -= when == moment
            if not left[0]:
                raise Killed

        try:
            ended = conducted(made, tmp_path, Inline(die))
            break
        except Killed:
            sessions += 1
    assert bool(sessions) == bool(moment) and ended.done == 1
    (run,) = made.runs()
    with Store.open(tmp_path, read_only=True) as store:
        assert store.done(run.id) == {2, 4}, "nothing is trained after the decision"
        stop = store.stops()[run.id]
        assert (stop.step, stop.rule, stop.steps, stop.values) == (4, "in_domain", (2, 4), (0.9, 0.2))
        assert [s.score for step in (2, 4) for s in store.selected(run.id)[step]] == [0.9, 0.2]
        assert not [p for p in store.table().warnings if "unfinished" in p] and not store.table().incomplete
    folders = tmp_path / "weights" / run.id
    assert [p.name for p in (folders / "best").iterdir()] == ["step-000002"]
    assert sorted(p.name for p in folders.iterdir()) == ["best", "step-000004"]
    table = read_table(tmp_path)
    assert set(table.arrow["optimization.early_stopping"].to_pylist()) >= {"in_domain"}, "told though nothing varies"
    assert not any("/select/" in item for item in table.arrow["item"].to_pylist()), "never among what is reported"


# What the analysis makes of it


def table_of(ends, gain_at):
    """Three groups of 60 items; a run of rule and seed ends where `ends` says, and scores what `gain_at` says."""
    rng = np.random.default_rng(0)
    names = (
        "run",
        "seed",
        "step",
        "task",
        "group",
        "item",
        "outcome",
        "score",
        "optimization.early_stopping",
        "tokens",
    )
    rows = {name: [] for name in (*names, "model.base")}

    def add(run, seed, step, rule, p):
        for group in ("in_domain", "far_ood"):
            for i in range(60):
                right = bool(rng.random() < p)
                told = (run, seed, step, group, group, f"i{i}", "correct" if right else "wrong", float(right), rule)
                for name, value in zip(rows, (*told, 100 * step + seed if step else None, "b"), strict=True):
                    rows[name].append(value)

    add("", 0, 0, None, 0.3)
    for (rule, seed), end in ends.items():
        for step in (8, 16, 32, 48, 64):
            if step <= end:
                add(f"{rule}-{seed}", seed, step, rule, 0.3 + gain_at[step])
    return make_table(rows)


def test_what_a_rule_hands_over_is_compared_with_what_it_spared():
    """The score falls after step 32; the rule ends at 32, 32 and 48, none at 64: every run counts, at its own end."""
    rule = {("in_domain", 0): 32, ("in_domain", 1): 48, ("in_domain", 2): 32}
    ends = rule | {("none", seed): 64 for seed in range(3)}
    found = analyze(table_of(ends, {8: 0.1, 16: 0.3, 32: 0.6, 48: 0.6, 64: 0.1}), claims=())
    gains = {s.condition["optimization.early_stopping"]: s for s in found.summaries if s.group == "in_domain"}
    assert gains["in_domain"].n_runs == gains["none"].n_runs == 3
    assert gains["in_domain"].gain.value == pytest.approx(0.6, abs=0.1) and gains["in_domain"].gain.low > 0.3
    effect = next(
        e for e in found.effects if (e.estimand, e.scale, e.group) == ("gain", "points", "far_ood") and e.n_runs == 6
    )
    assert effect.contrast == "none - in_domain" and effect.estimate.high < -0.2 and OWN_END in effect.note
    for each in (e for e in found.effects if e.n_runs == 6):
        assert (BEFORE_ANY_END in each.note) == (each.estimand in ("mean", "best")), each
    stopping = {f.quantity: f for f in found.findings if f.question == "stopping"}
    ended = stopping["step at which its rule ended a run"]
    assert ended.estimate.value == pytest.approx(112 / 3) and ended.note == "runs ended at steps 32, 32, 48"
    tokens = stopping["training tokens against those of a run to its end"]
    assert (
        tokens.estimate.value == pytest.approx((32 * 48 * 32) ** (1 / 3) / 64, rel=0.01) and tokens.estimate.high < 1.1
    )
    assert any("some by a rule" in told for told in found.warnings) and not any(
        "not in effects" in w for w in found.warnings
    )
    prices = [f for f in found.findings if f.question == "cost" and "other ends" in str(f.estimate)]
    assert not prices


def test_runs_that_a_rule_ended_alike_have_no_error_to_speak_of():
    ends = {("length_stable", seed): 16 for seed in range(2)} | {("none", seed): 64 for seed in range(2)}
    found = analyze(table_of(ends, dict.fromkeys((8, 16, 32, 48, 64), 0.2)), claims=())
    ended = next(f for f in found.findings if f.quantity == "step at which its rule ended a run")
    assert isinstance(ended.estimate, NotEstimable) and "step 16" in ended.estimate.reason


def test_without_a_rule_a_run_that_stopped_is_left_out_as_before():
    ends = {("none", 0): 64, ("none", 1): 64, ("none", 2): 16}
    found = analyze(table_of(ends, dict.fromkeys((8, 16, 32, 48, 64), 0.2)), claims=())
    assert any("not in effects" in told for told in found.warnings)
    assert not [f for f in found.findings if f.question == "stopping"]
