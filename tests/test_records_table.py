"""The long table: read, written and read again the same; the paper's tables as they were printed."""

import re
import subprocess
import sys
import time
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings

from triaxis.records import Table, make_table, published, read_table, records_digest
from triaxis.records.columns import COLUMNS, is_factor
from triaxis.types import MODES, Outcome, TriaxisError

FORMATS = ("parquet", "csv", "tsv")
names = st.text(st.characters(blacklist_categories=("Cc", "Cs", "Zl", "Zp", "Zs")), min_size=1, max_size=8)
texts = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0\r"), max_size=30)
levels = st.one_of(
    st.lists(st.integers(-5, 2**40), min_size=2, max_size=2),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=2),
    st.lists(st.booleans(), min_size=2, max_size=2),
    st.lists(names, min_size=2, max_size=2),
)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """Two runs from one base, with records or summaries and whatever else a table can hold."""
    runs = draw(st.lists(names, min_size=2, max_size=2, unique=True))
    task, base, source = draw(names), draw(names), draw(st.one_of(st.just(""), names))
    factor = draw(levels)
    rows: list[dict[str, object]] = []
    records = draw(st.booleans())
    for run, level in [("", None), *zip(runs, factor, strict=True)]:
        for step in (0,) if not run else draw(st.lists(st.integers(1, 10**6), min_size=1, max_size=3, unique=True)):
            row = {
                "source": source, "run": run, "seed": draw(st.integers(0, 2**40)) if not run else 3, "step": step,
                "task": task, "group": draw(st.sampled_from(["far_ood", "safety"])) if not run else "far_ood",
                "mode": MODES[0], "model.base": base, "data.level": level, "score": draw(st.floats(0, 1)),
                "loss": draw(st.one_of(st.none(), st.floats(0, 10))),
            }  # fmt: skip
            if not records:
                rows.append(row | {"n_items": draw(st.one_of(st.none(), st.integers(1, 500)))})
                continue
            for item in draw(st.lists(names, min_size=1, max_size=3, unique=True)):
                extra = {
                    "outcome": draw(st.sampled_from(list(Outcome))).value,
                    "response_tokens": 7,
                    "text": draw(texts),
                }
                rows.append(row | {"item": item} | extra)
    columns = {name: [row.get(name) for row in rows] for name in {n for row in rows for n in row}}
    columns["data.level"] = [None if v is None else str(v) for v in columns["data.level"]]
    return make_table(columns)


@pytest.mark.parametrize("suffix", FORMATS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=tables())
def test_written_and_read_again_it_is_the_same(tmp_path, suffix, table):
    path = tmp_path / f"t.{suffix}"
    table.write(path)
    again = read_table(path)
    assert again.arrow.equals(table.arrow)
    assert again.factors == table.factors
    assert records_digest(again) == records_digest(table)


def test_every_declared_column_is_there_in_order_and_type():
    table = published()
    always = [column for column in COLUMNS if column.need != "measured"]
    assert table.arrow.column_names[: len(always)] == [column.name for column in always]
    assert all(is_factor(name) for name in table.arrow.column_names[len(always) :])
    assert [table.arrow.schema.field(c.name).type for c in always] == [c.type for c in always]
    assert all(table.arrow[c.name].null_count == 0 for c in always if c.need in ("needed", "default"))


def test_what_the_paper_printed_is_what_is_read():
    table = published()
    rows = table.arrow.to_pylist()
    assert len(rows) == 321 and len({row["source"] for row in rows}) == 4
    gpqa = {
        row["source"][-1]: row["score"]
        for row in rows
        if (row["run"], row["model.base"], row["task"]) == ("", "Qwen3-14B-Base", "GPQA-Diamond")
    }
    assert gpqa == {"1": 0.441, "2": 0.441, "5": 0.418}
    alpaca = [row for row in rows if row["metric"] != "accuracy"]
    assert {row["task"] for row in alpaca} == {"AlpacaEval-2-RM"} and max(row["score"] for row in alpaca) > 1
    steps = [row["step"] for row in rows if row["task"] == "MATH500" and row["source"].endswith("Table 9")]
    assert steps == [0, 10, 20, 40, 80, 160, 320, 480, 640]
    assert table.factors["optimization.batch_size"] == (32, 256)
    assert table.factors["data.structure"] == ("long_cot", "no_cot")
    assert "optimization.learning_rate" not in table.factors  # held at one value


def test_base_scores_that_the_paper_prints_twice_are_a_warning_each():
    warnings = published().warnings
    assert len(warnings) == 3 and all("disagree" in warning for warning in warnings)
    assert any("Qwen3-14B-Base on GPQA-Diamond: 0.441" in w and "0.418 in" in w for w in warnings)


def test_levels_are_numbers_where_every_cell_is_one(tmp_path):
    def kinds(*cells: str) -> pa.DataType:
        head = "run,step,task,score,data.x\n"
        (tmp_path / "t.csv").write_text(head + "".join(f"r{i},0,t,1,{cell}\n" for i, cell in enumerate(cells)))
        return read_table(tmp_path / "t.csv").arrow.schema.field("data.x").type

    assert kinds("1", "1e3", "") == pa.int64()
    assert kinds("1", "0.5") == pa.float64()
    assert kinds("true", "False") == pa.bool_()
    for text in (("1", "all"), ("3-5", "1"), ("inf", "1"), ("1_000", "2"), ("true", "1")):
        assert kinds(*text) == pa.dictionary(pa.int32(), pa.string()), text


