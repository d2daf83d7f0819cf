"""The Pareto front of checkpoints: those that no other one beats in all that is asked for, picked on one half of the
items (and of the seeds) and scored on the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from triaxis.analyze.evidence import Evidence
from triaxis.analyze.paths import Path, by_condition
from triaxis.analyze.questions.length import LENGTH
from triaxis.analyze.run_numbers import Number, each, head, mean, of_half
from triaxis.stats.intervals import Floats, wilson
from triaxis.stats.pareto import front_probability, run_draws
from triaxis.types import Finding, Level, NotEstimable

QUESTION = "cost"
OOD = ("near_ood", "far_ood")
GOALS = (OOD, ("safety",))  # groups to have high, each pooled; and short responses where their length is recorded
ON_FRONT = 0.5  # probability from which on a checkpoint is named
NAMED = 12  # checkpoints at most
DRAWS, FEWEST, COMPARED = 1000, 200, 5e7  # draws, and how many comparisons of points they may come to
TOKENS = "response tokens"
PICKED = "picked on half of the items and of the seeds, scored on the others"
ONE_SEED = "one seed: picked on half of its items and scored on the others; another run would end elsewhere"
ITEM_LUCK = "items alone are drawn: one seed a condition"


@dataclass(frozen=True, eq=False)
class Goal:
    """Something to have much of: a score, or (`tokens`) few response tokens."""

    name: str
    paths: Mapping[str, Path]  # by run
    tokens: bool = False

    def levels(self, path: Path, rows: Sequence[int]) -> Floats:
        """Larger is better: the score, or minus log2 of the tokens (rows,)."""
        if not self.tokens:
            return np.asarray(path.scores[list(rows)], dtype=np.float64)
        return np.asarray(-np.log2(path.measures[LENGTH][list(rows)]), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A condition's checkpoints, or a base (`steps` only 0), with the runs that pick and those that score."""

    head: Path
    runs: tuple[str, ...]
    steps: tuple[int, ...]

    @property
    def pickers(self) -> tuple[str, ...]:
        return self.runs[1::2] or self.runs

    @property
    def scorers(self) -> tuple[str, ...]:
        return self.runs[::2]

    @property
    def is_base(self) -> bool:
        return self.steps == (0,)


def front_findings(evidence: Evidence, goals: Sequence[Sequence[str]] = GOALS) -> list[Finding]:
    """Each checkpoint that is on the front more likely than not, and its scores on items that did not pick it.

    Seeds share the wander of their checkpoint over all items, so where there are several, other seeds score it too.
    """
    wanted = _goals(evidence, goals)
    if len(wanted) < 2:
        return []
    candidates = _candidates(wanted)
    first = next(iter(wanted[0].paths.values()))
    names = ", ".join(goal.name if not goal.tokens else "few tokens" for goal in wanted)
    blank = replace(head(QUESTION, f"on the front of checkpoints ({names})", "probability", first), within={})
    picked = _halves(wanted, report=False)
    scored = _halves(wanted, report=True)
    if isinstance(picked, NotEstimable) or isinstance(scored, NotEstimable) or not candidates:
        why = picked if isinstance(picked, NotEstimable) else NotEstimable("the runs share no checkpoint on all groups")
        return [replace(blank, estimate=why)]
    probabilities, draws = front_probabilities(picked, candidates, evidence.seed)
    points = [(c, step) for c in candidates for step in c.steps]
    best = sorted(range(len(points)), key=lambda i: -probabilities[i])
    found: list[Finding] = []
    for i in [i for i in best if probabilities[i] >= ON_FRONT][:NAMED]:
        found += _of_point(blank, *points[i], float(probabilities[i]), draws, scored)
    return found


def _goals(evidence: Evidence, groups: Sequence[Sequence[str]]) -> list[Goal]:
    found = []
    for names in groups:
        paths = evidence.pooled(names)
        if names == OOD and isinstance(paths, NotEstimable):
            paths = evidence.pooled(["in_domain"])
        if not isinstance(paths, NotEstimable):
            found.append(Goal(paths[0].group, {path.run: path for path in paths}))
    if found and all((path.measures[LENGTH] > 0).all() for path in found[0].paths.values()):
        found.append(Goal(TOKENS, found[0].paths, tokens=True))
    return found


def _halves(goals: Sequence[Goal], *, report: bool) -> list[Goal] | NotEstimable:
    """The goals on the half of the items that picks, or on the one that scores. Lengths are of all items."""
    found = []
    for goal in goals:
        halves = {run: path if goal.tokens else of_half(path, report=report) for run, path in goal.paths.items()}
        bad = next((half for half in halves.values() if isinstance(half, NotEstimable)), None)
        if bad is not None:
            return bad
        found.append(replace(goal, paths={r: half for r, half in halves.items() if isinstance(half, Path)}))
    return found


def _candidates(goals: Sequence[Goal]) -> list[Candidate]:
    """Every condition whose runs are scored on all goals, at the trained checkpoints that they share; every base."""
    everywhere = set.intersection(*(set(goal.paths) for goal in goals))
    found: list[Candidate] = []
    bases: dict[str, Candidate] = {}
    for own in by_condition(list(goals[0].paths.values())).values():
        runs = [path for path in own if path.run in everywhere]
        alike = [p for p in runs if all(goal.paths[p.run].items == goal.paths[runs[0].run].items for goal in goals)]
        steps = [set(goal.paths[path.run].steps) for path in alike for goal in goals]
        shared = sorted(set.intersection(*steps)) if steps else []
        if shared and shared[0] == 0:
            bases.setdefault(alike[0].base, Candidate(alike[0], (alike[0].run,), (0,)))
        if trained := tuple(step for step in shared if step > 0):
            found.append(Candidate(alike[0], tuple(path.run for path in alike), trained))
    return [*bases.values(), *found]


