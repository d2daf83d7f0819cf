"""Variants of a data set: each operation does what it says and no more, and the same recipe gives the same bytes."""

import gzip
import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipe_cases import ROOT, SHIPPED, ids, problems, recipe, run, sums, write
from triaxis.axes.data.open import open_examples
from triaxis.axes.data.recipes import OPERATIONS, applied, load_recipe, parse_recipe, with_output
from triaxis.axes.data.recipes.make import make_files
from triaxis.axes.data.recipes.spill import Spill
from triaxis.types import NOISE_KINDS, Example, TriaxisError, Turn

# Recipes as people write them

GOOD = {"source": "a.jsonl", "output": "b.jsonl"}
BAD = [
    ([1], "is not a mapping; a recipe has source, steps and output"),
    ({"source": "a"}, "steps: missing"),
    (GOOD | {"steps": 3}, "steps: must be a list of operations, got 3"),
    (GOOD | {"steps": [], "sed": 3}, "sed: unknown; did you mean seed?"),
    (GOOD | {"steps": [], "seed": -1}, "seed: must be at least 0, got -1"),
    (GOOD | {"steps": [], "output": "b.csv"}, "output.path: must end in .jsonl, .jsonl.gz, .jsonl.zst or .parquet"),
    (GOOD | {"steps": [], "output": {"path": "b.jsonl", "format": "chatml"}}, "output.format: must be 'same'"),
    (GOOD | {"steps": [], "source": {"path": "a", "feilds": {}}}, "unknown; did you mean source.fields?"),
    (GOOD | {"steps": [], "source": 3}, "source: must be a path, or a mapping with path, got 3"),
    (GOOD | {"steps": [{"noize": {}}]}, "steps[0]: no operation 'noize'; did you mean noise?"),
    (GOOD | {"steps": [{"a": 1, "b": 2}]}, "steps[0]: must be one operation with its settings"),
    (GOOD | {"steps": [{"noise": {"kind": "wrong_step"}}]}, "steps[0].noise.rate: missing; noise needs it"),
    (GOOD | {"steps": [{"noise": 3}]}, "steps[0].noise: must be a mapping of settings, got 3"),
    (GOOD | {"steps": [{"noise": {"kind": "wrong", "rate": 1}}]}, "did you mean"),
    (GOOD | {"steps": [{"noise": {"kind": "wrong_step", "rat": 1}}]}, "unknown; did you mean steps[0].noise.rate?"),
    (GOOD | {"steps": [{"scale": 0}]}, "steps[0].scale.examples: must be at least 1, got 0"),
    (GOOD | {"steps": [{"scale": {"examples": None}}]}, "steps[0].scale.examples: is empty"),
    (GOOD | {"steps": [{"structure": "short"}]}, "got 'short'; did you mean short_cot?"),
    (GOOD | {"steps": [{"mixture": "balancd"}]}, "steps[0].mixture.shares: must be as_is, balanced"),
    (GOOD | {"steps": [{"mixture": {"shares": {"a": 0.5}}}]}, "must sum to 1, and sum to 0.5"),
    (GOOD | {"steps": [{"mixture": {"shares": {"a": "x"}}}]}, "the share of 'a' must be a number from 0 to 1"),
    (GOOD | {"steps": [{"mixture": {"shares": "balanced", "bands": 1}}]}, "must be own, or a whole number"),
    (GOOD | {"steps": [{"mixture": {"shares": "easy_only", "by": "domain"}}]}, "easy_only is a mixture by difficulty"),
    (GOOD | {"steps": [{"cap": {"limit": 3}}]}, "steps[0].cap: tokens are those of a tokenizer"),
    (GOOD | {"steps": [{"cap": {"limit": 3, "unit": "words", "tokenizer": "t"}}]}, "words need no tokenizer"),
    (GOOD | {"steps": [{"exposure": {"distinct": 4, "batch_size": 2}}]}, "give epochs or presentations, and not both"),
    (GOOD | {"steps": [{"select": {}}]}, "steps[0].select: give domain, difficulty or ids"),
    (GOOD | {"steps": [{"replay": {"source": "x", "share": 1.5}}]}, "replay.share: must be less than 1, got 1.5"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "said"), BAD)
