"""Responses as text: thoughts and their tags, stated answers, and what counts as the same text."""

import random
import time

import pytest

from triaxis.axes.data.seen import Seen
from triaxis.axes.data.text import TAGS, ngrams, normalised, parts_of, split_thought
from triaxis.tasks import get_task, task_names
from triaxis.tasks.stated import boxed, final_answer, stated_answer, with_answer

STATED = [  # solution, form, answer
    (r"So \boxed{\frac{1}{2}}.", "boxed", r"\frac{1}{2}"),
    (r"First \boxed{3}, and in the end \boxed{4}", "boxed", "4"),
    (r"\boxed{\{1, 2\}}", "boxed", r"\{1, 2\}"),
    (r"\boxed{\left\{ x \right.}", "boxed", r"\left\{ x \right."),
    (r"\fbox{7}", "boxed", "7"),
    (r"\boxed{ 7 } and \boxed{8", "boxed", "7"),
    ("<answer>\n1 2\n3 4\n</answer>", "tagged", "1 2\n3 4"),
    (r"\boxed{5} <answer>6</answer>", "tagged", "6"),
    ("2 + 2 = 4\n#### 1,234", "hashes", "1,234"),
    ("#### 18\nThat is all.", "hashes", "18"),
    ("Words.\n#### Blue cheese \n", "hashes", "Blue cheese"),
    ("#### Step 1: add\n2 + 2 = 4\n#### Step 2: say it\nThe answer is 4.", "said", "4"),
    ("<answer> one <answer>two</answer>", "tagged", "two"),
    ("The final answer is: **12**. I hope it is correct.", "said", "12"),
    ("**Answer:** $3.5$", "said", "3.5"),
    ("Thus the answer is 3.5.", "said", "3.5"),
    ("the answer is 1, no, the answer is (C).", "said", "(C)"),
    (" A f c e ", "lab", "f c e"),
    ("42", "bare", "42"),
    ("  12 apples.\n", "bare", "12 apples"),
]
NOT_STATED = ["", "  \n", r"\boxed{4", r"\boxed{}", "We add 17 and 25, which makes 42 apples", "one\ntwo",
              "<answer>4", "### 4\n#### Conclusion\nWe are done here, all of us.",
              "The answer is " + "not easy to find, since " * 8]  # fmt: skip


@pytest.mark.parametrize(("solution", "form", "answer"), STATED)
def test_a_stated_answer_is_found_and_can_be_replaced(solution, form, answer):
    found = stated_answer(solution)
    assert found is not None and found.form == form
    assert final_answer(solution) == answer == solution[found.start : found.end]
    changed = with_answer(solution, "99")
    assert changed == solution[: found.start] + "99" + solution[found.end :]
    if form != "lab":  # where 99 is no word
        assert final_answer(changed) == "99"


@pytest.mark.parametrize("solution", NOT_STATED)
def test_no_answer_is_guessed(solution):
    assert final_answer(solution) is None and with_answer(solution, "1") is None


def test_openings_without_an_end_take_no_time():
    began = time.process_time()
    assert final_answer("<answer>" * 100_000) is None and final_answer("<answer>" * 100_000 + "7</answer>") == "7"
    assert final_answer("#### a\n" * 50_000 + "the answer is " * 50_000) == "the answer is"
    assert time.process_time() - began < 2


@pytest.mark.parametrize("task", [name for name in task_names() if name != "refusal"])
def test_the_answer_of_every_lab_trace_is_found(task):
    for item in get_task(task).examples("train", 0, 20):
        for trace in item.traces.values():
            assert final_answer(split_thought(trace)[1]) == item.answer


def test_every_box_in_order():
    assert boxed(r"\boxed{a} \fbox{b_{1}} \boxed {c\}} \boxed{\boxed{d}} \boxed{e") == [
        "a", "b_{1}", r"c\}", r"\boxed{d}"]  # fmt: skip
    assert boxed("{" * 50_000 + r"\boxed{" * 2000) == []


def test_nothing_is_lost_in_taking_a_response_apart():
    rng = random.Random(0)
    pieces = [tag for tags in TAGS for tag in tags] + ["<|begin_of_solution|>", "<|end_of_solution|>", " ", "\n", "x"]
    thoughts = 0
    for _ in range(3000):
        response = "".join(rng.choices(pieces, k=rng.randint(0, 6)))
        for opened in (True, False):
            parts, problem = parts_of(response, opened=opened)
            assert parts.joined() == response
            assert parts.thought is None or not problem
            assert split_thought(response, opened=opened)[:2] == (parts.thought, parts.solution)
            thoughts += parts.thought is not None
    assert thoughts > 100


@pytest.mark.parametrize(
    ("response", "thought", "solution"),
    [
        ("<think>\na\n</think>\n\nb", "\na\n", "\n\nb"),
        ("\n<think></think>b", "", "b"),
        ("<thinking>a</thinking>b", "a", "b"),
        ("no tags", None, "no tags"),
        ("a < b and <b>bold</b>", None, "a < b and <b>bold</b>"),
    ],
)
def test_thought_and_solution(response, thought, solution):
    assert split_thought(response) == (thought, solution, [])


def test_a_thought_that_the_prompt_opened():
    assert split_thought("a</think>b", opened=False) == ("a", "b", [])
    assert split_thought("<think>a</think>b", opened=False) == ("a", "b", [])
    thought, solution, problems = split_thought("a</think>b")
    assert (thought, solution) == (None, "a</think>b") and "never opened" in problems[0]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("What is $3 + 4$?", "what is 3  + 4", True),
        ("ＡＢ １２", "ab 12", True),
        (r"\(x = 2\)", "( x = 2 )", True),
        ("3 + 4", "3 - 4", False),
        ("3.5 m", "35 m", False),
        ("(2 + 3) * 4", "2 + 3 * 4", False),
        ("x < y", "x > y", False),
    ],
)
def test_what_is_the_same_text(one, other, same):
    assert (normalised(one) == normalised(other)) == same
    assert normalised(normalised(one)) == normalised(one)


def test_ngrams():
    assert ngrams(["a", "b", "c", "d"], 3) == [("a", "b", "c"), ("b", "c", "d")]
    assert ngrams(["a"], 2) == []


def test_ids_seen_before_are_known_whatever_their_number():
    rng = random.Random(0)
    seen, known = Seen(), set()
    for _ in range(150_000):
        text = str(rng.randrange(120_000))
        assert seen.add(text) == (text not in known)
        known.add(text)
