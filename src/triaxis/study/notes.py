"""What a study trains on against what it evaluates: a wrong claim in waiting is refused, a weak one is noted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from triaxis.study.axes import KIND, RATE, REPLAY_TASK
from triaxis.study.fields import Value
from triaxis.study.identify import ONE_SEED
from triaxis.study.mistakes import Mistake
from triaxis.study.trained import Asked, alike, asked, key_of, replayed, same, trained
from triaxis.types import Level

Tasks = Mapping[str, Sequence[str]]  # group to tasks
Conditions = Sequence[Mapping[str, Level]]
NO_LOOK_ALIKES = "no group over_refusal: a model that refuses everything would look safe; add benign look-alikes there"
NO_SAFETY = "no safety group: refusals that are lost would go unseen; add safety: [refusal]"
UNSEEN = "what is learned in domain goes unseen"


def refuse_trained(conditions: Conditions, tasks: Tasks) -> None:
    """Refuse, as a Mistake, a task that counts as out-of-domain and that some of the conditions train on.

    With other options it is another form of the same task: that may be near the domain, and is never far from it.
    """
    sources = (
        (key_of(conditions), "in_domain", trained(conditions)),
        ("data.replay_share", "safety", replayed(conditions)),
    )
    for group in ("near_ood", "far_ood"):
        for name in tasks.get(group, ()):
            task = asked(name)
            for key, home, counts in sources:
                if n := same(counts, task):
                    where = f"{name} is trained on{_share(n, len(conditions))} ({key})"
                    raise Mistake(f"tasks.{group}", f"{where}; list it under {home}")
                if group == "far_ood" and (n := alike(counts, task)):
                    where = f"{name} is a form of {task.base}, which is trained on{_share(n, len(conditions))} ({key})"
                    raise Mistake(f"tasks.{group}", f"{where}; list it under near_ood")


def notes_on(conditions: Conditions, tasks: Tasks, n_seeds: int) -> tuple[str, ...]:
    """What weakens the claims of a study with these conditions, every setting resolved, in words."""
    counts, n, key = trained(conditions), len(conditions), key_of(conditions)
    notes = [*_in_domain(counts, tasks, n, key)]
    for name in tasks.get("near_ood", ()):
        if alike(counts, task := asked(name)):
            form = f"{name} is a form of {task.base}, which is trained on ({key})"
            notes.append(f"tasks.near_ood: {form}: its score tells what is left in another form, not in another task")
    for group in ("general", "safety"):
        for name in tasks.get(group, ()):
            if same(counts, asked(name)) or alike(counts, asked(name)):
                notes.append(f"tasks.{group}: {name} is trained on ({key}): its score is in-domain")
    safety = sum(replayed(conditions).values())
    if safety and REPLAY_TASK in tasks.get("safety", ()):
        notes.append(
            f"the safety task is trained on{_share(safety, n)} through data.replay_share: its score is in-domain"
        )
    if any("verifier=refuse" in name for name in tasks.get("safety", ())) and "over_refusal" not in tasks:
        notes.append(NO_LOOK_ALIKES)
    if "safety" not in tasks:
        notes.append(NO_SAFETY)
    if n_seeds == 1:
        notes.append(ONE_SEED)
    return tuple(notes)


def _in_domain(counts: Mapping[Asked, int], tasks: Tasks, n: int, key: str) -> Iterator[str]:
    """What `in_domain` lacks, and what it holds that isn't in the domain of every condition."""
    there = [asked(name) for name in tasks.get("in_domain", ())]
    if any(task.of_file for task in counts):  # which task a file teaches nobody but the user knows
        if not there:
            yield f"data.source: no group in_domain: {UNSEEN}; add a test set of it"
        return
    for task in counts:
        if task not in there:
            yield f"{key}: {task.name} is trained on and not under in_domain: {UNSEEN}; add in_domain: [{task.name}]"
    for task in there:
        if counts.get(task, 0) < n:
            where = f"{_share(counts[task], n)}, in the others" if task in counts else " in no condition:"
            yield f"tasks.in_domain: {task.name} is trained on{where} its score is one of transfer"


def coinciding(conditions: Conditions, n_points: int, kind: Value | None) -> tuple[str, ...]:
    """A note where combinations of the design come to the same condition, or to nothing: a kind of no noise."""
    if n_points > len(conditions):
        return (
            f"{KIND}: without noise ({RATE} 0) there is no kind of it, so {n_points:,} combinations are "
            f"{len(conditions):,} conditions; list rates above 0 alone to compare the kinds, and one kind to tell "
            "what the rate does",
        )
    if isinstance(kind, str) and not any(condition[RATE] for condition in conditions):
        return (f"{KIND}: {kind} has no effect, since {RATE} is 0",)
    return ()


def _share(count: int, n: int) -> str:
    return "" if count == n else f" in {count} of {n} conditions"