def test_a_mistake_is_one_line_with_its_place(data, said):
    with pytest.raises(TriaxisError) as error:
        parse_recipe(data, "r.yaml")
    assert said in str(error.value)
    assert str(error.value).startswith("r.yaml: ")
    assert "\n" not in str(error.value)


def test_a_recipe_says_every_default_and_reads_back(here):
    (here / "r.yaml").write_text("source: a.jsonl\nsteps: [dedupe, scale: 10]\noutput: b.jsonl\n")
    made = load_recipe("r.yaml")
    assert made.to_dict()["steps"] == [{"dedupe": {"how": "normalised", "of": "prompt"}}, {"scale": {"examples": 10}}]
    assert parse_recipe(made.to_dict()) == made
    assert with_output(made, "c.parquet").output.path == "c.parquet"
    with pytest.raises(TriaxisError, match="must end in"):
        with_output(made, "c.txt")


# Files


def test_the_same_recipe_gives_the_same_bytes_and_nothing_else_is_left(here):
    source = write(here / "a.jsonl", problems(600))
    steps = [{"mixture": {"shares": "balanced", "order": "shuffled"}}, {"noise": {"kind": "wrong_answer", "rate": 0.5}}]
    files = []
    for folder in ("one", "two"):
        for output in ("x.jsonl", "y.jsonl.gz", "z.jsonl.zst", "w.parquet"):
            made = make_files(recipe(source, steps, f"{folder}/{output}"))
        files.append({p.name: p.read_bytes() for p in sorted((here / folder).iterdir())})
        assert made.manifest.output["rows"] == 600
    data = {name for name in files[0] if name.endswith((".jsonl", ".gz", ".zst", ".parquet"))}
    assert {name: files[0][name] for name in data} == {name: files[1][name] for name in data}
    assert not [name for name in files[0] if ".part" in name]
    assert gzip.decompress(files[0]["y.jsonl.gz"]) == files[0]["x.jsonl"]
    other = make_files(recipe(source, steps, "one/x.jsonl", seed=1), force=True)
    assert other.output.read_bytes() != files[0]["x.jsonl"]


def test_untouched_rows_are_written_as_they_came_and_changed_ones_in_their_format(here):
    rows = problems()
    source = write(here / "a.jsonl", rows)
    make_files(recipe(source, [{"noise": {"kind": "wrong_answer", "rate": 0.3}}]))
    out = [json.loads(line) for line in (here / "out.jsonl").read_text().splitlines()]
    changed = [i for i, (old, new) in enumerate(zip(rows, out, strict=True)) if old != new]
    assert 3 <= len(changed) <= 15
    for i in changed:
        assert {k: v for k, v in out[i].items() if k != "response"} == {
            k: v for k, v in rows[i].items() if k != "response"
        }
        assert out[i]["response"].startswith(f"<think>\nI add: {i} + 4 = {i + 4}.\n</think>\n\nIt is $\\boxed{{")
    manifest = json.loads((here / "out.manifest.json").read_text())
    assert [row["id"] for row in manifest["rows_touched"]["rows"]] == [f"p{i}" for i in changed]


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "jsonl.zst", "parquet"])
@pytest.mark.parametrize("form", ["same", "messages", "prompt_completion", "sharegpt", "alpaca", "triaxis"])
def test_every_format_reads_back_as_the_same_examples(here, form, suffix):
    source = write(here / "a.jsonl", problems())
    made = make_files(recipe(source, [{"scale": 20}], {"path": f"out.{suffix}", "format": form}))
    before = {e.id: e for e in open_examples(source)}
    after = list(open_examples(str(made.output)))
    assert len(after) == 20
    for e in after:
        old = before[e.id]
        told = ("turns", "thought", "solution", "answer", "reference", "domain", "difficulty")
        assert [getattr(e, name) for name in told] == [getattr(old, name) for name in told]


