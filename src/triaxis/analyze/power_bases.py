"""The power of effects of what the bases are: the base is their unit, one number each (`analyze.bases`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from triaxis.analyze.bases import ENOUGH_BASES, LOPSIDED
from triaxis.analyze.contrasts import Asked
from triaxis.analyze.design import Cells, level_text, make_cells, sorted_levels
from triaxis.analyze.power import ONE_ITEM, Question, Sampling, TermPower, answers
from triaxis.analyze.variances import Source, Variances
from triaxis.stats.effects import contrast
from triaxis.stats.intervals import CONFIDENCE, Floats
from triaxis.stats.power import Components, Law, Plan, law_of_runs
from triaxis.types import Level, NotEstimable

DEFAULT_BASE = 0.03**2
DEFAULT_SOURCE = Source("default: 3 points, as bases of other pretraining seeds have in docs/statistics.md")


@dataclass(frozen=True)
class Trait:
    """A column that describes the bases, two of its levels, how many bases of the study have each, and the variance of
    a base's own number among bases of one kind.
    """

    name: str
    low: Level
    high: Level
    counts: tuple[int, int]  # of low, of high
    between: float
    source: Source


def traits_of(pilot: Asked, bases: Sequence[str], variances: Variances) -> list[Trait]:
    """The traits of the study's bases that the pilot's table names, where it names eight bases or more and at least two
    of each level: what `analyze` would test.
    """
    found = []
    for name in (name for name in pilot.cells.described if name.startswith("model.")):
        kind = {path.base: path.condition[name] for path in pilot.paths if name in path.condition}
        if len(set(bases)) < ENOUGH_BASES or any(base not in kind for base in bases):
            continue
        kinds = [kind[base] for base in sorted(set(bases))]
        levels = sorted_levels(kinds)
        if len(levels) < 2 or any(kinds.count(level) < 2 for level in levels):
            continue
        between, source = _between_bases(pilot, name, variances)
        for up in levels[1:]:
            found.append(Trait(name, levels[0], up, (kinds.count(levels[0]), kinds.count(up)), between, source))
    return found


def within(conditions: Sequence[Mapping[str, Level]]) -> Cells | NotEstimable:
    """The cells that each base has of the other factors, all of them."""
    bases: dict[Level, list[dict[str, Level]]] = {}
    for condition in conditions:
        plain = {name: level for name, level in condition.items() if not name.startswith("model.")}
        bases.setdefault(condition["model.base"], []).append(plain)
    cells = make_cells([plain for own in bases.values() for plain in own])
    complete = all(len(own) == len(cells.design.levels) for own in bases.values())
    return cells if complete else NotEstimable(LOPSIDED)


def others_of(cells: Cells) -> list[tuple[str, ...]]:
    """The factors that a trait is crossed with: none, one or two of two levels."""
    two = [name for name in cells.factors if len(cells.levels[name]) == 2]
    return [names for k in (0, 1, 2) for names in combinations(two, k)]


def law_over_bases(
    cells: Cells,
    others: Sequence[str],
    counts: tuple[int, int],
    sampling: Sampling,
    components: Components,
    between: float = DEFAULT_BASE,
    confidence: float = CONFIDENCE,
) -> Law | NotEstimable:
    """The law of a difference between two kinds of bases, `counts` of each, in the mean over the cells of the other
    factors or in their contrast.

    `between` is the variance of a base's own number, whatever is asked of it: mean gain, effect or interaction.
    """
    weights = _weights(cells, others)
    if weights is None:
        return NotEstimable(cells.aliased(others))
    if min(sampling.items) < 2:
        return NotEstimable(ONE_ITEM)
    if min(counts) < 2 or sum(counts) < ENOUGH_BASES:
        return NotEstimable(f"{sum(counts)} bases: a statement about bases takes {ENOUGH_BASES}, two of each kind")
    seeds, noise = np.asarray(sampling.seeds, dtype=np.float64), components.noise(sampling.samples)
    share = float((weights**2 / seeds).sum())
    own = float((weights**2).sum()) * components.item_condition + share * noise
    own += float(weights.sum()) ** 2 * (components.item_base + noise)  # the base's own score, where it doesn't cancel
    of_base = Components(between + share * components.run, own, 0.0, 0.0, 0.0)
    sizes = np.asarray(sampling.items, dtype=np.int64)
    plan = Plan(np.array([-1.0, 1.0]), np.array(counts, dtype=np.float64), np.zeros(1), sizes, 1.0)
    return law_of_runs(plan, of_base, confidence)


def _weights(cells: Cells, others: Sequence[str]) -> Floats | None:
    if not others:
        return np.full(len(cells.design.levels), 1.0 / len(cells.design.levels))
    index = [cells.factors.index(name) for name in others]
    return contrast(cells.design, index, [1] * len(index), [0] * len(index))


def _between_bases(pilot: Asked, trait: str, found: Variances) -> tuple[float, Source]:
    """The variance of a base's mean gain among bases of one kind, less what its runs and items explain of it."""
    strata = pilot.paths[0].strata
    if strata is None or not pilot.shared_items or not all(path.has_base for path in pilot.paths):
        return DEFAULT_BASE, DEFAULT_SOURCE
    numbers: dict[Level, list[float]] = defaultdict(list)
    inner = []
    per_item = float((1.0 / strata.sizes).sum()) / len(strata.sizes) ** 2
    noise = found.values.noise(pilot.paths[0].samples if found.splits else 1.0)
    for base in sorted({path.base for path in pilot.paths if trait in path.condition}):
        own = [i for i, path in enumerate(pilot.paths) if path.base == base]
        gains = [float(pilot.paths[i].scores[-1] - pilot.paths[i].scores[0]) for i in own]
        cells, at = np.unique(pilot.cells.cell_of[own], return_inverse=True)
        counts = np.bincount(at)
        numbers[pilot.paths[own[0]].condition[trait]].append(float((np.bincount(at, weights=gains) / counts).mean()))
        share = float((1.0 / counts).sum()) / len(cells) ** 2
        items = found.values.item_condition / len(cells) + share * noise + found.values.item_base + noise
        inner.append(share * found.values.run + per_item * items)
    df = sum(len(kind) - 1 for kind in numbers.values())
    total = sum(float(np.var(kind)) * len(kind) for kind in numbers.values()) / df
    return max(0.0, total - float(np.mean(inner))), Source("pilot: between bases of a kind", df)


