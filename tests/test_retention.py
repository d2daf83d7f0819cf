"""Weights that are kept: whole, readable by others, replaced by better ones, within a disk budget that is held."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from retention_cases import STUDY, Inline, conducted, contents, study, weights
from test_run import limited_files
from triaxis.axes.model import ModelSettings, load_saved
from triaxis.execute.answering import answer, looked_at
from triaxis.execute.checkpoints import points_of
from triaxis.execute.conduct import job_of, trained_again
from triaxis.execute.cost import Cost, _check_budget
from triaxis.execute.course import Course
from triaxis.execute.evaluation import ask_of
from triaxis.execute.keeping import Keep, Room, used
from triaxis.execute.run import follow
from triaxis.records import Store
from triaxis.records.choices import Selected
from triaxis.study.asking import load_asking
from triaxis.types import DiskFull, TriaxisError

TRIAXIS = str(Path(sys.executable).parent / "triaxis")
SMALL = {"tasks": {"in_domain": ["chain"]}, "evaluation": {"items": 2, "max_new_tokens": 12}, "selection": {"items": 2}}
KEPT = SMALL | {"trajectory": {"steps": [2, 4], "keep": [2, "last", "best"]}}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A study that keeps weights, carried out undisturbed."""
    out = tmp_path_factory.mktemp("kept") / "out"
    conducted(study(**KEPT), out)
    return out


def logits(folder, base=""):
    model, tokenizer = load_saved(ModelSettings(str(folder)), base)
    with torch.no_grad():
        return model(torch.tensor([tokenizer("chain 3 + 4 ?")["input_ids"]])).logits


