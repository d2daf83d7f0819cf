"""Variants of a data set: each operation does what it says and no more, and the same recipe gives the same bytes."""

import gzip
import json
import re
import time
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triaxis.axes.data.open import open_examples
from triaxis.axes.data.profile.arithmetic import check_equations
from triaxis.axes.data.profile.lab_steps import check_steps
from triaxis.axes.data.profile.structure import kind_of
from triaxis.axes.data.recipes import OPERATIONS, applied, load_recipe, make_examples, parse_recipe, with_output
from triaxis.axes.data.recipes.arithmetic import equations, written
from triaxis.axes.data.recipes.make import make_files
from triaxis.axes.data.recipes.mixture import apportioned
from triaxis.axes.data.recipes.noise import KINDS
from triaxis.axes.data.recipes.places import place_of
from triaxis.axes.data.recipes.spec import step_of
from triaxis.axes.data.recipes.spill import Spill
from triaxis.tasks import task_names
from triaxis.tasks.stated import final_answer
from triaxis.types import NOISE_KINDS, Example, TriaxisError, Turn

ROOT = Path(__file__).parents[1]
SHIPPED = sorted((ROOT / "examples" / "data").glob("*.yaml"))


def example(i, thought, solution, reference=None, domain="math", difficulty=None, **more):
    said = (Turn("user", f"question {i}"),)
    return Example(
        f"r{i}", said, thought, solution, final_answer(solution), reference, domain, difficulty, row=i, **more
    )


def sums(n=200, domains=("math", "shop"), levels=(1, 2, 3)):
    """Rows that double a sum, with a trace of two equations and a check."""
    rows = []
    for i in range(n):
        a, b = 3 + i, 4 + i % 7
        c, d = a + b, 2 * (a + b)
        thought = f"\n{a} + {b} = {c}.\nThen {c} * 2 = {d}.\nLet me check: {d} / 2 = {c}.\nYes, that's right.\n"
        solution = f"The whole is {d}.\n\n$\\boxed{{{d}}}$"
        rows.append(example(i, thought, solution, str(d), domains[i % len(domains)], levels[i % len(levels)]))
    return rows


def run(steps, rows, seed=0):
    out, entries, touched = make_examples([step_of(s, "step") for s in steps], rows, seed)
    return out, entries, touched


def ids(rows):
    return [row.id for row in rows]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def problems(n=30):
    return [
        {
            "uuid": f"p{i}",
            "problem": f"What is {i} + 4?",
            "response": f"<think>\nI add: {i} + 4 = {i + 4}.\n</think>\n\nIt is $\\boxed{{{i + 4}}}$.",
            "answer": str(i + 4),
            "subject": ("sums", "more sums")[i % 2],
            "level": i % 3,
            "extra": {"kept": [i]},
        }
        for i in range(n)
    ]


def recipe(source, steps, output="out.jsonl", **more):
    return parse_recipe({"source": source, "steps": steps, "output": output, **more})


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


# Structure


@pytest.mark.parametrize("task", task_names())
def test_the_labs_traces_become_those_that_the_task_gives(task):
    of = {
        s: list(open_examples(f"lab:{task}?n=60&structure={s}")) for s in ("long_cot", "short_cot", "no_cot")
    }  # fmt: skip
    for came in ("long_cot", "short_cot", "no_cot"):
        for kind in ("long_cot", "short_cot"):
            out, _, _ = run([{"structure": kind}], of[came])
            for new, right in zip(out, of[kind], strict=True):
                assert (new.thought, new.solution, new.answer) == (right.thought, right.solution, right.answer)
    out, _, _ = run([{"structure": "no_cot"}], of["long_cot"])
    assert [e.solution.split() for e in out] == [e.solution.split() for e in of["no_cot"]]
    assert all(e.thought is None for e in out)


def test_a_noisy_lab_row_is_shortened_as_it_stands_and_never_lengthened():
    rows = list(open_examples("lab:chain?n=60&structure=long_cot"))
    noise = {"noise": {"kind": "wrong_step", "rate": 1.0}}
    noisy, _, _ = run([noise], rows)
    short, _, _ = run([noise, {"structure": "short_cot"}], rows)
    for old, new in zip(noisy, short, strict=True):
        assert "wait" in old.thought
        assert "wait" not in new.thought
        assert new.solution == old.solution
    with pytest.raises(TriaxisError, match="a noisy trace can't be made longer"):
        run([{"structure": {"kind": "long_cot", "otherwise": "error"}}], short)


