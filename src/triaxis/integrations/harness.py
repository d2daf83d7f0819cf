"""Results of lm-evaluation-harness: `results_*.json` and `samples_<task>_*.jsonl` of its 0.4 versions.

A task with samples files at every checkpoint gives records, any other gives summaries: paired gains need the items on
both sides. lm-eval's own standard errors are not used (they are unpaired); the number of items is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triaxis.integrations.harness_files import (
    NO_FILTER,
    RESULTS,
    SAMPLES,
    Entry,
    Samples,
    read_entries,
    read_lines,
    read_samples,
)
from triaxis.integrations.mapping import Map
from triaxis.integrations.measured import ACCURACY, Measured, brief, number
from triaxis.integrations.places import Place, count, listed
from triaxis.tasks.harness_samples import outcome_of
from triaxis.types import TriaxisError

TOLERANCE = 1e-6  # between a mean of samples and the one that the harness wrote


@dataclass(frozen=True)
class Evaluation:
    """The newest evaluation of one task at one checkpoint: the entry in a results file, the samples, or both."""

    place: Place
    task: str
    entry: Entry | None
    samples: Path | None

    @property
    def file(self) -> Path:
        return self.samples or self.entry.file  # type: ignore[union-attr]  # one of them is there


def is_ours(file: Path) -> bool:
    """Whether a file is lm-eval's, by its name."""
    return bool(RESULTS.fullmatch(file.name) or SAMPLES.fullmatch(file.name))


def read(places: Mapping[Path, Place], spec: Map) -> tuple[list[Measured], dict[str, list[str]], list[str]]:
    """Every task at every checkpoint, the harness's own groups with their tasks, and warnings.

    Raises TriaxisError, in one line that names file, row and field, for what can't be read or chosen.
    """
    evaluations, families, warnings = _newest(places)
    tasks = sorted({e.task for e in evaluations})
    spec.check_metrics(tasks, families)
    measured: list[Measured] = []
    for task in tasks:
        mine = [e for e in evaluations if e.task == task]
        measured += _task(task, mine, spec, families, warnings)
    return measured, families, warnings


# Which files


def _newest(places: Mapping[Path, Place]) -> tuple[list[Evaluation], dict[str, list[str]], list[str]]:
    """The newest evaluation of each task at each checkpoint, the groups of tasks, and what was passed over."""
    found: dict[tuple[str, str], dict[str, tuple[Entry | None, Path | None]]] = {}
    of_folder = {place.folder: place for place in places.values()}
    families: dict[str, list[str]] = {}
    for file, place in places.items():
        match = SAMPLES.fullmatch(file.name)
        if match:
            dated = found.setdefault((place.folder, match["task"]), {})
            entry, other = dated.get(match["date"] or "", (None, None))
            _refuse_second(file, other)
            dated[match["date"] or ""] = (entry, file)
            continue
        match = RESULTS.fullmatch(file.name)
        entries, groups = read_entries(file)
        families |= groups
        for task, entry in entries.items():
            dated = found.setdefault((place.folder, task), {})
            date = (match and match["date"]) or ""
            old, samples = dated.get(date, (None, None))
            _refuse_second(file, old.file if old else None)
            dated[date] = (entry, samples)
    there = {task for _, task in found}
    families = {name: [task for task in _leaves(name, families) if task in there] for name in families}
    families = {name: tasks for name, tasks in families.items() if tasks}  # else its mean is all that there is
    aggregates = {key for key in found if key[1] in families}
    warnings = []
    if aggregates:
        names = sorted({task for _, task in aggregates})
        warnings.append(f"lm-eval's means over tasks are left out, their tasks are here: {listed(names)}")
    empty = {key for key in set(found) - aggregates if not any(s or (e and e.values) for e, s in found[key].values())}
    if empty:
        warnings.append(f"in the results without any metric, left out: {listed(sorted({task for _, task in empty}))}")
    chosen = []
    again = []
    for (folder, task), dated in found.items():
        if (folder, task) in aggregates | empty:
            continue
        entry, samples = dated[max(dated)]
        chosen.append(Evaluation(of_folder[folder], task, entry, samples))
        if len(dated) > 1:
            again.append(f"{task} in {folder} ({len(dated)} times, {max(dated)} taken)")
    if again:
        warnings.append(f"evaluated more than once, the newest is taken: {listed(sorted(again))}")
    if not chosen:
        raise TriaxisError("the results hold no task with a metric; evaluate again")
    chosen.sort(key=lambda e: (e.task, e.place.run, e.place.step, e.place.folder))
    return chosen, families, warnings


