"""Surface reliance: differences counted by hand, planted shares kept, nulls left alone, and what can't be had."""

import numpy as np
import pytest

from triaxis.analyze.analysis import evidence_of
from triaxis.analyze.dense import build
from triaxis.analyze.paths import task_paths
from triaxis.analyze.questions import reliance
from triaxis.records import make_table
from triaxis.simulate import Noise, study
from triaxis.simulate.planted import Variant
from triaxis.types import Interval

LR = "optimization.learning_rate"
GAP, KEPT = "gain on the task minus gain under other wording", "share of the gain that is kept under other wording"
STEPS = (0, 20, 80, 320)


def evidence(table):
    panel = build(table)
    (found,) = evidence_of(task_paths(panel), panel)
    return found


def of(found, quantity, unit="points"):
    (finding,) = [f for f in found if (f.quantity, f.unit, f.factors) == (quantity, unit, ())]
    return finding


def by_hand(right, runs=3, items=40, steps=(0, 10, 20, 40), **more):
    """`right(run, step, task)` items of `items` are right; words varies the wording of chain."""
    rows = [(r, s, t, i) for r in range(runs) for s in steps for t in ("chain", "words") for i in range(items)]
    return make_table(
        {
            "run": [f"r{r}" for r, _, _, _ in rows],
            "seed": [r for r, _, _, _ in rows],
            "step": [s for _, s, _, _ in rows],
            "task": [t for _, _, t, _ in rows],
            "group": ["in_domain" if t == "chain" else "near_ood" for _, _, t, _ in rows],
            "item": [str(i) for _, _, _, i in rows],
            "score": [float(i < right(r, s, t)) for r, s, t, i in rows],
            "variant_of": [None if t == "chain" else "chain" for _, _, t, _ in rows],
            "variant": [None if t == "chain" else "wording" for _, _, t, _ in rows],
            **{name: [value(r, s, t) for r, s, t, _ in rows] for name, value in more.items()},
        }
    )


def counted(run, step, task):
    return 10 if step == 0 else {"chain": 26, "words": 14}[task] + run


def test_the_difference_and_the_share_kept_are_counted_by_hand():
    found = reliance.findings(evidence(by_hand(counted)))
    assert of(found, GAP).estimate.value == pytest.approx(12 / 40)
    assert of(found, GAP).contrast == "chain - words" and of(found, GAP).group == "in_domain"
    assert of(found, KEPT, "ratio").estimate.value == pytest.approx(5 / 17)
    assert of(found, GAP, "logit").estimate.value > 1
    number = reliance.reliances(evidence(by_hand(counted)))["r1"]
    assert number.value == pytest.approx(12 / 40) and number.strata.mean(number.per_item) == pytest.approx(12 / 40)
    assert len(number.per_item) == 80, "the items of the task and of its variant, side by side"


def test_a_share_of_a_gain_that_is_not_clear_or_a_loss_is_not_estimable():
    none = reliance.findings(evidence(by_hand(lambda run, step, task: 20 + (run - 1 if step else 0))))
    assert "not clear of 0" in of(none, KEPT, "ratio").estimate.reason
    loss = reliance.findings(evidence(by_hand(lambda run, step, task: 30 if step == 0 else 5 + run)))
    assert "loss" in of(loss, KEPT, "ratio").estimate.reason
    assert isinstance(of(loss, GAP).estimate, Interval)


def test_at_the_ceiling_there_is_a_difference_in_points_and_none_in_logits():
    full = reliance.findings(evidence(by_hand(lambda run, step, task: 20 if step == 0 or task == "words" else 40)))
    assert "ceiling" in of(full, GAP, "logit").estimate.reason and of(full, GAP).estimate.low > 0


def test_one_seed_has_no_effects_and_speaks_of_its_run():
    table = by_hand(counted, runs=2, **{LR: lambda run, *_: 1e-3 if run else 1e-4})
    found = reliance.findings(evidence(table))
    conditions = [f for f in found if f.quantity == GAP and not f.factors]
    assert {f.sampled for f in conditions} == {"item"} and all("this run" in f.note for f in conditions)
    effect = next(f for f in found if f.factors == (LR,))
    assert "one seed a condition" in effect.estimate.reason and effect.contrast == "0.001 - 0.0001"


def test_without_variants_nothing_is_said_of_reliance():
    table = by_hand(counted).arrow.drop_columns(["variant_of", "variant"])
    plain = evidence(make_table(table))
    assert reliance.findings(plain) == []
    assert reliance.reliances(plain) == {}


