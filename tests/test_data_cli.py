"""`triaxis data` as a user runs it: what is found in a set whose faults were planted, what is printed, exit codes."""

from __future__ import annotations

import datetime
import gzip
import io
import json
import os
import pty
import select
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from triaxis.axes.data import open as opening
from triaxis.axes.data.profile.cells import difficulty_label, number_of
from triaxis.cli import main
from triaxis.cli.variadic import _repeated

TRIAXIS = str(Path(sys.executable).parent / "triaxis")
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "100"}
NAMES = [first + last for first in "ABDGKLMNR" for last in ("ani", "ero", "iva", "olo", "uma")]
THINGS = ("nails", "screws", "bricks", "tiles", "ropes", "lamps", "doors", "pipes", "bolts", "hinges")


class Result(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def triaxis(*words, folder=None):
    """A command in this process, which is what a user runs but for the second that Python takes to start."""
    out, err, argv, before = io.StringIO(), io.StringIO(), sys.argv, Path.cwd()
    sys.argv = ["triaxis", "data", *map(str, words)]
    os.chdir(folder or before)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = main()
    finally:
        sys.argv = argv
        os.chdir(before)
    return Result(code, out.getvalue(), err.getvalue())


def row(at, *, given=None, boxed=True):
    """A row whose problem is like no other's, by its names, things and numbers."""
    name, thing, other = NAMES[at % 45], THINGS[at % 10], THINGS[(at // 10 + at + 3) % 10]
    a, b = 101 + 7 * at, 53 + 11 * at
    question = f"{name} owns {a} {thing} in shed {at}, {other} aside, and buys {b} further ones: how many {thing} now?"
    right = a + b
    end = f"The answer is $\\boxed{{{right if given is None else given}}}$." if boxed else "That is what we wanted."
    thought = f"First I need to find the total. {a} + {b} = {right}. Let me check: {b} + {a} = {right}. It is right."
    return {
        "id": f"q{at}",
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": f"<think>{thought}</think>\n\n{end}"},
        ],
        "answer": str(right),
        "domain": ("sheds", "shops", "yards")[at % 3],
        "difficulty": 1 + at % 5,
    }


WRONG, MISSING, TWICE = (4, 17, 33), (8, 21), (2, 40)


def planted():
    """60 rows: 3 with a wrong answer, 2 without one; then 2 that stand twice, under ids of their own."""
    rows = [row(at, given=7 if at in WRONG else None, boxed=at not in MISSING) for at in range(60)]
    return rows + [row(at) | {"id": f"again{at}"} for at in TWICE]


def write(path, rows):
    path.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("data")
    write(found / "train.jsonl", planted())
    asked = [each["messages"][0]["content"] for each in planted()[10:13]]
    asked += [f"How deep is lake number {at} in the country of {NAMES[at]}?" for at in range(5)]
    write(found / "bench.jsonl", [{"question": text} for text in asked])
    return found


@pytest.fixture(scope="module")
def document(folder):
    result = triaxis("profile", "train.jsonl", "--against", "bench.jsonl", "--json", folder=folder)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_the_document_holds_what_was_planted(document):
    assert document["version"] == 1 and document["examples"] == 62 and document["errors"] == []
    answers = document["answers"]
    assert (answers["checked"], answers["correct"], answers["wrong"]) == (60, 57, 3)
    assert (answers["missing"], answers["unparsable"], answers["no_reference"]) == (2, 0, 0)
    assert {one["id"] for one in document["quality"]["wrong_rows"]} == {f"q{at}" for at in WRONG}
    assert document["exact_duplicates"] == 2 and document["near_duplicates"] == 0
    assert document["structure"] == {"long_cot": 1.0, "short_cot": 0.0, "no_cot": 0.0, "answer_only": 0.0}
    assert document["diversity"]["cells"]["domains"] == ["sheds", "shops", "yards"]
    assert sum(map(sum, document["diversity"]["cells"]["rows"])) == 62


def test_lengths_are_those_of_the_responses(document):
    rows = planted()
    words = sorted(len(each["messages"][1]["content"].replace("</think>", " ").split()) for each in rows)
    tokens = document["tokens"]
    assert tokens["tokenizer"] == "words" and tokens["total"] == sum(words)
    assert (tokens["quantiles"]["0"], tokens["quantiles"]["1"]) == (words[0], words[-1])
    assert tokens["quantiles"]["0.5"] == words[30]
    assert all(found["rows"] == 0 for found in tokens["over"]["response"].values())


def test_leaked_items_are_found_and_told(document):
    (held,) = document["leakage"]["sets"]
    assert (held["items"], held["touched"]) == (8, 3)
    said = next(one for one in document["verdict"] if one["about"] == "leakage")
    assert said["urgency"] == "act" and (said["rows"], said["of"]) == (3, 8)
    assert "bench.jsonl" in said["text"] and "decontaminate" in said["do"]


def test_every_line_of_the_verdict_says_what_it_rests_on(document):
    order = [one["urgency"] for one in document["verdict"]]
    assert order == sorted(order, key=("act", "look", "fine").index)
    for one in document["verdict"]:
        assert 0 <= one["rows"] <= one["of"] and one["text"]
        assert one["do"] or one["urgency"] != "act"
    wrong = next(one for one in document["verdict"] if "wrong" in one["text"])
    assert wrong["text"].startswith("5.0 % of the final answers are wrong") and (wrong["rows"], wrong["of"]) == (3, 60)


def test_the_command_itself_runs_on_several_processes_and_finds_the_same(folder, tmp_path):
    long = [each | {"id": f"{each['id']}-{k}"} for k in range(3) for each in planted()]
    for each in long:  # so much text that the rows are shared
        said = each["messages"][1]["content"]
        filler = f"What {each['id']} says goes on without an end. " * 1200
        each["messages"][1]["content"] = said.replace("</think>", f" {filler}</think>")
    write(tmp_path / "long.jsonl", long)
    found = []
    for processes in ("1", "2"):
        words = [TRIAXIS, "data", "profile", tmp_path / "long.jsonl", "--against", "bench.jsonl", "--json"]
        result = subprocess.run(
            [*map(str, words), "--processes", processes], cwd=folder, env=ENVIRONMENT, capture_output=True, check=True
        )
        found.append(json.loads(result.stdout))
        del found[-1]["seconds"]
    assert found[0]["examples"] == 186 and found[0]["answers"]["wrong"] == 9 and found[0]["quality"]["loops"] == 186
    assert found[0] == found[1]


def test_the_summary_begins_with_the_verdict_and_json_stands_alone(folder):
    result = triaxis("profile", "train.jsonl", "--against", "bench.jsonl", folder=folder)
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "train.jsonl: 62 examples" and lines[1].startswith(" Act on")
    assert "thought: between <think> and </think>" in result.stderr and "messages" in result.stderr
    assert max(map(len, lines)) <= 110


def test_a_tokenizer_is_named_and_counts_exactly(folder, tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    known = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    known.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    known.enable_truncation(3)
    known.save(str(tmp_path / "tokenizer.json"))
    found = [
        json.loads(triaxis("profile", "train.jsonl", "--json", *more, folder=folder).stdout)
        for more in (("--tokenizer", tmp_path / "tokenizer.json"), ("--tokenizer", tmp_path), ())
    ]
    for one in found[:2]:
        assert one["tokens"]["unit"] == "tokens" and str(tmp_path) in one["tokens"]["tokenizer"]
        assert one["tokens"]["total"] == found[2]["tokens"]["total"], "neither cut nor padded"
        assert one["seconds"]["tokenizing"] > 0 == found[2]["seconds"]["tokenizing"]


def test_embeddings_of_ones_own_take_the_place_of_hashed_words(tmp_path):
    words = [f"What is {name} times {i}?" for i, name in enumerate(("one", "two", "three", "four"), 1)]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps({"prompt": w, "completion": "1"}) + "\n" for w in words))
    np.save(tmp_path / "two.npy", np.eye(2)[[0, 0, 1, 1]])  # two directions, each as common
    result = triaxis("profile", "d.jsonl", "--embeddings", "two.npy", "--json", folder=tmp_path)
    assert result.returncode == 0 and json.loads(result.stdout)["diversity"]["vendi"] == pytest.approx(2)
    np.save(tmp_path / "three.npy", np.eye(3))
    result = triaxis("profile", "d.jsonl", "--embeddings", "three.npy", folder=tmp_path)
    assert result.returncode == 2 and "three.npy: 3 embeddings for 4 rows of data" in result.stderr


def test_bad_rows_stop_it_or_are_counted_and_listed(folder, tmp_path):
    lines = [json.dumps(each) for each in planted()]
    lines[6] = '{"id": "broken", "messages": ['
    lines[9] = json.dumps(row(9) | {"messages": []})
    path = tmp_path / "bad.jsonl"
    path.write_text("\n".join(lines) + "\n")
    stopped = triaxis("profile", path)
    assert stopped.returncode == 2 and stopped.stdout == ""
    assert "bad.jsonl, row 7" in stopped.stderr and "Traceback" not in stopped.stderr
    result = triaxis("profile", path, "--on-error", "skip", "--json", "--report", tmp_path / "bad.html")
    found = json.loads(result.stdout)
    assert found["examples"] == 60 and found["skipped"] == 2
    assert [(one["row"], bool(one["problem"])) for one in found["errors"]] == [(7, True), (10, True)]
    assert found["errors"][1]["field"] == "messages"
    assert "2 rows can't be used" in result.stderr and "an empty list" in (tmp_path / "bad.html").read_text()


@pytest.mark.parametrize("name", ["train.jsonl", "bench.html", "aim.html", "./../{}/link.html", "new.jsonl", "x.html"])
def test_a_report_replaces_a_report_and_nothing_else(folder, name):
    texts = {"train.jsonl": (folder / "train.jsonl").read_text(), "x.html": "my notes"}
    texts |= {file: (folder / "bench.jsonl").read_text() for file in ("bench.html", "aim.html")}
    for file, text in texts.items():
        (folder / file).write_text(text)
    (folder / "link.html").unlink(missing_ok=True)
    (folder / "link.html").symlink_to("train.jsonl")
    words = ("profile", "train.jsonl", "--against", "bench.html", "--target", "aim.html", "--report")
    result = triaxis(*words, name.format(folder.name), folder=folder)
    assert result.returncode == 2 and result.stderr.startswith("triaxis: --report") and not result.stdout
    assert all((folder / file).read_text() == text for file, text in texts.items())
    assert not (folder / "new.jsonl").exists()


def test_a_report_is_written_over_an_earlier_one(folder, tmp_path):
    (tmp_path / "r.htm").write_text("")
    for _ in range(2):
        assert triaxis("profile", "train.jsonl", "--report", tmp_path / "r.htm", folder=folder).returncode == 0
        assert (tmp_path / "r.htm").read_text().lower().startswith("<!doctype html")


def test_rows_of_other_sets_that_are_skipped_are_told(folder, tmp_path):
    (tmp_path / "ev.jsonl").write_text('{"question": "How far is it?"}\n{"question": ""}\n{"question": null}\n')
    (tmp_path / "aim.jsonl").write_text('{"question": "How far is that?"}\n{"question": 7}\n')
    words = ("profile", "train.jsonl", "--against", tmp_path / "ev.jsonl", "--target", tmp_path / "aim.jsonl")
    stopped = triaxis(*words, folder=folder)
    assert stopped.returncode == 2 and "ev.jsonl, row 2, question: empty" in stopped.stderr
    more = ("--on-error", "skip", "--json", "--report", tmp_path / "r.html")
    result = triaxis(*words, *more, folder=folder)
    found = json.loads(result.stdout)
    (held,) = found["leakage"]["sets"]
    assert (held["items"], held["skipped"], [one["row"] for one in held["errors"]]) == (1, 2, [2, 3])
    aim = found["coverage"]
    assert (aim["target"], aim["skipped"], aim["errors"][0]["field"]) == (1, 1, "question") and found["skipped"] == 0
    assert "format: question (asks only)" in held["recognised"] and "format: question (asks only)" in aim["recognised"]
    for said in (f"--against {tmp_path / 'ev.jsonl'}", f"{tmp_path / 'ev.jsonl'}: 2 rows can't be used", "row 2, q"):
        assert said in result.stderr
    assert result.stderr.count("format: question (asks only)") == 2 and "aim.jsonl: 1 rows can't" in result.stderr
    page = (tmp_path / "r.html").read_text()
    assert "2 rows can&#39;t be used, and the data was not compared with them" in page and "empty; give the row" in page


def test_fields_reach_other_sets_that_have_the_columns(tmp_path):
    write(tmp_path / "own.jsonl", [{"ask": f"What is {n} + {n}?", "say": f"{2 * n}"} for n in range(10, 20)])
    write(tmp_path / "ev.jsonl", [{"ask": "What is 11 + 11?"}, {"ask": "Who?"}])
    write(tmp_path / "other.jsonl", [{"asked": "Who?"}])
    words = ("profile", tmp_path / "own.jsonl", "--fields", "prompt=ask", "response=say", "--json", "--against")
    found = json.loads(triaxis(*words, tmp_path / "ev.jsonl").stdout)
    assert found["leakage"]["sets"][0]["items"] == 2 and found["leakage"]["sets"][0]["touched"] == 1
    refused = triaxis(*words, tmp_path / "other.jsonl")
    assert refused.returncode == 2 and "--against" in refused.stderr and "rename" in refused.stderr.splitlines()[-1]


def test_an_option_of_several_values_is_the_same_with_an_equals_sign(folder):
    assert _repeated(["a", "--against=b", "c", "--json", "d"]) == [
        "a",
        "--against",
        "b",
        "--against",
        "c",
        "--json",
        "d",
    ]
    assert _repeated(["--fields=a=b", "c=d"]) == ["--fields", "a=b", "--fields", "c=d"]
    assert _repeated(["--report=a=b", "c", "--", "--against=d"]) == ["--report=a=b", "c", "--", "--against=d"]
    found = json.loads(
        triaxis("profile", "train.jsonl", "--against=bench.jsonl", "lab:chain?n=5", "--json", folder=folder).stdout
    )
    assert found["examples"] == 62 and [one["items"] for one in found["leakage"]["sets"]] == [8, 5]


def test_thoughts_of_earlier_turns_are_told(tmp_path):
    said = [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "\\boxed{1}")]
    messages = [{"role": role, "content": text} for role, text in said]
    messages[1]["reasoning_content"] = "hm"
    write(tmp_path / "d.jsonl", [{"messages": messages}, {"messages": messages[2:]}])
    result = triaxis("profile", tmp_path / "d.jsonl", "--json", "--report", tmp_path / "r.html")
    assert json.loads(result.stdout)["recognised"]["earlier_thoughts"] == 1
    assert "1 thoughts of earlier turns are not read" in result.stderr
    assert "thoughts of earlier turns" in (tmp_path / "r.html").read_text()


