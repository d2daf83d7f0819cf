"""Where more data stops paying: gain per doubling, whether it shrinks, the saturation point, and what it depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np

from triaxis.analyze.capability import beside
from triaxis.analyze.contrasts import LEAST_VARIANCE, NO_ERROR, Asked, fit_runs, summaries
from triaxis.analyze.design import Cells, level_text
from triaxis.analyze.evidence import Evidence
from triaxis.analyze.matched import Matched, answered, enough_bases, matched, of_bases, regressed, slopes
from triaxis.stats.effects import Contrasts
from triaxis.stats.intervals import Floats
from triaxis.stats.saturation import LEAST_SIZES, Saturation, joint_errors, saturation
from triaxis.types import Finding, Interval, Level, NotEstimable, Scale

QUESTION = "saturation"
SIZES = ("data.examples", "data.tokens", "data.size", "data.documents")
PAYS = 0.01  # score; a doubling that gives less no longer pays
DRAWS = 2000
MANY = 20  # values, from which on they are drawn at random and no two runs can be set side by side
BOTH_SCALES: tuple[Scale, ...] = ("points", "logit")

Which = Literal["first", "last"]
WHICH: tuple[Which, ...] = ("first", "last")


@dataclass(frozen=True, eq=False)
class _About:
    """A group's runs with their fits, and the factor that says how much data there is."""

    asked: Asked
    factor: str
    sizes: tuple[Level, ...]
    fits: Mapping[Scale, Contrasts | NotEstimable]
    head: Finding
    seed: int

    @property
    def ends(self) -> tuple[Which, ...]:
        """Of two sizes the first doubling is the last one."""
        return WHICH if len(self.sizes) > 2 else WHICH[:1]


def findings(evidence: Evidence) -> list[Finding]:
    """For each group and each data factor that is a size; nothing where the design varies none."""
    found: list[Finding] = []
    for group, asked in evidence.asked.items():
        for factor in (name for name in SIZES if _varies(asked, name)):
            sizes = sizes_of(asked.cells, factor)
            head = Finding(
                QUESTION, "gain per doubling", NotEstimable(""), "points", group=group, factors=(factor,),
                n_runs=len(asked.paths), source=evidence.source, mode=asked.paths[0].mode, note=_moves(asked, factor),
            )  # fmt: skip
            if isinstance(sizes, NotEstimable):
                found.append(replace(head, estimate=sizes))
                continue
            fits = {scale: fit_runs(asked, summaries(asked, "gain", scale), "gain", scale) for scale in BOTH_SCALES}
            about = _About(asked, factor, sizes, fits, head, evidence.seed)
            overall = [*_doublings(about), *_points(about)]
            found += overall
            if any(isinstance(finding.estimate, Interval) for finding in overall):  # else nothing to tell apart
                found += [*_dependence(about), *_on_capability(evidence, about)]
    return found


def _varies(asked: Asked, name: str) -> bool:
    return name in asked.cells.factors or name in asked.cells.described


def sizes_of(cells: Cells, factor: str) -> tuple[Level, ...] | NotEstimable:
    """The sizes in rising order, two at least and all above 0."""
    if factor not in cells.factors:
        return NotEstimable(cells.described.get(factor, f"the design doesn't vary {factor}"))
    levels = cells.levels[factor]
    if any(isinstance(level, str | bool) or level <= 0 for level in levels):
        return NotEstimable(f"{factor}: its levels are not all numbers above 0")
    if len(levels) > MANY:
        return NotEstimable(f"{factor} has {len(levels)} values, too many to set side by side; list a few instead")
    return levels


def _doubling(
    cells: Cells, factor: str, which: Which, within: Mapping[str, Level] | None = None
) -> Floats | NotEstimable:
    sizes = sizes_of(cells, factor)
    if isinstance(sizes, NotEstimable):
        return sizes
    pair = (sizes[0], sizes[1]) if which == "first" else (sizes[-2], sizes[-1])
    return _per_doubling(matched(cells, factor, pair, within), *pair)


def _per_doubling(found: Matched | NotEstimable, low: Level, high: Level) -> Floats | NotEstimable:
    if isinstance(found, NotEstimable):
        return found
    per = 1.0 / float(np.log2(float(high) / float(low)))
    return found.contrast({high: per, low: -per})


