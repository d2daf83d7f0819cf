"""`triaxis lab`: the tiny models, made again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The built-in tiny models.", no_args_is_help=True)


@app.command()
def pretrain(
    base: Annotated[str, typer.Argument(help="strong or weak.")],
    out: Annotated[Path, typer.Option(help="The folder to write the model to.")],
) -> None:
    """Pretrain a base from its fixed seed; 'strong' takes about five minutes of one core."""
    from rich.console import Console
    from rich.progress import track

    from triaxis.axes.model.lab import PRETRAINING
    from triaxis.execute.run import pretrain as steps_of

    console = Console(stderr=True)
    total = PRETRAINING[base].steps if base in PRETRAINING else None
    made = track(steps_of(base, out), f"pretraining {base}", total, console=console, disable=not console.is_terminal)
    for point in made:
        last = point
    print(f"{out}: {last.step} steps, loss {last.loss:.4f}, token accuracy {last.token_accuracy:.3f}")
