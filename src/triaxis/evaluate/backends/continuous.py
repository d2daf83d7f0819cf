"""`continuous`: transformers' continuous batching, where the next prompt takes the place of a row that has ended."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from transformers.generation.configuration_utils import ContinuousBatchingConfig
from transformers.generation.continuous_batching.cb_logits_processors import (
    ContinuousBatchingLogitsProcessor,
    ContinuousBatchingLogitsProcessorList,
)
from transformers.generation.logits_process import LogitsProcessorList

from triaxis.evaluate.backends.backend import OfModel, check_seeds, response_of, settled
from triaxis.evaluate.backends.generating import drawn, greedy, own_choices
from triaxis.evaluate.generate import Response, uniforms
from triaxis.evaluate.stops import Stops
from triaxis.types import RunFailed, TriaxisError

PAGE = 32  # tokens of a page of its cache; a page is the least that a row takes
LOGGER = "ContinuousBatchingLogger"


class Continuous(OfModel):
    """transformers' continuous batching. Stop strings are cut off afterwards: it can't end a row by its text."""

    name = "continuous"

    @torch.inference_mode()
    def answer(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        max_new_tokens: Sequence[int],
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
        stops: Stops | None = None,
    ) -> list[Response]:
        check_seeds(prompts, temperature, seeds)
        asked = [i for i in range(len(prompts)) if max_new_tokens[i] > 0]
        found = [Response((), False) for _ in prompts]
        if not asked:
            return found
        drawing = None
        if temperature > 0 and seeds is not None:
            streams = uniforms([seeds[i] for i in asked], max(max_new_tokens[i] for i in asked))
            drawing = _Drawing(dict(zip(map(str, asked), streams, strict=True)), temperature)
        longest = max(len(prompts[i]) + max_new_tokens[i] for i in asked)
        with own_choices(self.model), self._manager(longest, len(asked), drawing) as manager:
            for i in asked:
                manager.add_request(
                    list(prompts[i]), request_id=str(i), max_new_tokens=max_new_tokens[i], eos_token_id=self.eos
                )
            for output in _results(manager, len(asked)):
                i = int(output.request_id)
                found[i] = response_of(output.generated_tokens, max_new_tokens[i], self.eos)
        return settled(found, stops)

    @contextmanager
    def _manager(self, longest: int, rows: int, drawing: _Drawing | None) -> Iterator[Any]:
        """Its manager, with room for a batch of the longest rows. Raises TriaxisError for a model that it can't run."""
        lines = min(self.batch_size, rows)
        config = ContinuousBatchingConfig(
            page_size=PAGE,
            num_blocks=lines * (-(-longest // PAGE) + 1),
            max_batch_tokens=max(lines, longest, 256),
            max_requests_per_batch=lines,
            # A drawn token needs the one before it: steps that are begun ahead, or replayed, can't know it.
            **({"use_async_batching": False, "use_cuda_graph": False} if drawing is not None else {}),
        )
        logger = logging.getLogger(LOGGER)
        before = logger.level
        logger.setLevel(logging.CRITICAL)  # what fails is told by its requests
        try:
            try:
                manager = self.model.init_continuous_batching(greedy(longest, self.eos, self.pad), config)
            except Exception as problem:  # it refuses a cache or an attention in errors of many kinds
                raise TriaxisError(
                    f"evaluation.backend: transformers' continuous batching can't run this model ({_line(problem)}); "
                    "take transformers"
                ) from None
            if drawing is not None:
                manager.logit_processor = ContinuousBatchingLogitsProcessorList(LogitsProcessorList([drawing]))
                manager.logit_processor.tensors_required = 1
            manager.start()
            try:
                yield manager
            finally:
                manager.stop(block=True, hard_stop=True)
                manager.destroy()
        finally:
            logger.setLevel(before)


def _results(manager: Any, count: int) -> Iterator[Any]:
    """Each request's outcome as it comes. Raises RunFailed where one fails or its thread dies."""
    while count:
        output = manager.get_result(timeout=1)
        if output is None:
            if not manager.is_running():
                raise RunFailed(f"continuous batching stopped ({_line(manager.background_thread_status.fatal_error)})")
            continue
        if not output.is_finished():
            continue
        if output.error is not None:
            raise RunFailed(f"continuous batching failed: {output.error}")
        count -= 1
        yield output


def _line(problem: object) -> str:
    return (str(problem).strip().splitlines() or ["no reason given"])[0][:160]


class _Drawing(ContinuousBatchingLogitsProcessor):  # type: ignore[misc]  # transformers is not typed
    """Draws each request's next token from its own stream, as `generating.Drawing` does for a batch."""

    supported_kwargs: ClassVar[dict[str, type]] = {}
    ignored_kwargs: tuple[str, ...] = ()

    def __init__(self, streams: dict[str, torch.Tensor], temperature: float) -> None:
        self.streams, self.temperature = streams, temperature
        self.made = dict.fromkeys(streams, 0)
        self.uniform = torch.empty(0, dtype=torch.float64)

    def fill_defaults(self, int32_tensor: torch.Tensor) -> None:
        int32_tensor.zero_()

    def prepare_tensor_args(self, requests_with_new_token: Sequence[Any]) -> torch.Tensor:
        """Kept here, in full precision; what is handed on is not used."""
        asked = [request.state.request_id for request in requests_with_new_token]
        self.uniform = torch.stack([self.streams[name][self.made[name]] for name in asked]) if asked else self.uniform
        for name in asked:
            self.made[name] += 1
        return torch.zeros(len(asked), dtype=torch.int32)

    def __call__(self, scores: torch.Tensor, tensor_arg: torch.Tensor) -> torch.Tensor:
        rows = len(self.uniform)
        return torch.cat([drawn(scores[:rows], self.uniform, self.temperature), scores[rows:]])
