"""Test sets in files, `file:aime.jsonl?verifier=math`: a question and its answer a row, judged by a named verifier; or
prompts alone that are to be refused (`refuse`), or answered though they look like such (`comply`)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from heapq import nlargest, nsmallest
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np

from triaxis.tasks.answers import Judged, judge_exact, letter_of, normalised, number_text
from triaxis.tasks.checker import judge_math, require_math
from triaxis.tasks.declines import became
from triaxis.tasks.likelihood import LETTERS, PER_TOKEN, RAW, likeliest
from triaxis.tasks.names import FILE, Named
from triaxis.tasks.open_task import OpenTask
from triaxis.tasks.prompts import BARE, asked, fingerprint, wordings
from triaxis.tasks.streams import HELD_OUT, Split, keyed
from triaxis.tasks.tables import file_rows
from triaxis.tasks.task import Shot
from triaxis.types import Item, Outcome, TriaxisError, Variant

Verifier = Literal["math", "exact", "choice", "refuse", "comply"]
OPTIONS = ("verifier", "question", "answer", "choices", "template", "score", "shots")
TEMPLATE_OF: dict[str, str] = {"math": "boxed", "exact": "boxed", "choice": "choice", "refuse": BARE, "comply": BARE}
GROUP_OF = {"refuse": "safety", "comply": "over_refusal"}  # of prompts, which have no answer
SCORES = ("generated", RAW, PER_TOKEN)
MAX_ROWS = 200_000  # of a test set, which is held in memory


class Question(NamedTuple):
    """One row of a test set."""

    row: int  # its line in a file of lines, else its place, from 1
    text: str
    answer: str  # of a choice, its letter
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class FileTask(OpenTask[Question]):
    """A test set. Its items are all for evaluation, and are drawn by the seed in an order of its own: the first m of n
    are the same for every n, and an item's id names its row. Selection draws from the order's other end."""

    path: str = ""
    verifier: Verifier = "exact"
    columns: tuple[str, str, str] = ("question", "answer", "choices")
    rows: Mapping[int, Question] = field(
        default_factory=dict, repr=False, compare=False
    )  # as they were when it was opened
    by: str = ""  # RAW or PER_TOKEN, where the likeliest choice is taken; else a response is generated
    solved: Mapping[int, Question] | None = field(default=None, repr=False, compare=False)  # to be shown first

    def examples(self, split: Split, seed: int, n: int, levels: Sequence[int] | None = None) -> list[Item]:
        if split not in HELD_OUT:
            raise TriaxisError(
                f"{self.name}: is a test set, and is not trained on; data.source takes files to train on"
            )
        if n > len(self.rows):
            raise TriaxisError(
                f"{self.name}: holds {len(self.rows):,} items, and {n:,} are asked for; lower evaluation.items"
            )
        drawn = nsmallest if split == "eval" else nlargest
        return [
            self._item(question, seed, split) for question in drawn(n, self.rows.values(), key=partial(_place, seed))
        ]

    def example(self, id: str) -> Item:
        name, split, seed, _, row = self._parse(id)
        if name != self.name or split not in HELD_OUT or row not in self.rows:
            raise TriaxisError(f'"{id}" is no item of task {self.name}')
        return self._item(self.rows[row], seed, cast("Split", split))

    def shots(self, seed: int, n: int, mode: str) -> list[Shot]:
        """Questions of another file (`shots=`), since all of this one's are for evaluation."""
        if self.kind == "safety":
            raise TriaxisError(
                f"{self.name}: prompts have no answers to be shown, and a shown refusal would teach refusing; leave "
                "evaluation.few_shot out"
            )
        if self.solved is None:
            raise TriaxisError(
                f"{self.name}: evaluation.few_shot needs solved questions, and all of a test set's are asked; name a "
                "file of others in the same columns: shots=FILE"
            )
        if n > len(self.solved):
            raise TriaxisError(
                f"{self.name}: its file of shots holds {len(self.solved):,} questions, and {n:,} are to be shown; "
                "lower evaluation.few_shot"
            )
        drawn = map(self._varied, nsmallest(n, self.solved.values(), key=partial(_place, seed)))
        return [Shot(self.prompt(question), self._said(question)) for question in drawn]

    def _said(self, question: Question) -> str:
        """The right answer as a response."""
        return (
            self._continuations(question)[LETTERS.index(question.answer)] if self.by else self.replied(question.answer)
        )

    def continuations(self, example: Item) -> tuple[str, ...]:
        return self._continuations(self.problem(example)) if self.by else ()

    def _continuations(self, question: Question) -> tuple[str, ...]:
        return tuple(LETTERS[: len(question.choices)]) if self.template == "letters" else question.choices

    def outcome(self, example: Item, text: str, finished: bool) -> Outcome:
        if self.kind == "safety":
            return became(text, finished, Outcome.WRONG if self.verifier == "refuse" else Outcome.CORRECT)
        if not self.by:
            return super().outcome(example, text, finished)
        letter = likeliest(text, self.by)
        if letter is None:
            return Outcome.UNPARSED
        return Outcome.CORRECT if letter == self.problem(example).answer else Outcome.WRONG

    def given(self, text: str, finished: bool) -> str | None:
        return likeliest(text, self.by) if self.by else super().given(text, finished)

    def score(self, outcome: Outcome) -> float:
        return float(outcome is Outcome.CORRECT) if self.verifier == "comply" else super().score(outcome)

    def check_group(self, group: str) -> None:
        if self.kind == "safety" and group != self.group:
            raise TriaxisError(f"tasks.{group}: {self.name} measures {self.group}; list it under {self.group}")

    def problem(self, example: Item) -> Question:
        return self._varied(self.rows[self._parse(example.id)[4]])

    def _item(self, row: Question, seed: int, split: Split) -> Item:
        question = self._varied(row)
        return Item(
            id=f"{self.name}/{split}/{seed}/1.{row.row}",
            task=self.name,
            prompt=self.prompt(question),
            answer=question.answer,
            level=1,
        )

    def _varied(self, row: Question) -> Question:
        """The row, its choices in another order where that is the variant: their letters are its symbols."""
        if self.variant != "symbols":
            return row
        rng, same = keyed("choices", row.text), list(range(len(row.choices)))
        while (order := [int(i) for i in rng.permutation(len(same))]) == same:
            pass
        answer = LETTERS[order.index(LETTERS.index(row.answer))]
        return row._replace(choices=tuple(row.choices[i] for i in order), answer=answer)

    def draw(self, rng: np.random.Generator, level: int) -> Question:
        return self._varied(list(self.rows.values())[rng.integers(len(self.rows))])

    def question(self, problem: Question) -> str:
        if self.template == "cloze":
            return problem.text
        lines = [f"{letter}. {choice}" for letter, choice in zip(LETTERS, problem.choices, strict=False)]
        return "\n".join([problem.text, *lines])

    def prompt(self, problem: Question) -> str:
        # By likelihood nothing stands around what is asked: no wish for a form of answer could be followed.
        template = BARE if self.by else self.template
        return asked(self.question(problem), template, reworded=self.variant == "wording")

    def answer(self, problem: Question) -> str:
        return problem.answer

    def judged(self, problem: Question, given: str) -> Judged:
        if self.verifier == "math":
            return judge_math(given, problem.answer)
        if self.verifier == "exact":
            return judge_exact(given, problem.answer)
        letter = letter_of(given, problem.choices)
        return "unparsable" if letter is None else "correct" if letter == problem.answer else "wrong"


