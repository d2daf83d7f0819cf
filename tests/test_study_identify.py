"""What designs identify, against known answers, against ranks taken another way, and under relabelling."""

import time
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triaxis.study import identify, parse_study


def grid(**levels):
    return [dict(zip(levels, point, strict=True)) for point in product(*levels.values())]


FULL = grid(A=(0, 1), B=("x", "y"), C=(False, True))


def statuses(found):
    return {term.name: term.status for term in found.terms}


def test_a_full_factorial_identifies_everything_and_assumes_nothing():
    found = identify(FULL, 3)
    assert len(found.terms) == 7
    assert all(term.identified and term.assumes == "" and term.aliased_with == () for term in found.terms)
    assert (found.n_conditions, found.n_runs, found.rank, found.residual_df) == (8, 24, 8, 16)
    assert found.together == ()
    assert found.describe()[1:] == [
        "main effects: 3 of 3 identified",
        "two-way interactions: 3 of 3 identified",
        "three-way interactions: 1 of 1 identified",
    ]


def test_the_half_fraction_with_c_the_product_of_a_and_b():
    found = identify([{"A": a, "B": b, "C": a ^ b} for a, b in product((0, 1), repeat=2)], 2)
    assert statuses(found) == {
        "A": "if additive", "B": "if additive", "C": "if additive",
        "A:B": "aliased", "A:C": "aliased", "B:C": "aliased", "A:B:C": "aliased",
    }  # fmt: skip
    assert found.term("A").aliased_with == ("B:C",)
    assert found.term("C", "A").aliased_with == ("B",)
    assert found.term("A", "B", "C").aliased_with == ("the overall level",)
    assert "A is aliased with B:C; it can be read only if two-way and higher interactions are zero" in found.describe()


def test_resolution_four_frees_main_effects_and_pairs_the_interactions():
    found = identify([{"A": a, "B": b, "C": c, "D": a ^ b ^ c} for a, b, c in product((0, 1), repeat=3)], 2)
    for name in "ABCD":
        assert found.term(name).assumes == "three-way and higher interactions are zero"
    assert found.term("A").aliased_with == ("B:C:D",)
    assert found.term("A", "B").reason == "A:B is aliased with C:D"
    assert sum("is aliased with" in line for line in found.describe()) == 3 + 4  # each pair of two-way terms once


TUNED = {"adamw": (1e-4, 3e-4, 1e-3), "sgd": (1e-2, 3e-2, 1e-1)}
RATE = "optimization.learning_rate"


def test_rates_of_each_optimizers_own_are_told_from_it_only_by_one_slope():
    """The algebra separates them; that no two optimizers share a rate is said. Shared rates, or drawn ones, are not."""
    own = [{"optimizer": name, RATE: rate, "noise": n} for name in TUNED for rate in TUNED[name] for n in (0, 1)]
    told = [line for line in identify(own, 2).describe() if "has other values at each level of optimizer" in line]
    assert told == [
        f"{RATE} has other values at each level of optimizer: effects of optimizer are at equal {RATE} only if one "
        "slope holds for all levels; run values that they share, or compare each at its best"
    ]
    shared = grid(optimizer=tuple(TUNED), **{RATE: (*TUNED["adamw"], *TUNED["sgd"])})
    rng = np.random.default_rng(0)
    random = [{"optimizer": name, RATE: float(rng.random())} for name in tuple(TUNED) * 8]
    for conditions in (shared, random):
        assert not any("at each level" in line for line in identify(conditions, 2).describe())


def test_a_missing_cell_costs_the_highest_interaction():
    found = identify(FULL[:-1], 3)
    assert found.rank == 7
    for term in found.terms:
        assert term.identified == (len(term.factors) < 3)
    assert found.term("A", "B").assumes == "three-way and higher interactions are zero"
    two = identify(grid(A=(0, 1), B=(0, 1))[:-1], 3)
    assert statuses(two) == {"A": "if additive", "B": "if additive", "A:B": "aliased"}


