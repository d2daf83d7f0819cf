"""Claims: found when true and not when nothing is, refused when they are no claims, not testable for stated reasons."""

import numpy as np
import pytest

from triaxis.analyze import analyze
from triaxis.analyze.claims import load_claims, parse_claim, shipped_claims, whole_ledger
from triaxis.analyze.dense import build
from triaxis.analyze.order import by_capability
from triaxis.records.table import make_table
from triaxis.simulate import Measure, Noise, study
from triaxis.simulate.trials import COMMON, settings_of, trial
from triaxis.types import NotEstimable, TriaxisError

CLAIMS = {claim.id: claim for claim in shipped_claims()}
DEMO = {**COMMON, "noise": Noise(**COMMON["noise"])}
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
    when_true, when_false = (trial(CLAIMS[claim], case, range(6)) for case in ("holds", "nothing"))
    assert when_true.share("supported") >= 4 / 6  # at a power of .8 fewer come up 10 times in 100, and seeds are fixed
    assert when_true.false == 0
    assert when_false.false == 0


@pytest.mark.slow
@pytest.mark.parametrize("claim", sorted(CLAIMS))
def test_power_and_false_verdicts(claim):
    n = 200
    when_true, when_false = (trial(CLAIMS[claim], case, range(10_000, 10_000 + n)) for case in ("holds", "nothing"))
    assert when_true.share("supported") >= 0.8
    slack = 3.5 * (0.05 * 0.95 / n) ** 0.5
    assert when_true.false <= 0.05 + slack
    assert when_false.false <= 0.05 + slack


def test_every_claim_has_its_two_cases_and_a_source():
    assert len(CLAIMS) >= 30
    for claim in CLAIMS.values():
        assert claim.simulated is not None and claim.source, claim.id
        assert settings_of(claim, "holds") != settings_of(claim, "nothing"), claim.id
    assert [claim.id for claim in shipped_claims()][:3] == ["C1", "C2", "C3"]


def test_rivals_are_never_both_supported():
    rivals = {frozenset((claim.id, rival)) for claim in CLAIMS.values() for rival in claim.excludes}
    assert rivals == {frozenset(("D5", "D6"))}
    table = study(**{**DEMO, "effects": CLAIMS["D5"].simulated.holds["effects"], "seed": 2}).table
    verdicts = {v.claim: v.decision for v in analyze(table).verdicts}
    assert (verdicts["D5"], verdicts["D6"]) == ("supported", "refuted")


def test_a_family_is_adjusted_together_and_support_is_a_small_p():
    verdicts = analyze(study(**{**DEMO, "effects": {"data.noise_rate": -1.2}}).table).verdicts
    tested = [v for v in verdicts if v.p is not None]
    assert {"D3", "I5"} <= {v.claim for v in tested}
    for verdict in tested:
        assert verdict.p_holm >= verdict.p and verdict.n_runs in (12, 24) and verdict.method
        assert (verdict.decision != "supported") or verdict.p < 0.05
    of_d = sorted((v for v in tested if v.claim.startswith("D")), key=lambda v: v.p)
    assert of_d[0].p_holm == pytest.approx(min(1, of_d[0].p * len(of_d)))


def test_a_design_without_the_factor_cannot_test_it():
    table = study(factors={"optimization.learning_rate": (1e-3, 1e-2)}, groups={"far_ood": ("a",)}, items=30).table
    verdicts = {v.claim: v for v in analyze(table).verdicts}
    assert verdicts["D3"].decision == "not testable"
    assert "data.noise_rate" in verdicts["D3"].reason
    assert "in_domain" in verdicts["C1"].reason


def test_bases_without_an_order_leave_capability_claims_untestable():
    factors = {**DEMO["factors"], "model.base": ("one", "other")}
    table = study(**{**DEMO, "factors": factors, "bases": {"one": 0.4, "other": -0.6}}).table
    verdicts = {v.claim: v for v in analyze(table).verdicts}
    assert verdicts["D5"].decision == verdicts["I7"].decision == "not testable"
    assert "think" in verdicts["D5"].reason
    assert verdicts["D3"].decision != "not testable"


def _sharpness(course, levels):
    """The verdict on O3 in a study of nothing whose second factor has these levels, twelve conditions."""
    factors = {"optimization.learning_rate": [1e-4, 1e-3, 1e-2], course: levels}
    measures = {"sharpness": Measure(start=8.0, scale="log", run_sd=0.3)}
    found = analyze(study(**{**DEMO, "factors": factors, "measures": measures}).table)
    return next(v for v in found.verdicts if v.claim == "O3")


def test_conditions_that_branched_off_one_trunk_are_no_points_of_their_own():
    verdict = _sharpness("optimization.schedule", ["constant", "linear", "cosine", "wsd"])
    assert verdict.decision == "not testable" and "that branched off 3, whose luck they share" in verdict.reason
    assert _sharpness("optimization.batch_size", [32, 64, 128, 256]).decision != "not testable"


