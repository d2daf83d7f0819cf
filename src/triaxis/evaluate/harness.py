"""lm-evaluation-harness's tasks put to a model that is there: its requests, through our decoder and likelihoods."""

from __future__ import annotations

import copy
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError
from lm_eval.api.model import TemplateLM
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from triaxis.evaluate.backends import open_backend
from triaxis.evaluate.behaviours import Ngrams
from triaxis.evaluate.generate import Response
from triaxis.evaluate.likelihood import Pair, scored
from triaxis.evaluate.measure import LIKELIHOOD, How, Question, opened_thought, record_of, stream, unknown_token
from triaxis.evaluate.stops import Stops
from triaxis.tasks.harness import HarnessTask, written
from triaxis.tasks.verify import THINK, THINK_END
from triaxis.types import Item, Record, TriaxisError

MODE = "default"


class Encoder(TemplateLM):  # type: ignore[misc]  # lm-eval is not typed
    """lm-eval's own rules of how contexts and continuations become tokens, as its HFLM has them, without a model."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        self.tokenizer = copy.copy(tokenizer)

    @property
    def eot_token_id(self) -> int:
        return int(self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        """What stands before a continuation that has no context."""
        bos = self.tokenizer.bos_token_id
        return int(bos if bos is not None else self.tokenizer.eos_token_id)

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """Tokens, with those that the tokenizer puts around a text, but no second one at its beginning."""
        if add_special_tokens is None:
            add_special_tokens = not string.startswith(self.tokenizer.decode(self.prefix_token_id))
        ids: list[int] = self.tokenizer.encode(string, add_special_tokens=add_special_tokens)
        return ids

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """A conversation as text. A template that knows no system turn is given the conversation without it."""
        how = {"add_generation_prompt": add_generation_prompt, "continue_final_message": not add_generation_prompt}
        text: str
        try:
            text = self.tokenizer.apply_chat_template(chat_history, tokenize=False, **how)
        except TemplateError:
            others = [turn for turn in chat_history if turn["role"] != "system"]
            text = self.tokenizer.apply_chat_template(others, tokenize=False, **how)
        return text

    def pairs(self, requests: Sequence[Any]) -> tuple[Pair, ...]:
        """Requests for a likelihood in tokens."""
        return tuple(self.loglikelihood(list(requests), disable_tqdm=True))

    def _loglikelihood_tokens(self, requests: list[tuple[Any, list[int], list[int]]], **_: Any) -> list[Pair]:
        return [(tuple(context), tuple(continuation)) for _, context, continuation in requests]

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
        raise NotImplementedError  # such tasks are refused

    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
        raise NotImplementedError  # answered below


def harness_questions(
    task: HarnessTask, group: str, examples: Sequence[Item], tokenizer: PreTrainedTokenizerBase, samples: int
) -> list[Question]:
    """The questions of a task of lm-eval: one an item, or `samples` where responses are drawn.

    Raises TriaxisError where the chat template opens a thought before a choice, or a request holds no token.
    """
    encoder, asked = Encoder(tokenizer), []
    opened = opened_thought(tokenizer) if task.chat else ""
    if opened and task.generation is None:
        raise TriaxisError(
            f"{task.name}: the chat template opens a thought, in which the likelihood of a choice says nothing; leave "
            "out apply_chat_template"
        )
    requests = task.requests([task.problem(example) for example in examples], encoder)
    for example in examples:
        made = requests[task.problem(example)]
        if task.generation is None:
            pairs = encoder.pairs(made)
            for pair in pairs:
                _check(example, pair, tokenizer)
            prompt, longest = max(pairs, key=lambda pair: sum(_sizes(pair)))
            asked.append(Question(group, MODE, example, 0, prompt, "", len(longest), task, pairs=pairs))
            continue
        prompt = tuple(encoder.tok_encode(made[0].args[0]))
        _check(example, (prompt,), tokenizer)
        many = samples if task.generation.temperature > 0 else 1
        limit = task.generation.limit
        asked += [Question(group, MODE, example, k, prompt, opened, limit, task) for k in range(many)]
    return asked


def _sizes(pair: Pair) -> tuple[int, int]:
    return len(pair[0]), len(pair[1])


def _check(example: Item, parts: Sequence[Sequence[int]], tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse what can't be asked."""
    unknown = unknown_token(tokenizer)
    if unknown is not None and any(unknown in part for part in parts):
        raise TriaxisError(f"{example.id}: asks with a word that the base's tokenizer doesn't know")
    if not all(parts):
        raise TriaxisError(f"{example.id}: a prompt or a choice of it is no token of the tokenizer")


