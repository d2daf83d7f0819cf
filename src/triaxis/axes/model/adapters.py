"""What of a base is trained: all of it, or low-rank adapters beside its frozen weights (LoRA, arXiv:2106.09685)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triaxis.axes.model.settings import ModelSettings
from triaxis.types import TriaxisError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ADAPTER = "lora_"  # in the names of an adapter's weights


def adapt(model: PreTrainedModel, settings: ModelSettings, seed: int) -> None:
    """Make a base ready to be trained as the settings say, in place; its outputs are the same as before.

    Adapters start at 0: their first matrix is drawn from `seed`, their second is 0. They are kept in fp32 whatever the
    base is in, since steps of fine-tuning are smaller than what bfloat16 can add to a weight. Raises TriaxisError
    where peft is missing or the model has no layer of a name in `lora_targets`.
    """
    if settings.gradient_checkpointing:
        if not model.supports_gradient_checkpointing:
            raise TriaxisError(f"model.gradient_checkpointing: {type(model).__name__} doesn't support it; leave it off")
        # Recomputing what the backward pass needs is called activation checkpointing by transformers from 5.2x on.
        enable = getattr(model, "activation_checkpointing_enable", None)
        if enable is not None:
            enable({"use_reentrant": False})
        else:
            model.gradient_checkpointing_enable({"use_reentrant": False})
    if settings.lora_rank:
        _inject(model, settings, seed)
        _keep_only_adapters(model)
        _whole_inputs(model)


def _inject(model: PreTrainedModel, settings: ModelSettings, seed: int) -> None:
    import torch

    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise TriaxisError("model.lora_rank: adapters need peft: pip install 'triaxis[hf]'") from None
    config = LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        target_modules=settings.targets,
        lora_dropout=0.0,  # a merged model must be the one that was trained
        bias="none",
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            inject_adapter_in_model(config, model)
        except ValueError as problem:
            raise TriaxisError(f"model.lora_targets: {str(problem).splitlines()[0][:200]}") from None
    for name, weight in model.named_parameters():
        weight.requires_grad = ADAPTER in name
        if weight.requires_grad:
            weight.data = weight.data.float()


def _keep_only_adapters(model: PreTrainedModel) -> None:
    """Let the state to resume from hold what is trained alone: the rest is the base's, and is loaded from there."""

    def drop(module: Any, state: dict[str, Any], prefix: str, metadata: Any) -> None:
        for name in [name for name in state if ADAPTER not in name]:
            del state[name]

    def allow(module: Any, keys: Any) -> None:
        keys.missing_keys[:] = [name for name in keys.missing_keys if ADAPTER in name]

    model.register_state_dict_post_hook(drop)
    model.register_load_state_dict_post_hook(allow)


def _whole_inputs(model: PreTrainedModel) -> None:
    """Give the head inputs that lie in one piece. Of a slice (the last token of each prompt), torch multiplies a matrix
    that isn't trained by copying it for every line: 57 MB a line of SmolLM2, gigabytes in a batch of prompts."""
    head = model.get_output_embeddings()
    if head is not None:
        head.register_forward_pre_hook(lambda module, inputs: (inputs[0].contiguous(), *inputs[1:]))


def is_adapted(model: PreTrainedModel) -> bool:
    """Whether a model has adapters."""
    return any(ADAPTER in name for name, _ in model.named_parameters())


@contextmanager
def merged(model: PreTrainedModel) -> Iterator[PreTrainedModel]:
    """The model with its adapters added into its weights: the same outputs to rounding, and faster to generate.

    Afterwards the weights are those from before, to the bit: subtracting the adapters again would leave rounding
    behind, and an interrupted run would differ from an uninterrupted one. Without adapters nothing is done.
    """
    layers = _adapted_layers(model)
    before = [layer.get_base_layer().weight.detach().clone() for layer in layers]
    for layer in layers:
        layer.merge()
    try:
        yield model
    finally:
        for layer, weight in zip(layers, before, strict=True):
            layer.get_base_layer().weight.data.copy_(weight)
            layer.merged_adapters.clear()


def _adapted_layers(model: PreTrainedModel) -> list[Any]:
    if not is_adapted(model):
        return []
    from peft.tuners.lora import LoraLayer

    return [module for module in model.modules() if isinstance(module, LoraLayer)]


def save_merged(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write a model as any Hugging Face tool loads it, adapters merged into its weights."""
    save_weights(model, folder)
    tokenizer.save_pretrained(folder)


def save_weights(model: PreTrainedModel, folder: Path) -> None:
    """The same without a tokenizer."""
    with merged(model):
        model.save_pretrained(folder, state_dict=_plain_state(model))


def _plain_state(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """The weights under the names that they have without adapters. Not `state_dict`, which holds adapters alone."""
    buffers = {name for name, _ in model.named_buffers()}
    held = {name: p.detach() for name, p in model.named_parameters(remove_duplicate=False) if ADAPTER not in name}
    for prefix, module in model.named_modules(remove_duplicate=False):
        for name, buffer in module._buffers.items():
            full = f"{prefix}.{name}" if prefix else name
            if buffer is not None and full in buffers and name not in module._non_persistent_buffers_set:
                held[full] = buffer
    return {name.replace(".base_layer.", "."): weight for name, weight in held.items()}
