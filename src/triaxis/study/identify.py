"""What a design can tell apart: which effects are identified, under which assumption, and what is aliased with what.

The design is coded as a matrix with a block of columns a term (sum-to-zero contrasts for a factor with levels, one
column for a continuous one, products for interactions). A term is estimable when no vector of the matrix's null space
touches its block, and it is aliased with the terms that share such a vector (Searle 1971, Linear Models, 5.4). The
contrasts are orthonormal, so that neither the order of the factors nor that of their levels changes the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import log, prod
from typing import TYPE_CHECKING, Any, Literal

from triaxis.study.exposure import Together, exposure
from triaxis.types import Level

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_ORDER = 3
MAX_COLUMNS = 2500  # of a coded design; a larger one is not examined, and says so
CONTINUOUS_FROM = 6  # a number with this many levels is taken as one column, linear or in its logarithm
NAMED = 4  # aliases are named up to this many
ENOUGH_BASES = 8  # fewer bases carry statements about themselves only
ONE_SEED = "one seed a condition: no error term, so statements about the population of runs are not estimable"
OVERALL = "the overall level"
ORDERS = ("", "main effects", "two-way interactions", "three-way interactions")
ASSUMPTIONS = tuple(f"{order} and higher interactions are zero" for order in ("two-way", "three-way", "four-way"))

Status = Literal["identified", "if additive", "aliased", "not examined"]


@dataclass(frozen=True)
class Term:
    """A main effect or an interaction, and what the design says of it.

    `status` is `identified` when it is told apart from every term of its own order and below, two-way interactions
    included; `if additive` for a main effect that is told apart from other main effects only.
    """

    factors: tuple[str, ...]  # sorted
    status: Status
    assumes: str  # what is taken to be zero for that; "" where nothing is
    aliased_with: tuple[str, ...]  # what it can't be told from: the terms assumed zero or, if aliased, the culprits

    @property
    def identified(self) -> bool:
        """Whether the effect may be reported (with what it assumes)."""
        return self.status == "identified"

    @property
    def name(self) -> str:
        """The factors joined by colons."""
        return ":".join(self.factors)

    @property
    def reason(self) -> str:
        """Why it is not identified, in words; "" where it is."""
        if self.status == "identified":
            return ""
        if self.status == "not examined":
            return f"{self.name} is not examined: a model with such terms has more than {MAX_COLUMNS} columns"
        return f"{self.name} {self._culprits}" + (f"; it can be read only if {self.assumes}" if self.assumes else "")

    @property
    def _culprits(self) -> str:
        if len(self.aliased_with) > NAMED:
            return f"can't be told from {len(self.aliased_with)} other terms, since combinations are missing"
        return f"is aliased with {', '.join(self.aliased_with)}"


@dataclass(frozen=True)
class Identification:
    """What a design identifies."""

    factors: tuple[str, ...]  # those that vary, sorted
    continuous: tuple[str, ...]  # of them, those taken as one column
    terms: tuple[Term, ...]  # main effects, then two-way, then three-way interactions
    together: tuple[Together, ...]  # what moves together, so that no claim can separate it
    n_conditions: int
    n_runs: int
    rank: int  # of the model with all terms up to three-way
    notes: tuple[str, ...]

    @property
    def residual_df(self) -> int:
        """Degrees of freedom of the error between runs, `n_runs` less the rank."""
        return self.n_runs - self.rank

    def term(self, *factors: str) -> Term | None:
        """The term of these factors, in any order; None where one of them doesn't vary, or there are over three."""
        wanted = tuple(sorted(factors))
        return next((term for term in self.terms if term.factors == wanted), None)

    def describe(self) -> list[str]:
        """The answer in words, a sentence a line."""
        if not self.factors:
            return ["nothing varies: there is no effect to identify", *self.notes]
        lines = [
            f"{self.n_conditions} conditions, {self.n_runs} runs, {len(self.factors)} factors; rank {self.rank}, "
            f"residual degrees of freedom between runs: {self.residual_df}"
        ]
        for order in range(1, MAX_ORDER + 1):
            lines += _describe_order(ORDERS[order], [term for term in self.terms if len(term.factors) == order])
        return lines + [pair.why for pair in self.together] + list(self.notes)


