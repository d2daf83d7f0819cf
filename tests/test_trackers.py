"""Trackers: what a study sends is what its folder holds, each point once, and nothing that they do reaches the run."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from triaxis.integrations.trackers import destination
from triaxis.integrations.trackers.points import Answer, of_rows, values_of
from triaxis.integrations.trackers.sending import Sender
from triaxis.records import Store
from triaxis.types import Checkpoint, NotEstimable, Reading, TriaxisError

STUDY = {
    "name": "small",
    "model": {"base": "lab:weak"},
    "data": {"task": "chain", "structure": "short_cot", "examples": 32},
    "optimization": {"learning_rate": 1e-3, "steps": 2, "batch_size": 8, "schedule": "constant"},
    "seeds": 1,
    "tasks": {"in_domain": ["chain"], "far_ood": ["boolean", "letters"]},
    "trajectory": {"steps": [1, 2]},
    "evaluation": {"items": 3},
    "diagnostics": ["gradient_norm"],
}
TRIAXIS = str(Path(sys.executable).parent / "triaxis")
HERE = [name for name in ("tensorboard", "wandb", "mlflow") if importlib.util.find_spec(name)]
needs_tensorboard = pytest.mark.skipif("tensorboard" not in HERE, reason="tensorboard is not installed")
Points = dict[str, Counter[tuple[str, int, float]]]  # by run, every value as often as it is there


def triaxis(*words: object, **env: str) -> subprocess.CompletedProcess[str]:
    command = [TRIAXIS, *map(str, words)]
    told = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "MLFLOW_"))}
    return subprocess.run(command, capture_output=True, text=True, env=told | env, timeout=300, check=False)


@pytest.fixture(scope="module")
def deaf() -> Iterator[str]:
    """The address of a server that takes every connection and never answers."""
    server = socket.create_server(("127.0.0.1", 0))
    held = []

    def take() -> None:
        while True:
            try:
                held.append(server.accept())
            except OSError:
                return

    threading.Thread(target=take, daemon=True).start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}"
    server.close()


@pytest.fixture(scope="module")
def finished(deaf: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A small study that was killed, and gone on with into every tracker that is here, beside two that fail: one can't
    write, one never answers. Its folder, and what was said on standard error."""
    if "tensorboard" not in HERE:
        pytest.skip("tensorboard is not installed")
    folder = tmp_path_factory.mktemp("tracked")
    out, study = folder / "out", folder / "study.yaml"
    study.write_text(yaml.safe_dump(STUDY))
    command = [TRIAXIS, "run", str(study), "--out", str(out), "--jobs", "1"]
    shown = "trackers/tensorboard/*/*tfevents*[0-9a-f].triaxis"
    silent = subprocess.DEVNULL
    process = subprocess.Popen([*command, "--track", "tensorboard"], stderr=silent, stdout=silent)
    while not any(out.glob(shown)) and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    next(out.glob(shown)).unlink()  # as if the tracker had been killed before it wrote that one
    (folder / "file").write_text("")
    asked = [*HERE, f"tensorboard={folder / 'file'}", *([f"mlflow={deaf}"] if "mlflow" in HERE else [])]
    told = triaxis(*command[1:], *(f"--track={one}" for one in asked), TRIAXIS_TRACKER_SECONDS="40")
    assert told.returncode == 0, told.stderr
    return out, told.stderr.splitlines()


# -- what the trackers hold, read with their own tools ----------------------------------------------------------------


def in_tensorboard(place: Path) -> Points:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found: Points = {}
    for folder in place.iterdir():
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0}).Reload()
        told: Counter[tuple[str, int, float]] = Counter()
        for name in events.Tags()["tensors"]:
            if not name.startswith("_hparams_"):
                told.update((name, e.step, round(float(e.tensor_proto.float_val[0]), 5)) for e in events.Tensors(name))
        for name in events.Tags()["scalars"]:
            told.update((name, e.step, round(e.value, 5)) for e in events.Scalars(name))
        found[folder.name] = told
    return found