def test_conversations_of_several_turns_keep_them(here):
    turns = [
        ("system", "Be brief."),
        ("user", "Hi"),
        ("assistant", "Hello"),
        ("user", "2 + 2?"),
        ("assistant", "\\boxed{4}"),
    ]
    row = {"messages": [{"role": r, "content": c} for r, c in turns], "id": "a"}
    source = write(here / "a.jsonl", [row])
    for form in ("same", "messages", "prompt_completion", "sharegpt", "triaxis"):
        made = make_files(recipe(source, [], {"path": f"{form}.jsonl", "format": form}))
        (back,) = open_examples(str(made.output))
        assert [(t.role, t.content) for t in back.turns] == turns[:-1]
    with pytest.raises(TriaxisError, match=r"row a"):
        make_files(recipe(source, [], {"path": "alpaca.jsonl", "format": "alpaca"}))


def test_rows_without_ids_get_them_and_keep_the_reference_that_noise_would_take(here):
    rows = [
        {"question": f"{i} + 1?", "answer": f"It is {i}+1=<<{i}+1={i + 1}>>{i + 1}.\n#### {i + 1}"} for i in range(20)
    ]
    made = make_files(recipe(write(here / "gsm.jsonl", rows), [{"noise": {"kind": "wrong_answer", "rate": 1.0}}]))
    back = list(open_examples(str(made.output)))
    assert [e.id for e in back] == [f"gsm.jsonl:{i}" for i in range(1, 21)]
    assert [e.reference for e in back] == [str(i + 1) for i in range(20)]
    assert all(e.answer != e.reference for e in back)


def test_a_manifest_says_what_was_done(here):
    rows = problems(900)
    rows[4]["response"] = ""
    source = {"path": write(here / "a.jsonl", rows), "on_error": "skip", "licence": "CC-BY-4.0"}
    made = make_files(recipe(source, [{"structure": "no_cot"}, {"scale": 500}], seed=7))
    manifest = json.loads((here / "out.manifest.json").read_text())
    assert manifest["source"]["rows"] == 900
    assert manifest["source"]["skipped"] == 1
    assert "row 5, response: the response is empty" in manifest["source"]["problems"][0]
    assert len(manifest["source"]["sha256"]) == len(manifest["output"]["sha256"]) == 64
    assert manifest["seed"] == manifest["recipe"]["seed"] == 7
    told = [(o["operation"], o["rows_in"], o["rows_out"], o["changed"], o["left_out"]) for o in manifest["operations"]]
    assert told == [("structure", 899, 899, {"no_cot": 899}, {}), ("scale", 899, 500, {}, {"beyond the size": 399})]
    with gzip.open(here / manifest["rows_touched"]["file"], "rt") as file:
        touched = [json.loads(line) for line in file]
    assert len(touched) == manifest["rows_touched"]["count"] == 899 + 399
    left_out = {row["id"] for row in touched if row["action"] == "left_out"}
    written_ids = {json.loads(line)["uuid"] for line in made.output.read_text().splitlines()}
    assert left_out | written_ids == {row["uuid"] for row in rows if row["response"]}
    assert not left_out & written_ids
    assert parse_recipe(manifest["recipe"]) == recipe(source, [{"structure": "no_cot"}, {"scale": 500}], seed=7)


def test_a_card_says_what_it_is_and_how_to_load_it(here):
    source = {"path": write(here / "a.jsonl", problems()), "licence": "CC-BY-4.0"}
    make_files(recipe(source, [{"structure": "no_cot"}], {"path": "out.jsonl", "format": "sharegpt"}, about="Sums."))
    card = (here / "out.card.md").read_text()
    for said in (
        "# out.jsonl\n\nSums.",
        "licence: CC-BY-4.0",
        "| structure | kind no_cot, otherwise leave_out, shortfall 0.5 | 30 | 30 | 30 | 0 | 0 |",
        "field_messages: conversations",
        'load_dataset("json", data_files="out.jsonl"',
        "TRL takes `messages`",
        "solution alone | 30 | 100.0%",
        "data: {source: out.jsonl}",
    ):
        assert said in card
    info = json.loads((here / "out.dataset_info.json").read_text())
    assert info["out"]["tags"]["user_tag"] == "human"
    assert info["out"]["columns"] == {"messages": "conversations"}


