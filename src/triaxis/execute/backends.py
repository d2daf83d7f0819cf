"""Which backend answers for several models that are compared: one for all of them, or they are refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from triaxis.axes.model import ModelSettings, base_names, config_of
from triaxis.types import Level, TriaxisError

if TYPE_CHECKING:
    from triaxis.evaluate.backends import Chosen

AUTO = "auto"


def one_backend(wanted: str, conditions: Iterable[Mapping[str, Level]]) -> Chosen | None:
    """The backend of these conditions, with the reason; None where all bases are the lab's, which are ours without a
    look at them. Raises TriaxisError as `agreed` does."""
    bases = {str(settings["model.base"]): settings for settings in conditions}
    if wanted == AUTO and not bases.keys() - set(base_names()):
        return None

    def config(base: str) -> Any:
        told = {k.removeprefix("model."): v for k, v in bases[base].items() if k.startswith("model.")}
        return config_of(base, ModelSettings.of(told))

    return agreed(wanted, sorted(bases), config)


def agreed(wanted: str, models: Iterable[str], config: Callable[[str], Any]) -> Chosen:
    """The one backend of models that are compared; `config` gives the configuration of each.

    Raises TriaxisError where it can't be had here, can't answer for a model, or `auto` comes to two: a contrast of two
    models would be one of two backends too.
    """
    from triaxis.evaluate.backends import (
        check_backend,
        choose,
    )  # loads torch, for which a study of the lab needn't wait

    check_backend(wanted)
    chosen: dict[str, tuple[str, Chosen]] = {}
    for model in models:
        choice = choose(wanted, config(model))
        chosen.setdefault(choice.name, (model, choice))
    if len(chosen) > 1:
        each = ", ".join(f"{name} for {model}" for name, (model, _) in sorted(chosen.items()))
        raise TriaxisError(
            f"evaluation.backend: auto comes to {each}, and scores of two backends are never compared; "
            "say evaluation.backend: transformers"
        )
    return next(choice for _, choice in chosen.values())


def told_backend(wanted: str, conditions: Iterable[Mapping[str, Level]]) -> str:
    """What was decided for these conditions, and why."""
    chosen = one_backend(wanted, conditions)
    return f"{chosen.name} ({chosen.why})" if chosen else "ours (auto: every base is the lab's)"
