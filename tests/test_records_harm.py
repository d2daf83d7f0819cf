"""A study's folder that was harmed, or can't be one: told in one line, and what is lost is measured again."""

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from test_records_store import COSTS, ITEMS, finished, in_database, measure, new_store, records
from triaxis.analyze import analyze
from triaxis.records import Diagnostics, Store, published, read_table, records_digest, versions
from triaxis.records.database import FORMAT
from triaxis.types import Checkpoint, Reading, TriaxisError

PART = "records/a/step-000008.parquet"


def flip(path: Path, place: int, bits: int = 0xFF) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= bits
    path.write_bytes(content)


def base_part(folder: Path) -> Path:
    (part,) = (folder / "records" / "_bases").iterdir()
    return part


def one_line(error: pytest.ExceptionInfo[TriaxisError], *words: object) -> str:
    line = str(error.value)
    assert "\n" not in line and len(line) < 400
    for word in words:
        assert str(word) in line, f"{word!r} not in: {line}"
    return line


# Parts


def test_a_flipped_byte_anywhere_is_damage_and_is_measured_again(tmp_path):
    folder = finished(tmp_path / "s")
    whole, part = records_digest(read_table(folder)), folder / PART
    content = part.read_bytes()
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    rng = random.Random(3)
    places = [0, 40, footer, len(content) - 5, *(rng.randrange(footer, len(content) - 4) for _ in range(40))]
    for place in places:
        flip(part, place, 1 << rng.randrange(8))
        table = read_table(folder)
        assert table.n_rows == 3 * ITEMS and table.incomplete == {"a"}
        assert len(table.warnings) == 1 and table.warnings[0] == (
            f"{part}: was changed since it was written; step 8 of run a doesn't count:"
            " run the study again to measure it"
        )
        part.write_bytes(content)
    flip(part, 40)
    with Store.open(folder) as store:  # a writer knows before anything runs
        assert store.done("a") == {4} and "was changed" in store.damaged[0]
        measure(store, "a", 8)
        assert store.done("a") == {4, 8} and store.damaged == ()
    assert records_digest(read_table(folder)) == whole


def other_columns(path: Path) -> None:
    pq.write_table(pa.table({"run": ["a"]}), path)


def other_types(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.column_names.index("score"), "score", pa.array(["x"] * table.num_rows)), path)


def not_text(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-60] + b"\xff" * 40 + content[-20:])


@pytest.mark.parametrize("harm", [other_columns, other_types, not_text])
def test_a_part_that_can_not_be_decoded_is_damage_too(tmp_path, harm):
    """As where the hash is not known: a folder of format 1."""
    folder = finished(tmp_path / "s")
    harm(folder / PART)
    size = (folder / PART).stat().st_size
    in_database(folder, f"UPDATE checkpoints SET sha256 = '', bytes = {size} WHERE run = 'a' AND step = 8")
    table = read_table(folder)
    assert table.n_rows == 3 * ITEMS and len(table.warnings) == 1 and str(folder / PART) in table.warnings[0]


def test_a_part_replaced_while_it_is_read_is_no_damage(tmp_path):
    folder = finished(tmp_path / "s")
    with Store.open(folder, read_only=True) as reader:
        again = finished(tmp_path / "again")
        with Store.open(again) as store:
            store.write_checkpoint("a", Checkpoint(8), records("a", 8, text="other {}"), COSTS)
        (row,) = sqlite3.connect(again / "study.db").execute(
            "SELECT bytes, sha256 FROM checkpoints WHERE run = 'a' AND step = 8"
        )
        shutil.copy(again / PART, folder / PART)  # the writer's part is there, its row comes while the table is read
        asked = []

        def late(statement: str) -> None:
            asked.append(statement)
            if statement == "COMMIT" and asked.count("COMMIT") == 1:
                in_database(folder, f"UPDATE checkpoints SET bytes = {row[0]}, sha256 = '{row[1]}' WHERE step = 8")

        reader._db.set_trace_callback(late)
        reader._damaged.clear()
        table = reader.table()
    assert table.n_rows == 4 * ITEMS and table.warnings == ()
    assert "other 0" in table.arrow["text"].to_pylist()


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: flip(path, 50)])
def test_a_study_whose_base_is_lost_says_so(tmp_path, harm):
    folder = finished(tmp_path / "s")
    harm(base_part(folder))
    with pytest.raises(TriaxisError) as error:
        read_table(folder)
    line = one_line(
        error, base_part(folder) if harm is not Path.unlink else "_bases", "base lab:strong", "run the study"
    )
    assert "step 0" not in line
    with Store.open(folder) as store:
        assert store.bases_done() == set()
        store.write_base("lab:strong", records("", 0), COSTS)
    assert read_table(folder).n_rows == 4 * ITEMS