def test_what_is_kept_is_what_was_measured(kept):
    """Folders as save_pretrained writes them, of other weights at each step; the best is one of the checkpoints."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    (run,) = (kept / "weights").iterdir()
    names = sorted(path.name for path in run.iterdir())
    (best,) = (run / "best").iterdir()
    assert names == ["best", "step-000002", "step-000006"] and best.name in {f"step-{s:06d}" for s in (2, 4, 6)}
    assert {"model.safetensors", "config.json", "chat_template.jinja"} <= {p.name for p in best.iterdir()}
    early, late = logits(run / "step-000002"), logits(run / "step-000006")
    assert not torch.equal(early, late)
    theirs = AutoModelForCausalLM.from_pretrained(run / "step-000006")
    tokenizer = AutoTokenizer.from_pretrained(run / "step-000006")
    with torch.no_grad():
        again = theirs(torch.tensor([tokenizer("chain 3 + 4 ?")["input_ids"]])).logits
    assert torch.equal(again, late) and tokenizer.chat_template


def test_triaxis_evaluate_reads_them_and_comes_to_the_same_records(kept, tmp_path):
    (run,) = (kept / "weights").iterdir()
    (tmp_path / "tasks.yaml").write_text(yaml.safe_dump({key: SMALL[key] for key in ("tasks", "evaluation")}))
    asking, again = load_asking(tmp_path / "tasks.yaml"), {}
    points = points_of([str(run)], run="again")
    assert [point.step for point in points] == [2, 6]
    (best,) = points_of([str(run / "best")])
    assert best.run == run.name, "the best one is of the run that it is kept of"
    others = [str(run / f"step-{step:06d}") for step in (2, 6) if step != best.step]
    assert {p.run for p in points_of([best.model, *others])} == {run.name}
    for point in points:
        for answered in answer(ask_of(asking, {}, point, looked_at(point, ""), "")):
            again |= {(point.step, record.item): record.text for record in answered.portion.records}
    with Store.open(kept, read_only=True) as store:
        parts = [part for part in store.parts() if part.run]
        first = {(p.checkpoint.step, row["item"]): row["text"] for p in parts for row in p.records.to_pylist()}
    assert again.items() <= first.items() and len(again) == 4


def test_adapters_are_kept_as_peft_writes_them(tmp_path):
    made = study(**SMALL, trajectory={"steps": [2], "keep": "last"}, model={"lora_rank": 2}, optimization={"steps": 2})
    conducted(made, tmp_path)
    (folder,) = (tmp_path / "weights").glob("*/step-000002")
    assert {"adapter_config.json", "adapter_model.safetensors"} <= {p.name for p in folder.iterdir()}
    assert not (folder / "model.safetensors").exists()
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == "lab:weak"
    assert not torch.equal(logits(folder), logits(Path("src/triaxis/axes/model/bases/weak").resolve()))


def test_asked_for_later_weights_come_without_another_record(kept, tmp_path):
    made = study(**SMALL)
    conducted(made, tmp_path)
    records = contents(tmp_path)[0]
    with Store.create(tmp_path, "", {}, []) as store:
        assert trained_again(study(**KEPT), store) == 1
    engine = Inline()
    assert conducted(study(**KEPT), tmp_path, engine).done == 1
    assert all(event.value.records is None for event in engine.seen if event.kind == "measured")
    assert contents(tmp_path)[0] == records and weights(tmp_path) == weights(kept)
    assert contents(tmp_path)[1] == contents(kept)[1]
    assert not [event for event in conducted_again(tmp_path) if event.kind == "started"], "nothing is left to do"


def conducted_again(out):
    engine = Inline()
    conducted(study(**KEPT), out, engine)
    return engine.seen


def told(score):
    return (Selected("chain", "in_domain", 2, score, 5.0),)


def test_the_best_is_one_folder_and_the_first_of_equals(tmp_path):
    keep = Keep(("best", 4), "all", str(tmp_path))
    made = study(trajectory={"keep": ["best", 4]})
    job = replace(job_of(made, made.runs()[0]), keep=keep, done=frozenset({2, 4, 6}))

    def save(folder):
        (folder / "model.safetensors").write_bytes(b"w" * 10)

    seen = []
    for scores in ({2: told(0.5)}, {2: told(0.5), 4: told(0.5)}, {2: told(0.5), 4: told(0.5), 6: told(0.7)}):
        course = Course(replace(job, selected=scores))
        for name in course.to_keep(max(scores)):
            assert not keep.write(name, save, 10, None)
            course.kept(name)
            course.tidy()
        seen.append(sorted(keep.there()))
    assert seen == [
        ["best/step-000002"],
        ["best/step-000002", "step-000004"],
        ["best/step-000006", "step-000004"],
    ]
    assert not Course(replace(job, selected=scores)).lacking() and not course.untidy()


def test_killed_between_the_new_best_and_the_old_the_old_one_goes(tmp_path):
    keep = Keep(("best",), "all", str(tmp_path))
    for name in ("best/step-000002", "best/step-000004", ".draft-1"):
        (tmp_path / name).mkdir(parents=True)
    keep.tidy({"best/step-000004"})
    assert keep.there() == {"best/step-000004"} and not list(tmp_path.glob(".draft*"))
    keep.tidy({"best/step-000006"})
    assert keep.there() == {"best/step-000004"}, "until the new one is there the old one stays"


# The disk


@pytest.mark.parametrize("room", [0.3e6, 2.4e6, 3.6e6])
def test_a_disk_budget_is_held_and_loses_nothing(kept, tmp_path, room):
    """Too small for a state, for the first weights, for all of them: the study stops below it, and a larger one goes
    on to what an undisturbed study has."""
    small = study(**KEPT, budget={"disk_gb": room / 1e9})
    ended = conducted(small, tmp_path)
    assert (
        "the disk budget of" in ended.stopped
        and "is used up" in ended.stopped
        and "raise budget.disk_gb" in ended.stopped
    )
    assert ended.left == 1 and not ended.failed and used(tmp_path) <= room
    assert not list((tmp_path / "weights").rglob(".draft*"))
    assert all(path.stat().st_size > 500_000 for path in (tmp_path / "weights").rglob("model.safetensors"))
    measured = contents(tmp_path)[0]
    assert measured <= contents(kept)[0]
    assert conducted(study(**KEPT), tmp_path).done == 1
    assert contents(tmp_path) == contents(kept) and weights(tmp_path) == weights(kept)


def test_a_full_disk_leaves_no_half_of_a_folder(tmp_path):
    made = study(**KEPT)
    job = replace(job_of(made, made.runs()[0]), keep=Keep((2,), "all", str(tmp_path / "w")))
    with limited_files(300_000), pytest.raises(DiskFull, match=r"disk full while writing .*free space"):
        list(follow(job))
    assert not list((tmp_path / "w").iterdir())


def test_what_cannot_fit_is_refused_in_one_line():
    cost = Cost(2, 0, 0, 1.0, 7_000_000 + 50_000_000, weights_bytes=40_000_000)
    one = Cost(1, 0, 0, 1.0, 25_000_000, weights_bytes=20_000_000)
    _check_budget(study(budget={"disk_gb": 0.051}), cost, one)
    with pytest.raises(
        TriaxisError, match=r"disk_gb: 0.049 can't hold what the study keeps, about 0.05 \(weights 0.04\)"
    ):
        _check_budget(study(budget={"disk_gb": 0.049}), cost, one)
    with pytest.raises(TriaxisError, match=r"can't hold one run, which takes about 0\.025"):
        _check_budget(study(budget={"disk_gb": 0.02}), cost, one)


def test_two_processes_never_take_the_same_room(tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "resume.pt").write_bytes(b"s" * 600)
    (tmp_path / "report.html").write_bytes(b"r" * 10_000)
    room = Room(1000, str(tmp_path))
    with room.held():
        assert not room.lacks(400, "a") and "no room for a" in room.lacks(401, "a")
        second = subprocess.run(
            [sys.executable, "-c", TAKEN, str(tmp_path / "state" / ".room")],
            capture_output=True,
            text=True,
            check=False,
        )
    assert second.stdout.strip() == "waits"


TAKEN = """
import fcntl, sys
with open(sys.argv[1], "w") as file:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        print("goes on")
    except BlockingIOError:
        print("waits")