def trait_terms(
    conditions: Sequence[Mapping[str, Level]],
    traits: Sequence[Trait],
    sampling: Sampling,
    variances: Variances,
    question: Question,
    on: tuple[str, ...] | None = None,
) -> tuple[TermPower, ...]:
    """The terms of what the bases are, alone and with other factors of two levels; or the term of the factors `on`
    (sorted).
    """
    if not traits:
        return ()
    cells = within(conditions)
    crossed = [()] if isinstance(cells, NotEstimable) else others_of(cells)
    wanted = [(trait, others) for trait in traits for others in crossed]
    return tuple(
        _trait_term(trait, others, cells, sampling, variances, question)
        for trait, others in wanted
        if on is None or on == tuple(sorted((trait.name, *others)))
    )


def _trait_term(
    trait: Trait,
    others: tuple[str, ...],
    cells: Cells | NotEstimable,
    sampling: Sampling,
    variances: Variances,
    question: Question,
) -> TermPower:
    text = f"{level_text(trait.high)} - {level_text(trait.low)}"
    note = f"over {sum(trait.counts)} bases, of sd {100 * trait.between**0.5:.1f} points ({trait.source.text})"
    head = TermPower(tuple(sorted((trait.name, *others))), text, 1, "base", None, {}, notes=(note,))
    law: Law | NotEstimable = (
        cells
        if isinstance(cells, NotEstimable)
        else law_over_bases(cells, others, trait.counts, sampling, variances.values, trait.between, question.confidence)
    )
    if isinstance(law, NotEstimable):
        return replace(head, power=law, detects=law)
    return replace(head, **answers(law, question, float(2 ** (1 + len(others)))))
