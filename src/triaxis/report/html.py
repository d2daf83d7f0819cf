"""The page: one HTML file that holds everything, opens with no network and is written in one step."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triaxis.types import Analysis, TriaxisError

if TYPE_CHECKING:
    from jinja2 import Template

    from triaxis.records import CostRow, DiagnosticRow


def write_html(
    analysis: Analysis,
    path: str | Path,
    *,
    title: str,
    provenance: Mapping[str, object],
    settings: Iterable[Sequence[object]] = (),
    runs: Iterable[Sequence[object]] = (),
    diagnostics: Sequence[DiagnosticRow] = (),
    costs: Iterable[CostRow] = (),
) -> Path:
    """Write the report of an analysis to `path` and return the path.

    `provenance` is printed as it is (version, study file, digest, ...); `settings` are (name, value, source), `runs`
    (id, state, cost), and `diagnostics` and `costs` those of a study's store. The same input gives the same bytes. The
    file is written beside its place and then moved, so that a reader never sees half of it. Raises TriaxisError where
    the file can't be written.
    """
    given: dict[str, Any] = {"settings": settings, "runs": runs, "diagnostics": diagnostics, "costs": costs}
    return save(render(analysis, title=title, provenance=provenance, **given), path)


def save(text: str, path: str | Path) -> Path:
    """Write a page beside its place and move it there. Raises TriaxisError where it can't be written."""
    path = Path(path)
    if path.is_dir():
        raise TriaxisError(f"{path} is a folder: name a file for the report, such as {path / 'report.html'}")
    try:
        _write(path, text.encode("utf-8"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise TriaxisError(f"can't write the report to {path}: {reason}; name another file or make room") from error
    return path


def render(
    analysis: Analysis,
    *,
    title: str,
    provenance: Mapping[str, object],
    settings: Iterable[Sequence[object]] = (),
    runs: Iterable[Sequence[object]] = (),
    diagnostics: Sequence[DiagnosticRow] = (),
    costs: Iterable[CostRow] = (),
) -> str:
    """The page as text; Jinja and Plotly are imported here and not before."""
    from plotly.offline import get_plotlyjs

    from triaxis.report.page import build

    given: dict[str, Any] = {"settings": settings, "runs": runs, "diagnostics": diagnostics, "costs": costs}
    page = build(analysis, title=title, provenance=provenance, **given)
    return template("report.html").render(page=page, plotly=get_plotlyjs() if page.plots else "")


def template(name: str) -> Template:
    """One of the page templates, which escapes what it sets."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _write(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o666 & ~_umask())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
