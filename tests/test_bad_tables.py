"""Every way in which a table can be wrong, as a user brings it: one line that names the place and the remedy."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from triaxis.records import make_table, read_table
from triaxis.types import TriaxisError

HEAD = "run,step,task,score\n"
GOOD = HEAD + "a,0,x,0.5\na,10,x,0.6\n"
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(200)


def parquet(**changes: object) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        columns = {"run": ["a", "a"], "step": [0, 10], "task": ["x", "x"], "score": [0.5, 0.6], **changes}
        pq.write_table(pa.table({name: values for name, values in columns.items() if values is not None}), path)

    return write


def cut_parquet(path: Path) -> None:
    parquet()(path)
    path.write_bytes(path.read_bytes()[:-20])


def damaged_parquet(path: Path) -> None:
    parquet()(path)
    content = bytearray(path.read_bytes())
    content[8:60] = bytes(52)
    path.write_bytes(content)


# name, file, content (text, bytes, or what writes it), words that the line must hold
BAD = [
    ("missing column", "t.csv", "run,steps,task,score\na,0,x,1\n", ["'step'", "'steps'", "rename"]),
    ("missing column, synonym", "t.csv", "run,step,benchmark,accuracy\na,0,x,1\n", ["'benchmark'", "'accuracy'"]),
    ("missing column, other case", "t.csv", "run,Step,task,score\na,0,x,1\n", ["'Step'", "'step'"]),
    ("missing columns", "t.csv", "a,b\n1,2\n", ["'run', 'step', 'task', 'score'", "add"]),
    ("missing column in Parquet", "t.parquet", parquet(score=None), ["'score'", "add"]),
    ("column twice", "t.csv", "run,step,task,score,score\na,0,x,1,1\n", ["'score'", "2 times", "keep one"]),
    ("empty file", "t.csv", "", ["empty", "header"]),
    ("empty Parquet file", "t.parquet", "", ["empty"]),
    ("header only", "t.csv", HEAD, ["no rows"]),
    ("Parquet without rows", "t.parquet", parquet(run=[], step=[], task=[], score=[]), ["no rows"]),
    ("blank lines only", "t.csv", "\n\n\n", ["missing"]),
    ("cut-off Parquet", "t.parquet", cut_parquet, ["Parquet", "cut off", "again"]),
    ("damaged Parquet", "t.parquet", damaged_parquet, ["Parquet", "damaged", "again"]),
    ("Parquet by name only", "t.parquet", GOOD, ["not a Parquet file"]),
    ("cut-off gzip", "t.csv.gz", gzip.compress(GOOD.encode())[:-12], ["cut off", "again"]),
    ("a picture", "t.csv", PNG, ["not a table"]),
    ("a workbook", "t.csv", b"PK\x03\x04" + bytes(100), ["save the sheet as CSV"]),
    ("other separator", "t.csv", GOOD.replace(",", ";"), ["';'", "commas"]),
    ("tabs in a .csv", "t.csv", GOOD.replace(",", "\t"), ["'\\t'", ".tsv"]),
    ("UTF-16", "t.csv", GOOD.encode("utf-16"), ["UTF-16", "UTF-8"]),
    ("Latin-1 cell", "t.csv", (HEAD + "a,0,x,1\nb\xe9,0,x,1\n").encode("latin-1"), ["row 3", "run", "UTF-8"]),
    ("Latin-1 header", "t.csv", "run,step,task,score,t\xe9\na,0,x,1,\n".encode("latin-1"), ["row 1", "0xe9", "UTF-8"]),
    ("short row", "t.csv", GOOD + "b,0,x\n", ["row 4", "3 cells", "4 columns"]),
    ("long row", "t.csv", GOOD + "b,0,x,1,9\n", ["row 4", "5 cells"]),
    ("open quote", "t.csv", GOOD + 'b,0,"x,1\nb,10,x,1\n', ["row 4", "columns"]),
    ("line break in a name", "t.csv", GOOD + '"b\nc",0,x,1\n', ["row 4", "run", "line break"]),
    ("text for a number", "t.csv", GOOD + "b,0,x,good\n", ["row 4", "score", "'good'", "not a number"]),
    ("text for a number, blank lines before", "t.csv", "\n".join([GOOD, "", "b,0,x,?"]), ["row 6", "score", "'?'"]),
    ("text for a step", "t.csv", GOOD + "a,last,x,1\n", ["row 4", "step", "'last'"]),
    ("decimal comma", "t.csv", GOOD + 'a,20,x,"0,5"\n', ["row 4", "score", "'0,5'"]),
    ("text in Parquet", "t.parquet", parquet(score=["0.5", "high"]), ["row 2", "score", "'high'"]),
    ("dates for steps", "t.parquet", parquet(step=pa.array([0, 1], pa.date32())), ["step", "date32", "numbers"]),
    ("lists for names", "t.parquet", parquet(task=[["x"], ["y"]]), ["task", "list", "give text or numbers"]),
    ("bytes for a factor", "t.parquet", parquet(**{"data.x": [b"\xff", b"a"]}), ["data.x", "binary"]),
    ("nothing but empty cells", "t.parquet", parquet(task=[None, None]), ["row 1", "task", "missing"]),
    ("negative step", "t.csv", GOOD + "a,-1,x,1\n", ["row 4", "step", "-1", "below 0"]),
    ("fractional step", "t.csv", GOOD + "a,10.5,x,1\n", ["row 4", "step", "10.5", "whole"]),
    ("fractional step in Parquet", "t.parquet", parquet(step=[0.0, 0.5]), ["row 2", "step", "0.5", "whole"]),
    ("missing step", "t.csv", GOOD + "a,,x,1\n", ["row 4", "step", "missing"]),
    ("missing task", "t.csv", GOOD + "a,20,,1\n", ["row 4", "task", "missing"]),
    ("missing score", "t.csv", GOOD + "a,20,x,\n", ["row 4", "score", "missing", "leave the row out"]),
    ("NaN score", "t.csv", GOOD + "a,20,x,NaN\n", ["row 4", "score", "missing"]),
    ("NaN score in Parquet", "t.parquet", parquet(score=[0.1, np.nan]), ["row 2", "score", "missing"]),
    ("infinite score", "t.csv", GOOD + "a,20,x,inf\n", ["row 4", "score", "infinite"]),
    ("percent", "t.csv", HEAD + "a,0,x,44.1\na,10,x,59.9\n", ["row 2", "44.1", "percent", "divide by 100"]),
    ("accuracy above 1", "t.csv", GOOD + "a,20,x,1.2\n", ["row 4", "score", "1.2", "[0, 1]", "metric"]),
    ("accuracy below 0", "t.csv", GOOD + "a,20,x,-0.2\n", ["row 4", "score", "-0.2", "[0, 1]"]),
    ("duplicate", "t.csv", GOOD + "b,0,x,1\na,10,x,0.6\n", ["row 5", "row 3", "same", "keep one", "sample"]),
    ("duplicates", "t.csv", GOOD + "a,10,x,0.6\na,10,x,0.7\n", ["row 4", "row 3", "2 such rows"]),
    (
        "unknown outcome",
        "t.csv",
        "run,step,task,score,outcome\na,0,x,1,corect\n",
        ["row 2", "outcome", "did you mean 'correct'"],
    ),
    ("unknown group", "t.csv", "run,step,task,score,group\na,0,x,1,ood\n", ["row 2", "group", "'ood'", "did you mean"]),
    ("strange group", "t.csv", "run,step,task,score,group\na,0,x,1,zzz\n", ["group 'zzz'", "one of", "far_ood"]),
    ("unknown mode", "t.csv", "run,step,task,score,mode\na,0,x,1,thinking\n", ["row 2", "mode", "'think'"]),
    (
        "mixed metrics",
        "t.csv",
        "run,step,task,score,metric\na,0,x,1,accuracy\na,10,x,3,reward\n",
        ["row 3", "metric", "reward", "'x'", "accuracy", "row 2", "two tasks"],
    ),
    (
        "better both ways",
        "t.csv",
        "run,step,task,score,higher_is_better\na,0,x,1,1\na,10,x,1,0\n",
        ["row 3", "higher_is_better", "'x'"],
    ),
    ("not a truth value", "t.csv", "run,step,task,score,higher_is_better\na,0,x,1,up\n", ["row 2", "'up'", "1 or 0"]),
    ("no items", "t.csv", "run,step,task,score,n_items\na,0,x,1,0\n", ["row 2", "n_items", "0", "below 1"]),
    ("negative sample", "t.csv", "run,step,task,score,sample\na,0,x,1,-1\n", ["row 2", "sample", "-1"]),
    (
        "factor changes",
        "t.csv",
        "run,step,task,score,data.name\na,0,x,1,m\na,10,x,1,n\n",
        ["row 3", "data.name", "n", "'a'", "m", "row 2", "two runs"],
    ),
    ("seed changes", "t.csv", "run,step,task,score,seed\na,0,x,1,0\na,10,x,1,1\n", ["row 3", "seed", "'a'"]),
    (
        "factor missing midway",
        "t.csv",
        "run,step,task,score,data.examples\na,0,x,1,5\na,10,x,1,\n",
        ["row 3", "data.examples", "nothing", "5"],
    ),
    (
        "task in two groups",
        "t.csv",
        "run,step,task,score,group\na,0,x,1,far_ood\na,10,x,1,near_ood\n",
        ["row 3", "group", "near_ood", "far_ood", "'x'"],
    ),
    ("misspelt axis", "t.csv", "run,step,task,score,optimisation.lr\na,0,x,1,1\n", ["'optimization.lr'", "rename"]),
    ("no step 0", "t.csv", HEAD + "a,10,x,1\nb,10,x,1\n", ["t.csv", "no step 0", "add rows with step 0"]),
    (
        "a base of another model",
        "t.csv",
        "run,step,task,score,model.base\n,0,x,1,m\na,10,x,1,n\n",
        ["no step 0", "same model.base"],
    ),
    ("no run at a later step", "t.csv", GOOD + ",10,y,1\n", ["row 4", "run", "step 10", "name the run"]),
    (
        "records and their summary",
        "t.csv",
        "run,step,task,score,item\na,0,x,1,i1\na,0,x,1,\n",
        ["row 3", "item", "run a", "step 0", "task x"],
    ),
]


@pytest.mark.parametrize(("file", "content", "words"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_bad_table_is_told_in_one_line(tmp_path, file, content, words):
    path = tmp_path / file
    if callable(content):
        content(path)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(TriaxisError) as caught:
        read_table(path)
    line = str(caught.value)
    assert "\n" not in line and len(line) < 400
    assert line.startswith(str(path)), line
    for word in words:
        assert word in line, f"{word!r} not in: {line}"


def test_a_file_that_is_not_there_names_the_nearest(tmp_path):
    (tmp_path / "results.csv").write_text(GOOD)
    with pytest.raises(TriaxisError, match=r"result\.csv: no such file; did you mean 'results\.csv'\?"):
        read_table(tmp_path / "result.csv")


def test_a_folder_that_is_no_study_names_the_table_in_it(tmp_path):
    with pytest.raises(TriaxisError, match="not a study"):
        read_table(tmp_path)
    (tmp_path / "results.csv").write_text(GOOD)
    with pytest.raises(TriaxisError, match=r"not a study .*name the table: .*results\.csv"):
        read_table(tmp_path)


def test_duplicates_across_files_name_both(tmp_path):
    for name in ("one.csv", "two.csv"):
        (tmp_path / name).write_text(GOOD)
    with pytest.raises(TriaxisError, match=r"two\.csv, row 2: .*one\.csv, row 2"):
        read_table(tmp_path / "one.csv", tmp_path / "two.csv")


def test_columns_in_memory_are_told_by_their_row():
    with pytest.raises(TriaxisError, match=r"table, row 2, score: 1\.5 is outside"):
        make_table({"run": ["a", "a"], "step": [0, 1], "task": ["x", "x"], "score": [0.5, 1.5]})
    with pytest.raises(TriaxisError, match="columns of one length"):
        make_table({"run": ["a"], "step": [0, 1], "task": ["x", "x"], "score": [0.5, 0.5]})


# What is allowed, and counted


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (GOOD, ["no group in 2 rows: taken as 'ungrouped'"]),
        ("run,step,task,score,note,grup\na,0,x,1,hi,far_ood\n", ["not used: 'note', 'grup' (did you mean 'group'?)"]),
        ("run,step,task,score,mode\na,0,x,1,direct\na,1,x,1,\n", ["no mode in 1 row: taken as 'default'"]),
        (GOOD + "b,10,x,1\n", ["1 run has no step 0, so no gains: 'b'"]),
        (GOOD + "a,10,y,1\n", ["no base score, so no gain: 'y of a'"]),
        ("run,step,task,score,data.name\na,0,x,1,m\nb,0,x,1,\n", ["data.name: 1 of 2 runs have no value"]),
        (
            "run,step,task,score,source,model.base\n,0,x,.5,p,m\n,0,x,.6,q,m\n",
            ["sources disagree on the base score of m on x: 0.5 in p; 0.6 in q; each serves its own"],
        ),
    ],
)
def test_what_is_doubtful_is_a_warning(tmp_path, content, words):
    path = tmp_path / "t.csv"
    path.write_text(content)
    warnings = read_table(path).warnings
    for word in words:
        assert any(word in warning for warning in warnings), warnings


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + GOOD.encode(),
        GOOD.replace("\n", "\r\n").encode(),
        GOOD.replace(",", " , ").encode(),
        GOOD.replace("10", "10.0").encode(),
        GOOD.replace("\n", "\n\n").encode(),
        gzip.compress(GOOD.encode()),
        GOOD.rstrip("\n").encode(),
    ],
    ids=["BOM", "CRLF", "spaces", "whole floats", "blank lines", "gzip", "no last newline"],
)
def test_the_same_table_in_other_clothes(tmp_path, content):
    (tmp_path / "good.csv").write_text(GOOD)
    (tmp_path / "t.csv").write_bytes(content)
    assert read_table(tmp_path / "t.csv").arrow.equals(read_table(tmp_path / "good.csv").arrow)
