"""The words of Triaxis as small typed values that every room shares; nothing here has a dependency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, get_args

AXES = ("optimization", "data", "model")
GROUPS = ("in_domain", "near_ood", "far_ood", "general", "safety", "over_refusal")
JUDGED_GROUPS = {"safety": "safety_judged", "over_refusal": "over_refusal_judged"}  # the same records, by a judge
OF_REFUSALS = (*JUDGED_GROUPS, *JUDGED_GROUPS.values())  # groups that measure no ability
PHASES = ("flat", "plateau", "rising", "dip", "recovered", "overfit", "declining")
UNDECIDED = "undecided"
MODES = ("default", "direct", "think")
VARIANTS = ("symbols", "numbers", "wording")  # what a surface variant of a task changes

Mode = Literal["default", "direct", "think"]
Variant = Literal["symbols", "numbers", "wording"]
Structure = Literal["long_cot", "short_cot", "no_cot", "answer_only"]
NoiseKind = Literal[
    "wrong_step",  # carried on to a wrong answer
    "wrong_answer",  # after right steps
    "wrong_step_right_answer",
    "other_trace",  # of another problem
    "shuffled_steps",
    "truncated",  # breaks off within the trace
    "missing_answer",
    "inconsistent_format",  # of the answer
]
NOISE_KINDS: tuple[NoiseKind, ...] = get_args(NoiseKind)
Level = str | int | float | bool
Scale = Literal["points", "logit"]
Sharding = Literal["ddp", "fsdp"]  # of a run over processes: a copy of the model in each, or a piece of it
Estimand = Literal["gain", "best", "mean"]
Decision = Literal["supported", "refuted", "inconclusive", "not testable"]


class TriaxisError(Exception):
    """A user's mistake, told in one line: what is wrong, where, and what to do. The command line exits with 2."""


class RunFailed(Exception):
    """Something failed while running; what was measured is kept. The command line exits with 1."""


class DiskFull(RunFailed):
    """No room for what was measured; what was written before is kept, and the remedy is the user's: exit code 2."""


class Outcome(StrEnum):
    """What became of one response."""

    CORRECT = "correct"
    WRONG = "wrong"
    TRUNCATED = "truncated"  # ran into the token limit, or its thought never closes
    UNPARSED = "unparsed"  # ended, but holds no answer
    REFUSED = "refused"


class Judged(StrEnum):
    """What a judge says of one response."""

    REFUSED = "refused"
    COMPLIED = "complied"
    UNCLEAR = "unclear"
    UNJUDGED = "unjudged"  # it was asked, and gave no judgement that could be read


@dataclass(frozen=True)
class Item:
    """One item of a task: what the user says, what is right, and how a reference would get there.

    `traces` maps a structure (`long_cot`, `short_cot`, `no_cot`) to the whole reference response, thought included.
    """

    id: str  # "chain/eval/0/17": task, split, seed, index
    task: str
    prompt: str
    answer: str
    level: int  # difficulty: the number of steps
    traces: Mapping[str, str] = field(default_factory=dict)
    also: tuple[str, ...] = ()  # other texts that ask the same: none of them may be trained on


@dataclass(frozen=True)
class Turn:
    """One turn of a conversation."""

    role: str  # "system", "user", "assistant"
    content: str


@dataclass(frozen=True)
class Example:
    """One row of a data set to train on: what is said to the model, how a reference gets to the answer, what is right.

    The response is the thought and then the solution. What the row does not say is None, or empty; nothing is guessed.
    """

    id: str  # of the row, the same in every variant of the data set
    turns: tuple[Turn, ...]  # what is said before the response
    thought: str | None  # the trace, without its tags
    solution: str  # the response after the thought
    answer: str | None  # the final answer that the solution gives
    reference: str | None = None  # what the data set says is right
    domain: str = ""
    difficulty: str | float | None = None  # as the source gives it
    source: str = ""
    row: int = 0  # in its file, from 1
    fields: Mapping[str, Any] = field(default_factory=dict)  # the row as it came: a variant is written as it was


@dataclass(frozen=True)
class Checkpoint:
    """A point of a trajectory. Step 0 is the base model."""

    step: int  # optimizer steps
    tokens: int | None = 0  # supervised tokens trained on so far; None where nobody counted (another trainer)
    epoch: float = 0.0
    loss: float | None = (
        None  # mean cross-entropy per supervised token since the checkpoint before, nats, whatever is minimised
    )
    token_accuracy: float | None = None  # share of supervised tokens that were the most likely one, same window