def test_a_difficulty_of_thousands_of_digits_is_a_label():
    assert number_of(10**4000) is None and difficulty_label(10**4000).startswith("1000")


def test_nothing_of_the_data_reaches_the_terminal_as_an_order_to_it(tmp_path):
    escape = "\x1b[2J\x9b2J\u202e"
    odd = [{"prompt": f"q{n}", "completion": "\\boxed{1}", "id": f"{escape}{n}", "domain": escape, "level": escape,
            f"{escape}kept": 1} for n in range(3)]  # fmt: skip
    write(tmp_path / "odd.jsonl", [*odd, odd[0]])
    write(tmp_path / "aim.jsonl", [each | {"domain": f"{escape}{n}"} for n, each in enumerate(odd)])
    words = [tmp_path / "odd.jsonl", "--on-error", "skip"]
    results = [triaxis("show", *words), triaxis("profile", *words, "--target", tmp_path / "aim.jsonl")]
    results += [triaxis("profile", tmp_path / "odd.jsonl"), triaxis("profile", *words, "--fields", "prompt=x")]
    for result in results:
        assert not set("\x1b\x9b\u202e") & set(result.stdout + result.stderr)
        assert "\\x1b[2J" in result.stderr
    assert "domain \\x1b[2J" in results[0].stdout and "\\x1b[2J" in results[1].stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("profile", "nothing.jsonl"), "no such file"),
        (("profile", "train.jsonl", "--against", "bench.jsonl", "./bench.jsonl"), "./bench.jsonl: is named twice"),
        (("profile", "train.jsonl", "--against", "lab:chain", "--against=lab:chain"), "is named twice"),
        (("profile", "train.jsonl", "--fields", "prompt"), "--fields prompt"),
        (("profile", "train.jsonl", "--fields", "prompt=a", "prompt=b"), "named twice"),
        (("profile", "train.jsonl", "--fields", "reference=ansver"), "did you mean 'answer'"),
        (("profile", "train.jsonl", "--tokenizer", "no.json"), "no tokenizer.json there"),
        (("profile", "train.jsonl", "--tokenizer", "train.jsonl"), "not a tokenizer.json"),
        (("profile", "train.jsonl", "--report", "nowhere/r.html"), "there is no folder nowhere"),
        (("profile", "train.jsonl", "--against", "nothing.jsonl"), "nothing.jsonl: no such file"),
        (("profile", "train.jsonl", "--limit", "0"), "--limit"),
        (("profile", "train.jsonl", "--model", "lab:strnog"), '--model: unknown base "lab:strnog"; did you mean'),
        (
            ("profile", "train.jsonl", "--model", "lab:weak"),
            "words of the rows drawn are not among those that it knows",
        ),
        (("profile", "train.jsonl", "--model", "lab:weak", "--samples", "0"), "--samples"),
        (("profile", "train.jsonl", "--model", "lab:weak", "--model-rows", "0"), "--model-rows"),
        (("profile", "train.jsonl", "--model", "lab:weak", "--temperature", "0"), "--temperature 0: must be above 0"),
        (("profile", "train.jsonl", "--model", "lab:weak", "--temperature", "nan"), "--temperature nan"),
        (("profile", "train.jsonl", "--samples", "4"), "--samples: says how a model is asked; name it with --model"),
        (("profile", "train.jsonl", "--model-rows", "4"), "--model-rows: says how a model is asked"),
        (("profile",), "FILE"),
        (("show", "train.jsonl", "--rows", "3-1"), "not rows"),
        (("show", "train.jsonl", "--rows", "100"), "has 62"),
        (("make", "nothing.yaml"), "no such file"),
        (("make", "train.jsonl"), "train.jsonl"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(folder, words, said):
    result = triaxis(*words, folder=folder)
    assert result.returncode == 2 and result.stdout == ""
    assert said in result.stderr and "Traceback" not in result.stderr
    assert len([line for line in result.stderr.splitlines() if not line.startswith("triaxis: ")]) == 0


def test_several_files_and_several_sets(folder, tmp_path):
    write(tmp_path / "more.jsonl", [row(at) for at in range(70, 75)])
    result = triaxis(
        "profile", "train.jsonl", tmp_path / "more.jsonl", "--against", "bench.jsonl", "lab:chain?n=50", "--json",
        folder=folder,
    )  # fmt: skip
    found = json.loads(result.stdout)
    assert found["examples"] == 67
    assert [(one["name"], one["items"]) for one in found["leakage"]["sets"]] == [
        ("bench.jsonl", 8),
        ("lab:chain?n=50", 50),
    ]


def test_a_target_says_what_is_missing(folder, tmp_path):
    target = [row(at) | {"domain": "lakes" if at % 2 else "shops"} for at in range(100, 140)]
    write(tmp_path / "target.jsonl", target)
    found = json.loads(
        triaxis("profile", "train.jsonl", "--target", tmp_path / "target.jsonl", "--json", folder=folder).stdout
    )
    assert found["coverage"]["domains"]["missing"] == ["lakes"] and found["coverage"]["target"] == 40
    assert any(one["about"] == "coverage" and "lakes" in one["text"] and one["rows"] == 20 for one in found["verdict"])


def test_a_model_is_asked_and_its_pass_rates_are_everywhere(tmp_path):
    asked = ("--model", "lab:weak", "--model-rows", "12", "--samples", "3", "--report", tmp_path / "r.html")
    found = json.loads(triaxis("profile", "lab:chain?structure=long_cot&n=40", *asked, "--json").stdout)
    model = found["difficulty"]["model"]
    assert (model["model"], model["asked"], model["rows"], model["samples"]) == ("lab:weak", 12, 40, 3)
    assert sum(model["outcomes"].values()) == 36 and model["outcomes"]["correct"] == model["correct"]
    assert len(model["rates"]) == 12 and model["mean"]["value"] == pytest.approx(sum(model["rates"].values()) / 12)
    pairs = {(one["one"], one["other"]): one["n"] for one in found["difficulty"]["agreement"]}
    assert pairs["field", "model"] == pairs["steps", "model"] == 12 and pairs["pass_rate", "model"] == 0
    assert any(one["about"] == "pass rate" and "mean pass rate of lab:weak" in one["text"] for one in found["verdict"])
    page = (tmp_path / "r.html").read_text()
    assert "Pass rates of lab:weak, 3 samples a row" in page and model["fingerprint"] in page
    assert "without a model" not in page
    shown = triaxis("profile", "lab:chain?structure=long_cot&n=40", *asked)
    assert "Pass rates of lab:weak" in shown.stdout and "field and model" in shown.stdout
    assert all(line.startswith("triaxis: ") for line in shown.stderr.splitlines())


def test_torch_is_not_imported_before_a_model_is_asked():
    script = (
        "import sys; import triaxis.axes.data.profile.run, triaxis.axes.data.profile.document, triaxis.cli\n"
        "sys.argv = ['triaxis', 'data', 'profile', '--help']; triaxis.cli.main()\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    result = subprocess.run([sys.executable, "-c", script], env=ENVIRONMENT, capture_output=True, text=True)
    assert result.returncode == 0 and "--model-rows" in result.stdout, result.stderr


def test_columns_named_by_hand(tmp_path):
    rows = [{"ask": f"What is {n} + {n}?", "say": f"The answer is {2 * n}.", "gold": str(2 * n)} for n in range(10, 20)]
    write(tmp_path / "own.jsonl", rows)
    roles = ("--fields", "prompt=ask", "response=say", "reference=gold")
    found = json.loads(triaxis("profile", tmp_path / "own.jsonl", *roles, "--json").stdout)
    assert found["recognised"]["fields"] == {"prompt": "ask", "response": "say", "reference": "gold"}
    assert found["answers"]["correct"] == 10
    one = triaxis("profile", tmp_path / "own.jsonl", "--fields", "prompt=ask,response=say,reference=gold", "--json")
    assert json.loads(one.stdout)["answers"] == found["answers"]


def test_show_prints_rows_as_they_are_seen(folder):
    result = triaxis("show", "train.jsonl", "--rows", "5,1-2", folder=folder)
    assert result.returncode == 0 and [line for line in result.stdout.splitlines() if line.startswith("row")] == [
        "row 1  id q0  domain sheds  difficulty 1", "row 2  id q1  domain shops  difficulty 2",
        "row 5  id q4  domain shops  difficulty 5",
    ]  # fmt: skip
    assert "answer    | 7" in result.stdout and "reference | 278" not in result.stdout
    shown = json.loads(triaxis("show", "train.jsonl", "--rows", "5", "--json", folder=folder).stdout)
    assert shown[0]["answer"] == "7" and shown[0]["reference"] == row(4)["answer"] and shown[0]["row"] == 5
    assert shown[0]["thought"].startswith("First I need") and shown[0]["turns"][0]["role"] == "user"


def test_show_says_what_is_not_there_and_hides_no_control_characters(tmp_path):
    rows = [{"prompt": "Say\x1b[31m it", "completion": "word " * 400}]
    write(tmp_path / "odd.jsonl", rows)
    result = triaxis("show", tmp_path / "odd.jsonl")
    assert "thought   | (none)" in result.stdout and "(none was found)" in result.stdout
    assert "\x1b" not in result.stdout and "\\x1b[31m" in result.stdout
    assert "characters more" in result.stdout
    assert "characters more" not in triaxis("show", tmp_path / "odd.jsonl", "--full").stdout


def test_make_writes_a_variant_and_says_what_it_did(folder, tmp_path):
    recipe = {
        "source": str(folder / "train.jsonl"),
        "steps": [{"dedupe": "normalised"}, {"structure": "no_cot"}],
        "output": str(tmp_path / "a.jsonl"),
    }
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe))
    result = triaxis("make", tmp_path / "r.yaml")
    assert result.returncode == 0, result.stderr
    assert "dedupe" in result.stdout and "60 rows in" in result.stdout and "a.manifest.json" in result.stdout
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert len(rows) == 60 and not any("<think>" in json.dumps(each) for each in rows)
    again = triaxis("make", tmp_path / "r.yaml")
    assert again.returncode == 2 and "--force" in again.stderr
    assert triaxis("make", tmp_path / "r.yaml", "--force").returncode == 0
    other = triaxis("make", tmp_path / "r.yaml", "--out", tmp_path / "b.jsonl.gz", "--json")
    told = json.loads(other.stdout)
    assert told["output"].endswith("b.jsonl.gz") and told["manifest"]["output"]["rows"] == 60
    assert gzip.decompress((tmp_path / "b.jsonl.gz").read_bytes()) == (tmp_path / "a.jsonl").read_bytes()
    bad = triaxis("make", tmp_path / "r.yaml", "--out", tmp_path / "b.csv")
    assert bad.returncode == 2 and "--out" in bad.stderr


