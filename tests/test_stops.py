"""Stop strings after the reasoning, thoughts that never close, and how responses were had, in the records."""

import hashlib
import json
import random
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from triaxis.cli import main
from triaxis.evaluate.backends.vllm_engine import lacking
from triaxis.evaluate.generate import Response
from triaxis.evaluate.measure import questions
from triaxis.evaluate.stops import Stops
from triaxis.execute.backends import agreed, told_backend
from triaxis.execute.conduct import evaluation_id, job_of
from triaxis.execute.run import follow
from triaxis.integrations import read_results
from triaxis.records import Store, make_table, read_table, verify
from triaxis.records.parts import read_part, write_part
from triaxis.study import parse_study
from triaxis.study.evaluation import Evaluation
from triaxis.tasks import get_task
from triaxis.types import Outcome, Record, TriaxisError

TRIAXIS = str(Path(sys.executable).parent / "triaxis")
TEXTS = [
    "<think> so 3\n\nthen 4\n\n</think>\n\nIt is 7.\n\nQ: and now?",
    "</think> <think>a</think>\n\n",
    "caffè ☕ naïve\n\n über",
    "Answer: 5\nQ: next one? Answer: 6",
]


@pytest.fixture(scope="module")
def bytes_tokenizer():
    """Byte-level, as most models of today: `</think>` is several tokens, and so is a character that is not ASCII."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(TEXTS[:1], trainers.BpeTrainer(vocab_size=270, initial_alphabet=alphabet))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<e>", pad_token="<p>")


def place(text, strings, opened=False):
    return Stops(None, [strings], [opened]).place(0, text)


@pytest.mark.parametrize(
    ("text", "opened", "ends"),
    [
        ("a\n\nb", False, "a"),
        ("\n\na\n\nb", False, "\n\na"),  # what a reply begins with is no stop
        (TEXTS[0], False, "<think> so 3\n\nthen 4\n\n</think>\n\nIt is 7."),
        ("so\n\n3 </think>\n\n7\n\n8", True, "so\n\n3 </think>\n\n7"),  # the chat template had opened the thought
        ("so\n\n3", True, "so\n\n3"),
        ("<think> a </think> b <think> c\n\n </think> d\n\ne", False, "<think> a </think> b <think> c\n\n </think> d"),
        ("a <think> b\n\nc", False, "a <think> b\n\nc"),
        ("\nQ: c", False, ""),  # a stop string that says something is one wherever it stands
        ("<think>\n\n", False, "<think>\n\n"),
        ("</think>\n\n", True, "</think>\n\n"),
        ("", False, ""),
    ],
)
def test_where_a_response_ends(text, opened, ends):
    assert text[: place(text, ["\n\n", "\nQ:"], opened)] == ends
    assert place(text, [], opened) is None


def test_token_by_token_equals_the_whole(bytes_tokenizer):
    """Random texts of what matters, by every way to it: followed as it comes, settled at the end, read at once."""
    rng, pieces = random.Random(0), ["<think>", "</think>", "\n", "\n\n", " ", "a", "Q:", "é", "☕", "</", "think>"]
    fired = 0
    for _ in range(300):
        text = "".join(rng.choice(pieces) for _ in range(rng.randrange(14)))
        strings, opened = rng.sample(["\n\n", "Q:", "é", "☕Q"], rng.randrange(1, 4)), rng.random() < 0.3
        tokens = bytes_tokenizer(text)["input_ids"]
        stops = Stops(bytes_tokenizer, [strings], [opened])
        at = stops.place(0, text)
        may_end = stops.may_end(len(bytes_tokenizer))
        ended = next((i for i in range(1, len(tokens) + 1) if may_end[tokens[i - 1]] and stops.ends(0, tokens[:i])), 0)
        found = stops.settled(0, Response(tuple(tokens), False))
        if at is None:
            assert not ended and found == Response(tuple(tokens), False)
            continue
        fired += 1
        assert found.finished and len(found.tokens) == ended, (text, strings, opened)
        assert stops.cut(0, bytes_tokenizer.decode(found.tokens)) == text[:at]
        short = Stops(bytes_tokenizer, [strings], [opened]).settled(0, Response(found.tokens[:-1], False))
        assert not short.finished, "a token less does not hold it"
    assert fired > 80


def test_few_tokens_can_end_a_response(bytes_tokenizer):
    """Text is made only when the last token can be the end of a stop string: of a thought's tokens few are."""
    may_end = Stops(bytes_tokenizer, [["\n\n"], ["###"]], [False, False]).may_end(300)
    texts = [bytes_tokenizer.decode([i]) for i in range(len(bytes_tokenizer))]
    assert may_end[: len(texts)].tolist() == ["\n" in text or "#" in text for text in texts]
    assert may_end[len(texts) :].all(), "a model may have more tokens than its tokenizer"


