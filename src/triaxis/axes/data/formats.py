"""From a row to an Example, and back: what changed is written where it stood, the rest stays as it came."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from triaxis.axes.data.chat import (
    ChatStyle,
    Said,
    check_order,
    content_of,
    keys_of,
    message_of,
    messages_of,
    said,
    style_of,
    text_of,
    thought_field,
)
from triaxis.axes.data.problems import RowProblem
from triaxis.axes.data.recognise import HASHES, PLAIN, Format
from triaxis.axes.data.text import Parts, parts_of, response_of
from triaxis.study.mistakes import shown
from triaxis.tasks.answers import number_text
from triaxis.tasks.stated import boxed, final_answer, stated_answer, with_answer
from triaxis.types import Example, TriaxisError, Turn

__all__ = ["Format", "example_of", "render_row", "response_of"]
JOIN = "\n\n"  # between an instruction and its input
EXACT = 1 << 53  # up to which every whole number is a float


def example_of(values: Mapping[str, Any], made: Format, *, label: str = "", row: int = 0) -> Example:
    """The example that a row holds. `label` and `row` make the id where the data has none.

    Raises RowProblem, with the field, where the row doesn't fit the format or can't be used.
    """
    for column in made.needed:
        if column not in values:
            has = ", ".join(map(str, values)) or "nothing"
            raise RowProblem(column, f"no such field in this row, which has {shown(has)[1:-1]}")
    turns, response, thought, field = _conversation(values, made)
    parts, problem = parts_of(response, opened=made.opened)
    if problem and not made.asks:
        raise RowProblem(field, problem)
    if thought is not None and parts.thought is not None:
        raise RowProblem(field, f"a thought between tags and another in {_thought_place(values, made)}; keep one")
    solution = parts.solution if thought is None else response
    if not made.asks:
        _check_boxes(solution, field)
    plain = {role: _plain(values.get(column), role, column) for role, column in made.plain}
    return Example(
        id=plain.get("id", f"{label}:{row}"),
        turns=turns,
        thought=parts.thought if thought is None else thought,
        solution=solution,
        answer=final_answer(solution),
        reference=_after_hashes(solution) if made.from_answer else plain.get("reference"),
        domain=plain.get("domain") or "",
        difficulty=plain.get("difficulty"),
        source=plain.get("source") or "",
        row=row,
        fields=values,
    )


def _conversation(values: Mapping[str, Any], made: Format) -> tuple[tuple[Turn, ...], str, str | None, str]:
    """The turns before the response, the response as written, the thought of a field of its own, the column."""
    fields = made.fields
    if "messages" in fields:
        column = fields["messages"]
        messages = said(values[column], column)
        check_order(messages, column, "" if made.asks else "assistant")
        last = messages.pop() if messages[-1].role == "assistant" else None
    else:
        column = fields.get("response", "")
        messages = _prompt(values, made)
        last = _response(values, made) if column else None
    thought = last.thought if last is not None else None
    if "thought" in fields and values.get(fields["thought"]):
        thought = text_of(values[fields["thought"]], fields["thought"])
    if last is not None and not made.asks and not last.content.strip() and not (thought or "").strip():
        raise RowProblem(column, "the response is empty; give the row one, or leave it out")
    turns = [Turn(m.role, m.content) for m in messages]
    if "system" in fields and values.get(fields["system"]):
        if turns[0].role == "system":
            raise RowProblem(fields["system"], "a system turn stands in the messages too; keep one")
        turns.insert(0, Turn("system", text_of(values[fields["system"]], fields["system"])))
    return tuple(turns), last.content if last is not None else "", thought, column


def _prompt(values: Mapping[str, Any], made: Format) -> list[Said]:
    """What is said before the response: messages, or a text (an instruction and its input)."""
    column = made.fields["prompt"]
    if isinstance(values[column], list | tuple):
        messages = said(values[column], column)
        check_order(messages, column, "user")
        return messages
    text = text_of(values[column], column)
    context = made.fields.get("context", "")
    if context and values.get(context):
        text += JOIN + text_of(values[context], context)
    return [Said("user", text, None)]


def _response(values: Mapping[str, Any], made: Format) -> Said:
    column = made.fields["response"]
    value = values.get(column)
    if made.asks and not isinstance(value, str):  # the response of a row that only asks is not read
        return Said("assistant", "", None)
    if isinstance(value, list | tuple):
        messages = said(value, column)
        if len(messages) != 1 or messages[0].role != "assistant":
            raise RowProblem(column, f"{len(messages)} messages, where one of the assistant should be")
        return messages[0]
    if isinstance(value, int | float) and not isinstance(value, bool):  # an answer alone
        return Said("assistant", _number_text(value, column), None)
    return Said("assistant", text_of(value, column, empty=True), None)


def _thought_place(values: Mapping[str, Any], made: Format) -> str:
    column = made.fields.get("thought", "")
    return column if column and values.get(column) else f"the message's {made.chat.thought if made.chat else ''}"


def _check_boxes(solution: str, field: str) -> None:
    """Raise RowProblem where several answers are boxed, so that nobody can say which is the final one."""
    found = boxed(solution) if solution.count("boxed") + solution.count("fbox") > 1 else []
    different = list(dict.fromkeys("".join(answer.split()) for answer in found))
    stated = stated_answer(solution) if len(different) > 1 else None
    if stated is not None and stated.form == "boxed":
        shown_ones = ", ".join(shown(answer) for answer in different[:3])
        raise RowProblem(field, f"{len(different)} different boxed answers ({shown_ones}); box the final one alone")


def _plain(value: Any, role: str, column: str) -> Any:
    """The text that a column holds, or a difficulty's number; None where it is empty, as NaN, pandas' null, is."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        if role == "id":
            raise RowProblem(column, "null; give the row an id, or say id= to have ids made")
        return None
    if isinstance(value, bool | int | float):
        return _difficulty(value, column) if role == "difficulty" else _number_text(value, column)
    return text_of(value, column)


