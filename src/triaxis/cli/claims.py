"""`triaxis claims`: the statements that were written down before the data, and how well each can be told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from triaxis.types import TriaxisError

if TYPE_CHECKING:
    from triaxis.analyze.claims import Claim

app = typer.Typer(help="The claims that evidence is held against, and yours.", invoke_without_command=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Which = Annotated[str, typer.Argument(help="The id of a shipped claim, or a claim's file.")]


@app.callback()
def claims(context: typer.Context, as_json: Json = False) -> None:
    """List the claims that are shipped."""
    if context.invoked_subcommand is not None:
        return
    from triaxis.analyze.claims import shipped_claims

    found = shipped_claims()
    if as_json:
        print(json.dumps([claim.model_dump(mode="json", exclude={"simulated"}) for claim in found], indent=1))
        return
    for claim in found:
        print(f"{claim.id:<4} {claim.statement}")
    print(f"\n{len(found)} claims. 'triaxis claims show ID' prints one, 'triaxis claims try ID' how well it is told.")


@app.command()
def show(which: Which, as_json: Json = False) -> None:
    """Print a claim's file: what it needs, what it takes for an effect, and where it comes from."""
    claim, text = _claim(which)
    print(json.dumps(claim.model_dump(mode="json", exclude_unset=True), indent=1) if as_json else text.rstrip())


@app.command("try")
def try_(
    which: Which,
    studies: Annotated[int, typer.Option(min=1, help="Simulated studies of each case.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first study.")] = 0,
    as_json: Json = False,
) -> None:
    """Hold a claim against simulated studies in which it is true, and others in which nothing of it is."""
    from rich.console import Console
    from rich.progress import track

    from triaxis.simulate.trials import CASES, trial

    claim, _ = _claim(which)
    console = Console(stderr=True)
    told = {}
    for case in CASES:
        seeds = range(seed, seed + studies)
        counted = track(seeds, f"{claim.id}, {case}", console=console, disable=not console.is_terminal)
        told[case] = trial(claim, case, counted).shares
    if as_json:
        print(json.dumps({"claim": claim.id, "studies": studies, "seed": seed, **told}))
        return
    print(f"{claim.id}: {claim.statement}\n{studies} simulated studies of each case, from seed {seed}")
    for case, shares in told.items():
        said = ", ".join(f"{decision} {share:.2f}" for decision, share in shares.items() if share)
        print(f"  {'where it holds' if case == 'holds' else 'where nothing is':<17} {said}")


def _claim(which: str) -> tuple[Claim, str]:
    """A shipped claim by its id, or that of a file, with the file's text."""
    from difflib import get_close_matches

    from triaxis.analyze.claims import parse_claim, shipped_claims, shipped_files
    from triaxis.study.reading import read_text

    shipped = {claim.id: claim for claim in shipped_claims()}
    if (id := which.upper()) in shipped:
        return shipped[id], shipped_files()[id]
    if Path(which).suffix in (".yaml", ".yml") or Path(which).exists():
        text = read_text(Path(which), kind="claim")
        return parse_claim(text, which), text
    near = get_close_matches(id, shipped, 1)
    hint = f"did you mean {near[0]}?" if near else "'triaxis claims' lists them; or give a claim's .yaml file"
    raise TriaxisError(f"{which}: no such claim; {hint}")
