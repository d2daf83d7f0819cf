"""The training loop: from batches to the checkpoints of a trajectory, resumable at any of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from triaxis.axes.optimization.batches import Batch
from triaxis.axes.optimization.crew import ALONE, Crew, finite
from triaxis.axes.optimization.held import hold
from triaxis.axes.optimization.optimizers import build_optimizers, clip, set_rate, trainable
from triaxis.axes.optimization.recipe import Recipe
from triaxis.axes.optimization.sam import perturbed
from triaxis.axes.optimization.schedules import rate_factor
from triaxis.types import Checkpoint, RunFailed

BatchOf = Callable[[int], Sequence[Batch]]  # the micro-batches of an optimizer step, a pure function of the step


class Training:
    """One run of optimization over a module, advanced from checkpoint to checkpoint.

    The loss of a step is the sum over its micro-batches divided by the supervised tokens of them all, so that
    one batch of 32 equals four of 8, to rounding; with SAM that holds of both its gradients. All randomness of a step
    is seeded by (recipe.seed, step).

    With a `crew` of several processes each gives its own micro-batches, and all of them call every method at once; the
    step is that of one process with all their micro-batches. `module` is whole, and up to date after `run_to`, in the
    first process.
    """

    def __init__(self, module: nn.Module, batch_of: BatchOf, recipe: Recipe, crew: Crew = ALONE) -> None:
        self.module = module.train()
        self.batch_of = batch_of
        self.recipe = recipe
        self.crew = crew
        self._held = hold(module, recipe, crew)
        self.optimizers = build_optimizers(self._held.trained, recipe)
        self.step = 0
        self.tokens = 0
        self._window = _Window()
        self._told: list[tuple[float, int, int]] = []

    def take_told(self) -> list[tuple[float, int, int]]:
        """Of each step since this was last asked: summed cross-entropy in nats, tokens predicted right, supervised
        tokens."""
        told, self._told = self._told, []
        return told

    def run_to(self, step: int) -> Checkpoint:
        """Train until `step` optimizer steps are done and describe that point; `epoch` is left to who knows the data.

        The point's loss is the cross-entropy, whatever is minimised, so that runs with different losses compare; its
        tokens are those of the data, each counted once, though SAM passes over them twice (`Recipe.passes`).

        Raises RunFailed where the loss is not finite, with the step and the rows of the batch, and where the weights
        are not, before they can be measured; of several processes, all of them.
        """
        self._held.set_out()
        while self.step < step:
            self._one_step()
        if not finite(list(self._held.trained.parameters()), self.crew):
            raise RunFailed(
                f"step {self.step}: the weights are not finite; lower the learning rate or clip the gradient"
            )
        self._held.collect()
        window, self._window = self._window, _Window()
        return Checkpoint(self.step, self.tokens, loss=window.loss(), token_accuracy=window.accuracy())

    def _one_step(self) -> None:
        self._seed()
        batches, supervised = self.crew.together(self.batch_of(self.step))
        nats, correct = self._gradient(batches, supervised)
        if self.recipe.sam_rho:
            with perturbed(trainable(self._held.trained), self.recipe.sam_rho):
                self._seed()  # what dropout hides is the same in both passes: one function, at two points
                self._gradient(batches, supervised)
        clip(self._held.trained, self.recipe.gradient_clip)
        set_rate(self.optimizers, self.recipe.learning_rate * rate_factor(self.recipe, self.step))
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.tokens += supervised
        self._window.loss_sum += nats
        self._window.correct += correct
        self._window.tokens += supervised
        self._told.append((nats, correct, supervised))

    def _seed(self) -> None:
        torch.manual_seed(self.recipe.seed * 1_000_003 + self.step + (self.crew.rank << 48))

    def _gradient(self, batches: Sequence[Batch], supervised: int) -> tuple[float, int]:
        """Add up the gradient of the whole batch's loss; gives back its summed cross-entropy and tokens predicted.

        Raises RunFailed where the loss is not finite.
        """
        total, nats, correct = 0.0, 0.0, 0
        for place, batch in enumerate(batches, 1):
            part = self._held.add(batch, supervised, last=place == len(batches))
            total += part.objective.item()
            nats += part.cross_entropy.item()
            correct += int(part.correct)
        here = math.isfinite(total)
        total, nats, hits = self.crew.summed(total, nats, correct)
        if not math.isfinite(total):
            ids = self.crew.listed([] if here else [i for b in batches for i in b.ids])
            raise RunFailed(
                f"step {self.step + 1}: the loss is {total}; rows {', '.join(ids[:4])}"
                f"{f' and {len(ids) - 4} more' if len(ids) > 4 else ''}; lower the learning rate or clip the gradient"
            )
        return nats, int(hits)

    def state(self) -> dict[str, Any]:
        """Everything that is needed to go on from here as if nothing had happened; for torch.save.

        It is that of one process, whole, in the first of several; call it at a checkpoint.
        """
        return {
            "module": self._held.weights(),
            "optimizers": [self._held.whole(o) for o in self.optimizers],
            "step": self.step,
            "tokens": self.tokens,
        }

    def restore(self, state: dict[str, Any] | None) -> None:
        """Go back to a state that `state` gave at a checkpoint, of however many processes; the first one's counts."""
        state = self.crew.given(state)
        self._held.put(state["module"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            self._held.restore(optimizer, saved)
        self.step, self.tokens = state["step"], state["tokens"]
        self._window = _Window()
        self._told = []


class _Window:
    """Sums since the last checkpoint."""

    def __init__(self) -> None:
        self.loss_sum, self.tokens, self.correct = 0.0, 0, 0

    def loss(self) -> float | None:
        return self.loss_sum / self.tokens if self.tokens else None

    def accuracy(self) -> float | None:
        return self.correct / self.tokens if self.tokens else None
