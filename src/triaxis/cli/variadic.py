"""Commands in which an option takes several values in a row: `--against a.jsonl b.jsonl`, with `=` or without."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

SEVERAL = ("--against", "--fields")


class Variadic(TyperCommand):
    """All words after such an option belong to it, up to the next option; so files come first, or after `--`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The words with the option before each of its values, which is how the parser wants them."""
        return super().parse_args(ctx, _repeated(args))


def _repeated(args: list[str]) -> list[str]:
    words: list[str] = []
    option = ""
    for word in args:
        if word.startswith("-") and len(word) > 1:
            if word == "--":
                return [*words, *args[args.index("--") :]]
            name, equals, value = word.partition("=")
            option = name if name in SEVERAL else ""
            words += [option, value] if option and equals else [word]
        elif option and words[-1] != option:
            words += [option, word]
        else:
            words.append(word)
    return words
