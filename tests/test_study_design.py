"""Designs against what is known of them: sizes, fractions, points that stay, combinations that are left out."""

from itertools import product
from math import log, prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triaxis.study import parse_study
from triaxis.study.mistakes import nearest
from triaxis.types import TriaxisError

TWO = {"optimizer": ["adamw", "sgd"], "steps": [1, 2], "packing": [False, True]}


def study(design, optimization=TWO, **data):
    return parse_study(
        {
            "model": {"base": "m"},
            "data": {"task": "t"} | data,
            "tasks": {"in_domain": "t"},
            "optimization": optimization,
            "design": design,
        }
    )


def points(made):
    return [tuple(condition.levels.values()) for condition in made.conditions()]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_a_factorial_has_every_combination_once(sizes):
    keys = ["steps", "learning_rate", "batch_size", "weight_decay"][: len(sizes)]
    made = study({"kind": "factorial"}, {key: list(range(1, n + 1)) for key, n in zip(keys, sizes, strict=True)})
    assert len(set(points(made))) == len(made.conditions()) == prod(sizes)
    assert prod(len(levels) for levels in made.factors.values()) == prod(sizes)


def test_exclusions_remove_what_matches_all_of_them():
    made = study({"exclude": [{"optimization.steps": 1, "optimization.packing": True}]})
    assert set(points(made)) == set(product(("adamw", "sgd"), (1, 2), (False, True))) - {
        ("adamw", 1, True),
        ("sgd", 1, True),
    }
    rates = {"learning_rate": [1, 2, 3], "optimizer": ["adamw", "sgd"]}
    several = study({"exclude": [{"optimization.learning_rate": [2, 3], "optimization.optimizer": "sgd"}]}, rates)
    assert len(several.conditions()) == 4


def test_one_at_a_time_changes_one_factor_from_the_center():
    made = study({"kind": "one_at_a_time", "center": {"optimization.steps": 2}}, {**TWO, "steps": [1, 2, 3]})
    assert points(made)[0] == ("adamw", 2, False)
    changes = [sum(a != b for a, b in zip(point, points(made)[0], strict=True)) for point in points(made)]
    assert changes == [0, 1, 1, 1, 1]


def test_a_half_fraction_is_the_product_of_its_generators():
    made = study({"kind": "fractional", "generators": "a b ab"})
    levels = made.factors.values()
    signs = np.array([[2 * of.index(v) - 1 for of, v in zip(levels, point, strict=True)] for point in points(made)])
    assert (signs[:, 0] * signs[:, 1] == signs[:, 2]).all()
    assert (signs.T @ signs == 4 * np.eye(3)).all()
    other = study({"kind": "fractional", "generators": "a b -ab"})
    assert set(points(made)) | set(points(other)) == set(product(("adamw", "sgd"), (1, 2), (False, True)))


@pytest.mark.parametrize(("resolution", "size"), [(3, 8), (4, 16), (5, 16)])
def test_a_fraction_of_a_resolution_has_its_strength(resolution, size):
    """A fraction of resolution r is a full factorial, repeated, in any r - 1 of its factors (Box and Hunter 1961)."""
    five = TWO | {"schedule": ["constant", "cosine"], "learning_rate": [1e-4, 1e-3]}
    drawn = np.array(points(study({"kind": "fractional", "resolution": resolution}, five)), dtype=object)
    assert len(drawn) == size
    for columns in [(0, 1), (0, 1, 2), (0, 1, 2, 3)][: resolution - 2]:
        counts = np.unique([str(list(row)) for row in drawn[:, columns]], return_counts=True)[1]
        assert len(counts) == 2 ** len(columns)
        assert len(set(counts)) == 1


RANGES = {
    "learning_rate": {"low": 1e-4, "high": 1e-2, "scale": "log"},
    "steps": {"low": 10, "high": 20},
    "optimizer": ["adamw", "sgd"],
}


def test_sobol_points_fill_their_ranges():
    made = study({"kind": "sobol", "points": 64, "seed": 3}, RANGES, noise_rate={"low": 0.0, "high": 0.5})
    rates = [float(c.settings["optimization.learning_rate"]) for c in made.conditions()]
    steps = [c.settings["optimization.steps"] for c in made.conditions()]
    assert len(rates) == 64
    assert all(1e-4 <= rate <= 1e-2 for rate in rates)
    assert abs(np.mean(np.log(rates)) - (log(1e-4) + log(1e-2)) / 2) < 0.02 * (log(1e-2) - log(1e-4))
    assert all(type(step) is int for step in steps)
    assert set(steps) == set(range(10, 21))
    assert sorted(c.settings["optimization.optimizer"] for c in made.conditions()) == ["adamw"] * 32 + ["sgd"] * 32
    assert made.factors["optimization.steps"] == tuple(range(10, 21))
    shown = {setting.name: setting.value for setting in made.settings}
    assert shown["optimization.learning_rate"] == "0.0001 to 0.01, log"
    assert shown["optimization.optimizer"] == ("adamw", "sgd")


def test_more_sobol_points_keep_the_old_and_another_seed_gives_others():
    def ids(**design):
        return {run.id for run in study({"kind": "sobol"} | design, RANGES).runs()}

    assert ids(points=10) < ids(points=33)
    assert ids(points=10) == ids(points=10, seed=0)
    assert ids(points=10).isdisjoint(ids(points=10, seed=1))


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 7), st.integers(0, 100))
def test_sobol_over_lists_gives_distinct_admissible_points(n, seed):
    exclude = [{"optimization.steps": 2, "optimization.packing": True, "optimization.optimizer": "sgd"}]
    drawn = points(study({"kind": "sobol", "points": n, "seed": seed, "exclude": exclude}))
    assert len(set(drawn)) == len(drawn) == n
    assert ("sgd", 2, True) not in drawn


def test_a_study_without_factors_has_one_condition():
    made = study({}, {})
    assert points(made) == [()]
    assert made.factors == {}


def test_a_listed_step_must_lie_in_every_condition():
    with pytest.raises(TriaxisError, match="step 100 is beyond the end of a run of 64 steps"):
        parse_study(
            {
                "model": {"base": "m"},
                "data": {"task": "t"},
                "tasks": {"in_domain": "t"},
                "optimization": {"steps": [64, 128]},
                "trajectory": {"steps": [4, 100]},
            }
        )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("optimization.lerning_rate", "optimization.learning_rate"),
        ("optimization.lr", "optimization.learning_rate"),
        ("bs", "optimization.batch_size"),
        ("data.learning_rate", "optimization.learning_rate"),
        ("optimization.zebra", None),
    ],
)
def test_the_nearest_name(name, expected):
    assert nearest(name, ["optimization.learning_rate", "optimization.batch_size", "data.task"]) == expected
