"""What a checkpoint comes to on the selection split, beside the records that are reported and never among them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from triaxis.evaluate import Question, measure, questions
from triaxis.records.choices import Selected
from triaxis.tasks import Task, reported_of, selection_items
from triaxis.types import Item, Record, TriaxisError

PHASE = "select"  # of the costs


def selection_questions(
    tasks: Mapping[str, Sequence[str]],
    items: int,
    evaluation: Mapping[str, Any],
    tokenizer: PreTrainedTokenizerBase,
    reported: Sequence[Question],
) -> list[Question]:
    """The questions of the selection split: one response an item, in the first mode of the evaluation.

    Raises TriaxisError where a task has too few items that are not among those `reported`.
    """
    apart = reported_of([question.example for question in reported])

    def drawn(task: Task[Any]) -> list[Item]:
        return selection_items(task, int(evaluation["seed"]), items, apart)

    chosen = {key: evaluation[key] for key in ("max_new_tokens", "seed")} | {"stop": evaluation.get("stop", ())}
    few_shot, mode = evaluation.get("few_shot", 0), first_mode(evaluation)
    asked = questions(tasks, tokenizer, items=items, samples=1, modes=(mode,), few_shot=few_shot, drawn=drawn, **chosen)
    both = {question.example.id for question in asked} & {question.example.id for question in reported}
    if both or any(reported_of([question.example]) & apart for question in asked):
        raise TriaxisError("the selection split holds items that are reported: a fault of Triaxis, tell its authors")
    return asked


def first_mode(evaluation: Mapping[str, Any]) -> str:
    """The mode in which checkpoints are chosen: default where the evaluation has it, else its first."""
    modes = list(evaluation["modes"])
    return "default" if "default" in modes else str(modes[0])


def selected_of(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    asked: Sequence[Question],
    run: str,
    step: int,
    evaluation: Mapping[str, Any],
) -> tuple[tuple[Selected, ...], tuple[float, int]]:
    """What a checkpoint comes to on each task, and (seconds, tokens) that it took."""
    began = time.perf_counter()
    records = measure(
        model,
        tokenizer,
        asked,
        run=run,
        step=step,
        temperature=float(evaluation["temperature"]),
        batch_size=int(evaluation["batch_size"]),
        backend=str(evaluation.get("backend", "auto")),
    )
    by_task: dict[str, list[Record]] = {}
    for record in records:
        by_task.setdefault(record.task, []).append(record)
    spent = (time.perf_counter() - began, sum(record.response_tokens or 0 for record in records))
    return tuple(_of_task(task, own) for task, own in by_task.items()), spent


def _of_task(task: str, records: Sequence[Record]) -> Selected:
    lengths = [record.response_tokens for record in records if record.response_tokens is not None]
    score = fmean(record.score for record in records)
    return Selected(task, records[0].group, len(records), score, fmean(lengths) if lengths else None)
