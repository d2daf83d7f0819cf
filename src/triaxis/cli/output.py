"""What a study leaves behind besides its records: the summary, the report, the analysis as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from triaxis.version import __version__

if TYPE_CHECKING:
    from rich.console import Console

    from triaxis.records import Store, Table
    from triaxis.records.store import DiagnosticRow
    from triaxis.study import Study
    from triaxis.types import Analysis


def write_outputs(study: Study, store: Store, console: Console, *, seconds: float) -> None:
    """Infer, write `report.html` and `analysis.json` into the study's folder, print the summary."""
    from triaxis.analyze import analyze, to_json
    from triaxis.cli.folder import table_of, with_answers_seen
    from triaxis.report import print_analysis

    table = table_of(store, study)
    analysis = with_answers_seen(analyze(table, study=study), store, study)
    report = store.path / "report.html"
    write_report(analysis, report, title=study.name, store=store, table=table)
    document = json.dumps(to_json(analysis, diagnostics_of(store, study)), indent=1, allow_nan=False)
    (store.path / "analysis.json").write_text(document, encoding="utf-8")
    print_analysis(analysis, console, title=study.name, path=report, what=facts_of(store, study))
    console.print(f"{int(seconds) // 60} min {int(seconds) % 60} s", highlight=False)


def diagnostics_of(store: Store, study: Study | None) -> list[DiagnosticRow]:
    """What diagnostics say of a study's own runs and their bases; without a study, of all that a folder holds."""
    runs = None if study is None else {"", *(run.id for run in study.runs())}
    return [row for row in store.diagnostics() if runs is None or row.run in runs]


def facts_of(store: Store, study: Study) -> dict[str, object]:
    """What the summary says of a study's diagnostics and of what they cost beside the rest; nothing without them."""
    from triaxis.report.diagnostics import cost_table, in_a_line

    runs = {"", *(run.id for run in study.runs())}
    rows = diagnostics_of(store, study)
    if not any(row.run for row in rows):
        return {}
    costs = cost_table(cost for cost in store.costs() if cost.run in runs)
    spent = ", ".join(f"{phase.removeprefix('diagnostic.')} {seconds}" for phase, seconds, *_ in costs)
    return {"diagnostics": in_a_line(rows), "cost": spent}


def write_report(analysis: Analysis, path: Path, *, title: str, store: Store | None, table: Table) -> None:
    """The HTML report, with the settings, runs and costs of a study where there is one."""
    from triaxis.records import SAVED, records_digest
    from triaxis.report import write_html

    provenance = {
        "triaxis": __version__,
        "records": f"{table.arrow.num_rows:,} rows, SHA-256 {records_digest(table)[:16]} (without response texts)",
        "analysis seed": str(analysis.seed),
    }
    if store is None:
        write_html(analysis, path, title=title, provenance=provenance, settings=[], runs=[])
        return
    provenance |= {"study": str(store.path / "study.yaml"), "measured with": store.provenance()["measured with"]}
    seconds: dict[str, float] = {}
    for cost in store.costs():  # as if each run had been alone
        seconds[cost.run] = seconds.get(cost.run, 0.0) + (0.0 if cost.phase.startswith(SAVED) else cost.seconds)
    runs = [(s.run, s.state, f"{seconds.get(s.run, 0.0):.1f} s") for s in store.status()]
    write_html(
        analysis,
        path,
        title=title,
        provenance=provenance,
        settings=store.settings(),
        runs=runs,
        diagnostics=store.diagnostics(),
        costs=store.costs(),
    )
