"""`mixture`: how much of the set each domain and each difficulty has, at a fixed total; and in which order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace
from typing import Annotated, ClassVar, Literal

from pydantic import PlainValidator, model_validator

from triaxis.axes.data.recipes.copies import copy_of
from triaxis.axes.data.recipes.dice import draw
from triaxis.axes.data.recipes.levels import bands, ranks, told
from triaxis.axes.data.recipes.operation import Context, Operation
from triaxis.axes.data.recipes.select import level_text
from triaxis.study.fields import Count, Names
from triaxis.study.mistakes import nearest, shown
from triaxis.types import Example

WORDS = ("as_is", "balanced", "easy_only", "hard_only")


def _shares(value: object) -> object:
    """A word, or a mapping of cells to shares that sum to 1; a union's errors would name both in pydantic's words."""
    if isinstance(value, str) and value in WORDS:
        return value
    if not isinstance(value, dict) or not value:
        near = nearest(value, WORDS) if isinstance(value, str) else None
        hint = f"; did you mean {near}?" if near else ""
        raise ValueError(f"must be {', '.join(WORDS)}, or a mapping of cells to shares, got {shown(value)}{hint}")
    for cell, share in value.items():
        if not isinstance(share, int | float) or isinstance(share, bool) or not 0 <= share <= 1:
            raise ValueError(f"the share of {shown(cell)} must be a number from 0 to 1, got {shown(share)}")
    if abs(sum(value.values()) - 1) > 1e-6:
        raise ValueError(f"must sum to 1, and sum to {sum(value.values()):g}")
    return {str(cell): float(share) for cell, share in value.items()}


def _bands(value: object) -> object:
    if value == "own" or (isinstance(value, int) and not isinstance(value, bool) and 2 <= value <= 10):
        return value
    raise ValueError(f"must be own, or a whole number from 2 to 10, got {shown(value)}")


@dataclass(frozen=True)
class _Key:
    """What is remembered of a row: enough to choose it and to order it."""

    id: str
    cell: str
    rank: float  # from easy to hard


class Mixture(Operation):
    """`total` rows in the given shares of cells: domains, difficulties, or `domain/difficulty`.

    Difficulties that are numbers are cut into bands of about equal counts (easy, medium, hard), or taken as they are
    (`bands: own`); those that are words are taken as they are. Within a cell the rows are those that the seed draws
    first, and no cell has fewer of a larger total, so that this has the rows of a smaller one.
    """

    name: ClassVar[str] = "mixture"
    main: ClassVar[str] = "shares"

    shares: Annotated[dict[str, float] | str, PlainValidator(_shares)]
    by: Literal["domain", "difficulty", "both"] = "difficulty"
    total: Count | None = None  # as many as the shares allow
    bands: Annotated[int | str, PlainValidator(_bands)] = 3
    levels: Names | None = None  # words of difficulty from easy to hard
    short: Literal["error", "fill", "repeat"] = "error"  # where a cell has too few rows
    order: Literal["as_is", "curriculum", "shuffled"] = "as_is"

    @model_validator(mode="after")
    def _fits(self) -> Mixture:
        if self.shares in ("easy_only", "hard_only") and self.by != "difficulty":
            raise ValueError(f"{self.shares} is a mixture by difficulty; remove `by`")
        return self

    def run(self, examples: Iterator[Example], context: Context) -> Iterator[Example]:
        with context.spill() as rows:
            asked = [(example.id, example.domain, level_text(example)) for example in rows.keeping(examples)]
            keys = self._keys(asked, context)
            chosen = self._chosen(keys, context)
            for number, copy in self._ordered(chosen, keys, context.seed):
                if copy > 1:
                    context.entry.add(f"{keys[number].id}~{copy}", "repeated")
                yield rows[number] if copy == 1 else copy_of(rows[number], copy)
            taken = {number for number, _ in chosen}
            for number, key in enumerate(keys):
                if number not in taken:
                    context.entry.leave_out(key.id, f"beyond the share of {key.cell}" if key.cell else "no difficulty")

    def _keys(self, asked: Sequence[tuple[str, str, str]], context: Context) -> list[_Key]:
        """Every row with its cell; an empty one where its difficulty isn't known."""
        counts = Counter(level for _, _, level in asked if level)
        needs = self.by != "domain" or self.order == "curriculum"
        rank = ranks(counts, self.levels) if needs else {}
        own = self.bands == "own" or self.levels is not None or not all(_is_number(level) for level in counts)
        if needs and not counts:
            raise context.mistake("no row has a difficulty; name its column in the source's `fields`, or mix by domain")
        if rank is None and (self.order == "curriculum" or not isinstance(self.shares, dict) or not own):
            some = ", ".join(sorted(counts)[:6])
            raise context.mistake(f"which of {some} is harder isn't known; list them in `levels`, from easy to hard")
        own = own or self.by == "domain"
        band = {level: level for level in counts} if own else bands(counts, rank or {}, int(self.bands))
        if needs and not own and self.shares != "as_is":
            context.entry.notes.append(told(counts, rank or {}, band))
        keys = []
        for id, domain, level in asked:
            parts = [domain or "(none)"] if self.by != "difficulty" else []
            parts += [band[level] if level else ""] if self.by != "domain" else []
            cell = "/".join(parts) if all(parts) else ""
            keys.append(_Key(id, cell, (rank or {}).get(level, float("inf"))))
        return keys

    def _wanted(self, have: Counter[str], keys: Sequence[_Key], context: Context) -> dict[str, float]:
        """The share of each cell that there is."""
        if isinstance(self.shares, dict):
            for cell in self.shares:
                if cell not in have:
                    near = nearest(cell, have)
                    hint = f"did you mean {near}?" if near else f"there are {', '.join(sorted(have)[:12])}"
                    raise context.mistake(f"no row is of {cell}; {hint}")
            return {cell: share for cell, share in self.shares.items() if share > 0}
        if len(have) < 2 and self.shares != "as_is":
            (only,) = have
            raise context.mistake(
                f"every row whose {'domain' if self.by == 'domain' else 'difficulty'} is known is of {only}, so that "
                f"{self.shares} is nothing else than what came; take as_is, or a source with more of them"
            )
        if self.shares == "balanced":
            return {cell: 1 / len(have) for cell in sorted(have)}
        if self.shares == "as_is":
            return {cell: n / have.total() for cell, n in sorted(have.items())}
        ends = sorted((key.rank, key.cell) for key in keys if key.cell)
        return {ends[0][1] if self.shares == "easy_only" else ends[-1][1]: 1.0}

    def _chosen(self, keys: Sequence[_Key], context: Context) -> list[tuple[int, int]]:
        """The rows to take, each with the number of its copy, from 1."""
        have = Counter(key.cell for key in keys if key.cell)
        if not have:
            return []
        shares = self._wanted(have, keys, context)
        wanted = self._counts(shares, have, context)
        waiting: dict[str, list[int]] = {cell: [] for cell in have}
        for number in sorted(range(len(keys)), key=lambda i: (draw(context.seed, "mixture", keys[i].id), i)):
            if keys[number].cell:
                waiting[keys[number].cell].append(number)
        chosen = []
        for cell, n in wanted.items():
            rows = waiting[cell]
            chosen += [(rows[i % len(rows)], i // len(rows) + 1) for i in range(n)]
        return chosen

    def _counts(self, shares: dict[str, float], have: Counter[str], context: Context) -> dict[str, int]:
        """How many rows of each cell; more than there are only where rows are repeated."""
        if self.total is None:
            total = min(int(have[cell] / share + 1e-9) for cell, share in shares.items())
            while any(n > have[cell] for cell, n in apportioned(shares, total).items()):
                total -= 1  # rounding asked for one too many of a cell
            return apportioned(shares, total)
        wanted = apportioned(shares, self.total)
        for cell, n in wanted.items():
            if n > have[cell]:
                said = f"{cell} has {have[cell]:,} rows, and {n:,} are asked for"
                if self.short == "error":
                    raise context.mistake(f"{said}; lower `total`, or set `short` to fill or repeat")
                context.entry.notes.append(said)
        if self.short != "fill":
            return wanted
        missing = self.total - sum(have[cell] for cell in shares)
        if missing > 0:
            raise context.mistake(f"{missing:,} rows are missing even when filled from the other cells; lower `total`")
        return apportioned(shares, self.total, have)

    def _ordered(self, chosen: list[tuple[int, int]], keys: Sequence[_Key], seed: int) -> list[tuple[int, int]]:
        if self.order == "as_is":
            return sorted(chosen)

        def place(row: tuple[int, int]) -> tuple[float, float, int]:
            number, copy = row
            rank = keys[number].rank if self.order == "curriculum" else 0.0
            return rank, draw(seed, "order", keys[number].id, copy), number

        return sorted(chosen, key=place)


def apportioned(shares: Mapping[str, float], total: int, most: Mapping[str, int] | None = None) -> dict[str, int]:
    """Whole numbers that sum to `total`, as near to the shares as they can be while none falls when the total grows;
    at most `most` of each.

    The divisor method of Sainte-Lague: row after row goes to the cell with the largest share / (2 rows + 1). (Largest
    remainders come nearer, and can take a row from a cell when one is added: the Alabama paradox.) It begins at what
    each cell has for certain, so that few rows are left to deal out. Raises ValueError where `most` is too little.
    """
    most = most or dict.fromkeys(shares, total)
    certain = max(total - len(shares), 0)
    found = {cell: min(int(share * certain), most[cell]) for cell, share in shares.items()}
    waiting = [(-share / (2 * found[cell] + 1), cell) for cell, share in shares.items() if found[cell] < most[cell]]
    heapify(waiting)
    for _ in range(total - sum(found.values())):
        if not waiting:
            raise ValueError(f"{total:,} are more than there are")
        cell = waiting[0][1]
        found[cell] += 1
        next_one = -shares[cell] / (2 * found[cell] + 1) if found[cell] < most[cell] else float("inf")
        heapreplace(waiting, (next_one, cell))
    return found


def _is_number(level: str) -> bool:
    try:
        float(level)
    except ValueError:
        return False
    return True
