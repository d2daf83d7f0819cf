"""Where a base lies: inside the package, in a folder, in the cache of what was fetched, or on the hub."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from triaxis.axes.model.fetched import PACKAGES, fetched_path
from triaxis.axes.model.hub import hub_snapshot, is_hub_id
from triaxis.types import TriaxisError

LAB = "lab:"
READ = (".safetensors", ".json", ".jinja", ".model", ".txt", ".py")  # what makes a base what it is
_BASES = Path(__file__).parent / "bases"  # shipped inside the package, in the form of any Hugging Face model


def base_names() -> tuple[str, ...]:
    """The bases that are shipped, strongest first."""
    return tuple(LAB + name for name in ("strong", "weak"))


def base_path(name: str) -> Path:
    """The folder of a base: of the lab, of `triaxis fetch`, a folder that holds a saved model, or a model of the hub
    (`org/name`, `org/name@revision`), from its local cache where it is there and else downloaded.

    Raises TriaxisError for an unknown name, with the nearest, for a folder without a model, and where the hub doesn't
    give it.
    """
    if name in base_names():
        return _BASES / name.removeprefix(LAB)
    if name in PACKAGES:
        return fetched_path(name)
    if not name.startswith(LAB) and Path(name).is_dir():
        if not (Path(name) / "config.json").is_file():
            raise TriaxisError(f"model.base: {name} holds no config.json; name a folder written by save_pretrained")
        return Path(name)
    if is_hub_id(name):
        return hub_snapshot(name)
    known = (*base_names(), *PACKAGES)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f'did you mean "{near[0]}"?' if near else f"choose one of {', '.join(known)}"
    raise TriaxisError(
        f'model.base: unknown base "{name}"; {hint}, or name a folder that holds a saved model, or a model of the hub '
        "(org/name)"
    )


def fingerprint(name: str) -> str:
    """Twelve hex digits of what a base is: its weights, its configuration and its tokenizer, whatever it is called."""
    digest = hashlib.sha256()
    for path in _read(base_path(name)):
        digest.update(path.name.encode())
        digest.update(_content(path))
    return digest.hexdigest()[:12]


def _read(folder: Path) -> Iterable[Path]:
    return (path for path in sorted(folder.iterdir()) if path.suffix in READ and path.is_file())


def _content(path: Path) -> bytes:
    """The SHA-256 of a file. The hub's cache names large files by theirs: gigabytes that need no reading."""
    blob = path.resolve()
    if path.is_symlink() and blob.parent.name == "blobs" and re.fullmatch("[0-9a-f]{64}", blob.name):
        return bytes.fromhex(blob.name)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
