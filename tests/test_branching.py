"""Runs that share their first steps: trained once, equal to the separate runs in every number, wherever they die."""

import itertools
import shutil

import pytest
import torch

from retention_cases import Inline, Killed, conducted, contents, study, weights
from triaxis.axes.model import weight_bytes
from triaxis.axes.optimization.schedules import rate_factor
from triaxis.execute import cost
from triaxis.execute import run as room
from triaxis.execute.branching import Saving, parts_of, saving_of
from triaxis.execute.conduct import job_of, saved
from triaxis.execute.engine import Ending, Event
from triaxis.execute.keeping import Keep
from triaxis.execute.run import prepare, recipe_of
from triaxis.records import Store

DECAYS = {"schedule": "wsd", "decay_start": [0.5, 0.9]}
STOPPING = DECAYS | {"early_stopping": ["none", "in_domain"], "stopping_patience": 1}
CASES = {
    "decay, stopping, weights": {
        "optimization": STOPPING,
        "trajectory": {"keep": [2, "best", "last"]},
        "diagnostics": ["gradient_norm"],
    },
    "length, sampled": {
        "optimization": {"steps": [2, 3]},
        "trajectory": {"steps": "auto"},
        "tasks": {"in_domain": ["chain"]},
        "evaluation": {"items": 2, "samples": 2, "temperature": 1.0, "max_new_tokens": 20},
    },
    "small": {
        "optimization": {
            "steps": 4,
            "warmup_steps": 1,
            "early_stopping": ["none", "in_domain"],
            "stopping_patience": 1,
        },
        "tasks": {"in_domain": ["chain"]},
        "trajectory": {"steps": [1, 2], "keep": ["best", "last"]},
        "evaluation": {"items": 2, "max_new_tokens": 20},
        "selection": {"items": 2},
    },
    "adaptive, bfloat16": {
        "optimization": DECAYS | {"learning_rate": 1e-2, "early_stopping": ["none", "length_stable"]},
        "model": {"dtype": "bfloat16"},
        "evaluation": {"items": 16, "max_new_tokens": 20, "adaptive": {"smallest_effect": 0.3}},
    },
    "adapters": {"optimization": DECAYS, "model": {"lora_rank": 2}, "trajectory": {"keep": "last"}},
}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Each case carried out run by run."""
    made = {}

    def of(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp("alone") / "out"
            conducted(study(**CASES[name]), made[name], branching=False)
        return made[name]

    return of


@pytest.mark.parametrize("name", [name for name in CASES if name != "small"])
def test_runs_that_share_equal_those_that_are_alone(alone, tmp_path, name):
    """Records, measurements, selection scores, decisions, diagnostics, costs as if alone, and weights, to the bit."""
    engine = Inline()
    ended = conducted(study(**CASES[name]), tmp_path, engine)
    assert ended.done == len(study(**CASES[name]).runs()) and not ended.left
    assert any(event.job.startswith("shared-") for event in engine.seen)
    assert contents(tmp_path) == contents(alone(name))
    assert weights(tmp_path) == weights(alone(name))
    states = tmp_path / "state"
    assert not [p for p in states.iterdir() if p.is_dir()], "states of what is done are removed"


def test_what_is_spent_is_spent_once(tmp_path):
    """Two lengths of one constant schedule: together they cost what the longer one does alone."""
    made = study(optimization={"steps": [4, 7]}, trajectory={"steps": "auto"})
    conducted(made, tmp_path)
    with Store.open(tmp_path, read_only=True) as store:
        costs = store.costs()
        short, long = (run.id for run in made.runs())

        def tokens(phase, *runs):
            return sum(c.tokens for c in costs if c.phase == phase and c.run in (runs or (short, long)))

        assert tokens("train") - tokens("saved.train") == tokens("train", long) > tokens("train", short) > 0
        common = set(made.runs()[0].steps) & set(made.runs()[1].steps) - {0}
        assert tokens("saved.evaluate") == sum(
            c.tokens for c in costs if c.run == long and c.phase == "evaluate" and c.step in common
        )
        assert saved(made, store) == Saving(4, 11, len(common), 4 + 7 - 2)


@pytest.mark.parametrize(
    ("optimization", "expected"),
    [
        (DECAYS, [(0, 4)]),  # half of six steps, whose first after the start is still at the peak; see the rule
        ({"steps": [4, 7]}, [(0, 4)]),
        ({"steps": [4, 7], "warmup_steps": 0, "schedule": "linear"}, [(0, 1)]),
        ({"schedule": ["constant", "cosine"]}, [(0, 3)]),
        ({"learning_rate": [1e-3, 2e-3]}, []),
        ({"weight_decay": [0.0, 0.1]}, []),
        ({"early_stopping": ["none", "in_domain", "length_stable"]}, [(0, 6)]),
        ({"steps": [3, 5, 7], "warmup_steps": 1}, [(0, 3), (3, 5)]),
        ({"steps": [4, 7], "micro_batch_size": [4, 8]}, [(0, 4), (0, 4)]),
    ],
)
def test_a_prefix_is_shared_as_long_as_every_step_is_the_same(optimization, expected):
    made = study(optimization=optimization, trajectory={"steps": "auto"})
    parts = parts_of(made.runs())
    assert [(part.begin, part.end) for part in parts] == expected
    for part in parts:  # the rule itself, step by step
        recipes = [recipe_of(run.condition.settings, run.seed, run.steps[-1]) for run in part.runs]
        told = [[rate_factor(r, k) if k < r.steps else None for k in range(8)] for r in recipes]
        assert all(one[: part.end] == told[0][: part.end] for one in told)
        assert len({one[part.end] for one in told}) > 1 or told[0][part.end] is None


def test_the_estimate_of_an_adaptive_study_counts_what_is_shared_once(monkeypatch):
    """The pilots that are asked at least are among what is asked at most; a state is told as it is."""
    monkeypatch.setattr(cost, "TRAIN_SECONDS", 0.1)
    made = study(**CASES["adaptive, bfloat16"])
    told, _ = cost.estimate(made, 1)
    assert told.saved_generated > 0
    assert 0 < told.generated_least < told.generated_tokens
    # One run at a time, and the ends of the two parts that it comes from; each in bfloat16 with a copy in fp32 and two
    # moments beside the weights.
    weights = weight_bytes(prepare(job_of(made, made.runs()[0])).model)
    assert told.state_bytes == pytest.approx(3 * 7 * weights, rel=0.02)


def test_seeds_and_data_are_never_shared():
    assert not parts_of(study(seeds=[0, 1]).runs())
    assert not parts_of(study(data={"noise_rate": [0.0, 0.5]}).runs())
    assert [len(part.runs) for part in parts_of(study(seeds=[0, 1], optimization=DECAYS).runs())] == [2, 2]


def test_the_saving_counts_what_runs_reach():
    runs = study(optimization={"early_stopping": ["none", "in_domain"]}).runs()
    parts, ends = parts_of(runs), {runs[0].id: 6, runs[1].id: 4}
    assert saving_of(runs, parts, ends, chance=False) == Saving(4, 10, 2, 5)
    assert saving_of(runs, parts, ends, chance=True).checkpoints == 0


# Wherever it dies


def dying(moment, monkeypatch):
    """What makes one session die: at its second event of a kind, or within a write."""
    left = [2]

    def at(when):
        if when == moment:
            left[0] -= 1
            if not left[0]:
                raise Killed

    if moment.startswith("write"):
        written, save = Keep.write, room._save
        kill = moment.removeprefix("write ")

        def write(self, name, do, size, budget):
            told = written(self, name, do, size, budget)
            at("write weights")
            return told

        def half(self, name, do, size, budget):
            def broken(folder):
                do(folder)
                at("write half of the weights")

            return written(self, name, broken, size, budget)

        def state(*words):
            told = save(*words)
            at("write state")
            return told

        monkeypatch.setattr(Keep, "write", {"weights": write, "half of the weights": half}.get(kill, written))
        monkeypatch.setattr(room, "_save", state if kill == "state" else save)
    return at


SLOW = ("before measured", "after done", "write weights")
MOMENTS = ("after measured", "write state", "write half of the weights")


@pytest.mark.parametrize("moment", [*MOMENTS, *(pytest.param(moment, marks=pytest.mark.slow) for moment in SLOW)])
def test_killed_again_and_again_it_comes_to_the_same(alone, tmp_path, monkeypatch, moment):
    name, sessions = "small", 0
    made = study(**CASES[name])
    while True:
        with monkeypatch.context() as patched:
            engine = Inline(dying(moment, patched))
            try:
                ended = conducted(made, tmp_path, engine)
                break
            except Killed:
                sessions += 1
                assert sessions < 60
    assert sessions and ended.done == 2
    told, expected = contents(tmp_path), contents(alone(name))
    assert told == expected and weights(tmp_path) == weights(alone(name))


def test_a_shared_part_that_fails_leaves_its_runs_to_themselves(alone, tmp_path):
    class Failing(Inline):
        def submit(self, job, work, payload):
            super().submit(job, work, payload)
            if job.startswith("shared-"):
                self.work[job] = "failed"

        def watch(self):
            while self.queue:
                if self.work[self.queue[0][0]] == "failed":
                    yield Event(self.queue.pop(0)[0], "failed", message="its process died")
                    continue
                yield from itertools.takewhile(lambda event: event is not None, super().watch())

        def collect(self, job):
            return Ending(self.work[job], 1, "its process died")

    name = "small"
    ended = conducted(study(**CASES[name]), tmp_path, Failing())
    assert ended.done == 2 and not ended.failed and contents(tmp_path) == contents(alone(name))


def test_a_record_that_is_lost_is_measured_again_and_nothing_else(alone, tmp_path):
    name = "small"
    shutil.copytree(alone(name), tmp_path / "out")
    made = study(**CASES[name])
    for run in made.runs()[:2]:
        (tmp_path / "out" / "records" / run.id / "step-000001.parquet").unlink()
    engine = Inline()
    assert conducted(made, tmp_path / "out", engine).done == 2
    told = [(e.value.run, e.value.checkpoint.step) for e in engine.seen if e.kind == "measured"]
    assert told == [(run.id, 1) for run in made.runs()[:2]]
    assert contents(tmp_path / "out") == contents(alone(name))


def test_a_state_of_an_earlier_version_is_trained_again(alone, tmp_path):
    name = "adapters"
    made = study(**CASES[name])
    folder = tmp_path / "state" / made.runs()[0].id
    folder.mkdir(parents=True)
    torch.save({"training": {"step": 2}, "point": {}, "seconds": 1.0, "tokens": 3}, folder / "resume.pt")
    conducted(made, tmp_path, branching=False)
    assert contents(tmp_path) == contents(alone(name))
