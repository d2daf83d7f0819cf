"""How likely given continuations are after a prompt: one forward pass a batch, nothing is generated."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from triaxis.types import RunFailed

Pair = tuple[tuple[int, ...], tuple[int, ...]]  # a prompt and its continuation, in tokens
MOST_LOGITS = 1 << 27  # of a batch, half a gigabyte: a vocabulary of 150,000 leaves room for few rows


def log_likelihoods(model: PreTrainedModel, pairs: Sequence[Pair], *, pad: int, batch_size: int) -> list[float]:
    """log P(continuation | prompt) of each pair in nats, the sum over its tokens, in the order given."""
    return [log_probability for log_probability, _ in scored(model, pairs, pad, batch_size)]


@torch.inference_mode()
def scored(model: PreTrainedModel, pairs: Sequence[Pair], pad: int, batch_size: int) -> list[tuple[float, bool]]:
    """The log-likelihood of each pair, and whether its continuation is what greedy decoding gives.

    A pair that is asked several times is computed once. Rows are padded on the left and padding is never seen, so no
    number depends on `batch_size` but to rounding. Raises RunFailed where a model gives no numbers.
    """
    model.eval()
    # Rows of like length share a batch: little padding.
    order = sorted(set(pairs), key=lambda pair: (len(pair[1]), len(pair[0]), pair))
    found: dict[Pair, tuple[float, bool]] = {}
    start = 0
    while start < len(order):
        batch = order[start : start + batch_size]
        kept = len(batch[-1][1]) + 1
        batch = batch[: max(1, MOST_LOGITS // (kept * model.config.get_text_config().vocab_size))]
        found.update(zip(batch, _batch(model, batch, pad), strict=True))
        start += len(batch)
    if any(value != value for value, _ in found.values()):
        raise RunFailed("the log-likelihood of a choice is not a number: the checkpoint's weights may be broken")
    return [found[pair] for pair in pairs]


def _batch(model: PreTrainedModel, pairs: Sequence[Pair], pad: int) -> list[tuple[float, bool]]:
    rows = [prompt + continuation for prompt, continuation in pairs]
    width, longest = max(map(len, rows)), max(len(continuation) for _, continuation in pairs)
    device = model.device
    ids = torch.tensor([[pad] * (width - len(row)) + list(row) for row in rows], device=device)
    seen = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device)
    output = model(
        input_ids=ids,
        attention_mask=seen,
        position_ids=(seen.cumsum(-1) - 1).clamp(min=0),
        use_cache=False,
        logits_to_keep=longest + 1,
    )
    # The logits at a place are of the next token, so the last place's are of nothing that is asked.
    logits = output.logits[:, -longest - 1 : -1].float()
    targets = ids[:, -longest:]
    each = logits.gather(-1, targets[..., None])[..., 0] - logits.logsumexp(-1)
    own = torch.tensor([[0] * (longest - len(c)) + [1] * len(c) for _, c in pairs], dtype=torch.bool, device=device)
    sums: list[float] = each.double().masked_fill(~own, 0.0).sum(-1).tolist()
    greedy: list[bool] = ((logits.argmax(-1) == targets) | ~own).all(-1).tolist()
    return list(zip(sums, greedy, strict=True))
