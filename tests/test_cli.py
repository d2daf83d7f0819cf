"""The whole as a user runs it: the commands, their output and their exit codes."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from triaxis.execute.conduct import conduct
from triaxis.execute.keeping import used
from triaxis.execute.local import LocalPool
from triaxis.records import Store, records_digest
from triaxis.study import load_study

TRIAXIS = str(Path(sys.executable).parent / "triaxis")
SMALL = {
    "name": "small",
    "model": {"base": "lab:weak"},
    "data": {"task": "chain", "structure": "short_cot", "examples": 64, "noise_rate": [0.0, 0.5]},
    "optimization": {"learning_rate": 1e-3, "steps": 4, "batch_size": 8, "schedule": "constant"},
    "seeds": [0, 1],
    "tasks": {"in_domain": ["chain"], "far_ood": ["boolean"], "safety": ["refusal"]},
    "trajectory": {"steps": [1, 2, 4]},
    "evaluation": {"items": 6},
}


def triaxis(*words, folder=None, timeout=300):
    return subprocess.run(
        [TRIAXIS, *map(str, words)], cwd=folder, capture_output=True, text=True, timeout=timeout, check=False
    )


def declared(folder, name="study.yaml", **changes):
    path = Path(folder) / name
    path.write_text(yaml.safe_dump(SMALL | changes), encoding="utf-8")
    return path


def digest(folder):
    with Store.open(folder, read_only=True) as store:
        return records_digest(store.table())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small study, run once without disturbance."""
    folder = tmp_path_factory.mktemp("study")
    result = triaxis("run", declared(folder), "--out", folder / "out", "--jobs", 2)
    assert result.returncode == 0, result.stderr
    return folder, result


def test_a_study_runs_to_its_report(finished):
    folder, result = finished
    out = folder / "out"
    assert "data.noise_rate" in result.stdout and "report.html" in result.stdout
    assert (out / "report.html").stat().st_size > 1000
    analysis = json.loads((out / "analysis.json").read_text())
    assert analysis["version"] == 1
    with Store.open(out, read_only=True) as store:
        assert {s.state for s in store.status()} == {"done"} and len(store.status()) == 4
        # 18 questions at step 0 of the base, and at three checkpoints of four runs.
        assert store.table().arrow.num_rows == 18 * (1 + 3 * 4)
        assert not list((out / "state").rglob("*.pt*")), "a finished run keeps no state to resume from"


def test_running_again_runs_nothing(finished):
    folder, _ = finished
    before = {p: p.stat().st_mtime_ns for p in (folder / "out" / "records").rglob("*.parquet")}
    result = triaxis("run", folder / "study.yaml", "--out", folder / "out")
    assert result.returncode == 0, result.stderr
    assert {p: p.stat().st_mtime_ns for p in (folder / "out" / "records").rglob("*.parquet")} == before


def test_the_same_study_gives_the_same_records(finished, tmp_path):
    folder, _ = finished
    result = triaxis("run", declared(tmp_path), "--out", tmp_path / "again", "--jobs", 1)
    assert result.returncode == 0, result.stderr
    assert digest(tmp_path / "again") == digest(folder / "out")


def test_changing_the_study_makes_only_the_new_runs(finished, tmp_path):
    folder, _ = finished
    out = tmp_path / "out"
    subprocess.run(["cp", "-r", folder / "out", out], check=True)
    before = {p: p.stat().st_mtime_ns for p in (out / "records").rglob("*.parquet")}
    more = declared(tmp_path, data=SMALL["data"] | {"noise_rate": [0.0, 0.5, 1.0]}, seeds=[0])
    result = triaxis("run", more, "--out", out)
    assert result.returncode == 0, result.stderr
    after = {p: p.stat().st_mtime_ns for p in (out / "records").rglob("*.parquet")}
    assert {p: t for p, t in after.items() if p in before} == before
    assert len(after) - len(before) == 3
    shown = json.loads(triaxis("show", out, "--json").stdout)
    assert len({t["run"] for t in shown["trajectories"]}) == 3, "runs of the earlier study are kept, not analysed"


def test_a_base_is_measured_again_when_the_questions_change(finished, tmp_path):
    folder, _ = finished
    out = tmp_path / "out"
    subprocess.run(["cp", "-r", folder / "out", out], check=True)
    result = triaxis("run", declared(tmp_path, evaluation={"items": 4}, seeds=[0]), "--out", out)
    assert result.returncode == 0, result.stderr
    shown = json.loads(triaxis("show", out, "--json").stdout)
    assert {t["net_gain"].get("not_estimable") for t in shown["trajectories"]} == {None}
    assert not any("base" in w for w in shown["warnings"]), shown["warnings"]


