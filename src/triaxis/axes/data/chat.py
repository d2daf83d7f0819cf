"""Conversations as data sets write them, role and content or from and value, as turns and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from triaxis.axes.data.problems import RowProblem
from triaxis.study.mistakes import shown
from triaxis.types import Turn

ROLES = {  # what data sets call whom
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
}
KEYS = (("role", "content"), ("from", "value"))
THOUGHTS = ("reasoning_content", "reasoning", "thinking")  # a message's own field for the thought
SHAREGPT = {"system": "system", "user": "human", "assistant": "gpt"}


@dataclass(frozen=True)
class ChatStyle:
    """How a file writes its messages: the keys, what it calls whom, and where the thought stands."""

    keys: tuple[str, str] = KEYS[0]
    names: Mapping[str, str] = field(default_factory=dict)  # ours -> the file's, where they differ
    thought: str = ""  # the message's field for it; empty: between tags in the content
    parts: bool = False  # the content is a list of parts

    def name_of(self, role: str) -> str:
        """The file's name for a role."""
        return self.names.get(role, role)


class Said(NamedTuple):
    """One message taken apart."""

    role: str
    content: str
    thought: str | None  # of a field of its own; None where it has none, or an empty one


def text_of(value: object, field: str, *, empty: bool = False) -> str:
    """A text that can be written and tokenized. Raises RowProblem for any other value, and unless `empty` for none."""
    if not isinstance(value, str):
        what = "null" if value is None else f"{shown(value)} where text should be"
        raise RowProblem(field, f"{what}; give the row a text, or leave it out")
    if not empty and (not value or value.isspace()):
        raise RowProblem(field, "empty; give the row a text, or leave it out")
    if "\0" in value:
        raise RowProblem(field, f"a NUL character at {value.index(chr(0)) + 1:,}; remove it")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            code = f"\\u{ord(value[error.start]):04x}"
            raise RowProblem(field, f"half a character ({code}) at {error.start + 1:,}; remove it") from None
    return value


def said(value: object, field: str) -> list[Said]:
    """The messages of a conversation. Raises RowProblem where it isn't one."""
    if not isinstance(value, list | tuple):
        raise RowProblem(field, f"{'null' if value is None else shown(value)} where a list of messages should be")
    if not value:
        raise RowProblem(field, "an empty list; give the row its messages, or leave it out")
    return [_one(message, field, i == len(value) - 1) for i, message in enumerate(value)]


def _one(message: object, field: str, last: bool) -> Said:
    if not isinstance(message, Mapping):
        raise RowProblem(field, f'{shown(message)} where a message should be, as {{"role": .., "content": ..}}')
    keys = keys_of(message)
    if keys is None:
        has = shown(", ".join(map(str, message)) or "nothing")[1:-1]
        raise RowProblem(field, f"a message with {has}, where role and content (or from and value) should be")
    role = message[keys[0]]
    if not isinstance(role, str) or role.lower() not in ROLES:
        raise RowProblem(field, f"the role {shown(role)} is none of {', '.join(ROLES)}")
    ours = ROLES[role.lower()]
    name = thought_field(message) if ours == "assistant" else ""
    thought = text_of(message[name], f"{field}.{name}", empty=True) if name else None
    empty = last or ours == "system"  # an empty response is told as such
    return Said(ours, content_of(message[keys[1]], f"{field}.{keys[1]}", empty=empty), thought)


def keys_of(message: Mapping[str, Any]) -> tuple[str, str] | None:
    """The keys for who and what in a message; None where it has neither pair."""
    return next((keys for keys in KEYS if keys[0] in message and keys[1] in message), None)


def thought_field(message: Mapping[str, Any]) -> str:
    """The field that holds a message's thought; empty where none does. Raises RowProblem where several do."""
    found = [name for name in THOUGHTS if message.get(name) not in (None, "")]
    if len(found) > 1 and any(message[name] != message[found[0]] for name in found):
        raise RowProblem(found[0], f"{' and '.join(found)} differ, and either could be the thought; keep one")
    return found[0] if found else ""


def content_of(value: object, field: str, *, empty: bool) -> str:
    """The text of a message: a text, or a list of parts that are text."""
    if not isinstance(value, list | tuple):
        return text_of(value, field, empty=empty)
    texts = []
    for part in value:
        if not isinstance(part, Mapping) or part.get("type") != "text" or "text" not in part:
            what = part.get("type", part) if isinstance(part, Mapping) else part
            raise RowProblem(field, f"a part {shown(what)}, where only text is read")
        texts.append(text_of(part["text"], field, empty=True))
    return text_of("".join(texts), field, empty=empty)


def check_order(messages: Sequence[Said], field: str, end: str = "assistant") -> None:
    """Raise RowProblem unless a conversation begins with a user and ends with `end` (empty: anyone), taking turns."""
    roles = [m.role for m in messages]
    rest = roles[1:] if roles[0] == "system" else roles
    if not rest or rest[0] == "assistant":
        raise RowProblem(field, "the assistant speaks first; nothing is asked that it could answer")
    if end and rest[-1] != end:
        what = "there is no response to learn" if end == "assistant" else "it must end with what is asked"
        raise RowProblem(field, f"ends with a turn of the {rest[-1]}; {what}")
    for before, after in pairwise(rest):
        if after == "system":
            raise RowProblem(field, "a system turn in the middle; put it first")
        if before == after:
            raise RowProblem(field, f"two turns of the {after} in a row; join them")


def style_of(value: object, thought: str = "") -> ChatStyle | None:
    """How a conversation is written; None where it can't be told."""
    messages = [m for m in value if isinstance(m, Mapping)] if isinstance(value, list | tuple) else []
    keys = keys_of(messages[0]) if messages else None
    if keys is None:
        return None
    usual = SHAREGPT if keys == KEYS[1] else {}
    names = dict(usual)
    for message in messages:
        role = message.get(keys[0])
        if isinstance(role, str) and role.lower() in ROLES:
            names[ROLES[role.lower()]] = role
    last = messages[-1]
    own = next((name for name in THOUGHTS if isinstance(last.get(name), str) and last[name]), "")
    return ChatStyle(keys, names, thought or own, isinstance(last.get(keys[1]), list | tuple))


def message_of(role: str, content: str, style: ChatStyle, like: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A message in a file's style; what else `like` holds is kept."""
    written: Any = [{"type": "text", "text": content}] if style.parts else content
    return {**(like or {}), style.keys[0]: (like or {}).get(style.keys[0], style.name_of(role)), style.keys[1]: written}


def messages_of(
    turns: Sequence[Turn], style: ChatStyle, like: Sequence[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """Turns as messages; those that say what `like` says at the same place are kept as they are written there."""
    written = []
    for i, turn in enumerate(turns):
        old = like[i] if i < len(like) else None
        if old is not None:
            keys = keys_of(old) or style.keys
            same_role = isinstance(old.get(keys[0]), str) and ROLES.get(old[keys[0]].lower()) == turn.role
            if same_role and content_of(old[keys[1]], "", empty=True) == turn.content:
                written.append(dict(old))
                continue
            old = old if same_role else None
        written.append(message_of(turn.role, turn.content, style, old))
    return written
