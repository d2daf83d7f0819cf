"""Learning-rate schedules: the factor on the peak rate at each optimizer step."""

from __future__ import annotations

import math

from triaxis.axes.optimization.recipe import Recipe


def rate_factor(recipe: Recipe, step: int) -> float:
    """The factor on the peak learning rate for the update number `step` (0 is the first).

    The warm-up is linear over `round(warmup_ratio * steps)` updates and never starts at 0, so that no update is lost.
    """
    warmup = round(recipe.warmup_ratio * recipe.steps)
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
    begins = recipe.decay_start * recipe.steps
    if step < begins:
        return 1.0
    return low + (1 - low) * (1 - (step - begins) / max(1.0, recipe.steps - begins))
