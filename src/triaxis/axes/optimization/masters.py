"""Weights in half precision are updated in float32: a copy of each collects what their own numbers would lose."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

HALF = (torch.bfloat16, torch.float16)
KEPT = "masters"  # the key of a state


def keep_masters(optimizer: Optimizer) -> None:
    """Let an optimizer update float32 copies of its half-precision parameters, which are rounded from them after each
    step (arXiv:1710.03740, section 3.1); before its first step. Others are left alone.

    In bfloat16 a weight has 8 significant bits, and a step below 1/512 of it rounds to nothing: at the rates of
    fine-tuning that is nearly every step. The optimizer's own averages are float32 then as well; those of bfloat16
    stand still where they should decay by 1/1000.
    """
    pairs: list[tuple[nn.Parameter, torch.Tensor]] = []
    for group in optimizer.param_groups:
        for place, weight in enumerate(group["params"]):
            if weight.dtype in HALF:
                master = weight.detach().float().clone().requires_grad_()
                group["params"][place] = master
                pairs.append((weight, master))
    if not pairs:
        return

    def before(*_: Any) -> None:
        for weight, master in pairs:
            master.grad = None if weight.grad is None else weight.grad.float()

    @torch.no_grad()
    def after(*_: Any) -> None:
        for weight, master in pairs:
            weight.copy_(master)
            weight.grad = master.grad = None

    def saved(which: Optimizer, state: dict[str, Any]) -> None:
        state[KEPT] = [master.detach() for _, master in pairs]

    @torch.no_grad()
    def restored(which: Optimizer, state: dict[str, Any]) -> None:
        kept = state.get(KEPT) or [weight for weight, _ in pairs]  # a state from before there were copies
        for (_, master), was in zip(pairs, kept, strict=True):
            master.copy_(was)

    optimizer.register_step_pre_hook(before)
    optimizer.register_step_post_hook(after)
    optimizer.register_state_dict_post_hook(saved)
    optimizer.register_load_state_dict_pre_hook(restored)