def _refuse_second(file: Path, other: Path | None) -> None:
    if other is not None:
        raise TriaxisError(f"{file}: the same tasks at the same checkpoint and time as {other}; keep one")


def _leaves(name: str, families: Mapping[str, Sequence[str]], above: tuple[str, ...] = ()) -> list[str]:
    """The tasks of a group, those of its groups included."""
    found: list[str] = []
    for task in families[name]:
        if task in families and task not in above:
            found += _leaves(task, families, (*above, name))
        elif task not in families:
            found.append(task)
    return sorted(set(found))


# One task


def _task(
    task: str, evaluations: Sequence[Evaluation], spec: Map, families: Mapping[str, Sequence[str]], warnings: list[str]
) -> list[Measured]:
    """The rows of one task at all its checkpoints, all of them records or all of them summaries."""
    first = evaluations[0]
    key = spec.metric_of(task, _keys(first), str(first.file), families)
    metric = key.partition(",")[0]
    told = {bool(v) for e in evaluations if e.entry and (v := e.entry.higher_is_better.get(metric)) is not None}
    higher = told != {False}
    samples = [read_samples(e.samples, key, text=spec.text) if e.samples else None for e in evaluations]
    read = [s for s in samples if s is not None]
    records = len(read) == len(evaluations) and all(s.scores is not None for s in read)
    accuracy = spec.is_accuracy(metric)
    name = ACCURACY if accuracy else metric
    if not records:
        if read:
            warnings.append(_why_summaries(task, metric, samples))
        return [_summary(e, s, key, name, higher, task) for e, s in zip(evaluations, samples, strict=True)]
    warnings += _left_out(task, metric, read, evaluations)
    warnings += _disagreeing(task, key, read, evaluations)
    ids = _item_ids(task, read, spec, warnings)
    return [
        _records(e, s, i, name, higher, accuracy, spec.text) for e, s, i in zip(evaluations, read, ids, strict=True)
    ]


def _keys(evaluation: Evaluation) -> list[str]:
    """The metrics of an evaluation as `name,filter`: of its entry, else of its samples."""
    if evaluation.entry is not None:
        return list(evaluation.entry.values)
    keys: dict[str, None] = {}
    for row, sample in read_lines(evaluation.file):
        filter_name = sample.get("filter", NO_FILTER)
        if filter_name in {key.partition(",")[2] for key in keys}:
            continue  # the rows of a filter are alike
        metrics = sample.get("metrics")
        if not isinstance(metrics, list):
            raise TriaxisError(
                f"{evaluation.file}, row {row}, metrics: missing, and there is no results file beside it to tell the"
                " metrics; put it back"
            )
        keys |= {f"{metric},{filter_name}": None for metric in metrics}
    return list(keys)


def _why_summaries(task: str, metric: str, samples: Sequence[Samples | None]) -> str:
    lacking = sum(s is None for s in samples)
    if lacking:
        which = f"{lacking} of its {count(len(samples), 'evaluation')} have no samples file"
    else:
        which = f"its samples hold no single number for {metric}"
    return f"task {task}: read as summaries, so its gains are not paired: {which}"


def _left_out(task: str, metric: str, samples: Sequence[Samples], evaluations: Sequence[Evaluation]) -> list[str]:
    """What of the samples is not there, in words."""
    warnings = []
    without = sum(s.n_without for s in samples)
    if without:
        warnings.append(f"task {task}: {count(without, 'sample')} have no {metric} and are left out")
    short = [
        f"{s.file.name} of {e.place} has {len(s.rows) + s.n_without} of {e.entry.n_items}"
        for s, e in zip(samples, evaluations, strict=True)
        if e.entry is not None and e.entry.n_items is not None and len(s.rows) + s.n_without < e.entry.n_items
    ]
    if short:
        warnings.append(f"task {task}: samples files with fewer items than their results: {listed(short)}")
    return warnings


