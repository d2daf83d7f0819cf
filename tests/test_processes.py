"""Several processes train what one does: the same losses, weights, states and records, and none is left behind."""

import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import astuple
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
import yaml

import processes_cases as cases
from triaxis.axes.data import training_set
from triaxis.axes.model import load_base
from triaxis.axes.optimization import Recipe, Training, order
from triaxis.axes.optimization.crew import ALONE, Crew
from triaxis.axes.optimization.losses import summed
from triaxis.axes.optimization.optimizers import build_optimizers, clip, set_rate
from triaxis.axes.optimization.schedules import rate_factor
from triaxis.execute.check import checked
from triaxis.execute.conduct import job_of
from triaxis.execute.layout import check_layout, jobs_at_once, laid_out
from triaxis.execute.run import batcher, follow, render
from triaxis.records import Store
from triaxis.study import parse_study
from triaxis.types import TriaxisError

TRIAXIS = str(Path(sys.executable).parent / "triaxis")
RTOL = {"muon": 5e-4, "bfloat16": 5e-3, "lora in bfloat16": 2e-3}  # they round to bfloat16, where one bit is a 256th
STUDY = {
    "name": "two",
    "model": {"base": "lab:weak"},
    "data": {"task": "chain", "structure": "short_cot", "examples": 50, "noise_rate": 0.3},
    "optimization": {"learning_rate": 1e-3, "batch_size": 16, "micro_batch_size": 6, "packing": True, "epochs": 6},
    "seeds": [3],
    "tasks": {"in_domain": ["chain"], "far_ood": ["pointer"]},
    "trajectory": {"steps": [2, 12]},
    "evaluation": {"items": 5, "samples": 2, "temperature": 1.0, "modes": ["default", "think"]},
    "diagnostics": ["gradient_norm"],
}


# --- the same step ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lab_rows():
    settings = {"task": "chain", "examples": 33, "structure": "short_cot", "noise_rate": 0.0, "difficulty": "all"}
    _, tokenizer = load_base("lab:weak")
    return [render(example, tokenizer) for example in training_set(settings | {"replay_share": 0.0}, 0)]


@pytest.fixture(scope="module")
def alone():
    torch.set_num_threads(1)
    found = {name: case(ALONE) for name, case in cases.CASES.items()}
    return found | {"adafactor": cases.small(ALONE, optimizer="adafactor")}


@pytest.fixture(scope="module")
def together(alone, lab_rows, tmp_path_factory):
    """What each of two processes saw of every case, from one start of both."""
    folder = tmp_path_factory.mktemp("two")
    torch.save([astuple(row) for row in lab_rows], folder / "rows.pt")
    for name in cases.RESUMED:
        torch.save(alone[name]["state"], folder / f"{name}.pt")
    command = [sys.executable, "-m", "processes_cases"]
    ranks = [
        subprocess.Popen([*command, str(rank), "2", folder], cwd=Path(__file__).parent, stderr=subprocess.PIPE)
        for rank in range(2)
    ]
    told = [rank.communicate(timeout=300)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], b"".join(told).decode()[-3000:]
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def agree(found, wanted, rtol=1e-5):
    assert found["tokens"] == wanted["tokens"]
    np.testing.assert_allclose(found["losses"], wanted["losses"], rtol=rtol)
    np.testing.assert_allclose(found["accuracy"], wanted["accuracy"], atol=0.05 if rtol > 1e-5 else 0)


def drift(found, wanted):
    """The relative differences of two loss curves: rounding has no sign and no trend, a wrong scale has."""
    found, wanted = np.array(found["losses"]), np.array(wanted["losses"])
    return (found - wanted) / wanted


def one_sided(differences):
    """The mean of the differences, and by how much a line through them rises."""
    steps = np.arange(len(differences))
    return abs(differences.mean()), abs(np.polyfit(steps, differences, 1)[0]) * len(steps)


