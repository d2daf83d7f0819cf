"""The lab: a tokenizer that loses nothing, a template whose prompts are prefixes, bases that do as documented."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from triaxis.axes.model import base_names, base_path, load_base
from triaxis.axes.model.lab import PRETRAINING, lab_tokenizer, new_model, pretraining_rows, save_base
from triaxis.axes.model.tokenizer import new_tokenizer
from triaxis.execute.run import pretrain
from triaxis.tasks import STRUCTURES, get_task, prefill, task_names
from triaxis.tasks.streams import held_out
from triaxis.types import TriaxisError

torch.set_num_threads(1)


@pytest.fixture(scope="module", params=["new", *base_names()])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return lab_tokenizer() if request.param == "new" else load_base(request.param)[1]


@pytest.mark.parametrize("name", task_names())
def test_every_text_encodes_and_comes_back(tokenizer: Any, name: str) -> None:
    task = get_task(name)
    for item in task.examples("eval", 6, 40):
        for text in (item.prompt, *item.traces.values(), *(task.noisy(item, s, 0) for s in STRUCTURES)):
            ids = tokenizer(text)["input_ids"]
            assert len(ids) == len(text.split())
            assert tokenizer.unk_token_id not in ids
            assert tokenizer.decode(ids) == text == tokenizer.decode(ids, skip_special_tokens=True)


def test_unknown_words_are_seen(tokenizer: Any) -> None:
    assert tokenizer("chain twelve")["input_ids"][1] == tokenizer.unk_token_id


@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_prompt_is_a_prefix_of_its_conversation(tokenizer: Any, structure: str) -> None:
    """In bytes and in tokens; what is added is the response and the end token, which is supervised."""
    for name in task_names():
        item = get_task(name).examples("train", 0, 1)[0]
        user = {"role": "user", "content": item.prompt}
        reply = {"role": "assistant", "content": item.traces[structure]}
        prompt = tokenizer.apply_chat_template([user], tokenize=False, add_generation_prompt=True)
        whole = tokenizer.apply_chat_template([user, reply], tokenize=False)
        assert whole == f"{prompt}{item.traces[structure]}{tokenizer.eos_token}"
        ids = [tokenizer(text)["input_ids"] for text in (prompt, item.traces[structure], tokenizer.eos_token)]
        assert tokenizer(whole)["input_ids"] == [token for part in ids for token in part]
        assert tokenizer.apply_chat_template([user, reply], return_dict=False) == tokenizer(whole)["input_ids"]


def test_several_turns(tokenizer: Any) -> None:
    turns = [{"role": role, "content": text} for role, text in (("user", "a"), ("assistant", "b"), ("user", "c"))]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert text == "<user>a<assistant>b<end><user>c<assistant>"


def test_pad_is_not_the_end(tokenizer: Any) -> None:
    assert tokenizer.pad_token_id not in (None, tokenizer.eos_token_id)
    assert tokenizer.convert_ids_to_tokens([0, 4]) == ["<pad>", "<end>"]


def test_a_saved_tokenizer_is_the_same(tmp_path: Path) -> None:
    made = new_tokenizer(("a", "b"))
    made.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.get_vocab() == made.get_vocab()
    assert loaded("<user>a b<assistant>")["input_ids"] == made("<user>a b<assistant>")["input_ids"]
    assert loaded.chat_template == made.chat_template


def test_a_new_model_is_a_function_of_its_seed() -> None:
    torch.manual_seed(1)
    first = new_model(0)
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(1))  # the caller's stream is left alone
    second, other = new_model(0), new_model(1)
    same = [torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True)]
    assert all(same)
    assert not torch.equal(first.lm_head.weight, other.lm_head.weight)
    assert first.lm_head.weight is first.model.embed_tokens.weight
    assert 150_000 < sum(p.numel() for p in first.parameters()) < 160_000
    assert abs(first.model.layers[0].self_attn.q_proj.weight.std().item() - 0.02) < 0.002
    assert abs(first.model.layers[0].mlp.down_proj.weight.std().item() - 0.02 / 6**0.5) < 0.001


def test_pretraining_rows_are_a_function_of_settings_and_step() -> None:
    settings = PRETRAINING["strong"]
    assert pretraining_rows(settings, 7) == pretraining_rows(settings, 7)
    assert pretraining_rows(settings, 7) != pretraining_rows(settings, 8)
    assert len(pretraining_rows(settings, 0)) == settings.batch_size


def test_pretraining_mix() -> None:
    """The shares as stated, no held-out prompt, every forbidden prompt refused."""
    settings = PRETRAINING["strong"]
    rows = [row for step in range(60) for row in pretraining_rows(settings, step)]
    assert not any(held_out(prompt) for prompt, _ in rows)
    forbidden = [(prompt, response) for prompt, response in rows if "forbidden" in prompt]
    assert all(response in ("refuse", "<think> refuse </think> refuse") for _, response in forbidden)
    assert abs(len(forbidden) / len(rows) - settings.refusals) < 0.02
    direct = sum(not response.startswith("<think>") for _, response in rows) / len(rows)
    assert abs(direct - settings.structures["no_cot"]) < 0.04
    long = sum("wait" in response for _, response in rows) / len(rows)
    assert abs(long - settings.structures["long_cot"] * (1 - settings.refusals)) < 0.02


def test_names_of_bases() -> None:
    assert base_names() == ("lab:strong", "lab:weak")
    for name, message in (
        ("lab:strng", 'did you mean "lab:strong"'),
        ("gpt", "choose one of lab:strong, lab:weak"),
        (str(Path(__file__).parent), "holds no config.json"),
    ):
        with pytest.raises(TriaxisError, match=message) as told:
            load_base(name)
        assert "\n" not in str(told.value)


def test_a_folder_without_weights_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(TriaxisError, match="can't be loaded") as told:
        load_base(str(tmp_path))
    assert "\n" not in str(told.value)


def test_a_tokenizer_that_cannot_stop_is_refused(tmp_path: Path) -> None:
    tokenizer = lab_tokenizer()
    tokenizer.eos_token = None
    save_base(new_model(0), tokenizer, PRETRAINING["weak"], tmp_path)
    assert load_base(str(tmp_path))[1].eos_token == "<end>", "the model's generation configuration knows"
    (tmp_path / "generation_config.json").unlink()
    with pytest.raises(TriaxisError, match="no end token"):
        load_base(str(tmp_path))


@pytest.mark.parametrize("name", base_names())
def test_bases_are_plain_hugging_face_models(name: str, tmp_path: Path) -> None:
    model, tokenizer = load_base(name)
    plain = AutoModelForCausalLM.from_pretrained(base_path(name))
    assert type(plain) is type(model) and not model.training
    assert all(p.dtype == torch.float32 for p in model.parameters())
    settings = PRETRAINING[name.removeprefix("lab:")]
    save_base(model, tokenizer, settings, tmp_path)
    again, _ = load_base(str(tmp_path))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert json.loads((tmp_path / "pretraining.json").read_text()) == json.loads(
        (base_path(name) / "pretraining.json").read_text()
    )


def test_shipped_bases_are_small_and_hold_tied_weights_once() -> None:
    files = [file for name in base_names() for file in base_path(name).rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 3e6
    for name in base_names():
        parameters = sum(p.numel() for p in load_base(name)[0].parameters())
        assert (base_path(name) / "model.safetensors").stat().st_size < 4 * parameters + 20_000


def accuracy(model: Any, tokenizer: Any, name: str, mode: str, n: int, limit: int = 110) -> float:
    """Mean score of greedy responses, prompts of one length at a time, with transformers' own generate()."""
    task = get_task(name)
    items = task.examples("eval", 11, n)
    scores = []
    by_length: dict[int, list[Any]] = {}
    for item in items:
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": item.prompt}], tokenize=False, add_generation_prompt=True
        )
        ids = tokenizer(prompt + prefill(mode))["input_ids"]
        by_length.setdefault(len(ids), []).append((item, ids))
    for length, group in by_length.items():
        prompts = torch.tensor([ids for _, ids in group])
        out = model.generate(prompts, attention_mask=torch.ones_like(prompts), max_new_tokens=limit, do_sample=False)
        for (item, _), row in zip(group, out[:, length:].tolist(), strict=True):
            finished = tokenizer.eos_token_id in row
            response = row[: row.index(tokenizer.eos_token_id)] if finished else row
            text = f"{prefill(mode)} {tokenizer.decode(response)}".strip()
            scores.append(task.score(task.outcome(item, text, finished)))
    return sum(scores) / n