def _disagreeing(task: str, key: str, samples: Sequence[Samples], evaluations: Sequence[Evaluation]) -> list[str]:
    """Files of samples whose mean isn't what the results file beside them says, as where one of them was changed."""
    found = []
    for s, e in zip(samples, evaluations, strict=True):
        told = number(e.entry.values.get(key)) if e.entry is not None else None
        mean = sum(s.scores or []) / max(len(s.scores or []), 1)
        if told is not None and abs(told - mean) > TOLERANCE * max(1.0, abs(told)):
            found.append(f"{e.place} ({mean:.4g}, results say {told:.4g})")
    return [f"task {task}: the mean of the samples is not {key} of the results: {listed(found)}"] if found else []


def _item_ids(task: str, samples: Sequence[Samples], spec: Map, warnings: list[str]) -> list[list[str]]:
    """What names an item: its `doc_id`, where that is the same question in every file, else the hash of the question.

    Raises TriaxisError where neither does: scores would be paired that belong to different questions.
    """
    if spec.items == "doc_id" or not all(hash_ for s in samples for hash_ in s.hashes):
        return [s.ids for s in samples]
    changed = _changed(samples) if spec.items is None else None
    if spec.items is None and changed is None:
        return [s.ids for s in samples]
    sets = [set(s.hashes) for s in samples]
    one_each = all(len(seen) == len(s.ids) for seen, s in zip(sets, samples, strict=True))
    if spec.items == "doc_hash" or (one_each and all(seen <= max(sets, key=len) for seen in sets)):
        if changed is not None:
            warnings.append(f"task {task}: its items stand in another order in some files; they are told by doc_hash")
        return [s.hashes for s in samples]
    a, b, item = changed or ("", "", "")
    raise TriaxisError(
        f"{b}, doc_hash: item {item} is another question than in {a}; evaluate both on the same version of task"
        f" {task!r}, or, if only its form differs (shuffled choices), set items: doc_id in {spec.file}"
    )


def _changed(samples: Sequence[Samples]) -> tuple[str, str, str] | None:
    """Two places where one doc_id has two hashes, and the id."""
    seen: dict[str, tuple[str, str]] = {}
    for s in samples:
        for row, item, hash_ in zip(s.rows, s.ids, s.hashes, strict=True):
            place = f"{s.file}, row {row}"
            old, where = seen.setdefault(item, (hash_, place))
            if old != hash_:
                return where, place, item
    return None


def _records(
    e: Evaluation, s: Samples, ids: list[str], name: str, higher: bool, accuracy: bool, text: bool
) -> Measured:
    """Records of one evaluation.

    An outcome is told for multiple choice only: lm-eval doesn't say whether a response ran into the token limit, and
    one that is just wrong can't be told from one that was cut off.
    """
    scores = s.scores or []
    columns: dict[str, list[Any]] = {"score": scores, "item": ids}
    if accuracy and e.entry is not None and e.entry.multiple_choice and set(scores) <= {0.0, 1.0}:
        columns["outcome"] = [str(outcome_of(score, generated=False)) for score in scores]
    if any(tokens is not None for tokens in s.tokens):
        columns["response_tokens"] = s.tokens
    if text:
        columns["text"] = s.texts
    columns |= {name: [value] * len(ids) for name, value in (e.entry.how if e.entry else {}).items()}
    return Measured(e.place, e.task, name, higher, columns, lambda i: f"{s.file}, row {s.rows[i]}")


def _summary(e: Evaluation, s: Samples | None, key: str, name: str, higher: bool, task: str) -> Measured:
    """One row: the aggregate of the results file, or where there is none the mean of the samples."""
    if e.entry is not None:
        where = f"{e.entry.file}, results.{task}"
        if key not in e.entry.values:
            raise TriaxisError(_lacks(where, key, e.entry.values))
        score = number(e.entry.values[key])
        if score is None:
            raise TriaxisError(f"{where}, {key}: {brief(e.entry.values[key])} is not a number; choose another metric")
        n = e.entry.n_items
    else:
        where = str(e.file)
        if s is None or not s.scores:
            raise TriaxisError(
                f"{where}, {key}: not one number an item, and there is no results file beside it; put it back"
            )
        score, n = sum(s.scores) / len(s.scores), len(s.scores)
    how = {name: [value] for name, value in (e.entry.how if e.entry else {}).items()}
    return Measured(e.place, task, name, higher, {"score": [score], "n_items": [n], **how}, lambda i: where)


def _lacks(where: str, key: str, there: Mapping[str, Any]) -> str:
    return (
        f"{where}: no {key}, which other checkpoints have; it has {', '.join(there) or 'no metric'};"
        " evaluate it alike, or choose a metric that all have"
    )
