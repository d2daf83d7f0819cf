"""The selection split: items that no report holds, on which checkpoints are chosen and runs are stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from triaxis.study.axes import NO_RULE, RULE
from triaxis.study.evaluation import MAX_ITEMS
from triaxis.study.fields import AS_WHOLE, Strict
from triaxis.study.mistakes import Mistake
from triaxis.types import GROUPS, Level

BEST, LAST = "best", "last"  # of what a study keeps
By = Literal["in_domain", "out_of_domain", "all"]
GROUPS_OF: Mapping[str, tuple[str, ...]] = {  # what a rule, or the choice of the best, looks at
    "in_domain": ("in_domain",),
    "out_of_domain": ("near_ood", "far_ood"),
    "all": GROUPS,
    "length_stable": GROUPS,
}


class Selection(Strict):
    """The items that checkpoints are chosen on."""

    items: Annotated[int, AS_WHOLE, Field(ge=1, le=MAX_ITEMS)] = 30  # a task
    best: By = "all"  # whose tasks the best checkpoint is best on, each task weighing the same


def looked_at(settings: Mapping[str, Level], keep: Sequence[int | str], best: str) -> tuple[str, ...]:
    """The groups that a condition's checkpoints are scored on in the selection split; empty where nothing is chosen."""
    rule = str(settings[RULE])
    wanted = {*(GROUPS_OF[rule] if rule != NO_RULE else ()), *(GROUPS_OF[best] if BEST in keep else ())}
    return tuple(group for group in GROUPS if group in wanted)


def check_groups(
    conditions: Sequence[Mapping[str, Level]], tasks: Mapping[str, object], best: str, keeps: bool
) -> None:
    """Refuse, as a Mistake, a rule or a choice that would look at groups which the study doesn't have."""
    asked = [(f"optimization.early_stopping: {rule}", rule) for rule in {str(c[RULE]) for c in conditions}]
    asked += [(f"selection.best: {best}", best)] if keeps else []
    for what, by in asked:
        if by != NO_RULE and not any(group in tasks for group in GROUPS_OF[by]):
            lacking = " or ".join(f"tasks.{group}" for group in GROUPS_OF[by])
            name, _, value = what.partition(": ")
            raise Mistake(name, f"{value} looks at {lacking}, which the study has not; add tasks")
