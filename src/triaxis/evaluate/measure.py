"""A checkpoint's records: every question of an evaluation, answered, judged by its task's verifier."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from triaxis.evaluate.backends import open_backend
from triaxis.evaluate.behaviours import Ngrams
from triaxis.evaluate.likelihood import Pair, log_likelihoods
from triaxis.evaluate.stops import Stops
from triaxis.tasks import Task, get_task, prefill
from triaxis.tasks.likelihood import LETTERS, written
from triaxis.tasks.prompts import fingerprint
from triaxis.tasks.task import Shot
from triaxis.tasks.verify import THINK, THINK_END, never_closes
from triaxis.types import Item, Record, TriaxisError

if TYPE_CHECKING:
    from triaxis.tasks.harness import HarnessTask

LIKELIHOOD = "likelihood"  # stands for a backend where nothing is generated
CLOSED = f"\n{THINK_END}\n\n"  # as the templates of reasoning models write a thought that is empty
AUTO_LENGTH = 1.5  # times the longest reference trace of a task: room to be wordier than the reference


@dataclass(frozen=True)
class Question:
    """One response to be sampled: an item in a mode, as prompt tokens with a limit on the answer's."""

    group: str
    mode: str
    example: Item
    sample: int
    prompt: tuple[int, ...]
    prefilled: str  # words in the model's mouth, and the thought that the chat template opens
    max_new_tokens: int
    task: Task[Any]  # as it was when its items were drawn: a file may change meanwhile
    choices: tuple[tuple[int, ...], ...] = ()  # in tokens, where the likeliest is taken and nothing is generated
    stops: tuple[str, ...] = ()  # strings that end the response, once its thoughts are closed
    pairs: tuple[Pair, ...] = ()  # contexts and continuations, where a task's own requests are for their likelihoods

    @property
    def compared(self) -> bool:
        """Whether nothing is generated: likelihoods are compared."""
        return bool(self.choices or self.pairs)

    @property
    def room(self) -> int:
        """Tokens that may follow the prompt."""
        return max(map(len, self.choices), default=self.max_new_tokens)


def questions(
    tasks: Mapping[str, Sequence[str]],
    tokenizer: PreTrainedTokenizerBase,
    *,
    items: int,
    samples: int,
    modes: Sequence[str],
    max_new_tokens: int | str,
    seed: int,
    few_shot: int = 0,
    stop: Sequence[str] = (),
    drawn: Callable[[Task[Any]], list[Item]] | None = None,
) -> list[Question]:
    """The fixed questions of an evaluation, the same for every checkpoint of every run.

    `tasks` maps a group to its tasks; a mode that a task does not have is left out for it. `max_new_tokens` is a number
    or "auto": `AUTO_LENGTH` times the longest reference trace among the task's items, every structure counted.
    `few_shot` solved questions of the task's training side stand before each, the same before all. `stop` are strings
    that end a response, beside those of its task. A task whose choices are taken by likelihood is asked once, whatever
    `samples` says: there is nothing to sample. A task of lm-eval has shots, limit, temperature and stops of its own.
    `drawn` gives a task's items where they are not those of its evaluation.
    """
    asked, opened = [], opened_thought(tokenizer)
    for group, names in tasks.items():
        for name in names:
            task = get_task(name)
            examples = drawn(task) if drawn else task.examples("eval", seed, items)
            if task.own_requests:
                from triaxis.evaluate.harness import harness_questions  # loads lm-eval

                asked += harness_questions(cast("HarnessTask", task), group, examples, tokenizer, samples)
                continue
            for mode in [m for m in modes if m in task.modes]:
                shots = shown(task, examples, seed, few_shot, mode)
                if task.continuations(examples[0]):
                    asked += [_choice(group, mode, e, task, shots, tokenizer, opened) for e in examples]
                    continue
                limit = room_for(task, examples, tokenizer) if max_new_tokens == "auto" else int(max_new_tokens)
                words = _in_its_mouth(mode, opened)
                said = f"{opened} {words}".strip()
                for example in examples:
                    prompt = _prompt(tokenizer, example.prompt, words, shots)
                    stops = tuple(dict.fromkeys([*stop, *task.stops(example)]))
                    one = Question(group, mode, example, 0, prompt, said, limit, task, stops=stops)
                    asked += [replace(one, sample=k) for k in range(samples)]
    return asked


