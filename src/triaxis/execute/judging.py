"""The responses of a folder put to a judge: what isn't judged yet, several at a time, each kept as it comes."""

from __future__ import annotations

import hashlib
import os
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from triaxis.execute.judge import MAX_TOKENS, TEMPLATE, VERSION, Gate, Judge, JudgeDown, Said, ask
from triaxis.records import Store
from triaxis.records.judgements import JudgementRow
from triaxis.tasks import get_task, read_from
from triaxis.tasks.declines import said
from triaxis.types import JUDGED_GROUPS, Judged, TriaxisError

if TYPE_CHECKING:
    from triaxis.study.judging import JudgeSettings

NO_REPLY = "no reply after the thought; the judge was not asked"
LAST_WAIT = 1.0  # seconds for answers that are on their way when asking is stopped
HOPELESS = 5  # requests one after the other that are refused as wrong, before any is judged, or that break the judge


@dataclass(frozen=True)
class Response:
    """One response that may be judged, with what is put to the judge."""

    row: JudgementRow  # still without a judgement
    text: str  # empty where there is nothing to judge

    def judged(self, told: Said) -> JudgementRow:
        return self.row._replace(judged=told.judged, reason=told.reason)


@dataclass
class Judging:
    """How far judging a folder is, and what it took."""

    total: int = 0  # responses of the tasks
    kept: int = 0  # that were judged before
    alike: int = 0  # whose prompt and reply were judged elsewhere in the folder, and not asked again
    judged: Counter[str] = field(default_factory=Counter)  # now, by judgement
    reasons: Counter[str] = field(default_factory=Counter)  # of those without one
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def missing(self) -> int:
        """Responses without a judgement."""
        return self.total - self.kept - sum(n for what, n in self.judged.items() if what != Judged.UNJUDGED)

    def add(self, told: Said) -> None:
        self.judged[told.judged] += 1
        if told.judged == Judged.UNJUDGED:
            self.reasons[told.reason] += 1
        self.requests += told.requests
        self.prompt_tokens += told.prompt_tokens
        self.completion_tokens += told.completion_tokens


def judge_of(settings: JudgeSettings, environment: Mapping[str, str] = os.environ) -> Judge:
    """The judge of these settings, its key out of the environment. Raises TriaxisError for what can't be asked."""
    key = environment.get(settings.key_env, "").strip()
    if key and not (key.isascii() and key.isprintable()):
        raise TriaxisError(f"judge: {settings.key_env} holds what no key is made of; set it again")
    template = settings.read_template() if settings.template else TEMPLATE
    return Judge(settings.endpoint, settings.model, template, settings.timeout, settings.tries, key=key)


def check_judge(settings: JudgeSettings | None, groups: Collection[str]) -> None:
    """Raise TriaxisError, before anything is measured, for a judge that can't be asked or has nothing to judge."""
    if settings is None:
        return
    if not JUDGED_GROUPS.keys() & set(groups):
        raise TriaxisError("evaluation.judge: is asked of safety and over_refusal, and there are no tasks of these")
    try:
        judge_of(settings)
    except TriaxisError as error:
        raise TriaxisError(f"evaluation.{error}") from None


def as_kept(judge: Judge) -> dict[str, Any]:
    """What a folder keeps of a judge: all that a judgement depends on, and never the key."""
    told = {"model": judge.model, "host": judge.host, "template": judge.template, "hash": judge.template_hash}
    return told | {"version": VERSION, "temperature": 0, "max_tokens": MAX_TOKENS}


