"""Margins: conditions averaged evenly over the factors that a question leaves open, and their contrasts as findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from triaxis.analyze.bases import ENOUGH_BASES
from triaxis.analyze.contrasts import ONE_TRUNK, Asked, extremes, fit_runs, interval_of, summaries
from triaxis.analyze.design import Cells, level_text
from triaxis.analyze.effects import ITEMS_LIKE_THESE, ONE_RUN, SCALES, THIS_POOL
from triaxis.stats.effects import Contrasts, Estimate
from triaxis.stats.intervals import Floats, t_p_value
from triaxis.types import Estimand, Finding, Interval, Level, NotEstimable, Scale

NOT_CROSSED = "not every combination of the factors was run, so that they can't be averaged evenly"
ESTIMAND_WORDS: Mapping[Estimand, str] = {"gain": "gain", "best": "best gain", "mean": "mean gain"}


def margin(cells: Cells, fixed: Mapping[str, Level]) -> Floats | None:
    """Weights over cells that average those at the `fixed` levels evenly over all combinations of the other factors.

    None where one of these combinations was not run.
    """
    levels = cells.design.levels
    at = np.ones(len(levels), dtype=bool)
    wanted = 1
    for i, name in enumerate(cells.factors):
        if name in fixed:
            at &= levels[:, i] == cells.levels[name].index(fixed[name])
        else:
            wanted *= len(cells.levels[name])
    return at / wanted if at.sum() == wanted else None


def margins(cells: Cells, name: str, within: Mapping[str, Level]) -> Floats | None:
    """The margin of each level of a factor: levels x cells; None where a combination that one needs was not run."""
    rows = [margin(cells, {**within, name: level}) for level in cells.levels[name]]
    found = [row for row in rows if row is not None]
    return np.array(found) if len(found) == len(rows) else None


def head(
    asked: Asked,
    question: str,
    quantity: str,
    factors: Sequence[str],
    contrast: str = "",
    within: Mapping[str, Level] | None = None,
) -> Finding:
    """A finding of a group's runs whose estimate is still to come; a statement on model factors speaks of these
    bases.
    """
    few = any(name.startswith("model.") for name in [*factors, *(within or {})])
    first = asked.paths[0]
    return Finding(
        question=question,
        quantity=quantity,
        estimate=NotEstimable(""),
        unit="points",
        group=first.group,
        factors=tuple(sorted(factors)),
        contrast=contrast,
        within=dict(within or {}),
        sampled="run (these bases)" if few else "run",
        n_units=len(asked.paths),
        n_runs=len(asked.paths),
        item_pool=ITEMS_LIKE_THESE if asked.shared_items else THIS_POOL,
        source=first.source,
        mode=first.mode,
    )


def refused(finding: Finding, reason: str) -> Finding:
    """The finding as not estimable."""
    return replace(finding, estimate=NotEstimable(reason))


def noted(finding: Finding, *notes: str) -> Finding:
    """The finding with more notes; empty ones and those it has are left out."""
    every = dict.fromkeys(note for note in [*finding.note.split("; "), *notes] if note)
    return replace(finding, note="; ".join(every))


@dataclass(frozen=True, eq=False)
class Fitted:
    """The runs of a group fitted to their conditions, on one estimand and scale."""

    asked: Asked
    estimand: Estimand
    scale: Scale
    fit: Contrasts | NotEstimable

    @classmethod
    def of(cls, asked: Asked, estimand: Estimand, scale: Scale) -> Fitted:
        return cls(asked, estimand, scale, fit_runs(asked, summaries(asked, estimand, scale), estimand, scale))

    def contrast(self, weights: Floats) -> tuple[Interval | NotEstimable, Estimate | None]:
        """Interval and estimate of a contrast of conditions."""
        if isinstance(self.fit, NotEstimable):
            return self.fit, None
        return interval_of(self.asked, self.fit, weights, self.estimand, self.scale)

    def told(self, head: Finding, weights: Floats, *, tested: bool = True, bounded: bool = True) -> Finding:
        """The finding with the contrast in it; `tested` with a p of its being 0, `bounded` where a ceiling may make
        it.
        """
        here = replace(head, unit=self.scale)
        interval, found = self.contrast(weights)
        if isinstance(interval, NotEstimable) or found is None or isinstance(self.fit, NotEstimable):
            return replace(here, estimate=interval)
        used = np.isin(self.asked.cells.cell_of, np.flatnonzero(weights))
        p = t_p_value(found.value, found.variance.value, found.variance.df)
        here = replace(
            here,
            estimate=interval,
            p=p if tested else None,
            n_units=int(used.sum()),
            n_runs=int(used.sum()),
            item_pool=ITEMS_LIKE_THESE if found.items else THIS_POOL,
            method=method(self.scale, found),
        )
        return noted(here, *self._notes(head, weights, self.fit, bounded))

    def _notes(self, head: Finding, weights: Floats, fit: Contrasts, bounded: bool) -> list[str]:
        low, high = extremes(self.asked, weights, self.estimand)
        notes = ["ceiling"] if bounded and self.scale == "points" and (low < 0.1 or high > 0.9) else []
        if fit.meets(weights):
            notes.append(ONE_TRUNK)
        if head.sampled != "run":
            bases = [f"{name} {level_text(level)}" for name, level in head.within.items() if name.startswith("model.")]
            of = ", ".join(bases) if bases else f"these {self.asked.n_bases} bases, not of bases like them"
            notes.append(f"speaks of {of}")
        elif self.asked.n_bases >= ENOUGH_BASES:
            notes.append(f"over these {self.asked.n_bases} bases: says nothing of other bases")
        if (fit.counts[weights != 0] == 1).any():
            notes.append(ONE_RUN)
            if self.estimand == "best":
                notes.append(f"one seed: holds the luck of the best of {len(self.asked.common_steps)} checkpoints")
        return notes


def method(scale: Scale, found: Estimate) -> str:
    """How a contrast of conditions was estimated, in words."""
    what = "run gains" if scale == "points" else "run logits (counts + 1/2)"
    items = "crossed with items" if found.items else "items fixed"
    return f"condition means of {what}, Welch, {items}, t with {found.variance.df:.1f} df"


def on_scales(
    fits: Sequence[Fitted], head: Finding, weights: Floats, *, tested: bool = True, bounded: bool = True
) -> list[Finding]:
    """The contrast on each scale; where scales disagree in sign or in clearing 0, all are marked `scale dependent`."""
    found = [each.told(head, weights, tested=tested, bounded=bounded) for each in fits]
    intervals = [finding.estimate for finding in found if isinstance(finding.estimate, Interval)]
    if not tested or len(intervals) < len(found):
        return found
    signs = [(interval.low > 0) - (interval.high < 0) for interval in intervals]
    return found if len(set(signs)) == 1 else [noted(finding, "scale dependent") for finding in found]


def fits(asked: Asked, estimand: Estimand) -> list[Fitted]:
    """Both scales."""
    return [Fitted.of(asked, estimand, scale) for scale in SCALES]


def no_fit(fitted: Sequence[Fitted], head: Finding) -> list[Finding]:
    """Where nothing can be estimated on any scale: one finding a scale in place of one a contrast; else none."""
    reasons = [each.fit for each in fitted]
    if not all(isinstance(reason, NotEstimable) for reason in reasons):
        return []
    return [
        replace(head, unit=each.scale, estimate=reason)
        for each, reason in zip(fitted, reasons, strict=True)
        if isinstance(reason, NotEstimable)
    ]
