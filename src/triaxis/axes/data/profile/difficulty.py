"""Difficulty as four things say it: the source's own field, the steps of the trace, a column of pass rates, a model.

Nothing here asks a model: its pass rates are given, by row id.
"""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple
from zlib import crc32

import numpy as np
from scipy import special

from triaxis.axes.data.profile.cells import number_of
from triaxis.axes.data.profile.lab_steps import final_states, in_lab_language
from triaxis.axes.data.profile.lengths import Lengths, LengthSummary
from triaxis.stats.intervals import CONFIDENCE
from triaxis.types import Example, Interval, NotEstimable

WORDS = (  # from easy to hard; those of one place mean the same
    ("trivial", "very easy"),
    ("easy", "beginner", "introductory", "elementary", "low", "simple", "basic"),
    ("medium", "moderate", "intermediate", "normal", "average", "mid", "interview"),
    ("hard", "difficult", "advanced", "high", "challenging", "competition"),
    ("very hard", "expert", "olympiad", "extreme", "very difficult"),
)
KEPT = 20_000  # examples that agreement is computed over: all, or as many drawn at random
MAX_LEVELS = 60  # different levels that are counted apart
FEWEST = 10  # examples beside the commonest value of each measure, for an agreement; below that no interval holds
FEWEST_RARE = 20  # ... where they are fewer than a third
MOST_COUNTED = 20  # a column of whole numbers of at most so much counts something, and is no per cent

_RANK = {word: float(rank) for rank, words in enumerate(WORDS) for word in words}
_NUMBERED = re.compile(
    r"(?:(?:level|lvl|grade|difficulty|stage|l)[ -]*|(?=[-+0-9]))([-+]?[0-9]{1,9}(?:\.[0-9]{1,9})?)(?: ?/ ?[0-9]+)?"
)
_OF_WHAT = r"(?:pass|solve|success|correct|correctness|accuracy|acc|win)"
_PASS_RATE = re.compile(
    rf"(?:^|[_. -]){_OF_WHAT}[_. -]?(?:rate|ratio|percentage|percent|pct|fraction)s?(?:$|[_. -])|pass@[0-9]+"
    r"|(?:^|[_. -])(?:percentage|percent|pct|fraction)[_. -](?:correct|solved|passed)(?:$|[_. -])"
)
_ACCURACY = re.compile(r"(?:^|.*[_. -])accuracy")  # alone: a share, where no value is above 1
_COUNTS = re.compile(r"(?:^|[_. -])(?:n|num|number|counts?|votes?|total)(?:$|[_. -])")
_LABEL = re.compile(r"[Ss]tep [0-9]{1,3}(?![0-9])")


@dataclass(frozen=True)
class Agreement:
    """Spearman's rank correlation of two measures of difficulty, each turned so that more is harder."""

    one: str
    other: str
    n: int  # examples that have both, of the domains that it rests on
    correlation: Interval | NotEstimable  # within domains, their mean by rows
    domains: int  # that it rests on
    left_out: int  # domains where it is not estimable, of those that have both


@dataclass(frozen=True)
class DifficultyProfile:
    """What `Difficulty` found. Measures are "field", "steps", "pass_rate" (a column), "model" where one was asked."""

    examples: int
    with_field: int
    levels: dict[str, int]  # examples by the source's own level, by kind from easy to hard; empty where there are many
    field_kind: str  # "numbers", "words", "levels" (level 3), "mixed", "unordered words", or "" without a field
    unordered: dict[str, int]  # levels that have no place in any order known here
    field_kinds: dict[str, int]  # examples by kind
    field_quantiles: dict[str, float]  # of numbers
    steps: LengthSummary  # of the traces: step labels, else lines with text
    pass_rate_column: str  # "" where there is none
    with_pass_rate: int
    pass_rate_quantiles: dict[str, float]  # shares, 0..1
    agreement: tuple[Agreement, ...]
    sampled: bool  # quantiles and agreement are of KEPT examples drawn at random, not of all


class Kept(NamedTuple):
    """An example that agreement may be computed over."""

    key: int  # minus a hash
    id: str
    values: tuple[float, float, float]  # field, steps, what the column of pass rates reads; NaN where there is none
    domain: str
    kind: str  # of the field
    column: str  # of the pass rate


_NONE = float("nan")


