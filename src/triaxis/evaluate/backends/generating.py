"""`transformers`: `model.generate()`, for models whose cache our decoder can't hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from transformers import GenerationConfig, PreTrainedModel, StoppingCriteria, StoppingCriteriaList
from transformers.generation.logits_process import LogitsProcessor, LogitsProcessorList

from triaxis.evaluate.backends.backend import OfModel, check_seeds, response_of, settled
from triaxis.evaluate.generate import Response, batches, uniforms
from triaxis.evaluate.stops import Stops


class Generating(OfModel):
    """`model.generate()` a batch at a time. A row that has ended is computed on until its batch has."""

    name = "transformers"

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
        self.model.eval()
        found = [Response((), False) for _ in prompts]
        with own_choices(self.model):
            for members in batches(prompts, max_new_tokens, self.batch_size):
                members = [i for i in members if max_new_tokens[i] > 0]
                if not members:
                    continue
                limits = [max_new_tokens[i] for i in members]
                draws = None if seeds is None else uniforms([seeds[i] for i in members], max(limits))
                drawing = None if draws is None or temperature == 0 else Drawing(draws, temperature)
                rows = self._batch([prompts[i] for i in members], limits, drawing, stops, members)
                for i, row in zip(members, rows, strict=True):
                    found[i] = response_of(row, max_new_tokens[i], self.eos)
        return settled(found, stops)

    def _batch(
        self,
        prompts: Sequence[Sequence[int]],
        limits: Sequence[int],
        drawing: Drawing | None,
        stops: Stops | None,
        numbers: Sequence[int],
    ) -> list[list[int]]:
        """The tokens that follow each prompt, with whatever comes after its end."""
        width = max(map(len, prompts))
        ids = torch.tensor([[self.pad] * (width - len(p)) + list(p) for p in prompts], device=self.model.device)
        seen = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=self.model.device)
        if drawing is not None:
            drawing.width = width
        output = self.model.generate(
            ids,
            attention_mask=seen,
            generation_config=greedy(max(limits), self.eos, self.pad),
            logits_processor=LogitsProcessorList([drawing] if drawing is not None else []),
            stopping_criteria=StoppingCriteriaList([_Ended(width, limits, stops, numbers)]),
        )
        rows: list[list[int]] = output[:, width:].tolist()
        return rows


def greedy(limit: int, eos: int, pad: int) -> GenerationConfig:
    """The likeliest token each time, and nothing else."""
    return GenerationConfig(max_new_tokens=limit, do_sample=False, eos_token_id=eos, pad_token_id=pad)


@contextmanager
def own_choices(model: PreTrainedModel) -> Iterator[None]:
    """Without the model's own generation configuration, whose penalties and cut-offs would fill what is left open."""
    before = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = before


class Drawing(LogitsProcessor):  # type: ignore[misc]  # transformers is not typed
    """Draws each row's next token from its own stream, as our decoder does, and leaves it as the only one there is.

    transformers draws a whole batch from one stream, so that a row's tokens would depend on what shares its batch.
    """

    def __init__(self, draws: torch.Tensor, temperature: float) -> None:
        self.draws, self.temperature, self.width = draws, temperature, 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        return drawn(scores, self.draws[:, input_ids.shape[1] - self.width], self.temperature)


def drawn(scores: torch.Tensor, uniform: torch.Tensor, temperature: float) -> torch.Tensor:
    """Scores (rows, vocabulary) by which one token of each row is the only one: that of its uniform number."""
    cumulative = torch.softmax(scores.double() / temperature, -1).cumsum(-1)
    wanted = uniform.to(scores.device)[:, None] * cumulative[:, -1:]
    chosen = torch.searchsorted(cumulative, wanted, right=True).clamp(max=scores.shape[-1] - 1)
    return torch.full_like(scores, -torch.inf).scatter_(1, chosen, 0.0)


class _Ended(StoppingCriteria):  # type: ignore[misc]
    """Which rows have come to their own limit, or to a stop string."""

    def __init__(self, width: int, limits: Sequence[int], stops: Stops | None, numbers: Sequence[int]) -> None:
        self.width, self.limits, self.stops, self.numbers = width, torch.tensor(limits), stops, numbers
        self.may_end = None if stops is None else stops.may_end(0)
        self.done = torch.zeros(len(limits), dtype=torch.bool)

    def __call__(self, input_ids: torch.Tensor, scores: object, **_: object) -> torch.Tensor:
        made = input_ids.shape[1] - self.width
        self.done |= self.limits <= made
        if self.stops is not None and self.may_end is not None:
            last = input_ids[:, -1].cpu()
            if len(self.may_end) <= int(last.max()):
                self.may_end = self.stops.may_end(int(last.max()) + 1)
            for row in (self.may_end[last] & ~self.done).nonzero()[:, 0].tolist():
                self.done[row] = self.stops.ends(self.numbers[row], input_ids[row, self.width :].tolist())
        return self.done.to(input_ids.device)
