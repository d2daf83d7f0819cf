"""A finished evaluation as an adaptive one would have left it: the same responses without those it hadn't asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from triaxis.analyze.coding import Coded, Ints, coded, combine, first_row, numbers
from triaxis.records import Table
from triaxis.records.columns import BASE
from triaxis.records.table import make_table
from triaxis.stats.intervals import Floats
from triaxis.stats.sequence import settled_after
from triaxis.study.evaluation import Adaptive
from triaxis.tasks.order import places
from triaxis.types import TriaxisError


def replayed(table: Table, adaptive: Adaptive, seed: int = 0) -> Table:
    """The table with what the rule would not have asked left out, and with the columns that say so.

    `seed` is that of the order of asking. Bases are asked in full, and so is a cell that was not scored on all items of
    its base. Raises TriaxisError for a table of summaries.
    """
    arrow = table.arrow
    if arrow["item"].null_count:
        raise TriaxisError("a summary has no items that could be left out: give records")
    columns = {name: coded(arrow, name, "") for name in ("source", "run", "task", "mode", BASE, "item")}
    owners = _Owners(columns, coded(arrow, "step", 0))
    kinds, kind = combine(columns["source"], columns["task"], columns["mode"])
    place, total = (np.zeros(arrow.num_rows, dtype=np.int64) for _ in range(2))
    pilot, keep = np.zeros(arrow.num_rows, dtype=bool), np.zeros(arrow.num_rows, dtype=bool)
    score = numbers(arrow, "score")
    for code, (_, task, _) in enumerate(kinds):
        rows = np.flatnonzero(kind == code)
        names = [str(columns["item"].values[at]) for at in columns["item"].codes[rows]]
        order = places(str(columns["task"].values[task]), tuple(dict.fromkeys(names)), seed)
        place[rows], total[rows] = [order[name] for name in names], len(order)
        pilot[rows] = place[rows] < adaptive.pilot_of(len(order))
        own, local = np.unique(owners.of[rows], return_inverse=True)
        scores = _means(score[rows], local, place[rows], (len(own), len(order)))
        keep[rows] = place[rows] < _asked(scores, owners.bases(own), adaptive)[local]
    smallest = np.full(arrow.num_rows, adaptive.smallest_effect)
    told = {"asked_at": place, "asked_of": total, "pilot": pilot, "smallest_effect": smallest}
    for name, values in told.items():
        arrow = arrow.append_column(name, pa.array(values))
    return Table(make_table(arrow.filter(pa.array(keep))).arrow, table.warnings, table.incomplete)


class _Owners:
    """Whose each row is: a checkpoint of a run, or a base."""

    def __init__(self, columns: dict[str, Coded], step: Coded) -> None:
        names = [str(value) for value in columns[BASE].values]
        of_run = np.array([value != "" for value in columns["run"].values])[columns["run"].codes]
        base = Coded(np.where(of_run, len(names), columns[BASE].codes), [*names, ""])
        cells, self.of = combine(columns["run"], base, step)
        first = first_row(self.of, len(cells))
        self.base_of = [names[code] for code in columns[BASE].codes[first]]
        self.run_of = [str(columns["run"].values[code]) for code in columns["run"].codes[first]]
        self.trained = np.array(step.values)[step.codes[first]] > 0

    def bases(self, own: Ints) -> list[int | None]:
        """For each of these owners the place among them of what it is compared with: its run's own step 0, else its
        base; None for these."""
        at = {(self.run_of[code], self.base_of[code]): n for n, code in enumerate(own) if not self.trained[code]}
        keys = [((self.run_of[code], self.base_of[code]), ("", self.base_of[code])) for code in own]
        return [
            next((at[key] for key in pair if key in at), None) if self.trained[code] else None
            for code, pair in zip(own, keys, strict=True)
        ]


def _asked(scores: Floats, bases: Sequence[int | None], adaptive: Adaptive) -> Ints:
    """How many items each owner is asked, from its score at each place (owners x items)."""
    total = scores.shape[1]
    asked = np.full(len(scores), total, dtype=np.int64)
    of_base: dict[int, list[int]] = defaultdict(list)
    for owner, base in enumerate(bases):
        if base is not None and not np.isnan(scores[[owner, base]]).any():
            of_base[base].append(owner)
    for base, own in of_base.items():
        looks = np.array(adaptive.looks(total))
        asked[own] = settled_after(scores[own] - scores[base], total, adaptive.smallest_effect, looks)
    return asked


def _means(score: Floats, owner: Ints, place: Ints, shape: tuple[int, int]) -> Floats:
    """Mean score of each owner at each place, NaN where there is none."""
    key, size = owner * shape[1] + place, shape[0] * shape[1]
    counts = np.bincount(key, minlength=size).astype(np.float64)
    sums = np.bincount(key, weights=score, minlength=size)
    means = np.full(size, np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means.reshape(shape)
