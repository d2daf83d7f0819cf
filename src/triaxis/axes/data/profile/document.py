"""The profile as a document for JSON: versioned, described in docs/data.md, and all that the report is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from triaxis.axes.data.open import Opened
from triaxis.axes.data.profile.cells import ordered
from triaxis.axes.data.profile.coverage import CoverageProfile
from triaxis.axes.data.profile.diversity import DiversityProfile
from triaxis.axes.data.profile.leakage import LeakageProfile
from triaxis.axes.data.profile.run import Profile
from triaxis.axes.data.profile.shape import ShapeProfile
from triaxis.axes.data.profile.structure import behaviours_per_1000
from triaxis.axes.data.profile.thirds import thirds_of
from triaxis.axes.data.profile.words import verdict
from triaxis.types import NotEstimable
from triaxis.version import __version__

VERSION = 1


def document_of(
    profile: Profile,
    opened: Opened | None = None,
    *,
    against: Mapping[str, Opened] | None = None,
    target: Opened | None = None,
) -> dict[str, Any]:
    """The profile ready for JSON. What can't be estimated is {"not_estimable": reason}, never 0 or null.

    With the data sets that it was made of, as they were opened, it says what became of their rows too.
    """
    unit, rates = behaviours_per_1000(profile.structure, profile.shape)
    structure = plain(profile.structure)
    thirds = thirds_of(profile.difficulty, profile.diversity)
    return {
        "version": VERSION,
        "triaxis": __version__,
        "source": plain(profile.name),
        "recognised": {
            "lines": plain(profile.recognised),
            "fields": plain(profile.fields),
            "missing": plain(profile.missing),
            **({"earlier_thoughts": opened.earlier_thoughts} if opened is not None else {}),
        },
        "verdict": plain(verdict(profile)),
        "examples": profile.examples,
        "skipped": profile.skipped,
        "errors": plain(profile.problems),
        "tokens": _tokens(profile.shape),
        "lengths": plain(profile.shape.lengths),
        "shape": _shape(profile.shape),
        "structure": {kind: held["share"] for kind, held in structure["kinds"].items()},
        "responses": structure,
        "behaviours": {"unit": unit, "per_1000": plain(rates), "examples": structure["behaviour_examples"]},
        "answers": plain(profile.quality.answers),
        "quality": {key: value for key, value in plain(profile.quality).items() if key != "answers"},
        "exact_duplicates": profile.diversity.exact_duplicates,
        "near_duplicates": profile.diversity.near_duplicates,
        "diversity": _diversity(profile.diversity),
        "difficulty": plain(profile.difficulty)
        | {"thirds": [] if isinstance(thirds, str) else plain(thirds), "model": plain(profile.model)},
        "leakage": None if profile.leakage is None else _leakage(profile.leakage, against or {}),
        "coverage": None if profile.coverage is None else _coverage(profile.coverage, target),
        "seconds": {"wall": round(profile.seconds, 3), "tokenizing": round(profile.tokenizing, 3)},
    }


def plain(value: Any) -> Any:
    """A value as what JSON holds. Text that UTF-8 can't hold is escaped."""
    if isinstance(value, NotEstimable):
        return {"not_estimable": value.reason}
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: plain(held) for name, held in value._asdict().items()}
    if isinstance(value, Mapping):
        return {plain(str(key)): plain(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [plain(held) for held in value]
    return value


def _tokens(shape: ShapeProfile) -> dict[str, Any]:
    """Lengths of the responses in the unit of the tokenizer, and what a limit would cut."""
    response = shape.lengths[shape.unit]["response"]
    return {
        "tokenizer": plain(shape.tokenizer or "words"),
        "unit": shape.unit,
        "total": response.total,
        "mean": response.mean,
        "quantiles": plain(response.quantiles),
        "quantile_error": shape.quantile_error,
        "over": {
            part: {
                str(limit): {"rows": rows, "share": plain(shape.over[part][limit])} for limit, rows in counts.items()
            }
            for part, counts in shape.over_counts.items()
        },
    }


def _shape(shape: ShapeProfile) -> dict[str, Any]:
    names = ("with_thought", "empty", "no_end", "cut_off", "prompt_turns", "system_turns")
    return {name: plain(getattr(shape, name)) for name in names}


def _diversity(found: DiversityProfile) -> dict[str, Any]:
    domains = list(dict.fromkeys(domain for domain, _ in found.cells))
    names = [field.name for field in fields(found) if field.name != "cells"]
    held = {name: plain(getattr(found, name)) for name in names}
    levels = ordered({level for _, level in found.cells})
    cells = [[found.cells.get((domain, level), 0) for level in levels] for domain in domains]
    return held | {"cells": {"domains": plain(domains), "difficulties": plain(levels), "rows": cells}}


def _leakage(found: LeakageProfile, against: Mapping[str, Opened]) -> dict[str, Any]:
    sets = [
        plain(each) | {"touched": each.touched, "share": each.share} | _rows_of(against.get(each.name))
        for each in found.sets
    ]
    return {**plain(found), "sets": sets, "touching": found.touching}


def _coverage(found: CoverageProfile, target: Opened | None) -> dict[str, Any]:
    return {**plain(found), **_rows_of(target)}


def _rows_of(opened: Opened | None) -> dict[str, Any]:
    """What a set to compare with was taken for, and which of its rows could not be used."""
    if opened is None:
        return {}
    return {
        "recognised": plain(opened.recognised),
        "skipped": opened.skipped,
        "errors": plain(opened.problems),
    }
