"""What checkpoints are asked that no study trained: tasks by group, how they are measured, how a model is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PlainValidator, ValidationError, field_validator

from triaxis.study.axes import OF_BASES, default_of, level_of
from triaxis.study.evaluation import LATER, Adaptive, Evaluation
from triaxis.study.fields import AS_IS, Names, Strict
from triaxis.study.judging import JudgeSettings
from triaxis.study.mistakes import Mistake, first_mistake, unknown
from triaxis.study.reading import read_text, read_yaml
from triaxis.types import GROUPS, Level, TriaxisError

KIND = "tasks file"


def grouped(tasks: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Tasks by group, in the order of the groups; raises Mistake for an unknown group or a task that is there twice."""
    home: dict[str, str] = {}
    for group, names in tasks.items():
        if group not in GROUPS:
            raise unknown(f"tasks.{group}", (f"tasks.{g}" for g in GROUPS))
        for name in names:
            if name in home:
                raise Mistake(f"tasks.{group}", f"the task {name} is listed twice (first in {home[name]})")
            home[name] = group
    return {group: tasks[group] for group in GROUPS if group in tasks}


def _loading(raw: object) -> dict[str, Level]:
    """`model.*` as far as it says how a model is loaded, defaults filled in."""
    if not isinstance(raw, Mapping):
        raise Mistake("model", "must be a mapping of settings, such as {dtype: bfloat16}")
    for key in raw:
        if f"model.{key}" not in OF_BASES:
            raise unknown(f"model.{key}", OF_BASES)
    settings: dict[str, Level] = {}
    for name in OF_BASES:
        key = name.removeprefix("model.")
        settings[key] = level_of(name, raw[key]) if key in raw else default_of(name)
    return settings


class Asking(Strict):
    """The questions of an evaluation: made by `load_asking`, and unchangeable."""

    tasks: Annotated[dict[str, Names], Field(min_length=1)]
    evaluation: Evaluation = Evaluation()
    model: Annotated[dict[str, Level], PlainValidator(_loading), AS_IS] = Field(default={}, validate_default=True)

    @field_validator("tasks")
    @classmethod
    def _groups(cls, tasks: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        return grouped(tasks)

    @property
    def settings(self) -> dict[str, Any]:
        """Every resolved setting, `section.key` to its value."""
        told: dict[str, Any] = {f"tasks.{group}": list(names) for group, names in self.tasks.items()}
        # Without what is off and came after the first folders: these are compared with what was kept.
        off = LATER | {"adaptive": False}
        asked = {key: value for key, value in self.evaluation.told.items() if key not in off or value != off[key]}
        told |= {
            f"evaluation.{key}": list(value) if isinstance(value, tuple) else value for key, value in asked.items()
        }
        return told | {f"model.{key}": value for key, value in self.model.items()}

    def given(self, name: str) -> bool:
        """Whether the file names a setting `section.key`, or it is a default."""
        section, _, key = name.partition(".")
        if section == "evaluation":
            return self.evaluation.gives(key)
        return section == "tasks" or self.model[key] != default_of(name)


def load_asking(path: Path) -> Asking:
    """The questions in a YAML file of `tasks`, `evaluation` and `model`. Raises TriaxisError, one line."""
    data = read_yaml(read_text(path, KIND), str(path), KIND, "at least tasks: {group: [task, ..]}")
    if not isinstance(data, Mapping):
        raise TriaxisError(f"{path}: is not a mapping; a {KIND} has tasks, and may have evaluation and model")
    if "tasks" not in data:
        raise TriaxisError(f"{path}: tasks: missing; name tasks by group, such as tasks: {{in_domain: [chain]}}")
    try:
        return Asking.model_validate(dict(data))
    except ValidationError as error:
        keys = {"": list(Asking.model_fields), "evaluation": list(Evaluation.model_fields)}
        keys["evaluation.judge"] = list(JudgeSettings.model_fields)
        keys["evaluation.adaptive"] = list(Adaptive.model_fields)
        raise TriaxisError(f"{path}: {first_mistake(error, keys)}") from None
    except Mistake as mistake:
        raise TriaxisError(f"{path}: {mistake}") from None