def test_one_seed_tests_no_claim():
    verdicts = analyze(study(**{**DEMO, "seeds": 1}).table).verdicts
    assert {v.decision for v in verdicts} == {"not testable"}


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("direction: negative", "direction: down", "direction"),
        ("direction: negative", "direction: negative\n    estimand: gian", "estimand"),
        ("smallest_effect: 0.03", "smallest_effect: 0.3", "planned_effect"),
        ("source: a test", "sauce: a test", "source"),
        ("groups: [far_ood]", "groups: []", "groups"),
        ("id: X1", "id: [X1", "YAML"),
        ("id: X1", "id: X1\nid: X2", "given twice"),
        ("direction: negative", "direction: negative\n    form: threshold", "does not read contrast"),
        ("direction: negative", "direction: negative\n    estimand: fall", "fall"),
        ("id: X1", "id: 1X", "id"),
        ("contrast: {data.noise_rate: higher}", "contrast: {}\n    form: corner", "corner"),
        ("{data.noise_rate: higher}", "{data.noise_rate: [a, b, c]}", "pair"),
        ("{data.noise_rate: higher}", "{data.noise_rate: any}", "any"),
    ],
)
def test_a_faulty_claim_is_refused_by_name(tmp_path, old, new, named):
    path = tmp_path / "X1.yaml"
    path.write_text(GOOD)
    assert load_claims([path])[0].id == "X1"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(TriaxisError) as told:
        load_claims([path])
    assert "X1.yaml" in str(told.value)
    assert named in str(told.value)
    assert "\n" not in str(told.value)


def test_a_users_claims_are_read_from_files_and_folders(tmp_path):
    (tmp_path / "X1.yaml").write_text(GOOD)
    (tmp_path / "X10.yaml").write_text(GOOD.replace("X1", "X10"))
    (tmp_path / "X2.yaml").write_text(GOOD.replace("X1", "X2"))
    claims = load_claims([tmp_path])
    assert [claim.id for claim in claims] == ["X1", "X2", "X10"]
    verdicts = analyze(study(**{**DEMO, "effects": {"data.noise_rate": -1.2}}).table, claims=claims).verdicts
    assert {v.claim: v.decision for v in verdicts} == dict.fromkeys(("X1", "X2", "X10"), "supported")
    with pytest.raises(TriaxisError, match="two claims have the id X1"):
        whole_ledger([*claims, claims[0]])
    rival = claims[0].model_copy(update={"excludes": ["D99"]})
    with pytest.raises(TriaxisError, match="X1: excludes D99, and there is no such claim"):
        whole_ledger([rival])
    with pytest.raises(TriaxisError, match="holds no claim"):
        load_claims([tmp_path / "X1.yaml", _empty(tmp_path)])


def _empty(path):
    (path / "empty").mkdir()
    return path / "empty"


def test_a_claim_without_cases_or_with_impossible_ones_can_not_be_tried(tmp_path):
    path = tmp_path / "X1.yaml"
    path.write_text(GOOD)
    with pytest.raises(TriaxisError, match="X1: has no simulated cases"):
        settings_of(load_claims([path])[0], "holds")
    path.write_text(GOOD + "simulated: {holds: {effects: {data.noise_rate: -1}, sedes: 3}, nothing: {}}")
    with pytest.raises(TriaxisError, match="X1: simulated: unknown setting sedes"):
        settings_of(load_claims([path])[0], "holds")
    path.write_text(GOOD + "simulated: {holds: {effects: {data.noise_rate: much}}, nothing: {}}")
    with pytest.raises(TriaxisError, match="X1: simulated, effects"):
        settings_of(load_claims([path])[0], "holds")


def test_what_both_sides_must_share_is_checked():
    unequal = settings_of(CLAIMS["M3"], "holds")
    depth = {base: (3, 6)[i % 2] for i, base in enumerate(unequal.bases)}
    size = {base: 1e6 * (1 + i % 2) for i, base in enumerate(unequal.bases)}
    traits = {"model.depth": depth, "model.parameters": size}
    found = reading(study(unequal.__class__(**{**vars_of(unequal), "traits": traits})).table)["M3"]
    assert found.decision == "not testable" and "both sides must share it" in found.reason


def vars_of(settings):
    return {name: getattr(settings, name) for name in settings.__dataclass_fields__}


def test_permuting_the_rows_changes_no_verdict():
    table = study(**{**DEMO, "seed": 4}).table
    order = np.random.default_rng(0).permutation(table.n_rows)
    one, other = reading(table), reading(make_table(table.arrow.take(order)))
    for claim, verdict in one.items():
        assert (verdict.decision, verdict.reason) == (other[claim].decision, other[claim].reason)
        if verdict.estimate is not None:
            assert verdict.estimate.value == pytest.approx(other[claim].estimate.value, abs=1e-12)


