"""The training examples of one run: a subset, a structure, a share of bad ones, a mixture, a share of replay."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from triaxis.study import REPLAY_TASK, difficulty_levels
from triaxis.tasks import STRUCTURES, Task, get_task
from triaxis.tasks.names import RG
from triaxis.tasks.prompts import fingerprint
from triaxis.types import Item, Level, NoiseKind, TriaxisError, Turn

if TYPE_CHECKING:
    from triaxis.axes.data.recipes.apply import Kept

OF_RECIPE = ("difficulty", "mixture", "structure", "noise_kind", "noise_rate")  # what a source's variant is made by
LAB = "lab:"
LAB_MIXTURES = ("as_is", "easy_only", "hard_only", "curriculum")


@dataclass(frozen=True)
class TrainingExample:
    """One prompt with the response to learn; `noisy` where it was made bad on purpose."""

    id: str
    prompt: str
    response: str
    noisy: bool
    before: tuple[Turn, ...] = ()  # what is said before the prompt: a system turn, earlier turns


class TrainingSet(NamedTuple):
    """What a run trains on, and the rows that could not be made as it was asked for."""

    examples: list[TrainingExample]
    kept: tuple[Kept, ...]


def training_set(settings: Mapping[str, Level], seed: int) -> list[TrainingExample]:
    """The examples of a run: those of `noted_training_set`."""
    return noted_training_set(settings, seed).examples


def noted_training_set(settings: Mapping[str, Level], seed: int) -> TrainingSet:
    """The examples of a run, a pure function of the data settings (`data.*`, without the prefix) and the seed.

    The seed draws the subset and the noise mask. Masks are nested: the rows that are noisy at a rate of .1 are among
    those at .3, and they are the same rows for every kind of noise. The `replay_share` of the total are examples of the
    safety task instead of the task's own. With the mixture `curriculum` the order is that of
    training, from easy to hard.

    Raises TriaxisError for a task, level or source that doesn't exist, or that can't give what is asked.
    """
    check_data(settings)
    total, structure = int(settings["examples"]), str(settings["structure"])
    if "source" in settings:
        return _of_source(settings, seed, total)
    replayed = round(float(settings["replay_share"]) * total)
    rows = _of_task(settings, seed, total - replayed)
    replay = get_task(REPLAY_TASK).examples("train", seed, replayed)
    safe = [TrainingExample(e.id, e.prompt, e.traces[structure], False) for e in replay]
    return TrainingSet(_spread(safe, rows) if settings.get("mixture") == "curriculum" else [*safe, *rows], ())


def made_for_run(settings: Mapping[str, Level]) -> bool:
    """Whether what is trained on is made as a run asks for it; a file has the rows that it has."""
    return "source" not in settings or str(settings["source"]).startswith((LAB, RG))


def whole_source(settings: Mapping[str, Level], seed: int) -> list[TrainingExample]:
    """All rows of a file that the data settings leave, however many a run takes of them."""
    return _of_source(settings, seed, None).examples


def check_data(settings: Mapping[str, Level]) -> None:
    """Raise TriaxisError for data settings that don't go together, whatever the seed."""
    if "source" in settings:
        _check_source(settings)
        return
    task, structure = get_task(str(settings["task"])), str(settings["structure"])
    if task.name == REPLAY_TASK and float(settings["replay_share"]):
        raise TriaxisError(f"data.replay_share: {REPLAY_TASK} is the task itself; set it to 0 or train on another task")
    if structure not in STRUCTURES:
        raise TriaxisError(
            f"data.structure: {structure} is for a data.source; in the lab no_cot is nothing but the answer: take that"
        )
    if float(settings["noise_rate"]):
        task.check_noise(structure, _kind(settings))
    levels = levels_of(str(settings["difficulty"]), task.levels, task.name)
    mixture = settings.get("mixture", "as_is")
    if mixture not in LAB_MIXTURES:
        raise TriaxisError(f"data.mixture: {mixture} is for a data.source; in the lab levels take turns: as_is is that")
    if mixture != "as_is" and len(levels) < 2:
        raise TriaxisError(f"data.mixture: {mixture} needs two levels or more, and data.difficulty leaves {levels[0]}")


