"""One run from its condition to its records: the one place where the axes meet, rendering and masking included."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

from triaxis.axes.data import TrainingExample, training_set
from triaxis.axes.model import load_base
from triaxis.axes.model.lab import PRETRAINING, Pretraining, lab_tokenizer, new_model, pretraining_rows, save_base
from triaxis.axes.optimization import Batch, Recipe, Row, Training, batches_per_epoch, collate, order, pack
from triaxis.evaluate import Ngrams, Question, measure, questions
from triaxis.execute.job import Job, Measured
from triaxis.records.paths import disk_full
from triaxis.types import Checkpoint, RunFailed, TriaxisError

STATE = "resume.pt"


def follow(job: Job) -> Iterator[Measured]:
    """Train a run through the steps of its trajectory and measure each that isn't done; a pure function of the job.

    A checkpoint's state is written, with what the training up to it came to, before it is measured, so whoever
    consumes this must have a measurement safe before asking for the next. A base is a job whose only step is 0.
    Raises RunFailed where the loss is not finite, TriaxisError where the settings can't be followed.
    """
    if job.steps == (0,):
        model, tokenizer = _base(job)
        yield _measured(job, Checkpoint(0), model, tokenizer, _asked(job, model, tokenizer))
        return
    missing = [step for step in job.steps if step > 0 and step not in job.done]
    model, tokenizer, examples, rows, training = prepare(job)
    asked = _asked(job, model, tokenizer)
    _check_apart(examples, asked)
    traces = Ngrams(example.response for example in examples) if missing else None
    reached = _resume(training, job)
    for step in (s for s in job.steps if 0 < s <= max(missing, default=0)):
        if step > training.step:
            reached = _train(training, step, job, rows)
            if step in missing:
                _save(training, reached, job)
        if step in missing and reached is not None:
            measured = _measured(job, reached.point, model, tokenizer, asked, traces)
            yield replace(measured, costs={**measured.costs, "train": (reached.seconds, reached.tokens)})
    if job.state is not None:
        shutil.rmtree(job.state, ignore_errors=True)


@dataclass(frozen=True)
class _Reached:
    """A checkpoint that was trained to, with what the training since the one before took."""

    point: Checkpoint
    seconds: float
    tokens: int  # in forward passes, padding not counted


def _train(training: Training, step: int, job: Job, rows: Sequence[Row]) -> _Reached:
    began, before = time.perf_counter(), training.step
    point = training.run_to(step)
    epoch = step / batches_per_epoch(len(rows), int(job.settings["optimization.batch_size"]))
    tokens = _tokens(job, rows, range(before, step))
    return _Reached(replace(point, epoch=epoch), time.perf_counter() - began, tokens)


class Prepared(NamedTuple):
    """A run before its first step."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    examples: list[TrainingExample]
    rows: list[Row]  # the examples in tokens, in the same order
    training: Training


def prepare(job: Job) -> Prepared:
    """The base, its tokenizer, what the run trains on and its training at step 0; one thread from here on."""
    model, tokenizer = _base(job)
    examples = training_set(_axis(job, "data"), job.seed)
    rows = [render(example, tokenizer) for example in examples]
    context = model.config.max_position_embeddings
    for row in rows:
        if len(row.tokens) > context:
            long = f"{len(row.tokens)} tokens exceed the context of {context}"
            raise TriaxisError(f"training row {row.id}: {long}; no trace is cut, take shorter ones")
    training = Training(model, batcher(job, rows, tokenizer.pad_token_id), recipe(job))
    return Prepared(model, tokenizer, examples, rows, training)


def pretrain(name: str, out: Path) -> Iterator[Checkpoint]:
    """Make a lab base again from its fixed seed, a step at a time, and save model and tokenizer to `out` at the end.

    Raises TriaxisError for a base that is not the lab's.
    """
    if name not in PRETRAINING:
        raise TriaxisError(f"no lab base is called {name!r}; choose one of {', '.join(PRETRAINING)}")
    out.mkdir(parents=True, exist_ok=True)  # a folder that can't be made must not be learned of after minutes
    torch.set_num_threads(1)
    settings = PRETRAINING[name]
    model, tokenizer = new_model(settings.seed), lab_tokenizer()

    def batch_of(step: int) -> list[Batch]:
        asked = pretraining_rows(settings, step + 1)
        told = [render(TrainingExample(f"{name}/{step}/{i}", *row, False), tokenizer) for i, row in enumerate(asked)]
        rows = [replace(row, prompt_tokens=0) for row in told]  # a base learns from prompts too
        # Direct answers beside long thoughts: padded, the same rows take three and a half times as long.
        return [pack(rows, tokenizer.pad_token_id, max(len(r.tokens) for r in rows))]

    training = Training(model, batch_of, pretraining_recipe(settings))
    for step in range(1, settings.steps + 1):
        yield training.run_to(step)
    save_base(model, tokenizer, settings, out)


def pretraining_recipe(settings: Pretraining) -> Recipe:
    """Muon at a high rate that decays to almost nothing: a skill at 15 % before the decay is at 90 % after it."""
    return Recipe(
        steps=settings.steps,
        learning_rate=4e-3,
        optimizer="muon",
        schedule="wsd",
        warmup_ratio=50 / settings.steps,
        decay_start=0.6,
        final_ratio=0.02,
        weight_decay=0.05,
        betas=(0.9, 0.98),
        seed=settings.seed,
    )


def recipe(job: Job) -> Recipe:
    """The optimization settings of a job as a recipe. A clip of 0 means none."""
    chosen = _axis(job, "optimization")
    return Recipe(
        steps=job.steps[-1],
        learning_rate=float(chosen["learning_rate"]),
        optimizer=str(chosen["optimizer"]),
        schedule=str(chosen["schedule"]),
        warmup_ratio=float(chosen["warmup_ratio"]),
        weight_decay=float(chosen["weight_decay"]),
        gradient_clip=float(chosen["gradient_clip"]) or None,
        seed=job.seed,
    )


