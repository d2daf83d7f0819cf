"""Which combinations of levels a study runs: all, one change at a time, a fraction, or points spread over ranges."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import product
from math import exp, log, prod
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from triaxis.study.fields import Count, Name, Range, Strict, Whole
from triaxis.study.mistakes import Mistake
from triaxis.types import Level

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_CONDITIONS = 10_000
Factors = Mapping[str, tuple[Level, ...] | Range]
Point = dict[str, Level]  # one level of every factor
Exclusion = Mapping[str, tuple[Level, ...]]  # a combination is excluded when each factor named has one of these levels

KEYS_OF = {  # of the kinds of design, beside `kind` and `exclude`
    "factorial": (),
    "one_at_a_time": ("center",),
    "fractional": ("resolution", "generators"),
    "sobol": ("points", "seed"),
}


class Design(Strict):
    """How conditions are chosen from the factors."""

    kind: Literal["factorial", "one_at_a_time", "fractional", "sobol"] = "factorial"
    exclude: list[dict[str, Any]] = Field(default=[])  # levels are read by the study, which knows their types
    center: dict[str, Any] = Field(default={})
    resolution: Annotated[int, Field(ge=3, le=6)] | None = None
    generators: Name | None = None
    points: Count | None = None
    seed: Whole = 0

    @property
    def keys(self) -> tuple[str, ...]:
        """The settings that this kind of design has."""
        return ("kind", "exclude", *KEYS_OF[self.kind])

    def check_keys(self) -> None:
        """Refuse, as a Mistake, keys of another kind of design, and a design without what its kind needs."""
        for kind, keys in KEYS_OF.items():
            for key in keys:
                if key in self.model_fields_set and kind != self.kind:
                    raise Mistake(f"design.{key}", f"belongs to design.kind {kind}, and this one is {self.kind}")
        chosen = self.model_fields_set.intersection(KEYS_OF["fractional"])
        if self.kind == "fractional" and len(chosen) != 1:
            raise Mistake("design", "fractional needs resolution (3 to 6) or generators, one of the two")
        if self.kind == "sobol" and self.points is None:
            raise Mistake("design.points", "missing; sobol needs the number of conditions to draw")


def combinations(design: Design, factors: Factors, center: Point, exclude: Sequence[Exclusion]) -> list[Point]:
    """The conditions' levels in a stable order; raises Mistake where the design is impossible.

    `center` holds a level of every factor, the first listed or the user's; only one_at_a_time reads it.
    """
    design.check_keys()
    if design.kind == "sobol":
        return _sobol(design, factors, exclude)
    levels: dict[str, tuple[Level, ...]] = {}
    for name, values in factors.items():
        if isinstance(values, Range):
            raise Mistake(name, f"a range needs design.kind sobol, and this one is {design.kind}; list levels instead")
        levels[name] = values
    points = _MAKERS[design.kind](design, levels, center)
    for i, exclusion in enumerate(exclude):
        if not any(_excluded(point, [exclusion]) for point in points):
            raise Mistake(f"design.exclude[{i}]", f"matches no combination of this {design.kind} design; remove it")
    kept = [point for point in points if not _excluded(point, exclude)]
    if not kept:
        raise Mistake("design.exclude", f"removes all {len(points)} combinations; nothing is left to run")
    for name, values in levels.items():
        for level in values:
            if all(point[name] != level for point in kept):
                raise Mistake("design.exclude", f"leaves no combination with {name} {level}; remove the level instead")
    return kept


def _excluded(point: Point, exclude: Sequence[Exclusion]) -> bool:
    return any(all(point[name] in levels for name, levels in exclusion.items()) for exclusion in exclude)


def _factorial(design: Design, levels: Mapping[str, tuple[Level, ...]], center: Point) -> list[Point]:
    size = prod(len(values) for values in levels.values())
    if size > MAX_CONDITIONS:
        raise Mistake("design", f"{size} combinations, more than {MAX_CONDITIONS}; use kind sobol or fewer levels")
    return [dict(zip(levels, combination, strict=True)) for combination in product(*levels.values())]


def _one_at_a_time(design: Design, levels: Mapping[str, tuple[Level, ...]], center: Point) -> list[Point]:
    moves = ((name, level) for name, values in levels.items() for level in values if level != center[name])
    return [center, *(center | {name: level} for name, level in moves)]


def _fractional(design: Design, levels: Mapping[str, tuple[Level, ...]], center: Point) -> list[Point]:
    for name, values in levels.items():
        if len(values) != 2:
            raise Mistake("design.kind", f"fractional takes two levels of each factor; {name} has {len(values)}")
    signs = _fraction(design, len(levels))
    points = [
        {name: values[int(s > 0)] for (name, values), s in zip(levels.items(), row, strict=True)} for row in signs
    ]
    for name, values in levels.items():
        if len({point[name] for point in points}) < 2:
            raise Mistake("design.generators", f"leave {name} at the level {values[0]} alone")
    return points


def _fraction(design: Design, n: int) -> NDArray[Any]:
    """Two-level fraction as a matrix of -1 and 1, (conditions, factors), factors in the study's order."""
    if n < 3:
        raise Mistake("design.kind", f"fractional needs at least 3 factors, and this study has {n}; use factorial")
    import pydoe

    try:
        if design.resolution is not None:
            signs: NDArray[Any] = pydoe.fracfact_by_res(n, design.resolution)
        else:
            words = str(design.generators).lower().split()
            if len(words) != n or not all(re.fullmatch("[+-]?[a-z]+", word) for word in words):
                example = " ".join([*"abcdefghijklmnopqrstuvwxyz"[: n - 1], "ab"])
                raise ValueError(f"must be {n} words of letters, one a factor, such as {example}")
            signs = pydoe.fracfact(" ".join(words))
    except (ValueError, IndexError) as error:
        key = "generators" if design.resolution is None else "resolution"
        raise Mistake(f"design.{key}", " ".join(str(error).split())) from None
    return signs


