"""`triaxis data`: what a data set is, what Triaxis sees in its rows, and controlled variants of it."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from triaxis.cli.variadic import Variadic
from triaxis.types import TriaxisError

if TYPE_CHECKING:
    from triaxis.axes.data.open import Opened
    from triaxis.axes.data.profile.pass_rates import PassRates
    from triaxis.types import Example

app = typer.Typer(help="Data sets: what they are, what stands in them, variants of them.", no_args_is_help=True)
FILE_HELP = "Files (JSON lines, JSON, Parquet; .gz, .zst), a save_to_disk folder, lab:TASK, rg:TASK or hf:NAME."
LISTS = "--json and --report list them"
LISTED = 5  # problems of rows that are printed; the JSON and the report have more

Where = Annotated[list[str], typer.Argument(metavar="FILE", help=FILE_HELP, show_default=False)]
Fields = Annotated[
    list[str] | None,
    typer.Option(
        "--fields",
        metavar="ROLE=COLUMN",
        help="What columns of FILE are, such as prompt=question_text; of other sets too, where they have them.",
    ),
]
OnError = Annotated[
    Literal["stop", "skip"], typer.Option(help="What to do at a row that can't be used: stop, or count and list it.")
]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first N examples.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]


@app.command(cls=Variadic)
def profile(
    file: Where,
    against: Annotated[
        list[str] | None, typer.Option(metavar="EVAL", help="Evaluation sets to look for in the data, one or several.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="A set like what the model will meet: is it covered?")] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(help="A tokenizer.json, its folder, or a model's name; words are counted by default."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Pass rates of this model: lab:strong, lab:weak, or a saved model's folder.")
    ] = None,
    model_rows: Annotated[
        int | None, typer.Option(min=1, help="How many rows it is asked, drawn at random; 200 by default.")
    ] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="Responses a row; 8 by default.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Above 0; 0.6 by default.")] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens a response may have; by default as the rows call for.")
    ] = None,
    embeddings: Annotated[
        Path | None, typer.Option(help="An .npy file, a row of numbers an example, for the Vendi score.")
    ] = None,
    fields: Fields = None,
    on_error: OnError = "stop",
    limit: Limit = None,
    processes: Annotated[int | None, typer.Option(min=1, help="Worker processes; one a core by default.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report to this file.")] = None,
    figures: Annotated[Path | None, typer.Option(help="Write the report's plots as SVG files to this folder.")] = None,
    as_json: Json = False,
) -> None:
    """What a data set is: lengths, structure, quality, diversity, leakage, and what to do about it."""
    from rich.console import Console

    from triaxis.axes.data.open import open_examples
    from triaxis.axes.data.profile.document import document_of
    from triaxis.axes.data.profile.run import profile_of
    from triaxis.axes.data.profile.totals import total_rows
    from triaxis.cli.reading import Reading
    from triaxis.cli.tokens import TokenCounter

    roles = _roles(fields)
    for path in (report, figures):
        _check_writable(path)
    _check_twice(against or ())
    _check_report(report, [*file, *(against or ()), *([target] if target else ())])
    sampling = {"samples": samples, "temperature": temperature, "max_new_tokens": max_new_tokens}
    ask = _asker(model, model_rows, {name: value for name, value in sampling.items() if value is not None})
    counter = TokenCounter(tokenizer).load() if tokenizer else None
    opened = open_examples(file, fields=roles, on_error=on_error, limit=limit)
    _tell(opened)
    evaluations = {name: _other("--against", name, roles, on_error) for name in against or ()}
    aim = _other("--target", target, roles, on_error) if target else None
    rates = ask(open_examples(file, fields=roles, on_error=on_error, limit=limit)) if ask else None
    compared: dict[str, Any] = {"against": evaluations, "target": aim}
    with Reading(Console(stderr=True), lambda: total_rows(file), limit) as reading:
        found = profile_of(
            opened,
            count=counter,
            model=rates,
            embeddings=embeddings,
            processes=processes,
            heard=reading.heard,
            **compared,
        )
    _tell_problems(opened, LISTS)
    for name, other in [*evaluations.items(), *([(str(target), aim)] if aim else [])]:
        _tell_problems(other, LISTS, f"{name}: ")
    _print_profile(document_of(found, opened, **compared), report, figures, as_json)


def _print_profile(document: dict[str, Any], report: Path | None, figures: Path | None, as_json: bool) -> None:
    """A profile to the files that are asked for, and to standard output as JSON or in words."""
    from rich.console import Console

    from triaxis.cli.data_show import printable_throughout
    from triaxis.report.data_page import print_profile, write_figures, write_profile

    if report is not None:
        write_profile(document, report)
    if figures is not None:
        write_figures(document, figures)
    if as_json:
        json.dump(document, sys.stdout, indent=1, allow_nan=False, ensure_ascii=False)
        print()
    else:
        print_profile(printable_throughout(document), Console(), path=report)


@app.command(cls=Variadic)
def show(
    file: Where,
    rows: Annotated[str, typer.Option(help="Which rows that can be used, as 3, 1-3 or 1-3,7.")] = "1-3",
    full: Annotated[bool, typer.Option("--full", help="Long texts in full.")] = False,
    fields: Fields = None,
    on_error: OnError = "stop",
    as_json: Json = False,
) -> None:
    """Rows as Triaxis sees them: turns, thought, solution, answer. Nothing shows faster what was recognised."""
    from triaxis.axes.data.open import open_examples
    from triaxis.cli.data_show import as_dict, rows_of, set_as_text

    wanted = rows_of(rows)
    opened = open_examples(file, fields=_roles(fields), on_error=on_error, limit=wanted[-1])
    _tell(opened)
    asked = set(wanted)
    shown = [example for number, example in enumerate(opened, 1) if number in asked]
    _tell_problems(opened, "triaxis data profile --on-error skip --json lists them")
    if not shown:
        raise TriaxisError(f"--rows {rows}: {opened.name} has {opened.examples:,}")
    if as_json:
        json.dump([as_dict(example) for example in shown], sys.stdout, indent=1, ensure_ascii=False, allow_nan=False)
        print()
        return
    width = shutil.get_terminal_size((100, 24)).columns
    print("\n\n".join(set_as_text(example, width, full) for example in shown))


@app.command()
def make(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a YAML file.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="The file to write, instead of the recipe's output.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what an earlier making left there.")] = False,
    as_json: Json = False,
) -> None:
    """Make a variant of a data set by a recipe, with a manifest of which rows were touched and how, and a card."""
    from rich.console import Console

    from triaxis.axes.data.recipes.make import make_files
    from triaxis.axes.data.recipes.spec import load_recipe, with_output
    from triaxis.cli.reading import Reading
    from triaxis.tasks.rows import printable

    declared = load_recipe(recipe)
    if out is not None:
        declared = with_output(declared, out, "--out")
    began = time.monotonic()
    with Reading(Console(stderr=True), lambda: None, None) as reading:
        made = make_files(declared, force=force, heard=reading.heard)
    for line in made.recognised:
        print(f"triaxis: {line}", file=sys.stderr)
    _list(made.problems, made.skipped, "the manifest lists the first hundred")
    manifest = made.manifest.to_dict()
    if as_json:
        print(json.dumps({"output": str(made.output), "files": [str(f) for f in made.files], "manifest": manifest}))
        return
    for entry in manifest["operations"]:
        touched = {word: sum(entry[word].values()) for word in ("changed", "left_out", "added", "could_not")}
        said = ", ".join(f"{n:,} {word.replace('_', ' ')}" for word, n in touched.items() if n)
        print(f"{entry['operation']:<14} {entry['rows_in']:>9,} rows in, {entry['rows_out']:>9,} out  {said}".rstrip())
        for note in entry["notes"]:
            print(f"{'':<14} {printable(note)}")
    for note in manifest["notes"]:
        print(printable(note))
    print(f"{manifest['output']['rows']:,} rows in {made.output}, {time.monotonic() - began:.1f} s")
    for file in made.files[1:]:
        print(f"beside it: {file.name}")


def _asker(
    model: str | None, rows: int | None, given: dict[str, Any]
) -> Callable[[Iterable[Example]], PassRates] | None:
    """What asks the model, which is loaded now: a mistake is told before the data is read. None without a model."""
    if model is None:
        for option in (*given, *(("model_rows",) if rows is not None else ())):
            raise TriaxisError(f"--{option.replace('_', '-')}: says how a model is asked; name it with --model")
        return None
    from rich.console import Console

    from triaxis.cli.reading import Reading
    from triaxis.execute.pass_rates import MODEL_ROWS, LocalModel, Sampling, draw, pass_rates

    how, asked = Sampling(**given), LocalModel(model)

    def ask(examples: Iterable[Example]) -> PassRates:
        with Reading(Console(stderr=True), lambda: None, None) as reading:
            drawn = draw(examples, rows or MODEL_ROWS, seed=how.seed, heard=reading.heard)
        with Reading(Console(stderr=True), lambda: len(drawn.rows), None, f"rows asked of {model}") as reading:
            return pass_rates(drawn, asked, how, heard=reading.heard)

    return ask


def _roles(fields: Sequence[str] | None) -> dict[str, str] | None:
    """`--fields prompt=question reference=gold` as a mapping; one option may hold several, with commas."""
    found: dict[str, str] = {}
    for given in fields or ():
        for part in given.split(","):
            role, equals, column = part.strip().partition("=")
            if not equals or not role:
                raise TriaxisError(f"--fields {given}: write a role and its column, such as prompt=question_text")
            if role in found:
                raise TriaxisError(f"--fields {given}: {role} is named twice; keep one")
            found[role] = column
    return found or None


def _check_writable(path: Path | None) -> None:
    """A mistake in where to write is told before the work, not after it."""
    if path is not None and not path.parent.is_dir():
        raise TriaxisError(f"{path}: there is no folder {path.parent}; make it, or name another place")


def _check_report(path: Path | None, read: Sequence[str]) -> None:
    """A report replaces an earlier report, and nothing else."""
    from triaxis.axes.data.sources import files_of, is_read

    if path is None:
        return
    if is_read(path, files_of(read)):
        raise TriaxisError(f"--report {path}: is one of the files that are read; name another file")
    if path.suffix.lower() not in (".html", ".htm"):
        raise TriaxisError(f"--report {path}: is a web page; give it a name that ends in .html")
    if path.is_file():
        try:
            with path.open("rb") as file:
                head = file.read(512).lstrip().lower()
        except OSError as error:
            raise TriaxisError(f"--report {path}: can't be opened ({error.strerror}); name another file") from None
        if head and not head.startswith((b"<!doctype html", b"<html")):
            raise TriaxisError(f"--report {path}: is there already and no web page; name another file")


def _check_twice(names: Sequence[str]) -> None:
    places = [str(Path(name).resolve()) if Path(name).exists() else name for name in names]
    for at, place in enumerate(places):
        if place in places[:at]:
            raise TriaxisError(f"--against {names[at]}: is named twice; name it once")


def _other(option: str, name: str, roles: dict[str, str] | None, on_error: Literal["stop", "skip"]) -> Opened:
    """A set to compare with; what it was taken for is told as that of the data set is."""
    from triaxis.axes.data.open import open_examples

    try:
        opened = open_examples(name, fields=roles, on_error=on_error, response=False, where_there=True)
    except TriaxisError as error:
        raise TriaxisError(f"{option} {error}") from None
    print(f"triaxis: {option} {name}", file=sys.stderr)
    _tell(opened)
    return opened


def _tell(opened: Opened) -> None:
    for line in opened.recognised:
        print(f"triaxis: {line}", file=sys.stderr)


def _tell_problems(opened: Opened, where: str, name: str = "") -> None:
    _list([str(problem) for problem in opened.problems], opened.skipped, where, name)
    if n := opened.earlier_thoughts:
        print(f"triaxis: {name}{n:,} thoughts of earlier turns are not read; they stay in the rows", file=sys.stderr)


def _list(problems: Sequence[str], total: int, where: str, name: str = "") -> None:
    """The first problems of `total`; `where` says how to see them all, `name` whose they are."""
    if total:
        print(f"triaxis: {name}{total:,} rows can't be used and are skipped", file=sys.stderr)
    for problem in problems[:LISTED]:
        print(f"triaxis:   {problem}", file=sys.stderr)
    if total > LISTED:
        print(f"triaxis:   and {total - LISTED:,} more; {where}", file=sys.stderr)