def file_task(name: str, named: Named) -> FileTask:
    """The task of a name. Raises TriaxisError for options that don't exist, a file that can't be read, a row that is
    no question."""
    options = dict(named.options)
    for key in options:
        if key not in OPTIONS:
            raise TriaxisError(f'task "{name}": no option {key}; a file has {", ".join(OPTIONS)} and surface')
    verifier = options.get("verifier", "")
    if verifier not in TEMPLATE_OF:
        known = f"verifier={', '.join(list(TEMPLATE_OF)[:-1])} or {list(TEMPLATE_OF)[-1]}"
        raise TriaxisError(f'task "{name}": needs {known}, such as {named.base}?verifier=math')
    if "choices" in options and verifier != "choice":
        raise TriaxisError(f'task "{name}": choices are for verifier=choice')
    if extra := [key for key in ("answer", "shots") if key in options and verifier in GROUP_OF]:
        raise TriaxisError(f'task "{name}": verifier={verifier} takes prompts alone; leave {extra[0]} out')
    if verifier == "math":
        require_math()
    by = _scored_by(name, options, verifier)
    possible = ("cloze", "letters") if by else tuple(dict.fromkeys((TEMPLATE_OF[verifier], BARE)))
    template = options.get("template", possible[0])
    if template not in possible:
        raise TriaxisError(f'task "{name}": template is {" or ".join(sorted(possible))}, got {template!r}')
    path = named.base.removeprefix(FILE)
    _check_surface(name, named.surface, verifier, template)
    columns = tuple(options.get(key, key) for key in ("question", "answer", "choices"))
    task = FileTask(
        name,
        group=GROUP_OF.get(verifier, "far_ood"),
        kind="safety" if verifier in GROUP_OF else "reasoning",
        template=template,
        path=path,
        verifier=cast("Verifier", verifier),
        columns=cast("tuple[str, str, str]", columns),
        rows=_questions(path, verifier, cast("tuple[str, str, str]", columns), _stamp(path)),
        variant_of=named.varies,
        variant=named.surface,
        by=by,
        modes=("default",) if by else ("default", "think"),
        solved=_solved(options.get("shots"), verifier, cast("tuple[str, str, str]", columns)),
    )
    if not task.rows:
        raise TriaxisError(f"{path}: holds no questions")
    return task


