"""What a study of twelve runs that share their first steps costs, with branching and without; the records are the same.

python benchmarks/branching.py [--base lab:weak] [--steps 24 48] [--items 20] [--seeds 3] [--jobs 1] [--rules]

Two lengths of a warmup-stable-decay schedule by two places where the decay begins, over seeds; with `--rules` places by
early stopping or none instead of lengths. Tokens are those of forward passes in training and those generated.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from triaxis.cli.saving import told_saving
from triaxis.execute.check import checked
from triaxis.execute.conduct import conduct
from triaxis.execute.engines import make_engine
from triaxis.records import SAVED, Store, records_digest
from triaxis.study import Study, parse_study

SPENT = ("train", "evaluate", "select")


def study_of(args: argparse.Namespace) -> Study:
    """Twelve runs with three seeds."""
    varied: dict[str, Any] = {"steps": list(args.steps)}
    if args.rules:
        varied = {"steps": args.steps[-1], "early_stopping": ["none", "out_of_domain"]}
    return parse_study({
        "name": "branching",
        "model": {"base": args.base},
        "data": {"task": "chain", "structure": "short_cot", "examples": 512},
        "optimization": {
            "learning_rate": 1e-3,
            "batch_size": 16,
            "schedule": "wsd",
            "warmup_steps": 4,
            "decay_start": [0.5, 0.8],
            **varied,
        },
        "seeds": args.seeds,
        "tasks": {"in_domain": ["chain"], "near_ood": ["words"], "far_ood": ["boolean", "pointer"]},
        "evaluation": {"items": args.items},
        "selection": {"items": max(1, args.items // 2)},
    })  # fmt: skip


def spent(study: Study, folder: Path, jobs: int, branching: bool) -> tuple[dict[str, int], float, str, str]:
    """Tokens by phase that were really spent, seconds, the records' digest, the saving in words."""
    began = time.perf_counter()
    with Store.create(folder, "", {"study": study.to_dict()}, study.settings) as store:
        ended = conduct(study, store, make_engine(jobs), branching=branching)
        assert ended.done == len(study.runs()), ended
        seconds, tokens = time.perf_counter() - began, dict.fromkeys(SPENT, 0)
        for cost in store.costs():
            sign, phase = (-1, cost.phase.removeprefix(SAVED)) if cost.phase.startswith(SAVED) else (1, cost.phase)
            tokens[phase] += sign * cost.tokens
        return tokens, seconds, records_digest(store.table()), told_saving(study, store)


def main() -> None:
    """Both ways in one process after another, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="lab:weak")
    parser.add_argument("--steps", type=int, nargs=2, default=(24, 48))
    parser.add_argument("--items", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--rules", action="store_true")
    args = parser.parse_args()
    study, _ = checked(study_of(args))
    with tempfile.TemporaryDirectory() as folder:
        found = {on: spent(study, Path(folder) / str(on), args.jobs, on) for on in (False, True)}
    assert found[False][2] == found[True][2], "the records differ"
    print(f"{len(study.runs())} runs; records equal (SHA-256 {found[True][2][:16]})")
    for on, (tokens, seconds, _, _) in found.items():
        told = ", ".join(f"{phase} {n:,}" for phase, n in tokens.items())
        print(f"{'branching' if on else 'alone':<10} {sum(tokens.values()):>10,} tokens ({told}), {seconds:.0f} s")
    alone, shared = (sum(found[on][0].values()) for on in (False, True))
    print(f"ratio      {shared / alone:.3f}\nsaved: {found[True][3]}")


if __name__ == "__main__":
    main()
