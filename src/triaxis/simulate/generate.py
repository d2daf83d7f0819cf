"""Draws a study's long table from its settings, record by record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from triaxis.records import Table
from triaxis.records.table import make_table
from triaxis.simulate.columns import Block, table
from triaxis.simulate.designs import Run, draw_runs
from triaxis.simulate.expected import course, home, latent, measure_start, measured, start_logit
from triaxis.simulate.measures import CUT_OFF, DEFAULT_TOKENS, OF_RUNS, Measure
from triaxis.simulate.settings import BASE, Settings
from triaxis.simulate.truth import Truth
from triaxis.stats.intervals import Floats
from triaxis.types import OF_REFUSALS

THINK = "think"
LENGTH_SPREAD = 0.2  # of a record's response length around the mean, either way


@dataclass(frozen=True)
class Simulated:
    """A table and the truth behind it."""

    table: Table
    truth: Truth


def study(settings: Settings | None = None, /, **changes: Any) -> Simulated:
    """A simulated study: `study(factors={...}, effects={...}, seed=3)`, or from ready `Settings`. A pure function of
    them.
    """
    if settings is None:
        settings = Settings(**changes)
    return Simulated(make_table(table(settings, *_Draw(settings).all()), "simulated"), Truth(settings))


class _Draw:
    """One study being drawn; arrays of owners hold the bases first, then the runs."""

    def __init__(self, settings: Settings) -> None:
        self.s = settings
        self.rng = np.random.default_rng(settings.seed)
        self.runs = draw_runs(settings, self.rng)
        self.bases = settings.base_names()
        self.cells = np.array([run.cell for run in self.runs])
        self.conditions = {run.cell: run.condition for run in self.runs}
        self.trained = settings.step_axis()[1:]
        self.offsets = self._offsets()
        self.measures = self._measures()

    def all(self) -> tuple[list[Run], list[Block]]:
        """The runs, and their records on every task."""
        difficulty: dict[str, Floats] = {}
        blocks = []
        for group, tasks in self.s.group_tasks().items():
            for task in tasks:
                blocks += self._task(group, task, difficulty)
        return self.runs, blocks

    def _normal(self, sd: float, *shape: int) -> Floats:
        return np.asarray(self.rng.normal(0, sd, shape) if sd else np.zeros(shape), dtype=np.float64)

    def _offsets(self) -> Floats:
        """What a run has of its own at each trained step (runs, steps): lasting, of its base, and wandering."""
        noise = self.s.noise
        of_base = dict(zip(self.bases, self._normal(noise.base, len(self.bases)), strict=True))
        own = np.array([[of_base[self.s.base(run.condition)]] for run in self.runs], dtype=np.float64)
        return own + self._normal(noise.run, len(self.runs), 1) + self._wander(noise.checkpoint, noise.autocorrelation)

    def _wander(self, sd: float, rho: float) -> Floats:
        fresh: Floats = self._normal(sd, len(self.runs), len(self.trained))
        for k in range(1, fresh.shape[1]):
            fresh[:, k] = rho * fresh[:, k - 1] + (1 - rho**2) ** 0.5 * fresh[:, k]
        return fresh

    def _task(self, group: str, task: str, difficulties: dict[str, Floats]) -> list[Block]:
        """Records of the bases, of the bases made to think, and of the runs."""
        s, n = self.s, self.s.items
        variant = s.variants.get(task)
        shared = variant is not None and variant.kind != "numbers"
        difficulty = difficulties[variant.of] if variant and shared else self._normal(s.noise.item, n)
        difficulties[task] = difficulty
        starts = np.array([start_logit(s, {BASE: base}) for base in self.bases])[:, None, None]
        owners = np.arange(len(self.bases))
        blocks = [self._block(owners, starts - difficulty, group, task, "default")]
        if s.think_items and group not in OF_REFUSALS:
            able = np.array([s.base_logit + s.capabilities[base] for base in self.bases])[:, None, None]
            logit = able - self._normal(s.noise.item, s.think_items)
            blocks.append(self._block(owners, logit, group, task, THINK))
        of_group, name = home(s, task), task if variant else ""
        course_of = {cell: latent(s, at, of_group, self.trained, name) for cell, at in self.conditions.items()}
        hard = {cell: self._normal(s.noise.item_condition, n) for cell in self.conditions}
        mean = np.array([course_of[cell] for cell in self.cells]) + self.offsets
        logit = mean[:, :, None] - difficulty + np.array([hard[cell] for cell in self.cells])[:, None, :]
        blocks.append(self._block(len(self.bases) + np.arange(len(self.runs)), logit, group, task, "default", of_group))
        return blocks

    def _block(self, owners: np.ndarray, logit: Floats, group: str, task: str, mode: str, of_group: str = "") -> Block:
        """Records from logits (owners, steps, items); `of_group` is given for runs."""
        s, rng = self.s, self.rng
        logit = (logit + self._normal(s.noise.item_checkpoint, *logit.shape))[..., None]
        shape = (*logit.shape[:3], s.samples)
        right = rng.random(shape) < (1 / (1 + np.exp(-logit))) ** s.answer_tokens
        outcome = right.astype(np.int64)
        if of_group and s.truncation:
            lost = {cell: course(s, at, of_group, self.trained).lost for cell, at in self.conditions.items()}
            chance = s.truncation * np.minimum([lost[cell] for cell in self.cells], 1.0)
            outcome[~right & (rng.random(shape) < chance[:, :, None, None])] = 2
        steps = np.arange(1, len(s.steps)) if of_group else np.zeros(1, dtype=np.int64)
        values = {name: of[group][np.ix_(owners, steps)][..., None, None] for name, of in self.measures.items()}
        spread = 1 + LENGTH_SPREAD * (2 * rng.random(shape) - 1)
        values["response_tokens"] = values["response_tokens"] * spread + CUT_OFF * (outcome == 2)
        if s.log_probability_sd is not None:
            told = logit + self._normal(s.log_probability_sd, *shape)
            values["log_probability"] = -s.answer_tokens * np.logaddexp(0, -told)
        return Block(owners, steps, task, group, mode, outcome, values, "think/" if mode == THINK else "")

    def _measures(self) -> dict[str, dict[str, Floats]]:
        """Each measure of each group (owners, all steps)."""
        wanted = {"response_tokens": DEFAULT_TOKENS, **self.s.measures}
        return {name: self._measure(measure, name in OF_RUNS) for name, measure in wanted.items()}

    def _measure(self, measure: Measure, alike: bool) -> dict[str, Floats]:
        """One measure in each group; `alike` where it is the run's, the same in all groups."""
        luck = self._normal(measure.run_sd, len(self.runs), 1) + self._wander(measure.checkpoint_sd, 0.0)
        for group, slope in measure.with_gain.items():
            luck = luck + slope * self._gains(group)
        found: dict[str, Floats] = {}
        for group in self.s.group_tasks():
            of_group = "" if alike else group
            bases = np.array([measure_start(self.s, measure, {BASE: base}, of_group) for base in self.bases])
            paths = {
                cell: measured(self.s, measure, at, of_group, self.trained) for cell, at in self.conditions.items()
            }
            at_start = np.repeat(bases[:, None], len(self.s.steps), axis=1)
            runs = np.pad(np.array([paths[cell] for cell in self.cells]) + luck, ((0, 0), (1, 0)))
            found[group] = measure.in_unit(np.vstack([at_start, runs]))
        return found

    def _gains(self, group: str) -> Floats:
        """Each run's own gain in logits (runs, trained steps), its luck included."""
        gains = {
            cell: latent(self.s, at, group, self.trained) - start_logit(self.s, at)
            for cell, at in self.conditions.items()
        }
        return np.array([gains[cell] for cell in self.cells]) + self.offsets
