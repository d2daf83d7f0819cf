"""Tasks of lm-evaluation-harness by name: equal to its own results item by item, and asked like any other task."""

import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from harness_cases import GEN, MC, TASKS, sums, write_lab, write_rows, write_tasks
from retention_cases import conducted, contents
from triaxis.axes.data import TrainingExample, check_apart
from triaxis.axes.model import load_base
from triaxis.evaluate.measure import measure, questions
from triaxis.execute.branching import by_chance
from triaxis.execute.check import checked
from triaxis.execute.conduct import job_of
from triaxis.execute.conduct import saved as saving
from triaxis.execute.cost import estimate
from triaxis.execute.run import follow
from triaxis.records import Store
from triaxis.study import parse_study
from triaxis.study.evaluation import Evaluation
from triaxis.tasks import get_task, is_open, read_from
from triaxis.tasks.harness import notes_on
from triaxis.types import Outcome, RunFailed, TriaxisError

pytest.importorskip("lm_eval")
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from test_models import byte_tokenizer, saved, tiny
from triaxis.evaluate.generate import Response
from triaxis.evaluate.harness import _kept, harness_questions

TRIAXIS = str(Path(sys.executable).parent / "triaxis")
LAB = {"general": [MC, GEN]}
STUDY = {
    "model": {"base": "lab:weak"},
    "data": {"task": "chain", "examples": 64},
    "optimization": {"learning_rate": 1e-3, "steps": 2, "batch_size": 8},
    "tasks": {"in_domain": ["chain"], **LAB},
    "evaluation": {"items": 6},
    "trajectory": {"steps": [1, 2]},
    "seeds": [0],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    at = tmp_path_factory.mktemp("tasks")
    write_tasks(at)
    write_lab(at)
    return at


@pytest.fixture
def here(folder, monkeypatch):
    """In the folder of the tasks, without a network to wait for."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda told: None)  # seconds of pip, nvidia-smi and the like
    return folder


@pytest.fixture(scope="module")
def model():
    return tiny(max_position_embeddings=1024).eval(), byte_tokenizer()


def asked_of(name, tokenizer, items=8, **more):
    chosen = {"samples": 1, "modes": ("default",), "max_new_tokens": "auto", "seed": 0} | more
    return questions({"general": [name]}, tokenizer, items=items, **chosen)


def answered(asked, model, tokenizer, batch_size=32):
    return measure(model, tokenizer, asked, run="r", step=1, temperature=0.0, batch_size=batch_size)


def theirs(name, places, model, tokenizer, batch_size=3):
    """lm-eval's own samples of the same documents, by document."""
    path, _, query = name.removeprefix("lm_eval:").partition("?")
    options = dict(part.split("=") for part in query.split("&") if part)
    shots = options.get("num_fewshot")
    task = get_task(name)
    told = simple_evaluate(
        HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size),
        tasks=[path],
        samples={task.inner.config.task: sorted(places)},
        num_fewshot=int(shots) if shots else None,
        apply_chat_template=options.get("apply_chat_template") == "true",
        bootstrap_iters=0,
        task_manager=TaskManager(include_defaults=False),
    )
    return {s["doc_id"]: s for s in told["samples"][task.inner.config.task] if s["filter"] == task.filter}


@pytest.mark.parametrize(
    "name",
    [
        "lm_eval:mc.yaml",
        "lm_eval:mc.yaml?metric=acc_norm&num_fewshot=3",
        "lm_eval:mc.yaml?apply_chat_template=true&num_fewshot=2",
        "lm_eval:gen.yaml",
        "lm_eval:gen.yaml?apply_chat_template=true&metric=exact_match,last&num_fewshot=2",
        "lm_eval:ll.yaml?num_fewshot=1",
        "lm_eval:fields.yaml",  # as winogrande: the choices stand in the contexts
        "lm_eval:mutual.yaml?num_fewshot=1",  # each choice without its context too
    ],
)
def test_every_item_is_what_lm_eval_itself_finds(here, model, name):
    asked = asked_of(name, model[1])
    task = asked[0].task
    found = theirs(name, [task.problem(q.example) for q in asked], *model)
    assert len(found) == len(asked) == 8
    for question, record in zip(asked, answered(asked, *model), strict=True):
        sample = found[task.problem(question.example)]
        assert record.score == sample[task.metric]
        assert task.verdict(question.example, record.text, record.finished) == (record.outcome, record.score)
        if question.pairs:
            told = json.loads(record.text)
            assert told["log_likelihood"] == pytest.approx([r[0][0] for r in sample["resps"]], abs=1e-4)
            assert told["greedy"] == [r[0][1] for r in sample["resps"]]
            right = task.right(question.example)
            assert record.log_probability == told["log_likelihood"][right] and record.response_tokens is None
        else:
            assert task.reply(record.text) == sample["resps"][0][0]


