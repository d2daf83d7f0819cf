"""Reasoning behaviours: what each phrase is taken for, what only looks like one, and texts made to break the lists."""

import time

import pytest

from triaxis.axes.data.profile.behaviours import BEHAVIOURS, count_behaviours, find_behaviours
from triaxis.axes.data.profile.structure import kind_of
from triaxis.axes.data.text import split_thought
from triaxis.tasks import get_task, task_names
from triaxis.tasks.stated import final_answer
from triaxis.types import Example

SHOWN = [
    ("Let me double-check: 3 and 4 give 7.", "verification"),
    ("So 7. ✓", "verification"),
    ("Is that right? Yes.", "verification"),
    ("Wait, let me check that again.", "verification"),  # a wait that says what for
    ("Wait, that's not right.", "backtracking"),
    ("Hmm, but wait. The second one is larger.", "backtracking"),
    ("I made a mistake with the sign.", "backtracking"),
    ("Let me try a different approach.", "backtracking"),
    ("Step 2: subtract.", "subgoals"),
    ("First, I need to find the total.", "subgoals"),
    ("Let’s break this down into parts.", "subgoals"),  # a typographer's apostrophe
    ("Case 1: x is even.", "enumeration"),
    ("If x = 3, it is 9.", "enumeration"),
    ("There are three possibilities.", "enumeration"),
    ("Working backwards from 24, we divide.", "backward_chaining"),
    ("To get 24, we need 3 and 8.", "backward_chaining"),
]
LOOKALIKES = [
    "They wait for the bus for 20 minutes.",
    "Let me check in at the hotel first thing, says Tom.",
    "The right angle has 90 degrees.",
    "First, Ann buys 3 pears, and then Tom buys 2.",
    "A case of bottles holds 12 of them.",
    "He writes a check for 12 dollars.",
    "The waiter brings 3 plates.",
    "That's wrong for two reasons of taste.",
    "So 3 + 4 = 7, and the total is 7.",
    "",
    "   \n\n  ",
]


@pytest.mark.parametrize(("text", "behaviour"), SHOWN)
def test_a_phrase_shows_its_behaviour_and_no_other(text, behaviour):
    assert {name for name, n in count_behaviours(text).items() if n} == {behaviour}
    (found,) = find_behaviours(text)
    assert 0 <= found.start < found.end <= len(text)


@pytest.mark.parametrize("text", LOOKALIKES)
def test_what_only_looks_like_a_behaviour_is_none(text):
    assert not any(count_behaviours(text).values())


def test_a_sentence_shows_a_behaviour_once_and_the_next_one_again():
    once = "Let me verify and double-check and recheck this."
    assert count_behaviours(once)["verification"] == 1
    assert count_behaviours(f"{once} {once}")["verification"] == 2
    both = count_behaviours("Wait, that's wrong, so let me check the first line.")
    assert (both["backtracking"], both["verification"]) == (1, 1), "a withdrawal stays one where a check follows"


def test_case_and_place_do_not_matter():
    text = "Wait, no. Let me check that. Case 2: none. To get 10, we need 4."
    assert count_behaviours(text) == count_behaviours(text.upper()) == count_behaviours(f"\n\n{text}\n")


@pytest.mark.parametrize("name", [name for name in task_names() if name != "refusal"])
def test_the_labs_own_behaviours_are_known_from_its_problems(name):
    task = get_task(name)
    for item in task.examples("train", 3, 15):
        right = [task.show_step(step) for step in task.derive(task.problem(item))]
        for structure, waits in (("short_cot", 0), ("long_cot", item.level)):
            text = item.traces[structure]
            thought, solution, _ = split_thought(text)
            written = thought.split(" ; ")
            slips = sum(
                step.split(" wait ")[0].strip() != f"i{k} {shown}"
                for k, (step, shown) in enumerate(zip(written, right, strict=False), 1)
                if waits
            )
            counts = count_behaviours(thought.strip())
            assert counts == dict.fromkeys(BEHAVIOURS, 0) | {
                "subgoals": item.level, "verification": waits, "backtracking": slips,
            }  # fmt: skip
            example = Example("", (), thought, solution, final_answer(solution))
            assert kind_of(example) == structure


ADVERSARIAL = [
    "wait " * 200_000,
    "let me let me " * 70_000,
    "a" * 1_000_000,
    " " * 1_000_000,
    "\n" * 1_000_000,
    "what " * 200_000,
    "to get the " * 90_000,
    "if the last a b " * 60_000,
    "i need a b c " * 80_000,
    "for the a b c " * 70_000,
    "case iiiiiiiiiii " * 60_000,
    "٣" * 1_000_000,
    "\u202e\x00wait" * 160_000,
    "\ud800wait, " * 100_000,
]


@pytest.mark.parametrize("text", ADVERSARIAL, ids=lambda text: repr(text[:12]))
def test_time_is_linear_in_texts_made_to_break_it(text):
    count_behaviours("warm")  # the pattern is compiled once
    start = time.process_time()
    count_behaviours(text)
    assert time.process_time() - start < 1.0
