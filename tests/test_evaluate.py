"""`triaxis evaluate`: checkpoints of somebody's trainer, from their folders to the analysis of their trajectory."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from triaxis.axes.model import ModelSettings, fingerprint_saved, load_base, load_saved
from triaxis.cli import main
from triaxis.cli.runs_told import runs_of_studies, told_runs
from triaxis.evaluate.likelihood import log_likelihoods
from triaxis.evaluate.measure import measure, questions
from triaxis.evaluate.samples import task_scores
from triaxis.execute.checkpoints import Point, points_of, step_in
from triaxis.execute.conduct import job_of
from triaxis.execute.run import prepare
from triaxis.records import Store, records_digest
from triaxis.stats.estimators import majority_at_k
from triaxis.study import parse_study
from triaxis.study.evaluation import Evaluation
from triaxis.tasks import get_task, read_from
from triaxis.tasks.likelihood import likeliest, written
from triaxis.tasks.prompts import fingerprint
from triaxis.types import TriaxisError

TRIAXIS = str(Path(sys.executable).parent / "triaxis")
ASKED = {"tasks": {"in_domain": ["chain"], "far_ood": ["boolean"], "safety": ["refusal"]}, "evaluation": {"items": 8}}
STEPS = (2, 4)
STUDY = {
    "model": {"base": "lab:weak"},
    "data": {"task": "chain", "examples": 64},
    "optimization": {"learning_rate": 1e-3, "steps": 4, "batch_size": 8, "schedule": "constant"},
    "tasks": ASKED["tasks"],
    "evaluation": ASKED["evaluation"],
    "trajectory": {"steps": list(STEPS)},
    "seeds": [0],
}


def triaxis(*words, timeout=300):
    return subprocess.run([TRIAXIS, *map(str, words)], capture_output=True, text=True, timeout=timeout, check=False)


@pytest.fixture
def said(monkeypatch, capsys):
    """The command in this process: its exit code and its last line on standard error."""

    def say(*words):
        monkeypatch.setattr(sys, "argv", ["triaxis", *map(str, words)])
        code = main()
        lines = capsys.readouterr().err.strip().splitlines()
        return code, lines[-1] if lines else ""

    return say


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run as a Trainer leaves it: checkpoint-N folders with model and tokenizer."""
    folder = tmp_path_factory.mktemp("trained") / "mine"
    study = parse_study(STUDY)
    run = prepare(job_of(study, study.runs()[0]))
    for step in STEPS:
        run.training.run_to(step)
        for part in (run.model, run.tokenizer):
            part.save_pretrained(folder / f"checkpoint-{step}")
    return folder


def tasks_file(folder, **changes):
    path = Path(folder) / "tasks.yaml"
    path.write_text(yaml.safe_dump(ASKED | changes), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def measured(trained, tmp_path_factory):
    """That run, evaluated once without disturbance."""
    folder = tmp_path_factory.mktemp("measured")
    out = folder / "out"
    asked = ("evaluate", trained, "--tasks", tasks_file(folder), "--base", "lab:weak")
    result = triaxis(*asked, "--out", out, "--set", "data.noise_rate=.3", "--json")
    assert result.returncode == 0, result.stderr
    return out, result, asked


# -- the whole ---------------------------------------------------------------------------------------------------------


def test_a_run_of_checkpoints_gets_its_trajectory(measured):
    out, result, _ = measured
    told = json.loads(result.stdout)
    assert told["failed"] == {} and {(s["run"], s["step"]) for s in told["scores"]} == {
        ("", 0),
        ("mine", 2),
        ("mine", 4),
    }
    assert all(s["items"] == 8 and s["pass_at"] == {} and s["majority"] is None for s in told["scores"])
    assert "ETA" in result.stderr and not list((out / "state").rglob("*"))
    analysis = triaxis("analyze", out, "--json")
    assert analysis.returncode == 0, analysis.stderr
    shown = json.loads(analysis.stdout)
    chain = next(t for t in shown["trajectories"] if t["task"] == "chain")
    assert chain["run"] == "mine" and chain["steps"] == [0, 2, 4]
    assert "value" in chain["net_gain"], chain["net_gain"]
    scores = {s["step"]: s["score"] for s in told["scores"] if s["task"] == "chain"}
    assert [point["value"] for point in chain["scores"]] == [scores[step] for step in (0, 2, 4)]
    verified = triaxis("records", out, "--verify", "--json")
    assert json.loads(verified.stdout) == {"verified": 72, "disagreements": []}
    assert triaxis("show", out).returncode == 0


def test_the_records_are_those_of_a_study(measured, tmp_path):
    """The same training measured by `triaxis run`: the same responses, whoever saved the checkpoints."""
    out, _, _ = measured
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(STUDY), encoding="utf-8")
    result = triaxis("run", path, "--out", tmp_path / "study", "--jobs", 1)
    assert result.returncode == 0, result.stderr
    told = []
    for folder in (out, tmp_path / "study"):
        with Store.open(folder, read_only=True) as store:
            rows = store.table().arrow.select(["step", "task", "item", "outcome", "text"]).to_pylist()
            told.append(sorted(map(str, rows)))
    assert told[0] == told[1]


