"""What a file's columns are: the prompt, the response and the rest, by the names that people use; never by a guess."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from triaxis.axes.data.chat import THOUGHTS, ChatStyle, style_of
from triaxis.axes.data.text import TAGS, THINK, parts_of
from triaxis.tasks.rows import printable
from triaxis.tasks.stated import stated_answer
from triaxis.types import TriaxisError

CHATS = ("messages", "conversations", "conversation")
PROMPTS = ("prompt", "question", "problem", "query", "instruction", "message")
RESPONSES = ("completion", "response", "generated_solution", "solution", "output")
REFERENCES = ("expected_answer", "reference_answer", "ground_truth", "gold_answer", "final_answer", "answer")
USUAL = {  # role -> other names for it; one that is called like the role goes first
    "context": ("input", "context"),
    "system": ("system_prompt",),
    "thought": ("thinking", "reasoning_content", "reasoning_trace"),
    "domain": ("subject", "category", "topic", "type", "problem_type"),
    "difficulty": ("level", "difficulty_level"),
    "source": ("dataset", "data_source", "problem_source"),
    "id": ("uuid", "unique_id", "row_id", "problem_id", "question_id", "prompt_id"),
}
MAIN = ("messages", "prompt", "context", "response")
OPTIONAL = ("system", "thought", "reference", "domain", "difficulty", "source", "id")
ALIASES = {"conversations": "messages", "completion": "response", "solution": "response", "input": "context"}
BY_HAND = (*MAIN, *OPTIONAL)
EXPECTED = ("thought", "reference", "domain", "difficulty", "source", "id")  # said to be missing where they are
PLAIN = ("domain", "difficulty", "source", "id")
HASHES = "####"


@dataclass(frozen=True)
class Format:
    """Which column of a file plays which role, and how its responses are written."""

    name: str  # "messages", "problem + solution", ...
    fields: Mapping[str, str]  # role -> column
    missing: tuple[str, ...] = ()  # roles that no column plays
    columns: tuple[str, ...] = ()  # all that were seen
    chat: ChatStyle | None = None  # where turns are lists of messages
    tags: tuple[str, str] = THINK  # around the thought
    opened: bool = True  # False: the prompt opens the thought, and only the closing tag stands in the response
    asks: bool = False  # rows may lack a response, as those of a test set do
    lists_responses: bool = False  # the response is a list of one message
    notes: tuple[str, ...] = field(default=(), compare=False)  # what was not taken, and why

    @property
    def from_answer(self) -> bool:
        """The reference is what stands after #### in the response itself, as in GSM8K."""
        return "response" in self.fields and self.fields.get("reference") == self.fields["response"]

    @cached_property
    def turns(self) -> str:
        """The column of what is said before the response."""
        return self.fields.get("messages") or self.fields.get("prompt", "")

    @cached_property
    def needed(self) -> tuple[str, ...]:
        """Columns without which a row is none of this format."""
        roles = ("messages", "prompt") if self.asks else ("messages", "prompt", "response")
        return tuple(self.fields[role] for role in roles if role in self.fields)

    @cached_property
    def plain(self) -> tuple[tuple[str, str], ...]:
        """Roles of columns that hold a text or a number, with the columns."""
        roles = PLAIN if self.from_answer else ("reference", *PLAIN)
        return tuple((role, self.fields[role]) for role in roles if role in self.fields)


