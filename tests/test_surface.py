"""Surface variants: the same structure, another surface, the right answers along with it, and nothing trained on."""

import json

import pytest

from triaxis.records.columns import BY_NAME
from triaxis.records.store import Store
from triaxis.study import parse_study
from triaxis.tasks import STRUCTURES, get_task, surface_of, task_names, vocabulary
from triaxis.tasks.prompts import TEMPLATES, asked, question_of, said_alike, wordings
from triaxis.tasks.streams import held_out
from triaxis.types import TriaxisError


def letters_in(text):
    """The text with each letter a-f as the place of its first appearance: what a renaming leaves as it is."""
    seen = {}
    return [seen.setdefault(word, len(seen)) if word in set("abcdef") else word for word in text.split()]


@pytest.mark.parametrize("base", ["pointer", "letters"])
def test_renamed_symbols_of_the_lab(base):
    task, renamed = get_task(base), get_task(f"{base}?surface=symbols")
    assert (renamed.variant_of, renamed.variant) == (base, "symbols")
    for old, new in zip(task.examples("eval", 2, 40), renamed.examples("eval", 2, 40), strict=True):
        assert old.prompt != new.prompt and held_out(new.prompt) and old.level == new.level
        assert letters_in(f"{old.prompt} {old.answer}") == letters_in(f"{new.prompt} {new.answer}")
        assert set(new.prompt.split()) <= set(vocabulary())
        assert renamed.example(new.id) == new
        for structure in STRUCTURES:
            assert renamed.outcome(new, new.traces[structure], True) == "correct"
        assert renamed.verified_steps(new, new.traces["short_cot"]) == new.level
        if new.answer != old.answer:
            assert renamed.outcome(new, old.traces["short_cot"], True) == "wrong"


@pytest.mark.parametrize("base", task_names())
def test_other_numbers_of_the_lab(base):
    task, other = get_task(base), get_task(f"{base}?surface=numbers")
    ours, theirs = task.examples("eval", 0, 60), other.examples("eval", 0, 60)
    assert [e.level for e in ours] == [e.level for e in theirs]
    assert len({e.prompt for e in ours} & {e.prompt for e in theirs}) < 6
    assert all(held_out(e.prompt) for e in theirs)
    assert {e.prompt.split()[0] for e in theirs} <= set(task_names())


@pytest.mark.parametrize("name", ["rg:knights_knaves", "rg:simple_equations", "rg:zebra_puzzles"])
def test_renamed_symbols_of_reasoning_gym(name):
    task, renamed = get_task(name), get_task(f"{name}?surface=symbols")
    for old, new in zip(task.examples("eval", 1, 3), renamed.examples("eval", 1, 3), strict=True):
        assert old.prompt != new.prompt and held_out(said_alike(question_of(new.prompt)))
        assert len(old.prompt.split()) == len(new.prompt.split())
        assert renamed.outcome(new, f"<answer>{new.answer}</answer>", True) == "correct"
        if name != "rg:simple_equations":  # whose answer is a number
            assert renamed.outcome(new, f"<answer>{old.answer}</answer>", True) == "wrong"
        assert renamed.example(new.id) == new


def test_other_numbers_and_words_of_reasoning_gym():
    task, numbers, words = (get_task(f"rg:gcd{end}") for end in ("", "?surface=numbers", "?surface=wording"))
    train = {question_of(e.prompt) for e in task.examples("train", 0, 300)}
    ours, others, worded = (t.examples("eval", 0, 30) for t in (task, numbers, words))
    assert not {e.prompt for e in ours} & {e.prompt for e in others}
    for old, new in zip(ours, worded, strict=True):
        assert old.prompt != new.prompt and question_of(old.prompt) == question_of(new.prompt)
        assert old.answer == new.answer
    assert not train & {question_of(e.prompt) for e in [*ours, *others, *worded]}


