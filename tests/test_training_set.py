"""What a run trains on: kinds of noise, mixtures, sources; as ever at the defaults, and never what is asked."""

import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from triaxis.axes.data import check_apart, noted_training_set, training_set
from triaxis.axes.data.recipes.make import make_files
from triaxis.axes.data.recipes.spec import parse_recipe
from triaxis.cli.folder import as_stored, study_of
from triaxis.execute.check import _unseen, checked
from triaxis.execute.conduct import job_of
from triaxis.execute.cost import estimate
from triaxis.execute.data_check import check_training
from triaxis.execute.run import follow, prepare
from triaxis.study import load_study, parse_study
from triaxis.tasks import get_task, read_from, task_names
from triaxis.types import NOISE_KINDS, TriaxisError

DATA = {
    "task": "chain",
    "examples": 120,
    "structure": "short_cot",
    "difficulty": "all",
    "replay_share": 0.0,
    "noise_rate": 0.0,
    "noise_kind": "wrong_step",
    "mixture": "as_is",
}
REASONING = [name for name in task_names() if name != "refusal"]
OUTCOMES = {  # of a response made bad in each way
    "wrong_step": "wrong",
    "wrong_answer": "wrong",
    "wrong_step_right_answer": "correct",
    "other_trace": "correct",
    "shuffled_steps": "correct",
    "truncated": "unparsed",
    "missing_answer": "unparsed",
    "inconsistent_format": "unparsed",
}


def rows(seed=0, **changes):
    return training_set(DATA | changes, seed)


@pytest.mark.parametrize("structure", ["short_cot", "long_cot", "no_cot"])
@pytest.mark.parametrize("name", REASONING)
def test_every_kind_of_noise_is_what_it_says(name, structure):
    task = get_task(name)
    for kind in task.noise_kinds(structure):
        for item in task.examples("train", 0, 20):
            bad, good = task.noisy(item, structure, 3, kind), item.traces[structure]
            assert bad != good and bad == task.noisy(item, structure, 3, kind), (kind, bad)
            want = "wrong" if (kind, structure) == ("other_trace", "no_cot") else OUTCOMES[kind]
            assert task.outcome(item, bad, True) == want, (kind, bad)
            if kind in ("wrong_answer", "missing_answer", "inconsistent_format"):
                assert bad.partition("</think>")[0] == good.partition("</think>")[0] or structure == "no_cot"
            if kind == "shuffled_steps":
                assert sorted(bad.split()) == sorted(good.split())
            if kind == "truncated":
                assert (
                    bad.endswith(" </think>")
                    and good.startswith(bad.removesuffix("</think>"))
                    and 0.1 < len(bad.split()) / len(good.split()) < 0.9
                )
            if kind == "wrong_step_right_answer":
                assert task.verified_steps(item, bad) < item.level


def test_no_cot_has_no_noise_of_the_thought():
    assert set(get_task("chain").noise_kinds("short_cot")) == set(NOISE_KINDS) == set(OUTCOMES)
    with pytest.raises(TriaxisError, match=r"data.noise_kind: chain's no_cot responses can't have truncated; they can"):
        rows(structure="no_cot", noise_kind="truncated", noise_rate=0.1)
    rows(structure="no_cot", noise_kind="truncated")  # of which there is none
    with pytest.raises(
        TriaxisError, match=r"refusal's short_cot responses can't have wrong_answer; they can have wrong_s"
    ):
        rows(task="refusal", noise_kind="wrong_answer", noise_rate=0.5)


@pytest.mark.parametrize("kind", NOISE_KINDS)
def test_masks_are_nested_and_the_same_rows_for_every_kind(kind):
    noisy = {rate: {e.id for e in rows(noise_kind=kind, noise_rate=rate) if e.noisy} for rate in (0.1, 0.3, 1.0)}
    assert noisy[0.1] < noisy[0.3] < noisy[1.0] and len(noisy[1.0]) == 120
    assert noisy[0.3] == {e.id for e in rows(noise_rate=0.3) if e.noisy}
    clean = {e.id: e.response for e in rows()}
    assert all((e.response != clean[e.id]) == e.noisy for e in rows(noise_kind=kind, noise_rate=0.3))


def levels_in(examples):
    return [int(re.search(r"/(\d+)\.", e.id)[1]) for e in examples]


