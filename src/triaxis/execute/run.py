"""One run from its condition to its records: the one place where the axes meet, rendering and masking included."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import isclose
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jinja2 import TemplateError
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

from triaxis.axes.data import TrainingExample, check_apart, held_out_set, training_set
from triaxis.axes.model import ModelSettings, adapt, embeddings, load_base
from triaxis.axes.model.lab import PRETRAINING, Pretraining, lab_tokenizer, new_model, pretraining_rows, save_base
from triaxis.axes.optimization import Batch, Recipe, Row, Training, batches_per_epoch, collate, order, pack
from triaxis.axes.optimization.crew import ALONE, Crew
from triaxis.axes.optimization.diagnostics import (
    DIAGNOSTICS,
    PREFIX,
    Diagnosed,
    Inputs,
    copy_weights,
    run_diagnostics,
    settings_of,
)
from triaxis.axes.optimization.led import Led
from triaxis.evaluate import Ngrams, Question, measure, questions
from triaxis.evaluate.adaptive import answers
from triaxis.execute.job import Job, Measured
from triaxis.execute.memory import EVALUATING, LOADING, TRAINING, memory_told
from triaxis.records.paths import disk_full
from triaxis.tasks import read_from
from triaxis.types import Checkpoint, NotEstimable, Record, RunFailed, TriaxisError

STATE = "resume.pt"
PREPARE = "prepare"  # what the first of several processes tells the others to do
HELD_OUT = 64  # rows
OF_BASE = "the base is looked at without rows: it serves runs with different data"
# Settings that came after diagnostics were kept: at their default they must not ask for what is there once more.
LATER = (("weight_distance", "each", True),)
SAME_LOSS = 1e-3  # relative: a run that was trained again on another machine is the same to rounding


def follow(job: Job, crew: Crew = ALONE) -> Iterator[Measured]:
    """Train a run through the steps of its trajectory and measure each that isn't done; a pure function of the job.

    A checkpoint's state is written, with what the training up to it came to, before it is measured, so whoever
    consumes this must have a measurement safe before asking for the next. A base is a job whose only step is 0.
    The first of several processes does all of it; in the training the others `assist`.
    Raises RunFailed where the loss is not finite, TriaxisError where the settings can't be followed or what is read is
    no longer what was checked.
    """
    check_read(job.read)
    if job.steps == (0,):
        yield _of_base(job, crew)
        return
    missing = [step for step in job.steps if step > 0 and job.lacks(step)]
    run = prepare(job, crew)
    model, tokenizer, examples, rows, training = run
    asked = _asked(job, model, tokenizer)
    check_apart(examples, (question.example for question in asked))
    traces = Ngrams(example.response for example in examples) if missing else None
    inputs = inputs_of(job, run) if missing else Inputs()  # before a state is restored: they hold the base
    reached = _resume(training, job)
    for step in (s for s in job.steps if 0 < s <= max(missing, default=0)):
        if step > training.step:
            reached = _train(training, step, job, rows)
            if step in missing:
                _save(training, reached, job)
        if step in missing and reached is not None:
            measured = _measured(job, reached.point, model, tokenizer, asked, traces, inputs)
            phase = "train" if measured.records is not None else "retrain"
            yield replace(measured, costs={**measured.costs, phase: (reached.seconds, reached.tokens)})
    if job.state is not None:
        shutil.rmtree(job.state, ignore_errors=True)


def check_read(read: Mapping[str, str]) -> None:
    """Refuse to train or ask on other rows than the run's id stands for."""
    for name, told in read.items():
        if (now := read_from(name)) != told:
            what = "has changed" if now else "is gone"
            raise TriaxisError(f"{name}: {what} since the study was checked; put it back, or run the study anew")


@dataclass(frozen=True)
class _Reached:
    """A checkpoint that was trained to, with what the training since the one before took."""

    point: Checkpoint
    seconds: float
    tokens: int  # in forward passes, padding not counted


@memory_told(TRAINING)
def _train(training: Training, step: int, job: Job, rows: Sequence[Row]) -> _Reached:
    began, before = time.perf_counter(), training.step
    point = training.run_to(step)
    epoch = step / batches_per_epoch(len(rows), int(job.settings["optimization.batch_size"]))
    tokens = sum(len(rows[i].tokens) for s in range(before, step) for i in _members(job, len(rows), s))
    return _Reached(replace(point, epoch=epoch), time.perf_counter() - began, training.recipe.passes * tokens)


