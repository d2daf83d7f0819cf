"""`cap`: leave out, and never cut, what is longer than a limit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import model_validator

from triaxis.axes.data.profile.scripts import word_count
from triaxis.axes.data.recipes.operation import Context, Operation
from triaxis.study.fields import Count, Folder
from triaxis.types import Example, TriaxisError

_CHUNK = 256  # rows tokenized together


class Cap(Operation):
    """Rows whose part `of` is at most `limit` long."""

    name: ClassVar[str] = "cap"

    limit: Count
    unit: Literal["tokens", "words", "characters"] = "tokens"
    of: Literal["prompt", "thought", "solution", "response", "whole"] = "response"
    tokenizer: Folder | None = None  # a tokenizer.json, or the folder that holds one; for tokens

    @model_validator(mode="after")
    def _named(self) -> Cap:
        if (self.unit == "tokens") != (self.tokenizer is not None):
            raise ValueError(
                "tokens are those of a tokenizer; name its tokenizer.json, or take unit: words or characters"
                if self.tokenizer is None
                else f"{self.unit} need no tokenizer; remove it"
            )
        return self

    def run(self, examples: Iterator[Example], context: Context) -> Iterator[Example]:
        lengths = _measure(self.unit, self.tokenizer, context)
        longest = 0
        for chunk in chunks(examples, _CHUNK):
            for example, length in zip(chunk, lengths([part_of(e, self.of) for e in chunk]), strict=True):
                longest = max(longest, length)
                if length <= self.limit:
                    yield example
                else:
                    context.entry.leave_out(example.id, f"more than {self.limit:,} {self.unit}", f"{length:,}")
        context.entry.notes.append(f"the longest {self.of} that came had {longest:,} {self.unit}")


def part_of(example: Example, part: str) -> str:
    """The text of a part of a row, its thought and solution with white space between."""
    prompt = "\n".join(turn.content for turn in example.turns)
    response = example.solution if example.thought is None else f"{example.thought}\n{example.solution}"
    whole = {"prompt": prompt, "thought": example.thought or "", "solution": example.solution, "response": response}
    return whole.get(part, f"{prompt}\n{response}")


def chunks(examples: Iterator[Example], size: int) -> Iterator[list[Example]]:
    """Lists of `size` rows, the last one shorter."""
    chunk: list[Example] = []
    for example in examples:
        chunk.append(example)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _measure(unit: str, tokenizer: str | None, context: Context) -> Callable[[list[str]], list[int]]:
    if unit == "words":
        return lambda texts: [word_count(text) for text in texts]
    if unit == "characters" or tokenizer is None:
        return lambda texts: [len(text) for text in texts]
    from tokenizers import Tokenizer

    path = Path(tokenizer)
    path = path / "tokenizer.json" if path.is_dir() else path
    if not path.is_file():
        raise context.mistake(f"tokenizer: {path}: no such file; name a tokenizer.json, or the folder that holds it")
    try:
        known = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises a bare Exception
        raise TriaxisError(f"{context.entry.place}: tokenizer: {path}: not a tokenizer.json ({error})") from None
    known.no_truncation()
    return lambda texts: [len(e.ids) for e in known.encode_batch(texts, add_special_tokens=False)]
