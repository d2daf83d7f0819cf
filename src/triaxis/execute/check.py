"""What can be wrong with a study that its file alone doesn't show, found before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from triaxis.axes.data import TrainingExample, check_data
from triaxis.axes.model import ModelSettings, base_names, fingerprint, look_at
from triaxis.execute.backends import one_backend
from triaxis.execute.data_check import Data, check_training
from triaxis.execute.judging import check_judge
from triaxis.execute.stopping import LENGTH_STABLE
from triaxis.study import OF_BASES, Study, trained_on
from triaxis.study.axes import RULE
from triaxis.study.evaluation import Evaluation
from triaxis.tasks import (
    Task,
    get_task,
    is_open,
    read_from,
    reported_of,
    selection_items,
    task_names,
    vocabulary,
)
from triaxis.types import Item, Level, TriaxisError

SHOWN = 3  # unknown words
HUB = "hf:"  # a source that the datasets library reads


def checked(study: Study) -> tuple[Study, tuple[str, ...]]:
    """The study with its bases, and the files that it reads, told by what they are, and its notes: what it will not
    see, and which rows are not what a condition says.

    Raises TriaxisError for what no run could follow: a task, source, base, level, mode or diagnostic that doesn't
    exist, more examples than a task can make, a setting of one axis that another one can't take, a row that is
    evaluated too, two levels of the data that come to the same.
    """
    _check_diagnostics(study)
    study.check_tasks(task_names(), is_open)
    conditions = [condition.settings for condition in study.conditions()]
    for name in OF_BASES:
        if len({settings[name] for settings in conditions}) > 1:
            raise TriaxisError(f"{name}: a base is measured once, so this has one level in a study; run two studies")
    one_backend(study.evaluation.backend, conditions)
    bases = {str(settings["model.base"]) for settings in conditions}
    lab = sorted(bases.intersection(base_names()))
    items, lacking = check_asked(study.tasks, study.evaluation, lab)
    _check_models(conditions)
    chosen_on = check_selection(study, items)
    trained = [_of_data(settings) for settings in conditions]
    for data in trained:
        check_data(data)
    read = {name: told for name in {*items, *map(trained_on, conditions)} if (told := read_from(name))}
    fingerprints = {base: fingerprint(base) for base in bases} | read

    def check(data: Data, examples: Sequence[TrainingExample]) -> None:
        if "source" in data and lab:
            _check_words(str(data["source"]), _said(examples), lab[0])

    asked = [*(item for listed in items.values() for item in listed), *chosen_on]
    found = check_training(trained, study.seeds, asked, check)
    found += _unseen(map(trained_on, conditions), read)
    found += lacking
    known = study.with_fingerprints(fingerprints, found)
    return known, known.notes


def check_asked(
    tasks: Mapping[str, Sequence[str]], evaluation: Evaluation, lab: Sequence[str] = ()
) -> tuple[dict[str, list[Item]], list[str]]:
    """The items of each task, and a note on each mode that a task lacks; `lab` are the bases of the lab that are asked.

    Raises TriaxisError for a task that doesn't exist or can't be asked like that.
    """
    check_judge(evaluation.judge, tasks)
    items: dict[str, list[Item]] = {}
    notes: list[str] = []
    for group, names in tasks.items():
        for name in names:
            task = _task(name, group)
            task.check_group(group)
            items[name] = task.examples("eval", evaluation.seed, evaluation.items)
            _check_open(evaluation, name, task, items[name], lab)
            if evaluation.few_shot and not task.own_requests:
                task.shots(evaluation.seed, evaluation.few_shot, "default")
            notes += _modes(evaluation, group, name)
            if task.own_requests:
                from triaxis.tasks.harness import HarnessTask, notes_on

                notes += notes_on(cast(HarnessTask, task), group, evaluation)
    return items, notes


def check_selection(study: Study, items: Mapping[str, Sequence[Item]]) -> list[Item]:
    """The items of the selection split, where a study chooses checkpoints or stops runs; none of them is among `items`.

    Raises TriaxisError where a task has too few, can't be asked in the mode in which checkpoints are chosen, or has no
    responses whose length could be stable.
    """
    reported = reported_of([item for listed in items.values() for item in listed])
    evaluation, found = study.evaluation, dict[str, list[Item]]()
    mode = "default" if "default" in evaluation.modes else evaluation.modes[0]
    for condition in study.conditions():
        told: dict[str, bool] = {}
        for name in (name for names in study.selects(condition).values() for name in names):
            task = get_task(name)
            if task.own_requests:
                raise TriaxisError(
                    f"selection: {name} has no items besides those that are reported; choose by other groups "
                    "(selection.best, optimization.early_stopping)"
                )
            if mode not in task.modes:
                raise TriaxisError(f"selection: {name} has no mode {mode}; add one that it has to evaluation.modes")
            if name not in found:
                found[name] = selection_items(task, evaluation.seed, study.selection.items, reported)
            told[name] = not task.continuations(found[name][0])
        if condition.settings[RULE] == LENGTH_STABLE and not any(told.values()):
            raise TriaxisError(f"{RULE}: length_stable needs a task that is answered in words; add one")
    return [item for listed in found.values() for item in listed]


def _check_diagnostics(study: Study) -> None:
    if study.diagnostics:
        from triaxis.axes.optimization.diagnostics import check_diagnostics  # loads torch, which few studies wait for

        check_diagnostics(study.diagnostics, study.diagnostics)


def _check_models(conditions: Sequence[Mapping[str, Level]]) -> None:
    """Refuse bases that no run could load, train or ask, as far as can be told without their weights."""
    told = ({k.removeprefix("model."): v for k, v in c.items() if k.startswith("model.")} for c in conditions)
    for model in dict.fromkeys(map(ModelSettings.of, told)):
        if model.base not in base_names():
            look_at(model.base, model)


def _of_data(settings: Mapping[str, Level]) -> dict[str, Level]:
    return {k.removeprefix("data."): v for k, v in settings.items() if k.startswith("data.")}


def _unseen(sources: Iterable[str], read: Mapping[str, str]) -> list[str]:
    """A note on each data set of the hub of which nothing says which version it is."""
    hub = sorted({name for name in sources if name.startswith(HUB) and name not in read})
    return [
        f"data.source: {name} names no revision: that it has changed would go unseen; add revision=COMMIT"
        for name in hub
    ]


def _task(name: str, group: str) -> Task[Any]:
    try:
        return get_task(name)
    except TriaxisError as error:
        raise TriaxisError(f"tasks.{group}: {error}") from None


def _check_open(evaluation: Evaluation, name: str, task: Task[Any], items: Sequence[Item], lab: Sequence[str]) -> None:
    """Refuse a task in plain language whose responses have no limit, or that is put to a base of the lab."""
    if task.name in task_names():
        return
    if lab:
        _check_words(name, [item.prompt for item in items], lab[0])
    if task.own_requests or task.continuations(items[0]):  # with a limit of their own, or nothing is generated
        return
    if evaluation.max_new_tokens == "auto" and not all(item.traces for item in items):
        raise TriaxisError(
            f"evaluation.max_new_tokens: auto needs reference responses, and {name} has none; give a number"
        )


def _said(examples: Sequence[TrainingExample]) -> list[str]:
    return [text for e in examples for text in (e.prompt, e.response, *(turn.content for turn in e.before))]


def _check_words(name: str, texts: Sequence[str], base: str) -> None:
    """Refuse texts that a base of the lab can't read: it knows the words of the lab's own tasks and no other."""
    words = dict.fromkeys(word for text in texts for word in text.split())
    unknown = list(words.keys() - set(vocabulary()))
    if unknown:
        some = ", ".join(sorted(unknown)[:SHOWN])
        raise TriaxisError(
            f"{name}: {len(unknown):,} of its {len(words):,} words are not among those that {base} knows ({some}, ..); "
            "a lab model can't be asked in plain language: take another base"
        )


def _modes(evaluation: Evaluation, group: str, name: str) -> list[str]:
    """A note where a task lacks a mode of the evaluation; an error where it has none of them."""
    task = get_task(name)
    lacking = [mode for mode in evaluation.modes if mode not in task.modes]
    if len(lacking) == len(evaluation.modes):
        have = ", ".join(task.modes)
        raise TriaxisError(
            f"evaluation.modes: {name} (tasks.{group}) has no mode {' or '.join(lacking)}; it has {have}"
        )
    return [f"{name} (tasks.{group}) has no mode {mode}: it is not measured there" for mode in lacking]
