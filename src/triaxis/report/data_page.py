"""A data profile shown: one self-contained HTML page, its plots as files, a summary in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triaxis.report.data_sections import Section, facts, sections
from triaxis.report.html import save, template
from triaxis.types import TriaxisError

if TYPE_CHECKING:
    from rich.console import Console

    from triaxis.report.tables import Cell

WIDTH = 110  # columns, where the output is no terminal
MAX_LINES = 12  # of a table in the terminal
URGENCY = {"act": "Act on", "look": "Look at", "fine": "Fine"}
COLORS = {"act": "bold red", "look": "yellow", "fine": "green"}


def render_profile(document: Mapping[str, Any]) -> str:
    """The page as text: the same document gives the same page, but for the seconds that it took."""
    return template("data.html").render(
        title=document["source"],
        asked=(document["difficulty"]["model"] or {}).get("model"),
        verdict=[(URGENCY[one["urgency"]], one["urgency"], one) for one in document["verdict"]],
        facts=list(facts(document)),
        recognised=document["recognised"]["lines"],
        sections=sections(document),
    )


def write_profile(document: Mapping[str, Any], path: Path) -> Path:
    """Write the page to `path`. Raises TriaxisError where that can't be done."""
    return save(render_profile(document), path)


def write_figures(document: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write the plots of the page as SVG files to a folder, which is made. Raises TriaxisError where it can't be."""
    written = []
    try:
        folder.mkdir(exist_ok=True)
        for section in sections(document):
            for name, svg in section.plots.items():
                path = folder / f"{name}.svg"
                path.write_text(svg, encoding="utf-8")
                written.append(path)
    except OSError as error:
        raise TriaxisError(f"{folder}: can't hold the figures ({error.strerror}); name another folder") from None
    return written


def print_profile(document: Mapping[str, Any], console: Console, *, path: Path | None = None) -> None:
    """Print the summary: the verdict first, then a table or two a part. `path` is the report, named at the end."""
    if console.is_terminal:
        _print_all(document, console, path)
        return
    console.width = WIDTH
    with console.capture() as held:
        _print_all(document, console, path)
    console.file.write("".join(f"{line.rstrip()}\n" for line in held.get().splitlines()))


def _print_all(document: Mapping[str, Any], console: Console, path: Path | None) -> None:
    console.print(f"{document['source']}: {document['examples']:,} examples", style="bold", markup=False)
    for one in document["verdict"]:
        _print_statement(one, console)
    for section in sections(document):
        _print_section(section, console)
    seconds = document["seconds"]
    took = f"{seconds['wall']:.1f} s"
    if document["tokens"]["unit"] == "tokens":
        took += f"; tokenizing took {seconds['tokenizing']:.1f} CPU seconds of it, over all processes"
    console.print(f"\n{took}" + (f"; report: {path}" if path else ""), highlight=False, markup=False, soft_wrap=True)


def _print_statement(one: Mapping[str, Any], console: Console) -> None:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    line = Table.grid(padding=(0, 1))
    line.add_column(width=9, no_wrap=True)
    line.add_column(ratio=1)
    said = Text(f"{one['text']} ({one['rows']:,} of {one['of']:,})")
    if one["do"]:
        said.append(f"\n-> {one['do']}", style="dim")
    line.add_row(Text(URGENCY[one["urgency"]], style=COLORS[one["urgency"]]), said)
    console.print(Padding(line, (0, 0, 0, 1), expand=False))


def _print_section(section: Section, console: Console) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    if not section.tables:
        if section.id in ("leakage", "coverage"):
            console.print(f"\n{section.title}: {section.lead}", markup=False, highlight=False)
        return
    console.print(f"\n{section.title}", style="bold", markup=False)
    for caption, held in section.tables.items():
        rows = [row for row in held.rows if _says_something(row)]
        if not rows:
            console.print(f"  {caption}: none", style="dim", markup=False, highlight=False)
            continue
        shown = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
        for at, title in enumerate(held.titles):
            shown.add_column(Text(title), justify="right" if at in held.numeric else "left", overflow="fold")
        for row in rows[:MAX_LINES]:
            shown.add_row(*(Text(cell.text) for cell in row))
        console.print(Padding(Text(caption, style="dim"), (0, 0, 0, 2), expand=False))
        console.print(Padding(shown, (0, 0, 0, 2), expand=False))
        if len(rows) > MAX_LINES:
            console.print(f"  and {len(rows) - MAX_LINES} more, in the report", style="dim", highlight=False)


def _says_something(row: Sequence[Cell]) -> bool:
    """Not only zeros, nor only what could not be estimated."""
    told = [cell for cell in row[1:] if cell.sort != 0 and cell.text != "0 %"]
    return any(not cell.text.startswith("not estimable") and cell.text for cell in told) and any(
        cell.sort for cell in row if cell.sort is not None
    )
