"""What a simulated study is made of: factors and their effects, the course of training, and every variance of a real
one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from triaxis.simulate.courses import NUMBERS, Clock, Course
from triaxis.simulate.keys import Effects, check_keys, check_name, code, is_log, is_number, need, need_finite, parse
from triaxis.simulate.measures import MEASURES, OF_GROUPS, SHARES, Measure
from triaxis.simulate.planted import Capability, Noise, Peak, Saturation, Threshold, Variant
from triaxis.stats.intervals import Floats
from triaxis.types import GROUPS, Level

DESIGNS = ("factorial", "sobol", "random", "listed")
BASE = "model.base"


@dataclass(frozen=True)
class Settings:
    """A study. Effects are at full course, in logits of the score: second level minus first, or differences of such
    differences.

    A key of `effects` names factors, joined by " x "; `group: ` before it confines it to a group. A factor counts from
    -1/2 at its first level to +1/2 at its last, equally spaced in sorted order; `factor=level` counts 1 at that level
    and 0 elsewhere, so that `a=1 x b=2` is one cell; `capability` counts in its own unit. Columns in `traits` describe
    the bases and stand in keys as factors do. `peaks`, `saturations` and `thresholds` have keys of one name.
    """

    factors: Mapping[str, tuple[Level, ...]] = field(default_factory=dict)
    seeds: int = 3
    steps: tuple[int, ...] = (0, 10, 20, 40, 80, 160, 320)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"in_domain": ("chain",)})
    items: int = 100  # a task
    samples: int = 1
    base_logit: float = -0.5
    bases: Mapping[str, float] = field(default_factory=lambda: {"base": 0.0})  # base -> logits above base_logit
    traits: Mapping[str, Mapping[str, Level]] = field(default_factory=dict)  # column of the model axis -> base -> level
    gain: float | Mapping[str, float] = 1.0  # logits at full course, all groups or each
    effects: Effects = field(default_factory=dict)
    course: str | Course | Mapping[str, str | Course] = "rise"  # of all groups or each; courses.NAMES, or in numbers
    dip: float = 1.0  # depth in logits, for the named courses that dip
    late: float = 0.8  # logits lost at the end, for the named courses that overfit
    truncation: float = 0.0  # share of the dip's lost responses that are cut off rather than wrong
    noise: Noise = field(default_factory=Noise)
    missing_runs: float = 0.0  # share of runs that are not there
    seed: int = 0
    course_effects: Mapping[str, Effects] = field(default_factory=dict)  # number of a Course -> effects on it
    peaks: Mapping[str, Peak] = field(default_factory=dict)
    saturations: Mapping[str, Saturation] = field(default_factory=dict)
    thresholds: Mapping[str, Threshold] = field(default_factory=dict)
    variants: Mapping[str, Variant] = field(default_factory=dict)  # task -> whose surface it changes
    measures: Mapping[str, Measure] = field(default_factory=dict)  # column -> how it goes
    capability: Capability | None = None  # None: a base's `bases` logits
    think_items: int = 0  # a task, asked of the bases in mode think: items of their own
    answer_tokens: int = 1  # an answer is right when all of them are: the score is sigmoid(logit) to this power
    log_probability_sd: float | None = None  # of a record's answer log-probability, in logits; None: not measured
    design: str = "factorial"
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # continuous factors of sobol and random
    points: int = 0  # conditions of sobol and random
    conditions: Sequence[Mapping[str, Level]] = ()  # of a listed design
    missing_conditions: float = 0.0  # share of conditions that are not there

    def __post_init__(self) -> None:
        _check_sizes(self)
        _check_design(self)
        _check_bases(self)
        _check_planted(self)
        _check_courses(self)
        _check_measures(self)

    def base_names(self) -> tuple[str, ...]:
        return tuple(map(str, self.levels[BASE])) if BASE in self.levels else (next(iter(self.bases)),)

    @cached_property
    def levels(self) -> dict[str, tuple[Level, ...]]:
        """Of each factor its levels, of a range its two ends; sorted."""
        listed: dict[str, set[Level]] = {}
        for point in self.conditions:
            for name, level in point.items():
                listed.setdefault(name, set()).add(level)
        found: dict[str, Iterable[Level]] = {**listed, **self.factors, **self.ranges}
        return {name: tuple(sorted(set(levels), key=_order)) for name, levels in found.items()}

    @cached_property
    def known(self) -> dict[str, tuple[Level, ...]]:
        """The levels of everything that a key can name: factors and what describes the bases."""
        traits = {name: {of[base] for base in self.base_names() if base in of} for name, of in self.traits.items()}
        return {**{name: tuple(sorted(of, key=_order)) for name, of in traits.items()}, **self.levels}

    @cached_property
    def capabilities(self) -> dict[str, float]:
        """Each base's capability, in logits."""
        bases = self.base_names()
        if self.capability is None:
            return {base: float(self.bases.get(base, 0.0)) for base in bases}
        of = self.traits.get(self.capability.trait)
        trait = None if of is None else np.array([self.x(self.capability.trait, of[base]) for base in bases])
        return self.capability.drawn(bases, trait, self.seed)

    @property
    def clock(self) -> Clock:
        return Clock(self.steps[1], self.steps[-1])

    def base(self, condition: Mapping[str, Level]) -> str:
        return str(condition.get(BASE, self.base_names()[0]))

    def level(self, name: str, condition: Mapping[str, Level]) -> Level:
        """A factor's level in a condition, or what a trait is of its base."""
        if name not in condition and name in self.traits:
            return self.traits[name][self.base(condition)]
        need(name in condition, "condition", f"says nothing of {name}; give its level")
        return condition[name]

    def x(self, name: str, level: Level) -> float:
        """A number as peaks, thresholds and slopes see it: its logarithm where the levels span ten-fold."""
        return float(np.log(level)) if is_log(self.known[name]) else float(level)

    def code(self, name: str, condition: Mapping[str, Level]) -> float:
        return code(self.level(name, condition), self.known[name])

    def group_tasks(self) -> dict[str, tuple[str, ...]]:
        """The tasks of each group, variants included."""
        found = {group: list(tasks) for group, tasks in self.groups.items()}
        home = {task: group for group, tasks in self.groups.items() for task in tasks}
        for task, variant in self.variants.items():
            found.setdefault(variant.group or home[variant.of], []).append(task)
        return {group: tuple(tasks) for group, tasks in found.items()}

    def course_of(self, group: str) -> Course:
        chosen = self.course.get(group, "rise") if isinstance(self.course, Mapping) else self.course
        return chosen if isinstance(chosen, Course) else Course.named(chosen, self.dip, self.late)

    def step_axis(self) -> Floats:
        return np.asarray(self.steps, dtype=np.float64)


