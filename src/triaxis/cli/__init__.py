"""The command line: parse, call, print; nothing else."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from triaxis.cli import analyze, claims, data, evaluate, fetch, judge, lab, run, study, track
from triaxis.types import DiskFull, RunFailed, TriaxisError
from triaxis.version import __version__

INTERRUPTED = 130  # Typer's code for Ctrl-C

app = typer.Typer(
    name="triaxis",
    help="Under what conditions does reasoning SFT generalize, and at what cost?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(run.demo)
app.command("run")(run.run)
app.command("evaluate")(evaluate.evaluate)
app.command("judge")(judge.judge)
app.command("analyze")(analyze.analyze)
app.command("show")(analyze.show)
app.command("records")(analyze.records)
app.command("track")(track.track)
app.command("fetch")(fetch.fetch)
app.add_typer(study.app, name="study")
app.add_typer(claims.app, name="claims")
app.add_typer(lab.app, name="lab")
app.add_typer(data.app, name="data")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"triaxis {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Triaxis: studies of reasoning SFT over optimization, data and model together."""


def main() -> int:
    """Run a command. Exit codes: 0 done, 1 something failed while running (what is measured is kept), 2 bad input."""
    try:
        code = int(app(standalone_mode=False) or 0)
    except typer.TyperException as mistake:  # in the words of the command
        return _say(mistake.format_message(), 2) if mistake.format_message() else 2  # without: help was asked for
    except (TriaxisError, DiskFull) as mistake:
        return _say(mistake, 2)
    except RunFailed as failure:
        return _say(failure, 1)
    except SystemExit as leaving:  # Typer's answer to a reader of a pipe that has seen enough
        if isinstance(leaving.__context__, BrokenPipeError):
            sys.stderr.close()
            return 0
        raise
    if code == INTERRUPTED:
        return _say("stopped; what is measured is kept, and the same command goes on from there", 1)
    return code


def _say(message: object, code: int) -> int:
    print(f"triaxis: {message}", file=sys.stderr)
    return code
