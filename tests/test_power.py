"""Power: what is promised is what is found, components are recovered from a pilot, and a user's slips are told."""

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy import special

from triaxis.analyze.analysis import evidence_of
from triaxis.analyze.contrasts import ONE_SEED
from triaxis.analyze.dense import build
from triaxis.analyze.design import Target, make_cells
from triaxis.analyze.effects import group_effects
from triaxis.analyze.paths import task_paths
from triaxis.analyze.power import (
    ONE_ITEM,
    Question,
    Sampling,
    law_of,
    plan_of,
    plan_terms,
    power_of,
    terms_of,
    weights_of,
)
from triaxis.analyze.power_bases import law_over_bases, traits_of, within
from triaxis.analyze.variances import DEFAULTS, default_variances, pilot_variances
from triaxis.cli import main
from triaxis.records import make_table
from triaxis.simulate import Noise, study
from triaxis.stats.effects import Contrasts, Units
from triaxis.stats.paired import Strata
from triaxis.stats.power import Components, Plan, law_of_runs, least
from triaxis.types import NotEstimable

ROOT = Path(__file__).parents[1]
LR, NOISE, BASE = "optimization.learning_rate", "data.noise_rate", "model.base"
GRID = [{LR: lr, NOISE: noise, BASE: base} for lr in (3e-4, 3e-3) for noise in (0.0, 0.6) for base in ("a", "b")]
MAIN, PAIR = Target((NOISE,), (0.6,), (0.0,)), Target((NOISE, LR), (0.6, 3e-3), (0.0, 3e-4))
TRIPLE = Target((NOISE, BASE, LR), (0.6, "b", 3e-3), (0.0, "a", 3e-4))
OF_BASE = Target((BASE,), ("b",), ("a",))
THREE = Sampling(3, (60, 60))


def power(target=PAIR, effect=0.1, sampling=THREE, of=DEFAULTS, conditions=GRID, **more):
    found = power_of(make_cells(conditions), target, effect, sampling, of, **more)
    assert not isinstance(found, NotEstimable), found
    return found


def evidence(table):
    panel = build(table)
    (found,) = evidence_of(task_paths(panel), panel)
    return found


# Known answers


@pytest.mark.parametrize(("seeds", "points"), [(2, 8.8), (3, 5.3), (5, 3.9)])
def test_two_conditions_by_the_textbook(seeds, points):
    """Two conditions, a seed sd of 1 point, 500 items, 3 samples; variances of a difference: sampling .30, items .035.

    The textbook's smallest effect at .8 adds two quantiles of t with 2(seeds - 1) degrees of freedom.
    """
    of = Components(run=0.01**2, run_item=0.0, sample=0.30 / 2, item_condition=0.035 / 2, item_base=0.0)
    plan = Plan(np.array([-1.0, 1.0]), np.full(2, float(seeds)), np.zeros(1), np.array([500]), 3.0)
    law, df = law_of_runs(plan, of), 2 * (seeds - 1)
    quantiles = special.stdtrit(df, 0.975) + special.stdtrit(df, 0.8)
    assert round(100 * law.sd * quantiles, 1) == points
    # The test as it is made: Welch has fewer degrees of freedom with two seeds, the items' part lends it many.
    assert law.power(law.detects(0.8)) == pytest.approx(0.8, abs=1e-6)
    assert 0.8 < 100 * law.detects(0.8) / points < 1.25


def test_without_any_spread_of_variances_it_is_the_normal_test():
    plan = Plan(np.array([-1.0, 1.0]), np.full(2, 900.0), np.zeros(1), np.array([10**6]), 1.0)
    law = law_of_runs(plan, Components(0.01**2, 0.0, 0.0, 0.0, 0.0))
    z = 0.0015 / (2e-4 / 900) ** 0.5
    assert law.power(0.0015) == pytest.approx(float(special.ndtr(z - 1.959964)), abs=2e-3)


def test_no_effect_is_found_at_half_the_level_at_most():
    assert 0.005 < power(effect=0.0) <= 0.0255


