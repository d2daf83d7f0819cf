"""A base and its tokenizer, loaded and made fit to be trained to stop; what can't be is refused in one line."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triaxis.axes.model.adapters import adapt
from triaxis.axes.model.fetched import PACKAGES
from triaxis.axes.model.places import LAB, base_path
from triaxis.axes.model.settings import AUTO, FROM_TOKENIZER, ModelSettings
from triaxis.axes.model.weights import cannot, check_weights
from triaxis.types import RunFailed, TriaxisError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ENDLESS = 2**31 - 1  # tokens; the context of a model that states none
TOKENIZERS = ("tokenizer*", "vocab*", "*.model", "*.tiktoken")  # files that one is made of
_told: set[str] = set()  # bases whose own code was announced by this process


def load_base(
    name: str, settings: ModelSettings | None = None, lender: str = ""
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A base in evaluation mode, a fresh copy each time, with its tokenizer; in fp32 unless the settings say otherwise.

    `lender` is the base whose tokenizer it takes instead of its own. Raises TriaxisError where it can't be loaded,
    isn't a causal language model, or lacks what training and evaluation need: a chat template, an end token, a
    vocabulary that the model covers. Pickles are never read.
    """
    settings = settings or ModelSettings(name)
    path = base_path(name)
    config = _config(name, path)
    check_weights(name, path)
    tokenizer = load_tokenizer(lender or name, settings)
    model = _load_model(name, path, settings, config)
    _check_vocabulary(name, model, tokenizer)
    _make_end_trainable(model, tokenizer)
    model.config.max_position_embeddings = _context(model.config)
    return model.eval(), tokenizer


def look_at(name: str, settings: ModelSettings | None = None, lender: str = "") -> tuple[PreTrainedTokenizerBase, int]:
    """The tokenizer of a base and its context in tokens: what can be known, and refused, without its weights."""
    import torch
    from transformers import AutoModelForCausalLM

    settings = settings or ModelSettings(name)
    path = base_path(name)
    config = _config(name, path)
    check_weights(name, path)
    tokenizer = load_tokenizer(lender or name, settings)
    known, trusted = config_of(name, settings), _trusted(name, path, settings)
    try:
        with torch.device("meta"):  # the model without its weights
            hollow = AutoModelForCausalLM.from_config(known, trust_remote_code=trusted, **_attention(settings))
    except Exception as problem:  # as in _load_model
        raise _not_loaded(name, settings, config, problem) from problem
    _check_vocabulary(name, hollow, tokenizer)
    adapt(hollow, settings, 0)
    return tokenizer, _context(known)


def config_of(name: str, settings: ModelSettings | None = None) -> Any:
    """The configuration of a base, without its weights. Raises TriaxisError where it can't be had."""
    from transformers import AutoConfig

    settings = settings or ModelSettings(name)
    path = base_path(name)
    told = _config(name, path)
    try:
        return AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=_trusted(name, path, settings))
    except Exception as problem:  # as in _load_model
        raise _not_loaded(name, settings, told, problem) from problem


def _context(config: Any) -> int:
    """Tokens that a model takes in; recurrent models state none, and models of several parts that of their text."""
    own = getattr(config, "max_position_embeddings", None)
    return int(own or getattr(config.get_text_config(), "max_position_embeddings", None) or ENDLESS)


def load_tokenizer(
    name: str, settings: ModelSettings | None = None, folder: Path | None = None
) -> PreTrainedTokenizerBase:
    """The tokenizer of a base (or of what lies in `folder`, a tokenizer without a model) with its chat template, an end
    token that ends a turn, and a padding token."""
    from transformers import AutoTokenizer

    settings = settings or ModelSettings(name)
    path = folder or base_path(name)
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(
            path, local_files_only=True, trust_remote_code=_trusted(name, path, settings)
        )
    except Exception as problem:  # files of others: transformers, tokenizers and json each raise their own
        if not any(any(path.glob(pattern)) for pattern in TOKENIZERS):
            raise TriaxisError(
                f"model.base: {name} holds no tokenizer (tokenizer.json); save there the one that it was trained "
                "with, or give a checkpoint's base (--base)"
            ) from None
        raise cannot(name, "its tokenizer can't be loaded", problem) from problem
    if settings.chat_template != FROM_TOKENIZER:
        tokenizer.chat_template = template_of(settings.chat_template)
    if tokenizer.chat_template is None:
        raise TriaxisError(
            f"model.base: the tokenizer of {name} has no chat template; give it one: model.chat_template: FILE"
        )
    _make_turns_end(name, path, tokenizer)
    if tokenizer.pad_token_id is None:
        # Any token will do, this one too: what is padding is told by its place and never by its number, neither in
        # labels nor in what is attended to (axes/optimization/batches.py, evaluate/generate.py).
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.unk_token_id in (tokenizer.eos_token_id, tokenizer.bos_token_id):
        tokenizer.unk_token = None  # byte-level: every text can be written, and no word is unknown
    return tokenizer