def _order(level: Level) -> tuple[bool, Level]:
    return isinstance(level, str), level


def _check_sizes(s: Settings) -> None:
    for name, least in (("seeds", 1), ("items", 1), ("samples", 1), ("answer_tokens", 1), ("think_items", 0)):
        value = getattr(s, name)
        need(isinstance(value, int) and value >= least, name, f"{value!r} is not a whole number from {least}")
    rising = all(a < b for a, b in zip(s.steps, s.steps[1:], strict=False))
    need(
        len(s.steps) > 1 and s.steps[0] == 0 and rising, "steps", "begin with 0 and rise, with one trained step or more"
    )
    need_finite("", base_logit=s.base_logit, dip=s.dip, late=s.late, log_probability_sd=s.log_probability_sd)
    need((s.log_probability_sd or 0) >= 0, "log_probability_sd", f"{s.log_probability_sd} is negative")
    for name in ("truncation", "missing_runs", "missing_conditions"):
        need(0 <= getattr(s, name) <= 1, name, f"{getattr(s, name)} is not a share from 0 to 1")
    need(any(s.groups.values()), "groups", "no task; give a group with a task")
    for group in s.groups:
        need(group in GROUPS, "groups", f"{group!r} is none of {', '.join(GROUPS)}")
    gains = dict(s.gain) if isinstance(s.gain, Mapping) else {"": s.gain}
    for gain in gains.values():
        need(bool(np.isfinite(gain)), "gain", f"{gain} is not a finite number of logits")


def _check_design(s: Settings) -> None:
    need(s.design in DESIGNS, "design", f"{s.design!r} is none of {', '.join(DESIGNS)}")
    drawn = s.design in ("sobol", "random")
    need(
        s.points > 0 if drawn else s.points == 0,
        "points",
        f"{s.points}, where sobol and random need 1 or more, others 0",
    )
    need(drawn or not s.ranges, "ranges", f"a {s.design} design has no ranges; list levels, or choose sobol or random")
    need(bool(s.conditions) == (s.design == "listed"), "conditions", "a listed design needs them, others have none")
    for name, ends in s.ranges.items():
        need(len(ends) == 2 and ends[0] < ends[1], "ranges", f"{name} is not a lower and an upper end: {ends!r}")
        need(name not in s.factors, "ranges", f"{name} is in factors too; keep one")
    for name, levels in s.factors.items():
        need(len(levels) > 0, "factors", f"{name} has no level")
    for i, point in enumerate(s.conditions):
        need(set(point) == set(s.levels), "conditions", f"number {i} names other factors than the first; name the same")


