"""The settings of the three axes: what one condition fixes, with types, defaults and bounds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from hashlib import sha256
from math import ceil
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from triaxis.study.fields import AS_WHOLE, Amount, Count, Folder, Name, Positive, Range, Share, Strict, Value
from triaxis.study.mistakes import Mistake, first_mistake, shown, unknown
from triaxis.types import AXES, Level, NoiseKind, Structure

DEFAULT_STEPS = 128  # where neither steps nor epochs are given; the lab's trajectories have shown their shape by then
MAX_STEPS, MAX_EPOCHS, MAX_EXAMPLES = (
    10_000_000,
    1_000_000,
    100_000_000,
)  # far above any study; a slip of the pen is not
REPLAY_TASK = "refusal"  # what `data.replay_share` trains on
RATE, KIND = "data.noise_rate", "data.noise_kind"
NO_KIND = "none"  # the level of `data.noise_kind` where there is no noise


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

    optimizer: Literal["adamw", "adafactor", "sgd", "lion", "muon"] = "adamw"
    learning_rate: Positive = 3e-4  # of the peak, after warm-up
    schedule: Literal["constant", "linear", "cosine", "wsd", "inverse_sqrt"] = "cosine"
    warmup_ratio: Share = 0.1  # of all steps
    warmup_steps: Annotated[int, AS_WHOLE, Field(ge=0, le=MAX_STEPS)] | None = None  # instead of a share of them
    decay_start: Share = 0.8  # of all steps, where wsd begins to fall
    final_ratio: Share = 0.0  # of the peak rate, where a schedule that falls ends
    steps: Annotated[int, AS_WHOLE, Field(ge=1, le=MAX_STEPS)] | None = None  # optimizer steps
    epochs: Annotated[float, Field(gt=0, le=MAX_EPOCHS)] | None = None  # passes over the examples; instead of steps
    batch_size: Count = 32  # examples an optimizer step
    micro_batch_size: Count | None = None  # examples in memory at once; the whole batch
    weight_decay: Amount = 0.01
    gradient_clip: Amount = 1.0  # of the gradient's norm; 0 is off
    packing: bool = False
    loss: Literal["nll", "dft"] = "nll"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    sam_rho: Amount = 0.0  # the radius of sharpness-aware minimization; 0 is off
    early_stopping: Literal["none", "in_domain", "out_of_domain", "length_stable"] = "none"  # on the selection split
    stopping_patience: Annotated[int, AS_WHOLE, Field(ge=1, le=1000)] = 2  # checkpoints in a row that must say so
    smallest_improvement: Share = 0.01  # of a score: less than it over the best before is none
    stable_length: Annotated[float, Field(gt=0, le=1)] = 0.05  # change of the mean response length, as a share of it


UNHEARD: Mapping[str, tuple[str, ...]] = {  # by which schedules
    "decay_start": ("constant", "linear", "cosine", "inverse_sqrt"),
    "final_ratio": ("constant",),
}

# What no step reads but through its rate, or that only says when to look or to end: runs of one seed that differ in
# nothing else train the same first steps, or nearly.
COURSE = frozenset(
    f"optimization.{key}"
    for key in (
        "schedule", "warmup_ratio", "warmup_steps", "decay_start", "final_ratio", "steps", "epochs", "early_stopping",
        "stopping_patience", "smallest_improvement", "stable_length",
    )
)  # fmt: skip

RULE = "optimization.early_stopping"
NO_RULE = "none"
RULE_HEARS: Mapping[str, tuple[str, ...]] = {  # which rules read a setting
    "stopping_patience": ("in_domain", "out_of_domain", "length_stable"),
    "smallest_improvement": ("in_domain", "out_of_domain"),
    "stable_length": ("length_stable",),
}

Mixture = Literal["as_is", "balanced", "easy_only", "hard_only", "curriculum"]


class Data(Strict):
    """What a run is trained on: a task of the lab, or a source."""

    task: Name | None = None  # of the lab
    source: Folder | None = None  # a file of examples or a reasoning-gym task, instead of a task
    examples: Annotated[int, AS_WHOLE, Field(ge=1, le=MAX_EXAMPLES)] = 4096
    structure: Structure = "short_cot"
    noise_rate: Share = 0.0  # of the examples that are made bad
    noise_kind: NoiseKind = "wrong_step"  # in which way
    mixture: Mixture = "as_is"  # of difficulties, and in which order they come
    difficulty: Annotated[str, BeforeValidator(_difficulty)] = "all"
    replay_share: Annotated[float, Field(ge=0, lt=1)] = 0.0  # of the examples that are of the safety task instead


def _template(value: object) -> object:
    """A file with the digest of its content, so that a run's id knows the template and not its file's name alone."""
    if not isinstance(value, str) or value == "tokenizer" or re.search("#[0-9a-f]{12}$", value):
        return value
    try:
        content = Path(value).read_bytes()
    except (OSError, ValueError) as problem:
        raise ValueError(f"{shown(value)} can't be read ({getattr(problem, 'strerror', problem)})") from None
    return f"{value}#{sha256(content).hexdigest()[:12]}"


def _layers(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"\s*[\w.-]+(\s*[,\s]\s*[\w.-]+)*\s*", value):
        raise ValueError(f"must be all-linear or names of layers (q_proj, v_proj), got {shown(value)}")
    return value


class Model(Strict):
    """What a run starts from, and which of its weights are trained."""

    base: Folder
    dtype: Literal["float32", "bfloat16"] = "float32"
    attention: Literal["auto", "sdpa", "eager", "flash_attention_2", "flex_attention"] = "auto"
    gradient_checkpointing: bool = False
    lora_rank: Annotated[int, AS_WHOLE, Field(ge=0, le=65536)] = 0  # of the adapters; 0 trains all weights
    lora_alpha: Positive = 32.0  # adapters are scaled by alpha / rank: one learning rate serves many ranks
    lora_targets: Annotated[Name, BeforeValidator(_layers)] = "all-linear"  # or names of layers
    chat_template: Annotated[Folder, BeforeValidator(_template)] = "tokenizer"  # or a file
    trust_remote_code: bool = False  # that comes with a model


AXIS_MODELS: Mapping[str, type[Strict]] = {"optimization": Optimization, "data": Data, "model": Model}
OF_BASES = ("model.dtype", "model.attention", "model.chat_template", "model.trust_remote_code")  # how one is measured
TRAINED_ON = ("data.task", "data.source")  # a study gives one of them
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
    if axis == "data":
        given = [name for name in TRAINED_ON if name.partition(".")[2] in raw]
        if not given:
            raise Mistake("data.task", "missing; every study names it, or data.source instead")
        if len(given) > 1:
            raise Mistake("data.source", "given with data.task, and a run trains on one of them; remove one")
    section = {key: value_of(f"{axis}.{key}", raw[key]) for key in fields if key in raw}
    if axis == "optimization":
        _refuse_unheard(section)
        refuse_unruled(section)
    return section


def _refuse_unheard(section: Mapping[str, Value]) -> None:
    """Refuse, as a Mistake, what the schedule pays no heed to: conditions that are one would pass for several."""
    chosen = section.get("schedule", Optimization.model_fields["schedule"].get_default())
    schedules = chosen if isinstance(chosen, tuple) else (chosen,)
    for key, deaf in UNHEARD.items():
        without = [str(schedule) for schedule in schedules if schedule in deaf]
        if key not in section or not without:
            continue
        if len(without) == len(schedules):
            raise Mistake(f"optimization.{key}", f"has no effect under the schedule {' or '.join(without)}; remove it")
        if isinstance(section[key], tuple | Range):
            some = f"varies, and has no effect under the schedule {' or '.join(without)}"
            raise Mistake(f"optimization.{key}", f"{some}, so that conditions would be one; give it one value")
    ratios = section.get("final_ratio")
    if "inverse_sqrt" in schedules and isinstance(ratios, tuple) and 0 in ratios:
        raise Mistake("optimization.final_ratio", "0 leaves inverse_sqrt its own end; as a factor, list ratios above 0")


def refuse_unruled(section: Mapping[str, Value]) -> None:
    """Refuse, as a Mistake, settings of early stopping that no rule of the study reads, and those that vary where some
    rule doesn't; and a warm-up that is given twice."""
    chosen = section.get("early_stopping", NO_RULE)
    rules = chosen if isinstance(chosen, tuple) else (chosen,)
    for key, hearing in RULE_HEARS.items():
        deaf = [str(rule) for rule in rules if rule not in hearing]
        if key not in section or not deaf:
            continue
        if len(deaf) == len(rules):
            raise Mistake(f"optimization.{key}", f"has no effect with early_stopping {' or '.join(deaf)}; remove it")
        if isinstance(section[key], tuple | Range):
            some = f"varies, and has no effect with early_stopping {' or '.join(deaf)}"
            raise Mistake(f"optimization.{key}", f"{some}, so that conditions would be one; give it one value")
    if {"warmup_steps", "warmup_ratio"} <= set(section):
        raise Mistake("optimization.warmup_steps", "given with optimization.warmup_ratio; remove one")