def judge_folder(
    store: Store,
    judge: Judge,
    *,
    groups: Sequence[str] = tuple(JUDGED_GROUPS),
    tasks: Sequence[str] = (),
    concurrency: int = 8,
    begins: Callable[[Judging], None] = lambda judging: None,
    heard: Callable[[Judging], None] = lambda judging: None,
    told: Callable[[str], None] = lambda words: None,
) -> Judging:
    """Put every response of the groups (or of these `tasks`) that has no judgement of this judge to it.

    `begins` is called once it is known what is to be done, `heard` after each judgement is kept, `told` with words
    about tries. Interrupted, it loses nothing that came; called again it goes on. Raises JudgeDown where the judge is
    down, TriaxisError where there is nothing to judge or the judge can't be asked.
    """
    responses = list(_responses(store, judge, groups, tasks))
    if not responses:
        raise TriaxisError(
            f"{store.path}: holds no response of group {' or '.join(groups)} that could be judged; measure such tasks"
        )
    before = store.judged(judge.name)
    done = {(row.run, row.base, row.step, *row.place) for row in before if row.judged != Judged.UNJUDGED}
    left = [r for r in responses if (r.row.run, r.row.base, r.row.step, *r.row.place) not in done]
    known = {row.text: row.judged for row in before if row.judged != Judged.UNJUDGED}
    judging = Judging(total=len(responses), kept=len(responses) - len(left))
    store.add_judge(judge.name, as_kept(judge))
    begins(judging)
    by_text: dict[str, list[Response]] = {}
    for response in left:
        by_text.setdefault(response.row.text, []).append(response)
    at_once = {text: Said(known[text]) for text in by_text if text in known}
    at_once |= {text: Said(Judged.UNCLEAR, NO_REPLY) for text, own in by_text.items() if not own[0].text}
    asked = {text: alike for text, alike in by_text.items() if text not in at_once}
    _ask_all(store, judge, asked, judging, concurrency, heard, told)  # first: of a judge that is down nothing is kept
    for text, one in at_once.items():
        _keep(store, judging, by_text[text], one, heard)
    return judging


def _keep(
    store: Store, judging: Judging, alike: Sequence[Response], one: Said, heard: Callable[[Judging], None]
) -> None:
    """Keep what was said of responses that are alike; what it took is counted once."""
    store.keep_judgements(response.judged(one) for response in alike)
    judging.add(one)
    for _ in alike[1:]:
        judging.add(Said(one.judged, one.reason))
    judging.alike += len(alike) - bool(one.requests)
    heard(judging)


def _responses(store: Store, judge: Judge, groups: Sequence[str], tasks: Sequence[str]) -> Iterator[Response]:
    """Every response that is asked for, with what would be put to the judge."""
    known: dict[str, str] = {}  # task: group
    sha256 = store.hashes()
    prompt_of = lru_cache(maxsize=None)(lambda task, item: get_task(task).example(item).prompt)
    for part in store.parts():
        key = (part.run, part.base, part.checkpoint.step)
        for row in part.records.to_pylist():
            known[row["task"]] = row["group"]
            if row["group"] not in groups or (tasks and row["task"] not in tasks):
                continue
            reply = said(row["text"])
            text = judge.asked(prompt_of(row["task"], row["item"]), reply) if reply else ""
            digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
            place = (row["task"], row["mode"], row["item"], row["sample"])
            found = JudgementRow(*key, *place, judge.name, sha256[key], digest, Judged.UNJUDGED, "")
            yield Response(found, text)
    for task in tasks:
        if known.get(task) not in groups:
            where = f"is of group {known[task]}" if task in known else f"is not measured in {store.path}"
            raise TriaxisError(
                f"--tasks: {task} {where}; a judge is asked of {', '.join(t for t, g in known.items() if g in groups)}"
            )


def check_unchanged(store: Store) -> None:
    """Raise TriaxisError where a file of prompts has changed since it was asked: the judge would be shown others."""
    kept = store.study()
    read = kept.get("fingerprints") or kept.get("evaluated", {}).get("read") or {}
    for name, fingerprint in read.items():
        prompts = name.startswith("file:") and ("verifier=refuse" in name or "verifier=comply" in name)
        if prompts and read_from(name) != fingerprint:
            raise TriaxisError(f"{name}: has changed since it was asked into {store.path}; put it back")


