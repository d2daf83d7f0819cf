"""Surface reliance: what of a gain is left under other symbols, numbers or words; what is copied; length without steps.

A gain that rests on the surface of the training domain vanishes on a variant of the task: the same procedure with
renamed symbols, other number ranges or other wording.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from triaxis.analyze.contrasts import Asked
from triaxis.analyze.dense import ACCURACY
from triaxis.analyze.effects import finished, primary_mode
from triaxis.analyze.evidence import Evidence
from triaxis.analyze.paths import Path, by_condition
from triaxis.analyze.questions.growth import octave_row
from triaxis.analyze.questions.length import as_ratio, measure_change
from triaxis.analyze.run_numbers import (
    Answer,
    Number,
    change,
    conditions,
    each,
    head,
    main_effects,
    mean,
    ratio,
    weighted,
)
from triaxis.types import VARIANTS, Finding, Interval, NotEstimable, Scale

QUESTION = "reliance"
NO_VARIANT = "no task of the table is a surface variant of another one (columns variant_of and variant)"


@dataclass(frozen=True, eq=False)
class Surface:
    """One run's tasks beside their variants of one kind: pairs of an original and a variant."""

    run: str
    pairs: tuple[tuple[Path, Path], ...]

    @property
    def head(self) -> Path:
        return self.pairs[0][0]


def reliance(original: Path, variant: Path, scale: Scale = "points") -> Number | NotEstimable:
    """A run's gain on a task minus its gain on a variant, at their last checkpoints; their items are others."""
    gains = [change(path, -1, scale=scale) for path in (original, variant)]
    if isinstance(gains[0], NotEstimable) or isinstance(gains[1], NotEstimable):
        return next(gain for gain in gains if isinstance(gain, NotEstimable))
    if original.steps[-1] != variant.steps[-1]:
        return NotEstimable(f"{original.task} and {variant.task} end at different steps")
    return weighted([gains[0], gains[1]], (1.0, -1.0))


def surfaces(evidence: Evidence) -> dict[str, list[Surface]]:
    """For each kind of variant the runs with the pairs that all of them have, in the primary mode."""
    paths = [path for path in evidence.paths if path.metric == ACCURACY]
    mode = primary_mode({path.mode for path in paths if path.variant[0]})
    runs: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in paths:
        if path.mode == mode:
            runs[path.run][path.task] = path
    found: dict[str, list[Surface]] = {}
    for kind in VARIANTS:
        of_runs = {run: _pairs(own, kind) for run, own in runs.items()}
        of_runs = {run: pairs for run, pairs in of_runs.items() if pairs}
        if not of_runs:
            continue
        common = set.intersection(*(set(pairs) for pairs in of_runs.values()))
        if common:
            found[kind] = [Surface(r, tuple(pairs[key] for key in sorted(common))) for r, pairs in of_runs.items()]
    return found


def _pairs(own: dict[str, Path], kind: str) -> dict[tuple[str, str], tuple[Path, Path]]:
    return {
        (path.variant[0], path.task): (own[path.variant[0]], path)
        for path in own.values()
        if path.variant[1] == kind and path.variant[0] in own
    }


def surface_reliance(surface: Surface, scale: Scale = "points") -> Number | NotEstimable:
    """The mean of `reliance` over a run's pairs."""
    return _mean_of(reliance(*pair, scale=scale) for pair in surface.pairs)


def _mean_of(found: Iterable[Number | NotEstimable]) -> Number | NotEstimable:
    all_of = list(found)
    numbers = [number for number in all_of if isinstance(number, Number)]
    bad = [number for number in all_of if isinstance(number, NotEstimable)]
    return bad[0] if bad else weighted(numbers, [1 / len(numbers)] * len(numbers))


def reliances(evidence: Evidence) -> dict[str, Number | NotEstimable]:
    """The reliance of every run that has surface variants, over all its pairs of whatever kind."""
    pairs: dict[str, list[tuple[Path, Path]]] = {path.run: [] for path in evidence.paths}
    for of_kind in surfaces(evidence).values():
        for surface in of_kind:
            pairs[surface.run] += surface.pairs
    named = {run: {(one.task, other.task) for one, other in own} for run, own in pairs.items()}
    if len({frozenset(own) for own in named.values()}) > 1:
        left = next(f"{run} lacks {task}" for run, own in named.items() for _, task in set.union(*named.values()) - own)
        return dict.fromkeys(pairs, NotEstimable(f"the runs have different surface variants: run {left}"))
    return {run: _mean_of(reliance(*pair) for pair in own) for run, own in pairs.items() if own}


def findings(evidence: Evidence) -> list[Finding]:
    """Reliance by condition and kind of variant, its main effects, the gap to training, copying and verbosity."""
    found: list[Finding] = []
    for kind, own in surfaces(evidence).items():
        found += _of_kind(kind, own)
    for asked in evidence.asked.values():
        for first, runs, _ in conditions(asked):
            found += _behaviours(first, runs)
    return found


