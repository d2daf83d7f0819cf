"""The model axis: the bases that a study can start from, and how they are loaded and trained."""

from triaxis.axes.model.adapters import adapt, is_adapted, merged, save_merged
from triaxis.axes.model.kept import save_trained, weight_bytes
from triaxis.axes.model.loading import embeddings, load_base, load_tokenizer
from triaxis.axes.model.places import base_names, base_path, fingerprint
from triaxis.axes.model.saved import fingerprint_saved, load_saved, look_at_saved
from triaxis.axes.model.settings import ModelSettings

__all__ = [
    "ModelSettings",
    "adapt",
    "base_names",
    "base_path",
    "embeddings",
    "fingerprint",
    "fingerprint_saved",
    "is_adapted",
    "load_base",
    "load_saved",
    "load_tokenizer",
    "look_at_saved",
    "merged",
    "save_merged",
    "save_trained",
    "weight_bytes",
]
