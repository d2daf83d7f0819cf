"""Training speed and peak memory of our loop, a bare PyTorch loop and TRL's SFTTrainer, side by side in one run.

    python benchmarks/train.py [--steps 60] [--rounds 5]          (needs the extra [bench])
    python benchmarks/train.py --base smollm2-135m [--dtype bfloat16] --steps 6 --batch 8 --rounds 3

The three train the same base on the same rows in the same batch size, one thread, with AdamW and the same schedule. The
bare loop goes over batches made beforehand, and does nothing but forward, backward, clip and step, with all logits at
once; TRL gets tokenised rows with a completion mask, and logs and saves nothing. Each is measured in a process of its
own; rounds alternate, and ratios are those of the medians. Memory is the most that the process held while it trained
(the kernel's high-water mark, reset after loading) above what it held before.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from triaxis.axes.data import training_set
from triaxis.axes.model import ModelSettings, load_base
from triaxis.axes.optimization import Recipe, Row, Training, collate, order
from triaxis.axes.optimization.optimizers import build_optimizers, set_rate
from triaxis.axes.optimization.schedules import rate_factor
from triaxis.execute.run import render

LAB = {"task": "chain", "noise_rate": 0.0, "difficulty": "all", "replay_share": 0.0}


@dataclass(frozen=True)
class Work:
    """What all three train."""

    base: str
    dtype: str
    structure: str
    batch: int
    steps: int
    rows: int = 2048

    def load(self) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        return load_base(self.base, ModelSettings.of({"base": self.base, "dtype": self.dtype}))

    def examples(self, tokenizer: PreTrainedTokenizerBase) -> list[Row]:
        """The lab's traces, for another base as plain text through its own template."""
        settings = LAB | {"examples": self.rows, "structure": self.structure}
        return [render(example, tokenizer) for example in training_set(settings, seed=0)]

    @property
    def recipe(self) -> Recipe:
        return Recipe(steps=self.steps, learning_rate=3e-4, schedule="constant", warmup_ratio=0.0)


def ours(work: Work) -> Callable[[], None]:
    model, tokenizer = work.load()
    rows, pad = work.examples(tokenizer), tokenizer.pad_token_id
    batches = lambda step: [collate([rows[i] for i in order(len(rows), work.batch, step, 0)], pad)]  # noqa: E731
    training = Training(model, batches, work.recipe)
    return lambda: training.run_to(work.steps)


def bare(work: Work) -> Callable[[], None]:
    model, tokenizer = work.load()
    rows, pad, recipe = work.examples(tokenizer), tokenizer.pad_token_id, work.recipe
    batches = [collate([rows[i] for i in order(len(rows), work.batch, s, 0)], pad) for s in range(work.steps)]
    model.train()
    [optimizer] = build_optimizers(model, recipe)

    def train() -> None:
        for step, batch in enumerate(batches):
            logits = model(input_ids=batch.input_ids, use_cache=False).logits.float()
            loss = cross_entropy(logits[:, :-1].flatten(0, 1), batch.labels[:, 1:].flatten(), ignore_index=-100)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            set_rate([optimizer], recipe.learning_rate * rate_factor(recipe, step))
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return train


def trl(work: Work) -> Callable[[], None]:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    model, tokenizer = work.load()
    data = Dataset.from_list(
        [
            {
                "input_ids": list(r.tokens),
                "completion_mask": [0] * r.prompt_tokens + [1] * (len(r.tokens) - r.prompt_tokens),
            }
            for r in work.examples(tokenizer)
        ]
    )
    config = SFTConfig(
        output_dir=tempfile.mkdtemp(),
        max_steps=work.steps,
        per_device_train_batch_size=work.batch,
        learning_rate=work.recipe.learning_rate,
        lr_scheduler_type="constant",
        weight_decay=work.recipe.weight_decay,
        max_grad_norm=1.0,
        max_length=None,
        completion_only_loss=True,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        logging_strategy="no",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        seed=0,
    )
    trainer = SFTTrainer(model=model, args=config, train_dataset=data, processing_class=tokenizer)
    return trainer.train


TRAINERS = {"triaxis": ours, "bare loop": bare, "TRL SFTTrainer": trl}


def measured(name: str, work: Work) -> dict[str, float]:
    """Seconds and the growth of memory (MB) of one trainer, in this process."""
    torch.set_num_threads(1)
    train = TRAINERS[name](work)
    Path("/proc/self/clear_refs").write_text("5")  # from here on the high-water mark is that of training
    before, began = _memory("VmRSS"), time.perf_counter()
    train()
    return {"seconds": time.perf_counter() - began, "megabytes": (_memory("VmHWM") - before) / 1e3}


def _memory(key: str) -> int:
    """Kilobytes of this process, as the kernel counts them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def in_a_process(name: str, arguments: list[str]) -> dict[str, float]:
    command = [sys.executable, __file__, *arguments, "--only", name]
    told = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    found: dict[str, float] = json.loads(told.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", default="lab:strong")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--structure", default="short_cot")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=TRAINERS, help="measure this one here, and print it as JSON")
    chosen = parser.parse_args()
    work = Work(chosen.base, chosen.dtype, chosen.structure, chosen.batch, chosen.steps)
    if chosen.only:
        print(json.dumps(measured(chosen.only, work)))
        return
    found: dict[str, list[dict[str, float]]] = {name: [] for name in TRAINERS}
    for _ in range(chosen.rounds):
        for name in TRAINERS:
            found[name].append(in_a_process(name, sys.argv[1:]))
    _, tokenizer = work.load()
    rows = work.examples(tokenizer)
    tokens = sum(len(rows[i].tokens) for s in range(work.steps) for i in order(len(rows), work.batch, s, 0))
    seconds = {name: statistics.median(one["seconds"] for one in each) for name, each in found.items()}
    memory = {name: statistics.median(one["megabytes"] for one in each) for name, each in found.items()}
    print(
        f"{work.base}, {work.dtype}, {work.structure}, batches of {work.batch}, {work.steps} steps, {tokens:,} tokens"
    )
    for name in TRAINERS:
        print(f"{name:<15} {seconds[name]:7.2f} s  {tokens / seconds[name]:9,.0f} tokens/s  +{memory[name]:6,.0f} MB")
    print(f"speed against the bare loop {seconds['bare loop'] / seconds['triaxis']:.3f} (1 is equal, more is faster)")
    print(f"speed against TRL           {seconds['TRL SFTTrainer'] / seconds['triaxis']:.3f}")


if __name__ == "__main__":
    main()