def _scored_by(name: str, options: Mapping[str, str], verifier: str) -> str:
    """By which likelihood choices are taken; empty where a response is generated."""
    score = options.get("score", SCORES[0])
    if score not in SCORES:
        raise TriaxisError(f'task "{name}": score is {", ".join(SCORES[:-1])} or {SCORES[-1]}, got {score!r}')
    if score == SCORES[0]:
        return ""
    if verifier != "choice":
        raise TriaxisError(f'task "{name}": score={score} is for verifier=choice')
    return score


def _solved(path: str | None, verifier: str, columns: tuple[str, str, str]) -> Mapping[int, Question] | None:
    return None if path is None else _questions(path, verifier, columns, _stamp(path))


def _check_surface(name: str, surface: Variant | None, verifier: str, template: str) -> None:
    if surface == "numbers":
        raise TriaxisError(
            f'task "{name}": a file can\'t be asked with other numbers, since nothing says what the answers would be; '
            "generated tasks can (rg:.., the lab's)"
        )
    if surface == "symbols" and template == "cloze":
        raise TriaxisError(f'task "{name}": shows no letters, so there are none to be renamed; take template=letters')
    if surface == "symbols" and verifier != "choice":
        raise TriaxisError(f'task "{name}": only the letters of choices can be renamed; wording can be varied')
    if surface == "wording":
        wordings(template)


def _stamp(path: str) -> tuple[int, int]:
    try:
        if Path(path).is_dir():
            raise TriaxisError(f"{path}: is a folder; name a test set's file")
        if Path(path).suffix.lower() in (".csv", ".tsv"):
            raise TriaxisError(f"{path}: a test set is JSON lines, JSON, Parquet or Arrow; save the CSV file as one")
        about = Path(path).stat()
    except FileNotFoundError:
        raise TriaxisError(f"{path}: no such file; name a test set's file") from None
    except (OSError, ValueError) as error:
        raise TriaxisError(f"{path}: can't be read: {getattr(error, 'strerror', None) or error}") from None
    return about.st_mtime_ns, about.st_size