def _of_kind(kind: str, own: Sequence[Surface]) -> list[Finding]:
    heads = finished([surface.head for surface in own], [])
    by_run = {surface.run: surface for surface in own}
    found = []
    for runs in by_condition(heads).values():
        found += _of_condition(kind, [by_run[path.run] for path in runs])
    asked = Asked.of(heads)
    numbers = each([by_run[path.run] for path in heads], surface_reliance)
    for target, answer in main_effects(asked, numbers):
        blank = replace(head(QUESTION, _named(kind), "points", heads[0]), within={}, factors=target.factors)
        found.append(answer.told(replace(blank, contrast=target.text), "difference of the runs' gains, Welch"))
    return found


def _named(kind: str) -> str:
    return f"gain on the task minus gain under other {kind}"


def _of_condition(kind: str, own: Sequence[Surface]) -> list[Finding]:
    first = own[0].head
    tasks = ", ".join(f"{original.task} - {variant.task}" for original, variant in own[0].pairs)
    found = []
    scales: tuple[Scale, ...] = ("points", "logit")
    for scale in scales:
        answer = mean(each(own, partial(surface_reliance, scale=scale)))
        finding = replace(head(QUESTION, _named(kind), scale, first), contrast=tasks)
        found.append(answer.told(finding, "difference of a run's gains"))
    on_task, on_variant = (each(own, partial(_gain, which=which)) for which in (0, 1))
    answer = share_kept(on_variant, on_task)
    kept = replace(head(QUESTION, f"share of the gain that is kept under other {kind}", "ratio", first), contrast=tasks)
    return [*found, answer.told(kept, "ratio of mean gains, Fieller")]


def share_kept(on_variant: list[Number] | NotEstimable, on_task: list[Number] | NotEstimable) -> Answer:
    """Mean gain on the variants over mean gain on the tasks."""
    if isinstance(on_task, NotEstimable):
        return Answer(on_task)
    if isinstance(on_variant, NotEstimable):
        return Answer(on_variant)
    total = mean(on_task).estimate
    if isinstance(total, Interval) and total.high < 0:
        return Answer(NotEstimable("the gain on the task is a loss: nothing to keep"), n_runs=len(on_task))
    return ratio(on_variant, on_task, "the gain on the task")


def _gain(surface: Surface, which: int) -> Number | NotEstimable:
    return _mean_of(change(pair[which], -1) for pair in surface.pairs)


def _behaviours(first: Path, runs: Sequence[Path]) -> list[Finding]:
    found = []
    if first.group == "in_domain" and not np.isnan(first.measures["token_accuracy"][1:]).all():
        finding = head(
            QUESTION, "training token accuracy minus score: widening over the last checkpoints", "points", first
        )
        note = (
            "no score on training items: the gap's level says nothing, since a token is not an answer; its change does"
        )
        found.append(mean(each(runs, gap_change)).told(replace(finding, note=note), "change of the gap"))
    if not np.isnan(first.measures["copied"]).all():
        finding = head(QUESTION, "share of the response copied from training traces: last minus first", "share", first)
        finding = replace(finding, note="from the first trained checkpoint: a base has no training traces")
        found.append(mean(each(runs, copied_change)).told(finding, "change of the mean share of n-grams"))
    if not np.isnan(first.measures["verified_steps"]).all():
        finding = head(QUESTION, "growth of length over growth of verified steps", "ratio", first)
        answer = as_ratio(mean(each(runs, wordiness)))
        if isinstance(answer.estimate, Interval) and answer.estimate.low > 1:
            finding = replace(finding, note="wordier without as many more verified steps")
        found.append(answer.told(finding, "log2 of tokens minus log2 of verified steps, last minus base"))
    return found


def gap_change(path: Path) -> Number | NotEstimable:
    """How much token accuracy in training rose beyond the score, from half of the run's steps to its end."""
    row = octave_row(path)
    if isinstance(row, NotEstimable):
        return row
    known = path.measures["token_accuracy"]
    rose = float(known[-1] - known[row])
    if np.isnan(rose):
        return NotEstimable("token_accuracy was not measured at every checkpoint")
    score = change(path, len(path.steps) - 1, row)
    if isinstance(score, NotEstimable):
        return score
    per_item = None if score.per_item is None else rose - score.per_item
    return replace(score, value=rose - score.value, per_item=per_item)


def copied_change(path: Path) -> Number | NotEstimable:
    """Rise of the share of responses' n-grams that stand in the training traces, first trained checkpoint to last."""
    trained = [row for row, step in enumerate(path.steps) if step > 0]
    if len(trained) < 2:
        return NotEstimable("what is copied needs two trained checkpoints")
    rose = float(path.measures["copied"][-1] - path.measures["copied"][trained[0]])
    return (
        NotEstimable("what is copied was not measured at the first and last checkpoint")
        if np.isnan(rose)
        else Number(rose)
    )


def wordiness(path: Path) -> Number | NotEstimable:
    """Doublings of response tokens minus doublings of verified steps, from the base to the last checkpoint."""
    tokens, steps = (measure_change(path, name) for name in ("response_tokens", "verified_steps"))
    if isinstance(tokens, NotEstimable) or isinstance(steps, NotEstimable):
        return tokens if isinstance(tokens, NotEstimable) else steps
    return weighted([tokens, steps], (1.0, -1.0))