def in_mlflow(place: Path) -> Points:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{place / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    found: Points = {}
    for run in client.search_runs([experiment.experiment_id]):
        told: Counter[tuple[str, int, float]] = Counter()
        for name in run.data.metrics:
            history = client.get_metric_history(run.info.run_id, name)
            told.update((name, metric.step, round(metric.value, 5)) for metric in history)
        assert run.info.run_name not in found
        found[run.info.run_name] = told
        assert run.info.status == "FINISHED"
        assert run.data.params["optimization.learning_rate"] == "0.001"
    return found


def in_wandb(place: Path) -> Points:
    from wandb.proto.wandb_internal_pb2 import Record

    found: Points = defaultdict(Counter)
    for path in place.rglob("run-*.wandb"):
        name = ""
        for data in _log_records(path.read_bytes()):
            record = Record.FromString(data)
            if record.WhichOneof("record_type") == "run":
                name = record.run.display_name
            if record.WhichOneof("record_type") == "history":
                row = {i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in record.history.item}
                step = row.pop("optimizer_step")
                found[name].update((key, step, round(v, 5)) for key, v in row.items() if not key.startswith("_"))
    return found


def _log_records(content: bytes) -> Iterator[bytes]:
    """The records of a file in LevelDB's log format, which wandb writes after seven bytes of its own."""
    place, whole = 7, b""
    while place + 7 <= len(content):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        whole += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last of several
            yield whole
            whole = b""


def expected(out: Path) -> Points:
    """What every tracker should hold, from the long table alone."""
    with Store.open(out, read_only=True) as store:
        frame = store.table(text=False).arrow.to_pandas()
        runs = [status.run for status in store.status()]
        norms = {(d.run, d.step): d.value for d in store.diagnostics() if d.value is not None}
    found: Points = {}
    for run in runs:
        told: Counter[tuple[str, int, float]] = Counter()
        own = frame[(frame["run"] == run) | (frame["step"] == 0)]
        for step, at in own.groupby("step"):
            for name, values in (
                ("score", at["score"]), ("truncated", at["outcome"] == "truncated"),
                ("response_tokens", at["response_tokens"]),
            ):  # fmt: skip
                tasks = values.astype(float).groupby([at["group"].astype(str), at["task"].astype(str)]).mean()
                told.update((f"{name}/{group}/{task}", step, round(value, 5)) for (group, task), value in tasks.items())
                groups = tasks.groupby(level=0).mean()
                told.update((f"{name}/{group}", step, round(value, 5)) for group, value in groups.items())
            if step:
                for name in ("loss", "token_accuracy", "epoch", "tokens"):
                    told[f"train/{name}", step, round(float(at[name].iloc[0]), 5)] += 1
                told["diagnostic/gradient_norm", step, round(norms[run, step], 5)] += 1
        found[run] = told
    return found


def near(found: Points, wanted: Points) -> None:
    """The same values, each once; TensorBoard keeps them in single precision."""
    assert found.keys() == wanted.keys()
    for run in wanted:
        told, asked = (sorted(points.elements()) for points in (found[run], wanted[run]))
        assert [point[:2] for point in told] == [point[:2] for point in asked]
        assert [point[2] for point in told] == pytest.approx([point[2] for point in asked], abs=1e-4, rel=1e-6)


READ = {"tensorboard": in_tensorboard, "wandb": in_wandb, "mlflow": in_mlflow}
EACH = [
    pytest.param(name, marks=pytest.mark.skipif(name not in HERE, reason=f"{name} is not installed")) for name in READ
]


@pytest.mark.parametrize("kind", EACH)
def test_every_point_of_a_run_that_was_killed_is_there_once(kind: str, finished: tuple[Path, list[str]]) -> None:
    out, _ = finished
    near(READ[kind](out / "trackers" / kind), expected(out))


def test_what_is_shown_is_sent_again_only_where_it_lacks(finished: tuple[Path, list[str]], tmp_path: Path) -> None:
    """A folder is sent again into what has it all, which adds nothing, and into a new place, which gets all of it."""
    out, _ = finished
    asked = [word for name in HERE for word in ("--to", name)]
    again = triaxis("track", out, *asked, "--json")
    assert again.returncode == 0, again.stderr
    assert [(one["sent"], one["already"]) for one in json.loads(again.stdout)] == [(0, 3)] * len(HERE)
    anew = triaxis("track", out, "--to", f"tensorboard={tmp_path / 'anew'}")
    assert anew.stdout.startswith("tensorboard: 1 runs, 3 checkpoints sent, 0 were there"), anew.stderr
    assert in_tensorboard(tmp_path / "anew") == in_tensorboard(out / "trackers" / "tensorboard")


def test_runs_that_share_steps_and_end_early_are_shown_like_any_other(tmp_path: Path) -> None:
    """What two runs share is measured by a job that is no run; one of them ends within it, and is over."""
    kinds = [name for name in HERE if name != "wandb"]  # one that tells points, and one that tells how a run stands
    changes = {"steps": 3, "early_stopping": ["none", "in_domain"], "stopping_patience": 1, "smallest_improvement": 1.0}
    told = STUDY | {"optimization": STUDY["optimization"] | changes, "trajectory": {"steps": [1, 2]}}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(told | {"selection": {"items": 2}}))
    asked = (f"--track={name}" for name in kinds)
    ran = triaxis("run", tmp_path / "study.yaml", "--out", tmp_path / "out", "--jobs", 1, *asked)
    assert ran.returncode == 0, ran.stderr
    assert "ends at step 2" in ran.stderr and "were not done again" in ran.stderr
    assert "is switched off" not in ran.stderr
    for name in kinds:
        near(READ[name](tmp_path / "out" / "trackers" / name), expected(tmp_path / "out"))


# -- failures ---------------------------------------------------------------------------------------------------------


