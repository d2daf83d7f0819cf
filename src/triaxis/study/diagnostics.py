"""Which diagnostics a study asks for at every checkpoint; which there are, `execute.check` knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from triaxis.study.mistakes import shown
from triaxis.types import Level

Setting = Level | tuple[Level, ...]
Diagnostics = dict[str, dict[str, Setting]]  # of each by name, the settings that are given


def diagnostics_of(value: object) -> Diagnostics:
    """A name, a list of names, or a mapping of names to settings, as the last of these. Raises ValueError."""
    if isinstance(value, str):
        return {_name(value): {}}
    if isinstance(value, list | tuple):
        names = [_name(name) for name in value]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"{twice} is listed twice")
        return {name: {} for name in names}
    if not isinstance(value, Mapping):
        raise ValueError(f"must be a list of names, or a mapping of names to settings, got {shown(value)}")
    return {_name(name): _settings(name, given) for name, given in value.items()}


def _name(name: object) -> str:
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"must be names of diagnostics, such as gradient_norm, got {shown(name)}")
    return name


def _settings(name: str, given: object) -> dict[str, Setting]:
    if given is None:  # `gradient_norm:` beside others that have settings
        return {}
    if not isinstance(given, Mapping):
        raise ValueError(f"{name} must have a mapping of settings, such as {{probes: 32}}, got {shown(given)}")
    return {str(key): _value(name, key, value) for key, value in given.items()}


def _value(name: str, key: object, value: Any) -> Setting:
    listed = tuple(value) if isinstance(value, list | tuple) else value
    for one in listed if isinstance(listed, tuple) else (listed,):
        if not isinstance(one, Level):
            raise ValueError(f"{name}.{key} must be a number, a name, true or false, or a list of these")
    return listed