def _of_task(settings: Mapping[str, Level], seed: int, n: int) -> list[TrainingExample]:
    """Examples of a lab task, the levels taking turns."""
    task, structure, mixture = get_task(str(settings["task"])), str(settings["structure"]), settings.get("mixture")
    levels = sorted(levels_of(str(settings["difficulty"]), task.levels, task.name))
    third = max(1, len(levels) // 3)
    chosen = {"easy_only": levels[:third], "hard_only": levels[-third:]}.get(str(mixture), levels)
    items = task.examples("train", seed, n, chosen)
    if mixture == "curriculum":
        items.sort(key=lambda item: item.level)
    return [_row(task, item, structure, settings, seed) for item in items]


def _check_source(settings: Mapping[str, Level]) -> None:
    """Raise TriaxisError for settings that a source can't follow."""
    source, structure = str(settings["source"]), str(settings["structure"])
    if float(settings["replay_share"]):
        raise TriaxisError(
            f"data.replay_share: {REPLAY_TASK} is in the lab's words; put rows to replay into the source itself "
            "(triaxis data make, replay)"
        )
    if source.startswith(RG):
        get_task(source)
        if structure != "answer_only":
            raise TriaxisError(
                f"data.structure: {source} has answers and no traces, so {structure} can't be made; take answer_only"
            )


def _of_source(settings: Mapping[str, Level], seed: int, n: int | None) -> TrainingSet:
    """Examples of a file or of a reasoning-gym task (n None: all), made into the variant that the settings ask for."""
    from triaxis.axes.data.open import open_examples
    from triaxis.axes.data.recipes import applied
    from triaxis.axes.data.text import response_of

    source = str(settings["source"])
    drawn = _drawn(source, settings, {"n": n, "seed": seed}) if n is not None else source
    asked = {key: settings[key] for key in OF_RECIPE} | ({"examples": n} if n is not None else {})
    made = applied(asked, open_examples(drawn), seed)
    examples = [
        TrainingExample(e.id, e.turns[-1].content, response_of(e), e.id in made.noisy, e.turns[:-1])
        for e in made.examples
    ]
    return TrainingSet(examples, made.kept)


def _drawn(source: str, settings: Mapping[str, Level], amount: Mapping[str, Level]) -> str:
    """The name under which a source that makes its own items gives those of a run: as many, by its seed, of its levels
    and with its traces, unless the source says which. A file has the rows that it has."""
    if not source.startswith((LAB, RG)):
        return source
    base, _, options = source.partition("?")
    own = dict(part.partition("=")[::2] for part in options.split("&") if part)
    asked = dict(amount)
    if source.startswith(LAB):
        asked["difficulty"] = settings["difficulty"]
        asked |= {"structure": settings["structure"]} if settings["structure"] in STRUCTURES else {}
    return base + "?" + "&".join(f"{key}={value}" for key, value in (asked | own).items())


def _row(task: Task[Any], item: Item, structure: str, settings: Mapping[str, Level], seed: int) -> TrainingExample:
    noisy = _draw(item.id, seed) < float(settings["noise_rate"])
    response = task.noisy(item, structure, seed, _kind(settings)) if noisy else item.traces[structure]
    return TrainingExample(item.id, item.prompt, response, noisy)


def _kind(settings: Mapping[str, Level]) -> NoiseKind:
    kind: Any = settings.get("noise_kind", "wrong_step")
    chosen: NoiseKind = kind
    return chosen


def levels_of(difficulty: str, known: tuple[int, ...], task: str) -> tuple[int, ...]:
    """ "all", "3" or "3-5" as the levels of a task. Raises TriaxisError for a level that it doesn't have."""
    wanted = difficulty_levels(difficulty) or known
    if not set(wanted) <= set(known):
        has = f"{known[0]}-{known[-1]}"
        raise TriaxisError(f"data.difficulty: {difficulty!r} is not a level of task {task}, which has {has}")
    return wanted


def _draw(example: str, seed: int) -> float:
    """A uniform number in [0, 1) that belongs to this example in this run."""
    return int.from_bytes(hashlib.sha256(f"noise/{seed}/{example}".encode()).digest()[:8], "big") / 2**64


def _spread(some: Sequence[TrainingExample], rows: Sequence[TrainingExample]) -> list[TrainingExample]:
    """The rows in their order, with some others evenly among them."""
    places = [((i + 0.5) / len(part), k, row) for k, part in enumerate((some, rows)) for i, row in enumerate(part)]
    return [row for _, _, row in sorted(places, key=lambda place: place[:2])]


def check_apart(examples: Iterable[TrainingExample], items: Iterable[Item]) -> None:
    """Train and evaluation never meet: by construction in tasks that are made, and here by looking, in all.

    Raises TriaxisError that names the row and the item, where both ask the same (`prompts.fingerprint`): in any of the
    user's turns, or in the turns together.
    """
    held_out = {fingerprint(text): item.id for item in items for text in (item.prompt, *item.also)}
    for example in examples:
        if other := next(filter(None, (held_out.get(fingerprint(text)) for text in said_to(example))), None):
            raise TriaxisError(
                f"training row {example.id} is evaluated too, as {other}; leave it out of one of the two"
            )


def said_to(example: TrainingExample) -> Iterator[str]:
    """What a row asks: its prompt, what the user said before, the user's turns as one, and all that comes before the
    response as one, a system turn that holds the problem included."""
    yield example.prompt
    if example.before:
        users = [turn.content for turn in example.before if turn.role == "user"]
        yield from users
        yield "\n".join([*users, example.prompt])
        yield "\n".join([*(turn.content for turn in example.before), example.prompt])