def test_one_times_eight_is_two_times_four_is_two_processes(together, lab_rows):
    """20 steps in fp32; 33 rows in batches of 8: at every fifth step one row is left, and a process has none."""
    whole = cases.lab(ALONE, lab_rows)
    others = {"2 x 4": cases.lab(ALONE, lab_rows, micro=4)} | {s: together[0][f"lab {s}"] for s in cases.SHARDINGS}
    for name, other in others.items():
        agree(other, whole)
        sign, trend = one_sided(drift(other, whole))
        assert sign < 1e-6 and trend < 2e-6, f"{name}: the difference goes to one side"
        for weight, wanted in whole["weights"].items():
            # Adam divides by the root of a tiny second moment, so single weights may differ by more than the loss.
            torch.testing.assert_close(other["weights"][weight], wanted, rtol=1e-3, atol=5e-5)


def test_a_wrong_scale_would_be_seen(lab_rows):
    """The bounds are not too wide: gradients that are one part in a thousand too large go beyond them."""
    right, wrong = (cases.lab(ALONE, lab_rows, scale=s, optimizer="sgd") for s in (1.0, 1.001))
    sign, trend = one_sided(drift(wrong, right))
    assert abs(drift(wrong, right)).max() > 1e-5 and sign > 1e-6 and trend > 2e-6


@pytest.mark.parametrize(("name", "sharding"), cases.TOGETHER)
def test_two_processes_are_one(alone, together, name, sharding):
    found, wanted = together[0][f"{name} {sharding}"], alone[name]
    agree(found, wanted, RTOL.get(name, 1e-5))
    assert found["losses"] == together[1][f"{name} {sharding}"]["losses"], "each knows the loss of them all"
    assert found["weights"].keys() == wanted["weights"].keys()
    for key, weight in found["weights"].items():
        torch.testing.assert_close(weight, wanted["weights"][key], rtol=1e-3, atol=5e-3 if name in RTOL else 5e-5)


def test_adafactor_is_one_in_copies_and_refused_in_pieces(alone, together):
    agree(together[0]["adafactor ddp"], alone["adafactor"])
    for rank in together:
        assert rank["refused"]["refused"] == (
            "optimization.optimizer: torch's adafactor can't update a model in pieces (fsdp); take --sharding ddp"
        )


@pytest.mark.parametrize("sharding", cases.SHARDINGS)
def test_a_loss_that_is_not_finite_in_one_process_ends_them_all_and_names_its_rows(together, sharding):
    first, second = (rank[f"broken {sharding}"] for rank in together)
    assert first["failed"] == second["failed"]
    assert f"step 2: the loss is nan; rows {', '.join(second['rows'])};" in first["failed"]


def shapes(tree):
    """A state with the shape of each tensor in its place."""
    if isinstance(tree, dict):
        return {key: shapes(value) for key, value in tree.items()}
    return [shapes(v) for v in tree] if isinstance(tree, list) else getattr(tree, "shape", tree)


@pytest.mark.parametrize("sharding", cases.SHARDINGS)
@pytest.mark.parametrize("name", cases.RESUMED)
def test_a_state_goes_from_one_process_to_two_and_back(alone, together, name, sharding):
    rest = {key: alone[name][key][cases.CUT :] for key in ("losses", "tokens", "accuracy")}
    rtol = RTOL.get(name, 1e-5)
    agree(together[0][f"resumed {name} {sharding}"], rest, rtol)
    state = together[0][f"{name} {sharding}"]["state"]
    agree(cases.resumed(ALONE, state, **cases.RESUMED[name]), rest, rtol)
    assert shapes(state) == shapes(alone[name]["state"]), "there is one kind of state"