def test_a_study_without_a_base_or_without_a_run_says_so(tmp_path):
    with new_store(tmp_path / "s") as store:
        measure(store, "a", 4)
        with pytest.raises(TriaxisError, match=r"s: no base is measured yet, so no gain can be told; run the study"):
            store.table()
    with new_store(tmp_path / "t") as store:
        store.write_base("lab:strong", records("", 0), COSTS)
        assert store.table().n_rows == ITEMS  # its records can still be exported and verified
    with pytest.raises(TriaxisError, match=r"t: no run is measured yet; run the study"):
        analyze(read_table(tmp_path / "t"))
    folder = finished(tmp_path / "u")
    for part in folder.rglob("step-*.parquet"):
        flip(part, 40)
    with pytest.raises(TriaxisError, match=r"step-000004\.parquet: was changed .*run the study.*2 more parts are dam"):
        read_table(folder)


# The database


def test_a_study_that_can_not_be_read_is_told_and_written_anew(tmp_path):
    folder = finished(tmp_path / "s")
    for broken in ("{", "[1]", ""):
        in_database(folder, f"UPDATE meta SET value = '{broken}' WHERE key = 'study'")
        with Store.open(folder, read_only=True) as store, pytest.raises(TriaxisError) as error:
            store.study()
        one_line(error, folder / "study.db", "the study can't be read", "run the study again")
    in_database(folder, "DELETE FROM meta WHERE key = 'study'")
    with Store.open(folder, read_only=True) as store, pytest.raises(TriaxisError, match="the study can't be read"):
        store.study()
    with new_store(folder) as store:
        assert store.study() == {"name": "s"} and store.done("a") == {4, 8}


@pytest.mark.parametrize(
    ("statement", "word"),
    [
        ("UPDATE runs SET levels = 'x' WHERE run = 'b'", "levels of run b"),
        ("UPDATE runs SET settings = '3' WHERE run = 'a'", "settings of run a"),
        ("UPDATE settings SET value = '{'", "setting optimization.schedule"),
    ],
)
def test_broken_json_in_the_database_names_what_it_was(tmp_path, statement, word):
    folder = finished(tmp_path / "s")
    in_database(folder, statement)
    with Store.open(folder, read_only=True) as store, pytest.raises(TriaxisError) as error:
        store.settings() if "setting " in word else store.table()
    one_line(error, folder / "study.db", word, "run the study again")
    with new_store(folder) as store:  # it is written anew
        assert store.settings() and store.table().n_rows == 4 * ITEMS


@pytest.mark.parametrize("found", ["x", "", "-1", "0", "1.5"])
@pytest.mark.parametrize("read_only", [True, False], ids=["read", "write"])
def test_a_format_that_is_no_number_is_damage(tmp_path, found, read_only):
    folder = finished(tmp_path / "s")
    in_database(folder, f"UPDATE meta SET value = '{found}' WHERE key = 'format'")
    with pytest.raises(TriaxisError) as error:
        Store.open(folder, read_only=read_only)
    one_line(error, folder / "study.db", "damaged", f"format is {found!r}", "put back a copy")


