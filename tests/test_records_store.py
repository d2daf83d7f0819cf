"""A study's folder: nothing measured is lost, whatever happens to the process, the disk or the folder."""

import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from triaxis.records import Store, read_table, records_digest
from triaxis.types import Checkpoint, Outcome, Record, TriaxisError

ITEMS = 12
COSTS = {"train": (1.5, 300), "evaluate": (0.5, 100)}


@dataclass
class Setting:
    name: str
    value: Any
    source: str


def records(run: str, step: int, n: int = ITEMS, text: str = "<think> {} </think> A é") -> list[Record]:
    return [
        Record(
            run=run, step=step, task="chain", group="in_domain", mode="default", item=f"chain/eval/0/3.{i}", sample=0,
            outcome=(outcome := list(Outcome)[(i + step) % 5]), score=float(outcome is Outcome.CORRECT),
            response_tokens=5 + i, thought=True, finished=outcome is not Outcome.TRUNCATED, text=text.format(i),
        )
        for i in range(n)
    ]  # fmt: skip


def new_store(folder: Path, runs: tuple[str, ...] = ("a", "b")) -> Store:
    settings = [Setting("optimization.schedule", "cosine", "default"), Setting("data.examples", 64, "study")]
    store = Store.create(folder, "name: s\n", {"name": "s"}, settings)
    for i, run in enumerate(runs):
        levels = {"optimization.learning_rate": 10.0**-i}
        store.add_run(run, i, "s", levels, {"model.base": "lab:strong", "data.examples": 64, **levels})
    return store


def measure(store: Store, run: str, *steps: int) -> None:
    for step in steps:
        point = Checkpoint(step, tokens=10 * step, epoch=step / 8, loss=1 / step, token_accuracy=0.5)
        store.write_checkpoint(run, point, records(run, step), COSTS)


def test_what_is_written_is_what_is_read(tmp_path):
    with new_store(tmp_path / "s") as store:
        store.write_base("lab:strong", records("", 0), {"evaluate": (0.5, 100)})
        measure(store, "a", 4, 8)
        store.mark("a", "done")
        store.mark("b", "failed", "loss is not finite")
        assert store.done("a") == {4, 8} and store.done("b") == set() and store.bases_done() == {"lab:strong"}
        assert store.damaged == ()
        assert [(s.run, s.seed, s.state, s.message, s.steps) for s in store.status()] == [
            ("a", 0, "done", "", (4, 8)),
            ("b", 1, "failed", "loss is not finite", ()),
        ]
        assert store.settings() == [("optimization.schedule", "cosine", "default"), ("data.examples", 64, "study")]
        assert store.study() == {"name": "s"} and (tmp_path / "s" / "study.yaml").read_text() == "name: s\n"
        assert [tuple(c) for c in store.costs()][:2] == [
            ("", "lab:strong", 0, "evaluate", 0.5, 100),
            ("a", "", 4, "evaluate", 0.5, 100),
        ]
        assert store.state_dir("a").is_dir()
    table = read_table(tmp_path / "s")
    assert table.n_rows == 3 * ITEMS and table.incomplete == frozenset()
    assert table.warnings == ("1 of 2 runs failed: b (loss is not finite); their checkpoints before that are here",)
    rows = table.arrow.to_pylist()
    base, row = rows[0], next(r for r in rows if r["step"] == 8)
    assert (base["run"], base["model.base"], base["optimization.learning_rate"]) == ("", "lab:strong", None)
    assert (row["model.base"], row["optimization.learning_rate"], row["loss"], row["tokens"]) == (
        "lab:strong", 1.0, 0.125, 80,
    )  # fmt: skip
    assert row["text"] == "<think> 0 </think> A é" and row["source"] == "s"
    assert "optimization.schedule" not in table.arrow.column_names  # it was not varied


def test_factors_are_what_varied_among_runs_and_bases_serve_each_source(tmp_path):
    with new_store(tmp_path / "s") as store:
        store.add_run("c", 2, "later", {"optimization.learning_rate": 0.3}, {"model.base": "lab:strong"})
        store.write_base("lab:strong", records("", 0), {})
        for run in "abc":
            measure(store, run, 4)
            store.mark(run, "done")
        table = store.table()
        assert table.factors == {"optimization.learning_rate": (0.1, 0.3, 1.0)}
        assert table.warnings == ()
        base = table.arrow.filter(pc_equal(table, "run", "")).column("source").to_pylist()
        assert set(base) == {"s", "later"} and len(base) == 2 * ITEMS
        assert set(store.table(runs={"a"}).arrow["run"].to_pylist()) == {"", "a"}
        store.write_base("lab:weak", records("", 0), {})  # of an earlier version of the study
        assert set(store.table(runs={"a"}).arrow["model.base"].to_pylist()) == {"lab:strong"}