def harness_records(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    asked: Sequence[Question],
    run: str,
    step: int,
    how: How,
    traces: Ngrams | None,
) -> list[Record]:
    """The questions of tasks of lm-eval, answered and judged, in the order given."""
    compared = [q for q in asked if q.pairs]
    generated = [q for q in asked if not q.pairs]
    found = dict(zip(map(id, compared), _compared(model, tokenizer, compared, run, step, how), strict=True))
    for temperature in dict.fromkeys(_task(q).generation.temperature for q in generated):  # type: ignore[union-attr]
        some = [q for q in generated if _task(q).generation.temperature == temperature]  # type: ignore[union-attr]
        answers = _generated(model, tokenizer, some, run, step, how._replace(temperature=temperature), traces)
        found |= dict(zip(map(id, some), answers, strict=True))
    return [found[id(question)] for question in asked]


def _task(question: Question) -> HarnessTask:
    assert isinstance(question.task, HarnessTask)
    return question.task


def _compared(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    asked: Sequence[Question],
    run: str,
    step: int,
    how: How,
) -> list[Record]:
    told = iter(scored(model, [pair for q in asked for pair in q.pairs], tokenizer.pad_token_id, how.batch_size))
    how = how._replace(backend=LIKELIHOOD, temperature=None)
    records = []
    for question in asked:
        answers = [next(told) for _ in question.pairs]
        text = written(answers)
        right = _task(question).right(question.example)
        log_probability = None if right is None else answers[right][0]
        records.append(record_of(question, run, step, text, True, None, how, log_probability=log_probability))
    return records


def _generated(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    asked: Sequence[Question],
    run: str,
    step: int,
    how: How,
    traces: Ngrams | None,
) -> list[Record]:
    eos, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    backend = open_backend(how.backend, model, eos=eos, pad=pad, batch_size=how.batch_size)
    how, temperature = how._replace(backend=backend.name), how.temperature or 0.0
    # They end at the latest where the text is cut (`_kept`): white space at the beginning of a reply ends none here.
    stops = Stops(tokenizer, [_stops(q) for q in asked], [bool(q.prefilled) for q in asked])
    responses = backend.answer(
        [q.prompt for q in asked],
        max_new_tokens=[q.max_new_tokens for q in asked],
        temperature=temperature,
        seeds=[stream(run, step, q.example.id, q.mode, q.sample) for q in asked] if temperature > 0 else None,
        stops=stops if stops.any else None,
    )
    records = []
    for question, response in zip(asked, responses, strict=True):
        text, tokens, finished = _kept(question, response, tokenizer)
        copied = None if traces is None else traces.share(text)
        records.append(record_of(question, run, step, text, finished, tokens, how, copied=copied))
    return records


def _stops(question: Question) -> tuple[str, ...]:
    generation = _task(question).generation
    return generation.stops if generation else ()


def _kept(question: Question, response: Response, tokenizer: PreTrainedTokenizerBase) -> tuple[str, int, bool]:
    """A response up to the stop string that ends it: its text, the thought that the template opened before it; its
    tokens; whether it ended by itself."""
    task = _task(question)

    def said(n: int) -> str:
        text = _text(response.tokens[:n], tokenizer)
        return f"{question.prefilled}\n{text}" if question.prefilled else text

    many = len(response.tokens)
    kept, _, stopped = task.settled(said(many))
    if not stopped:
        return kept, many, response.finished
    # The fewest tokens whose text holds the stop: more of them can't undo it.
    return kept, bisect_left(range(many), True, key=lambda n: task.settled(said(n))[2]), True


def _text(tokens: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> str:
    """A response as lm-eval reads it, without special tokens, but with the tags of a thought where these are some."""
    tags = {
        tokenizer.convert_tokens_to_ids(tag): tag for tag in (THINK, THINK_END) if tag in tokenizer.all_special_tokens
    }
    parts: list[str] = []
    begun = 0
    for i, token in enumerate(tokens):
        if token in tags:
            parts += [tokenizer.decode(tokens[begun:i], skip_special_tokens=True), tags[token]]
            begun = i + 1
    return "".join([*parts, tokenizer.decode(tokens[begun:], skip_special_tokens=True)])