def as_format_2(folder: Path) -> None:
    for name in ("selection", "stops", "diagnostics"):
        in_database(folder, f"DROP TABLE {name}")
    in_database(folder, "UPDATE meta SET value = '2' WHERE key = 'format'")


def as_format_1(folder: Path) -> None:
    as_format_2(folder)
    for statement in (
        "ALTER TABLE checkpoints DROP COLUMN sha256",
        "ALTER TABLE checkpoints DROP COLUMN version",
        "DROP TABLE versions",
        "UPDATE meta SET value = '1' WHERE key = 'format'",
    ):
        in_database(folder, statement)


def test_a_folder_of_format_1_is_read_and_gone_on_with(tmp_path):
    folder = finished(tmp_path / "s")
    whole = records_digest(read_table(folder))
    as_format_1(folder)
    before = (folder / "study.db").read_bytes()
    assert records_digest(read_table(folder)) == whole
    assert (folder / "study.db").read_bytes() == before, "a reader changes nothing"
    with Store.open(folder) as store:
        assert store.done("a") == {4, 8} and store.provenance()["measured with"] == "triaxis 0.1.0"
        measure(store, "a", 16)
    with Store.open(folder, read_only=True) as store:
        assert store.provenance()["format"] == str(FORMAT) and store.table().n_rows == 5 * ITEMS
        assert store.provenance()["measured with"].startswith(f"triaxis 0.1.0, torch {version('torch')}, ")


def test_a_folder_of_format_2_has_no_diagnostics_and_takes_them(tmp_path):
    folder = finished(tmp_path / "s")
    whole = records_digest(read_table(folder))
    as_format_2(folder)
    before = (folder / "study.db").read_bytes()
    with Store.open(folder, read_only=True) as store:
        assert store.diagnostics() == [] and records_digest(store.table()) == whole
    assert (folder / "study.db").read_bytes() == before, "a reader changes nothing"
    with Store.open(folder) as store:
        found = Diagnostics({"diagnostic.gradient_norm": Reading(2.0, "u", "m")}, {"gradient_norm": {}})
        store.add_diagnostics("a", "", 4, found, {"diagnostic.gradient_norm": (1.0, 7)})
        assert store.diagnosed("a", {"gradient_norm": {}, "noise_scale": {}}) == {4: {"gradient_norm"}}
        assert store.diagnosed("a", {"gradient_norm": {"precision": "float64"}}) == {}
        assert store.table().arrow["diagnostic.gradient_norm"].drop_null().unique().to_pylist() == [2.0]


# Paths


def a_file(folder: Path) -> Path:
    (folder / "afile").write_text("mine")
    return folder / "afile"


BAD_PLACES = [
    (lambda folder: a_file(folder) / "sub", ["afile/sub", "afile is a file, not a folder", "choose another place"]),
    (lambda folder: a_file(folder) / "sub" / "sub", ["afile/sub/sub", "afile is a file", "choose another place"]),
    (a_file, ["afile: a file, where the study's folder should be", "choose another place"]),
    (lambda folder: Path("/proc/foo"), ["/proc/foo", "choose another place"]),
    (lambda folder: folder / ("x" * 256), ["xxx", "choose another place"]),
]


@pytest.mark.parametrize(("place", "words"), BAD_PLACES, ids=["in a file", "deep in a file", "a file", "proc", "long"])
def test_a_place_where_no_study_can_be_is_a_mistake(tmp_path, place, words):
    with pytest.raises(TriaxisError) as error:
        new_store(place(tmp_path))
    line = one_line(error)
    assert all(word in line for word in words), line


@pytest.mark.parametrize("name", ["lock", "study.yaml", "study.db"])
def test_a_folder_in_the_place_of_a_file_of_the_study_is_named(tmp_path, name):
    folder = tmp_path / "s"
    (folder / name / "x").mkdir(parents=True)
    with pytest.raises(TriaxisError) as error:
        new_store(folder)
    one_line(error, f"{folder / name}: a folder, where", "move it away")


