"""Batched decoding with a key-value cache that retires finished rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

CHUNK = 32  # slots by which the cache grows
PREFILL = 256  # tokens of padding from which on one more forward pass is cheaper, by what a pass costs by itself
RETIRE_AT = 0.85  # a drop of finished rows copies the cache, so it waits until fewer than this share still run


@dataclass(frozen=True)
class Response:
    """The tokens that a model answered, the end token not among them, and whether it ended by itself."""

    tokens: tuple[int, ...]
    finished: bool


class Watched(Protocol):
    """What may end a response before its end token (`stops.Stops`)."""

    def may_end(self, size: int) -> torch.Tensor:
        """(size,), for each token of a vocabulary whether it can be the one that ends a response."""

    def ends(self, prompt: int, tokens: Sequence[int]) -> bool:
        """Whether the response to that prompt ends here; to be asked in the order in which its tokens come."""

    def settled(self, prompt: int, response: Response) -> Response:
        """The response up to where it ends."""


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: Sequence[int],
    eos: int,
    pad: int,
    temperature: float = 0.0,
    seeds: Sequence[int] | None = None,
    batch_size: int = 512,
    stops: Watched | None = None,
) -> list[Response]:
    """Answer each prompt (token ids) with at most its own `max_new_tokens`, in the order given.

    Temperature 0 is greedy. Above it, each row draws from its own stream (`seeds`, one a prompt), one uniform number a
    token through the inverse distribution function: a row's draws don't depend on what shares its batch. `stops` end a
    response early; it counts as finished.
    """
    if temperature > 0 and (seeds is None or len(seeds) != len(prompts)):
        raise ValueError("sampling needs one seed a prompt")
    model.eval()
    responses: dict[int, Response] = {}
    for members in batches(prompts, max_new_tokens, batch_size):
        limits = [max_new_tokens[i] for i in members]
        draws = uniforms([seeds[i] for i in members], max(limits)) if temperature > 0 and seeds is not None else None
        asked = [prompts[i] for i in members]
        answers = _Decoder(model, asked, limits, eos, pad, temperature, draws, stops, members).run()
        responses.update(zip(members, answers, strict=True))
    return [responses[i] for i in range(len(prompts))]


def batches(prompts: Sequence[Sequence[int]], limits: Sequence[int], size: int) -> Iterator[list[int]]:
    """The prompts by number, `size` at a time, the longest of a batch first. Rows of like limit share a batch: they end
    at about the same time."""
    order = sorted(range(len(prompts)), key=lambda i: (limits[i], len(prompts[i])))
    for start in range(0, len(order), size):
        yield sorted(order[start : start + size], key=lambda i: -len(prompts[i]))


def uniforms(seeds: Sequence[int], count: int) -> torch.Tensor:
    """(rows, count) uniform numbers, a stream of its own a row."""
    return torch.from_numpy(np.stack([np.random.Generator(np.random.Philox(key=s)).random(count) for s in seeds]))


class _Decoder:
    """One batch from its prompts to its end. `alive` maps the lines still in the batch to the rows asked for."""

    def __init__(
        self,
        model: PreTrainedModel,
        prompts: Sequence[Sequence[int]],
        limits: Sequence[int],
        eos: int,
        pad: int,
        temperature: float,
        draws: torch.Tensor | None,
        stops: Watched | None,
        numbers: Sequence[int],  # of the prompts, as `stops` knows them
    ) -> None:
        self.model, self.eos, self.temperature, self.draws = model, eos, temperature, draws
        self.stops, self.numbers = stops, numbers
        device = model.device
        self.prompt_lengths = [len(p) for p in prompts]
        width, longest = max(map(len, prompts)), max(limits)
        self.ids = torch.tensor([[pad] * (width - len(p)) + list(p) for p in prompts], device=device)
        lengths = torch.tensor([len(p) for p in prompts], device=device)
        slots = torch.arange(_whole_chunks(width + longest), device=device)
        self.visible = slots[None] >= (width - lengths)[:, None]  # (rows, slots): padding on the left is never seen
        self.positions = (torch.arange(width, device=device)[None] - (width - lengths)[:, None]).clamp(min=0)
        self.limits = torch.tensor(list(limits), device=device)
        self.alive = torch.arange(len(prompts), device=device)
        self.out = torch.full((len(prompts), longest), pad, device=device)
        self.lengths = torch.zeros(len(prompts), dtype=torch.int64, device=device)
        self.finished = torch.zeros(len(prompts), dtype=torch.bool, device=device)
        self.cache = cache_of(model)
        self.seen = 0  # slots filled

    def run(self) -> list[Response]:
        logits = self._prefill()
        may_end = None if self.stops is None else self.stops.may_end(logits.shape[-1]).to(logits.device)
        positions = self.positions[:, -1:]
        running = self.limits > 0
        made = 0
        while bool(running.any()):
            token = self._choose(logits, made)
            ended = token == self.eos
            wrote = running & ~ended
            self.out[self.alive[wrote], made] = token[wrote]
            self.lengths[self.alive[wrote]] = made + 1
            self.finished[self.alive[running & ended]] = True
            made += 1
            running = wrote & (self.limits > made)
            if may_end is not None:
                running &= ~self._stopped(wrote & may_end[token], made)
            if int(running.sum()) < RETIRE_AT * len(running):
                positions, token = positions[running], token[running]
                self._keep(running.nonzero()[:, 0])
                running = running[running]
            if len(running) == 0:
                break
            positions = positions + 1
            logits = self._forward(token[:, None], positions)
        tokens, lengths = self.out.tolist(), self.lengths.tolist()
        finished = self.finished.tolist()
        given = [Response(tuple(t[:n]), f) for t, n, f in zip(tokens, lengths, finished, strict=True)]
        if self.stops is None:
            return given
        return [self.stops.settled(number, r) for number, r in zip(self.numbers, given, strict=True)]

    def _stopped(self, maybe: torch.Tensor, made: int) -> torch.Tensor:
        """Which of these lines hold what stops them; text is made of the few whose last token can be the end of it."""
        stopped = torch.zeros_like(maybe)
        for line in maybe.nonzero()[:, 0].tolist():
            row = int(self.alive[line])
            if self.stops is not None and self.stops.ends(self.numbers[row], self.out[row, :made].tolist()):
                stopped[line] = self.finished[row] = True
        return stopped

    def _prefill(self) -> torch.Tensor:
        """The prompts into the cache; the logits of the first tokens, (lines, vocabulary), float32.

        Into our own buffers the prompts go by length, a forward pass for those that are about as long: padded to the
        longest, a batch of mixed prompts would be mostly padding.
        """
        if not isinstance(self.cache, _BufferedCache):
            return self._forward(self.ids, self.positions)
        width = self.ids.shape[1]
        found = []
        for first, last in _alike(self.prompt_lengths):
            long = self.prompt_lengths[first]
            self.cache.place(slice(first, last), len(self.prompt_lengths), width - long, width)
            ids, positions = self.ids[first:last, -long:], self.positions[first:last, -long:]
            slots = torch.arange(long, device=ids.device)
            seen = self.visible[first:last, None, None, width - long : width] & (slots[None] <= slots[:, None])
            found.append(self._logits(ids, positions, seen | torch.eye(long, dtype=torch.bool, device=ids.device)))
        self.cache.placed()
        self.seen = width
        return torch.cat(found)

    def _forward(self, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Logits of the next token, (lines, vocabulary), float32."""
        logits = self._logits(ids, positions, self._mask(ids.shape[1]))
        self.seen += ids.shape[1]
        return logits

    def _logits(self, ids: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = output.logits[:, -1].float()
        return logits

    def _mask(self, new: int) -> torch.Tensor:
        """What the next `new` tokens may look at: the whole buffer for ours, what is filled for the model's own."""
        if not isinstance(self.cache, _BufferedCache):
            return self.visible[:, : self.seen + new]
        slots = _whole_chunks(self.seen + new)
        queries = torch.arange(self.seen, self.seen + new, device=self.visible.device)
        keys = torch.arange(slots, device=queries.device)
        # Padding looks at itself: a line of the mask with nothing in it is not a number in some kernels.
        itself, before = keys[None] == queries[:, None], keys[None] <= queries[:, None]
        return (self.visible[:, None, None, :slots] & before) | itself

    def _choose(self, logits: torch.Tensor, made: int) -> torch.Tensor:
        if self.draws is None:
            return logits.argmax(-1)
        cumulative = torch.softmax(logits.double() / self.temperature, -1).cumsum(-1)
        wanted = self.draws[self.alive.cpu(), made].to(logits.device)[:, None] * cumulative[:, -1:]
        return torch.searchsorted(cumulative, wanted, right=True)[:, 0].clamp(max=logits.shape[-1] - 1)

    def _keep(self, lines: torch.Tensor) -> None:
        self.alive, self.visible, self.limits = self.alive[lines], self.visible[lines], self.limits[lines]
        self.cache.batch_select_indices(lines)


def cache_of(model: PreTrainedModel) -> Cache:
    """Our buffers where every layer attends in full through torch's attention; else the model's own kind of cache."""
    plain = DynamicCache(config=model.config)
    if model.config._attn_implementation != "sdpa" or any(type(layer) is not DynamicLayer for layer in plain.layers):
        return plain
    return _BufferedCache(layers=[_BufferedLayer() for _ in plain.layers])


def _alike(lengths: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Falling lengths in stretches (first, beyond the last) that hold at most `PREFILL` tokens of padding each."""
    first = padding = 0
    for i, length in enumerate(lengths):
        padding += lengths[first] - length
        if padding > PREFILL:
            yield first, i
            first, padding = i, 0
    yield first, len(lengths)


def _whole_chunks(slots: int) -> int:
    return -(-slots // CHUNK) * CHUNK


class _BufferedCache(Cache):  # type: ignore[misc]  # transformers is not typed
    """A cache whose attention mask covers the whole buffer."""

    def place(self, lines: slice, of: int, start: int, filled: int) -> None:
        """The next forward pass is of the prompts of some of the `of` lines, written from slot `start` to `filled`."""
        for layer in self.layers:
            layer.lines, layer.of, layer.start, layer.filled = lines, of, start, filled

    def placed(self) -> None:
        """All prompts are in: from here on a forward pass is of every line."""
        for layer in self.layers:
            layer.lines, layer.used = None, layer.filled


class _BufferedLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values written in place into a buffer that grows by chunks, and attended to whole.

    Growing by concatenation copies the cache at every token, and a slice of a buffer is not contiguous, which torch's
    CPU kernel answers with a copy of its own (3.4 times slower at 420 lines). Slots not yet filled are zero and masked.
    """

    def __init__(self) -> None:
        super().__init__()
        self.used = self.of = self.start = self.filled = 0
        self.lines: slice | None = None  # those that a forward pass is of, while the prompts come in

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any) -> tuple[Any, Any]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = self._empty(key_states), self._empty(value_states)
        if self.lines is not None:
            self.keys[self.lines, :, self.start : self.filled] = key_states
            self.values[self.lines, :, self.start : self.filled] = value_states
            return key_states, value_states
        end = self.used + key_states.shape[-2]
        if end > self.keys.shape[-2]:
            self.keys, self.values = _grown(self.keys, _whole_chunks(end)), _grown(self.values, _whole_chunks(end))
        self.keys[:, :, self.used : end] = key_states
        self.values[:, :, self.used : end] = value_states
        self.used = end
        return self.keys, self.values

    def _empty(self, states: torch.Tensor) -> torch.Tensor:
        _, heads, _, size = states.shape
        return states.new_zeros((self.of, heads, _whole_chunks(self.filled), size))

    def get_seq_length(self) -> int:
        return self.used


def _grown(states: torch.Tensor, slots: int) -> torch.Tensor:
    lines, heads, filled, size = states.shape
    larger = states.new_zeros((lines, heads, slots, size))
    larger[:, :, :filled] = states
    return larger
