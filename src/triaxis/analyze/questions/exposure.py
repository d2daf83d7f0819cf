"""Exposure against coverage: at equal steps, fewer examples repeated more often against more examples seen less."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from triaxis.analyze.contrasts import Asked, fit_runs, summaries
from triaxis.analyze.design import Cells, level_text
from triaxis.analyze.evidence import Evidence
from triaxis.analyze.matched import answered
from triaxis.analyze.questions.saturation import sizes_of
from triaxis.stats.intervals import Floats
from triaxis.types import Finding, Level, NotEstimable

EXAMPLES = "data.examples"
SETS_THE_LENGTH = ("optimization.epochs", "optimization.steps")  # what matters of them is the number of steps
ONCE = 1.05  # passes over the data, up to which examples are seen once


@dataclass(frozen=True, eq=False)
class Exposure:
    """Weights over cells: the smallest set minus the largest, at equal steps, and what they stand for."""

    weights: Floats
    pairs: tuple[tuple[Level, Level], ...]  # (fewer, more) in each combination of the other factors and steps


def findings(evidence: Evidence) -> list[Finding]:
    """For each group the gain from repeating fewer examples rather than seeing more; nothing where one size is used."""
    found = []
    for group, asked in evidence.asked.items():
        if EXAMPLES not in asked.cells.factors and EXAMPLES not in asked.cells.described:
            continue
        head = Finding(
            "exposure", "gain from fewer examples repeated more, at equal steps", NotEstimable(""), "points",
            group=group, factors=(EXAMPLES,), n_runs=len(asked.paths), source=evidence.source, mode=asked.paths[0].mode,
        )  # fmt: skip
        exposure = exposure_weights(asked)
        if isinstance(exposure, NotEstimable):
            found.append(replace(head, estimate=exposure))
            continue
        alike = len(set(exposure.pairs)) == 1
        contrast = " - ".join(level_text(level) for level in exposure.pairs[0]) if alike else "smallest - largest set"
        head = replace(head, contrast=contrast, note=_passes(asked, exposure.weights))
        fit = fit_runs(asked, summaries(asked, "gain", "points"), "gain", "points")
        found.append(answered(asked, fit, exposure.weights, head, "points"))
    return found


def exposure_weights(asked: Asked) -> Exposure | NotEstimable:
    """Cells that share all other factors, batch size among them, and the last step; combinations weigh equally.

    Epochs are no factor to share: at equal steps they are what differs.
    """
    cells = asked.cells
    sizes = sizes_of(cells, EXAMPLES)
    if isinstance(sizes, NotEstimable):
        return sizes
    lengths = _last_steps(asked)
    place = cells.factors.index(EXAMPLES)
    rest = [i for i, name in enumerate(cells.factors) if i != place and name not in SETS_THE_LENGTH]
    alike: dict[tuple[object, ...], dict[Level, int]] = {}
    for cell, codes in enumerate(cells.design.levels):
        if lengths[cell] is not None:
            alike.setdefault((*codes[rest], lengths[cell]), {})[sizes[codes[place]]] = cell
    whole = [own for own in alike.values() if len(own) > 1]
    if not whole:
        return NotEstimable(_why_not(cells, lengths))
    weights = np.zeros(len(cells.design.levels))
    for own in whole:
        weights[own[min(own)]] += 1 / len(whole)
        weights[own[max(own)]] -= 1 / len(whole)
    return Exposure(weights, tuple((min(own), max(own)) for own in whole))


def _last_steps(asked: Asked) -> list[int | None]:
    """The last step of each cell's runs; None where they differ."""
    ends: dict[int, set[int]] = {}
    for path, cell in zip(asked.paths, asked.cells.cell_of, strict=True):
        ends.setdefault(int(cell), set()).add(path.steps[-1])
    return [next(iter(ends[cell])) if len(ends[cell]) == 1 else None for cell in range(len(ends))]


def _why_not(cells: Cells, lengths: list[int | None]) -> str:
    if len({length for length in lengths if length is not None}) > 1:
        return "larger and smaller sets were never trained for the same steps: repetition can't be told from length"
    return f"{EXAMPLES}: no two sizes share all other factors and the last step"


def _passes(asked: Asked, weights: Floats) -> str:
    """How often the examples of either side were seen, where the table says so."""
    counts = np.bincount(asked.cells.cell_of)
    share = (weights / counts)[asked.cells.cell_of]
    epochs = np.array([_epochs(asked, i) for i in range(len(asked.paths))])
    if np.isnan(epochs[share != 0]).any():
        return "the table doesn't say how often examples were seen (epoch)"
    sides = (share.clip(min=0), -share.clip(max=0))
    few, many = (float((side * np.nan_to_num(epochs)).sum() / side.sum()) for side in sides)
    told = f"{few:.3g} passes over the smaller set against {many:.3g} over the larger"
    return told if many <= ONCE else f"{told}, which is repeated too"


def _epochs(asked: Asked, run: int) -> float:
    path = asked.paths[run]
    measured = float(path.measures["epoch"][-1])
    said = path.condition.get("optimization.epochs")
    return float(said) if np.isnan(measured) and isinstance(said, int | float) else measured
