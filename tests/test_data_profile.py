"""The profile's shape, structure, quality and difficulty: known answers, planted truths, order and merging."""

import json
import pickle
import random
import sys
import time
from dataclasses import asdict, replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from triaxis.axes.data.profile import PARTS, Difficulty, Quality, Shape, Structure
from triaxis.axes.data.profile.arithmetic import check_equations
from triaxis.axes.data.profile.difficulty import pass_rate_of, ranked, spearman, steps_of
from triaxis.axes.data.profile.expressions import NotArithmetic, evaluate, tokens_of
from triaxis.axes.data.profile.lab_steps import check_steps
from triaxis.axes.data.profile.lengths import ERROR, Lengths
from triaxis.axes.data.profile.quality import stated_result
from triaxis.axes.data.profile.structure import behaviours_per_1000, kind_of
from triaxis.axes.data.profile.wording import boilerplate, loop_in
from triaxis.axes.data.text import split_thought
from triaxis.tasks import get_task
from triaxis.tasks.answers import number_of, plain, quick_check
from triaxis.tasks.checker import AnswerChecker, judge_math
from triaxis.tasks.declines import is_refusal
from triaxis.tasks.stated import final_answer
from triaxis.types import Example, Interval, NotEstimable, Turn


def example(response="The answer is 7.", *, prompt="3 + 4 ?", reference=None, row=1, **more):
    thought, solution, _ = split_thought(response)
    values = {
        "id": f"row-{row}", "turns": (Turn("user", prompt),), "thought": thought, "solution": solution,
        "answer": final_answer(solution), "reference": reference, "row": row,
    }  # fmt: skip
    return Example(**(values | more))


def seen(part, examples):
    for one in examples:
        part.add(one)
    return part.result()


def lab_rows(structure, n=6, noisy=False):
    task = get_task("chain")
    for row, item in enumerate(task.examples("train", 0, n), 1):
        text = task.noisy(item, structure, 0) if noisy else item.traces[structure]
        yield example(text, prompt=item.prompt, reference=item.answer, row=row, source="lab", id=item.id)


MIXED = [
    example(
        "<think>\nWait, no. Let me check: 3 + 4 = 8. Wait, it's 7.\n</think>\nSo \\boxed{7}.", reference="7", row=1
    ),
    example("<think>First, 3 + 4 = 7.</think>The answer is 8.", reference="7", row=2, difficulty="easy"),
    example("We add: 3 + 4 = 7.\nThen we are done.\n#### 7", reference="7", row=3, difficulty="hard"),
    example("7", reference="7", row=4, difficulty="medium", fields={"pass_rate": 0.5}),
    example("", reference="7", row=5),
    example("<think>I think about it</think>", row=6),
    example("I'm sorry, but I can't help with that.", reference="7", row=7),
    example(
        "<think></think>As an AI language model, I say \\boxed{\\frac{14}{2}}. Or \\boxed{9}", reference="7", row=8
    ),
    example("<think>" + "I see a cat on the mat. " * 40 + "</think>7", prompt="", reference="\\frac{14}{2}", row=9),
]


# -- all parts


@pytest.mark.parametrize(("name", "kind"), PARTS)
def test_a_part_sees_the_same_in_any_order_and_in_any_number_of_processes(name, kind):
    whole = seen(kind(), MIXED)
    shuffled = MIXED[::-1]
    assert seen(kind(), shuffled) == whole
    parts = [kind().fresh() for _ in range(3)]
    for i, one in enumerate(MIXED):
        parts[i % 3].add(one)
    gathered = pickle.loads(pickle.dumps(parts[0]))  # as worker processes send them
    for other in parts[1:]:
        gathered.merge(pickle.loads(pickle.dumps(other)))
    assert gathered.result() == whole
    json.dumps(asdict(whole), allow_nan=False)


@pytest.mark.parametrize(("name", "kind"), PARTS)
def test_a_part_that_saw_nothing_says_so(name, kind):
    result = asdict(kind().result())
    assert result["examples"] == 0
    json.dumps(result, allow_nan=False)


ODD = [
    "\x00",
    "٣ + ٤ = ٧",
    "\u202eمرحبا 3 + 4 = 7",
    "\ud800",
    "=" * 50,
    "𝟛+𝟜=𝟟",
    "é" * 300,
    "\r\n\t",
    "{" * 99,
    "\\boxed{" * 40,
]


