"""A model's pass rates on rows of a data set: rows are drawn, the model answers each several times, tasks judge."""

from __future__ import annotations

import heapq
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

from transformers.utils.logging import disable_progress_bar

from triaxis.axes.data.profile.pass_rates import Asking, PassRates, pass_rates_of
from triaxis.axes.data.recipes.lab import lab_item
from triaxis.axes.data.text import response_of
from triaxis.axes.model import fingerprint, load_base
from triaxis.evaluate.generate import generate
from triaxis.evaluate.measure import AUTO_LENGTH, opened_thought, stream
from triaxis.tasks import Task, get_task
from triaxis.tasks.checker import AnswerChecker
from triaxis.tasks.stated import final_answer, reply_of
from triaxis.types import Example, Item, Outcome, TriaxisError

MODEL_ROWS = 200  # that are drawn, unless said otherwise
BATCH = 256  # responses that are sampled together: few enough for a bar that moves
ROOM = (
    1024  # tokens at least, in plain language: a row that holds only an answer says nothing of how long a model thinks
)
HEARD = 1000  # rows between two notes of how far the reading is
UNKNOWN_SHOWN = 3  # words

_SPLIT = re.compile(r"/(?:train|eval)/")


@dataclass(frozen=True)
class Sampling:
    """How a model is asked. `max_new_tokens` None: as long as the rows call for, see `LocalModel.limit`."""

    samples: int = 8  # a row
    temperature: float = 0.6
    max_new_tokens: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise TriaxisError(f"--samples {self.samples}: must be 1 or more")
        if not 0 < self.temperature < math.inf:
            raise TriaxisError(f"--temperature {self.temperature:g}: must be above 0, or all samples are the same")
        if self.max_new_tokens is not None and self.max_new_tokens < 1:
            raise TriaxisError(f"--max-new-tokens {self.max_new_tokens}: must be 1 or more")


class Reply(NamedTuple):
    """One response: its text, and whether it ended by itself."""

    text: str
    finished: bool


class Answers(Protocol):
    """A model as it is asked here."""

    name: str
    fingerprint: str

    def limit(self, rows: Sequence[Example], wanted: int | None) -> int:
        """Tokens that a response to one of these rows may have. Raises TriaxisError where it can't be asked them."""

    def refuses(self, row: Example, limit: int) -> str:
        """Why it can't be asked a row; empty where it can."""

    def sample(self, rows: Sequence[Example], seeds: Sequence[int], temperature: float, limit: int) -> list[Reply]:
        """One response a row; a row that is asked several times stands there as often, with seeds of its own."""


@dataclass(frozen=True)
class Drawn:
    """Rows that were drawn from a data set, in the order of the draw."""

    rows: tuple[Example, ...]
    read: int
    unjudged: Mapping[str, int]


def draw(
    examples: Iterable[Example], n: int, *, seed: int = 0, heard: Callable[[int], None] = lambda seen: None
) -> Drawn:
    """The `n` rows of the smallest hash of their id, of those whose responses can be judged: the same in any order of
    the rows, and fewer are among more. Holds `n` rows in memory. Raises TriaxisError below one."""
    if n < 1:
        raise TriaxisError(f"--model-rows {n}: must be 1 or more")
    kept: list[tuple[int, int, Example]] = []  # a heap, the largest hash in front
    unjudged: Counter[str] = Counter()
    read = 0
    for read, example in enumerate(examples, 1):
        if read % HEARD == 0:
            heard(read)
        if reason := _why_unjudged(example):
            unjudged[reason] += 1
            continue
        entry = (-stream("row", seed, example.id), read, replace(example, fields={}))
        if len(kept) < n:
            heapq.heappush(kept, entry)
        elif entry[0] > kept[0][0]:
            heapq.heapreplace(kept, entry)
    rows = tuple(example for _, _, example in sorted(kept, key=lambda entry: -entry[0]))
    return Drawn(rows, read, dict(unjudged))