def test_what_is_measured_is_not_measured_again(measured):
    out, _, asked = measured
    before = {path: path.stat().st_mtime_ns for path in (out / "records").rglob("*.parquet")}
    result = triaxis(*asked, "--out", out)
    assert result.returncode == 0 and "nothing left to measure" in result.stderr, result.stderr
    assert {path: path.stat().st_mtime_ns for path in (out / "records").rglob("*.parquet")} == before
    with Store.open(out, read_only=True) as store:
        (run,) = store.status()
    assert run.levels == {"data.noise_rate": 0.3, "model.base": "lab:weak"}, "what was told of a run stays"


def test_killed_at_any_moment_it_goes_on(measured, trained, tmp_path):
    whole, _, asked = measured
    out, rng, killed = tmp_path / "out", random.Random(0), 0
    words = [TRIAXIS, *map(str, asked), "--out", str(out), "--set", "data.noise_rate=.3", "--jobs", "1"]
    for wanted in (1, 4, 7):  # portions that are kept when it is killed
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        until = time.monotonic() + 120
        while process.poll() is None and _kept(out) < wanted and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(rng.random() / 20)
        if process.poll() is None:
            killed += 1
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert killed, "it was done before it could be killed"
    before = _kept(out)
    result = triaxis(*words[1:])
    assert result.returncode == 0, result.stderr
    assert f"{9 - before} task" in result.stderr or before == 9, "what was kept is not measured again"
    with Store.open(out, read_only=True) as one, Store.open(whole, read_only=True) as other:
        assert records_digest(one.table()) == records_digest(other.table())
    assert not list((out / "state").rglob("*"))


def _kept(out):
    """Tasks that are safe: of checkpoints that are whole, and of those that are not yet."""
    return 3 * len(list((out / "records").rglob("*.parquet"))) + len(list((out / "state").rglob("task-*.json")))


def test_interrupted_it_keeps_what_is_measured(measured, tmp_path):
    _, _, asked = measured
    out = tmp_path / "out"
    process = subprocess.Popen(
        [TRIAXIS, *map(str, asked), "--out", str(out), "--jobs", "1"], stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 120
    while process.poll() is None and _kept(out) < 1 and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode in (0, 1) and _kept(out) >= 1
    if process.returncode:
        assert "the same command goes on from there" in err


def test_two_runs_with_their_factors(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "other")
    runs = tmp_path / "runs.csv"
    runs.write_text("run,seed,data.noise_rate\nmine,1,0\nother,2,0.5\n")
    quick = tasks_file(tmp_path, tasks={"in_domain": ["chain"]}, evaluation={"items": 4})
    asked = ("evaluate", trained / "checkpoint-4", tmp_path / "other" / "checkpoint-4", "--tasks", quick, "--jobs", 1)
    result = triaxis(*asked, "--out", tmp_path / "out", "--runs", runs)
    assert result.returncode == 0, result.stderr
    assert "no base of mine, other is measured" in result.stderr
    result = triaxis(*asked, "--out", tmp_path / "out", "--runs", runs, "--base", "lab:weak")
    assert result.returncode == 0 and "1 checkpoint, 1 task to measure" in result.stderr, result.stderr
    with Store.open(tmp_path / "out", read_only=True) as store:
        table = store.table()
    assert table.factors == {"data.noise_rate": (0.0, 0.5)}
    assert {(r["run"], r["seed"]) for r in table.arrow.to_pylist() if r["run"]} == {("mine", 1), ("other", 2)}


# -- which checkpoint is which -----------------------------------------------------------------------------------------

NAMES = [
    ("checkpoint-640", 640),
    ("step_640", 640),
    ("global_step640", 640),
    ("global_step_640", 640),
    ("iter-00640", 640),
    ("iter_0000640", 640),
    ("epoch=1-step=640", 640),
    ("step640-tokens3B", 640),
    ("ckpt640", 640),
    ("Step 640", None),
    ("epoch-3", None),
    ("footstep3", None),
    ("final", None),
    ("step1-step2", None),
]


@pytest.mark.parametrize(("name", "step"), NAMES)
def test_the_step_in_a_name(name, step):
    assert step_in(name) == step


def test_run_and_step_of_words(tmp_path):
    for name in ("a/checkpoint-10", "a/checkpoint-9", "b/final"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").touch()
    (tmp_path / "a" / "config.json").touch()
    points = points_of([str(tmp_path / "a")])
    assert [(p.run, p.step) for p in points] == [("a", 9), ("a", 10)], "of a trainer's folder, all, by number"
    assert [(p.run, p.step) for p in points_of([f"{tmp_path}/b/final@30"])] == [("final", 30)]
    assert [(p.run, p.step) for p in points_of([f"{tmp_path}/b/final@30"], "b")] == [("b", 30)]
    hub = points_of(["EleutherAI/pythia-14m@step1000", "EleutherAI/pythia-14m@main@7"])
    assert [(p.run, p.step, p.model) for p in hub] == [
        ("pythia-14m", 7, "EleutherAI/pythia-14m@main"),
        ("pythia-14m", 1000, "EleutherAI/pythia-14m@step1000"),
    ]


# -- mistakes ----------------------------------------------------------------------------------------------------------


def copied(trained, folder, name="run/checkpoint-4"):
    shutil.copytree(trained / "checkpoint-4", folder / name)
    return folder / name


def pickled(path):
    (path / "model.safetensors").unlink()
    torch.save({}, path / "pytorch_model.bin")


def adapters(path):
    (path / "config.json").rename(path / "adapter_config.json")


def short(path):
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 20}))


