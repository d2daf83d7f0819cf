"""What wrong traces cost, per tenth of the examples, in each base, and whether capable bases lose less."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from triaxis.analyze.capability import beside
from triaxis.analyze.contrasts import Asked, fit_runs, summaries
from triaxis.analyze.design import Cells, level_text, sorted_levels
from triaxis.analyze.evidence import Evidence
from triaxis.analyze.matched import answered, enough_bases, matched, of_bases, regressed, slopes
from triaxis.analyze.order import by_capability
from triaxis.stats.intervals import Floats
from triaxis.types import Finding, Level, NotEstimable, Scale

NOISE, BASE = "data.noise_rate", "model.base"
STEP = 0.1  # of noise, that the slope is taken over
COST = "change in gain per 0.1 of noise"


def findings(evidence: Evidence) -> list[Finding]:
    """For each group: the slope on noise, in each base and overall, and how it changes with the bases' capability."""
    found: list[Finding] = []
    for group, asked in evidence.asked.items():
        if NOISE not in asked.cells.factors and NOISE not in asked.cells.described:
            continue
        head = Finding(
            "noise", COST, NotEstimable(""), "points", group=group, factors=(NOISE,), n_runs=len(asked.paths),
            source=evidence.source, mode=asked.paths[0].mode,
        )  # fmt: skip
        fit = fit_runs(asked, summaries(asked, "gain", "points"), "gain", "points")
        found.append(answered(asked, fit, noise_slope(asked.cells), head, "points"))
        if BASE not in asked.cells.factors:
            continue
        for base in asked.cells.levels[BASE]:
            within = {BASE: base}
            weights = noise_slope(asked.cells, within)
            found.append(answered(asked, fit, weights, replace(head, within=within), "points"))
        found += _stronger_less(evidence, asked, head)
        found.append(_on_capability(evidence, group, replace(head, factors=(NOISE, BASE))))
    return found


def noise_slope(cells: Cells, within: Mapping[str, Level] | None = None) -> Floats | NotEstimable:
    """Weights over cells: the least-squares slope of gain on the noise rate, per 0.1, other factors matched."""
    levels = cells.levels.get(NOISE, ())
    if any(isinstance(level, str) for level in levels):
        return NotEstimable(f"the levels of {NOISE} are not numbers")
    found = matched(cells, NOISE, levels, within)
    if isinstance(found, NotEstimable):
        return found
    rates = np.array([float(level) for level in levels])
    about = rates - rates.mean()
    sizes = STEP * about / float(about @ about)
    return found.contrast({level: float(size) for level, size in zip(levels, sizes, strict=True)})


def _stronger_less(evidence: Evidence, asked: Asked, head: Finding) -> list[Finding]:
    """The slope in the strongest base minus that in the weakest, on both scales; it speaks of these bases."""
    bases = sorted_levels(asked.cells.levels[BASE])
    ordered = by_capability(evidence.panel, evidence.source, asked.paths[0].mode, bases)
    head = replace(head, quantity=f"{COST}, stronger base minus weaker", factors=(NOISE, BASE))
    if isinstance(ordered, NotEstimable):
        return [replace(head, estimate=ordered)]
    (weak, *_, strong), told = ordered
    head = replace(head, contrast=f"{level_text(strong)} - {level_text(weak)}", note=told)
    upper, lower = (noise_slope(asked.cells, {BASE: base}) for base in (strong, weak))
    weights = upper if isinstance(upper, NotEstimable) else lower if isinstance(lower, NotEstimable) else upper - lower
    scales: tuple[Scale, ...] = ("points", "logit")
    fits = {scale: fit_runs(asked, summaries(asked, "gain", scale), "gain", scale) for scale in scales}
    return [answered(asked, fits[scale], weights, replace(head, unit=scale), scale) for scale in scales]


def _on_capability(evidence: Evidence, group: str, head: Finding) -> Finding:
    """How the slope on noise changes with 10 points of the base's capability, over bases."""
    n = evidence.asked[group].n_bases
    head = replace(head, quantity=f"{COST}, on 10 points of base capability", sampled="base", n_units=n)
    together = enough_bases(n, "how the cost of noise changes with capability") or beside(evidence, [group])
    if isinstance(together, NotEstimable):
        return replace(head, estimate=together)
    of_runs = summaries(together.asked, "gain", "points")
    of = of_runs if isinstance(of_runs, NotEstimable) else of_bases(together.asked, of_runs, noise_slope)
    if isinstance(of, NotEstimable):
        return replace(head, estimate=of)
    capability = together.capability
    found = slopes(np.array([[10 * capability.of[name]] for name in of.names]), of)
    head = replace(head, note=capability.name)
    return replace(head, estimate=found) if isinstance(found, NotEstimable) else regressed(head, found[0], of)