def _bend(cells: Cells, factor: str, within: Mapping[str, Level] | None = None) -> Floats | NotEstimable:
    """The last doubling's gain minus the first one's: negative where more data pays less and less."""
    sizes = sizes_of(cells, factor)
    if isinstance(sizes, NotEstimable):
        return sizes
    if len(sizes) < 3:
        return NotEstimable(f"{factor} has two sizes: whether a doubling gives less later needs three")
    four = (*sizes[:2], *sizes[-2:])
    found = matched(cells, factor, tuple(dict.fromkeys(four)), within)
    first, last = _per_doubling(found, *four[:2]), _per_doubling(found, *four[2:])
    for reason in (first, last):
        if isinstance(reason, NotEstimable):
            return reason
    assert not isinstance(first, NotEstimable) and not isinstance(last, NotEstimable)
    return last - first


def _doublings(about: _About) -> list[Finding]:
    """The gain per doubling between neighbouring sizes, and whether the last one gives less than the first."""
    found = []
    for low, high in pairwise(about.sizes):
        weights = _per_doubling(matched(about.asked.cells, about.factor, (low, high)), low, high)
        finding = replace(about.head, contrast=f"{level_text(high)} - {level_text(low)}")
        found.append(answered(about.asked, about.fits["points"], weights, finding, "points"))
    for scale in BOTH_SCALES if len(about.sizes) > 2 else ():
        bend = replace(about.head, quantity="gain per doubling, last minus first", unit=scale)
        weights = _bend(about.asked.cells, about.factor)
        found.append(answered(about.asked, about.fits[scale], weights, bend, scale))
    return found


def _points(about: _About) -> list[Finding]:
    """The saturation point over all conditions, and within each level of every other factor that varies."""
    return [
        replace(_saturation(about, within), within=within)
        for within in [{}, *(_levels_of_others(about) if len(about.sizes) >= LEAST_SIZES else [])]
    ]


def _levels_of_others(about: _About) -> list[Mapping[str, Level]]:
    cells = about.asked.cells
    return [
        {name: level}
        for name in cells.factors
        if name != about.factor and len(cells.levels[name]) <= MANY
        for level in cells.levels[name]
    ]


def _saturation(about: _About, within: Mapping[str, Level]) -> Finding:
    """The size from which a doubling gives less than a point, from a power law through the sizes."""
    asked, factor, fit, head = about.asked, about.factor, about.fits["points"], about.head
    head = replace(
        head,
        quantity=f"size from which a doubling gives less than {100 * PAYS:g} point",
        unit=factor.partition(".")[2],
        sampled="run (these bases)" if any(name.startswith("model.") for name in within) else "run",
        n_units=len(asked.paths),
    )
    sizes = sizes_of(asked.cells, factor)
    if not isinstance(sizes, NotEstimable) and len(sizes) < LEAST_SIZES:
        sizes = NotEstimable(f"a power law needs {LEAST_SIZES} sizes, here {len(sizes)}; see the gain per doubling")
    found = sizes if isinstance(sizes, NotEstimable) else matched(asked.cells, factor, sizes, within)
    for reason in (found, fit, sizes):
        if isinstance(reason, NotEstimable):
            return replace(head, estimate=reason)
    assert isinstance(found, Matched) and isinstance(fit, Contrasts) and not isinstance(sizes, NotEstimable)
    weights = [found.weights[size] for size in sizes]
    means = np.array([fit.means @ w for w in weights])
    errors = joint_errors(fit, weights, DRAWS, np.random.default_rng(about.seed))
    if errors.std() ** 2 < LEAST_VARIANCE:
        return replace(head, estimate=NotEstimable(NO_ERROR))
    law = saturation(np.array(sizes, dtype=np.float64), means, errors, PAYS)
    n = int(fit.counts[np.any([w != 0 for w in weights], axis=0)].sum())
    return replace(
        head,
        estimate=_told(law, float(sizes[0]), float(sizes[-1])),
        n_units=n,
        n_runs=n,
        item_pool="items like these" if fit.crossed else "this item pool",
        method=f"power law with asymptote, {len(sizes)} sizes, {DRAWS} draws of runs (t) and items",
        note="; ".join(filter(None, [head.note, f"exponent {law.law.exponent:.2g}"])),
    )


