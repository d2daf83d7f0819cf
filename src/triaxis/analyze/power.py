"""What a design can find, before it is run: the power of each effect, and what more seeds or items would give."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from triaxis.analyze.contrasts import ONE_SEED
from triaxis.analyze.design import MAX_TARGETS, Cells, Target, make_cells, targets
from triaxis.analyze.variances import Variances
from triaxis.stats.effects import contrast
from triaxis.stats.intervals import CONFIDENCE, Floats
from triaxis.stats.power import Components, Law, Plan, law_of_items, law_of_runs, least
from triaxis.study.evaluation import MAX_ITEMS, MAX_SAMPLES
from triaxis.study.spec import MAX_SEEDS
from triaxis.types import NotEstimable

if TYPE_CHECKING:
    from triaxis.study import Study

ENOUGH = 0.8  # the power that a design is asked for
POWERS = (0.8, 0.9)
ONE_ITEM = "one item a task: nothing tells how much items vary; take two or more"
NOT_ASKED = (
    "not asked by analyze, which takes interactions of three from factors with two levels or a slope, and at most"
    f" {MAX_TARGETS} contrasts a group"
)
THESE_BASES, THESE_RUNS = "run (these bases)", "item (these runs)"


@dataclass(frozen=True)
class Sampling:
    """How a group is measured: seeds a condition (or runs of each cell), items of each of its tasks, responses an
    item.
    """

    seeds: int | tuple[int, ...]
    items: tuple[int, ...]
    samples: int = 1

    @property
    def replicated(self) -> bool:
        """Whether some condition has two runs."""
        return max(self.seeds if isinstance(self.seeds, tuple) else (self.seeds,)) > 1


@dataclass(frozen=True)
class Needed:
    """The least number of seeds, items or samples that alone gives the power; or, where even the most that a study can
    have doesn't, the smallest effect that is found then. Neither: no effect is, as large as scores allow.
    """

    least: int | None
    limit: float | None = None


@dataclass(frozen=True)
class TermPower:
    """What is found of one term, at its contrast with the widest error."""

    factors: tuple[str, ...]
    contrast: str
    n_contrasts: int
    unit: str  # "run"; "run (these bases)"; with one seed "item (these runs)": nothing of other runs
    power: float | NotEstimable | None  # at the effect asked for; None where none was
    detects: Mapping[float, float | None] | NotEstimable  # power -> the smallest effect found with it; None: no effect
    power_upper: float | None = None  # with the run variance at its upper bound, where a pilot gave it
    detects_upper: Mapping[float, float | None] | None = None
    these_runs: float | None = None  # with one seed: what the items' interval of these runs detects at .8
    seeds: Needed | None = None
    items: Needed | None = None
    samples: Needed | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class GroupPower:
    """The terms of groups that are measured alike, with the variances that they were planned with."""

    groups: tuple[str, ...]
    sampling: Sampling
    variances: Variances
    terms: tuple[TermPower, ...]


@dataclass(frozen=True)
class Question:
    """What is asked of each term: an effect (None: only what is detected), beyond the smallest effect of interest."""

    effect: float | None = None
    smallest: float = 0.0
    confidence: float = CONFIDENCE


def plan_of(cells: Cells, weights: Floats, sampling: Sampling) -> Plan:
    """A contrast of cells as a plan; the cells of one base share its own score, which cancels within it."""
    n = len(cells.design.levels)
    counts = np.asarray(np.broadcast_to(sampling.seeds, (n,)), dtype=np.float64)
    own = [i for i, name in enumerate(cells.factors) if name.startswith("model.")]
    _, base_of = np.unique(cells.design.levels[:, own], axis=0, return_inverse=True)
    shares = np.asarray(np.bincount(base_of.ravel(), weights=weights), dtype=np.float64)
    shares[np.abs(shares) < 1e-9] = 0.0
    return Plan(weights, counts, shares, np.asarray(sampling.items, dtype=np.int64), float(sampling.samples))


def law_of(
    cells: Cells, weights: Floats, sampling: Sampling, components: Components, confidence: float = CONFIDENCE
) -> Law | NotEstimable:
    """The law of any contrast of a design's cells, as `contrasts.cell_contrast` will estimate it (gain, in points)."""
    if min(sampling.items) < 2:
        return NotEstimable(ONE_ITEM)
    if not sampling.replicated:
        return NotEstimable(ONE_SEED)
    return law_of_runs(plan_of(cells, weights, sampling), components, confidence)


def power_of(
    cells: Cells,
    target: Target,
    effect: float,
    sampling: Sampling,
    components: Components,
    *,
    confidence: float = CONFIDENCE,
    smallest: float = 0.0,
) -> float | NotEstimable:
    """The chance that the interval of an effect lies beyond `smallest`, on the effect's side.

    `effect` is in fractions of 1; of an interaction it is the difference of differences.
    """
    weights = weights_of(cells, target)
    if weights is None:
        return NotEstimable(cells.aliased(target.factors))
    law = law_of(cells, weights, sampling, components, confidence)
    return law if isinstance(law, NotEstimable) else law.power(effect, smallest)


def weights_of(cells: Cells, target: Target) -> Floats | None:
    """Weights over cells of an effect; None where the design can't tell it from others."""
    at = [
        [cells.levels[name].index(level) for name, level in zip(target.factors, ends, strict=True)]
        for ends in (target.high, target.low)
    ]
    return contrast(cells.design, [cells.factors.index(name) for name in target.factors], at[0], at[1])


def study_cells(study: Study) -> Cells:
    """The cells that the study's runs will make, as `analyze` will see them."""
    return make_cells([condition.levels for condition in study.conditions()])


Terms = Mapping[tuple[str, ...], list[tuple[Target, Floats | None]]]