def test_one_process_is_the_bare_loop_to_the_bit(lab_rows):
    recipe = Recipe(steps=5, learning_rate=1e-3)
    batch_of = cases.of_rows(lab_rows, 8, 3, ALONE)
    model, _ = load_base("lab:weak")
    Training(model, batch_of, recipe).run_to(5)
    bare, _ = load_base("lab:weak")
    bare.train()
    [optimizer] = build_optimizers(bare, recipe)
    for step in range(5):
        batches = batch_of(step)
        for batch in batches:
            (summed(bare, batch).objective / sum(b.supervised for b in batches)).backward()
        clip(bare, recipe.gradient_clip)
        set_rate([optimizer], recipe.learning_rate * rate_factor(recipe, step))
        optimizer.step()
        optimizer.zero_grad()
    for a, b in zip(model.parameters(), bare.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("packing", [False, True])
def test_every_row_of_a_batch_is_of_one_process(lab_rows, packing):
    study = parse_study(STUDY | {"optimization": {**STUDY["optimization"], "batch_size": 8, "packing": packing}})
    job = job_of(study, study.runs()[0])
    for step in range(5):
        ids = [i for rank in range(3) for b in batcher(job, lab_rows, 0, Crew(rank, 3))(step) for i in b.ids]
        assert sorted(ids) == sorted(lab_rows[i].id for i in order(33, 8, step, job.seed))


# --- as a user runs it -----------------------------------------------------------------------------------------------


def declared(folder, **changes):
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(STUDY | changes))
    return path


