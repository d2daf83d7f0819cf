"""reasoning-gym's tasks: streams that never meet, verifiers of their own, nothing of a response run as code."""

import os
import subprocess
import sys

import pytest
import reasoning_gym

from triaxis.tasks import get_task, read_from, task_names
from triaxis.tasks.names import parsed, surface_of
from triaxis.tasks.prompts import fingerprint, question_of, said_alike
from triaxis.tasks.streams import held_out
from triaxis.types import TriaxisError

QUICK = ("rg:chain_sum", "rg:gcd", "rg:letter_counting", "rg:leg_counting", "rg:knights_knaves", "rg:countdown")


def told(answer):
    return f"<think>\nsome 1 + 1 = 3 of thought\n</think>\nIt comes to <answer>{answer}</answer>"


def test_its_own_seeds_overlap_and_ours_do_not():
    """Measured of it: train seed 42 with 500 items and test seed 43 with 100 share every question."""
    own = [
        {reasoning_gym.create_dataset("chain_sum", seed=seed, size=size)[i]["question"] for i in range(size)}
        for seed, size in ((42, 500), (43, 100))
    ]
    assert own[1] <= own[0]
    task = get_task("rg:chain_sum")
    train = {e.prompt for e in task.examples("train", 42, 500)}
    for seed in (42, 43):
        assert not train & {e.prompt for e in task.examples("eval", seed, 100)}


@pytest.mark.parametrize("name", QUICK)
def test_streams(name):
    """Keyed by split and seed, the first m of n the same, each item back from its id, held out by its question."""
    task = get_task(name)
    ten = task.examples("eval", 1, 10)
    assert task.examples("eval", 1, 4) == ten[:4]
    assert len({e.prompt for e in ten}) == 10
    assert [task.example(e.id) for e in ten] == ten
    assert all(held_out(said_alike(question_of(e.prompt))) for e in ten)
    assert not any(held_out(said_alike(question_of(e.prompt))) for e in task.examples("train", 1, 10))
    assert {e.prompt for e in task.examples("eval", 2, 10)} != {e.prompt for e in ten}


@pytest.mark.parametrize("name", QUICK)
def test_verifier(name):
    task = get_task(name)
    for item in task.examples("eval", 0, 8):
        assert task.outcome(item, told(item.answer), True) == "correct"
        assert task.outcome(item, told("quux"), True) == "wrong"
        assert task.outcome(item, f"<think> {item.answer}", False) == "truncated"
        assert task.outcome(item, f"<think> <answer>{item.answer}</answer>", True) == "truncated"
        assert task.outcome(item, told(item.answer), False) == "correct", "cut off after its answer"


def test_partial_credit_is_wrong():
    """Its default verifier gives a share for an answer that stands among other words."""
    task = get_task("rg:chain_sum")
    item = task.examples("eval", 0, 1)[0]
    entry = task.problem(item)
    assert 0 < task._generator(0).score_answer(f"it is {item.answer}", entry.data) < 1
    assert task.outcome(item, told(f"it is {item.answer}"), True) == "wrong"


def test_many_right_answers_by_its_own_verifier():
    """countdown names one expression, and takes any other that uses the numbers."""
    task = get_task("rg:countdown?max_numbers=4&min_numbers=4")
    item = task.examples("eval", 0, 1)[0]
    assert task.outcome(item, told(f"({item.answer})"), True) == "correct"
    assert task.outcome(item, told("1 + 1"), True) == "wrong"


