"""The tasks: the lab's, which share a procedure (apply operations to a state, one by one) but not its surface;
reasoning-gym's (`rg:..`), test sets in files (`file:..`) and lm-evaluation-harness's (`lm_eval:..`).

To add one to the lab, write a file like `chain.py` and add it to `_REASONING` here.
"""

from __future__ import annotations

import difflib
import glob
import hashlib
import os
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from triaxis.tasks.boolean import Boolean
from triaxis.tasks.chain import Chain
from triaxis.tasks.extremes import Extremes
from triaxis.tasks.letters import Letters
from triaxis.tasks.names import FILE, HARNESS, RG, is_open, parsed, surface_of
from triaxis.tasks.pointer import Pointer
from triaxis.tasks.refusal import Refusal
from triaxis.tasks.selection import reported_of, selection_items
from triaxis.tasks.steps import LABELS
from triaxis.tasks.surface import varied
from triaxis.tasks.task import SHARED_WORDS, STRUCTURES, Task
from triaxis.tasks.verify import ANSWER, THINK
from triaxis.tasks.words import Words
from triaxis.types import MODES, TriaxisError

_REASONING: tuple[Task[Any], ...] = (Chain(), Words(), Boolean(), Pointer(), Letters(), Extremes())
_TASKS: dict[str, Task[Any]] = {task.name: task for task in (*_REASONING, Refusal(bodies=_REASONING))}
LAB, HUB = "lab:", "hf:"  # of a source
READERS = ("json", "csv", "parquet", "arrow", "text")  # of the datasets library: they read files that are named
_PREFILLS = {"default": "", "direct": ANSWER, "think": THINK}


def task_names() -> tuple[str, ...]:
    """The lab's tasks."""
    return tuple(_TASKS)


def get_task(name: str) -> Task[Any]:
    """The task of that name: of `task_names()`, `rg:..`, `file:..` or `lm_eval:..`, with options after a question mark.

    Raises TriaxisError with the nearest name, or with what is wrong with an option, a file or a library.
    """
    if name in _TASKS:
        return _TASKS[name]
    if name.startswith(FILE):  # which may have changed
        from triaxis.tasks.files import file_task

        return file_task(name, parsed(name))
    if name.startswith(HARNESS):
        from triaxis.tasks.harness import harness_task

        return harness_task(name, parsed(name))
    return _opened(name)


@lru_cache(maxsize=256)
def _opened(name: str) -> Task[Any]:
    named = parsed(name)
    if name.startswith(RG):
        from triaxis.tasks.reasoning_gym import reasoning_gym_task

        return reasoning_gym_task(name, named)
    if named.base not in _TASKS:
        near = difflib.get_close_matches(named.base, _TASKS, n=1)
        hint = (
            f'did you mean "{near[0]}"?' if near else f"choose one of {', '.join(_TASKS)}, rg:.., file:.. or lm_eval:.."
        )
        raise TriaxisError(f'unknown task "{name}"; {hint}')
    task = _TASKS[named.base]
    worded = [t.name for t in _TASKS.values() if t.variant_of == task.name and t.variant == "wording"]
    return varied(name, named, task, worded[0] if worded else "")


def read_from(name: str) -> str:
    """What a task or a source is read from, so that one that has changed is another: a short hash of its files, the
    version of the library, the revision of a data set that another library fetches; empty where nothing is known of
    it, and for what Triaxis makes itself.

    `name` is a task, or a source: a file, a folder, a pattern, `lab:..`, `rg:..` or `hf:..`. Raises TriaxisError for a
    file that can't be read.
    """
    if name.startswith(RG):
        return f"reasoning-gym {version('reasoning_gym')}"
    if name.startswith(HARNESS):
        return str(get_task(name).fingerprint)  # type: ignore[attr-defined]
    if name.partition("?")[0] in _TASKS or name.startswith(LAB):
        return ""
    try:
        if name.startswith(HUB):
            files, revision = _hub_files(name)
        else:
            files, revision = [f for where in _places(name) for path in _matching(where) for f in _held(path)], ""
        digest = hashlib.sha256()
        for label, path in zip(_labels(files), files, strict=True):  # ids are made of it
            with path.open("rb") as file:
                digest.update(f"{label}\0".encode("utf-8", "surrogatepass"))
                digest.update(hashlib.file_digest(file, "sha256").digest())
    except OSError as error:
        raise TriaxisError(f"{error.filename or name}: can't be read: {error.strerror}") from None
    return digest.hexdigest()[:12] if files else f"revision {revision}" if revision else ""


def _places(name: str) -> list[str]:
    """The files and patterns that a task's or a source's name holds."""
    if not name.startswith(FILE):
        return [name]
    path, _, query = name.removeprefix(FILE).partition("?")
    return [path, *(part.removeprefix("shots=") for part in query.split("&") if part.startswith("shots="))]


def _matching(where: str) -> list[Path]:
    path = Path(where).expanduser()
    return [path] if path.exists() else sorted(map(Path, glob.glob(str(path), recursive=True)))  # noqa: PTH207


def _held(path: Path) -> list[Path]:
    """The files that are read of a path, in the order in which they are: those that `save_to_disk` wrote, and not all
    that lies in a folder."""
    from triaxis.tasks.tables import folder_files

    return folder_files(path) if path.is_dir() else [path]


def _hub_files(name: str) -> tuple[list[Path], str]:
    """The files on this machine that `hf:NAME?data_files=..` reads, and the revision that it names."""
    path, _, query = name.removeprefix(HUB).partition("?")
    options = dict(part.partition("=")[::2] for part in query.split("&"))
    if not (Path(path).is_dir() or path in READERS):  # of the hub, and so are the files that it names
        return [], options.get("revision", "")
    folder = (Path(path) if Path(path).is_dir() else Path()) / options.get("data_dir", "")
    if "data_files" in options:
        found = _matching(str(folder / options["data_files"]))
    else:  # all that lies there is looked at by the library too
        found = sorted(folder.rglob("*")) if path not in READERS or "data_dir" in options else []
    return [file for file in found if file.is_file()], options.get("revision", "")


def _labels(files: Sequence[Path]) -> list[str]:
    """What ids call the files by: their names, or where these are alike their paths below the common folder."""
    if len({file.name for file in files}) == len(files):
        return [file.name for file in files]
    paths = [file.resolve() for file in files]
    common = os.path.commonpath([path.parent for path in paths])
    return [path.relative_to(common).as_posix() for path in paths]


def prefill(mode: str) -> str:
    """What is put in the model's mouth: nothing, the answer mark, or the beginning of a thought."""
    if mode not in _PREFILLS:
        raise TriaxisError(f'unknown mode "{mode}"; choose one of {", ".join(MODES)}')
    return _PREFILLS[mode]


def vocabulary() -> tuple[str, ...]:
    """Every word of every prompt and trace, each once, in a fixed order."""
    words = [*SHARED_WORDS, *LABELS, *(word for task in _TASKS.values() for word in task.words)]
    return tuple(dict.fromkeys(words))


__all__ = [
    "STRUCTURES",
    "Task",
    "get_task",
    "is_open",
    "prefill",
    "read_from",
    "reported_of",
    "selection_items",
    "surface_of",
    "task_names",
    "vocabulary",
]
