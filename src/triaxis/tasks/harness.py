"""Tasks of lm-evaluation-harness, `lm_eval:arc_easy?num_fewshot=5`: its prompts, shots, filters and metrics."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from heapq import nsmallest
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from triaxis.tasks.answers import Judged
from triaxis.tasks.harness_files import data_files, files_of, one_line, raw_config, require_harness, yaml_of
from triaxis.tasks.harness_samples import outcome_of
from triaxis.tasks.names import HARNESS, Named
from triaxis.tasks.open_task import OpenTask
from triaxis.tasks.streams import Split
from triaxis.tasks.verify import THINK, THINK_END
from triaxis.types import Item, Mode, Outcome, RunFailed, TriaxisError

if TYPE_CHECKING:
    from triaxis.study.evaluation import Evaluation

OPTIONS = ("apply_chat_template", "max_gen_toks", "metric", "num_fewshot", "temperature")
SEEDS = (0, 1234)  # of Python and numpy, as lm-eval sets them before it opens a task
SHOTS_SEED = 1234  # as lm-eval's
LIMIT = 256  # tokens of a response, lm-eval's default
LIMITS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")  # as lm-eval calls it, in its order
GREEDY = (
    "until",
    "do_sample",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
)  # settings that a greedy answer has no use for
LONG = 5  # words from which a field of a document may be the question
GENERATED, CHOICES = "generate_until", "multiple_choice"


class Generation(NamedTuple):
    """How a task's responses are generated."""

    limit: int  # tokens
    stops: tuple[str, ...]  # strings that end a reply
    temperature: float  # 0: greedy