def pass_rates(
    drawn: Drawn, model: Answers, how: Sampling, *, heard: Callable[[int], None] = lambda done: None
) -> PassRates:
    """Ask `model` every row that was drawn, `how.samples` times, and judge its responses.

    A lab or reasoning-gym item is judged by its task; any other row by the final answer of the reply against its
    reference. A sample's draws belong to (seed, row id, sample). `heard` is told how many rows are done.
    """
    limit = model.limit(drawn.rows, how.max_new_tokens)
    refused = {row.id: reason for row in drawn.rows if (reason := model.refuses(row, limit))}
    left_out = Counter(refused.values())
    asked = [row for row in drawn.rows if row.id not in refused]
    correct: dict[str, int] = {}
    outcomes: Counter[Outcome] = Counter()
    done = len(refused)
    with AnswerChecker() as checker:
        for rows, replies in _answered(asked, model, how, limit):
            for at, row in enumerate(rows):
                verdicts = _judged(row, replies[at * how.samples : (at + 1) * how.samples], checker)
                if None in verdicts:
                    left_out["only math-verify could tell, and it isn't installed"] += 1
                    continue
                correct[row.id] = sum(verdict.right for verdict in verdicts if verdict)
                outcomes.update(verdict.outcome for verdict in verdicts if verdict)
            done += len(rows)
            heard(done)
    asking = Asking(
        model=model.name,
        fingerprint=model.fingerprint,
        seed=how.seed,
        temperature=how.temperature,
        samples=how.samples,
        max_new_tokens=limit,
        rows=drawn.read,
        unjudged=drawn.unjudged,
        drawn=len(drawn.rows),
        left_out=dict(left_out),
    )
    return pass_rates_of(asking, correct, outcomes)