@dataclass(frozen=True)
class Record:
    """One sampled response to one item at one checkpoint, with its outcome."""

    run: str
    step: int
    task: str
    group: str
    mode: str
    item: str
    sample: int
    outcome: Outcome
    score: float  # 1 is always the desired behaviour
    response_tokens: int | None  # None where nothing was generated: a choice by its likelihood
    thought: bool  # the response opened a thought
    finished: bool  # it ended by itself, it was not cut off by the token limit
    text: str
    copied: float | None = None  # share of the response's n-grams that stand in the run's training traces
    verified_steps: int | None = None  # steps of the item's solution that the response writes down, and right
    log_probability: float | None = None  # of the right choice given the prompt, nats
    backend: str | None = None  # what had the model answer: ours, transformers, ..; None: not told
    batch_size: int | None = None  # responses that were asked for at a time
    dtype: str | None = None  # of the weights that answered
    temperature: float | None = None  # None where nothing was drawn: a choice by its likelihood
    asked_at: int | None = None  # adaptive evaluation: the item's place in the order of asking, from 0
    asked_of: int | None = None  # items of the task that are there to be asked
    pilot: bool | None = None  # the item is one of those that are asked at every checkpoint
    smallest_effect: float | None = None  # beyond or within which a gain is settled


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval, in the unit of what it estimates (scores and gains: fractions of 1)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class NotEstimable:
    """A quantity that the data or the design cannot give, with the reason. Never 0, never NaN."""

    reason: str


@dataclass(frozen=True)
class Reading:
    """One number about a checkpoint, how it was found and, where something was repeated, its 95 % interval.

    A missing end is an interval without an end on that side, or (both missing) no interval at all.
    """

    value: float
    unit: str
    method: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Dip:
    """Whether a trajectory fell below its base, where, by how much, and how much of that is responses cut off."""

    probability: float
    step: int | None  # the most probable checkpoint of the bottom; None where no dip has weight
    depth: Interval | NotEstimable
    truncation_share: float | NotEstimable  # part of the dip that is truncation, 0..1


@dataclass(frozen=True)
class CellGain:
    """One run at one checkpoint on one task of an adaptive evaluation: its gain over all items of the pool.

    The interval is that of a confidence sequence: it holds wherever asking stopped, at 95 % for this cell, and is of
    this pool of items alone.
    """

    run: str
    source: str
    step: int
    task: str
    group: str
    mode: str
    asked: int  # items
    of: int  # items of the pool
    gain: Interval | NotEstimable
    settled: Literal["above", "below", "inside", ""]  # the smallest effect, minus it, the two; empty: not settled
    smallest_effect: float
    tokens: float = 0.0  # generated for it

    @property
    def stopped(self) -> bool:
        """Whether it was stopped before all items were asked."""
        return self.asked < self.of


@dataclass(frozen=True)
class Trajectory:
    """What one run has come to on one task, or (`task` empty) on the mean of a group's tasks.

    With `run` empty it is a condition: the mean over its seeds, and `seed` is None.
    """

    run: str
    seed: int | None
    base: str
    source: str
    condition: Mapping[str, Level]
    task: str
    group: str
    mode: str
    n_runs: int
    n_items: int | None
    steps: tuple[int, ...]
    scores: tuple[Interval, ...]  # one a step; without n_items low and high equal the value and a warning says so
    response_tokens: tuple[float | None, ...]
    truncated: tuple[float | None, ...]  # share of responses, one a step
    refused: tuple[float | None, ...]
    accuracy_finished: tuple[float | None, ...]  # accuracy of the responses that ended
    phase: str
    phase_probability: float
    probabilities: Mapping[str, float]
    dip: Dip | NotEstimable
    regain_probability: float | NotEstimable
    net_gain: Interval | NotEstimable
    tau: float | None  # extra sd of a checkpoint, in score
    tau_from: str  # "seeds" or "default"
    below_probability: float | None = None  # that it ends below its base; None without a shape
    in_dip_probability: float | None = None  # that it does so after a dip, and does not only go on falling
    stopped: tuple[int, ...] = ()  # cells (runs x tasks) stopped early, one a step; empty: not an adaptive evaluation