WRONG_CHECKPOINTS = [
    (pickled, "run/checkpoint-4", "holds pytorch_model.bin, a pickle, which can run code when it is read"),
    (adapters, "run/checkpoint-4", "holds no adapter_model.safetensors"),
    (short, "run/checkpoint-4", "exceed the context of 20; lower it"),
    (lambda path: (path / "tokenizer.json").unlink(), "run/checkpoint-4", "its tokenizer can't be loaded"),
    (lambda path: (path / "model.safetensors").write_bytes(b"x" * 99), "run/checkpoint-4", "is damaged or cut off"),
    (lambda path: path.rename(path.parent / "final"), "run/final", "its name tells no step, as checkpoint-640"),
    (lambda path: None, "run/checkpoint-5", "no such checkpoint; run holds checkpoint-4"),
    (lambda path: None, "run/checkpoint-4/config.json", "a file; name the checkpoint's folder"),
]


@pytest.mark.parametrize(("change", "name", "words"), WRONG_CHECKPOINTS)
def test_a_wrong_checkpoint_is_one_line(trained, tmp_path, monkeypatch, said, change, name, words):
    monkeypatch.chdir(tmp_path)
    change(copied(trained, tmp_path))
    code, line = said("evaluate", name, "--tasks", tasks_file(tmp_path), "--out", "out", "--jobs", 1)
    assert code == 2 and words in line and not Path("out").exists(), line


def test_two_checkpoints_of_one_step(trained, tmp_path, said):
    other = copied(trained, tmp_path, "else/mine/checkpoint-4")
    code, line = said("evaluate", trained, other, "--tasks", tasks_file(tmp_path), "--out", tmp_path / "out")
    assert code == 2 and "are all step 4 of run mine" in line
    code, line = said(
        "evaluate", trained / "checkpoint-2", other, "--tasks", tasks_file(tmp_path), "--out", tmp_path / "out"
    )
    assert code == 2 and "two folders that are both called mine" in line


WRONG_TASKS = [
    ("tasks: {in_domain: [chian]}", 'tasks.in_domain: unknown task "chian"; did you mean "chain"?'),
    ("tasks: {indomain: [chain]}", "tasks.indomain: unknown; did you mean tasks.in_domain?"),
    ("tasks: {in_domain: [chain], far_ood: [chain]}", "the task chain is listed twice"),
    ("tasks: [chain]", "tasks: must be a mapping"),
    ("evaluation: {items: 3}", "tasks: missing"),
    ("tasks: {in_domain: [chain]}\nevaluation: {itms: 3}", "did you mean evaluation.items?"),
    ("tasks: {in_domain: [chain]}\nevaluation: {samples: 3}", "3 samples at temperature 0"),
    ("tasks: {in_domain: [chain]}\nevaluation: {few_shot: -1}", "must be at least 0"),
    ("tasks: {in_domain: [chain]}\nmodel: {base: lab:weak}", "model.base: unknown"),
    ("tasks: {in_domain: [chain]}\nmodel: {dtype: float8}", "must be 'float32' or 'bfloat16'"),
    ("tasks: {in_domain: ['rg:chain_sum']}", "evaluation.max_new_tokens: auto needs reference responses"),
    ("tasks: {far_ood: ['file:quiz.jsonl?verifier=choice']}\nevaluation: {items: 3}", "holds 2 items, and 3"),
    ("tasks: {in_domain: [chain", "line"),
    ("", "is empty"),
]


