"""Tokens a second of our decoder against `model.generate()` on the same prompts of mixed length, in one process.

    python benchmarks/generate.py [--base lab:strong] [--items 60] [--rounds 5]

Both answer the lab's evaluation prompts greedily under the same limit, in the same batch; the texts must be the same.
Rounds alternate; the ratio is that of the medians.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from triaxis.axes.model import load_base
from triaxis.evaluate import generate, questions
from triaxis.tasks import task_names


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", default="lab:strong")
    parser.add_argument("--items", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    model, tokenizer = load_base(chosen.base)
    # Direct answers end after two tokens and thoughts after many: the mix that an evaluation meets during training.
    asked = questions(
        {"far_ood": [t for t in task_names() if t != "refusal"]},
        tokenizer,
        items=chosen.items,
        samples=1,
        modes=("direct", "think"),
        max_new_tokens="auto",
        seed=0,
    )
    prompts = [q.prompt for q in asked]
    limit = max(q.max_new_tokens for q in asked)
    eos, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(chosen.rounds):
        began = time.perf_counter()
        answers = generate(
            model, prompts, max_new_tokens=[limit] * len(prompts), eos=eos, pad=pad, batch_size=len(prompts)
        )
        ours.append(time.perf_counter() - began)
        began = time.perf_counter()
        width = max(map(len, prompts))
        ids = torch.tensor([[pad] * (width - len(p)) + list(p) for p in prompts])
        with torch.inference_mode():
            output = model.generate(
                ids,
                attention_mask=(torch.arange(width) >= torch.tensor([[width - len(p)] for p in prompts])).long(),
                max_new_tokens=limit,
                do_sample=False,
                pad_token_id=pad,
                eos_token_id=eos,
            )[:, width:].tolist()
        theirs.append(time.perf_counter() - began)
    wanted = [tuple(row[: row.index(eos)] if eos in row else row) for row in output]
    different = sum(a.tokens != b for a, b in zip(answers, wanted, strict=True))
    tokens = sum(len(a.tokens) for a in answers)
    a, b = statistics.median(ours), statistics.median(theirs)
    print(f"{len(prompts)} prompts of {min(map(len, prompts))}-{width} tokens, {tokens} tokens answered, limit {limit}")
    print(f"triaxis            {a:7.3f} s  {tokens / a:9,.0f} tokens/s")
    print(f"model.generate()   {b:7.3f} s  {tokens / b:9,.0f} tokens/s")
    print(f"ratio {b / a:.2f} (medians of {chosen.rounds}); answers that differ: {different}")


if __name__ == "__main__":
    main()
