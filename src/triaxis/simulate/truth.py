"""What was planted in a simulated study: expected scores, and the effects that follow from them on either scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from triaxis.simulate.settings import Settings
from triaxis.stats.intervals import Floats
from triaxis.types import Estimand, Level, Scale

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(41)


@dataclass(frozen=True)
class Truth:
    """The truth of a study; expectations are over items, seeds and samples."""

    settings: Settings

    def scores(self, condition: Mapping[str, Level], group: str) -> Floats:
        """Expected score at each step (steps,)."""
        s = self.settings
        share, lost = s.course_at()
        base = s.base_logit + s.bases.get(str(condition.get("model.base", s.base_names()[0])), 0.0)
        logit = base + share * s.full_gain(condition, group) - lost
        n = s.noise
        items = n.item**2 + n.item_checkpoint**2
        seeds = np.r_[0.0, np.full(len(s.steps) - 1, n.run**2 + n.checkpoint**2 + n.item_condition**2)]
        return np.array([_expected(at, (items + extra) ** 0.5) for at, extra in zip(logit, seeds, strict=True)])

    def summary(self, condition: Mapping[str, Level], group: str, estimand: Estimand, scale: Scale) -> float:
        """Expected gain, in points or logits of the expected score."""
        scores = self.scores(condition, group)
        level = scores if scale == "points" else np.log(scores / (1 - scores))
        after = {"gain": level[-1], "best": level[1:].max(), "mean": level[1:].mean()}[estimand]
        return float(after - level[0])

    def effect(self, factors: Sequence[str], group: str, estimand: Estimand = "gain", scale: Scale = "points") -> float:
        """True main effect or interaction: last level minus first of each factor, averaged over the levels of the
        others.
        """
        s = self.settings
        others = [name for name in s.factors if name not in factors]
        total = 0.0
        cells = list(product(*(s.factors[name] for name in others)))
        for rest in cells:
            for ends in product((0, -1), repeat=len(factors)):
                levels = {name: sorted(s.factors[name])[end] for name, end in zip(factors, ends, strict=True)}
                sign = float(np.prod([1 if end else -1 for end in ends]))
                total += sign * self.summary({**dict(zip(others, rest, strict=True)), **levels}, group, estimand, scale)
        return total / len(cells)

    @property
    def dips(self) -> bool:
        return self.settings.course.startswith("dip")


def _expected(logit: float, sd: float) -> float:
    """E[sigmoid(logit + sd·z)] by Gauss-Hermite quadrature."""
    return float(_WEIGHTS @ (1 / (1 + np.exp(-(logit + sd * _NODES)))) / _WEIGHTS.sum())