@pytest.mark.parametrize(("text", "words"), WRONG_TASKS)
def test_a_wrong_tasks_file_is_one_line(trained, tmp_path, monkeypatch, said, text, words):
    monkeypatch.chdir(tmp_path)
    quiz(tmp_path)
    Path("tasks.yaml").write_text(text)
    code, line = said("evaluate", trained, "--tasks", "tasks.yaml", "--out", "out")
    assert code == 2 and words in line and "tasks.yaml" in line and not Path("out").exists(), line


WRONG_OPTIONS = [
    (["--set", "data.noise_rate"], "reads like --set data.noise_rate=.3"),
    (["--set", "noise=.3"], "a factor is called"),
    (["--set", "data.a=1", "--set", "data.a=2"], "gives a factor twice"),
    (["--set", "model.base=x", "--base", "lab:weak"], "model.base of run mine is x, and --base is lab:weak"),
    (["--runs", "runs.csv"], "lacks run mine"),
    (["--runs", "runs.csv", "--seed", "1"], "give --runs, or --set and --seed, and not both"),
    (["--base", "lab:wek"], 'unknown base "lab:wek"; did you mean "lab:weak"?'),
    (["--run", ".hidden"], "can't name a run"),
    (["--set", "data.a=nan"], "data.a: nan is no level; give a number or a text"),
    (["--set", "data.a=1e400"], "data.a: 1e400 is no level"),
]


@pytest.mark.parametrize(("options", "words"), WRONG_OPTIONS)
def test_a_wrong_option_is_one_line(trained, tmp_path, monkeypatch, said, options, words):
    monkeypatch.chdir(tmp_path)
    Path("runs.csv").write_text("run,data.a\nother,1\n")
    code, line = said("evaluate", trained, "--tasks", tasks_file(tmp_path), "--out", "out", *options)
    assert code == 2 and words in line and not Path("out").exists(), line


def test_a_level_that_only_python_takes_for_a_number_is_a_text():
    told = told_runs(["a"], ["data.a=1_000", "data.b=\u0663", "data.c=-1e3"], None, None, "", print)
    assert told["a"].levels == {"data.a": "1_000", "data.b": "\u0663", "data.c": -1000.0}


def test_what_would_mix_is_refused(measured, trained, tmp_path, said, monkeypatch):
    out = tmp_path / "out"
    shutil.copytree(measured[0], out)
    ask = ("evaluate", trained, "--out", out, "--base", "lab:weak", "--tasks")
    code, line = said(*ask, tasks_file(tmp_path, evaluation={"items": 4}))
    assert code == 2 and "with evaluation.items 8, and now it is 4" in line
    code, line = said(*ask, tasks_file(tmp_path, tasks={"in_domain": ["chain"]}))
    assert code == 2 and "with tasks.far_ood boolean, and now it is not given" in line
    code, line = said(*ask, tasks_file(tmp_path, model={"dtype": "bfloat16"}))
    assert code == 2 and "with model.dtype float32, and now it is bfloat16" in line
    code, line = said(*ask, tasks_file(tmp_path), "--set", "data.noise_rate=.5")
    assert code == 2 and "run mine has data.noise_rate 0.3, and now it is 0.5" in line
    moved = tmp_path / "moved" / "mine"
    shutil.copytree(trained, moved)
    shutil.copy(trained / "checkpoint-2" / "model.safetensors", moved / "checkpoint-4" / "model.safetensors")
    code, line = said("evaluate", moved, "--out", out, "--tasks", tasks_file(tmp_path))
    assert code == 2 and "mine step 4 was measured on other weights" in line
    study = tmp_path / "study.yaml"
    study.write_text(yaml.safe_dump(STUDY))
    code, line = said("run", study, "--out", out)
    assert code == 2 and "holds checkpoints of 'triaxis evaluate'" in line


def test_a_damaged_part_is_measured_again(measured, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(measured[0], out)
    part = out / "records" / "mine" / "step-000004.parquet"
    part.write_bytes(part.read_bytes()[:-20])
    result = triaxis(*measured[2], "--out", out)
    assert result.returncode == 0 and "1 checkpoint, 3 tasks to measure" in result.stderr, result.stderr
    with Store.open(out, read_only=True) as one, Store.open(measured[0], read_only=True) as other:
        assert records_digest(one.table()) == records_digest(other.table())


# -- what a trainer may leave ------------------------------------------------------------------------------------------


@pytest.fixture
def adapted(tmp_path):
    """Adapters as peft saves them, drawn at random, and the model that they make of their base."""
    peft = pytest.importorskip("peft")
    model, tokenizer = load_base("lab:weak")
    torch.manual_seed(0)
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False)
    model = peft.get_peft_model(model, config)
    folder = tmp_path / "run" / "checkpoint-3"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    assert not (folder / "config.json").exists() and (folder / "adapter_model.safetensors").exists()
    return folder, model.merge_and_unload().eval()


