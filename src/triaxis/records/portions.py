"""What is measured of a checkpoint before all of it is: records by task, each kept before the next is measured."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triaxis.records.parts import DamagedPart, read_part, write_atomically, write_part
from triaxis.types import Outcome, Record

WHOLE = ("response_tokens", "verified_steps", "batch_size")  # whole numbers, of which a file may make others


@dataclass(frozen=True)
class Portion:
    """The records of one task of a checkpoint, and the seconds that they took."""

    records: tuple[Record, ...]
    seconds: float


class Portions:
    """The portions of one checkpoint in a folder of their own. `key` says of which weights, asked what: portions of
    others are never found."""

    def __init__(self, study: Path, key: str) -> None:
        self.folder = study / "state" / key

    def keep(self, place: int, portion: Portion) -> None:
        """Keep the portion of the task in that place: its records first, then what says that they are whole."""
        size, sha256 = write_part(self._part(place), portion.records)
        told = {"bytes": size, "sha256": sha256, "seconds": portion.seconds}
        write_atomically(self._part(place).with_suffix(".json"), json.dumps(told).encode())

    def kept(self, places: int) -> dict[int, Portion]:
        """The portions that are there and whole, of so many."""
        found: dict[int, Portion] = {}
        for place in range(places):
            try:
                told = json.loads(self._part(place).with_suffix(".json").read_text(encoding="utf-8"))
                table = read_part(self._part(place), told["bytes"], told["sha256"], text=True)
            except (OSError, ValueError, KeyError, TypeError, DamagedPart):
                continue  # measured again
            found[place] = Portion(tuple(map(_record, table.to_pylist())), told["seconds"])
        return found

    def drop(self) -> None:
        """Remove them: the checkpoint's own file holds all of it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _part(self, place: int) -> Path:
        return self.folder / f"task-{place:04d}.parquet"


def in_records(portions: Sequence[Portion]) -> tuple[list[Record], float]:
    """All records of some portions, and the seconds that they took."""
    return [record for portion in portions for record in portion.records], sum(p.seconds for p in portions)


def _record(row: dict[str, Any]) -> Record:
    whole = {name: None if row[name] is None else int(row[name]) for name in WHOLE}
    return Record(**{**row, **whole, "outcome": Outcome(row["outcome"])})
