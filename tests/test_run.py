"""One run: resumed equals straight wherever it was cut, the axes meet as declared, train and evaluation stay apart."""

import contextlib
import resource
import signal
from dataclasses import replace

import pytest
import torch

from triaxis.axes.data import TrainingExample, training_set
from triaxis.axes.model import load_base
from triaxis.execute import run as room
from triaxis.execute.conduct import job_of
from triaxis.execute.run import STATE, follow, prepare, render
from triaxis.study import parse_study
from triaxis.tasks import get_task
from triaxis.types import DiskFull, RunFailed, TriaxisError

STUDY = {
    "name": "one",
    "model": {"base": "lab:weak"},
    "data": {"task": "chain", "structure": "short_cot", "examples": 50, "noise_rate": 0.3, "replay_share": 0.1},
    "optimization": {"learning_rate": 1e-3, "batch_size": 16, "micro_batch_size": 6, "packing": True, "epochs": 2},
    "seeds": [3],
    "tasks": {"in_domain": ["chain"], "far_ood": ["pointer"]},
    "trajectory": {"steps": [2, 5]},
    "evaluation": {"items": 5, "samples": 2, "temperature": 1.0, "modes": ["default", "think"]},
}


def job(**changes):
    study = parse_study({**STUDY, **changes})
    return job_of(study, study.runs()[0])


@pytest.fixture(scope="module")
def straight():
    return list(follow(job()))


def told(measured):
    return [(m.checkpoint, m.records) for m in measured]


def test_epochs_steps_and_tokens(straight):
    # 50 rows in batches of 16: four steps an epoch, the last of 2 rows.
    assert [m.checkpoint.step for m in straight] == [2, 5, 8]
    assert [m.checkpoint.epoch for m in straight] == [0.5, 1.25, 2.0]
    rows = prepare(job()).rows
    supervised = sum(len(r.tokens) - r.prompt_tokens for r in rows)
    assert straight[-1].checkpoint.tokens == 2 * supervised
    assert all(m.checkpoint.loss > 0 and 0 <= m.checkpoint.token_accuracy <= 1 for m in straight)
    assert len(straight[0].records) == 2 * 5 * 2 * 2 and straight[0].costs["train"][1] > 0


@pytest.mark.parametrize("safe", [0, 1, 2])
def test_cut_between_state_and_records(straight, tmp_path, safe):
    """The state of a checkpoint is on the disk and its records are not: `safe` checkpoints were handled before."""
    begun = follow(replace(job(), state=str(tmp_path)))
    for _ in range(safe + 1):
        next(begun)
    begun.close()
    assert (tmp_path / STATE).exists()
    done = frozenset(m.checkpoint.step for m in straight[:safe])
    resumed = list(follow(replace(job(), state=str(tmp_path), done=done)))
    assert told(resumed) == told(straight[safe:])
    assert [m.costs["train"][1] for m in resumed] == [m.costs["train"][1] for m in straight[safe:]]
    assert not tmp_path.exists(), "a finished run keeps no state"


def test_cut_before_the_next_state(straight, tmp_path):
    """Records are safe, the run was killed while it trained on: the state is that of the last checkpoint."""
    begun = follow(replace(job(), state=str(tmp_path)))
    next(begun)
    begun.close()
    assert told(follow(replace(job(), state=str(tmp_path), done=frozenset({2})))) == told(straight[1:])


def test_a_lost_state_trains_again_and_measures_only_what_is_missing(straight, tmp_path):
    resumed = list(follow(replace(job(), state=str(tmp_path), done=frozenset({2, 8}))))
    assert told(resumed) == told(straight[1:2])


def test_a_state_ahead_of_a_lost_record_is_not_used(straight, tmp_path):
    begun = follow(replace(job(), state=str(tmp_path)))
    next(begun)
    next(begun)
    begun.close()
    assert told(follow(replace(job(), state=str(tmp_path)))) == told(straight)


def test_a_damaged_state_is_named(tmp_path):
    (tmp_path / STATE).write_bytes(b"half a state")
    with pytest.raises(RunFailed, match=r"not a state to resume from .* delete it"):
        list(follow(replace(job(), state=str(tmp_path))))


def test_the_seed_redraws_subset_noise_and_order(straight):
    first, second = job(), job(seeds=[4])
    data = {k.removeprefix("data."): v for k, v in first.settings.items() if k.startswith("data.")}
    mine, other = (training_set(data, seed) for seed in (3, 4))
    assert {e.prompt for e in mine} != {e.prompt for e in other}
    assert [e.noisy for e in mine] != [e.noisy for e in other]
    assert told(follow(second)) != told(straight)