SHORT = [  # a trace, and what is left of it; None: no rule holds
    ("3 + 4 = 7. So 7 * 2 = 14.", "3 + 4 = 7. So 7 * 2 = 14."),
    ("3 + 4 = 7. Let me check: 7 - 4 = 3. Yes, that's right. So 7 * 2 = 14.", "3 + 4 = 7. So 7 * 2 = 14."),
    ("3 + 4 = 8. Wait, that's not right. 3 + 4 = 7. So 7 * 2 = 14.", "3 + 4 = 7. So 7 * 2 = 14."),
    ("2 + 2 = 4.\n3 + 4 = 8.\nHmm.\nThat can't be.\n3 + 4 = 7.", "2 + 2 = 4.\n3 + 4 = 7."),
    ("3 + 4 = 8. Wait, no. 3 + 4 = 7. As 8 is even, go on.", None),  # the slip's result is used
    ("3 + 4 = 7. Let me verify: 7 + 5 = 12. Correct. So 12 it is.", None),  # the check's result is used
    ("3 + 4 = 7. Let me check: 7 - 4 = 3. Hmm, is it?", None),
    ("3 + 4 = 7. Wait, I forgot the apples. 7 + 1 = 8.", None),
    ("First 3 + 4 = 7. Alternatively, count them.", None),
    ("3 + 4 = 8. No, 3 + 4 = 7.", None),
    ("5 + 4 = 8.\nBut wait, that is off.\n5 + 4 = 9.\nSo 9.", "5 + 4 = 9.\nSo 9."),
    ("5 + 4 = 8.\nI made a mistake. 5 + 4 = 9.\nSo 9.", "5 + 4 = 9.\nSo 9."),
    ("5 + 4 = 8. So wait, that can't be right. 5 + 4 = 9. So 9.", "5 + 4 = 9. So 9."),
    ("I made 3 + 4 = 7. I need to recheck that: 7 - 4 = 3, yes. So 7.", "I made 3 + 4 = 7. So 7."),
    ("5 + 4 = 8.\nLet me check: 8 - 4 = 4, which is not correct.\nSo the total is 8.", None),  # a check that failed
    ("5 + 4 = 9.\nLet me check: 9 - 4 = 5, which isn't right.\nSo the total is 9.", None),
    ("2 + 3 = 5.\n5 + 4 = 8.\nLet me check: is 8 correct?\nIt isn't.\n5 + 4 = 9.", None),
    ("5 + 4 = 9. Let me check whether that is correct. So 9.", None),
    ("5 + 4 = 9. Let me verify: 9 - 4 = 6. Yes, that's right. So 9.", None),  # the check is wrong
    ("5 + 4 = 8.\nI need to recheck this. 4 + 5 = 9, yes.\nSo it is.", None),  # and comes to another number
    ("5 + 4 = 9.\nIt makes sense. So 9.", None),  # a check, as the profile tells them, that no rule takes out
    ("3 + 4 = 8. 8 * 2 = 16.", None),  # no detour, and no verified step
    ("Let me check: 3 + 4 = 8. It isn't. So 8.", None),
]


def test_short_traces_are_short_and_right_as_the_profile_sees_them():
    rows = list(open_examples(str(ROOT / "examples" / "data" / "word-problems.jsonl")))
    out, _, _ = run([{"structure": "short_cot"}], rows)
    assert len(out) == 90
    assert {kind_of(e) for e in out} == {"short_cot"} != {kind_of(e) for e in rows}
    assert not [e for e in out if check_equations(e.thought).slips]


@pytest.mark.parametrize(("thought", "left"), SHORT)
def test_detours_are_taken_out_where_a_rule_holds(thought, left):
    out, (entry,), _ = run(
        [{"structure": {"kind": "short_cot", "shortfall": 1.0}}], [example(0, thought, "\\boxed{14}")]
    )
    assert [row.thought for row in out] == ([] if left is None else [left])
    assert entry.left_out.total() == (left is None)


