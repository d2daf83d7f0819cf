"""What inference costs: a study like the demo's, a table of many rows, and a paired bootstrap.

    python benchmarks/analyze.py [--rows 10000000]

CPU seconds and peak memory of this process; one thread.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import json
import resource
import time

import numpy as np
import pyarrow as pa

from triaxis.analyze import analyze, to_json
from triaxis.records.columns import LABEL
from triaxis.records.table import Table
from triaxis.simulate import study
from triaxis.stats.paired import bootstrap_means


def peak() -> str:
    return f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.1f} GB"


def demo() -> None:
    factors = {
        "optimization.learning_rate": (3e-4, 3e-3),
        "data.noise_rate": (0.0, 0.6),
        "model.base": ("strong", "weak"),
    }
    groups = {"in_domain": ("chain",), "near_ood": ("words",), "far_ood": ("a", "b", "c", "d"), "safety": ("refusal",)}
    table = study(factors=factors, bases={"strong": 0.0, "weak": -1.0}, groups=groups, items=60).table
    start = time.process_time()
    json.dumps(to_json(analyze(table)))
    print(f"2x2x2, 3 seeds, 7 tasks, 60 items: {table.n_rows:,} rows in {time.process_time() - start:.1f} CPU-s")


def middle() -> None:
    """24 runs, 10 checkpoints, 8 tasks of 200 items: 192 series, whose shapes share their designs."""
    factors = {
        "optimization.learning_rate": (3e-4, 3e-3),
        "data.noise_rate": (0.0, 0.6),
        "model.base": ("strong", "weak"),
    }
    groups = {"in_domain": ("a", "b"), "near_ood": ("c", "d"), "far_ood": ("e", "f"), "safety": ("g", "h")}
    steps = (0, 10, 20, 40, 80, 160, 320, 480, 640, 800)
    bases = {"strong": 0.4, "weak": -0.6}
    table = study(factors=factors, bases=bases, groups=groups, items=200, steps=steps).table
    start = time.process_time()
    analyze(table)
    spent = f"{time.process_time() - start:.1f} CPU-s, {peak()}"
    print(f"24 runs x 10 checkpoints x 8 tasks x 200 items: {table.n_rows:,} rows in {spent}")


def labels(values: list[str], codes: np.ndarray) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(values)).cast(LABEL)


def many(rows: int) -> None:
    """A 2x2x2 with 6 seeds, 8 tasks, 10 steps, as many items as make the rows."""
    runs, tasks, steps = 48, 8, [0, 10, 20, 40, 80, 160, 320, 480, 640, 800]
    items = rows // (runs * tasks * len(steps))
    run, task, step, item = (axis.ravel().astype(np.int32) for axis in np.indices((runs, tasks, len(steps), items)))
    rng = np.random.default_rng(0)
    ability = rng.normal(size=items).astype(np.float32)
    right = rng.random(len(run), dtype=np.float32) < 1 / (
        1 + np.exp(ability[item] - 0.003 * np.array(steps)[step] * (run % 2))
    )
    columns = {
        "source": labels([""], np.zeros(len(run))),
        "run": labels([f"r{i}" for i in range(runs)], run),
        "seed": pa.array((run // 8).astype(np.int64)),
        "step": pa.array(np.array(steps)[step]),
        "task": labels([f"t{i}" for i in range(tasks)], task),
        "group": labels(["in_domain", "far_ood"], task % 2),
        "mode": labels(["default"], np.zeros(len(run))),
        "metric": labels(["accuracy"], np.zeros(len(run))),
        "item": labels([f"i{i}" for i in range(items)], item),
        "sample": pa.array(np.zeros(len(run), dtype=np.int64)),
        "outcome": labels(["wrong", "correct"], right),
        "score": pa.array(right.astype(np.float64)),
        "response_tokens": pa.array(np.full(len(run), 50.0)),
        "model.base": labels(["one"], np.zeros(len(run))),
        **{
            name: pa.array(np.array([0.1, 1.0])[(run >> shift) % 2])
            for shift, name in enumerate(("data.noise_rate", "data.replay_share", "optimization.learning_rate"))
        },
    }
    table = Table(pa.table(columns))
    print(f"made {table.n_rows:,} rows, {peak()}")
    start, clock = time.process_time(), time.time()
    analysis = analyze(table)
    spent = f"{time.process_time() - start:.1f} CPU-s, {time.time() - clock:.1f} s, {peak()}"
    print(f"analysed in {spent}, {len(analysis.trajectories)} trajectories")


def bootstrap() -> None:
    x = np.random.default_rng(0).random((24 * 10 * 8, 200))
    start = time.process_time()
    bootstrap_means(x, 10_000, np.random.default_rng(1))
    spent = f"{time.process_time() - start:.1f} CPU-s"
    print(f"paired bootstrap of 24 runs x 10 checkpoints x 8 tasks x 200 items, 10,000 resamples: {spent}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    asked = parser.parse_args()
    demo()
    middle()
    bootstrap()
    many(asked.rows)


if __name__ == "__main__":
    main()
