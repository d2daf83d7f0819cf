"""Traces made long, short, none or the bare answer: what goes, what stays, and which rows can't be made so."""

import pytest

from recipe_cases import ROOT, example, ids, run
from triaxis.axes.data.open import open_examples
from triaxis.axes.data.profile.arithmetic import check_equations
from triaxis.axes.data.profile.structure import kind_of
from triaxis.axes.data.recipes import applied
from triaxis.tasks import task_names
from triaxis.types import TriaxisError


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
