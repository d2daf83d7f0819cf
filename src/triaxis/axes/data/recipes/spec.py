"""A recipe as a person writes it: a source, the operations in order, an output; every mistake told with its place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError, field_validator

from triaxis.axes.data.recipes.operation import Operation
from triaxis.axes.data.recipes.operations import OPERATIONS
from triaxis.study.fields import Count, Folder, Name, Strict, Whole
from triaxis.study.mistakes import Mistake, first_mistake, nearest, shown, unknown
from triaxis.study.reading import read_text, read_yaml
from triaxis.types import TriaxisError

FORMATS = ("same", "messages", "prompt_completion", "sharegpt", "alpaca", "triaxis")
SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
NEEDS = "source, steps and output"
KEYS = ("about", "source", "seed", "steps", "output")


class Source(Strict):
    """The data set to start from."""

    path: Folder  # a file, a folder, or a name that Triaxis knows
    fields: dict[Name, Name] | None = None  # role: column, where they are not recognised
    on_error: Literal["stop", "skip"] = "stop"
    limit: Count | None = None  # the first rows alone, to try a recipe
    licence: Name | None = None  # for the card


class Output(Strict):
    """Where the variant goes, and how its rows are written."""

    path: Folder
    format: Literal["same", "messages", "prompt_completion", "sharegpt", "alpaca", "triaxis"] = "same"

    @field_validator("path")
    @classmethod
    def _suffix(cls, path: str) -> str:
        if not path.endswith(SUFFIXES):
            raise ValueError(f"must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}, got {shown(path)}")
        return path


class Recipe(Strict):
    """A data set's variant: what is done to a source, in order, and what comes of it."""

    about: str = ""  # a sentence for the card
    source: Source
    seed: Whole = 0
    steps: tuple[Operation, ...]
    output: Output

    def to_dict(self) -> dict[str, Any]:
        """The recipe as it could be written, every default filled in, ready for JSON."""
        steps = [{step.name: step.model_dump(mode="json", exclude_none=True)} for step in self.steps]
        return {
            **({"about": self.about} if self.about else {}),
            "source": self.source.model_dump(mode="json", exclude_none=True),
            "seed": self.seed,
            "steps": steps,
            "output": self.output.model_dump(mode="json"),
        }


def load_recipe(path: str | Path) -> Recipe:
    """The recipe in a YAML file. Raises TriaxisError, one line."""
    where = str(path)
    return parse_recipe(read_yaml(read_text(Path(path), "recipe"), where, "recipe", NEEDS), where)


def with_output(recipe: Recipe, path: str | Path, where: str = "recipe") -> Recipe:
    """The recipe with another file to write, in the same format; `where` names it in errors. Raises TriaxisError, one
    line."""
    try:
        output = _section(Output, {**dict(recipe.output), "path": str(path)}, "output")
        return recipe.model_copy(update={"output": output})
    except Mistake as mistake:
        raise TriaxisError(f"{where}: {mistake}") from None


def parse_recipe(data: object, where: str = "recipe") -> Recipe:
    """A recipe from the content of its file; `where` names it in errors. Raises TriaxisError, one line."""
    try:
        return _recipe(data)
    except Mistake as mistake:
        raise TriaxisError(f"{where}: {mistake}") from None


def _recipe(data: object) -> Recipe:
    if not isinstance(data, Mapping):
        raise Mistake("", f"is not a mapping; a recipe has {NEEDS}")
    for key in data:
        if key not in KEYS:
            raise unknown(str(key), KEYS)
    for key in ("source", "steps", "output"):
        if data.get(key) is None:
            raise Mistake(key, f"missing; a recipe has {NEEDS}")
    if not isinstance(data["steps"], list):
        raise Mistake("steps", f"must be a list of operations, got {shown(data['steps'])}")
    steps = tuple(step_of(raw, f"steps[{i}]") for i, raw in enumerate(data["steps"]))
    head = _checked(_Head, {k: v for k, v in data.items() if k in ("about", "seed")}, "")
    return Recipe(
        about=head.about,
        source=_section(Source, data["source"], "source"),
        seed=head.seed,
        steps=steps,
        output=_section(Output, data["output"], "output"),
    )


class _Head(Strict):
    about: str = ""
    seed: Whole = 0


def step_of(raw: object, place: str) -> Operation:
    """One operation: `{noise: {kind: .., rate: ..}}`, or with a main setting `{scale: 1000}`; raises Mistake."""
    if isinstance(raw, str):
        raw = {raw: {}}
    if not isinstance(raw, Mapping) or len(raw) != 1:
        raise Mistake(place, f"must be one operation with its settings, such as {{scale: 1000}}, got {shown(raw)}")
    name, settings = next(iter(raw.items()))
    if name not in OPERATIONS:
        near = nearest(str(name), OPERATIONS)
        raise Mistake(place, f"no operation {shown(name)}; " + (f"did you mean {near}?" if near else _all()))
    kind = OPERATIONS[name]
    if not isinstance(settings, Mapping):
        if not kind.main and settings is not None:
            raise Mistake(f"{place}.{name}", f"must be a mapping of settings, got {shown(settings)}")
        settings = {} if settings is None else {kind.main: settings}
    elif kind.main and settings and not set(settings) & set(kind.model_fields) and name == "mixture":
        settings = {kind.main: settings}  # cells with their shares
    step: Operation = _checked(kind, settings, f"{place}.{name}")
    return step


def _all() -> str:
    return f"there are {', '.join(OPERATIONS)}"


def _section(kind: type[Any], raw: object, place: str) -> Any:
    """A section that its path alone can stand for."""
    if isinstance(raw, str):
        raw = {"path": raw}
    if not isinstance(raw, Mapping):
        raise Mistake(place, f"must be a path, or a mapping with path, got {shown(raw)}")
    return _checked(kind, raw, place)


def _checked(kind: type[Any], settings: Mapping[Any, object], place: str) -> Any:
    """The settings as an object of their kind; pydantic's complaint as a Mistake at its place."""
    for key, value in settings.items():
        if key not in kind.model_fields:
            front = f"{place}." if place else ""
            raise unknown(f"{front}{key}", [f"{front}{name}" for name in kind.model_fields])
        if value is None:
            raise Mistake(f"{place}.{key}".lstrip("."), "is empty; give a value, or remove the key to take the default")
    for name, info in kind.model_fields.items():
        if info.is_required() and name not in settings:
            raise Mistake(f"{place}.{name}", f"missing; {place.rpartition('.')[2]} needs it")
    try:
        return kind.model_validate(dict(settings))
    except ValidationError as error:
        mistake = first_mistake(error, {})
        raise Mistake(".".join(part for part in (place, mistake.path) if part), mistake.message) from None