def test_mixtures_of_the_lab():
    assert set(levels_in(rows())) == {3, 4, 5}
    assert set(levels_in(rows(mixture="easy_only"))) == {3} and set(levels_in(rows(mixture="hard_only"))) == {5}
    assert set(levels_in(rows(task="letters", mixture="hard_only", difficulty="2-4"))) == {4}
    curriculum = rows(mixture="curriculum")
    assert levels_in(curriculum) == sorted(levels_in(rows()))
    assert {e.id for e in curriculum} == {e.id for e in rows()}
    with pytest.raises(TriaxisError, match=r"data.mixture: balanced is for a data.source"):
        rows(mixture="balanced")
    with pytest.raises(TriaxisError, match=r"data.mixture: easy_only needs two levels or more"):
        rows(mixture="easy_only", difficulty="4")


def test_replay_is_spread_over_a_curriculum():
    made = rows(mixture="curriculum", replay_share=0.25)
    places = [i for i, e in enumerate(made) if e.id.startswith("refusal")]
    assert len(places) == 30 and {b - a for a, b in pairwise(places)} == {4}


def test_a_curriculum_is_trained_in_its_order():
    study = parse_study(
        {
            "model": {"base": "lab:weak"},
            "data": {"task": "chain", "examples": 40, "mixture": "curriculum"},
            "optimization": {"batch_size": 16, "steps": 6},
            "seeds": 1,
            "tasks": {"in_domain": ["chain"]},
        }
    )
    run = prepare(job_of(study, study.runs()[0]))
    seen = [[id for batch in run.training.batch_of(step) for id in batch.ids] for step in range(6)]
    assert [id for ids in seen[:3] for id in ids] == [e.id for e in run.examples]
    assert seen[3:] == seen[:3] and [len(ids) for ids in seen[:3]] == [16, 16, 8]


def test_answer_only_is_no_structure_of_the_lab():
    with pytest.raises(TriaxisError, match=r"data.structure: answer_only is for a data.source; in the lab no_cot is"):
        rows(structure="answer_only")


# sources


