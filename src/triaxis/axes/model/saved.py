"""A checkpoint as a trainer leaves it: a model, or adapters beside their base; with its own tokenizer or its base's."""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triaxis.axes.model.loading import config_of, load_base, load_tokenizer, look_at
from triaxis.axes.model.places import fingerprint
from triaxis.axes.model.settings import ModelSettings
from triaxis.axes.model.weights import PICKLES
from triaxis.types import TriaxisError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ADAPTERS = "adapter_config.json"  # what peft writes instead of config.json
WEIGHTS = "adapter_model.safetensors"


def load_saved(settings: ModelSettings, base: str = "") -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The checkpoint `settings.base`, ready to answer. `base` is what its run started from, where that is known.

    Adapters stay beside the weights of their base, as they were trained. Raises TriaxisError as `load_base` does.
    """
    name = settings.base
    if not _has_adapters(name):
        return load_base(name, settings, _tokenizer_of(name, base))
    whole = _base_of(name, base)
    model, _ = load_base(whole, replace(settings, base=whole))
    return _with_adapters(model, name), _own_tokenizer(name, whole, settings)


def look_at_saved(settings: ModelSettings, base: str = "") -> tuple[PreTrainedTokenizerBase, int]:
    """Its tokenizer and its context in tokens: what can be known, and refused, without its weights."""
    name = settings.base
    if not _has_adapters(name):
        return look_at(name, settings, _tokenizer_of(name, base))
    whole = _base_of(name, base)
    _, context = look_at(whole, replace(settings, base=whole))
    return _own_tokenizer(name, whole, settings), context


def config_of_saved(settings: ModelSettings, base: str = "") -> Any:
    """The configuration of a checkpoint; of adapters, that of what they were trained beside."""
    name = _base_of(settings.base, base) if _has_adapters(settings.base) else settings.base
    return config_of(name, replace(settings, base=name))


def fingerprint_saved(name: str, base: str = "") -> str:
    """Twelve hex digits of what a checkpoint is, that of which it takes a part from its base included."""
    if _has_adapters(name):
        whole = _base_of(name, base)
        digest = hashlib.sha256(fingerprint(whole).encode())
        for path in sorted(p for p in Path(name).iterdir() if p.suffix in (".safetensors", ".json", ".jinja")):
            digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()[:12]
    lent = _tokenizer_of(name, base)
    own = fingerprint(name)
    return hashlib.sha256(f"{own} {fingerprint(lent)}".encode()).hexdigest()[:12] if lent else own


def _has_adapters(name: str) -> bool:
    folder = Path(name)
    return (folder / ADAPTERS).is_file() and not (folder / "config.json").is_file()


def _base_of(name: str, base: str) -> str:
    """What adapters were trained beside: the run's base, else the one that they name themselves."""
    folder = Path(name)
    if not (folder / WEIGHTS).is_file():
        pickled = any(file.suffix in PICKLES for file in folder.iterdir())
        what = "adapters as a pickle, which can run code when it is read" if pickled else f"no {WEIGHTS}"
        raise TriaxisError(f"model.base: {name} holds {what}; save them as safetensors where you trust them")
    try:
        named = str(json.loads((folder / ADAPTERS).read_text(encoding="utf-8")).get("base_model_name_or_path") or "")
    except (OSError, ValueError, AttributeError) as problem:
        raise TriaxisError(f"model.base: {name}: its {ADAPTERS} can't be read ({problem})") from None
    if not (base or named):
        raise TriaxisError(f"model.base: {name} holds adapters that don't name their base; give it: --base BASE")
    return base or named


def _with_adapters(model: PreTrainedModel, name: str) -> PreTrainedModel:
    try:
        from peft import PeftModel
    except ImportError:
        raise TriaxisError(f"model.base: {name} holds adapters, which need peft: pip install 'triaxis[hf]'") from None
    try:
        with warnings.catch_warnings():
            # Weights that a file lacks would be drawn at random, with no more than a warning.
            warnings.filterwarnings("error", message=".*missing adapter keys.*")
            adapted: Any = PeftModel.from_pretrained(model, name, is_trainable=False).eval()
        if adapted.active_peft_config.is_prompt_learning:
            raise TypeError("a learned prompt, and no adapter of weights")
    except Exception as problem:  # peft, safetensors and torch each raise their own
        line = (str(problem).strip().splitlines() or [type(problem).__name__])[0][:160]
        raise TriaxisError(f"model.base: the adapters of {name} don't fit its base ({line})") from problem
    inner: PreTrainedModel = adapted.get_base_model()
    return inner


def _own_tokenizer(name: str, whole: str, settings: ModelSettings) -> PreTrainedTokenizerBase:
    own = name if _has_tokenizer(name) else whole
    return load_tokenizer(own, replace(settings, base=own), Path(name) if own == name else None)


def _tokenizer_of(name: str, base: str) -> str:
    """Whose tokenizer serves a checkpoint that was saved without one; empty where it has its own."""
    return base if Path(name).is_dir() and not _has_tokenizer(name) else ""


def _has_tokenizer(name: str) -> bool:
    return any(Path(name).glob("tokenizer*")) or any(Path(name).glob("*.model"))
