"""Reads a study's YAML: numbers as people write them (3e-4), each key once, every mistake with its line."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path

import yaml

from triaxis.study.mistakes import one_line, shown
from triaxis.types import TriaxisError

MAX_BYTES = 1_000_000  # more is some other file, and a YAML reader would take minutes to say so


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2 (its core schema) and without duplicate keys.

    YAML 1.1 reads 3e-4 as text, `no` as false, 1:30 as 90, 010 as 8 and 2026-01-01 as a date.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:
        pattern = _SCALARS.get(node.tag)
        if pattern and isinstance(node, yaml.ScalarNode) and not pattern.match(node.value):
            problem = f"{shown(node.value)} is no {node.tag.rpartition(':')[2]}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_object(node, deep)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        seen: dict[object, int] = {}
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():  # `!!map 3`, refused below
            key = self.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if not isinstance(key, str):
                problem = f"the key {shown(key)} is not a name"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            if key in seen:
                problem = f"the key {key} is given twice (first in line {seen[key]})"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            seen[key] = line
        return super().construct_mapping(node, deep)


def _whole(loader: _Loader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))


_SCALARS: dict[str, re.Pattern[str]] = {}  # what a scalar of a tag must look like, whether the tag is written or not
_KEPT = (None, *(f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "float", "str", "seq", "map")))
_Loader.yaml_constructors = {tag: make for tag, make in _Loader.yaml_constructors.items() if tag in _KEPT}
_Loader.add_constructor("tag:yaml.org,2002:int", _whole)
_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]{1,18}", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+0123456789."),
    ),
):
    _SCALARS[f"tag:yaml.org,2002:{_tag}"] = re.compile(rf"(?:{_pattern})\Z")
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _SCALARS[f"tag:yaml.org,2002:{_tag}"], _first)


def read_text(path: Path, kind: str = "study") -> str:
    """The text of a YAML file that holds a `kind`; raises TriaxisError for a file that can't be read as one."""
    try:
        if path.is_dir():
            raise TriaxisError(f"{path}: is a folder; name a {kind}'s YAML file")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise TriaxisError(f"{path}: {size / 1e6:.1f} MB is too large for a {kind}; name a {kind}'s YAML file")
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise TriaxisError(f"{path}: no such file; name a {kind}'s YAML file") from None
    except PermissionError:
        raise TriaxisError(f"{path}: may not be read; change its permissions") from None
    except UnicodeDecodeError as error:
        raise TriaxisError(f"{path}: not UTF-8 text (byte {error.start}); save the {kind} as UTF-8") from None
    except (OSError, ValueError) as error:
        raise TriaxisError(f"{path}: can't be read: {getattr(error, 'strerror', None) or error}") from None


def read_yaml(
    text: str, where: str, kind: str = "study", needs: str = "at least model.base, data.task and tasks"
) -> object:
    """The content of a YAML document; raises TriaxisError, with line and column, where it isn't one."""
    try:
        data: object = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "somewhere"
        raise TriaxisError(
            f"{where}: {place}: {one_line(str(error.problem or error.context))}; correct the YAML"
        ) from None
    except yaml.YAMLError as error:
        raise TriaxisError(f"{where}: not YAML: {one_line(str(error))}") from None
    except (RecursionError, ValueError):
        raise TriaxisError(f"{where}: not a {kind}: nested too deeply, or a number out of range") from None
    if data is None:
        raise TriaxisError(f"{where}: is empty; a {kind} needs {needs}")
    return data