def recognised(
    rows: Sequence[Mapping[str, Any]], where: str, by_hand: Mapping[str, str] | None = None, *, response: bool = True
) -> Format:
    """The format of a file by its first rows. `by_hand` says which column plays a role, an empty one that none does;
    `response` False takes rows that only ask, as those of a test set.

    Raises TriaxisError where a column that is named isn't there, nothing is recognised, or several columns could be
    meant: then it names them.
    """
    columns = tuple(dict.fromkeys(str(name) for row in rows for name in row))
    rows = _of_one_kind(rows)
    filled = [c for c in columns if any(row.get(c) is not None for row in rows)]
    hand = _by_hand(by_hand or {}, columns, where)
    fields = {role: column for role, column in hand.items() if column}
    free = [column for column in filled if column not in fields.values()]
    _add_main(fields, free, where, response=response, columns=columns)
    free = [column for column in free if column not in fields.values()]
    notes: list[str] = []
    for role in OPTIONAL:
        if role not in hand:
            _add_optional(role, fields, free, rows, notes, where)
    missing = tuple(role for role in EXPECTED if role not in fields)
    name = fields.get("messages") or " + ".join(fields[r] for r in ("prompt", "context", "response") if r in fields)
    column = fields.get("response", "")
    made = Format(
        name,
        fields,
        missing,
        columns,
        _chat(rows, fields),
        asks=not response,
        lists_responses=any(isinstance(row.get(column), list | tuple) for row in rows),
        notes=tuple(notes),
    )
    return _with_tags(made, rows)


