"""The model axis: the bases that a study can start from, and how they are loaded and trained."""

from triaxis.axes.model.adapters import adapt, is_adapted, merged, save_merged, save_weights
from triaxis.axes.model.kept import save_trained, weight_bytes
from triaxis.axes.model.loading import config_of, embeddings, load_base, load_tokenizer, look_at
from triaxis.axes.model.places import base_names, base_path, fingerprint
from triaxis.axes.model.saved import config_of_saved, fingerprint_saved, load_saved, look_at_saved
from triaxis.axes.model.settings import ModelSettings

__all__ = [
    "ModelSettings",
    "adapt",
    "base_names",
    "base_path",
    "config_of",
    "config_of_saved",
    "embeddings",
    "fingerprint",
    "fingerprint_saved",
    "is_adapted",
    "load_base",
    "load_saved",
    "load_tokenizer",
    "look_at",
    "look_at_saved",
    "merged",
    "save_merged",
    "save_trained",
    "save_weights",
    "weight_bytes",
]
