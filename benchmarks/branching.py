"""What a study of twelve runs that share their first steps costs, with branching and without; the records are the same.

python benchmarks/branching.py [--base lab:weak] [--steps 24 48] [--items 20] [--seeds 3] [--jobs 1] [--rules]
    [--adaptive]

Two lengths of a warmup-stable-decay schedule by two places where the decay begins, over seeds; with `--rules` places by
early stopping or none instead of lengths. Tokens are those of forward passes in training and those generated. With
`--adaptive` a third time, with branching and adaptive evaluation, and which verdicts of the claims differ then.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from triaxis.analyze import analyze
from triaxis.cli.saving import told_saving
from triaxis.execute.check import checked
from triaxis.execute.conduct import conduct
from triaxis.execute.engines import make_engine
from triaxis.records import SAVED, Store, records_digest
from triaxis.study import Study, parse_study

SPENT = ("train", "evaluate", "select")


def study_of(args: argparse.Namespace, adaptive: bool = False) -> Study:
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
        "evaluation": {"items": args.items, **({"adaptive": True} if adaptive else {})},
        "selection": {"items": max(1, args.items // 2)},
    })  # fmt: skip


class Spent(NamedTuple):
    """What a study took, and what came of it."""

    tokens: dict[str, int]  # by phase, that were really spent
    seconds: float
    digest: str  # of the records
    saved: str  # by branching, in words
    verdicts: dict[str, str]  # by claim

    @property
    def total(self) -> int:
        return sum(self.tokens.values())


def spent(study: Study, folder: Path, jobs: int, branching: bool) -> Spent:
    """Carry a study out."""
    began = time.perf_counter()
    with Store.create(folder, "", {"study": study.to_dict()}, study.settings) as store:
        ended = conduct(study, store, make_engine(jobs), branching=branching)
        assert ended.done == len(study.runs()), ended
        seconds, tokens = time.perf_counter() - began, dict.fromkeys(SPENT, 0)
        for cost in store.costs():
            sign, phase = (-1, cost.phase.removeprefix(SAVED)) if cost.phase.startswith(SAVED) else (1, cost.phase)
            tokens[phase] += sign * cost.tokens
        table = store.table()
        verdicts = {verdict.claim: verdict.decision for verdict in analyze(table, study=study).verdicts}
        return Spent(tokens, seconds, records_digest(table), told_saving(study, store), verdicts)


def main() -> None:
    """Both ways in one process after another, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="lab:weak")
    parser.add_argument("--steps", type=int, nargs=2, default=(24, 48))
    parser.add_argument("--items", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--rules", action="store_true")
    parser.add_argument("--adaptive", action="store_true")
    args = parser.parse_args()
    study, _ = checked(study_of(args))
    with tempfile.TemporaryDirectory() as folder:
        alone = spent(study, Path(folder) / "alone", args.jobs, False)
        shared = spent(study, Path(folder) / "shared", args.jobs, True)
        assert alone.digest == shared.digest, "the records differ"
        print(f"{len(study.runs())} runs; records equal (SHA-256 {shared.digest[:16]})")
        show("alone", alone, alone)
        show("branching", shared, alone)
        print(f"saved by branching: {shared.saved}")
        if args.adaptive:
            both = spent(checked(study_of(args, adaptive=True))[0], Path(folder) / "both", args.jobs, True)
            show("branching and adaptive", both, alone)
            differ = {c: (was, both.verdicts[c]) for c, was in alone.verdicts.items() if both.verdicts[c] != was}
            tested = sum(decision != "not testable" for decision in alone.verdicts.values())
            told = "; ".join(f"{claim} {was}, now {now}" for claim, (was, now) in differ.items()) or "none"
            print(f"verdicts that differ, of {tested} tested: {told}")


def show(name: str, one: Spent, alone: Spent) -> None:
    """A line with what it took, and the ratio."""
    told = ", ".join(f"{phase} {n:,}" for phase, n in one.tokens.items())
    print(f"{name:<22} {one.total:>10,} tokens ({told}), {one.seconds:.0f} s, ratio {one.total / alone.total:.3f}")


if __name__ == "__main__":
    main()
