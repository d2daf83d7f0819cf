"""What a study will take, from a calibration of a few seconds on this machine."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from transformers import PreTrainedTokenizerBase

from triaxis.evaluate import Question, measure, questions
from triaxis.execute.branching import Part, Saving, by_chance, parts_of, saving_of
from triaxis.execute.conduct import job_of
from triaxis.execute.job import Job
from triaxis.execute.memory import TRYING, memory_told
from triaxis.execute.run import Prepared, diagnostic_seconds, prepare, recipe, tensor_bytes, trained_bytes
from triaxis.study import Run, Study
from triaxis.types import Level, TriaxisError

TRAIN_SECONDS = 2.0
MANY_STEPS = 10**6
EXAMPLES = 256  # whose lengths are taken
DIAGNOSTIC_SECONDS = 5.0  # a diagnostic that would take longer is not tried in the calibration
QUESTIONS = 96  # answered in the calibration
TOKENIZER_BYTES = 10_000  # beside the weights of the lab; a tokenizer of 50,000 words takes about 4 MB
BYTES_A_RECORD = 35  # measured: 31 in the demo, texts included
REPORT_BYTES = 7_000_000  # the plotting library inside the report, and the analysis
START_SECONDS = 6.0  # a worker's imports


@dataclass(frozen=True)
class Cost:
    """An estimate for a whole study, or for one run of it."""

    runs: int
    train_tokens: int
    generated_tokens: int
    cpu_seconds: float
    disk_bytes: int
    diagnostics: Mapping[str, float] = field(default_factory=dict)  # CPU seconds of each, over all checkpoints
    generated_least: int = 0  # of a whole study: where an adaptive evaluation stops at its pilot everywhere
    weights_bytes: int = 0  # of the disk, what is kept for analysis
    state_bytes: int = 0  # of the disk, what running jobs need to go on
    saving: Saving = field(default_factory=Saving)  # of steps and checkpoints, since runs share their first steps
    saved_train: int = 0  # tokens that are not trained again; those above are without them
    saved_generated: int = 0

    @property
    def held_bytes(self) -> int:
        """What a disk budget has to hold: records, states and weights; a report comes on top."""
        return self.disk_bytes - (REPORT_BYTES if self.runs > 1 else 0)

    def minutes(self, jobs: int) -> float:
        """Wall-clock minutes with `jobs` processes."""
        return (self.cpu_seconds / max(1, min(jobs, self.runs)) + START_SECONDS) / 60


def estimate(study: Study, jobs: int, branching: bool = True) -> tuple[Cost, Cost]:
    """The whole study with `jobs` processes, and its longest run alone; early stopping isn't foreseen.

    The speed of training and of decoding is measured here and now, on the first condition; lengths are those of each
    condition's own data. Responses are taken to be as long as the reference traces of the trained structure; a model
    that never ends its answers costs more, up to the token limit. Raises TriaxisError where a run does not fit the
    study's budget.
    """
    runs = study.runs()
    speed = _calibrate(job_of(study, runs[0]))
    lengths: dict[tuple[Level, ...], _Lengths] = {}
    each = []
    for run in runs:
        data = tuple(v for k, v in run.condition.settings.items() if k.startswith(("data.", "model.")))
        if data not in lengths:
            lengths[data] = _lengths(job_of(study, run))
        each.append(_one(job_of(study, run), speed, lengths[data]))
    parts = parts_of(runs) if branching else []
    saving, trained, answered = _shared(study, runs, parts, each)
    bases = {str(run.condition.settings["model.base"]) for run in runs}
    first = next(iter(lengths.values()))
    # Of a run that goes on from shared steps the states in which these ended are there too.
    states = min(jobs, len(runs)) * (1 + max((len(list(part.line)) for part in parts), default=0))
    total = Cost(
        len(runs),
        sum(c.train_tokens for c in each) - trained,
        sum(c.generated_tokens for c in each) + len(bases) * first.evaluation - answered,
        sum(c.cpu_seconds for c in each)
        + len(bases) * _evaluation(speed, first)
        - answered / speed.generated
        - trained / speed.trained,
        # A run's state is deleted when it is done, so no more of them are there than run at once.
        sum(c.disk_bytes - speed.state_bytes for c in each)
        + states * speed.state_bytes
        + len(bases) * first.questions * BYTES_A_RECORD
        + REPORT_BYTES,
        _summed(each),
        round(study.evaluation.pilot_share * (sum(c.generated_tokens for c in each) - answered))
        + len(bases) * first.evaluation,
        sum(c.weights_bytes for c in each),
        states * speed.state_bytes,
        saving,
        trained,
        answered,
    )
    longest = max(each, key=lambda c: c.cpu_seconds)
    _check_budget(study, total, longest)
    return total, longest


def _summed(each: Sequence[Cost]) -> dict[str, float]:
    seconds: Counter[str] = Counter()
    for cost in each:
        seconds.update(cost.diagnostics)
    return dict(seconds)


def _shared(study: Study, runs: Sequence[Run], parts: Sequence[Part], each: Sequence[Cost]) -> tuple[Saving, int, int]:
    """What runs share: steps and checkpoints, and the tokens of these that are trained and generated once."""
    if not parts:
        return Saving(), 0, 0
    ends = {run.id: run.steps[-1] for run in runs}
    chance = by_chance(study)
    cost = {run.id: one for run, one in zip(runs, each, strict=True)}
    trained = answered = 0.0
    for part in parts:
        own, head = saving_of(part.runs, [part], ends, chance), part.runs[0]
        trained += own.steps * cost[head.id].train_tokens / head.steps[-1]
        answered += own.checkpoints * cost[head.id].generated_tokens / (len(head.steps) - 1)
    return saving_of(runs, parts, ends, chance), round(trained), round(answered)


@dataclass(frozen=True)
class _Speed:
    trained: float  # tokens a second
    generated: float  # tokens a second
    compared: float  # seconds a question whose choices' likelihoods are compared
    state_bytes: int
    weight_bytes: int  # of a folder of weights, tokenizer included
    diagnostics: Mapping[str, float]  # seconds of each at one checkpoint, for each token of its training batch


@dataclass(frozen=True)
class _Lengths:
    row: float  # mean tokens of a training row
    questions: int  # of an evaluation
    evaluation: int  # tokens generated at a checkpoint
    compared: int  # questions of an evaluation that generate nothing
    answers: Mapping[str, float]  # mean tokens of a response, by task


def _few(job: Job) -> Job:
    """The job on few of its examples, and so long that its warm-up never ends and its rate stays low."""
    few = min(EXAMPLES, int(job.settings["data.examples"]))
    return replace(job, settings={**job.settings, "data.examples": few}, steps=(0, MANY_STEPS))


def _lengths(job: Job) -> _Lengths:
    run = prepare(_few(job))
    asked = questions(job.tasks, run.tokenizer, **_asking(job))
    structure = str(job.settings["data.structure"])
    answers = [_answer(question, structure, run.tokenizer) for question in asked if not question.compared]
    mean = {task: sum(told) / len(told) for task, told in _by_task(asked, answers).items()}
    row = sum(len(r.tokens) for r in run.rows) / len(run.rows)
    return _Lengths(row, len(asked), sum(answers), len(asked) - len(answers), mean)


def _by_task(asked: Sequence[Question], answers: Sequence[int]) -> dict[str, list[int]]:
    told: dict[str, list[int]] = {}
    for question, answer in zip((q for q in asked if not q.compared), answers, strict=True):
        told.setdefault(question.example.task, []).append(answer)
    return told


def _answer(question: Question, structure: str, tokenizer: PreTrainedTokenizerBase) -> int:
    """Tokens of a response as the trained structure would have it; of the longest where the task has no such one."""
    traces = question.example.traces
    if not traces:  # then it may use all the room that it has
        return question.max_new_tokens
    likely = [traces[structure]] if structure in traces else list(traces.values())
    return max(len(tokenizer(trace)["input_ids"]) for trace in likely)


def _asking(job: Job) -> dict[str, Any]:
    asking = {k: job.evaluation[k] for k in ("items", "samples", "modes", "max_new_tokens", "seed")}
    return {**asking, "few_shot": job.evaluation.get("few_shot", 0), "stop": job.evaluation.get("stop", ())}


@memory_told(TRYING)
def _calibrate(job: Job) -> _Speed:
    run = prepare(_few(job))
    # Thinking is what fine-tuned models do: a base that answers at once would make decoding look cheap.
    thinking = questions(job.tasks, run.tokenizer, **{**_asking(job), "modes": ("think",)})
    every = questions(job.tasks, run.tokenizer, **_asking(job))
    seconds, tokens, _ = _asked(job, run, thinking or [question for question in every if not question.compared])
    generated = max(1, tokens) / seconds
    seconds, _, asked = _asked(job, run, [question for question in every if question.compared])
    compared = seconds / max(1, asked)
    row = sum(len(r.tokens) for r in run.rows) / len(run.rows)
    began = time.perf_counter()
    while time.perf_counter() - began < TRAIN_SECONDS:
        run.training.run_to(run.training.step + 1)
    rows = run.training.step * int(job.settings["optimization.batch_size"])
    passes = run.training.recipe.passes
    trained = passes * rows * row / (time.perf_counter() - began)
    weights = trained_bytes(run)
    state = tensor_bytes(run.training.state())  # weights, moments, and copies in fp32 of weights in half precision
    batch = int(job.settings["optimization.batch_size"]) * row
    spent = diagnostic_seconds(_few(job), run, batch / trained, DIAGNOSTIC_SECONDS)
    of_token = {name: seconds / batch for name, seconds in spent.items()}
    return _Speed(trained, generated, compared, state, weights + TOKENIZER_BYTES, of_token)


def _asked(job: Job, run: Prepared, asked: Sequence[Question]) -> tuple[float, int, int]:
    """Seconds that some of the questions take, the tokens of their responses, and how many they are."""
    some = asked[:: -(-len(asked) // QUESTIONS) or 1]
    began = time.perf_counter()
    records = measure(
        run.model,
        run.tokenizer,
        some,
        run="calibration",
        step=0,
        temperature=0.0,
        batch_size=int(job.evaluation["batch_size"]),
        backend=str(job.evaluation.get("backend", "auto")),
    )
    return time.perf_counter() - began, sum(r.response_tokens or 0 for r in records), len(some)


def _evaluation(speed: _Speed, lengths: _Lengths) -> float:
    """Seconds of the evaluation of a checkpoint."""
    return lengths.evaluation / speed.generated + lengths.compared * speed.compared


def _one(job: Job, speed: _Speed, lengths: _Lengths) -> Cost:
    points = len(job.steps) - 1
    rows = job.steps[-1] * int(job.settings["optimization.batch_size"])
    trained = round(recipe(job).passes * rows * lengths.row)
    chosen_on = (name for names in job.select.values() for name in names)
    selection = round(job.select_items * sum(lengths.answers.get(name, 0.0) for name in chosen_on))
    generated = points * (lengths.evaluation + selection)
    batch = int(job.settings["optimization.batch_size"]) * lengths.row
    diagnostics = {name: points * batch * seconds for name, seconds in speed.diagnostics.items()}
    seconds = trained / speed.trained + points * _evaluation(speed, lengths) + sum(diagnostics.values())
    seconds += points * selection / speed.generated
    kept = len(job.keep.what) * speed.weight_bytes if job.keep else 0
    disk = points * lengths.questions * BYTES_A_RECORD + speed.state_bytes + kept
    return Cost(1, trained, generated, seconds, disk, diagnostics, weights_bytes=kept, state_bytes=speed.state_bytes)


def _check_budget(study: Study, total: Cost, longest: Cost) -> None:
    minutes, disk = study.budget.minutes, study.budget.disk_gb
    if minutes is not None and longest.minutes(1) > minutes:
        raise TriaxisError(
            f"budget.minutes: {minutes:g} can't hold one run, which takes about {longest.minutes(1):.1f}; "
            "raise it, or lower the steps, the checkpoints or evaluation.items"
        )
    if disk is not None and longest.disk_bytes > disk * 1e9:
        raise TriaxisError(
            f"budget.disk_gb: {disk:g} can't hold one run, which takes about {longest.disk_bytes / 1e9:.3g}; raise it"
        )
    if disk is not None and total.weights_bytes and total.held_bytes > disk * 1e9:
        raise TriaxisError(
            f"budget.disk_gb: {disk:g} can't hold what the study keeps, about {total.held_bytes / 1e9:.3g} (weights "
            f"{total.weights_bytes / 1e9:.3g}); raise it, or keep fewer (trajectory.keep)"
        )