def _told(found: Saturation, smallest: float, largest: float) -> Interval | NotEstimable:
    """The point where it lies among the sizes, or on which side of them it is; a power law is no evidence beyond."""
    at_least = f"it is {_size(found.low)} or more" if found.low > smallest else "nor is it known from below"
    if np.isinf(found.low):
        at_least = "no size is in sight at which it would not"
    if found.low > largest:
        return NotEstimable(f"not reached: a doubling still pays at {_size(largest)}, the largest size; {at_least}")
    if max(found.high, found.size) > largest:
        return NotEstimable(f"not reached for sure by {_size(largest)}, the largest size; {at_least} (97.5 %)")
    if found.size < smallest:
        told = f"no doubling pays: the point lies below {_size(smallest)}, the smallest size"
        return NotEstimable(f"{told}; at most it is {_size(max(found.high, smallest))} (97.5 %)")
    return Interval(found.size, min(max(found.low, smallest), found.size), max(found.high, found.size))


def _size(size: float) -> str:
    return f"{size:,.0f}" if size >= 10 else f"{size:.3g}"


def _dependence(about: _About) -> list[Finding]:
    """First and last doubling within each level of the other factors, and how they differ between levels."""
    cells, found = about.asked.cells, []
    for within in _levels_of_others(about):
        for which in about.ends:
            weights = _doubling(cells, about.factor, which, within)
            finding = replace(about.head, quantity=f"gain per doubling, {which}", within=within)
            found.append(answered(about.asked, about.fits["points"], weights, finding, "points"))
    for name in (n for n in cells.factors if n != about.factor and len(cells.levels[n]) <= MANY):
        least = cells.levels[name][0]
        for level in cells.levels[name][1:]:
            for what in (*about.ends, "bend") if len(about.sizes) > 2 else about.ends:
                found += [_difference(about, name, level, least, what, scale) for scale in BOTH_SCALES]
    return found


def _difference(about: _About, name: str, level: Level, least: Level, what: str, scale: Scale) -> Finding:
    cells = about.asked.cells

    def one(at: Level) -> Floats | NotEstimable:
        if what == "bend":
            return _bend(cells, about.factor, {name: at})
        return _doubling(cells, about.factor, "first" if what == "first" else "last", {name: at})

    upper, lower = one(level), one(least)
    weights = upper if isinstance(upper, NotEstimable) else lower if isinstance(lower, NotEstimable) else upper - lower
    quantity = "gain per doubling, " + ("last minus first" if what == "bend" else what)
    contrast = f"{level_text(level)} - {level_text(least)}"
    finding = replace(
        about.head, quantity=quantity, unit=scale, factors=tuple(sorted((about.factor, name))), contrast=contrast
    )
    return answered(about.asked, about.fits[scale], weights, finding, scale)


def _on_capability(evidence: Evidence, about: _About) -> list[Finding]:
    """How first and last doubling change with the capability of the base, over bases; nothing with one base."""
    if about.asked.n_bases < 2:
        return []
    out: list[Finding] = []
    few = enough_bases(about.asked.n_bases, "how data size pays by capability")
    together = few or beside(evidence, [about.head.group])
    for which in about.ends:
        head = replace(
            about.head,
            quantity=f"gain per doubling, {which}, on 10 points of base capability",
            factors=tuple(sorted((about.factor, "model.base"))),
            sampled="base",
            n_units=about.asked.n_bases,
        )
        if isinstance(together, NotEstimable):
            out.append(replace(head, estimate=together))
        else:
            out.append(_slope(together.asked, together.capability.of, about.factor, which, head))
    return out


def _slope(asked: Asked, capability: Mapping[str, float], factor: str, which: Which, head: Finding) -> Finding:
    of_runs = summaries(asked, "gain", "points")
    if isinstance(of_runs, NotEstimable):
        return replace(head, estimate=of_runs)
    of = of_bases(asked, of_runs, lambda cells: _doubling(cells, factor, which))
    if isinstance(of, NotEstimable):
        return replace(head, estimate=of)
    found = slopes(np.array([[10 * capability[name]] for name in of.names]), of)
    return replace(head, estimate=found) if isinstance(found, NotEstimable) else regressed(head, found[0], of)


def _moves(asked: Asked, factor: str) -> str:
    """What moves along with the size, as the runs' last steps tell it."""
    steps = [path.steps[-1] for path in asked.paths]
    if len(set(steps)) == 1:
        return "at equal steps: larger sets are seen fewer times"
    levels = [path.condition.get(factor) for path in asked.paths]
    numbers = [float(level) for level in levels if isinstance(level, int | float)]
    if len(numbers) == len(steps) and np.ptp(numbers) > 0 and np.corrcoef(numbers, steps)[0, 1] > 0:
        return "larger sets are trained for more steps here: size and steps are one"
    return ""
