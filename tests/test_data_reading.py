"""Data sets as people have them: recognised, streamed and written again; and every bad file told in one line."""

import gzip
import json
import os
import random
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from data_files import BAD, FINE, GOOD, arrow, chat, lines, parquet, row, saved, zstd
from triaxis.axes.data import open as opening
from triaxis.axes.data.chat import ROLES, THOUGHTS
from triaxis.axes.data.hub import BUILDERS, OPTIONS
from triaxis.axes.data.open import open_examples, render_row, response_of
from triaxis.axes.data.recognise import BY_HAND, CHATS, PROMPTS, REFERENCES, RESPONSES, USUAL
from triaxis.axes.data.seen import FEW, Seen
from triaxis.axes.data.sources import files_of, is_read
from triaxis.axes.data.text import TAGS
from triaxis.tasks import tables
from triaxis.tasks.task import Task
from triaxis.types import Example, TriaxisError, Turn


def put(path: Path, content) -> Path:
    if callable(content):
        content(path)
    elif content is not None:
        path.write_bytes(content) if isinstance(content, bytes) else path.write_text(content, "utf-8", newline="")
    return path


@pytest.mark.parametrize("bad", BAD, ids=[b.name for b in BAD])
def test_a_bad_file_stops_with_one_line(bad, tmp_path):
    path = put(tmp_path / bad.file, bad.content)
    with pytest.raises(TriaxisError) as error:
        list(open_examples(str(path), fields=bad.fields))
    line = str(error.value)
    assert line.isprintable() and len(line) < 500 + len(str(path))
    assert line.startswith(str(path).split("*")[0]) and all(word in line for word in bad.words), line


@pytest.mark.parametrize("bad", BAD, ids=[b.name for b in BAD])
def test_a_bad_file_skipped_is_counted_and_listed(bad, tmp_path):
    path = put(tmp_path / bad.file, bad.content)
    if bad.used is None:
        with pytest.raises(TriaxisError) as error:
            list(open_examples(str(path), fields=bad.fields, on_error="skip"))
        assert "\n" not in str(error.value)
        return
    opened = open_examples(str(path), fields=bad.fields, on_error="skip")
    examples = list(opened)
    assert len(examples) == bad.used if bad.used >= 0 else len(examples) > 0
    assert opened.skipped == len(opened.problems) == bad.skipped and opened.examples == len(examples)
    problem = opened.problems[0]
    assert all(word in str(problem) for word in bad.words) and problem.file == str(path)
    assert problem.row not in {e.row for e in examples}
    with pytest.raises(TriaxisError) as error:
        list(open_examples(str(path), fields=bad.fields))
    assert str(error.value) == str(problem)


@pytest.mark.parametrize(("name", "file", "content", "prompt"), FINE, ids=[f[0] for f in FINE])
def test_an_odd_file_is_read(name, file, content, prompt, tmp_path):
    opened = open_examples(put(tmp_path / file, content))
    (example,) = opened
    assert example.turns == (Turn("user", prompt),) and not opened.problems
    assert render_row(example, opened.format) == example.fields


def test_there_are_at_least_forty_bad_files():
    assert len({b.name for b in BAD}) == len(BAD) >= 40


def test_no_read_permission(tmp_path, monkeypatch):
    path = put(tmp_path / "d.jsonl", lines(GOOD))
    if os.geteuid() == 0:  # root may read everything
        monkeypatch.setattr(Path, "open", lambda self, mode: (_ for _ in ()).throw(PermissionError(13, "denied")))
    else:
        path.chmod(0)
    with pytest.raises(TriaxisError, match=r"may not be read.*chmod"):
        open_examples(path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TriaxisError, match="not a file"):
        open_examples(tmp_path / "pipe")


