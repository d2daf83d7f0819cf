"""Checkpoints that give one answer to everything: found where they are planted, and nowhere else."""

import numpy as np
import pytest

from triaxis.records import Store
from triaxis.records.one_answer import in_words, one_answers
from triaxis.tasks import get_task
from triaxis.types import Checkpoint, Record


def records(task, answers, step=4, group="far_ood", items=None):
    """A response an item; `answers` gives each its answer, or None for none."""
    opened = get_task(task)
    found = []
    for i, item in enumerate(items or opened.examples("eval", 0, len(answers))):
        text = f"A {answers[i]}" if answers[i] is not None else "wait wait"
        outcome, score = opened.verdict(item, text, True)
        found.append(Record("r", step, task, group, "default", item.id, 0, outcome, score, 2, False, True, text))
    return found


def seen(tmp_path, *each):
    with Store.create(tmp_path / "out", "", {}, []) as store:
        store.add_runs([("r", 0, "s", {}, {"model.base": "lab:weak"})])
        for step, rows in each:
            store.write_checkpoint("r", Checkpoint(step), rows, {})
        return one_answers(store)


def test_one_answer_to_everything_is_found_with_what_it_is_worth(tmp_path):
    right = [item.answer for item in get_task("chain").examples("eval", 0, 60)]
    found, unseen = seen(tmp_path, (4, records("chain", ["5"] * 57 + [None] * 3)))
    (one,) = found
    assert (one.run, one.step, one.task, one.answer, one.share) == ("r", 4, "chain", "5", 57 / 60) and not unseen
    assert one.alone == pytest.approx(np.mean([answer == "5" for answer in right]))
    assert one.score == pytest.approx(np.mean([answer == "5" for answer in right[:57]]) * 57 / 60)
    (words,) = in_words(found, unseen)
    assert "far_ood, chain: 1 run ends with one answer ('5') to 80 % of the items or more" in words


def test_the_last_checkpoint_counts(tmp_path):
    right = [item.answer for item in get_task("chain").examples("eval", 0, 60)]
    assert seen(tmp_path, (4, records("chain", ["5"] * 60)), (8, records("chain", right, step=8))) == ([], {})


def test_answers_that_differ_few_items_refusals_and_alike_right_ones_are_left_alone(tmp_path):
    rng = np.random.default_rng(0)
    assert seen(tmp_path / "a", (4, records("chain", [str(n) for n in rng.integers(0, 10, 60)]))) == ([], {})
    assert seen(tmp_path / "b", (4, records("chain", [None] * 60))) == ([], {}), "no answer is no answer"
    assert seen(tmp_path / "c", (4, records("chain", ["5"] * 19))) == ([], {})
    assert seen(tmp_path / "d", (4, records("refusal", ["5"] * 60, group="safety"))) == ([], {})
    fives = [item for item in get_task("chain").examples("eval", 0, 600) if item.answer == "5"][:30]
    assert len(fives) == 30
    assert seen(tmp_path / "e", (4, records("chain", ["5"] * 30, items=fives))) == ([], {})


def test_a_task_that_is_gone_is_told_and_stops_nothing(tmp_path):
    asked = tmp_path / "asked.jsonl"
    rows = [f'{{"question": "what is {n}?", "answer": "{n}"}}' for n in range(30)]
    asked.write_text("\n".join(rows), encoding="utf-8")
    task = f"file:{asked}?verifier=exact"
    items = get_task(task).examples("eval", 0, 30)
    made = [
        Record("r", 4, task, "far_ood", "default", i.id, 0, "wrong", 0.0, 2, False, True, "\\boxed{7}") for i in items
    ]
    (one,), _ = seen(tmp_path / "there", (4, made))
    assert one.answer == "7" and one.alone == pytest.approx(1 / 30)
    asked.unlink()
    found, unseen = seen(tmp_path / "gone", (4, made))
    assert not found and list(unseen) == [task]
    assert in_words(found, unseen)[0].startswith("whether one answer is given to everything wasn't looked at in file:")