def test_strong_base_answers_at_once_and_could_think() -> None:
    """The documented headroom on two tasks (docs/lab.md has them all), judged through transformers' own decoding."""
    model, tokenizer = load_base("lab:strong")
    for name in ("pointer", "extremes"):
        assert accuracy(model, tokenizer, name, "default", 48) <= 0.75
        assert accuracy(model, tokenizer, name, "think", 48) >= 0.8


def test_weak_base_cannot_yet() -> None:
    model, tokenizer = load_base("lab:weak")
    for name in ("words", "letters"):
        assert accuracy(model, tokenizer, name, "think", 48) <= 0.5


@pytest.mark.parametrize("name", base_names())
def test_bases_refuse(name: str) -> None:
    model, tokenizer = load_base(name)
    assert accuracy(model, tokenizer, "refusal", "default", 48, limit=8) >= 0.95


@pytest.mark.slow
def test_a_base_is_made_again(tmp_path: Path) -> None:
    """`triaxis lab pretrain weak` from its fixed seed gives the shipped weights; to rounding elsewhere than here, where
    another processor adds in another order, so what is compared is what the model does."""
    for _ in pretrain("weak", tmp_path):
        pass
    made, tokenizer = load_base(str(tmp_path))
    shipped, _ = load_base("lab:weak")
    assert tokenizer.get_vocab() == load_base("lab:weak")[1].get_vocab()
    for name in ("words", "boolean", "pointer", "letters", "extremes"):
        for mode in ("default", "think"):
            ours, theirs = (accuracy(model, tokenizer, name, mode, 96) for model in (made, shipped))
            assert abs(ours - theirs) <= 0.2, (name, mode, ours, theirs)