class Difficulty:
    """Difficulty in one pass. The examples that agreement is computed over are those of the smallest hash of their id:
    a random draw that is the same in any order and any number of processes. `rates` are a model's pass rates (0..1)
    by row id; what they agree with is computed over all rows that have one."""

    def __init__(self, rates: Mapping[str, float] | None = None) -> None:
        self.rates = rates
        self.examples = self.with_field = 0
        self.levels: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.columns: dict[str, _Column] = {}  # that may be pass rates, by name
        self.steps = Lengths()
        self._kept: list[Kept] = []  # a heap, the largest hash in front
        self._asked: list[Kept] = []  # the rows that the model was asked
        self._too_many = False

    def fresh(self) -> Difficulty:
        """One that has seen nothing."""
        return Difficulty(self.rates)

    def add(self, example: Example) -> None:
        self.examples += 1
        field, kind = ranked(example.difficulty)
        thought = example.thought or ""
        if kind:
            self.with_field += 1
            self.kinds[kind] += 1
            self._count_level(_label(example.difficulty))
        steps = steps_of(thought if not thought.isspace() and thought else example.solution)
        self.steps.add(steps)
        column, rate = pass_rate_of(example.fields)
        if rate is not None:
            self.columns[column] = self.columns.get(column, _Column()).with_value(rate)
        key = -crc32(f"{example.id}\x1f{example.row}".encode("utf-8", "replace"))
        values = (_NONE if field is None else field, float(steps), _NONE if rate is None else rate)
        kept = Kept(key, example.id, values, example.domain.strip(), "" if field is None else kind, column)
        self._keep(kept)
        if self.rates and example.id in self.rates:
            self._asked.append(kept)

    def _count_level(self, label: str) -> None:
        if label in self.levels or len(self.levels) < MAX_LEVELS:
            self.levels[label] += 1
        else:
            self._too_many = True

    def _keep(self, kept: Kept) -> None:
        if len(self._kept) < KEPT:
            heapq.heappush(self._kept, kept)
        elif kept[:2] > self._kept[0][:2]:
            heapq.heapreplace(self._kept, kept)

    def merge(self, other: Difficulty) -> None:
        self.examples += other.examples
        self.with_field += other.with_field
        self.kinds.update(other.kinds)
        for name, column in other.columns.items():
            self.columns[name] = self.columns[name].merged(column) if name in self.columns else column
        self.steps.merge(other.steps)
        self._too_many |= other._too_many
        for label, n in other.levels.items():
            self._count_level(label)
            self.levels[label] += n - 1 if label in self.levels else 0
        for kept in other._kept:
            self._keep(kept)
        self._asked += other._asked

    def result(self) -> DifficultyProfile:
        sound = {name: column for name, column in sorted(self.columns.items()) if column.per(name)}
        column = max(sound, key=lambda name: sound[name].n, default="")
        scale = sound[column].per(column) if column else 1
        held = sorted(self._kept, key=lambda kept: (kept.key, kept.id))  # sums in one order, whatever that of the rows
        measures = _measures(held, column, scale)
        known = {label: ranked(label) for label in self.levels}
        order = sorted(
            (label for label, (rank, _) in known.items() if rank is not None),
            key=lambda label: (known[label][1], known[label][0] or 0.0),
        )
        return DifficultyProfile(
            examples=self.examples,
            with_field=self.with_field,
            levels={} if self._too_many else {label: self.levels[label] for label in order},
            field_kind="" if not self.kinds else next(iter(self.kinds)) if len(self.kinds) == 1 else "mixed",
            unordered={label: n for label, n in self.levels.most_common() if known[label][0] is None},
            field_kinds=dict(sorted(self.kinds.items())),
            field_quantiles=_quantiles(measures["field"]) if set(self.kinds) == {"numbers"} else {},
            steps=self.steps.summary(),
            pass_rate_column=column,
            with_pass_rate=sound[column].n if column else 0,
            pass_rate_quantiles=_quantiles(measures["pass_rate"]),
            agreement=(*_agreements(held, measures), *self._with_model(column, scale)),
            sampled=self.examples > len(self._kept),
        )

    def _with_model(self, column: str, scale: int) -> Iterator[Agreement]:
        """How each measure agrees with the model's failures, over the rows that it was asked."""
        if self.rates is None:
            return
        asked = sorted(self._asked, key=lambda kept: kept.id)
        model = 1 - np.array([self.rates[kept.id] for kept in asked], dtype=np.float64)
        for measure in _harder(_measures(asked, column, scale)).items():
            yield _agreement(asked, measure, ("model", model))


def ranked(difficulty: object) -> tuple[float | None, str]:
    """A difficulty as a number that grows with it, and its kind; None where it has no place in an order known here,
    and the kind is empty where nothing is said."""
    if isinstance(difficulty, bool) or difficulty is None:
        return None, ""
    if isinstance(difficulty, int | float):
        return (float(difficulty), "numbers") if np.isfinite(difficulty) else (None, "")
    text = " ".join(str(difficulty).lower().replace("_", " ").replace("\u2212", "-").split())
    if not text:
        return None, ""
    if text in _RANK:
        return _RANK[text], "words"
    if (number := number_of(text)) is not None:
        return number, "numbers"
    match = _NUMBERED.fullmatch(text)
    if not match:
        return None, "unordered words"
    return float(match[1]), "levels" if text[0].isalpha() else "numbers"


