"""The same operations as levels of a study's factors: `data.difficulty`, `data.mixture`, `data.noise_rate`, ..."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from triaxis.axes.data.recipes.chain import make_examples
from triaxis.axes.data.recipes.mixture import Mixture
from triaxis.axes.data.recipes.noise import Noise
from triaxis.axes.data.recipes.operation import Operation
from triaxis.axes.data.recipes.scale import Scale
from triaxis.axes.data.recipes.select import Select
from triaxis.axes.data.recipes.structure import Structure
from triaxis.types import Example, Level, TriaxisError

SHORTFALL = 0.05  # of the rows may stay as they are where a structure can't be made of them; they are noted


class Kept(NamedTuple):
    """Rows that could not be made as a factor asks, and stay as they came."""

    factor: str  # "data.structure"
    rows: int
    why: str


@dataclass(frozen=True)
class Applied:
    """The examples that a condition trains on, in order, and which of them were made bad on purpose."""

    examples: list[Example]
    noisy: frozenset[str]  # ids
    kept: tuple[Kept, ...]


def steps_for(settings: Mapping[str, Level]) -> list[Operation]:
    """The operations that a condition's data settings (`data.*`, without the prefix) come to, in the order in which
    they are done: which rows, how many, with which traces, how many of them bad."""
    steps: list[Operation] = []
    if settings.get("difficulty", "all") != "all":
        steps.append(Select(difficulty=(str(settings["difficulty"]),)))
    total = int(settings["examples"]) if "examples" in settings else None
    mixture = str(settings.get("mixture", "as_is"))
    if mixture == "curriculum":
        steps += [Scale(examples=total)] if total else []
        steps.append(Mixture(shares="as_is", order="curriculum"))
    elif mixture != "as_is":
        steps.append(Mixture(shares=mixture, total=total))
    elif total is not None:
        steps.append(Scale(examples=total))
    if "structure" in settings:
        steps.append(Structure(kind=settings["structure"], otherwise="keep", shortfall=SHORTFALL))  # type: ignore[arg-type]
    if float(settings.get("noise_rate", 0)) > 0:
        kind: Any = settings.get("noise_kind", "wrong_step")
        steps.append(Noise(kind=kind, rate=float(settings["noise_rate"]), mask="shared"))
    return steps


def applied(settings: Mapping[str, Level], examples: Iterable[Example], seed: int) -> Applied:
    """What a condition with these data settings trains on; a pure function of settings, examples and seed.

    Rows and masks are nested: the examples of a smaller set are among those of a larger one, the noisy rows at .1 are
    among those at .3, and they are the same rows for every kind of noise, whatever order the examples come in. Raises
    TriaxisError, naming the factor, where they can't give what is asked.
    """
    steps = steps_for(settings)
    try:
        out, entries, touched = make_examples(steps, examples, seed)
    except TriaxisError as error:
        place, _, message = str(error).partition(": ")
        named = {f"steps[{i}].{step.name}": _FACTORS[step.name] for i, step in enumerate(steps)}
        if place not in named:
            raise
        for of_recipe, of_study in _ADVICE.items():
            message = message.replace(of_recipe, of_study)
        raise TriaxisError(f"{named[place]}: {message}") from None
    noisy = frozenset(id for step, done, id, _ in touched if steps[step].name == Noise.name and done == "changed")
    kept = (Kept(_FACTORS[entry.operation], n, why) for entry in entries for why, n in entry.could_not.items())
    return Applied(out, noisy, tuple(kept))


_COPY = "make a copy by 'triaxis data make' with source.fields {difficulty: ITS COLUMN} and output.format triaxis"
_ADVICE = {  # what a recipe can set and a study can't
    "`shortfall` allows": "a study allows",
    "name its column in the source's `fields`, or mix by domain": f"{_COPY}, or take as_is",
    "list them in `levels`, from easy to hard": "write them as numbers, or take as_is",
    "lower `total`, or set `short` to fill or repeat": "lower data.examples",
    "lower `total`": "lower data.examples",
}
_FACTORS = {
    "select": "data.difficulty",
    "mixture": "data.mixture",
    "scale": "data.examples",
    "structure": "data.structure",
    "noise": "data.noise_kind",
}
