"""Which backend answers for a model: what the user says, or the rule for `auto`, which depends on the model alone."""

from __future__ import annotations

from typing import Any, NamedTuple

from transformers import PreTrainedModel

from triaxis.evaluate.backends.backend import Backend
from triaxis.evaluate.backends.ours import Ours, cannot
from triaxis.types import TriaxisError

AUTO = "auto"


class Chosen(NamedTuple):
    """A backend, and why it was taken."""

    name: str
    why: str


def choose(wanted: str, config: Any) -> Chosen:
    """The backend for a model of that configuration.

    `auto` is ours where it can hold the model's cache, else transformers. It never depends on the machine: a study that
    moves to another one goes on with the same backend. Raises TriaxisError where ours is asked for and can't.
    """
    why = cannot(config)
    if wanted == AUTO:
        if why:
            return Chosen("transformers", f"auto: ours can't answer for this model, {why}")
        return Chosen("ours", "auto: every layer of the model's cache is of keys and values")
    if wanted == "ours" and why:
        raise TriaxisError(f"evaluation.backend: ours can't answer for this model, {why}; take auto or transformers")
    return Chosen(wanted, "as the study says")


def open_backend(wanted: str, model: PreTrainedModel, *, eos: int, pad: int, batch_size: int) -> Backend:
    """The backend that answers for a model. Raises TriaxisError where it can't be had here."""
    name = choose(wanted, model.config).name
    given: dict[str, Any] = {"eos": eos, "pad": pad, "batch_size": batch_size}
    if name == "ours":
        return Ours(model, **given)
    if name == "transformers":
        from triaxis.evaluate.backends.generating import Generating

        return Generating(model, **given)
    if name == "continuous":
        from triaxis.evaluate.backends.continuous import Continuous

        return Continuous(model, **given)
    if name == "vllm":
        from triaxis.evaluate.backends.vllm_engine import VLLM

        return VLLM(model, **given)
    raise ValueError(f"no backend {name!r}")


def check_backend(wanted: str) -> None:
    """Raise TriaxisError where a backend can't be had on this machine, before anything is loaded."""
    if wanted == "vllm":
        from triaxis.evaluate.backends.vllm_engine import lacking

        if problem := lacking():
            raise TriaxisError(f"evaluation.backend: {problem}")
