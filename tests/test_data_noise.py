"""Noise of every kind: what it changes and what it leaves, nested over rates; the equations that it rests on."""

import re
import time
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import pytest

from recipe_cases import ROOT, example, ids, run, sums
from triaxis.axes.data.open import open_examples
from triaxis.axes.data.profile.lab_steps import check_steps
from triaxis.axes.data.recipes.arithmetic import equations, written
from triaxis.axes.data.recipes.noise import KINDS
from triaxis.axes.data.recipes.places import place_of
from triaxis.tasks.stated import final_answer
from triaxis.types import NOISE_KINDS, TriaxisError

# Noise


def test_every_kind_of_noise_has_its_maker():
    assert set(KINDS) == set(NOISE_KINDS)


@pytest.mark.parametrize("kind", NOISE_KINDS)
@pytest.mark.parametrize("source", ["text", "lab"])
def test_noisy_rows_are_nested_and_the_others_untouched(kind, source):
    rows = sums() if source == "text" else list(open_examples("lab:chain?n=200&structure=long_cot"))
    noisy = {}
    for rate in (0.1, 0.3, 1.0):
        out, _, touched = run([{"noise": {"kind": kind, "rate": rate}}], rows)
        assert ids(out) == ids(rows)
        noisy[rate] = {new.id: new for old, new in zip(rows, out, strict=True) if new != old}
        assert set(noisy[rate]) == {id for _, _, id, _ in touched}
    assert noisy[0.1].items() < noisy[0.3].items() < noisy[1.0].items()  # the same rows, made noisy in the same way
    assert 8 <= len(noisy[0.1]) <= 32
    assert 40 <= len(noisy[0.3]) <= 80
    assert len(noisy[1.0]) == 200
    again, _, _ = run([{"noise": {"kind": kind, "rate": 0.3}}], rows)
    other, _, _ = run([{"noise": {"kind": kind, "rate": 0.3}}], rows, seed=1)
    assert again == run([{"noise": {"kind": kind, "rate": 0.3}}], list(rows))[0]
    assert other != again


def noisy_pairs(kind, rows=None):
    rows = rows or sums()
    out, _, _ = run([{"noise": {"kind": kind, "rate": 1.0}}], rows)
    return list(zip(rows, out, strict=True))


def test_a_shared_mask_makes_the_same_rows_noisy_for_every_kind():
    rows = sums()
    for mask, same in (("shared", True), ("own", False)):
        touched = [
            {id for _, _, id, _ in run([{"noise": {"kind": kind, "rate": 0.3, "mask": mask}}], rows)[2]}
            for kind in ("wrong_answer", "missing_answer")
        ]
        assert (touched[0] == touched[1]) == same and all(touched)


def wrong_equations(text):
    return [e for e in equations(text) if not e.right]


def test_a_wrong_answer_follows_right_steps():
    for old, new in noisy_pairs("wrong_answer"):
        assert new.thought == old.thought
        assert new.answer == final_answer(new.solution) != old.reference
        assert new.reference == old.reference


def test_a_wrong_step_is_carried_on_to_the_answer():
    for old, new in noisy_pairs("wrong_step"):
        assert len(wrong_equations(new.thought)) == 1  # what rests on it was worked out again
        assert new.answer == final_answer(new.solution) != old.answer
        assert f"The whole is {new.answer}." in new.solution
        assert new.reference == old.reference


def test_a_wrong_step_is_carried_through_words_and_equations():
    thought = "Step 7: they get 3 + 4 = 7 and have 7. So 7 * 2 = 14 and 14 / 4 = 3.50.\n7. done"
    row = example(0, thought, "In all $3.50.\n#### 3.50")
    seen = set()
    for seed in range(40):
        (new,), _, _ = run([{"noise": {"kind": "wrong_step", "rate": 1.0}}], [row], seed)
        first, second, third = equations(new.thought)
        assert sum(not e.right for e in (first, second, third)) == 1
        assert new.solution == f"In all ${new.answer}.\n#### {new.answer}"
        assert new.thought.startswith("Step 7: ")
        assert new.thought.endswith("\n7. done")
        assert f"and have {first.result_text}." in new.thought
        assert second.left_text == f"{first.result_text}*2"
        assert third.left_text == f"{second.result_text}/4"
        assert third.result_text == new.answer
        seen.add([e.right for e in (first, second, third)].index(False))
    assert seen == {0, 1, 2}