def _sobol(design: Design, factors: Factors, exclude: Sequence[Exclusion]) -> list[Point]:
    """The first `points` distinct admissible points of one scrambled Sobol sequence, so that more points keep the old.

    Points that are excluded or that repeat (lists have few combinations) are passed over; their share stays stated by
    the design, since the count asked for is always reached or refused.
    """
    from scipy.stats import qmc

    wanted = int(design.points or 0)
    if wanted > MAX_CONDITIONS:
        raise Mistake("design.points", f"{wanted} is more than {MAX_CONDITIONS}")
    if not factors:
        raise Mistake("design.kind", "sobol needs at least one factor: a list of levels or a range")
    draw = 1 << (max(64, 16 * wanted) - 1).bit_length()  # a power of two, as the sequence likes it
    unit = qmc.Sobol(len(factors), scramble=True, rng=design.seed).random(draw)
    found: dict[tuple[Level, ...], Point] = {}
    for row in unit:
        point = {name: _at(values, float(u)) for (name, values), u in zip(factors.items(), row, strict=True)}
        if not _excluded(point, exclude):
            found.setdefault(tuple(point.values()), point)
        if len(found) == wanted:
            return list(found.values())
    raise Mistake("design.points", f"only {len(found)} distinct combinations could be drawn, fewer than {wanted}")


def _at(values: tuple[Level, ...] | Range, u: float) -> Level:
    """The level at `u` in [0, 1); numbers from a range keep four digits, so that names and files stay readable."""
    if not isinstance(values, Range):
        return values[min(int(u * len(values)), len(values) - 1)]
    if values.scale == "log":
        drawn = exp(log(values.low) + u * (log(values.high) - log(values.low)))
    else:
        drawn = values.low + u * (values.high - values.low)
    if values.whole:
        return round(drawn)
    return min(max(float(f"{drawn:.4g}"), values.low), values.high)


_MAKERS = {"factorial": _factorial, "one_at_a_time": _one_at_a_time, "fractional": _fractional}
