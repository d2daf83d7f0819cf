"""`vllm`: fast sampling on a GPU; the weights of each checkpoint are handed over by a temporary folder."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from triaxis.axes.model import save_weights
from triaxis.evaluate.backends.backend import OfModel, check_seeds, response_of, settled
from triaxis.evaluate.generate import Response
from triaxis.evaluate.stops import Stops
from triaxis.types import TriaxisError

SHARE = 0.85  # of the GPU memory that is free when the engine starts; the model in training keeps what it has
SEEDS = 2**63  # vLLM takes seeds below it
_engines: weakref.WeakKeyDictionary[PreTrainedModel, _Engine] = weakref.WeakKeyDictionary()


def lacking() -> str:
    """What vLLM needs and this machine hasn't, with what to do; empty where nothing."""
    if find_spec("vllm") is None:
        return "vLLM isn't installed; pip install 'triaxis[vllm]'"
    if not torch.cuda.is_available():
        return "vLLM needs a GPU, and there is none; take auto"
    return ""


class VLLM(OfModel):
    """vLLM's engine, asleep between checkpoints. Raises TriaxisError where it can't be had.

    A response is drawn from vLLM's own stream of its seed, so that it is another than that of the other backends. Stop
    strings are cut off afterwards: vLLM's own would fire inside a thought.
    """

    name = "vllm"

    def __init__(self, model: PreTrainedModel, *, eos: int, pad: int, batch_size: int) -> None:
        if problem := lacking():
            raise TriaxisError(f"evaluation.backend: {problem}")
        super().__init__(model, eos=eos, pad=pad, batch_size=batch_size)

    def answer(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        max_new_tokens: Sequence[int],
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
        stops: Stops | None = None,
    ) -> list[Response]:
        from vllm import SamplingParams

        check_seeds(prompts, temperature, seeds)
        asked = [i for i in range(len(prompts)) if max_new_tokens[i] > 0]
        found = [Response((), False) for _ in prompts]
        if not asked:
            return found
        wanted = [
            SamplingParams(
                temperature=temperature,
                top_p=1.0,
                top_k=-1,  # all
                max_tokens=max_new_tokens[i],
                seed=seeds[i] % SEEDS if temperature > 0 and seeds is not None else None,
                stop_token_ids=[self.eos],
                ignore_eos=True,  # the end token is the tokenizer's, whatever the model's configuration lists
                detokenize=False,
            )
            for i in asked
        ]
        if self.model not in _engines:
            _engines[self.model] = _Engine(self.batch_size)
        engine = _engines[self.model]
        texts = [{"prompt_token_ids": list(prompts[i])} for i in asked]
        for i, output in zip(asked, engine.generate(self.model, texts, wanted), strict=True):
            found[i] = self._response(output.outputs[0], max_new_tokens[i])
        return settled(found, stops)

    def _response(self, output: Any, limit: int) -> Response:
        """vLLM may leave out the token that it stopped at; then it says so."""
        response = response_of(list(output.token_ids), limit, self.eos)
        return Response(response.tokens, response.finished or output.stop_reason == self.eos)


class _Engine:
    """One engine for a model that changes: its weights are read again before each use."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.folder = tempfile.TemporaryDirectory(prefix="triaxis-vllm-")
        self.engine: Any = None

    def generate(self, model: PreTrainedModel, prompts: Sequence[Any], wanted: Sequence[Any]) -> Sequence[Any]:
        save_weights(model, Path(self.folder.name))
        if self.engine is None:
            self.engine = self._started(model)
        else:
            self.engine.wake_up(tags=["weights"])
            self.engine.collective_rpc("reload_weights")
            self.engine.wake_up(tags=["kv_cache"])
            self.engine.reset_prefix_cache()  # what is kept of the prompts is of the weights before
        try:
            found: Sequence[Any] = self.engine.generate(prompts, wanted, use_tqdm=False)
        finally:
            self.engine.sleep(level=2)
        return found

    def _started(self, model: PreTrainedModel) -> Any:
        from vllm import LLM

        free, total = torch.cuda.mem_get_info()
        return LLM(
            model=self.folder.name,
            skip_tokenizer_init=True,  # tokens in, tokens out
            dtype=str(model.dtype).removeprefix("torch."),
            max_model_len=int(model.config.max_position_embeddings),
            max_num_seqs=self.batch_size,
            gpu_memory_utilization=SHARE * free / total,
            generation_config="vllm",  # nothing of the model's own
            enable_sleep_mode=True,
            seed=0,
        )