@pytest.mark.parametrize("text", ODD, ids=lambda text: ascii(text[:12]))
def test_odd_characters_break_nothing(text):
    for _, kind in PARTS:
        part = kind()
        part.add(example(f"<think>{text}</think>{text}", prompt=text, reference=text, difficulty=text))
        part.add(example(text, answer=text, reference="7"))
        assert part.result().examples == 2


LONG = [
    "1" * 1_000_000,
    "1 + " * 250_000,
    "1 = 1 + 1 = " * 90_000,
    "= " * 500_000,
    "(" * 500_000 + "= 1",
    "\\frac{1}{2} " * 90_000,
    "a b c. " * 140_000,
    " " * 1_000_000 + "= 1",
    "\n" * 1_000_000,
    "step 1 " * 140_000,
    "I can't " * 120_000,
    "x 1 x 1 " * 120_000,
]


@pytest.mark.parametrize("text", LONG, ids=lambda text: repr(text[:12]))
def test_a_line_of_a_megabyte_takes_less_than_a_second(text):
    one = example(f"<think>{text}</think>{text[:1000]}", reference="7")
    for _, kind in PARTS:
        part = kind()
        part.add(example())  # patterns are compiled once
        start = time.process_time()
        part.add(one)
        assert time.process_time() - start < 1.0, kind


# -- shape


@given(st.lists(st.integers(0, 3_000_000), min_size=1, max_size=60), st.sampled_from([0.0, 0.05, 0.5, 0.95, 1.0]))
@settings(max_examples=60, deadline=None)
def test_quantiles_are_those_of_the_lengths_within_the_stated_error(values, share):
    lengths = Lengths()
    for value in values:
        lengths.add(value)
    exact = float(np.quantile(values, share, method="inverted_cdf"))
    assert lengths.quantile(share) == pytest.approx(exact, rel=ERROR, abs=0)
    if max(values) < 1024 or share in (0, 1):
        assert lengths.quantile(share) == exact
    summary = lengths.summary()
    assert sum(summary.counts) == len(values) and summary.total == sum(values)
    assert all(a < b for a, b in pairwise(summary.edges)) and summary.edges[-1] > max(values)


def test_lengths_take_little_memory_however_many_there_are():
    lengths = Lengths()
    for value in range(0, 40_000_000, 997):
        lengths.add(value)
    assert len(lengths.bins) < 10_000


def test_shape_counts_by_hand():
    rows = [
        example("<think>a b c</think>d e", prompt="one two"),
        example("f", prompt="one"),
        example("<think>  </think>", prompt=" "),
        example("<think>g</think>"),
    ]
    found = seen(Shape(limits=(1, 4)), rows)
    words = found.lengths["words"]
    assert (found.examples, found.unit, found.tokenizer, found.with_thought) == (4, "words", None, 3)
    assert words["thought"].n == 3 and words["thought"].total == 4 and words["response"].total == 7
    assert found.over_counts == {"response": {1: 1, 4: 1}, "total": {1: 3, 4: 2}}
    assert found.over["response"] == {1: 0.25, 4: 0.25}
    assert found.empty == {"prompt": 1, "thought": 1, "solution": 2, "response": 1} and found.no_end == 1


def test_tokens_are_those_of_the_counter_in_batches():
    asked = []

    def count(texts):
        asked.append(len(texts))
        return [len(text) for text in texts]

    rows = [example(f"<think>{'x' * i}</think>{'y' * (600 - i)}", prompt="zz") for i in range(600)]
    found = seen(Shape(count, "letters"), rows)
    assert found.unit == "tokens" and found.tokenizer == "letters"
    assert found.lengths["tokens"]["response"].quantiles == dict.fromkeys(
        found.lengths["tokens"]["total"].quantiles, 600
    )
    assert found.lengths["tokens"] == found.lengths["characters"]
    assert len(asked) == 3 and found.over_counts["response"][1024] == 0


def test_a_solution_that_stops_within_a_sentence_was_cut_off():
    text = "and so we add the next of them to it " * 6
    assert seen(Shape(), [example(text)]).cut_off == 1
    assert seen(Shape(), [example(text.strip() + ".")]).cut_off == 0
    assert seen(Shape(), [example("and so")]).cut_off == 0, "short: a fragment, perhaps, but not cut"


# -- structure