@dataclass(frozen=True)
class HarnessTask(OpenTask[int]):
    """A task of lm-eval, which puts its own requests to a model. A problem is the place of a document among those that
    the task asks, which is lm-eval's `doc_id`."""

    own_requests: ClassVar[bool] = True
    modes: tuple[Mode, ...] = ("default",)
    inner: Any = field(default=None, repr=False, compare=False)  # lm-eval's own object
    docs: Sequence[Any] = field(default=(), repr=False, compare=False)
    metric: str = ""
    filter: str = ""
    metrics: tuple[str, ...] = ()  # all that can be chosen, `name,filter`
    chat: bool = False  # whether the chat template is applied
    generation: Generation | None = None  # where a response is generated; else likelihoods are compared
    fingerprint: str = field(default="", compare=False)

    # -- its items

    def drawn_at(self, temperature: float) -> float:
        return self.generation.temperature if self.generation is not None else 0.0

    def examples(self, split: Split, seed: int, n: int, levels: Sequence[int] | None = None) -> list[Item]:
        """`n` documents in an order that the seed draws by their content: the first m of n are the same for every n."""
        if split != "eval":
            raise TriaxisError(
                f"{self.name}: is a benchmark, and is not trained on; data.source takes files to train on"
            )
        if n > len(self.docs):
            raise TriaxisError(
                f"{self.name}: holds {len(self.docs):,} items, and {n:,} are asked for; lower evaluation.items"
            )
        order = {place: _place(seed, doc) for place, doc in enumerate(self.docs)}
        return [self._item(place, seed) for place in nsmallest(n, order, key=lambda place: (order[place], place))]

    def example(self, id: str) -> Item:
        name, split, seed, _, place = self._parse(id)
        if name != self.name or split != "eval" or not 0 <= place < len(self.docs):
            raise TriaxisError(f'"{id}" is no item of task {self.name}')
        return self._item(place, seed)

    def problem(self, example: Item) -> int:
        return self._parse(example.id)[4]

    def _item(self, place: int, seed: int) -> Item:
        prompt, answer = self.prompt(place), self.answer(place)
        return Item(f"{self.name}/eval/{seed}/1.{place}", self.name, prompt, answer, 1, also=self._also(place, answer))

    def _also(self, place: int, answer: str) -> tuple[str, ...]:
        """The fields of a document that may be its question, in other words than the prompt's: a row that is trained on
        is compared with them too."""
        doc = self.docs[place]
        texts = [value for value in doc.values() if isinstance(value, str)] if isinstance(doc, Mapping) else []
        return tuple(text for text in texts if len(text.split()) >= LONG and text.strip() != answer.strip())

    def draw(self, rng: np.random.Generator, level: int) -> int:
        return int(rng.integers(len(self.docs)))

    def question(self, problem: int) -> str:
        text = self.inner.doc_to_text(self.docs[problem])
        if isinstance(text, str):
            return text
        return "\n".join(map(str, self.inner.doc_to_choice(self.docs[problem])))  # the choices are what is asked

    def prompt(self, problem: int) -> str:
        return self.question(problem)

    def answer(self, problem: int) -> str:
        doc = self.docs[problem]
        target = self.inner.doc_to_target(doc)
        if isinstance(target, int) and not isinstance(target, bool) and self.inner.config.doc_to_choice is not None:
            choices = self.inner.doc_to_choice(doc)
            return str(choices[target]) if 0 <= target < len(choices) else str(target)
        return str(target)

    def right(self, example: Item) -> int | None:
        """Which of a question's requests is the right one, where likelihoods are compared and one is."""
        doc = self.docs[self.problem(example)]
        if self.inner.OUTPUT_TYPE != CHOICES:
            return 0
        target = (self.inner.doc_to_text if self.inner.multiple_input else self.inner.doc_to_target)(doc)
        choices = self.inner.doc_to_choice(doc)
        if isinstance(target, str) and target in choices:
            target = choices.index(target)
        return target if isinstance(target, int) and 0 <= target < len(choices) else None

    # -- its requests

    def requests(self, places: Sequence[int], encoder: Any) -> dict[int, list[Any]]:
        """lm-eval's requests for documents, with their shots, as `build_all_requests` makes them.

        `encoder` is an LM of lm-eval's with `apply_chat_template`. Shots are drawn anew from lm-eval's seed, document
        after document: give all those of an evaluation together, or they are shown others.
        """
        self.inner.set_fewshot_seed(SHOTS_SEED)
        chat = {"apply_chat_template": self.chat, "chat_template": encoder.apply_chat_template if self.chat else None}
        found = {}
        with _quiet():
            for place in sorted(places):
                doc = self.docs[place]
                context = self.inner.fewshot_context(
                    doc,
                    num_fewshot=self.inner.config.num_fewshot,
                    fewshot_as_multiturn=self.chat,
                    gen_prefix=self.inner.doc_to_prefix(doc),
                    **chat,
                )
                asked = self.inner.construct_requests(
                    doc=doc, ctx=context, metadata=(self.inner.config.task, place, 1), **chat
                )
                found[place] = sorted(asked if isinstance(asked, list) else [asked], key=lambda one: one.idx)
        return found

    # -- its verdicts

    def score_of(self, example: Item, responses: Sequence[Any]) -> tuple[float, Any]:
        """The score of the responses to a question's requests by the task's metric, and what its filter made of the
        first. Raises RunFailed where that is no number from 0 to 1."""
        from lm_eval.api.instance import Instance

        place = self.problem(example)
        doc, kind = self.docs[place], self.inner.OUTPUT_TYPE
        kind = "loglikelihood" if kind == CHOICES else kind
        made = [
            Instance(kind, doc, (), i, (self.inner.config.task, place, 1), [response])
            for i, response in enumerate(responses)
        ]
        with _quiet():
            next(f for f in self.inner._filters if f.name == self.filter).apply(made)
            filtered = [one.filtered_resps[self.filter] for one in made]
            value = self.inner.process_results(doc, filtered).get(self.metric)
        score = float(value) if isinstance(value, int | float | np.number) else math.nan
        if not 0 <= score <= 1:
            raise RunFailed(
                f"{example.id}: {self.metric} is {value!r}, and no number from 0 to 1; choose another metric"
            )
        return score, filtered[0]

    def verdict(self, example: Item, text: str, finished: bool) -> tuple[Outcome, float]:
        reply = "" if self.generation is None else self.reply(text)
        responses = _likelihoods(text) if self.generation is None else [reply]
        if responses is None:
            return Outcome.UNPARSED, 0.0
        score, filtered = self.score_of(example, responses)
        generated, closed = self.generation is not None, THINK not in text.rpartition(THINK_END)[2]
        outcome = outcome_of(score, generated=generated, reply=reply, filtered=filtered, finished=finished and closed)
        assert outcome is not None
        return outcome, score

    def outcome(self, example: Item, text: str, finished: bool) -> Outcome:
        return self.verdict(example, text, finished)[0]

    def given(self, text: str, finished: bool) -> str | None:
        return (self.reply(text).strip() or None) if self.generation else None

    def reply(self, text: str) -> str:
        """What of a response is judged."""
        return self.settled(text)[1]

    def settled(self, text: str) -> tuple[str, str, bool]:
        """A response up to the stop string that ends it, what of it is judged, and whether there is such a stop.

        Stops end replies and not thoughts. What is judged follows the last closed thought, or is nothing where a
        thought is never closed; without a thought it is all of the response, as lm-eval has it.
        """
        stops, begun = self.generation.stops if self.generation else (), 0
        while True:
            opens, closes = (_found(text, tag, begun) for tag in (THINK, THINK_END))
            end = min((_found(text, stop, begun) for stop in stops), default=len(text))
            if end < min(opens, closes):
                return text[:end], text[begun:end], True
            if min(opens, closes) == len(text):
                return text, text[begun:], False
            closes = _found(text, THINK_END, opens) if opens < closes else closes
            if closes == len(text):  # a thought that is never closed
                return text, "", False
            rest = text[closes + len(THINK_END) :]
            begun = len(text) - len(rest.lstrip())  # the empty line after a thought ends nothing

    def judged(self, problem: int, given: str) -> Judged:
        raise TriaxisError(f"{self.name}: is judged by lm-eval")


