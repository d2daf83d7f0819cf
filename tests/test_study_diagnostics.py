"""Diagnostics of a study: checked before, computed at each checkpoint, kept with it, changing nothing; added later."""

import json
import random
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from triaxis.analyze.dense import build
from triaxis.analyze.paths import task_paths
from triaxis.axes.data import check_apart, held_out_set, training_set
from triaxis.axes.data.held_out import BEYOND
from triaxis.axes.optimization.diagnostics import DIAGNOSTICS, Reading, run_diagnostics
from triaxis.execute.check import checked
from triaxis.execute.conduct import asked_of, conduct, job_of, to_do, trained_again
from triaxis.execute.engine import Ending, Event
from triaxis.execute.run import HELD_OUT, OF_BASE, STATE, follow, inputs_of, prepare
from triaxis.records import Store, make_table, read_table, records_digest
from triaxis.study import parse_study
from triaxis.types import Item, NotEstimable, TriaxisError

TRIAXIS = str(Path(sys.executable).parent / "triaxis")
ALL = {d.name: {} for d in DIAGNOSTICS} | {"hessian_trace": {"probes": 2}, "hessian_eigenvalue": {"products": 4}}
CHEAP = ["gradient_norm", "adaptive_sam_sharpness", "kl_from_base", "weight_distance"]
STUDY = {
    "name": "looked-at",
    "model": {"base": "lab:weak"},
    "data": {"task": "chain", "structure": "short_cot", "examples": 48},
    "optimization": {"learning_rate": [1e-4, 1e-3], "batch_size": 8, "micro_batch_size": 4, "steps": 4},
    "seeds": [0, 1],
    "tasks": {"in_domain": ["chain"], "far_ood": ["boolean"], "safety": ["refusal"]},
    "trajectory": {"steps": [1, 2, 4]},
    "evaluation": {"items": 4},
}


def study(**changes):
    return parse_study(STUDY | changes)


def job(index=0, **changes):
    made = study(**changes)
    return job_of(made, made.runs()[index])


def told(measured):
    return [(m.checkpoint, m.records) for m in measured]


# What a study says


@pytest.mark.parametrize("given", ["gradient_norm", ["gradient_norm"], {"gradient_norm": None}, {"gradient_norm": {}}])
def test_a_name_a_list_and_a_mapping_say_the_same(given):
    made = study(diagnostics=given)
    assert made.diagnostics == {"gradient_norm": {}}
    assert parse_study(made.to_dict()) == made
    assert study().diagnostics == {}


def test_a_setting_that_came_later_asks_for_nothing_anew_at_its_default():
    """Folders hold what was asked without it: what is there must not be computed once more."""
    assert asked_of(study(diagnostics=["weight_distance"])) == {"weight_distance": {}}
    assert asked_of(study(diagnostics={"weight_distance": {"each": True}})) == {"weight_distance": {}}
    assert asked_of(study(diagnostics={"weight_distance": {"each": False}})) == {"weight_distance": {"each": False}}


def test_ids_are_those_of_the_run_without_them():
    ids = [run.id for run in study().runs()]
    assert [run.id for run in study(diagnostics=CHEAP).runs()] == ids


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["gradient_nrm"], 'no diagnostic is called "gradient_nrm"; did you mean "gradient_norm"?'),
        (["gradient_norm", "gradient_norm"], "gradient_norm is listed twice"),
        ([3], "must be names of diagnostics"),
        (7, "must be a list of names, or a mapping of names to settings"),
        ({"hessian_trace": 16}, r"hessian_trace must have a mapping of settings"),
        (
            {"hessian_trace": {"probe": 16}},
            "hessian_trace: no setting is called probe; it has probes, seed",
        ),
        (
            {"hessian_trace": {"probes": 0}},
            "hessian_trace.probes: input should be greater than or equal to 1, got 0",
        ),
        ({"hessian_trace": {"probes": {}}}, "hessian_trace.probes must be a number"),
        ({"gradient_norm": {"precision": "half"}}, "diagnostics.gradient_norm.precision: .*'float32' or 'float64'"),
        ({"kl_from_base": {"directions": ["back"]}}, "kl_from_base.directions: .*'forward' or 'reverse'"),
        ({"loss_slice": {"places": []}}, "loss_slice.places: .*at least 1 item"),
    ],
)
def test_a_mistake_is_one_line_before_anything_runs(given, words):
    with pytest.raises(TriaxisError, match=words) as told_of:
        checked(study(diagnostics=given))
    assert "\n" not in str(told_of.value) and "diagnostics" in str(told_of.value)


