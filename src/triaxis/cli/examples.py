"""Training rows on a terminal, what carries loss in another colour, and in plain text between marks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from triaxis.execute.examples import Set, Shown

OPTION, USUAL = "--show-examples", "2"
OPEN, CLOSE = "[[", "]]"  # plain ASCII, which no training row is likely to hold


class Showing(TyperCommand):
    """A command whose `--show-examples` may go without its number."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The words with the usual number where the option has none, which is how the parser wants them."""
        words = list(args)
        if OPTION in words and not "".join(words[words.index(OPTION) + 1 :][:1]).isdigit():
            words.insert(words.index(OPTION) + 1, USUAL)
        return super().parse_args(ctx, words)


def print_examples(sets: Iterable[Set], console: Console) -> None:
    """Every set with its rows. Text is printed as it is: its markup isn't obeyed, nor are its control characters."""
    coloured = console.is_terminal and not console.no_color
    mark = "in green" if coloured else f"between {OPEN} and {CLOSE}"
    console.print(f"\nTraining rows as the model sees them; what carries loss is {mark}", highlight=False)
    for shown in sets:
        told = ", ".join(f"{name} {level}" for name, level in shown.about.items())
        if told:
            console.print(f"\n  {told}", markup=False, highlight=False, soft_wrap=True)
        for row in shown.rows:
            console.print(f"\n  {_about(row)}", markup=False, highlight=False, soft_wrap=True)
            console.print(_text(row, coloured), soft_wrap=True)


def _about(row: Shown) -> str:
    from triaxis.tasks.rows import printable  # the tasks take a while, which `triaxis --help` need not wait for

    parts = [f"{printable(row.id)}{' (noisy)' if row.noisy else ''}", f"{row.tokens} tokens"]
    parts.append(f"{row.supervised} with loss, the end token {row.end} among them")
    parts.append("response to the character" if row.verbatim else "response but for its white space")
    if row.added:
        parts.append("with words that the chat template adds")
    if row.tags:
        parts.append(f"all {row.tags} think tags kept")
    return ", ".join(parts)


def _text(row: Shown, coloured: bool) -> Text:
    from rich.text import Text

    masked, learned = _lines(row.masked), _lines(row.learned + row.end)
    if coloured:
        return Text.assemble((masked, "dim"), (learned, "green"))
    return Text(f"{masked}{OPEN}{learned}{CLOSE}")


def _lines(text: str) -> str:
    from triaxis.tasks.rows import printable

    return "\n".join(printable(line) for line in text.split("\n"))


def as_documents(sets: Iterable[Set]) -> list[dict[str, Any]]:
    """The same, ready for JSON."""
    return [asdict(shown) for shown in sets]