def test_the_filter_that_is_asked_for_decides(here):
    answers = []
    for key in ("first", "last"):
        task = get_task(f"lm_eval:gen.yaml?metric=exact_match,{key}")
        drawn = task.examples("eval", 0, 8)
        answers.append([task.verdict(e, f" I think of 17, but it is {e.answer}.", True)[1] for e in drawn])
    assert answers == [[0.0] * 8, [1.0] * 8]


def test_items_are_drawn_by_content_and_are_lm_evals_documents(here):
    task = get_task("lm_eval:mc.yaml")
    drawn = task.examples("eval", 0, 10)
    assert [e.id for e in task.examples("eval", 0, 4)] == [e.id for e in drawn[:4]]
    assert drawn != task.examples("eval", 1, 10) and sorted(map(task.problem, drawn)) != list(range(10))
    rows = [json.loads(line) for line in (here / "quiz.jsonl").read_text().splitlines()]
    for example in drawn:
        row = rows[task.problem(example)]
        assert example.prompt == f"Question: {row['question']}\nAnswer:" and example.answer == row["answer"]
        assert task.example(example.id) == example
    with pytest.raises(TriaxisError, match="holds 30 items, and 31 are asked for"):
        task.examples("eval", 0, 31)
    with pytest.raises(TriaxisError, match="is not trained on"):
        task.examples("train", 0, 1)


def test_part_of_the_questions_is_answered_as_all_of_them_are(here, model):
    for name in ("lm_eval:mc.yaml?num_fewshot=2", "lm_eval:gen.yaml?num_fewshot=2&temperature=1"):
        asked = asked_of(name, model[1], samples=2)
        whole = answered(asked, *model)
        some = answered(asked[3:7], *model, batch_size=2)
        assert [_told(record) for record in some] == [_told(record) for record in whole[3:7]]
    assert len(asked) == 16 and len({r.text for r in whole if r.item == whole[0].item}) == 2  # two draws an item


def _told(record):
    return record.item, record.sample, record.outcome, record.score, record.response_tokens, record.finished


def test_a_response_is_not_carried_on_beyond_its_stop_string(here, model, monkeypatch, tmp_path):
    """What the model itself says in the middle of a response is made the stop string."""
    plain = answered(asked_of("lm_eval:gen.yaml", model[1], 1), *model)[0]
    middle = len(plain.text) // 2
    stop = plain.text[middle : middle + 2]
    text = (here / "gen.yaml").read_text().replace('["\\n\\n", "Question:"]', json.dumps([stop]))
    (tmp_path / "stopped.yaml").write_text(text.replace("common.yaml", str(here / "common.yaml")))
    seen = []
    monkeypatch.setattr("triaxis.evaluate.harness._kept", lambda *asked: seen.append(asked[1]) or _kept(*asked))
    record = answered(asked_of(f"lm_eval:{tmp_path}/stopped.yaml", model[1], 1), *model)[0]
    assert stop.strip() and record.finished and record.text == plain.text[: plain.text.index(stop)]
    assert len(seen[0].tokens) == record.response_tokens < plain.response_tokens == 24