def made(tmp_path, source, steps=(), output="g2.jsonl", **more):
    recipe = {"source": {"path": str(source), **more}, "steps": list(steps), "output": str(tmp_path / output)}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe))
    return triaxis("make", tmp_path / "r.yaml", "--force", folder=tmp_path)


def test_make_never_replaces_what_it_reads(tmp_path):
    for name in ("g2.jsonl", "b.rows.jsonl.gz", "d.jsonl"):
        write(tmp_path / name, planted())
    (tmp_path / "folder").mkdir()
    with pa.OSFile(str(tmp_path / "folder" / "a.jsonl"), "wb") as file:
        table = pa.Table.from_pylist([{"prompt": "a", "completion": "b"}])
        with pa.ipc.new_stream(file, table.schema) as out:
            out.write_table(table)
    (tmp_path / "folder" / "state.json").write_text('{"_data_files": [{"filename": "a.jsonl"}]}')
    (tmp_path / "c.jsonl").symlink_to("g2.jsonl")
    held = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    replay = {"replay": {"source": "g*.jsonl", "share": 0.1}}
    for source, output, steps in (
        ("g2*.jsonl", "g2.jsonl", []),
        ("c.jsonl", "g2.jsonl", []),
        ("folder", "folder/a.jsonl", []),
        ("hf:json?data_files=g2.jsonl", "g2.jsonl", []),
        ("b.rows.jsonl.gz", "b.jsonl", []),  # whose list of touched rows would stand there
        ("d.jsonl", "g2.jsonl", [replay]),
        ("d.jsonl", "g2.jsonl", [{"decontaminate": ["g?.jsonl"]}]),
    ):
        result = made(tmp_path, source, steps, output)
        assert result.returncode == 2 and "is read by the recipe itself" in result.stderr, (source, result.stderr)
        assert {path: path.read_bytes() for path in held} == held
    assert made(tmp_path, "d.jsonl").returncode == 0


