"""The files of lm-evaluation-harness 0.4: `results_*.json` and `samples_<task>_*.jsonl`, each read as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triaxis.integrations.measured import brief, number
from triaxis.integrations.places import listed
from triaxis.tasks.harness_samples import first_response
from triaxis.types import TriaxisError

DATE = r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:\.\d+)?"
RESULTS = re.compile(rf"(?:results(?:_.*?)?|.+?)_(?P<date>{DATE})\.json|results(?:_.*)?\.json")
SAMPLES = re.compile(rf"samples_(?P<task>.+?)(?:_(?P<date>{DATE}))?\.jsonl")
NO_FILTER = "none"


@dataclass(frozen=True)
class Entry:
    """What one results file says of one task."""

    file: Path
    values: Mapping[str, Any]  # "metric,filter" to value
    n_items: int | None
    multiple_choice: bool
    higher_is_better: Mapping[str, Any]  # by metric
    how: Mapping[str, Any]  # how responses were had, as columns: what the file tells of it


@dataclass(frozen=True)
class Samples:
    """The rows of a samples file that have the wanted filter and metric."""

    file: Path
    rows: list[int]  # lines, from 1
    ids: list[str]
    hashes: list[str]
    scores: list[float] | None  # None: the metric is no single number an item
    tokens: list[float | None]
    texts: list[str]
    n_without: int  # rows of the filter that lack the metric


def read_entries(file: Path) -> tuple[dict[str, Entry], dict[str, list[str]]]:
    """The tasks of a results file, and its groups with their subtasks."""
    try:
        data = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise TriaxisError(f"{file}: not JSON, or cut off ({error}); evaluate again or delete it") from None
    except OSError as error:
        raise TriaxisError(f"{file}: can't be read ({error.strerror}); check its permissions") from None
    results = data.get("results") if isinstance(data, dict) else None
    if not isinstance(results, dict) or not all(isinstance(values, dict) for values in results.values()):
        raise TriaxisError(f"{file}, results: no tasks with their metrics; is it lm-eval's? if not, move it elsewhere")
    groups = {name: list(tasks) for name, tasks in _of(data, "group_subtasks").items() if tasks}
    entries = {}
    for task, values in results.items():
        n = _of(_of(data, "n-samples"), task).get("effective", values.get("sample_len"))
        entries[task] = Entry(
            file=file,
            values={key: value for key, value in values.items() if "," in key and "_stderr," not in key},
            n_items=n if isinstance(n, int) and n > 0 else None,
            multiple_choice=_of(_of(data, "configs"), task).get("output_type") == "multiple_choice",
            higher_is_better=_of(_of(data, "higher_is_better"), task),
            how=_how(_of(data, "config")),
        )
    return entries, groups


def _how(config: Mapping[str, Any]) -> dict[str, Any]:
    """By what a model was run, in batches of how many (lm-eval writes `auto` as words) and of what weights."""
    told: dict[str, Any] = {}
    if isinstance(model := config.get("model"), str):
        told["backend"] = f"lm-eval {model}"
    if str(batch := config.get("batch_size")).isdigit() and int(str(batch)) > 0:
        told["batch_size"] = int(str(batch))
    if isinstance(dtype := config.get("model_dtype"), str):
        told["dtype"] = dtype.removeprefix("torch.")
    return told


def _of(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def read_lines(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The samples of a file with their rows, from 1; empty lines are passed over."""
    try:
        with file.open("rb") as lines:
            for row, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    sample = json.loads(line)
                except (ValueError, RecursionError):
                    raise TriaxisError(
                        f"{file}, row {row}: not JSON, or cut off; evaluate again, or delete the file"
                    ) from None
                if not isinstance(sample, dict):
                    raise TriaxisError(f"{file}, row {row}: {brief(sample)} is no sample; evaluate again")
                yield row, sample
    except OSError as error:
        raise TriaxisError(f"{file}: can't be read ({error.strerror}); check its permissions") from None


def read_samples(file: Path, key: str, *, text: bool) -> Samples:
    """The rows of a samples file with the metric and filter of `key`; with `text` their responses.

    Raises TriaxisError, naming row and field, for what is no sample or no number.
    """
    metric, _, wanted = key.partition(",")
    found = Samples(file, [], [], [], [], [], [], 0)
    without, single, filters = 0, True, set()
    for row, sample in read_lines(file):
        filters.add(str(sample.get("filter", NO_FILTER)))
        if sample.get("filter", NO_FILTER) != wanted:
            continue
        if metric not in sample:
            without += 1
            continue
        if isinstance(sample[metric], list):
            single = False
        else:
            _add(found, row, sample, metric, text=text)
    if not found.rows and single:
        what = (
            f"{metric} in any sample" if wanted in filters else f"filter {wanted!r}; it has {listed(sorted(filters))}"
        )
        raise TriaxisError(f"{file}: no {what}; evaluate again, or delete the file to use its summary")
    return Samples(
        file, found.rows, found.ids, found.hashes, found.scores if single else None, found.tokens, found.texts, without
    )


def _add(to: Samples, row: int, sample: Mapping[str, Any], metric: str, *, text: bool) -> None:
    score = number(sample[metric])
    if score is None:
        raise TriaxisError(f"{to.file}, row {row}, {metric}: {brief(sample[metric])} is not a number; evaluate again")
    if "doc_id" not in sample:
        raise TriaxisError(f"{to.file}, row {row}, doc_id: missing; evaluate again, or delete the file")
    assert to.scores is not None
    to.rows.append(row)
    to.ids.append(str(sample["doc_id"]))
    to.hashes.append(str(sample.get("doc_hash") or ""))
    to.scores.append(score)
    to.tokens.append(number(sample.get("response_tokens")))
    if text:
        to.texts.append(first_response(sample.get("resps")))
