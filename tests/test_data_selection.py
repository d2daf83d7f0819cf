"""Which rows of a set, and how many: nested subsets, mixtures, exposure, replay, and what is clean."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe_cases import ROOT, example, ids, problems, run, sums, write
from triaxis.axes.data.open import open_examples
from triaxis.axes.data.recipes import make_examples
from triaxis.axes.data.recipes.mixture import apportioned
from triaxis.axes.data.recipes.spec import step_of
from triaxis.types import TriaxisError, Turn


def test_scale_is_nested_and_keeps_the_order():
    rows = sums(300)
    sets = {n: ids(run([{"scale": n}], rows)[0]) for n in (10, 100, 300)}
    assert set(sets[10]) < set(sets[100]) < set(sets[300])
    assert all(found == sorted(found, key=ids(rows).index) and len(found) == n for n, found in sets.items())
    assert set(sets[100]) == set(ids(run([{"scale": 100}], rows[::-1])[0]))  # whatever order they came in
    with pytest.raises(TriaxisError, match="301 rows are asked for, and only 300 come"):
        run([{"scale": 301}], rows)


def test_a_mixture_has_its_shares():
    rows = sums(300)
    shares = {"math/easy": 0.5, "shop/hard": 0.3, "shop/medium": 0.2}
    out, _, _ = run([{"mixture": {"shares": shares, "by": "both", "total": 60}}], rows)
    assert Counter((e.domain, e.difficulty) for e in out) == {("math", 1): 30, ("shop", 3): 18, ("shop", 2): 12}
    assert ids(out) == sorted(ids(out), key=ids(rows).index)
    more, _, _ = run([{"mixture": {"shares": shares, "by": "both", "total": 90}}], rows)
    assert set(ids(out)) < set(ids(more))
    balanced, _, _ = run([{"mixture": {"shares": "balanced", "by": "both"}}], rows)
    assert set(Counter((e.domain, e.difficulty) for e in balanced).values()) == {50}
    by_domain, _, _ = run([{"mixture": {"shares": {"math": 0.25, "shop": 0.75}, "by": "domain", "total": 100}}], rows)
    assert Counter(e.domain for e in by_domain) == {"math": 25, "shop": 75}


@pytest.mark.parametrize(
    "levels", [(1, 2, 3), (0.1, 0.5, 0.9), ("easy", "medium", "hard"), ("Level 1", "Level 3", "Level 5")]
)
def test_easy_hard_and_curriculum_by_any_kind_of_difficulty(levels):
    rows = sums(90, levels=levels)
    for shares, level in (("easy_only", levels[0]), ("hard_only", levels[2])):
        out, _, _ = run([{"mixture": shares}], rows)
        assert {e.difficulty for e in out} == {level}
        assert len(out) == 30
    out, _, _ = run([{"mixture": {"shares": "as_is", "order": "curriculum"}}], rows)
    assert sorted(ids(out)) == sorted(ids(rows))
    assert [e.difficulty for e in out] == [level for level in levels for _ in range(30)]
    assert ids(out)[:30] != ids(run([{"select": {"difficulty": levels[0]}}], rows)[0])  # within a level, as drawn


def test_many_levels_are_cut_into_bands():
    rows = [example(i, "t", "\\boxed{1}", difficulty=i / 100) for i in range(100)]
    out, _, _ = run([{"mixture": {"shares": {"easy": 0.5, "hard": 0.5}, "bands": 2, "total": 20}}], rows)
    assert Counter(e.difficulty < 0.5 for e in out) == {True: 10, False: 10}
    own, _, _ = run([{"mixture": {"shares": {"0.25": 1.0}, "bands": "own"}}], rows)
    assert ids(own) == ["r25"]


def test_words_of_difficulty_in_no_known_order_must_be_listed():
    rows = sums(30, levels=("bronze", "silver", "gold"))
    with pytest.raises(
        TriaxisError, match="which of bronze, gold, silver is harder isn't known; list them in `levels`"
    ):
        run([{"mixture": "easy_only"}], rows)
    out, _, _ = run([{"mixture": {"shares": "hard_only", "levels": ["bronze", "silver", "gold"]}}], rows)
    assert {e.difficulty for e in out} == {"gold"}


def test_a_cell_with_too_few_rows_is_an_error_filled_or_repeated():
    rows = [*sums(20, domains=("math",)), *(replace(r, id=f"s{r.id}", domain="shop") for r in sums(4))]
    wanted = {"shares": {"math": 0.5, "shop": 0.5}, "by": "domain", "total": 16}
    with pytest.raises(TriaxisError, match="shop has 4 rows, and 8 are asked for; lower `total`"):
        run([{"mixture": wanted}], rows)
    filled, (entry,), _ = run([{"mixture": wanted | {"short": "fill"}}], rows)
    assert Counter(e.domain for e in filled) == {"math": 12, "shop": 4}
    assert entry.notes == ["shop has 4 rows, and 8 are asked for"]
    repeated, _, _ = run([{"mixture": wanted | {"short": "repeat"}}], rows)
    assert Counter(e.domain for e in repeated) == {"math": 8, "shop": 8}
    assert sorted(i for i in ids(repeated) if i.startswith("s")) == sorted(
        f"sr{i}{c}" for i in range(4) for c in ("", "~2")
    )
    with pytest.raises(TriaxisError, match="rows are missing even when filled"):
        run([{"mixture": wanted | {"short": "fill", "total": 40}}], rows)
    with pytest.raises(TriaxisError, match="no row is of shp; did you mean shop"):
        run([{"mixture": wanted | {"shares": {"math": 0.5, "shp": 0.5}}}], rows)


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=8), st.integers(0, 500))
def test_apportioned_numbers_sum_are_near_and_never_fall(weights, total):
    shares = {str(i): w / sum(weights) for i, w in enumerate(weights)}
    found, more = apportioned(shares, total), apportioned(shares, total + 1)
    assert sum(found.values()) == total
    assert all(abs(found[cell] - share * total) < max(1, len(shares) / 2) for cell, share in shares.items())
    assert sorted(more[cell] - found[cell] for cell in shares) == [0] * (len(shares) - 1) + [1]


@pytest.mark.parametrize("short", ["error", "fill"])
def test_every_total_of_a_mixture_holds_the_rows_of_the_smaller_ones(short):
    sizes = (90, 90, 30) if short == "error" else (50, 150, 30)
    rows = [
        example(i, "t", "\\boxed{1}", domain=c)
        for i, c in enumerate(c for c, n in zip("abc", sizes, strict=True) for _ in range(n))
    ]
    shares = {"a": 6 / 14, "b": 6 / 14, "c": 2 / 14}
    before = set()
    for total in range(1, 201):
        out, _, _ = run([{"mixture": {"shares": shares, "by": "domain", "total": total, "short": short}}], rows)
        assert before < set(ids(out)) and len(out) == total
        before = set(ids(out))


def test_bands_are_named_by_their_order_and_told():
    rows = [example(i, "t", "\\boxed{1}", difficulty=1 if i < 90 else 2 if i < 95 else 3) for i in range(100)]
    for shares, levels in (("easy_only", {1: 90}), ("hard_only", {2: 5, 3: 5})):
        out, (entry,), _ = run([{"mixture": shares}], rows)
        assert Counter(e.difficulty for e in out) == levels
        assert entry.notes == ["difficulty: easy is 1 (90 rows); hard is 2, 3 (10 rows)"]
    with pytest.raises(TriaxisError, match="no row is of medium; there are easy, hard"):
        run([{"mixture": {"shares": {"medium": 0.5, "easy": 0.5}}}], rows)
    many = [example(i, "t", "\\boxed{1}", difficulty=i) for i in range(90)]
    _, (entry,), _ = run([{"mixture": "balanced"}], many)
    assert entry.notes[0].startswith("difficulty: easy is 0 to 29 (30 rows); medium is 30 to 59")


@pytest.mark.parametrize("shares", ["easy_only", "hard_only", "balanced"])
def test_one_difficulty_alone_has_no_easy_and_no_hard_rows(shares):
    rows = [example(i, "t", "\\boxed{1}", difficulty=3) for i in range(10)]
    with pytest.raises(
        TriaxisError, match=rf"every row whose difficulty is known is of 3, so that {shares} is nothing"
    ):
        run([{"mixture": shares}], rows)
    assert run([{"mixture": {"shares": "as_is", "order": "curriculum"}}], rows)[0]


def test_exposure_shows_each_row_in_every_epoch():
    rows = sums(100)
    steps = {"distinct": 20, "presentations": 50, "batch_size": 8, "write": "rows"}
    out, (entry,), _ = run([{"exposure": steps}], rows)
    shown = [id.partition("~")[0] for id in ids(out)]
    distinct = set(ids(run([{"scale": 20}], rows)[0]))  # the same rows as scale takes
    assert set(shown[:20]) == set(shown[20:40]) == distinct
    assert len(shown) == 50
    assert len(set(shown[40:])) == 10
    assert shown[:20] != shown[20:40]
    assert len(set(ids(out))) == 50
    assert entry.notes == [
        "20 distinct rows, 50 presentations, 2.5 epochs: 7 steps of 8 in one stream",
        "8 steps where a trainer ends every epoch with a smaller batch",
    ]


def test_select_by_what_a_row_is_and_a_name_that_no_row_has():
    rows = sums(60)
    out, _, _ = run([{"select": {"domain": "shop", "difficulty": "2-3"}}], rows)
    assert {(e.domain, e.difficulty) for e in out} == {("shop", 2), ("shop", 3)}
    assert ids(run([{"select": {"ids": ["r3", "r7"]}}], rows)[0]) == ["r3", "r7"]
    for step, said in (
        ({"domain": "shp"}, "no row has domain shp; did you mean shop?"),
        ({"difficulty": [1, 9]}, "no row has difficulty 9"),
        ({"ids": ["r3", "r777"]}, "no row has id r777"),
    ):
        with pytest.raises(TriaxisError, match=said):
            run([{"select": step}], rows)


def test_cap_drops_and_never_cuts():
    rows = [example(i, None, "word " * i + "\\boxed{1}") for i in range(1, 40)]
    out, (entry,), touched = run([{"cap": {"limit": 20, "unit": "words"}}], rows)
    assert out == rows[:19]
    assert entry.left_out == {"more than 20 words": 20}
    assert touched[0][2:] == ("r20", "more than 20 words: 21")
    folder = str(ROOT / "src" / "triaxis" / "axes" / "model" / "bases" / "strong")
    lab = list(open_examples("lab:chain?n=30&structure=long_cot"))
    out, (entry,), _ = run([{"cap": {"limit": 60, "tokenizer": folder, "of": "thought"}}], lab)
    assert [e for e in lab if len(e.thought.split()) <= 60] == out
    assert 0 < len(out) < 30
    with pytest.raises(TriaxisError, match=r"tokenizer: nowhere: no such file"):
        run([{"cap": {"limit": 60, "tokenizer": "nowhere"}}], lab)


def test_dedupe_keeps_the_first_of_each():
    long = "A train leaves the station at noon and goes east at sixty miles an hour for three hours without a stop"
    asked = ["What is 2 + 2?", "what is  2 + 2", "What is 2 + 3?", long, long + " today", "What is 2 + 2?"]
    rows = [replace(e, turns=(Turn("user", q),), reference="4") for e, q in zip(sums(6), asked, strict=True)]
    assert ids(run([{"dedupe": "exact"}], rows)[0]) == ["r0", "r1", "r2", "r3", "r4"]
    assert ids(run(["dedupe"], rows)[0]) == ["r0", "r2", "r3", "r4"]
    near, _, touched = run([{"dedupe": "near"}], rows)
    assert ids(near) == ["r0", "r2", "r3"]
    assert (0, "left_out", "r4", "its prompt is nearly one that came before: r3") in touched


def test_verify_keeps_the_correct():
    said = (("#### 1,000", "1000"), ("#### 3", "4"), ("So what then is it", "4"), ("#### 3", None), ("#### 0.5", "1/2"))
    rows = [example(i, None, *each) for i, each in enumerate(said)]
    out, (entry,), _ = run(["verify"], rows)
    assert ids(out) == ["r0", "r4"]
    assert entry.left_out == {"wrong": 1, "no answer": 1, "no reference": 1}
    assert ids(run([{"verify": {"unchecked": "keep"}}], rows)[0]) == ["r0", "r2", "r3", "r4"]


def test_replay_is_nested_in_its_share_and_keeps_the_total():
    rows, safe = sums(100), [replace(r, id=f"safe{i}", domain="safety") for i, r in enumerate(sums(40))]

    def made(share, how="replace"):
        steps = [step_of({"replay": {"source": "safe", "share": share, "how": how}}, "step")]
        return make_examples(steps, rows, 0, opener=lambda path, **_: safe)[0]

    few, many, added = made(0.1), made(0.3), made(0.2, "add")
    assert (len(few), len(many), len(added)) == (100, 100, 125)
    replayed = [{e.id for e in out if e.domain == "safety"} for out in (few, many, added)]
    assert [len(r) for r in replayed] == [10, 30, 25]
    assert replayed[0] < replayed[2] < replayed[1]
    assert {e.id for e in many if e.domain != "safety"} < {e.id for e in few if e.domain != "safety"}
    assert [e.id for e in added if e.domain != "safety"] == ids(rows)
    with pytest.raises(TriaxisError, match=r"a share of 0\.5 is 50 rows, and safe has 40"):
        made(0.5)


def test_decontaminate_leaves_out_what_is_evaluated(here):
    rows = problems()
    path = write(
        here / "eval.jsonl",
        [{"problem": rows[3]["problem"], "answer": "7"}, {"problem": "What is love?", "answer": "?"}],
    )
    out, (entry,), _ = run([{"decontaminate": path}], open_examples(write(here / "a.jsonl", rows)))
    assert ids(out) == [f"p{i}" for i in range(30) if i != 3]
    assert entry.left_out.total() == 1
