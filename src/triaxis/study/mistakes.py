"""A mistake in a study, told in one line: its place, what is wrong, and the nearest thing that is right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from pydantic import ValidationError

from triaxis.types import TriaxisError


class Mistake(TriaxisError):
    """What is wrong at a place in a study (`optimization.steps`); the reader of the file adds its name."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)


def shown(value: object) -> str:
    """A value as an error shows it: on one line, and short."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """The valid name that is most like `name`; a right key on the wrong axis counts as near."""
    valid = list(valid)
    key = name.rpartition(".")[2]
    same_key = [v for v in valid if v.rpartition(".")[2] == key]
    close = same_key or get_close_matches(name, valid, n=1, cutoff=0.6)
    if not close:  # compare the keys alone: an axis in front makes everything on it look alike
        keys = {v.rpartition(".")[2]: v for v in valid}
        close = [keys[k] for k in get_close_matches(key, list(keys), n=1, cutoff=0.6)]
    return close[0] if close else None


def unknown(path: str, valid: Iterable[str], what: str = "unknown") -> Mistake:
    """The mistake of a name that isn't known, with the nearest valid one or, where none is near, all of them."""
    valid = list(valid)
    near = nearest(path, valid)
    return Mistake(path, f"{what}; " + (f"did you mean {near}?" if near else f"valid here: {', '.join(valid)}"))


def first_mistake(error: ValidationError, known: Mapping[str, Iterable[str]]) -> Mistake:
    """The most telling of pydantic's complaints as one mistake; `known` gives the valid keys of each section."""
    complaints = error.errors(include_url=False)
    complaint = next((c for c in complaints if c["type"] == "extra_forbidden"), complaints[0])
    loc = [part for part in complaint["loc"] if part != "[key]"]
    path = ".".join(str(part) for part in loc if isinstance(part, str))
    more = f" (and {len(complaints) - 1} more)" if len(complaints) > 1 else ""
    if complaint["type"] == "extra_forbidden":
        section = path.rpartition(".")[0]
        return Mistake("", f"{unknown(path, (f'{section}.{k}'.lstrip('.') for k in known[section]))}{more}")
    if complaint["type"] == "missing":
        return Mistake(path, f"missing{more}")
    said = complaint["msg"].removeprefix("Input ").removeprefix("Value error, ")
    got = "" if complaint["type"] == "value_error" else f", got {shown(complaint['input'])}"
    hint = ""
    if complaint["type"] == "literal_error" and isinstance(complaint["input"], str):
        near = nearest(
            complaint["input"], complaint["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        )
        hint = f"; did you mean {near}?" if near else ""
    return Mistake(path, f"{said}{got}{hint}{more}")