def test_what_can_not_be_made_is_left_out_kept_or_an_error():
    rows = [
        example(0, "3 + 4 = 7.", "\\boxed{7}"),
        example(1, "Wait, what?", "\\boxed{8}"),
        example(2, None, "So it is."),
    ]
    assert ids(run([{"structure": {"kind": "short_cot", "shortfall": 1}}], rows)[0]) == ["r0"]
    kept, (entry,), _ = run([{"structure": {"kind": "short_cot", "otherwise": "keep", "shortfall": 1}}], rows)
    assert kept == rows
    assert entry.could_not == {"a turn that no rule can tell": 1, "no trace": 1}
    with pytest.raises(TriaxisError, match="row r1: no short_cot: a turn that no rule can tell"):
        run([{"structure": {"kind": "short_cot", "otherwise": "error"}}], rows)
    with pytest.raises(TriaxisError, match=r"2 of 3 rows can't be made short_cot.*`shortfall` allows"):
        run([{"structure": "short_cot"}], rows)


def test_long_cot_keeps_what_is_long_and_no_cot_says_where_a_thought_has_no_tags():
    long = "3 + 4 = 7. Wait, let me double-check. 4 + 3 = 7. Yes, that's right. Hmm, is that right? Wait, yes. So 7."
    rows = [
        example(0, long, "\\boxed{7}"),
        example(1, "3 + 4 = 7.", "\\boxed{7}"),
        example(2, None, f"{long}\nThe answer is 7."),
        example(3, None, "\\boxed{7}"),
    ]
    out, (entry,), _ = run([{"structure": "long_cot"}], rows)
    assert out == [rows[0], rows[2]] and {kind_of(e) for e in out} == {"long_cot"}
    assert entry.left_out == {"a short trace": 1, "no trace": 1}
    out, (entry,), _ = run([{"structure": "no_cot"}], rows)
    assert [(e.id, e.thought) for e in out] == [("r0", None), ("r1", None), ("r3", None)]
    assert entry.left_out == {"a thought without tags": 1}


def test_a_study_of_long_traces_is_refused_where_the_file_has_short_ones():
    rows = [example(i, f"{i} + 4 = {i + 4}.", f"\\boxed{{{i + 4}}}") for i in range(40)]
    with pytest.raises(
        TriaxisError, match=r"data.structure: 40 of 40 rows can't be made long_cot: a short trace .*0.05"
    ):
        applied({"structure": "long_cot"}, rows, 0)


def test_answer_only_keeps_the_form_of_the_answer():
    said = (
        "Since 3 plus 4 is 7 and twice that is 14, and we then take away 2, the answer is 12.",
        "**Final answer:** 12",
        "So it is\n$\\boxed{\\frac{1}{2}}$.",
        "We get 3.\n#### 3",
        "Thus. The answer is 7. Done.",
        "No idea what it could be at all.",
    )
    rows = [example(i, "t", solution) for i, solution in enumerate(said)]
    out, _, _ = run([{"structure": "answer_only"}], rows)
    assert [(e.thought, e.solution, e.answer) for e in out] == [
        (None, "The answer is 12.", "12"),
        (None, "**Final answer:** 12", "12"),
        (None, "$\\boxed{\\frac{1}{2}}$", "\\frac{1}{2}"),
        (None, "#### 3", "3"),
        (None, "The answer is 7.", "7"),
    ]


# Which rows, and how many


def test_scale_is_nested_and_keeps_the_order():
    rows = sums(300)
    sets = {n: ids(run([{"scale": n}], rows)[0]) for n in (10, 100, 300)}
    assert set(sets[10]) < set(sets[100]) < set(sets[300])
    assert all(found == sorted(found, key=ids(rows).index) and len(found) == n for n, found in sets.items())
    assert set(sets[100]) == set(ids(run([{"scale": 100}], rows[::-1])[0]))  # whatever order they came in
    with pytest.raises(TriaxisError, match="301 rows are asked for, and only 300 come"):
        run([{"scale": 301}], rows)


