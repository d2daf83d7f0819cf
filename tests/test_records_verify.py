"""The verifiers run again over stored responses agree with themselves, and tell what was altered."""

from dataclasses import replace

import pytest

from triaxis.records import Store, verify
from triaxis.tasks import get_task, task_names
from triaxis.types import Checkpoint, Outcome, Record, TriaxisError


def answered(run: str, step: int, n: int = 6) -> list[Record]:
    """Responses of every kind to every task: right, wrong, cut off, without an answer."""
    records = []
    for name in task_names():
        task = get_task(name)
        for i, example in enumerate(task.examples("eval", 0, n)):
            right = example.traces["short_cot"] if "short_cot" in example.traces else example.traces["no_cot"]
            text = (right, task.noisy(example, "short_cot", i), right[: len(right) // 2], "")[i % 4]
            finished = i % 4 != 2
            outcome = task.outcome(example, text, finished)
            records.append(
                Record(
                    run=run, step=step, task=name, group=task.group, mode="default", item=example.id, sample=0,
                    outcome=outcome, score=task.score(outcome), response_tokens=len(text.split()), thought=True,
                    finished=finished, text=text,
                )
            )  # fmt: skip
    return records


@pytest.fixture
def store(tmp_path):
    with Store.create(tmp_path / "s", "name: s\n", {}, []) as store:
        store.add_run("a", 0, "s", {"model.base": "lab:weak"}, {})
        store.write_base("lab:weak", answered("", 0), {})
        store.write_checkpoint("a", Checkpoint(8), answered("a", 8), {})
        yield store


def test_untouched_records_agree(store):
    result = verify(store)
    assert result.n == 2 * 6 * len(task_names()) and result.disagreements == ()
    assert {row["outcome"] for row in store.table().arrow.to_pylist()} >= {"correct", "wrong", "truncated", "unparsed"}


def test_what_was_altered_is_told(store):
    records = answered("a", 8)
    right = next(i for i, r in enumerate(records) if r.outcome is Outcome.CORRECT)
    wrong = next(i for i, r in enumerate(records) if r.outcome is Outcome.WRONG)
    records[right] = replace(records[right], text="")
    records[wrong] = replace(records[wrong], outcome=Outcome.CORRECT, score=1.0)
    store.write_checkpoint("a", Checkpoint(8), records, {})
    found = {(d.run, d.step, d.item, d.stored, d.now) for d in verify(store).disagreements}
    assert found == {
        ("a", 8, records[right].item, "correct (1)", "unparsed (0)"),
        ("a", 8, records[wrong].item, "correct (1)", "wrong (0)"),
    }


def test_a_task_that_is_gone_is_named(store):
    records = [replace(record, task="chian") for record in answered("a", 8)[:1]]
    store.write_checkpoint("a", Checkpoint(8), records, {})
    with pytest.raises(TriaxisError, match='"chian"'):
        verify(store)