def render(example: TrainingExample, tokenizer: PreTrainedTokenizerBase) -> Row:
    """A training example in tokens through the chat template, loss on the response and its end token alone.

    Raises TriaxisError where the template renders the prompt differently once an answer follows, or loses the
    response's end: either would train on the wrong tokens in silence.
    """
    asked = [{"role": "user", "content": example.prompt}]
    prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=False)
    whole = tokenizer.apply_chat_template(
        [*asked, {"role": "assistant", "content": example.response}], return_dict=False
    )
    if whole[: len(prompt)] != prompt:
        raise TriaxisError(f"training row {example.id}: the chat template changes the prompt once an answer follows it")
    if tokenizer.eos_token_id not in whole[len(prompt) :]:
        raise TriaxisError(f"training row {example.id}: the chat template puts no end token after the response")
    if tokenizer.unk_token_id is not None and tokenizer.unk_token_id in whole:
        raise TriaxisError(f"training row {example.id}: holds a word that the base's tokenizer doesn't know")
    return Row(example.id, tuple(whole), len(prompt))


def batcher(job: Job, rows: Sequence[Row], pad: int) -> Callable[[int], list[Batch]]:
    """The micro-batches of each optimizer step: the run's order, padded, or laid end to end where packing is on."""
    size = int(job.settings["optimization.batch_size"])
    micro = int(job.settings["optimization.micro_batch_size"])
    length = max(len(r.tokens) for r in rows) if job.settings["optimization.packing"] else None

    def of(step: int) -> list[Batch]:
        members = [rows[i] for i in order(len(rows), size, step, job.seed)]
        parts = [members[i : i + micro] for i in range(0, len(members), micro)]
        return [collate(p, pad) if length is None else pack(p, pad, length) for p in parts]

    return of


def _base(job: Job) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    torch.set_num_threads(1)  # an engine runs several jobs at once; two threads each are slower on the same cores
    disable_progress_bar()  # a bar for every model that is loaded says nothing about the study
    return load_base(str(job.settings["model.base"]))


def _asked(job: Job, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[Question]:
    chosen = {k: job.evaluation[k] for k in ("items", "samples", "modes", "max_new_tokens", "seed")}
    asked = questions(job.tasks, tokenizer, **chosen)
    context = model.config.max_position_embeddings
    for question in asked:
        if len(question.prompt) + question.max_new_tokens > context:
            raise TriaxisError(
                f"evaluation.max_new_tokens: a prompt of {len(question.prompt)} tokens ({question.example.id}) and an "
                f"answer of {question.max_new_tokens} exceed the context of {context}; lower it"
            )
    return asked


def _check_apart(examples: Sequence[TrainingExample], asked: Sequence[Question]) -> None:
    """Train and evaluation never meet: by construction, and here by looking."""
    held_out = {q.example.prompt: q.example.id for q in asked}
    for example in examples:
        if example.prompt in held_out:
            other = held_out[example.prompt]
            raise TriaxisError(
                f"training row {example.id} is evaluated too, as {other}: its task doesn't keep them apart"
            )


def _axis(job: Job, axis: str) -> dict[str, Any]:
    return {k.removeprefix(f"{axis}."): v for k, v in job.settings.items() if k.startswith(f"{axis}.")}


def _tokens(job: Job, rows: Sequence[Row], steps: range) -> int:
    """Tokens that went through the model in these steps, padding not counted."""
    size = int(job.settings["optimization.batch_size"])
    return sum(len(rows[i].tokens) for step in steps for i in order(len(rows), size, step, job.seed))


def _measured(
    job: Job,
    point: Checkpoint,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    asked: Sequence[Question],
    traces: Ngrams | None = None,
) -> Measured:
    began = time.perf_counter()
    records = measure(
        model,
        tokenizer,
        asked,
        run=job.id if point.step else "",
        step=point.step,
        temperature=float(job.evaluation["temperature"]),
        batch_size=int(job.evaluation["batch_size"]),
        traces=traces,
    )
    costs = {"evaluate": (time.perf_counter() - began, sum(r.response_tokens for r in records))}
    return Measured(point, tuple(records), costs)


def _resume(training: Training, job: Job) -> _Reached | None:
    """Go on from the saved state where it is of use: every checkpoint before it must have its records.

    Gives back the checkpoint that the state was written at, which may still have to be measured.
    """
    if job.state is None or not (path := Path(job.state) / STATE).exists():
        return None
    try:
        state = torch.load(path, weights_only=True)
        before = [s for s in job.steps if 0 < s < state["training"]["step"]]
        if not set(before) <= job.done or state["training"]["step"] not in job.steps:
            return None
        training.restore(state["training"])
        return _Reached(Checkpoint(**state["point"]), state["seconds"], state["tokens"])
    except Exception as error:
        kind = type(error).__name__
        raise RunFailed(f"{path}: not a state to resume from ({kind}); delete it to train this run anew") from None


def _save(training: Training, reached: _Reached, job: Job) -> None:
    if job.state is None:
        return
    state = {"training": training.state(), **asdict(reached)}
    folder = Path(job.state)
    draft = folder / f"{STATE}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(folder / STATE)
    except (OSError, RuntimeError) as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        # torch.save tells a full disk as a RuntimeError of its own.
        if isinstance(error, RuntimeError) or error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise disk_full(draft) from None
        raise RunFailed(f"{draft}: can't be written ({error.strerror}); what is measured is kept: run again") from None