@pytest.mark.parametrize("counts", [(2, 2, 2, 2), (3, 3, 3, 3), (3, 1, 2, 4)])
def test_promised_is_what_contrasts_find(counts):
    """Gaussian runs and items through the very estimator of the analysis, some conditions with one run."""
    rng = np.random.default_rng(5)
    of = Components(run=0.03**2, run_item=0.1, sample=0.0, item_condition=0.02, item_base=0.0)
    weights, strata = np.array([1.0, -1.0, -1.0, 1.0]), Strata(np.repeat([0, 1], 30))
    cells = np.repeat(np.arange(4), counts)
    law = law_of_runs(Plan(weights, np.array(counts, dtype=float), np.zeros(1), np.array([30, 30]), 1.0), of)
    effect, hits, n = law.detects(0.7), 0, 800
    for _ in range(n):
        x = rng.normal(0, of.run**0.5, (len(cells), 1)) + rng.normal(0, of.run_item**0.5, (len(cells), 60))
        x += rng.normal(0, of.item_condition**0.5, (4, 60))[cells] + effect / 4 * weights[cells, None]
        found = Contrasts(Units(x.mean(axis=1), cells, x, strata, 2 * strata.pseudo)).estimate(weights)
        half = special.stdtrit(found.variance.df, 0.975) * found.variance.value**0.5
        hits += found.value - half > 0
    assert abs(hits / n - 0.7) < 0.05


def test_the_least_number_that_is_enough():
    for wanted in (2, 3, 17, 1000):
        assert least(lambda n, wanted=wanted: n >= wanted, 2, 1000) == wanted
    assert least(lambda n: False, 2, 1000) is None


# Invariances


def test_power_rises_and_falls_as_it_must():
    assert np.all(np.diff([power(effect=e) for e in (0.02, 0.05, 0.1, 0.2)]) > 0)
    assert np.all(np.diff([power(sampling=replace(THREE, seeds=n)) for n in range(2, 12)]) > 0)
    assert np.all(np.diff([power(sampling=replace(THREE, items=(n, n))) for n in (10, 20, 60, 200, 2000)]) > 0)
    assert np.all(np.diff([power(sampling=replace(THREE, samples=n)) for n in (1, 2, 4, 16)]) > 0)
    assert np.all(np.diff([power(smallest=s) for s in (0.0, 0.01, 0.03, 0.09)]) < 0)
    assert np.all(np.diff([power(confidence=c) for c in (0.8, 0.9, 0.95, 0.99)]) < 0)
    assert power(MAIN) > power(PAIR) > power(TRIPLE)
    for name in ("run", "run_item", "sample", "item_condition"):
        more = replace(DEFAULTS, **{name: 3 * getattr(DEFAULTS, name)})
        assert power(of=more) < power(), name


def test_sign_order_and_names_change_nothing():
    assert power(effect=-0.1) == power()
    assert power(conditions=GRID[::-1]) == pytest.approx(power(), abs=0.005)
    renamed = [{LR: c[LR], NOISE: c[NOISE], BASE: {"a": "x", "b": "y"}[c[BASE]]} for c in GRID]
    assert power(conditions=renamed) == power()
    other = Target((NOISE, BASE, LR), (0.6, "y", 3e-3), (0.0, "x", 3e-4))
    assert power(other, conditions=renamed) == power(TRIPLE)


def test_a_base_measured_once_costs_only_where_it_does_not_cancel():
    worse = replace(DEFAULTS, item_base=0.5)
    assert power(PAIR, of=worse) == power(PAIR)
    assert power(TRIPLE, of=worse) == power(TRIPLE)
    assert power(OF_BASE, of=worse) < power(OF_BASE)


def test_more_of_one_kind_alone_has_a_limit():
    variances = replace(default_variances(), values=replace(DEFAULTS, run=0.05**2))
    cells = make_cells(GRID)
    (term,) = plan_terms(cells, terms_of(cells), THREE, variances, Question(0.06), (NOISE, LR))
    assert term.items.least is None
    limit = law_of(cells, weights_of(cells, PAIR), replace(THREE, items=(10**6,) * 2), variances.values).detects(0.8)
    assert term.items.limit == pytest.approx(limit)
    (term,) = plan_terms(cells, terms_of(cells), THREE, variances, Question(limit * 1.3), (NOISE, LR))
    n = term.items.least
    of = {"effect": limit * 1.3, "of": variances.values}
    assert power(sampling=replace(THREE, items=(n, n)), **of) >= 0.8
    assert power(sampling=replace(THREE, items=(n - 1, n - 1)), **of) < 0.8