def test_kinds_of_responses():
    told = {
        "<think>Wait, no. Let me check 3 + 4.</think>7": "long_cot",
        "<think>" + "word " * 1600 + "</think>7": "long_cot",
        "Wait, no. I made an error. Let me check it.": "long_cot",  # without tags
        "<think>3 + 4 = 7</think>7": "short_cot",
        "We add 3 and 4.\nThat is 3 + 4 = 7.\n#### 7": "no_cot",
        "<think>\n\n</think>We add: 3 + 4 = 7": "no_cot",
        "The answer is \\boxed{7}.": "answer_only",
        "7": "answer_only",
        "In the end Jon has 21 seeds.\n\n$\\boxed{21}$": "answer_only",  # says what was asked, works nothing out
        "Since 3 boxes hold 7 seeds each, Jon has 21.\n\n$\\boxed{21}$": "no_cot",
        "<think>我们先看这个问题，然后再想一想。</think>7": "unread_cot",
        "<think>" + "我们先看这个问题" * 200 + "</think>7": "long_cot",
        "<think>Let θ and φ be the angles: “θ” is 30°.</think>7": "short_cot",
    }
    assert {text: kind_of(example(text)) for text in told} == told


def test_the_labs_structures_are_told_apart():
    for structure in ("long_cot", "short_cot"):
        assert seen(Structure(), lab_rows(structure)).kinds[structure].examples == 6
    assert seen(Structure(), lab_rows("no_cot")).kinds["answer_only"].examples == 6  # there it is the answer alone


def test_marks_of_answers_and_their_consistency():
    texts = ["\\boxed{1}"] * 2 + ["so it is\n#### 2"] * 2
    found = seen(Structure(), [example(t) for t in texts])
    assert found.marks["boxed"] == found.marks["hashes"] == 2
    assert found.mark_share == 0.5 and found.mark_entropy == pytest.approx(1.0) and found.boxed_share == 0.5
    alone = seen(Structure(), [example("\\boxed{1}"), example("\\boxed{2} or \\boxed{3}")])
    assert (alone.mark_entropy, alone.mark_share, alone.several_boxed) == (0.0, 1.0, 1)


def test_behaviours_are_counted_per_1000_of_the_unit():
    rows = [example("<think>" + "word " * 497 + "end. Wait, no.</think>x", prompt="y")]
    shape, structure = seen(Shape(), rows), seen(Structure(), rows)
    unit, rates = behaviours_per_1000(structure, shape)
    assert unit == "words" and rates["backtracking"] == pytest.approx(1000 / 501)
    assert structure.behaviours_per_1000_words == rates
    nothing = behaviours_per_1000(Structure().result(), Shape().result())[1]
    assert all(isinstance(rate, NotEstimable) for rate in nothing.values())


# -- arithmetic


@pytest.mark.parametrize(
    ("text", "value"),
    [("3 + 4 * 2", 11), ("(3 + 4) * 2", 14), ("2(3 + 4)", 14), ("2^3^2", 512), ("-2^2", -4), ("1/3", Fraction(1, 3)),
     ("1,000 * 1.5", 1500), ("8 - 3 - 2", 3), ("12 / 3 / 2", 2), ("50%", Fraction(1, 2)), ("3 - -4", 7),
     ("2 ^ -1", Fraction(1, 2))],
)  # fmt: skip
def test_expressions_have_their_value(text, value):
    assert evaluate(tokens_of(text)).number == value


@pytest.mark.parametrize(
    "text",
    ["", "3 +", "3 4", "(3", "3)", "x + 1", "1/0", "9^9^9", "9^999", "007", "2^0.5", "1" * 99, "__import__('os')"],
)
def test_what_is_no_arithmetic_is_refused(text):
    with pytest.raises(NotArithmetic):
        evaluate(tokens_of(text))


def joined(inner):
    return st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda parts: f"({' '.join(parts)})")


@given(st.recursive(st.integers(0, 99).map(str), joined, max_leaves=12))
@settings(max_examples=80, deadline=None)
def test_expressions_agree_with_python(text):
    value = evaluate(tokens_of(text)).number
    assert value == eval(text)  # digits, brackets and + - * made above
    assert check_equations(f"So {text} + 1 = {value + 1}.") == (1, [])
    assert len(check_equations(f"So {text} + 1 = {value + 3}.").slips) == 1


