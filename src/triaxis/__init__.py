"""Triaxis: under what conditions reasoning SFT generalizes, and at what cost.

    study = triaxis.load_study("study.yaml")                     # what to vary and what to ask
    with triaxis.Store.open("folder", read_only=True) as store:  # what `triaxis run` measured
        table = store.table()                                    # the one long table; or read_table("results.csv")
    analysis = triaxis.analyze.analyze(table, study=study)       # typed findings: `triaxis.types`
    triaxis.analyze.to_json(analysis)                            # docs/analysis-json.md

Names are loaded when they are first asked for, so that reading results never waits for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from triaxis.version import __version__

if TYPE_CHECKING:
    from triaxis.execute.conduct import conduct
    from triaxis.records import Store, Table, read_table
    from triaxis.records.published import published as published
    from triaxis.report import print_analysis, trajectory_svg, write_html
    from triaxis.study import Study, identify, load_study, parse_study

_HOME = {
    "conduct": "triaxis.execute.conduct",
    **dict.fromkeys(("Store", "Table", "published", "read_table"), "triaxis.records"),
    **dict.fromkeys(("print_analysis", "trajectory_svg", "write_html"), "triaxis.report"),
    **dict.fromkeys(("Study", "identify", "load_study", "parse_study"), "triaxis.study"),
    **{room: f"triaxis.{room}" for room in ("analyze", "simulate", "tasks", "types")},
}

__all__ = [
    "Store",
    "Study",
    "Table",
    "__version__",
    "conduct",
    "identify",
    "load_study",
    "parse_study",
    "print_analysis",
    "published",
    "read_table",
    "trajectory_svg",
    "write_html",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'triaxis' has no attribute {name!r}")
    module = import_module(_HOME[name])
    return module if _HOME[name] == f"triaxis.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
