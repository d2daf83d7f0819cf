"""Where rows come from, by name: files and globs, folders, the lab's tasks, reasoning-gym's, and data sets' names."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from triaxis.axes.data.generated import PREFIXES, generated_source
from triaxis.axes.data.hub import HUB, hub_files, hub_rows
from triaxis.tasks.rows import Row
from triaxis.tasks.tables import file_rows, folder_files
from triaxis.types import TriaxisError

GENERATED, LIBRARY = "generated", "the datasets library"
BY_NAME = (GENERATED, LIBRARY)  # kinds of source whose name is no path


@dataclass(frozen=True)
class Source:
    """Rows that are read when they are asked for, from the first on each time."""

    name: str  # as problems name it
    label: str  # as ids that are made name it
    kind: str  # in words: "JSON lines, gzip"
    rows: Callable[[], Iterator[Row]]


def sources_of(where: str | Path | Sequence[str | Path]) -> list[Source]:
    """The sources that are meant, in order. Raises TriaxisError where one is not there or can't be one."""
    names = [where] if isinstance(where, str | Path) else list(where)
    if not names:
        raise TriaxisError("no file is named; give one, a pattern as 'data/*.jsonl', or a name as lab:chain")
    found: list[Source] = []
    for name in [str(name) for name in names]:
        if name.startswith(PREFIXES):
            found.append(Source(name, "", GENERATED, generated_source(name)))
        elif name.startswith(HUB):
            found.append(Source(name, name, LIBRARY, hub_rows(name)))
        else:
            found += [_file_source(path) for path in _paths(name)]
    return _labelled(found)


def files_of(where: str | Path | Sequence[str | Path]) -> list[Path]:
    """The files on this machine that are read for a name; a folder among them stands for all that is below it.

    Raises TriaxisError as `sources_of` does.
    """
    names = [where] if isinstance(where, str | Path) else list(where)
    found: list[Path] = []
    for name in map(str, names):
        if not name.startswith(PREFIXES):
            found += hub_files(name) if name.startswith(HUB) else _paths(name)
    return [path.resolve() for path in found]


def is_read(path: Path, files: Sequence[Path]) -> bool:
    """Whether to write to a path would change one of the files, whatever it is called."""
    place = path.resolve()
    return any(
        place.is_relative_to(file) or (path.exists() and file.exists() and path.samefile(file)) for file in files
    )


def _paths(name: str) -> list[Path]:
    """The files that a path or pattern means."""
    if "\0" in name or not name.strip():
        raise TriaxisError(f"{name!r}: not a path; name a file")
    try:
        path = Path(name).expanduser()
        if path.is_dir():
            return folder_files(path)
        if path.exists():
            return [path]
        matches = sorted(map(Path, glob.glob(str(path), recursive=True))) if glob.has_magic(name) else []  # noqa: PTH207
    except PermissionError:
        raise TriaxisError(f"{name}: may not be read; give yourself permission (chmod u+r)") from None
    except (OSError, RuntimeError) as error:  # a name that is too long, a user that isn't there
        raise TriaxisError(f"{name}: can't be read ({getattr(error, 'strerror', None) or error})") from None
    if matches:
        return [file for match in matches for file in (folder_files(match) if match.is_dir() else [match])]
    if glob.has_magic(name):
        raise TriaxisError(f"{name}: no file fits the pattern; check the path")
    raise TriaxisError(f"{name}: no such file{_nearest(name, path)}")


def _nearest(name: str, path: Path) -> str:
    """What may have been meant instead of a path that isn't there."""
    try:
        others = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    except OSError:
        others = []
    if near := get_close_matches(path.name, others, 1):
        return f"; did you mean {near[0]!r}?"
    if name.count("/") == 1 and not path.suffix and not path.parent.exists():
        return f"; a data set of the Hugging Face Hub is named {HUB}{name}"
    return "; check the path"


def _file_source(path: Path) -> Source:
    kind, rows = file_rows(path)
    return Source(str(path), path.name, kind, rows)


def _labelled(sources: list[Source]) -> list[Source]:
    """The same with labels that tell them apart: of files that are called alike, the path below their common folder."""
    names = [s.name if s.kind in BY_NAME else str(Path(s.name).resolve()) for s in sources]
    if twice := [name for name, n in Counter(names).items() if n > 1]:
        raise TriaxisError(f"{twice[0]}: is named twice; name it once")
    labels = [source.label for source in sources if source.label]
    if len(set(labels)) == len(labels):
        return sources
    files = {s.name: name for s, name in zip(sources, names, strict=True) if s.kind not in BY_NAME}
    common = os.path.commonpath([Path(name).parent for name in files.values()])
    return [
        replace(s, label=Path(files[s.name]).relative_to(common).as_posix()) if s.name in files else s for s in sources
    ]
