"""What is expected of a condition before any luck: the logits of its scores, and its measures, at each step."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from triaxis.simulate.courses import RISE_AT, Curves, bump, curves, rise
from triaxis.simulate.keys import CAPABILITY, Effects, Key, parse, text
from triaxis.simulate.measures import Measure
from triaxis.simulate.planted import Peak, Saturation, Threshold
from triaxis.simulate.settings import Settings
from triaxis.stats.intervals import Floats
from triaxis.types import Level

Condition = Mapping[str, Level]


def weight(s: Settings, key: Key, condition: Condition) -> float:
    """What a key counts in a condition: the product of its names' codes."""
    total = 1.0
    for name, level in key.terms:
        if level is not None:
            total *= float(text(s.level(name, condition)) == level)
        else:
            total *= s.capabilities[s.base(condition)] if name == CAPABILITY else s.code(name, condition)
    return total


def sum_of(s: Settings, effects: Effects, condition: Condition, group: str) -> float:
    """The effects that hold in a group, in a condition."""
    keys = [(parse(key), size) for key, size in effects.items()]
    return sum((size * weight(s, key, condition) for key, size in keys if key.group in ("", group)), 0.0)


def start_logit(s: Settings, condition: Condition) -> float:
    """Logit at step 0."""
    base = s.base(condition)
    shown = s.capability.shown * s.capabilities[base] if s.capability else 0.0
    return s.base_logit + s.bases.get(base, 0.0) + shown


def full_gain(s: Settings, condition: Condition, group: str, steps: Floats) -> Floats:
    """Logits gained at full course (steps,); only a peak that moves with the steps makes them differ."""
    gain = s.gain.get(group, 0.0) if isinstance(s.gain, Mapping) else s.gain
    total = np.full(len(steps), float(gain) + sum_of(s, s.effects, condition, group))
    for planted in (s.peaks, s.saturations, s.thresholds):
        for key, value in planted.items():
            parsed = parse(key)
            if parsed.group in ("", group):
                total += added(s, value, parsed.terms[0][0], condition, group, steps)
    return total


def added(
    s: Settings, planted: Peak | Saturation | Threshold, name: str, condition: Condition, group: str, steps: Floats
) -> Floats:
    """Logits that a peak, a saturation or a threshold adds at full course."""
    moved = sum_of(s, planted.moved_by, condition, group)
    flat = np.ones(len(steps))
    level = float(s.level(name, condition))
    if isinstance(planted, Saturation):
        gain = planted.gain + sum_of(s, planted.effects, condition, group)
        lacking: float = 0.5 * float(level / (planted.half_size * 2.0**moved)) ** -planted.exponent
        return flat * (gain * (1 - lacking))
    away = s.x(name, level) - s.x(name, planted.at) - moved
    if isinstance(planted, Peak):
        later: Floats = np.log2(np.maximum(steps, 1.0) / s.steps[-1])
        return np.asarray(-planted.curvature * (away - planted.moved_by_steps * later) ** 2)
    passed = float(away >= 0) if planted.width == 0 else 1 / (1 + float(np.exp(-max(away / planted.width, -700.0))))
    return flat * planted.height * passed


def course(s: Settings, condition: Condition, group: str, steps: Floats) -> Curves:
    """The course of a condition in a group."""
    moved = {number: sum_of(s, effects, condition, group) for number, effects in s.course_effects.items()}
    return curves(s.course_of(group), s.clock, steps, moved)


def kept(s: Settings, variant: str, condition: Condition) -> float:
    """The share of a task's gain that is there in a variant of it; 1 in the task itself ("")."""
    if not variant:
        return 1.0
    planted = s.variants[variant]
    group = home(s, planted.of)
    return float(np.clip(planted.kept + sum_of(s, planted.effects, condition, group), 0, 1))


def home(s: Settings, task: str) -> str:
    """The group whose gain a task has: that of the task it varies."""
    task = s.variants[task].of if task in s.variants else task
    return next(group for group, tasks in s.groups.items() if task in tasks)


def latent(s: Settings, condition: Condition, group: str, steps: Floats, variant: str = "") -> Floats:
    """Logits at these steps, of a group's tasks or of a variant of one of them."""
    at = course(s, condition, group, steps)
    gained = at.share * full_gain(s, condition, group, steps) + at.grown
    return start_logit(s, condition) + kept(s, variant, condition) * gained - at.lost


def measure_start(s: Settings, measure: Measure, condition: Condition, group: str) -> float:
    """A measure at step 0, on its scale."""
    return measure.on_scale(measure.start) + sum_of(s, measure.start_effects, condition, group)


def measured(s: Settings, measure: Measure, condition: Condition, group: str, steps: Floats) -> Floats:
    """A measure on its scale at these steps, without what comes with the gain (steps,)."""
    later = sum_of(s, measure.half_at_effects, condition, group)
    u = s.clock.u(steps)
    growth = measure.growth + sum_of(s, measure.effects, condition, group)
    total = measure_start(s, measure, condition, group) + growth * rise(
        u, s.clock.place(measure.half_at, RISE_AT, later), measure.width
    )
    if measure.surge is not None:
        surge = measure.surge
        place = s.clock.place(surge.at, 0.0, sum_of(s, surge.moved_by, condition, group))
        total = total + (surge.height + sum_of(s, surge.effects, condition, group)) * bump(u, place, surge.width)
    return total


def with_gain(s: Settings, measure: Measure, condition: Condition, steps: Floats) -> Floats:
    """What of a measure is expected to come with the gain, on its scale (steps,)."""
    start = start_logit(s, condition)
    gains = [slope * (latent(s, condition, group, steps) - start) for group, slope in measure.with_gain.items()]
    return np.asarray(sum(gains, np.zeros(len(steps))), dtype=np.float64)
