"""What a response does: copying counted by hand, steps verified against the item, and both kept with the records."""

import tracemalloc

import pyarrow.parquet as pq
import pytest

from test_records_store import COSTS, new_store, records
from triaxis.axes.model import load_base
from triaxis.evaluate import Ngrams, measure
from triaxis.evaluate.measure import questions
from triaxis.execute.conduct import job_of
from triaxis.execute.run import follow
from triaxis.records import parts, read_table
from triaxis.study import parse_study
from triaxis.tasks import get_task, task_names
from triaxis.tasks.words import Words
from triaxis.types import Checkpoint, Record


def test_ngrams_are_counted_by_hand():
    known = Ngrams(["a b c d", "x y"], n=3)
    assert len(known) == 2  # abc, bcd
    assert known.share("a b c d") == 1.0
    assert known.share("z a b c") == 0.5 and known.share("c b a") == 0.0
    assert known.share("b c x y") == 0.0, "an n-gram lies within one text"
    assert known.share("a b") is None, "too short to hold one: not 0"
    assert Ngrams([], n=2).share("a b c") == 0.0
    with pytest.raises(ValueError, match="one word or more"):
        Ngrams(["a"], n=0)


def test_ngrams_agree_with_sets_of_words_whatever_the_chunks(monkeypatch):
    monkeypatch.setattr("triaxis.evaluate.behaviours._CHUNK", 500)
    task = get_task("chain")
    texts = [e.traces["long_cot"] for e in task.examples("train", 0, 60)]
    asked = [e.traces["short_cot"] for e in task.examples("eval", 0, 30)] + texts[:3]

    def grams(text):
        words = text.split()
        return [tuple(words[i : i + 8]) for i in range(len(words) - 7)]

    plain = {gram for text in texts for gram in grams(text)}
    known = Ngrams(texts)
    assert len(known) == len(plain)
    for text in asked:
        assert known.share(text) == sum(gram in plain for gram in grams(text)) / len(grams(text))


def test_ngrams_take_eight_bytes_each():
    texts = [" ".join(str((i * 7919 + k * k) % 9973) for k in range(200)) for i in range(300)]
    tracemalloc.start()
    known = Ngrams(texts)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(known) > 50_000 and held < 8 * len(known) + 2_500_000  # the words themselves: ten thousand


@pytest.mark.parametrize("name", [name for name in task_names() if name != "refusal"])
def test_reference_traces_hold_every_step_and_wrong_ones_fewer(name):
    task = get_task(name)
    examples = task.examples("eval", 1, 20)
    for example in examples:
        for structure in ("short_cot", "long_cot"):
            assert task.verified_steps(example, example.traces[structure]) == example.level
        assert task.verified_steps(example, example.traces["no_cot"]) == 0
        assert task.verified_steps(example, task.noisy(example, "long_cot", 0)) < example.level


def test_steps_count_once_under_their_label_and_as_they_were_left():
    task = get_task("chain")
    example = task.examples("eval", 0, 1)[0]
    first, second = task.derive(task.problem(example))[:2]
    one, two = task.show_step(first), task.show_step(second)
    wrong = task.show_step(first._replace(after=(first.after + 1) % 10))

    def steps(text):
        return task.verified_steps(example, f"<think> {text}")

    assert steps(f"i1 {one} ;") == 1 and steps(f"i1 {one} ; i1 {one} ; i1 {one} ;") == 1
    assert steps(f"i1 {one} ; i2 {two} ;") == 2 and steps(f"i2 {one} ; i1 {two} ;") == 0
    assert steps(f"i1 {wrong} wait {one} no {task.show(first.after)} ok ;") == 1
    assert steps(f"i1 {one} wait {wrong} ok ;") == 0 and steps(f"i1 {wrong} ;") == 0
    assert steps(f"i1 {one}") == 0, "cut off before its end"
    assert get_task("refusal").verified_steps(get_task("refusal").examples("eval", 0, 1)[0], "refuse") is None