def test_show_analyze_and_records(finished, tmp_path):
    folder, _ = finished
    out = folder / "out"
    again = triaxis("show", out)
    assert again.returncode == 0 and "data.noise_rate" in again.stdout
    inferred = triaxis("analyze", out, "--json", "--report", tmp_path / "r.html")
    assert inferred.returncode == 0, inferred.stderr
    assert json.loads(inferred.stdout) == json.loads((out / "analysis.json").read_text())
    assert (tmp_path / "r.html").exists()
    for kind in ("csv", "parquet"):
        written = triaxis("records", out, "--to", kind, "--out", tmp_path / f"r.{kind}")
        assert written.returncode == 0, written.stderr
        elsewhere = triaxis("analyze", tmp_path / f"r.{kind}", "--json")
        assert elsewhere.returncode == 0, elsewhere.stderr
        mine, theirs = json.loads(inferred.stdout)["effects"], json.loads(elsewhere.stdout)["effects"]
        assert [(e["group"], e.get("value")) for e in mine] == [(e["group"], e.get("value")) for e in theirs]
    assert pq.read_table(tmp_path / "r.parquet").num_rows == 18 * 13
    verified = triaxis("records", out, "--verify", "--json")
    assert verified.returncode == 0
    assert json.loads(verified.stdout) == {"verified": 18 * 13, "disagreements": []}


def test_study_check_runs_nothing(tmp_path):
    result = triaxis("study", "check", declared(tmp_path), "--json")
    assert result.returncode == 0, result.stderr
    checked = json.loads(result.stdout)
    assert len(checked["runs"]) == 4 and checked["cost"]["minutes"] > 0 and checked["identification"]
    sources = {s["name"]: s["source"] for s in checked["settings"]}
    assert sources["optimization.learning_rate"] == "study" and sources["optimization.weight_decay"] == "default"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["study.yaml"]
    words = triaxis("study", "check", tmp_path / "study.yaml").stdout
    assert "optimization.weight_decay" in words and "identify" in words


def test_published_tables(tmp_path):
    result = triaxis("analyze", "--published", "--json", "--report", tmp_path / "report.html")
    assert result.returncode == 0, result.stderr
    analysis = json.loads(result.stdout)
    assert any("GPQA" in w for w in analysis["warnings"]), "base rows that disagree between sources"
    qwen = [t for t in analysis["trajectories"] if t["model.base"] == "Qwen3-4B-Base" and t["task"] == "MATH500"]
    assert any(t["phase"] in ("dip", "recovered", "rising", "plateau", "undecided") for t in qwen)
    assert "NaN" not in result.stdout


def test_help_and_version_are_quick():
    for words in (["--help"], ["--version"], ["run", "--help"], ["study", "check", "--help"]):
        began = time.perf_counter()
        result = triaxis(*words)
        assert result.returncode == 0 and result.stdout
        assert time.perf_counter() - began < 1.5  # half a second on an idle machine; benchmarks/start.py measures it


def test_analysis_loads_no_torch():
    rooms = "triaxis.analyze, triaxis.records, triaxis.study, triaxis.report, triaxis.cli, triaxis.execute.conduct"
    code = f"import sys, {rooms}; print('torch' in sys.modules or 'transformers' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


BAD = [  # what is typed, and what the one line must say
    (["run", "missing.yaml"], "missing.yaml"),
    (["run", "unknown-key.yaml"], "did you mean optimization.learning_rate"),
    (["run", "unknown-task.yaml"], "did you mean chain"),
    (["run", "unknown-base.yaml"], "lab:strong"),
    (["run", "level.yaml"], "data.difficulty"),
    (["run", "no-mode.yaml"], "evaluation.modes: refusal"),
    (["run", "trained-on.yaml"], "tasks.far_ood"),
    (["run", "too-many.yaml"], "data.examples"),
    (["run", "replay.yaml"], "data.replay_share"),
    (["run", "small-budget.yaml"], "budget.minutes"),
    (["run", "small-disk.yaml"], "budget.disk_gb"),
    (["study", "check", "unknown-key.yaml"], "did you mean optimization.learning_rate"),
    (["study", "check", "unknown-base.yaml"], "lab:strong"),
    (["analyze"], "--published"),
    (["analyze", "missing.csv"], "missing.csv"),
    (["analyze", "bad.csv"], "score"),
    (["analyze", "."], "not a study"),
    (["analyze", "bad.csv", "--published"], "not both"),
    (["analyze", "--published", "--study", "missing.yaml"], "missing.yaml"),
    (["show", "nowhere"], "nowhere"),
    (["records", "nowhere", "--verify"], "nowhere"),
    (["records", "nowhere"], "--out FILE"),
    (["records", "nowhere", "--to", "csv", "--out", "x.parquet"], "--to csv"),
    (["lab", "pretrain", "stronk", "--out", "x"], "strong"),
    (["run", "good.yaml", "--out", "occupied"], "holds"),
    (["run"], "study"),
    (["demo", "--seeds", "0"], "--seeds"),
    (["dmeo"], "dmeo"),
]