def test_two_files_are_one_table_whatever_types_they_came_in(tmp_path):
    (tmp_path / "a.csv").write_text("run,step,task,score,data.x,loss\na,0,t,1,5,\na,1,t,1,5,0.25\n")
    frame = {"run": ["b", "b"], "step": [0.0, 1.0], "task": ["t", "u"], "score": [1, 0], "data.x": [0.5, 0.5]}
    pq.write_table(pa.table(frame), tmp_path / "b.parquet")
    table = read_table(tmp_path / "a.csv", tmp_path / "b.parquet")
    assert table.factors == {"data.x": (0.5, 5.0)}
    assert table.arrow["loss"].to_pylist() == [None, 0.25, None, None]
    assert table.arrow["task"].to_pylist() == ["t", "t", "t", "u"]


def test_an_empty_response_is_a_response(tmp_path):
    columns = {"run": ["a", "a"], "step": [0, 0], "task": ["t", "t"], "score": [1, 0], "item": ["i", "j"]}
    table = make_table(columns | {"text": ["", 'two\nlines, and a "quote"']})
    table.write(tmp_path / "t.csv")
    assert read_table(tmp_path / "t.csv").arrow["text"].to_pylist() == ["", 'two\nlines, and a "quote"']
    table.write(tmp_path / "u.csv", text=False)
    assert "text" not in read_table(tmp_path / "u.csv").arrow.column_names
    assert "text" not in read_table(tmp_path / "t.csv", text=False).arrow.column_names


def test_the_digest_tells_tables_apart_and_not_the_order_of_rows():
    table = published()
    shuffled = Table(table.arrow.take(np.random.default_rng(0).permutation(table.n_rows)))
    assert records_digest(shuffled) == records_digest(table)
    scores = table.arrow["score"].to_numpy().copy()
    scores[100] += 1e-12
    place = table.arrow.column_names.index("score")
    other = Table(table.arrow.set_column(place, "score", pa.array(scores)))
    assert records_digest(other) != records_digest(table)


def test_a_runaway_loss_is_counted_not_kept():
    table = make_table({"run": ["a"], "step": [0], "task": ["t"], "score": [1], "loss": [np.inf], "group": ["safety"]})
    assert table.arrow["loss"].to_pylist() == [None]
    assert table.warnings == ("table: loss is infinite in 1 row: taken as missing",)


def test_a_table_has_one_of_three_endings(tmp_path):
    with pytest.raises(TriaxisError, match=r"t\.xlsx: a table is written as"):
        published().write(tmp_path / "t.xlsx")


def many(n_items: int) -> pa.Table:
    """20 runs × 10 checkpoints × 8 tasks × `n_items` records."""
    i = np.arange(20 * 10 * 8 * n_items)

    def word(code: np.ndarray, form: str) -> pa.Array:
        values = [form.format(k) for k in range(int(code.max()) + 1)]
        return pa.DictionaryArray.from_arrays(pa.array(code, pa.int32()), values)

    run, task = i // (80 * n_items), i // n_items % 8
    rng = np.random.default_rng(0)
    return pa.table(
        {
            "run": word(run, "learning_rate=0.001,base=strong-s{}"),
            "step": i // (8 * n_items) % 10 * 10,
            "task": word(task, "task{}"),
            "item": word(i % n_items, "chain/eval/0/{}"),
            "score": (rng.random(i.size) > 0.5).astype(float),
            "response_tokens": rng.integers(5, 200, i.size),
            "optimization.learning_rate": np.array([1e-3, 3e-3])[run % 2],
            "model.base": word(run // 2 % 2, "base{}"),
        }
    )


# Of the process itself: ru_maxrss keeps that of the one that it was started from, which may have been larger.
READ = "import re, sys; from triaxis.records import read_table; print(read_table(sys.argv[1]).n_rows)"
READ += r"; print(1024 * int(re.search(r'VmHWM:\s+(\d+) kB', open('/proc/self/status').read())[1]))"


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("n_items", "seconds", "bytes_"),
    [(625, 20, 1e9), pytest.param(6250, 120, 4e9, marks=pytest.mark.slow)],
    ids=["a million rows", "ten million rows"],
)
def test_large_tables_are_read_in_time_and_memory(tmp_path, suffix, n_items, seconds, bytes_):
    path = tmp_path / f"t.{suffix}"
    (pq.write_table if suffix == "parquet" else pa_csv.write_csv)(many(n_items), path)
    began = time.perf_counter()
    out = subprocess.run([sys.executable, "-c", READ, path], capture_output=True, text=True, check=True).stdout.split()
    assert int(out[0]) == 1600 * n_items
    assert time.perf_counter() - began < seconds
    assert int(out[1]) < bytes_


def test_a_duplicate_among_a_million_rows_is_found(tmp_path):
    table = many(625)
    table = pa.concat_tables([table, table.slice(777_777, 1)])
    with pytest.raises(TriaxisError, match=r"table, row 1000001: same source.* as table, row 777778;"):
        make_table(table)


def test_reading_needs_no_torch():
    code = "import sys, triaxis.records; print([m for m in ('torch', 'transformers', 'pandas') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_the_document_lists_the_columns_in_their_order():
    document = (Path(__file__).parents[1] / "docs" / "table.md").read_text()
    listed = re.findall(r"^\| `([a-z_]+)` \|.*\|$", document.partition("## Files")[0], re.MULTILINE)
    assert listed == [column.name for column in COLUMNS]