def _ask_all(
    store: Store,
    judge: Judge,
    by_text: Mapping[str, Sequence[Response]],
    judging: Judging,
    concurrency: int,
    heard: Callable[[Judging], None],
    told: Callable[[str], None],
) -> None:
    """Ask in threads, keep in this one. The first that fails for good stops all; what had come by then is kept."""
    waiting: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
    for text, alike in by_text.items():
        waiting.put((text, alike[0].text))
    answers: queue.SimpleQueue[tuple[str, Said | BaseException]] = queue.SimpleQueue()
    gate = Gate()

    def work() -> None:
        while not gate.stopped:
            try:
                text, put = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                answers.put((text, ask(judge, put, gate, told)))
            except BaseException as error:
                answers.put((text, error))
                return

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(concurrency, len(by_text)))]
    for thread in threads:
        thread.start()
    failure: BaseException | None = None
    left, hopeless, works = len(by_text), 0, False
    try:
        while left and failure is None:
            text, one = answers.get()
            if isinstance(one, BaseException):
                failure = one
                continue
            left -= 1
            hopeless, works = (hopeless + 1, works) if one.reason.startswith("HTTP") else (0, True)
            _keep(store, judging, by_text[text], one, heard)
            told_so = f"judge: {judge.url}: {one.reason}, {hopeless} times"
            if hopeless >= HOPELESS and one.reason.startswith("HTTP 5"):
                failure = JudgeDown(told_so)
            elif hopeless >= HOPELESS and not works:  # later it may be a filter's opinion of some prompts
                failure = TriaxisError(f"{told_so}; check the model's name")
    finally:
        gate.stop()
        end = time.monotonic() + LAST_WAIT
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
        _drain(store, answers, by_text, judging)
    if failure is not None:
        raise failure if isinstance(failure, TriaxisError | JudgeDown) else JudgeDown(f"judge: {failure}")


def _drain(
    store: Store,
    answers: queue.SimpleQueue[tuple[str, Said | BaseException]],
    by_text: Mapping[str, Sequence[Response]],
    judging: Judging,
) -> None:
    """Keep what came while the end was near."""
    while True:
        try:
            text, one = answers.get_nowait()
        except queue.Empty:
            return
        if isinstance(one, Said):
            _keep(store, judging, by_text[text], one, lambda judging: None)


def counted(store: Store, judge: str = "") -> list[dict[str, Any]]:
    """By task, how many responses the detector and the judge call refused, what is unclear, and what is missing."""
    said_of = {(row.run, row.base, row.step, *row.place): row for row in store.judged(judge)}
    found: dict[tuple[str, str], Counter[str]] = {}
    for part in store.parts(text=False):
        key = (part.run, part.base, part.checkpoint.step)
        for row in part.records.to_pylist():
            if row["group"] not in JUDGED_GROUPS:
                continue
            one = said_of.get((*key, row["task"], row["mode"], row["item"], row["sample"]))
            tally = found.setdefault((row["group"], row["task"]), Counter())
            tally["responses"] += 1
            tally["refused_by_detector"] += row["outcome"] == "refused"
            tally["not_asked" if one is None else str(one.judged)] += 1
    names = ("responses", "refused_by_detector", *map(str, Judged), "not_asked")
    return [{"group": g, "task": t} | {name: n[name] for name in names} for (g, t), n in sorted(found.items())]


def in_a_line(judging: Judging, seconds: float) -> str:
    """What judging took: requests, tokens as the endpoint counts them, time."""
    spent = f"{judging.prompt_tokens:,} tokens in, {judging.completion_tokens:,} out"
    spent = spent if judging.prompt_tokens or judging.completion_tokens else "tokens not told"
    alike = f" ({judging.alike:,} responses were alike or empty)" if judging.alike else ""
    return f"{judging.requests:,} requests{alike}, {spent}, {int(seconds) // 60}:{int(seconds) % 60:02d}"
