"""Test sets in files: what is read and how it is judged, and every way in which a file can be wrong, in one line."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from triaxis.tasks import checker, get_task, read_from
from triaxis.tasks.answers import letter_of
from triaxis.tasks.checker import judge_math
from triaxis.tasks.stated import final_answer, reply_of
from triaxis.types import TriaxisError

SUMS = [{"question": f"What is {i} + {i}?", "answer": 2 * i} for i in range(1, 21)]
QUIZ = [{"question": f"Which is {i}?", "answer": "B", "choices": ["none", f"number {i}", "all"]} for i in range(1, 9)]


ROW = b'{"a": "x", "answer": "1"}\n'


@pytest.fixture
def write(tmp_path):
    def make(rows, name="set.jsonl"):
        path = tmp_path / name
        if name.endswith(".parquet"):
            pq.write_table(pa.Table.from_pylist(rows), path)
        else:
            text = "".join(json.dumps(row) + "\n" for row in rows).encode()
            path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
        return path

    return make


@pytest.mark.parametrize("name", ["set.jsonl", "set.jsonl.gz", "set.parquet"])
def test_the_same_set_in_any_form(write, name):
    task = get_task(f"file:{write(SUMS, name)}?verifier=exact")
    items = sorted(task.examples("eval", 0, 20), key=lambda item: int(item.id.rpartition(".")[2]))
    assert [(e.answer, e.prompt.splitlines()[0]) for e in items] == [(str(r["answer"]), r["question"]) for r in SUMS]
    assert items[0].prompt.endswith("\nPlease reason step by step, and put your final answer within \\boxed{}.")
    assert [task.example(e.id) for e in items] == items
    some = task.examples("eval", 1, 5)
    assert task.examples("eval", 1, 3) == some[:3] and some != task.examples("eval", 2, 5)
    assert task.outcome(items[3], "<think> \\boxed{1} </think> So \\boxed{8}.", True) == "correct"
    assert task.outcome(items[3], "So \\boxed{9}.", True) == "wrong"


DRESSED = [  # verifier, reply, outcome where 4, or the second choice, is right
    ("exact", "\\boxed{$4$}", "correct"),
    ("exact", "\\boxed{\\text{4}}", "correct"),
    ("exact", "<answer>\\boxed{4}</answer>", "correct"),
    ("exact", "The answer is 4 because 2+2=4", "correct"),
    ("exact", "The answer is therefore 4.", "correct"),
    ("exact", "I'm sorry, but I can't help with that.", "refused"),
    ("math", "I can't help", "refused"),
    ("math", "Sorry, I can't help with more than this: \\boxed{4}", "correct"),
    ("choice", "\\boxed{\\text{B}}", "correct"),
    ("choice", "\\boxed{\\textbf{(B)}}", "correct"),
    ("choice", "<answer>**B**</answer>", "correct"),
    ("choice", "The answer is option B.", "correct"),
    ("choice", "\\boxed{E. coli}", "correct"),  # which is no E
    ("choice", "\\boxed{E}", "wrong"),
    ("choice", "\\boxed{E. coli bacteria}", "unparsed"),
]


@pytest.mark.parametrize(("verifier", "reply", "outcome"), DRESSED)
def test_an_answer_counts_in_any_dress(write, verifier, reply, outcome):
    row = {"question": "2 + 2?", "answer": "4"}
    if verifier == "choice":
        row = {
            "question": "Which?",
            "answer": "E. coli",
            "choices": ["S. aureus", "E. coli", "C. elegans", "none", "all"],
        }
    task = get_task(f"file:{write([row])}?verifier={verifier}")
    assert task.outcome(task.examples("eval", 0, 1)[0], reply, True) == outcome


def test_whole_numbers_of_a_column_with_gaps(write):
    task = get_task(f"file:{write([{'question': 'a', 'answer': 3.0}], 'set.parquet')}?verifier=exact")
    assert task.outcome(task.examples("eval", 0, 1)[0], "\\boxed{3}", True) == "correct"


def test_a_task_stays_as_it_was_opened(write):
    path = write(SUMS)
    task = get_task(f"file:{path}?verifier=exact")
    items = task.examples("eval", 0, 20)
    write(SUMS[::-1])
    assert all(task.outcome(item, f"\\boxed{{{item.answer}}}", True) == "correct" for item in items)


def test_the_order_is_the_questions_and_not_the_files(write):
    one = get_task(f"file:{write(SUMS, 'one.jsonl')}?verifier=exact").examples("eval", 3, 9)
    other = get_task(f"file:{write(SUMS[::-1], 'two.jsonl')}?verifier=exact").examples("eval", 3, 9)
    assert [item.prompt for item in one] == [item.prompt for item in other]


def test_columns_of_other_names(write):
    path = write([{"problem": "2 + 2?", "solution": "4"}])
    task = get_task(f"file:{path}?answer=solution&question=problem&template=bare&verifier=exact")
    assert task.examples("eval", 0, 1)[0].prompt == "2 + 2?"


def test_choices(write):
    task = get_task(f"file:{write([*QUIZ, QUIZ[0] | {'question': 'by text?', 'answer': 'all'}])}?verifier=choice")
    items = sorted(task.examples("eval", 0, 9), key=lambda item: int(item.id.rpartition(".")[2]))
    assert items[0].prompt.startswith("Which is 1?\nA. none\nB. number 1\nC. all\nPlease reason")
    assert (items[0].answer, items[8].answer) == ("B", "C")
    said = {"\\boxed{B}": "correct", "Answer: (b)": "correct", "\\boxed{number 1}": "correct", "\\boxed{C}": "wrong"}
    for text, outcome in {
        **said,
        "\\boxed{D}": "unparsed",
        "\\boxed{both}": "unparsed",
        "I don't know that": "unparsed",
    }.items():
        assert task.outcome(items[0], text, True) == outcome, text


FORMS = [  # reply, its answer when it ended, and when it was cut off
    ("so \\boxed{\\frac{1}{2}} it is", "\\frac{1}{2}", "\\frac{1}{2}"),
    ("\\boxed{1} or rather \\boxed{2}", "2", "2"),
    ("\\boxed{1} or rather \\boxed{2", "1", None),
    ("<answer>a\nb</answer> and \\boxed{c}", "a\nb", "a\nb"),
    ("The answer is **42**.", "42", None),
    ("Answer: 7", "7", None),
    ("steps\n#### 12", "12", None),
    ("5", "5", None),
    ("one two three four five", None, None),
    ("x \\boxed{1", None, None),
    ("", None, None),
    ("<answer></answer>", None, None),
]


@pytest.mark.parametrize(("reply", "ended", "cut"), FORMS)
def test_where_an_answer_stands(reply, ended, cut):
    assert final_answer(reply) == ended
    assert final_answer(reply, finished=False) == cut


def test_what_is_thought_is_no_reply():
    assert reply_of("<think> a </think> b <think> c") == "b"
    assert reply_of("a </think> b") == "b" and reply_of("<think> a") == ""


def test_letters():
    assert [letter_of(t, ("x", "y")) for t in ("A", "(b)", "B. y", "y", "C", "", "Bad")] == [
        "A",
        "B",
        "B",
        "B",
        None,
        None,
        None,
    ]


PAIRS = [  # given, reference, verdict
    ("0.5", "\\frac{1}{2}", "correct"),
    ("1,000", "1000", "correct"),
    ("$5$", "5", "correct"),
    ("6/4", "1.5", "correct"),
    ("7", "8", "wrong"),
    ("1 + x", "x+1", "correct"),
    ("2\\sqrt{2}", "\\sqrt{8}", "correct"),
    ("x^2", "x^3", "wrong"),
    ("(1,2)", "(2,1)", "wrong"),
    ("listen", "silent", "wrong"),  # as products of letters they are equal
    ("Paris", "paris", "correct"),
    ("I do not know", "5", "unparsable"),
    ("5²", "25", "correct"),
    ("10²", "102", "wrong"),
    ("3\\frac{1}{2}", "3.5", "correct"),
    ("3\\frac{1}{2}", "31/2", "wrong"),
    ("x=7", "y=7", "wrong"),
    ("5\\text{ cm}", "5\\text{ m}", "wrong"),
    ("90°", "90", "correct"),
    ("4 crore", "4", "wrong"),
]


@pytest.mark.parametrize(("given", "reference", "verdict"), PAIRS)
def test_mathematics(given, reference, verdict):
    assert judge_math(given, reference) == verdict


def test_a_comparison_without_end_is_ended_and_the_next_one_works():
    assert judge_math("9^{9^{9^9}}", "5") == "unparsable"
    assert judge_math("x+1", "1+x") == "correct"


def test_mathematics_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert judge_math("__import__('pathlib').Path('ran').touch()", "3") != "correct"
    assert not (tmp_path / "ran").exists()


def test_math_verify_may_not_be_installed(monkeypatch, write):
    monkeypatch.setattr(checker, "find_spec", lambda name: None)
    with pytest.raises(TriaxisError, match="verifier=math needs math-verify"):
        get_task(f"file:{write(SUMS)}?verifier=math")


BAD = [  # content of the file, options, words that the line must hold
    (b"", "verifier=exact", "the file is empty"),
    (b"\n\n", "verifier=exact", "holds no questions"),
    (b"{\n", "verifier=exact", ", row 1: not JSON: "),
    (b'{"question": "a", "answer": "1"}\n\n{"question": "b"}', "verifier=exact", ", row 3: no column answer"),
    (b"[1]\n", "verifier=exact", ", row 1: 1 where an object should be"),
    (b'{"question": "a", "answer": "\xff"}\n', "verifier=exact", ", row 1: byte 0xff is not UTF-8"),
    (b'{"q": "a", "answer": "1"}\n', "verifier=exact", "row 1: no column question; it has q, answer; name one"),
    (b'{"question": "a", "answer": null}\n', "verifier=exact", ", row 1, answer: is empty"),
    (b'{"question": " ", "answer": "1"}\n', "verifier=exact", ", row 1, question: must be text"),
    (b'{"question": ["a"], "answer": "1"}\n', "verifier=exact", ", row 1, question: must be text, and is list"),
    (b'{"question": 7, "answer": "1"}\n', "verifier=exact", ", row 1, question: must be text, and is int"),
    (b'{"question": "a", "answer": true}\n', "verifier=exact", ", row 1, answer: must be text, and is bool"),
    (b'{"question": "a", "answer": "1"}\n{"question": " a ", "answer": "2"}\n', "verifier=exact",
     ", row 2: asks what row 1 asks"),
    (b'{"question": "ab", "answer": "1"}\n{"question": "AB", "answer": "2"}\n', "verifier=exact",
     ", row 2: asks what row 1 asks"),
    (b'{"question": "a", "answer": NaN}\n', "verifier=exact", ", row 1, answer: is empty"),
    (b'{"question": "a\\ud800", "answer": "1"}\n', "verifier=exact", ", row 1, question: holds a NUL or half a"),
    (b'{"question": "a", "answer": "A", "choices": ["x", "X"]}\n', "verifier=choice", "'X' is there twice; keep one"),
    (b'{"question": "a", "answer": "A", "choices": ["x", "a"]}\n', "verifier=choice", "is the letter of another"),
    (b'{"question": "a", "answer": "B"}\n', "verifier=choice", ", row 1, choices: must be a list of 2 to 26 choices"),
    (b'{"question": "a", "answer": "C", "choices": ["x", "y"]}\n', "verifier=choice", "'C' is neither a letter"),
    (b'{"question": "a", "answer": 1, "choices": ["x", "y"]}\n', "verifier=choice",
     "answer: 1 could be a place or a choice"),
    (b'{"question": "a", "answer": "A", "choices": ["x", 1]}\n', "verifier=choice", "a choice must be text"),
    (b'{"question": "a", "answer": "1"}\n', "", "needs verifier=math, exact, choice, refuse or comply"),
    (b'{"question": "a", "answer": "1"}\n', "verifier=fuzzy", "needs verifier=math, exact, choice, refuse or comply"),
    (b'{"question": "a", "answer": "1"}\n', "verifer=exact", "no option verifer; a file has verifier, question"),
    (b'{"question": "a", "answer": "1"}\n', "choices=c&verifier=exact", "choices are for verifier=choice"),
    (b'{"question": "a", "answer": "1"}\n', "template=nice&verifier=exact", "template is bare or boxed, got 'nice'"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "options", "words"), BAD)
def test_a_bad_file_is_told_in_one_line(tmp_path, content, options, words):
    path = tmp_path / "set.jsonl"
    path.write_bytes(content)
    with pytest.raises(TriaxisError) as caught:
        get_task(f"file:{path}" + ("?" if options else "") + options)
    assert words in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("no.jsonl", lambda path: None, "no such file"),
        ("folder.jsonl", lambda path: path.mkdir(), "is a folder"),
        ("set.csv", lambda path: path.write_text("a"), "save the CSV file as one"),
        ("set.parquet", lambda path: path.write_bytes(b"PAR1 half"), "a Parquet file that is cut off or damaged"),
        ("set.jsonl.gz", lambda path: path.write_bytes(gzip.compress(ROW)[:-9]), "the file ends early"),
        ("set.jsonl.gz", lambda path: path.write_bytes(b"plain"), "row 1: not JSON"),
    ],
)
def test_a_file_that_is_no_test_set(tmp_path, name, make, words):
    make(tmp_path / name)
    with pytest.raises(TriaxisError) as caught:
        task = get_task(f"file:{tmp_path / name}?question=a&verifier=exact")
        task.examples("eval", 0, 1)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_more_items_than_there_are_and_training_on_them(write):
    task = get_task(f"file:{write(SUMS)}?verifier=exact")
    with pytest.raises(TriaxisError, match=r"holds 20 items, and 21 are asked for; lower evaluation.items"):
        task.examples("eval", 0, 21)
    with pytest.raises(TriaxisError, match="is a test set, and is not trained on"):
        task.examples("train", 0, 1)
    with pytest.raises(TriaxisError, match="no item of task"):
        task.example(f"{task.name}/eval/0/1.21")


def test_a_file_that_has_changed_is_another(write):
    name = f"file:{write(SUMS)}?verifier=exact"
    before = read_from(name), len(get_task(name).rows)
    write(SUMS[:7])
    assert (read_from(name), len(get_task(name).rows)) != before and len(get_task(name).rows) == 7


def test_a_pattern_is_what_its_files_are(tmp_path):
    (tmp_path / "a.jsonl").write_text("1")
    pattern = str(tmp_path / "*.jsonl")
    before = read_from(pattern)
    (tmp_path / "b.jsonl").write_text("2")
    assert read_from(pattern) != before
    (tmp_path / "b.jsonl").unlink()
    assert read_from(pattern) == before
    with pytest.raises(TriaxisError, match="is a folder; name its files, as"):
        read_from(str(tmp_path))
    assert read_from(str(tmp_path / "none")) == ""
