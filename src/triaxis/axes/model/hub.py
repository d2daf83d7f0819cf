"""Models of the Hugging Face hub: from the local cache where they are complete, else downloaded, never as pickles."""

from __future__ import annotations

import json
import re
from pathlib import Path

from triaxis.types import TriaxisError

WANTED = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt", "*.py"]  # code is fetched, and not run: loading.py
PATIENCE = 10  # seconds for the first answer


def is_hub_id(name: str) -> bool:
    """Whether a name has the form `org/name` or `org/name@revision`; that there is such a model nobody knows yet."""
    return bool(re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w./-]+)?", name, re.ASCII))


def hub_snapshot(name: str) -> Path:
    """The folder of a model of the hub.

    What is in the cache is taken as it is, so that a model which changes on the hub doesn't change in the middle of a
    study; `@revision` pins it for everyone. Raises TriaxisError, one line, where it can't be had.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    repository, _, revision = name.partition("@")
    try:
        cached = Path(snapshot_download(repository, revision=revision or None, local_files_only=True))
        if _complete(cached):
            return cached
    except LocalEntryNotFoundError:
        pass
    return _download(name, repository, revision or None)


def _complete(folder: Path) -> bool:
    """Whether a snapshot holds a configuration and all its weights: a download may have been broken off."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        weights = all((folder / shard).is_file() for shard in shards)
    else:
        weights = (folder / "model.safetensors").is_file()
    return weights and (folder / "config.json").is_file() and any(folder.glob("tokenizer*"))


def _download(name: str, repository: str, revision: str | None) -> Path:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        found = HfApi().model_info(repository, revision=revision, timeout=PATIENCE)
        files = [sibling.rfilename for sibling in found.siblings or ()]
        if not any(file.endswith(".safetensors") for file in files):
            pickled = any(file.endswith((".bin", ".pt", ".pth")) for file in files)
            why = "its weights are pickles, which can run code when they are read" if pickled else "it has no weights"
            raise TriaxisError(f"model.base: {name}: {why}; take a model with .safetensors")
        return Path(snapshot_download(repository, revision=found.sha, allow_patterns=WANTED, ignore_patterns=["*/*"]))
    except GatedRepoError:
        why = "the hub gives it to accounts that accepted its terms only; accept them there, and run `hf auth login`"
    except RevisionNotFoundError:
        why = f"the hub has no revision {revision} of it"
    except RepositoryNotFoundError:
        why = "neither a folder here nor a model of the hub that this account may see"
    except TriaxisError:
        raise
    except Exception as error:  # the client raises its own, its transport's and the system's errors
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        why = f"neither a folder here nor in the hub's local cache, and the hub can't be reached ({reason})"
    raise TriaxisError(f"model.base: {name}: {why}") from None