@pytest.fixture
def lab_file(tmp_path):
    """Rows of the lab as somebody else would bring them."""
    path = tmp_path / "chain.jsonl"
    items = get_task("chain").examples("train", 5, 300)
    lines = [
        {"id": e.id, "prompt": e.prompt, "completion": e.traces["long_cot"], "answer": e.answer, "difficulty": e.level}
        for e in items
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def source(path, **changes):
    return {key: value for key, value in DATA.items() if key != "task"} | {"source": str(path)} | changes


def test_a_file_is_nested_by_size_and_by_noise(lab_file):
    many, few = (training_set(source(lab_file, examples=n), 1) for n in (200, 80))
    assert {e.id for e in few} < {e.id for e in many} and len(few) == 80
    assert {e.id for e in training_set(source(lab_file, examples=80), 2)} != {e.id for e in few}
    noisy = [
        {e.id for e in training_set(source(lab_file, noise_rate=rate, noise_kind="wrong_answer"), 1) if e.noisy}
        for rate in (0.1, 0.4)
    ]
    assert noisy[0] < noisy[1] and 30 < len(noisy[1]) < 66
    assert training_set(source(lab_file), 1) == training_set(source(lab_file), 1)


def test_structures_of_a_file_pair_up(lab_file):
    made = {s: training_set(source(lab_file, structure=s), 0) for s in ("long_cot", "short_cot", "no_cot")}
    assert len({tuple(e.id for e in examples) for examples in made.values()}) == 1
    first = get_task("chain").example(made["long_cot"][0].id)
    assert made["long_cot"][0].response == first.traces["long_cot"]
    assert made["short_cot"][0].response.split() == first.traces["short_cot"].split()
    assert made["no_cot"][0].response == first.traces["no_cot"]


def test_a_lab_base_trains_on_a_file_of_the_labs_rows(lab_file):
    study, _ = checked(
        parse_study(
            {
                "model": {"base": "lab:weak"},
                "data": {"source": str(lab_file), "examples": 64, "structure": "long_cot"},
                "optimization": {"steps": 2},
                "seeds": 1,
                "tasks": {"in_domain": ["chain"], "safety": ["refusal"]},
                "evaluation": {"items": 3},
            }
        )
    )
    [*_, last] = follow(job_of(study, study.runs()[0]))
    assert last.checkpoint.step == 2 and len(last.records) == 6
    before = study.runs()[0].id
    lab_file.write_text(
        lab_file.read_text() + "\n".join(lab_file.read_text().splitlines()[:1]).replace("5/", "6/") + "\n"
    )
    assert checked(study)[0].runs()[0].id != before, "a file that has changed makes another run"


def test_rows_that_are_evaluated_too_are_named(lab_file, tmp_path):
    item = get_task("chain").examples("eval", 0, 2)[1]
    row = {"id": "mine-7", "prompt": f" {item.prompt.upper()}", "completion": "A 1", "answer": "1"}
    lab_file.write_text(json.dumps(row) + "\n")
    found = training_set(source(lab_file, examples=1, structure="no_cot"), 0)
    with pytest.raises(
        TriaxisError, match=r"training row mine-7 is evaluated too, as chain/eval/0/.*; leave it out of one"
    ):
        check_apart(found, get_task("chain").examples("eval", 0, 4))
    check_apart(found, get_task("chain").examples("eval", 1, 4))


def test_a_test_set_in_training_is_found_under_another_template(tmp_path):
    test = tmp_path / "test.jsonl"
    test.write_text(json.dumps({"question": "What is 3 + 4?", "answer": "7"}) + "\n")
    train = tmp_path / "train.jsonl"
    asked = "What is 3 + 4?\nPlease reason step by step, and put your final answer within \\boxed{}."
    train.write_text(json.dumps({"id": "x", "prompt": asked, "completion": "\\boxed{7}", "answer": "7"}) + "\n")
    items = get_task(f"file:{test}?surface=wording&verifier=exact").examples("eval", 0, 1)
    with pytest.raises(TriaxisError, match="training row x is evaluated too, as file:"):
        check_apart(training_set(source(train, examples=1, structure="no_cot"), 0), items)


def test_what_could_not_be_made_is_told_and_is_not_noisy(tmp_path):
    made = source(thoughts(tmp_path / "mixed.jsonl", 40, without=1), examples=40, structure="short_cot")
    assert noted_training_set(made, 0).kept == (("data.structure", 1, "no trace"),)
    noisy = noted_training_set(made | {"noise_rate": 1.0, "noise_kind": "truncated"}, 0)
    assert [kept.rows for kept in noisy.kept if kept.factor == "data.noise_kind"] == [1]
    assert [e.id for e in noisy.examples if not e.noisy] == ["t39"]


def test_a_reasoning_gym_task_has_answers_alone():
    made = training_set(source("rg:gcd", structure="answer_only"), 4)
    assert [e.id for e in made] == [e.id for e in get_task("rg:gcd").examples("train", 4, 120)]
    assert all(re.fullmatch(r"<answer>\d+</answer>", e.response) for e in made)
    bad = training_set(source("rg:gcd", structure="answer_only", noise_kind="wrong_answer", noise_rate=0.3), 4)
    task = get_task("rg:gcd")
    for example in bad:
        assert (task.outcome(task.example(example.id), example.response, True) == "correct") != example.noisy
    with pytest.raises(
        TriaxisError, match="rg:gcd has answers and no traces, so short_cot can't be made; take answer_o"
    ):
        training_set(source("rg:gcd"), 4)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source": "no.jsonl"}, "no.jsonl"),
        ({"replay_share": 0.1}, "data.replay_share: refusal is in the lab's words"),
        ({"examples": 301}, "data.examples: 301 rows are asked for, and only 300 come"),
        ({"noise_kind": "truncated", "noise_rate": 0.5, "structure": "no_cot"}, "data.noise_kind: "),
    ],
)
def test_what_a_source_can_not_give(lab_file, changes, words):
    with pytest.raises(TriaxisError) as caught:
        training_set(source(lab_file) | changes, 0)
    assert words in str(caught.value) and "\n" not in str(caught.value)


# in a study


def study(tasks=None, data=None, **sections):
    made = {
        "model": {"base": "lab:strong"},
        "data": data or {"task": "chain"},
        "tasks": {"in_domain": ["chain"]} | (tasks or {}),
    }
    return parse_study(made | {"seeds": 1} | sections)


