"""Logs of inspect_ai, `.eval` (a zip of JSON) and `.json`, read by their documented form without inspect_ai.

A sample of inspect is an item, an epoch of it a sample of the table.
"""

from __future__ import annotations

import json
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from triaxis.integrations.mapping import Map
from triaxis.integrations.measured import ACCURACY, Measured, brief, number
from triaxis.integrations.places import Place, count, listed
from triaxis.types import Outcome, TriaxisError

LETTERS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}  # correct, partly, incorrect, no answer
ZSTD = 93  # the zip method that newer logs use and Python 3.11 doesn't know
KEPT = ("id", "epoch", "scores", "output")  # of a sample; its events and messages can be a hundred times larger
CUT_OFF = ("max_tokens", "model_length")
REASONS = {
    "refusal": Outcome.REFUSED,
    "invalid_response_format": Outcome.UNPARSED,
    "no_response": Outcome.UNPARSED,
}


@dataclass(frozen=True)
class Log:
    """One log: its task, when it was made, and whether the evaluation came to its end."""

    file: Path
    place: Place
    task: str
    created: str
    status: str
    n_samples: int  # that it says it holds; 0: it doesn't say


def is_ours(file: Path) -> bool:
    """Whether a file can be a log of inspect_ai, by its name: they start with a date."""
    return file.suffix == ".eval" or bool(re.fullmatch(r"\d{4}-\d\d-\d\dT.+\.json", file.name))


def read(places: Mapping[Path, Place], spec: Map) -> tuple[list[Measured], dict[str, list[str]], list[str]]:
    """Every task at every checkpoint, no groups of tasks, and warnings.

    Raises TriaxisError, in one line that names log, sample and field, for what can't be read or chosen.
    """
    logs, warnings = _newest([_log(file, place) for file, place in places.items()])
    tasks = sorted({log.task for log in logs})
    spec.check_metrics(tasks, {})
    measured: list[Measured] = []
    for task in tasks:
        measured += _task([log for log in logs if log.task == task], spec, warnings)
    return measured, {}, warnings


def _newest(logs: Sequence[Log]) -> tuple[list[Log], list[str]]:
    """The newest finished log of each task at each checkpoint, and what was passed over."""
    warnings = []
    broken = [f"{log.task} in {log.place} ({log.status})" for log in logs if log.status != "success"]
    if broken:
        warnings.append(f"{count(len(broken), 'log')} of evaluations that did not end are left out: {listed(broken)}")
    found: dict[tuple[str, str], list[Log]] = {}
    for log in logs:
        if log.status == "success":
            found.setdefault((log.place.folder, log.task), []).append(log)
    again = [f"{task} in {folder} ({len(of)} times)" for (folder, task), of in found.items() if len(of) > 1]
    if again:
        warnings.append(f"evaluated more than once, the newest is taken: {listed(sorted(again))}")
    newest = [max(of, key=lambda log: (log.created, log.file.name)) for of in found.values()]
    if not newest:
        raise TriaxisError("no log of an evaluation that came to its end; evaluate again")
    return sorted(newest, key=lambda log: (log.task, log.place.run, log.place.step, log.place.folder)), warnings


# One task


def _task(logs: Sequence[Log], spec: Map, warnings: list[str]) -> list[Measured]:
    """The records of one task at all its checkpoints."""
    task = logs[0].task
    scored = [_samples(log) for log in logs]
    keys = sorted({key for _, sample in scored[0] for key in _keys(sample)})
    key = spec.metric_of(task, keys, str(logs[0].file), {})
    values = [_values(log, samples, key) for log, samples in zip(logs, scored, strict=True)]
    seen = [value for of_log in values for value in of_log if value is not None]
    without = sum(len(of_log) for of_log in values) - len(seen)
    if without:
        warnings.append(f"task {task}: {count(without, 'sample')} have no {key} (error, or unscored) and are left out")
    accuracy = spec.is_accuracy(key.partition(",")[0]) or all(letter or score in (0.0, 1.0) for score, letter in seen)
    name = ACCURACY if accuracy else key
    return [
        _records(log, [(place, s, v[0]) for (place, s), v in zip(samples, of_log, strict=True) if v], key, name, spec)
        for log, samples, of_log in zip(logs, scored, values, strict=True)
    ]


def _keys(sample: Mapping[str, Any]) -> list[str]:
    """A sample's scores by name: the scorer's, or `scorer,name` where it gives several."""
    keys = []
    for name, score in (sample.get("scores") or {}).items():
        value = score.get("value") if isinstance(score, dict) else None
        keys += [f"{name},{part}" for part in value] if isinstance(value, dict) else [name]
    return keys


def _values(log: Log, samples: Sequence[tuple[str, Any]], key: str) -> list[tuple[float, bool] | None]:
    """A score for each sample, and whether it was a letter or truth value; None where the sample has none."""
    scorer, _, part = key.partition(",")
    found: list[tuple[float, bool] | None] = []
    for place, sample in samples:
        score = (sample.get("scores") or {}).get(scorer)
        value = score.get("value") if isinstance(score, dict) else None
        value = value.get(part) if part and isinstance(value, dict) else value
        if value is None or (isinstance(value, float) and math.isnan(value)):
            found.append(None)
            continue
        told = LETTERS.get(value) if isinstance(value, str) else None
        told = number(value) if told is None else told
        if told is None:
            raise TriaxisError(f"{place}, scores.{key}: {brief(value)} is not a number, C, P, I or N; score it as one")
        found.append((told, isinstance(value, (str, bool))))
    if not any(found):
        raise TriaxisError(f"{log.file}: no sample has a score {key!r}; evaluate it alike, or choose another metric")
    return found


