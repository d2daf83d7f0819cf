"""Diversity: words and n-grams, near-duplicates, entropies, the Vendi score, and what a profile says of them."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from dataclasses import replace
from math import exp, log
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from triaxis.axes.data.profile import minhash, words
from triaxis.axes.data.profile.cells import NONE, difficulty_label
from triaxis.axes.data.profile.diversity import Diversity, problem_of, with_trace
from triaxis.axes.data.profile.features import DIMENSIONS, hashed_counts
from triaxis.axes.data.profile.minhash import NearDuplicates, near_duplicates, sets_of
from triaxis.axes.data.profile.shingles import PIECE, ngrams, sequences, words_of
from triaxis.axes.data.recipes.chain import make_examples
from triaxis.axes.data.recipes.dedupe import Dedupe
from triaxis.stats.entropy import effective_number, entropy
from triaxis.stats.vendi import Covariance, vendi_of_kernel, vendi_score
from triaxis.tasks import get_task
from triaxis.types import Example, NotEstimable, TriaxisError, Turn

WORDS = ["".join(random.Random(i).choices("abcdefghijklmnop", k=6)) for i in range(4000)]


def text(rng: random.Random, words: int = 60) -> str:
    return " ".join(rng.choices(WORDS, k=words))


def row(prompt: str, number: int, *, thought: str = "so", domain: str = "", difficulty: float | None = None) -> Example:
    turns = (Turn("system", "Think."), Turn("user", prompt))
    return Example(f"r{number}", turns, thought, "It is 3.", "3", domain=domain, difficulty=difficulty, row=number)


def profiled(rows: list[Example], **how: object):
    part = Diversity(**how)
    for example in rows:
        part.add(example)
    return part.result()


# words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hello,  World!", "hello\nworld"),
        ("“Well-known” facts…", "well known facts"),
        ("x − 3", "x - 3"),
        ("３ ＋ ٤", "3 + 4"),
        ("It is 5.", "it is 5"),
        ("the answer is $\\mathbf{7}$", "the answer is mathbf 7"),
        ("\0a\0b", "a b"),
        ("**Note:** it's #1!", "note it s 1"),
        ("2*3 and 3:4", "2 * 3 and 3 : 4"),
    ],
)
def test_case_spacing_and_punctuation_make_no_difference(one: str, other: str) -> None:
    same = sequences(words_of([one, other]))
    assert same[0] == same[1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2 + 3", "2 - 3"),
        ("(2 + 3) * 4", "2 + (3 * 4)"),
        ("1.5", "15"),
        ("1.5 and 2", "1 and 5.2"),
        ("10²", "102"),
        ("12 3", "1 23"),
        ("a b", "b a"),
        ("a a", "a"),
        ("x < y", "x > y"),
        ("∀x", "∃x"),
        ("_ 3 _\n4 _ _", "3 _ _\n_ _ 4"),
        ("# @ *", "# * @"),
        ("#.#\n##@", "##.\n#@#"),
        ("2 * 3", "2 3"),
    ],
)
def test_what_carries_meaning_does(one: str, other: str) -> None:
    same = sequences(words_of([one, other]))
    assert same[0] != same[1]


def test_numbers_can_be_left_open() -> None:
    same = sequences(words_of(["She has 3 apples", "She has 17.5 apples", "She has no apples"]), numbers=False)
    assert same[0] == same[1] != same[2]


def test_words_of_a_text_do_not_depend_on_its_neighbours() -> None:
    texts = ["", "a b c", "日本語 x", "\ud800 lone", "𠀀𠀁", "z" * 10, "…", "a-b - c"]
    together = words_of(texts)
    assert np.diff(together.bounds).tolist() == [0, 3, 4, 1, 2, 1, 0, 4]
    for i, alone in enumerate(texts):
        assert (together.of(i) == words_of([alone]).hashes).all()


def test_a_long_text_is_hashed_in_pieces_with_the_same_words() -> None:
    body = "one two  three\n" * (PIECE // 10)
    words = words_of(["a", body, "x" * (2 * PIECE + 5) + " end"])
    assert (words.of(1).reshape(-1, 3) == words_of(["one two three"]).hashes).all()
    assert words.of(2)[-1] == words_of(["end"]).hashes[0]
    starts = words.starts[words.bounds[1] : words.bounds[2]]
    assert starts[-1] == body.rindex("three")


def test_ngrams_stay_within_their_text() -> None:
    words = words_of(["a b c d", "b c", "", "x b c d y"])
    grams = ngrams(words, 3)
    assert np.diff(grams.bounds).tolist() == [2, 0, 0, 3]
    assert set(grams.hashes[:2].tolist()) & set(grams.hashes[2:].tolist()) == {grams.hashes[1]}


# near-duplicates


def true_jaccard(one: str, other: str, n: int = 3) -> float:
    sets = [{tuple(t.split()[i : i + n]) for i in range(len(t.split()) - n + 1)} for t in (one, other)]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def edited(rng: random.Random, of: str, edits: int) -> str:
    words = of.split()
    for place in rng.sample(range(len(words)), edits):
        words[place] = rng.choice(WORDS)
    return " ".join(words)


def test_jaccard_is_exact_under_the_cap_and_near_it_beyond() -> None:
    rng = random.Random(5)
    one = text(rng, 3000)
    texts = [one, edited(rng, one, 100), text(rng, 3000), ""]
    sets = sets_of(ngrams(words_of(texts), 3))
    a, b = np.array([0, 0, 0, 3]), np.array([1, 2, 3, 3])
    truth = [true_jaccard(one, texts[1]), 0.0, 0.0, 0.0]
    assert minhash.jaccard(sets, a, b) == pytest.approx(truth, abs=1e-4)
    assert minhash.jaccard(sets.capped(500), a, b) == pytest.approx(truth, abs=0.06)


def test_planted_near_duplicates_are_found_and_decided_as_jaccard_does() -> None:
    rng = random.Random(1)
    texts = [text(rng) for _ in range(2000)]
    copies = [edited(rng, texts[i], rng.randint(0, 6)) for i in range(400)]
    labels = near_duplicates(texts + copies)
    assert (labels[:2000] == np.arange(2000)).all()
    for i, copy in enumerate(copies):
        expected = i if true_jaccard(texts[i], copy) >= 0.8 else 2000 + i
        assert labels[2000 + i] == expected


def test_clusters_join_along_chains_and_name_their_first() -> None:
    rng = random.Random(2)
    chain = [text(rng, 100)]
    for _ in range(4):
        chain.append(edited(rng, chain[-1], 3))
    assert true_jaccard(chain[0], chain[-1]) < 0.8
    labels = near_duplicates([text(rng), *reversed(chain), text(rng)])
    assert labels.tolist() == [0, 1, 1, 1, 1, 1, 6]


def test_a_shared_instruction_makes_no_duplicates() -> None:
    rng = random.Random(3)
    instruction = text(rng, 200)
    asked = [f"{instruction} {text(rng, 12)}" for _ in range(300)]
    again = asked[7].replace(" ", "  ").upper()
    labels = near_duplicates([*asked, again, edited(rng, asked[9], 1)])
    assert (labels[:300] == np.arange(300)).all()
    assert labels[300] == 7


def test_texts_without_words_equal_only_themselves() -> None:
    assert near_duplicates(["…", "!!!", "…", "", "", "a"]).tolist() == [0, 1, 0, 3, 3, 5]
    assert near_duplicates([]).tolist() == []


def test_memory_is_bounded_and_the_cap_is_told() -> None:
    rng = random.Random(4)
    texts = [text(rng, 300) for _ in range(300)]
    texts += [edited(rng, t, 4) for t in texts[:50]]
    small = NearDuplicates(budget=30_000)
    for at in range(0, len(texts), 20):
        small.add(texts[at : at + 20], range(at, at + len(texts[at : at + 20])))
        assert sum(len(part.hashes) for part in small._sets) <= 30_000
    found = small.result()
    assert found.cap is not None and found.cap < 298
    assert (found.near[300:] == np.arange(50)).mean() > 0.9
    assert (found.near[:300] == np.arange(300)).all()


def asked(prompt: str, number: int, reference: str | None) -> Example:
    return replace(row(prompt, number), reference=reference)


def families(rng: random.Random, problems: int, variants: int, reference: Callable[[int], str | None]) -> list[Example]:
    """Problems of 60 words, each in variants with one word changed."""
    rows: list[Example] = []
    for _ in range(problems):
        base = text(rng)
        for _ in range(variants):
            rows.append(asked(edited(rng, base, 1), len(rows) + 1, reference(len(rows))))
    return rows


@pytest.mark.parametrize("instruction", [0, 120])
def test_a_problem_repeated_with_small_changes_is_found_though_it_looks_like_a_template(instruction: int) -> None:
    rng = random.Random(21)
    rows = families(rng, 25, 40, lambda i: str(i // 40))
    shared = text(rng, instruction)
    rows = [asked(f"{shared} {one.turns[-1].content}", i, one.reference) for i, one in enumerate(rows, 1)]
    found = profiled(rows)
    assert (found.problems, found.near_duplicates, found.near_template) == (25, 975, 0)


def test_problems_of_a_template_are_left_alone_where_their_answers_differ() -> None:
    found = profiled(families(random.Random(22), 25, 40, lambda i: str(i % 7)))
    assert (found.problems, found.near_duplicates) == (1000, 0)


def test_answers_that_agree_by_chance_join_no_problems_of_a_template() -> None:
    rng = random.Random(28)
    rows = families(rng, 25, 40, lambda i: str(rng.randrange(2)))
    assert profiled(rows).near_duplicates == 0
    yes_no = list(get_task("boolean").examples("train", 0, 2000))
    found = profiled([asked(one.prompt, i, one.answer) for i, one in enumerate(yes_no, 1)])
    assert found.near_duplicates == 0


def test_without_answers_what_looks_like_a_template_is_counted_and_is_not_fine() -> None:
    found = profiled(families(random.Random(23), 25, 40, lambda i: None))
    assert (found.problems, found.near_template) == (1000, 975)
    said = list(words._duplicates(SimpleNamespace(diversity=found, examples=1000)))
    assert [one.urgency for one in said] == ["look"]
    assert "975 problems of 1,000" in said[0].text


def test_near_prompts_with_other_answers_are_other_problems() -> None:
    rng = random.Random(24)
    prompts = [text(rng) for _ in range(90)]
    rows = [asked(prompt, i, "7") for i, prompt in enumerate(prompts, 1)]
    rows += [asked(edited(rng, prompt, 1), 91 + i, "7.0") for i, prompt in enumerate(prompts[:30])]
    rows += [asked(edited(rng, prompt, 1), 121 + i, "8") for i, prompt in enumerate(prompts[30:50])]
    rows += [asked(edited(rng, prompt, 1), 141 + i, None) for i, prompt in enumerate(prompts[50:60])]
    found = profiled(rows)
    assert (found.near_duplicates, found.near_other_answer, found.problems) == (40, 20, 110)
    said = [(one.urgency, one.rows) for one in words._duplicates(SimpleNamespace(diversity=found, examples=150))]
    assert said == [("act", 40), ("look", 20)]
    parts = [Diversity() for _ in range(3)]
    for i, example in enumerate(rows):
        parts[i % 3].add(example)
    parts[2].merge(parts[0])
    parts[2].merge(parts[1])
    assert parts[2].result().near_other_answer == 20


def test_a_text_without_an_answer_joins_none_that_differ() -> None:
    rng = random.Random(25)
    base = text(rng, 100)
    texts = [base, edited(rng, base, 1), edited(rng, base, 1), text(rng, 100)]
    assert near_duplicates(texts, answers=["1", None, "2", "3"]).tolist() == [0, 0, 2, 3]


def test_dedupe_keeps_rows_whose_references_differ() -> None:
    rng = random.Random(26)
    base = text(rng, 100)
    rows = [asked(base, 1, "1"), asked(edited(rng, base, 1), 2, "2"), asked(edited(rng, base, 1), 3, "1")]
    rows += [asked(base.upper(), 4, "2"), asked(base, 5, "2"), asked(base, 6, None)]
    kept, entries, _ = make_examples([Dedupe(how="near")], rows, 0)
    assert [example.id for example in kept] == ["r1", "r2", "r4"]
    assert entries[0].left_out.total() == 3


def test_grids_and_formulas_that_differ_in_a_symbol_are_other_problems() -> None:
    rng = random.Random(27)
    told = text(rng, 40)

    def grid(symbols: str) -> str:
        return "\n".join(" ".join(rng.choices(symbols, k=7)) for _ in range(7))

    for symbols in ("01", "_#", "+-@*X"):
        rows = [asked(f"{told}\n{grid(symbols)}\n{told}", i, "3") for i in range(1, 201)]
        again = asked(rows[5].turns[-1].content.upper(), 201, "3")
        found = profiled([*rows, again])
        assert (found.near_duplicates, found.near_other_answer, found.problems) == (1, 0, 200)
    chains = [asked("chain " + " ".join(rng.choices("0123456789", k=40)), i, "3") for i in range(1, 301)]
    assert profiled(chains).near_duplicates == 0
    logic = [" ".join(rng.choice(["true", "false", "and", "or"]) for _ in range(60)) for _ in range(300)]
    assert profiled([asked(one, i, "true") for i, one in enumerate(logic, 1)]).near_duplicates == 0


# entropy and the Vendi score


def test_entropy_of_known_counts() -> None:
    assert entropy([5, 0]) == 0
    assert entropy([2, 2, 2, 2]) == pytest.approx(log(4))
    assert effective_number([1, 1, 2]) == pytest.approx(exp(0.5 * log(2) + 0.5 * log(4)))
    with pytest.raises(ValueError, match="counts"):
        entropy([])


def test_vendi_known_answers() -> None:
    assert vendi_score(np.ones((50, 10))) == pytest.approx(1)
    assert vendi_score(np.eye(20)) == pytest.approx(20)
    assert vendi_score(3 * np.repeat(np.eye(8), 100, axis=0)) == pytest.approx(8)
    half = np.vstack([np.eye(4), np.zeros((5, 4))])  # rows of 0 say nothing
    assert vendi_score(half) == pytest.approx(4)
    with pytest.raises(ValueError, match="not 0"):
        vendi_score(np.zeros((3, 2)))


def test_vendi_dual_equals_kernel_and_blocks_equal_the_whole() -> None:
    x = np.random.default_rng(0).normal(size=(300, 40)) + 0.3
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    truth = vendi_of_kernel(unit @ unit.T)
    assert vendi_score(x) == pytest.approx(truth, rel=1e-5)
    assert vendi_score(iter([x[:100], x[100:101], x[101:]])) == pytest.approx(truth, rel=1e-5)
    one, two = Covariance(40), Covariance(40)
    one.add(x[:77])
    two.add(x[77:])
    one.merge(two)
    assert one.score() == pytest.approx(truth, rel=1e-5)


def test_hashed_cosines_are_those_of_the_counts() -> None:
    rng = random.Random(6)
    common = text(rng, 40)
    texts = [f"{common} {text(rng, 10 * i)}" for i in range(1, 9)]
    words = words_of(texts)
    vectors = hashed_counts(words)
    assert vectors.shape == (8, DIMENSIONS)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(8), abs=1e-5)
    exact = np.zeros((8, 8))
    for n in (1, 2):
        grams = ngrams(words, n)
        names, place = np.unique(grams.hashes, return_inverse=True)
        counts = np.zeros((8, len(names)))
        np.add.at(counts, (grams.texts, place), 1)
        counts /= np.linalg.norm(counts, axis=1, keepdims=True)
        exact += counts @ counts.T / 2
    assert vectors @ vectors.T == pytest.approx(exact, abs=0.12)


# the part of the profile


def planted() -> list[Example]:
    """200 problems; 10 rows again in full, 15 with another trace, 20 in other case and spacing, 25 with an edit."""
    rng = random.Random(9)
    prompts = [text(rng) for _ in range(200)]
    rows = [row(p, i, domain="abcd"[i % 4], difficulty=i % 5) for i, p in enumerate(prompts, 1)]
    number = iter(range(201, 1000))
    rows += [row(prompts[i], next(number)) for i in range(10)]
    rows += [row(prompts[i], next(number), thought="another way") for i in range(20, 35)]
    rows += [row(prompts[i].upper().replace(" ", "\n"), next(number)) for i in range(40, 60)]
    rows += [row(edited(rng, prompts[i], 2), next(number)) for i in range(60, 85)]
    return rows


def test_planted_duplicates_are_counted_each_by_what_it_is() -> None:
    found = profiled(planted())
    assert found.rows == 270
    assert found.exact_duplicates == 10
    assert found.same_prompt == 25
    assert found.same_normalised == 45
    assert found.near_prompt == 25
    assert found.near_duplicates == 60
    assert found.problems == 200
    sizes = [2] * 70 + [1] * 130
    assert found.effective_problems == pytest.approx(effective_number(sizes))
    assert found.clusters[0].size == 2
    assert len(found.clusters) == 10


def test_a_largest_cluster_is_shown_with_its_rows_and_texts() -> None:
    rows = planted()
    rows += [row(rows[3].turns[-1].content, 900 + k, thought=f"way {k}") for k in range(5)]
    shown = profiled(rows).clusters[0]
    assert shown.size == 7
    assert shown.rows == (4, 204, 900, 901, 902, 903, 904)
    assert rows[3].turns[-1].content.startswith(shown.excerpts[0])


def test_with_the_trace_another_way_is_no_duplicate() -> None:
    rng = random.Random(12)
    prompt = text(rng)
    rows = [row(prompt, 1, thought=text(rng, 80)), row(prompt, 2, thought=text(rng, 80))]
    assert profiled(rows).near_duplicates == 1
    assert profiled(rows, text=with_trace).near_duplicates == 0


def test_one_pass_equals_several_merged_in_any_order() -> None:
    rows = planted()
    whole = profiled(rows)
    used = Diversity()
    used.add(rows[0])
    shares = [used.fresh() for _ in range(3)]
    for i, example in enumerate(rows):
        shares[i // 7 % 3].add(example)
    first, *others = [pickle.loads(pickle.dumps(part)) for part in reversed(shares)]
    for part in others:
        first.merge(part)
    merged = first.result()
    assert merged.vendi == pytest.approx(whole.vendi, rel=1e-6)
    for name in whole.__dataclass_fields__.keys() - {"vendi"}:
        assert getattr(merged, name) == getattr(whole, name), name


def test_domains_and_difficulties() -> None:
    found = profiled(planted()[:200])
    assert found.domains.effective == pytest.approx(4)
    assert found.difficulties.entropy == pytest.approx(log(5))
    assert found.both.effective == pytest.approx(20)
    assert found.cells["a", "0"] == 10
    plain = profiled([row("what is it", 1)])
    assert isinstance(plain.domains, NotEstimable)
    assert isinstance(plain.both, NotEstimable)
    mixed = profiled([row("a", 1, domain="x"), row("b", 2)])
    assert (mixed.domains.missing, mixed.domains.missing_share) == (1, 0.5)
    assert mixed.domains.counts == {"x": 1}  # a row that doesn't say is of no domain
    assert mixed.domains.effective == pytest.approx(1)
    said = " ".join(one.text for one in words._domains(SimpleNamespace(diversity=mixed, examples=2)))
    assert "100 % of the rows" not in said and "50 % of the rows say none" in said


def test_difficulties_that_are_numbers_are_told_by_their_value_and_binned_where_many() -> None:
    assert difficulty_label(3) == difficulty_label("3.0") == difficulty_label(3.0) == "3"
    assert difficulty_label("Level 5 ") == "Level 5"
    assert difficulty_label(None) == difficulty_label(" ") == difficulty_label("") == NONE
    rows = [row("p", i + 1, domain="x", difficulty=i / 999) for i in range(1000)]
    found = profiled(rows)
    assert next(iter(found.difficulties.counts)) == "0 to 0.1"
    assert found.difficulties.effective == pytest.approx(10, abs=0.05)


def test_vendi_of_a_profile_tells_one_template_from_many_texts() -> None:
    rng = random.Random(8)
    many = profiled([row(text(rng), i + 1) for i in range(300)])
    few = profiled([row(f"How much is {i} and {i + 1} in all", i + 1) for i in range(300)])
    assert profiled([row("the same prompt", i + 1) for i in range(300)]).vendi == pytest.approx(1, abs=1e-4)
    assert few.vendi < 0.3 * many.vendi
    assert many.vendi_most == 300
    assert isinstance(profiled([row("…", 1)]).vendi, NotEstimable)


def test_embeddings_given(tmp_path: Path) -> None:
    rows = [row(f"p {i}", i + 1) for i in range(12)]
    path = tmp_path / "e.npy"
    np.save(path, np.repeat(np.eye(4, 6, dtype=np.float32), 3, axis=0))
    found = profiled(rows, embeddings=path)
    assert found.vendi == pytest.approx(4)
    assert found.vendi_of == f"{path}, 6 numbers a row"
    with pytest.raises(TriaxisError, match="12 embeddings for 11 rows"):
        profiled(rows[1:], embeddings=path)


def test_bad_embeddings_are_told_in_a_line_and_nothing_is_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "e.npy"
    with pytest.raises(TriaxisError, match="no such file"):
        Diversity(embeddings=path)
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(TriaxisError, match=r"not an \.npy file of numbers"):
        Diversity(embeddings=path)
    path.write_bytes(b"\x93NUMPY")
    with pytest.raises(TriaxisError, match=r"not an \.npy file of numbers"):
        Diversity(embeddings=path)
    np.save(path, np.zeros(5))
    with pytest.raises(TriaxisError, match="a row a row of the data"):
        Diversity(embeddings=path)
    np.save(path, np.full((1, 3), np.nan))
    with pytest.raises(TriaxisError, match="row 1: not a finite number"):
        profiled([row("p", 1)], embeddings=path)


def test_odd_texts_go_through() -> None:
    odd = ["", "\0\0", "x" * (1 << 20), "א" * 1000, "\ud83d", "🙂 🙃", "e\u0301", "1" * 5000, "\n" * 9]
    found = profiled([row(t, i + 1) for i, t in enumerate(odd)])
    assert found.problems == len(odd)
    assert problem_of(row("a", 1)) == "a"


def test_an_empty_data_set() -> None:
    found = profiled([])
    assert found.rows == found.problems == found.near_duplicates == 0
    assert isinstance(found.effective_problems, NotEstimable)
    assert isinstance(found.vendi, NotEstimable)