# Held-out rows

DATA = {"task": "chain", "structure": "short_cot", "examples": 48, "difficulty": "all", "mixture": "as_is"}
DATA |= {"noise_rate": 0.0, "noise_kind": "wrong_step", "replay_share": 0.0}


@pytest.mark.parametrize("change", [{}, {"replay_share": 0.5}, {"mixture": "curriculum"}, {"noise_rate": 0.5}])
def test_held_out_rows_are_like_the_trained_ones_and_none_of_them(change):
    data = DATA | change
    trained = training_set(data, 0)
    found = held_out_set(data, 0, trained, 32)
    assert len(found) == 32 and found == held_out_set(data, 0, trained, 32)
    check_apart(found, [Item(e.id, "", e.prompt, "", 0) for e in trained])
    replayed = sum(e.id.startswith("refusal") for e in found)
    assert (6 <= replayed <= 26) if "replay_share" in change else not replayed
    assert (6 <= sum(e.noisy for e in found) <= 26) if "noise_rate" in change else not any(e.noisy for e in found)
    other = held_out_set(data, 0, training_set(data, 1), 32)
    assert other == found, "runs with other seeds look at the same rows"
    assert held_out_set(data, 1, trained, 32) != found


def a_file(folder, n):
    """Rows of the lab as a file has them."""
    rows = training_set(DATA | {"examples": n}, 5)
    lines = [json.dumps({"id": f"r{i}", "prompt": e.prompt, "response": e.response}) for i, e in enumerate(rows)]
    path = folder / "rows.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def test_of_a_file_they_are_its_other_rows(tmp_path):
    data = {key: value for key, value in DATA.items() if key != "task"} | {"source": a_file(tmp_path, 60)}
    trained = training_set(data, 0)
    assert len(trained) == 48
    found = held_out_set(data, 0, trained, 64)
    assert len(found) == 12 and not {e.prompt for e in found} & {e.prompt for e in trained}
    with pytest.raises(TriaxisError, match=r"rows.jsonl has 5 rows that are not trained on, fewer than 8"):
        held_out_set(data | {"examples": 55}, 0, training_set(data | {"examples": 55}, 0), 64)


def test_rows_that_happen_to_be_trained_on_are_passed_over():
    trained = training_set(DATA | {"examples": 400}, BEYOND)
    found = held_out_set(DATA, 0, trained, 32)
    assert len(found) == 32 and not {e.prompt for e in found} & {e.prompt for e in trained}


# At a checkpoint


@pytest.fixture(scope="module")
def straight():
    return list(follow(job(diagnostics=ALL)))


def test_they_are_those_of_the_saved_state_by_hand(straight, tmp_path):
    asked = replace(job(diagnostics=ALL), state=str(tmp_path))
    run = prepare(asked)
    inputs = inputs_of(asked, run)
    assert sum(len(b.ids) for b in inputs.held_out) == HELD_OUT
    assert not {i for b in inputs.held_out for i in b.ids} & {e.id for e in run.examples}
    for measured in (steps := follow(asked)):
        state = torch.load(tmp_path / STATE, weights_only=True)
        run.training.restore(state["training"])
        by_hand = run_diagnostics(ALL, run.model, inputs, ALL)
        assert measured.diagnostics == by_hand.values
        assert set(by_hand.costs) == {f"diagnostic.{name}" for name in ALL} < set(measured.costs)
        assert all(measured.costs[phase][1] == tokens for phase, (_, tokens) in by_hand.costs.items())
    steps.close()
    assert all(isinstance(value, Reading) for m in straight for value in m.diagnostics.values())


def test_training_and_answers_are_the_same_bit_by_bit(straight, tmp_path):
    """Also where answers are sampled: weights, moments of the optimizer, records."""

    def states(folder, **changes):
        sampled = {"items": 4, "samples": 2, "temperature": 1.0}
        asked = replace(job(evaluation=sampled, **changes), state=str(folder))
        for measured in follow(asked):
            weights = torch.load(folder / STATE, weights_only=True)["training"]
            yield measured, weights, torch.get_rng_state()

    some = {name: ALL[name] for name in ("noise_scale", "hessian_trace", "loss_slice", "kl_from_base")}
    pairs = zip(states(tmp_path / "a"), states(tmp_path / "b", diagnostics=some), strict=True)
    for (plain, mine, _), (looked_at, theirs, _) in pairs:
        assert (plain.checkpoint, plain.records) == (looked_at.checkpoint, looked_at.records)
        assert mine["module"].keys() == theirs["module"].keys()
        assert all(torch.equal(tensor, theirs["module"][name]) for name, tensor in mine["module"].items())
        for one, other in zip(mine["optimizers"], theirs["optimizers"], strict=True):
            for key, moments in one["state"].items():
                other_moments = other["state"][key]
                assert all(
                    torch.equal(torch.as_tensor(v), torch.as_tensor(other_moments[n])) for n, v in moments.items()
                )
    assert told(follow(job())) == told(straight)