def pc_equal(table: Any, column: str, value: str) -> Any:
    import pyarrow as pa

    return pa.array([cell == value for cell in table.arrow[column].to_pylist()])


def test_the_order_and_time_of_writing_leave_no_trace(tmp_path):
    digests, parts = [], []
    for name, order in (("one", [("a", 4), ("a", 8), ("b", 4)]), ("two", [("b", 4), ("a", 8), ("a", 4)])):
        with new_store(tmp_path / name) as store:
            for run, step in order:
                measure(store, run, step)
            store.write_base("lab:strong", records("", 0), {"evaluate": (random.random(), 1)})
            digests.append(records_digest(store.table()))
            parts.append(
                {p.relative_to(tmp_path / name): p.read_bytes() for p in sorted(store.path.rglob("*.parquet"))}
            )
    assert digests[0] == digests[1] and parts[0] == parts[1]
    with new_store(tmp_path / "two") as store:
        store.write_checkpoint("a", Checkpoint(8), records("a", 8, text="other {}"), COSTS)
        assert records_digest(store.table()) != digests[0]


def test_opening_again_goes_on_and_changes_the_study(tmp_path):
    with new_store(tmp_path / "s", ("a",)) as store:
        measure(store, "a", 4)
        store.mark("a", "running")
    with new_store(tmp_path / "s", ("a", "b")) as store:
        assert store.done("a") == {4}
        assert [(s.run, s.state) for s in store.status()] == [("a", "running"), ("b", "waiting")]
        measure(store, "a", 4)  # measured again, it is there once
        assert store.done("a") == {4} and len(store.costs()) == 2


def test_a_base_that_is_asked_something_else_is_replaced(tmp_path):
    with new_store(tmp_path / "s") as store:
        measure(store, "a", 4)
        store.write_base("lab:strong", records("", 0), {}, "sixty items")
        store.write_base("lab:strong", records("", 0, 20), {}, "more items")
        assert store.bases_done("more items") == {"lab:strong"} and store.bases_done("sixty items") == set()
        assert store.table().n_rows == ITEMS + 20
        assert len(list((tmp_path / "s" / "records" / "_bases").iterdir())) == 1


def test_mistakes_of_the_caller_are_refused(tmp_path):
    with new_store(tmp_path / "s") as store:
        for name in ("", "../x", "_bases", ".hidden"):
            with pytest.raises(ValueError, match="can't be a run's id"):
                store.add_run(name, 0, "s", {}, {})
        with pytest.raises(ValueError, match="not known"):
            store.write_checkpoint("z", Checkpoint(4), records("z", 4), {})
        with pytest.raises(ValueError, match="among those of 'a' 8"):
            store.write_checkpoint("a", Checkpoint(8), records("a", 4), {})
        reader = Store.open(store.path, read_only=True)
        with pytest.raises(ValueError, match="opened to read"):
            reader.mark("a", "done")


# The process


WRITER = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_records_store import *
store = new_store(Path(sys.argv[1]))
store.write_base("lab:strong", records("", 0), COSTS)
print("ready", flush=True)
for step in range(1, 100000):
    for run in "ab":
        if step not in store.done(run):
            measure(store, run, step)
    time.sleep(0.02)