def _answered(
    asked: Sequence[Example], model: Answers, how: Sampling, limit: int
) -> Iterator[tuple[Sequence[Example], list[Reply]]]:
    """Some rows at a time with their replies, those of a row side by side."""
    step = max(1, BATCH // how.samples)
    for start in range(0, len(asked), step):
        rows = asked[start : start + step]
        each = [row for row in rows for _ in range(how.samples)]
        seeds = [stream("sample", how.seed, row.id, sample) for row in rows for sample in range(how.samples)]
        yield rows, model.sample(each, seeds, how.temperature, limit)


# -- judging ----------------------------------------------------------------------------------------------------------


class _Verdict(NamedTuple):
    outcome: Outcome
    right: bool


def _judged(row: Example, replies: Sequence[Reply], checker: AnswerChecker) -> list[_Verdict | None]:
    """The verdict on each reply to a row; None where only math-verify could tell and it isn't installed."""
    if own := _own_item(row):
        task, item = own
        outcomes = [task.outcome(item, reply.text, reply.finished) for reply in replies]
        return [_Verdict(outcome, task.score(outcome) == 1) for outcome in outcomes]
    given = [final_answer(reply_of(reply.text), reply.finished) for reply in replies]
    checked = iter(checker.check([(answer, row.reference or "") for answer in given if answer is not None]))
    found: list[_Verdict | None] = []
    for reply, answer in zip(replies, given, strict=True):
        verdict = "unparsable" if answer is None else next(checked)
        if verdict == "unchecked":
            found.append(None)
        elif verdict in ("correct", "wrong"):
            found.append(_Verdict(Outcome(verdict), verdict == "correct"))
        else:  # what can't be compared in time counts as an answer that can't be read, as it does for a task
            cut = answer is None and not reply.finished
            found.append(_Verdict(Outcome.TRUNCATED if cut else Outcome.UNPARSED, False))
    return found


def _own_item(row: Example) -> tuple[Task[Any], Item] | None:
    """The task and the item that a row of the lab or of reasoning-gym was made from; None for any other row."""
    if found := lab_item(row):
        return found
    if row.source != "reasoning-gym" or not row.id.startswith("rg:") or not row.turns:
        return None
    try:
        task = get_task(_SPLIT.split(row.id)[0])
        item = task.example(row.id)
    except TriaxisError:
        return None
    return (task, item) if item.prompt == row.turns[-1].content else None


def _why_unjudged(row: Example) -> str:
    """Why a response to a row can't be judged; empty where it can."""
    if not any(turn.content.strip() for turn in row.turns):
        return "nothing is asked"
    if not (row.reference or "").strip() and _own_item(row) is None:
        return "no reference answer"
    return ""


# -- the model --------------------------------------------------------------------------------------------------------


class LocalModel:
    """A base of the lab, or a folder that holds a saved model. Raises TriaxisError where there is none."""

    def __init__(self, name: str) -> None:
        disable_progress_bar()  # of the loading, which takes no time worth a bar
        try:
            self.name, self.fingerprint = name, fingerprint(name)
            self.model, self.tokenizer = load_base(name)
        except TriaxisError as error:  # which names the setting of a study
            raise TriaxisError(str(error).replace("model.base:", "--model:", 1)) from None
        self.opened = opened_thought(self.tokenizer)
        self.context = getattr(self.model.config, "max_position_embeddings", None)  # tokens; None: no limit is known
        self._prompts: dict[str, tuple[int, ...]] = {}  # by row id

    def limit(self, rows: Sequence[Example], wanted: int | None) -> int:
        """As wanted, else `AUTO_LENGTH` times the longest response that the rows or their tasks hold (in plain language
        `ROOM` at least), and no more than half of the model's context. Raises TriaxisError for words it can't read."""
        self._check_words(rows)
        if wanted is not None:
            return wanted
        held = [response_of(row) for row in rows]
        own = [_own_item(row) for row in rows]
        held += [trace for found in own if found for trace in found[1].traces.values()]
        longest = max((len(self._tokens(text)) for text in held), default=1)
        least = 1 if all(found and found[1].traces for found in own) else ROOM
        enough = max(math.ceil(AUTO_LENGTH * longest), least)
        return min(enough, self.context // 2) if self.context else enough

    def refuses(self, row: Example, limit: int) -> str:
        turns = [{"role": turn.role, "content": turn.content} for turn in row.turns]
        try:
            ids = self.tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
        except Exception as error:  # a template raises what it likes, in jinja's classes
            return f"the chat template of {self.name} refuses its turns ({str(error)[:80]})"
        if self.context and len(ids) + limit > self.context:
            return f"with a response of {limit:,} tokens it exceeds the context of {self.name}, {self.context:,}"
        self._prompts[row.id] = tuple(ids)
        return ""

    def sample(self, rows: Sequence[Example], seeds: Sequence[int], temperature: float, limit: int) -> list[Reply]:
        responses = generate(
            self.model,
            [self._prompts[row.id] for row in rows],
            max_new_tokens=[limit] * len(rows),
            eos=self.tokenizer.eos_token_id,
            pad=self.tokenizer.pad_token_id,
            temperature=temperature,
            seeds=seeds,
            batch_size=BATCH,
        )
        texts = self.tokenizer.batch_decode([list(r.tokens) for r in responses], skip_special_tokens=False)
        return [Reply(self.opened + text, response.finished) for text, response in zip(texts, responses, strict=True)]

    def _tokens(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _check_words(self, rows: Sequence[Example]) -> None:
        """Refuse rows with words that the tokenizer has no token for: the lab's know its own words and no other, in a
        folder that a study wrote too."""
        unknown = self.tokenizer.unk_token_id
        if unknown is None:
            return
        words = dict.fromkeys(word for row in rows for turn in row.turns for word in turn.content.split())
        lacking = sorted(word for word in words if unknown in self._tokens(word))
        if lacking:
            some = ", ".join(lacking[:UNKNOWN_SHOWN])
            raise TriaxisError(
                f"--model {self.name}: {len(lacking):,} of the {len(words):,} words of the rows drawn are not among "
                f"those that it knows ({some}, ..); a lab model can't be asked in plain language: name another model"
            )
