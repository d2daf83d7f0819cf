"""What a tracker is sent of a checkpoint: its scores by task and group, what its training came to, its diagnostics."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from triaxis.integrations.trackers import Tracked
from triaxis.types import Checkpoint, Outcome, Reading, Record

if TYPE_CHECKING:
    from triaxis.records import Store
    from triaxis.study import Study

TRAINED = ("loss", "token_accuracy", "epoch", "tokens")
USUAL = "default"  # a mode that is not named
COUNTED = ("group", "task", "mode", "item", "score", "outcome", "response_tokens", "pilot")  # columns of a folder


class Answer(NamedTuple):
    """What counts of one response."""

    group: str
    task: str
    mode: str
    item: str
    score: float
    cut: bool
    tokens: int | None


class Sent(NamedTuple):
    """One checkpoint of a run for a tracker."""

    run: Tracked
    step: int
    values: Mapping[str, float]


def of_records(records: Iterable[Record]) -> Iterator[Answer]:
    """What counts of records as they come from a run: of an adaptive evaluation the pilot, which no answer chose."""
    for r in records:
        if r.pilot is False:
            continue
        yield Answer(r.group, r.task, r.mode, r.item, r.score, r.outcome == Outcome.TRUNCATED, r.response_tokens)


def of_rows(rows: Iterable[Mapping[str, Any]]) -> Iterator[Answer]:
    """What counts of records as a folder holds them, as `of_records`."""
    for r in rows:
        if r.get("pilot") is False:
            continue
        cut = r["outcome"] == Outcome.TRUNCATED
        yield Answer(r["group"], r["task"], r["mode"], r["item"], r["score"], cut, r["response_tokens"])


def values_of(point: Checkpoint, answers: Iterable[Answer], diagnostics: Mapping[str, Any]) -> dict[str, float]:
    """The values of a checkpoint by name: `score/far_ood`, `score/far_ood/boolean`, `train/loss`, `diagnostic/..`.

    A task's score is the mean over its items of the mean over samples; a group's value is the mean over its tasks. What
    was not measured, or is not finite, has no value.
    """
    values = _of_answers(answers)
    if point.step:
        values |= {f"train/{name}": float(value) for name in TRAINED if _is(value := getattr(point, name))}
    return values | of_diagnostics(diagnostics)


def of_diagnostics(diagnostics: Mapping[str, Any]) -> dict[str, float]:
    """The diagnostics that have a value, by name."""
    told = {name: found.value if isinstance(found, Reading) else found for name, found in diagnostics.items()}
    return {name.replace("diagnostic.", "diagnostic/", 1): float(value) for name, value in told.items() if _is(value)}


def _is(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _of_answers(answers: Iterable[Answer]) -> dict[str, float]:
    cells: dict[tuple[str, str, str], list[Answer]] = defaultdict(list)
    for answer in answers:
        cells[answer.group, answer.mode, answer.task].append(answer)
    values: dict[str, float] = {}
    groups: dict[str, list[float]] = defaultdict(list)
    for (group, mode, task), cell in cells.items():
        under = "" if mode == USUAL else f"/{mode}"
        for name, value in _of_cell(cell).items():
            values[f"{name}/{group}/{task}{under}"] = value
            groups[f"{name}/{group}{under}"].append(value)
    return values | {name: _mean(each) for name, each in groups.items()}


def _of_cell(cell: list[Answer]) -> dict[str, float]:
    """One task in one mode."""
    items: dict[str, list[float]] = defaultdict(list)
    for answer in cell:
        items[answer.item].append(answer.score)
    values = {"score": _mean([_mean(scores) for scores in items.values()])}
    if tokens := [answer.tokens for answer in cell if answer.tokens is not None]:  # none where nothing was generated
        values["truncated"] = _mean([float(answer.cut) for answer in cell])
        values["response_tokens"] = _mean(tokens)
    return values


def _mean(values: list[float] | list[int]) -> float:
    return sum(values) / len(values)


# -- what a folder holds ----------------------------------------------------------------------------------------------


def kept_runs(store: Store) -> dict[str, tuple[Tracked, str]]:
    """The runs of a folder, each as a tracker sees it and with its base."""
    study = {name: _plain(value) for name, value, _ in store.settings()}
    found = {}
    for status in store.status():
        own = {name: _plain(value) for name, value in {**status.settings, **status.levels}.items()}
        base = str(own.get("model.base", ""))
        found[status.run] = Tracked(status.run, {**study, **own, "seed": status.seed}), base
    return found


def known_runs(study: Study) -> dict[str, tuple[Tracked, str]]:
    """The runs of a study, each as a tracker sees it and with its base, before any of them is in a folder."""
    settings = {setting.name: _plain(setting.value) for setting in study.settings}
    found = {}
    for run in study.runs():
        own = {name: _plain(level) for name, level in run.condition.settings.items()}
        found[run.id] = Tracked(run.id, {**settings, **own, "seed": run.seed}), str(own["model.base"])
    return found


def _plain(value: Any) -> Any:
    """A setting as every tracker takes it: a list in words."""
    return value if isinstance(value, str | int | float | bool) else " ".join(map(str, value or ()))


class Kept(NamedTuple):
    """The points that a folder holds."""

    bases: dict[str, dict[str, float]]  # step 0, by base
    runs: list[Sent]  # a run after the other, each from its first checkpoint on


def kept(store: Store, runs: Mapping[str, tuple[Tracked, str]]) -> Kept:
    """Every checkpoint of these runs that is measured and whole, and their bases."""
    found = Kept({}, [])
    own: dict[str, list[Sent]] = {name: [] for name in runs}
    for part in sorted(store.parts(text=False), key=lambda part: part.checkpoint.step):
        rows = part.records.select([name for name in COUNTED if name in part.records.column_names]).to_pylist()
        values = values_of(part.checkpoint, of_rows(rows), part.diagnostics)
        if not part.run:
            found.bases[part.base] = values
        elif part.run in own:
            own[part.run].append(Sent(runs[part.run][0], part.checkpoint.step, values))
    found.runs.extend(sent for listed in own.values() for sent in listed)
    return found