def reading(table):
    return {verdict.claim: verdict for verdict in analyze(table).verdicts}


def test_at_the_floor_nothing_is_refuted():
    floor = {**DEMO, "bases": {"lab:strong": -5.0, "lab:weak": -5.0}, "gain": 0.0, "noise": Noise(item=0.0, run=0.1)}
    verdicts = [reading(study(**{**floor, "seed": seed}).table) for seed in range(3)]
    decisions = {(claim, found[claim].decision) for found in verdicts for claim in ("D3", "D5", "D6", "I5")}
    assert not {claim for claim, decision in decisions if decision in ("refuted", "supported")}
    assert ("D3", "not testable") in decisions
    assert verdicts[0]["D3"].reason.startswith("floor: the scores are so near 0")


def test_a_loss_down_to_the_floor_is_still_a_loss():
    assert reading(study(**{**DEMO, "effects": {"data.noise_rate": -9.0}}).table)["D3"].decision == "supported"


def by_hand(base, trained, *, group="in_domain", items=200):
    """One condition of three seeds, scores as given to the nearest item; each base and run a share of right items."""
    rows = [("", 0, 0, base), *((f"r{seed}", seed, 10, trained - 0.01 * seed) for seed in range(3))]
    cells = [(*row, item) for row in rows for item in range(items)]
    return {
        "run": [run for run, *_ in cells],
        "seed": [seed for _, seed, *_ in cells],
        "step": [step for _, _, step, *_ in cells],
        "task": [group] * len(cells),
        "group": [group] * len(cells),
        "item": [f"i{item}" for *_, item in cells],
        "score": [float(item * 7 % items < share * items) for *_, share, item in cells],
    }


def test_one_refuted_part_refutes_and_absent_groups_are_called_absent():
    falls = reading(make_table(by_hand(0.6, 0.3)))["C1"]
    assert falls.decision == "refuted"
    assert "the table has no group safety" in falls.reason
    rises = reading(make_table(by_hand(0.3, 0.6)))["C1"]
    assert (rises.decision, rises.reason) == ("not testable", "the table has no group safety")


def test_a_base_at_the_ceiling_cannot_show_a_rise():
    verdict = reading(make_table(by_hand(0.99, 0.99)))["C1"]
    assert verdict.decision == "not testable"
    assert verdict.reason.startswith("ceiling: the base is so near 1")


@pytest.mark.parametrize(("items", "known"), [(60, False), (2000, True)])
def test_a_gap_between_bases_counts_when_its_interval_excludes_0(items, known):
    shares = {"one": 0.5, "other": 0.57}
    cells = [(base, step, item) for base in shares for step in (0, 10) for item in range(items)]
    rng = np.random.default_rng(3)
    rank = {base: rng.permutation(items) for base in shares}  # independent of each other, with exact shares
    data = {
        "run": [f"{base}0" if step else "" for base, step, _ in cells],
        "step": [step for _, step, _ in cells],
        "task": ["t"] * len(cells),
        "mode": ["think"] * len(cells),
        "item": [f"i{item}" for *_, item in cells],
        "model.base": [base for base, *_ in cells],
        "score": [float(rank[base][item] < shares[base] * items) for base, _, item in cells],
    }
    panel = build(make_table(data))
    found = by_capability(panel, "", "default", ("one", "other"))
    assert isinstance(found, NotEstimable) != known
    assert (found.reason if not known else found[1]).count("think") == 1


def test_a_curve_that_only_levels_off_is_no_peak():
    rates = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
    climbs = {
        f"optimization.learning_rate={rate}": size for rate, size in zip(rates, (-2.0, -0.6, 0, 0, 0), strict=True)
    }
    factors = {"optimization.learning_rate": rates, "optimization.steps": (160, 640)}
    found = [reading(study(**{**DEMO, "factors": factors, "effects": climbs, "seed": seed}).table) for seed in range(4)]
    assert {each["O1"].decision for each in found} & {"supported"} == set()


def test_what_both_sides_must_share_has_to_be_in_the_table():
    table = study(**{**DEMO, "factors": {"data.domains": (1, 4)}, "effects": {"data.domains": 1.5}}).table
    found = reading(table)["D1"]
    assert (found.decision, "does not say data.examples" in found.reason) == ("not testable", True)


def test_a_claim_of_a_number_as_it_is_written_finds_its_level():
    claim = parse_claim(GOOD.replace("higher", "[0.6, 0]"), "X1.yaml")
    (verdict,) = analyze(study(**{**DEMO, "effects": {"data.noise_rate": -1.2}}).table, claims=[claim]).verdicts
    assert verdict.decision == "supported"
