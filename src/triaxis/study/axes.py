"""The settings of the three axes: what one condition fixes, with types, defaults and bounds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from math import ceil
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from triaxis.study.fields import AS_WHOLE, Amount, Count, Folder, Name, Positive, Range, Share, Strict, Value
from triaxis.study.mistakes import Mistake, first_mistake, shown, unknown
from triaxis.types import AXES, Level, Structure

DEFAULT_STEPS = 128  # where neither steps nor epochs are given; the lab's trajectories have shown their shape by then
MAX_STEPS, MAX_EPOCHS, MAX_EXAMPLES = (
    10_000_000,
    1_000_000,
    100_000_000,
)  # far above any study; a slip of the pen is not
REPLAY_TASK = "refusal"  # what `data.replay_share` trains on


def difficulty_levels(difficulty: str) -> tuple[int, ...] | None:
    """The levels that a `data.difficulty` names: "3-5" is (3, 4, 5), "3" is (3,); None for "all".

    Raises TriaxisError for what is none of these, or a range the wrong way round. Whether a task has the levels is
    for those to say who know the task.
    """
    if difficulty == "all":
        return None
    if not re.fullmatch("[0-9]{1,4}(-[0-9]{1,4})?", difficulty):
        raise Mistake("data.difficulty", f"must be a level (3), levels in a row (3-5) or all, got {shown(difficulty)}")
    low, _, high = difficulty.partition("-")
    if high and int(low) > int(high):
        raise Mistake("data.difficulty", f"the levels {difficulty} run backwards; write {high}-{low}")
    return tuple(range(int(low), int(high or low) + 1))


def _difficulty(value: object) -> object:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if isinstance(text, str):
        difficulty_levels(text)
    return text


class Optimization(Strict):
    """How a run is trained."""

    optimizer: Literal["adamw", "sgd", "muon"] = "adamw"
    learning_rate: Positive = 3e-4  # of the peak, after warm-up
    schedule: Literal["constant", "linear", "cosine", "wsd"] = "cosine"
    warmup_ratio: Share = 0.1  # of all steps
    steps: Annotated[int, AS_WHOLE, Field(ge=1, le=MAX_STEPS)] | None = None  # optimizer steps
    epochs: Annotated[float, Field(gt=0, le=MAX_EPOCHS)] | None = None  # passes over the examples; instead of steps
    batch_size: Count = 32  # examples an optimizer step
    micro_batch_size: Count | None = None  # examples in memory at once; the whole batch
    weight_decay: Amount = 0.01
    gradient_clip: Amount = 1.0  # of the gradient's norm; 0 is off
    packing: bool = False


class Data(Strict):
    """What a run is trained on."""

    task: Name
    examples: Annotated[int, AS_WHOLE, Field(ge=1, le=MAX_EXAMPLES)] = 4096
    structure: Structure = "short_cot"
    noise_rate: Share = 0.0  # of the examples that carry a wrong step
    difficulty: Annotated[str, BeforeValidator(_difficulty)] = "all"
    replay_share: Annotated[float, Field(ge=0, lt=1)] = 0.0  # of the examples that are of the safety task instead


class Model(Strict):
    """What a run starts from."""

    base: Folder


AXIS_MODELS: Mapping[str, type[Strict]] = {"optimization": Optimization, "data": Data, "model": Model}
SETTINGS: tuple[str, ...] = tuple(f"{axis}.{key}" for axis in AXES for key in AXIS_MODELS[axis].model_fields)


@cache
def _adapter(axis: str, key: str) -> TypeAdapter[Any]:
    info = AXIS_MODELS[axis].model_fields[key]
    annotated: Any = Annotated[info.annotation, info]
    return TypeAdapter(annotated, config=ConfigDict(allow_inf_nan=False))


def level_of(name: str, raw: object) -> Level:
    """One level of a setting `axis.key`, checked and in its own type (1 is 1.0 for a rate); raises Mistake."""
    axis, _, key = name.partition(".")
    if raw is None:  # which some fields have for a default, and no study may say
        raise Mistake(name, "is empty; give a value, or remove the key to take the default")
    try:
        level: Level = _adapter(axis, key).validate_python(raw, strict=True)
    except ValidationError as error:
        raise Mistake(name, first_mistake(error, {}).message) from None
    return level


def value_of(name: str, raw: object) -> Value:
    """The value of a setting as written: fixed, a list of levels (one alone is fixed) or a range; raises Mistake."""
    if isinstance(raw, Mapping):
        try:
            bounds = Range.model_validate(dict(raw))
        except ValidationError as error:
            mistake = first_mistake(error, {"": Range.model_fields})
            raise Mistake(name, f"a range is {{low: .., high: .., scale: linear|log}}: {mistake}") from None
        low, high = level_of(name, bounds.low), level_of(name, bounds.high)  # both ends must be valid levels
        if type(low) not in (int, float) or type(low) is not type(high):
            raise Mistake(name, "takes no range; list its levels")
        return bounds.model_copy(update={"low": low, "high": high})
    if not isinstance(raw, list | tuple):
        return level_of(name, raw)
    if not raw:
        raise Mistake(name, "an empty list; a factor needs at least two levels, a fixed setting one value")
    levels = tuple(level_of(name, level) for level in raw)
    for i, level in enumerate(levels):
        if level in levels[:i]:
            raise Mistake(name, f"the level {level} is listed twice")
    return levels if len(levels) > 1 else levels[0]


def section_of(axis: str, raw: object) -> dict[str, Value]:
    """An axis of a study, `key -> value` in the order of the axis; raises Mistake."""
    if not isinstance(raw, Mapping):
        raise Mistake(
            axis, "must be a mapping of settings, such as {" + next(iter(AXIS_MODELS[axis].model_fields)) + ": ..}"
        )
    fields = AXIS_MODELS[axis].model_fields
    for key in raw:
        if key not in fields:
            raise unknown(f"{axis}.{key}", (f"{axis}.{k}" for k in fields), SETTINGS)
    for key, info in fields.items():
        if info.is_required() and key not in raw:
            raise Mistake(f"{axis}.{key}", "missing; every study names it")
    return {key: value_of(f"{axis}.{key}", raw[key]) for key in fields if key in raw}


def resolve(given: Mapping[str, Level]) -> dict[str, Level]:
    """Every setting `axis.key` of a condition from those given: defaults filled in; steps or epochs, never both."""
    full: dict[str, Level | None] = {
        name: given.get(name, AXIS_MODELS[name.split(".")[0]].model_fields[name.split(".")[1]].get_default())
        for name in SETTINGS
    }
    if full["optimization.steps"] is None and full["optimization.epochs"] is None:
        full["optimization.steps"] = DEFAULT_STEPS
    if full["optimization.micro_batch_size"] is None:
        full["optimization.micro_batch_size"] = full["optimization.batch_size"]
    return {name: level for name, level in full.items() if level is not None}


def total_steps(settings: Mapping[str, Level]) -> int:
    """Optimizer steps of a condition: as set, or those of its epochs.

    The ragged last batch of every epoch counts. Packing changes the layout of a batch, not its examples, so it
    changes no step. Epochs count as they are written: 1.1 is eleven tenths, not the binary number above it.
    """
    if "optimization.steps" in settings:
        return int(settings["optimization.steps"])
    an_epoch = ceil(int(settings["data.examples"]) / int(settings["optimization.batch_size"]))
    return max(1, ceil(an_epoch * Fraction(str(settings["optimization.epochs"]))))
