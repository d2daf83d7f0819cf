"""Leakage and coverage: planted leaks of known kinds and counts, independent sets, targets near and far."""

from __future__ import annotations

import pickle
import random
from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pytest
import reasoning_gym

from triaxis.axes.data.profile import words
from triaxis.axes.data.profile.cells import NONE
from triaxis.axes.data.profile.coverage import Coverage, CoverageProfile, gap
from triaxis.axes.data.profile.evaluation_index import KINDS
from triaxis.axes.data.profile.leakage import LeakageProfile, Overlap
from triaxis.axes.data.profile.spans import longest_run
from triaxis.axes.data.recipes.decontaminate import Decontaminate
from triaxis.tasks import get_task
from triaxis.types import Example, NotEstimable, TriaxisError, Turn

WORDS = ["".join(random.Random(i).choices("abcdefghijklmnop", k=6)) for i in range(4000)]


def text(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(WORDS, k=words))


def row(prompt: str, number: int, *, thought: str | None = None, solution: str = "3", domain: str = "") -> Example:
    return Example(f"r{number}", (Turn("user", prompt),), thought, solution, "3", domain=domain, row=number)


def leaked(rows: list[Example], **how: object) -> LeakageProfile:
    part = Overlap(**how)
    for example in rows:
        part.add(example)
    return part.result()


def evaluation(n: int = 200, seed: int = 0) -> list[str]:
    """Problems of 40 words, two of them numbers."""
    rng = random.Random(f"evaluation/{seed}")
    return [f"{text(rng, 12)}: {17 + i} {text(rng, 20)} {i} {text(rng, 6)}?" for i in range(n)]


def planted(items: list[str]) -> list[Example]:
    """300 clean rows and six leaks of each kind, with traces around them."""
    rng = random.Random(1)
    rows = [row(text(rng, 40), i, thought=text(rng, 300)) for i in range(1, 301)]

    def add(prompt: str, thought: str = "so") -> None:
        rows.append(row(prompt, len(rows) + 1, thought=thought))

    for i in range(3):
        add(items[i])  # exact
        add(f"Solve this.\n\n{items[3 + i]}\nThink first.")  # exact, in a longer turn
    for i in range(10, 13):
        add(items[i].upper().replace(" ", "\n"))  # normalised
        add(text(rng, 20), thought=f"{text(rng, 50)} {items[3 + i].replace(':', ' -- ').lower()} {text(rng, 50)}")
    for i in range(20, 26):
        words = items[i].split()
        add(f"{text(rng, 5)} {' '.join(words[5:35])} {text(rng, 9)}")  # paraphrased around a long span
    for i in range(30, 36):
        add(items[i].replace(f" {17 + i} ", " 999 "))  # other numbers
    for i in range(40, 46):
        add(f"{text(rng, 9)} {' '.join(items[i].split()[14:30])} {text(rng, 9)}")  # a short span
    return rows


def test_planted_leaks_are_recovered_each_by_its_kind() -> None:
    items = evaluation()
    found = leaked(planted(items), sets={"held out": items})
    # "--" is two minus signs in the normalised text, so that three of the six stand there but for an operator
    assert found.sets[0].by_kind == {"exact": 6, "normalised": 3, "n-gram": 9, "numbers": 6, "span": 6}
    assert found.rows_by_kind == found.sets[0].by_kind
    assert found.sets[0].touched == found.sets[0].rows == found.touching == 18
    assert found.sets[0].share == 18 / 200
    assert found.touching_rows == tuple(range(301, 319))
    assert found.boilerplate == 0


def test_the_worst_pairs_show_both_texts_and_what_they_share() -> None:
    items = evaluation()
    found = leaked(planted(items), sets={"held out": items})
    assert [pair.kind for pair in found.pairs] == ["exact"] * 6 + ["normalised"] * 3 + ["n-gram"]
    first = found.pairs[0]
    assert (first.set, first.item, first.part, first.row, first.share) == ("held out", "1", "prompt", 301, 1.0)
    assert first.words == 40
    assert first.shared == first.evaluation == first.training == items[0]
    assert len({pair.item for pair in found.pairs}) == 10


def test_one_row_is_looked_up_alone_as_among_others() -> None:
    items = evaluation()
    rows = planted(items)
    overlap = Overlap({"held out": items})
    among = list(overlap.touched(rows))
    assert [example for example, _ in among] == rows
    assert [touch for _, touch in among[::7]] == [overlap.touches(example) for example in rows[::7]]
    assert sum(touch is not None for _, touch in among) == 18
    assert sum(touch is not None for _, touch in overlap.touched(rows, kinds=KINDS)) == 30
    touch = overlap.touches(rows[300])
    assert touch is not None
    assert (touch.kind, touch.set, touch.item, touch.part) == ("exact", "held out", "1", "prompt")
    assert overlap.result().rows == 0


