"""The format that a variant is written in: the one that it came in, or one that a trainer takes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from triaxis.axes.data.chat import KEYS, SHAREGPT, ChatStyle
from triaxis.axes.data.formats import render_row
from triaxis.axes.data.recipes.spec import Recipe
from triaxis.axes.data.recognise import Format
from triaxis.tasks.rows import printable
from triaxis.types import Example, TriaxisError

_MAIN: dict[str, dict[str, str]] = {  # role -> column
    "messages": {"messages": "messages"},
    "prompt_completion": {"prompt": "prompt", "response": "completion"},
    "sharegpt": {"messages": "conversations"},
    "alpaca": {"prompt": "instruction", "context": "input", "response": "output", "system": "system"},
    "triaxis": {"prompt": "prompt", "thought": "thought", "response": "response"},
}
_CHATS = {
    "messages": ChatStyle(),
    "prompt_completion": ChatStyle(),
    "sharegpt": ChatStyle(KEYS[1], SHAREGPT),
    "triaxis": ChatStyle(),
}
_MORE = {"reference": "answer", "domain": "domain", "difficulty": "difficulty", "source": "source"}


@dataclass(frozen=True)
class Written:
    """How examples become rows of the output."""

    format: Format
    own: dict[str, str]  # columns beside those of the format: name -> the example's attribute

    def row_of(self, example: Example, before: Example | None = None) -> dict[str, Any]:
        """The row of an example. Raises TriaxisError, naming it, where the format has no place for what it holds."""
        try:
            row = dict(example.fields) if example is before else render_row(example, self.format, before)
        except TriaxisError as error:
            problem = f"{str(error).removeprefix(example.id + ': ')} (row {example.id})"
            raise TriaxisError(printable(problem)) from None
        return row | {column: getattr(example, name) for column, name in self.own.items()}

    def new_row(self, example: Example) -> dict[str, Any]:
        """The row of an example in a format that it did not come in."""
        return self.row_of(replace(example, fields={}))


def written_as(recipe: Recipe, came: Format) -> Written:
    """How a recipe's output is written, when its source came in a format.

    A row always has its id, so that variants pair up, and keeps the reference where noise could take it away.
    """
    name = recipe.output.format
    if name == "same":
        own = {} if "id" in came.fields else {"row_id" if "id" in came.columns else "id": "id"}
        if came.from_answer and any(step.name == "noise" for step in recipe.steps):
            own["reference"] = "reference"
        return Written(came, own)
    roles: Collection[str] = {"reference", *came.fields}
    if any(getattr(step, "domain", None) and step.name == "replay" for step in recipe.steps):
        roles = {*roles, "domain"}
    more = {role: column for role, column in _MORE.items() if role in roles}
    if name == "triaxis":
        more["reference"] = "reference"
    fields = {**_MAIN[name], **more, "id": "id"}
    chat = _CHATS.get(name)
    made = Format(name, fields, columns=tuple(fields.values()), chat=chat, lists_responses=name == "prompt_completion")
    return Written(made, {})
