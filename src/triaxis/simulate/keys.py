"""Effect keys: what "far_ood: data.noise_rate x model.base=weak" means, and what it is worth in a condition."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from triaxis.types import Level, TriaxisError

CAPABILITY = "capability"  # of a base; in keys it stands beside the factors, in its own unit
Effects = Mapping[str, float]  # key -> size


def need(true: bool, field: str, told: str) -> None:
    """Refuse a setting in one line that names it."""
    if not true:
        raise TriaxisError(f"simulate, {field}: {told}")


def need_finite(field: str, **numbers: float | None) -> None:
    """Refuse numbers that are none; None is allowed."""
    for name, value in numbers.items():
        known = value is None or (isinstance(value, int | float) and bool(np.isfinite(value)))
        need(known, f"{field}.{name}".lstrip("."), f"{value!r} is not a finite number")


@dataclass(frozen=True)
class Key:
    """A parsed key: the group ("" for all), and each name with the level that it is confined to, if any."""

    group: str
    terms: tuple[tuple[str, str | None], ...]


@lru_cache(maxsize=4096)
def parse(key: str) -> Key:
    """`group: a x b=level`: codes of a, times 1 where b has that level and 0 elsewhere."""
    group, colon, rest = key.rpartition(": ")
    terms = []
    for term in rest.split(" x "):
        name, equals, level = term.strip().partition("=")
        terms.append((name.strip(), level.strip() if equals else None))
    return Key(group if colon else "", tuple(terms))


def text(level: Level) -> str:
    """A level as keys and run names write it."""
    return f"{level:g}" if isinstance(level, float) else str(level)


def is_log(levels: Sequence[Level]) -> bool:
    """Whether a number is taken in its logarithm: positive, and ten-fold or more from least to largest."""
    numbers = [float(level) for level in levels if is_number(level)]
    return len(numbers) == len(levels) > 0 and min(numbers) > 0 and max(numbers) >= 10 * min(numbers)


def is_number(level: Level) -> bool:
    return isinstance(level, int | float) and not isinstance(level, bool)


def code(level: Level, levels: Sequence[Level]) -> float:
    """-1/2 at the first of the sorted levels to +1/2 at the last, equally spaced; numbers between levels lie between.

    A number between two levels is placed by its logarithm where the levels span ten-fold.
    """
    codes = -0.5 + np.arange(len(levels)) / max(len(levels) - 1, 1)
    if level in levels:
        return float(codes[levels.index(level)])
    if not is_number(level) or not all(is_number(known) for known in levels):
        raise TriaxisError(f"simulate: {level!r} is none of the levels {', '.join(map(text, levels))}")
    scale = np.log if is_log((*levels, level)) else np.asarray
    x = scale(np.array([float(known) for known in levels]))
    return float(np.interp(scale(np.array(float(level))), x, codes))


def check_keys(
    field: str, effects: Effects, levels: Mapping[str, Sequence[Level]], groups: Collection[str], by_group: bool = True
) -> None:
    """Refuse unknown names, levels and groups, and sizes that are no numbers."""
    for key, size in effects.items():
        need_finite("", **{f"{field}, {key}": size})
        parsed = parse(key)
        need(
            not parsed.group or (by_group and parsed.group in groups),
            field,
            f"{parsed.group!r} is no group; groups are {', '.join(groups)}"
            if by_group
            else f"{key!r} names a group, and this has one value for all groups; leave the group out",
        )
        for name, level in parsed.terms:
            check_name(field, name, levels)
            if level is not None:
                known = [text(value) for value in levels.get(name, ())]
                need(level in known, field, f"{name} has no level {level!r}; levels are {', '.join(known) or 'none'}")


def check_name(field: str, name: str, levels: Mapping[str, Sequence[Level]]) -> None:
    known = ", ".join(sorted(levels)) or "none"
    need(name in levels or name == CAPABILITY, field, f"{name!r} is no factor; factors are {known}")
