"""Models that can't be trained or asked, as a user meets them: one line, exit code 2, before anything runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import BertConfig, BertForMaskedLM

from test_models import byte_tokenizer, rows_file, saved, tiny
from triaxis.axes.memory import is_out_of_memory
from triaxis.cli import main
from triaxis.execute.memory import lacking_memory_told
from triaxis.execute.run import questions_for
from triaxis.integrations.in_training import Measurer
from triaxis.study.evaluation import Evaluation
from triaxis.types import RunFailed

SHARD = "20KB"  # six files of weights


def changed(folder: Path, **settings: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | settings))


def sharded(folder: Path) -> list[Path]:
    (folder / "model.safetensors").unlink()
    tiny().save_pretrained(folder, max_shard_size=SHARD)
    return sorted(folder.glob("model-*.safetensors"))


def encoder(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    BertForMaskedLM(
        BertConfig(vocab_size=272, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    ).save_pretrained(folder)


def cut(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")


def remote(folder: Path) -> None:
    auto = {"AutoConfig": "mine.MineConfig", "AutoModelForCausalLM": "mine.Mine"}
    changed(folder, auto_map=auto, model_type="mine", architectures=["Mine"])
    (folder / "mine.py").write_text("raise SystemExit('the code of a model ran')\n")


def added(folder: Path) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens([f"<new{i}>" for i in range(40)])
    tokenizer.save_pretrained(folder)


def without_tokenizer(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()


BEFORE: dict[str, tuple[Callable[[Path], object], str]] = {
    "encoder": (encoder, "is no causal language model (BertForMaskedLM); take one that continues text"),
    "of a type to come": (
        lambda f: changed(f, model_type="qwen99", architectures=["Qwen99ForCausalLM"]),
        "is of type qwen99, which transformers",
    ),
    "no template": (
        lambda f: byte_tokenizer(template=None).save_pretrained(f) and (f / "chat_template.jinja").unlink(),
        "has no chat template; give it one: model.chat_template: FILE",
    ),
    "no tokenizer": (without_tokenizer, "holds no tokenizer (tokenizer.json); save there the one"),
    "tokens added": (added, "its tokenizer has 299 tokens and the model embeds 272; one of the two isn't its own, or"),
    "cut off": (cut, "model.safetensors is damaged or cut off (Error while deserializing header: incomplete"),
    "a shard is missing": (
        lambda f: sharded(f)[-1].unlink(),
        "model-00006-of-00006.safetensors is missing, 1 of 6 files of weights; download it or save it again",
    ),
    "shards without index": (
        lambda f: sharded(f) and (f / "model.safetensors.index.json").unlink(),
        "its weights are in model-00001-of-00006.safetensors and 5 more, and model.safetensors.index.json is missing",
    ),
    "pickle": (pickled, "a pickle, which can run code when it is read, and no safetensors; where you trust it"),
    "own code": (remote, "needs code of its own, which is never run unless the study says model.trust_remote_code"),
}  # fmt: skip


def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: object) -> tuple[int, list[str]]:
    monkeypatch.setattr(sys, "argv", ["triaxis", *map(str, words)])
    code = main()
    told = capsys.readouterr()
    assert not told.out
    return code, told.err.strip().splitlines()


def written(folder: Path, base: str, **changes: Any) -> Path:
    study = {
        "name": "bad",
        "model": {"base": base, **changes},
        "data": {"source": str(rows_file(folder)), "examples": 32},
        "optimization": {"steps": 2, "batch_size": 4, "learning_rate": 1e-3},
        "trajectory": {"steps": [2]},
        "seeds": 1,
        "tasks": {"in_domain": ["rg:chain_sum"]},
        "evaluation": {"items": 2, "max_new_tokens": 8},
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    (folder / "tasks.yaml").write_text(yaml.safe_dump({name: study[name] for name in ("tasks", "evaluation")}))
    return folder / "study.yaml"


@pytest.mark.parametrize("case", BEFORE)
def test_what_is_wrong_with_a_model_is_told_before_anything_runs(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By `run` and by `evaluate` alike."""
    spoil, words = BEFORE[case]
    base = saved(tmp_path / "model")
    spoil(Path(base))
    capsys.readouterr()
    study, out = written(tmp_path, base), tmp_path / "out"
    asked = (f"{base}@2", "--run", "r", "--tasks", tmp_path / "tasks.yaml")
    for command in (("run", study), ("evaluate", *asked)):
        code, lines = said(capsys, monkeypatch, *command, "--out", out)
        assert code == 2 and len(lines) == 1, lines
        assert words in lines[0] and base in lines[0], lines
        assert not out.exists()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"attention": "flash_attention_2"}, "model.attention: {} can't have flash_attention_2 here (FlashAttention2"),
        ({"lora_rank": 4, "lora_targets": "nosuch"}, "model.lora_targets: Target modules {'nosuch'} not found"),
        ({"dtype": "float16"}, "model.dtype: must be 'float32' or 'bfloat16', got 'float16'"),
    ],
)
def test_settings_that_a_model_cannot_have(
    settings: dict[str, Any],
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "lora_rank" in settings:
        pytest.importorskip("peft")
    base = saved(tmp_path / "model")
    capsys.readouterr()
    code, lines = said(capsys, monkeypatch, "run", written(tmp_path, base, **settings), "--out", tmp_path / "out")
    assert code == 2 and len(lines) == 1, lines
    assert words.replace("{}", base) in lines[0]
    assert not (tmp_path / "out").exists()


def not_finite(folder: Path) -> None:
    model = tiny()
    with torch.no_grad():
        model.model.norm.weight[3] = float("nan")
    model.save_pretrained(folder)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (not_finite, "its weights are not finite (model.norm.weight): they are damaged, or its training diverged"),
        (
            lambda f: changed(f, intermediate_size=128),
            "has shape (32, 64) in its weights, and (32, 128) by its config.json; one of the two isn't its own",
        ),
    ],
)
def test_weights_that_are_not_the_models(
    spoil: Callable[[Path], object],
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What only the weights show: no table of transformers around it, and never a score."""
    base = saved(tmp_path / "model")
    spoil(Path(base))
    capsys.readouterr()
    code, lines = said(capsys, monkeypatch, "study", "check", written(tmp_path, base))
    assert code == 2 and len(lines) == 1 and words in lines[0], lines


def test_a_tokenizer_whose_unknown_token_is_its_end_knows_every_word() -> None:
    """GPT-2's and its like: what a turn ends with is no unknown word, for a study and for the callback alike."""
    tokenizer = byte_tokenizer()
    tokenizer.unk_token = tokenizer.eos_token
    asked = {"items": 2, "samples": 1, "modes": ("default",), "max_new_tokens": 8, "seed": 0}
    assert questions_for({"in_domain": ("rg:chain_sum",)}, asked, tokenizer, 512)
    measurer = Measurer(
        tiny(max_position_embeddings=512), tokenizer, {"in_domain": ("rg:chain_sum",)},
        Evaluation(items=2, max_new_tokens=8), "r", print,
    )  # fmt: skip
    assert len(measurer.asked) == 2


# -- memory -----------------------------------------------------------------------------------------------------------

LACKING = """
import json, resource, sys
from triaxis.execute import run
from triaxis.execute.conduct import job_of
from triaxis.study import load_study
from triaxis.types import RunFailed

def no_more(*_):  # than is mapped now, and a little
    mapped = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + 2**24, resource.RLIM_INFINITY))

study = load_study(sys.argv[1])
one, asked = study.runs()[0], run._asked
run.check_apart = no_more
for phase, base in (("training", False), ("evaluation", True)):
    if base:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        run._asked = lambda *told: (asked(*told), no_more())[0]
    try:
        next(run.follow(job_of(study, one, base=base)))
    except RunFailed as failed:
        print(phase, str(failed))
"""


def test_a_lack_of_memory_says_what_to_lower(tmp_path: Path) -> None:
    """A process that may map 16 MB more, where a layer's activations take ten times that."""
    wide = tiny(hidden_size=64, intermediate_size=16384, max_position_embeddings=1024)
    study = written(tmp_path, saved(tmp_path / "model", wide))
    told = yaml.safe_load(study.read_text())
    told["data"]["examples"] = told["optimization"]["batch_size"] = told["optimization"]["micro_batch_size"] = 64
    told["evaluation"] |= {"items": 32, "batch_size": 64}
    study.write_text(yaml.safe_dump(told))
    result = subprocess.run(
        [sys.executable, "-c", LACKING, str(study)], capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["training", "evaluation"], result.stdout
    assert "out of memory in training: lower optimization.micro_batch_size" in lines[0]
    assert "out of memory in evaluation: lower evaluation.batch_size, or run fewer at once (--jobs)" in lines[1]


def test_what_says_that_memory_ran_out() -> None:
    """The allocator's own words, as torch raises them; other errors go on as they are."""
    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**50)
    assert is_out_of_memory(refused.value)
    assert is_out_of_memory(MemoryError()) and is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RunFailed, match="out of memory here"), lacking_memory_told("here"):
        torch.empty(2**50)
    with pytest.raises(RuntimeError, match="multiplied"), lacking_memory_told("here"):
        torch.ones(2, 3) @ torch.ones(2, 3)
