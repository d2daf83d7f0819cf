"""Any table gives an analysis: no crash, no NaN, intervals around their estimates, whatever the order and the names."""

import warnings

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyze_cases import check_json
from triaxis.analyze import analyze, to_json
from triaxis.records.table import make_table
from triaxis.simulate import Measure, Noise, Variant, study
from triaxis.types import TriaxisError

LR, NOISE, BASE, SIZE, KIND = (
    "optimization.learning_rate", "data.noise_rate", "model.base", "data.examples", "data.kind",
)  # fmt: skip
FACTORS = {
    LR: ((3e-4, 3e-3), (1e-4, 1e-3, 1e-2), (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)),
    NOISE: ((0.0, 0.6), (0.0, 0.1, 0.3)),
    BASE: (("weak", "strong"), tuple(f"b{i}" for i in range(8))),
    SIZE: ((256, 1024, 4096), (1, 2, 4, 8, 16)),
    KIND: (("a", "b"), ("a", "b", "c")),
}
QUICK = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def studies(draw):
    names = draw(st.lists(st.sampled_from(sorted(FACTORS)), min_size=0, max_size=3, unique=True))
    factors = {name: draw(st.sampled_from(FACTORS[name])) for name in names}
    if np.prod([len(levels) for levels in factors.values()], initial=1) > 24:
        factors = dict(list(factors.items())[:1])
    bases = factors.get(BASE, ("base",))
    given_ = {
        "factors": factors,
        "bases": {base: draw(st.sampled_from([0.0, 1.0, -6.0, 6.0])) for base in bases},
        "traits": {"model.parameters": {b: 10 ** (6 + i % 4) for i, b in enumerate(bases)}} if BASE in factors else {},
        "seeds": draw(st.sampled_from([1, 2, 3])),
        "steps": draw(st.sampled_from([(0, 10), (0, 10, 40, 160), (0, 5, 10, 20, 40, 80, 160, 320)])),
        "groups": draw(st.sampled_from([
            {"in_domain": ("chain",)}, {"in_domain": ("chain",), "far_ood": ("a", "b"), "safety": ("refusal",)},
        ])),
        "items": draw(st.sampled_from([1, 2, 5, 20])),
        "samples": draw(st.sampled_from([1, 2])),
        "gain": draw(st.sampled_from([0.0, 1.0, -9.0, 9.0])),
        "course": draw(st.sampled_from(["flat", "rise", "dip_rise", "overfit"])),
        "truncation": draw(st.sampled_from([0.0, 0.9])),
        "noise": Noise(run=draw(st.sampled_from([0.0, 0.3])), item=draw(st.sampled_from([0.0, 1.6]))),
        "missing_runs": draw(st.sampled_from([0.0, 0.4])),
        "missing_conditions": draw(st.sampled_from([0.0, 0.4])),
        "seed": draw(st.integers(0, 10**6)),
    }  # fmt: skip
    if draw(st.booleans()):
        given_["measures"] = {
            "response_tokens": Measure(20.0, scale="log", growth=1.0),
            "sharpness": Measure(5.0, scale="log", run_sd=0.3),
            "token_accuracy": Measure(0.6, scale="logit", growth=8.0),
            "verified_steps": Measure(3.0, scale="log"),
            "copied": Measure(0.2, scale="logit"),
        }
        given_["variants"] = {"renamed": Variant("chain", "symbols", 0.5)}
        given_["log_probability_sd"] = 0.3
        given_["think_items"] = draw(st.sampled_from([0, 10]))
    return study(**given_).table, draw(st.sampled_from([0.0, 0.0, 0.1, 0.5])), given_["seed"]


def torn(table, lost, seed):
    """The table without a share of its rows."""
    keep = np.random.default_rng(seed).random(table.n_rows) >= lost
    return table if not lost else make_table(table.arrow.filter(pa.array(keep)))


def analysed(table):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return analyze(table)


@QUICK
@given(studies())
def test_any_study_is_analysed(drawn):
    table, lost, seed = drawn
    try:
        table = torn(table, lost, seed)
        analysis = analysed(table)
    except TriaxisError as told:
        assert "\n" not in str(told)
        return
    check_json(analysis)


@settings(QUICK, max_examples=8)
@given(studies())
def test_the_order_of_rows_changes_nothing(drawn):
    table, _, seed = drawn
    order = np.random.default_rng(seed).permutation(table.n_rows)
    one, other = (to_json(analysed(each)) for each in (table, make_table(table.arrow.take(pa.array(order)))))
    alike(one, other)


@settings(QUICK, max_examples=8)
@given(studies())
def test_the_names_of_levels_change_nothing(drawn):
    table, _, _ = drawn
    if KIND not in table.arrow.column_names:
        return
    renamed = {"a": "x", "b": "y", "c": "z", None: None}  # in the same order
    column = pa.array([renamed[level] for level in table.arrow[KIND].to_pylist()])
    place = table.arrow.column_names.index(KIND)
    other = to_json(analysed(make_table(table.arrow.set_column(place, KIND, column))))
    one = to_json(analysed(table))
    for key in ("effects", "findings", "claims"):
        assert len(one[key]) == len(other[key])
        for mine, theirs in zip(one[key], other[key], strict=True):
            alike({k: v for k, v in mine.items() if k in ("value", "low", "high", "p", "decision")},
                  {k: v for k, v in theirs.items() if k in ("value", "low", "high", "p", "decision")})  # fmt: skip


def alike(one, other):
    """Equal, numbers to rounding."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            alike(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            alike(mine, theirs)
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-6, abs=1e-9)
    else:
        assert one == other
