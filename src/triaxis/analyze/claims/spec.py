"""What a claim's file holds; unknown keys and impossible rules are refused when it is read."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from pathlib import Path as FilePath
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from triaxis.types import Estimand, TriaxisError

Ends = Literal["higher", "lower", "stronger", "weaker"] | list[str]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Part(_Strict):
    """One inequality about gains: a contrast of factors, the corner against the sum, or the mean gain itself.

    `contrast` says for each factor which end is counted positive: `higher` or `lower` number, `stronger` or `weaker`
    base, or a pair of level names [this, minus that]. No factor: the mean gain of all conditions.
    """

    groups: list[str] = Field(min_length=1)  # pooled: the mean over their tasks
    contrast: dict[str, Ends] = {}
    form: Literal["effect", "corner"] = "effect"
    direction: Literal["positive", "negative"]
    smallest_effect: float = Field(gt=0, lt=1)  # score
    planned_effect: float = Field(gt=0, lt=1)  # what the demo's design finds with a power of .8 or more
    estimand: Estimand = "gain"
    both_scales: bool = False  # support needs the logit's interval on the same side of 0

    @model_validator(mode="after")
    def _possible(self) -> Part:
        if self.form == "corner" and len(self.contrast) < 2:
            raise ValueError("a corner needs two factors or more")
        if self.planned_effect <= self.smallest_effect:
            raise ValueError("planned_effect must exceed smallest_effect")
        return self


class Course(_Strict):
    """A statement about the course of training, taken over the seeds of each condition."""

    groups: list[str] = Field(min_length=1)
    event: Literal["dips and regains"]
    probability: float = Field(gt=0.5, lt=1)  # a condition counts as doing it, or as not doing it, from here on
    share: float = Field(gt=0, le=1)  # of the conditions that must


class Claim(_Strict):
    """A claim: every part must hold for it to be supported (intersection-union); one part refuted refutes it."""

    id: str
    statement: str
    source: str
    axes: list[Literal["optimization", "data", "model"]]
    parts: list[Part] = []
    course: Course | None = None
    excludes: list[str] = []  # claims that can't be true beside it

    @model_validator(mode="after")
    def _something(self) -> Claim:
        if bool(self.parts) == (self.course is not None):
            raise ValueError("a claim has either parts or a course")
        return self


def load_claim(path: FilePath | Any) -> Claim:
    """The claim in a YAML file. Raises TriaxisError that names file, field and fault."""
    try:
        return Claim.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise TriaxisError(f"{path.name}: not YAML ({str(error).splitlines()[0]})") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "claim"
        raise TriaxisError(
            f"{path.name}, {where}: {first['msg']}; see docs/statistics.md for the form of a claim"
        ) from None


@lru_cache(maxsize=1)
def shipped_claims() -> tuple[Claim, ...]:
    """The ledger that comes with the package, in order of id."""
    folder = files("triaxis.analyze.claims")
    found = [load_claim(entry) for entry in folder.iterdir() if entry.name.endswith(".yaml")]
    return tuple(sorted(found, key=lambda claim: claim.id))
