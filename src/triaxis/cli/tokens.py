"""A tokenizer that the user names, as something that counts the tokens of a text and can be sent to another process."""

from __future__ import annotations

import os
import time
from logging import ERROR
from pathlib import Path
from typing import Any

from triaxis.types import TriaxisError


class TokenCounter:
    """Counts the tokens of texts by a named tokenizer, without special tokens; it is loaded where it is first used.

    `where` is a tokenizer.json, a folder that holds one, or a name that transformers finds (its cache, then the hub).
    `seconds` is the CPU time that counting has taken in this process.
    """

    def __init__(self, where: str) -> None:
        self.name, self.seconds = where, 0.0
        self._tokenizer: Any = None
        self._fast = False

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_tokenizer": None, "_fast": False}

    def __call__(self, texts: list[str]) -> list[int]:
        if self._tokenizer is None:
            self.load()
        began = time.thread_time()
        if self._fast:
            found = [len(one) for one in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        else:
            found = [len(one) for one in self._tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]]
        self.seconds += time.thread_time() - began
        return found

    def load(self) -> TokenCounter:
        """Load it now, so that a mistake is told before any row is read. Raises TriaxisError where there is none."""
        os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the processes share the work already
        path = Path(self.name)
        file = path / "tokenizer.json" if path.is_dir() else path
        if file.is_file():
            self._tokenizer, self._fast = _from_file(file), True
        elif path.exists() or path.suffix == ".json" or self.name.startswith((".", "/", "~")):
            raise TriaxisError(f"--tokenizer {self.name}: no tokenizer.json there; name that file, or its folder")
        else:
            self._tokenizer, self._fast = _by_name(self.name), False
        return self


def _from_file(file: Path) -> Any:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises bare Exceptions
        raise TriaxisError(f"--tokenizer {file}: not a tokenizer.json ({_first_line(error)})") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _by_name(name: str) -> Any:
    """From transformers' cache, else from the hub: without a network the hub's client tries for most of a minute."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers import AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    hub_logging.set_verbosity(ERROR)
    try:
        return AutoTokenizer.from_pretrained(name, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError):
        pass
    try:
        return AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise TriaxisError(
            f"--tokenizer {name}: not found ({_first_line(error)}); give a tokenizer.json, its folder or a model's name"
        ) from None


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")[:200]