def test_a_file_in_the_place_of_the_records_is_named(tmp_path):
    with new_store(tmp_path / "s") as store:
        (tmp_path / "s" / "records").write_text("")
        with pytest.raises(TriaxisError) as error:
            measure(store, "a", 4)
        one_line(error, "step-000004.parquet", "s/records is a file, not a folder", "move it away")


@pytest.mark.parametrize("read_only", [True, False], ids=["read", "write"])
def test_what_is_no_folder_of_a_study_is_not_opened(tmp_path, read_only):
    with pytest.raises(TriaxisError, match="afile: a file, not a study's folder; check the path"):
        Store.open(a_file(tmp_path), read_only=read_only)
    with pytest.raises(TriaxisError, match="sub: no such folder; check the path"):
        Store.open(a_file(tmp_path) / "sub", read_only=read_only)
    (tmp_path / "s" / "study.db").mkdir(parents=True)
    with pytest.raises(TriaxisError, match=r"study\.db: a folder, where the study's database should be"):
        Store.open(tmp_path / "s", read_only=read_only)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_is_not_written_where_it_can_not_be(tmp_path, suffix):
    (tmp_path / f"there.{suffix}").mkdir()
    for place, words in (
        (tmp_path / "nodir" / f"x.{suffix}", f"there is no folder {tmp_path / 'nodir'}; make it"),
        (a_file(tmp_path) / f"x.{suffix}", "afile is a file, not a folder"),
        (tmp_path / f"there.{suffix}", "a folder, where a file should be"),
        (Path(f"/proc/x.{suffix}"), "choose another place"),
    ):
        with pytest.raises(TriaxisError) as error:
            published().write(place)
        line = one_line(error, words)
        assert line.startswith(f"{place}: ") and "rrno" not in line and ".part" not in line
    assert sorted(p.name for p in tmp_path.iterdir()) == ["afile", f"there.{suffix}"]


def test_a_folder_that_may_not_be_entered_is_told(tmp_path):
    folder = finished(tmp_path / "s")
    code = f"""
import os
from pathlib import Path
from triaxis.records import Store, published, read_table
from triaxis.types import TriaxisError
table = published()
if os.getuid() == 0:
    os.setuid(65534)
folder = Path({str(folder)!r})
for act in (
    lambda: read_table(folder),
    lambda: Store.open(folder),
    lambda: Store.create(folder, "", {{}}, []),
    lambda: Store.create(folder / "sub", "", {{}}, []),
    lambda: table.write(folder / "x.csv"),
):
    try:
        act()
    except TriaxisError as error:
        print(error)
"""
    parents = [p for p in folder.parents if p.is_relative_to(Path(tmp_path).parents[2])]
    modes = {p: p.stat().st_mode for p in parents}
    for parent in parents:
        parent.chmod(0o755)
    folder.chmod(0)
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    folder.chmod(0o755)
    for parent, mode in modes.items():
        parent.chmod(mode)
    assert out.returncode == 0, out.stderr
    lines = out.stdout.splitlines()
    assert len(lines) == 5 and all(line.startswith(str(folder)) and "; " in line for line in lines), out.stdout


def test_a_study_without_its_database_says_so(tmp_path):
    folder = finished(tmp_path / "s")
    (folder / "report.html").write_text("")
    (folder / "analysis.json").write_text("")
    new_store(folder).close()  # ours, so they are in nobody's way
    (folder / "study.db").unlink()
    for act in (lambda: new_store(folder), lambda: Store.open(folder), lambda: read_table(folder)):
        with pytest.raises(TriaxisError) as error:
            act()
        one_line(error, f"{folder}: its study.db is gone", "put back a copy", "new folder")
    assert not (folder / "study.db").exists()


# What is known of a study


