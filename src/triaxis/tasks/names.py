"""How a task is named with its options: `rg:chain_sum?max_terms=3&min_terms=2`, each task in one spelling only."""

from __future__ import annotations

import re
from typing import NamedTuple, cast, get_args

from triaxis.types import TriaxisError, Variant

RG, FILE, HARNESS = "rg:", "file:", "lm_eval:"
SURFACE = "surface"  # the option that makes a surface variant of any task
_KEY = re.compile(r"[a-z][a-z0-9_]*")


class Named(NamedTuple):
    """A task's name taken apart."""

    base: str  # "rg:chain_sum", "file:tests/aime.jsonl", "pointer"
    options: tuple[tuple[str, str], ...]  # in alphabetical order, `surface` not among them
    surface: Variant | None

    @property
    def varies(self) -> str:
        """The name of the task whose surface this one varies; empty where it varies none."""
        return _joined(self.base, self.options) if self.surface else ""


def parsed(name: str) -> Named:
    """A name taken apart. Raises TriaxisError where it isn't in its one spelling: options sorted, each once."""
    base, mark, rest = name.partition("?")
    options: dict[str, str] = {}
    for part in rest.split("&") if mark else ():
        key, equals, value = part.partition("=")
        if not _KEY.fullmatch(key) or not equals or not value or value != value.strip():
            raise TriaxisError(f'task "{name}": options read like ?max_terms=3&min_terms=2, and {part!r} is none')
        if key in options:
            raise TriaxisError(f'task "{name}": the option {key} is given twice')
        options[key] = value
    spelt = _joined(base, tuple(sorted(options.items())))
    if spelt != name:
        raise TriaxisError(f'task "{name}": write it {spelt} (options in alphabetical order: one task, one name)')
    kind = options.pop(SURFACE, None)
    if kind is not None and kind not in get_args(Variant):
        raise TriaxisError(f'task "{name}": {SURFACE} is one of {", ".join(get_args(Variant))}, not {kind}')
    return Named(base, tuple(sorted(options.items())), cast("Variant | None", kind))


def is_open(name: str) -> bool:
    """Whether a name is none of a fixed list: one of reasoning-gym or lm-eval, a file, or any task with options."""
    return name.startswith((RG, FILE, HARNESS)) or "?" in name


def surface_of(name: str) -> tuple[str, Variant] | None:
    """Which task a surface variant varies, and what of it, by its name alone; None for any other name."""
    if "?" not in name:
        return None
    try:
        named = parsed(name)
    except TriaxisError:  # a name from elsewhere
        return None
    return (named.varies, named.surface) if named.surface else None


def _joined(base: str, options: tuple[tuple[str, str], ...]) -> str:
    return base + ("?" if options else "") + "&".join(f"{key}={value}" for key, value in options)