"""


def start_writer(folder: Path, **options: Any) -> subprocess.Popen[str]:
    code = WRITER.format(tests=str(Path(__file__).parent))
    process = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True, **options)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def assert_whole(folder: Path) -> int:
    """Every checkpoint that counts has all of its records, as they were measured; gives back how many there are."""
    with Store.open(folder) as store:
        assert store.damaged == ()
        table = store.table()
        n = 0
        for run in "ab":
            steps = sorted(store.done(run))
            assert steps == list(range(1, len(steps) + 1))
            n += len(steps)
        assert table.n_rows == (n + 1) * ITEMS
        rows = table.arrow.select(["step", "item", "outcome", "text"]).to_pylist()
        expected = {(step, r.item): r for step in {row["step"] for row in rows} for r in records("x", step)}
        for row in rows:
            record = expected[row["step"], row["item"]]
            assert (row["outcome"], row["text"]) == (record.outcome, record.text)
        return n


def test_kill_9_at_any_moment_loses_nothing_that_counts(tmp_path):
    folder, before = tmp_path / "s", 0
    rng = random.Random(7)
    for _ in range(5):
        process = start_writer(folder)
        time.sleep(rng.uniform(0.02, 0.4))
        process.send_signal(signal.SIGKILL)
        process.wait()
        n = assert_whole(folder)  # the lock went with the process
        assert n >= before
        before = n
    assert before > 10


def test_a_second_writer_is_told_who_has_the_study(tmp_path):
    process = start_writer(tmp_path / "s")
    try:
        for open_again in (lambda: Store.open(tmp_path / "s"), lambda: new_store(tmp_path / "s")):
            with pytest.raises(
                TriaxisError, match=rf"another process \(pid {process.pid}\) is running this study in .*s; "
            ):
                open_again()
        with Store.open(tmp_path / "s", read_only=True) as reader:
            assert reader.table().n_rows > 0
    finally:
        process.kill()
        process.wait()
    Store.open(tmp_path / "s").close()


def test_a_study_is_read_while_it_is_written(tmp_path):
    process = start_writer(tmp_path / "s")
    try:
        with Store.open(tmp_path / "s", read_only=True) as reader:
            seen = []
            for _ in range(8):
                fresh = Store.open(tmp_path / "s", read_only=True)
                rows = [reader.table(text=False).n_rows, fresh.table(text=False).n_rows]
                fresh.close()
                assert all(n % ITEMS == 0 for n in rows) and rows == sorted(rows)
                seen += rows
                time.sleep(0.02)
        assert process.poll() is None
        assert seen == sorted(seen) and seen[-1] > seen[0]
    finally:
        process.kill()
        process.wait()


# The folder


def finished(folder: Path) -> Path:
    with new_store(folder) as store:
        store.write_base("lab:strong", records("", 0), COSTS)
        measure(store, "a", 4, 8)
        measure(store, "b", 4)
        for run in "ab":
            store.mark(run, "done")
    return folder


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize(("harm", "words"), [(cut, "has 100 of"), (zeros, "has no end"), (Path.unlink, "is gone")])
def test_a_part_that_is_not_whole_does_not_count(tmp_path, harm, words):
    folder = finished(tmp_path / "s")
    part = folder / "records" / "a" / "step-000008.parquet"
    harm(part)
    table = read_table(folder)
    assert table.n_rows == 3 * ITEMS
    assert len(table.warnings) == 1 and str(part) in table.warnings[0] and words in table.warnings[0]
    with Store.open(folder) as store:
        assert store.done("a") == {4} and store.damaged == table.warnings
        assert "step 8 of run a doesn't count: run the study again" in store.damaged[0]
        assert store.table().incomplete == {"a"}  # what is left of it ends before its last checkpoint
        measure(store, "a", 8)
        assert store.done("a") == {4, 8} and store.damaged == ()
    assert read_table(folder).warnings == ()


def test_a_part_that_was_not_told_to_the_database_does_not_count(tmp_path):
    folder = finished(tmp_path / "s")
    shutil.copy(folder / "records/a/step-000008.parquet", folder / "records/b/step-000008.parquet")
    (folder / "records/b/step-000016.parquet.part").write_bytes(b"half")
    with Store.open(folder) as store:
        assert store.done("b") == {4} and store.table().n_rows == 4 * ITEMS
        measure(store, "b", 8, 16)
        assert {row["step"] for row in store.table().arrow.to_pylist() if row["run"] == "b"} == {4, 8, 16}


def in_database(folder: Path, statement: str) -> None:
    with sqlite3.connect(folder / "study.db") as connection:
        connection.execute(statement)
    connection.close()


def newer(folder: Path) -> None:
    in_database(folder, "UPDATE meta SET value = '9' WHERE key = 'format'")


def not_a_database(folder: Path) -> None:
    (folder / "study.db").write_text("not a database at all, but long enough to have a header" * 20)


def damaged_database(folder: Path) -> None:
    content = bytearray((folder / "study.db").read_bytes())
    content[4200:] = b"\xff" * (len(content) - 4200)
    (folder / "study.db").write_bytes(content)


def empty_database(folder: Path) -> None:
    (folder / "study.db").write_bytes(b"")


BAD_FOLDERS = [
    (newer, ["made by a newer Triaxis", "format 9", "upgrade"]),
    (not_a_database, ["study.db", "damaged", "copy"]),
    (damaged_database, ["study.db", "damaged", "copy"]),
    (lambda folder: (folder / "study.db").unlink(), ["study.db is gone", "put back a copy", "new folder"]),
]


@pytest.mark.parametrize(("harm", "words"), BAD_FOLDERS, ids=["newer", "not a database", "damaged", "no database"])
@pytest.mark.parametrize("read_only", [True, False], ids=["read", "write"])
def test_a_bad_folder_is_told_in_one_line(tmp_path, harm, words, read_only):
    folder = finished(tmp_path / "s")
    harm(folder)
    with pytest.raises(TriaxisError) as caught:
        Store.open(folder, read_only=read_only)
    line = str(caught.value)
    assert "\n" not in line and line.startswith(str(folder)) and all(word in line for word in words), line
    assert (folder / "records/a/step-000008.parquet").exists()


def test_a_study_that_was_killed_while_it_was_made_is_made_again(tmp_path):
    folder = tmp_path / "s"
    folder.mkdir()
    empty_database(folder)
    with pytest.raises(TriaxisError, match="never begun; run it"):
        Store.open(folder, read_only=True)
    with new_store(folder) as store:
        with pytest.raises(TriaxisError, match="nothing is measured yet; run the study"):
            store.table()
        measure(store, "a", 4)


def test_a_study_is_not_made_among_other_things(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(TriaxisError, match=r"holds 'notes\.txt' and no study; choose a new or empty folder"):
        new_store(tmp_path)
    with pytest.raises(TriaxisError, match="a file, where the study's folder should be"):
        new_store(tmp_path / "notes.txt")
    with pytest.raises(TriaxisError, match="no such folder"):
        Store.open(tmp_path / "nowhere")


# The disk


FILL = """
import sys
sys.path.insert(0, {tests!r})
import os, resource
from pathlib import Path
from test_records_store import *
from triaxis.types import RunFailed
store = Store.open(Path(sys.argv[1]))
if len(sys.argv) > 2:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    for step in range(100, 100000):
        store.write_checkpoint("b", Checkpoint(step), records("b", step, 400, os.urandom(200).hex() + " {{}}"), COSTS)
