"""What tasks in plain language share: a question in a prompt template, an answer found in the response and judged."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from triaxis.tasks.answers import Judged, normalised, undressed
from triaxis.tasks.declines import is_refusal
from triaxis.tasks.prompts import BARE, asked, said_alike
from triaxis.tasks.stated import final_answer, reply_of
from triaxis.tasks.task import Shot, Task
from triaxis.tasks.verify import never_closes
from triaxis.types import Item, Mode, NoiseKind, Outcome, TriaxisError

P = TypeVar("P")  # a problem
REPLIES = {"boxed": "\\boxed{{}}", "choice": "\\boxed{{}}", "tagged": "<answer>{}</answer>"}  # else the answer alone
MOST_WITHOUT = 4  # questions drawn for each that is shown: some generators name an answer to some alone


@dataclass(frozen=True)
class OpenTask(Task[P], ABC):
    """A task that is put to a model in the words of a language. Nobody knows how a reference would get to its answers,
    so it has no traces: how long a response may be has to be said (`evaluation.max_new_tokens`)."""

    group: str = "far_ood"
    levels: tuple[int, ...] = (1,)
    eval_levels: tuple[int, ...] = (1,)
    modes: tuple[Mode, ...] = ("default", "think")  # the lab's answer mark means nothing here
    template: str = BARE  # a name of `prompts.TEMPLATES`, or "" for the wording that the item draws

    @property
    def words(self) -> tuple[str, ...]:
        return ()

    @abstractmethod
    def question(self, problem: P) -> str:
        """What is asked, without the template."""

    @abstractmethod
    def judged(self, problem: P, given: str) -> Judged:
        """Whether a final answer is right."""

    def content(self, problem: P) -> str:
        return said_alike(self.question(problem))  # as `fingerprint` tells questions apart

    def prompt(self, problem: P) -> str:
        return asked(self.question(problem), self.template)

    def traces(self, problem: P) -> Mapping[str, str]:
        return {}

    def trace(self, problem: P, structure: str) -> str:
        raise TriaxisError(f"{self.name}: has no reference responses")

    def noise_kinds(self, structure: str) -> tuple[NoiseKind, ...]:
        return ()

    def noisy_trace(self, problem: P, structure: str, seed: int, kind: NoiseKind = "wrong_step") -> str:
        raise TriaxisError(f"{self.name}: has no reference responses")

    def shots(self, seed: int, n: int, mode: str) -> list[Shot]:
        """Questions with nothing but their answer, in the form that the prompt asks for."""
        for many in (n, MOST_WITHOUT * n):
            drawn = [item for item in self.examples("train", seed, many) if item.answer][:n]
            if len(drawn) == n:
                return [Shot(item.prompt, self.replied(item.answer)) for item in drawn]
        raise TriaxisError(f"{self.name}: names no reference answers; evaluation.few_shot has nothing to show")

    def replied(self, answer: str) -> str:
        """An answer as a response gives it, with nothing around it but the mark that the prompt asks for."""
        return REPLIES.get(self.template, "{}").replace("{}", answer, 1)

    def given(self, text: str, finished: bool) -> str | None:
        if never_closes(text):
            return None
        answer = final_answer(reply_of(text), finished)
        return None if answer is None else normalised(undressed(answer))

    def outcome(self, example: Item, text: str, finished: bool) -> Outcome:
        """By the answer as it is given, or without its dress: `**7**` and `\\text{7}` are 7 to any verifier."""
        if never_closes(text):
            return Outcome.TRUNCATED
        reply = reply_of(text)
        given = final_answer(reply, finished)
        verdict: Judged = "unparsable"
        if given is not None:
            problem, bare = self.problem(example), undressed(given)
            verdict = self.judged(problem, given)
            if verdict != "correct" and bare != given:
                verdict = self.judged(problem, bare)
        if verdict != "correct" and is_refusal(reply):
            return Outcome.REFUSED
        if given is None and not finished:
            return Outcome.TRUNCATED
        return {"correct": Outcome.CORRECT, "wrong": Outcome.WRONG, "unparsable": Outcome.UNPARSED}[verdict]