def terms_of(cells: Cells) -> Terms:
    """Every term that `analyze` asks of the design, each with its contrasts and their weights (None: aliased)."""
    found: dict[tuple[str, ...], list[tuple[Target, Floats | None]]] = defaultdict(list)
    for target in targets(cells)[0]:
        found[target.factors].append((target, weights_of(cells, target)))
    return found


def plan_terms(
    cells: Cells,
    terms: Terms,
    sampling: Sampling,
    variances: Variances,
    question: Question,
    on: tuple[str, ...] | None = None,
) -> tuple[TermPower, ...]:
    """The power of each term of a design in one group, or of the term of the factors `on` (sorted)."""
    planner = _Planner(cells, sampling, variances, question)
    wanted = list(terms) if on is None else [on]
    return tuple(planner.term(names, terms.get(names, [])) for names in wanted)


def answers(law: Law, question: Question, largest: float, suffix: str = "") -> dict[str, Any]:
    """The fields of a term that its law answers; an effect beyond the largest that scores allow is None."""
    asked, smallest = question.effect, question.smallest
    found = {power: law.detects(power, smallest) for power in POWERS}
    return {
        f"power{suffix}": None if asked is None else law.power(asked, smallest),
        f"detects{suffix}": {power: size if size <= largest else None for power, size in found.items()},
    }


@dataclass(frozen=True)
class _Planner:
    """One group's design with all that its terms share."""

    cells: Cells
    sampling: Sampling
    variances: Variances
    question: Question

    def term(self, names: tuple[str, ...], contrasts: Sequence[tuple[Target, Floats | None]]) -> TermPower:
        """One term, by its contrast with the widest error."""
        unit = THESE_BASES if any(name.startswith("model.") for name in names) else "run"
        found = [(self._variance(weights), target, weights) for target, weights in contrasts if weights is not None]
        if not found:
            why = NotEstimable(self.cells.aliased(names) if contrasts else NOT_ASKED)
            return TermPower(names, "", len(contrasts), unit, why, why)
        widest, least_wide = max(each[0] for each in found), min(each[0] for each in found)
        target, weights = next((t, w) for variance, t, w in found if variance >= 0.999 * widest)
        assumes = self.cells.assumes(names)
        notes = [f"if {assumes}"] if assumes else []
        if widest > 1.01 * least_wide:
            notes.append(f"of {len(contrasts)} contrasts the one with the widest error, {target.text}")
        head = TermPower(names, target.text, len(contrasts), unit, None, {}, notes=tuple(notes))
        law = self._law(weights, self.variances.values)
        if isinstance(law, NotEstimable):
            head = replace(head, power=law, detects=law, **self._these_runs(names, weights))
        else:
            head = replace(head, **answers(law, self.question, self._largest(names, weights)))
            upper = self.variances.at_upper
            if upper is not None and isinstance(wide := self._law(weights, upper), Law):
                head = replace(head, **answers(wide, self.question, self._largest(names, weights), "_upper"))
        return replace(head, **self._needed(names, weights)) if self.question.effect is not None else head

    def _variance(self, weights: Floats) -> float:
        plan = plan_of(self.cells, weights, self.sampling)
        runs = self.variances.values.run * float((weights**2 / plan.counts).sum())
        return runs + plan.items_variance(self.variances.values)

    def _law(self, weights: Floats, components: Components, **changes: Any) -> Law | NotEstimable:
        sampling = replace(self.sampling, **changes)
        return law_of(self.cells, weights, sampling, components, self.question.confidence)

    def _largest(self, names: tuple[str, ...], weights: Floats) -> float:
        """The largest effect there can be: scores lie in 0 to 1, as do those of bases where they don't cancel."""
        return float(2 ** (len(names) - (not plan_of(self.cells, weights, self.sampling).shares.any())))

    def _these_runs(self, names: tuple[str, ...], weights: Floats) -> dict[str, Any]:
        if min(self.sampling.items) < 2:
            return {}
        plan = plan_of(self.cells, weights, self.sampling)
        law = law_of_items(plan, self.variances.values, self.question.confidence)
        found = law.detects(ENOUGH, self.question.smallest)
        return {"these_runs": found if found <= self._largest(names, weights) else None, "unit": THESE_RUNS}

    def _needed(self, names: tuple[str, ...], weights: Floats) -> dict[str, Any]:
        """The least of each alone. With one seed, of seeds alone: no number of items makes up for it."""
        n_tasks = len(self.sampling.items)
        found = {"seeds": self._least(names, weights, lambda n: {"seeds": n}, 2, MAX_SEEDS)}
        if self.sampling.replicated:
            found["items"] = self._least(names, weights, lambda n: {"items": (n,) * n_tasks}, 2, MAX_ITEMS)
            if self.variances.splits:
                found["samples"] = self._least(names, weights, lambda n: {"samples": n}, 1, MAX_SAMPLES)
        return {name: needed for name, needed in found.items() if needed is not None}

    def _least(
        self, names: tuple[str, ...], weights: Floats, change: Callable[[int], dict[str, Any]], start: int, most: int
    ) -> Needed | None:
        effect, smallest = self.question.effect, self.question.smallest
        last = self._law(weights, self.variances.values, **change(most))
        if isinstance(last, NotEstimable) or effect is None:
            return None

        def enough(n: int) -> bool:
            law = self._law(weights, self.variances.values, **change(n))
            return isinstance(law, Law) and law.power(effect, smallest) >= ENOUGH

        if last.power(effect, smallest) >= ENOUGH:
            return Needed(least(enough, start, most))
        limit = last.detects(ENOUGH, smallest)
        return Needed(None, limit if limit <= self._largest(names, weights) else None)
