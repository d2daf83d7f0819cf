"""The losses of supervised tokens, summed; in chunks where all logits at once would not fit."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from triaxis.axes.optimization.batches import IGNORED, Batch

# Positions times vocabulary from which the loss is taken in chunks, and the size of a chunk: 64 MiB in fp32, twice the
# size up to which glibc may keep freed memory for itself (with chunks of 16 MiB the peak was four times higher). The
# lab, with its 64 words, stays far below. Measured: docs/optimization.md.
LOGITS_AT_ONCE = 2**24


class Summed(NamedTuple):
    """Sums over the supervised tokens of a batch, each a scalar."""

    objective: torch.Tensor  # what is minimised
    cross_entropy: torch.Tensor  # nats, whatever the objective; without gradient
    correct: torch.Tensor  # tokens that were the likeliest


def summed(
    module: nn.Module, batch: Batch, loss: str = "nll", label_smoothing: float = 0.0, chunks: bool | None = None
) -> Summed:
    """The loss of a batch, summed over its supervised tokens, so that sums of micro-batches add up to the whole's.

    `nll` is the cross-entropy; `dft` weighs each token's loss by the probability of the token, through which no
    gradient flows (Wu et al. 2025, arXiv:2508.05629, eq. 9). Smoothing takes that share of the target from the token
    and spreads it evenly over the vocabulary (Szegedy et al. 2016, arXiv:1512.00567), under `dft` before the weight.
    `chunks` says whether the module's head may be applied in chunks (`can_chunk`) where that was found out before.
    """
    targets = batch.labels[:, 1:]
    kept = targets != IGNORED
    wanted = targets[kept]
    head = _head_for_chunks(module, batch, chunks)
    if head is None:
        return _of_logits(_logits(module, batch)[:, :-1][kept], wanted, loss, label_smoothing)
    states = _states(module, head, batch)[0][:, :-1][kept]
    rows = max(1, LOGITS_AT_ONCE // head.out_features)
    parts = [
        checkpoint(_of_states, head, some, those, loss, label_smoothing, use_reentrant=False)
        for some, those in zip(torch.split(states, rows), torch.split(wanted, rows), strict=True)
    ]
    return Summed(*(torch.stack(each).sum() for each in zip(*parts, strict=True)))


def output_head(module: nn.Module) -> Any:
    """The layer that makes logits of hidden states, or None where the module names none, as transformers' models do."""
    inner: Any = getattr(module, "module", module)  # DistributedDataParallel hides its module's methods
    return getattr(inner, "get_output_embeddings", lambda: None)()


def _of_logits(logits: torch.Tensor, wanted: torch.Tensor, loss: str, smoothing: float) -> Summed:
    """The sums for logits (tokens, vocabulary) and the tokens wanted (tokens,), in fp32."""
    scores = logits.float()
    if loss == "nll" and not smoothing:
        objective = cross_entropy(scores, wanted, reduction="sum")
        nats = objective.detach()
    else:
        each = cross_entropy(scores, wanted, reduction="none", label_smoothing=smoothing)
        plain = cross_entropy(scores.detach(), wanted, reduction="none") if smoothing else each.detach()
        objective, nats = (each * plain.neg().exp() if loss == "dft" else each).sum(), plain.sum()
    with torch.no_grad():
        return Summed(objective, nats, (logits.argmax(-1) == wanted).sum())


def _of_states(head: nn.Module, states: torch.Tensor, wanted: torch.Tensor, loss: str, smoothing: float) -> Summed:
    """The same from hidden states (tokens, hidden); run again in the backward pass instead of keeping logits."""
    return _of_logits(head(states), wanted, loss, smoothing)


def _logits(module: nn.Module, batch: Batch) -> torch.Tensor:
    where = {} if batch.positions is None else {"position_ids": batch.positions}
    logits: torch.Tensor = module(input_ids=batch.input_ids, use_cache=False, **where).logits
    return logits


def _states(module: nn.Module, head: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """The hidden states that the head is given, at every position, and the module's logits at the last one."""
    given: list[torch.Tensor] = []

    def take(_head: nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        given.append(args[0])
        return (args[0][:, -1:], *args[1:])

    hook = head.register_forward_pre_hook(take)
    try:
        logits = _logits(module, batch)
    finally:
        hook.remove()
    return given[0], logits


def _head_for_chunks(module: nn.Module, batch: Batch, chunks: bool | None) -> Any:
    """The head to apply in chunks, or None where the batch is small or the module's logits aren't the head's output."""
    head = output_head(module)
    if batch.input_ids.numel() * getattr(head, "out_features", 0) <= LOGITS_AT_ONCE:
        return None
    return head if (can_chunk(module, batch) if chunks is None else chunks) else None


def can_chunk(module: nn.Module, batch: Batch | None = None) -> bool:
    """Whether a module's logits are its head's output at each position: one token, of a batch or any, tells.

    Some models cap or scale what their head gives (Gemma 2, Granite, Cohere): they take the plain path, which needs the
    memory and is right.
    """
    head = output_head(module)
    ids = torch.zeros((1, 1), dtype=torch.int64) if batch is None else batch.input_ids[:1, :1]
    one = Batch(ids.to(next(module.parameters()).device), ids, None, ())
    try:
        with torch.no_grad():
            states, logits = _states(module, head, one)
            return states.ndim == 3 and torch.equal(head(states).float(), logits.float())
    except (AttributeError, IndexError, TypeError):  # it has no head, never calls it, or not with hidden states alone
        return False
