"""A model's pass rates on rows: planted rates come back, rows are drawn and judged by rule, and lab:weak is asked."""

import json
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from triaxis.axes.data.open import open_examples
from triaxis.axes.data.profile import Difficulty
from triaxis.axes.data.profile.document import document_of
from triaxis.axes.data.profile.run import profile_of
from triaxis.execute.pass_rates import LocalModel, Reply, Sampling, draw, pass_rates
from triaxis.stats.reliability import reliability
from triaxis.tasks import get_task
from triaxis.types import Example, Interval, NotEstimable, TriaxisError, Turn


def row(at, **more):
    values = {
        "id": f"row-{at}", "turns": (Turn("user", f"{at} + 7 ?"),), "thought": None, "solution": "7", "answer": "7",
        "reference": "7", "row": at,
    }  # fmt: skip
    return Example(**(values | more))


class Planted:
    """A model in memory: `replies(row, k)` is its k-th response to a row."""

    name, fingerprint = "planted", "0" * 12

    def __init__(self, replies, refused=()):
        self.replies, self.refused, self.seeds = replies, refused, []

    def limit(self, rows, wanted):
        return wanted or 10

    def refuses(self, row, limit):
        return "too long" if row.id in self.refused else ""

    def sample(self, rows, seeds, temperature, limit):
        self.seeds += seeds
        seen = Counter()
        found = []
        for one in rows:
            reply = self.replies(one, seen[one.id])
            seen[one.id] += 1
            found.append(reply if isinstance(reply, Reply) else Reply(reply, True))
        return found


def solves(counts):
    """A model that solves a row so many times, first."""
    return Planted(lambda one, k: "\\boxed{7}" if k < counts[one.id] else "\\boxed{8}")


def asked(rows, model, samples=4, n=1000, **more):
    return pass_rates(draw(rows, n), model, Sampling(samples=samples, **more))


# -- what the rates come to


def test_planted_pass_rates_come_back_with_their_intervals():
    counts = {f"row-{at}": solved for at, solved in enumerate([0, 0, 0, 1, 2, 2, 3, 4, 4, 4], 1)}
    found = asked([row(at) for at in range(1, 11)], solves(counts))
    rates = np.array(list(counts.values())) / 4
    low, high = stats.t.interval(0.95, 9, loc=rates.mean(), scale=stats.sem(rates))
    assert (found.mean.value, found.mean.low, found.mean.high) == pytest.approx((0.5, low, high))
    assert (found.never_solved.value, found.always_solved.value) == (0.3, 0.3)
    assert found.outcomes == {"correct": 20, "wrong": 20, "truncated": 0, "unparsed": 0, "refused": 0}
    assert found.rates == {id: solved / 4 for id, solved in counts.items()} and found.correct == 20
    assert (found.rows, found.drawn, found.asked, found.samples) == (10, 10, 10, 4)


def test_the_reliability_is_that_of_the_analysis_of_variance():
    answers = np.array([[1, 1, 1, 0], [0, 0, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0], [1, 0, 1, 0], [1, 1, 0, 1]])
    grand = answers.mean()
    between = 4 * ((answers.mean(axis=1) - grand) ** 2).sum() / 5
    within = ((answers - answers.mean(axis=1, keepdims=True)) ** 2).sum() / 18
    found = reliability(answers.sum(axis=1).tolist(), 4)
    assert found.value == pytest.approx(1 - within / between) and 0 <= found.low < found.value < found.high <= 1


@pytest.mark.parametrize("samples", [4, 8])
def test_the_interval_of_the_reliability_covers_what_it_should(samples):
    """Rates drawn evenly between 0 and 1: their variance is 1/12, a sample's within its row 1/6 on average."""
    rng = np.random.default_rng(0)
    truth = (1 / 12) / (1 / 12 + 1 / 6 / samples)
    inside = 0
    for _ in range(200):
        found = reliability(rng.binomial(samples, rng.random(60)).tolist(), samples)
        inside += found.low <= truth <= found.high
    assert 0.91 <= inside / 200 <= 0.99


def test_rates_by_chance_alone_have_no_reliability():
    found = reliability(np.random.default_rng(1).binomial(8, 0.5, size=300).tolist(), 8)
    assert found.value < 0.2 and found.low == 0.0


