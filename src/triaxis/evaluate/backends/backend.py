"""What a backend is: prompts in tokens go in, responses in tokens come out; and what it promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from transformers import PreTrainedModel

from triaxis.evaluate.generate import Response
from triaxis.evaluate.stops import Stops


class Backend(Protocol):
    """One way to have a model answer. All pass one contract (`tests/test_backends.py`).

    - Responses come in the order of their prompts, without the end token, and are `finished` where that token came, be
      it the last that was allowed.
    - A prompt has at least one token and a limit of its own; with a limit of 0 nothing is asked.
    - Temperature 0 takes the likeliest token. Above it tokens are drawn from the whole distribution: no top-k, no
      top-p, no penalty, whatever the model's own generation configuration says.
    - A response belongs to its prompt and its seed: neither the batch nor the order of the prompts changes it, but to
      rounding.
    - `stops` end a response with the token that completes a stop string (`Stops.settled`).
    """

    name: str

    def answer(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        max_new_tokens: Sequence[int],
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
        stops: Stops | None = None,
    ) -> list[Response]:
        """A response to each prompt. Raises ValueError where a temperature comes without a seed for each."""


class OfModel:
    """What every backend holds: the model that answers, its end and padding tokens, how many rows share a batch."""

    def __init__(self, model: PreTrainedModel, *, eos: int, pad: int, batch_size: int) -> None:
        self.model, self.eos, self.pad, self.batch_size = model, eos, pad, batch_size


def check_seeds(prompts: Sequence[Sequence[int]], temperature: float, seeds: Sequence[int] | None) -> None:
    """Raise ValueError where responses are to be drawn and there isn't one seed for each."""
    if temperature > 0 and (seeds is None or len(seeds) != len(prompts)):
        raise ValueError("sampling needs one seed a prompt")


def response_of(tokens: Sequence[int], limit: int, eos: int) -> Response:
    """What a backend gave, up to the prompt's own limit, without the end token."""
    own = list(tokens[:limit])
    return Response(tuple(own[: own.index(eos)]), True) if eos in own else Response(tuple(own), False)


def settled(responses: Sequence[Response], stops: Stops | None) -> list[Response]:
    """Responses up to where their stop strings end them."""
    return list(responses) if stops is None else [stops.settled(i, r) for i, r in enumerate(responses)]