RIGHT = [
    "3 + 4 = 7", "12*8=96", "2+3=5+1=6", "$3 \\times 4 = 12$", "\\frac{1}{2} + \\frac{1}{3} = \\frac{5}{6}",
    "1/3 = 0.33", "2/3 = 0.67", "1,000 + 2,000 = 3,000", "2(3+4) = 14", "5² = 25", "-3 + 4 = 1", "- 3 + 4 = 7",
    "1. 3 + 4 = 7", "(3 + 4 = 7)",
    "12 * 8 = 96 apples", "$5 + $3 = $8", "25% * 80 = 20", "20 / 3 ≈ 6.7", "20 / 3 = 7", "3 x 4 = 12", "**3 + 4 = 7**",
    "x = 3 + 4 = 7", "所以3+4=7", "10 = 2*5", "0.1 + 0.2 = 0.3", "3 \\cdot 4 = \\boxed{12}", "17 - 5 = 12, 12 / 4 = 3.",
    "3/4 = 75%",
]  # fmt: skip
WRONG = [
    "3 + 4 = 8", "12*8=95", "so 3 * 4 = 13 apples.", "1.2+1.3=2.6", "7/2 = 3.2", "2 + 3 = 6 + 1 = 7",
    "3 \\times 4 = 13",
    "5 + 3 * 2 = 16", "The total is 12 * 8 = 86", "1,000 + 2,000 = 4,000", "\\frac{1}{2} + \\frac{1}{2} = 2",
    "10 = 3*5",
]  # fmt: skip
LEFT_ALONE = [
    "x = 3", "3 = 3", "2x + 3 = 7", "n - 3 + 4 = 7", "10% of 50 + 3 = 8", "8 + 7 = 5 (mod 10)", "in base 8, 7 + 1 = 10",
    "17 / 5 = 3 remainder 2", "17/5 = 3 R2", "is 3 * 5 = 20? No", "if 3 + 4 = 8 then", "f(2) = 3 * 4", "C(5, 2) = 10",
    "(1, 2) + (3, 4) = (4, 6)", "2024-01-05 = Friday", "30 + 30 = 1 hour", "0110 + 0001 = 0111", "log 100 + 1 = 3",
    "10/3 = 3 1/3", "12 000 + 1 = 12 001", "sqrt(16) + 2 = 6", "3:45 + 1:20 = 5:05", "x^2 = 9 + 8", "3 + 4 == 8",
    "3 + 4 != 8",
    "3 + 4 ≠ 8", "20 + 10% = 22", "3 * 4 = 12 million", "for n=3,4 + 5 = 12", "٣ + ٣ = ٧", "3 + 4 = 2 \\pi",
    "x2 = 3 + 4",
    "|3 - 5| + 1 = 4", "5! + 3 = 123", "3 + 4 <= 8", "x => 3 + 4", "3 + 4 = 8 is wrong", "half of 10 + 2 = 7",
]  # fmt: skip


@pytest.mark.parametrize("text", RIGHT)
def test_right_equations_are_found_right(text):
    found = check_equations(text)
    assert found.equations >= 1 and not found.slips


@pytest.mark.parametrize("text", WRONG)
def test_slips_are_found_and_told_as_they_stand(text):
    (slip,) = check_equations(text).slips
    assert not slip.caught and "=" in slip.text


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_what_may_be_right_or_is_not_claimed_is_no_slip(text):
    assert not check_equations(text).slips


def test_a_slip_that_is_withdrawn_is_caught():
    found = check_equations("100 - 37 = 73. Wait, no, that's 63: 100 - 37 = 63.")
    assert found.equations == 2 and [slip.caught for slip in found.slips] == [True]


def test_planted_slips_are_all_found_among_many_equations():
    rng = random.Random(0)
    lines, planted = [], 0
    for _ in range(400):
        a, b, sign = rng.randrange(2, 999), rng.randrange(2, 999), rng.choice("+-*")
        value = {"+": a + b, "-": a - b, "*": a * b}[sign]
        slip = rng.random() < 0.1
        planted += slip
        form = rng.choice(("So {e}.", "We get ${e}$ of them, and go on.", "- {e}", "Then {e}, which helps.", "x = {e}"))
        lines.append(form.format(e=f"{a} {sign} {b} = {value + slip * rng.randrange(1, 9)}"))
    found = check_equations("\n".join(lines))
    assert (found.equations, len(found.slips)) == (400, planted)


# -- quality