class Prepared(NamedTuple):
    """A run before its first step."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    examples: list[TrainingExample]
    rows: list[Row]  # the examples in tokens, in the same order
    training: Training


@memory_told(LOADING)
def prepare(job: Job, crew: Crew = ALONE) -> Prepared:
    """The base, its tokenizer, what the run trains on and its training at step 0; one thread from here on."""
    crew.tell(PREPARE, job)
    model, tokenizer = _base(job)
    examples = training_set(_axis(job, "data"), job.seed)
    rows = [render(example, tokenizer) for example in examples]
    _check_rows(rows, model)
    adapt(model, ModelSettings.of(_axis(job, "model")), job.seed)
    batches = batcher(job, rows, tokenizer.pad_token_id, crew)
    _check_end(batches(0), tokenizer.eos_token_id)
    kind = Led if crew.size > 1 and crew.first else Training
    return Prepared(model, tokenizer, examples, rows, kind(model, batches, recipe(job), crew))


def assist(crew: Crew) -> None:
    """What the processes of a crew do but for the first: prepare what it prepares, and train when it trains."""
    training: Training | None = None
    while True:
        name, *given = crew.heard()
        if name == PREPARE:
            [job] = given
            training = None  # the last run's makes room
            training = prepare(job, replace(crew, sharding=job.layout.sharding)).training
        else:
            getattr(training, name)(*given)


def _check_rows(rows: Sequence[Row], model: PreTrainedModel) -> None:
    """Refuse rows that the model can't take in, rather than cut them."""
    context, known = model.config.max_position_embeddings, embeddings(model)
    for row in rows:
        if len(row.tokens) > context:
            long = f"{len(row.tokens)} tokens exceed the context of {context}"
            count = sum(len(other.tokens) > context for other in rows)
            many = f" ({count:,} of {len(rows):,} rows do)" if count > 1 else ""
            raise TriaxisError(f"training row {row.id}: {long}{many}; no trace is cut, take shorter ones")
        if max(row.tokens) >= known:
            raise TriaxisError(f"training row {row.id}: holds a token that the model has no embedding for")


def _check_end(batches: Sequence[Batch], end: int) -> None:
    """Make sure that the end token of every row is learned, whatever the padding token is: a model that never learned
    it never stops."""
    for batch in batches:
        if int((batch.labels == end).sum()) < len(batch.ids):
            raise TriaxisError(f"training row {batch.ids[0]} or one beside it: its end token carries no loss")


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
        decay_start=float(chosen["decay_start"]),
        final_ratio=float(chosen["final_ratio"]),
        weight_decay=float(chosen["weight_decay"]),
        gradient_clip=float(chosen["gradient_clip"]) or None,
        loss=str(chosen["loss"]),
        label_smoothing=float(chosen["label_smoothing"]),
        sam_rho=float(chosen["sam_rho"]),
        seed=job.seed,
    )


def render(example: TrainingExample, tokenizer: PreTrainedTokenizerBase) -> Row:
    """A training example in tokens through the chat template, loss on the response and its end token alone.

    What a template puts after the end token is left out: generation never gets there. Raises TriaxisError where the
    template renders the prompt differently once an answer follows, or loses the response's end or a part of it, such
    as its think tags: each would train on the wrong tokens in silence.
    """
    asked = [{"role": turn.role, "content": turn.content} for turn in example.before]
    asked.append({"role": "user", "content": example.prompt})
    try:
        prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=False)
        whole = tokenizer.apply_chat_template(
            [*asked, {"role": "assistant", "content": example.response}], return_dict=False
        )
    except TemplateError as problem:
        raise TriaxisError(f"training row {example.id}: the chat template refuses it ({problem})") from None
    if whole[: len(prompt)] != prompt:
        raise TriaxisError(
            f"training row {example.id}: the chat template changes the prompt once an answer follows it "
            "(some open a thought in the prompt alone); give another template (model.chat_template)"
        )
    completion, end = whole[len(prompt) :], tokenizer.eos_token_id
    if end not in completion:
        after = tokenizer.decode(completion[-2:])
        raise TriaxisError(
            f"training row {example.id}: the chat template puts no end token after the response; it ends in {after!r}, "
            f"and the end token is {tokenizer.eos_token}: give another template (model.chat_template)"
        )
    if tokenizer.unk_token_id is not None and tokenizer.unk_token_id in whole:
        raise TriaxisError(f"training row {example.id}: holds a word that the base's tokenizer doesn't know")
    completion = completion[: len(completion) - completion[::-1].index(end)]
    _check_kept(example, completion, tokenizer)
    return Row(example.id, (*prompt, *completion), len(prompt))