def started(path, out, *words):
    return subprocess.Popen(
        [TRIAXIS, "run", path, "--out", out, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ranks_of(process):
    """The processes that train together under a command, in the order in which they were started."""
    try:
        below = psutil.Process(process.pid).children(recursive=True)
        return sorted(p.pid for p in below if "triaxis.execute.ranks" in p.cmdline())
    except psutil.NoSuchProcess:
        return []


def gone(pids):
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids)


def wait_for(what, seconds=300):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError("it took too long")


def wait_for_step(out, run, step, process):
    part = out / "records" / run / f"step-{step:06d}.parquet"
    wait_for(lambda: part.exists() or process.poll() is not None)
    assert process.poll() is None, "the study was over before it was disturbed: the test says nothing"
    return part


@pytest.fixture(scope="module")
def in_one():
    """The study's run, followed by this process: its id, and what each checkpoint came to."""
    study, _ = checked(parse_study(STUDY))
    [run] = study.runs()
    return run.id, list(follow(job_of(study, run)))


def close(found, wanted):
    return math.isclose(found, wanted, rel_tol=1e-4)


def check_same_records(out, in_one):
    """Every record of the run is there once, and is that of one process; gives settings and provenance."""
    run, measured = in_one
    with Store.open(out, read_only=True) as store:
        readings = {(r.run, r.step, r.name): r.value for r in store.diagnostics()}
        rows = [row for row in store.table().arrow.to_pylist() if row["run"] == run]
        settings, measured_with = store.settings(), store.provenance()["measured with"]
    by_key = {(r["step"], r["task"], r["mode"], r["item"], r["sample"]): r for r in rows}
    assert len(rows) == len(by_key) == sum(len(m.records) for m in measured)
    for m in measured:
        for record in m.records:
            row = by_key[record.step, record.task, record.mode, record.item, record.sample]
            assert (row["outcome"], row["text"]) == (str(record.outcome), record.text)
            assert (row["tokens"], row["epoch"]) == (m.checkpoint.tokens, m.checkpoint.epoch)
            assert close(row["loss"], m.checkpoint.loss) and close(row["token_accuracy"], m.checkpoint.token_accuracy)
        for name, reading in m.diagnostics.items():
            assert close(readings[run, m.checkpoint.step, name], reading.value)
    return settings, measured_with


def test_a_study_in_two_processes_of_which_one_is_killed(tmp_path, in_one):
    """The same run, the same records; the killed process is told in one line, and none is left."""
    out = tmp_path / "out"
    process = started(declared(tmp_path), out, "--processes-per-run", "2", "--sharding", "fsdp")
    wait_for_step(out, in_one[0], 2, process)
    first = ranks_of(process)
    os.kill(first[1], signal.SIGKILL)
    second = wait_for(lambda: [pid for pid in ranks_of(process) if pid not in first])
    _, told = process.communicate(timeout=500)
    assert process.returncode == 0, told
    assert "process 1 of 2 died (SIGKILL); trying again" in told and "Traceback" not in told
    wait_for(lambda: gone([*first, *second]), 60)
    settings, measured_with = check_same_records(out, in_one)
    assert ("run.processes_per_run", 2, "user") in settings and ("run.sharding", "fsdp", "user") in settings
    assert measured_with.endswith("2 processes a run (fsdp)")


@pytest.mark.slow
@pytest.mark.parametrize("sharding", cases.SHARDINGS)
def test_stopped_in_two_processes_it_goes_on_in_one_and_back(tmp_path, in_one, sharding):
    """Ctrl-C, then `kill -9` of the command: what is measured stays, and no process outlives it."""
    path, out = declared(tmp_path), tmp_path / "out"
    several = ("--processes-per-run", "2", "--sharding", sharding)
    process = started(path, out, *several)
    part = wait_for_step(out, in_one[0], 2, process)
    ranks = ranks_of(process)
    os.killpg(process.pid, signal.SIGINT)
    assert "the same command goes on" in process.communicate(timeout=120)[1] and process.returncode == 1
    wait_for(lambda: gone(ranks), 60)
    before = part.stat().st_mtime_ns
    process = started(path, out, "--jobs", "1")
    wait_for_step(out, in_one[0], 12, process)
    process.kill()
    process.communicate()
    process = started(path, out, *several)
    ranks = wait_for(lambda: pids if len(pids := ranks_of(process)) == 2 else [])
    time.sleep(3)
    process.kill()
    process.communicate()
    wait_for(lambda: gone(ranks), 60)
    process = started(path, out, *several)
    _, told = process.communicate(timeout=500)
    assert process.returncode == 0, told
    assert part.stat().st_mtime_ns == before, "what was measured is not measured again"
    _, measured_with = check_same_records(out, in_one)
    assert measured_with.count(f"2 processes a run ({sharding})") == 2 and "; earlier:" in measured_with


def test_what_cant_be_is_refused_before_anything_runs(tmp_path, monkeypatch):
    command = [TRIAXIS, "run", declared(tmp_path), "--out", tmp_path / "out", "--sharding", "fsdp"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    wanted = "triaxis: --sharding: says what several processes hold of a run's model; give --processes-per-run\n"
    assert (done.returncode, done.stderr) == (2, wanted) and not (tmp_path / "out").exists()
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(TriaxisError, match="torchrun or accelerate launch; start it once, with --processes-per-run 4"):
        check_layout(laid_out(None, None), parse_study(STUDY))
    monkeypatch.undo()
    study = parse_study(STUDY | {"optimization": {"optimizer": ["adamw", "adafactor"], "learning_rate": 1e-3}})
    check_layout(laid_out(2, "ddp"), study)
    with pytest.raises(TriaxisError, match=r"torch's adafactor can't update a model in pieces \(fsdp\)"):
        check_layout(laid_out(2, "fsdp"), study)


def test_a_layout_is_no_part_of_a_run():
    [run] = parse_study(STUDY).runs()
    assert job_of(parse_study(STUDY), run).layout == laid_out(None, None)
    assert laid_out(None, None).settings == [] and laid_out(1, None).words == ""
    for processes, jobs, wanted in ((1, None, 8), (2, None, 4), (16, None, 1), (2, 3, 3)):
        assert jobs_at_once(laid_out(processes, None), jobs, cores=8) == wanted
    told = [(s.name, s.value, s.source) for s in laid_out(4, None).settings]
    assert told == [("run.processes_per_run", 4, "user"), ("run.sharding", "ddp", "default")]
    with pytest.raises(TriaxisError, match="give --processes-per-run"):
        laid_out(1, "fsdp")