def test_a_wrong_step_can_stand_before_the_right_answer():
    for old, new in noisy_pairs("wrong_step_right_answer"):
        assert len(wrong_equations(new.thought)) == 1
        assert (new.solution, new.answer) == (old.solution, old.answer)


def test_the_manifest_says_how_many_steps_of_a_lab_row_are_wrong():
    rows = list(open_examples("lab:chain?n=200&structure=short_cot"))
    for kind in ("wrong_step", "wrong_step_right_answer"):
        out, _, touched = run([{"noise": {"kind": kind, "rate": 1.0}}], rows)
        said = {id: how for _, _, id, how in touched}
        assert len(said) == 200
        for new in out:
            wrong, steps = re.fullmatch(rf"{kind}: by its task: (\d) of (\d) steps wrong", said[new.id]).groups()
            assert (int(steps), int(wrong)) == check_steps(new.thought)
    bare = list(open_examples("lab:chain?n=20&structure=no_cot"))
    _, _, touched = run([{"noise": {"kind": "wrong_step", "rate": 1.0}}], bare)
    assert {how for *_, how in touched} == {"wrong_step: by its task"}


@pytest.mark.parametrize("kind", ["other_trace", "wrong_answer"])
def test_what_a_row_borrows_depends_on_no_order(kind):
    words = ("Paris", "Rome", "Oslo", "Bern", "Riga", "Lima", "Cairo", "Delhi", "Quito", "Dakar", "Hanoi", "Seoul")
    rows = [replace(r, solution=f"\\boxed{{{w}}}", answer=w) for r, w in zip(sums(900), words * 75, strict=True)]
    noise = [{"noise": {"kind": kind, "rate": 0.3}}]
    out, (entry,), _ = run(noise, rows)
    assert {e.id: e for e in run(noise, rows[::-1])[0]} == {e.id: e for e in out}
    assert entry.notes[0].startswith(
        "what is borrowed is drawn among the 900 rows at hand, in whatever order they come"
    )
    few = {e.id: e for e in run(noise, rows[:450])[0]}
    noisy = [(e, few[e.id]) for e, old in zip(out, rows, strict=True) if e.id in few and e != old]
    assert len(noisy) == len([1 for old in rows[:450] if few[old.id] != old])  # the same rows, of another number
    assert 0.3 < sum(big == small for big, small in noisy) / len(noisy) < 0.7  # half of them from the same lender


def test_another_trace_is_that_of_another_row_of_the_domain():
    of = {row.thought: row for row in sums()}
    for old, new in noisy_pairs("other_trace"):
        assert of[new.thought].id != old.id
        assert of[new.thought].domain == old.domain
        assert (new.solution, new.answer) == (old.solution, old.answer)


def test_shuffled_steps_are_the_same_steps():
    for old, new in noisy_pairs("shuffled_steps"):
        assert new.thought != old.thought
        assert Counter(new.thought.split()) == Counter(old.thought.split())
        assert new.solution == old.solution


def test_a_truncated_row_breaks_off_in_its_trace():
    shares = []
    for old, new in noisy_pairs("truncated"):
        assert old.thought.startswith(new.thought)
        assert (new.solution, new.answer) == ("", None)
        shares.append(len(new.thought.split()) / len(old.thought.split()))
    assert min(shares) < 0.3 < 0.7 < max(shares) <= 0.8


def test_an_inconsistent_format_states_the_same_answer_otherwise():
    forms = Counter()
    for old, new in noisy_pairs("inconsistent_format"):
        assert final_answer(new.solution) == old.answer
        forms[place_of(new.solution).form] += 1
    assert set(forms) == {"hashes", "said", "tagged"}


def test_a_missing_answer_is_nowhere_in_the_solution():
    for old, new in noisy_pairs("missing_answer"):
        assert new.answer is None
        assert final_answer(new.solution) is None
        assert "The whole is" in old.solution and "The whole is" not in new.solution


