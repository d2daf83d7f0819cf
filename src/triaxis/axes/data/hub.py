"""Rows of data sets that the datasets library reads: `hf:owner/name?split=train`, streamed and never as code."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from triaxis.tasks.rows import Row, printable
from triaxis.types import TriaxisError

HUB = "hf:"
OPTIONS = ("config", "split", "revision", "data_files", "data_dir")
BUILDERS = ("json", "csv", "parquet", "arrow", "text")  # readers of tables; one of the others unpickles


def hub_rows(name: str) -> Callable[[], Iterator[Row]]:
    """The rows of `hf:NAME?split=train&config=main`, or of a reader, as `hf:csv?data_files=rows.csv`.

    Raises TriaxisError where the library isn't installed, an option is unknown, or it can't find or read the data.
    """
    path, _, query = name.removeprefix(HUB).partition("?")
    options = dict(part.partition("=")[::2] for part in query.split("&")) if query else {}
    for key, value in options.items():
        if key not in OPTIONS or not value:
            raise TriaxisError(f"{name}: the options are {', '.join(OPTIONS)}, as ?split=train; {key!r} is none")
    if not path:
        raise TriaxisError(f"{name}: names no data set; write {HUB}owner/name?split=train")
    if find_spec("datasets") is None:
        raise TriaxisError(f"{name}: the datasets library isn't installed; pip install 'triaxis[data]'")
    data = _opened(name, path, options)
    return lambda: _rows(data)


def hub_files(name: str) -> list[Path]:
    """The files and folders of this machine that a name means; none where it means a data set of the hub."""
    path, _, query = name.removeprefix(HUB).partition("?")
    options = dict(part.partition("=")[::2] for part in query.split("&"))
    folder = Path(options.get("data_dir") or (path if Path(path).is_dir() else "."))
    if pattern := options.get("data_files"):
        places = [str(folder / pattern), pattern]  # the library takes it as a path, or as one in the folder
        return [Path(each) for place in places for each in (place, *glob.glob(place, recursive=True))]  # noqa: PTH207
    return [folder] if "data_dir" in options or Path(path).is_dir() else []


def _opened(name: str, path: str, options: dict[str, str]) -> Any:
    import datasets

    asked = {"name": options.get("config")} | {k: options.get(k) for k in ("revision", "data_files", "data_dir")}
    try:
        builder = datasets.load_dataset_builder(path, **asked)
        reader = type(builder).__module__.rpartition(".")[2]
        if reader not in BUILDERS:
            taken = ", ".join(BUILDERS)
            raise TriaxisError(f"{name}: is read by {reader!r}, which is not used; those that are: {taken}")
        return builder.as_streaming_dataset(split=options.get("split", "train"))
    except TriaxisError:
        raise
    except Exception as error:  # of whatever kind: the library, its network client or its readers raise
        raise TriaxisError(f"{name}: can't be opened ({_said(error)}); check the name and the network") from None


def _rows(data: Any) -> Iterator[Row]:
    rows, number = iter(data), 0
    while True:
        number += 1
        try:
            values = next(rows, None)
        except Exception as error:  # see above
            yield Row(number, None, f"can't be read from here on ({_said(error)})")
            return
        if values is None:
            return
        yield Row(number, dict(values))


def _said(error: BaseException) -> str:
    return printable((str(error).strip().splitlines() or [type(error).__name__])[0].rstrip("."))