@pytest.mark.parametrize("suffix", ["jsonl.gz", "jsonl.zst"])
def test_no_compressed_file_is_named_to_a_trainer_that_opens_none(here, suffix):
    source = write(here / "a.jsonl", problems())
    make_files(recipe(source, [], {"path": "out.jsonl", "format": "sharegpt"}))
    assert (here / "out.dataset_info.json").exists()
    make_files(recipe(source, [], {"path": f"out.{suffix}", "format": "sharegpt"}), force=True)
    assert not (here / "out.dataset_info.json").exists()
    assert "LLaMA-Factory opens no compressed file" in (here / "out.card.md").read_text()


def test_what_is_there_is_kept_and_what_is_broken_off_leaves_nothing(here):
    source = write(here / "a.jsonl", problems(3000))
    make = recipe(source, [])
    make_files(make)
    before = {p.name: p.read_bytes() for p in here.iterdir()}
    with pytest.raises(TriaxisError, match="is there already; name another output, or take --force"):
        make_files(make)

    def stop(rows):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_files(recipe(source, [{"structure": "no_cot"}]), force=True, heard=stop)
    with pytest.raises(TriaxisError, match="rows are asked for"):
        make_files(recipe(source, [{"structure": "no_cot"}, {"scale": 9999}]), force=True)
    with pytest.raises(TriaxisError, match=r"no row is left; steps\[0\].cap left out all 3,000"):
        make_files(recipe(source, [{"cap": {"limit": 1, "unit": "words"}}]), force=True)
    assert {p.name: p.read_bytes() for p in here.iterdir()} == before


def test_a_recipe_never_writes_over_what_it_reads(here):
    source = write(here / "a.jsonl", problems())
    for steps in ([], [{"replay": {"source": source, "share": 0.5}}], [{"decontaminate": source}]):
        read = source if not steps else write(here / "b.jsonl", problems())
        with pytest.raises(TriaxisError, match=r"a\.jsonl: is read by the recipe itself"):
            make_files(recipe(read, steps, "a.jsonl"), force=True)
    assert (here / "a.jsonl").read_text().count("\n") == 30


def test_a_mistake_in_the_data_is_one_line(here):
    write(here / "a.jsonl", problems())
    (here / "a.jsonl").write_text((here / "a.jsonl").read_text() + "{broken\n")
    with pytest.raises(TriaxisError, match=r"a\.jsonl, row 31: not JSON"):
        make_files(recipe("a.jsonl", []))
    with pytest.raises(TriaxisError, match="no such file"):
        make_files(recipe("nowhere.jsonl", []))
    assert sorted(p.name for p in here.iterdir()) == ["a.jsonl"]


def test_parquet_keeps_every_field_or_says_why_not(here):
    rows = problems(5000)
    for row in rows[4500:]:
        row["late"] = "a column that came late"
    with pytest.raises(TriaxisError, match=r"doesn't fit the columns of those before .*; write \.jsonl"):
        make_files(recipe(write(here / "a.jsonl", rows), [], "out.parquet"))
    table = pa.table({"prompt": ["a", "b"], "completion": ["\\boxed{1}", "\\boxed{2}"], "score": [float("nan"), 1.0]})
    pq.write_table(table, here / "b.parquet")
    made = make_files(recipe("b.parquet", [], "c.jsonl"))
    assert [json.loads(line)["score"] for line in made.output.read_text().splitlines()] == [None, 1.0]


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=40), st.one_of(st.none(), st.text(max_size=40)), st.integers(0, 100))
def test_rows_that_wait_in_a_file_are_the_same(text, thought, difficulty):
    row = Example(
        "x", (Turn("user", text),), thought, text, None, difficulty=difficulty, fields={"a": [text, {"b": None}]}
    )
    with Spill(in_memory=0) as rows:
        rows.add(row)
        rows.add(replace(row, id="y", fields={"when": object()}))  # which JSON can't hold
        rows.add(row)
        assert rows[2] == row
        assert rows[1].id == "y"
        assert next(iter(rows)) == row
        assert len(rows) == 3