def _describe_order(name: str, terms: Sequence[Term]) -> list[str]:
    if not terms:
        return []
    good = [term for term in terms if term.identified]
    lines = [f"{name}: {len(good)} of {len(terms)} identified"]
    needed = [words for words in ASSUMPTIONS if any(term.assumes == words for term in good)]
    if needed:
        lines[0] += f", if {needed[0]}"  # the strongest, which holds for all of them
    bad = [term for term in terms if not term.identified]
    groups = {frozenset((t.name, *t.aliased_with)): t.reason for t in bad if 0 < len(t.aliased_with) <= NAMED}
    named = list(groups.values())  # of terms aliased with one another, one speaks for all
    lines += named[:12] + ([f"and {len(named) - 12} more {name} are aliased"] if len(named) > 12 else [])
    for status in ("if additive", "aliased", "not examined"):  # where there is nobody to name, a line for all
        rest = [term for term in bad if term.status == status and not 0 < len(term.aliased_with) <= NAMED]
        if rest:
            shown, more = [term.name for term in rest[:6]], len(rest) - 6
            listed = ", ".join(shown) + (f" and {more} more" if more > 0 else "")
            lines.append(f"{listed}: {_VAGUE[status]}")
    return lines


_VAGUE: Mapping[Status, str] = {
    "if additive": f"read only if {ASSUMPTIONS[0]}, since combinations are missing",
    "aliased": "can't be told from other terms, since combinations are missing",
    "not examined": f"not examined, since a model with such terms has more than {MAX_COLUMNS} columns",
}


def identify(conditions: Sequence[Mapping[str, Level]], n_seeds: int | Sequence[int]) -> Identification:
    """What the design of these conditions identifies, by linear algebra alone.

    `conditions` map `axis.factor` to its level; names with one level throughout are constant and drop out, and so a
    condition's factors or all of its settings will do (with the settings, what moves with steps, epochs and tokens is
    known too). `n_seeds` is the number of runs a condition, or one number for each. Raises ValueError where conditions
    don't name the same things.
    """
    if any(condition.keys() != conditions[0].keys() for condition in conditions):
        raise ValueError("every condition must have a level of the same factors")
    n_runs = n_seeds * len(conditions) if isinstance(n_seeds, int) else sum(n_seeds)
    names = [name for name in (sorted(conditions[0]) if conditions else []) if not _follows_batch(conditions, name)]
    levels = {name: sorted({c[name] for c in conditions}, key=lambda v: (isinstance(v, str), v)) for name in names}
    factors = tuple(name for name in names if len(levels[name]) > 1)
    distinct = list({tuple(c[name] for name in factors): c for c in conditions}.values())
    continuous = tuple(name for name in factors if _is_continuous(levels[name]))
    together = (*_pairs(distinct, factors, continuous), *exposure(conditions, factors))
    highest = max(n_seeds, default=0) if not isinstance(n_seeds, int) else n_seeds
    notes = _notes(levels, factors, continuous, n_runs > len(distinct) or highest > 1)
    notes += tuple(_apart(distinct, factors, continuous))
    terms: tuple[Term, ...] = ()
    rank = min(1, len(distinct))
    if factors:
        blocks = {name: _contrasts(distinct, name, levels[name], name in continuous) for name in factors}
        full = len(distinct) == prod(len(levels[name]) for name in factors)
        terms, rank = _terms(blocks, full)
    return Identification(factors, continuous, terms, together, len(distinct), n_runs, rank, notes)