def _number_text(value: int | float, column: str) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        raise _no_number(value, column)
    return number_text(value)


def _difficulty(value: int | float, column: str) -> int | float:
    """The number; as a float where it is too large to be exact as one, since difficulties are compared as floats."""
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _no_number(value, column)
    return value if abs(number) < EXACT else number


def _no_number(value: int | float, column: str) -> RowProblem:
    return RowProblem(column, f"{shown(value)} is not a number, or too large for one; give another, or leave it out")


def _after_hashes(solution: str) -> str | None:
    """What a response says is right, as in GSM8K; None where it says nothing."""
    return solution.rpartition(HASHES)[2].strip() or None if HASHES in solution else None


def render_row(example: Example, made: Format, before: Example | None = None) -> dict[str, Any]:
    """The row of an example in a file's format: equal to the row that it came as, save in the fields of what changed.

    An example from elsewhere gets a new row. `before` is the example as it was read, where that is still at hand.
    Raises TriaxisError where the format has no place for what it holds.
    """
    try:
        before = before or example_of(example.fields, made)
    except RowProblem:
        return _new_row(example, made)
    row = dict(example.fields)
    if example.turns != before.turns:
        _put_turns(row, example, made)
    solution = _solution(example, before)
    if (example.thought, solution) != (before.thought, before.solution):
        _put_response(row, example.thought, solution, before, made)
    _put_plain(row, example, before, made)
    return row


def _solution(example: Example, before: Example) -> str:
    """The solution to write: a new answer is put into it where the solution itself is as it was."""
    if example.solution != before.solution or example.answer in (before.answer, None):
        return example.solution
    solution = with_answer(example.solution, str(example.answer))
    if solution is None:
        raise TriaxisError(f"{example.id}: its solution states no final answer that could be changed")
    return solution


def _put_plain(row: dict[str, Any], example: Example, before: Example | None, made: Format) -> None:
    """Write the columns of texts and numbers that changed; all of them where there was no row before."""
    for role in ("reference", *PLAIN):
        value = getattr(example, role)
        if role not in made.fields or (role == "reference" and made.from_answer):
            continue
        if before is None or value != getattr(before, role):
            row[made.fields[role]] = _like(value, row.get(made.fields[role]))