@pytest.mark.parametrize("safe", [0, 1, 2])
def test_interrupted_is_uninterrupted(straight, tmp_path, safe):
    asked = replace(job(diagnostics=ALL), state=str(tmp_path))
    begun = follow(asked)
    for _ in range(safe + 1):
        next(begun)
    begun.close()
    done = {m.checkpoint.step: m for m in straight[:safe]}
    there = dict.fromkeys(done, frozenset(ALL))
    losses = {step: m.checkpoint.loss for step, m in done.items()}
    resumed = list(follow(replace(asked, done=frozenset(done), diagnosed=there, losses=losses)))
    assert told(resumed) == told(straight[safe:])
    assert [m.diagnostics for m in resumed] == [m.diagnostics for m in straight[safe:]]


def test_asked_for_later_they_alone_are_measured(straight):
    done = {m.checkpoint.step: m.checkpoint.loss for m in straight}
    there = dict.fromkeys(done, frozenset(ALL) - {"noise_scale"})
    later = list(follow(replace(job(diagnostics=ALL), done=frozenset(done), diagnosed=there, losses=done)))
    assert [m.records for m in later] == [None] * 3
    for mine, first in zip(later, straight, strict=True):
        wanted = {k: v for k, v in first.diagnostics.items() if k.startswith("diagnostic.noise_scale")}
        assert mine.diagnostics == wanted and set(mine.costs) == {"retrain", "diagnostic.noise_scale"}


def test_other_weights_than_those_that_were_measured_are_told(straight):
    losses = {m.checkpoint.step: 1.01 * m.checkpoint.loss for m in straight}
    asked = replace(job(diagnostics=CHEAP), done=frozenset(losses), losses=losses)
    for measured in follow(asked):
        assert set(measured.diagnostics) == {f"diagnostic.{name}" for name in CHEAP}
        assert all("other weights" in value.reason for value in measured.diagnostics.values())


def test_the_base_has_what_looks_at_no_row():
    made = study(diagnostics=CHEAP)
    (measured,) = follow(job_of(made, made.runs()[0], base=True))
    assert measured.diagnostics["diagnostic.weight_distance"].value == 0
    assert measured.diagnostics["diagnostic.gradient_norm"] == NotEstimable(OF_BASE)
    assert measured.diagnostics["diagnostic.kl_from_base"] == NotEstimable(OF_BASE)


def test_what_is_not_estimable_stops_nothing(tmp_path):
    data = {"source": a_file(tmp_path, 50), "structure": "short_cot", "examples": 48}
    found = list(follow(job(data=data, diagnostics=["held_out_loss", "gradient_norm"])))
    assert [m.checkpoint.step for m in found] == [1, 2, 4]
    for measured in found:
        assert "has 2 rows that are not trained on" in measured.diagnostics["diagnostic.held_out_loss"].reason
        assert measured.diagnostics["diagnostic.gradient_norm"].value > 0 and measured.records


# A study's folder


