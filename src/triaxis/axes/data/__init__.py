"""The data axis: what a model is fine-tuned on."""

from triaxis.axes.data.training_set import TrainingExample, training_set

__all__ = ["TrainingExample", "training_set"]
