"""What was planted in a simulated study: expected scores, and the quantities that follow from them and the settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from triaxis.simulate import averages
from triaxis.simulate.expected import Condition, course, home, latent, measured, sum_of, with_gain
from triaxis.simulate.keys import CAPABILITY, is_log, need, parse
from triaxis.simulate.measures import CUT_OFF, DEFAULT_TOKENS, OF_RUNS, Measure
from triaxis.simulate.planted import Peak, Saturation, Threshold
from triaxis.simulate.settings import BASE, Settings
from triaxis.stats.intervals import Floats
from triaxis.types import Estimand, Level, Scale, TriaxisError

Levels = Mapping[str, Level]
EVERYWHERE: Levels = {}
BEYOND, FINE = 2.0, 4000  # how far past the last step, and at how many places, a crossing is looked for


@dataclass(frozen=True)
class TrueDip:
    """Where the expected score is lowest after the base, and by how much; `regained` is the share of the fall by which
    the last checkpoint is above it (over 1: above the base).
    """

    step: int
    depth: float  # points
    regained: float


@dataclass(frozen=True)
class Truth:
    """The truth of a study; expectations are over items, seeds and samples, for bases without luck (`noise.base`).

    A `condition` gives the level of every factor. What is averaged over conditions takes the full grid of levels with
    equal weights (a range evenly, in its logarithm where it spans ten-fold), or its part with the levels `within`.
    """

    settings: Settings

    # Scores

    def scores(self, condition: Levels, group: str, task: str = "", steps: Sequence[float] | None = None) -> Floats:
        """Expected score at each step (steps,): mean over the group's tasks, variants included, or of one task."""
        at = self._steps(steps)
        kinds = self._kinds(group, task)
        each = [self._expected(latent(self.settings, condition, of, at, variant), at) for of, variant in kinds]
        return np.asarray(np.average(each, axis=0, weights=list(kinds.values())), dtype=np.float64)

    def _kinds(self, group: str, task: str = "") -> dict[tuple[str, str], int]:
        """Tasks of a group by what makes their expectation, how many of each: whose gain they have, which variant."""
        s = self.settings
        tasks = s.group_tasks().get(group, ())
        need(bool(tasks), "group", f"{group!r} has no task; groups are {', '.join(s.groups)}")
        need(task in ("", *tasks), "task", f"{task!r} is no task of {group}; tasks are {', '.join(tasks)}")
        kinds: dict[tuple[str, str], int] = {}
        for name in (task,) if task else tasks:
            kind = (home(s, name), name if name in s.variants else "")
            kinds[kind] = kinds.get(kind, 0) + 1
        return kinds

    def _steps(self, steps: Sequence[float] | None) -> Floats:
        return self.settings.step_axis() if steps is None else np.asarray(steps, dtype=np.float64)

    def _expected(self, logit: Floats, steps: Floats) -> Floats:
        power = self.settings.answer_tokens
        return averages.expectation(lambda x: (1 / (1 + np.exp(-x))) ** power, logit, self._sd(steps))

    def _sd(self, steps: Floats) -> Floats:
        """Standard deviation of a record's logit around the expected one; seeds add to it once they train."""
        n = self.settings.noise
        seeds = n.run**2 + n.checkpoint**2 + n.item_condition**2
        return np.asarray(np.sqrt(n.item**2 + n.item_checkpoint**2 + np.where(steps > 0, seeds, 0.0)))

    def summary(self, condition: Levels, group: str, estimand: Estimand, scale: Scale, task: str = "") -> float:
        """Expected gain, in points or logits of the expected score."""
        level = averages.on(scale, self.scores(condition, group, task))
        after = {"gain": level[-1], "best": level[1:].max(), "mean": level[1:].mean()}[estimand]
        return float(after - level[0])

    def log_probability(self, condition: Levels, group: str) -> Floats:
        """Expected log-probability of the right answer at each step, nats (steps,)."""
        s = self.settings
        need(s.log_probability_sd is not None, "log_probability_sd", "not set, so it is not measured")
        at = s.step_axis()
        sd = np.asarray(np.sqrt(self._sd(at) ** 2 + (s.log_probability_sd or 0.0) ** 2))
        return averages.expectation(
            lambda x: -s.answer_tokens * np.logaddexp(0, -x), latent(s, condition, group, at), sd
        )

    # Effects

    def effect(
        self,
        factors: Sequence[str],
        group: str,
        estimand: Estimand = "gain",
        scale: Scale = "points",
        task: str = "",
        within: Levels = EVERYWHERE,
    ) -> float:
        """True main effect or interaction: last level minus first of each factor, averaged over the levels of the
        others.
        """
        return averages.contrast(
            self.settings, factors, lambda c: self.summary(c, group, estimand, scale, task), within
        )

    def slope(
        self,
        of: str,
        group: str,
        factors: Sequence[str] = (),
        estimand: Estimand = "gain",
        scale: Scale = "points",
    ) -> float:
        """Least squares slope, over the bases of the study, of their gain (or of the effect of `factors` in each) on
        `capability` or on a numeric trait (in its logarithm where it spans ten-fold).
        """
        s = self.settings
        bases = s.base_names()
        x = np.array([s.capabilities[b] if of == CAPABILITY else s.x(of, s.level(of, {BASE: b})) for b in bases])
        need(float(np.ptp(x)) > 0, "slope", f"the bases do not differ in {of}")
        y = np.array([self.effect(factors, group, estimand, scale, within={BASE: base}) for base in bases])
        away = x - x.mean()
        return float(away @ y / (away @ away))

    # Optima, saturation, thresholds

    def peak(self, factor: str, group: str, within: Levels = EVERYWHERE, step: float | None = None) -> float:
        """The level at the optimum that was planted, averaged in x; at a step, else at the last one."""
        found = self._planted("peaks", factor, group)
        assert isinstance(found, Peak)
        later = 0.0 if step is None else float(np.log2(step / self.settings.steps[-1]))
        return self._level(factor, found.at, self._moved(found, group, within) + later * found.moved_by_steps)

    def peak_shift(self, factor: str, by: Sequence[str], group: str, within: Levels = EVERYWHERE) -> float:
        """How far the optimum moves in x between the first and the last level of `by` (e-folds where x is a
        logarithm).
        """
        moved_by = self._planted("peaks", factor, group).moved_by
        return averages.contrast(self.settings, by, lambda c: sum_of(self.settings, moved_by, c, group), within)

    def threshold(self, factor: str, group: str, within: Levels = EVERYWHERE) -> float:
        """The level at the middle of a planted threshold."""
        found = self._planted("thresholds", factor, group)
        assert isinstance(found, Threshold)
        return self._level(factor, found.at, self._moved(found, group, within))

    def saturated_at(self, factor: str, group: str, share: float = 0.9, within: Levels = EVERYWHERE) -> float:
        """The size at which this share of a saturation's asymptotic gain in logits is there."""
        found = self._planted("saturations", factor, group)
        assert isinstance(found, Saturation)
        return float(found.size_at(share) * 2.0 ** self._moved(found, group, within))

    def per_doubling(
        self,
        factor: str,
        group: str,
        between: tuple[float, float],
        estimand: Estimand = "gain",
        scale: Scale = "points",
        within: Levels = EVERYWHERE,
    ) -> float:
        """Gain for each doubling of a number, between two of its levels; they need not be the study's."""
        low, high = between
        ends = [
            averages.average(
                self.settings, lambda c: self.summary(c, group, estimand, scale), {**within, factor: level}
            )
            for level in (low, high)
        ]
        return float((ends[1] - ends[0]) / np.log2(high / low))

    def _planted(self, kind: str, factor: str, group: str) -> Peak | Saturation | Threshold:
        planted: Mapping[str, Peak | Saturation | Threshold] = getattr(self.settings, kind)
        for key, value in planted.items():
            parsed = parse(key)
            if parsed.terms[0][0] == factor and parsed.group in ("", group):
                return value
        raise TriaxisError(f"simulate, {kind}: none of {factor} was planted in group {group!r}")

    def _moved(self, planted: Peak | Saturation | Threshold, group: str, within: Levels) -> float:
        return averages.average(self.settings, lambda c: sum_of(self.settings, planted.moved_by, c, group), within)

    def _level(self, factor: str, at: float, moved: float) -> float:
        return float(at * np.exp(moved)) if is_log(self.settings.known[factor]) else at + moved

    # The course of training

    @property
    def dips(self) -> bool:
        s = self.settings
        return any(s.course_of(group).dip > 0 for group in s.groups) or bool(s.course_effects.get("dip"))

    def dip(self, condition: Levels, group: str) -> TrueDip | None:
        """The dip of the expected score at the study's checkpoints; None where it never falls below the base."""
        scores = self.scores(condition, group)
        at = int(scores[1:].argmin()) + 1
        depth = float(scores[0] - scores[at])
        if depth <= 0:
            return None
        return TrueDip(self.settings.steps[at], depth, float((scores[-1] - scores[at]) / depth))

    def best_step(self, condition: Levels, group: str, steps: Sequence[float] | None = None) -> float:
        """The trained step with the highest expected score: of the study's, or of those given."""
        trained = self._steps(steps)[0 if steps is not None else 1 :]
        return float(trained[int(self.scores(condition, group, steps=trained.tolist()).argmax())])

    def next_doubling(self, condition: Levels, group: str, scale: Scale = "points") -> float:
        """What twice the steps would add to the last checkpoint's expected score."""
        last = self.settings.steps[-1]
        return float(np.diff(averages.on(scale, self.scores(condition, group, steps=(last, 2 * last))))[0])

    def truncated(self, condition: Levels, group: str, steps: Sequence[float] | None = None) -> Floats:
        """Expected share of responses that are cut off at each step (steps,)."""
        s, at, kinds = self.settings, self._steps(steps), self._kinds(group)
        each = [
            np.minimum(course(s, condition, of, at).lost, 1.0)
            * (1 - self._expected(latent(s, condition, of, at, variant), at))
            for of, variant in kinds
        ]
        return np.asarray(s.truncation * np.average(each, axis=0, weights=list(kinds.values())), dtype=np.float64)

    # Surface variants

    def reliance(
        self,
        variant: str,
        factors: Sequence[str] = (),
        estimand: Estimand = "gain",
        scale: Scale = "points",
        within: Levels = EVERYWHERE,
    ) -> float:
        """How much less is gained on a variant than on its task, averaged; or the effect of factors on that."""
        s = self.settings
        need(variant in s.variants, "variant", f"{variant!r} is none; variants are {', '.join(s.variants) or 'none'}")
        planted = s.variants[variant]
        of = home(s, planted.of)

        def gap(condition: Condition) -> float:
            whole = self.summary(condition, of, estimand, scale, planted.of)
            return whole - self.summary(condition, planted.group or of, estimand, scale, variant)

        return averages.contrast(s, factors, gap, within) if factors else averages.average(s, gap, within)

    # Measures

    def measure(self, name: str, condition: Levels, group: str = "", steps: Sequence[float] | None = None) -> Floats:
        """Expected value of a measured column at each step, in its own unit (steps,)."""
        s = self.settings
        at, found = self._steps(steps), self._measure(name)
        slope = sum(found.with_gain.values())
        luck = found.run_sd**2 + found.checkpoint_sd**2 + slope**2 * (s.noise.run**2 + s.noise.checkpoint**2)
        sd = np.sqrt(np.where(at > 0, luck, 0.0))
        value = averages.expectation(found.in_unit, self._on_scale(found, name, condition, group, at), sd)
        if name == "response_tokens" and s.truncation:
            value = value + CUT_OFF * self.truncated(condition, group, steps)
        return value

    def measure_effect(
        self,
        name: str,
        factors: Sequence[str],
        group: str = "",
        step: float | None = None,
        scale: Literal["unit", "own"] = "unit",
        within: Levels = EVERYWHERE,
    ) -> float:
        """Effect of factors on a measured column at a step (the last one), in its unit or on its own scale."""
        s = self.settings
        at = [float(s.steps[-1] if step is None else step)]

        def value(condition: Condition) -> float:
            if scale == "own":
                return float(self._on_scale(self._measure(name), name, condition, group, np.array(at))[0])
            return float(self.measure(name, condition, group, at)[0])

        return averages.contrast(s, factors, value, within)

    def reaches(self, name: str, value: float, condition: Levels, group: str = "") -> float | None:
        """The step at which the expected measure first crosses a value; None where twice the steps don't do it."""
        clock = self.settings.clock
        u = np.linspace(0, float(clock.u(BEYOND * clock.last)), FINE)
        steps = [clock.step(at) for at in u]
        above = self.measure(name, condition, group, steps) >= value
        crossed = np.flatnonzero(above != above[0])
        return steps[int(crossed[0])] if len(crossed) else None

    def _measure(self, name: str) -> Measure:
        found = {"response_tokens": DEFAULT_TOKENS, **self.settings.measures}
        need(name in found, "measure", f"{name!r} is not measured here; measured are {', '.join(found)}")
        return found[name]

    def _on_scale(self, measure: Measure, name: str, condition: Levels, group: str, at: Floats) -> Floats:
        """Median of a measure on its scale at these steps."""
        s = self.settings
        return measured(s, measure, condition, "" if name in OF_RUNS else group, at) + with_gain(
            s, measure, condition, at
        )