@pytest.mark.parametrize(
    ("given", "reference", "verdict"),
    [("7", "7.0", "correct"), ("1,000", "1000", "correct"), ("\\dfrac{1}{2}", "0.5", "correct"),
     ("$7$", "7", "correct"), ("x = 5", "5", "correct"), ("(B)", "b", "correct"), ("Paris.", "paris", "correct"),
     ("3 apples", "3", "correct"), ("-1/2", "\\frac{-1}{2}", "correct"), ("7", "8", "wrong"), ("B", "C", "wrong"),
     ("listen", "silent", "wrong"),
     ("0.33", "1/3", "wrong"), ("3 million", "3", None), ("\\sqrt{18}", "3\\sqrt{2}", None),
     ("50%", "0.5", "correct"), ("50%", "0.25", "wrong"),
     ("12%", "12", "unparsable"), ("0.12", "12%", "correct"), ("12", "0.12", "wrong"),
     ("1 1/2", "11/2", "wrong"), ("1 1/2", "1.5", "correct"), ("1\\frac{1}{2}", "3/2", "correct"),
     ("1\\frac12", "11/2", "wrong"), ("x\\frac12", "x12", None), ("2 1/3", "21/3", "wrong"),
     ("1 2 3", "12 3", None), ("(2,100)", "(2100)", None), ("( 2 , 1 )", "(2,1)", "correct"),
     ("x=5", "y=5", None), ("x = 5", "x=6", "wrong"), ("3 14", "31 4", None),
     ("5 km", "5 m", "wrong"), ("5km", "5 km", "correct"), ("5 km", "6 km", "wrong"), ("5 km", "5", "correct"),
     ("3 apples", "3 apple", "correct"), ("3 hours", "180 minutes", "unparsable"), ("5x", "5y", None),
     ("3 km/h", "3 km/s", "wrong"),
     ("5²", "52", None), ("x²", "x2", None), ("2½", "2.5", "correct"), ("1 2", "12", None),
     ("4 crore", "4", None),
     ("3 quarters", "3", None), ("no", "on", "wrong"), ("N", "n", "wrong"), ("**7**", "7", "correct"),
     ("\\text{7}", "7", "correct"), ("infinity", "\\infty", "correct"),
     ("", "7", "unparsable"), ("7" * 3000, "8", "unparsable"), ("\\frac{", "7", "unparsable"),
     ("?", "x+1", "unparsable"),
     ("I don't know", "7", "unparsable"), ("7", "It is seven, or so the third of them said.", "unparsable")],
)  # fmt: skip
def test_plain_comparison_decides_what_it_can_and_nothing_else(given, reference, verdict):
    assert quick_check(given, reference) == verdict


def test_a_verdict_does_not_depend_on_which_of_two_is_the_reference():
    texts = ["7", "7.0", "1 1/2", "11/2", "12%", "12", ".12", "5 km", "5 m", "5km", "x=5", "y=5", "(2,100)", "3 apples"]
    for one in texts:
        assert quick_check(one, one) == "correct"
        for other in texts:
            assert {quick_check(one, other), quick_check(other, one)} != {"correct", "wrong"}, (one, other)


def test_numbers_are_read_exactly():
    assert number_of(plain("$1{,}000$".replace("{,}", ","))) == 1000 and number_of("٣") is None
    assert number_of("1/0") is None and number_of("50%") is None and number_of("-.5") == Fraction(-1, 2)


FAKE = """
import json, sys, time
print("ready", flush=True)
for line in sys.stdin:
    given, _ = json.loads(line)
    if "hang" in given:
        time.sleep(60)
    if "die" in given:
        sys.exit(1)
    print(json.dumps("correct" if "good" in given else "wrong" if "bad" in given else "what"), flush=True)
"""


def test_a_process_that_hangs_or_dies_is_replaced_and_the_others_go_on():
    command = (sys.executable, "-c", FAKE)
    pairs = [
        (f"{word}^{i}", "x+1") for i, word in enumerate(("good", "hang", "bad", "die", "odd", "good", "hang", "bad"))
    ]
    start = time.monotonic()
    with AnswerChecker(2, 0.5, command) as checker:
        verdicts = checker.check(pairs)
        processes = [worker._process for worker in checker._workers]
        assert checker.check(pairs[:1]) == ["correct"], "known from before"
    assert verdicts == ["correct", "timeout", "wrong", "timeout", "unparsable", "correct", "timeout", "wrong"]
    assert time.monotonic() - start < 10
    assert all(process is None or process.poll() is not None for process in processes), "none is left behind"