def test_rows_that_had_to_wait_in_a_file_are_written_alike(here, monkeypatch):
    source = write(here / "a.jsonl", problems(100))
    steps = [
        {"noise": {"kind": "wrong_answer", "rate": 0.5}},
        {"noise": {"kind": "other_trace", "rate": 0.5}},
        {"mixture": {"shares": "balanced", "order": "shuffled"}},
        {"scale": 50},
    ]
    in_memory = make_files(recipe(source, steps, "one.jsonl")).output.read_bytes()
    monkeypatch.setattr(Spill.__init__, "__kwdefaults__", {"in_memory": 5000})
    assert make_files(recipe(source, steps, "two.jsonl")).output.read_bytes() == in_memory


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_the_shipped_recipes_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    shipped = load_recipe(path)
    suffix = next(s for s in (".jsonl.gz", ".jsonl", ".parquet") if shipped.output.path.endswith(s))
    made = make_files(with_output(shipped, tmp_path / f"out{suffix}"))
    back = list(open_examples(str(made.output)))
    assert len(back) == made.manifest.output["rows"] > 0
    assert shipped.about in (tmp_path / "out.card.md").read_text()


def test_the_shipped_exposure_shows_a_tenth_of_refusals(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    shipped = load_recipe("examples/data/exposure.yaml")
    for seed in range(2):
        made = make_files(with_output(shipped.model_copy(update={"seed": seed}), tmp_path / "o.jsonl"), force=True)
        assert sum(e.domain == "refusal" for e in open_examples(str(made.output))) == 26
        assert made.manifest.notes == ["26 of the 256 rows written are replayed (0.1016)"]
        assert made.manifest.operations[1].notes == ["26 of 256 rows are replayed (0.1016; the share is 0.1)"]


def test_there_are_six_shipped_recipes_and_each_operation_has_a_page():
    assert len(SHIPPED) == 6
    page = (ROOT / "docs" / "data-recipes.md").read_text()
    assert not [name for name in (*OPERATIONS, *NOISE_KINDS) if f"`{name}`" not in page]


# As factors of a study


def test_levels_of_a_study_are_the_same_operations():
    rows = sums(300)
    base = {
        "examples": 60,
        "structure": "long_cot",
        "noise_kind": "wrong_step",
        "noise_rate": 0.0,
        "mixture": "as_is",
        "difficulty": "all",
    }
    plain = applied(base, rows, 3)
    assert ids(plain.examples) == ids(run([{"scale": 60}], rows, 3)[0])
    assert plain.noisy == frozenset()
    low, high = (applied(base | {"noise_rate": rate}, rows, 3) for rate in (0.1, 0.4))
    assert low.noisy < high.noisy
    assert {e.id for e, old in zip(high.examples, plain.examples, strict=True) if e != old} == high.noisy
    short = applied(base | {"structure": "short_cot"}, rows, 3)
    assert ids(short.examples) == ids(plain.examples)
    assert all("check" not in e.thought for e in short.examples)
    hard = applied(base | {"mixture": "hard_only"}, rows, 3)
    assert {e.difficulty for e in hard.examples} == {3}
    assert len(hard.examples) == 60
    course = applied(base | {"mixture": "curriculum"}, rows, 3)
    assert sorted(ids(course.examples)) == sorted(ids(plain.examples))
    assert [e.difficulty for e in course.examples] == sorted(e.difficulty for e in course.examples)
    assert {e.difficulty for e in applied(base | {"difficulty": "2-3"}, rows, 3).examples} == {2, 3}


def test_a_level_that_the_data_can_not_give_names_its_factor():
    rows = sums(30)
    for settings_, said in (
        ({"examples": 31}, r"data\.examples: 31 rows are asked for, and only 30 come"),
        ({"examples": 30, "mixture": "hard_only"}, r"data\.mixture: hard has 10 rows, and 30 are asked for"),
        ({"difficulty": "7"}, r"data\.difficulty: no row has difficulty 7"),
    ):
        with pytest.raises(TriaxisError, match=said):
            applied(settings_, rows, 0)
    bare = [replace(row, thought=None) for row in rows]
    with pytest.raises(TriaxisError, match=r"data\.structure: 30 of 30 rows can't be made long_cot: no trace"):
        applied({"structure": "long_cot"}, bare, 0)
