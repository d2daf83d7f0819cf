"""What a claim's file holds; unknown keys and impossible rules are refused when it is read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from triaxis.types import TriaxisError

Name = Annotated[str, Field(min_length=1)]
Names = Name | list[Name]  # one level, or several names by which studies call it
End = Literal["higher", "lower", "stronger", "weaker", "first doubling", "last doubling", "any"] | list[Names]
Side = Literal["higher", "lower", "stronger", "weaker"] | list[Name]
Quantity = Literal[
    "gain",
    "best",
    "mean",
    "late",
    "fall",
    "best_step",
    "at_equal_domain",
    "until_memorised",
    "after_memorised",
    "reliance",
    "response_tokens",
    "verified_steps",
    "loss",
    "sharpness",
]
Direction = Literal["positive", "negative", "either", "not positive", "not negative"]
Form = Literal["effect", "corner", "others", "peak", "shift", "association", "rival", "threshold"]
NEEDS = {  # of each form: how many factors its contrast has, at least and at most
    "effect": (0, 3),
    "corner": (2, 3),
    "others": (2, 3),
    "peak": (1, 1),
    "shift": (2, 2),
    "association": (0, 0),
    "rival": (0, 0),
    "threshold": (0, 0),
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Part(_Strict):
    """One inequality: what of a run is looked at, which contrast of conditions is taken, and how large it must be.

    `contrast` says for each factor which end is counted positive: `higher` or `lower` number, `stronger` or `weaker`
    base, the `first doubling` or `last doubling` of a number (per doubling), a pair of levels [this, minus that], or
    `any` two levels. No factor: the mean over all conditions. docs/claims.md tells what each word stands for.
    """

    groups: list[Name] = Field(min_length=1)  # pooled: the mean over their tasks
    estimand: Quantity = "gain"
    form: Form = "effect"
    contrast: dict[str, End] = {}
    within: dict[str, Side] = {}  # only runs at this level
    equal: list[Name] = []  # what both sides of the contrast must share: a factor, `steps` or `tokens`
    direction: Direction
    smallest_effect: float = Field(gt=0, lt=10)  # in the estimand's unit: score, or doublings
    planned_effect: float | None = Field(default=None, gt=0, lt=10)  # found with power .8 at the size that is asked for
    both_scales: bool = False  # support needs the logit's interval on the same side of 0

    @model_validator(mode="after")
    def _possible(self) -> Part:
        least, most = NEEDS[self.form]
        if not least <= len(self.contrast) <= most:
            needed = f"{least}" if least == most else f"{least} to {most}"
            raise ValueError(f"form {self.form} takes {needed} factors in its contrast, here {len(self.contrast)}")
        if "any" in self.contrast.values() and (len(self.contrast) > 1 or self.direction != "either"):
            raise ValueError("'any' two levels stand alone in a contrast, with direction either")
        if self.direction.startswith("not ") and self.planned_effect is not None:
            raise ValueError("a part that expects no effect plans none; remove planned_effect")
        if self.planned_effect is not None and self.planned_effect <= self.smallest_effect:
            raise ValueError("planned_effect must exceed smallest_effect")
        for end in self.contrast.values():
            if isinstance(end, list) and len(end) != 2:
                raise ValueError("a pair of levels is [this, minus that]")
        return self


class Course(_Strict):
    """A statement about the course of training, taken over the seeds of each condition."""

    groups: list[str] = Field(min_length=1)
    event: Literal["dips and regains"]
    probability: float = Field(gt=0.5, lt=1)  # a condition counts as doing it, or as not doing it, from here on
    share: float = Field(gt=0, lt=1)  # of the conditions: more than this must


class Simulated(_Strict):
    """The claim's two simulated cases, as settings of `triaxis.simulate`: what both share, and what each adds.

    In `holds` the claim is true at its planned effect, and must be found with a power of .8; in `nothing` it is not.
    """

    common: dict[str, Any] = {}
    holds: dict[str, Any]
    nothing: dict[str, Any] = {}


class Claim(_Strict):
    """A claim: every part must hold for it to be supported (intersection-union); one part refuted refutes it."""

    id: str
    statement: Name
    source: Name
    axes: list[Literal["optimization", "data", "model"]]
    parts: list[Part] = []
    course: Course | None = None
    excludes: list[str] = []  # claims that can't be true beside it
    simulated: Simulated | None = None

    @model_validator(mode="after")
    def _something(self) -> Claim:
        if bool(self.parts) == (self.course is not None):
            raise ValueError("a claim has either parts or a course")
        if not re.fullmatch(r"[A-Za-z][\w.-]{0,39}", self.id):
            raise ValueError("an id starts with a letter and holds up to 40 letters, digits and ._-")
        return self

    @property
    def family(self) -> str:
        """The claims that are adjusted together: those whose ids begin with the same letters."""
        return re.match(r"[A-Za-z]+", self.id).group()  # type: ignore[union-attr]  # an id starts with a letter


def load_claim(path: FilePath | Any) -> Claim:
    """The claim in a YAML file. Raises TriaxisError that names file, field and fault."""
    try:
        return Claim.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise TriaxisError(f"{path}: can't be read ({reason}); check the path") from None
    except yaml.YAMLError as error:
        raise TriaxisError(f"{path.name}: not YAML ({str(error).splitlines()[0]})") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "claim"
        raise TriaxisError(
            f"{path.name}, {where}: {first['msg']}; see docs/claims.md for the form of a claim"
        ) from None


def load_claims(paths: Iterable[FilePath]) -> tuple[Claim, ...]:
    """The claims in files, and in all YAML files of folders, in order of id. Raises TriaxisError, one line."""
    found: list[FilePath] = []
    for path in paths:
        inside = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
        if not inside:
            raise TriaxisError(f"{path}: holds no claim; a claim is a .yaml file, see docs/claims.md")
        found += inside
    return in_order([load_claim(path) for path in found])


def in_order(claims: Iterable[Claim]) -> tuple[Claim, ...]:
    """Claims by family and number. Raises TriaxisError where an id is there twice."""
    ordered = sorted(claims, key=lambda claim: (claim.family, _number(claim.id), claim.id))
    for one, other in pairwise(ordered):
        if one.id == other.id:
            raise TriaxisError(f"two claims have the id {one.id}; give one of them another")
    return tuple(ordered)


def _number(id: str) -> int:
    digits = re.search(r"\d+", id)
    return int(digits.group()) if digits else 0


@lru_cache(maxsize=1)
def shipped_claims() -> tuple[Claim, ...]:
    """The ledger that comes with the package, in order of id."""
    folder = files("triaxis.analyze.claims") / "ledger"
    return in_order(load_claim(entry) for entry in folder.iterdir() if entry.name.endswith(".yaml"))