def written(responses: Sequence[tuple[float, bool]]) -> str:
    """Log-likelihoods of a question's requests (nats), and whether greedy decoding gives each, as text: JSON."""
    return json.dumps(
        {"log_likelihood": [p for p, _ in responses], "greedy": [bool(greedy) for _, greedy in responses]}
    )


def _likelihoods(text: str) -> list[tuple[float, bool]] | None:
    try:
        told = json.loads(text)
        return [(float(p), bool(g)) for p, g in zip(told["log_likelihood"], told["greedy"], strict=True)]
    except (ValueError, KeyError, TypeError):
        return None


def _found(text: str, part: str, start: int) -> int:
    """Where a part of a text begins; its end where it isn't there."""
    place = text.find(part, start)
    return len(text) if place < 0 else place


def _place(seed: int, doc: Any) -> bytes:
    """Where a document comes in the order of a seed."""
    return hashlib.sha256(f"{seed}/{_said(doc)}".encode("utf-8", "surrogatepass")).digest()


def _said(doc: Any) -> str:
    return json.dumps(doc, sort_keys=True, default=str)


# Opening a task


def harness_task(name: str, named: Named) -> HarnessTask:
    """The task of a name. Raises TriaxisError for a task or an option that doesn't exist, for one that can't be asked
    here, and for a data set that can't be had."""
    require_harness(name)
    if named.surface:
        raise TriaxisError(f'task "{name}": lm-eval\'s tasks have no surface variants')
    for key, _ in named.options:
        if key not in OPTIONS:
            raise TriaxisError(f'task "{name}": no option {key}; one of lm-eval has {", ".join(OPTIONS)}')
    path = yaml_of(named.base.removeprefix(HARNESS))
    config = raw_config(name, path)
    _refuse(name, config)
    files = [*files_of(path), *data_files(config)]
    return _opened(name, named, path, tuple((str(f), f.stat().st_mtime_ns, f.stat().st_size) for f in files))


def _refuse(name: str, config: Mapping[str, Any]) -> None:
    """Raise TriaxisError for what is never asked here, before anything of it is loaded."""
    why = ""
    if config.get("unsafe_code"):
        why = "it runs responses as code, and Triaxis has no sandbox"
    elif "class" in config:
        why = "it is a Python class with its own ways of asking"
    elif config.get("doc_to_image") or config.get("doc_to_audio"):
        why = "it shows images or sounds"
    elif config.get("output_type") == "loglikelihood_rolling":
        why = "a perplexity is no score from 0 to 1"
    elif int(config.get("repeats") or 1) > 1:
        why = f"its score is of {config['repeats']} responses together (repeats), and a record is of one"
    if why:
        raise TriaxisError(f"{name}: can't be asked here: {why}; run it with lm-eval and bring the results")


@lru_cache(maxsize=64)
def _opened(name: str, named: Named, path: Path, stamps: tuple[tuple[str, int, int], ...]) -> HarnessTask:
    inner = _loaded(name, path)
    options = dict(named.options)
    _set_shots(name, inner, options)
    with _quiet():
        docs = list(inner.eval_docs)
    metrics = _metrics(inner)
    key = _chosen_metric(name, options.get("metric"), metrics, inner)
    task = HarnessTask(
        name,
        group="general",
        inner=inner,
        docs=docs,
        metric=key.rpartition(",")[0],
        filter=key.rpartition(",")[2],
        metrics=metrics,
        chat=_flag(name, options.get("apply_chat_template", "false")),
        generation=_generation(name, inner, options),
    )
    return replace(task, fingerprint=_fingerprint(task, [Path(file) for file, _, _ in stamps]))