SAID_AGAIN = [  # a solution, what wrong_answer (7 becoming N) and missing_answer make of it; None: they can't
    ("So Jon has 7 seeds.\n\n$\\boxed{7}$", "So Jon has N seeds.\n\n$\\boxed{N}$", ""),
    ("That is 3 + 4 = 7.\nIn the end it is **7**!\n#### 7", "That is 3 + 4 = 7.\nIn the end it is **N**!\n#### N",
     "That is 3 + 4 = 7."),
    ("So he has <<3+4=7>>7 seeds in all.\n#### 7", "So he has <<3+4=7>>7 seeds in all.\n#### N",
     "So he has <<3+4=7>>7 seeds in all."),
    ("3 + 4 = 7, so he has 7. It was easy to see.\n#### 7", "3 + 4 = 7, so he has N. It was easy to see.\n#### N",
     "It was easy to see."),
    ("Of 17 some 7 were there before all of them went.\n#### 7",
     "Of 17 some 7 were there before all of them went.\n#### N",
     "Of 17 some 7 were there before all of them went."),
    ("Thus it is 7.\n#### 7.0", "Thus it is N.\n#### N.0", ""),
    ("So the total is 7. Indeed 7 - 4 = 3.\n#### 7", None, None),
]  # fmt: skip


@pytest.mark.parametrize(("solution", "wrong", "missing"), SAID_AGAIN)
def test_an_answer_that_is_said_again_is_wrong_or_missing_there_too(solution, wrong, missing):
    row = example(0, "3 + 4 = 7.", solution, "7")
    for kind, expected in (("wrong_answer", wrong), ("missing_answer", missing)):
        out, (entry,), _ = run([{"noise": {"kind": kind, "rate": 1.0, "shortfall": 1.0}}], [row])
        if expected is None:
            assert out == [row] and entry.could_not == {"an answer that is given among the steps": 1}
        else:
            assert out[0].solution == expected.replace("N", (out[0].answer or "").removesuffix(".0"))


def test_no_shipped_row_says_its_right_answer_beside_a_wrong_or_missing_one():
    rows = list(open_examples(str(ROOT / "examples" / "data" / "word-problems.jsonl")))
    for kind in ("wrong_answer", "missing_answer"):
        for old, new in noisy_pairs(kind, rows):
            assert not {old.answer, old.reference} & set(re.findall(r"\d+", new.solution))


@pytest.mark.parametrize(
    "solution",
    [
        "It is 7. " * 20_000,
        "7 " * 60_000,
        "3 + 4 = 7. " * 10_000,
        "So 7 " + "a" * 200_000 + " 1",
        "is " * 60_000 + "7",
    ],
)
def test_no_solution_takes_long(solution):
    began = time.perf_counter()
    for kind in ("wrong_answer", "missing_answer"):
        row = example(0, "So.", f"{solution}\n\\boxed{{7}}")
        run([{"noise": {"kind": kind, "rate": 1.0, "shortfall": 1.0}}], [row])
    assert time.perf_counter() - began < 30


def test_words_and_letters_are_said_again_too():
    said = (
        "A quick look: it is option B.\n\\boxed{B}",
        "Yes, he can.\n<answer>yes</answer>",
        "A fee is due, so A.\n#### A",
    )
    rows = [example(i, "So.", solution) for i, solution in enumerate(said)]
    one, two, three = (new for _, new in noisy_pairs("wrong_answer", rows))
    assert one.solution == f"A quick look: it is option {one.answer}.\n\\boxed{{{one.answer}}}"
    assert two.solution == "No, he can.\n<answer>no</answer>"
    assert three.solution.startswith("A fee is due")


def test_rows_without_traces_can_be_noisy_too():
    rows = []
    for i in range(5, 30):
        half, more = f"{2 * i}/2 = <<{2 * i}/2={i}>>{i}", f"{i}+2 = <<{i}+2={i + 2}>>{i + 2}"
        rows.append(example(i, None, f"Half of it is {half}.\nTwo more: {more}.\n#### {i + 2}"))
    for kind in ("wrong_step", "wrong_answer", "wrong_step_right_answer", "missing_answer", "inconsistent_format"):
        for old, new in noisy_pairs(kind, rows):
            assert new.thought is None
            right = kind in ("wrong_step_right_answer", "inconsistent_format")
            assert (final_answer(new.solution) == old.answer) is right