def test_adapters_answer_beside_their_base(adapted, tmp_path):
    folder, merged = adapted
    model, _ = load_saved(ModelSettings(str(folder)), "lab:weak")
    ids = torch.arange(5, 40)[None]
    with torch.no_grad():
        ours, wanted, base = (m(ids).logits for m in (model, merged, load_base("lab:weak")[0]))
    assert torch.allclose(ours, wanted, atol=1e-4) and not torch.allclose(ours, base, atol=1e-2)
    before = fingerprint_saved(str(folder), "lab:weak")
    assert before != fingerprint_saved(str(folder), "lab:strong")
    path = tasks_file(tmp_path, tasks={"in_domain": ["chain"]}, evaluation={"items": 4})
    result = triaxis("evaluate", folder, "--tasks", path, "--out", tmp_path / "out", "--base", "lab:weak", "--jobs", 1)
    assert result.returncode == 0 and "run step 3 done" in result.stderr, result.stderr


def test_adapters_of_another_base_or_of_none(adapted, tmp_path, said):
    folder, _ = adapted
    about = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(about | {"base_model_name_or_path": None}))
    code, line = said("evaluate", folder, "--tasks", tasks_file(tmp_path), "--out", tmp_path / "out")
    assert code == 2 and "holds adapters that don't name their base; give it: --base BASE" in line
    (folder / "adapter_config.json").write_text(json.dumps(about | {"target_modules": ["other_proj"]}))
    with pytest.raises(TriaxisError, match=r"the adapters of .* don't fit its base"):
        load_saved(ModelSettings(str(folder)), "lab:weak")
    (folder / "adapter_config.json").write_text(json.dumps(about | {"r": 4}))
    weights = load_file(folder / "adapter_model.safetensors")
    weights.pop(sorted(weights)[0])
    save_file(weights, folder / "adapter_model.safetensors")
    with pytest.raises(TriaxisError, match=r"the adapters of .* don't fit its base"):
        load_saved(ModelSettings(str(folder)), "lab:weak")


