"""The model axis: the bases that a study can start from."""

from __future__ import annotations

import difflib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triaxis.types import TriaxisError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

LAB = "lab:"
_BASES = Path(__file__).parent / "bases"  # shipped inside the package, in the form of any Hugging Face model


def base_names() -> tuple[str, ...]:
    """The bases that are shipped, strongest first."""
    return tuple(LAB + name for name in ("strong", "weak"))


def base_path(name: str) -> Path:
    """The folder of a base: one of `base_names()`, or a folder that holds a saved model.

    Raises TriaxisError for an unknown name, with the nearest, and for a folder without a model.
    """
    if name in base_names():
        return _BASES / name.removeprefix(LAB)
    if name.startswith(LAB) or not Path(name).is_dir():
        near = difflib.get_close_matches(name, base_names(), n=1)
        hint = f'did you mean "{near[0]}"?' if near else f"choose one of {', '.join(base_names())}"
        raise TriaxisError(f'model.base: unknown base "{name}"; {hint}, or name a folder that holds a saved model')
    if not (Path(name) / "config.json").is_file():
        raise TriaxisError(f"model.base: {name} holds no config.json; name a folder written by save_pretrained")
    return Path(name)


def fingerprint(name: str) -> str:
    """Twelve hex digits of what a base is: its weights, its configuration and its tokenizer, whatever it is called."""
    digest = hashlib.sha256()
    for path in sorted(base_path(name).iterdir()):
        if path.suffix in (".safetensors", ".json", ".jinja", ".model", ".txt") and path.is_file():
            digest.update(path.name.encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]


def load_base(name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A base in fp32 and evaluation mode, a fresh copy each time, with its tokenizer.

    Raises TriaxisError where it can't be loaded, or where its tokenizer could not train a model to stop: it needs a
    chat template, and a padding token that isn't the end token.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer  # seconds, which asking for a name need not pay

    path = base_path(name)
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(path, dtype="float32", local_files_only=True)
        tokenizer: Any = AutoTokenizer.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError, KeyError) as problem:
        raise TriaxisError(f"model.base: {name} can't be loaded: {str(problem).splitlines()[0]}") from problem
    if tokenizer.chat_template is None:
        raise TriaxisError(f"model.base: the tokenizer of {name} has no chat template; give it one")
    if tokenizer.eos_token_id is None or tokenizer.pad_token_id in (None, tokenizer.eos_token_id):
        raise TriaxisError(f"model.base: the tokenizer of {name} needs an end token, and a padding token unlike it")
    return model.eval(), tokenizer


__all__ = ["base_names", "base_path", "fingerprint", "load_base"]