def test_a_mixture_has_its_shares():
    rows = sums(300)
    shares = {"math/easy": 0.5, "shop/hard": 0.3, "shop/medium": 0.2}
    out, _, _ = run([{"mixture": {"shares": shares, "by": "both", "total": 60}}], rows)
    assert Counter((e.domain, e.difficulty) for e in out) == {("math", 1): 30, ("shop", 3): 18, ("shop", 2): 12}
    assert ids(out) == sorted(ids(out), key=ids(rows).index)
    more, _, _ = run([{"mixture": {"shares": shares, "by": "both", "total": 90}}], rows)
    assert set(ids(out)) < set(ids(more))
    balanced, _, _ = run([{"mixture": {"shares": "balanced", "by": "both"}}], rows)
    assert set(Counter((e.domain, e.difficulty) for e in balanced).values()) == {50}
    by_domain, _, _ = run([{"mixture": {"shares": {"math": 0.25, "shop": 0.75}, "by": "domain", "total": 100}}], rows)
    assert Counter(e.domain for e in by_domain) == {"math": 25, "shop": 75}


@pytest.mark.parametrize(
    "levels", [(1, 2, 3), (0.1, 0.5, 0.9), ("easy", "medium", "hard"), ("Level 1", "Level 3", "Level 5")]
)
def test_easy_hard_and_curriculum_by_any_kind_of_difficulty(levels):
    rows = sums(90, levels=levels)
    for shares, level in (("easy_only", levels[0]), ("hard_only", levels[2])):
        out, _, _ = run([{"mixture": shares}], rows)
        assert {e.difficulty for e in out} == {level}
        assert len(out) == 30
    out, _, _ = run([{"mixture": {"shares": "as_is", "order": "curriculum"}}], rows)
    assert sorted(ids(out)) == sorted(ids(rows))
    assert [e.difficulty for e in out] == [level for level in levels for _ in range(30)]
    assert ids(out)[:30] != ids(run([{"select": {"difficulty": levels[0]}}], rows)[0])  # within a level, as drawn


def test_many_levels_are_cut_into_bands():
    rows = [example(i, "t", "\\boxed{1}", difficulty=i / 100) for i in range(100)]
    out, _, _ = run([{"mixture": {"shares": {"easy": 0.5, "hard": 0.5}, "bands": 2, "total": 20}}], rows)
    assert Counter(e.difficulty < 0.5 for e in out) == {True: 10, False: 10}
    own, _, _ = run([{"mixture": {"shares": {"0.25": 1.0}, "bands": "own"}}], rows)
    assert ids(own) == ["r25"]


def test_words_of_difficulty_in_no_known_order_must_be_listed():
    rows = sums(30, levels=("bronze", "silver", "gold"))
    with pytest.raises(
        TriaxisError, match="which of bronze, gold, silver is harder isn't known; list them in `levels`"
    ):
        run([{"mixture": "easy_only"}], rows)
    out, _, _ = run([{"mixture": {"shares": "hard_only", "levels": ["bronze", "silver", "gold"]}}], rows)
    assert {e.difficulty for e in out} == {"gold"}


def test_a_cell_with_too_few_rows_is_an_error_filled_or_repeated():
    rows = [*sums(20, domains=("math",)), *(replace(r, id=f"s{r.id}", domain="shop") for r in sums(4))]
    wanted = {"shares": {"math": 0.5, "shop": 0.5}, "by": "domain", "total": 16}
    with pytest.raises(TriaxisError, match="shop has 4 rows, and 8 are asked for; lower `total`"):
        run([{"mixture": wanted}], rows)
    filled, (entry,), _ = run([{"mixture": wanted | {"short": "fill"}}], rows)
    assert Counter(e.domain for e in filled) == {"math": 12, "shop": 4}
    assert entry.notes == ["shop has 4 rows, and 8 are asked for"]
    repeated, _, _ = run([{"mixture": wanted | {"short": "repeat"}}], rows)
    assert Counter(e.domain for e in repeated) == {"math": 8, "shop": 8}
    assert sorted(i for i in ids(repeated) if i.startswith("s")) == sorted(
        f"sr{i}{c}" for i in range(4) for c in ("", "~2")
    )
    with pytest.raises(TriaxisError, match="rows are missing even when filled"):
        run([{"mixture": wanted | {"short": "fill", "total": 40}}], rows)
    with pytest.raises(TriaxisError, match="no row is of shp; did you mean shop"):
        run([{"mixture": wanted | {"shares": {"math": 0.5, "shp": 0.5}}}], rows)


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=8), st.integers(0, 500))
def test_apportioned_numbers_sum_are_near_and_never_fall(weights, total):
    shares = {str(i): w / sum(weights) for i, w in enumerate(weights)}
    found, more = apportioned(shares, total), apportioned(shares, total + 1)
    assert sum(found.values()) == total
    assert all(abs(found[cell] - share * total) < max(1, len(shares) / 2) for cell, share in shares.items())
    assert sorted(more[cell] - found[cell] for cell in shares) == [0] * (len(shares) - 1) + [1]