def test_a_checkpoint_without_a_tokenizer_takes_its_bases(trained, tmp_path, said):
    path = copied(trained, tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (path / name).unlink()
    quick = tasks_file(tmp_path, tasks={"in_domain": ["chain"]}, evaluation={"items": 4})
    code, line = said("evaluate", path, "--tasks", quick, "--out", tmp_path / "out")
    assert code == 2 and "holds no tokenizer (tokenizer.json)" in line and "--base" in line
    result = triaxis("evaluate", path, "--tasks", quick, "--out", tmp_path / "out", "--base", "lab:weak", "--jobs", 1)
    assert result.returncode == 0, result.stderr


# -- choices by likelihood ---------------------------------------------------------------------------------------------

QUIZ = [
    {"question": "chain 3 + 4 ?", "answer": "A 7", "choices": ["A 5", "A 7", "i1 3 + 4 = 7 A 7"]},
    {"question": "chain 2 + 2 ?", "answer": "A 4", "choices": ["A 4", "A 1", "refuse"]},
]


def quiz(folder, rows=QUIZ, name="quiz.jsonl"):
    path = Path(folder) / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_likelihoods_are_those_of_a_direct_computation(tiny_model):
    model, rng = tiny_model().eval(), random.Random(0)
    pairs = [
        tuple(tuple(rng.randrange(2, 40) for _ in range(rng.randrange(1, most))) for most in (20, 6)) for _ in range(40)
    ]
    found = log_likelihoods(model, pairs, pad=0, batch_size=64)
    for (prompt, continuation), told in zip(pairs, found, strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([[*prompt, *continuation]])).logits[0].double().log_softmax(-1)
        places = range(len(prompt) - 1, len(prompt) + len(continuation) - 1)
        assert told == pytest.approx(
            sum(logits[i, t].item() for i, t in zip(places, continuation, strict=True)), abs=1e-4
        )
    for size in (1, 3, 17):
        assert log_likelihoods(model, pairs, pad=0, batch_size=size) == pytest.approx(found, abs=1e-4)
    assert log_likelihoods(model, [pairs[3], pairs[0], pairs[3]], pad=0, batch_size=2) == pytest.approx(
        [found[3], found[0], found[3]], abs=1e-4
    )


def test_a_choice_is_taken_by_its_likelihood(tmp_path):
    model, tokenizer = load_base("lab:weak")
    by, a_token = (
        f"file:{quiz(tmp_path)}?score={score}&verifier=choice" for score in ("likelihood", "likelihood_per_token")
    )
    settings = {"items": 2, "samples": 3, "modes": ("default",), "max_new_tokens": "auto", "seed": 0}
    asked = questions({"far_ood": [by, a_token, "boolean"]}, tokenizer, **settings)
    assert len(asked) == 2 + 2 + 2 * 3, "nothing is sampled where nothing is generated"
    kwargs = {"run": "r", "step": 1, "temperature": 0.5}
    records = measure(model, tokenizer, asked, batch_size=64, **kwargs)
    assert [r.item for r in records] == [q.example.id for q in asked]
    for record, question in zip(records[:4], asked, strict=False):
        told = json.loads(record.text)
        tokens, scores = list(told["tokens"].values()), list(told["log_probability"].values())
        assert tokens == [len(choice) for choice in question.choices]
        with torch.no_grad():
            for choice, score in zip(question.choices, scores, strict=True):
                ids = torch.tensor([[*question.prompt, *choice]])
                each = model(ids).logits[0, len(question.prompt) - 1 : -1].log_softmax(-1)
                assert score == pytest.approx(each.gather(-1, torch.tensor(choice)[:, None]).sum().item(), abs=1e-4)
        scaled = [s / n if "per_token" in record.task else s for s, n in zip(scores, tokens, strict=True)]
        letter = "ABC"[scaled.index(max(scaled))]
        assert record.outcome == ("correct" if letter == question.example.answer else "wrong")
        assert record.response_tokens is None and record.finished and not record.thought
        assert record.log_probability == pytest.approx(scores["ABC".index(question.example.answer)], abs=1e-6)
    again = measure(model, tokenizer, asked, batch_size=1, **kwargs)
    assert [(r.outcome, r.log_probability) for r in again] == [
        (r.outcome, pytest.approx(r.log_probability, abs=1e-4)) for r in records
    ]


def test_the_likeliest_raw_and_a_token():
    text = written([-3.0, -4.0, -6.5], [1, 2, 3])
    assert likeliest(text, "likelihood") == "A" and likeliest(text, "likelihood_per_token") == "B"
    assert likeliest(written([-2.0, -2.0], [1, 1]), "likelihood") == "A", "the first of equal ones"
    for broken in ("", "A", "{}", '{"log_probability": {"A": NaN}, "tokens": {"A": 1}}', '{"log_probability": 1}'):
        assert likeliest(broken, "likelihood") is None


def test_how_a_choice_is_asked(tmp_path):
    path = quiz(tmp_path)
    cloze, letters = (
        get_task(f"file:{path}?score=likelihood&{more}")
        for more in ("verifier=choice", "template=letters&verifier=choice")
    )
    item = next(i for i in cloze.examples("eval", 0, 2) if "3" in i.prompt)
    assert item.prompt == "chain 3 + 4 ?" and cloze.continuations(item) == tuple(QUIZ[0]["choices"])
    item = next(i for i in letters.examples("eval", 0, 2) if "chain 3" in i.prompt)
    assert item.prompt.endswith("A. A 5\nB. A 7\nC. i1 3 + 4 = 7 A 7") and letters.continuations(item) == (
        "A",
        "B",
        "C",
    )
    for options, words in [
        ("score=likelihood&verifier=exact", "is for verifier=choice"),
        ("score=logprob&verifier=choice", "score is generated, likelihood or likelihood_per_token"),
        ("score=likelihood&template=bare&verifier=choice", "template is cloze or letters"),
        ("score=likelihood&surface=symbols&verifier=choice", "shows no letters"),
    ]:
        with pytest.raises(TriaxisError, match=words):
            get_task(f"file:{path}?{options}")


def test_an_answer_at_once_follows_a_thought_that_is_closed(tmp_path):
    """A template that opens a thought had an answer read as a part of it: nothing was ever right in the mode direct."""
    _, tokenizer = load_base("lab:weak")
    tokenizer.chat_template += "{% if add_generation_prompt %}<think>\n{% endif %}"
    asked = {"items": 2, "samples": 1, "modes": ("direct",), "max_new_tokens": 9, "seed": 0}
    for question in questions({"in_domain": ["chain"]}, tokenizer, **asked):
        assert tokenizer.decode(question.prompt).replace(" ", "").endswith("<think></think>A")
        text = f"{question.prefilled} {question.example.answer}"
        assert question.task.outcome(question.example, text, True) == "correct", text


def test_a_choice_follows_a_closed_thought_as_templates_write_it(tmp_path):
    from test_models import CHATML, byte_tokenizer

    opening = CHATML.replace("assistant\n{% endif", "assistant\n<think>\n{% endif")
    tokenizer = byte_tokenizer(template=opening)
    path = quiz(tmp_path)
    asked = {"items": 2, "samples": 1, "modes": ("default",), "max_new_tokens": 9, "seed": 0}
    for question in questions({"far_ood": [f"file:{path}?score=likelihood&verifier=choice"]}, tokenizer, **asked):
        written = f"{question.example.prompt}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
        assert tokenizer.decode(question.prompt).endswith(written)


def test_choices_by_likelihood_as_a_user_asks_them(trained, tmp_path):
    asked = {"far_ood": [f"file:{quiz(tmp_path)}?score=likelihood&verifier=choice", "boolean"]}
    path = tasks_file(tmp_path, tasks=asked, evaluation={"items": 2})
    result = triaxis(
        "evaluate", trained, "--tasks", path, "--out", tmp_path / "out", "--base", "lab:weak", "--jobs", 1, "--json"
    )
    assert result.returncode == 0, result.stderr
    scores = json.loads(result.stdout)["scores"]
    assert all((s["log_probability"] is not None) == s["task"].startswith("file:") for s in scores)
    with Store.open(tmp_path / "out", read_only=True) as store:
        rows = store.table().arrow.to_pylist()
    assert {r["response_tokens"] for r in rows if r["task"].startswith("file:")} == {None}
    assert json.loads(triaxis("records", tmp_path / "out", "--verify", "--json").stdout)["disagreements"] == []
    analysis = triaxis("analyze", tmp_path / "out", "--json")
    assert analysis.returncode == 0, analysis.stderr
    path.write_text(path.read_text())
    quiz(tmp_path, [*QUIZ, QUIZ[0] | {"question": "chain 1 + 1 ?"}])
    again = triaxis("evaluate", trained, "--tasks", path, "--out", tmp_path / "out")
    assert again.returncode == 2 and "has changed since checkpoints were asked it" in again.stderr


# -- few-shot ----------------------------------------------------------------------------------------------------------


def test_solved_questions_stand_before_each_and_are_never_asked():
    _, tokenizer = load_base("lab:weak")
    settings = {"items": 12, "samples": 1, "modes": ("default", "direct"), "max_new_tokens": "auto", "seed": 3}
    asked = questions({"in_domain": ["chain"]}, tokenizer, **settings, few_shot=2)
    task, prompts = get_task("chain"), {fingerprint(q.example.prompt) for q in asked}
    for mode, structure in (("default", "short_cot"), ("direct", "no_cot")):
        shots = task.shots(3, 2, mode)
        assert [s.response for s in shots] == [i.traces[structure] for i in task.examples("train", 3, 2)]
        assert not prompts & {fingerprint(shot.prompt) for shot in shots}
        begin = "".join(f"<user>{s.prompt}<assistant>{s.response}<end>" for s in shots)
        of_mode = [q for q in asked if q.mode == mode]
        texts = [tokenizer.decode(q.prompt).replace(" ", "") for q in of_mode]
        assert all(text.startswith(begin.replace(" ", "")) for text in texts), "the same before all"
        assert all(q.example.prompt.replace(" ", "") in text for q, text in zip(of_mode, texts, strict=True))
    assert task.shots(3, 2, "default") != task.shots(4, 2, "default"), "drawn by the seed"


def test_few_shots_of_other_tasks(tmp_path):
    path, solved = (
        quiz(tmp_path),
        quiz(tmp_path, [QUIZ[1] | {"question": f"chain {i} + 1 ?"} for i in (5, 6)], "dev.jsonl"),
    )
    name = f"file:{path}?shots={solved}&verifier=choice"
    (shot,) = get_task(name).shots(0, 1, "default")
    assert shot.response == "\\boxed{A}" and "\\boxed{}" in shot.prompt
    (shot,) = get_task(f"file:{path}?score=likelihood&shots={solved}&verifier=choice").shots(0, 1, "default")
    assert shot.response == "A 4" and shot.prompt in ("chain 5 + 1 ?", "chain 6 + 1 ?")
    before = read_from(name)
    quiz(tmp_path, [QUIZ[1] | {"question": "chain 7 + 1 ?"}], "dev.jsonl")
    assert read_from(name) != before, "the shots are a part of what is asked"
    with pytest.raises(TriaxisError, match="holds 1 questions, and 2 are to be shown"):
        get_task(name).shots(0, 2, "default")
    with pytest.raises(TriaxisError, match="shots=FILE"):
        get_task(f"file:{path}?verifier=choice").shots(0, 1, "default")
    _, tokenizer = load_base("lab:weak")
    settings = {"items": 2, "samples": 1, "modes": ("default",), "max_new_tokens": 8, "seed": 0}
    with pytest.raises(TriaxisError, match="is asked, and would be shown with its answer"):
        leak = f"file:{path}?score=likelihood&shots={quiz(tmp_path, name='same.jsonl')}&verifier=choice"
        questions({"far_ood": [leak]}, tokenizer, **settings, few_shot=1)


def test_few_shots_of_reasoning_gym():
    pytest.importorskip("reasoning_gym")
    task = get_task("rg:chain_sum?max_terms=3&min_terms=2")
    shots, asked = task.shots(0, 3, "default"), {fingerprint(i.prompt) for i in task.examples("eval", 0, 50)}
    answers = [i.answer for i in task.examples("train", 0, 3)]
    assert [s.response for s in shots] == [f"<answer>{answer}</answer>" for answer in answers]
    assert not asked & {fingerprint(s.prompt) for s in shots}


def test_few_shot_is_no_part_of_older_ids():
    assert "few_shot" not in Evaluation().model_dump(mode="json")
    assert Evaluation(few_shot=2).model_dump()["few_shot"] == 2
    one, two = (parse_study(STUDY | {"evaluation": {"items": 8, "few_shot": n}}) for n in (0, 2))
    assert one.runs()[0].id == parse_study(STUDY).runs()[0].id != two.runs()[0].id


# -- several samples ---------------------------------------------------------------------------------------------------


def test_majority_at_k_known_answers():
    right = [True, True, False, False, False]
    assert majority_at_k(["7", "7", "1", "2", "3"], right, 5) == 1.0
    assert majority_at_k(["7", "07", "1", "1", None], right, 5) == 0.5, "correct ones are one answer; a tie is shared"
    assert majority_at_k(["7", "7", "1", "1", "1"], right, 5) == 0.0
    assert majority_at_k([None, None], [False, False], 2) == 0.0
    assert majority_at_k(["7", "7", "1", "2", "3"], right, 1) == pytest.approx(2 / 5), "with one sample it is the mean"
    for k, n in ((0, 2), (3, 2)):
        with pytest.raises(ValueError, match="k <= samples"):
            majority_at_k(["1"] * n, [True] * n, k)


def test_majority_at_k_is_the_mean_over_all_draws():
    rng = random.Random(0)
    for _ in range(60):
        n = rng.randrange(1, 8)
        correct = [rng.random() < 0.4 for _ in range(n)]
        answers = ["right" if c else rng.choice([None, "a", "b", "c"]) for c in correct]
        k = rng.randrange(1, n + 1)
        draws = [_vote([answers[i] for i in drawn]) for drawn in combinations(range(n), k)]
        assert majority_at_k(answers, correct, k) == pytest.approx(sum(draws) / len(draws))


def _vote(drawn):
    votes = [a for a in drawn if a is not None]
    best = {a for a in votes if votes.count(a) == max(map(votes.count, votes))}
    return ("right" in best) / len(best) if best else 0.0


def test_scores_of_several_samples():
    base = {"group": "in_domain", "task": "chain", "mode": "default", "finished": True, "log_probability": None}
    said = {"i": ["A 7", "A 7", "A 5", "A 5"], "j": ["A 3", "A 1", "A 2", "no"]}
    rows = [
        base | {"item": item, "text": text, "score": float(text == right), "outcome": "wrong"}
        for (item, texts), right in zip(said.items(), ("A 7", "A 3"), strict=True)
        for text in texts
    ]
    (told,) = task_scores("r", "", 1, rows)
    assert (told.items, told.samples, told.score) == (2, 4, pytest.approx((0.5 + 0.25) / 2))
    assert told.pass_at == {1: pytest.approx(0.375), 2: pytest.approx((5 / 6 + 1 / 2) / 2), 4: 1.0}
    assert told.majority == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_a_study_tells_of_the_runs_whose_weights_it_keeps(tmp_path):
    """Two conditions of a study would else pass for one that was run twice."""
    rate, base = "optimization.learning_rate", "model.base"
    with Store.create(tmp_path / "out", "", {}, []) as store:
        store.add_runs((f"run-{r}", 3, "s", {rate: r}, {rate: r, base: "lab:weak"}) for r in (1e-3, 3e-3))
    folders = [tmp_path / "out" / "weights" / f"run-{r}" / "best" / "step-000004" for r in (1e-3, 3e-3)]
    points = [Point(str(folder), folder.parents[1].name, 4) for folder in folders]
    notes: list[str] = []
    names = [point.run for point in points]
    told = told_runs(names, [], None, None, "", notes.append, runs_of_studies(points))
    assert [(run.levels[rate], run.seed, run.base) for run in told.values()] == [
        (1e-3, 3, "lab:weak"),
        (3e-3, 3, "lab:weak"),
    ]
    assert not notes
    renamed = runs_of_studies([replace(points[0], run="mine")])
    assert renamed["mine"].levels[rate] == 1e-3
    with pytest.raises(TriaxisError, match=r"the study that trained it: model\.base of run run-0\.001 is lab:weak"):
        told_runs(names, [], None, None, "lab:strong", notes.append, runs_of_studies(points))
    told_runs(["a", "b"], [], None, None, "lab:weak", notes.append)
    assert len(notes) == 1 and notes[0].startswith("a, b: nothing tells them apart")
