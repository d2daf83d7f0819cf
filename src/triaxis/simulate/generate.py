"""Draws a study's long table from its settings, record by record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa

from triaxis.records import Table
from triaxis.records.table import make_table
from triaxis.simulate.settings import Settings
from triaxis.simulate.truth import Truth
from triaxis.stats.intervals import Floats
from triaxis.types import Level, Outcome


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
    rng = np.random.default_rng(settings.seed)
    share, lost = settings.course_at()
    parts: list[pa.Table] = []
    runs = _runs(settings, rng)
    of_base = {base: rng.normal(0, settings.noise.base) for base in settings.base_names()}
    offsets = {}
    for run, (condition, _) in runs.items():
        offsets[run] = _wander(settings, rng) + of_base[_base(settings, condition)]
    for group, tasks in settings.groups.items():
        for task in tasks:
            difficulty = rng.normal(0, settings.noise.item, settings.items)
            shift: dict[tuple[Level, ...], Floats] = {}
            for base in settings.base_names():
                logit = settings.base_logit + settings.bases.get(base, 0.0) - difficulty
                luck = rng.normal(0, settings.noise.item_checkpoint, settings.items)
                parts.append(
                    _rows(
                        settings,
                        rng,
                        logit[None] + luck,
                        group,
                        task,
                        {"run": "", "model.base": base},
                        np.zeros(1),
                        (0,),
                    )
                )
            for run, (condition, seed) in runs.items():
                base = _base(settings, condition)
                key = tuple(condition.values())
                if key not in shift:
                    shift[key] = rng.normal(0, settings.noise.item_condition, settings.items)
                course = share * settings.full_gain(condition, group) - lost
                logit = settings.base_logit + settings.bases.get(base, 0.0) + course[1:] + offsets[run]
                each = logit[:, None] - difficulty + shift[key]
                each = each + rng.normal(0, settings.noise.item_checkpoint, each.shape)
                head = {"run": run, "seed": seed, "model.base": base, **condition}
                parts.append(_rows(settings, rng, each, group, task, head, lost[1:], settings.steps[1:]))
    return Simulated(make_table(pa.concat_tables(parts, promote_options="permissive"), "simulated"), Truth(settings))


def _base(settings: Settings, condition: Mapping[str, Level]) -> str:
    return str(condition.get("model.base", settings.base_names()[0]))


def _runs(settings: Settings, rng: np.random.Generator) -> dict[str, tuple[dict[str, Level], int]]:
    """Runs by id; some are missing, but never all seeds of a condition."""
    runs: dict[str, tuple[dict[str, Level], int]] = {}
    for levels in product(*settings.factors.values()):
        condition = dict(zip(settings.factors, levels, strict=True))
        traits = {column: of[_base(settings, condition)] for column, of in settings.traits.items()}
        name = ",".join(f"{key.partition('.')[2]}={level}" for key, level in condition.items()) or "run"
        there = rng.random(settings.seeds) >= settings.missing_runs
        there[rng.integers(settings.seeds)] = True
        runs |= {f"{name}-s{seed}": ({**condition, **traits}, seed) for seed in range(settings.seeds) if there[seed]}
    return runs


def _wander(settings: Settings, rng: np.random.Generator) -> Floats:
    """A run's lasting offset plus autocorrelated checkpoint noise, at the trained steps."""
    noise, n = settings.noise, len(settings.steps) - 1
    fresh = rng.normal(0, noise.checkpoint, n)
    rho = noise.autocorrelation
    for k in range(1, n):
        fresh[k] = rho * fresh[k - 1] + (1 - rho**2) ** 0.5 * fresh[k]
    return np.asarray(rng.normal(0, noise.run) + fresh, dtype=np.float64)


def _rows(
    settings: Settings,
    rng: np.random.Generator,
    logit: Floats,
    group: str,
    task: str,
    head: Mapping[str, Any],
    lost: Floats,
    steps: tuple[int, ...],
) -> pa.Table:
    """Records of one run on one task: steps x items x samples, with `head` on each."""
    shape = (*logit.shape, settings.samples)
    right = rng.random(shape) < 1 / (1 + np.exp(-logit))[:, :, None]
    cut = ~right & (rng.random(shape) < (settings.truncation * np.minimum(lost, 1.0))[:, None, None])
    names = np.array([Outcome.WRONG, Outcome.CORRECT, Outcome.TRUNCATED])
    step, item, sample = (axis.ravel() for axis in np.indices(shape))
    n = right.size
    columns: dict[str, Any] = {
        "step": np.asarray(steps)[step],
        "task": pa.array([task]).take(pa.array(np.zeros(n, dtype=np.int64))),
        "group": pa.array([group]).take(pa.array(np.zeros(n, dtype=np.int64))),
        "item": pa.array([f"{task}/{i}" for i in range(shape[1])]).take(pa.array(item)),
        "sample": sample,
        "outcome": pa.array(names.tolist()).take(pa.array(np.where(cut, 2, right).ravel().astype(np.int64))),
        "score": right.ravel().astype(np.float64),
        "response_tokens": 20.0 + 10.0 * rng.random(n) + 160.0 * cut.ravel(),
    }
    for name, value in head.items():
        columns[name] = pa.array([value]).take(pa.array(np.zeros(n, dtype=np.int64)))
    return pa.table(columns)