def test_new_settings_at_their_defaults_change_no_run():
    plain = [run.id for run in study().runs()]
    assert [
        run.id for run in study(data={"task": "chain", "noise_kind": "wrong_step", "mixture": "as_is"}).runs()
    ] == plain
    for change in ({"noise_kind": "truncated", "noise_rate": 0.3}, {"mixture": "curriculum"}):
        [other] = study(data={"task": "chain"} | change).runs()
        assert other.id not in plain and next(iter(change.values())) in other.id
    assert [run.id for run in study(data={"task": "chain", "noise_kind": "truncated"}).runs()] == plain


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "data.task: missing; every study names it, or data.source instead"),
        ({"task": "chain", "source": "a.jsonl"}, "data.source: given with data.task, and a run trains on one of them"),
        ({"task": "chain", "noise_kind": "wrong"}, "data.noise_kind: must be 'wrong_step'"),
        ({"task": "chain", "mixture": "easy"}, "data.mixture: must be 'as_is'"),
        ({"source": ""}, "data.source: is empty"),
        ({"source": "rg:gcd"}, "tasks.far_ood: rg:gcd is trained on (data.source); list it under in_domain"),
    ],
)
def test_bad_data_sections(data, words):
    with pytest.raises(TriaxisError) as caught:
        study({"far_ood": ["rg:gcd"]}, data) if data else parse_study(
            {"model": {"base": "m"}, "data": {}, "tasks": {"in_domain": ["t"]}}
        )
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("tasks", "data", "evaluation", "words"),
    [
        ({"far_ood": ["rg:gcd"]}, None, {"max_new_tokens": 64},
         r"rg:gcd: \d+ of its \d+ words are not among those that lab:strong knows \(.*\); a lab model can't be asked"),
        ({"far_ood": ["rg:gdc"]}, None, {}, r"tasks.far_ood: .* did you mean rg:gcd"),
        ({}, {"task": "rg:gcd"}, {}, "data.task: rg:gcd is no task of the lab; give it as data.source: rg:gcd$"),
        ({}, {"task": "chain?surface=numbers"}, {}, r"give it as data.source: lab:chain\?surface=numbers$"),
        ({}, {"task": "file:a.jsonl?verifier=exact"}, {}, "give it as data.source: a.jsonl$"),
        ({}, {"source": "lab:rg:gcd"}, {}, "lab:rg:gcd.*: lab: is for the lab's own tasks; write rg:gcd"),
        ({}, {"source": "rg:gcd", "structure": "answer_only", "examples": 40}, {},
         r"rg:gcd: \d+ of its \d+ words are not"),
        ({"safety": ["refusals"]}, None, {}, "no task 'refusals'; did you mean refusal"),
        ({"far_ood": ["file:no.jsonl?verifier=exact"]}, None, {}, "tasks.far_ood: no.jsonl: no such file"),
    ],
)  # fmt: skip
def test_what_no_lab_run_could_follow_is_refused_first(tasks, data, evaluation, words):
    with pytest.raises(TriaxisError, match=words):
        checked(study(tasks, data, evaluation={"items": 5} | evaluation))


def test_a_limit_is_asked_for_where_no_reference_gives_one(tmp_path):
    path = tmp_path / "lab.jsonl"
    path.write_text(json.dumps({"question": "chain 1 + 2 ?", "answer": "3"}) + "\n")
    made = study({"far_ood": [f"file:{path}?template=bare&verifier=exact"]}, evaluation={"items": 1})
    with pytest.raises(TriaxisError, match=r"evaluation.max_new_tokens: auto needs reference responses, and file:"):
        checked(made)
    limited, _ = checked(made.replace(evaluation={"max_new_tokens": 32}))
    [base] = follow(job_of(limited, limited.runs()[0], base=True))
    assert {record.task for record in base.records} == set(limited.tasks["in_domain"]) | set(limited.tasks["far_ood"])


def test_notes_of_a_source():
    assert study(data={"source": "a.jsonl"}).notes[0].startswith("no safety group")
    gym = study({"in_domain": ["words"]}, {"source": "rg:gcd"}).notes
    assert gym[0].startswith("data.source: rg:gcd is trained on and not under in_domain")
    out = parse_study({"model": {"base": "m"}, "data": {"source": "a"}, "tasks": {"far_ood": ["t"]}, "seeds": 1}).notes
    assert out[0].startswith("data.source: no group in_domain")