def template_of(file: str) -> str:
    """The chat template in a file, `FILE` or `FILE#digest`. Raises TriaxisError where it is not what it was."""
    path, _, digest = file.partition("#")
    try:
        content = Path(path).read_bytes()
        text = content.decode()
    except (OSError, UnicodeDecodeError) as problem:
        raise TriaxisError(f"model.chat_template: {path} can't be read ({problem})") from None
    if digest and hashlib.sha256(content).hexdigest()[:12] != digest:
        raise TriaxisError(f"model.chat_template: {path} has changed since the study was checked; put it back")
    return text


# -- before anything is loaded ----------------------------------------------------------------------------------------


def _config(name: str, path: Path) -> Mapping[str, Any]:
    """config.json, of a model that writes text from left to right."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    try:
        config: dict[str, Any] = json.loads((path / "config.json").read_text(encoding="utf-8"))
        built = [str(kind) for kind in config.get("architectures") or ()]
    except (OSError, ValueError, TypeError, AttributeError) as problem:
        raise cannot(name, "its config.json can't be read", problem) from None
    causal = {kind for kinds in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values() for kind in _listed(kinds)}
    own = "AutoModelForCausalLM" in (config.get("auto_map") or {})
    if not own and config.get("model_type") and config["model_type"] not in CONFIG_MAPPING_NAMES:
        raise TriaxisError(
            f"model.base: {name} is of type {config['model_type']}, which transformers {version('transformers')} "
            "doesn't know; install a newer one, or take another model"
        )
    if config.get("is_encoder_decoder") or (built and not own and not causal.intersection(built)):
        kind = ", ".join(built) or config.get("model_type")
        raise TriaxisError(f"model.base: {name} is no causal language model ({kind}); take one that continues text")
    return config


def _listed(kinds: str | tuple[str, ...]) -> tuple[str, ...]:
    return (kinds,) if isinstance(kinds, str) else tuple(kinds)


def _trusted(name: str, path: Path, settings: ModelSettings) -> bool:
    """Whether code that comes with the model may run, which is said aloud where there is any."""
    if not settings.trust_remote_code or name.startswith(LAB) or name in PACKAGES:
        return False
    code = sorted(file.name for file in path.glob("*.py"))
    if code and name not in _told:
        _told.add(name)
        print(f"triaxis: model.trust_remote_code: running the code of {name}: {', '.join(code)}", file=sys.stderr)
    return True


# -- the model --------------------------------------------------------------------------------------------------------


def _load_model(name: str, path: Path, settings: ModelSettings, config: Mapping[str, Any]) -> PreTrainedModel:
    from transformers import AutoModelForCausalLM

    try:
        with _quiet():
            model, found = AutoModelForCausalLM.from_pretrained(
                path,
                dtype=settings.dtype,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=_trusted(name, path, settings),
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are told below
                **_attention(settings),
            )
    except Exception as problem:  # transformers, safetensors and torch each raise their own
        raise _not_loaded(name, settings, config, problem) from problem
    _check_found(name, found)
    _check_finite(name, model)
    result: PreTrainedModel = model
    return result


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' table of what didn't fit: what matters of it is told in one line."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _attention(settings: ModelSettings) -> dict[str, Any]:
    return {} if settings.attention == AUTO else {"attn_implementation": settings.attention}


def _not_loaded(
    name: str, settings: ModelSettings, config: Mapping[str, Any], problem: BaseException
) -> TriaxisError | RunFailed:
    if settings.attention != AUTO and "attn" in str(problem).lower().replace("attention", "attn"):
        line = str(problem).splitlines()[0][:160]
        return TriaxisError(f"model.attention: {name} can't have {settings.attention} here ({line})")
    return cannot(name, f"a model of type {config.get('model_type', 'none')}", problem)


def _check_found(name: str, found: Mapping[str, Any]) -> None:
    """Refuse weights that lack a part or are of another shape: both are drawn at random, and would be measured as if
    they were the model's."""
    if missing := sorted(found["missing_keys"]):
        some = f"{missing[0]}{f' and {len(missing) - 1} more' if len(missing) > 1 else ''}"
        raise TriaxisError(f"model.base: {name} can't be loaded: its weights lack {some}; save it again, whole")
    if found["mismatched_keys"]:
        key, has, wanted = sorted(found["mismatched_keys"], key=lambda told: str(told[0]))[0]
        raise TriaxisError(
            f"model.base: {name} can't be loaded: {key} has shape {tuple(has)} in its weights, and {tuple(wanted)} by "
            "its config.json; one of the two isn't its own"
        )