def test_a_variant_of_a_task_that_is_not_there_is_no_pair():
    table = by_hand(counted).arrow
    alone = table.filter(np.array(table["task"].to_pylist()) == "words")
    assert reliance.surfaces(evidence(make_table(alone))) == {}


def test_permuting_rows_and_renaming_tasks_changes_nothing():
    rows = by_hand(counted).arrow
    order = np.random.default_rng(0).permutation(rows.num_rows)
    mixed = rows.take(order).to_pydict()
    for name in ("task", "variant_of"):
        mixed[name] = [{"chain": "z", "words": "y"}.get(value, value) for value in mixed[name]]
    one, two = reliance.findings(evidence(make_table(rows))), reliance.findings(evidence(make_table(mixed)))
    for a, b in zip(one, two, strict=True):
        assert (a.estimate.low, a.estimate.high) == pytest.approx((b.estimate.low, b.estimate.high))


def planted(seed, kept=0.3, seeds=3, **more):
    return study(
        factors={LR: (3e-4, 3e-3)},
        variants={"words": Variant("chain", "wording", kept, group="near_ood", **more)},
        gain=1.6,
        steps=STEPS,
        items=150,
        seeds=seeds,
        noise=Noise(run=0.1),
        seed=seed,
    )


def true_gap(truth, rate):
    gains = []
    for group, task in (("in_domain", "chain"), ("near_ood", "words")):
        scores = truth.scores({LR: rate}, group, task)
        gains.append(scores[-1] - scores[0])
    return gains[0] - gains[1]


def test_planted_reliance_is_covered_and_its_null_is_left_alone():
    covered, false = [], []
    for seed in range(25):
        for kept in (0.3, 1.0):
            made = planted(seed, kept)
            for finding in (f for f in reliance.findings(evidence(made.table)) if f.quantity == GAP):
                if finding.unit == "points" and not finding.factors:
                    low, high = finding.estimate.low, finding.estimate.high
                    covered.append(low <= true_gap(made.truth, finding.within[LR]) <= high)
                    if kept == 1.0:
                        false.append(not low <= 0 <= high)
    assert np.mean(covered) >= 0.91 and np.mean(false) <= 0.11


def test_a_rate_that_raises_reliance_is_found_and_a_null_one_is_not():
    found, false = 0, 0
    for seed in range(12):
        for effects in ({LR: -0.9}, {}):
            table = planted(seed, 0.5, seeds=4, effects=effects).table
            effect = next(f for f in reliance.findings(evidence(table)) if f.factors == (LR,))
            clear = effect.estimate.low > 0
            found, false = found + (clear and bool(effects)), false + (clear and not effects)
    assert found >= 10 and false <= 2


# Behaviours


def behaviours(**more):
    return reliance.findings(evidence(by_hand(counted, **more)))


def test_copying_is_taken_from_the_first_trained_checkpoint():
    found = behaviours(copied=lambda r, s, t: None if s == 0 else 0.2 + 0.01 * r * (s == 40) + s / 100)
    (rise,) = [f for f in found if f.unit == "share" and f.group == "in_domain"]
    assert rise.estimate.value == pytest.approx(0.31) and "no training traces" in rise.note


def test_wordier_without_more_steps_is_told_and_zero_steps_have_no_ratio():
    grown = {"response_tokens": lambda r, s, t: 10.0 + s + 0.3 * r * (s > 0)}
    flat = behaviours(verified_steps=lambda r, s, t: 3.0, **grown)
    (finding,) = [f for f in flat if f.quantity.startswith("growth of length") and f.group == "in_domain"]
    assert finding.estimate.low > 4 and "wordier" in finding.note
    alike = behaviours(verified_steps=lambda r, s, t: (10.0 + s) / 5, **grown)
    (finding,) = [f for f in alike if f.quantity.startswith("growth of length") and f.group == "in_domain"]
    assert finding.estimate.value == pytest.approx(1, abs=0.02)
    none = behaviours(verified_steps=lambda r, s, t: float(s > 0), **grown)
    (finding,) = [f for f in none if f.quantity.startswith("growth of length") and f.group == "in_domain"]
    assert "no ratio" in finding.estimate.reason


def test_the_gap_to_training_widens_where_token_accuracy_outruns_the_score():
    def accuracy(r, s, t):
        return None if s == 0 else {10: 0.6, 20: 0.7, 40: 0.9 + 0.01 * r}[s]

    found = behaviours(token_accuracy=accuracy)
    (gap,) = [f for f in found if f.quantity.startswith("training token accuracy")]
    assert gap.estimate.value == pytest.approx(0.21) and "a token is not an answer" in gap.note