def steps_of(trace: str) -> int:
    """The steps of a trace: its labels (`Step 3`, the lab's `i3`) where it has two or more, else its lines."""
    labels = len(final_states(trace)) if in_lab_language(trace) else len(_LABEL.findall(trace))
    return labels if labels >= 2 else sum(1 for line in trace.splitlines() if line and not line.isspace())


class _Column(NamedTuple):
    """What a column that may hold pass rates holds."""

    n: int = 0
    least: float = float("inf")
    most: float = float("-inf")
    whole: bool = True  # every value is a whole number

    def with_value(self, value: float) -> _Column:
        return self.merged(_Column(1, value, value, value.is_integer()))

    def merged(self, other: _Column) -> _Column:
        whole = self.whole and other.whole
        return _Column(self.n + other.n, min(self.least, other.least), max(self.most, other.most), whole)

    def per(self, name: str) -> int:
        """What a pass rate of 1 reads here: 1, or 100 (per cent); 0 where these are no pass rates."""
        if self.least < 0 or self.most > 100:
            return 0
        if self.most <= 1:
            return 1
        if _ACCURACY.fullmatch(name.lower()):
            return 0
        said = "pct" in name.lower() or "percent" in name.lower()
        return 100 if said or not self.whole or self.most > MOST_COUNTED else 0


def pass_rate_of(fields: Mapping[str, object]) -> tuple[str, float | None]:
    """The first column whose name says that it is a pass rate, and its value: a share or per cent, which all of the
    column tells. `accuracy` alone may be one; what counts (`pass_count`, `num_correct`) is none."""
    for name, value in fields.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            lowered = name.lower()
            named = _PASS_RATE.search(lowered) or _ACCURACY.fullmatch(lowered)
            if named and not _COUNTS.search(lowered) and (number := number_of(value)) is not None:
                return name, number
    return "", None


def _measures(kept: Sequence[Kept], column: str, scale: int) -> dict[str, np.ndarray]:
    """The measures of some examples by name; `scale` is what a pass rate of 1 reads in its column."""
    field, steps, rate = (np.array([one.values[i] for one in kept], dtype=np.float64) for i in range(3))
    rate[[one.column != column for one in kept]] = _NONE
    return {"field": field, "steps": steps, "pass_rate": rate / scale}


