"""One run from its condition to its records: the one place where the axes meet, rendering and masking included."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import isclose
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jinja2 import TemplateError
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

from triaxis.axes.data import TrainingExample, check_apart, held_out_set, training_set
from triaxis.axes.model import ModelSettings, adapt, embeddings, load_base, save_trained, weight_bytes
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
from triaxis.evaluate.measure import unknown_token
from triaxis.execute.course import Course, accounted, horizon, stops_of
from triaxis.execute.job import ENDED, STATE, Job, Measured
from triaxis.execute.keeping import NoRoom
from triaxis.execute.memory import EVALUATING, LOADING, TRAINING, memory_told
from triaxis.execute.selecting import selected_of, selection_questions
from triaxis.execute.tally import Tally
from triaxis.records import SAVED
from triaxis.records.choices import Selected
from triaxis.records.paths import disk_full
from triaxis.tasks import read_from
from triaxis.types import Checkpoint, Level, NotEstimable, Record, RunFailed, TriaxisError

EVALUATE, SELECT, RECORDS = "evaluate", "select", "records"
PREPARE = "prepare"  # what the first of several processes tells the others to do
HELD_OUT = 64  # rows
OF_BASE = "the base is looked at without rows: it serves runs with different data"
# Settings that came after diagnostics were kept: at their default they must not ask for what is there once more.
LATER = (("weight_distance", "each", True),)
SAME_LOSS = 1e-3  # relative: a run that was trained again on another machine is the same to rounding


def follow(job: Job, crew: Crew = ALONE) -> Iterator[Measured | NoRoom]:
    """Train a run through the steps of its trajectory and measure each that isn't done; a pure function of the job.

    Runs that share their first steps (`job.together`) are followed as one until they part, each measured at its own
    checkpoints. A checkpoint's state is written, with what the training up to it came to, before it is measured, so
    whoever consumes this must have a measurement safe before asking for the next; weights that are kept are written
    after that. A run ends where its rule says so. A base is a job whose only step is 0. Raises RunFailed where the loss
    is not finite, TriaxisError where the settings can't be followed or what is read is no longer what was checked;
    gives a NoRoom where the disk budget ends. The first of several processes does all of it; in the training the others
    `assist`.
    """
    check_read(job.read)
    if job.steps == (0,):
        yield _of_base(job, crew)
        return
    courses = [Course(own) for own in job.together or (job,)]
    for course in courses:
        course.tidy()
    if not horizon(courses, job.until):
        return
    run = prepare(job, crew)
    looks = _looks(job, run)
    tally = _resume(run.training, job, courses)
    for step in stops_of(courses, job.until):
        if step > horizon(courses, job.until):
            break
        if step > run.training.step:
            _train(run.training, step, tally)
            if step == job.until or any(step in course.lacking() for course in courses):
                tally.forget(min(course.before(step) for course in courses))
                if full := _save(run.training, tally, job, courses):
                    yield NoRoom(full)
        if step == run.training.step:
            shared: dict[str, Any] = {}
            for course in courses:
                if step in course.lacking():
                    yield from _reach(course, courses, step, run, tally, looks, shared)
    if job.state is not None:
        _forget(job)


class _Looks(NamedTuple):
    """What a checkpoint is looked at with."""

    asked: list[Question]
    selecting: list[Question]  # of the selection split
    traces: Ngrams
    inputs: Inputs  # of the diagnostics


def _looks(job: Job, run: Prepared) -> _Looks:
    """To be taken before a state is restored: it holds the base."""
    asked = _asked(job, run.model, run.tokenizer)
    selecting: list[Question] = []
    if job.select:
        selecting = selection_questions(job.select, job.select_items, job.evaluation, run.tokenizer, asked)
        check_questions(selecting, job.evaluation, run.tokenizer, run.model.config.max_position_embeddings)
    check_apart(run.examples, (question.example for question in (*asked, *selecting)))
    return _Looks(asked, selecting, Ngrams(example.response for example in run.examples), inputs_of(job, run))


def _reach(
    course: Course,
    courses: Sequence[Course],
    step: int,
    run: Prepared,
    tally: Tally,
    looks: _Looks,
    shared: dict[str, Any],
) -> Iterator[Measured | NoRoom]:
    """What a run's checkpoint lacks: first what is measured, then the weights that are kept."""
    job, point = course.job, _point(course, step, run, tally)
    if job.lacks(step) or course.lacks_score(step):
        measured = _measured(job, point, run.model, run.tokenizer, looks.asked, looks.traces, looks.inputs, shared)
        costs = {**measured.costs, **_trained(course, courses, step, run, tally, measured.records is None)}
        if course.lacks_score(step):
            selected, spent = _selected(job, point, run, looks.selecting, shared)
            course.scores[step], costs = selected, {**costs, **spent}
            measured = replace(measured, selected=selected)
        stop = course.stop
        here = stop if stop is not None and stop.step == step else None
        yield replace(measured, costs=costs, stop=here, run=job.id)
    if (keep := course.keep) is None:
        return
    for name in course.to_keep(step):
        save = partial(save_trained, run.model, run.tokenizer, str(job.settings["model.base"]))
        if full := keep.write(name, save, weight_bytes(run.model), job.room):
            yield NoRoom(full)
            return
        course.kept(name)
        course.tidy()


