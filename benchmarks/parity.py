"""Loss curves of our loop beside TRL's SFTTrainer's and transformers' Trainer's: same rows, same order, same settings.

    python benchmarks/parity.py [--base smollm2-135m] [--steps 40] [--rows 150] [--batch 8]   (needs the extra [bench])

Each trains the same base in fp32, one thread, on batches of the same rows in the same order: once with the batch in one
piece (8x1) and once row by row (1x8, gradient accumulation). The number of rows is no multiple of the batch, so that
every epoch ends in a ragged batch. The loss of a step is per supervised token of its whole batch. Printed are the
largest relative difference over the first steps and over all, the mean of the signed ones (a bias has one sign), and
the largest difference in nats a token.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from triaxis.axes.data import training_set
from triaxis.axes.model import load_base
from triaxis.axes.optimization import Recipe, Row, Training, batches_per_epoch, collate, order
from triaxis.execute.run import render

LAB = {"task": "chain", "structure": "short_cot", "noise_rate": 0.0, "difficulty": "all", "replay_share": 0.0}


def rows_of(base: str, n: int) -> list[Row]:
    """Rows to train on: the lab's traces, or for another base the same as plain text through its own template."""
    _, tokenizer = load_base(base)
    return [render(example, tokenizer) for example in training_set(LAB | {"examples": n}, seed=0)]


def ours(base: str, rows: Sequence[Row], recipe: Recipe, batch: int, micro: int) -> list[float]:
    """The loss of every step of our loop, nats a supervised token."""
    model, tokenizer = load_base(base)

    def batches(step: int) -> list[Any]:
        members = [rows[i] for i in order(len(rows), batch, step, recipe.seed)]
        return [collate(members[i : i + micro], tokenizer.pad_token_id) for i in range(0, len(members), micro)]

    training = Training(model, batches, recipe)
    return [training.run_to(step).loss or 0.0 for step in range(1, recipe.steps + 1)]


class OurOrder(torch.utils.data.Sampler[int]):
    """The rows of one epoch after the other, in the order in which our loop takes them."""

    def __init__(self, rows: int, batch: int, seed: int) -> None:
        self.rows, self.batch, self.seed, self.epoch = rows, batch, seed, 0

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[int]:
        each = batches_per_epoch(self.rows, self.batch)
        first, self.epoch = self.epoch * each, self.epoch + 1
        for step in range(first, first + each):
            yield from order(self.rows, self.batch, step, self.seed)


def theirs(
    base: str,
    rows: Sequence[Row],
    recipe: Recipe,
    batch: int,
    micro: int,
    *,
    kind: str = "trl",
    counts: bool = True,
    **changes: Any,
) -> list[float]:
    """The loss of every step of TRL's SFTTrainer (`kind` trl) or of transformers' Trainer, as they log it.

    `counts` False is a model that takes no keyword arguments for its loss: nobody tells it the tokens of the batch.
    """
    from transformers import Trainer, TrainingArguments

    model, tokenizer = load_base(base)
    common: dict[str, Any] = {
        "max_steps": recipe.steps,
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": batch // micro,
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": recipe.schedule,
        "warmup_steps": round(recipe.warmup_ratio * recipe.steps),
        "weight_decay": recipe.weight_decay,
        "max_grad_norm": recipe.gradient_clip,
        "gradient_checkpointing": False,
        "bf16": False,
        "use_cpu": True,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "seed": recipe.seed,
    } | changes
    sampler = OurOrder(len(rows), batch, recipe.seed)
    quiet: Any
    with tempfile.TemporaryDirectory() as folder:
        if kind == "trl":
            from datasets import Dataset
            from trl import SFTConfig, SFTTrainer

            data = Dataset.from_list([{"input_ids": list(row.tokens), "completion_mask": _mask(row)} for row in rows])
            quiet = _in_our_order(SFTTrainer, sampler)(
                model=model,
                args=SFTConfig(output_dir=folder, max_length=None, completion_only_loss=True, **common),
                train_dataset=data,
                processing_class=tokenizer,
            )
        else:
            plain = [{"row": row} for row in rows]
            quiet = _in_our_order(Trainer, sampler)(
                model=model,
                args=TrainingArguments(output_dir=folder, remove_unused_columns=False, **common),
                train_dataset=plain,
                data_collator=lambda some: _padded([one["row"] for one in some], tokenizer.pad_token_id),
            )
        quiet.log = lambda logs, *_: quiet.state.log_history.append({**logs, "step": quiet.state.global_step})
        quiet.model_accepts_loss_kwargs = quiet.model_accepts_loss_kwargs and counts
        quiet.train()
        return [float(entry["loss"]) for entry in quiet.state.log_history if "loss" in entry]


def _mask(row: Row) -> list[int]:
    return [0] * row.prompt_tokens + [1] * (len(row.tokens) - row.prompt_tokens)


def _padded(rows: Sequence[Row], pad: int) -> dict[str, torch.Tensor]:
    batch = collate(rows, pad)
    return {"input_ids": batch.input_ids, "labels": batch.labels}


def _in_our_order(trainer: Any, sampler: OurOrder) -> Any:
    return type(trainer.__name__, (trainer,), {"_get_train_sampler": lambda *_: sampler})


def compared(one: Sequence[float], other: Sequence[float], first: int = 10) -> tuple[float, float, float]:
    """Largest relative difference over the first steps and over all, and the mean of the signed ones."""
    drift = (np.array(one) - np.array(other)) / np.array(other)
    return float(abs(drift[:first]).max()), float(abs(drift).max()), float(drift.mean())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", default="lab:strong")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rows", type=int, default=150)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--schedule", default="linear")
    parser.add_argument("--warmup", type=float, default=0.0)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    rows = rows_of(chosen.base, chosen.rows)
    recipe = Recipe(chosen.steps, chosen.rate, schedule=chosen.schedule, warmup_ratio=chosen.warmup)
    whole, batch = f"{chosen.batch}x1", chosen.batch
    reference = ours(chosen.base, rows, recipe, batch, batch)
    ragged = len(rows) % batch
    print(f"{chosen.base}, {chosen.steps} steps of {batch} rows, the last of an epoch {ragged}, {chosen.schedule}")
    print(f"loss {reference[0]:.4f} at step 1, {reference[-1]:.4f} at the end")
    print(f"{'against triaxis ' + whole:<24} {'first 10 steps':>15} {'all':>10} {'mean, signed':>13} {'nats':>10}")
    for name, micro, kind in (
        (f"triaxis 1x{batch}", 1, ""),
        (f"TRL SFTTrainer {whole}", batch, "trl"),
        (f"TRL SFTTrainer 1x{batch}", 1, "trl"),
        (f"Trainer {whole}", batch, "trainer"),
        (f"Trainer 1x{batch}", 1, "trainer"),
    ):
        train = partial(theirs, kind=kind) if kind else ours
        curve = train(chosen.base, rows, recipe, batch, micro)
        first, every, drift = compared(curve, reference)
        nats = float(abs(np.array(curve) - np.array(reference)).max())
        print(f"{name:<24} {first:15.1e} {every:10.1e} {drift:13.1e} {nats:10.1e}", flush=True)


if __name__ == "__main__":
    main()
