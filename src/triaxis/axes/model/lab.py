"""The lab's tiny models: their architecture, and what they are pretrained on."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from transformers import ArceeConfig, ArceeForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from triaxis.axes.model.tokenizer import new_tokenizer
from triaxis.tasks import get_task, vocabulary
from triaxis.tasks.streams import keyed

CONTEXT = 256  # tokens
VOCABULARY_SIZE = 80  # room for a few more words without another architecture


@dataclass(frozen=True)
class Pretraining:
    """How a base is made. Shares are of the rows of a batch; of the rest of the structures, `no_cot` is the larger
    part, so that a base answers at once unless it is made to think."""

    steps: int
    seed: int
    batch_size: int = 64
    structures: Mapping[str, float] = field(
        default_factory=lambda: {"no_cot": 0.68, "short_cot": 0.26, "long_cot": 0.06}
    )
    refusals: float = 0.06  # rows whose prompt holds the forbidden word
    levels: Mapping[str, tuple[int, ...]] = field(
        default_factory=lambda: {
            "chain": (1, 2, 3, 4, 5),
            "words": (1, 2, 3, 4, 5),
            "boolean": (1, 2, 3, 4, 5, 6, 7, 8),
            "pointer": (1, 2, 3, 4, 5, 6, 7, 8),
            "letters": (1, 2, 3, 4, 5, 6),
            "extremes": (1, 2, 3, 4, 5, 6),
        }
    )
    weights: Mapping[str, float] = field(  # how often a task is drawn; what is learned early is drawn less
        default_factory=lambda: {
            "chain": 1.0,
            "words": 1.0,
            "boolean": 0.2,
            "pointer": 1.0,
            "letters": 0.7,
            "extremes": 0.4,
        }
    )
    guessed: Mapping[str, int] = field(default_factory=lambda: {"boolean": 3})  # from this level on, answers
    guess_rate: float = 1.0  # given without a thought are guesses, or the model learns them without thinking


PRETRAINING: dict[str, Pretraining] = {
    "strong": Pretraining(steps=3000, seed=0),
    "weak": Pretraining(steps=1150, seed=0),
}


def pretraining_rows(settings: Pretraining, step: int) -> list[tuple[str, str]]:
    """Prompt and response of each row of the batch of step `step` (from 1): a function of the settings alone."""
    rng = keyed("pretraining", settings.seed, step)
    names = list(settings.weights)
    odds = np.array(list(settings.weights.values()))
    structures, shares = list(settings.structures), list(settings.structures.values())
    refusal = get_task("refusal")
    rows = []
    for _ in range(settings.batch_size):
        structure = structures[int(rng.choice(len(shares), p=shares))]
        name = names[int(rng.choice(len(names), p=odds / odds.sum()))]
        level = settings.levels[name][rng.integers(len(settings.levels[name]))]
        task = refusal if rng.random() < settings.refusals else get_task(name)
        problem = task.draw_in(rng, level, "pretrain")
        guess = structure == "no_cot" and task.name in settings.guessed and level >= settings.guessed[task.name]
        answered = problem
        if guess and rng.random() < settings.guess_rate:
            answered = task.draw(rng, level)
        rows.append((task.prompt(problem), task.trace(answered, structure)))
    return rows


def lab_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer of every word that the tasks use now. A shipped base has the one that it was made with."""
    return new_tokenizer(vocabulary())


def new_model(seed: int) -> ArceeForCausalLM:
    """An untrained model: 3 layers, width 64, about 0.15 million parameters. All matrices N(0, 0.02), those that write
    to the residual stream N(0, 0.02/sqrt(6)); the class's own initialisation learns the same skills much later."""
    config = ArceeConfig(
        vocab_size=VOCABULARY_SIZE,
        hidden_size=64,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        hidden_act="gelu_pytorch_tanh",
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": 1e4},
        attention_bias=False,
        mlp_bias=False,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=4,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ArceeForCausalLM(config)
        generator = torch.Generator().manual_seed(seed)
        for name, weight in model.named_parameters():
            if weight.ndim == 2:
                narrow = name.endswith(("o_proj.weight", "down_proj.weight"))
                weight.data.normal_(0, 0.02 / math.sqrt(6) if narrow else 0.02, generator=generator)
    return model.float().eval()


def save_base(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, settings: Pretraining, folder: Path) -> None:
    """Write a base as any Hugging Face tool loads it, with the settings that made it in `pretraining.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "pretraining.json").write_text(json.dumps(dataclasses.asdict(settings), indent=2) + "\n")
