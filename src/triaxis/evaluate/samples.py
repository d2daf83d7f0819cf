"""What a checkpoint's records come to by task: avg@k, and pass@k and majority@k where there are several samples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from triaxis.stats.estimators import majority_at_k, pass_at_k
from triaxis.tasks import get_task
from triaxis.types import Outcome


@dataclass(frozen=True)
class TaskScore:
    """One task in one mode at one checkpoint. `score` is the mean over items of the mean over samples (avg@k)."""

    run: str
    base: str  # where the run is empty
    step: int
    group: str
    task: str
    mode: str
    items: int
    samples: int
    score: float
    pass_at: Mapping[int, float]  # k: chance that one of k samples is right; empty with one sample
    majority: float | None  # by the vote of all samples; None with one, and where no answers are compared
    truncated: float  # share of responses
    log_probability: float | None  # of the right choice, mean over items, nats


def task_scores(run: str, base: str, step: int, rows: Iterable[Mapping[str, Any]]) -> list[TaskScore]:
    """The scores of a checkpoint from its records as rows of the table; with texts where there are several samples."""
    cells: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row.get("pilot") is False:  # of an adaptive evaluation: not every checkpoint was asked this item
            continue
        cells.setdefault((row["group"], row["task"], row["mode"]), []).append(row)
    return [_scored(run, base, step, *cell, found) for cell, found in cells.items()]


def _scored(
    run: str, base: str, step: int, group: str, task: str, mode: str, rows: list[Mapping[str, Any]]
) -> TaskScore:
    by_item: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_item.setdefault(row["item"], []).append(row)
    items = list(by_item.values())
    samples = min(map(len, items))
    known = [row["log_probability"] for row in rows if row.get("log_probability") is not None]
    return TaskScore(
        run=run,
        base=base,
        step=step,
        group=group,
        task=task,
        mode=mode,
        items=len(items),
        samples=samples,
        score=_mean(_mean(row["score"] for row in item) for item in items),
        pass_at={k: _passed(items, k) for k in _ks(samples)},
        majority=_voted(task, items, samples) if samples > 1 else None,
        truncated=_mean(row["outcome"] == Outcome.TRUNCATED for row in rows),
        log_probability=_mean(known) if known else None,
    )


def _ks(samples: int) -> list[int]:
    """1, 2, 4, .. and all samples; none for one sample, which is the score itself."""
    powers = [2**i for i in range(samples.bit_length()) if 2**i < samples]
    return [*powers, samples] if samples > 1 else []


def _passed(items: list[list[Mapping[str, Any]]], k: int) -> float:
    return float(
        pass_at_k([sum(row["score"] > 0 for row in item) for item in items], [len(i) for i in items], k).mean()
    )


def _voted(name: str, items: list[list[Mapping[str, Any]]], k: int) -> float | None:
    task = get_task(name)
    if task.kind == "safety":  # a refusal is no answer that could be compared
        return None
    votes = []
    for item in items:
        answers = [task.given(row["text"], row["finished"]) for row in item]
        votes.append(majority_at_k(answers, [row["score"] > 0 for row in item], k))
    return _mean(votes)


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)
