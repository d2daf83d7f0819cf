"""Size and shape of a data set: how many examples, how long their parts are, what a length limit would cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from triaxis.axes.data.profile.lengths import ERROR, Lengths, LengthSummary
from triaxis.axes.data.profile.scripts import word_count
from triaxis.types import Example, NotEstimable

LIMITS = (1024, 2048, 4096, 8192, 16384, 32768)
PARTS = ("prompt", "thought", "solution", "response", "total")  # response: thought + solution; total: all of it
BATCH = 256  # examples that are tokenized together, or fewer where they are long
BATCH_CHARACTERS = 1 << 20
LONG_ENOUGH = 40  # words, from which on a solution that stops within a sentence was cut off

Count = Callable[[list[str]], list[int]]
_ENDS = frozenset(".!?:;)]}\"'`*>|…。！？」』）”’|✓✔✅$")


@dataclass(frozen=True)
class ShapeProfile:
    """What `Shape` found. Lengths by unit (`tokens` with a tokenizer, `words`, `characters`), then by part."""

    examples: int
    tokenizer: str | None
    unit: str  # of the limits: "tokens", or "words" without a tokenizer
    lengths: dict[str, dict[str, LengthSummary]]
    quantile_error: float  # of a quantile at most, relative to it
    over: dict[str, dict[int, float | NotEstimable]]  # share of examples whose response, or total, exceeds a limit
    over_counts: dict[str, dict[int, int]]
    with_thought: int
    empty: dict[str, int]  # examples with no text in: prompt, thought (tags with nothing between), solution, response
    no_end: int  # a thought, and nothing after it
    cut_off: int  # a long solution that states no answer and stops within a sentence
    prompt_turns: dict[int, int]  # examples by number of turns before the response
    system_turns: int  # examples with a system turn


class Shape:
    """Lengths in one pass. `count` gives the tokens of each of some texts, without special tokens.

    Parts are counted apart, so that a total can differ by a token or two from that of the text as a whole; what a chat
    template adds is not in it.
    """

    def __init__(
        self, count: Count | None = None, tokenizer: str | None = None, limits: Sequence[int] = LIMITS
    ) -> None:
        if list(limits) != sorted(set(limits)) or min(limits, default=1) < 1:
            raise ValueError("limits are different whole numbers from 1, in order")
        self.count, self.tokenizer, self.limits = count, tokenizer if count else None, tuple(limits)
        units = ("tokens", "words", "characters") if count else ("words", "characters")
        self.unit = units[0]
        self.lengths = {unit: {part: Lengths() for part in PARTS} for unit in units}
        self.over = {part: dict.fromkeys(self.limits, 0) for part in ("response", "total")}
        self.empty = dict.fromkeys(("prompt", "thought", "solution", "response"), 0)
        self.examples = self.with_thought = self.no_end = self.cut_off = self.system_turns = 0
        self.turns: dict[int, int] = {}
        self._waiting: list[tuple[str, str | None, str]] = []
        self._characters = 0

    def fresh(self) -> Shape:
        """One with the same settings that has seen nothing."""
        return Shape(self.count, self.tokenizer, self.limits)

    def add(self, example: Example) -> None:
        prompt = "\n".join(turn.content for turn in example.turns)
        thought, solution = example.thought or "", example.solution
        self.examples += 1
        self.turns[len(example.turns)] = self.turns.get(len(example.turns), 0) + 1
        self.system_turns += any(turn.role == "system" for turn in example.turns)
        self._note_ends(example, prompt)
        self._lengths("characters", len(prompt), len(thought), len(solution), example.thought is not None)
        words = [word_count(text) for text in (prompt, thought, solution)]
        self._lengths("words", words[0], words[1], words[2], example.thought is not None)
        if self.count is None:
            self._limits(words[0], words[1] + words[2])
            return
        self._waiting.append((prompt, example.thought, solution))
        self._characters += len(prompt) + len(thought) + len(solution)
        if len(self._waiting) >= BATCH or self._characters >= BATCH_CHARACTERS:
            self._flush()

    def _note_ends(self, example: Example, prompt: str) -> None:
        has = {
            "prompt": not prompt or prompt.isspace(),
            "thought": example.thought is not None and not example.thought.strip(),
            "solution": not example.solution.strip(),
        }
        has["response"] = has["solution"] and not (example.thought or "").strip()
        for part, empty in has.items():
            self.empty[part] += empty
        self.with_thought += example.thought is not None
        self.no_end += has["solution"] and not has["response"]
        end = example.solution[-20:].rstrip()
        if example.answer is None and end and end[-1] not in _ENDS:
            self.cut_off += word_count(example.solution) > LONG_ENOUGH

    def _lengths(self, unit: str, prompt: int, thought: int, solution: int, has_thought: bool) -> None:
        of = self.lengths[unit]
        of["prompt"].add(prompt)
        if has_thought:
            of["thought"].add(thought)
        of["solution"].add(solution)
        of["response"].add(thought + solution)
        of["total"].add(prompt + thought + solution)

    def _limits(self, prompt: int, response: int) -> None:
        for part, length in (("response", response), ("total", prompt + response)):
            counts = self.over[part]
            for limit in self.limits:
                if length <= limit:
                    break
                counts[limit] += 1

    def _flush(self) -> None:
        if not self._waiting or self.count is None:
            return
        texts = list(dict.fromkeys(text for parts in self._waiting for text in parts if text))
        counted = self.count(texts)
        tokens: dict[str | None, int] = {"": 0, None: 0, **dict(zip(texts, counted, strict=True))}
        for prompt, thought, solution in self._waiting:
            sizes = tokens[prompt], tokens[thought], tokens[solution]
            self._lengths("tokens", *sizes, thought is not None)
            self._limits(sizes[0], sizes[1] + sizes[2])
        self._waiting, self._characters = [], 0

    def merge(self, other: Shape) -> None:
        self._flush()
        other._flush()
        for unit, parts in other.lengths.items():
            for part, lengths in parts.items():
                self.lengths[unit][part].merge(lengths)
        for part, counts in other.over.items():
            for limit, n in counts.items():
                self.over[part][limit] += n
        for part, n in other.empty.items():
            self.empty[part] += n
        for turns, n in other.turns.items():
            self.turns[turns] = self.turns.get(turns, 0) + n
        for name in ("examples", "with_thought", "no_end", "cut_off", "system_turns"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def result(self) -> ShapeProfile:
        self._flush()
        none = NotEstimable("no examples")
        return ShapeProfile(
            examples=self.examples,
            tokenizer=self.tokenizer,
            unit=self.unit,
            lengths={u: {p: lengths.summary() for p, lengths in parts.items()} for u, parts in self.lengths.items()},
            quantile_error=ERROR,
            over={
                part: {limit: n / self.examples if self.examples else none for limit, n in counts.items()}
                for part, counts in self.over.items()
            },
            over_counts={part: dict(counts) for part, counts in self.over.items()},
            with_thought=self.with_thought,
            empty=dict(self.empty),
            no_end=self.no_end,
            cut_off=self.cut_off,
            prompt_turns=dict(sorted(self.turns.items())),
            system_turns=self.system_turns,
        )
