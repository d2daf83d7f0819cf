"""The weights of a checkpoint as `save_pretrained` writes them: a whole model, or adapters in peft's form."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from triaxis.axes.model.adapters import ADAPTER, is_adapted
from triaxis.axes.model.saved import WEIGHTS

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

OF_PEFT = "base_model.model."  # before the names of weights in peft's files
NAMED = ".default."  # the adapter's name, which the files leave out


def save_trained(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, base: str, folder: Path) -> None:
    """Write what was trained, with the tokenizer and its chat template: what `load_saved` reads and others load.

    Of a model with adapters these alone are written, with the name of `base`, beside which they belong.
    """
    if is_adapted(model):
        _save_adapters(model, base, folder)
    else:
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def weight_bytes(model: PreTrainedModel) -> int:
    """Bytes of the weights that `save_trained` writes."""
    adapted = is_adapted(model)
    return sum(p.numel() * p.element_size() for n, p in model.named_parameters() if not adapted or ADAPTER in n)


def _save_adapters(model: PreTrainedModel, base: str, folder: Path) -> None:
    from safetensors.torch import save_file

    found: Any = getattr(model, "peft_config", {})
    config = found["default"]
    before = config.base_model_name_or_path, config.inference_mode
    config.base_model_name_or_path, config.inference_mode = base, True
    try:
        config.save_pretrained(folder)
    finally:
        config.base_model_name_or_path, config.inference_mode = before
    weights = {
        f"{OF_PEFT}{name.replace(NAMED, '.')}": p.detach().cpu().contiguous()
        for name, p in model.named_parameters()
        if ADAPTER in name
    }
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
