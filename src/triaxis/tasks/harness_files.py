"""Where the tasks of lm-evaluation-harness stand: the YAML of a name or a path, what it includes, what it is not."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from triaxis.types import TriaxisError

ENDINGS = (".yaml", ".yml")
SHOWN = 6  # tasks of a group


def require_harness(name: str) -> None:
    """Raise TriaxisError where lm-eval isn't installed."""
    if find_spec("lm_eval") is None:
        raise TriaxisError(f"{name}: needs lm-evaluation-harness; pip install 'triaxis[harness]'")


def yaml_of(target: str) -> Path:
    """The YAML of a task: a path that ends in .yaml, else the name of one that lm-eval ships.

    Raises TriaxisError, with the nearest name, for a task that doesn't exist; for a group, with its tasks.
    """
    if not target.endswith(ENDINGS):
        return _shipped(target)
    path = Path(target).expanduser()
    if not path.is_file():
        raise TriaxisError(f"lm_eval:{target}: no such file")
    return path.resolve()


@cache
def _shipped(name: str) -> Path:
    """By a search for the line that names it: to read all of lm-eval's 14,000 files takes a process 7 seconds."""
    found = []
    if re.fullmatch(r"[\w.+-]+", name):
        line = re.compile(rb"^task: *([\"']?)" + re.escape(name.encode()) + rb"\1 *(#.*)?\r?$", re.MULTILINE)
        found = [path for path in _all_shipped() if line.search(path.read_bytes())]
    if not found:
        return _indexed(name)
    return min(found, key=Path.as_posix)  # the one that lm-eval takes


def _all_shipped() -> Iterator[Path]:
    for folder, _, files in os.walk(_home()):
        yield from (Path(folder, file) for file in files if file.endswith(".yaml"))


def _home() -> Path:
    spec = find_spec("lm_eval")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "tasks"


def _indexed(name: str) -> Path:
    """The YAML by lm-eval's own index, which also knows groups and what is named in included files."""
    index = _index()
    entry = index.get(name)
    if entry is None:
        near = difflib.get_close_matches(name, index, n=1)
        hint = (
            f'did you mean "lm_eval:{near[0]}"?' if near else "a task of your own is named by its file, lm_eval:my.yaml"
        )
        raise TriaxisError(f'lm_eval:{name}: lm-eval has no task "{name}"; {hint}')
    members = list(dict.fromkeys(_members(name, index)))
    if members != [name]:
        some = ", ".join(f"lm_eval:{task}" for task in members[:SHOWN])
        more = f" and {len(members) - SHOWN:,} more (lm-eval ls tasks)" if len(members) > SHOWN else ""
        told = f"name those that are to be asked: {some}{more}"
        raise TriaxisError(f"lm_eval:{name}: is a group of {len(members):,} tasks; {told}")
    if entry.yaml_path is None:
        raise TriaxisError(
            f"lm_eval:{name}: lm-eval makes it without a file, and so it can't be told apart; bring results"
        )
    return Path(entry.yaml_path)


@cache
def _index() -> dict[str, Any]:
    from lm_eval.tasks import TaskManager

    index: dict[str, Any] = TaskManager().task_index
    return index


def _members(name: Any, index: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[str]:
    """The tasks that a name stands for: of a group those of its groups and tags too."""
    if isinstance(name, Mapping):
        name = name if "group" in name else name.get("task")
    if isinstance(name, Mapping):
        for inner in name.get("task") or ():
            yield from _members(inner, index, above)
        return
    entry: Any = index.get(str(name))
    kind = entry.kind.name if entry else "TASK"
    if kind not in ("GROUP", "TAG") or name in above:
        yield str(name)
        return
    inside = sorted(entry.tags) if kind == "TAG" else (entry.cfg or {}).get("task") or ()
    for inner in inside:
        yield from _members(inner, index, (*above, str(name)))


def raw_config(name: str, path: Path) -> dict[str, Any]:
    """A task's YAML with what it includes, its functions by name. Raises TriaxisError for what is no single task."""
    from lm_eval.tasks._yaml_loader import load_yaml

    try:
        config: dict[str, Any] = load_yaml(path, resolve_func=False)
    except Exception as problem:  # of yaml, or of the file
        raise TriaxisError(f"{name}: {path.name} can't be read: {one_line(problem)}") from None
    if "group" in config or isinstance(config.get("task"), list):
        listed = config.get("task") or ()
        members = [str(one.get("task", one.get("group")) if isinstance(one, dict) else one) for one in listed]
        some = ", ".join(members[:SHOWN])
        raise TriaxisError(f"{name}: is a group ({some}); name the files of the tasks that are to be asked")
    if not isinstance(config.get("task"), str):
        raise TriaxisError(f"{name}: {path.name} names no task; a task's YAML has a line task: NAME")
    return config


def files_of(path: Path, seen: tuple[Path, ...] = ()) -> list[Path]:
    """A task's YAML, those that it includes, and the Python files whose functions they name."""
    from lm_eval.tasks._yaml_loader import load_yaml

    if path in seen:
        return []
    config = load_yaml(path, resolve_func=False, recursive=False)
    include = config.get("include") or []
    found = [path]
    for other in include if isinstance(include, list) else [include]:
        found += files_of((path.parent / str(other)).resolve(), (*seen, path))
    found += [file for file in _modules(config, path.parent) if file.is_file()]
    return list(dict.fromkeys(found))


def _modules(value: Any, folder: Path) -> Iterator[Path]:
    """The Python files of `!function` entries, which lm-eval's loader gives as `folder/module.function`."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _modules(inner, folder)
    elif isinstance(value, list):
        for inner in value:
            yield from _modules(inner, folder)
    elif isinstance(value, str) and value.startswith(f"{folder}{os.sep}"):
        module = value[len(str(folder)) + 1 :].rpartition(".")[0]
        yield folder / f"{module.replace('.', '/')}.py"


def data_files(config: Mapping[str, Any]) -> list[Path]:
    """The files on this machine that a task's `dataset_kwargs` name; empty for a data set of the hub."""
    named = (config.get("dataset_kwargs") or {}).get("data_files") or []
    listed = named.values() if isinstance(named, Mapping) else [named]
    flat = [str(file) for part in listed for file in (part if isinstance(part, list) else [part])]
    return [path for file in flat if (path := Path(file).expanduser()).is_file()]


def one_line(problem: BaseException) -> str:
    """What went wrong, short."""
    lines = str(problem).strip().splitlines() or [""]
    return f"{type(problem).__name__}: {lines[0][:160]}".rstrip(": ")