def test_a_task_says_whose_surface_it_varies():
    assert (get_task("words").variant_of, get_task("words").variant) == ("chain", "wording")
    assert all(get_task(name).variant_of == "" for name in task_names() if name != "words")
    with pytest.raises(ValueError, match="names another task"):
        Words(variant=None)


def test_a_run_measures_both_and_its_base_only_the_steps(tmp_path):
    study = parse_study(
        {
            "name": "one",
            "model": {"base": "lab:weak"},
            "data": {"task": "chain", "structure": "short_cot", "examples": 40},
            "optimization": {"learning_rate": 1e-3, "batch_size": 20, "epochs": 1},
            "seeds": [0],
            "tasks": {"in_domain": ["chain"], "near_ood": ["words"], "safety": ["refusal"]},
            "trajectory": {"steps": [1]},
            "evaluation": {"items": 4, "modes": ["default", "think"]},
        }
    )
    run = study.runs()[0]
    (base,) = follow(job_of(study, run, base=True))
    first = next(follow(job_of(study, run)))
    assert all(r.copied is None for r in base.records)
    for record in (*base.records, *first.records):
        assert (record.verified_steps is None) == (record.task == "refusal")
    long = [r for r in first.records if len(r.text.split()) > 9]
    assert long and all(0 <= r.copied <= 1 for r in long)


def test_copying_is_of_what_the_model_wrote_not_of_what_was_put_in_its_mouth():
    model, tokenizer = load_base("lab:weak")
    asked = questions(
        {"in_domain": ["chain"]}, tokenizer, items=3, samples=1, modes=["think"], max_new_tokens=12, seed=0
    )
    known = Ngrams(["<think>"], n=1)
    told = measure(model, tokenizer, asked, run="a", step=1, temperature=0.0, batch_size=8, traces=known)
    assert all(r.text.startswith("<think>") and r.copied == 0 for r in told)


def test_both_are_kept_and_read_and_variants_are_told(tmp_path):
    with new_store(tmp_path / "s") as store:
        store.write_base("lab:strong", records("", 0), COSTS)
        own = [with_both(r, 0.25, 3) for r in records("a", 4)]
        own += [with_both(r, None, None, task="words", item=r.item.replace("chain", "words")) for r in own]
        store.write_checkpoint("a", Checkpoint(4), own, COSTS)
    rows = read_table(tmp_path / "s").arrow.to_pylist()
    trained = [row for row in rows if row["step"] == 4]
    assert {(r["task"], r["copied"], r["verified_steps"], r["variant_of"] or None, r["variant"]) for r in trained} == {
        ("chain", 0.25, 3.0, None, None),
        ("words", None, None, "chain", "wording"),
    }
    assert all(row["copied"] is None for row in rows if row["step"] == 0)


def with_both(record, copied, steps, **more):
    return Record(**{**vars(record), "copied": copied, "verified_steps": steps, **more})


def test_a_folder_from_before_they_were_measured_still_reads(tmp_path, monkeypatch):
    before = tuple(name for name in parts.COLUMNS if name not in parts.LATER)
    with new_store(tmp_path / "s") as store:
        with monkeypatch.context() as old:
            old.setattr(parts, "COLUMNS", before)
            store.write_base("lab:strong", records("", 0), COSTS)
            store.write_checkpoint("a", Checkpoint(4), records("a", 4), COSTS)
        old_only = store.table().arrow
        store.write_checkpoint("a", Checkpoint(8), [with_both(r, 0.5, 2) for r in records("a", 8)], COSTS)
    part = next((tmp_path / "s" / "records" / "a").glob("*04.parquet"))
    assert "copied" not in pq.read_schema(part).names
    assert "copied" not in old_only.column_names, "a table has a measurement only where it was made"
    rows = read_table(tmp_path / "s").arrow.to_pylist()
    assert {(r["step"], r["copied"]) for r in rows} == {(0, None), (4, None), (8, 0.5)}
