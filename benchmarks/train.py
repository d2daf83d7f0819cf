"""Training speed of our loop against a bare PyTorch loop and against TRL's SFTTrainer, side by side in one run.

    python benchmarks/train.py [--steps 60] [--rounds 5]        (needs the extra [bench])

The three train the same lab base on the same rows in batches of 32, one thread, with AdamW and the same schedule. The
bare loop goes over batches made beforehand, and does nothing but forward, backward, clip and step; TRL gets tokenised
rows with a completion mask, and logs and saves nothing. Rounds alternate; ratios are those of the medians.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time

import torch
from torch.nn.functional import cross_entropy

from triaxis.axes.data import training_set
from triaxis.axes.model import load_base
from triaxis.axes.optimization import Recipe, Row, Training, collate, order
from triaxis.axes.optimization.optimizers import build_optimizers, set_rate
from triaxis.axes.optimization.schedules import rate_factor
from triaxis.execute.run import render

BATCH = 32


def ours(rows: list[Row], recipe: Recipe) -> float:
    model, tokenizer = load_base("lab:strong")
    pad = tokenizer.pad_token_id
    training = Training(model, lambda step: [collate([rows[i] for i in order(len(rows), BATCH, step, 0)], pad)], recipe)
    began = time.perf_counter()
    training.run_to(recipe.steps)
    return time.perf_counter() - began


def bare(rows: list[Row], recipe: Recipe) -> float:
    model, tokenizer = load_base("lab:strong")
    pad = tokenizer.pad_token_id
    batches = [collate([rows[i] for i in order(len(rows), BATCH, s, 0)], pad) for s in range(recipe.steps)]
    model.train()
    [optimizer] = build_optimizers(model, recipe)
    began = time.perf_counter()
    for step, batch in enumerate(batches):
        logits = model(input_ids=batch.input_ids, use_cache=False).logits
        loss = cross_entropy(logits[:, :-1].flatten(0, 1), batch.labels[:, 1:].flatten(), ignore_index=-100)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        set_rate([optimizer], recipe.learning_rate * rate_factor(recipe, step))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return time.perf_counter() - began


def trl(rows: list[Row], recipe: Recipe) -> float:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    model, tokenizer = load_base("lab:strong")
    data = Dataset.from_list(
        [
            {
                "input_ids": list(r.tokens),
                "completion_mask": [0] * r.prompt_tokens + [1] * (len(r.tokens) - r.prompt_tokens),
            }
            for r in rows
        ]
    )
    with tempfile.TemporaryDirectory() as folder:
        config = SFTConfig(
            output_dir=folder,
            max_steps=recipe.steps,
            per_device_train_batch_size=BATCH,
            learning_rate=recipe.learning_rate,
            lr_scheduler_type="constant",
            weight_decay=recipe.weight_decay,
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
        began = time.perf_counter()
        trainer.train()
        return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    _model, tokenizer = load_base("lab:strong")
    settings = {"task": "chain", "examples": 2048, "structure": "short_cot"}
    examples = training_set(settings | {"noise_rate": 0.0, "difficulty": "all", "replay_share": 0.0}, seed=0)
    rows = [render(e, tokenizer) for e in examples]
    recipe = Recipe(steps=chosen.steps, learning_rate=3e-4, schedule="constant", warmup_ratio=0.0)
    taken: dict[str, list[float]] = {"triaxis": [], "bare loop": [], "TRL SFTTrainer": []}
    for _ in range(chosen.rounds):
        taken["triaxis"].append(ours(rows, recipe))
        taken["bare loop"].append(bare(rows, recipe))
        taken["TRL SFTTrainer"].append(trl(rows, recipe))
    tokens = sum(len(rows[i].tokens) for s in range(chosen.steps) for i in order(len(rows), BATCH, s, 0))
    medians = {name: statistics.median(seconds) for name, seconds in taken.items()}
    for name, median in medians.items():
        print(f"{name:<15} {median:7.2f} s  {tokens / median:9,.0f} tokens/s")
    print(f"speed against the bare loop {medians['bare loop'] / medians['triaxis']:.3f} (1 is equal, more is faster)")
    print(f"speed against TRL           {medians['TRL SFTTrainer'] / medians['triaxis']:.3f}")


if __name__ == "__main__":
    main()
