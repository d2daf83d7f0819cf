"""Which predicts what a base gains: how capable it was before, or how large it is; the base is the unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from triaxis.analyze.capability import Beside, Capability, base_measures, base_sizes, beside
from triaxis.analyze.contrasts import summaries
from triaxis.analyze.evidence import Evidence
from triaxis.analyze.matched import OfBases, enough_bases, evenly, of_bases, regressed, slopes
from triaxis.stats.correlation import stronger_correlation
from triaxis.types import Finding, Interval, NotEstimable

QUESTION = "capability"
ZOU = "difference of two dependent correlations, Zou 2007, over bases"
TEN_POINTS = 0.1


def findings(evidence: Evidence) -> list[Finding]:
    """For each group: gain on capability, on size, which of the two goes with it more strongly, and each given the
    other. Nothing where the table has one base.
    """
    found: list[Finding] = []
    for group, asked in evidence.asked.items():
        if asked.n_bases < 2:
            continue
        head = Finding(
            QUESTION, "gain on base capability", NotEstimable(""), "points", group=group, sampled="base",
            n_units=asked.n_bases, n_runs=len(asked.paths), source=evidence.source, mode=asked.paths[0].mode,
        )  # fmt: skip
        few = enough_bases(asked.n_bases, "what predicts the gain")
        pair = few or _gains_beside(evidence, [group])
        found += [replace(head, estimate=pair)] if isinstance(pair, NotEstimable) else _of_group(evidence, head, *pair)
    return found


def capability_against_size(evidence: Evidence, groups: Sequence[str]) -> Interval | NotEstimable:
    """How much more strongly the gain goes with the bases' capability than with log size: |r| - |r|, over bases."""
    pair = _gains_beside(evidence, groups)
    if isinstance(pair, NotEstimable):
        return pair
    together, gains = pair
    sizes = base_sizes(together.asked.paths)
    if isinstance(sizes, NotEstimable):
        return sizes
    return enough_bases(len(gains.bases), "what predicts the gain") or _rivals(gains, together.capability.of, sizes[1])


def _gains_beside(evidence: Evidence, groups: Sequence[str]) -> tuple[Beside, OfBases] | NotEstimable:
    """The runs with their bases' capability, and each base's mean gain, on other items."""
    together = beside(evidence, groups)
    if isinstance(together, NotEstimable):
        return together
    of_runs = summaries(together.asked, "gain", "points")
    if isinstance(of_runs, NotEstimable):
        return of_runs
    gains = of_bases(together.asked, of_runs, evenly)
    return gains if isinstance(gains, NotEstimable) else (together, gains)


def _rivals(gains: OfBases, one: Mapping[str, float], other: Mapping[str, float]) -> Interval | NotEstimable:
    columns = [np.array([of[name] for name in gains.names]) for of in (one, other)]
    try:
        return stronger_correlation(gains.outcomes.values, *columns)
    except ValueError as error:
        return NotEstimable(str(error))


def _of_group(evidence: Evidence, head: Finding, together: Beside, gains: OfBases) -> list[Finding]:
    sizes = base_sizes(together.asked.paths)
    found = []
    if not isinstance(sizes, NotEstimable):
        found += _slopes(head, gains, {f"gain per doubling of {sizes[0]}": (sizes[1], 1.0)}, (sizes[0],), "")
    measured = [together.capability, *(base_measures(evidence, together.asked.paths))]
    for capability in measured:
        found += _of_capability(head, gains, capability, sizes, together)
    return found


def _of_capability(
    head: Finding,
    gains: OfBases,
    capability: Capability,
    sizes: tuple[str, Mapping[str, float]] | NotEstimable,
    together: Beside,
) -> list[Finding]:
    """The slope on one measure of capability, alone and beside size, and the comparison with size."""
    accuracy = capability is together.capability
    per = f"gain per 10 points of {capability.name}" if accuracy else f"gain per nat of {capability.name}"
    unit = (capability.of, TEN_POINTS if accuracy else 1.0)
    note = _how_sure(capability, together.split and accuracy)
    found = _slopes(head, gains, {per: unit}, ("model.base",), note)
    against = replace(
        head,
        quantity=f"|r| of gain with {capability.name}, minus |r| with size",
        unit="correlation",
        method=ZOU,
        note=note,
    )
    if isinstance(sizes, NotEstimable):
        return [*found, replace(against, estimate=sizes)]
    column, log_size = sizes
    both = {
        f"{per}, at equal {column}": unit,
        f"gain per doubling of {column}, at equal {capability.name}": (log_size, 1.0),
    }
    found.append(replace(against, estimate=_rivals(gains, capability.of, log_size), factors=("model.base", column)))
    return [*found, *_slopes(head, gains, both, ("model.base", column), note)]


def _slopes(
    head: Finding,
    gains: OfBases,
    covariates: Mapping[str, tuple[Mapping[str, float], float]],
    factors: tuple[str, ...],
    note: str,
) -> list[Finding]:
    """One finding a covariate, all of them in one regression; each with what one unit of it is worth."""
    columns = np.array([[of[name] / worth for name in gains.names] for of, worth in covariates.values()]).T
    found = slopes(columns, gains)
    heads = [replace(head, quantity=quantity, factors=factors, note=note) for quantity in covariates]
    if isinstance(found, NotEstimable):
        return [replace(finding, estimate=found) for finding in heads]
    return [regressed(finding, slope, gains) for finding, slope in zip(heads, found, strict=True)]


def _how_sure(capability: Capability, split: bool) -> str:
    """What the measure of capability is worth."""
    notes = ["gain and capability on disjoint halves of the items"] if split else []
    if capability.reliability is not None:
        told = f"capability has reliability {capability.reliability:.2f}"
        notes.append(f"{told}: not corrected, so its slope and correlation are that much nearer 0")
    return "; ".join(notes)
