"""What lies in a model's folder: whether its weights are there, whole and safe to read, before anything is loaded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from triaxis.axes.memory import is_out_of_memory
from triaxis.types import RunFailed, TriaxisError

PICKLES = (".bin", ".pt", ".pth", ".ckpt")
WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
AGAIN = "download it or save it again"


def check_weights(name: str, path: Path) -> None:
    """Refuse pickles, and safetensors that are missing, cut off or damaged at their head, which tells their length.

    Weights are read from safetensors alone: reading a pickle can run whatever its author wrote into it.
    """
    there = sorted(file.name for file in path.iterdir() if file.is_file())
    if not any(file.endswith(".safetensors") for file in there):
        _refuse_without(name, path, there)
    for file in _needed(name, path, there):
        _check_head(name, path / file)


def _refuse_without(name: str, path: Path, there: Sequence[str]) -> None:
    if pickled := [file for file in there if Path(file).suffix in PICKLES]:
        raise TriaxisError(
            f"model.base: {name} holds {pickled[0]}, a pickle, which can run code when it is read, and no safetensors; "
            f"where you trust it, convert it: AutoModelForCausalLM.from_pretrained({str(path)!r})"
            f".save_pretrained({str(path)!r})"
        )
    raise TriaxisError(f"model.base: {name} can't be loaded: it holds no weights ({WHOLE})")


def _needed(name: str, path: Path, there: Sequence[str]) -> list[str]:
    """The files that its weights are in."""
    if WHOLE in there:
        return [WHOLE]
    if INDEX not in there:
        found = [file for file in there if file.endswith(".safetensors")]
        raise TriaxisError(
            f"model.base: {name} can't be loaded: its weights are in {found[0]}"
            f"{f' and {len(found) - 1} more' if len(found) > 1 else ''}, and {INDEX} is missing; {AGAIN}"
        )
    try:
        files = sorted(set(json.loads((path / INDEX).read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as problem:
        raise cannot(name, f"its {INDEX} can't be read", problem) from None
    if missing := [file for file in files if file not in there]:
        raise TriaxisError(
            f"model.base: {name} can't be loaded: {missing[0]} is missing, {len(missing)} of {len(files)} files of "
            f"weights; {AGAIN}"
        )
    return files


def _check_head(name: str, file: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt"):
            pass
    except (SafetensorError, OSError) as problem:
        if is_out_of_memory(problem):
            raise no_memory(name) from None
        line = str(problem).splitlines()[0][:160]
        raise TriaxisError(
            f"model.base: {name} can't be loaded: {file.name} is damaged or cut off ({line}); {AGAIN}"
        ) from problem


def no_memory(name: str) -> RunFailed:
    """The failure of a model that doesn't fit."""
    return RunFailed(
        f"model.base: out of memory while {name} is loaded: run fewer at once (--jobs), or take model.dtype bfloat16"
    )


def cannot(name: str, what: str, problem: BaseException) -> TriaxisError | RunFailed:
    """A failure of a library in one line that says what to do, where that is known."""
    if "trust_remote_code" in str(problem):
        return TriaxisError(
            f"model.base: {name} needs code of its own, which is never run unless the study says "
            "model.trust_remote_code: true; read it first"
        )
    if is_out_of_memory(problem):
        return no_memory(name)
    line = next((line.strip() for line in str(problem).splitlines() if line.strip()), type(problem).__name__)
    return TriaxisError(f"model.base: {name} can't be loaded: {what} ({line[:160]})")