except RunFailed as error:
    print(sorted(store.done("b")))
    print(error)
"""


def fill(folder: Path, *limit: str) -> tuple[list[int], str]:
    code = FILL.format(tests=str(Path(__file__).parent))
    out = subprocess.run([sys.executable, "-c", code, folder, *limit], capture_output=True, text=True, timeout=120)
    assert out.returncode == 0, out.stderr
    done, *line = out.stdout.splitlines()
    assert len(line) == 1
    return [int(step) for step in done.strip("[]").split(", ")], line[0]


def assert_kept(folder: Path, done: list[int], line: str) -> None:
    assert "disk full while writing" in line and "nothing measured is lost" in line and "run again" in line
    with Store.open(folder) as store:
        assert store.damaged == () and sorted(store.done("b")) == done and store.done("a") == {4, 8}
        rows = store.table(text=False).arrow.to_pylist()
        assert sum(row["run"] == "b" for row in rows) == ITEMS + 400 * (len(done) - 1)
        assert not list(folder.rglob("*.part"))


def test_a_limit_on_files_loses_nothing(tmp_path):
    folder = finished(tmp_path / "s")
    done, line = fill(folder, str(64 * 1024))
    assert_kept(folder, done, line)
    with Store.open(folder) as store:
        measure(store, "b", 50)
        assert 50 in store.done("b")


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("may not mount a file system here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_loses_nothing(small_disk):
    folder = finished(small_disk / "s")
    done, line = fill(folder)
    assert len(done) > 5
    assert_kept(folder, done, line)
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)  # space is freed
    with Store.open(folder) as store:
        measure(store, "b", 9)
        assert 9 in store.done("b")


def test_a_read_only_disk_is_read_and_not_run(small_disk):
    folder = finished(small_disk / "s")
    Store.open(folder, read_only=True).close()
    whole = records_digest(read_table(folder))
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for act in (lambda: Store.open(folder), lambda: new_store(folder), lambda: new_store(small_disk / "new")):
        with pytest.raises(TriaxisError, match="read-only, so the study can't go on here"):
            act()
    assert records_digest(read_table(folder)) == whole


def test_a_read_only_disk_with_changes_still_in_the_log_is_read(small_disk):
    process = start_writer(small_disk / "s")
    time.sleep(0.3)
    process.kill()
    process.wait()
    assert (small_disk / "s" / "study.db-wal").stat().st_size > 0
    (small_disk / "s" / "study.db-shm").unlink()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert read_table(small_disk / "s").n_rows > 2 * ITEMS


def test_a_folder_without_permission_is_told(tmp_path):
    folder = finished(tmp_path / "s")
    code = f"""
import os, sys
import triaxis.tasks  # which reading imports; a user without rights may not be able to
from triaxis.records import Store, read_table
from triaxis.types import TriaxisError
if os.getuid() == 0:
    os.setuid(65534)
print(read_table({str(folder)!r}).n_rows)
try:
    Store.open({str(folder)!r})
except TriaxisError as error:
    print(error)
"""
    parents = [p for p in folder.parents if p.is_relative_to(Path(tmp_path).parents[2])]
    modes = {p: p.stat().st_mode for p in parents}
    for parent in parents:
        parent.chmod(0o755)
    folder.chmod(0o555)
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    for parent, mode in modes.items():
        parent.chmod(mode)
    folder.chmod(0o755)
    assert out.returncode == 0, out.stderr
    rows, line = out.stdout.splitlines()
    assert int(rows) == 4 * ITEMS
    assert line.startswith(f"{folder}: read-only")