def _in_its_mouth(mode: str, opened: str) -> str:
    """The words before a response in a mode, after a chat template that opens a thought or doesn't. An answer at once
    has no thought: one that is open would swallow it."""
    if not opened:
        return prefill(mode)
    return f"{CLOSED}{prefill(mode)}" if mode == "direct" else ""


def shown(task: Task[Any], examples: Sequence[Item], seed: int, n: int, mode: str) -> list[Shot]:
    """The solved questions that stand before each of these items. Raises TriaxisError where one is asked."""
    if not n:
        return []
    shots, asked = task.shots(seed, n, mode), {fingerprint(example.prompt) for example in examples}
    for shot in shots:
        if fingerprint(shot.prompt) in asked:
            raise TriaxisError(
                f"{task.name}: {shot.prompt[:60]!r} is asked, and would be shown with its answer (evaluation.few_shot)"
            )
    return shots


def _choice(
    group: str,
    mode: str,
    example: Item,
    task: Task[Any],
    shots: Sequence[Shot],
    tokenizer: PreTrainedTokenizerBase,
    opened: str,
) -> Question:
    """A question whose likeliest choice is taken. A thought that the chat template opens is closed: what is asked for
    is the likelihood of an answer, and not of a thought that begins like one."""
    prompt = _prompt(tokenizer, example.prompt, CLOSED if opened else "", shots)
    choices = [tuple(_ids(tokenizer, text)) for text in task.continuations(example)]
    if not all(choices):
        raise TriaxisError(f"{example.id}: a choice is no token of the tokenizer; its likelihood can't be told")
    return Question(group, mode, example, 0, prompt, "", 0, task, tuple(choices))


def room_for(task: Task[Any], examples: Sequence[Item], tokenizer: PreTrainedTokenizerBase) -> int:
    """`AUTO_LENGTH` times the longest reference trace, in tokens of this tokenizer.

    For a safety task the traces that comply count too: cut short, they would read as truncated and not as harm done.
    Raises TriaxisError where no reference trace is known.
    """
    traces = [trace for e in examples for trace in e.traces.values()]
    if not traces:
        raise TriaxisError(
            f"evaluation.max_new_tokens: auto needs reference responses, and {task.name} has none; give a number"
        )
    if task.kind == "safety":
        traces += [task.noisy(e, structure, 0) for e in examples for structure in e.traces]
    longest = max(len(tokenizer(trace, add_special_tokens=False)["input_ids"]) for trace in traces)
    return math.ceil(AUTO_LENGTH * longest)


def measure(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    asked: Sequence[Question],
    *,
    run: str,
    step: int,
    temperature: float,
    batch_size: int,
    traces: Ngrams | None = None,
    backend: str = "auto",
) -> list[Record]:
    """Answer and judge every question at one checkpoint.

    A sampled answer's draws belong to (run, step, item, mode, sample). `backend` is a name of `backends`, or auto; what
    answered, and how, is in every record. `traces` are those that the run was trained on;
    a base, which serves runs with other traces, has none.
    """
    ours = [q for q in asked if not q.task.own_requests]
    sampled, chosen = [q for q in ours if not q.choices], [q for q in ours if q.choices]
    others = [q for q in asked if q.task.own_requests]
    how = How(backend, batch_size, str(model.dtype).removeprefix("torch."), temperature)
    records = _sampled(model, tokenizer, sampled, run, step, how, traces) if sampled else []
    records += _chosen(model, tokenizer, chosen, run, step, how) if chosen else []
    if others:
        from triaxis.evaluate.harness import harness_records

        records += harness_records(model, tokenizer, others, run, step, how, traces)
    place = {id(q): i for i, q in enumerate([*sampled, *chosen, *others])}
    return [records[place[id(q)]] for q in asked]


class How(NamedTuple):
    """How responses were had."""

    backend: str
    batch_size: int
    dtype: str
    temperature: float | None