def test_several_sets_are_told_apart_and_an_item_counts_by_its_closest_row() -> None:
    one, two = evaluation(50, 1), evaluation(80, 2)
    rows = [row(one[0].upper(), 1), row(one[0], 2), row(one[1], 3), row(two[0], 4), row(f"{one[2]} {two[2]}", 5)]
    found = leaked(rows, sets={"one": one, "two": two})
    assert [(s.name, s.items, s.touched, s.rows) for s in found.sets] == [("one", 50, 3, 4), ("two", 80, 2, 2)]
    assert found.sets[0].by_kind["exact"] == 3
    assert found.rows_by_kind["normalised"] == 1
    assert found.touching == 5


def test_boilerplate_is_left_out_and_said() -> None:
    rng = random.Random(3)
    frame = text(rng, 40)
    items = [f"{frame} {text(rng, 25)}" for _ in range(40)] + [text(rng, 65) for _ in range(60)]
    rows = [row(f"{frame} {text(rng, 25)}", i + 1) for i in range(50)]
    found = leaked([*rows, row(items[4], 51)], sets={"e": items})
    assert found.touching_rows == (51,)
    assert found.sets[0].touched == found.sets[0].by_kind["exact"] == 1
    assert found.boilerplate == 28
    assert frame.startswith(found.boilerplate_begins[:60])
    assert found.most == 3


def test_an_item_that_stands_in_two_sets_is_no_boilerplate() -> None:
    items = evaluation(20)
    found = leaked([row(items[0], 1)], sets={f"s{k}": items for k in range(6)})
    assert found.boilerplate == 0
    assert [s.touched for s in found.sets] == [1] * 6


STEP_BY_STEP = "\nPlease reason step by step, and put your final answer within \\boxed{}."


def test_short_items_are_found_within_a_turn_and_not_within_a_longer_question() -> None:
    rows = [row("What is 2 + 2?", 1), row("what is 2+2", 2), row("Tell me what is 2 + 2 and then 3", 3)]
    rows += [row(f"Solve this: what is 2 + 2?{STEP_BY_STEP}", 4), row("What is 2 + 2 - 1?", 5)]
    rows += [row("Hello", 6, thought="What is 2 + 2? It is 4."), row(f"Why so?{STEP_BY_STEP}", 7), row("why so", 8)]
    found = leaked(rows, sets={"e": ["What is 2 + 2?", "What is 2 - 2?", "Why so?", ""]})
    assert found.touching_rows == (1, 2, 4, 8)
    assert found.sets[0].touched == 2
    assert found.without_own == 4
    assert (found.sets[0].word_for_word, found.sets[0].only_whole) == (2, 2)


def test_every_short_item_within_a_longer_prompt_is_found_and_taken_out() -> None:
    rng = random.Random(31)
    numbers = [[rng.randrange(100, 999) for _ in range(3)] for _ in range(100)]
    items = [f"What is {a} times {b} minus {c}?" for a, b, c in numbers]
    held = [row(item + STEP_BY_STEP, i) for i, item in enumerate(items, 1)]
    assert leaked(held, sets={"e": items}).sets[0].by_kind["exact"] == 100
    others = [row(f"What is {b} times {a} minus {c}?{STEP_BY_STEP}", i) for i, (a, b, c) in enumerate(numbers, 1)]
    assert leaked(others, sets={"e": items}).touching == 0
    context = SimpleNamespace(opener=lambda *_, **__: items, entry=SimpleNamespace(leave_out=lambda *_: None))
    assert list(Decontaminate(against=("e",)).run(iter([*held, *others]), context)) == others


@pytest.mark.parametrize("size", [14, 18, 25, 30, 45])
def test_an_instruction_of_the_evaluation_or_one_changed_word_hides_nothing(size: int) -> None:
    rng = random.Random(size)
    items = [text(rng, size) for _ in range(100)]
    said = "Solve the following problem and give only the final answer, without any explanation: "
    found = leaked([row(item, i) for i, item in enumerate(items, 1)], sets={"e": [said + item for item in items]})
    assert found.sets[0].by_kind["exact"] == 100
    assert found.sets[0].instruction.startswith("Solve the following")
    changed = []
    for i, item in enumerate(items):
        said_words = item.split()
        said_words[i % size] = "zzz"
        changed.append(row(" ".join(said_words) + STEP_BY_STEP, i + 1))
    assert leaked(changed, sets={"e": items}).sets[0].by_kind["n-gram"] == 100
    assert leaked([row(text(rng, size), i) for i in range(1, 300)], sets={"e": items}).touching == 0


