"""A mistake in a study, told in one line: its place, what is wrong, and the nearest thing that is right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from reprlib import Repr
from typing import Any

from pydantic import ValidationError

from triaxis.types import TriaxisError

_LONGEST_PATH = 200
_repr = Repr()  # one that doesn't write out a list of a million, or what YAML's aliases unfold to
_repr.maxstring = _repr.maxother = _repr.maxlong = 80


def one_line(text: str) -> str:
    """The text with its white space as single spaces, and what can't be printed as its escape."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(text.split()))


class Mistake(TriaxisError):
    """What is wrong at a place in a study (`optimization.steps`); the reader of the file adds its name."""

    def __init__(self, path: str, message: str) -> None:
        path, message = one_line(path), one_line(message)
        path = path if len(path) <= _LONGEST_PATH else f"{path[: _LONGEST_PATH - 3]}..."
        super().__init__(f"{path}: {message}" if path else message)
        self.path, self.message = path, message


def shown(value: object) -> str:
    """A value as an error shows it: on one line, and short."""
    text = one_line(_repr.repr(value))
    return text if len(text) <= 60 else f"{text[:57]}..."


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """The valid name that is most like `name`, by what follows the last dot, so on any axis; `lr` is learning_rate."""
    valid_of = {v.rpartition(".")[2]: v for v in valid}
    key = name.rpartition(".")[2]
    initials = [k for k in valid_of if len(key) > 1 and "".join(word[:1] for word in k.split("_")) == key]
    close = initials or get_close_matches(key, list(valid_of), n=1, cutoff=0.6)
    return valid_of[close[0]] if close else None


def unknown(path: str, valid: Iterable[str], elsewhere: Iterable[str] = ()) -> Mistake:
    """The mistake of a name that isn't known, with the nearest valid one or, where none is near, all valid ones."""
    valid = list(valid)
    near = nearest(path, [*elsewhere, *valid])
    if near == path:
        section, _, key = path.partition(".")
        return Mistake(path, f"a dot joins no keys here; write {section}: {{{key}: ..}}")
    return Mistake(path, "unknown; " + (f"did you mean {near}?" if near else f"valid here: {', '.join(valid)}"))


_WORDS = {  # pydantic's kinds of error, as a user would say them
    "missing": "missing; every study names it",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "dict_type": "must be a mapping of names to values",
    "model_type": "must be a mapping of settings",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "too_short": "is empty; name at least one",
    "string_too_short": "is empty; give a name",
    "string_too_long": "must have at most {max_length} characters",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:,.12g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:,.12g}",
    "literal_error": "must be {expected}",
}


def first_mistake(error: ValidationError, sections: Mapping[str, Iterable[str]]) -> Mistake:
    """The most telling of pydantic's complaints as one mistake; `sections` gives the valid keys of each section."""
    complaints = error.errors(include_url=False)
    complaint = next((c for c in complaints if c["type"] == "extra_forbidden"), complaints[0])
    *section, last = [*complaint["loc"]] or [""]
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in [*section, last]).lstrip(".")
    if complaint["type"] == "extra_forbidden":
        front = "".join(f"{part}." for part in section)
        mistake = unknown(
            path, (f"{front}{key}" for key in sections.get(front[:-1], ())), sections.get("elsewhere", ())
        )
    else:
        mistake = Mistake(path, _said(complaint))
    others = len(complaints) - 1
    return Mistake(path, mistake.message + (f" (and {others} more)" if others else ""))


def _said(complaint: Any) -> str:
    kind, value = complaint["type"], complaint["input"]
    if kind == "value_error":
        return str(complaint["msg"]).removeprefix("Value error, ")
    if kind in ("missing", "too_short", "string_too_short"):
        return _WORDS[kind]
    if value is None:
        return "is empty; give a value, or remove the key to take the default"
    text = _WORDS.get(kind, str(complaint["msg"])).format(**complaint.get("ctx", {}))
    near = None
    if kind == "literal_error" and isinstance(value, str):
        near = nearest(value, complaint["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", "))
    return f"{text}, got {shown(value)}" + (f"; did you mean {near}?" if near else "")
