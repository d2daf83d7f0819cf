"""Stop strings: what ends a response before its end token, once its thoughts are closed."""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

import torch
from transformers import PreTrainedTokenizerBase

from triaxis.evaluate.generate import Response
from triaxis.tasks.verify import THINK, THINK_END

HALF = "\ufffd"  # what half a character is decoded to
_texts: WeakKeyDictionary[PreTrainedTokenizerBase, list[str]] = WeakKeyDictionary()  # of every token, by tokenizer


class Stops:
    """The stop strings of some prompts.

    A stop string counts outside of thoughts alone: after the last one is closed, or where none was opened; inside a
    thought it does nothing. Nor does it in the white space that a reply begins with: models put an empty line after
    `</think>`, and a reply that ends there says nothing. A response ends with the token that completes the string and
    counts as finished; its text goes up to the string (`cut`).
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, strings: Sequence[Sequence[str]], opened: Sequence[bool]
    ) -> None:
        """`strings` are those of each prompt; `opened` says of each whether it has a thought opened already."""
        self.tokenizer, self.strings, self.opened = tokenizer, strings, opened
        self._followed: dict[int, _Followed] = {}

    @property
    def any(self) -> bool:
        """Whether there is a stop string at all."""
        return any(self.strings)

    def may_end(self, size: int) -> torch.Tensor:
        """(size,), for each token whether it holds the last character of a stop string, so that text is made of few."""
        last = {string[-1] for strings in self.strings for string in strings}
        last |= {HALF} if any(not character.isascii() for character in last) else set()
        every = " " in last  # some tokenizers put it between tokens, where no token holds it
        texts = _texts_of(self.tokenizer)[:size]
        found = torch.tensor([every or any(c in text for c in last) for text in texts], dtype=torch.bool)
        return torch.cat([found, torch.ones(size - len(found), dtype=torch.bool)])

    def ends(self, prompt: int, tokens: Sequence[int]) -> bool:
        """Whether the response ends here; to be asked in the order in which its tokens come."""
        if not self.strings[prompt]:
            return False
        if prompt not in self._followed:
            reader = _Reader(self.strings[prompt], self.opened[prompt])
            self._followed[prompt] = _Followed(self.tokenizer, reader)
        # What comes piece by piece may differ from the whole, where a tokenizer tidies up; the whole decides.
        return self._followed[prompt].ends(tokens) and self.place(prompt, self._text(tokens)) is not None

    def place(self, prompt: int, text: str) -> int | None:
        """Where in a response's text its first stop string is; None: nowhere."""
        if not self.strings[prompt]:
            return None
        return _Reader(self.strings[prompt], self.opened[prompt]).read(text)

    def cut(self, prompt: int, text: str) -> str:
        """A response's text up to its first stop string."""
        return text[: self.place(prompt, text)]

    def settled(self, prompt: int, response: Response) -> Response:
        """The response up to the token that completes its first stop string; as it is where there is none."""
        tokens = response.tokens
        if not self.strings[prompt] or self.place(prompt, self._text(tokens)) is None:
            return response
        low, high = 0, len(tokens)  # a stop is among the first `high`, and not among the first `low`
        while high - low > 1:
            middle = (low + high) // 2
            if self.place(prompt, self._text(tokens[:middle])) is None:
                low = middle
            else:
                high = middle
        return Response(tokens[:high], True)

    def _text(self, tokens: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(list(tokens), skip_special_tokens=False)
        return text


def _texts_of(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    if tokenizer not in _texts:
        _texts[tokenizer] = tokenizer.batch_decode([[i] for i in range(len(tokenizer))], skip_special_tokens=False)
    return _texts[tokenizer]


class _Reader:
    """Reads a response piece by piece up to the first stop string outside of its thoughts."""

    def __init__(self, strings: Sequence[str], opened: bool) -> None:
        self.strings, self.inside = strings, opened
        self.kept = max(map(len, (*strings, THINK))) - 1  # characters in which a string may have begun
        self.begun: int | None = None  # where in the response its reply begins to say anything
        self.rest, self.at = "", 0  # what may still matter, and where in the response it begins

    def read(self, text: str) -> int | None:
        """What comes next; the place in the response of the stop string that it completes, if it does."""
        self.rest += text
        while True:
            if self.inside:
                end = self.rest.find(THINK_END)
                if end < 0:
                    self._keep(len(THINK_END) - 1)
                    return None
                self._skip(end + len(THINK_END))
                self.inside, self.begun = False, None
            if self.begun is None and self.rest.strip():
                self.begun = self.at + len(self.rest) - len(self.rest.lstrip())
            thought = self.rest.find(THINK)
            stops = [place for string in self.strings if (place := self._find(string)) >= 0]
            if stops and (thought < 0 or min(stops) < thought):
                return self.at + min(stops)
            if thought < 0:
                self._keep(self.kept)
                return None
            self._skip(thought + len(THINK))
            self.inside = True

    def _find(self, string: str) -> int:
        """Where the rest holds a string, not all of it in the white space that a reply begins with; -1: nowhere."""
        if self.begun is None:
            return -1
        return self.rest.find(string, max(0, self.begun - self.at + 1 - len(string)))

    def _keep(self, characters: int) -> None:
        self._skip(max(0, len(self.rest) - characters))

    def _skip(self, characters: int) -> None:
        self.rest, self.at = self.rest[characters:], self.at + characters


class _Followed:
    """A response as its tokens come: each is turned to text once, beside those of the time before, since what a token
    says may depend on the one before it."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, reader: _Reader) -> None:
        self.tokenizer, self.reader = tokenizer, reader
        self.start = self.done = 0  # tokens: those before `done` are read, and decoded again from `start`
        self.ended = False

    def ends(self, tokens: Sequence[int]) -> bool:
        before, now = self._text(tokens[self.start : self.done]), self._text(tokens[self.start :])
        if now.endswith(HALF):
            return False  # the rest of the character comes with the next token
        self.start, self.done = self.done, len(tokens)
        self.ended = self.ended or self.reader.read(now[len(before) :]) is not None
        return self.ended

    def _text(self, tokens: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(list(tokens), skip_special_tokens=False)
        return text