def _point(course: Course, step: int, run: Prepared, tally: Tally) -> Checkpoint:
    loss, accuracy = tally.window(course.before(step), step)
    epoch = step / batches_per_epoch(len(run.rows), int(course.job.settings["optimization.batch_size"]))
    return Checkpoint(step, run.training.tokens, epoch, loss, accuracy)


def _trained(
    course: Course, courses: Sequence[Course], step: int, run: Prepared, tally: Tally, again: bool
) -> dict[str, tuple[float, int]]:
    """What the training since the run's last checkpoint took, and what of it is on the account of other runs."""
    job, since = course.job, course.before(step)
    first = next((other for other in courses if step in other.steps), course)
    elsewhere = max(since, tally.paid, step if first is not course else accounted(courses, step))

    def spent(begin: int, end: int) -> tuple[float, int]:
        tokens = sum(len(run.rows[i].tokens) for s in range(begin, end) for i in _members(job, len(run.rows), s))
        return tally.seconds(begin, end), run.training.recipe.passes * tokens

    phase = "retrain" if again else "train"
    costs = {phase: spent(since, step)}
    return costs | ({f"{SAVED}{phase}": spent(since, elsewhere)} if elsewhere > since else {})


def _selected(
    job: Job, point: Checkpoint, run: Prepared, asked: Sequence[Question], shared: dict[str, Any]
) -> tuple[tuple[Selected, ...], dict[str, tuple[float, int]]]:
    """What a checkpoint comes to on the selection split; without chance that is the same for runs that share it."""
    key = f"{SELECT} {sorted(job.select)}"
    if key in shared:
        selected, spent = shared[key]
        return selected, {SELECT: spent, f"{SAVED}{SELECT}": spent}
    mine = [question for question in asked if question.group in job.select]
    selected, spent = selected_of(run.model, run.tokenizer, mine, job.id, point.step, job.evaluation)
    if not float(job.evaluation["temperature"]):
        shared[key] = selected, spent
    return selected, {SELECT: spent}


def check_read(read: Mapping[str, str]) -> None:
    """Refuse to train or ask on other rows than the run's id stands for."""
    for name, told in read.items():
        if (now := read_from(name)) != told:
            what = "has changed" if now else "is gone"
            raise TriaxisError(f"{name}: {what} since the study was checked; put it back, or run the study anew")


@memory_told(TRAINING)
def _train(training: Training, step: int, tally: Tally) -> None:
    began = time.perf_counter()
    training.run_to(step)
    tally.add(step, training.take_told(), time.perf_counter() - began)


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
    """The optimization settings of a job as a recipe."""
    return recipe_of(job.settings, job.seed, job.steps[-1])


def recipe_of(settings: Mapping[str, Level], seed: int, steps: int) -> Recipe:
    """The optimization settings of a condition as a recipe. A clip of 0 means none."""
    chosen = {k.removeprefix("optimization."): v for k, v in settings.items() if k.startswith("optimization.")}
    return Recipe(
        steps=steps,
        learning_rate=float(chosen["learning_rate"]),
        optimizer=str(chosen["optimizer"]),
        schedule=str(chosen["schedule"]),
        warmup_ratio=float(chosen.get("warmup_ratio", 0.0)),
        decay_start=float(chosen["decay_start"]),
        final_ratio=float(chosen["final_ratio"]),
        weight_decay=float(chosen["weight_decay"]),
        gradient_clip=float(chosen["gradient_clip"]) or None,
        loss=str(chosen["loss"]),
        label_smoothing=float(chosen["label_smoothing"]),
        sam_rho=float(chosen["sam_rho"]),
        warmup_steps=int(chosen["warmup_steps"]) if "warmup_steps" in chosen else None,
        seed=seed,
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
    if (unknown := unknown_token(tokenizer)) is not None and unknown in whole:
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
    check_questions(asked, evaluation, tokenizer, context)
    return asked


def check_questions(
    asked: Sequence[Question], evaluation: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, context: int
) -> None:
    """Raise TriaxisError for a word that the tokenizer doesn't know, and where a prompt and its answer don't fit."""
    unknown = unknown_token(tokenizer)
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
    shared: dict[str, Any],
) -> Measured:
    """A checkpoint's diagnostics and records. `shared` holds what runs that share it were told already: without chance
    they answer alike, and only the name of the run is another."""
    found, spent = _diagnosed(job, point, model, inputs, shared)
    if point.step in job.done:
        return Measured(point, None, spent, found.values)
    if RECORDS in shared:
        records, took = [replace(record, run=job.id) for record in shared[RECORDS][0]], shared[RECORDS][1]
        return Measured(point, tuple(records), {EVALUATE: took, f"{SAVED}{EVALUATE}": took, **spent}, found.values)
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
    took = (time.perf_counter() - began, sum(r.response_tokens or 0 for r in records))
    if not any(question.task.drawn_at(float(job.evaluation["temperature"])) for question in asked):
        shared[RECORDS] = records, took
    return Measured(point, tuple(records), {EVALUATE: took, **spent}, found.values)


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