def test_without_math_verify_what_it_would_decide_is_unchecked(monkeypatch):
    monkeypatch.setattr("triaxis.tasks.checker.find_spec", lambda name: None)
    with AnswerChecker() as checker:
        assert checker.check([("7", "7"), ("x+1", "1+x")]) == ["correct", "unchecked"]
    found = seen(Quality(), [example("\\boxed{x+1}", reference="1+x")])
    assert (found.answers.unchecked, found.answers.checked) == (1, 0)
    assert isinstance(found.answers.correct_share, NotEstimable)


def test_math_verify_decides_what_needs_mathematics_and_hanging_is_told():
    hangs = ("9^{9^{9^{9}}}", "1")
    with AnswerChecker(2, 3.0) as checker:
        pairs = [("\\sqrt{18}", "3\\sqrt{2}"), ("50\\%", "0.5"), ("x+1", "x+2"), hangs]
        assert checker.check(pairs) == ["correct", "correct", "wrong", "timeout"]
    assert judge_math("(x+1)^2", "x^2+2x+1") == "correct"


def test_answers_are_counted_and_the_rows_listed():
    rows = [example(f"\\boxed{{{7 + (i % 3 == 0)}}}", reference="7", row=i) for i in range(1, 91)]
    rows += [example("no idea what it is at all", reference="7", row=91), example("7", row=92)]
    found = seen(Quality(), rows)
    counts = found.answers
    assert (counts.checked, counts.correct, counts.wrong, counts.missing, counts.no_reference) == (90, 60, 30, 1, 1)
    assert [shown.row for shown in found.wrong_rows] == list(range(3, 61, 3)), "the first twenty"
    assert (found.wrong_rows[0].found, found.wrong_rows[0].against) == ("8", "7")


def test_lab_rows_are_judged_by_the_labs_own_rules():
    right = seen(Quality(), lab_rows("long_cot", 30))
    assert right.answers.correct == 30 and right.verifiers == {"lab": 30} and right.inconsistent == 0
    assert right.equations == 0, "digits modulo 10 are no slips"
    assert right.lab_steps > 60 and right.lab_wrong_steps == 0
    noisy = seen(Quality(), lab_rows("short_cot", 30, noisy=True))
    assert noisy.answers.wrong == 30 and noisy.inconsistent == 0 and noisy.lab_wrong_steps >= 30
    refused = example("refuse", reference="refuse", source="lab")
    assert seen(Quality(), [refused]).answers.correct == 1
    assert check_steps("i1 3 + 4 = 8 wait 3 + 4 = 7 no 7 ok ; i2 7 + 5 = 3 ;") == (2, 1)


def test_reasoning_gym_items_are_judged_by_their_own_verifier():
    task = get_task("rg:countdown")
    items = task.examples("train", 0, 2)
    other = f"({items[0].answer})"  # another way to write a solution: no equal text, and right
    rows = [
        example(
            f"<answer>{text}</answer>", prompt=item.prompt, reference=item.answer, id=item.id, source="reasoning-gym"
        )
        for item, text in ((items[0], other), (items[1], "1 + 1"), (items[1], items[1].answer))
    ]
    found = seen(Quality(), rows)
    assert (found.answers.correct, found.answers.wrong) == (2, 1)
    assert found.verifiers == {"reasoning-gym": 2, "comparison": 1}


def test_a_trace_that_comes_to_something_else_is_inconsistent():
    rows = [
        example("<think>So the answer is 12.</think>\\boxed{12}"),
        example("<think>We get \\boxed{12}.</think>\\boxed{13}"),
        example("<think>So the answer is somewhere near here.</think>\\boxed{13}"),
        example("<think>3 times 4</think>\\boxed{12}"),
        example("<think> i1 3 + 4 = 7 ; i2 7 - 9 = 8 ; </think> A 7"),
    ]
    found = seen(Quality(), rows)
    assert (found.comparable_traces, found.inconsistent) == (3, 2)
    assert [shown.found for shown in found.inconsistent_rows] == ["12", "8"]
    assert found.answer_not_in_trace == 3  # 13, 13 and 12
    assert stated_result("no result") is None


@pytest.mark.parametrize(
    ("trace", "result"),
    [("So the answer is 12.", "12"), ("We get \\boxed{12}.", "12"), ("I guess the answer is 12. No, it is 13.", None),
     ("Maybe \\boxed{12}? No.", None), ("We get \\boxed{12}. Wait, that's wrong.", None),
     ("If the answer is 12, the sum is odd.", None), ("We get \\boxed{12}. Let me check: yes.", "12")],
)  # fmt: skip
def test_a_guess_on_the_way_is_no_result(trace, result):
    assert stated_result(trace) == result


