"""What runs that share their first steps save, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from triaxis.execute.branching import Saving
    from triaxis.records import Store
    from triaxis.study import Study


def in_words(saving: Saving, trained: int, generated: int) -> str:
    """The saving of steps, tokens and answers; empty where there is none."""
    if not saving.steps:
        return ""
    told = f"{saving.steps:,} of {saving.all_steps:,} steps ({trained:,} tokens)"
    if not saving.checkpoints:
        return told
    answers = f"the answers of {saving.checkpoints:,} of {saving.all_checkpoints:,} checkpoints ({generated:,} tokens)"
    return f"{told} and {answers}"


def told_saving(study: Study, store: Store) -> str:
    """What was not done again in a study's folder, by its own accounts; empty where nothing was."""
    from triaxis.records import SAVED

    runs, sums = {run.id for run in study.runs()}, {"train": 0, "retrain": 0, "evaluate": 0, "select": 0}
    for cost in store.costs():
        if cost.run in runs and cost.phase.removeprefix(SAVED) in sums and cost.phase.startswith(SAVED):
            sums[cost.phase.removeprefix(SAVED)] += cost.tokens
    if not any(sums.values()):
        return ""
    from triaxis.execute.conduct import saved

    return in_words(saved(study, store), sums["train"] + sums["retrain"], sums["evaluate"] + sums["select"])
