"""The variance components of a group's scores: from a pilot by moments, or defaults that say so."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from triaxis.analyze.contrasts import Asked, base_of
from triaxis.stats.intervals import Floats
from triaxis.stats.paired import Strata
from triaxis.stats.power import Components

if TYPE_CHECKING:
    from triaxis.analyze.evidence import Evidence

UPPER = 0.8  # confidence of the bound that a pilot's run variance is planned with besides its estimate
_GENERATOR = "default: the fixed generator of docs/statistics.md"
_LAB = "default: the lab's quick demo has {}"
_LAB_RUNS = "default: the lab has 0 to 1.8 points in six of eight conditions, 6 and 15 in two"
DEFAULTS = Components(run=0.015**2, run_item=0.0175, sample=0.15, item_condition=0.04, item_base=0.06)
_SOURCES = {
    "run": _LAB_RUNS,
    "run_item": _GENERATOR,
    "sample": _GENERATOR,
    "item_condition": _LAB.format(".026 to .054"),
    "item_base": _LAB.format("0 to .10"),
}


@dataclass(frozen=True)
class Source:
    """Where a component's value comes from; `df` of its estimate, None for a default."""

    text: str
    df: int | None = None


@dataclass(frozen=True)
class Variances:
    """Components with their sources by name, and the run variance at its upper bound where a pilot gave it."""

    values: Components
    sources: dict[str, Source]
    run_upper: float | None = None  # upper 80 % bound
    splits: bool = True  # whether an item's luck and the luck of one response are known apart

    @property
    def at_upper(self) -> Components | None:
        return None if self.run_upper is None else replace(self.values, run=self.run_upper)


def default_variances() -> Variances:
    """What is taken without a pilot."""
    return Variances(DEFAULTS, {name: Source(text) for name, text in _SOURCES.items()})


def pilot_variances(evidence: Evidence, group: str) -> Variances:
    """The components of a group by moments from its runs at their last checkpoint; what they can't give is a default.

    Between runs: the variance of run means within conditions less its part that is run x item. Raises KeyError for a
    group that the evidence does not have.
    """
    found = default_variances()
    asked = evidence.asked[group]
    if len({path.tasks for path in asked.paths}) > 1:
        return _lacking(found, list(_SOURCES), "the pilot's runs share no task")
    if not asked.shared_items or asked.paths[0].strata is None or not asked.paths[0].strata.estimable:
        return _of_summaries(found, asked)
    scores = np.array([path.x[-1] for path in asked.paths if path.x is not None])
    cells = _Crossed(scores, asked.cells.cell_of, asked.paths[0].strata)
    found = _of_runs(found, cells)
    found = _of_responses(found, scores, asked)
    return _of_items(found, cells, asked)


def _lacking(found: Variances, names: Sequence[str], why: str) -> Variances:
    """With the reason why the pilot leaves these components at their defaults."""
    told = {name: Source(f"{found.sources[name].text}; {why}") for name in names}
    return replace(found, sources={**found.sources, **told})


def _less(total: float, sampling: float, df: int) -> tuple[float, float]:
    """A variance less its sampling part, and the same from the upper bound of the variance; rounding is 0."""
    bound = total * df / (2 * float(special.gammaincinv(df / 2, 1 - UPPER)))
    run, upper = (value if value > 1e-12 else 0.0 for value in (total - sampling, bound - sampling))
    return run, upper


class _Crossed:
    """Runs by items, the condition of each run, and sums of squares an item and between means."""

    def __init__(self, scores: Floats, cell_of: np.ndarray, strata: Strata) -> None:
        self.cell_of, self.strata, self.scores = cell_of, strata, scores
        self.counts = np.bincount(cell_of).astype(np.float64)
        self.cells = np.array([scores[cell_of == cell].mean(axis=0) for cell in range(len(self.counts))])
        self.df = len(scores) - len(self.counts)
        self.per_item = float((1.0 / strata.sizes).sum()) / len(strata.sizes) ** 2

    def spread(self, deviations: Floats) -> float:
        """Sum over rows of their variance over items (within tasks, which weigh equally)."""
        z = self.strata.scaled(deviations)
        return float((z * z).sum()) / self.per_item


def _of_runs(found: Variances, cells: _Crossed) -> Variances:
    if not cells.df:
        return _lacking(found, ("run", "run_item"), "the pilot has one seed a condition")
    within = cells.scores - cells.cells[cells.cell_of]
    noise = cells.spread(within) / cells.df
    total = float((cells.strata.mean(within) ** 2).sum()) / cells.df
    run, upper = _less(total, noise * cells.per_item, cells.df)
    text = "pilot: between runs of a condition, at the last checkpoint"
    if run == 0.0:
        text += "; not above what its items explain"
    sources = {**found.sources, "run": Source(text, cells.df), "run_item": Source("pilot", cells.df * cells.strata.df)}
    return replace(found, values=replace(found.values, run=run, run_item=noise), sources=sources, run_upper=upper)


