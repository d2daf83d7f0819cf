"""What moves along when a factor does: optimizer steps, epochs and tokens are tied to the amount of data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from triaxis.types import Level


@dataclass(frozen=True)
class Together:
    """Two things of which a design never changes one without the other."""

    first: str  # a factor
    second: str  # another factor, or a quantity: "epochs", "optimizer steps", "supervised tokens"
    why: str


# What a factor moves, by whether steps or epochs are what a study sets.
_AT_STEPS = {
    "data.examples": ("epochs", "at given steps more data is fewer passes, so data size and repetition are confounded"),
    "optimization.steps": ("epochs", "more steps are more passes over the same examples"),
    "optimization.batch_size": ("epochs", "at given steps larger batches are more passes and more tokens"),
}
_AT_EPOCHS = {
    "data.examples": ("optimizer steps", "at given epochs more data is more steps"),
    "optimization.epochs": ("optimizer steps", "more epochs are more steps"),
    "optimization.batch_size": ("optimizer steps", "at given epochs larger batches are fewer steps"),
}
_ALWAYS = {
    "data.structure": ("supervised tokens", "longer traces are more tokens a step"),
    "optimization.early_stopping": (
        "optimizer steps",
        "a rule ends runs early, so that what it gives holds what the steps left out would have done",
    ),
}


def exposure(conditions: Sequence[Mapping[str, Level]], factors: Sequence[str]) -> list[Together]:
    """What moves with steps, epochs and tokens; nothing for a quantity that the conditions keep the same throughout.

    Where the conditions name neither steps nor epochs, both readings are given, since one of them holds.
    """
    known = set(conditions[0]) if conditions else set()
    tables = [dict(_ALWAYS)]
    if "optimization.epochs" not in known and not _same(conditions, "epochs"):
        tables.append(_AT_STEPS)
    if "optimization.steps" not in known and not _same(conditions, "steps"):
        tables.append(_AT_EPOCHS)
    return [
        Together(name, table[name][0], f"{name} moves together with {table[name][0]}: {table[name][1]}")
        for table in tables
        for name in factors
        if name in table
    ]


def _same(conditions: Sequence[Mapping[str, Level]], quantity: str) -> bool:
    """Whether the factors of epochs (or steps) compensate, so that it is the same in every condition."""
    over, under = {
        "epochs": (("optimization.steps", "optimization.batch_size"), ("data.examples",)),
        "steps": (("data.examples", "optimization.epochs"), ("optimization.batch_size",)),
    }[quantity]
    named = [condition[name] for condition in conditions for name in (*over, *under) if name in condition]
    if any(isinstance(level, str) or level <= 0 for level in named):
        return False  # a table from elsewhere may say "all"; what it comes to is not known
    amounts = set()
    for condition in conditions:
        amount = 1.0
        for name in over:
            amount *= float(condition.get(name, 1))
        for name in under:
            amount /= float(condition.get(name, 1))
        amounts.add(round(amount, 9))
    return len(amounts) <= 1
