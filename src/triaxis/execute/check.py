"""What can be wrong with a study that its file alone doesn't show, found before anything runs."""

from __future__ import annotations

from triaxis.axes.data import training_set
from triaxis.axes.model import base_path
from triaxis.study import Study
from triaxis.tasks import get_task, task_names


def check(study: Study) -> None:
    """Raise TriaxisError for a task, base or level that doesn't exist, and for more examples than a task can make."""
    study.check_tasks(task_names())
    conditions = [condition.settings for condition in study.conditions()]
    for base in sorted({str(settings["model.base"]) for settings in conditions}):
        base_path(base)
    subsets = {
        tuple(settings[f"data.{k}"] for k in ("task", "difficulty", "examples")): settings for settings in conditions
    }
    for settings in subsets.values():
        data = {k.removeprefix("data."): v for k, v in settings.items() if k.startswith("data.")}
        training_set(data, study.seeds[0])
    for names in study.tasks.values():
        for name in names:
            get_task(name).examples("eval", study.evaluation.seed, study.evaluation.items)