# name, row, the format's name, prompt, thought, solution, answer, reference, and what else is known
T, S = "\n2 + 2 is 4\n", "\n\nSo \\boxed{4}."
R = f"<think>{T}</think>{S}"
GOOD_CHAT = chat(("user", "q"), ("assistant", R))
SHAREGPT = {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": R}]}
PARTS = chat(("user", [{"type": "text", "text": "q"}]), ("assistant", [{"type": "text", "text": R}]))
OPEN = "<|begin_of_thought|>\n\n{}\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\n{}\n\n<|end_of_solution|>"
OWN = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": S, "reasoning_content": T}]}
FORMATS = [
    ("messages", chat(("user", "q"), ("assistant", R)), "messages", T, S, None, {}),
    ("content in parts", PARTS, "messages", T, S, None, {}),
    ("thought in a field of the message", OWN, "messages", T, S, None, {}),
    ("ShareGPT", SHAREGPT, "conversations", T, S, None, {}),
    ("OpenThoughts", {"system": "s", "conversations": [{"from": "user", "value": "q"},
     {"from": "assistant", "value": OPEN.format("t", "4")}]}, "conversations", "\n\nt\n\n", "\n\n4\n\n", None, {}),
    ("prompt and completion", {"prompt": "q", "completion": R}, "prompt + completion", T, S, None, {}),
    ("lists of messages", {"prompt": [{"role": "user", "content": "q"}],
     "completion": [{"role": "assistant", "content": R}]}, "prompt + completion", T, S, None, {}),
    ("question, solution, answer", {"question": "q", "solution": S, "answer": "4"}, "question + solution", None, S,
     "4", {}),
    ("OpenMathReasoning", {"problem": "q", "generated_solution": R, "expected_answer": "4", "problem_source": "aops",
     "pass_rate_72b_tir": "0.5"}, "problem + generated_solution", T, S, "4", {"source": "aops"}),
    ("NuminaMath", {"source": "olympiads", "problem": "q", "solution": S}, "problem + solution", None, S, None,
     {"source": "olympiads"}),
    ("MATH", {"problem": "q", "level": "Level 5", "type": "Algebra", "solution": S}, "problem + solution", None, S,
     None, {"difficulty": "Level 5", "domain": "Algebra"}),
    ("Alpaca", {"instruction": "q", "input": "", "output": S}, "instruction + input + output", None, S, None, {}),
    ("the paper's", {"message": "q", "response": R, "answer": "4"}, "message + response", T, S, "4", {}),
    ("the paper's, as a chat", {"message": [{"role": "user", "content": "q"}], "response": R, "answer": 4},
     "message + response", T, S, "4", {}),
    ("GSM8K", {"question": "q", "answer": "2 + 2 = 4\n#### 4"}, "question + answer", None, "2 + 2 = 4\n#### 4", "4",
     {}),
    ("a column for the thought", {"prompt": "q", "thinking": T, "response": S}, "prompt + response", T, S, None, {}),
    ("another tag", {"prompt": "q", "response": f"<thinking>{T}</thinking>{S}"}, "prompt + response", T, S, None, {}),
    ("a thought that the prompt opens", {"prompt": "q", "response": f"{T}</think>{S}"}, "prompt + response", T, S,
     None, {}),
    ("everything said", {"uuid": "a7", "subject": "sums", "difficulty": 3.5, "source": "me", "prompt": "q",
     "completion": R, "answer": "4"}, "prompt + completion", T, S, "4",
     {"id": "a7", "domain": "sums", "difficulty": 3.5, "source": "me"}),
]  # fmt: skip
NAMES = [f[0] for f in FORMATS]


@pytest.fixture(params=FORMATS, ids=NAMES)
def case(request):
    return request.param


def read(path: Path, *rows, **options):
    opened = open_examples(put(path, lines(*rows)), **options)
    return opened, list(opened)


def test_a_format_is_recognised_and_said(case, tmp_path):
    _, values, name, thought, solution, reference, more = case
    opened, (example,) = read(tmp_path / "d.jsonl", values)
    assert opened.format.name == name
    assert example.turns[-1] == Turn("user", "q") and len(example.turns) == (2 if "system" in values else 1)
    assert (example.thought, example.solution, example.answer) == (thought, solution, "4")
    assert example.reference == reference and example.row == 1 and example.fields == values
    known = {"domain": "", "difficulty": None, "source": "", "id": "d.jsonl:1"} | more
    assert {role: getattr(example, role) for role in known} == known
    said = "\n".join(opened.recognised)
    assert all(column in said for column in values) and name in said
    unknown = {role for role, value in known.items() if value in ("", None, "d.jsonl:1")}
    unknown |= {role for role in ("thought", "reference") if getattr(example, role) is None}
    assert set(opened.format.missing) == unknown
    assert all(role in said.partition("missing: ")[2] for role in unknown)


def test_what_did_not_change_is_written_as_it_was(case, tmp_path):
    opened, (example,) = read(tmp_path / "d.jsonl", case[1])
    assert render_row(example, opened.format) == case[1]
    assert json.dumps(render_row(example, opened.format)) == json.dumps(case[1])


@pytest.mark.parametrize(
    "change",
    [
        {"solution": "\n\nNo, \\boxed{5}.", "answer": "5"},
        {"thought": None},
        {"thought": "\nIt is five.\n"},
        {"thought": None, "solution": "\\boxed{5}", "answer": "5"},
        {"turns": (Turn("user", "another?"),)},
        {"thought": "\nHm.\n", "solution": "\\boxed{7}", "answer": "7", "turns": (Turn("user", "other?"),)},
    ],
    ids=["solution", "no thought", "thought", "bare solution", "prompt", "all"],
)
def test_what_changed_is_written_where_it_belongs(case, change, tmp_path):
    values = case[1]
    opened, (example,) = read(tmp_path / "d.jsonl", values)
    if "turns" in change:
        change = change | {"turns": (*example.turns[:-1], *change["turns"])}
    changed = replace(example, **change)
    written = render_row(changed, opened.format)
    assert values == case[1] and set(written) == set(values), "the row itself stays, and so do its columns"
    _, (back,) = read(tmp_path / "e.jsonl", written, fields=dict(opened.format.fields))
    for part in ("turns", "thought", "solution", "answer"):
        assert getattr(back, part) == getattr(changed, part), part
    if not opened.format.from_answer:
        assert back.reference == example.reference
    assert (back.domain, back.difficulty, back.source) == (example.domain, example.difficulty, example.source)
    assert render_row(replace(back, **{part: getattr(example, part) for part in change}), opened.format) == values or (
        case[0] in ("OpenThoughts", "a thought that the prompt opens") and "thought" in change
    )


def test_a_changed_answer_goes_into_the_solution(case, tmp_path):
    opened, (example,) = read(tmp_path / "d.jsonl", case[1])
    written = render_row(replace(example, answer="17"), opened.format)
    _, (back,) = read(tmp_path / "e.jsonl", written, fields=dict(opened.format.fields))
    assert back.answer == "17" and back.thought == example.thought
    assert back.solution == example.solution.replace("4", "17") or case[0] == "GSM8K"


def test_other_fields_go_to_their_columns(tmp_path):
    opened, (example,) = read(tmp_path / "d.jsonl", row(id=7, answer=4, subject="a", level=2, source="x", kept=[1]))
    assert (example.id, example.reference, example.difficulty) == ("7", "4", 2)
    new = replace(example, id="8", reference="5", domain="b", difficulty=3, source="y")
    assert render_row(new, opened.format) == row(id=8, answer=5, subject="b", level=3, source="y", kept=[1])


def test_a_row_from_elsewhere_is_written_in_the_format(case, tmp_path):
    opened, _ = read(tmp_path / "d.jsonl", case[1])
    foreign = Example("x/1", (Turn("user", "new?"),), "\nsure\n", "\\boxed{9}", "9", fields={"text": "new?"})
    written = render_row(foreign, opened.format)
    assert set(written) == set(case[1])
    _, examples = read(tmp_path / "e.jsonl", case[1], written)
    assert [getattr(examples[1], part) for part in ("turns", "thought", "solution", "answer")] == [
        getattr(foreign, part) for part in ("turns", "thought", "solution", "answer")
    ]


def test_several_turns_are_the_context(tmp_path):
    turns = [("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]
    opened, (example,) = read(tmp_path / "d.jsonl", chat(*turns))
    assert example.turns == tuple(Turn(*turn) for turn in turns[:-1]) and example.solution == "d"
    shorter = render_row(replace(example, turns=example.turns[3:]), opened.format)
    assert shorter == chat(("user", "c"), ("assistant", "d"))


def test_an_instruction_and_its_input(tmp_path):
    values = {"instruction": "Add.", "input": "2 and 2", "output": "4"}
    opened, (example,) = read(tmp_path / "d.jsonl", values)
    assert example.turns == (Turn("user", "Add.\n\n2 and 2"),)
    longer = replace(example, turns=(Turn("user", "Do add.\n\n2 and 2"),))
    assert render_row(longer, opened.format) == values | {"instruction": "Do add."}
    other = replace(example, turns=(Turn("user", "Count."),))
    assert render_row(other, opened.format) == values | {"instruction": "Count.", "input": ""}


def test_a_response_as_written(tmp_path):
    _, examples = read(tmp_path / "d.jsonl", row(completion=R), row(completion="plain"))
    assert [response_of(e) for e in examples] == [R, "plain"]


def test_turns_that_a_text_column_can_not_hold_are_refused(tmp_path):
    opened, (example,) = read(tmp_path / "d.jsonl", GOOD)
    with pytest.raises(TriaxisError, match=r"2 turns.*prompt holds one"):
        render_row(replace(example, turns=(Turn("system", "s"), Turn("user", "q"))), opened.format)


def test_a_mapping_by_hand(tmp_path):
    values = {"q": "a?", "r": "b", "gold": "c", "area": "d", "hard": 1, "key": "e", "prompt": "x", "solution": "y"}
    hand = {"prompt": "q", "response": "r", "reference": "gold", "domain": "area", "difficulty": "hard", "id": "key"}
    opened, (example,) = read(tmp_path / "d.jsonl", values, fields=hand)
    assert (example.turns, example.solution, example.reference) == ((Turn("user", "a?"),), "b", "c")
    assert (example.domain, example.difficulty, example.id) == ("d", 1, "e")
    assert "prompt, solution" in opened.recognised[-2]


def test_a_mapping_by_hand_settles_what_could_be_several(tmp_path):
    both = {"problem": "p", "solution": "s"} | chat(("user", "q"), ("assistant", "r"))
    _, (example,) = read(tmp_path / "d.jsonl", both, fields={"messages": "messages"})
    assert example.solution == "r"
    _, (example,) = read(tmp_path / "d.jsonl", both, fields={"prompt": "problem"})
    assert example.solution == "s"


def test_a_role_can_be_switched_off(tmp_path):
    _, examples = read(tmp_path / "d.jsonl", row(problem_id="a"), row(problem_id="a"), fields={"id": ""})
    assert [e.id for e in examples] == ["d.jsonl:1", "d.jsonl:2"]


def test_a_domain_that_could_be_several_is_not_read_and_said(tmp_path):
    opened, (example,) = read(tmp_path / "d.jsonl", row(subject="a", category="b"))
    assert example.domain == "" and "domain" in opened.format.missing
    assert any("subject or category" in line for line in opened.recognised)


def test_the_schema_of_most_rows_counts(tmp_path):
    odd = chat(("user", "a"), ("assistant", "b"))
    opened, examples = read(tmp_path / "d.jsonl", odd, GOOD, GOOD, on_error="skip")
    assert len(examples) == 2 and [p.row for p in opened.problems] == [1]


def test_rows_that_only_ask(tmp_path):
    _, examples = read(tmp_path / "d.jsonl", {"problem": "a", "answer": 1}, response=False)
    assert examples[0].turns == (Turn("user", "a"),)
    _, examples = read(tmp_path / "e.jsonl", {"question": "a", "choices": ["x"]}, response=False)
    assert examples[0].turns == (Turn("user", "a"),) and examples[0].solution == ""
    _, examples = read(tmp_path / "f.jsonl", chat(("user", "a")), response=False)
    assert examples[0].turns == (Turn("user", "a"),)
    bad = [None, "", ["x"], "<think>a", "\\boxed{1} \\boxed{2}"]
    _, examples = read(tmp_path / "g.jsonl", *({"Question": "a", "Solution": r} for r in ["x", *bad]), response=False)
    assert len(examples) == 1 + len(bad)
    with pytest.raises(TriaxisError, match="row 2, Solution"):
        read(tmp_path / "h.jsonl", *({"Question": "a", "Solution": r} for r in ["x", *bad]))


def test_thoughts_of_earlier_turns_are_counted_and_stay_in_the_row(tmp_path):
    turns = [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]
    thinking = chat(*turns)
    thinking["messages"][1]["reasoning_content"] = "hm"
    opened, examples = read(tmp_path / "d.jsonl", thinking, chat(*turns), thinking)
    assert opened.earlier_thoughts == 2 and len(examples) == 3
    assert "thoughts of earlier turns: 2, not read; they stay in the rows as they are" in opened.recognised
    changed = render_row(replace(examples[0], solution="e"), opened.format)
    assert changed["messages"][:3] == thinking["messages"][:3] and changed["messages"][3]["content"] == "e"
    asked, _ = read(tmp_path / "e.jsonl", {"prompt": thinking["messages"][:3], "completion": "d"})
    assert asked.earlier_thoughts == 1
    plain, _ = read(tmp_path / "f.jsonl", OWN, GOOD_CHAT)
    assert plain.earlier_thoughts == 0 and not any("earlier turns:" in line for line in plain.recognised)


def test_what_was_said_of_another_set_holds_where_its_columns_are(tmp_path):
    hand = {"prompt": "ask", "response": "reply", "id": "key"}
    there, (example,) = read(
        tmp_path / "d.jsonl", {"ask": "a", "key": 7}, fields=hand, response=False, where_there=True
    )
    assert (
        example.turns == (Turn("user", "a"),) and example.id == "7" and there.format.fields.keys() == {"prompt", "id"}
    )
    with pytest.raises(TriaxisError, match="reply: no such column"):
        read(tmp_path / "d.jsonl", {"ask": "a", "key": 7}, fields=hand, response=False)
    with pytest.raises(TriaxisError, match=r"no prompt is recognised.*rename"):
        read(tmp_path / "e.jsonl", {"asked": "a"}, fields=hand, response=False, where_there=True)
    _, examples = read(tmp_path / "f.jsonl", row(id=1), row(id=1), fields={"id": ""}, response=False, where_there=True)
    assert len(examples) == 2


def test_ids_are_told_apart_in_small_memory():
    seen, n = Seen(), 3 * FEW
    assert all(seen.add(f"i{i}") for i in range(n)) and not any(seen.add(f"i{i}") for i in range(0, n, 7))


ROWS = [row(f"question {i}", id=f"i{i}", difficulty=i) for i in range(150)]
CONTAINERS = {
    "d.jsonl": lines(*ROWS),
    "d.jsonl.gz": gzip.compress(lines(*ROWS).encode()),
    "two.jsonl.gz": gzip.compress(lines(*ROWS[:70]).encode()) + gzip.compress(lines(*ROWS[70:]).encode()),
    "d.jsonl.zst": zstd(lines(*ROWS)),
    "d.json": json.dumps(ROWS, indent=1),
    "d.json.gz": gzip.compress(json.dumps(ROWS).encode()),
    "d.parquet": parquet(ROWS),
    "d.arrow": arrow(ROWS),
    "folder": lambda path: saved(path, ROWS),
    "file.arrow": lambda path: _arrow_file(path),
}


def _arrow_file(path: Path) -> None:
    table = pa.Table.from_pylist(ROWS)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as out:
        out.write_table(table)


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_same_rows_in_every_container(name, tmp_path):
    opened = open_examples(put(tmp_path / name, CONTAINERS[name]))
    examples = list(opened)
    assert [e.fields for e in examples] == ROWS and [e.row for e in examples] == list(range(1, 151))
    assert opened.rows == opened.examples == 150


def test_several_files_are_one_set(tmp_path):
    for name, rows in (("a", ROWS[:2]), ("b", ROWS[2:5])):
        (tmp_path / name).mkdir()
        put(tmp_path / name / "train.jsonl", lines(*[{k: v for k, v in r.items() if k != "id"} for r in rows]))
    opened = open_examples(str(tmp_path / "*" / "train.jsonl"))
    assert [e.id for e in opened] == [f"{d}/train.jsonl:{i}" for d, n in (("a", 2), ("b", 3)) for i in range(1, n + 1)]
    paths = [tmp_path / "b" / "train.jsonl", tmp_path / "a" / "train.jsonl"]
    assert len(list(open_examples(paths))) == 5
    with pytest.raises(TriaxisError, match="named twice"):
        open_examples([paths[0], tmp_path / "a" / ".." / "b" / "train.jsonl"])


def test_files_that_are_called_alike_and_names_together(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        put(tmp_path / folder / "d.jsonl", lines({k: v for k, v in GOOD.items() if k != "id"}))
    assert [e.id for e in open_examples(["b/d.jsonl", tmp_path / "a" / "d.jsonl"])] == ["b/d.jsonl:1", "a/d.jsonl:1"]
    both = list(open_examples(["a/d.jsonl", "lab:chain?n=2"], fields={"id": ""}))
    assert [e.turns[0].content.split()[0] for e in both] == ["What", "chain", "chain"]


def test_the_search_of_a_folder_for_files_to_name_has_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "SEARCHED", 20)
    looked_at = []
    scandir = os.scandir
    monkeypatch.setattr(tables.os, "scandir", lambda path: looked_at.append(path) or scandir(path))
    for i in range(60):
        (tmp_path / f"{i}" / "below").mkdir(parents=True)
    with pytest.raises(TriaxisError, match="among its first 20 entries are no JSON lines"):
        open_examples(tmp_path)
    assert len(looked_at) == 1
    put(tmp_path / "a.jsonl", lines(GOOD))
    (tmp_path / "loop").symlink_to(tmp_path)
    monkeypatch.setattr(tables, "SEARCHED", 1000)
    put(tmp_path / "7" / "below" / "b.jsonl", lines(GOOD))
    with pytest.raises(TriaxisError, match=r"\*\.jsonl' \(1 of them"):
        open_examples(tmp_path)
    monkeypatch.setattr(tables, "SEARCHED", 62)
    with pytest.raises(TriaxisError, match=r"\*\.jsonl' \(at least 1 of them"):
        open_examples(tmp_path)


def test_the_files_that_a_name_reads(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.jsonl", "b.jsonl", "c.csv"):
        put(tmp_path / name, lines(GOOD))
    saved(tmp_path / "folder", [GOOD])
    arrows = [tmp_path / "folder" / "data-00000-of-00001.arrow"]
    assert files_of("*.jsonl") == files_of(["a.jsonl", "lab:chain", "./b.jsonl"]) == [
        tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    ]  # fmt: skip
    assert files_of("folder") == arrows and files_of("hf:owner/name?split=train") == []
    (tmp_path / "link.jsonl").symlink_to("c.csv")
    for name in ("hf:csv?data_files=c.csv", "hf:csv?data_files=*.csv", f"hf:csv?data_dir={tmp_path}", "hf:folder/.."):
        assert is_read(Path("link.jsonl"), files_of(name)), name
    assert not is_read(Path("a.jsonl"), files_of("hf:csv?data_files=c.csv"))
    assert is_read(tmp_path / "new.jsonl", files_of(f"hf:json?data_dir={tmp_path}"))


def test_a_limit_ends_before_what_is_broken(tmp_path):
    path = put(tmp_path / "d.jsonl", lines(GOOD, GOOD, "{"))
    assert len(list(open_examples(path, limit=2))) == 2
    with pytest.raises(TriaxisError, match="limit"):
        open_examples(path, limit=0)


@pytest.mark.parametrize("name", ["d.jsonl", "d.json", "d.jsonl.gz"])
def test_memory_does_not_grow_with_the_file(name, tmp_path):
    many = [row(f"question {i}", "word " * 2000, id=i) for i in range(600)]
    text = json.dumps(many) if name == "d.json" else lines(*many)

    def peak(n: int) -> int:
        path = put(tmp_path / name, gzip.compress(text.encode()) if name.endswith("gz") else text)
        tracemalloc.start()
        for _ in open_examples(path, limit=n):
            pass
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    assert peak(600) < 1.3 * peak(200)


def test_lab_tasks_by_name():
    opened = open_examples("lab:chain?structure=long_cot&n=30&seed=4&difficulty=3-4")
    examples = list(opened)
    assert len(examples) == 30 and {e.domain for e in examples} == {"chain"} and not opened.format.missing
    assert {e.difficulty for e in examples} == {3, 4} and all(e.id.startswith("chain/train/4/") for e in examples)
    assert all(e.answer == e.reference and " wait " in (e.thought or "") for e in examples)
    assert [e.id for e in open_examples("lab:chain?difficulty=3-4&n=10&seed=4")] == [e.id for e in examples[:10]]
    assert all(e.thought is None for e in open_examples("lab:words?structure=no_cot&n=5"))


@pytest.mark.parametrize("name", ["lab:chain?n=100000&difficulty=3-4", "rg:chain_sum?n=100000"])
def test_no_more_items_are_made_than_are_read(name, monkeypatch):
    made = []
    example = Task._example
    monkeypatch.setattr(Task, "_example", lambda self, *which: made.append(1) or example(self, *which))
    few = list(open_examples(name, limit=3))
    assert len(few) == 3 and len(made) <= opening.FIRST + 3


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lab:chian", ["chain"]),
        ("lab:chain?n=many", ["n must be", "'many'"]),
        ("lab:chain?n=5&n=6", ["n", "twice"]),
        ("lab:chain?n", ["'n'"]),
        ("lab:chain?structure=long", ["structure", "long_cot"]),
        ("lab:chain?speed=3", ["speed"]),
        ("lab:chain?difficulty=9&n=2", ["9"]),
    ],
)
def test_a_name_that_is_wrong(name, words):
    with pytest.raises(TriaxisError) as error:
        list(open_examples(name))
    assert all(word in str(error.value) for word in words) and "\n" not in str(error.value)


def test_reasoning_gym_by_name():
    examples = list(open_examples("rg:chain_sum?min_terms=2&max_terms=3&n=20&seed=1"))
    assert {e.difficulty.partition(",")[0] for e in examples} == {"num_terms=2", "num_terms=3"}
    assert all(e.answer == e.reference and e.domain == "chain_sum" for e in examples)
    for wrong, word in (("sum?terms=3", "terms"), ("some", "chain_sum"), ("sum?structure=x", "structure")):
        with pytest.raises(TriaxisError, match=word):
            open_examples(f"rg:chain_{wrong}")


def test_the_datasets_library(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    path = put(tmp_path / "d.csv", "question,answer\n1 + 1?,The answer is 2.\n")
    opened = open_examples(f"hf:csv?data_files={path}")
    assert [(e.turns[0].content, e.answer) for e in opened] == [("1 + 1?", "2")]
    put(tmp_path / "x.pkl", b"no")
    for name, words in (
        (f"hf:pandas?data_files={tmp_path / 'x.pkl'}", "'pandas'.*not used"),
        (f"hf:csv?data_files={tmp_path / 'y.csv'}", "can't be opened"),
        (f"hf:csv?data_files={path}&split=tran", "can't be opened.*tran"),
        ("hf:", "names no data set"),
        ("hf:a/b?splt=x", "options are.*'splt'"),
    ):
        with pytest.raises(TriaxisError, match=words) as error:
            open_examples(name)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", [name for name in CONTAINERS if name != "folder"])
def test_damage_anywhere_is_told_in_one_line(name, tmp_path):
    rng = np.random.default_rng(0)
    whole = put(tmp_path / name, CONTAINERS[name]).read_bytes()
    for _ in range(25):
        data = np.frombuffer(whole, np.uint8).copy()
        data[rng.integers(len(data), size=rng.integers(1, 20))] = rng.integers(256)
        end = len(data) if rng.random() < 0.5 else rng.integers(1, len(data))
        path = put(tmp_path / f"bad-{name}", data[:end].tobytes())
        for on_error in ("stop", "skip"):
            try:
                opened = open_examples(path, on_error=on_error)
                for example in opened:
                    assert render_row(example, opened.format) == example.fields
                assert opened.rows == opened.examples + sum(p.row > 0 for p in opened.problems)
            except TriaxisError as error:
                assert "\n" not in str(error) and str(path) in str(error)


ODD = [None, "", 0, 1.5, True, [], {}, ["a"], [None], [{}], [[]], {"a": 1}, [{"role": "user"}], "a\0", "\ud800",
       [{"role": 1, "content": 2}], [{"from": "gpt", "value": None}], "x</think>", "<think>", "\\boxed{", 10**9,
       "\\boxed{1}\\boxed{2}", [{"role": "user", "content": "q"}], [{"role": "gpt", "content": [{}]}]]  # fmt: skip


def test_any_value_anywhere_is_read_or_told(tmp_path):
    rng = random.Random(0)
    for _ in range(400):
        values = dict(rng.choice(FORMATS)[1])
        for _ in range(rng.randint(1, 2)):
            values[rng.choice([*values, "thought", "id", "domain", "system", "input", "messages"])] = rng.choice(ODD)
        try:
            opened, examples = read(tmp_path / "d.jsonl", json.dumps(values), response=rng.random() < 0.8)
        except TriaxisError as error:
            assert "\n" not in str(error) and "d.jsonl" in str(error)
        else:
            assert [render_row(e, opened.format) for e in examples] == [e.fields for e in examples]


def test_the_documented_example_prints_what_the_document_says(tmp_path, monkeypatch, capsys):
    document = (Path(__file__).parents[1] / "docs" / "data-formats.md").read_text("utf-8")
    shown, code, printed = document.split("```")[1:6:2]
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "train.jsonl", shown.partition("cat train.jsonl\n")[2])
    exec(code.removeprefix("python"), {})
    assert capsys.readouterr().out.strip() == printed.strip()


def test_every_name_that_is_recognised_is_documented():
    document = (Path(__file__).parents[1] / "docs" / "data-formats.md").read_text("utf-8")
    names = {*CHATS, *PROMPTS, *RESPONSES, *REFERENCES, *BY_HAND, *ROLES, *THOUGHTS, *BUILDERS, *OPTIONS}
    names |= {name for others in USUAL.values() for name in others} | {mark for tags in TAGS for mark in tags}
    assert [name for name in sorted(names) if f"`{name}" not in document and f"{name}`" not in document] == []