def _of_one_kind(rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The rows that have the columns which most rows have, of those that could be prompt or response.

    The others don't fit, and are told one by one when they are read.
    """
    known = {*CHATS, *PROMPTS, *RESPONSES, "answer", "input"}
    kinds = [frozenset(c for c, value in row.items() if c.lower() in known and value is not None) for row in rows]
    usual = Counter(kinds).most_common(1)[0][0]
    return [row for row, kind in zip(rows, kinds, strict=True) if usual <= kind]


def _by_hand(given: Mapping[str, str], columns: Sequence[str], where: str) -> dict[str, str]:
    """The mapping by hand, with roles in our words. Raises TriaxisError for an unknown role or column."""
    found: dict[str, str] = {}
    for word, column in given.items():
        role = ALIASES.get(word, word)
        if role not in BY_HAND:
            near = get_close_matches(word, BY_HAND, 1)
            hint = f"did you mean {near[0]}?" if near else f"the roles are {', '.join(BY_HAND)}"
            hint = "say reference (what is right) or response (what is learned)" if word == "answer" else hint
            raise _mistake(f"{where}, {word}: no such role; {hint}")
        if role in found:
            raise _mistake(f"{where}, {word}: is named twice; keep one")
        if column and column not in columns:
            near = get_close_matches(column, columns, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"the columns are {_listed(columns)}"
            raise _mistake(f"{where}, {column}: no such column; {hint}")
        found[role] = column
    named = Counter(c for role, c in found.items() if c and not (role == "reference" and c == found.get("response")))
    twice = [column for column, n in named.items() if n > 1]
    if twice:
        raise _mistake(f"{where}, {twice[0]}: plays two roles; a column plays one")
    if found.get("messages") and (other := {"prompt", "context", "response"} & {role for role in found if found[role]}):
        raise _mistake(f"{where}: messages hold the {min(other)} already; name one of them")
    return found


def _add_main(
    fields: dict[str, str], free: Sequence[str], where: str, *, response: bool, columns: Sequence[str]
) -> None:
    """Add the columns of the prompt and the response, where exactly one choice of known names is there."""
    if "messages" in fields:
        return
    chats = _named(CHATS, free) if not {"prompt", "response"} & set(fields) else []
    prompts = [fields["prompt"]] if "prompt" in fields else _named(PROMPTS, free) or _named(["input"], free)
    responses = [fields["response"]] if "response" in fields else _named(RESPONSES, free)
    if not responses and not chats:
        responses = _named(["answer"], free)
    pairs = [(p, r) for p in prompts for r in responses]
    if not response and not pairs:
        pairs = [(p, "") for p in prompts]
    if len(chats) + len(pairs) > 1:
        words = [*chats, *(f"{p} + {r}" if r else p for p, r in pairs)]
        ways = [f"messages={c}" for c in chats] + [f"prompt={p},response={r}" if r else f"prompt={p}" for p, r in pairs]
        raise _mistake(
            f"{where}: could be {' or '.join(words)}, and none is taken for granted; say which by"
            f" {' or '.join(ways[:3])}"
        )
    if chats:
        fields["messages"] = chats[0]
    elif pairs:
        fields |= {"prompt": pairs[0][0]} | ({"response": pairs[0][1]} if pairs[0][1] else {})
        left = [c for c in _named(USUAL["context"], free) if c not in fields.values()]
        if fields["prompt"].lower() == "instruction" and "context" not in fields and len(left) == 1:
            fields["context"] = left[0]
    else:
        lacks = "response" if prompts else "prompt" if responses or not response else "prompt and no response"
        how = "say which they are, as prompt=COLUMN,response=COLUMN or messages=COLUMN"
        how = how if response else "rename the one that asks to prompt, or say which it is, as prompt=COLUMN"
        raise _mistake(f"{where}: no {lacks} is recognised; the columns are {_listed(columns)}: {how}")


def _add_optional(
    role: str,
    fields: dict[str, str],
    free: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    notes: list[str],
    where: str,
) -> None:
    """Add the column of one role. Where several could be meant it is an error if answers hang on it, else a note."""
    names = REFERENCES if role == "reference" else USUAL[role]
    taken = set(fields.values())
    found = [c for c in _named((role, *names), free) if c not in taken]
    odd = [c for c in found if not _is_plain(c, rows)] if role not in ("thought", "reference", "system") else []
    found = [c for c in found if c not in odd]
    notes += [f"{role}: not read from {c}, which holds neither text nor numbers" for c in odd]
    if found and found[0].lower() == role:
        found = found[:1]
    if len(found) > 1 and role in ("thought", "reference"):
        raise _mistake(f"{where}: the {role} could be {' or '.join(found)}; say which, as {role}={found[0]}")
    if len(found) > 1:
        notes.append(f"{role}: not read; it could be {' or '.join(found)}: say which, as {role}={found[0]}")
    elif found:
        fields[role] = found[0]
    elif role == "reference" and fields.get("response", "").lower() == "answer" and _has_hashes(rows, fields):
        fields[role] = fields["response"]


def _is_plain(column: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    values = [row[column] for row in rows if row.get(column) is not None]
    return any(isinstance(value, str | int | float) for value in values)


def _named(names: Sequence[str], columns: Sequence[str]) -> list[str]:
    """The columns that are called by one of the names, in the order of those; capitals don't count."""
    return [column for name in names for column in columns if column.lower() == name]


def _has_hashes(rows: Sequence[Mapping[str, Any]], fields: Mapping[str, str]) -> bool:
    texts = [text for row in rows if isinstance(text := row.get(fields["response"]), str)]
    return 2 * sum(HASHES in text for text in texts) > len(texts)


def _chat(rows: Sequence[Mapping[str, Any]], fields: Mapping[str, str]) -> ChatStyle | None:
    """The style of most rows' messages."""
    column = fields.get("messages") or fields.get("response") or fields.get("prompt", "")
    styles = [style for row in rows if (style := style_of(row.get(column))) is not None]
    if not styles:
        return None
    keys = Counter((s.keys, s.thought, s.parts) for s in styles).most_common(1)[0][0]
    return next(s for s in styles if (s.keys, s.thought, s.parts) == keys)


def _with_tags(made: Format, rows: Sequence[Mapping[str, Any]]) -> Format:
    """The same with the tags of most responses."""
    texts = [text for row in rows if (text := response_text(row, made))]
    counts = {tags: sum(tags[1] in text for text in texts) for tags in TAGS}
    tags = max(TAGS, key=lambda t: counts[t])
    closed = [text for text in texts if tags[1] in text]
    opened = not closed or any(tags[0] in text for text in closed)
    fields = made.fields
    has = closed or "thought" in fields or (made.chat is not None and made.chat.thought)
    missing = tuple(role for role in made.missing if not (role == "thought" and has))
    return replace(made, missing=missing, tags=tags, opened=opened)


def response_text(row: Mapping[str, Any], made: Format) -> str:
    """The text of a row's response; empty where it can't be told."""
    value = row.get(made.fields.get("messages", made.fields.get("response", "")))
    if isinstance(value, list | tuple) and value and isinstance(value[-1], Mapping) and made.chat is not None:
        value = value[-1].get(made.chat.keys[1])
        if isinstance(value, list | tuple):
            value = "".join(str(part.get("text", "")) for part in value if isinstance(part, Mapping))
    return value if isinstance(value, str) else ""


def earlier_thoughts(row: Mapping[str, Any], made: Format) -> int:
    """How many turns before the response have a thought in a field of its own, which is not read."""
    turns = row.get(made.turns)
    if not isinstance(turns, list | tuple) or len(turns) < 2:
        return 0
    before = turns[:-1] if "messages" in made.fields else turns
    return sum(isinstance(m, Mapping) and any(m.get(name) for name in THOUGHTS) for m in before)


def lines_of(made: Format, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was recognised, how, and what is missing, a line each."""
    fields, n = made.fields, len(rows)
    lines = [f"format: {made.name}{_how(made)}"]
    if "context" in fields:
        lines.append(f"prompt: {fields['prompt']}, then {fields['context']} where it is not empty")
    responses = [text for row in rows if (text := response_text(row, made))]
    if responses:
        lines += [_thought_line(made, responses, rows), _answer_line(made, responses)]
    if n_earlier := sum(earlier_thoughts(row, made) for row in rows):
        lines.append(f"thoughts of earlier turns: {n_earlier:,}, not read; they stay in the rows as they are")
    for role in OPTIONAL:
        if role in fields and role != "thought":
            where = f"after {HASHES} in column {fields[role]}" if role == "reference" and made.from_answer else ""
            lines.append(f"{role}: {where or f'column {fields[role]}'}")
    lines += made.notes
    if made.missing:
        ids = "; ids are made of the file's name and the row" if "id" in made.missing else ""
        lines.append(f"missing: {', '.join(made.missing)}{ids}")
    others = [c for c in made.columns if c not in fields.values()]
    if others:
        lines.append(f"kept as they are, not read: {_listed(others)}")
    return [*map(printable, lines), f"by the first {n:,} rows" if n > 1 else "by the first row"]


def _how(made: Format) -> str:
    if "messages" in made.fields and made.chat is not None:
        parts = ", content in parts" if made.chat.parts else ""
        return f" ({' and '.join(made.chat.keys)}{parts}; the last turn is the response)"
    if "response" not in made.fields:
        return " (asks only)"
    listed = ", as lists of messages" if made.chat is not None else ""
    return f" (prompt and response{listed})"


def _thought_line(made: Format, responses: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    if "thought" in made.fields:
        return f"thought: column {made.fields['thought']}"
    if made.chat is not None and made.chat.thought:
        return f"thought: {made.chat.thought} of the last message"
    found = sum(parts_of(text, opened=made.opened)[0].thought is not None for text in responses)
    if not found:
        return f"thought: none in {len(responses):,} responses"
    where = f"between {made.tags[0]} and {made.tags[1]}" if made.opened else f"up to {made.tags[1]}, never opened"
    return f"thought: {where} in {found:,} of {len(responses):,} responses"


def _answer_line(made: Format, responses: Sequence[str]) -> str:
    solutions = [parts_of(text, opened=made.opened)[0].solution for text in responses]
    forms = Counter(found.form if (found := stated_answer(text)) else "none found" for text in solutions)
    return "final answer: " + ", ".join(f"{WORDS.get(form, form)} {n:,}" for form, n in forms.most_common())


WORDS = {
    "boxed": "\\boxed{}",
    "tagged": "<answer> </answer>",
    "hashes": HASHES,
    "said": '"the answer is"',
    "lab": "the lab's A",
    "bare": "the answer alone",
}


def _mistake(message: str) -> TriaxisError:
    """What a person is told, names of columns among it, in signs that a terminal only shows."""
    return TriaxisError(printable(message))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 12:,} more" if len(names) > 12 else ""
    return ", ".join(map(str, names[:12])) + more if names else "none"