def triaxis(*words):
    done = subprocess.run([TRIAXIS, *map(str, words)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done


def declared(folder, diagnostics, **changes):
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(STUDY | changes | ({"diagnostics": diagnostics} if diagnostics else {})))
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("looked-at")
    result = triaxis("run", declared(folder, [*CHEAP, "held_out_loss"]), "--out", folder / "out", "--jobs", 1)
    return folder / "out", result.stdout


def kept(out):
    with Store.open(out, read_only=True) as store:
        return store.diagnostics(), {s.state for s in store.status()}, store.costs()


def parts(out):
    return {p.relative_to(out): (p.stat().st_mtime_ns, p.read_bytes()) for p in (out / "records").rglob("*.parquet")}


def test_columns_of_the_table(finished):
    out, _ = finished
    rows, _, costs = kept(out)
    arrow = read_table(out).arrow
    columns = [name for name in arrow.column_names if name.startswith("diagnostic.")]
    assert columns == sorted({row.name for row in rows if row.value is not None})
    values = {(r.run, r.step, r.name): r.value for r in rows}
    for row in arrow.to_pylist():
        for name in columns:
            assert row[name] == values.get((row["run"], row["step"], name)), (row["run"], row["step"], name)
        assert row["sharpness"] == row["diagnostic.adaptive_sam_sharpness"]
    of_runs = [row for row in rows if row.run]
    assert all(row.unit and row.method and not row.reason for row in of_runs)
    assert {c.phase for c in costs} == {"train", "evaluate", *(f"diagnostic.{n}" for n in (*CHEAP, "held_out_loss"))}


def test_exported_and_analysed(finished, tmp_path):
    out, _ = finished
    whole = json.loads(triaxis("analyze", out, "--json").stdout)
    for kind in ("csv", "parquet"):
        triaxis("records", out, "--out", tmp_path / f"r.{kind}")
        again = read_table(tmp_path / f"r.{kind}")
        assert records_digest(again) == records_digest(read_table(out)) and not again.warnings
        elsewhere = json.loads(triaxis("analyze", tmp_path / f"r.{kind}", "--json").stdout)
        assert [e.get("value") for e in elsewhere["effects"]] == [e.get("value") for e in whole["effects"]]
        assert [c["decision"] for c in elsewhere["claims"]] == [c["decision"] for c in whole["claims"]]
        paths = [path for path in task_paths(build(again)) if path.steps[-1] == 4]
        assert paths and all(path.measures["sharpness"][-1] > 0 for path in paths), "what claims read"


def test_the_summary_and_the_report_show_them(finished):
    out, summary = finished
    shown = triaxis("show", out).stdout
    for text in (summary, shown):
        assert re.search(r"diagnostics +5 at 12 checkpoints\n", text)
        (line,) = re.findall(r"\ncost +((?:.|\n {20})+)\n", text)
        assert all(f"{phase} " in line for phase in ("train", "evaluate", *CHEAP, "held_out_loss"))
    page = (out / "report.html").read_text(encoding="utf-8")
    section = page.split('<section id="diagnostics">')[1].split("</section>")[0]
    assert "gradient_norm, nats per unit of weight: 12 of 12 estimable" in section and "kl_from_base.forward" in section
    rows, _, _ = kept(out)
    with Store.open(out, read_only=True) as store:
        slow = {s.run for s in store.status() if s.levels["optimization.learning_rate"] == 1e-4}
    values = [r.value for r in rows if r.run in slow and r.step == 4 and r.name == "diagnostic.gradient_norm"]
    assert f"{np.mean(values):.3g} [" in section, "the mean over the runs of a condition"
    assert "diagnostic.gradient_norm" in page.split('<section id="runs">')[1]


def test_check_prints_what_each_costs(tmp_path):
    path = declared(tmp_path, {"hessian_trace": {"probes": 2}, "gradient_norm": None})
    words = triaxis("study", "check", path).stdout
    told_of = re.findall(r"  (\w+) +about (\S+) s a checkpoint, \S+ min in all: (.+)\n +(.+)\n", words)
    (norm, trace) = sorted(told_of)
    assert norm[::2] == ("gradient_norm", "a forward and a backward pass") and norm[3] == "precision float32"
    assert trace[0] == "hessian_trace" and trace[3] == "probes 2, seed 0, precision float32"
    assert float(trace[1]) > float(norm[1]) > 0


class Inline:
    """An engine that follows one job after another in this process."""

    def __init__(self):
        self.jobs = {}

    def submit(self, job, work, payload):
        self.jobs[job] = payload

    def watch(self):
        for job, payload in self.jobs.items():
            yield Event(job, "started")
            for value in follow(payload()):
                yield Event(job, "measured", value)
            yield Event(job, "done")

    def cancel(self, job):
        raise AssertionError("nothing here has a budget")

    def collect(self, job):
        return Ending("done", 1)

    def close(self):
        pass


def conducted(out, **changes):
    """The study carried out in a folder: how many runs are done, and how many had to be trained again."""
    made = study(seeds=[0], **changes)
    with Store.create(out, "", {}, []) as store:
        again = trained_again(made, store)
        ended = conduct(made, store, Inline())
        assert trained_again(made, store) == 0 and not list(to_do(made, store))
    return ended.done, again


def test_added_later_only_they_are_measured(tmp_path):
    """The folder is then that of a study that asked for them from the start; a change of settings is asked for anew."""
    asked, out = [*CHEAP, "held_out_loss"], tmp_path / "out"
    assert conducted(tmp_path / "at once", diagnostics=asked) == (2, 0)
    assert conducted(out) == (2, 0)
    before = parts(out)
    assert kept(out)[0] == [] and not any(n.startswith("diagnostic") for n in read_table(out).arrow.column_names)
    assert conducted(out, diagnostics=asked) == (2, 2)
    assert parts(out) == before, "no record is measured again"
    rows, states, costs = kept(out)
    assert rows == kept(tmp_path / "at once")[0] and states == {"done"}
    assert {c.phase for c in costs} >= {"train", "retrain", "evaluate", "diagnostic.gradient_norm"}
    told_fully = dict.fromkeys(asked) | {"gradient_norm": {"precision": "float32"}}
    assert conducted(out, diagnostics=told_fully) == (2, 0), "a default that is given asks for the same"
    assert conducted(out, diagnostics=asked) == (2, 0) and kept(out) == (rows, states, costs)
    assert conducted(out, diagnostics={"gradient_norm": {"precision": "float64"}}) == (2, 2)
    changed, old = ({row[:4]: row.value for row in found} for found in (kept(out)[0], rows))
    assert changed.keys() == old.keys(), "what is no longer asked for stays"
    norms = {key for key in changed if key[3] == "diagnostic.gradient_norm" and key[0]}
    assert {key for key in changed if changed[key] != old[key]} <= norms
    assert all(changed[key] == pytest.approx(old[key], rel=1e-4) for key in norms)
    assert any(changed[key] != old[key] for key in norms)


def test_a_folder_is_left_done_while_diagnostics_are_added(tmp_path):
    """Stopped in the middle, every run still has all its records: none is unfinished, and what is lacking is told."""
    conducted(tmp_path / "out")

    class Stopped(Inline):
        def watch(self):
            events = super().watch()
            yield from (next(events) for _ in range(5))
            raise KeyboardInterrupt

    made = study(seeds=[0], diagnostics=CHEAP)
    with Store.create(tmp_path / "out", "", {}, []) as store:
        with pytest.raises(KeyboardInterrupt):
            conduct(made, store, Stopped())
        assert {s.state for s in store.status()} == {"done"} and not store.table().incomplete
        assert len([r for r in store.diagnostics() if r.name == "diagnostic.gradient_norm" and r.run]) == 1
        assert trained_again(made, store) == 2
    conducted(tmp_path / "out", diagnostics=CHEAP)
    conducted(tmp_path / "at once", diagnostics=CHEAP)
    assert kept(tmp_path / "out")[0] == kept(tmp_path / "at once")[0]


def test_killed_at_any_moment_gives_the_same(finished, tmp_path):
    rng, interrupted = random.Random(1), 0
    path, out = declared(tmp_path, [*CHEAP, "held_out_loss"]), tmp_path / "out"
    for _ in range(4):
        process = subprocess.Popen(
            [TRIAXIS, "run", path, "--out", out, "--jobs", "1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(rng.uniform(4, 8))
        interrupted += process.poll() is None
        process.kill()
        process.wait()
    assert interrupted, "the study was over before it was killed: the test says nothing"
    triaxis("run", path, "--out", out, "--jobs", 1)
    assert kept(out)[0] == kept(finished[0])[0]
    assert records_digest(read_table(out)) == records_digest(read_table(finished[0]))


# Tables made elsewhere


def test_a_table_may_bring_diagnostics_of_its_own(tmp_path):
    rows = {"run": ["", "a"], "model.base": ["b", "b"], "step": [0, 8], "task": ["t", "t"], "score": [0.1, 0.2]}
    table = make_table(rows | {"diagnostic.mine": [None, 2], "diagnostic.gradient_norm": ["", "1.5"]})
    names = table.arrow.column_names
    assert names[-3:] == ["diagnostic.gradient_norm", "diagnostic.mine", "model.base"]
    assert table.arrow["diagnostic.gradient_norm"].to_pylist() == [None, 1.5] and "diagnostic.mine" not in table.factors
    with pytest.raises(TriaxisError, match=r"'diagnostics.mine' names no axis; did you mean 'diagnostic.mine'"):
        make_table(rows | {"diagnostics.mine": [1, 2]})
    with pytest.raises(TriaxisError, match=r"row 2, diagnostic.mine: 'high' is not a number"):
        make_table(rows | {"diagnostic.mine": ["1", "high"]})
    (tmp_path / "t.csv").write_text("run,model.base,step,task,score,diagnostic.x\n,b,0,t,0.1,\na,b,8,t,0.2,high\n")
    with pytest.raises(TriaxisError, match=r"t.csv, row 3, diagnostic.x: 'high' is not a number"):
        read_table(tmp_path / "t.csv")
