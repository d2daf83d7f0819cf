"""Learning-rate schedules: the factor on the peak rate at each optimizer step."""

from __future__ import annotations

import math

from triaxis.axes.optimization.recipe import Recipe


def rate_factor(recipe: Recipe, step: int) -> float:
    """The factor on the peak learning rate for the update number `step` (0 is the first).

    The warm-up is linear over `recipe.warmup` updates and never starts at 0, so that no update is lost.
    The end, `final_ratio`, is where the update after the last would be, so that no update is lost there either.
    """
    warmup = recipe.warmup
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, recipe.steps - warmup)
    low = recipe.final_ratio
    if recipe.schedule == "constant":
        return 1.0
    if recipe.schedule == "linear":
        return low + (1 - low) * (1 - progress)
    if recipe.schedule == "cosine":
        return low + (1 - low) * 0.5 * (1 + math.cos(math.pi * progress))
    if recipe.schedule == "inverse_sqrt":
        return _inverse_sqrt(recipe, step - warmup, warmup)
    begins = recipe.decay_start * recipe.steps
    if step < begins:
        return 1.0
    return low + (1 - low) * (1 - (step - begins) / max(1.0, recipe.steps - begins))


def _inverse_sqrt(recipe: Recipe, after: int, warmup: int) -> float:
    """1 / sqrt(1 + t / T), `after` = t updates after the warm-up.

    T is the warm-up (one update where there is none), which is sqrt(warmup / step) as published (Vaswani et al. 2017,
    arXiv:1706.03762, section 5.3); where a final ratio is given, T is what makes the curve end there.
    """
    scale = float(max(1, warmup))
    if recipe.final_ratio == 1:
        return 1.0
    if recipe.final_ratio > 0:
        scale = max(1, recipe.steps - warmup) / (recipe.final_ratio**-2 - 1)
    return 1 / math.sqrt(1 + after / scale)