def _of_responses(found: Variances, scores: Floats, asked: Asked) -> Variances:
    """Parts an item's luck in a run (so far all of it) from the luck of a response, which takes two of them an item."""
    samples = float(min(path.samples for path in asked.paths))
    own = found.sources["run_item"].df is not None
    counts = scores * samples
    if samples < 2 or np.abs(counts - np.round(counts)).max() > 1e-6:
        if not own:
            return _lacking(found, ("sample",), "the pilot has one response an item, or scores between 0 and 1")
        together = Source("in run x item: the pilot has one response an item, or scores between 0 and 1")
        sources = {**found.sources, "sample": together}
        return replace(found, values=replace(found.values, sample=0.0), sources=sources, splits=False)
    assert asked.paths[0].strata is not None
    weights = asked.paths[0].strata.weights
    sample = float((scores * (1 - scores) @ weights).mean()) * samples / (samples - 1)
    values = replace(found.values, sample=sample)
    if own:
        values = replace(values, run_item=max(0.0, values.run_item - sample / samples))
    n = Source("pilot: mean of p(1 - p)", int(scores.size * (samples - 1)))
    return replace(found, values=values, sources={**found.sources, "sample": n})


def _of_items(found: Variances, cells: _Crossed, asked: Asked) -> Variances:
    """Item x condition within bases, and item x base between them; the noise of single runs is taken out of both."""
    samples = float(min(path.samples for path in asked.paths))
    noise = found.values.noise(samples if found.splits else 1.0)
    bases = list(_bases(asked))
    df = sum(len(own) - 1 for own, _ in bases)
    values, sources = found.values, dict(found.sources)
    if not df:
        return _lacking(found, ("item_condition", "item_base"), "the pilot has one condition a base")
    spread = sum(cells.spread(cells.cells[own] - cells.cells[own].mean(axis=0)) for own, _ in bases) / df
    held = float(np.mean([(noise / cells.counts[own]).mean() for own, _ in bases if len(own) > 1]))
    values = replace(values, item_condition=max(0.0, spread - held))
    sources["item_condition"] = Source("pilot: between conditions of a base", df * cells.strata.df)
    found = replace(found, values=values, sources=sources)
    if len(bases) < 2 or not all(path.has_base for path in asked.paths):
        return _lacking(found, ("item_base",), "the pilot has one base, or lacks step 0")
    gains = np.array([cells.cells[own].mean(axis=0) - base for own, base in bases])
    between = cells.spread(gains - gains.mean(axis=0)) / (len(bases) - 1)
    inner = [(values.item_condition + noise / cells.counts[own]).sum() / len(own) ** 2 for own, _ in bases]
    values = replace(values, item_base=max(0.0, between - float(np.mean(inner)) - noise))
    sources["item_base"] = Source("pilot: between bases", (len(bases) - 1) * cells.strata.df)
    return replace(found, values=values, sources=sources)


def _bases(asked: Asked) -> Iterator[tuple[list[int], Floats]]:
    """For each base its cells, and its own scores item by item."""
    own: dict[tuple[object, ...], set[int]] = defaultdict(set)
    first: dict[tuple[object, ...], Floats] = {}
    for path, cell in zip(asked.paths, asked.cells.cell_of, strict=True):
        assert path.x is not None
        own[base_of(path)].add(int(cell))
        first.setdefault(base_of(path), path.x[0])
    for base, cells in own.items():
        yield sorted(cells), first[base]


def _of_summaries(found: Variances, asked: Asked) -> Variances:
    """A pilot without items in common gives the run variance alone, less the sampling error of its scores."""
    scores = np.array([float(path.scores[-1]) for path in asked.paths])
    cell_of = asked.cells.cell_of
    counts = np.bincount(cell_of)
    df = len(scores) - len(counts)
    why = "the pilot has no items that its runs share"
    found = _lacking(found, ("run_item", "sample", "item_condition", "item_base"), why)
    variances = np.array([float(path.variances[-1]) for path in asked.paths])
    if not df:
        return _lacking(found, ("run",), "the pilot has one seed a condition")
    if np.isnan(variances).any():
        return _lacking(found, ("run",), "the pilot lacks n_items, so its sampling error is not known")
    means = np.bincount(cell_of, weights=scores) / counts
    total = float(((scores - means[cell_of]) ** 2).sum()) / df
    run, upper = _less(total, float(variances.mean()), df)
    source = Source("pilot: between runs of a condition, less p(1 - p)/n_items", df)
    values = replace(found.values, run=run)
    return replace(found, values=values, sources={**found.sources, "run": source}, run_upper=upper)
