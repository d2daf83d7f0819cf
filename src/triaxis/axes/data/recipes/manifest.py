"""What a variant was made of and how: the source and its SHA-256, the recipe, what was done to which rows."""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from triaxis.axes.data.recipes.operation import Action, Entry
from triaxis.version import __version__

_quoted = json.encoder.encode_basestring_ascii
EMBEDDED = 500  # touched rows that the manifest itself lists; more go into a file of their own


@dataclass
class Manifest:
    """The document beside the output; the same recipe on the same source gives the same one."""

    recipe: dict[str, Any]
    source: dict[str, Any]
    operations: tuple[Entry, ...]
    rows: dict[str, Any]  # which were touched: a list, or the file that has it
    output: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "triaxis": __version__,
            "recipe": self.recipe,
            "seed": self.recipe["seed"],
            "source": self.source,
            "operations": [entry.to_dict() for entry in self.operations],
            "rows_touched": self.rows,
            "output": self.output,
            "notes": self.notes,
        }

    def text(self) -> str:
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


class Touched:
    """The rows that operations touch: in memory while they are few, beyond that in a file, a line each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._raw: IO[bytes] | None = None
        self._file: gzip.GzipFile | None = None
        self._waiting: list[str] = []  # lines
        self.count = 0

    def take(self, step: int, action: Action, id: str, how: str) -> None:
        """One row: which step did what to it."""
        self.count += 1
        self._waiting.append(f'{{"action": "{action}", "how": {_quoted(how)}, "id": {_quoted(id)}, "step": {step}}}\n')
        if len(self._waiting) > EMBEDDED:
            self._flush()

    def _flush(self) -> None:
        if self._file is None:
            self._raw = self._path.open("wb")
            self._file = gzip.GzipFile("", "wb", 1, self._raw, mtime=0)
        self._file.write("".join(self._waiting).encode())
        self._waiting.clear()

    def close(self) -> None:
        """Write what is waiting, where there is a file."""
        if self._file is not None and self._raw is not None:
            self._flush()
            self._file.close()
            self._raw.close()

    def told(self, name: str) -> tuple[dict[str, Any], bool]:
        """What the manifest says of them, and whether the file is needed; it will be called `name`."""
        if self._file is None:
            return {"count": self.count, "rows": [json.loads(line) for line in self._waiting]}, False
        return {"count": self.count, "file": name}, True


def digest_of(path: Path) -> dict[str, Any]:
    """SHA-256 and bytes of a file; of a folder, those of its files in the order of their names."""
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file())
        each = [f"{p.relative_to(path).as_posix()} {_sha256(p)}\n" for p in files]
        return {
            "sha256": hashlib.sha256("".join(each).encode()).hexdigest(),
            "bytes": sum(p.stat().st_size for p in files),
        }
    return {"sha256": _sha256(path), "bytes": path.stat().st_size}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
