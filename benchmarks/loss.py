"""Memory and time of the loss over a large vocabulary, all logits at once against chunks.

    python benchmarks/loss.py [--tokens 4096] [--vocabulary 49152] [--hidden 64] [--share 1.0] [--rounds 3]

A forward and a backward pass of a one-layer model with tied embeddings over one row, one thread, every case in a
process of its own. The peak is that process's resident memory above what it held before the first pass; the time is CPU
time, the median of the rounds after it. `--share` is the share of the row's tokens that carry loss. Cases differ in
nothing but the number of logits that are held at once, and say how far loss and gradient are from those of the first.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time

import torch
from transformers import ArceeConfig, ArceeForCausalLM

from triaxis.axes.optimization import Batch, Row, collate, losses

CASES = {"all at once": 2**62, "2^26 logits": 2**26, "2^24 logits": 2**24, "2^22 logits": 2**22}


def model_and_batch(chosen: argparse.Namespace) -> tuple[ArceeForCausalLM, Batch]:
    torch.manual_seed(0)
    model = ArceeForCausalLM(
        ArceeConfig(
            vocab_size=chosen.vocabulary,
            hidden_size=chosen.hidden,
            intermediate_size=chosen.hidden * 2,
            num_hidden_layers=1,
            num_attention_heads=1,
            num_key_value_heads=1,
            max_position_embeddings=chosen.tokens,
            tie_word_embeddings=True,
        )
    )
    tokens = torch.randint(2, chosen.vocabulary, (chosen.tokens,)).tolist()
    return model, collate([Row("row", tuple(tokens), round(chosen.tokens * (1 - chosen.share)))], 0)


def one(chosen: argparse.Namespace) -> None:
    """Print peak bytes, seconds, the loss a token and the gradient's norm of one case."""
    torch.set_num_threads(1)
    losses.LOGITS_AT_ONCE = CASES[chosen.case]
    model, batch = model_and_batch(chosen)
    before, taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, []
    for _ in range(chosen.rounds + 1):
        model.zero_grad(set_to_none=True)
        began = time.process_time()
        sums = losses.summed(model, batch, chosen.loss)
        loss = sums.objective / batch.supervised
        loss.backward()
        taken.append(time.process_time() - began)
    peak = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters()])
    print(peak, statistics.median(taken[1:]), loss.item(), norm.item())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--vocabulary", type=int, default=49152)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--loss", choices=("nll", "dft"), default="nll")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.case:
        one(chosen)
        return
    first: list[float] = []
    for case in chosen.cases:
        command = [sys.executable, __file__, *sys.argv[1:], "--case", case]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        peak, seconds, loss, norm = map(float, told.split())
        first = first or [loss, norm]
        off = max(abs(loss / first[0] - 1), abs(norm / first[1] - 1))
        print(f"{case:<12} {peak / 2**20:8,.0f} MiB  {seconds:6.2f} s  loss and gradient off by {off:.0e}")


if __name__ == "__main__":
    main()
