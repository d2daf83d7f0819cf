"""The data axis: what a model is fine-tuned on."""

from triaxis.axes.data.held_out import held_out_set
from triaxis.axes.data.training_set import (
    TrainingExample,
    TrainingSet,
    check_apart,
    check_data,
    noted_training_set,
    training_set,
)

__all__ = [
    "TrainingExample",
    "TrainingSet",
    "check_apart",
    "check_data",
    "held_out_set",
    "noted_training_set",
    "training_set",
]