def _loaded(name: str, path: Path) -> Any:
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks import TaskManager

    try:
        with _quiet():
            (inner,) = TaskManager(include_defaults=False).load([str(path)])["tasks"].values()
    except ImportError as problem:
        raise TriaxisError(f"{name}: needs a package that isn't there ({problem}); install it") from None
    except Exception as problem:  # of datasets, or of a task's own code
        raise TriaxisError(_cannot(name, path, problem)) from None
    if not isinstance(inner, ConfigurableTask):
        raise TriaxisError(f"{name}: can't be asked here: it is a Python class with its own ways of asking")
    return inner


def _cannot(name: str, path: Path, problem: Exception) -> str:
    source = raw_config(name, path).get("dataset_path")
    if isinstance(problem, ConnectionError) or "Hub" in str(problem):
        return (
            f"{name}: its data set {source} is not on this machine, and its hub can't be reached; open it once "
            "where there is a network (HF_HUB_OFFLINE=1 spares the wait)"
        )
    return f"{name}: lm-eval can't open it ({one_line(problem)}); see {path.name} and its data set {source}"


def _set_shots(name: str, inner: Any, options: Mapping[str, str]) -> None:
    """The number of shots, by lm-eval's rules: the task's own, else none; one that is 0 in the YAML stays."""
    own = inner.get_config("num_fewshot")
    if "num_fewshot" not in options:
        inner.set_config("num_fewshot", own or 0)
        return
    wanted = _whole(name, "num_fewshot", options["num_fewshot"])
    if own == 0 and wanted:
        raise TriaxisError(f'task "{name}": its YAML says num_fewshot: 0, which lm-eval never changes; leave it out')
    inner.set_config("num_fewshot", wanted)
    if wanted and len(inner.sampler.df) <= wanted:
        raise TriaxisError(f'task "{name}": num_fewshot={wanted}, and it has {len(inner.sampler.df):,} to choose from')


def _metrics(inner: Any) -> tuple[str, ...]:
    """What can be a score, `name,filter` in the task's own order: a mean over items of which more is better."""
    aggregation, better = inner.aggregation(), inner.higher_is_better()
    names = [name for name, how in aggregation.items() if _is_mean(how) and better.get(name, True)]
    return tuple(f"{name},{one.name}" for name in names for one in inner._filters)


def _is_mean(how: Any) -> bool:
    return getattr(how, "__name__", "") in ("mean", "nanmean")


def _chosen_metric(name: str, wanted: str | None, metrics: Sequence[str], inner: Any) -> str:
    """The metric that is asked for, or the first that the task lists, with its first filter."""
    if not metrics:
        has = ", ".join(inner.aggregation()) or "none"
        raise TriaxisError(
            f"{name}: can't be asked here: none of its metrics is a mean of scores of which more is better ({has}); "
            "run it with lm-eval and bring the results"
        )
    fitting = [key for key in metrics if wanted in (None, key, key.rpartition(",")[0])]
    if not fitting:
        raise TriaxisError(f'task "{name}": no metric {wanted}; it has {" or ".join(metrics)}')
    return fitting[0]


def _generation(name: str, inner: Any, options: Mapping[str, str]) -> Generation | None:
    """How responses are generated: as the task's `generation_kwargs` say, but for what the options do."""
    if inner.OUTPUT_TYPE != GENERATED:
        for key in ("max_gen_toks", "temperature"):
            if key in options:
                raise TriaxisError(
                    f'task "{name}": {key} is for tasks that generate, and this one compares likelihoods'
                )
        return None
    told = dict(inner.config.generation_kwargs)
    limits = [told.pop(key) for key in LIMITS if key in told]
    limit = _whole(name, "max_gen_toks", options.get("max_gen_toks", str(limits[0] if limits else LIMIT)))
    temperature = float(told.get("temperature") or 0.0) if told.get("do_sample") is not False else 0.0
    temperature = _amount(name, "temperature", options["temperature"]) if "temperature" in options else temperature
    told = {key: value for key, value in told.items() if value is not None}
    unknown = [key for key in told if key not in (GREEDY if temperature == 0 else GREEDY[:3])]
    if unknown:
        raise TriaxisError(
            f"{name}: can't be asked here: its generation_kwargs have {unknown[0]}: {told[unknown[0]]}; run it with "
            "lm-eval and bring the results"
        )
    until = told.get("until") or []
    stops = [until] if isinstance(until, str) else until
    return Generation(limit, tuple(str(stop) for stop in stops if str(stop)), temperature)