def _like(value: Any, old: Any) -> Any:
    """A text as the number that the column holds, where it is one."""
    if isinstance(value, str) and isinstance(old, int | float) and not isinstance(old, bool):
        try:
            return type(old)(value)
        except ValueError:
            return value
    return value


def _put_turns(row: dict[str, Any], example: Example, made: Format) -> None:
    fields, turns = made.fields, list(example.turns)
    if "system" in fields and (turns[0].role == "system" or row.get(fields["system"])):
        row[fields["system"]] = turns.pop(0).content if turns[0].role == "system" else None
    column = made.turns
    old = row.get(column)
    if "messages" in fields or isinstance(old, list | tuple) or (old is None and made.chat is not None):
        like = [m for m in old if isinstance(m, Mapping)] if isinstance(old, list | tuple) else []
        style = style_of(like) or made.chat or ChatStyle()
        last = like[-1:] if "messages" in fields else []
        row[column] = messages_of(turns, style, like[: len(like) - len(last)]) + [dict(m) for m in last]
        return
    if len(turns) != 1:
        raise TriaxisError(f"{example.id}: has {len(turns)} turns before its response, and {column} holds one")
    text, context = turns[0].content, fields.get("context", "")
    if context and row.get(context):
        front = text.removesuffix(JOIN + str(row[context]))
        row[context] = row[context] if front != text else ""
        text = front
    row[column] = text


def _put_response(row: dict[str, Any], thought: str | None, solution: str, before: Example, made: Format) -> None:
    """Write a thought and a solution over those of a row."""
    fields = made.fields
    column = fields.get("messages") or fields.get("response", "")
    if not column:
        return
    value = row.get(column)
    last = value[-1] if isinstance(value, list | tuple) and value else None
    own = thought_field(last) if isinstance(last, Mapping) else ""
    by_column = "thought" in fields and bool(row.get(fields["thought"]))
    if not own and not by_column and before.thought is None:  # where the file has its thoughts
        by_column = "thought" in fields
        own = made.chat.thought if made.chat is not None and last is not None and not by_column else ""
    if by_column:
        row[fields["thought"]] = thought
    text = solution if own or by_column else _tagged(thought, solution, before, made)
    if not isinstance(last, Mapping):
        row[column] = text
        return
    style = style_of([last]) or made.chat or ChatStyle()
    message = message_of("assistant", text, style, last)
    row[column] = [*value[:-1], message | {own: thought} if own else message]  # type: ignore[index]


def _tagged(thought: str | None, solution: str, before: Example, made: Format) -> str:
    """A response with its thought between the tags that the row had, or else those of the file."""
    if thought is None:
        return solution
    old = Parts("", None, "", "", "")
    if before.thought is not None:
        old = parts_of(_as_written(before.fields, made), opened=made.opened)[0]
    if old.thought is None:
        old = Parts(made.tags[0] if made.opened else "", "", made.tags[1], "", "")
    return old._replace(thought=thought, solution=solution).joined()


def _as_written(row: Mapping[str, Any], made: Format) -> str:
    """The response of a row that was read, between tags or not; its conversation was checked then."""
    value = row[made.fields.get("messages") or made.fields["response"]]
    if not isinstance(value, list | tuple):
        return str(value)
    keys = keys_of(value[-1]) or ChatStyle().keys
    return content_of(value[-1][keys[1]], "", empty=True)


def _new_row(example: Example, made: Format) -> dict[str, Any]:
    """A row for an example that did not come in this format; columns that nothing is known of are null."""
    fields = made.fields
    row: dict[str, Any] = dict.fromkeys(made.columns)
    empty = Example(id="", turns=(), thought=None, solution="", answer=None)
    _put_turns(row, example, made)
    if "context" in fields:
        row[fields["context"]] = ""
    style = made.chat or ChatStyle()
    bare = [message_of("assistant", "", style)]
    if "messages" in fields:
        row[fields["messages"]] = row[fields["messages"]] + bare
    elif "response" in fields and made.chat is not None and made.lists_responses:
        row[fields["response"]] = bare
    _put_response(row, example.thought, example.solution, empty, made)
    _put_plain(row, example, None, made)
    return row
