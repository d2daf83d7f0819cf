"""What a claim's file holds; unknown keys and impossible rules are refused when it is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from triaxis.types import Level

Name = Annotated[str, Field(min_length=1)]
ENDS = ("higher", "lower", "stronger", "weaker", "first doubling", "last doubling", "any")
SIDES = ("higher", "lower", "stronger", "weaker")
Names = Level | list[Level]  # one level, or several by which studies call it


def _end(value: object) -> object:
    """A word of ENDS, or [this, minus that]: levels, or lists of the names that a level goes by."""
    if isinstance(value, str) and value in ENDS:
        return value
    if isinstance(value, list) and len(value) == 2 and all(_is_names(names) for names in value):
        return value
    raise ValueError(f"must be one of {', '.join(ENDS)}, or a pair of levels [this, minus that]")


def _side(value: object) -> object:
    if (isinstance(value, str) and value in SIDES) or (isinstance(value, list) and value and _is_names(value)):
        return value
    raise ValueError(f"must be one of {', '.join(SIDES)}, or a list of the names that the level goes by")


def _is_names(value: object) -> bool:
    names = value if isinstance(value, list) else [value]
    return bool(names) and all(isinstance(name, str | int | float | bool) and name != "" for name in names)


End = Annotated[str | list[Names], BeforeValidator(_end)]
Side = Annotated[str | list[Level], BeforeValidator(_side)]
Quantity = Literal[
    "gain",
    "best",
    "mean",
    "late",
    "fall",
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
Form = Literal["effect", "corner", "peak", "shift", "association", "rival", "threshold"]
FACTORS = {"corner": (2, 3), "peak": (1, 1), "shift": (2, 2)}  # in a form's contrast, least and most
NO_CONTRAST = ("association", "rival", "threshold")  # forms that compare no conditions
GAINS = ("gain", "best", "mean")
READ: Mapping[str, tuple[str, ...]] = {  # beside groups, direction and sizes, what a form reads of a part
    "effect": ("estimand", "contrast", "within", "equal", "both_scales"),
    "corner": ("estimand", "contrast", "within", "equal", "both_scales"),
    "peak": ("contrast", "within"),
    "shift": ("contrast", "within"),
    "association": ("estimand", "within"),
    "rival": (),
    "threshold": (),
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
        for name in ("estimand", "contrast", "within", "equal", "both_scales"):
            if name in self.model_fields_set and name not in READ[self.form]:
                raise ValueError(f"form {self.form} does not read {name}; remove it")
        least, most = (0, 0) if self.form in NO_CONTRAST else FACTORS.get(self.form, (0, 3))
        if not least <= len(self.contrast) <= most:
            needed = f"{least}" if least == most else f"{least} to {most}"
            raise ValueError(f"form {self.form} takes {needed} factors in its contrast, here {len(self.contrast)}")
        if self.form in ("peak", "shift") and next(iter(self.contrast.values())) != "higher":
            raise ValueError(f"form {self.form} looks along its first factor: write it as higher")
        if self.form == "threshold" and self.direction != "positive":
            raise ValueError("form threshold says that there is one: direction positive")
        if "any" in self.contrast.values() and (len(self.contrast) > 1 or self.direction != "either"):
            raise ValueError("'any' two levels stand alone in a contrast, with direction either")
        if self.equal and not self.contrast:
            raise ValueError("equal is of the two sides of a contrast; there is none")
        if self.both_scales and self.estimand not in GAINS:
            raise ValueError(f"both_scales is for {', '.join(GAINS)}; {self.estimand} has one scale")
        if self.estimand == "fall" and self.direction != "positive":
            raise ValueError(
                "fall is measured too small where the best step is missed: it can only be claimed, positive"
            )
        if self.direction.startswith("not ") and self.planned_effect is not None:
            raise ValueError("a part that expects no effect plans none; remove planned_effect")
        if self.planned_effect is not None and self.planned_effect <= self.smallest_effect:
            raise ValueError("planned_effect must exceed smallest_effect")
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

    @property
    def number(self) -> int:
        """The first number in the id, 0 without one: 2 comes before 10."""
        digits = re.search(r"\d+", self.id)
        return int(digits.group()) if digits else 0