def test_problems_of_one_template_are_told_apart_by_their_numbers() -> None:
    rng = random.Random(33)

    def problem() -> str:
        a, b, c = (rng.randrange(2, 999) for _ in range(3))
        return f"A farmer has {a} sheep and {b} cows and sells {c} of them at the market, how many are left?"

    items, rows = [problem() for _ in range(50)], [row(problem(), i) for i in range(1, 500)]
    assert leaked(rows, sets={"e": items}).touching == 0


def test_a_grid_that_most_items_begin_with_is_no_instruction() -> None:
    rng = random.Random(34)
    items = ["Look at this grid: 0 0 0 0 " + " ".join(rng.choices("01", k=20)) for _ in range(20)]
    found = leaked([row("0 0 0 0 0 0", 1)], sets={"e": items}).sets[0]
    assert found.instruction == "Look at this grid:"
    assert found.touched == 0


def test_no_clean_bill_where_much_could_not_be_seen() -> None:
    rng = random.Random(35)
    rows = [row(text(rng, 30), i) for i in range(1, 50)]
    seen = [text(rng, 30) for _ in range(100)]
    for hidden, urgency in ((3, "fine"), (20, "look")):
        items = seen[hidden:] + [f"Why {word}?" for word in WORDS[:hidden]]
        said = list(words._leakage(SimpleNamespace(leakage=leaked(rows, sets={"e": items}))))
        assert [one.urgency for one in said] == [urgency]
        assert f"{hidden} could only be found as a whole turn" in said[0].text
    spans = [row(" ".join(item.split()[:14] + text(rng, 30).split()), i) for i, item in enumerate(seen[:20], 1)]
    longer = [f"{item} {text(rng, 30)}" for item in seen]
    said = list(words._leakage(SimpleNamespace(leakage=leaked(spans, sets={"e": longer}))))
    assert [one.urgency for one in said] == ["look"]
    assert "20 share a passage with a row" in said[0].text


def test_worked_answers_of_the_evaluation_count_and_short_ones_do_not() -> None:
    rng = random.Random(5)
    worked = text(rng, 50)
    items = [
        Example("i1", (Turn("user", text(rng, 30)),), None, worked, "3", "3"),
        Example("i2", (Turn("user", text(rng, 30)),), None, "42", "42", "42"),
    ]
    found = leaked([row("42", 1), row(text(rng, 20), 2, thought=f"Well. {worked}")], sets={"e": items})
    assert found.touching_rows == (2,)
    assert (found.pairs[0].item, found.pairs[0].part) == ("i1", "answer")


def test_independent_sets_hold_nothing_of_each_other() -> None:
    rng = random.Random(6)
    rows = [row(text(rng, 40), i, thought=text(rng, 200)) for i in range(1, 500)]
    assert leaked(rows, sets={"e": evaluation()}).rows_by_kind == dict.fromkeys(KINDS, 0)


def test_an_answer_of_numbers_alone_is_no_leak() -> None:
    grid = "2 3 1 4\n1 4 2 3\n3 2 4 1\n4 1 3 2"
    item = Example("i", (Turn("user", text(random.Random(7), 30)),), None, grid, grid, grid)
    assert leaked([row("Another puzzle", 1, solution=grid)], sets={"e": [item]}).touching == 0


def test_where_a_problem_goes_on_from_an_item_the_item_stands_in_it() -> None:
    task = get_task("boolean")  # two letters, three operators: the known false alarm
    rows = [row(e.prompt, i) for i, e in enumerate(task.examples("train", 0, 1500), 1)]
    overlap = Overlap({"e": task.examples("eval", 0, 400)})
    hits = [hit for hit in overlap.index.look_up(rows) if hit.kind == "normalised"]
    assert hits
    for hit in hits:
        assert rows[hit.row].turns[0].content.startswith(overlap.index.texts[hit.text].text.rstrip(" ?"))


@pytest.mark.parametrize("name", ["chain", "words", "letters", "extremes"])
def test_the_labs_splits_share_nothing(name: str) -> None:
    task = get_task(name)
    rows = [row(e.prompt, i, solution=e.traces["short_cot"]) for i, e in enumerate(task.examples("train", 0, 500), 1)]
    found = leaked(rows, sets={name: task.examples("eval", 0, 200)})
    assert found.touching == 0
    again = leaked(rows, sets={name: task.examples("train", 0, 200)})
    assert again.sets[0].by_kind["exact"] == 200


