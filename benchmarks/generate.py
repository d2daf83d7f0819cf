"""Tokens a CPU second of the backends on the same prompts of mixed length, in one process.

    python benchmarks/generate.py [--base lab:strong] [--prompts 600] [--rounds 5] [--dtype float32]
                                  [--skip continuous]

Ours, `model.generate()` as anyone would call it (one padded batch under the longest limit, cut afterwards), and
transformers' continuous batching answer greedily. A lab model is asked to answer at once and to think; another one
reasoning-gym's tasks with 0, 1 or 4 questions shown before, under limits of 8 to 96 tokens. Rounds alternate; ratios
are those of the medians of CPU seconds, since on a shared machine wall time says little. In float32 answers must be the
same, but where two tokens are as likely to rounding; else it fails.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from triaxis.axes.model import ModelSettings, load_base
from triaxis.evaluate import Question, Response, questions
from triaxis.evaluate.backends import open_backend
from triaxis.evaluate.backends.backend import response_of
from triaxis.tasks import task_names

TIE = 1e-3  # in logits: tokens so near are as likely, to the rounding of another order of summing
PLAIN = (  # task, questions shown before, limit
    ("rg:chain_sum", 0, 96),
    ("rg:basic_arithmetic", 1, 8),
    ("rg:count_bits", 4, 16),
    ("rg:letter_counting", 0, 32),
    ("rg:spell_backward", 1, 16),
    ("rg:chain_sum", 4, 8),
)
Answers = list[Response]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", default="lab:strong")
    parser.add_argument("--prompts", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--skip", nargs="*", default=(), choices=("continuous",))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    model, tokenizer = load_base(chosen.base, ModelSettings(chosen.base, dtype=chosen.dtype))
    asked = _asked(chosen.base, tokenizer, chosen.prompts)
    prompts, limits = [q.prompt for q in asked], [q.max_new_tokens for q in asked]
    given = {"eos": tokenizer.eos_token_id, "pad": tokenizer.pad_token_id, "batch_size": len(prompts)}
    ways: dict[str, Callable[[], Answers]] = {
        "ours": lambda: open_backend("ours", model, **given).answer(prompts, max_new_tokens=limits),
        "model.generate()": lambda: _generated(model, tokenizer, prompts, limits),
        "continuous": lambda: open_backend("continuous", model, **given).answer(prompts, max_new_tokens=limits),
    }
    ways = {name: way for name, way in ways.items() if name not in chosen.skip}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    answers: dict[str, Answers] = {}
    for _ in range(chosen.rounds):
        for name, way in ways.items():
            began = time.process_time()
            answers[name] = way()
            seconds[name].append(time.process_time() - began)
    _tell(chosen.dtype, model, prompts, limits, seconds, answers)


def _asked(base: str, tokenizer: PreTrainedTokenizerBase, count: int) -> list[Question]:
    """Direct answers end after two tokens and thoughts after many: the mix that an evaluation meets during training."""
    found: list[Question] = []
    if base.startswith("lab:"):
        names = [t for t in task_names() if t != "refusal"]
        settings = {"samples": 1, "modes": ("direct", "think"), "max_new_tokens": "auto", "seed": 0}
        found = questions({"far_ood": names}, tokenizer, items=-(-count // (2 * len(names))), **settings)
        longest = max(q.max_new_tokens for q in found)
        found = [replace(q, max_new_tokens=longest) for q in found]
    else:
        for name, shown, limit in PLAIN:
            settings = {"samples": 1, "modes": ("default",), "max_new_tokens": limit, "seed": 0, "few_shot": shown}
            found += questions({"far_ood": [name]}, tokenizer, items=-(-count // len(PLAIN)), **settings)
    random.Random(0).shuffle(found)
    return found[:count]


@torch.inference_mode()
def _generated(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Sequence[int]], limits: Sequence[int]
) -> Answers:
    width, pad, eos = max(map(len, prompts)), tokenizer.pad_token_id, tokenizer.eos_token_id
    output = model.generate(
        torch.tensor([[pad] * (width - len(p)) + list(p) for p in prompts]),
        attention_mask=torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts]),
        generation_config=GenerationConfig(
            max_new_tokens=max(limits), do_sample=False, pad_token_id=pad, eos_token_id=eos
        ),
    )
    return [response_of(row, limit, eos) for row, limit in zip(output[:, width:].tolist(), limits, strict=True)]


def _tell(
    dtype: str,
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    limits: Sequence[int],
    seconds: dict[str, list[float]],
    answers: dict[str, Answers],
) -> None:
    lengths, ours = sorted(len(a.tokens) for a in answers["ours"]), statistics.median(seconds["ours"])
    widths = sorted(map(len, prompts))
    print(
        f"{len(prompts)} prompts of {widths[0]}-{widths[-1]} tokens (median {widths[len(widths) // 2]}), answers of "
        f"{lengths[0]}-{lengths[-1]} (median {lengths[len(lengths) // 2]}), limits {min(limits)}-{max(limits)}, {dtype}"
    )
    wrong = 0
    for name, spent in seconds.items():
        median = statistics.median(spent)
        tokens = sum(len(a.tokens) for a in answers[name])
        other = [i for i, (a, b) in enumerate(zip(answers["ours"], answers[name], strict=True)) if a != b]
        beyond = [i for i in other if not _tied(model, prompts[i], answers["ours"][i], answers[name][i])]
        wrong += len(beyond)
        print(
            f"{name:<17} {median:7.2f} CPU-s  {tokens / median:8,.0f} tokens/CPU-s  ours is {median / ours:.2f} times "
            f"as fast; {len(other)} answers differ, {len(other) - len(beyond)} of them at a tie"
        )
    if wrong and dtype == "float32":
        sys.exit(f"{wrong} answers differ where no two tokens are as likely")


@torch.inference_mode()
def _tied(model: PreTrainedModel, prompt: Sequence[int], one: Response, other: Response) -> bool:
    """Whether two answers part at two tokens that are as likely."""
    end = model.generation_config.eos_token_id
    ends = end if isinstance(end, list) else [end]
    a, b = ((*r.tokens, *(ends[:1] if r.finished else ())) for r in (one, other))
    at = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), None)
    if at is None:
        return False
    logits = model(torch.tensor([[*prompt, *a[:at]]]), use_cache=False).logits[0, -1].float()
    return bool((logits[a[at]] - logits[b[at]]).abs() < TIE * max(1.0, float(logits.abs().max())))


if __name__ == "__main__":
    main()
