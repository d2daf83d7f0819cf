"""`ours`: the decoder of `evaluate/generate.py`, which retires rows as they end."""

from __future__ import annotations

from collections.abc import Sequence

from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from triaxis.evaluate.backends.backend import OfModel
from triaxis.evaluate.generate import Response, generate
from triaxis.evaluate.stops import Stops


class Ours(OfModel):
    """Our decoder: buffers where every layer attends in full through torch's attention, else the model's own cache."""

    name = "ours"

    def answer(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        max_new_tokens: Sequence[int],
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
        stops: Stops | None = None,
    ) -> list[Response]:
        return generate(
            self.model,
            prompts,
            max_new_tokens=max_new_tokens,
            eos=self.eos,
            pad=self.pad,
            temperature=temperature,
            seeds=seeds,
            batch_size=self.batch_size,
            stops=stops,
        )


def cannot(config: object) -> str:
    """Why our decoder can't be used for a model of this configuration; empty where it can.

    It drops the lines of a cache whose rows have ended, which layers of keys and values can do, whole or in windows;
    a recurrent state can't, and the padding on the left of a batch would run through it.
    """
    try:
        layers = {type(layer) for layer in DynamicCache(config=config).layers}
    except Exception as problem:  # a configuration of code that comes with the model
        return f"its cache can't be told from its configuration ({type(problem).__name__})"
    others = sorted(kind.__name__ for kind in layers - {DynamicLayer, DynamicSlidingWindowLayer})
    return f"its cache holds more than keys and values ({', '.join(others)})" if others else ""
