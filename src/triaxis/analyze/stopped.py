"""What an adaptive evaluation asked: the pilot that everything else is inferred from, and each cell's gain from all.

A cell is one run at one checkpoint on one task in one mode. It was asked no further once its gain was settled, so that
what was asked depends on what was answered: an ordinary mean of it is biased, and an ordinary interval covers less than
it says. The pilot is a fixed share of each task's items, the same ones at every checkpoint and chosen by no answer: on
it ordinary statistics hold. A cell's own gain over all items of the pool is what the confidence sequence is of.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from triaxis.analyze.coding import coded, numbers
from triaxis.analyze.judged import SUFFIX
from triaxis.analyze.paths import Path
from triaxis.records.columns import ADAPTIVE, BASE
from triaxis.stats.intervals import Floats
from triaxis.stats.sequence import gain_bounds, settled
from triaxis.types import CellGain, Effect, Finding, Interval, NotEstimable, Verdict

if TYPE_CHECKING:
    from triaxis.records import Table

NO_BASE = "the base was not asked all items of the task: no pair, no gain"
NO_BOUNDS = "scores that differ by more than 1: a confidence sequence needs scores in [0, 1]"
NO_PREFIX = "items are missing among those that were asked: they are no prefix of the order"
Key = tuple[str, str, int, str, str]  # source, run, step, task, mode
_BASE = "\0"  # no run's id begins with it
Told = TypeVar("Told", Effect, Finding, Verdict)


def cell_gains(table: Table) -> tuple[CellGain, ...]:
    """The gain of every cell of an adaptive evaluation, in order of source, run, task, mode and step; else none."""
    arrow = table.arrow
    if any(name not in arrow.column_names for name in ADAPTIVE):
        return ()
    cells = _cells(arrow.filter(pc.is_valid(arrow.column("asked_at"))))
    found: list[CellGain] = []
    alike: dict[tuple[int, int, float], list[tuple[CellGain, Floats]]] = defaultdict(list)
    for (source, run, step, task, mode), own in cells.items():
        if step == 0:
            continue
        of_base = (source, run, 0, task, mode), (source, _BASE + own.base, 0, task, mode)
        base = next((cells[key].scores for key in of_base if key in cells), {})
        cell = own.cell
        if sorted(own.scores) != list(range(cell.asked)):
            found.append(replace(cell, gain=NotEstimable(NO_PREFIX)))
        elif any(place not in base for place in own.scores):
            found.append(replace(cell, gain=NotEstimable(NO_BASE)))
        else:
            differences = np.array([own.scores[place] - base[place] for place in range(cell.asked)])
            if np.abs(differences).max() > 1:
                found.append(replace(cell, gain=NotEstimable(NO_BOUNDS)))
            else:
                alike[cell.asked, cell.of, cell.smallest_effect].append((cell, differences))
    for of_size in alike.values():
        found += _settled(of_size)
    return tuple(sorted(found, key=lambda cell: (cell.source, cell.run, cell.task, cell.mode, cell.step)))


class _Cell(NamedTuple):
    """A cell without its gain, its base, and its score at each place, averaged over samples."""

    cell: CellGain
    base: str
    scores: dict[int, float]


def _cells(arrow: pa.Table) -> dict[Key, _Cell]:
    """By cell; the run of a base is its name after `_BASE`."""
    names = ("source", "run", "task", "mode", "group", BASE)
    columns = {name: coded(arrow, name, "") for name in names}
    texts = {name: [str(columns[name].values[code]) for code in columns[name].codes] for name in names}
    step, place, total, smallest, score, tokens = (
        numbers(arrow, name).tolist()
        for name in ("step", "asked_at", "asked_of", "smallest_effect", "score", "response_tokens")
    )
    rows: dict[Key, list[int]] = defaultdict(list)
    for row, (source, run, base) in enumerate(zip(texts["source"], texts["run"], texts[BASE], strict=True)):
        rows[source, run or _BASE + base, int(step[row]), texts["task"][row], texts["mode"][row]].append(row)
    found = {}
    for key, own in rows.items():
        samples: dict[int, list[float]] = defaultdict(list)
        for row in own:
            samples[int(place[row])].append(score[row])
        cell = CellGain(
            run=key[1],
            source=key[0],
            step=key[2],
            task=key[3],
            group=texts["group"][own[0]],
            mode=key[4],
            asked=len(samples),
            of=int(total[own[0]]),
            gain=NotEstimable(""),
            settled="",
            smallest_effect=smallest[own[0]],
            tokens=float(np.nansum([tokens[row] for row in own])),
        )
        found[key] = _Cell(cell, texts[BASE][own[0]], {at: sum(s) / len(s) for at, s in samples.items()})
    return found


def _settled(cells: Sequence[tuple[CellGain, Floats]]) -> list[CellGain]:
    """Cells of one size with as many items asked: their gains with the sequence's intervals, and what these settle.

    The value is the mean of those asked, which leans outward where asking stopped; the interval is what holds.
    """
    total, smallest = cells[0][0].of, cells[0][0].smallest_effect
    low, high = gain_bounds(np.array([own for _, own in cells]), total)
    found = []
    for (cell, own), least, most in zip(cells, low, high, strict=True):
        value = float(np.clip(own.mean(), least, most))
        gain = Interval(value, float(least), float(most))
        found.append(replace(cell, gain=gain, settled=settled(own, total, smallest)))
    return found


@dataclass(frozen=True)
class Asked:
    """The cells of an analysis, ready to flag what rests on them."""

    gains: Sequence[CellGain]
    pilots: Mapping[str, str]  # source: its pilot in words

    @classmethod
    def of(cls, table: Table) -> Asked:
        gains = cell_gains(table)
        return cls(gains, _pilots(table.arrow) if gains else {})

    def stopped(self, paths: Iterable[Path], steps: Sequence[int]) -> tuple[int, ...]:
        """At each step, how many of the cells behind these paths were stopped early; empty where none is adaptive."""
        early = self._early
        # What a judge scores was asked as the detector's score decided.
        keys = [(p.source, p.run, task.removesuffix(SUFFIX), p.mode) for p in paths for task in p.tasks]
        if not any(key in early for key in keys):
            return ()
        return tuple(sum(step in early.get(key, ()) for key in keys) for step in steps)

    @property
    def _early(self) -> dict[tuple[str, str, str, str], set[int]]:
        early: dict[tuple[str, str, str, str], set[int]] = {}
        for cell in self.gains:
            steps = early.setdefault((cell.source, cell.run, cell.task, cell.mode), set())
            if cell.stopped:
                steps.add(cell.step)
        return early

    def said(self, found: Iterable[Told]) -> tuple[Told, ...]:
        """With which items they were inferred from in their method."""
        told = []
        for each in found:
            pilot = self.pilots.get(each.evidence if isinstance(each, Verdict) else each.source)
            told.append(replace(each, method=f"{each.method}, {pilot}") if pilot and each.method else each)
        return tuple(told)

    @property
    def warnings(self) -> list[str]:
        """What was asked, and what is inferred from which of it."""
        told = []
        for source, pilot in self.pilots.items():
            cells = [cell for cell in self.gains if cell.source == source]
            early = sum(cell.stopped for cell in cells)
            where = f" ({source})" if len(self.pilots) > 1 else ""
            told.append(
                f"adaptive evaluation{where}: {early:,} of {len(cells):,} cells (run, checkpoint, task) were stopped"
                f" early; all is inferred {pilot}, and what was asked beyond them tells each cell's own gain, of this"
                " pool of items, at 95 % a cell and not for all together"
            )
        return told


def _pilots(arrow: pa.Table) -> dict[str, str]:
    """By source, the pilot in words."""
    sizes: dict[str, set[tuple[int, int]]] = defaultdict(set)
    picked = arrow.filter(pc.fill_null(arrow.column("pilot"), False))
    columns = ["source", "task", "mode", "asked_of", "asked_at"]
    grouped = picked.select(columns).group_by(columns[:4]).aggregate([("asked_at", "max")])
    for row in grouped.to_pylist():
        sizes[str(row["source"])].add((int(row["asked_at_max"]) + 1, int(row["asked_of"])))
    return {
        source: f"on the pilot items ({', '.join(f'{n:,} of {total:,}' for n, total in sorted(of)[:3])} a task)"
        for source, of in sizes.items()
    }
