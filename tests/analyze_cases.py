"""What the tests of the inference share: a small study, tables made by hand, and checks of the documented form."""

import json
import math

from triaxis.analyze import to_json
from triaxis.types import PHASES, UNDECIDED

LR, NOISE, BASE = "optimization.learning_rate", "data.noise_rate", "model.base"
FACTORS = {LR: (3e-4, 3e-3), NOISE: (0.0, 0.6), BASE: ("strong", "weak")}
SMALL = {
    "factors": FACTORS,
    "bases": {"strong": 0.3, "weak": -0.7},
    "items": 30,
    "seeds": 2,
    "steps": (0, 10, 40, 160),
    "groups": {"in_domain": ("chain",), "far_ood": ("a", "b")},
    "seed": 3,
}


def columns(table):
    return {name: table.arrow[name].to_pylist() for name in table.arrow.column_names}


def records(runs, items, score, steps=(0, 10, 100), **more):
    """Columns of a table of one task: `score(run, step, item)`; step 0 rows belong to each run."""
    rows = [(run, step, item) for run in range(runs) for step in steps for item in range(items)]
    return {
        "run": [f"r{run}" for run, _, _ in rows],
        "step": [step for _, step, _ in rows],
        "task": ["t"] * len(rows),
        "seed": [run for run, _, _ in rows],
        "item": [f"t/{item}" for _, _, item in rows],
        "score": [float(score(*row)) for row in rows],
        **{name: [value(run) for run, _, _ in rows] for name, value in more.items()},
    }


def find(analysis, factors, *, scale="points", estimand="gain", group="far_ood"):
    wanted = tuple(sorted(factors))
    (effect,) = [
        e for e in analysis.effects if (e.factors, e.scale, e.estimand, e.group) == (wanted, scale, estimand, group)
    ]
    return effect


def check_json(analysis):
    """The documented form: serialisable, nothing NaN, every interval holds its estimate."""
    found = to_json(analysis)
    assert json.loads(json.dumps(found, allow_nan=False)) == found

    def walk(value):
        if isinstance(value, dict):
            if {"value", "low", "high"} <= value.keys():
                assert value["low"] <= value["value"] <= value["high"]
            if "not_estimable" in value:
                assert value["not_estimable"]
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(found)
    for t in found["trajectories"] + found["group_trajectories"] + found["condition_trajectories"]:
        assert t["phase"] in (*PHASES, UNDECIDED)
        if t["probabilities"]:
            assert math.isclose(sum(t["probabilities"].values()), 1, abs_tol=1e-9)
    return found