def _harder(measures: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The measures, each turned so that more is harder."""
    return {**measures, "pass_rate": 1 - measures["pass_rate"]}


def _label(difficulty: object) -> str:
    if isinstance(difficulty, int | float) and (number := number_of(difficulty)) is not None:
        return f"{number:g}"
    return " ".join(str(difficulty).split())[:60]


def _quantiles(values: np.ndarray) -> dict[str, float]:
    known = values[np.isfinite(values)]
    if not len(known):
        return {}
    shares = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
    return {f"{share:g}": float(np.quantile(known, share)) for share in shares}


def _agreements(kept: Sequence[Kept], measures: Mapping[str, np.ndarray]) -> Iterator[Agreement]:
    for one, other in combinations(_harder(measures).items(), 2):
        yield _agreement(kept, one, other)


def _agreement(kept: Sequence[Kept], one: tuple[str, np.ndarray], other: tuple[str, np.ndarray]) -> Agreement:
    """The correlation within domains: over all rows, domains that differ in both measures would make or undo one
    (Simpson's paradox). The field counts only in domains where it is of one kind, which has one order."""
    (name, x), (second, y) = one, other
    both = np.isfinite(x) & np.isfinite(y)
    rows: dict[str, list[int]] = {}
    for at in np.flatnonzero(both).tolist():
        rows.setdefault(kept[at].domain, []).append(at)
    found: list[_Ranks] = []
    reasons: list[str] = []
    for _, held in sorted(rows.items()):
        kinds = sorted({kept[at].kind for at in held}) if name == "field" else []
        ranks = _ranks(x[held], y[held]) if len(kinds) < 2 else f"difficulties are of several kinds ({_and(kinds)})"
        if isinstance(ranks, str):
            reasons.append(ranks)
        else:
            found.append(ranks)
    if found:
        return Agreement(name, second, sum(each.n for each in found), _pooled(found), len(found), len(reasons))
    told = reasons[0] if len(reasons) == 1 else "no row has both"
    if len(reasons) > 1:
        told = "; ".join(f"{reason} ({n:,} domains)" for reason, n in Counter(map(_kind_of, reasons)).most_common())
    return Agreement(name, second, int(both.sum()), NotEstimable(told), 0, len(reasons))


def _and(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else "".join(words)


def _kind_of(reason: str) -> str:
    """A reason without the numbers of its domain."""
    return "too few rows, or too few that differ" if reason.startswith("only") else reason


class _Ranks(NamedTuple):
    """A rank correlation with the variance of it, in one domain."""

    n: int
    r: float
    variance: float
    chance: float  # of a row with its values drawn anew to have equal ones, at most: what hides a disagreement


def spearman(x: np.ndarray, y: np.ndarray) -> Interval | NotEstimable:
    """Spearman's correlation with an interval that holds where values are tied; see `_ranks` and `_pooled`."""
    ranks = _ranks(x, y)
    return NotEstimable(ranks) if isinstance(ranks, str) else _pooled([ranks])


def _ranks(x: np.ndarray, y: np.ndarray) -> _Ranks | str:
    """Spearman's correlation with its large-sample variance, or why there is none.

    The variance is that of the influence function, of the midranks and of their spread too, so that it holds where
    values are tied; that of Bonett & Wright (2000, Psychometrika 65:23) doesn't: two measures with two values each
    covered .78 at a nominal .95, this .95.
    """
    n = len(x)
    if n <= FEWEST:
        return f"only {n} rows have both; more than {FEWEST} are needed"
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return "one of them is the same everywhere"
    for values in (x, y):
        others = n - int(np.unique(values, return_counts=True)[1].max(initial=0))
        needed = FEWEST if others >= n / 3 else FEWEST_RARE
        if others < needed:
            return f"only {others} of {n} rows differ from the commonest value; {needed} are needed"
    (u, spread_u, of_u, ties_u), (v, spread_v, of_v, ties_v) = _midranks(x), _midranks(y)
    both = float((u * v).mean())
    of_both = u * v + _mean_above(x, v) + _mean_above(y, u)
    size = (spread_u * spread_v) ** 0.5
    r = both / size
    influence = (of_both - of_both.mean()) / size - r / 2 * (of_u / spread_u + of_v / spread_v)
    variance = float((influence**2).sum()) / n / (n - 1)
    chance = max(ties_u, ties_v)
    most = float((np.sort(u) * np.sort(v * np.sign(r))).mean()) / size
    if abs(r) > most - 1e-9:  # as far as ties let them agree: count on one row in n in disorder, which none shows
        variance += (1 / n / (1 - chance)) ** 2
    return _Ranks(n, r, variance, chance)


def _midranks(x: np.ndarray) -> tuple[np.ndarray, float, np.ndarray, float]:
    """Midranks as shares around 0, their variance, its influence function, and the chance of two rows to be equal."""
    _, at, counts = np.unique(x, return_inverse=True, return_counts=True)
    shares = counts / len(x)
    middles = np.cumsum(shares) - shares / 2 - 0.5
    influence = -(shares**2)[at] / 4  # of (1 - Σ share³) / 12
    return middles[at], float(shares @ middles**2), influence - influence.mean(), float(shares @ shares)


def _mean_above(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Of each row, the sum of the weights of rows above it in x, half of those that are equal, over all rows."""
    _, at = np.unique(x, return_inverse=True)
    sums = np.bincount(at, weights)
    above: np.ndarray = sums.sum() - np.cumsum(sums) + sums / 2
    return (above / len(x))[at]


def _pooled(found: Sequence[_Ranks]) -> Interval:
    """The mean of the domains' correlations, by rows; its interval on the scale of Fisher's z.

    Averages of z itself would be infinite where one domain agrees in full. Where all do, no variance is seen: the
    share of rows that may be in disorder is then the largest that shows none in n rows with probability .025.
    """
    n = sum(ranks.n for ranks in found)
    r = sum(ranks.n * ranks.r for ranks in found) / n
    if abs(r) > 1 - 1e-9:
        hidden = sum(ranks.n * ranks.chance for ranks in found) / n
        disorder = min(1.0, (1 - ((1 - CONFIDENCE) / 2) ** (1 / n)) / (1 - hidden))
        return Interval(1.0, 1 - disorder, 1.0) if r > 0 else Interval(-1.0, -1.0, disorder - 1)
    variance = sum((ranks.n / n) ** 2 * ranks.variance for ranks in found)
    half = float(special.stdtrit(n - len(found), 0.5 + CONFIDENCE / 2)) * variance**0.5 / (1 - r * r)
    low, high = np.tanh(np.arctanh(r) - half), np.tanh(np.arctanh(r) + half)
    return Interval(r, min(r, float(low)), max(r, float(high)))