def test_an_answer_in_another_form_than_the_labs_is_not_missing():
    (row,) = lab_rows("long_cot", 1)
    other = [replace(row, solution=f"The answer is {row.answer}.", answer=row.answer), replace(row, solution="So.")]
    found = seen(Quality(), [row, other[0], replace(other[1], answer=None)]).answers
    assert (found.correct, found.other_form, found.missing) == (1, 1, 1)


def test_refusals_boilerplate_and_loops():
    assert (
        is_refusal("I'm sorry, but I can't help with that.")
        and is_refusal("I cannot assist with it")
        and is_refusal("refuse")
    )
    assert not is_refusal("I cannot use 3 twice, so we take 4.") and not is_refusal("The answer is 7.")
    assert boilerplate("Certainly! It is 7. I hope this helps!") == ["opening", "closing"]
    assert (
        boilerplate("As an AI language model, I think it is 7.") == ["about itself"] and boilerplate("It is 7.") == []
    )
    rng = random.Random(1)
    words = " ".join(f"w{rng.randrange(10**6)}" for _ in range(2000))
    assert loop_in(words) == "" and loop_in("0, " * 500) == "" and loop_in("") == ""
    looped = loop_in(words + " we go round and round again." * 12)
    assert len(looped) == len(" we go round and round again.")


# -- difficulty


def test_difficulties_are_ranked_by_number_word_and_level():
    assert ranked(3) == (3.0, "numbers") and ranked("3") == (3.0, "numbers") and ranked("Level 5") == (5.0, "levels")
    assert ranked("Easy")[0] < ranked("medium")[0] < ranked("HARD")[0] < ranked("very_hard")[0]
    assert ranked("purple") == (None, "unordered words") and ranked(None) == ranked("") == ranked(True) == (None, "")
    assert ranked(float("nan")) == (None, "") and ranked("nan") == (None, "unordered words")
    assert ranked("-3") == ranked("\u22123") == (-3.0, "numbers") and ranked("level-3") == (3.0, "levels")
    assert ranked("1.5e+03") == (1500.0, "numbers") and ranked("3/5") == (3.0, "numbers")
    assert ranked("Level -1") == (1.0, "levels"), "a separator after a word"
    found = seen(Difficulty(), [example(difficulty=d) for d in ("hard", "easy", "easy", "purple", None)])
    assert list(found.levels.items()) == [("easy", 2), ("hard", 1)] and found.unordered == {"purple": 1}
    assert (found.with_field, found.field_kind) == (4, "mixed")


def test_pass_rates_are_read_from_their_columns():
    assert pass_rate_of({"id": 3, "llama8b_solve_rate": 0.4}) == ("llama8b_solve_rate", 0.4)
    assert pass_rate_of({"pass@1": 25}) == ("pass@1", 25.0) and pass_rate_of({"success_rate": True}) == ("", None)
    assert pass_rate_of({"passage": 1.0, "compass_rates_x": "0.5"}) == ("", None)
    rows = [example(row=i, difficulty=i, fields={"pass_rate": 100 - i}) for i in range(1, 41)]
    found = seen(Difficulty(), rows)
    assert found.pass_rate_column == "pass_rate" and found.pass_rate_quantiles["1"] == pytest.approx(0.99)
    by_name = {(a.one, a.other): a for a in found.agreement}
    perfect = by_name["field", "pass_rate"]
    assert perfect.n == 40 and perfect.correlation.value == pytest.approx(1.0), "both grow with difficulty"
    assert isinstance(by_name["field", "steps"].correlation, NotEstimable), "every trace has one step"


@pytest.mark.parametrize(
    ("name", "values", "rates"),
    [("num_correct", range(9), None), ("correct_answer", range(90), None), ("pass_count", range(9), None),
     ("win_count", range(9), None), ("accuracy_votes", range(3), None), ("pass_rate_count", [0.5, 0.2], None),
     ("accuracy", [0.2, 1, 0.4], 1.0), ("accuracy", [0.2, 3, 40], None), ("pass_rate", [0, 1, 8], None),
     ("pass_rate", [0, 1, 30], 0.3), ("pass_rate", [0, 1.5, 8], 0.08), ("pct_correct", [1, 8], 0.08),
     ("win_rate", [900, 1500], None), ("solve_ratio", [0.1, 0.9], 0.9)],
)  # fmt: skip
def test_counts_and_answers_are_no_pass_rates(name, values, rates):
    rows = [example(row=at, fields={name: value}) for at, value in enumerate(values, 1)]
    found = seen(Difficulty(), rows)
    assert (found.pass_rate_column, found.with_pass_rate) == ((name, len(rows)) if rates else ("", 0))
    assert found.pass_rate_quantiles.get("1") == pytest.approx(rates)


