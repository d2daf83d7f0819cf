"""The map of a folder of results: a small YAML that says which folder is which checkpoint, and what its tasks are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from triaxis.integrations.places import Pattern
from triaxis.study.mistakes import Mistake, nearest, one_line, shown
from triaxis.study.reading import read_text, read_yaml
from triaxis.types import GROUPS, MODES, TriaxisError

FORMATS = ("lm-eval", "inspect")
ITEMS = ("doc_id", "doc_hash")
KEYS = ("format", "checkpoints", "groups", "metric", "accuracy", "mode", "items", "runs", "text")
DEFAULT = "default"
SMALLEST = "checkpoints: {pattern: '{run}/checkpoint-{step}', base: base}"
# Names of lm-eval's metrics that are a share of right answers; others are named in the map under `accuracy`.
ACCURACIES = re.compile(r"(.*_)?(acc|accuracy|em|exact_match|extractive_match|math_verify)(_.*)?|pass(@|_at_)\d+")


@dataclass(frozen=True)
class Map:
    """What a map says, checked: `file` names it in errors; `groups` and `metrics` are by task name or glob."""

    file: str
    format: str
    pattern: Pattern
    base: Pattern | None
    groups: Mapping[str, tuple[str, ...]]
    metrics: Mapping[str, tuple[str, ...]]  # DEFAULT among the names; in order of preference
    accuracies: tuple[str, ...]
    mode: str
    items: str | None
    runs: Path | None
    text: bool

    def is_accuracy(self, metric: str) -> bool:
        """Whether a metric is a share of right answers, by its name."""
        return metric in self.accuracies or bool(ACCURACIES.fullmatch(metric))

    def group_of(self, tasks: Sequence[str], families: Mapping[str, Sequence[str]]) -> dict[str, str]:
        """The group of each task that the map lists; the name of a family stands for its tasks.

        Raises TriaxisError for a name that fits no task, and for a task in two groups. A task's own name goes before a
        family's and a glob's.
        """
        found: dict[str, tuple[int, str, str]] = {}
        for group, names in self.groups.items():
            for name in names:
                rank, fitting = _fitting(name, tasks, families)
                if not fitting:
                    raise self._no_task(f"groups.{group}", name, [*tasks, *families])
                for task in fitting:
                    old = found.get(task)
                    if old and old[0] == rank and old[1] != group:
                        raise TriaxisError(
                            f"{self.file}: groups: task {task!r} is in {old[1]} ({old[2]}) and in {group} ({name});"
                            " choose one"
                        )
                    if old is None or rank < old[0]:
                        found[task] = (rank, group, name)
        return {task: group for task, (_, group, _) in found.items()}

    def check_metrics(self, tasks: Sequence[str], families: Mapping[str, Sequence[str]]) -> None:
        """Raise TriaxisError where `metric` names a task that isn't there."""
        for name in self.metrics:
            if name != DEFAULT and not _fitting(name, tasks, families)[1]:
                raise self._no_task("metric", name, [*tasks, *families])

    def metric_of(self, task: str, keys: Sequence[str], where: str, families: Mapping[str, Sequence[str]]) -> str:
        """The one of the keys (`name,filter`) that the map asks for on this task.

        Raises TriaxisError where it isn't there, where the name fits several, or where nothing says which.
        """
        told = ", ".join(keys) or "no metric at all"
        named = [(_fitting(name, [task], families), name) for name in self.metrics if name != DEFAULT]
        near = sorted((rank, name) for (rank, fitting), name in named if fitting)
        wanted = self.metrics[near[0][1]] if near else self.metrics.get(DEFAULT, ())
        for want in wanted:
            fitting = [key for key in keys if want in (key, key.partition(",")[0])]
            if len(fitting) > 1:
                raise TriaxisError(
                    f"{where}: {want} of task {task!r} has several forms: {', '.join(fitting)}; choose one in"
                    f' {self.file}, as metric: {{{task}: "{fitting[0]}"}}'
                )
            if fitting:
                return fitting[0]
        if wanted or not keys:
            raise TriaxisError(
                f"{where}: task {task!r} has no {' or '.join(wanted) or 'score'}; it has {told}; choose one in"
                f" {self.file} under metric"
            )
        if len(keys) > 1:
            raise TriaxisError(
                f"{where}: task {task!r} has several metrics: {told}; choose one in {self.file}, as"
                f' metric: {{{task}: "{keys[0]}"}}, or metric: {{default: [exact_match, acc]}}'
            )
        return keys[0]

    def _no_task(self, key: str, name: str, there: Iterable[str]) -> TriaxisError:
        there = sorted(set(there))
        near = get_close_matches(name, there, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(there[:8])}"
        return TriaxisError(f"{self.file}: {key}: no task fits {name!r}; {hint}")


