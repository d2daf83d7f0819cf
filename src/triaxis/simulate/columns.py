"""Records of many runs at once made into the columns of a table: codes into few texts, each column built once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from triaxis.simulate.designs import Run
from triaxis.simulate.measures import WHOLE
from triaxis.simulate.settings import BASE, Settings
from triaxis.stats.intervals import Floats
from triaxis.types import Level, Outcome

Ints = NDArray[np.int64]
OUTCOMES = (Outcome.WRONG, Outcome.CORRECT, Outcome.TRUNCATED)


@dataclass(frozen=True, eq=False)
class Block:
    """Records of some owners on one task: arrays of owners x steps x items x samples, or that broadcast to it."""

    owners: Ints  # bases first, then runs
    steps: Ints  # places in the study's steps
    task: str
    group: str
    mode: str
    outcome: Ints  # places in OUTCOMES
    values: Mapping[str, Floats]  # further columns
    items: str = ""  # what their ids begin with, after the task


def table(settings: Settings, runs: Sequence[Run], blocks: Sequence[Block]) -> pa.Table:
    """The blocks as one raw table, block by block, owner by owner."""
    bases = settings.base_names()

    def codes(of: Sequence[Ints]) -> Ints:
        return np.concatenate(
            [np.broadcast_to(each, block.outcome.shape).ravel() for block, each in zip(blocks, of, strict=True)]
        )

    owner = codes([block.owners[:, None, None, None] for block in blocks])
    step = codes([block.steps[None, :, None, None] for block in blocks])
    shapes = [np.ogrid[tuple(slice(n) for n in block.outcome.shape)] for block in blocks]
    outcome = codes([block.outcome for block in blocks])
    columns: dict[str, pa.Array] = {
        "run": label(["", *(run.id for run in runs)], np.maximum(owner - len(bases) + 1, 0)),
        "seed": pa.array(np.r_[np.zeros(len(bases), dtype=np.int64), [run.seed for run in runs]][owner]),
        "step": pa.array(np.asarray(settings.steps)[step]),
        "outcome": label(OUTCOMES, outcome),
        "score": pa.array((outcome == 1).astype(np.float64)),
        "sample": pa.array(codes([shape[3] for shape in shapes])),
        "item": _items(blocks, codes([shape[2] for shape in shapes])),
    }
    block_of = codes([np.full((1, 1, 1, 1), place) for place in range(len(blocks))])
    told: dict[str, list[str | None]] = {name: [getattr(b, name) for b in blocks] for name in ("task", "group", "mode")}
    if settings.variants:
        varied = [settings.variants.get(block.task) for block in blocks]
        told |= {
            "variant_of": [v.of if v else None for v in varied],
            "variant": [v.kind if v else None for v in varied],
        }
    columns |= {name: label(each, block_of) for name, each in told.items()}
    for name in blocks[0].values:
        parts = [np.broadcast_to(block.values[name], block.outcome.shape).ravel() for block in blocks]
        values = np.concatenate(parts)
        columns[name] = pa.array(np.rint(values) if name in WHOLE else values)
    return pa.table({**columns, **_factors(settings, runs, owner)})


def label(values: Sequence[str | None], codes: Ints) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(list(map(_plain, values))))


def _plain(value: str | None) -> str | None:
    return None if value is None else str(value)


def _items(blocks: Sequence[Block], item: Ints) -> pa.DictionaryArray:
    """Ids: the task, then the item's number."""
    kinds: dict[str, int] = {}
    names: list[str | None] = []
    starts = []
    for block in blocks:
        kind = f"{block.task}/{block.items}"
        if kind not in kinds:
            kinds[kind] = len(names)
            names += [f"{kind}{i}" for i in range(block.outcome.shape[2])]
        starts.append(np.full(block.outcome.size, kinds[kind]))
    return label(names, item + np.concatenate(starts))


def _factors(settings: Settings, runs: Sequence[Run], owner: Ints) -> dict[str, pa.Array]:
    """Factors and traits, a level a run; base rows have their base and nothing else."""
    bases = settings.base_names()
    names = dict.fromkeys([BASE, *(name for run in runs[:1] for name in run.condition)])
    found = {}
    for name in names:
        of_bases: list[Level | None] = [base if name == BASE else None for base in bases]
        levels = [*of_bases, *(settings.base(run.condition) if name == BASE else run.condition[name] for run in runs)]
        distinct = list(dict.fromkeys(level for level in levels if level is not None))
        code = np.array([-1 if level is None else distinct.index(level) for level in levels])[owner]
        found[name] = pa.DictionaryArray.from_arrays(pa.array(code, pa.int32(), mask=code < 0), pa.array(distinct))
    return found