def _records(log: Log, rows: list[tuple[str, Any, float]], key: str, name: str, spec: Map) -> Measured:
    columns: dict[str, list[Any]] = {
        "score": [score for _, _, score in rows],
        "item": [str(sample["id"]) for _, sample, _ in rows],
        "sample": [int(sample["epoch"]) - 1 for _, sample, _ in rows],
        "response_tokens": [number(_of(_of(s, "output"), "usage").get("output_tokens")) for _, s, _ in rows],
    }
    outcomes = [_outcome(sample, score, key) for _, sample, score in rows]
    if name == ACCURACY and None not in outcomes:  # known for some only, their shares would be of those only
        columns["outcome"] = outcomes
    if spec.text:
        columns["text"] = [str(_of(sample, "output").get("completion") or "") for _, sample, _ in rows]
    return Measured(log.place, log.task, name, True, columns, lambda i: rows[i][0])


def _outcome(sample: Mapping[str, Any], score: float, key: str) -> str | None:
    """What became of a response; None where the log doesn't tell."""
    choices = _of(sample, "output").get("choices") or [{}]
    stopped = choices[0].get("stop_reason", "unknown")
    told = _of(_of(sample, "scores"), key.partition(",")[0])
    if score == 1:
        return Outcome.CORRECT.value
    if stopped in CUT_OFF:
        return Outcome.TRUNCATED.value
    if stopped == "content_filter":
        return Outcome.REFUSED.value
    if told.get("reason") in REASONS:
        return REASONS[told["reason"]].value
    if stopped == "unknown" or told.get("value") == "N":  # "no answer" may be a refusal
        return None
    return Outcome.WRONG.value


def _of(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


# Files


def _log(file: Path, place: Place) -> Log:
    """The head of a log. Raises TriaxisError where it is none."""
    header = _header(file)
    told = _of(header, "eval")
    task = told.get("task")
    if not isinstance(task, str) or not task:
        raise TriaxisError(f"{file}, eval.task: missing; is it a log of inspect_ai? if not, move it elsewhere")
    n = _of(header, "results").get("completed_samples")
    status = str(header.get("status", "unknown"))
    return Log(file, place, task, str(told.get("created", "")), status, n if isinstance(n, int) else 0)


def _header(file: Path) -> dict[str, Any]:
    if file.suffix != ".eval":
        return _json(file, file.read_bytes(), "")
    with _opened(file) as archive:
        names = archive.namelist()
        for name in ("header.json", "_journal/start.json"):  # an evaluation that was killed has the latter only
            if name in names:
                head = _json(file, _member(file, archive, name), name)
                return head if name == "header.json" else head | {"status": "started"}
    raise TriaxisError(f"{file}: has no header.json; is it a log of inspect_ai? if not, move it elsewhere")


def _samples(log: Log) -> list[tuple[str, dict[str, Any]]]:
    """The samples of a log, each with its place in words.

    Raises TriaxisError where some are gone (or none was logged), and where one has no id or epoch.
    """
    there = [(place, {key: s.get(key) for key in KEPT}) for place, s in _raw_samples(log.file)]
    if not there or len(there) < log.n_samples:
        raise TriaxisError(
            f"{log.file}: has {len(there)} of {log.n_samples or 'its'} samples; evaluate or copy it again"
        )
    for place, sample in there:
        for name, kinds in (("id", (str, int)), ("epoch", int)):
            if not isinstance(sample[name], kinds):
                raise TriaxisError(f"{place}, {name}: {brief(sample[name])} can't be one; evaluate again")
    return there


def _raw_samples(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    if file.suffix != ".eval":
        samples = _json(file, file.read_bytes(), "").get("samples") or []
        for i, sample in enumerate(samples, 1):
            if not isinstance(sample, dict):
                raise TriaxisError(f"{file}, sample {i}: {brief(sample)} is no sample; evaluate again")
            yield f"{file}, sample {i}", sample
        return
    with _opened(file) as archive:
        for name in sorted(name for name in archive.namelist() if name.startswith("samples/")):
            yield f"{file}, {name}", _json(file, _member(file, archive, name), name)


def _json(file: Path, content: bytes, name: str) -> dict[str, Any]:
    where = f"{file}, {name}" if name else str(file)
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        raise TriaxisError(f"{where}: not JSON, or cut off; evaluate again or move it elsewhere") from None
    if not isinstance(data, dict):
        raise TriaxisError(f"{where}: {brief(data)} is no log of inspect_ai; move it elsewhere")
    return data


def _opened(file: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError) as error:
        raise TriaxisError(f"{file}: no log of inspect_ai, or cut off ({error}); evaluate again or move it") from None


def _member(file: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    """A file of the archive, unpacked; zstd by pyarrow, which Python's zipfile learns in 3.14."""
    info = archive.getinfo(name)
    try:
        if info.compress_type != ZSTD:
            return archive.read(info)
        with file.open("rb") as raw:
            raw.seek(info.header_offset + 26)  # the local header's lengths of name and extra field
            skip = sum(struct.unpack("<HH", raw.read(4)))
            raw.seek(skip, 1)
            content = bytes(pa.input_stream(pa.py_buffer(raw.read(info.compress_size)), compression="zstd").read())
        if zlib.crc32(content) != info.CRC:
            raise zipfile.BadZipFile("its checksum differs")
        return content
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        struct.error,
        zlib.error,
        RuntimeError,
        OSError,
        EOFError,
    ) as error:
        raise TriaxisError(f"{file}, {name}: damaged ({error}); evaluate again or move it elsewhere") from None