def _fitting(name: str, tasks: Sequence[str], families: Mapping[str, Sequence[str]]) -> tuple[int, list[str]]:
    """The tasks that a name stands for, and how near it is: 0 the task's own name, 1 its family's, 2 a glob."""
    if name in tasks:
        return 0, [name]
    if name in families:
        return 1, [task for task in tasks if task in families[name]]
    return 2, [task for task in tasks if fnmatchcase(task, name)]


def read_map(path: Path) -> Map:
    """The map in a YAML file. Raises TriaxisError, in one line that names the key, for what it can't be."""
    data = read_yaml(read_text(path, "map"), str(path), "map", SMALLEST)
    try:
        return _parsed(data, path)
    except Mistake as mistake:
        raise TriaxisError(f"{path}: {mistake}") from None


def _parsed(data: object, path: Path) -> Map:
    data = _mapping(data, "", KEYS)
    if "checkpoints" not in data:
        raise Mistake("checkpoints", f"missing; every map names it, as {SMALLEST}")
    checkpoints = _mapping(data["checkpoints"], "checkpoints", ("pattern", "base"))
    if "pattern" not in checkpoints:
        raise Mistake("checkpoints.pattern", "missing; give one, as '{run}/checkpoint-{step}'")
    base = checkpoints.get("base")
    metrics = data.get("metric", {})
    metrics = metrics if isinstance(metrics, dict) else {DEFAULT: metrics}
    runs = data.get("runs")
    return Map(
        file=str(path),
        format=_one_of(data.get("format", FORMATS[0]), "format", FORMATS),
        pattern=Pattern.of(_text(checkpoints["pattern"], "checkpoints.pattern"), "checkpoints.pattern", base=False),
        base=None if base is None else Pattern.of(_text(base, "checkpoints.base"), "checkpoints.base", base=True),
        groups={
            _one_of(group, "groups", GROUPS): _names(names, f"groups.{group}")
            for group, names in _mapping(data.get("groups", {}), "groups", None).items()
        },
        metrics={task: _names(names, f"metric.{task}") for task, names in metrics.items()},
        accuracies=_names(data["accuracy"], "accuracy") if "accuracy" in data else (),
        mode=_one_of(data.get("mode", DEFAULT), "mode", MODES),
        items=_one_of(data["items"], "items", ITEMS) if "items" in data else None,
        runs=None if runs is None else path.parent / _text(runs, "runs"),
        text=_truth(data.get("text", False), "text"),
    )


def _mapping(value: object, key: str, valid: Sequence[str] | None) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Mistake(key, f"must be a mapping, got {shown(value)}")
    for name in value:
        if valid is not None and name not in valid:
            near = nearest(name, valid)
            path = f"{key}.{name}" if key else name
            raise Mistake(path, f"unknown; did you mean {near}?" if near else f"unknown; valid: {', '.join(valid)}")
    return value


def _text(value: object, key: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise Mistake(key, f"must be text, got {shown(value)}")
    return one_line(value)


def _names(value: object, key: str) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    if not values:
        raise Mistake(key, "is empty; name at least one")
    return tuple(_text(name, key) for name in values)


def _one_of(value: object, key: str, valid: Sequence[str]) -> str:
    if value in valid:
        return str(value)
    near = nearest(value, valid) if isinstance(value, str) else None
    hint = f"did you mean {near}?" if near else f"one of {', '.join(valid)}"
    raise Mistake(key, f"{shown(value)} is unknown; {hint}")


def _truth(value: object, key: str) -> bool:
    if not isinstance(value, bool):
        raise Mistake(key, f"must be true or false, got {shown(value)}")
    return value