"""


def test_what_a_budget_counts_is_records_database_states_and_weights(tmp_path):
    sizes = {"records/r/p.parquet": 10, "state/r/resume.pt": 100, "weights/r/step-000002/w": 1000, "study.db": 10_000}
    for name, size in (sizes | {"report.html": 1, "study.yaml": 2, "analysis.json": 4}).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    assert used(tmp_path) == 11_110


def test_a_folder_of_the_format_before_still_opens(kept, tmp_path):
    import sqlite3

    out = shutil.copytree(kept, tmp_path / "out")
    with sqlite3.connect(out / "study.db") as database:
        database.executescript(
            "DROP TABLE selection; DROP TABLE stops; UPDATE meta SET value = '3' WHERE key = 'format'"
        )
    for read_only in (True, False):
        with Store.open(out, read_only=read_only) as store:
            assert not store.stops() and store.table().arrow.num_rows > 0
            assert store.selected(study(**KEPT).runs()[0].id) == {}


# As a user runs it


@pytest.mark.slow
def test_checked_run_killed_and_gone_on_from_the_command_line(tmp_path):
    import time

    rules = {"early_stopping": ["none", "in_domain"], "schedule": "wsd", "decay_start": [0.5, 0.8], "steps": 16}
    changes = {"trajectory": {"steps": [2, 4, 8], "keep": ["best", "last"]}}
    declared = STUDY | {"optimization": STUDY["optimization"] | rules} | changes
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(declared))

    def triaxis(*words):
        return subprocess.run([TRIAXIS, *map(str, words)], capture_output=True, text=True, check=False)

    check = triaxis("study", "check", tmp_path / "study.yaml")
    assert check.returncode == 0, check.stderr
    assert "weights" in check.stdout and "which runs share" in check.stdout
    assert "optimization.early_stopping moves together with optimizer steps" in check.stdout
    alone = triaxis("run", tmp_path / "study.yaml", "--out", tmp_path / "alone", "--no-branching")
    assert alone.returncode == 0 and "were not done again" not in alone.stderr
    interrupted = 0
    for wait in (6, 8, 7):
        process = subprocess.Popen(
            [TRIAXIS, "run", tmp_path / "study.yaml", "--out", tmp_path / "out", "--jobs", "1"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(wait)
        interrupted += process.poll() is None
        process.kill()
        process.wait()
        time.sleep(2)
    assert interrupted
    result = triaxis("run", tmp_path / "study.yaml", "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert "runs share their first steps" in result.stderr
    assert contents(tmp_path / "out") == contents(tmp_path / "alone")
    assert weights(tmp_path / "out") == weights(tmp_path / "alone")
    (tmp_path / "tasks.yaml").write_text(yaml.safe_dump({key: STUDY[key] for key in ("tasks", "evaluation")}))
    folder = next((tmp_path / "out" / "weights").iterdir())
    words = ("evaluate", folder, "--tasks", tmp_path / "tasks.yaml", "--run", "again", "--out", tmp_path / "again")
    assert triaxis(*words).returncode == 0
