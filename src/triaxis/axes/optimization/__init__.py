"""The optimization axis: how a model is fine-tuned, from batches to the checkpoints of a trajectory."""

from triaxis.axes.optimization.batches import Batch, Row, batches_per_epoch, collate, order, pack
from triaxis.axes.optimization.recipe import Recipe
from triaxis.axes.optimization.training import Training

__all__ = ["Batch", "Recipe", "Row", "Training", "batches_per_epoch", "collate", "order", "pack"]
