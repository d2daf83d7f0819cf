"""Each shipped claim is found when it is true at the size it asks for, and not supported when it isn't."""

import pytest

from claims_cases import CLAIMS, COMMON, decide, null_case, true_case
from triaxis.analyze import analyze
from triaxis.analyze.claims import load_claim
from triaxis.simulate import study
from triaxis.types import TriaxisError

GOOD = """
id: X1
statement: Wrong steps cost gain.
source: a test
axes: [data]
parts:
  - groups: [far_ood]
    contrast: {data.noise_rate: higher}
    direction: negative
    smallest_effect: 0.03
    planned_effect: 0.1
"""


@pytest.mark.parametrize("claim", sorted(CLAIMS))
def test_found_when_true_and_not_when_false(claim):
    when_true = [decide(claim, true_case(claim), seed) for seed in range(6)]
    when_false = [decide(claim, null_case(claim), seed) for seed in range(6)]
    assert (
        when_true.count("supported") >= 4
    )  # of 6; at a power of .8 fewer come up 10 times in 100, and seeds are fixed
    assert "refuted" not in when_true
    assert when_false.count("supported") == 0


@pytest.mark.slow
@pytest.mark.parametrize("claim", sorted(CLAIMS))
def test_power_and_false_verdicts(claim):
    n = 100
    when_true = [decide(claim, true_case(claim), 10_000 + seed) for seed in range(n)]
    when_false = [decide(claim, null_case(claim), 20_000 + seed) for seed in range(n)]
    assert when_true.count("supported") >= 0.8 * n
    slack = 3.5 * (0.025 * 0.975 / n) ** 0.5  # one side of a 95 % interval, within 3.5 standard errors
    assert when_true.count("refuted") <= (0.025 + slack) * n
    assert when_false.count("supported") <= (0.025 + slack) * n


def test_rivals_are_never_both_supported():
    rivals = {frozenset((claim.id, rival)) for claim in CLAIMS.values() for rival in claim.excludes}
    assert rivals == {frozenset(("D5", "D6"))}
    verdicts = {v.claim: v.decision for v in analyze(study(**{**COMMON, **true_case("D5"), "seed": 2}).table).verdicts}
    assert (verdicts["D5"], verdicts["D6"]) == ("supported", "refuted")


def test_a_design_without_the_factor_cannot_test_it():
    table = study(factors={"optimization.learning_rate": (1e-3, 1e-2)}, groups={"far_ood": ("a",)}, items=30).table
    verdicts = {v.claim: v for v in analyze(table).verdicts}
    assert verdicts["D3"].decision == "not testable"
    assert "data.noise_rate" in verdicts["D3"].reason
    assert "in_domain" in verdicts["C1"].reason


def test_bases_without_an_order_leave_capability_claims_untestable():
    factors = {**COMMON["factors"], "model.base": ("one", "other")}
    table = study(**{**COMMON, "factors": factors, "bases": {"one": 0.4, "other": -0.6}}).table
    verdicts = {v.claim: v for v in analyze(table).verdicts}
    assert verdicts["D5"].decision == verdicts["I7"].decision == "not testable"
    assert "think" in verdicts["D5"].reason
    assert verdicts["D3"].decision != "not testable"


def test_one_seed_tests_no_claim():
    verdicts = analyze(study(**{**COMMON, "seeds": 1}).table).verdicts
    assert {v.decision for v in verdicts} == {"not testable"}


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("direction: negative", "direction: down", "direction"),
        ("smallest_effect: 0.03", "smallest_effect: 0.3", "planned_effect"),
        ("source: a test", "sauce: a test", "source"),
        ("groups: [far_ood]", "groups: []", "groups"),
        ("id: X1", "id: [X1", "YAML"),
    ],
)
def test_a_faulty_claim_is_refused_by_name(tmp_path, old, new, named):
    path = tmp_path / "X1.yaml"
    path.write_text(GOOD)
    assert load_claim(path).id == "X1"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(TriaxisError) as told:
        load_claim(path)
    assert "X1.yaml" in str(told.value)
    assert named in str(told.value)
    assert "\n" not in str(told.value)