def _check_finite(name: str, model: PreTrainedModel) -> None:
    """Refuse weights that are no numbers: what they answer is noise, and would be scored."""
    if wrong := [key for key, weight in model.named_parameters() if not bool(weight.isfinite().all())]:
        some = f"{wrong[0]}{f' and {len(wrong) - 1} more' if len(wrong) > 1 else ''}"
        raise TriaxisError(
            f"model.base: {name}: its weights are not finite ({some}): they are damaged, or its training diverged; "
            "take another checkpoint"
        )


def _check_vocabulary(name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a tokenizer that makes tokens which the model has no embedding for.

    Special tokens beyond the end (for images, of a text-only model) never come from text; the rows of a run are
    checked against the embeddings again.
    """
    rows = embeddings(model)
    special = set(tokenizer.all_special_ids) - {tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id}
    special |= {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    beyond = [i for i in tokenizer.get_vocab().values() if i >= rows]
    if any(i not in special for i in beyond) or (tokenizer.eos_token_id or 0) >= rows:
        raise TriaxisError(
            f"model.base: {name}: its tokenizer has {len(tokenizer):,} tokens and the model embeds {rows:,}; one of "
            "the two isn't its own, or tokens were added: then resize_token_embeddings(len(tokenizer)), and save both"
        )


def embeddings(model: PreTrainedModel) -> int:
    """The number of tokens that a model has an embedding for."""
    return int(model.get_input_embeddings().weight.shape[0])


def _make_end_trainable(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Where the padding token is the end token, torch would give the end token's embedding no gradient."""
    table = model.get_input_embeddings()
    if getattr(table, "padding_idx", None) == tokenizer.eos_token_id:
        table.padding_idx = None


# -- turns ------------------------------------------------------------------------------------------------------------


def _make_turns_end(name: str, path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Take for the end token the one that the chat template puts after a response, where the model ends there too.

    Some models (Gemma) end a turn with a token that their tokenizer doesn't call the end; their generation
    configuration lists it. Where there is no such token, `render` refuses to train, and names what it found.
    """
    from jinja2 import TemplateError

    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]
    try:
        ids = tokenizer.apply_chat_template(turns, return_dict=False)
        prompt = tokenizer.apply_chat_template(turns[:1], add_generation_prompt=True, return_dict=False)
    except (TemplateError, ValueError, TypeError) as problem:
        line = (str(problem).splitlines() or ["it fails"])[0][:160]
        raise TriaxisError(f"model.chat_template: the template of {name} can't be used: {line}") from None
    after = ids[len(prompt) :]
    if tokenizer.eos_token_id not in after:
        ends = [token for token in after if token in _ends(path)]
        if ends:
            tokenizer.eos_token = tokenizer.convert_ids_to_tokens(ends[0])
    if tokenizer.eos_token_id is None:
        raise TriaxisError(f"model.base: the tokenizer of {name} has no end token; its answers would never stop")


def _ends(path: Path) -> tuple[int, ...]:
    """The tokens at which a model's own generation stops."""
    try:
        ends = json.loads((path / "generation_config.json").read_text(encoding="utf-8")).get("eos_token_id")
    except (OSError, ValueError, AttributeError):
        return ()
    return tuple(ends) if isinstance(ends, list) else () if ends is None else (ends,)
