"""What a run would be trained on, as the model sees it: rendered, with what carries loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from triaxis.axes.data import training_set
from triaxis.axes.model import ModelSettings, load_tokenizer
from triaxis.execute.run import render
from triaxis.study import Run, Study
from triaxis.types import Level, TriaxisError

TAGS = ("<think>", "</think>")


@dataclass(frozen=True)
class Shown:
    """A training row as text. `masked` carries no loss, `learned` does, `end` is the end token that it closes with."""

    id: str
    noisy: bool
    masked: str
    learned: str
    end: str
    tokens: int
    supervised: int
    tags: int  # think tags of the response, all of which are learned
    verbatim: bool  # whether the response is learned to the character; else its white space differs
    added: bool  # whether the chat template adds words of its own to what is learned


@dataclass(frozen=True)
class Set:
    """The first rows of one way in which the study's conditions make their data and read it."""

    about: dict[str, Level]  # the factors of the data and the model that make it another one
    rows: tuple[Shown, ...]


def examples_of(study: Study, count: int) -> Iterator[Set]:
    """`count` rows of every combination of data and model that the study trains on, with its first seed.

    Raises TriaxisError where a row can't be rendered, or a think tag of its response isn't among what is learned.
    """
    seen: set[tuple[Any, ...]] = set()
    for run in study.runs():
        key = tuple(v for k, v in run.condition.settings.items() if k.startswith(("data.", "model.")))
        if key not in seen:
            seen.add(key)
            yield _set(run, count)


def _set(run: Run, count: int) -> Set:
    settings = run.condition.settings
    model = ModelSettings.of(_axis(settings, "model"))
    tokenizer = load_tokenizer(model.base, model)
    examples = training_set(_axis(settings, "data"), run.seed)
    # Some of the noisy rows, where there are any: the first rows may have none.
    noisy = [e for e in examples if e.noisy][: count // 2]
    chosen = [*[e for e in examples if not e.noisy][: count - len(noisy)], *noisy]
    rows = []
    for example in chosen:
        row = render(example, tokenizer)
        begin, end = row.prompt_tokens, len(row.tokens) - 1
        learned = tokenizer.decode(row.tokens[begin:end], clean_up_tokenization_spaces=False)
        tags = {tag: example.response.count(tag) for tag in TAGS}
        if lost := [tag for tag, n in tags.items() if learned.count(tag) < n]:
            raise TriaxisError(f"training row {example.id}: the chat template loses {lost[0]} of its response")
        rows.append(
            Shown(
                id=row.id,
                noisy=example.noisy,
                masked=tokenizer.decode(row.tokens[:begin], clean_up_tokenization_spaces=False),
                learned=learned,
                end=tokenizer.decode(row.tokens[end:]),
                tokens=len(row.tokens),
                supervised=len(row.tokens) - begin,
                tags=sum(tags.values()),
                verbatim=example.response.strip() in learned,
                added="".join(learned.split()) != "".join(example.response.split()),
            )
        )
    return Set({k: v for k, v in run.condition.levels.items() if k.startswith(("data.", "model."))}, tuple(rows))


def _axis(settings: Mapping[str, Level], axis: str) -> dict[str, Any]:
    return {k.removeprefix(f"{axis}."): v for k, v in settings.items() if k.startswith(f"{axis}.")}
