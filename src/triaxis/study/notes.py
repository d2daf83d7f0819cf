"""What a study trains on against what it evaluates: a wrong claim in waiting is refused, a weak one is noted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from triaxis.study.axes import REPLAY_TASK
from triaxis.study.identify import ONE_SEED
from triaxis.study.mistakes import Mistake
from triaxis.types import Level

Tasks = Mapping[str, Sequence[str]]  # group to tasks
NO_SAFETY = "no safety group: refusals that are lost would go unseen; add safety: [refusal]"


def refuse_trained(conditions: Sequence[Mapping[str, Level]], tasks: Tasks) -> None:
    """Refuse, as a Mistake, a task that counts as out-of-domain and that some of the conditions train on."""
    sources = (
        ("data.task", "in_domain", _trained(conditions)),
        ("data.replay_share", "safety", _replayed(conditions)),
    )
    for group in ("near_ood", "far_ood"):
        for name in tasks.get(group, ()):
            for key, home, counts in sources:
                if name in counts:
                    where = f"{name} is trained on{_share(counts[name], len(conditions))} ({key})"
                    raise Mistake(f"tasks.{group}", f"{where}; list it under {home}")


def notes_on(conditions: Sequence[Mapping[str, Level]], tasks: Tasks, n_seeds: int) -> tuple[str, ...]:
    """What weakens the claims of a study with these conditions, every setting resolved, in words."""
    notes = []
    counts, n = _trained(conditions), len(conditions)
    for name in counts:
        if name not in tasks.get("in_domain", ()):
            unseen = "what is learned in domain goes unseen"
            notes.append(f"data.task: {name} is trained on and not under in_domain: {unseen}; add in_domain: [{name}]")
    for name in tasks.get("in_domain", ()):
        if counts.get(name, 0) < n:
            where = f"{_share(counts[name], n)}, in the others" if name in counts else " in no condition:"
            notes.append(f"tasks.in_domain: {name} is trained on{where} its score is one of transfer")
    for group in ("general", "safety"):
        for name in tasks.get(group, ()):
            if name in counts:
                notes.append(f"tasks.{group}: {name} is trained on (data.task): its score is in-domain")
    replayed = _replayed(conditions)
    if REPLAY_TASK in replayed and REPLAY_TASK in tasks.get("safety", ()):
        where = _share(replayed[REPLAY_TASK], n)
        notes.append(f"the safety task is trained on{where} through data.replay_share: its score is in-domain")
    if "safety" not in tasks:
        notes.append(NO_SAFETY)
    if n_seeds == 1:
        notes.append(ONE_SEED)
    return tuple(notes)


def _trained(conditions: Sequence[Mapping[str, Level]]) -> dict[str, int]:
    """The tasks of `data.task`, with the number of conditions that train on each."""
    return Counter(str(condition["data.task"]) for condition in conditions)


def _replayed(conditions: Sequence[Mapping[str, Level]]) -> dict[str, int]:
    count = sum(float(condition["data.replay_share"]) > 0 for condition in conditions)
    return {REPLAY_TASK: count} if count else {}


def _share(count: int, n: int) -> str:
    return "" if count == n else f" in {count} of {n} conditions"