def resolve(given: Mapping[str, Level]) -> dict[str, Level]:
    """Every setting `axis.key` of a condition from those given: defaults filled in; steps or epochs, never both.

    Without noise there is no kind of it, and `data.noise_kind` is its default: the same data has the same settings.
    """
    full: dict[str, Level | None] = {name: given.get(name, default_of(name)) for name in SETTINGS}
    if full["optimization.steps"] is None and full["optimization.epochs"] is None:
        full["optimization.steps"] = DEFAULT_STEPS
    if full["optimization.micro_batch_size"] is None:
        full["optimization.micro_batch_size"] = full["optimization.batch_size"]
    if full["optimization.warmup_steps"] is not None:
        full["optimization.warmup_ratio"] = None
    for key, rules in RULE_HEARS.items():
        if full[RULE] not in rules:  # what a rule pays no heed to makes no other condition
            full[f"optimization.{key}"] = default_of(f"optimization.{key}")
    _check_warmup(full)
    if not full[RATE]:
        full[KIND] = Data.model_fields["noise_kind"].get_default()
    return {name: level for name, level in full.items() if level is not None}


def _check_warmup(full: Mapping[str, Level | None]) -> None:
    """Refuse, as a Mistake, a warm-up that doesn't end before the run, or before wsd begins to fall."""
    begins, risen = float(full["optimization.decay_start"] or 0), full["optimization.warmup_ratio"]
    told = f"{risen}"
    if (steps := full["optimization.warmup_steps"]) is not None:
        total = total_steps({name: level for name, level in full.items() if level is not None})
        if int(steps) > total:
            raise Mistake("optimization.warmup_steps", f"{steps} is more than the {total} steps of a run; lower it")
        risen, told = int(steps) / total, f"{steps} of {total} steps"
    if full["optimization.schedule"] == "wsd" and begins < float(risen or 0):
        raise Mistake("optimization.decay_start", f"{begins} is before the warm-up ends ({told}); raise it")


def default_of(name: str) -> Any:
    """The default of a setting `axis.key`; pydantic's own mark of a missing one where it has none."""
    axis, _, key = name.partition(".")
    return AXIS_MODELS[axis].model_fields[key].get_default()


def trained_on(settings: Mapping[str, Level]) -> str:
    """What a condition trains on: its task, or its source."""
    return next(str(settings[name]) for name in TRAINED_ON if name in settings)


def total_steps(settings: Mapping[str, Level]) -> int:
    """Optimizer steps of a condition: as set, or those of its epochs.

    The ragged last batch of every epoch counts. Packing changes the layout of a batch, not its examples, so it
    changes no step. Epochs count as they are written: 1.1 is eleven tenths, not the binary number above it.
    """
    if "optimization.steps" in settings:
        return int(settings["optimization.steps"])
    an_epoch = ceil(int(settings["data.examples"]) / int(settings["optimization.batch_size"]))
    return max(1, ceil(an_epoch * Fraction(str(settings["optimization.epochs"]))))