# -- a thought that never closes ---------------------------------------------------------------------------------------


@pytest.fixture
def sets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"question": "2 + 5?", "answer": "7"}, {"question": "1 + 1?", "answer": "2"}]
    choices = [{"question": "Which?", "answer": "B", "choices": ["a cat", "a dog"]}]
    for name, content in (("sums", rows), ("quiz", choices)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))


@pytest.mark.parametrize(
    "name",
    [
        "chain", "boolean", "refusal", "pointer?surface=symbols", "rg:chain_sum", "file:sums.jsonl?verifier=math",
        "file:sums.jsonl?verifier=exact", "file:quiz.jsonl?verifier=choice",
    ],
)  # fmt: skip
def test_a_thought_that_never_closes_is_truncated_in_every_kind_of_task(name, sets):
    task = get_task(name)
    (item,) = task.examples("eval", 0, 1)
    plain = name.startswith(("rg:", "file:"))
    right = task.replied(item.answer) if plain else task.trace(task.problem(item), "no_cot")
    desired = task.outcome(item, right, True)
    assert task.score(desired) == 1
    for finished in (True, False):  # ended by itself, or ran into the limit
        for text in (f"<think> {right}", "<think>", f"<think> hm </think> {right} <think> wait", f"{right} <think> hm"):
            assert task.outcome(item, text, finished) == "truncated", (text, finished)
            assert task.given(text, finished) is None
    # What follows the last closed thought is scored, whatever stands in the thoughts.
    for thought in ("hm", "I can't help. refuse A 1 \\boxed{1} <answer>1</answer> B"):
        for text in (f"<think> {thought} </think> {right}", f"{thought} </think> {right}"):
            assert task.outcome(item, text, True) == desired, text
        twice = f"<think> a </think> {right} <think> {thought} </think> {right}"
        assert task.outcome(item, twice, True) == desired


# -- the settings ------------------------------------------------------------------------------------------------------

STUDY = {
    "model": {"base": "lab:strong"},
    "data": {"task": "chain", "examples": 16},
    "optimization": {"learning_rate": 1e-5, "steps": 1, "batch_size": 8},
    "tasks": {"in_domain": ["chain"], "safety": ["refusal"]},
    "evaluation": {"items": 6, "modes": ["think"]},
    "seeds": [0],
}


def with_evaluation(**more):
    return parse_study(STUDY | {"evaluation": STUDY["evaluation"] | more})


def test_defaults_are_no_part_of_older_ids():
    told = Evaluation().model_dump(mode="json")
    assert "backend" not in told and "stop" not in told
    usual = with_evaluation()
    for same in ({"backend": "auto"}, {"stop": []}):
        assert with_evaluation(**same).runs()[0].id == usual.runs()[0].id
        assert evaluation_id(with_evaluation(**same)) == evaluation_id(usual)
    for other in ({"backend": "transformers"}, {"stop": [";"]}):
        assert with_evaluation(**other).runs()[0].id != usual.runs()[0].id
        assert evaluation_id(with_evaluation(**other)) != evaluation_id(usual)
    assert Evaluation(stop="x").stop == ("x",)


@pytest.mark.parametrize("stop", [[""], ["a", "a"], 3, ["x" * 201], [1], [str(i) for i in range(17)]])
def test_stops_that_can_not_be(stop):
    with pytest.raises(TriaxisError, match=r"evaluation.stop: must be up to 16 different strings of 1 to 200 char"):
        with_evaluation(stop=stop)


def test_stops_of_a_task_stand_beside_those_of_the_evaluation():
    from triaxis.axes.model import load_base

    class Asked:
        """A task whose items bring their own, as a harness's do."""

        def __init__(self, task):
            self.task = task

        def __getattr__(self, name):
            return getattr(self.task, name)

        def stops(self, example):
            return (";", "\n")

    _, tokenizer = load_base("lab:weak")
    settings = {"items": 2, "samples": 2, "modes": ["default"], "max_new_tokens": 8, "seed": 0}
    plain = questions({"in_domain": ["chain"]}, tokenizer, **settings, stop=["Q:"])
    assert {q.stops for q in plain} == {("Q:",)} and [q.sample for q in plain] == [0, 1, 0, 1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["triaxis.evaluate.measure"], "get_task", lambda name: Asked(get_task(name)))
        own = questions({"in_domain": ["chain"]}, tokenizer, **settings, stop=["Q:", ";"])
    assert {q.stops for q in own} == {("Q:", ";", "\n")}