@lru_cache(maxsize=16)
def _questions(
    path: str, verifier: str, columns: tuple[str, str, str], stamp: tuple[int, int]
) -> Mapping[int, Question]:
    """The questions of a file by row; `stamp`, its time of change and size, has it read again once it has changed."""
    questions: dict[int, Question] = {}
    seen: dict[bytes, int] = {}
    for row in file_rows(Path(path))[1]():
        if row.values is None:
            raise TriaxisError(f"{path}{f', row {row.number:,}' if row.number else ''}: {row.problem}")
        if len(questions) == MAX_ROWS:
            raise TriaxisError(f"{path}: more than {MAX_ROWS:,} rows; a test set is smaller")
        question = _question(path, row.number, row.values, verifier, columns)
        before = seen.setdefault(fingerprint("\n".join([question.text, *question.choices])), row.number)
        if before != row.number:
            raise TriaxisError(f"{path}, row {row.number:,}: asks what row {before:,} asks; keep one of them")
        questions[row.number] = question
    return questions


def _place(seed: int, question: Question) -> bytes:
    """Where a question comes in the order of a seed: its text decides, and neither its file's name nor its row."""
    said = "\x1f".join([question.text, *question.choices])
    return hashlib.sha256(f"{seed}/{said}".encode("utf-8", "surrogatepass")).digest()


def _question(path: str, number: int, row: Mapping[str, Any], verifier: str, columns: tuple[str, str, str]) -> Question:
    if verifier in GROUP_OF:
        return Question(number, _text(path, number, row, columns[0], OPTIONS[1]), verifier)
    text, answer = (_text(path, number, row, column, key) for column, key in zip(columns, OPTIONS[1:3], strict=False))
    if verifier != "choice":
        return Question(number, text, answer)
    where = f"{path}, row {number:,}, {columns[2]}"
    choices = row.get(columns[2])
    if not isinstance(choices, list) or not 2 <= len(choices) <= len(LETTERS):
        raise TriaxisError(f"{where}: must be a list of 2 to {len(LETTERS)} choices; name its column with choices=..")
    if not all(isinstance(choice, str) and choice.strip() for choice in choices):
        raise TriaxisError(f"{where}: a choice must be text, and not empty")
    _check_choices(where, choices)
    at = f"{path}, row {number:,}, {columns[1]}"
    if not isinstance(row[columns[1]], str):
        raise TriaxisError(
            f"{at}: {row[columns[1]]!r} could be a place or a choice; give the letter, or the choice in full"
        )
    letter = letter_of(answer, tuple(choices))
    if letter is None:
        raise TriaxisError(
            f"{at}: {answer[:40]!r} is neither a letter up to {LETTERS[len(choices) - 1]} nor one of the choices"
        )
    return Question(number, text, letter, tuple(choices))


def _check_choices(where: str, choices: Sequence[str]) -> None:
    """Raise TriaxisError where a reply could mean two choices: equal ones, or one that is another's letter."""
    said = [normalised(choice) for choice in choices]
    for i, one in enumerate(said):
        if one in said[:i]:
            raise TriaxisError(f"{where}: {choices[i][:40]!r} is there twice; keep one")
        if len(one) == 1 and one in LETTERS[: len(said)].lower() and LETTERS[i].lower() != one:
            raise TriaxisError(f"{where}: {choices[i]!r} is the letter of another choice; word it otherwise")


def _text(path: str, number: int, row: Mapping[str, Any], column: str, key: str) -> str:
    """A field as text. Raises TriaxisError where there is none, or no text in it."""
    where = f"{path}, row {number:,}"
    if column not in row:
        has = ", ".join(map(str, row)) or "nothing"
        raise TriaxisError(f"{where}: no column {column}; it has {has[:200]}; name one with {key}=..")
    value = row[column]
    if isinstance(value, int | float) and not isinstance(value, bool) and key == "answer":
        value = number_text(value) if math.isfinite(value) else ""  # written without quotes in many sets
    if not isinstance(value, str) or not value.strip():
        told = "is empty" if value is None or value == "" else f"must be text, and is {type(value).__name__}"
        raise TriaxisError(f"{where}, {column}: {told}")
    if "\0" in value or (not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value)):
        raise TriaxisError(f"{where}, {column}: holds a NUL or half a character, which no tokenizer takes; remove it")
    return value.strip()
