"""Claims from their files: those that are shipped, a file each in this folder, and a user's own."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

from pydantic import ValidationError

from triaxis.analyze.claims.spec import Claim
from triaxis.study.reading import read_text, read_yaml
from triaxis.types import TriaxisError

NEEDS = "id, statement, source, axes, and parts or a course"


def parse_claim(text: str, where: str) -> Claim:
    """The claim in a YAML document; `where` names it in errors. Raises TriaxisError that names field and fault."""
    content = read_yaml(text, where, kind="claim", needs=NEEDS)
    if not isinstance(content, dict):
        raise TriaxisError(f"{where}: is not a mapping; a claim has {NEEDS}")
    try:
        return Claim.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "claim"
        told = first["msg"].removeprefix("Value error, ")
        raise TriaxisError(f"{where}, {place}: {told}; see docs/claims.md for the form of a claim") from None


def load_claims(paths: Iterable[Path]) -> tuple[Claim, ...]:
    """The claims in files, and in all YAML files of folders, in order of id. Raises TriaxisError, one line."""
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
        if not inside:
            raise TriaxisError(f"{path}: holds no claim; a claim is a .yaml file, see docs/claims.md")
        found += inside
    return in_order([parse_claim(read_text(path, kind="claim"), str(path)) for path in found])


def in_order(claims: Iterable[Claim]) -> tuple[Claim, ...]:
    """Claims by family and number. Raises TriaxisError where an id is there twice."""
    ordered = sorted(claims, key=lambda claim: (claim.family, claim.number, claim.id))
    for one, other in pairwise(ordered):
        if one.id == other.id:
            raise TriaxisError(f"two claims have the id {one.id}; give one of them another")
    return tuple(ordered)


@lru_cache(maxsize=1)
def shipped_claims() -> tuple[Claim, ...]:
    """The ledger that comes with the package, in order of id."""
    return in_order(parse_claim(text, f"{id}.yaml") for id, text in shipped_files().items())


@lru_cache(maxsize=1)
def shipped_files() -> dict[str, str]:
    """The text of every shipped claim's file, by id."""
    folder = files("triaxis.analyze.claims.ledger")
    entries = [entry for entry in folder.iterdir() if entry.name.endswith(".yaml")]
    return {entry.name.removesuffix(".yaml"): entry.read_text(encoding="utf-8") for entry in entries}


def whole_ledger(own: Iterable[Claim] = ()) -> tuple[Claim, ...]:
    """The shipped claims with a user's beside them. Raises TriaxisError for an id twice, or a rival that is none."""
    claims = in_order([*shipped_claims(), *own])
    known = {claim.id for claim in claims}
    for claim in claims:
        for rival in claim.excludes:
            if rival not in known:
                raise TriaxisError(f"{claim.id}: excludes {rival}, and there is no such claim; correct or remove it")
    return claims