@pytest.mark.parametrize("short", ["error", "fill"])
def test_every_total_of_a_mixture_holds_the_rows_of_the_smaller_ones(short):
    sizes = (90, 90, 30) if short == "error" else (50, 150, 30)
    rows = [
        example(i, "t", "\\boxed{1}", domain=c)
        for i, c in enumerate(c for c, n in zip("abc", sizes, strict=True) for _ in range(n))
    ]
    shares = {"a": 6 / 14, "b": 6 / 14, "c": 2 / 14}
    before = set()
    for total in range(1, 201):
        out, _, _ = run([{"mixture": {"shares": shares, "by": "domain", "total": total, "short": short}}], rows)
        assert before < set(ids(out)) and len(out) == total
        before = set(ids(out))


def test_bands_are_named_by_their_order_and_told():
    rows = [example(i, "t", "\\boxed{1}", difficulty=1 if i < 90 else 2 if i < 95 else 3) for i in range(100)]
    for shares, levels in (("easy_only", {1: 90}), ("hard_only", {2: 5, 3: 5})):
        out, (entry,), _ = run([{"mixture": shares}], rows)
        assert Counter(e.difficulty for e in out) == levels
        assert entry.notes == ["difficulty: easy is 1 (90 rows); hard is 2, 3 (10 rows)"]
    with pytest.raises(TriaxisError, match="no row is of medium; there are easy, hard"):
        run([{"mixture": {"shares": {"medium": 0.5, "easy": 0.5}}}], rows)
    many = [example(i, "t", "\\boxed{1}", difficulty=i) for i in range(90)]
    _, (entry,), _ = run([{"mixture": "balanced"}], many)
    assert entry.notes[0].startswith("difficulty: easy is 0 to 29 (30 rows); medium is 30 to 59")


@pytest.mark.parametrize("shares", ["easy_only", "hard_only", "balanced"])
def test_one_difficulty_alone_has_no_easy_and_no_hard_rows(shares):
    rows = [example(i, "t", "\\boxed{1}", difficulty=3) for i in range(10)]
    with pytest.raises(
        TriaxisError, match=rf"every row whose difficulty is known is of 3, so that {shares} is nothing"
    ):
        run([{"mixture": shares}], rows)
    assert run([{"mixture": {"shares": "as_is", "order": "curriculum"}}], rows)[0]


def test_exposure_shows_each_row_in_every_epoch():
    rows = sums(100)
    steps = {"distinct": 20, "presentations": 50, "batch_size": 8, "write": "rows"}
    out, (entry,), _ = run([{"exposure": steps}], rows)
    shown = [id.partition("~")[0] for id in ids(out)]
    distinct = set(ids(run([{"scale": 20}], rows)[0]))  # the same rows as scale takes
    assert set(shown[:20]) == set(shown[20:40]) == distinct
    assert len(shown) == 50
    assert len(set(shown[40:])) == 10
    assert shown[:20] != shown[20:40]
    assert len(set(ids(out))) == 50
    assert entry.notes == [
        "20 distinct rows, 50 presentations, 2.5 epochs: 7 steps of 8 in one stream",
        "8 steps where a trainer ends every epoch with a smaller batch",
    ]


def test_select_by_what_a_row_is_and_a_name_that_no_row_has():
    rows = sums(60)
    out, _, _ = run([{"select": {"domain": "shop", "difficulty": "2-3"}}], rows)
    assert {(e.domain, e.difficulty) for e in out} == {("shop", 2), ("shop", 3)}
    assert ids(run([{"select": {"ids": ["r3", "r7"]}}], rows)[0]) == ["r3", "r7"]
    for step, said in (
        ({"domain": "shp"}, "no row has domain shp; did you mean shop?"),
        ({"difficulty": [1, 9]}, "no row has difficulty 9"),
        ({"ids": ["r3", "r777"]}, "no row has id r777"),
    ):
        with pytest.raises(TriaxisError, match=said):
            run([{"select": step}], rows)