def _follows_batch(conditions: Sequence[Mapping[str, Level]], name: str) -> bool:
    """Whether this is the micro-batch that is the batch: no factor, since a run is the same for any of them."""
    batch = "optimization.batch_size"
    return name == "optimization.micro_batch_size" and all(c[name] == c.get(batch) for c in conditions)


def _is_continuous(levels: Sequence[Level]) -> bool:
    return len(levels) >= CONTINUOUS_FROM and all(type(level) in (int, float) for level in levels)


def _contrasts(
    conditions: Sequence[Mapping[str, Level]], name: str, levels: Sequence[Level], continuous: bool
) -> NDArray[Any]:
    """The columns of a factor's main effect, (conditions, columns): Helmert contrasts, or one column in [-1, 1]."""
    import numpy as np

    if continuous:
        values = np.array([float(c[name]) for c in conditions])
        if values.min() > 0 and values.max() >= 10 * values.min():
            values = np.log(values)
        return np.asarray(2 * (values - values.min()) / (values.max() - values.min()) - 1)[:, None]
    n = len(levels)
    helmert = np.zeros((n, n - 1))
    for k in range(1, n):
        helmert[:k, k - 1] = -1
        helmert[k, k - 1] = k
        helmert[:, k - 1] *= np.sqrt(n / (k * (k + 1)))
    position = {level: i for i, level in enumerate(levels)}
    return helmert[[position[c[name]] for c in conditions]]


def _terms(blocks: Mapping[str, NDArray[Any]], full: bool) -> tuple[tuple[Term, ...], int]:
    """Every term up to three-way with its status, and the rank of the largest model examined."""
    top = min(MAX_ORDER, len(blocks))
    sets = [members for order in range(1, top + 1) for members in combinations(blocks, order)]
    widths = [prod(blocks[name].shape[1] for name in term) for term in sets]
    if full:
        return tuple(Term(term, "identified", "", ()) for term in sets), 1 + sum(widths)
    alias: dict[int, dict[tuple[str, ...], tuple[str, ...]]] = {}  # by the highest order in the model
    rank = 0
    for order in range(1, top + 1):
        if 1 + sum(width for term, width in zip(sets, widths, strict=True) if len(term) <= order) > MAX_COLUMNS:
            break
        alias[order], rank = _aliases(blocks, [term for term in sets if len(term) <= order])
    return tuple(_judge(term, alias, len(blocks)) for term in sets), rank


def _judge(
    term: tuple[str, ...], alias: Mapping[int, Mapping[tuple[str, ...], tuple[str, ...]]], n_factors: int
) -> Term:
    """A term's status from its aliases in the models of each highest order."""
    needed = min(max(len(term), 2), n_factors)  # an honest main effect is clear of two-way interactions
    if needed not in alias:
        return Term(term, "not examined", "", ())
    if alias[needed][term]:
        additive = len(term) == 1 and not alias[1][term]
        assumes = ASSUMPTIONS[0] if additive else ""
        return Term(term, "if additive" if additive else "aliased", assumes, alias[needed][term])
    clear = max(order for order in alias if order >= needed and not alias[order][term])
    if clear == n_factors:
        return Term(term, "identified", "", ())
    beyond = alias.get(clear + 1, {}).get(term, ())
    return Term(term, "identified", ASSUMPTIONS[clear - 1], beyond)