def test_make_counts_all_that_it_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "LISTED", 7)
    write(tmp_path / "a.jsonl", [row(at) for at in range(20)] + [{"messages": []}] * 9)
    write(tmp_path / "ev.jsonl", [{"question": "How far?"}, {"question": ""}])
    result = made(tmp_path, "a.jsonl", [{"decontaminate": ["ev.jsonl"]}], on_error="skip")
    assert "9 rows can't be used" in result.stderr and "and 4 more; the manifest" in result.stderr
    assert "--report" not in result.stderr and "ev.jsonl: 1 rows can't be used" in result.stdout
    notes = json.loads((tmp_path / "g2.manifest.json").read_text())["notes"]
    assert notes == ["a.jsonl: 9 rows can't be used and are skipped", "ev.jsonl: 1 rows can't be used and are skipped"]


def test_make_says_what_it_could_not_write_as_it_came(tmp_path):
    rows = [row(at) | {"score": float("nan") if at < 3 else 0.5, "deep": [{"x": float("inf")}]} for at in range(5)]
    write(tmp_path / "a.jsonl", rows)
    result = made(tmp_path, "a.jsonl")
    note = "NaN and infinity, which JSON lacks, are written as null: deep in 5 rows, score in 3 rows"
    assert result.returncode == 0 and note in result.stdout
    assert json.loads((tmp_path / "g2.manifest.json").read_text())["notes"] == [note]
    written = [json.loads(line) for line in (tmp_path / "g2.jsonl").read_text().splitlines()]
    assert [each["score"] for each in written] == [None] * 3 + [0.5] * 2
    dated = [row(at) | {"made": datetime.date(2024, 1, 1 + at)} for at in range(3)]
    pq.write_table(pa.Table.from_pylist(dated), tmp_path / "a.parquet")
    assert "written as text: date" in made(tmp_path, "a.parquet", output="b.jsonl").stdout
    assert "written as" not in made(tmp_path, "a.parquet", output="b.parquet").stdout