# What can't be estimated


def test_one_seed_speaks_of_these_runs_only():
    one = replace(THREE, seeds=1)
    assert power_of(make_cells(GRID), PAIR, 0.1, one, DEFAULTS) == NotEstimable(ONE_SEED)
    cells = make_cells(GRID)
    (term,) = plan_terms(cells, terms_of(cells), one, default_variances(), Question(0.2), (NOISE, LR))
    assert term.power == term.detects == NotEstimable(ONE_SEED)
    assert term.unit == "item (these runs)" and 0 < term.these_runs < 1
    assert term.seeds.least >= 2 and term.items is term.samples is None


def test_one_item_and_what_a_design_does_not_identify():
    assert power_of(make_cells(GRID), PAIR, 0.1, Sampling(3, (1,)), DEFAULTS) == NotEstimable(ONE_ITEM)
    corner = [c for c in GRID if not (c[LR] == 3e-3 and c[NOISE] == 0.6)]
    found = power_of(make_cells(corner), PAIR, 0.1, THREE, DEFAULTS)
    assert isinstance(found, NotEstimable) and found.reason


def test_no_variance_at_all_is_no_crash():
    nothing = Components(0.0, 0.0, 0.0, 0.0, 0.0)
    assert power(of=nothing) == 1.0
    assert power(effect=1e-9, of=nothing) == 0.0


# A pilot


def pilot_table(seeds=40, items=80, run=0.02, run_item=0.06, item_condition=0.04, item_base=0.03):
    """Scores of two bases in two conditions with Gaussian parts, well within 0 and 1."""
    rng = np.random.default_rng(11)
    rows = {name: [] for name in ("run", "seed", "step", "task", "item", "score", BASE, NOISE)}
    difficulty = rng.normal(0, 0.05, items)

    def add(name, seed, step, base, noise, scores):
        for i, score in enumerate(scores):
            for key, value in zip(rows, (name, seed, step, "t", f"t/{i}", float(score), base, noise), strict=True):
                rows[key].append(value)

    for base in ("a", "b"):
        add("", 0, 0, base, None, 0.3 + difficulty)
        of_base = rng.normal(0, item_base, items)
        for noise in (0.0, 0.6):
            shift = rng.normal(0, item_condition, items)
            for seed in range(seeds):
                own = rng.normal(0, run) + rng.normal(0, run_item, items)
                add(f"{base}{noise}{seed}", seed, 10, base, noise, 0.5 + difficulty + of_base + shift + own)
    return make_table(rows)


def test_a_pilot_gives_back_what_was_planted():
    found = pilot_variances(evidence(pilot_table()), "ungrouped")
    values = found.values
    assert values.run**0.5 == pytest.approx(0.02, rel=0.2)
    assert found.run_upper**0.5 > values.run**0.5
    assert values.run_item == pytest.approx(0.06**2, rel=0.1)
    assert values.item_condition == pytest.approx(0.04**2, rel=0.35)
    assert found.sources["run"].df == 4 * 39
    assert not found.splits and values.sample == 0


def test_responses_are_told_from_an_items_luck_where_there_are_several():
    settings = {"factors": {NOISE: (0.0, 0.6)}, "items": 300, "seeds": 8, "steps": (0, 10), "samples": 4, "seed": 2}
    found = pilot_variances(evidence(study(**settings, noise=Noise(item_checkpoint=0.8)).table), "in_domain")
    calm = pilot_variances(evidence(study(**settings, noise=Noise(item_checkpoint=0.0)).table), "in_domain")
    assert found.splits and found.sources["sample"].df
    assert found.values.sample == pytest.approx(0.15, abs=0.015)
    assert found.values.run_item == pytest.approx(0.0175, abs=0.006)
    assert calm.values.run_item < 0.004


def test_no_item_base_of_its_own_is_no_item_base():
    values = pilot_variances(evidence(pilot_table(item_base=0.0, item_condition=0.0)), "ungrouped").values
    assert values.item_condition < 0.06**2 / 40 and values.item_base < 0.06**2 / 10