def test_cap_drops_and_never_cuts():
    rows = [example(i, None, "word " * i + "\\boxed{1}") for i in range(1, 40)]
    out, (entry,), touched = run([{"cap": {"limit": 20, "unit": "words"}}], rows)
    assert out == rows[:19]
    assert entry.left_out == {"more than 20 words": 20}
    assert touched[0][2:] == ("r20", "more than 20 words: 21")
    folder = str(ROOT / "src" / "triaxis" / "axes" / "model" / "bases" / "strong")
    lab = list(open_examples("lab:chain?n=30&structure=long_cot"))
    out, (entry,), _ = run([{"cap": {"limit": 60, "tokenizer": folder, "of": "thought"}}], lab)
    assert [e for e in lab if len(e.thought.split()) <= 60] == out
    assert 0 < len(out) < 30
    with pytest.raises(TriaxisError, match=r"tokenizer: nowhere: no such file"):
        run([{"cap": {"limit": 60, "tokenizer": "nowhere"}}], lab)


def test_dedupe_keeps_the_first_of_each():
    long = "A train leaves the station at noon and goes east at sixty miles an hour for three hours without a stop"
    asked = ["What is 2 + 2?", "what is  2 + 2", "What is 2 + 3?", long, long + " today", "What is 2 + 2?"]
    rows = [replace(e, turns=(Turn("user", q),), reference="4") for e, q in zip(sums(6), asked, strict=True)]
    assert ids(run([{"dedupe": "exact"}], rows)[0]) == ["r0", "r1", "r2", "r3", "r4"]
    assert ids(run(["dedupe"], rows)[0]) == ["r0", "r2", "r3", "r4"]
    near, _, touched = run([{"dedupe": "near"}], rows)
    assert ids(near) == ["r0", "r2", "r3"]
    assert (0, "left_out", "r4", "its prompt is nearly one that came before: r3") in touched


def test_verify_keeps_the_correct():
    said = (("#### 1,000", "1000"), ("#### 3", "4"), ("So what then is it", "4"), ("#### 3", None), ("#### 0.5", "1/2"))
    rows = [example(i, None, *each) for i, each in enumerate(said)]
    out, (entry,), _ = run(["verify"], rows)
    assert ids(out) == ["r0", "r4"]
    assert entry.left_out == {"wrong": 1, "no answer": 1, "no reference": 1}
    assert ids(run([{"verify": {"unchecked": "keep"}}], rows)[0]) == ["r0", "r2", "r3", "r4"]


def test_replay_is_nested_in_its_share_and_keeps_the_total():
    rows, safe = sums(100), [replace(r, id=f"safe{i}", domain="safety") for i, r in enumerate(sums(40))]

    def made(share, how="replace"):
        steps = [step_of({"replay": {"source": "safe", "share": share, "how": how}}, "step")]
        return make_examples(steps, rows, 0, opener=lambda path, **_: safe)[0]

    few, many, added = made(0.1), made(0.3), made(0.2, "add")
    assert (len(few), len(many), len(added)) == (100, 100, 125)
    replayed = [{e.id for e in out if e.domain == "safety"} for out in (few, many, added)]
    assert [len(r) for r in replayed] == [10, 30, 25]
    assert replayed[0] < replayed[2] < replayed[1]
    assert {e.id for e in many if e.domain != "safety"} < {e.id for e in few if e.domain != "safety"}
    assert [e.id for e in added if e.domain != "safety"] == ids(rows)
    with pytest.raises(TriaxisError, match=r"a share of 0\.5 is 50 rows, and safe has 40"):
        made(0.5)


def test_decontaminate_leaves_out_what_is_evaluated(here):
    rows = problems()
    path = write(
        here / "eval.jsonl",
        [{"problem": rows[3]["problem"], "answer": "7"}, {"problem": "What is love?", "answer": "?"}],
    )
    out, (entry,), _ = run([{"decontaminate": path}], open_examples(write(here / "a.jsonl", rows)))
    assert ids(out) == [f"p{i}" for i in range(30) if i != 3]
    assert entry.left_out.total() == 1


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
