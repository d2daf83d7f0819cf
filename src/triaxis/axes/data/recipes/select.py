"""`select`: the rows of some domains, some difficulties, or some ids."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field, model_validator

from triaxis.axes.data.recipes.operation import Context, Operation
from triaxis.study.fields import Names
from triaxis.study.mistakes import nearest
from triaxis.types import Example


def _texts(value: object) -> object:
    """A difficulty is written 3, "3-5", hard, or as a list of such."""
    listed = value if isinstance(value, list | tuple) else [value]
    plain = [str(v) if isinstance(v, int | float) and not isinstance(v, bool) else v for v in listed]
    return tuple(plain)


class Select(Operation):
    """The rows that meet all that is given; a name that no row has is an error."""

    name: ClassVar[str] = "select"

    domain: Names | None = None
    difficulty: Annotated[tuple[str, ...], BeforeValidator(_texts), Field(min_length=1)] | None = None
    ids: Names | None = None

    @model_validator(mode="after")
    def _something(self) -> Select:
        if self.domain is None and self.difficulty is None and self.ids is None:
            raise ValueError("give domain, difficulty or ids")
        return self

    def run(self, examples: Iterator[Example], context: Context) -> Iterator[Example]:
        wanted = {k: v for k, v in (("domain", self.domain), ("difficulty", self.difficulty), ("ids", self.ids)) if v}
        met: dict[str, set[str]] = {key: set() for key in wanted}
        seen: dict[str, dict[str, None]] = {key: {} for key in wanted}
        for example in examples:
            has = {"domain": example.domain, "difficulty": level_text(example), "ids": example.id}
            hits = {key: [w for w in values if _fits(key, w, has[key])] for key, values in wanted.items()}
            for key, found in hits.items():
                met[key].update(found)
                if len(seen[key]) < 1000:  # enough to name the nearest
                    seen[key][has[key]] = None
            if all(hits.values()):
                yield example
            else:
                context.entry.leave_out(
                    example.id, "of another " + next(k for k in hits if not hits[k]).removesuffix("s")
                )
        for key, values in wanted.items():
            for value in values:
                if value not in met[key]:
                    names = [name for name in seen[key] if name]
                    near = nearest(value, names)
                    hint = f"did you mean {near}?" if near else f"there are {', '.join(sorted(names)[:8]) or 'none'}"
                    raise context.mistake(f"no row has {key.removesuffix('s')} {value}; {hint}")


def level_text(example: Example) -> str:
    """A row's difficulty as it is written in a recipe; whole numbers without decimals."""
    level = example.difficulty
    return "" if level is None else f"{level:g}" if isinstance(level, int | float) else level


def _fits(key: str, wanted: str, has: str) -> bool:
    if wanted == has:
        return True
    if key != "difficulty" or "-" not in wanted[1:]:
        return False
    low, _, high = wanted.rpartition("-")
    try:
        return float(low) <= float(has) <= float(high)
    except ValueError:
        return False