def base_records(**evaluation):
    """The records of the base, as a run's worker measures it."""
    study = with_evaluation(**evaluation)
    (measured,) = follow(job_of(study, study.runs()[0], base=True))
    return measured.records


def test_a_stop_in_a_thought_changes_nothing_and_one_in_the_reply_cuts_it():
    plain = base_records()
    inside = base_records(stop=[";"], backend="transformers")
    cut = base_records(stop=["A"], backend="continuous", batch_size=4)
    assert {r.backend for r in plain} == {"ours"} and {r.backend for r in cut} == {"continuous"}
    how = {(r.batch_size, r.dtype, r.temperature) for r in plain}
    assert how == {(512, "float32", 0.0)} and {r.batch_size for r in cut} == {4}
    same = ("item", "outcome", "text", "response_tokens", "finished")
    assert [[getattr(r, n) for n in same] for r in plain] == [[getattr(r, n) for n in same] for r in inside]
    assert any(r.text.count(";") > 1 for r in plain)
    shorter = 0
    for whole, short in zip(plain, cut, strict=True):
        thought, closed, reply = whole.text.rpartition("</think>")
        if "A" in reply.split():
            shorter += 1
            assert short.text == f"{thought}{closed}" and short.finished and short.outcome == "unparsed"
            assert short.response_tokens == whole.response_tokens - len(reply.split()) + 1
        else:
            assert short.text == whole.text
        assert get_task(short.task).outcome(get_task(short.task).example(short.item), short.text, True) == short.outcome
    assert shorter > 3


def test_as_a_user_runs_it(tmp_path):
    """`triaxis evaluate` with stop strings and another backend: the table says what answered, and verifies."""
    asked = {"tasks": {"in_domain": ["chain"]}, "evaluation": {"items": 4, "stop": [";"], "backend": "transformers"}}
    (tmp_path / "tasks.yaml").write_text(yaml.safe_dump(asked))
    words = [TRIAXIS, "evaluate", "lab:weak@0", "--run", "r", "--tasks", str(tmp_path / "tasks.yaml")]
    words += ["--out", str(tmp_path / "out"), "--jobs", "1"]
    result = subprocess.run(words, capture_output=True, text=True, timeout=400, check=False)
    assert result.returncode == 0, result.stderr
    with Store.open(tmp_path / "out", read_only=True) as store:
        told = store.table().arrow.to_pylist()
        assert verify(store).disagreements == () and len(told) == 4
        settings = {name: (value, source) for name, value, source in store.settings()}
    assert {(r["backend"], r["batch_size"], r["dtype"], r["temperature"]) for r in told} == {
        ("transformers", 512, "float32", 0.0)
    }
    assert settings["evaluation.backend"] == ("transformers", "user") and settings["evaluation.stop"] == ([";"], "user")


def test_the_backend_is_told_and_what_can_not_be_had_is_refused(tmp_path, monkeypatch, capsys):
    settings = [c.settings for c in with_evaluation().conditions()]
    assert told_backend("auto", settings) == "ours (auto: every base is the lab's)"
    assert told_backend("continuous", settings) == "continuous (as the study says)"
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(STUDY | {"evaluation": {"backend": "vllm"}}))
    if not lacking():
        pytest.skip("vLLM is here")
    monkeypatch.setattr(sys, "argv", ["triaxis", "study", "check", str(path)])
    assert main() == 2
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("triaxis: evaluation.backend: vLLM ")


def test_one_backend_for_all_that_is_compared():
    from transformers import LlamaConfig, MambaConfig

    configs = {"a": LlamaConfig(num_hidden_layers=1), "b": MambaConfig(num_hidden_layers=1)}
    assert agreed("auto", ["a"], configs.get).name == "ours"
    assert agreed("auto", ["b"], configs.get).name == "transformers"
    assert agreed("transformers", ["a", "b"], configs.get).why == "as the study says"
    with pytest.raises(TriaxisError, match="auto comes to ours for a, transformers for b, and scores of two backends"):
        agreed("auto", ["a", "b"], configs.get)


