"""What the lab's bases can do, and what SFT makes of them: the tables of docs/lab.md.

python benchmarks/lab.py bases [--bases lab:strong lab:weak] [--items 200]
python benchmarks/lab.py sft [--task chain] [--rates 3e-4 1e-3 3e-3] [--structures short_cot] [--noise 0 0.6]
                             [--seeds 3] [--steps 128] [--items 60]
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Iterable

from triaxis.axes.model import base_names
from triaxis.execute.job import Job, Measured
from triaxis.execute.run import follow
from triaxis.tasks import get_task, task_names
from triaxis.types import Outcome, Record

EVALUATION_SEED = 5  # items that no table but these has seen


def job(args: argparse.Namespace, base: str, steps: tuple[int, ...], modes: tuple[str, ...], **varied: object) -> Job:
    """A run with the demo's settings, but for what varies."""
    settings = {
        "model.base": base,
        "data.task": args.task,
        "data.structure": "short_cot",
        "data.examples": 4096,
        "data.noise_rate": 0.0,
        "data.difficulty": "all",
        "data.replay_share": 0.0,
        "optimization.optimizer": "adamw",
        "optimization.learning_rate": 1e-3,
        "optimization.schedule": "constant",
        "optimization.warmup_ratio": 0.1,
        "optimization.batch_size": 32,
        "optimization.micro_batch_size": 32,
        "optimization.weight_decay": 0.01,
        "optimization.gradient_clip": 1.0,
        "optimization.packing": False,
        **{name: value for name, value in varied.items() if name != "seed"},
    }
    evaluation = {
        "items": args.items,
        "samples": 1,
        "temperature": 0.0,
        "max_new_tokens": "auto",
        "modes": modes,
        "seed": EVALUATION_SEED,
        "batch_size": 512,
    }
    groups: dict[str, tuple[str, ...]] = {}
    for name in task_names():
        groups[get_task(name).group] = (*groups.get(get_task(name).group, ()), name)
    return Job("bench", settings, int(varied.get("seed", 0)), steps, groups, evaluation, frozenset(), None)  # type: ignore[arg-type]


def percent(records: Iterable[Record]) -> str:
    """Mean score in per cent, with the share of truncated responses where there are any."""
    kept = list(records)
    cut = sum(r.outcome is Outcome.TRUNCATED for r in kept) / len(kept)
    return f"{100 * statistics.fmean(r.score for r in kept):.0f}" + (f" (cut {100 * cut:.0f})" if cut >= 0.005 else "")


def bases(args: argparse.Namespace) -> None:
    """Accuracy of each base by task and mode, and by level when made to think."""
    print("| base | task | default | direct | think | think, by level | tokens by default |")
    print("|---" * 7 + "|")
    for base in args.bases:
        (point,) = follow(job(args, base, (0,), ("default", "direct", "think")))
        for name in task_names():
            of = {
                m: [r for r in point.records if (r.task, r.mode) == (name, m)] for m in ("default", "direct", "think")
            }
            task = get_task(name)
            levels = [
                f"{level}: {percent(r for r in of['think'] if task.example(r.item).level == level)}"
                for level in task.eval_levels
            ]
            tokens = statistics.fmean(r.response_tokens for r in of["default"])
            cells = [percent(of[m]) if of[m] else "" for m in of]
            print("|", " | ".join([base, name, *cells, ", ".join(levels), f"{tokens:.0f}"]), "|", flush=True)


def rows_of(label: str, points: list[Measured], each: bool) -> None:
    for point in points if each else points[-1:]:
        cells = [percent(r for r in point.records if r.task == name) for name in task_names()]
        print("|", " | ".join([label, str(point.checkpoint.step), *cells]), "|", flush=True)


def sft(args: argparse.Namespace) -> None:
    """Accuracy by default after SFT: one row a run, or with --trajectory one a checkpoint."""
    print(f"SFT on {args.task}, {args.items} items a task\n\n| run | step | {' | '.join(task_names())} |")
    print("|---" * (2 + len(task_names())) + "|")
    steps = (0, 4, 8, 16, 32, 64, args.steps) if args.trajectory else (0, args.steps)
    grid = itertools.product(args.bases, args.structures, args.noise, args.rates, range(args.seeds))
    for base, structure, noise, rate, seed in grid:
        began = time.perf_counter()
        varied = {"optimization.learning_rate": rate, "data.noise_rate": noise, "data.structure": structure}
        points = list(follow(job(args, base, steps, ("default",), seed=seed, **varied)))
        label = f"{base} {structure} noise {noise:g} rate {rate:g} seed {seed}, {time.perf_counter() - began:.0f} s"
        rows_of(label, points, args.trajectory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["bases", "sft"])
    parser.add_argument("--bases", nargs="+", default=list(base_names()))
    parser.add_argument("--items", type=int, default=60)
    parser.add_argument("--task", default="chain")
    parser.add_argument("--rates", nargs="+", type=float, default=[3e-4, 1e-3, 3e-3])
    parser.add_argument("--structures", nargs="+", default=["short_cot"])
    parser.add_argument("--noise", nargs="+", type=float, default=[0.0, 0.6])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=128)
    parser.add_argument("--trajectory", action="store_true")
    args = parser.parse_args()
    {"bases": bases, "sft": sft}[args.what](args)


if __name__ == "__main__":
    main()