def test_a_tracker_that_is_not_installed_is_told_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY))
    hidden = "import sys; sys.modules['wandb'] = None; from triaxis.cli import main; sys.exit(main())"
    words = ["run", tmp_path / "study.yaml", "--out", tmp_path / "out", "--track", "wandb"]
    told = subprocess.run([sys.executable, "-c", hidden, *map(str, words)], capture_output=True, text=True, check=False)
    assert told.returncode == 2
    assert told.stderr == "triaxis: wandb needs wandb, which is not here: pip install 'triaxis[wandb]'\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("tensorbord", "no tracker is called 'tensorbord'; did you mean tensorboard? there are "
         "tensorboard, wandb, mlflow"),
        ("mlflow=", "mlflow=: no place after the =; give a folder, or leave the = out"),
    ],
)  # fmt: skip
def test_a_tracker_that_is_none(told: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(TriaxisError) as caught:
        destination(told, tmp_path, "small")
    assert str(caught.value) == words


def test_a_tracker_that_fails_or_hangs_is_one_line_and_the_run_goes_on(finished: tuple[Path, list[str]]) -> None:
    out, said = finished
    assert not any("Traceback" in line for line in said)
    warned = [line for line in said if "warning" in line]
    assert len(warned) == 1 + ("mlflow" in HERE), said
    assert any("tensorboard is switched off: FileExistsError: [Errno 17]" in line for line in warned), warned
    if "mlflow" in HERE:
        assert any("mlflow is switched off: no answer for 40 s" in line for line in warned), warned
    assert all(f"'triaxis track' sends it again ({out / 'trackers'}" in line for line in warned), warned
    with Store.open(out, read_only=True) as store:
        assert [status.state for status in store.status()] == ["done"]


@needs_tensorboard
def test_a_tracker_whose_process_is_killed_is_one_line(tmp_path: Path) -> None:
    lines: list[str] = []
    sender = Sender(destination("tensorboard", tmp_path, "small"), lines.append)
    assert sender._process.pid is not None
    os.kill(sender._process.pid, signal.SIGKILL)
    sender._process.join()
    sender.close()
    assert len(lines) == 1 and "tensorboard is switched off: its process died (exit code -9)" in lines[0]
    assert "'triaxis track' sends it again" in lines[0]


def test_a_failed_tracker_fails_the_command_for_it(finished: tuple[Path, list[str]], tmp_path: Path) -> None:
    out, _ = finished
    (tmp_path / "file").write_text("")
    told = triaxis("track", out, "--to", f"tensorboard={tmp_path / 'file'}")
    assert told.returncode == 1 and len(told.stderr.splitlines()) == 1 and not told.stdout


# -- what is sent -----------------------------------------------------------------------------------------------------


def test_of_an_adaptive_evaluation_the_pilot_is_sent() -> None:
    """What was asked beyond it was asked because of what was answered: its mean leans outward."""
    row = {"group": "in_domain", "task": "chain", "mode": "default", "outcome": "correct", "response_tokens": 3}
    rows = [{**row, "item": str(i), "score": float(i < 2), "pilot": i < 4} for i in range(8)]
    assert values_of(Checkpoint(3, 0), of_rows(rows), {})["score/in_domain"] == 0.5
    plain = [{name: value for name, value in each.items() if name != "pilot"} for each in rows]
    assert values_of(Checkpoint(3, 0), of_rows(plain), {})["score/in_domain"] == 0.25


def test_known_values_of_a_checkpoint() -> None:
    """Means over samples, items, tasks; a mode is named unless it is the default; what is missing has no value."""
    answers = [
        Answer("far_ood", "a", "default", "1", 1.0, False, 10), Answer("far_ood", "a", "default", "1", 0.0, True, 30),
        Answer("far_ood", "a", "default", "2", 1.0, False, 20),
        Answer("far_ood", "b", "default", "1", 0.25, False, None),
        Answer("far_ood", "a", "think", "1", 0.5, False, 8),
    ]  # fmt: skip
    found = values_of(
        Checkpoint(8, None, 0.5, 1.25, float("nan")),
        answers,
        {"diagnostic.gradient_norm": Reading(2.0, "", ""), "diagnostic.x": NotEstimable("none"), "diagnostic.y": 3.0},
    )
    assert found == {
        "score/far_ood/a": 0.75, "score/far_ood/b": 0.25, "score/far_ood": 0.5,
        "truncated/far_ood/a": pytest.approx(1 / 3), "truncated/far_ood": pytest.approx(1 / 3),
        "response_tokens/far_ood/a": 20.0, "response_tokens/far_ood": 20.0,
        "score/far_ood/a/think": 0.5, "score/far_ood/think": 0.5, "truncated/far_ood/a/think": 0.0,
        "truncated/far_ood/think": 0.0, "response_tokens/far_ood/a/think": 8.0, "response_tokens/far_ood/think": 8.0,
        "train/loss": 1.25, "train/epoch": 0.5,
        "diagnostic/gradient_norm": 2.0, "diagnostic/y": 3.0,
    }  # fmt: skip