# -- what is never mixed -----------------------------------------------------------------------------------------------

HOW = {"backend": "ours", "batch_size": 512, "dtype": "float32", "temperature": 0.0}


def table(**changes):
    """A base and two runs on two tasks; `changes` are of the second run."""
    rows = []
    for run_name in ("", "a", "b"):
        for task in ("x", "y"):
            for step in (0,) if not run_name else (1, 2):
                told = HOW | (changes if run_name == "b" else {})
                place = {
                    "run": run_name,
                    "step": step,
                    "task": task,
                    "model.base": "m",
                    "item": "i",
                    "group": "far_ood",
                }
                rows.append({**place, "score": 0.5, "outcome": "wrong", "source": "s", **told})
    return make_table({name: [row[name] for row in rows] for name in rows[0]})


@pytest.mark.parametrize(("name", "other"), [("backend", "vllm"), ("dtype", "bfloat16"), ("temperature", 0.6)])
def test_what_changes_scores_is_refused_within_a_source(name, other):
    shown = f"{HOW[name]:g}" if name == "temperature" else HOW[name]
    with pytest.raises(TriaxisError, match=rf"{name}: {other} for task 'x', but {shown} at .*not compared.*'source'"):
        table(**{name: other})
    assert not table(**{name: None}).warnings, "what nobody tells is not compared with"
    apart = table(**{name: other, "source": "t"})  # each source is analysed by itself
    assert apart.arrow.num_rows == 10


def test_batches_of_two_sizes_are_told():
    (warning,) = table(batch_size=8).warnings
    assert "batches of 512 and of 8 are compared ('b')" in warning and not table().warnings


def test_a_table_with_two_backends_is_refused_by_analyze(tmp_path, monkeypatch, capsys):
    lines = ["run,step,task,score,n_items,backend", ",0,x,.5,100,ours", "a,10,x,.6,100,ours", "b,10,x,.7,100,vllm"]
    (tmp_path / "t.csv").write_text("\n".join([lines[0], *lines[1:]]) + "\n")
    monkeypatch.setattr(sys, "argv", ["triaxis", "analyze", str(tmp_path / "t.csv")])
    assert main() == 2
    assert "t.csv, row 4, backend: vllm for task 'x', but ours at" in capsys.readouterr().err
    written = table()
    written.write(tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet").arrow.equals(written.arrow)


@pytest.mark.parametrize("other", ["hf", "vllm"])
def test_lm_eval_results_of_two_backends(tmp_path, other):
    for where, model in (("base", "hf"), ("r/checkpoint-10", "hf"), ("r/checkpoint-20", other)):
        config = {"model": model, "batch_size": "8", "model_dtype": "torch.bfloat16"}
        told = {"results": {"t": {"acc,none": 0.5}}, "n-samples": {"t": {"effective": 9}}, "config": config}
        (tmp_path / "out" / where).mkdir(parents=True)
        (tmp_path / "out" / where / "results_2026-01-01T00-00-00.000000.json").write_text(json.dumps(told))
    (tmp_path / "map.yaml").write_text("checkpoints: {pattern: '{run}/checkpoint-{step}', base: base}\n")
    if other == "hf":
        rows = read_results(tmp_path / "out", tmp_path / "map.yaml").arrow.to_pylist()
        assert {(r["backend"], r["batch_size"], r["dtype"]) for r in rows} == {("lm-eval hf", 8, "bfloat16")}
        return
    with pytest.raises(TriaxisError, match="backend: lm-eval vllm for task 't', but lm-eval hf at"):
        read_results(tmp_path / "out", tmp_path / "map.yaml")


def test_parts_of_older_folders_are_read(tmp_path):
    """Written before it was kept how responses were had: they say nothing of it, and are whole."""
    record = Record("a", 1, "t", "far_ood", "default", "i", 0, Outcome.WRONG, 0.0, 3, False, True, "no", **HOW)
    size, sha256 = write_part(tmp_path / "new.parquet", [record])
    new = read_part(tmp_path / "new.parquet", size, sha256, text=True)
    assert {name: new[name][0].as_py() for name in HOW} == HOW
    pq.write_table(new.drop_columns(list(HOW)), tmp_path / "old.parquet")
    content = (tmp_path / "old.parquet").read_bytes()
    old = read_part(tmp_path / "old.parquet", len(content), hashlib.sha256(content).hexdigest(), text=True)
    assert old["text"].to_pylist() == ["no"] and not set(HOW) & set(old.column_names)