@pytest.fixture(scope="module")
def bad_inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    declared(folder, "good.yaml")
    declared(folder, "unknown-key.yaml", optimization={"learning_rte": 1e-3})
    declared(folder, "unknown-task.yaml", tasks={"in_domain": ["chian"]})
    declared(folder, "unknown-base.yaml", model={"base": "lab:stronk"})
    declared(folder, "level.yaml", data=SMALL["data"] | {"difficulty": "40"})
    declared(folder, "no-mode.yaml", evaluation={"items": 6, "modes": ["direct"]})
    declared(folder, "trained-on.yaml", data=SMALL["data"] | {"task": "boolean"})
    declared(folder, "too-many.yaml", data=SMALL["data"] | {"examples": 10**12})
    only = {"in_domain": ["refusal"]}
    declared(folder, "replay.yaml", data=SMALL["data"] | {"task": "refusal", "replay_share": 0.5}, tasks=only)
    declared(folder, "small-budget.yaml", budget={"minutes": 0.001})
    declared(folder, "small-disk.yaml", budget={"disk_gb": 1e-6})
    (folder / "bad.csv").write_text("run,step,task,score\na,0,t,0.5\na,1,t,much\n")
    (folder / "occupied").mkdir()
    (folder / "occupied" / "thesis.tex").write_text("")
    return folder


@pytest.mark.parametrize(("words", "told"), BAD, ids=[" ".join(words) for words, _ in BAD])
def test_bad_input_is_one_line_and_exit_code_2(bad_inputs, words, told):
    result = triaxis(*words, folder=bad_inputs)
    assert result.returncode == 2, (result.returncode, result.stderr)
    assert told in result.stderr, result.stderr
    assert "Traceback" not in result.stderr and not result.stdout
    if result.stderr.startswith("triaxis: "):  # a mistake in the words of a command is Typer's, which shows its usage
        assert len(result.stderr.strip().splitlines()) == 1


def test_a_refused_budget_leaves_a_finished_study_alone(finished, tmp_path):
    folder, _ = finished
    out = tmp_path / "out"
    subprocess.run(["cp", "-r", folder / "out", out], check=True)
    refused = triaxis("run", declared(tmp_path, budget={"minutes": 0.001}), "--out", out)
    assert refused.returncode == 2 and "budget.minutes" in refused.stderr
    assert json.loads(triaxis("show", out, "--json").stdout)["trajectories"]


def test_a_damaged_part_is_measured_again(finished, tmp_path):
    folder, _ = finished
    out = tmp_path / "out"
    subprocess.run(["cp", "-r", folder / "out", out], check=True)
    part = sorted((out / "records").rglob("step-*.parquet"))[1]
    content = bytearray(part.read_bytes())
    content[-40] ^= 0x55
    part.write_bytes(content)
    again = triaxis("run", folder / "study.yaml", "--out", out)
    assert again.returncode == 0, again.stderr
    assert digest(out) == digest(folder / "out")


def test_two_folders_of_one_name_are_two_bases(tmp_path):
    from triaxis.axes.model import base_path

    ids = []
    for place, base in (("a", "lab:weak"), ("b", "lab:strong")):
        (tmp_path / place).mkdir()
        subprocess.run(["cp", "-r", base_path(base), tmp_path / place / "mine"], check=True)
        declared(tmp_path / place, model={"base": "./mine"}, seeds=[0])
        checked = triaxis("study", "check", "study.yaml", "--json", folder=tmp_path / place)
        assert checked.returncode == 0, checked.stderr
        ids.append({run["run"] for run in json.loads(checked.stdout)["runs"]})
    assert not ids[0] & ids[1]


def test_a_reader_that_has_seen_enough_is_no_failure(tmp_path):
    piped = f"{TRIAXIS} analyze --published --json | head -c 100; echo ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", piped], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1].endswith("0") and "Traceback" not in result.stderr


