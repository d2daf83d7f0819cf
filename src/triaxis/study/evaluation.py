"""How every checkpoint of a study is measured, and what the study may cost."""

from __future__ import annotations

from math import ceil
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    PlainValidator,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from triaxis.study.fields import AS_IS, AS_WHOLE, Amount, Count, Positive, Strict, Whole
from triaxis.study.judging import JudgeSettings
from triaxis.study.mistakes import shown
from triaxis.types import Mode

MAX_ITEMS, MAX_SAMPLES, MAX_TOKENS, MAX_SHOTS = 1_000_000, 10_000, 1_000_000, 100
MAX_STOPS, LONGEST_STOP = 16, 200
Tokens = int | Literal["auto"]
BackendName = Literal["auto", "ours", "transformers", "continuous", "vllm"]
# What came after ids, which are made of the rest: not told at its default.
LATER: dict[str, Any] = {"few_shot": 0, "backend": "auto", "stop": (), "adaptive": None}


def _tokens(value: object) -> int | Literal["auto"]:
    if value == "auto":
        return "auto"
    if type(value) is not int or not 1 <= value <= MAX_TOKENS:
        raise ValueError(f"must be auto or a whole number of tokens up to {MAX_TOKENS:,}, got {shown(value)}")
    return value


class Adaptive(Strict):
    """When the evaluation of a task at a checkpoint ends before all items are asked: once its gain is settled.

    Shares are of a task's items, rounded up. What is inferred of more than one checkpoint reads the pilot alone.
    """

    smallest_effect: Annotated[float, Field(gt=0, lt=1)] = 0.03  # a gain is above it, below minus it, or inside
    pilot: Annotated[float, Field(gt=0, le=1)] = 0.5  # asked at every checkpoint, whatever is settled
    block: Annotated[float, Field(gt=0, le=1)] = 0.25  # asked between two looks after the pilot

    def pilot_of(self, total: int) -> int:
        """Of so many items, those that are asked at every checkpoint: two at least, since one has no variance."""
        return min(total, max(2, _part(self.pilot, total)))

    def looks(self, total: int) -> list[int]:
        """How many items have been asked at each look; the last is all of them."""
        return [*range(self.pilot_of(total), total, _part(self.block, total)), total]


def _part(share: float, total: int) -> int:
    """A share rounded up, so that .1 of 30 are 3, whatever their product is in floats."""
    return max(1, ceil(share * total - 1e-9))


def _adaptive(value: object) -> object:
    if value is True:
        return {}
    if value is False or value is None:
        return None
    if not isinstance(value, dict | Adaptive):
        raise ValueError(f"must be true, false or a mapping of {', '.join(Adaptive.model_fields)}, got {shown(value)}")
    return value


class Evaluation(Strict):
    """How every checkpoint is measured."""

    items: Annotated[int, AS_WHOLE, Field(ge=1, le=MAX_ITEMS)] = 60  # a task
    samples: Annotated[int, AS_WHOLE, Field(ge=1, le=MAX_SAMPLES)] = 1  # an item
    temperature: Amount = 0.0
    max_new_tokens: Annotated[Tokens, PlainValidator(_tokens), AS_IS] = "auto"  # 1.5 x a task's longest reference
    modes: Annotated[tuple[Mode, ...], Field(min_length=1)] = ("default",)
    batch_size: Count = 512  # responses decoded together; no answer depends on it but to rounding
    seed: Whole = 0  # of the items and the sampling; the same for every run, so that gains are paired
    few_shot: Annotated[int, AS_WHOLE, Field(ge=0, le=MAX_SHOTS)] = 0  # solved questions before each, as earlier turns
    judge: JudgeSettings | None = None  # asked of safety and over_refusal once all is measured
    backend: BackendName = "auto"  # what has a model answer; auto: ours, or transformers where ours can't
    stop: tuple[str, ...] = ()  # strings that end a response once its thoughts are closed
    adaptive: Annotated[Adaptive | None, BeforeValidator(_adaptive)] = None  # None asks every item everywhere

    @field_validator("modes", mode="before")
    @classmethod
    def _distinct(cls, modes: object) -> object:
        listed = (modes,) if isinstance(modes, str) else tuple(modes) if isinstance(modes, list) else modes
        if isinstance(listed, tuple) and any(mode in listed[:i] for i, mode in enumerate(listed)):
            raise ValueError("a mode is listed twice")
        return listed

    @field_validator("stop", mode="before")
    @classmethod
    def _strings(cls, stop: object) -> object:
        listed = [stop] if isinstance(stop, str) else list(stop) if isinstance(stop, list | tuple) else None
        texts = listed is not None and all(isinstance(s, str) and 0 < len(s) <= LONGEST_STOP for s in listed)
        if listed is None or not texts or len(listed) > MAX_STOPS or len(set(listed)) < len(listed):
            raise ValueError(f"must be up to {MAX_STOPS} different strings of 1 to {LONGEST_STOP} characters")
        return tuple(listed)

    @model_serializer(mode="wrap")
    def _told(self, told: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        """Without what is at its default and came after ids, which are made of this. The judge stands only in the study
        as it is written (`exclude_unset`): it is asked of records that are there, and is no part of an id."""
        settings: dict[str, Any] = told(self)
        if not (info.exclude_unset and self.judge):
            settings.pop("judge", None)
        if self.adaptive is not None and "adaptive" in settings:
            settings["adaptive"] = self.adaptive.model_dump()  # in full, given or not
        return {key: value for key, value in settings.items() if key not in LATER or getattr(self, key) != LATER[key]}

    @property
    def inferred(self) -> int:
        """Items of a task that effects, phases and verdicts are inferred from: all, or the pilot."""
        return self.items if self.adaptive is None else self.adaptive.pilot_of(self.items)

    @property
    def pilot_share(self) -> float:
        """Of a task's items, those that every checkpoint is asked."""
        return self.inferred / self.items

    @property
    def told(self) -> dict[str, Any]:
        """Every setting by name but the judge's, those of `adaptive` one by one."""
        settings: dict[str, Any] = {key: value for key, value in self if key != "judge"}
        if self.adaptive is not None:
            settings["adaptive"] = True
            settings |= {f"adaptive.{key}": value for key, value in self.adaptive}
        else:
            settings["adaptive"] = False
        return settings

    def gives(self, name: str) -> bool:
        """Whether a setting, named as in `told`, was given."""
        section, _, key = name.partition(".")
        inner = self.adaptive.model_fields_set if key and self.adaptive is not None else (key,)
        return section in self.model_fields_set and key in inner

    @model_validator(mode="after")
    def _samples_differ(self) -> Self:
        if self.samples > 1 and self.temperature == 0:
            raise ValueError(f"{self.samples} samples at temperature 0 would be the same; raise temperature or take 1")
        return self


class Budget(Strict):
    """What the study may cost; None is no limit."""

    minutes: Positive | None = None
    disk_gb: Positive | None = None