def test_what_a_pilot_lacks_is_a_default_that_says_so():
    one = study(factors={NOISE: (0.0, 0.6)}, items=30, seeds=1, steps=(0, 10), seed=1).table
    found = pilot_variances(evidence(one), "in_domain")
    assert found.values.run == DEFAULTS.run and "one seed" in found.sources["run"].text
    assert found.run_upper is None and found.sources["run"].df is None
    rows = [(f"r{k}", k % 3, 10, "t", 0.5 + 0.03 * (k % 3), 0.6 * (k // 3)) for k in range(6)]
    rows.append(("", 0, 0, "t", 0.3, None))
    names = ("run", "seed", "step", "task", "score", NOISE)
    table = make_table({**{n: [row[i] for row in rows] for i, n in enumerate(names)}, "n_items": [2000] * 7})
    found = pilot_variances(evidence(table), "ungrouped")
    assert found.sources["run"].df == 4 and found.sources["run_item"].df is None
    assert found.values.run == pytest.approx(0.03**2 - 0.25 / 2000, abs=2e-5)


# Bases as units


def test_what_the_bases_are_is_planned_over_bases():
    bases = tuple(f"b{i}" for i in range(8))
    simulated = study(
        factors={BASE: bases, NOISE: (0.0, 0.6)},
        bases=dict.fromkeys(bases, 0.0),
        traits={"model.depth": {base: 3 if i % 2 else 6 for i, base in enumerate(bases)}},
        noise=Noise(base=0.4),
        seeds=2,
        items=200,
        steps=(0, 10),
        seed=4,
    )
    found = evidence(simulated.table)
    (trait,) = traits_of(found.asked["in_domain"], bases, pilot_variances(found, "in_domain"))
    assert (trait.low, trait.high, trait.counts, trait.source.df) == (3, 6, (4, 4), 6)
    assert 0.02 < trait.between**0.5 < 0.16  # .4 logits are about 7 points
    cells = within([{BASE: base, NOISE: noise} for base in bases for noise in (0.0, 0.6)])
    ask = (cells, (), (4, 4), Sampling(2, (200,)), DEFAULTS)
    assert law_over_bases(*ask, between=0.05**2).power(0.1) < law_over_bases(*ask, between=0.02**2).power(0.1)
    few = law_over_bases(cells, (), (3, 3), Sampling(2, (200,)), DEFAULTS)
    assert isinstance(few, NotEstimable) and "6 bases" in few.reason
    more_seeds = law_over_bases(cells, (), (4, 4), Sampling(200, (10**5,)), DEFAULTS, between=0.05**2)
    assert more_seeds.sd == pytest.approx(0.05 * 0.5**0.5, rel=0.02)  # no number of seeds makes another base


# As a user runs it


DECLARED = {
    "name": "planned",
    "model": {"base": ["lab:strong", "lab:weak"]},
    "data": {"task": "chain", "noise_rate": [0.0, 0.6]},
    "optimization": {"learning_rate": [3e-4, 3e-3]},
    "seeds": 3,
    "tasks": {"in_domain": ["chain"], "far_ood": ["boolean", "pointer"]},
}


@pytest.fixture
def declared(tmp_path):
    def write(**changes):
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(DECLARED | changes), encoding="utf-8")
        return path

    return write


@pytest.fixture
def asked(capsys, monkeypatch):
    def ask(*words):
        monkeypatch.setattr(sys, "argv", ["triaxis", "study", "power", *map(str, words)])
        code = main()
        out, err = capsys.readouterr()
        return code, out, err

    return ask


def test_the_answer_in_words_and_as_json(declared, asked):
    path = declared()
    code, out, _ = asked(path, "--effect", "0.08")
    assert code == 0
    assert "default" in out and "8 conditions x 3 seeds" in out
    assert "data.noise_rate:model.base:optimization.learning_rate" in out
    code, out, _ = asked(path, "--effect", "0.08", "--on", f"{LR}:{NOISE}", "--group", "far_ood", "--json")
    (group,) = json.loads(out)["groups"]
    (term,) = group["terms"]
    cells = make_cells([dict(c) for c in GRID])
    assert code == 0 and term["factors"] == [NOISE, LR]
    assert term["power"] == pytest.approx(power_of(cells, PAIR, 0.08, THREE, DEFAULTS))
    assert group["variances"]["run"]["source"].startswith("default")


def test_where_runs_share_their_first_steps_the_power_is_told_as_the_most_it_can_be(declared, asked):
    told = "optimization.schedule: runs of a seed that differ in nothing else share their first steps"
    code, out, _ = asked(declared(optimization={"learning_rate": 1e-3, "schedule": ["constant", "linear"]}), "--json")
    assert code == 0 and any(note.startswith(told) for note in json.loads(out)["notes"])
    assert not any("share their first" in note for note in json.loads(asked(declared(), "--json")[1])["notes"])


def test_one_seed_as_a_user_sees_it(declared, asked):
    code, out, _ = asked(declared(seeds=1), "--effect", "0.3")
    assert code == 0 and "these runs" in out and ONE_SEED.split(":")[0] in out


def test_a_pilot_as_a_user_gives_it(declared, asked, tmp_path):
    levels = {"factors": {NOISE: (0.0, 0.6)}, "items": 30, "seeds": 2, "steps": (0, 10), "seed": 7}
    study(**levels, groups={"far_ood": ("a", "b")}).table.write(tmp_path / "pilot.csv")
    path = declared()
    code, out, _ = asked(path, "--pilot", tmp_path / "pilot.csv", "--effect", "0.1")
    assert code == 0 and "upper 80 % bound" in out and "2 df" in out
    assert "the pilot has no group in_domain" in out
    study(**levels, groups={"safety": ("a",)}).table.write(tmp_path / "other.csv")
    code, out, err = asked(path, "--pilot", tmp_path / "other.csv")
    assert code == 2 and "safety" in err and not out


def test_what_describes_the_bases_comes_with_the_pilot(declared, asked, tmp_path):
    bases = [f"b{i}" for i in range(8)]
    settings = {"factors": {BASE: tuple(bases), NOISE: (0.0, 0.6)}, "bases": dict.fromkeys(bases, 0.0)}
    depth = {base: 3 if i % 2 else 6 for i, base in enumerate(bases)}
    simulated = study(**settings, traits={"model.depth": depth}, items=40, seeds=2, steps=(0, 10), seed=1)
    simulated.table.write(tmp_path / "pilot.parquet")
    fixed = {"model": {"base": bases}, "optimization": {"learning_rate": 1e-3}}
    path = declared(**fixed, tasks={"in_domain": ["chain"]})
    words = [path, "--effect", "0.2", "--pilot", tmp_path / "pilot.parquet"]
    code, out, _ = asked(*words)
    assert code == 0 and "data.noise_rate:model.depth" in out and "over 8 bases" in out
    code, out, _ = asked(*words, "--on", "model.depth", "--json")
    ((term,),) = [group["terms"] for group in json.loads(out)["groups"]]
    assert code == 0 and term["unit"] == "base" and 0 < term["power"] <= 1
    code, _, err = asked(path, "--on", "model.depth")
    assert code == 2 and "no factor" in err


def test_a_design_that_identifies_nothing_says_so(declared, asked):
    path = declared(design={"kind": "one_at_a_time"})
    code, out, _ = asked(path, "--group", "far_ood")
    assert code == 0 and "no term of this design is estimable" in out
    code, out, _ = asked(path, "--group", "far_ood", "--on", NOISE)
    assert code == 0 and "not estimable: data.noise_rate" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--effect", "-0.1"], "without the sign"),
        (["--effect", "3"], "3 points are 0.03"),
        (["--effect", "1"], "between 0 and 1"),
        (["--effect", "nan"], "between 0 and 1"),
        (["--effect", "0.02", "--smallest", "0.03"], "does not exceed"),
        (["--smallest", "-1"], "from 0"),
        (["--confidence", "1"], "--confidence"),
        (["--on", "data.noise_rat"], "did you mean data.noise_rate"),
        (["--on", "data.examples"], "does not vary"),
        (["--on", "model.base:model.base"], "different factors"),
        (["--group", "far_odd"], "did you mean far_ood"),
        (["--pilot", "nowhere.csv"], "no such file"),
    ],
)
def test_slips_are_told_in_a_line(declared, asked, words, told):
    code, out, err = asked(declared(), *words)
    assert code == 2 and told in err and not out and err.count("\n") == 1