def front_probabilities(goals: Sequence[Goal], candidates: Sequence[Candidate], seed: int) -> tuple[Floats, int]:
    """Of each candidate's each checkpoint, in order, the share of draws in which no other one beats it; and the draws.

    One draw is other items, the same for all candidates, and other runs of each condition.
    """
    total = sum(len(candidate.steps) for candidate in candidates)
    draws = int(np.clip(COMPARED / (total**2 * len(goals)), FEWEST, DRAWS))
    rng = np.random.default_rng(seed)
    luck = _Luck(draws, rng)
    parts = [_drawn(goals, candidate, luck) for candidate in candidates]
    return front_probability(np.concatenate(parts, axis=1)), draws


class _Luck:
    """A standard normal an item and draw, the same whenever these items are asked for."""

    def __init__(self, draws: int, rng: np.random.Generator) -> None:
        self.draws, self.rng = draws, rng
        self._of: dict[tuple[str, ...], Floats] = {}

    def of(self, items: tuple[str, ...]) -> Floats:
        if items not in self._of:
            self._of[items] = self.rng.standard_normal((self.draws, len(items)))
        return self._of[items]


def _drawn(goals: Sequence[Goal], own: Candidate, luck: _Luck) -> Floats:
    """Draws of a candidate's levels: (draws, steps, goals)."""
    draws, rng, n = luck.draws, luck.rng, len(own.steps)
    levels = np.array([_levels(goal, own, own.runs) for goal in goals])  # goals x runs x steps
    at = [own.runs.index(run) for run in own.pickers]
    total = np.repeat(levels[:, at].mean(axis=1).T[None], draws, axis=0)
    item_part = np.zeros((len(goals) * n, len(goals) * n))
    for g, goal in enumerate(goals):
        if goal.tokens:
            continue
        x = _items(goal, own)  # runs x steps x items
        path = goal.paths[own.runs[0]]
        strata = path.strata
        assert strata is not None  # a half has items
        total[:, :, g] += luck.of(path.items) @ strata.scaled(x[at].mean(axis=0)).T
        total[:, :, g] += strata.pseudo**0.5 * rng.standard_normal((draws, n))
        z = strata.scaled(x - x.mean(axis=0))
        block = slice(g * n, (g + 1) * n)
        item_part[block, block] = np.einsum("rki,rli->kl", z, z, optimize=True) / max(len(own.runs) - 1, 1)
    if len(own.runs) > 1:
        flat = levels.transpose(1, 0, 2).reshape(len(own.runs), -1)
        wander = run_draws(flat - flat.mean(axis=0), item_part, len(at), draws, rng)
        total += wander.reshape(draws, len(goals), n).transpose(0, 2, 1)
    return total


def _levels(goal: Goal, own: Candidate, runs: Sequence[str]) -> Floats:
    return np.array([goal.levels(goal.paths[run], _rows(goal, own, run)) for run in runs])


def _items(goal: Goal, own: Candidate) -> Floats:
    found = []
    for run in own.runs:
        x = goal.paths[run].x
        assert x is not None  # a half has items
        found.append(x[_rows(goal, own, run)])
    return np.array(found)


def _rows(goal: Goal, own: Candidate, run: str) -> list[int]:
    return [goal.paths[run].steps.index(step) for step in own.steps]


def _of_point(
    blank: Finding, own: Candidate, step: int, probability: float, draws: int, scored: Sequence[Goal]
) -> list[Finding]:
    place = f"base {own.head.base}".strip() if own.is_base else f"step {step}"
    within = {"model.base": own.head.base} if own.is_base else dict(own.head.condition)
    on = replace(
        blank,
        estimate=wilson(probability, draws),
        contrast=place,
        within=within,
        sampled="run" if len(own.runs) > 1 else "item",
        n_units=len(own.pickers),
        n_runs=len(own.pickers),
        item_pool="items like these",
        method=f"share of {draws} draws of items and runs, its interval that of the draws; on the half that picks",
        note="" if len(own.runs) > 1 or own.is_base else ITEM_LUCK,
    )
    return [on, *(_score(blank, own, step, goal, place, within) for goal in scored)]


def _score(blank: Finding, own: Candidate, step: int, goal: Goal, place: str, within: Mapping[str, Level]) -> Finding:
    """What the checkpoint has of a goal where it did not pick it."""
    note = "" if own.is_base else PICKED if len(own.runs) > 1 else ONE_SEED
    unit = "tokens" if goal.tokens else "points"
    finding = replace(
        blank, quantity=f"{goal.name} of a checkpoint on the front", unit=unit, contrast=place, within=within, note=note
    )
    answer = replace(mean(each([goal.paths[run] for run in own.scorers], lambda path: level(goal, path, step))), p=None)
    return answer.told(finding, "mean tokens" if goal.tokens else "score on the half that did not pick it")


def level(goal: Goal, path: Path, step: int) -> Number | NotEstimable:
    """A run's score, or its mean response tokens, at one checkpoint."""
    row = path.steps.index(step)
    if goal.tokens:
        return Number(float(path.measures[LENGTH][row]))
    if path.x is None or path.strata is None:
        return NotEstimable("summaries have no items")
    return Number(float(path.scores[row]), path.x[row], path.strata, path.items, path.strata.pseudo)
