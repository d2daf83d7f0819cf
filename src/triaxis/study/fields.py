"""The kinds of value that a study is made of: whole numbers, shares, names, ranges and lists of levels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from triaxis.study.mistakes import shown
from triaxis.types import Level


class Strict(BaseModel):
    """A section of a study: unknown keys, infinities and values of another type are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _listed(value: object) -> object:
    return tuple(value) if isinstance(value, list) else (value,) if isinstance(value, str) else value


def _printed(text: str) -> str:
    if not text.isprintable() or not text.strip():
        raise ValueError(f"must be printable text on one line, got {shown(text)}")
    return text


def _foldered(path: str) -> str:
    if any(len(part.encode()) > MAX_NAME for part in path.split("/")):
        raise ValueError(f"a folder's name has at most {MAX_NAME} characters, got {shown(path)}")
    return path


MAX_WHOLE = 2**31 - 1
MAX_NAME, MAX_PATH = 255, 1024  # characters; those of a file's name and path on common systems
AS_WHOLE = BeforeValidator(_whole)  # 1e3 is a whole number too
Whole = Annotated[int, AS_WHOLE, Field(ge=0, le=MAX_WHOLE)]
Count = Annotated[int, AS_WHOLE, Field(ge=1, le=MAX_WHOLE)]
Positive = Annotated[float, Field(gt=0)]
Amount = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME), AfterValidator(_printed)]
Folder = Annotated[str, Field(min_length=1, max_length=MAX_PATH), AfterValidator(_printed), AfterValidator(_foldered)]
Names = Annotated[tuple[Name, ...], BeforeValidator(_listed), Field(min_length=1)]
AS_IS = PlainSerializer(lambda value: value)  # what a plain validator has made is written as it is


class Range(Strict):
    """A factor that may take any value from `low` to `high`, drawn evenly on a linear or a logarithmic scale."""

    low: int | float
    high: int | float
    scale: Literal["linear", "log"] = "linear"

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if not self.low < self.high:
            raise ValueError(f"low ({self.low:g}) must be less than high ({self.high:g})")
        if self.scale == "log" and self.low <= 0:
            raise ValueError("a range on the log scale must start above 0")
        return self

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}, {self.scale}"

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are drawn; the study gives the bounds the type of their setting."""
        return isinstance(self.low, int) and isinstance(self.high, int)


Value = Level | tuple[Level, ...] | Range  # fixed, a factor with levels, a factor over a range