def test_seeds_of_reasoning_gym_that_overlap_are_seen() -> None:

    def questions(seed: int, size: int) -> list[str]:
        return [item["question"] for item in reasoning_gym.create_dataset("knights_knaves", seed=seed, size=size)]

    rows = [row(question, i) for i, question in enumerate(questions(42, 300), 1)]
    assert leaked(rows, sets={"seed 43": questions(43, 100)}).sets[0].by_kind["exact"] == 100
    far = leaked(rows, sets={"far": questions(10_000_000, 100)}).sets[0]
    assert far.touched <= 3


def test_a_pass_in_parts_equals_one_pass() -> None:
    items = evaluation()
    rows = planted(items)
    whole = leaked(rows, sets={"e": items})
    used = Overlap({"e": items})
    used.add(rows[0])
    parts = [pickle.loads(pickle.dumps(used.fresh())) for _ in range(3)]
    for i, example in enumerate(rows):
        parts[i // 5 % 3].add(example)
    parts[2].merge(parts[0])
    parts[2].merge(parts[1])
    assert parts[2].result() == whole


def test_the_shared_run_is_the_longest() -> None:
    span = longest_run("a b c d e f. G h", ["z a b c", "x x b C  d, e f g y", "d e"], 2)
    assert (span.words, span.shared) == (6, "b c d e f. G")
    assert span.there == "x x b C d, e f g y"
    assert longest_run("a b", ["c d"], 2).words == 0
    assert longest_run("", [], 2).words == 0


def test_bad_sets_are_told_in_a_line() -> None:
    with pytest.raises(TriaxisError, match="math: holds no items"):
        Overlap({"math": []})
    with pytest.raises(TriaxisError, match="n-grams of 1"):
        Overlap({"math": ["a"]}, n=1)
    with pytest.raises(TriaxisError, match="target holds no items"):
        Coverage([])


def test_odd_texts_go_through() -> None:
    odd = ["", "\0", "x" * (1 << 20), "a b " * 300_000, "\ud83d", "🙂", "日本語" * 20, "א ב " * 20]
    found = leaked([row(t, i, thought=t) for i, t in enumerate(odd, 1)], sets={"e": odd})
    assert found.sets[0].by_kind["exact"] == len(odd) - 1  # all but the empty one


# coverage


def covered(rows: list[Example], target: list[Example]) -> CoverageProfile:
    part = Coverage(target)
    for example in rows:
        part.add(example)
    return part.result()


def asked(topic: int, n: int, seed: int, first: int = 1) -> list[Example]:
    """Problems of one topic, which has its own hundred words."""
    rng = random.Random(f"{topic}/{seed}")
    own = WORDS[topic * 100 : topic * 100 + 100]
    return [row(" ".join(rng.choices(own, k=30)), first + i, domain=f"topic {topic}") for i in range(n)]


def test_the_same_distribution_is_covered() -> None:
    found = covered(asked(0, 300, 1) + asked(1, 300, 1), asked(0, 100, 2) + asked(1, 100, 2))
    assert found.domains.distance == 0
    assert found.domains.missing == ()
    assert found.far < 0.05
    assert abs(found.nearest[0.5] - found.own[0.5]) < 0.1
    assert isinstance(found.difficulties, NotEstimable)
    assert isinstance(found.cells, NotEstimable)


def test_a_topic_that_is_missing_is_seen_in_domains_and_in_neighbours() -> None:
    found = covered(asked(0, 400, 1), asked(0, 75, 2) + asked(1, 25, 2, first=76))
    assert found.domains.distance == pytest.approx(0.25)
    assert found.domains.missing == ("topic 1",)
    assert found.far == pytest.approx(0.25, abs=0.05)
    assert {far.item for far in found.farthest} <= {f"r{i}" for i in range(76, 101)}
    assert found.farthest[0].similarity < 0.2


def test_a_target_within_the_rows_has_neighbours_at_1() -> None:
    rows = asked(0, 200, 1)
    found = covered(rows, rows[50:60])
    assert found.nearest[0.05] == pytest.approx(1, abs=1e-5)
    assert found.without_neighbour == 0
    assert found.farthest[0].nearest.startswith(found.farthest[0].text[:40])
    alone = covered(rows, rows[:1])
    assert isinstance(alone.own, NotEstimable)
    assert isinstance(alone.far, NotEstimable)


def test_rows_that_share_no_word_with_the_target_are_far() -> None:
    rng = random.Random(41)
    other = [word.translate(str.maketrans("abcdefghijklmnop", "qrstuvwxyz012345")) for word in WORDS]
    rows = [row(" ".join(rng.choices(other, k=25)), i) for i in range(1, 4001)]
    found = covered(rows, asked(0, 100, 1))
    assert found.far == found.unrelated == pytest.approx(1, abs=0.03)
    assert found.without_neighbour == 1
    said = list(words._coverage(SimpleNamespace(coverage=found)))
    assert {one.urgency for one in said} == {"act"}
    assert "have none at a similarity of 0.5" in said[0].text
    scattered = covered(rows, [row(text(rng, 25), i) for i in range(1, 101)])  # nor with each other
    assert isinstance(scattered.far, NotEstimable)
    assert scattered.unrelated == pytest.approx(1, abs=0.05)
    assert [one.urgency for one in words._coverage(SimpleNamespace(coverage=scattered))] == ["look"]


@pytest.mark.parametrize(("rows", "target"), [(100, 1000), (300, 1000), (1000, 1000), (3000, 300)])
def test_rows_of_the_targets_distribution_are_not_far(rows: int, target: int) -> None:
    rng = random.Random(rows)

    def problem() -> str:
        name, what = rng.choice(WORDS[:8]), rng.choice(WORDS[8:13])
        a, b, where = rng.randrange(2, 60), rng.randrange(2, 60), rng.choice(WORDS[13:17])
        return f"{name} has {a} {what} and buys {b} more {what} at the {where}. How many {what} does {name} have?"

    far = []
    for _ in range(5):
        asks = [row(problem(), i) for i in range(1, target + 1)]
        found = covered([row(problem(), i) for i in range(1, rows + 1)], asks)
        assert found.compared == min(rows, target - 1)
        assert found.far < found.far_by_chance
        assert [one.urgency for one in words._coverage(SimpleNamespace(coverage=found))] == ["fine"]
        far.append(found.far)
    assert 0.02 < np.mean(far) < 0.09 or rows > target


def test_rows_that_say_no_domain_are_no_domain() -> None:
    target = [*asked(0, 50, 1), *(replace(one, domain="") for one in asked(0, 50, 2))]
    found = covered(asked(0, 80, 3), target)
    assert found.domains.missing == ()
    assert found.domains.distance == 0
    assert (found.domains.rows_unsaid, found.domains.target_unsaid) == (0, 0.5)


def test_the_distance_by_chance_is_what_samples_of_one_distribution_show() -> None:
    rng = np.random.default_rng(0)
    p = np.array([0.4, 0.3, 0.2, 0.1])
    names = "abcd"

    def counts(n: int) -> dict[str, int]:
        return dict(zip(names, map(int, rng.multinomial(n, p)), strict=True))

    gaps = [gap(counts(300), counts(80)) for _ in range(400)]
    distances = [found.distance for found in gaps if not isinstance(found, NotEstimable)]
    chances = [found.by_chance for found in gaps if not isinstance(found, NotEstimable)]
    assert np.mean(distances) == pytest.approx(np.mean(chances), rel=0.08)
    assert isinstance(gap({NONE: 4}, {"a": 2}), NotEstimable)
    assert isinstance(gap({}, {"a": 2}), NotEstimable)


def test_a_large_target_is_sampled_and_its_domains_are_not() -> None:
    part = Coverage(asked(0, 300, 1) + asked(1, 300, 1), sample=50)
    part.add(row("a b", 1, domain="topic 0"))
    found = part.result()
    assert (found.target, found.sampled) == (600, 50)
    assert found.domains.target == {"topic 0": 0.5, "topic 1": 0.5}
    assert len({item for item, _ in part.items}) > 25


def test_coverage_in_parts_equals_one_pass() -> None:
    target, rows = asked(0, 40, 2) + asked(1, 40, 2, 41), asked(0, 100, 1) + asked(2, 100, 1, 101)
    whole = covered(rows, target)
    used = Coverage(target)
    used.add(rows[0])
    parts = [pickle.loads(pickle.dumps(used.fresh())) for _ in range(2)]
    for i, example in enumerate(rows):
        parts[i // 3 % 2].add(example)
    parts[1].merge(parts[0])
    merged = parts[1].result()
    for field in fields(CoverageProfile):
        if field.name not in ("nearest", "farthest"):  # sums of products may round differently
            assert getattr(merged, field.name) == getattr(whole, field.name), field.name
    assert list(merged.nearest.values()) == pytest.approx(list(whole.nearest.values()), abs=1e-5)
    assert [(far.item, far.row) for far in merged.farthest] == [(far.item, far.row) for far in whole.farthest]