def test_runs_that_failed_or_are_unfinished_are_told(tmp_path):
    with new_store(tmp_path / "s", tuple("abcdefgh")) as store:
        store.write_base("lab:strong", records("", 0), COSTS)
        for run in "abcde":
            measure(store, run, 4, 8)
        store.mark("a", "done")
        for run in "bcfg":
            store.mark(run, "failed", f"loss of {run} is not finite\nand more")
        store.mark("d", "running")
        table = store.table()
        assert table.warnings == (
            "4 of 8 runs failed: b (loss of b is not finite), c (loss of c is not finite), f (loss of f is not finite)"
            " and 1 more; their checkpoints before that are here",
            "3 of 8 runs are unfinished: d (to step 8), e (to step 8), h (not measured); run the study again to go on",
        )
        assert table.incomplete == {"b", "c", "d", "e"}
        some = store.table(runs={"a", "d"})
        assert some.incomplete == {"d"}
        assert some.warnings == ("1 of 2 runs is unfinished: d (to step 8); run the study again to go on",)
        assert store.table(runs={"a"}).warnings == ()
        store.table().write(tmp_path / "t.csv")
    assert read_table(tmp_path / "t.csv").incomplete == frozenset()


def test_the_versions_that_measured_are_kept_with_the_study(tmp_path, monkeypatch):
    folder = finished(tmp_path / "s")
    now = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "numpy"))
    with Store.open(folder) as store:
        said = store.provenance()["measured with"]
        assert f"triaxis 0.1.0, {now}, python {sys.version.split()[0]}, {os.uname().sysname} " in said
        whole = records_digest(store.table())
    monkeypatch.setattr(versions, "version", lambda package: "9.9")
    with Store.open(folder) as store:
        assert store.provenance()["measured with"] == said, "opened, but nothing measured with it"
        measure(store, "b", 4)
        assert records_digest(store.table()) == whole
        both = store.provenance()["measured with"]
        assert "torch 9.9" in both.partition("; earlier: ")[0] and both.partition("; earlier: ")[2].startswith(said)
        for run, step in (("a", 4), ("a", 8)):
            measure(store, run, step)
        store.write_base("lab:strong", records("", 0), COSTS)
        assert "earlier" not in store.provenance()["measured with"], "no record of the other version is left"
    rows = sqlite3.connect(folder / "study.db").execute("SELECT torch FROM versions ORDER BY id").fetchall()
    assert rows == [(version("torch"),), ("9.9",)]


def test_the_versions_are_told_without_loading_what_they_are_of(tmp_path):
    code = (
        "import sys; from triaxis.records import Store; s = Store.create(sys.argv[1], '', {}, [])"
        "; print('torch' in s.provenance()['measured with'], 'torch' in sys.modules, 'transformers' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code, tmp_path / "s"], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["True", "False", "False"]


def test_many_runs_are_made_known_at_once(tmp_path):
    with new_store(tmp_path / "s", ("a",)) as store:
        measure(store, "a", 4)
        store.mark("a", "running")
        commits = []
        store._db.set_trace_callback(lambda statement: commits.append(statement == "COMMIT"))
        store.add_runs([(run, 7, "s", {"data.x": 1}, {"model.base": "lab:weak"}) for run in ("a", "b", "c")])
        store._db.set_trace_callback(None)
        assert sum(commits) == 1
        status = store.status()
        assert [(s.run, s.seed, s.state, s.steps) for s in status] == [
            ("a", 7, "running", (4,)), ("b", 7, "waiting", ()), ("c", 7, "waiting", ()),
        ]  # fmt: skip
        assert json.loads(json.dumps(dict(status[2].levels))) == {"data.x": 1}
        with pytest.raises(ValueError, match="can't be a run's id"):
            store.add_runs([("d", 0, "s", {}, {}), ("../e", 0, "s", {}, {})])
        assert [s.run for s in store.status()] == ["a", "b", "c"], "all of them or none"
