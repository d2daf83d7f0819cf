"""`triaxis analyze`, `show` and `records`: what was measured, read again."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from triaxis.cli.folder import opened, study_of, table_of, title_of, with_answers_seen
from triaxis.types import TriaxisError

if TYPE_CHECKING:
    from triaxis.analyze.claims import Claim
    from triaxis.records import Store, Table
    from triaxis.study import Study

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Claims = Annotated[
    list[Path] | None, typer.Option("--claims", help="Your claims beside the shipped ones: a YAML file, or a folder.")
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of every resampling in the analysis.")]


def analyze(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="A study's folder, CSV or Parquet long tables, or a folder of results with --map."),
    ] = None,
    study: Annotated[Path | None, typer.Option(help="The study that a table belongs to.")] = None,
    published: Annotated[bool, typer.Option("--published", help="The tables of Ren et al. 2026, as shipped.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report to this file.")] = None,
    map_file: Annotated[
        Path | None, typer.Option("--map", help="YAML: how a folder of lm-eval or inspect results maps to runs.")
    ] = None,
    runs: Annotated[Path | None, typer.Option(help="A CSV of runs with their seeds and factors.")] = None,
    table_file: Annotated[
        Path | None, typer.Option("--table", help="Write the long table that was made (.csv, .tsv or .parquet).")
    ] = None,
    claims: Claims = None,
    as_json: Json = False,
    seed: Seed = 0,
) -> None:
    """Infer from results alone: effects, phases, verdicts, with no training."""
    from triaxis.study import load_study

    if published == bool(paths):
        raise TriaxisError("analyze: give a folder or a table, or --published, and not both")
    ours = published or (paths and len(paths) == 1 and (paths[0] / "study.db").is_file())
    if ours and (map_file or runs or table_file):
        raise TriaxisError("analyze: --map, --runs and --table are for results made elsewhere; leave them out here")
    declared = load_study(study) if study is not None else None
    ledger = _ledger(claims)
    if published:
        from triaxis.records import published as published_table

        title = "Ren et al. 2026, as published"
        _inferred(published_table(), declared, title, None, report, ledger, as_json, seed)
    elif ours and paths:
        with opened(paths[0]) as store:
            own = study_of(store)
            declared = declared or own
            table = table_of(store, declared if own is not None else None)
            _inferred(table, declared, title_of(store, declared), store, report, ledger, as_json, seed)
    else:
        from triaxis.integrations import brought

        table = brought(paths or [], map_file=map_file, runs_file=runs)
        if table_file is not None:
            table.write(table_file)
        title = ", ".join(p.name for p in paths or [])
        _inferred(table, declared, title, None, report, ledger, as_json, seed)


def show(
    folder: Annotated[Path, typer.Argument(help="A study's folder.")],
    claims: Claims = None,
    as_json: Json = False,
    seed: Seed = 0,
) -> None:
    """Print a study again, finished or not."""
    ledger = _ledger(claims)
    with opened(folder) as store:
        study = study_of(store)
        _inferred(table_of(store, study), study, title_of(store, study), store, None, ledger, as_json, seed)


def _ledger(paths: list[Path] | None) -> tuple[Claim, ...]:
    """The shipped claims and those of the user; before anything else is read or written."""
    from triaxis.analyze.claims import load_claims, whole_ledger

    return whole_ledger(load_claims(paths or []))


def records(
    folder: Annotated[Path, typer.Argument(help="A study's folder.")],
    to: Annotated[str | None, typer.Option(help="parquet or csv.")] = None,
    out: Annotated[Path | None, typer.Option(help="The file to write.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Run the verifiers over the stored texts again.")] = False,
    as_json: Json = False,
) -> None:
    """Export the long table of a study, or check its outcomes against its texts."""
    from triaxis.records import verify as verify_store

    if verify == (out is not None):
        raise TriaxisError("records: give --out FILE to export, or --verify, and not both")
    if out is not None:
        suffix = {"parquet": ".parquet", "csv": ".csv", None: out.suffix}.get(to)
        if suffix is None or suffix != out.suffix:
            raise TriaxisError(
                f"triaxis records: --to {to} does not fit {out}; end the file's name in .parquet or .csv"
            )
    with opened(folder) as store:
        if out is not None:
            table = store.table()
            table.write(out)
            _told({"rows": table.arrow.num_rows, "file": str(out)}, as_json, f"{table.arrow.num_rows:,} rows in {out}")
            return
        result = verify_store(store)
    found = [str(d) for d in result.disagreements]
    summary = f"{result.n:,} responses verified again, {len(found)} disagree"
    _told({"verified": result.n, "disagreements": found}, as_json, "\n".join([summary, *found[:20]]))
    if found:
        raise typer.Exit(1)


def _told(values: dict[str, object], as_json: bool, words: str) -> None:
    print(json.dumps(values) if as_json else words)


def _inferred(
    table: Table,
    study: Study | None,
    title: str,
    store: Store | None,
    report: Path | None,
    claims: tuple[Claim, ...],
    as_json: bool,
    seed: int,
) -> None:
    from rich.console import Console

    from triaxis.analyze import analyze as infer
    from triaxis.analyze import to_json
    from triaxis.cli.output import diagnostics_of, facts_of
    from triaxis.report import print_analysis

    analysis = infer(table, study=study, seed=seed, claims=claims)
    if store is not None:
        analysis = with_answers_seen(analysis, store, study)
    if report is not None:
        from triaxis.cli.output import write_report

        write_report(analysis, report, title=title, store=store, table=table)
    if as_json:
        diagnostics = diagnostics_of(store, study) if store is not None else []
        json.dump(to_json(analysis, diagnostics), sys.stdout, indent=1, allow_nan=False)
        print()
    else:
        written = store.path / "report.html" if store is not None else None
        facts = facts_of(store, study) if store is not None and study is not None else {}
        place = report or (written if written and written.exists() else None)
        print_analysis(analysis, Console(), title=title, path=place, what=facts)
