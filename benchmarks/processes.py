"""A step of one process against one of two that train together, with the same whole batch, in turn in one run.

    python benchmarks/processes.py [--base lab:strong] [--batch 32] [--steps 20] [--rounds 3] [--processes 2]

Each way trains the same base on the same rows, one thread a process, from one start of the processes; a round is
`--steps` steps of each, and rounds alternate; while one process trains alone the others wait. Told are medians of
wall-clock and of the first process's CPU time a step, their ratios to one process alone (that of CPU time is what there
is to gain where every process has a core of its own), and what the start of the processes took.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch
import torch.distributed as dist
from transformers.utils.logging import disable_progress_bar

from triaxis.axes.data import training_set
from triaxis.axes.model import load_base
from triaxis.axes.optimization import Recipe, Row, Training, collate, order
from triaxis.axes.optimization.crew import ALONE, Crew, join
from triaxis.execute.run import render


def rows_for(base: str) -> list[Row]:
    _model, tokenizer = load_base(base)
    settings = {"task": "chain", "examples": 2048, "structure": "short_cot", "noise_rate": 0.0}
    examples = training_set(settings | {"difficulty": "all", "replay_share": 0.0}, seed=0)
    return [render(example, tokenizer) for example in examples]


def training_of(chosen: argparse.Namespace, rows: list[Row], crew: Crew) -> Training:
    model, tokenizer = load_base(chosen.base)

    def batch_of(step: int) -> list:
        members = [rows[i] for i in order(len(rows), chosen.batch, step, 0)][crew.rank :: crew.size]
        return [collate(members, tokenizer.pad_token_id)] if members else []

    recipe = Recipe(steps=10**6, learning_rate=1e-5, schedule="constant", warmup_ratio=0.0)
    training = Training(model, batch_of, recipe, crew)
    training.run_to(2)  # what is made at the first step
    return training


def in_crew(chosen: argparse.Namespace) -> None:
    """One of the processes; the first prints what came of it."""
    torch.set_num_threads(1)
    disable_progress_bar()
    crew = join(chosen.rank, chosen.processes, chosen.meeting)
    if crew.first:
        print(f"start of {crew.size} processes {time.time() - chosen.began:.1f} s")
    rows = rows_for(chosen.base)
    ways = {s: training_of(chosen, rows, replace(crew, sharding=s)) for s in ("ddp", "fsdp")}
    if crew.first:
        ways = {"one": training_of(chosen, rows, ALONE), **ways}
    taken: dict[str, list[tuple[float, float]]] = {"one": [], "ddp": [], "fsdp": []}
    for _ in range(chosen.rounds):
        for way, spent in taken.items():
            dist.barrier()
            wall, cpu = time.perf_counter(), time.process_time()
            if way in ways:
                ways[way].run_to(ways[way].step + chosen.steps)
            spent.append((time.perf_counter() - wall, time.process_time() - cpu))
    if crew.first:
        one = [median(kind) for kind in zip(*taken["one"], strict=True)]
        for way, spent in taken.items():
            wall, cpu = (median(kind) for kind in zip(*spent, strict=True))
            each = 1000 / chosen.steps
            print(
                f"{way:<5} {each * wall:7.1f} ms a step, {one[0] / wall:.2f} times as fast as one process alone;"
                f" {each * cpu:7.1f} ms of CPU, {one[1] / cpu:.2f}"
            )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", default="lab:strong")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    for hidden, kind in (("--rank", int), ("--meeting", str), ("--began", float)):
        parser.add_argument(hidden, type=kind, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.rank is not None:
        in_crew(chosen)
        return
    with tempfile.TemporaryDirectory() as folder:
        given = [*sys.argv[1:], "--meeting", str(Path(folder) / "meeting"), "--began", str(time.time())]
        command = [sys.executable, __file__, *given]
        crew = [subprocess.Popen([*command, "--rank", str(rank)]) for rank in range(chosen.processes)]
        sys.exit(max(abs(process.wait()) for process in crew))


if __name__ == "__main__":
    main()