def test_one_at_a_time_reads_main_effects_only_without_interactions():
    center = {"A": 0, "B": 0, "C": 0, "D": 0}
    found = identify([center, *(center | {name: 1} for name in center)], 2)
    assert {term.status for term in found.terms if len(term.factors) == 1} == {"if additive"}
    assert not any(term.identified for term in found.terms)


def test_factors_that_move_together_are_named():
    found = identify([{"A": a, "B": 2 * a, "C": c} for a, c in product((0, 1), repeat=2)], 3)
    assert [(pair.first, pair.second) for pair in found.together] == [("A", "B")]
    assert "A moves together with B: their effects can't be told apart" in found.describe()
    assert found.term("A").status == "aliased"
    assert found.term("A").aliased_with == ("B",)
    assert found.term("C").identified
    nested = identify([{"fine": n, "coarse": n // 2} for n in range(4)], 3)
    assert nested.together[0].why == "coarse follows from fine: its effect can't be told apart from that of fine"


def test_constant_factors_drop_out():
    varied = identify([condition | {"D": 5} for condition in FULL], 3)
    assert varied == identify(FULL, 3)
    assert identify([{"A": 1}], 3).describe()[0] == "nothing varies: there is no effect to identify"
    assert identify([], 1).n_runs == 0


def test_one_seed_has_no_error_term():
    note = "one seed a condition: no error term, so statements about the population of runs are not estimable"
    assert note in identify(FULL, 1).notes
    assert note not in identify(FULL, 2).notes
    assert note in identify(FULL, [1] * 8).notes
    uneven = identify(FULL, [1] * 7 + [3])
    assert note not in uneven.notes
    assert uneven.n_runs == 10


def test_few_bases_speak_of_themselves():
    assert any("2 bases" in note for note in identify(grid(**{"model.base": ("a", "b")}), 3).notes)
    assert identify(grid(**{"model.base": tuple("abcdefgh")}), 3).notes == ()


@pytest.mark.parametrize(
    ("sections", "moved"),
    [
        ({"data": {"examples": [512, 4096]}}, {("data.examples", "epochs")}),
        ({"data": {"examples": [512, 4096]}, "optimization": {"epochs": 2}}, {("data.examples", "optimizer steps")}),
        ({"optimization": {"steps": [64, 128]}}, {("optimization.steps", "epochs")}),
        ({"optimization": {"epochs": [1, 2]}}, {("optimization.epochs", "optimizer steps")}),
        ({"data": {"structure": ["no_cot", "long_cot"]}}, {("data.structure", "supervised tokens")}),
        ({"optimization": {"learning_rate": [1e-4, 1e-3], "packing": [True, False]}}, set()),
    ],
)
def test_what_moves_with_steps_and_epochs(sections, moved):
    made = parse_study(
        {"model": {"base": "m"}, "tasks": {"in_domain": "t"}}
        | sections
        | {"data": {"task": "t"} | sections.get("data", {})}
    )
    assert {(pair.first, pair.second) for pair in made.identification().together} == moved


def test_data_size_and_epochs_at_fixed_steps_are_confounded():
    """512 x 8 against 4096 x 1: equal steps, so that size and repetition are one factor and not two."""
    made = parse_study(
        {
            "model": {"base": "m"},
            "data": {"task": "t", "examples": [512, 4096]},
            "optimization": {"epochs": [1, 8]},
            "tasks": {"in_domain": "t"},
            "design": {
                "exclude": [
                    {"data.examples": 512, "optimization.epochs": 1},
                    {"data.examples": 4096, "optimization.epochs": 8},
                ]
            },
        }
    )
    assert {c.total_steps for c in made.conditions()} == {128}
    found = made.identification()
    assert [(pair.first, pair.second) for pair in found.together] == [("data.examples", "optimization.epochs")]
    assert not found.term("data.examples").identified


def test_numbers_with_many_values_are_slopes():
    rng = np.random.default_rng(0)
    drawn = [{"rate": float(10 ** rng.uniform(-4, -2)), "steps": int(n), "base": "ab"[n % 2]} for n in range(16)]
    found = identify(drawn, 1)
    assert found.continuous == ("rate", "steps")
    assert all(term.identified for term in found.terms)
    assert any(note.startswith("rate has 16 values") and note.endswith("in its logarithm") for note in found.notes)


def test_a_large_design_takes_no_time():
    rng = np.random.default_rng(0)
    drawn = [{name: int(rng.integers(3)) for name in "ABCDEFGH"} for _ in range(500)]
    began = time.process_time()
    found = identify(drawn, 3)
    assert time.process_time() - began < 1.5  # measured: 0.1 s
    assert all(term.identified for term in found.terms if len(term.factors) < 3)
    assert len(found.describe()) < 40


def test_what_is_too_large_is_said_not_guessed():
    rng = np.random.default_rng(0)
    drawn = [{name: f"l{rng.integers(10)}" for name in "ABCDEFGHIJ"} for _ in range(60)]
    found = identify(drawn, 2)
    assert {term.status for term in found.terms if len(term.factors) > 1} == {"not examined"}
    assert not any(term.identified for term in found.terms)
    assert any("not examined, since a model with such terms has more than 2500 columns" in w for w in found.describe())


def test_many_conditions_of_few_factors():
    found = identify(grid(A=range(20), B=range(20), C=range(5))[:-1], 1)  # 1,999 conditions
    assert all(term.identified for term in found.terms if len(term.factors) < 3)


@st.composite
def designs(draw):
    """Some conditions of a small grid, drawn at random: full, fractional, or with holes."""
    sizes = draw(st.lists(st.integers(2, 3), min_size=1, max_size=4))
    cells = grid(**{name: tuple(range(n)) for name, n in zip("ABCD", sizes, strict=False)})
    return draw(
        st.lists(st.sampled_from(cells), min_size=2, max_size=len(cells), unique_by=lambda c: tuple(c.values()))
    )


@settings(deadline=None, max_examples=60)
@given(designs(), st.randoms(use_true_random=False))
def test_names_orders_and_labels_change_nothing(conditions, random):
    """Factors renamed, levels relabelled, conditions shuffled: the same terms identified, with the same assumptions."""
    names = list(conditions[0])
    renamed = dict(zip(names, random.sample("PQRSTUV", len(names)), strict=True))
    labels = {name: random.sample(range(10, 99), 3) for name in names}
    turned = [{renamed[n]: f"l{labels[n][c[n]]}" for n in random.sample(names, len(names))} for c in conditions]
    random.shuffle(turned)

    def key(factors, name_of):
        return frozenset(name_of.get(name, name) for name in factors)

    def facts(found, name_of):
        return {
            key(t.factors, name_of): (
                t.status,
                t.assumes,
                frozenset(key(a.split(":"), name_of) for a in t.aliased_with),
            )
            for t in found.terms
        }

    before, after = identify(conditions, 2), identify(turned, 2)
    assert facts(before, renamed) == facts(after, {})
    assert (before.rank, before.residual_df) == (after.rank, after.residual_df)


@settings(deadline=None, max_examples=60)
@given(designs())
def test_identified_agrees_with_ranks(conditions):
    """A term is estimable when leaving its columns out costs the model as many ranks as it has columns."""
    names = [n for n in conditions[0] if len({c[n] for c in conditions}) > 1]
    if not names:
        return
    found = identify(conditions, 2)
    for term in found.terms:
        order = max(len(term.factors), 2)
        kept = [t for k in range(1, order + 1) for t in combinations(names, k)]
        with_it = np.hstack([dummies(conditions, t) for t in [(), *kept]])
        without = np.hstack([dummies(conditions, t) for t in [(), *kept] if set(t) != set(term.factors)])
        lost = np.linalg.matrix_rank(with_it) - np.linalg.matrix_rank(without)
        columns = dummies(conditions, term.factors).shape[1]
        assert term.identified == (lost == columns), term


def dummies(conditions, term):
    """Deviation coding of a term, with the last level as the reference."""
    columns = np.ones((len(conditions), 1))
    for name in term:
        levels = sorted({c[name] for c in conditions})
        codes = np.array([[(c[name] == u) - 1.0 * (c[name] == levels[-1]) for u in levels[:-1]] for c in conditions])
        columns = (columns[:, :, None] * codes[:, None, :]).reshape(len(conditions), -1)
    return columns