def test_answers_that_are_no_numbers_get_others_of_their_kind():
    said = ("\\boxed{B}", "<answer>No</answer>", "\\boxed{Paris}", "\\boxed{Rome}", "\\boxed{\\frac{3}{4}}")
    rows = [example(i, "So.", solution) for i, solution in enumerate(said)]
    new = [n.answer for _, n in noisy_pairs("wrong_answer", rows)]
    assert new[0] in "ACD"
    assert new[1] == "Yes"
    assert new[2] not in ("Paris", "")
    assert new[3] not in ("Rome", "")
    assert new[4].startswith("\\frac{")
    assert new[4] != "\\frac{3}{4}"


def test_noise_never_makes_a_wrong_row_right():
    rows = [
        example(i, "0.50 + 0.25 = 0.75", "\\boxed{0.75}", right) for i, right in enumerate(("0.76", ".74", "76/100"))
    ]
    for kind in ("wrong_answer", "wrong_step"):
        for seed in range(30):
            out, _, _ = run([{"noise": {"kind": kind, "rate": 1.0}}], rows, seed)
            assert all(Fraction(e.answer) not in (Fraction(e.reference), Fraction(3, 4)) for e in out)


def test_a_shortfall_is_counted_and_above_its_share_an_error():
    rows = [*sums(90), *(example(500 + i, "No numbers here.", "\\boxed{yes}") for i in range(10))]
    with pytest.raises(TriaxisError, match=r"10 of the 100 rows drawn for wrong_step can't be made so: no equation"):
        run([{"noise": {"kind": "wrong_step", "rate": 1.0, "shortfall": 0.05}}], rows)
    out, (entry,), touched = run([{"noise": {"kind": "wrong_step", "rate": 1.0}}], rows)
    assert entry.could_not == {"no equation that can be checked": 10}
    assert entry.notes == ["90 of 100 rows are noisy (0.9000; the rate is 1)"]
    assert out[90:] == rows[90:]
    assert [id for _, action, id, _ in touched if action == "could_not"] == ids(rows[90:])


# Equations

EQUATIONS = [
    ("Tom has 3 + 4 = 7 apples.", "3+4", "7", True),
    ("<<48/2=24>>24", "48/2", "24", True),
    ("x = 3 + 4 = 8", "3+4", "8", False),
    ("so 1,200 + 300 = 1,500.", "1,200+300", "1,500", True),
    ("10 / 3 = 3.33", "10/3", "3.33", True),
    ("$5 \\times 4 = 20$", "$5\\times4", "20", True),
    ("20% * 50 = 10", "20%*50", "10", True),
    ("(3+4)*2=14", "(3+4)*2", "14", True),
    ("$3.50 + $1.50 = $5.00", "$3.50+$1.50", "5.00", True),
    ("5 - 8 = -3", "5-8", "-3", True),
    ("2^3 = 8", "2^3", "8", True),
]


@pytest.mark.parametrize(("text", "left", "result", "right"), EQUATIONS)
def test_equations_are_found_with_both_sides(text, left, result, right):
    (found,) = equations(text)
    assert (found.left_text, found.result_text, found.right) == (left, result, right)
    assert text[found.result_start : found.end] == result


@pytest.mark.parametrize(
    "text", ["a + 3 + 4 = 10", "3 + 4 = 7 + 2", "3x + 4 = 7", "2*(3+4 = 7", "1 / 0 = 3", "9^9^9 = 1"]
)
def test_what_is_no_plain_equation_is_left_alone(text):
    assert equations(text) == []


@pytest.mark.parametrize(
    "text", ["= " + "1+" * 200_000, "3 + " * 200_000 + "=", "=" + "(" * 300_000, "=3" + " " * 300_000]
)
def test_no_text_takes_long(text):
    began = time.perf_counter()
    equations(text)
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    ("value", "like", "text"),
    [
        (Fraction(7, 2), "3.50", "3.50"),
        (Fraction(7, 2), "3", "3.5"),
        (1234, "1,000", "1,234"),
        (Fraction(1, 3), "2", None),
        (-3, "5", "-3"),
        (Fraction(-1, 4), "2", "-0.25"),
    ],
)
def test_a_number_is_written_as_another_was(value, like, text):
    assert written(value, like) == text
