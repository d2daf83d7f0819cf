"""What each diagnostic costs and says on the lab's strong base after a little SFT: the table of docs/diagnostics.md.

    python benchmarks/diagnostics.py [--steps 40] [--rounds 5]

One batch of 32 training rows and one of 32 held-out rows, padded, one thread; seconds are the median of the rounds, of
CPU time of the process (wall time would hold what else runs on the machine).
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from triaxis.axes.data import training_set
from triaxis.axes.model import load_base
from triaxis.axes.optimization import Recipe, Row, Training, collate, order
from triaxis.axes.optimization.diagnostics import DIAGNOSTICS, Inputs, copy_weights, run_diagnostics
from triaxis.execute.run import render
from triaxis.types import NotEstimable

BATCH = 32


def rows(seed: int, tokenizer: object) -> list[Row]:
    settings = {"task": "chain", "examples": 1024, "structure": "short_cot"}
    examples = training_set(settings | {"noise_rate": 0.0, "difficulty": "all", "replay_share": 0.0}, seed=seed)
    return [render(example, tokenizer) for example in examples]  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    model, tokenizer = load_base("lab:strong")
    base, pad = copy_weights(model), tokenizer.pad_token_id
    data = rows(0, tokenizer)
    batches = lambda step: [collate([data[i] for i in order(len(data), BATCH, step, 0)], pad)]  # noqa: E731
    recipe = Recipe(steps=chosen.steps, learning_rate=1e-3, schedule="constant")
    training = Training(model, batches, recipe)
    began = time.process_time()
    training.run_to(chosen.steps)
    step = (time.process_time() - began) / chosen.steps
    known = {row.tokens for row in data}
    apart = [row for row in rows(1, tokenizer) if row.tokens not in known][:BATCH]
    inputs = Inputs(batches(chosen.steps), [collate(apart, pad)], base)

    print(f"one training step, the mean of {chosen.steps}: {step:.3f} CPU-s\n")
    print(
        "| diagnostic | reads | CPU seconds | training steps | tokens | reading | 95 % interval |\n" + "|---" * 7 + "|"
    )
    for diagnostic in DIAGNOSTICS:
        taken = []
        for _ in range(chosen.rounds):
            began = time.process_time()
            found = run_diagnostics([diagnostic.name], model, inputs)
            taken.append(time.process_time() - began)
        seconds = statistics.median(taken)
        [(_, (_, tokens))] = found.costs.items()
        column, value = next(iter(found.values.items()))
        cells = [diagnostic.name, diagnostic.costs, f"{seconds:.3f}", f"{seconds / step:.1f}", f"{tokens:,}"]
        if isinstance(value, NotEstimable):
            cells += [value.reason, ""]
        else:
            ends = ["none" if end is None else f"{end:.4g}" for end in (value.low, value.high)]
            part = column.removeprefix("diagnostic.").removeprefix(diagnostic.name).removeprefix(".")
            cells += [f"{part} {value.value:.4g} {value.unit}".strip(), "" if ends[0] == "none" else " to ".join(ends)]
        print("|", " | ".join(cells), "|", flush=True)
    everything = run_diagnostics([d.name for d in DIAGNOSTICS], model, inputs)
    print(f"\nall: {sum(s for s, _ in everything.costs.values()):.2f} s, {len(everything.values)} columns")
    for name in ("hessian_eigenvalue", "hessian_trace", "noise_scale", "loss_slice", "kl_from_base"):
        for column, value in everything.values.items():
            if column.startswith(f"diagnostic.{name}"):
                print(column, value)


if __name__ == "__main__":
    main()