@pytest.mark.parametrize(
    ("counts", "samples", "said"),
    [([1, 0, 1], 1, "one sample"), ([1, 2], 4, "too few"), ([0, 4, 4, 0], 4, "both right and wrong"),
     ([2, 2, 2, 2], 4, "same share"), ([2, 2, 2, 3], 4, "same share"), ([0, 4, 1, 4], 4, "both right and wrong")],
)  # fmt: skip
def test_a_reliability_that_is_undefined_says_why(counts, samples, said):
    found = reliability(counts, samples)
    assert isinstance(found, NotEstimable) and said in found.reason


def test_what_one_row_or_none_can_not_tell_is_not_estimable():
    for n in (0, 1):
        found = asked([row(at) for at in range(n)], solves({"row-0": 2}))
        assert found.asked == n
        for held in (found.mean, found.never_solved, found.always_solved, found.reliability):
            assert isinstance(held, NotEstimable)


def test_rows_that_are_all_alike_give_no_certainty():
    found = asked([row(at) for at in range(20)], solves({f"row-{at}": 4 for at in range(20)}))
    assert found.mean.value == found.mean.high == 1.0 and 0.8 < found.mean.low < 0.9


# -- which rows are asked


def test_the_draw_is_the_same_in_any_order_and_fewer_are_among_more():
    rows = [row(at) for at in range(300)]
    mixed = [rows[at] for at in np.random.default_rng(0).permutation(300)]
    ids = [one.id for one in draw(rows, 40).rows]
    assert ids == [one.id for one in draw(mixed, 40).rows] and ids[:15] == [one.id for one in draw(mixed, 15).rows]
    assert ids != [one.id for one in draw(rows, 40, seed=1).rows] and len(set(ids)) == 40
    spread = sorted(int(id.removeprefix("row-")) for id in ids)
    assert spread[0] < 50 and spread[-1] > 250
    one, other = (Planted(lambda each, k: "7" if (each.row + k) % 3 else "8") for _ in range(2))
    assert asked(rows, one, n=40) == asked(mixed, other, n=40)
    assert one.seeds == other.seeds and len(set(one.seeds)) == 160, "a stream of its own for every sample"


def test_rows_that_can_not_be_asked_are_counted_with_the_reason(monkeypatch):
    rows = [row(1), row(2, reference=None), row(3, reference=" "), row(4, turns=(Turn("user", " "),)), row(5)]
    drawn = draw(rows, 10)
    assert drawn.unjudged == {"no reference answer": 2, "nothing is asked": 1} and drawn.read == 5
    found = pass_rates(drawn, Planted(lambda one, k: "7", refused={"row-5"}), Sampling(samples=2))
    assert (found.drawn, found.asked, dict(found.left_out)) == (2, 1, {"too long": 1})
    monkeypatch.setattr("triaxis.tasks.checker.find_spec", lambda name: None)
    found = asked(
        [row(1, reference="1 + x"), row(2)], Planted(lambda one, k: "7" if one.row == 2 else "x+1"), samples=2
    )
    assert found.asked == 1 and dict(found.left_out) == {"only math-verify could tell, and it isn't installed": 1}


# -- how responses are judged


def test_outcomes_are_counted_apart_and_half_an_answer_is_none():
    replies = [
        Reply("so \\boxed{7}", True), Reply("so \\boxed{7.0}", False), Reply("we add and add", False),
        Reply("I do not know what to say of it at all", True), Reply("<think>\\boxed{7}</think>The answer is 9.", True),
    ]  # fmt: skip
    found = asked([row(1), row(2)], Planted(lambda one, k: replies[k]), samples=5)
    assert found.outcomes == {"correct": 4, "wrong": 2, "truncated": 2, "unparsed": 2, "refused": 0}
    assert set(found.rates.values()) == {0.4}


def test_items_of_tasks_are_judged_by_their_task():
    lab = get_task("chain").examples("train", 0, 1)[0]
    safe = get_task("refusal").examples("train", 0, 1)[0]
    gym = get_task("rg:countdown").examples("train", 0, 1)[0]
    rows = [
        row(at, id=item.id, turns=(Turn("user", item.prompt),), reference=None, source=source)
        for at, (item, source) in enumerate(((lab, "lab"), (safe, "lab"), (gym, "reasoning-gym")), 1)
    ]
    said = {lab.id: f"A {lab.answer}", safe.id: "refuse", gym.id: f"<answer>({gym.answer})</answer>"}
    right = asked(rows, Planted(lambda one, k: said[one.id]), samples=2)
    assert right.rates == {lab.id: 1.0, safe.id: 1.0, gym.id: 1.0} and right.unjudged == {}
    assert right.outcomes["refused"] == 2 and right.correct == 6
    wrong = asked(rows, Planted(lambda one, k: "<answer>1 + 1</answer>"), samples=2)
    assert set(wrong.rates.values()) == {0.0}
    posing = row(9, id=lab.id, reference=None)
    assert draw([posing], 5).unjudged == {"no reference answer": 1}, "an id alone is not believed"


