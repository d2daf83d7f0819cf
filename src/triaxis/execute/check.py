"""What can be wrong with a study that its file alone doesn't show, found before anything runs."""

from __future__ import annotations

from triaxis.axes.data import training_set
from triaxis.axes.model import fingerprint
from triaxis.study import Study
from triaxis.tasks import get_task, task_names
from triaxis.types import TriaxisError


def checked(study: Study) -> tuple[Study, tuple[str, ...]]:
    """The study with its bases told by what they are, and notes on what it will not see.

    Raises TriaxisError for what no run could follow: a task, base, level or mode that doesn't exist, more examples than
    a task can make, a setting of one axis that another one can't take.
    """
    study.check_tasks(task_names())
    conditions = [condition.settings for condition in study.conditions()]
    known = study.with_bases({base: fingerprint(base) for base in {str(s["model.base"]) for s in conditions}})
    # What decides which examples are drawn; structure and noise only change how they are written.
    drawn = ("data.task", "data.difficulty", "data.examples", "data.replay_share")
    for settings in {tuple(settings[k] for k in drawn): settings for settings in conditions}.values():
        data = {k.removeprefix("data."): v for k, v in settings.items() if k.startswith("data.")}
        training_set(data | {"noise_rate": 0.0}, study.seeds[0])
    lacking = (note for group, names in study.tasks.items() for name in names for note in _modes(study, group, name))
    return known, (*lacking, *study.notes)


def _modes(study: Study, group: str, name: str) -> list[str]:
    """A note where a task lacks a mode of the study; an error where it has none of them, or too few items."""
    task = get_task(name)
    task.examples("eval", study.evaluation.seed, study.evaluation.items)
    lacking = [mode for mode in study.evaluation.modes if mode not in task.modes]
    if len(lacking) == len(study.evaluation.modes):
        have = ", ".join(task.modes)
        raise TriaxisError(
            f"evaluation.modes: {name} (tasks.{group}) has no mode {' or '.join(lacking)}; it has {have}"
        )
    return [f"{name} (tasks.{group}) has no mode {mode}: it is not measured there" for mode in lacking]
