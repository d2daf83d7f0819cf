"""One checkpoint that was trained elsewhere, asked task by task: what a worker does, and what is refused before."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.utils.logging import disable_progress_bar

from triaxis.axes.model import ModelSettings, config_of_saved, fingerprint_saved, load_saved, look_at_saved
from triaxis.evaluate import Question, measure
from triaxis.evaluate.adaptive import answers
from triaxis.execute.backends import agreed
from triaxis.execute.checkpoints import Point
from triaxis.execute.evaluation import Ask
from triaxis.execute.memory import EVALUATING, LOADING, lacking_memory_told
from triaxis.execute.run import check_read, questions_for
from triaxis.records.portions import Portion
from triaxis.types import Record, TriaxisError

AXIS = "model.base: "  # before what the model axis says of a model


@dataclass(frozen=True)
class Answered:
    """A portion with the place of its task."""

    place: int
    portion: Portion


def answer(ask: Ask) -> Iterator[Answered]:
    """Load a checkpoint and ask it every task that isn't done, one after the other.

    Whoever consumes this must have a portion safe before asking for the next. Raises TriaxisError where the weights or
    the tasks' files are no longer those that were looked at.
    """
    check_read(ask.read)
    left = [place for place in range(len(ask.tasks)) if place not in ask.done]
    if not left:
        return
    torch.set_num_threads(1)  # as a run of a study: several checkpoints are asked at once
    disable_progress_bar()
    settings = ModelSettings.of({"base": ask.point.model, **ask.model})
    with lacking_memory_told(LOADING):
        model, tokenizer = load_saved(settings, ask.base)
    if fingerprint_saved(ask.point.model, ask.base) != ask.fingerprint:
        raise TriaxisError(
            f"{ask.point.model}: has changed since it was looked at; evaluate it again once it is written"
        )
    for place in left:
        group, task = ask.tasks[place]
        began = time.perf_counter()
        asked = questions_for({group: (task,)}, ask.evaluation, tokenizer, model.config.max_position_embeddings)

        def put(part: Sequence[Question]) -> list[Record]:
            return measure(
                model,
                tokenizer,
                part,
                run=ask.point.run,
                step=ask.point.step,
                temperature=float(ask.evaluation["temperature"]),
                batch_size=int(ask.evaluation["batch_size"]),
                backend=str(ask.evaluation.get("backend", "auto")),
            )

        with lacking_memory_told(EVALUATING):
            records = answers(asked, ask.evaluation, ask.base_scores if ask.needs else None, put)
        yield Answered(place, Portion(tuple(records), time.perf_counter() - began))


def looked_at(point: Point, base: str) -> str:
    """The fingerprint of a checkpoint: of its weights, its configuration and its tokenizer.

    Raises TriaxisError where it can't be had, without what the model axis puts before it.
    """
    try:
        return fingerprint_saved(point.model, base)
    except TriaxisError as error:
        raise TriaxisError(str(error).removeprefix(AXIS)) from None


def check_one_backend(asks: Sequence[Ask]) -> None:
    """Refuse checkpoints that would be answered by several backends, or by one that can't be had."""
    by_model = {ask.point.model: ask for ask in asks}

    def config(model: str) -> Any:
        ask = by_model[model]
        return config_of_saved(ModelSettings.of({"base": model, **ask.model}), ask.base)

    if asks:
        agreed(str(asks[0].evaluation.get("backend", "auto")), by_model, config)


def check_fits(ask: Ask) -> None:
    """Refuse, before anything is measured, what can be known without the weights: no safetensors, no chat template, a
    word that the tokenizer doesn't know, a prompt and its answer that exceed the context."""
    settings = ModelSettings.of({"base": ask.point.model, **ask.model})
    try:
        tokenizer, context = look_at_saved(settings, ask.base)
    except TriaxisError as error:
        raise TriaxisError(str(error).removeprefix(AXIS)) from None
    tasks: dict[str, tuple[str, ...]] = {}
    for group, task in ask.tasks:
        tasks[group] = (*tasks.get(group, ()), task)
    try:
        questions_for(tasks, {**ask.evaluation, "samples": 1}, tokenizer, context)
    except TriaxisError as error:
        raise TriaxisError(f"{ask.point.model}: {error}") from None