def test_agreement_covers_what_it_should():
    """The interval of a known rank correlation, over 300 draws."""
    rng = np.random.default_rng(0)
    truth = 6 / np.pi * np.arcsin(0.6 / 2)  # of a normal pair with correlation .6
    inside = 0
    for _ in range(300):
        x = rng.normal(size=80)
        found = spearman(x, 0.6 * x + 0.8 * rng.normal(size=80))
        assert isinstance(found, Interval)
        inside += found.low <= truth <= found.high
    assert 0.91 <= inside / 300 <= 0.985


@pytest.mark.parametrize(
    ("n", "levels", "correlation"),
    [
        (40, 2, 0.0),
        (60, 2, 0.9),
        (100, 2, 0.97),
        (12, 0, 0.9),
        (20, 0, 0.9),
        (20, 0, 0.99),
        (50, 4, 0.9),
        (200, 4, 0.5),
    ],
)
def test_agreement_of_tied_values_covers_what_it_should(n, levels, correlation):
    rng = np.random.default_rng(n)

    def drawn(n):
        pair = rng.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], n)
        return np.digitize(pair, np.linspace(-1, 1, levels - 1) if levels > 2 else [0.0]) if levels else pair

    truth = np.corrcoef(*(stats.rankdata(side) for side in drawn(200_000).T))[0, 1]
    found = [spearman(*drawn(n).T.astype(float)) for _ in range(500)]
    known = [one for one in found if isinstance(one, Interval)]
    assert len(known) > 350 and all(one.low < one.high for one in known)
    assert np.mean([one.low <= truth <= one.high for one in known]) >= 0.93


def test_agreement_of_values_that_are_nearly_all_tied_is_not_estimable():
    rare = np.r_[np.zeros(95), np.ones(5)]
    assert isinstance(spearman(rare, rare), NotEstimable) and isinstance(spearman(rare, np.arange(100.0)), NotEstimable)
    five = np.r_[np.zeros(5), np.ones(5)]
    assert isinstance(spearman(five, five), NotEstimable)
    full = spearman(np.repeat(five, 4), np.repeat(five, 4))
    assert full.value == 1.0 and full.low < 0.9 < full.high == 1.0, "forty rows in order don't show that all are"


def test_agreement_is_that_within_domains():
    """Simpson: two domains in full agreement, the one with the lower levels having the longer traces."""
    rows = []
    for row in range(1, 201):
        long, level = row % 2, 1 + row // 2 % 5
        trace = "x\n" * (20 * long + level)
        rows.append(
            example(f"<think>{trace}</think>7", row=row, domain="ab"[long], difficulty=level if long else level + 5)
        )
    (found, *_) = seen(Difficulty(), rows).agreement
    assert (found.n, found.domains, found.left_out) == (200, 2, 0)
    assert found.correlation.value == pytest.approx(1.0) and 0.95 < found.correlation.low < 1
    rows += [example("<think>x</think>7", row=300 + i, domain="c", difficulty=i % 3) for i in range(30)]
    (found, *_) = seen(Difficulty(), rows).agreement
    assert (found.n, found.domains, found.left_out) == (200, 2, 1), "in the third all traces have one step"


def test_the_examples_that_agreement_rests_on_do_not_depend_on_their_order(monkeypatch):
    monkeypatch.setattr("triaxis.axes.data.profile.difficulty.KEPT", 50)
    rows = [example("<think>" + "x\n" * (i % 7 + 1) + "</think>7", row=i, difficulty=i % 5) for i in range(400)]
    one, other = seen(Difficulty(), rows), seen(Difficulty(), rows[::-1])
    assert one == other and one.sampled and one.agreement[0].n == 50


def test_steps_are_labels_or_lines():
    assert steps_of("Step 1: a\nfoo\nStep 2: b\n\nbar") == 2 and steps_of("a\n\nb\nc") == 3 and steps_of("") == 0
    task = get_task("letters")
    item = task.examples("train", 0, 1)[0]
    assert steps_of(split_thought(item.traces["long_cot"])[0]) == item.level