def test_nothing_varies(declared, asked):
    fixed = {"model": {"base": "lab:weak"}, "data": {"task": "chain"}, "optimization": {"learning_rate": 1e-3}}
    code, _, err = asked(declared(**fixed))
    assert code == 2 and "nothing varies" in err


def test_planning_loads_no_torch(declared):
    words = ["triaxis", "study", "power", str(declared()), "--effect", "0.1"]
    script = f"import sys; sys.argv = {words!r}; from triaxis.cli import main; assert main() == 0; "
    script += "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=False).returncode == 0


# Simulated studies


def _benchmark():
    spec = importlib.util.spec_from_file_location("benchmark_power", ROOT / "benchmarks" / "power.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("name", ["main, 3 seeds", "pair, 3 seeds", "triple, 3 seeds", "triple, 2 seeds"])
def test_simulated_studies_find_what_was_promised(name):
    benchmark = _benchmark()
    (case,) = [case for case in benchmark.CASES if case.name == name]
    _, promised, _, found = benchmark.measure(case, 500, seed=31)
    assert abs(found - promised) < 0.05 + 2 * (promised * (1 - promised) / 500) ** 0.5


@pytest.mark.slow
def test_simulated_bases_find_what_was_promised():
    bases = tuple(f"b{i}" for i in range(10))
    settings = {
        "factors": {BASE: bases, NOISE: (0.0, 0.6)},
        "bases": dict.fromkeys(bases, 0.0),
        "traits": {"model.depth": {base: 3 if i % 2 else 6 for i, base in enumerate(bases)}},
        "noise": Noise(base=0.15),
        "effects": {"model.depth": 0.9},
        "steps": (0, 40, 160),
        "seeds": 2,
        "items": 60,
    }
    # What the bases of a pilot differ by is known to few degrees of freedom: take many bases of a kind.
    many = tuple(f"b{i}" for i in range(80))
    of_many = {"model.depth": {base: 3 if i % 2 else 6 for i, base in enumerate(many)}}
    changes = {"factors": {BASE: many, NOISE: (0.0, 0.6)}, "bases": dict.fromkeys(many, 0.0), "traits": of_many}
    pilot = evidence(study(**{**settings, **changes, "seed": 10**6, "items": 200}).table)
    variances = pilot_variances(pilot, "in_domain")
    (trait,) = traits_of(pilot.asked["in_domain"], many, variances)
    cells = within([{BASE: base, NOISE: noise} for base in bases for noise in (0.0, 0.6)])
    law = law_over_bases(cells, (), (5, 5), Sampling(2, (60,)), variances.values, trait.between)
    truth = study(**{**settings, "items": 2}).truth
    ends = [
        truth.summary({BASE: "b0", NOISE: 0.0, "model.depth": depth}, "in_domain", "gain", "points") for depth in (3, 6)
    ]
    hits = []
    for seed in range(200):
        found = group_effects(evidence(study(**settings, seed=seed).table).pooled(["in_domain"]), [])
        (effect,) = [e for e in found if (e.factors, e.estimand, e.scale) == (("model.depth",), "gain", "points")]
        hits.append(effect.estimate.low > 0)
    promised = law.power(ends[1] - ends[0])
    assert 0.3 < promised < 0.97
    assert abs(np.mean(hits) - promised) < 0.05 + 2 * (promised * (1 - promised) / 200) ** 0.5


def test_a_plan_has_the_weights_of_the_analysis():
    cells = make_cells(GRID)
    plan = plan_of(cells, weights_of(cells, OF_BASE), THREE)
    assert sorted(plan.shares) == pytest.approx([-1.0, 1.0])
    assert not plan_of(cells, weights_of(cells, TRIPLE), THREE).shares.any()
    assert np.abs(weights_of(cells, TRIPLE)).tolist() == pytest.approx([1.0] * 8)