def _fingerprint(task: HarnessTask, files: Sequence[Path]) -> str:
    """What the task is: the version of lm-eval, its YAML with the code beside it, what it asks and shows."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}\0".encode("utf-8", "surrogatepass"))
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    shots = task.inner.sampler.df if task.inner.config.num_fewshot and hasattr(task.inner, "sampler") else ()
    for doc in (*task.docs, None, *shots):
        digest.update(_said(doc).encode("utf-8", "surrogatepass"))
    return f"lm_eval {version('lm_eval')} {digest.hexdigest()[:12]}"


def _flag(name: str, value: str) -> bool:
    if value not in ("true", "false"):
        raise TriaxisError(f'task "{name}": apply_chat_template is true or false, got {value!r}')
    return value == "true"


def _whole(name: str, key: str, value: str) -> int:
    least = 1 if key == "max_gen_toks" else 0
    if not (value.isascii() and value.isdigit() and len(value) < 8 and int(value) >= least):
        raise TriaxisError(f'task "{name}": {key} is a whole number from {least}, got {value!r}')
    return int(value)


def _amount(name: str, key: str, value: str) -> float:
    try:
        amount = float(value)
    except ValueError:
        amount = math.nan
    if not 0 <= amount < math.inf:
        raise TriaxisError(f'task "{name}": {key} is a number from 0, got {value!r}')
    return amount


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Nothing of lm-eval's and datasets' own words, and the random streams as lm-eval sets them, put back after: some
    tasks shuffle their choices by Python's own stream, and a run's training must not notice."""
    import datasets

    loggers = [logging.getLogger(name) for name in ("lm_eval", "datasets", "huggingface_hub", "evaluate")]
    levels, bars = [logger.level for logger in loggers], datasets.are_progress_bars_disabled()
    python, numpy = random.getstate(), np.random.get_state()
    random.seed(SEEDS[0])
    np.random.seed(SEEDS[1])
    datasets.disable_progress_bars()
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if not bars:
            datasets.enable_progress_bars()
        random.setstate(python)
        np.random.set_state(numpy)


# What is told of it before anything runs


def notes_on(task: HarnessTask, group: str, evaluation: Evaluation) -> list[str]:
    """What of an evaluation doesn't hold for a task of lm-eval, and what it is scored by, a sentence each."""
    where = f"{task.name} (tasks.{group})"
    key = f"{task.metric},{task.filter}"
    others = [other for other in task.metrics if other != key]
    notes = [f"{where} is scored by {key}; it also has {', '.join(others)} (metric=..)"] if others else []
    shots = task.inner.config.num_fewshot
    if evaluation.few_shot:
        notes.append(f"{where}: evaluation.few_shot does not hold for it: its shots are {shots} (num_fewshot=..)")
    if shots and {_said(doc) for doc in task.inner.sampler.df} & {_said(doc) for doc in task.docs}:
        notes.append(
            f"{where}: its shots are drawn from what it asks: some items are shown to others with their answer"
        )
    if task.generation is None:
        return notes
    limit, stops, temperature = task.generation
    if other := [stop for stop in evaluation.stop if stop not in stops]:
        notes.append(
            f"{where}: evaluation.stop does not hold for it: {other[0]!r} is none of the task's own stop strings"
        )
    if evaluation.max_new_tokens not in ("auto", limit):
        notes.append(
            f"{where}: its responses may have {limit} tokens, and not evaluation.max_new_tokens (max_gen_toks=..)"
        )
    if evaluation.temperature != temperature:
        notes.append(
            f"{where}: is asked at temperature {temperature:g}, and not at evaluation.temperature (temperature=..)"
        )
    if not task.chat:
        notes.append(
            f"{where}: is asked without the chat template that the models are trained through, as lm-eval does unless "
            "told otherwise (apply_chat_template=true)"
        )
    return notes