def test_the_example_runs_shrunk():
    """examples/noise-by-structure.yaml from its file to records: every condition, one step, one item a task."""
    full = load_study("examples/noise-by-structure.yaml")
    assert set(full.factors) == {"model.base", "data.structure", "data.noise_rate"} and len(full.conditions()) == 8
    small = full.replace(
        seeds=1, optimization={"steps": 1, "batch_size": 8}, data={"examples": 8}, evaluation={"items": 1}
    )
    small, _ = checked(small)
    for run in small.runs():
        [measured] = follow(replace(job_of(small, run), state=None))
        assert measured.checkpoint.step == 1 and len(measured.records) == 7


# what is checked before anything runs


def chats(path, *conversations):
    """A file of conversations, each a list of what user and assistant say in turn."""
    roles = ("user", "assistant")
    rows = [
        {"id": f"r{i}", "messages": [{"role": roles[k % 2], "content": text} for k, text in enumerate(texts)]}
        for i, texts in enumerate(conversations)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("turns", [
    ["What is 17 + 4?", "It is 21", "Thanks; and now?", "\\boxed{5}"],
    ["What is", "Yes?", "17 + 4?", "\\boxed{5}"],
])  # fmt: skip
def test_what_was_asked_in_an_earlier_turn_is_trained_on_too(tmp_path, turns):
    test = tmp_path / "test.jsonl"
    test.write_text(json.dumps({"question": "What is 17 + 4?", "answer": "21"}) + "\n")
    items = get_task(f"file:{test}?verifier=exact").examples("eval", 0, 1)
    made = training_set(source(chats(tmp_path / "chat.jsonl", turns), examples=1, structure="no_cot"), 0)
    with pytest.raises(TriaxisError, match="training row r0 is evaluated too"):
        check_apart(made, items)
    other = training_set(source(chats(tmp_path / "chat.jsonl", turns[2:]), examples=1, structure="no_cot"), 0)
    check_apart(other, items)


def thoughts(path, n=60, prose=0, without=0):
    """A file of n rows with short traces, which the last few don't have, and solutions that are bare answers but for
    the first few."""
    rows = []
    for i in range(n):
        thought = f"<think> First, 3 + {i} = {3 + i}. So the sum is {3 + i}. </think> " if i < n - without else ""
        solution = f"The answer is \\boxed{{{3 + i}}}." if i < prose else f"\\boxed{{{3 + i}}}"
        rows.append({"id": f"t{i}", "prompt": f"3 + {i} ?", "completion": thought + solution, "answer": str(3 + i)})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def levels(path, factor, *names, **changes):
    return [source(path, examples=60) | changes | {factor: name} for name in names]


def test_levels_of_a_structure_that_come_to_the_same_are_refused(tmp_path):
    both = levels(thoughts(tmp_path / "bare.jsonl"), "structure", "no_cot", "answer_only", "short_cot")
    with pytest.raises(TriaxisError, match=r"bare.jsonl: data.structure: the same responses for no_cot and answer_only "
                                           r"in 60 of 60 rows: one level, and not two"):  # fmt: skip
        check_training(both, [0, 1], [])
    thoughts(tmp_path / "bare.jsonl", prose=20)
    [note] = check_training(both, [0, 1], [])
    assert note.endswith("data.structure: the same responses for no_cot and answer_only in 40 of 60 rows (seed 0)")
    assert check_training(both[1:], [0, 1], []) == []


def test_they_are_compared_whatever_else_changes_with_them(tmp_path):
    path = thoughts(tmp_path / "bare.jsonl")
    one, other = levels(path, "structure", "no_cot", "answer_only")
    with pytest.raises(TriaxisError, match="no_cot and answer_only in 40 of 40 rows"):
        check_training([one, other | {"examples": 40}], [0], [])
    with pytest.raises(TriaxisError, match="no_cot and answer_only"):
        check_training([one, other | {"noise_rate": 0.3, "noise_kind": "wrong_answer"}], [0], [])


def test_kinds_of_noise_are_compared_on_their_noisy_rows():
    noisy = [DATA | {"noise_rate": 0.1, "noise_kind": kind} for kind in ("wrong_step", "wrong_answer")]
    with pytest.raises(
        TriaxisError, match=r"boolean: data.noise_kind: the same responses for wrong_step and wrong_ans"
    ):
        check_training([one | {"task": "boolean", "structure": "no_cot"} for one in noisy], [0], [])
    assert check_training(noisy, [0], []) == []


def test_every_seed_is_checked_and_what_is_left_is_counted(tmp_path):
    path = thoughts(tmp_path / "some.jsonl", 200, without=3)
    data = levels(path, "structure", "short_cot")
    left = [sum(kept.rows for kept in noted_training_set(data[0], seed).kept) for seed in range(4)]
    assert left == [1, 2, 0, 0]
    [note] = check_training(data, range(4), [])
    rows = "1 to 2 of 60 rows are left as they came (no trace), in 2 of 4 training sets"
    assert note == f"{path}: data.structure short_cot: {rows}"
    thoughts(path, 200, without=12)
    first, *others = [seed for seed in range(12) if not fails(data[0], seed)][:1] + [
        seed for seed in range(12) if fails(data[0], seed)
    ]
    with pytest.raises(TriaxisError, match=r"data.structure: \d of 60 rows can't be made short_cot: no trace"):
        check_training(data, [first, *others], [])


def fails(data, seed):
    try:
        return not training_set(data, seed)
    except TriaxisError:
        return True


def test_what_is_left_shows_with_the_study(tmp_path):
    path = thoughts(tmp_path / "some.jsonl", without=2)
    made = study(data={"source": str(path), "structure": "short_cot", "examples": 60}, model={"base": str(tmp_path)})
    known = made.with_fingerprints({}, check_training(levels(path, "structure", "short_cot"), [0], []))
    assert study_of(Stored(as_stored(known))).notes == known.notes
    assert known.notes[0].endswith("2 of 60 rows are left as they came (no trace)") and known.notes[1:] == made.notes


class Stored:
    """A study's folder, as far as its study goes."""

    path = Path()

    def __init__(self, kept):
        self.kept = json.loads(json.dumps(kept))

    def study(self):
        return self.kept


def test_a_long_check_says_how_far_it_is(monkeypatch):
    monkeypatch.setattr("triaxis.execute.data_check.PATIENCE", 0.0)
    said = []
    check_training([DATA], range(3), [], tell=said.append)
    assert said[-1].endswith("to check it: 2 of 3 sets")


def test_the_labs_tasks_are_sources_too():
    for structure in ("long_cot", "short_cot", "no_cot"):
        made = training_set(source("lab:chain?surface=numbers", structure=structure), 4)
        items = get_task("chain?surface=numbers").examples("train", 4, 120)
        assert [(e.id, " ".join(e.response.split())) for e in made] == [(e.id, e.traces[structure]) for e in items]
    assert [e.id for e in training_set(source("lab:chain", difficulty="4"), 4)] == [
        e.id for e in rows(4, difficulty="4")
    ]
    assert len(training_set(source("lab:chain?n=200", structure="short_cot"), 4)) == 120


def test_advice_that_a_study_can_follow(tmp_path):
    path = tmp_path / "rows.jsonl"
    answers = [{"prompt": f"{i} ?", "completion": f"\\boxed{{{i}}}", "hardness": i % 3} for i in range(90)]
    path.write_text("".join(json.dumps(row) + "\n" for row in answers))
    with pytest.raises(
        TriaxisError, match=r"by 'triaxis data make' with source.fields \{difficulty: ITS COLUMN} and out"
    ):
        training_set(source(path, examples=30, structure="answer_only", mixture="easy_only"), 0)
    copy = tmp_path / "copy.jsonl"
    recipe = {
        "source": {"path": str(path), "fields": {"difficulty": "hardness"}},
        "steps": [],
        "output": {"path": str(copy), "format": "triaxis"},
    }
    make_files(parse_recipe(recipe))
    assert len(training_set(source(copy, examples=30, structure="answer_only", mixture="easy_only"), 0)) == 30
    with pytest.raises(TriaxisError, match=r"30 rows, and 31 are asked for; lower data.examples$"):
        training_set(source(copy, examples=31, structure="answer_only", mixture="easy_only"), 0)


# what is read


def test_ids_are_a_part_of_what_is_read(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text(name)
    before = read_from(f"{tmp_path}/*.jsonl")
    (tmp_path / "b.jsonl").rename(tmp_path / "c.jsonl")
    assert read_from(f"{tmp_path}/*.jsonl") != before, "rows have other ids, and so other draws"
    one = read_from(str(tmp_path / "a.jsonl"))
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.jsonl").rename(tmp_path / "deep" / "a.jsonl")
    assert read_from(str(tmp_path / "deep" / "a.jsonl")) == one, "a file's rows are called by its name"


def test_of_a_folder_its_data_is_read_and_nothing_else(tmp_path):
    (tmp_path / "state.json").write_text(
        json.dumps({"_data_files": [{"filename": "b.arrow"}, {"filename": "a.arrow"}]})
    )
    for name in ("a.arrow", "b.arrow"):
        (tmp_path / name).write_text(name)
    before = read_from(str(tmp_path))
    (tmp_path / "README.md").write_text("words")
    assert read_from(str(tmp_path)) == before
    (tmp_path / "state.json").write_text(
        json.dumps({"_data_files": [{"filename": "a.arrow"}, {"filename": "b.arrow"}]})
    )
    assert read_from(str(tmp_path)) != before, "the rows come in another order"


def test_files_that_the_datasets_library_reads_are_read(tmp_path):
    (tmp_path / "a.csv").write_text("1")
    by_name, by_pattern, by_folder = (
        f"hf:csv?data_files={tmp_path}/a.csv", f"hf:csv?data_files={tmp_path}/*.csv", f"hf:csv?data_dir={tmp_path}"
    )  # fmt: skip
    before = [read_from(name) for name in (by_name, by_pattern, by_folder)]
    assert len(set(before)) == 1 and len(before[0]) == 12
    (tmp_path / "a.csv").write_text("2")
    assert before[0] not in [read_from(name) for name in (by_name, by_pattern, by_folder)]
    assert read_from("hf:owner/name?revision=1f3a&split=test") == "revision 1f3a"
    assert read_from("hf:owner/name?data_files=a.csv") == read_from("lab:chain") == ""


def test_a_data_set_that_can_change_unseen_is_noted(tmp_path):
    (tmp_path / "a.csv").write_text("1")
    names = ["hf:owner/name", "hf:owner/name?revision=1f3a", f"hf:csv?data_files={tmp_path}/a.csv", "rows.jsonl"]
    [note] = _unseen(names, {name: told for name in names if (told := read_from(name))})
    assert note.startswith("data.source: hf:owner/name names no revision: that it has changed would go unseen; add rev")


def test_a_file_that_changes_after_the_check_fails_the_job_in_one_line(lab_file):
    made, _ = checked(
        parse_study(
            {
                "model": {"base": "lab:weak"},
                "data": {"source": str(lab_file), "examples": 64, "structure": "long_cot"},
                "optimization": {"steps": 2},
                "seeds": 1,
                "tasks": {"in_domain": ["chain"]},
                "evaluation": {"items": 2},
            }
        )
    )
    job = job_of(made, made.runs()[0])
    assert list(job.read) == [str(lab_file)] and not job_of(made, made.runs()[0], base=True).read
    lab_file.write_text(lab_file.read_text().replace("5/", "6/"))
    with pytest.raises(
        TriaxisError, match=r"chain.jsonl: has changed since the study was checked; put it back, or run"
    ):
        next(follow(job))
    lab_file.unlink()
    with pytest.raises(TriaxisError, match=r"chain.jsonl: is gone since the study was checked"):
        next(follow(job))


def test_a_budget_is_estimated_for_a_structure_that_tasks_do_not_have(lab_file):
    made = parse_study({
        "model": {"base": "lab:weak"}, "data": {"source": str(lab_file), "examples": 64, "structure": "answer_only"},
        "optimization": {"steps": 2}, "seeds": 1, "tasks": {"in_domain": ["chain"]}, "evaluation": {"items": 2},
        "budget": {"minutes": 30},
    })  # fmt: skip
    total, _ = estimate(checked(made)[0], 1)
    assert total.generated_tokens > 0