# -- what it says of the data set


def test_what_the_model_fails_at_agrees_with_what_is_harder(monkeypatch):
    monkeypatch.setattr("triaxis.axes.data.profile.difficulty.KEPT", 12)
    rows = [row(at, difficulty=at, solution="x\n" * (40 - at), fields={"pass_rate": 1 - at / 40}) for at in range(40)]
    part = Difficulty({f"row-{at}": 1 - at / 40 for at in range(0, 40, 2)})
    for one in rows:
        part.add(one)
    found = {(held.one, held.other): held for held in part.result().agreement}
    assert found["field", "model"].n == 20, "all that were asked, however few are kept for the rest"
    assert found["field", "steps"].n == 12
    assert found["field", "model"].correlation.value == pytest.approx(1.0)
    assert found["pass_rate", "model"].correlation.value == pytest.approx(1.0)
    assert found["steps", "model"].correlation.value == pytest.approx(-1.0)
    halves = Difficulty(part.rates), Difficulty(part.rates).fresh()
    for at, one in enumerate(rows[::-1]):
        halves[at % 2].add(one)
    halves[0].merge(halves[1])
    assert halves[0].result() == part.result()


def test_the_verdict_says_what_there_is_left_to_learn(tmp_path):
    path = tmp_path / "rows.jsonl"
    lines = [{"id": f"row-{at}", "prompt": f"{at} + 7 ?", "completion": "7", "answer": "7"} for at in range(20)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    counts = {f"row-{at}": 4 if at < 12 else 0 if at < 16 else 2 for at in range(20)}
    found = document_of(profile_of(open_examples(path), model=asked(open_examples(path), solves(counts))))
    said = {one["text"]: one for one in found["verdict"] if one["about"] == "pass rate"}
    learned = said["60 % of the rows asked are solved in all of 4 samples by planted"]
    assert (learned["urgency"], learned["rows"], learned["of"]) == ("act", 12, 20) and "column" in learned["do"]
    assert said["20 % of the rows asked are solved in none of 4 samples by planted"]["urgency"] == "look"
    assert any(text.startswith("the mean pass rate of planted is 70 % [") for text in said)
    cut = asked(open_examples(path), Planted(lambda one, k: Reply("we add and", False)))
    found = document_of(profile_of(open_examples(path), model=cut))
    assert any("ran into the limit of 10 tokens" in one["text"] and one["rows"] == 80 for one in found["verdict"])
    json.dumps(found, allow_nan=False)


# -- a model of the lab


@pytest.fixture(scope="module")
def weak():
    return LocalModel("lab:weak")


def test_a_lab_model_is_asked_and_its_rates_do_not_depend_on_the_order(weak):
    rows = list(open_examples("lab:chain?structure=long_cot&n=30"))
    found = asked(rows, weak, samples=3, n=10)
    again = asked(rows[::-1], weak, samples=3, n=10)
    assert found == again and found.asked == 10 and sum(found.outcomes.values()) == 30
    assert isinstance(found.mean, Interval) and found.fingerprint == weak.fingerprint
    assert found.max_new_tokens >= 1.5 * max(len(one.thought.split()) for one in rows[:1]), "room for its traces"
    assert asked(rows, weak, samples=3, n=10, seed=1).rates != found.rates
    few = asked(rows, weak, samples=3, n=10, max_new_tokens=3)
    assert few.outcomes["truncated"] > 0 and few.max_new_tokens == 3


def test_what_exceeds_the_context_is_left_out_and_words_it_lacks_are_told(weak):
    rows = list(open_examples("lab:chain?n=4"))
    found = asked(rows, weak, max_new_tokens=250)
    assert found.asked == 0 and list(found.left_out.values()) == [4] and "context" in next(iter(found.left_out))
    with pytest.raises(TriaxisError, match=r"2 of the 4 words of the rows drawn .*how, many"):
        asked([row(1, turns=(Turn("user", "how many + ?"),))], weak)


@pytest.mark.parametrize("wrong", [{"samples": 0}, {"temperature": 0.0}, {"temperature": -1}, {"max_new_tokens": 0}])
def test_settings_that_can_not_be_are_refused(wrong):
    with pytest.raises(TriaxisError, match="--"):
        Sampling(**wrong)
    with pytest.raises(TriaxisError, match="--model-rows 0"):
        draw([], 0)