def _sampled(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    asked: Sequence[Question],
    run: str,
    step: int,
    how: How,
    traces: Ngrams | None,
) -> list[Record]:
    sampling = bool(how.temperature)
    seeds = [stream(run, step, q.example.id, q.mode, q.sample) for q in asked] if sampling else None
    stops = Stops(tokenizer, [q.stops for q in asked], [never_closes(q.prefilled) for q in asked])
    eos, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    backend = open_backend(how.backend, model, eos=eos, pad=pad, batch_size=how.batch_size)
    how = how._replace(backend=backend.name)
    responses = backend.answer(
        [q.prompt for q in asked],
        max_new_tokens=[q.max_new_tokens for q in asked],
        temperature=how.temperature or 0.0,
        seeds=seeds,
        stops=stops if stops.any else None,
    )
    texts = tokenizer.batch_decode([list(r.tokens) for r in responses], skip_special_tokens=False)
    texts = [stops.cut(i, text) for i, text in enumerate(texts)]
    records = []
    for question, response, answer in zip(asked, responses, texts, strict=True):
        text = f"{question.prefilled} {answer}".strip()
        task = question.task
        records.append(
            record_of(
                question,
                run,
                step,
                text,
                response.finished,
                len(response.tokens),
                how,
                copied=None if traces is None else traces.share(answer),
                verified_steps=task.verified_steps(question.example, text),
            )
        )
    return records


def _chosen(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    asked: Sequence[Question],
    run: str,
    step: int,
    how: How,
) -> list[Record]:
    """Questions whose likeliest choice is taken. The text is the choices' likelihoods, and is what is judged."""
    pairs = [(q.prompt, choice) for q in asked for choice in q.choices]
    told = iter(log_likelihoods(model, pairs, pad=tokenizer.pad_token_id, batch_size=how.batch_size))
    how = how._replace(backend=LIKELIHOOD, temperature=None)
    records = []
    for question in asked:
        likelihoods = [next(told) for _ in question.choices]
        text = written(likelihoods, [len(choice) for choice in question.choices])
        known = likelihoods[LETTERS.index(question.example.answer)]
        records.append(record_of(question, run, step, text, True, None, how, log_probability=known))
    return records


def record_of(
    question: Question, run: str, step: int, text: str, finished: bool, tokens: int | None, how: How, **more: Any
) -> Record:
    """The record of a response, judged by its question's task; `tokens` is None where nothing was generated."""
    outcome, score = question.task.verdict(question.example, text, finished)
    return Record(
        run=run,
        step=step,
        task=question.example.task,
        group=question.group,
        mode=question.mode,
        item=question.example.id,
        sample=question.sample,
        outcome=outcome,
        score=score,
        response_tokens=tokens,
        thought=THINK in text,
        finished=finished,
        text=text,
        **how._asdict(),
        **more,
    )


def unknown_token(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The token that stands for words which a tokenizer doesn't know; None where it can write everything.

    The unknown token of byte-level tokenizers is their end or their beginning.
    """
    unknown: int | None = tokenizer.unk_token_id
    return None if unknown in (tokenizer.eos_token_id, tokenizer.bos_token_id) else unknown


def opened_thought(tokenizer: PreTrainedTokenizerBase) -> str:
    """The tag of the thought that a chat template opens before the model speaks, as those of some reasoning models do;
    else empty. The model's own words don't hold it, and without it an unfinished thought would read as a reply."""
    turns = [{"role": "user", "content": "?"}]
    start, whole = (
        tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=g) for g in (False, True)
    )
    begun = whole[len(start) :].rpartition(THINK)
    return THINK if begun[1] and THINK_END not in begun[2] else ""


def _prompt(
    tokenizer: PreTrainedTokenizerBase, prompt: str, prefilled: str, shots: Sequence[Shot] = ()
) -> tuple[int, ...]:
    turns = [turn for shot in shots for turn in zip(("user", "assistant"), shot, strict=True)]
    messages = [{"role": role, "content": content} for role, content in [*turns, ("user", prompt)]]
    if prefilled.startswith(CLOSED):  # white space on both sides of the seam may be one token
        text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        return tuple(_ids(tokenizer, text + prefilled))
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    return (*ids, *(_ids(tokenizer, prefilled) if prefilled else ()))


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def stream(*key: object) -> int:
    """The seed of what belongs to a key alone."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, key)).encode("utf-8", "replace")).digest()[:8], "big")
