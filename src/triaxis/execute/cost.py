"""What a study will take, from a calibration of a few seconds on this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from triaxis.evaluate import measure, questions
from triaxis.execute.conduct import job_of
from triaxis.execute.run import prepare
from triaxis.study import Run, Study
from triaxis.types import TriaxisError

TRAIN_SECONDS = 2.0
MANY_STEPS = 10**6  # the calibration's run: its warm-up never ends, so that its rate stays low
QUESTIONS = 96  # answered in the calibration
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

    def minutes(self, jobs: int) -> float:
        """Wall-clock minutes with `jobs` processes."""
        return (self.cpu_seconds / max(1, min(jobs, self.runs)) + START_SECONDS) / 60


def estimate(study: Study, jobs: int) -> tuple[Cost, Cost]:
    """The whole study with `jobs` processes, and its longest run alone.

    The speed of training and of decoding is measured here and now, on the first condition.

    Responses are taken to be as long as the reference traces of the trained structure; a model that never ends its
    answers costs more, up to the token limit. Raises TriaxisError where a run does not fit the study's budget.
    """
    runs = study.runs()
    speed = _calibrate(study, runs[0])
    each = [_one(study, run, speed) for run in runs]
    bases = {str(run.condition.settings["model.base"]) for run in runs}
    evaluation = speed.evaluation_tokens / speed.generated_a_second
    total = Cost(
        len(runs),
        sum(c.train_tokens for c in each),
        sum(c.generated_tokens for c in each) + len(bases) * speed.evaluation_tokens,
        sum(c.cpu_seconds for c in each) + len(bases) * evaluation,
        # A run's state is deleted when it is done, so no more of them are there than run at once.
        sum(c.disk_bytes - speed.state_bytes for c in each)
        + min(jobs, len(runs)) * speed.state_bytes
        + len(bases) * speed.questions * BYTES_A_RECORD
        + REPORT_BYTES,
    )
    longest = max(each, key=lambda c: c.cpu_seconds)
    _check_budget(study, longest)
    return total, longest


@dataclass(frozen=True)
class _Speed:
    row_tokens: float  # of a training row
    trained_a_second: float  # tokens
    generated_a_second: float
    questions: int
    evaluation_tokens: int  # generated at a checkpoint
    state_bytes: int


def _calibrate(study: Study, run: Run) -> _Speed:
    job = job_of(study, run)
    few = {**job.settings, "data.examples": min(512, int(job.settings["data.examples"]))}
    model, tokenizer, rows, training = prepare(replace(job, settings=few, steps=(0, MANY_STEPS)))
    wanted = {k: job.evaluation[k] for k in ("items", "samples", "modes", "max_new_tokens", "seed")}
    asked = questions(job.tasks, tokenizer, **wanted)
    structure = str(job.settings["data.structure"])
    lengths = [len(tokenizer(q.example.traces[structure])["input_ids"]) for q in asked]
    # Thinking is what fine-tuned models do: a base that answers at once would make decoding look cheap.
    thinking = questions(job.tasks, tokenizer, **{**wanted, "modes": ("think",)}) or asked
    began = time.perf_counter()
    records = measure(
        model,
        tokenizer,
        thinking[:: -(-len(thinking) // QUESTIONS)],
        run="calibration",
        step=0,
        temperature=0.0,
        batch_size=int(job.evaluation["batch_size"]),
    )
    generated = max(1, sum(r.response_tokens for r in records)) / (time.perf_counter() - began)
    began, tokens = time.perf_counter(), sum(len(r.tokens) for r in rows) / len(rows)
    while time.perf_counter() - began < TRAIN_SECONDS:
        training.run_to(training.step + 1)
    trained = training.step * int(few["optimization.batch_size"]) * tokens / (time.perf_counter() - began)
    state = 3 * sum(p.numel() * p.element_size() for p in model.parameters())  # weights and two moments
    return _Speed(tokens, trained, generated, len(asked), sum(lengths), state)


def _one(study: Study, run: Run, speed: _Speed) -> Cost:
    points = len(run.steps) - 1
    trained = round(run.steps[-1] * int(run.condition.settings["optimization.batch_size"]) * speed.row_tokens)
    generated = points * speed.evaluation_tokens
    seconds = trained / speed.trained_a_second + generated / speed.generated_a_second
    return Cost(1, trained, generated, seconds, points * speed.questions * BYTES_A_RECORD + speed.state_bytes)


def _check_budget(study: Study, longest: Cost) -> None:
    minutes, disk = study.budget.minutes, study.budget.disk_gb
    if minutes is not None and longest.minutes(1) > minutes:
        raise TriaxisError(
            f"budget.minutes: {minutes:g} can't hold one run, which takes about {longest.minutes(1):.1f}; "
            "raise it, or lower the steps, the checkpoints or evaluation.items"
        )
    if disk is not None and longest.disk_bytes > disk * 1e9:
        raise TriaxisError(
            f"budget.disk_gb: {disk:g} can't hold one run, which takes about {longest.disk_bytes / 1e9:.3f}; raise it"
        )