def test_a_bar_with_an_eta_is_drawn_on_a_terminal_only_when_it_takes_long(folder):
    script = (
        "import time; from rich.console import Console; from triaxis.cli.reading import Reading\n"
        "with Reading(Console(stderr=True, force_terminal=True), lambda: 100, None) as reading:\n"
        "    for n in range({n}): time.sleep(.1); reading.heard(n)\n"
    )
    quick, slow = (_on_a_terminal(script.replace("{n}", n)) for n in ("5", "40"))
    assert "rows" not in quick
    assert "ETA" in slow and "/100" in slow


def _on_a_terminal(script):
    ours, other = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", script], stderr=other, stdout=other, env=ENVIRONMENT | {"TERM": "xterm"}
    )
    os.close(other)
    seen, end = b"", time.monotonic() + 30
    while time.monotonic() < end:
        ready, _, _ = select.select([ours], [], [], 0.5)
        try:
            block = os.read(ours, 4096) if ready else b""
        except OSError:
            break
        seen += block
        if process.poll() is not None and not block:
            break
    process.wait(timeout=10)
    os.close(ours)
    return seen.decode(errors="replace")


def test_the_document_shows_what_the_commands_print():
    root = Path(__file__).parents[1]
    told = (root / "docs" / "data.md").read_text(encoding="utf-8")
    examples = "examples/data/word-problems.jsonl"
    result = triaxis("profile", examples, "--against", "examples/data/held-out.jsonl", folder=root)
    said = result.stdout.split("\n\n")[0]
    of_the_set = result.stderr.partition("triaxis: --against")[0]  # of the evaluation set the same kind of lines follow
    assert result.returncode == 0 and of_the_set in told and said in told
    shown = triaxis("show", examples, "--rows", "3", folder=root)
    assert shown.stdout in told
