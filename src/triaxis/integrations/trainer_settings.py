"""The settings of a run that another trainer trains: read from what that trainer was given, each with its source."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from triaxis.records.columns import is_factor
from triaxis.study.axes import SETTINGS
from triaxis.study.mistakes import nearest, shown
from triaxis.types import AXES, Level, TriaxisError

NOT_FACTORS = ("optimization.micro_batch_size",)  # changes memory, and the result to rounding alone
ARGUMENTS = "TrainingArguments"
SCHEDULES = {"constant_with_warmup": "constant", "warmup_stable_decay": "wsd"}  # ours for transformers' names
OPTIMIZER = "the trainer's optimizer"
PLAIN = "float32"
LOOKED_AT = 8  # rows of the training data that tell it from other data of the same size


class Told(NamedTuple):
    """A setting with where it came from."""

    name: str
    value: Level
    source: str


def told_by_user(settings: Mapping[str, Level]) -> list[Told]:
    """The user's own settings. Raises TriaxisError for a name of no axis, or a value that is no level."""
    for name, value in settings.items():
        if not is_factor(name):
            near = nearest(str(name), SETTINGS)
            hint = f"did you mean {near}?" if near else f"names read axis.key, and the axes are {', '.join(AXES)}"
            raise TriaxisError(f"TrajectoryCallback: settings: {shown(name)} names no axis; {hint}")
        plain = isinstance(value, str | int | float | bool) and value != ""
        if not plain or (isinstance(value, float) and not math.isfinite(value)):
            raise TriaxisError(f"TrajectoryCallback: settings: {name} is {shown(value)}; give a number or a text")
    return [Told(name, value, "you") for name, value in settings.items()]


def told_by(args: Any, state: Any, model: Any, optimizer: Any, dataset: Any) -> list[Told]:
    """What a trainer's arguments and parts say of a run, under the names of a study's settings.

    Where an optimizer was handed to the trainer its arguments say nothing true of it, so it is asked itself.
    """
    return [*_of_optimizer(args, optimizer), *_of_arguments(args, state), *_of_model(model), *_of_data(args, dataset)]


def _of_optimizer(args: Any, optimizer: Any) -> Iterator[Told]:
    inner = getattr(optimizer, "optimizer", optimizer)  # accelerate wraps it
    if inner is None:
        yield Told("optimization.optimizer", str(getattr(args.optim, "value", args.optim)), f"{ARGUMENTS}.optim")
        groups: list[dict[str, Any]] = []
    else:
        yield Told("optimization.optimizer", type(inner).__name__.lower(), OPTIMIZER)
        groups = list(getattr(inner, "param_groups", []))
    for name, key, of_group in (
        ("optimization.learning_rate", "learning_rate", "initial_lr"),  # the peak: schedules multiply it
        ("optimization.weight_decay", "weight_decay", "weight_decay"),
    ):
        told = float(getattr(args, key))
        used = max((float(group[of_group]) for group in groups if of_group in group), default=told)
        yield Told(name, *((told, f"{ARGUMENTS}.{key}") if used == told else (used, OPTIMIZER)))


def _of_arguments(args: Any, state: Any) -> Iterator[Told]:
    kind = str(getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type))
    yield Told("optimization.schedule", SCHEDULES.get(kind, kind), f"{ARGUMENTS}.lr_scheduler_type")
    share = args.get_warmup_steps(state.max_steps) / state.max_steps
    yield Told("optimization.warmup_ratio", round(share, 6), f"{ARGUMENTS}.warmup_steps")
    yield Told("optimization.steps", int(state.max_steps), "the trainer's state")
    batch = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    parts = "per_device_train_batch_size x gradient_accumulation_steps x processes"
    yield Told("optimization.batch_size", int(batch), f"{ARGUMENTS}: {parts}")
    micro = int(args.per_device_train_batch_size)
    yield Told("optimization.micro_batch_size", micro, f"{ARGUMENTS}.per_device_train_batch_size")
    yield Told("optimization.gradient_clip", float(args.max_grad_norm or 0), f"{ARGUMENTS}.max_grad_norm")
    smoothing = float(args.label_smoothing_factor)
    yield Told("optimization.label_smoothing", smoothing, f"{ARGUMENTS}.label_smoothing_factor")
    for name, key in (("optimization.loss", "loss_type"), ("optimization.packing", "packing")):
        if isinstance(value := getattr(args, key, None), str | bool):
            yield Told(name, value, f"{type(args).__name__}.{key}")
    if args.bf16 or args.fp16:
        yield Told("optimization.mixed_precision", "bf16" if args.bf16 else "fp16", ARGUMENTS)


def precision(args: Any, model: Any) -> str:
    """In which numbers a model answers while this trainer has it: its weights', or those of the trainer's autocast."""
    mixed = "bf16" if args.bf16 else "fp16" if args.fp16 else ""
    return " ".join(filter(None, (str(model.dtype).removeprefix("torch."), mixed)))


def _of_model(model: Any) -> Iterator[Told]:
    name = str(getattr(model, "name_or_path", "") or "unnamed").rstrip("/")
    yield Told("model.base", name, "the model's name_or_path")
    yield Told("model.dtype", str(model.dtype).removeprefix("torch."), "the model")
    for adapter in list(getattr(model, "peft_config", {}).values())[:1]:
        yield Told("model.lora_rank", int(getattr(adapter, "r", 0)), "the model's adapter")
        yield Told("model.lora_alpha", float(getattr(adapter, "lora_alpha", 0)), "the model's adapter")


def _of_data(args: Any, dataset: Any) -> Iterator[Told]:
    rows = _size(dataset)
    if rows and not getattr(args, "packing", False):  # packed, a row of the trainer's is several of the user's
        yield Told("data.examples", rows, "rows of the training data")


def _size(dataset: Any) -> int:
    try:
        return len(dataset)
    except TypeError:  # a stream
        return 0


def data_print(dataset: Any) -> str:
    """A short hash of a few rows of the training data, spread over it; empty where it can't be looked at.

    Runs that differ in nothing but their data must not pass for one run.
    """
    rows = _size(dataset)
    try:
        places = sorted({i * (rows - 1) // max(1, LOOKED_AT - 1) for i in range(LOOKED_AT)}) if rows else []
        told = json.dumps([rows, [dataset[i] for i in places]], sort_keys=True, default=_plain)
    except Exception:  # rows of others: made on the fly, of any type
        return ""
    return hashlib.sha256(told.encode()).hexdigest()[:12] if rows else ""


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else type(value).__name__