def _check_kept(example: TrainingExample, completion: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a row whose response is not all there, white space apart, or holds the end token before its end."""
    if tokenizer.eos_token_id in completion[:-1]:
        raise TriaxisError(f"training row {example.id}: its response holds the end token {tokenizer.eos_token}")
    text = "".join(tokenizer.decode(completion[:-1], clean_up_tokenization_spaces=False).split())
    if "".join(example.response.split()) not in text:
        lost = next((word for word in example.response.split() if word not in text), "")
        raise TriaxisError(
            f"training row {example.id}: the chat template or the tokenizer changes the response"
            f"{f' (it loses {lost[:40]!r})' if lost else ''}; give a template that keeps it (model.chat_template)"
        )


def batcher(job: Job, rows: Sequence[Row], pad: int, crew: Crew = ALONE) -> Callable[[int], list[Batch]]:
    """The micro-batches of each optimizer step: the run's order, padded, or laid end to end where packing is on.

    Of several processes each has every so many-th row of a batch; of a ragged last one perhaps none.
    """
    micro = int(job.settings["optimization.micro_batch_size"])
    length = max(len(r.tokens) for r in rows) if job.settings["optimization.packing"] else None

    def of(step: int) -> list[Batch]:
        members = [rows[i] for i in _members(job, len(rows), step)][crew.rank :: crew.size]
        parts = [members[i : i + micro] for i in range(0, len(members), micro)]
        return [collate(p, pad) if length is None else pack(p, pad, length) for p in parts]

    return of


def _members(job: Job, rows: int, step: int) -> list[int]:
    """The numbers of the rows of a batch: shuffled by epoch, but for a curriculum, which is the order of its data."""
    size = int(job.settings["optimization.batch_size"])
    if job.settings.get("data.mixture") != "curriculum":
        return order(rows, size, step, job.seed)
    first = size * (step % batches_per_epoch(rows, size))
    return list(range(rows))[first : first + size]


def _base(job: Job) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    torch.set_num_threads(1)  # an engine runs several jobs at once; two threads each are slower on the same cores
    disable_progress_bar()  # a bar for every model that is loaded says nothing about the study
    settings = ModelSettings.of(_axis(job, "model"))
    return load_base(settings.base, settings)


def _asked(job: Job, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[Question]:
    return questions_for(job.tasks, job.evaluation, tokenizer, model.config.max_position_embeddings)


def questions_for(
    tasks: Mapping[str, Sequence[str]], evaluation: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, context: int
) -> list[Question]:
    """The questions of an evaluation for a model with a context of so many tokens.

    Raises TriaxisError for a word that its tokenizer doesn't know, and where a prompt and its answer don't fit.
    """
    chosen = {k: evaluation[k] for k in ("items", "samples", "modes", "max_new_tokens", "seed")}
    later = {"few_shot": evaluation.get("few_shot", 0), "stop": evaluation.get("stop", ())}
    asked = questions(tasks, tokenizer, **chosen, **later)
    unknown = tokenizer.unk_token_id
    if unknown in (tokenizer.eos_token_id, tokenizer.bos_token_id):
        unknown = None  # byte-level: every text can be written
    for question in asked:
        if unknown is not None and unknown in (*question.prompt, *(t for c in question.choices for t in c)):
            raise TriaxisError(f"{question.example.id}: asks with a word that the base's tokenizer doesn't know")
        if len(question.prompt) >= context:
            raise TriaxisError(
                f"{question.example.id}: its prompt has {len(question.prompt)} tokens, and the context is {context}; "
                "take a task with shorter prompts, or a model with a longer context"
            )
        if len(question.prompt) + question.room > context:
            few = f" or evaluation.few_shot ({evaluation['few_shot']})" if evaluation.get("few_shot") else ""
            raise TriaxisError(
                f"evaluation.max_new_tokens: a prompt of {len(question.prompt)} tokens ({question.example.id}) and an "
                f"answer of {question.room} exceed the context of {context}; lower it{few}"
            )
    return asked


def _axis(job: Job, axis: str) -> dict[str, Any]:
    return {k.removeprefix(f"{axis}."): v for k, v in job.settings.items() if k.startswith(f"{axis}.")}


@memory_told(EVALUATING)
def _measured(
    job: Job,
    point: Checkpoint,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    asked: Sequence[Question],
    traces: Ngrams | None,
    inputs: Inputs,
) -> Measured:
    found = _diagnosed(job, point, model, inputs)
    if point.step in job.done:
        return Measured(point, None, found.costs, found.values)
    began = time.perf_counter()

    def ask(part: Sequence[Question]) -> list[Record]:
        return measure(
            model,
            tokenizer,
            part,
            run=job.id if point.step else "",
            step=point.step,
            temperature=float(job.evaluation["temperature"]),
            batch_size=int(job.evaluation["batch_size"]),
            traces=traces,
            backend=str(job.evaluation.get("backend", "auto")),
        )

    records = answers(asked, job.evaluation, job.base_scores if point.step else None, ask)
    spent = {"evaluate": (time.perf_counter() - began, sum(r.response_tokens or 0 for r in records))}
    return Measured(point, tuple(records), {**spent, **found.costs}, found.values)


def inputs_of(job: Job, run: Prepared) -> Inputs:
    """What the diagnostics that a job asks for look at; to be taken before the first step of training.

    The training rows are the run's first batch.
    """
    looked_at = {what for d in DIAGNOSTICS if d.name in job.diagnostics for what in d.looks_at}
    held_out: list[Batch] = []
    missing = {}
    if "held_out" in looked_at:
        try:
            held_out = _held_out(job, run)
        except TriaxisError as error:  # a diagnostic that can't be had stops no run
            missing["held_out"] = str(error)
    training = batcher(job, run.rows, run.tokenizer.pad_token_id)(0) if "training" in looked_at else []
    return Inputs(training, held_out, copy_weights(run.model) if "base" in looked_at else None, missing)


def _held_out(job: Job, run: Prepared) -> list[Batch]:
    """Rows that the run doesn't train on, in micro-batches. Raises TriaxisError where there are too few."""
    others = held_out_set(_axis(job, "data"), int(job.evaluation["seed"]), run.examples, HELD_OUT)
    rows = [render(example, run.tokenizer) for example in others]
    _check_rows(rows, run.model)
    micro = int(job.settings["optimization.micro_batch_size"])
    return [collate(rows[i : i + micro], run.tokenizer.pad_token_id) for i in range(0, len(rows), micro)]


def _diagnosed(job: Job, point: Checkpoint, model: PreTrainedModel, inputs: Inputs) -> Diagnosed:
    """The diagnostics that a checkpoint still lacks; weights and random state stay as they are."""
    names, before = job.to_diagnose(point.step), job.losses.get(point.step)
    if before is not None and point.loss is not None and not isclose(before, point.loss, rel_tol=SAME_LOSS):
        why = f"trained again, the run came to a loss of {point.loss:.4g}, not {before:.4g}: these are other weights"
        return Diagnosed({f"{PREFIX}{name}": NotEstimable(why) for name in names}, {})
    return run_diagnostics(names, model, inputs, {name: job.diagnostics[name] for name in names})


def diagnostic_seconds(job: Job, run: Prepared, step: float, most: float) -> dict[str, float]:
    """Seconds that each diagnostic of a job takes at a checkpoint, where a training step takes `step`.

    Measured here and now, but for those that would take more than `most`: these are told by their training steps.
    """
    guessed = {d.name: d.steps * step for d in DIAGNOSTICS if d.name in job.diagnostics}
    tried = {name: job.diagnostics[name] for name, seconds in guessed.items() if seconds <= most}
    inputs = inputs_of(replace(job, diagnostics=tried), run)
    costs = run_diagnostics(tried, run.model, inputs, tried).costs
    return guessed | {name: costs[f"{PREFIX}{name}"][0] for name in tried if f"{PREFIX}{name}" in costs}


def with_defaults(asked: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Diagnostics by name with all of their settings, those that are not given at their default."""
    told = {d.name: settings_of(d) | dict(asked[d.name]) for d in DIAGNOSTICS if d.name in asked}
    for name, key, default in LATER:
        if told.get(name, {}).get(key) == default:
            del told[name][key]
    return told


def diagnostics_told(job: Job) -> list[tuple[str, str, Mapping[str, Any]]]:
    """The diagnostics that a job asks for, each with what it costs in words and its settings."""
    return [(d.name, d.costs, job.diagnostics[d.name]) for d in DIAGNOSTICS if d.name in job.diagnostics]


def _of_base(job: Job, crew: Crew) -> Measured:
    """The base alone. It serves runs with different data, so that it has the diagnostics that look at no row."""
    model, tokenizer = _base(job)
    if crew.device is not None:
        model.to(crew.device)
    asked = _asked(job, model, tokenizer)
    inputs = Inputs(base=copy_weights(model), missing=dict.fromkeys(("training", "held_out"), OF_BASE))
    return _measured(job, Checkpoint(0), model, tokenizer, asked, None, inputs)


def _resume(training: Training, job: Job) -> _Reached | None:
    """Go on from the saved state where it is of use: every checkpoint before it must have its records.

    Gives back the checkpoint that the state was written at, which may still have to be measured.
    """
    if job.state is None or not (path := Path(job.state) / STATE).exists():
        return None
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        before = [s for s in job.steps if 0 < s < state["training"]["step"]]
        if any(map(job.lacks, before)) or state["training"]["step"] not in job.steps:
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
