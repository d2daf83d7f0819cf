"""How every checkpoint of a study is measured, and what the study may cost."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, PlainValidator, field_validator, model_validator

from triaxis.study.fields import AS_IS, AS_WHOLE, Amount, Count, Positive, Strict, Whole
from triaxis.study.mistakes import shown
from triaxis.types import Mode

MAX_ITEMS, MAX_SAMPLES, MAX_TOKENS = 1_000_000, 10_000, 1_000_000
Tokens = int | Literal["auto"]


def _tokens(value: object) -> int | Literal["auto"]:
    if value == "auto":
        return "auto"
    if type(value) is not int or not 1 <= value <= MAX_TOKENS:
        raise ValueError(f"must be auto or a whole number of tokens up to {MAX_TOKENS:,}, got {shown(value)}")
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

    @field_validator("modes", mode="before")
    @classmethod
    def _distinct(cls, modes: object) -> object:
        listed = (modes,) if isinstance(modes, str) else tuple(modes) if isinstance(modes, list) else modes
        if isinstance(listed, tuple) and any(mode in listed[:i] for i, mode in enumerate(listed)):
            raise ValueError("a mode is listed twice")
        return listed

    @model_validator(mode="after")
    def _samples_differ(self) -> Self:
        if self.samples > 1 and self.temperature == 0:
            raise ValueError(f"{self.samples} samples at temperature 0 would be the same; raise temperature or take 1")
        return self


class Budget(Strict):
    """What the study may cost; None is no limit."""

    minutes: Positive | None = None
    disk_gb: Positive | None = None