def test_noise_masks_are_nested_and_noisy_traces_are_wrong():
    data = {"task": "chain", "examples": 200, "structure": "short_cot", "difficulty": "all", "replay_share": 0.0}
    by_rate = {rate: training_set(data | {"noise_rate": rate}, 0) for rate in (0.0, 0.1, 0.3, 1.0)}
    noisy = {rate: {e.id for e in rows if e.noisy} for rate, rows in by_rate.items()}
    assert noisy[0.0] < noisy[0.1] < noisy[0.3] < noisy[1.0] and len(noisy[1.0]) == 200
    assert 8 <= len(noisy[0.1]) <= 35
    task = get_task("chain")
    for example in by_rate[0.3]:
        right = task.outcome(task.example(example.id), example.response, True) == "correct"
        assert right != example.noisy


def test_a_prompt_that_is_evaluated_too_stops_the_run(monkeypatch):
    """The check is real: it finds an overlap that only a broken task could make."""
    asked = get_task("chain").examples("eval", 0, 5)[2]
    leaked = [TrainingExample("chain/train/3/x", asked.prompt, asked.traces["short_cot"], False)] * 50
    monkeypatch.setattr(room, "training_set", lambda *_: leaked)
    with pytest.raises(TriaxisError, match=r"chain/train/3/x is evaluated too, as chain/eval"):
        list(follow(job()))


def test_render_supervises_the_response_and_its_end_alone():
    _, tokenizer = load_base("lab:weak")
    example = get_task("chain").examples("train", 0, 1)[0]
    row = render(TrainingExample(example.id, example.prompt, example.traces["short_cot"], False), tokenizer)
    prompt, completion = row.tokens[: row.prompt_tokens], row.tokens[row.prompt_tokens :]
    assert example.prompt in tokenizer.decode(prompt) and example.traces["short_cot"] not in tokenizer.decode(prompt)
    assert tokenizer.decode(completion[:-1]).strip() == example.traces["short_cot"]
    assert completion[-1] == tokenizer.eos_token_id


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{% for m in messages %}{{ m.content }} {% endfor %}", "no end token"),
        ("{% for m in messages %}{{ messages|length }} {{ m.content }} <end>{% endfor %}", "changes the prompt"),
    ],
)
def test_a_template_that_would_train_the_wrong_tokens_is_refused(template, told):
    _, tokenizer = load_base("lab:weak")
    tokenizer.chat_template = template
    with pytest.raises(TriaxisError, match=f"row-1: .*{told}"):
        render(TrainingExample("row-1", "chain 1 + 2 ?", "A 3", False), tokenizer)


def test_unknown_words_and_long_rows_are_refused_not_cut():
    _, tokenizer = load_base("lab:weak")
    with pytest.raises(TriaxisError, match="row-1: holds a word"):
        render(TrainingExample("row-1", "chain 1 + quux ?", "A 3", False), tokenizer)
    with pytest.raises(TriaxisError, match=r"exceed the context of 256; lower it"):
        list(follow(job(evaluation={"items": 2, "max_new_tokens": 5000})))


def test_weights_that_are_not_finite_are_never_measured():
    broken = prepare(job())
    with torch.no_grad():
        next(iter(broken.model.parameters())).fill_(float("inf"))
    with pytest.raises(RunFailed, match="step 1"):
        broken.training.run_to(1)


def test_a_disk_without_room_fails_the_run_in_one_line(tmp_path):
    with limited_files(100_000), pytest.raises(DiskFull, match=r"disk full while writing .*free space and run again"):
        list(follow(replace(job(), state=str(tmp_path))))
    assert not list(tmp_path.iterdir()), "half a state is left"


@contextlib.contextmanager
def limited_files(size):
    """No file may grow beyond `size` bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_rows_of_a_byte_level_tokenizer_are_not_refused_for_their_end_token():
    """Its unknown token is its end token, which every row holds: nothing is unknown to it."""
    from triaxis.axes.data import TrainingExample
    from triaxis.axes.model.lab import lab_tokenizer
    from triaxis.execute.run import render

    tokenizer = lab_tokenizer()
    tokenizer.unk_token = tokenizer.eos_token
    row = render(TrainingExample("r", "chain 3 + 4 ?", "A 7", False), tokenizer)
    assert row.tokens[-1] == tokenizer.eos_token_id