@dataclass(frozen=True)
class Effect:
    """A main effect or interaction of factors on a summary of trajectories, in one group, on one scale.

    The sign is second level minus first, levels in sorted order; an interaction is the difference of such differences.
    """

    estimand: Estimand
    step: int | None  # of the checkpoint for `gain`; None for `best` and `mean`
    group: str
    factors: tuple[str, ...]  # sorted
    contrast: str  # "0.003 - 0.0003", in words
    scale: Scale
    estimate: Interval | NotEstimable
    p: float | None = None
    p_adjusted: float | None = None  # Benjamini-Hochberg over the analysis
    unit: str = "run"  # what was drawn anew: "run", "base" for model factors, "run (these bases)" where bases are few
    n_units: int = 0
    n_runs: int = 0
    item_pool: str = ""  # "items like these" or "this item pool"
    method: str = ""
    note: str = ""  # "ceiling", "scale dependent", ...
    source: str = ""  # sources are never mixed in one contrast
    mode: str = "default"


@dataclass(frozen=True)
class Verdict:
    """What the evidence says of a claim that was written down before it."""

    claim: str  # id
    statement: str
    decision: Decision
    reason: str
    estimand: str
    smallest_effect: float | None
    estimate: Interval | None
    scale: str
    source: str
    excludes: tuple[str, ...] = ()  # claims that can't be true beside it
    evidence: str = ""  # the source of the table's rows that it was judged by
    p: float | None = None  # against the smallest effect, doubled: below .05 where the claim is supported
    p_holm: float | None = None  # over the tested claims of its family
    n_runs: int = 0
    method: str = ""


@dataclass(frozen=True)
class Finding:
    """An estimate with its interval, its method and its sample size; or not estimable, with the reason.

    What trajectories, effects, summaries and verdicts don't hold: each answers one quantity of one question.
    """

    question: str  # the analysis that asks: "saturation", "cost", ...
    quantity: str  # in words: "gain per doubling at the largest sizes"
    estimate: Interval | NotEstimable
    unit: str  # "points" (a fraction of 1), "logit", "doublings", "ratio", "share", "tokens", "steps", ...
    group: str = ""
    factors: tuple[str, ...] = ()  # that it is about
    contrast: str = ""  # of their levels, in words: "0.6 - 0"
    within: Mapping[str, Level] = field(default_factory=dict)  # the levels that it is confined to; empty: all
    p: float | None = None
    p_adjusted: float | None = None  # Benjamini-Hochberg over the findings of the analysis
    sampled: str = "run"  # what was drawn anew: "run", "run (these bases)", "base", "item"
    n_units: int = 0
    n_runs: int = 0
    item_pool: str = ""
    method: str = ""
    note: str = ""
    source: str = ""
    mode: str = "default"


@dataclass(frozen=True)
class GroupSummary:
    """One condition at its last checkpoint in one group, as run."""

    condition: Mapping[str, Level]
    group: str
    step: int
    n_runs: int
    n_items: int | None
    base_score: float | None  # None without step 0
    score: float
    gain: Interval | NotEstimable  # paired over items, then seeds
    best_gain: Interval | NotEstimable  # at the checkpoint chosen on other items
    phase: str
    phase_probability: float
    response_tokens: float | None
    truncated: float | None
    unparsed: float | None
    refused: float | None
    accuracy_finished: float | None
    source: str = ""
    mode: str = "default"
    stopped: int | None = None  # cells (runs x tasks) stopped early at that step; None: not an adaptive evaluation


@dataclass(frozen=True)
class Analysis:
    """Everything that was inferred from one table. `analyze.to_json` gives its documented form."""

    trajectories: tuple[Trajectory, ...]  # one a run and task
    group_trajectories: tuple[Trajectory, ...]  # one a run and group
    condition_trajectories: tuple[Trajectory, ...]  # one a condition and group, over seeds
    summaries: tuple[GroupSummary, ...]
    effects: tuple[Effect, ...]
    findings: tuple[Finding, ...]
    verdicts: tuple[Verdict, ...]
    warnings: tuple[str, ...]
    factors: Mapping[str, tuple[Level, ...]]  # what varied
    n_records: int
    seed: int  # of every resampling and simulation in it
    gains: tuple[CellGain, ...] = ()  # of an adaptive evaluation