TEXTS = [  # a response, whether it ended by itself; what is kept of it, what is judged
    (" 12\n\nQuestion: more", False, " 12", " 12"),
    ("12 Question: more\n\n", True, "12 ", "12 "),
    ("<think>a\n\nb Question: c</think>\n\n12\n\nand", False, "<think>a\n\nb Question: c</think>\n\n12", "12"),
    ("<think>a</think> 3 <think>b\n\n</think> 12", True, "<think>a</think> 3 <think>b\n\n</think> 12", "12"),
    ("<think>a\n\nQuestion: and 12", False, "<think>a\n\nQuestion: and 12", ""),
    ("a thought</think>\n12\n\n", True, "a thought</think>\n12", "12"),
    ("\n\n12", True, "", ""),  # as lm-eval: nothing was thought, and the stop string is the first thing said
]


@pytest.mark.parametrize("said, finished, kept, reply", TEXTS)
def test_a_stop_string_ends_a_reply_and_never_a_thought(here, model, said, finished, kept, reply):
    _, tokenizer = model
    question = asked_of("lm_eval:gen.yaml", tokenizer, 1)[0]
    task = question.task
    assert task.settled(said)[:2] == (kept, reply) and task.reply(kept) == reply
    tokens = tuple(tokenizer(said, add_special_tokens=False)["input_ids"])
    text, n, ended = _kept(question, Response(tokens, finished), tokenizer)
    assert text == kept and ended == (finished or said != kept)
    assert len(tokens) == len(said.encode()) and n == (len(tokens) if said == kept else len(kept) + _stop(said, kept))


def _stop(said, kept):
    return next(len(stop) for stop in ("\n\n", "Question:") if said[len(kept) :].startswith(stop))


@pytest.mark.parametrize(
    "said, finished, outcome",
    [
        (" {} it is", False, Outcome.CORRECT),
        (" 5 it is", True, Outcome.WRONG),
        (" 5 it is and", False, Outcome.TRUNCATED),
        (" no idea", True, Outcome.UNPARSED),
        ("", True, Outcome.UNPARSED),
        ("<think> {}", True, Outcome.TRUNCATED),  # a thought that is never closed
        (" I'm sorry, I can't help with that.", True, Outcome.REFUSED),
    ],
)
def test_what_became_of_a_response(here, said, finished, outcome):
    task = get_task("lm_eval:gen.yaml")
    example = task.examples("eval", 0, 1)[0]
    assert task.verdict(example, said.format(example.answer), finished) == (outcome, float(outcome is Outcome.CORRECT))


