"""The scores of evaluated checkpoints, as `triaxis evaluate` prints them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from triaxis.types import GROUPS

if TYPE_CHECKING:
    from triaxis.records import Store

Scores = Sequence[dict[str, Any]]


def scores_of(store: Store) -> list[dict[str, Any]]:
    """Every task of every checkpoint in a folder, bases first, ready for JSON."""
    from triaxis.evaluate.samples import task_scores

    several = any(name == "evaluation.samples" and value > 1 for name, value, _ in store.settings())
    parts = sorted(store.parts(text=several), key=lambda part: (part.run, part.base, part.checkpoint.step))
    found = []
    for part in parts:
        found += task_scores(part.run, part.base, part.checkpoint.step, part.records.to_pylist())
    return [asdict(score) for score in found]


def print_scores(scores: Scores) -> None:
    """A line a checkpoint: the mean of each group's tasks in percent; of several samples pass@k and majority@k too."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="")
    table.add_column("run")
    table.add_column("step", justify="right")
    k = max((score["samples"] for score in scores), default=1)
    kinds: list[tuple[str, Callable[[dict[str, Any]], float | None]]] = [("", lambda score: score["score"])]
    if k > 1:
        kinds = [
            (f" avg@{k}", kinds[0][1]),
            (f" pass@{k}", lambda s: s["pass_at"].get(k)),
            (f" maj@{k}", lambda s: s["majority"]),
        ]
    groups = [group for group in GROUPS if any(score["group"] == group for score in scores)]
    for group in groups:
        for name, _ in kinds:
            table.add_column(f"{group}{name}", justify="right")
    lines = dict.fromkeys((score["run"], score["base"], score["step"]) for score in scores)
    for run, base, step in lines:
        here = [s for s in scores if (s["run"], s["base"], s["step"]) == (run, base, step)]
        cells = [_mean([take(s) for s in here if s["group"] == group]) for group in groups for _, take in kinds]
        table.add_row(run or base, str(step), *cells)
    Console().print(table)


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{100 * sum(known) / len(known):.1f}" if known else "–"