def test_wordings_of_a_file_and_letters_of_its_choices(tmp_path):
    path = tmp_path / "quiz.jsonl"
    rows = [{"question": f"q{i}", "answer": "C", "choices": ["a", "b", f"right {i}", "d"]} for i in range(12)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ours, worded, symbols = (
        get_task(f"file:{path}?{end}verifier=choice") for end in ("", "surface=wording&", "surface=symbols&")
    )
    for old, said, moved in zip(*(t.examples("eval", 5, 8) for t in (ours, worded, symbols)), strict=True):
        assert question_of(old.prompt) == question_of(said.prompt) and old.prompt != said.prompt
        assert sorted(line[3:] for line in moved.prompt.splitlines()[1:5]) == sorted(
            line[3:] for line in old.prompt.splitlines()[1:5]
        )
        assert f"{moved.answer}. right" in moved.prompt and moved.prompt != old.prompt
        assert symbols.outcome(moved, f"\\boxed{{{moved.answer}}}", True) == "correct"
        assert old.id.rpartition(".")[2] == said.id.rpartition(".")[2] == moved.id.rpartition(".")[2]


@pytest.mark.parametrize("template", [name for name in TEMPLATES if name != "bare"])
def test_a_question_comes_back_from_every_wording(template):
    question = "What is {question} of\n\n3 {mark}?"
    assert question_of(asked(question, template)) == " ".join(question.split())
    for words in wordings(template):
        assert question_of(words.replace("{question}", question)) == " ".join(question.split())
        assert "{mark}" not in words


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("chain?surface=symbols", "the symbols of chain mean something; it can have surface=numbers"),
        ("chain?surface=wording", "chain in other words is the task words"),
        ("letters?surface=wording", "letters has one wording; it can have surface=numbers and surface=symbols"),
        ("chain?levels=3", "no option levels"),
        ("chian?surface=numbers", 'did you mean "chain"?'),
        ("file:x.jsonl?surface=numbers&verifier=exact", "nothing says what the answers would be"),
        ("file:x.jsonl?surface=symbols&verifier=exact", "only the letters of choices can be renamed"),
        ("file:x.jsonl?surface=wording&template=bare&verifier=exact", "says nothing that could be worded otherwise"),
    ],
)
def test_variants_that_there_are_not(name, words):
    with pytest.raises(TriaxisError) as caught:
        get_task(name)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_the_table_names_what_varies_what(tmp_path):
    """A study of the lab with variants, run: variant_of and variant stand in its records, also for `words`."""
    from triaxis.execute.check import checked
    from triaxis.execute.conduct import job_of
    from triaxis.execute.run import follow

    study, _ = checked(
        parse_study(
            {
                "model": {"base": "lab:weak"},
                "data": {"task": "chain", "examples": 32},
                "optimization": {"steps": 1},
                "seeds": 1,
                "tasks": {
                    "in_domain": ["chain", "chain?surface=numbers"],
                    "far_ood": ["pointer", "pointer?surface=symbols"],
                    "near_ood": ["words"],
                    "safety": ["refusal"],
                },
                "evaluation": {"items": 2},
            }
        )
    )
    run = study.runs()[0]
    with Store.create(tmp_path / "one", "", {}, []) as store:
        store.add_runs([(run.id, run.seed, "one", run.condition.levels, run.condition.settings)])
        [base] = follow(job_of(study, run, base=True))
        store.write_base("lab:weak", base.records, base.costs, "x")
        [measured] = follow(job_of(study, run))
        store.write_checkpoint(run.id, measured.checkpoint, measured.records, measured.costs)
        rows = store.table().arrow.to_pylist()
    told = {row["task"]: (row["variant_of"], row["variant"]) for row in rows}
    assert told == {
        "chain": (None, None),
        "chain?surface=numbers": ("chain", "numbers"),
        "pointer": (None, None),
        "pointer?surface=symbols": ("pointer", "symbols"),
        "words": ("chain", "wording"),
        "refusal": (None, None),
    }
    assert {kind for _, kind in told.values() if kind} <= set(BY_NAME["variant"].values)
    assert surface_of("words") is None