REFUSED = {
    "lm_eval:nix.yaml": "no such file",
    "lm_eval:group.yaml": "is a group .sums_mc, sums_gen.; name the files",
    "lm_eval:rolling.yaml": "a perplexity is no score",
    "lm_eval:votes.yaml": "its score is of 4 responses together",
    "lm_eval:code.yaml": "it runs responses as code",
    "lm_eval:corpus.yaml": "none of its metrics is a mean .* .bleu.",
    "lm_eval:nucleus.yaml": "its generation_kwargs have top_p: 0.9",
    "lm_eval:mc.yaml?metrc=acc": "no option metrc",
    "lm_eval:mc.yaml?metric=f1": "no metric f1; it has acc,none or acc_norm,none",
    "lm_eval:mc.yaml?temperature=1": "temperature is for tasks that generate",
    "lm_eval:mc.yaml?num_fewshot=8": "it has 8 to choose from",
    "lm_eval:mc.yaml?num_fewshot=two": "a whole number from 0, got 'two'",
    "lm_eval:mc.yaml?apply_chat_template=yes": "true or false, got 'yes'",
    "lm_eval:mc.yaml?surface=wording": "no surface variants",
    "lm_eval:mc.yaml?num_fewshot=1&metric=acc": "write it lm_eval:mc.yaml.metric=acc&num_fewshot=1",
    "lm_eval:humaneval": "it runs responses as code",
    "lm_eval:squadv2": "a Python class with its own ways of asking",
    "lm_eval:gsm8k": "its data set openai/gsm8k is not on this machine",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_asked_is_told_in_one_line(here, name):
    with pytest.raises(TriaxisError, match=REFUSED[name]) as told:
        get_task(name)
    assert "\n" not in str(told.value) and is_open(name)


@pytest.mark.slow  # lm-eval reads all of its 14,000 files to say which names it has
def test_a_name_that_is_not_there_is_told_with_the_nearest_and_a_group_with_its_tasks(here):
    for name, told in {
        "arc_esy": 'did you mean "lm_eval:arc_easy"',
        "mmlu": "a group of 57 tasks; .*lm_eval:mmlu_abstract_algebra.* and 51 more",
        "ai2_arc": "a group of 2 tasks; .*: lm_eval:arc_challenge, lm_eval:arc_easy$",
    }.items():
        with pytest.raises(TriaxisError, match=told):
            get_task(f"lm_eval:{name}")


def test_broken_files_are_told(here, tmp_path):
    at = tmp_path / "bad.yaml"
    for text, told in {
        "task: [": "can't be read",
        "output_type: generate_until": "names no task",
        f"task: bad\n{(here / 'common.yaml').read_text()}output_type: nothing": "lm-eval can't open it .*nothing",
        "task: bad\ninclude: nowhere.yaml": "can't be read",
        "task: bad\noutput_type: multiple_choice\ndataset_path: json\ndataset_kwargs: {data_files: none.jsonl}\n"
        "test_split: train\ndoc_to_text: a\ndoc_to_target: b": "lm-eval can't open it",
        "task: bad\ndoc_to_text: !function nothing.here": "nothing",
    }.items():
        at.write_text(text)
        with pytest.raises(TriaxisError, match=told) as caught:
            get_task(f"lm_eval:{at}")
        assert "\n" not in str(caught.value)


def test_a_task_is_known_by_what_it_is(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tasks(tmp_path)
    name = "lm_eval:mc.yaml?num_fewshot=1"
    before = read_from(name)
    assert before.startswith("lm_eval 0.4.") and read_from(name) == before
    (tmp_path / "gen.yaml").touch()  # another task's
    assert read_from(name) == before
    seen = {before}
    for change in (
        lambda: (tmp_path / "common.yaml").write_text((tmp_path / "common.yaml").read_text() + "description: Sums\n"),
        lambda: (tmp_path / "mc.yaml").write_text((tmp_path / "mc.yaml").read_text() + "target_delimiter: ' = '\n"),
        lambda: write_rows(tmp_path / "shots.jsonl", sums(8, 3)),
        lambda: write_rows(tmp_path / "quiz.jsonl", sums(31, 1)),
    ):
        change()
        assert read_from(name) not in seen
        seen.add(read_from(name))


def test_code_beside_a_task_is_a_part_of_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tasks(tmp_path)
    text = (
        (tmp_path / "mc.yaml")
        .read_text()
        .replace('doc_to_choice: "{{choices}}"', "doc_to_choice: !function mine.choices")
    )
    (tmp_path / "mc.yaml").write_text(text)
    module = tmp_path / "mine.py"
    module.write_text("import random\ndef choices(doc):\n    print('noise')\n    return doc['choices']\n")
    before = read_from("lm_eval:mc.yaml")
    module.write_text(module.read_text() + "\n# changed\n")
    assert read_from("lm_eval:mc.yaml") != before


def test_nothing_is_printed_and_no_random_stream_moves(here, model, capfd):
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state().tolist()
    for name in ("lm_eval:mc.yaml?num_fewshot=1", "lm_eval:gen.yaml"):
        answered(asked_of(name, model[1], 3), *model)
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state().tolist()) == before
    assert capfd.readouterr() == ("", "")


def test_a_template_that_opens_a_thought_is_no_place_for_a_choice(here):
    opening = byte_tokenizer()
    opening.chat_template += "{% if add_generation_prompt %}<think>\n{% endif %}"
    with pytest.raises(TriaxisError, match="opens a thought"):
        asked_of("lm_eval:mc.yaml?apply_chat_template=true", opening)
    assert asked_of("lm_eval:mc.yaml", opening)
    question = asked_of("lm_eval:gen.yaml?apply_chat_template=true", opening, 1)[0]
    tokens = tuple(opening("so\n\nit is</think>\n\n12\n\nand", add_special_tokens=False)["input_ids"])
    text, _, _ = _kept(question, Response(tokens, True), opening)
    assert text == "<think>\nso\n\nit is</think>\n\n12" and question.task.reply(text) == "12"


def test_what_an_evaluation_says_and_a_task_overrules_is_told(here):
    task = get_task("lm_eval:gen.yaml")
    told = notes_on(
        task, "general", Evaluation(max_new_tokens=2048, temperature=0.6, samples=4, few_shot=2, stop=("END",))
    )
    for part in (
        "exact_match,first; it also has exact_match,last",
        "few_shot does not hold",
        "stop does not hold",
        "may have 24 tokens",
        "at temperature 0,",
        "without the chat template",
    ):
        assert sum(part in line for line in told) == 1, part
    assert any(
        "drawn from what it asks" in line
        for line in notes_on(get_task("lm_eval:mutual.yaml?num_fewshot=1"), "general", Evaluation())
    )
    full = get_task("lm_eval:lab_gen.yaml?apply_chat_template=true&max_gen_toks=2048&temperature=0.6")
    assert notes_on(full, "general", Evaluation(max_new_tokens=2048, temperature=0.6, samples=4)) == []


def test_a_row_that_is_trained_on_is_not_asked(here):
    task = get_task("lm_eval:mc.yaml")
    items = task.examples("eval", 0, 5)
    question = items[2].also[0]
    assert question.startswith("What do you get")
    check_apart([TrainingExample("row-1", "What do you get if you add 1 and 1?", "2", False)], items)
    for said in (question, items[2].prompt):
        with pytest.raises(TriaxisError, match=r"row-1 is evaluated too, as lm_eval:mc.yaml"):
            check_apart([TrainingExample("row-1", said, "2", False)], items)


def test_a_study_asks_them_and_its_runs_are_known_by_them(here):
    study = parse_study(STUDY)
    known, notes = checked(study)
    run = known.runs()[0]
    assert set(known.read_by(run.condition)) == {MC, GEN} and run.id != study.runs()[0].id and len(notes) == 2
    measured = list(follow(job_of(known, run)))
    assert [m.checkpoint.step for m in measured] == [1, 2]
    for point in measured:
        by_task = {task: [r for r in point.records if r.task == task] for task in ("chain", MC, GEN)}
        assert [len(records) for records in by_task.values()] == [6, 6, 6]
        assert all(r.response_tokens for r in by_task[GEN])
        assert all(r.log_probability < 0 and r.group == "general" for r in by_task[MC])
        for record in (*by_task[MC], *by_task[GEN]):
            task = get_task(record.task)
            assert task.verdict(task.example(record.item), record.text, record.finished) == (
                record.outcome,
                record.score,
            )
    moved = job_of(known, run)
    with pytest.raises(TriaxisError, match="has changed since the study was checked"):
        list(follow(replace(moved, read={**moved.read, MC: "lm_eval 0.4.13 000000000000"})))


def test_runs_that_share_steps_share_their_answers_unless_these_are_drawn_by_chance(here, tmp_path):
    """Greedy answers and likelihoods are those of every run that shares the checkpoint, and are told as saved."""
    stopping = {"early_stopping": ["none", "in_domain"], "smallest_improvement": 0.5}
    made = parse_study(
        {
            **STUDY,
            "optimization": {**STUDY["optimization"], **stopping},
            "tasks": {**STUDY["tasks"], "general": [MC, GEN]},
        }
        | {"selection": {"items": 2}, "evaluation": {"items": 6, "adaptive": {"smallest_effect": 0.3}}}
    )
    conducted(made, tmp_path / "alone", branching=False)
    conducted(made, tmp_path / "shared")
    assert contents(tmp_path / "shared") == contents(tmp_path / "alone")
    with Store.open(tmp_path / "shared", read_only=True) as store:
        spent = [c for c in store.costs() if c.phase == "saved.evaluate" and c.tokens]
        assert saving(made, store).checkpoints == len(spent) == 2
    assert not by_chance(made) and by_chance(made.replace(tasks={"general": [f"{GEN}&temperature=0.7"]}))


def test_a_likelihood_costs_what_it_takes(here, monkeypatch):
    """A study that asks for likelihoods alone generates nothing, and is not free."""
    monkeypatch.setattr("triaxis.execute.cost.TRAIN_SECONDS", 0.1)
    study = parse_study({**STUDY, "tasks": {"general": [MC]}})
    few, _ = estimate(checked(study)[0], 1)
    many, _ = estimate(checked(study.replace(evaluation={"items": 40}))[0], 1)
    assert few.generated_tokens == many.generated_tokens == 0 and many.cpu_seconds > few.cpu_seconds


def test_lab_models_are_not_asked_in_words_they_do_not_know(here):
    with pytest.raises(TriaxisError, match="words are not among those that lab:weak knows"):
        checked(parse_study({**STUDY, "tasks": {"general": ["lm_eval:mc.yaml"]}}))
    for data, told in ({"task": MC}, "lm-eval's are not trained on"), ({"source": MC}, "no file fits the pattern"):
        data = {**data, "examples": 64}
        with pytest.raises(TriaxisError, match=told):
            checked(parse_study({**STUDY, "data": data}))


def test_a_trainer_does_not_notice(here, tmp_path):
    from trainer_cases import callback, trainer, weights

    ends = []
    for callbacks in ([], [callback(tmp_path / "runs", tasks=LAB, evaluation={"items": 3})]):
        torch.manual_seed(7), random.seed(7), np.random.seed(7)
        run = trainer(tmp_path / "out", callbacks, dropout=0.3, max_steps=4)
        run.train()
        assert run.model.training
        ends.append((weights(run), torch.random.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()))
    (plain, *streams), (watched, *others) = ends
    assert all(torch.equal(plain[name], watched[name]) for name in plain)
    assert torch.equal(streams[0], others[0]) and streams[1:] == others[1:]
    from triaxis.records import Store

    with Store.open(tmp_path / "runs", read_only=True) as store:
        assert {MC, GEN} == set(store.table().arrow.column("task").to_pylist())


def test_checkpoints_are_evaluated_by_command(here, tmp_path):
    base, tokenizer = load_base("lab:weak")
    saved(tmp_path / "mine" / "checkpoint-4", base, tokenizer)
    (tmp_path / "tasks.yaml").write_text(json.dumps({"tasks": LAB, "evaluation": {"items": 5}}))
    words = ["evaluate", tmp_path / "mine", "--tasks", tmp_path / "tasks.yaml", "--out", tmp_path / "out", "--json"]
    done = subprocess.run([TRIAXIS, *map(str, words)], capture_output=True, text=True, timeout=300, cwd=here)
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)["scores"]
    assert {score["task"] for score in scores} == {MC, GEN} and {score["items"] for score in scores} == {5}
    assert "lm-eval" not in done.stderr and "Generating" not in done.stderr


@pytest.mark.slow  # half a minute of a real model
def test_smollm2_scores_what_lm_eval_finds(here):
    from test_models import smollm2

    model, tokenizer = load_base(smollm2())
    for name in ("lm_eval:mc.yaml?num_fewshot=2", "lm_eval:gen.yaml?apply_chat_template=true"):
        asked = asked_of(name, tokenizer, 6)
        task = asked[0].task
        found = theirs(name, [task.problem(q.example) for q in asked], model, tokenizer)
        records = answered(asked, model, tokenizer)
        assert [r.score for r in records] == [found[task.problem(q.example)][task.metric] for q in asked]


def test_a_score_that_is_no_share_is_told(here, model):
    task = get_task("lm_eval:mc.yaml")
    example = task.examples("eval", 0, 1)[0]
    with pytest.raises(RunFailed, match="no number from 0 to 1"):
        replace(task, metric="nothing").score_of(example, [(-1.0, False)] * 4)
    assert task.verdict(example, "no JSON", True) == (Outcome.UNPARSED, 0.0)
    assert set(TASKS) and harness_questions(task, "general", [example], model[1], 3)[0].sample == 0