def _check_bases(s: Settings) -> None:
    bases = s.base_names()
    for name, of in s.traits.items():
        lacking = [base for base in bases if base not in of]
        need(not lacking, "traits", f"{name} is not given for {', '.join(lacking)}")
    if s.capability is not None:
        lacking = [base for base in bases if s.capability.of and base not in s.capability.of]
        need(not lacking, "capability", f"is not given for {', '.join(lacking)}")
        if s.capability.trait:
            known = ", ".join(s.traits) or "none"
            need(
                s.capability.trait in s.traits, "capability", f"{s.capability.trait!r} is no trait; traits are {known}"
            )
            _check_number(s, "capability", s.capability.trait)


def _check_number(s: Settings, where: str, name: str) -> None:
    check_name(where, name, s.known)
    numbers = name in s.known and all(is_number(level) for level in s.known[name])
    need(numbers, where, f"{name} is not a number at every level")


def _check_planted(s: Settings) -> None:
    check_keys("effects", s.effects, s.known, s.groups)
    for kind, planted in (("peaks", s.peaks), ("saturations", s.saturations), ("thresholds", s.thresholds)):
        for key, value in planted.items():
            parsed = parse(key)
            need(not parsed.group or parsed.group in s.groups, kind, f"{parsed.group!r} is no group")
            need(len(parsed.terms) == 1 and parsed.terms[0][1] is None, kind, f"{key!r} is not one factor")
            name = parsed.terms[0][0]
            _check_number(s, kind, name)
            same = [parse(other).group for other in planted if parse(other).terms[0][0] == name]
            need(len(same) == 1 or "" not in same, kind, f"two of {name} in one group; keep one")
            check_keys(f"{kind}, moved_by", value.moved_by, s.known, s.groups)
            if isinstance(value, Saturation):
                check_keys(f"{kind}, effects", value.effects, s.known, s.groups)
                need(all(float(n) > 0 for n in s.known[name]), kind, f"{name} has a level that is not above 0")
            elif is_log(s.known[name]):
                need(value.at > 0, kind, f"{key}, at: {value.at} has no logarithm")
    home = {task: group for group, tasks in s.groups.items() for task in tasks}
    for task, variant in s.variants.items():
        need(variant.of in home, "variants", f"{task}: {variant.of!r} is no task; tasks are {', '.join(home)}")
        need(task not in home, "variants", f"{task} is a task of a group already; leave it out there")
        check_keys("variants, effects", variant.effects, s.known, s.groups)


def _check_courses(s: Settings) -> None:
    for group in s.groups:
        s.course_of(group)
    for name, each in (("course", s.course), ("gain", s.gain)):
        unknown = ", ".join(sorted(set(each) - set(s.groups))) if isinstance(each, Mapping) else ""
        need(not unknown, name, f"no group {unknown}; groups are {', '.join(s.groups)}")
    for number, effects in s.course_effects.items():
        need(number in NUMBERS, "course_effects", f"{number!r} is none of {', '.join(NUMBERS)}")
        check_keys(f"course_effects, {number}", effects, s.known, s.groups)


def _check_measures(s: Settings) -> None:
    for name, measure in s.measures.items():
        need(name in MEASURES, "measures", f"{name!r} is none of {', '.join(MEASURES)}")
        need(name not in SHARES or measure.scale == "logit", "measures", f"{name} is a share: give it scale='logit'")
        keyed = {"effects": measure.effects, "half_at_effects": measure.half_at_effects}
        if measure.surge is not None:
            keyed |= {"surge, effects": measure.surge.effects, "surge, moved_by": measure.surge.moved_by}
        for what, effects in keyed.items():
            check_keys(f"measures, {name}, {what}", effects, s.known, s.groups, by_group=name in OF_GROUPS)
        of_bases = {n: levels for n, levels in s.known.items() if n in s.traits or n == BASE}
        check_keys(f"measures, {name}, start_effects", measure.start_effects, of_bases, s.groups, name in OF_GROUPS)
        for group in measure.with_gain:
            need(group in s.groups, "measures", f"{name}, with_gain: {group!r} is no group")