@pytest.mark.parametrize(
    "name", ["rg:countdown", "rg:string_insertion", "rg:spiral_matrix", "rg:binary_matrix", "rg:n_queens"]
)
@pytest.mark.parametrize(
    "answer", ["__import__('pathlib').Path('ran').touch()", "[open('ran', 'w').close()]", "9**9**9**9"]
)
def test_no_answer_is_run(name, answer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    task = get_task(name)
    item = task.examples("eval", 0, 1)[0]
    assert task.outcome(item, told(answer), True) == "wrong"
    assert not (tmp_path / "ran").exists()


def test_numbers_without_end_are_wrong_at_once():
    task = get_task("rg:coin_flip")
    assert task.outcome(task.examples("eval", 0, 1)[0], told("1e999999999"), True) == "wrong"


def test_items_do_not_depend_on_the_process():
    items = "get_task(name).examples('eval', 3, 2)"
    code = f"from triaxis.tasks import get_task\nfor name in {QUICK!r}: print([e.prompt for e in {items}])"
    seen = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=True, env=os.environ | {"PYTHONHASHSEED": s}
        ).stdout
        for s in ("1", "2")
    }
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("rg:chain_sums", "reasoning-gym has no chain_sums; did you mean rg:chain_sum?"),
        ("rg:quux", "reasoning-gym has no quux; its tasks are in reasoning-gym's GALLERY.md"),
        ("rg:chain_sum?max_term=3", "no option max_term; did you mean max_terms?"),
        ("rg:chain_sum?seed=3", "no option seed"),
        ("rg:chain_sum?max_terms=x", "max_terms must be a whole number, got 'x'"),
        ("rg:chain_sum?allow_negation=yes", "allow_negation must be true or false, got 'yes'"),
        ("rg:chain_sum?max_terms=1", "max_terms must be >= min_terms"),
        ("rg:chain_sum?min_terms=2&max_terms=3", "write it rg:chain_sum?max_terms=3&min_terms=2"),
        ("rg:chain_sum?max_terms=3&max_terms=3", "the option max_terms is given twice"),
        ("rg:chain_sum?max_terms", "'max_terms' is none"),
        ("rg:chain_sum?", "'' is none"),
        ("rg:basic_arithmetic?operators=+", "operators is no single value"),
        ("rg:codeio", "it runs code that its data set ships"),
        ("rg:simple_integration", "its verifier runs a response as code"),
        ("rg:word_ladder", "it makes other items in every process"),
        ("rg:game_of_life_halting", "its verifier takes any answer for right"),
        ("rg:puzzle24", "its verifier takes other numbers than those given"),
        ("rg:chain_sum?surface=colours", "surface is one of symbols, numbers, wording, not colours"),
        (
            "rg:chain_sum?surface=symbols",
            "what its symbols are matters to its answers; symbols can be renamed in knights",
        ),
    ],
)
def test_bad_names_are_told_in_one_line(name, words):
    with pytest.raises(TriaxisError) as caught:
        get_task(name)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_it_may_not_be_installed(monkeypatch):
    from triaxis.tasks import reasoning_gym as room

    monkeypatch.setattr(room, "find_spec", lambda name: None)
    with pytest.raises(TriaxisError, match=r"reasoning-gym isn't installed; pip install 'triaxis\[data\]'"):
        room.reasoning_gym_task("rg:gcd", parsed("rg:gcd"))


def test_few_problems_end_in_a_line_and_not_in_a_loop():
    with pytest.raises(TriaxisError, match=r"holds only \d different problems|none is one to eval on"):
        get_task("rg:chain_sum?max_digits=1&max_terms=1&min_terms=1").examples("eval", 0, 11)


def test_names_and_fingerprints():
    assert surface_of("rg:gcd?surface=wording") == ("rg:gcd", "wording")
    assert surface_of("rg:chain_sum?max_terms=3&surface=numbers") == ("rg:chain_sum?max_terms=3", "numbers")
    assert surface_of("rg:gcd") is None and surface_of("quiz?surface=colours") is None
    assert read_from("rg:gcd").startswith("reasoning-gym 0.") and not any(map(read_from, task_names()))
    ask = get_task("rg:gcd").examples("eval", 0, 1)[0].prompt
    assert fingerprint(ask) == fingerprint(f"  {question_of(ask).upper()} ") != fingerprint(ask + "!")


@pytest.mark.slow
def test_every_task_takes_its_own_answers_and_no_other_items():
    """What reasoning-gym 0.1.25 has, save what is refused: two items each way."""
    from reasoning_gym.factory import DATASETS

    from triaxis.tasks.reasoning_gym import REFUSED

    for dataset in sorted(DATASETS.keys() - REFUSED):
        task = get_task(f"rg:{dataset}")
        one, other = task.examples("eval", 0, 2)
        for item in (one, other):
            assert not item.answer or task.outcome(item, told(item.answer), True) == "correct", dataset
            assert task.outcome(item, told("quux ("), True) == "wrong", dataset
        if one.answer and other.answer and one.answer != other.answer:
            assert task.outcome(one, told(other.answer), True) == "wrong", dataset