def run_in_background(study, out):
    return subprocess.Popen(
        [TRIAXIS, "run", str(study), "--out", str(out), "--jobs", "1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_second_process_is_refused_and_a_reader_is_not(tmp_path):
    study = declared(tmp_path, optimization=SMALL["optimization"] | {"steps": 4000}, trajectory={"steps": [1, 4000]})
    first = run_in_background(study, tmp_path / "out")
    try:
        while not list((tmp_path / "out" / "records").rglob("step-*.parquet")):
            time.sleep(0.05)
        second = triaxis("run", study, "--out", tmp_path / "out")
        assert second.returncode == 2 and str(first.pid) in second.stderr
        shown = triaxis("show", tmp_path / "out", "--json")
        assert shown.returncode == 0, shown.stderr
        assert json.loads(shown.stdout)["trajectories"]
        assert first.poll() is None, "the study was over: the test says nothing"
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()


def test_ctrl_c_loses_nothing(finished, tmp_path):
    study, out = declared(tmp_path), tmp_path / "out"
    process = run_in_background(study, out)
    while not list((out / "records").rglob("step-*.parquet")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 1 and "goes on from there" in told and "Traceback" not in told
    kept = len(list((out / "records").rglob("step-*.parquet")))
    assert kept >= 1
    assert triaxis("run", study, "--out", out).returncode == 0
    assert digest(out) == digest(finished[0] / "out")


def test_killed_five_times_gives_the_same_records(finished, tmp_path):
    study, out = declared(tmp_path), tmp_path / "out"
    moments = random.Random(2026)
    interrupted = 0
    for _ in range(5):
        process = run_in_background(study, out)
        time.sleep(moments.uniform(1.0, 9.0))
        interrupted += process.poll() is None
        # Only the writer is killed: the worker that it leaves behind must end by itself, and harm nothing.
        process.kill()
        process.communicate()
    assert interrupted >= 2, "the study was over before it was killed: the test says nothing"
    result = triaxis("run", study, "--out", out)
    assert result.returncode == 0, result.stderr
    assert digest(out) == digest(finished[0] / "out")


@pytest.mark.parametrize(("budget", "told"), [("minutes", "minutes is used up"), ("disk_gb", "GB is")])
def test_a_budget_is_held_and_what_is_left_waits(tmp_path, budget, told):
    long = {"optimization": SMALL["optimization"] | {"steps": 1000}, "trajectory": {"steps": [2, 20, 100, 1000]}}
    study = load_study(declared(tmp_path, **long, seeds=[0, 1, 2, 3, 4, 5]))
    with Store.create(tmp_path / "out", "", study.to_dict(), study.settings) as store:
        room = {"minutes": 0.15, "disk_gb": (used(tmp_path / "out") + 40_000) / 1e9}
        study = study.replace(budget={budget: room[budget]})
        ended = conduct(study, store, LocalPool(1))
        states = [s.state for s in store.status()]
        kept = sum(len(s.steps) for s in store.status())
    assert told in ended.stopped and not ended.failed
    assert ended.left == states.count("waiting") > 0 and set(states) <= {"done", "waiting"}
    assert kept > 0 or budget == "disk_gb"  # the base alone may fill it


def test_a_full_disk_is_one_line_and_loses_nothing(finished, tmp_path):
    """A limit on the size of files stands for the disk: first no state can be written, then the study goes on."""
    study, out = declared(tmp_path), tmp_path / "out"
    words = f"ulimit -f 250; exec {TRIAXIS} run {study} --out {out} --jobs 1"  # in kB; a state takes 1,800
    full = subprocess.run(["bash", "-c", words], capture_output=True, text=True, check=False)
    assert full.returncode == 2, full.stderr
    told = [line for line in full.stderr.splitlines() if line.startswith("triaxis: ")]
    assert len(told) == 1 and "disk full while writing" in told[0] and "free space and run again" in told[0]
    assert "Traceback" not in full.stderr
    assert triaxis("run", study, "--out", out).returncode == 0
    assert digest(out) == digest(finished[0] / "out")


def test_a_failing_run_is_marked_and_the_others_go_on(tmp_path):
    study = declared(tmp_path, optimization=SMALL["optimization"] | {"learning_rate": [1e-3, 1e30]}, seeds=[0])
    result = triaxis("run", study, "--out", tmp_path / "out")
    assert result.returncode == 1
    assert "are not finite; lower the learning rate" in result.stderr and "Traceback" not in result.stderr
    with Store.open(tmp_path / "out", read_only=True) as store:
        states = {s.levels["optimization.learning_rate"]: s.state for s in store.status()}
    assert states == {1e-3: "done", 1e30: "failed"}


@pytest.mark.slow
def test_the_quick_demo_belongs_to_its_seed_and_takes_a_minute(tmp_path):
    digests, seconds = [], []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        began = time.perf_counter()
        result = triaxis("demo", "--quick", "--seed", seed, "--out", tmp_path / name)
        seconds.append(time.perf_counter() - began)
        assert result.returncode == 0, result.stderr
        assert "report.html" in result.stdout
        digests.append(digest(tmp_path / name))
    assert digests[0] == digests[1] != digests[2]
    assert min(seconds) < 60
    verified = triaxis("records", tmp_path / "a", "--verify", "--json")
    assert json.loads(verified.stdout)["disagreements"] == []