def _diagnosed(
    job: Job, point: Checkpoint, model: PreTrainedModel, inputs: Inputs, shared: dict[str, Any]
) -> tuple[Diagnosed, dict[str, tuple[float, int]]]:
    """The diagnostics that a checkpoint still lacks, and what they took; weights and random state stay as they are."""
    names, before = job.to_diagnose(point.step), job.losses.get(point.step)
    if before is not None and point.loss is not None and not isclose(before, point.loss, rel_tol=SAME_LOSS):
        why = f"trained again, the run came to a loss of {point.loss:.4g}, not {before:.4g}: these are other weights"
        return Diagnosed({f"{PREFIX}{name}": NotEstimable(why) for name in names}, {}), {}
    if (key := f"diagnostics {names}") in shared:
        told: Diagnosed = shared[key]
        return told, {**told.costs, **{f"{SAVED}{phase}": took for phase, took in told.costs.items()}}
    found = run_diagnostics(names, model, inputs, {name: job.diagnostics[name] for name in names})
    shared[key] = found
    return found, dict(found.costs)


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
    return _measured(job, Checkpoint(0), model, tokenizer, asked, None, inputs, {})


def _resume(training: Training, job: Job, courses: Sequence[Course]) -> Tally:
    """Go on from the saved state where it is of use: every checkpoint before it must lack nothing.

    That is the run's own state, else the one in which the training ended that it shares with others. The checkpoint
    that a state was written at may still have to be measured.
    """
    own = [Path(job.state) / name for name in (ENDED, STATE)] if job.state is not None else []
    for path, pays in [*((path, True) for path in own), *((Path(told), pays) for told, pays in job.starts)]:
        if not path.exists():
            continue
        try:
            state = torch.load(path, weights_only=True, map_location="cpu")
            step = int(state["training"]["step"])
            if "tally" not in state or (path in own and step not in stops_of(courses, job.until)):
                continue
            if any(before < step for course in courses for before in course.lacking()):
                continue
            training.restore(state["training"])
        except Exception as error:
            kind = type(error).__name__
            raise RunFailed(f"{path}: not a state to resume from ({kind}); delete it to train this run anew") from None
        tally = Tally.of(state["tally"])
        if path not in own:  # the training so far is on the account of those that shared it, but for its end
            tally.paid = int(state["paid"]) if pays else step
        return tally
    return Tally()


def _save(training: Training, tally: Tally, job: Job, courses: Sequence[Course]) -> str:
    """Write what is needed to go on from here; gives back why the disk budget has no room for it, else nothing."""
    if job.state is None:
        return ""
    ends = training.step == job.until
    state = {"training": training.state(), "tally": tally.state(), "paid": accounted(courses, training.step + 1)}
    folder, name = Path(job.state), ENDED if ends else STATE
    draft = folder / f"{name}.{os.getpid()}"
    with job.room.held() if job.room else contextlib.nullcontext():
        if job.room and (full := job.room.lacks(tensor_bytes(state), f"the state of {job.id}")):
            return full
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with draft.open("wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(folder / name)
        except (OSError, RuntimeError) as error:
            with contextlib.suppress(OSError):
                draft.unlink()
            # torch.save tells a full disk as a RuntimeError of its own.
            if isinstance(error, RuntimeError) or error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise disk_full(draft) from None
            why = f"can't be written ({error.strerror}); what is measured is kept: run again"
            raise RunFailed(f"{draft}: {why}") from None
    return ""


def _forget(job: Job) -> None:
    """Remove the state of what is done; where runs part, the state to go on from stays until all of them are."""
    if job.until is None:
        shutil.rmtree(str(job.state), ignore_errors=True)
    elif (Path(str(job.state)) / ENDED).exists():
        (Path(str(job.state)) / STATE).unlink(missing_ok=True)


def trained_bytes(run: Prepared) -> int:
    """Bytes of the weights that a run trains, which are those that are kept."""
    return weight_bytes(run.model)


def tensor_bytes(state: Any) -> int:
    """Bytes of the tensors in nested mappings and lists."""
    if isinstance(state, torch.Tensor):
        return state.numel() * state.element_size()
    values = state.values() if isinstance(state, Mapping) else state if isinstance(state, list | tuple) else ()
    return sum(map(tensor_bytes, values))