def _aliases(
    blocks: Mapping[str, NDArray[Any]], terms: Sequence[tuple[str, ...]]
) -> tuple[dict[tuple[str, ...], tuple[str, ...]], int]:
    """For each term the names of those that it can't be told from in the model of `terms`, and the model's rank."""
    import numpy as np

    columns = [np.ones((len(next(iter(blocks.values()))), 1))]
    for term in terms:
        block = blocks[term[0]]
        for name in term[1:]:
            block = (block[:, :, None] * blocks[name][:, None, :]).reshape(len(block), -1)
        columns.append(block)
    starts = np.cumsum([0, *(block.shape[1] for block in columns[:-1])])
    design = np.hstack(columns)
    wide = len(design) < design.shape[1]  # the row space comes from the smaller of the two Gram matrices
    values, vectors = np.linalg.eigh(design @ design.T if wide else design.T @ design)
    kept = values > 1e-9 * values[-1]
    basis = design.T @ vectors[:, kept] / np.sqrt(values[kept]) if wide else vectors[:, kept]
    null = np.eye(design.shape[1]) - basis @ basis.T
    shared = np.add.reduceat(np.add.reduceat(null**2, starts, axis=0), starts, axis=1) > 1e-8
    names = [OVERALL, *(":".join(term) for term in terms)]
    found = {}
    for i, term in enumerate(terms, start=1):
        others = [names[j] for j in np.flatnonzero(shared[i]) if j != i]
        # Not estimable with nobody to blame: levels of the term itself that were never run together.
        found[term] = tuple(others or (["itself: combinations are missing"] if shared[i, i] else []))
    return found, int(kept.sum())


def _pairs(
    conditions: Sequence[Mapping[str, Level]], factors: Sequence[str], continuous: Sequence[str]
) -> list[Together]:
    """The pairs of factors of which one follows from the other."""
    found = []
    for first, second in combinations(factors, 2):
        if first in continuous or second in continuous:
            continue  # a drawn number determines everything drawn with it, and that means nothing
        n = len({(c[first], c[second]) for c in conditions})
        n_first, n_second = len({c[first] for c in conditions}), len({c[second] for c in conditions})
        if n == n_first == n_second:
            why = f"{first} moves together with {second}: their effects can't be told apart"
            found.append(Together(first, second, why))
        elif n == max(n_first, n_second):
            fine, coarse = (first, second) if n == n_first else (second, first)
            why = f"{coarse} follows from {fine}: its effect can't be told apart from that of {fine}"
            found.append(Together(coarse, fine, why))
    return found


def _apart(conditions: Sequence[Mapping[str, Level]], factors: Sequence[str], continuous: Sequence[str]) -> list[str]:
    """A note on each number whose values differ from level to level of another factor, as rates that are tuned for each
    optimizer do: with one slope for all, the algebra tells the two apart, and nothing that was run does.

    Numbers that are drawn once a condition differ by chance, and over one range: these are left alone.
    """
    notes = []
    for number in continuous:
        for other in (name for name in factors if name not in continuous):
            values: dict[Level, set[float]] = {}
            for condition in conditions:
                values.setdefault(condition[other], set()).add(float(condition[number]))
            distinct = set().union(*values.values())
            spans = sorted((min(own), max(own)) for own in values.values())
            beside = all(high < low for (_, high), (low, _) in pairwise(spans))
            if sum(map(len, values.values())) == len(distinct) and (beside or len(distinct) < len(conditions)):
                notes.append(
                    f"{number} has other values at each level of {other}: effects of {other} are at equal {number} "
                    "only if one slope holds for all levels; run values that they share, or compare each at its best"
                )
    return notes


def _notes(
    levels: Mapping[str, Sequence[Level]], factors: Sequence[str], continuous: Sequence[str], replicated: bool
) -> tuple[str, ...]:
    notes = []
    for name in continuous:
        low, high = float(levels[name][0]), float(levels[name][-1])
        how = "in its logarithm" if low > 0 and log(high / low) >= log(10) else "linearly"
        notes.append(f"{name} has {len(levels[name])} values: its effect is taken as one slope, {how}")
    if "model.base" in factors and len(levels["model.base"]) < ENOUGH_BASES:
        n = len(levels["model.base"])
        notes.append(f"{n} bases: effects of model.base speak of these bases; {ENOUGH_BASES} or more carry a claim")
    if "optimization.packing" in factors:
        notes.append(
            "optimization.packing: Triaxis packs within a batch; trainers that fill rows change the steps an epoch too"
        )
    if not replicated:
        notes.append(ONE_SEED)
    return tuple(notes)
