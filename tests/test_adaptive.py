"""Adaptive evaluation: the sequence holds wherever one stops, the rule is as told, all else reads the pilot."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from triaxis.analyze import analyze, to_json
from triaxis.analyze.stopped import Asked, cell_gains
from triaxis.cli import main
from triaxis.evaluate.adaptive import mean_scores
from triaxis.execute.conduct import job_of
from triaxis.execute.run import follow, prepare
from triaxis.integrations import TrajectoryCallback
from triaxis.records import Store, make_table, read_table
from triaxis.records.columns import ADAPTIVE
from triaxis.simulate import Noise, study
from triaxis.simulate.replay import replayed
from triaxis.stats.sequence import (
    GRID,
    HORIZON,
    STAKE,
    gain_bounds,
    mean_bounds,
    settled,
    settled_after,
    too_low,
)
from triaxis.study import parse_study
from triaxis.study.evaluation import Adaptive
from triaxis.tasks.order import places
from triaxis.types import Interval, NotEstimable, TriaxisError

TRIAXIS = str(Path(sys.executable).parent / "triaxis")
STUDY = {
    "model": {"base": "lab:weak"},
    "data": {"task": "chain", "examples": 64},
    "optimization": {"learning_rate": 3e-3, "steps": 8, "batch_size": 16, "schedule": "constant"},
    "tasks": {"in_domain": ["chain"], "far_ood": ["boolean", "pointer"], "safety": ["refusal"]},
    "trajectory": {"steps": [4]},
    "seeds": [0],
    "evaluation": {"items": 24, "modes": ["default", "think"]},
}
VARIED = {**STUDY, "optimization": {**STUDY["optimization"], "learning_rate": [1e-3, 3e-3]}}
RULE = {"pilot": 0.25, "block": 0.2, "smallest_effect": 0.05}


# -- the sequence ------------------------------------------------------------------------------------------------------


def capital(x, total, mean, confidence=0.95):
    """The wealth of the one who bets that `mean` is too low, item by item, as the paper writes it."""
    wealth, seen, means, squares, highest = 1.0, 0.0, 0.0, 0.0, 0.0
    for t, value in enumerate(x, start=1):
        left = (total * mean - seen) / (total - t + 1)
        if left < -1e-12:
            return float("inf")
        variance = (0.25 + squares) / t
        to_go = min(t * np.log(t + 1), HORIZON * total)
        bet = min((2 * np.log(2 / (1 - confidence)) / (variance * to_go)) ** 0.5, STAKE / max(left, 1e-12))
        wealth *= 1 + bet * (value - min(left, 1.0))
        highest = max(highest, wealth)
        seen += value
        means = (0.5 + seen) / (t + 1)
        squares += (value - means) ** 2
        if seen > total * mean + 1e-9:
            return float("inf")
    return highest


def drawn(rng, total, values, chances):
    return rng.permutation(rng.choice(values, size=total, p=chances))


@pytest.mark.parametrize("asked", [1, 7, 30])
def test_the_interval_is_that_of_a_loop_over_every_candidate(asked):
    rng = np.random.default_rng(asked)
    x = drawn(rng, 40, [0.0, 0.25, 0.5, 1.0], [0.2, 0.1, 0.3, 0.4])[:asked]
    grid = np.arange(0, GRID + 1) / GRID
    from_below = [m for m in grid if capital(x, 40, m) >= 40]
    from_above = [m for m in grid if capital(1 - x, 40, 1 - m) >= 40]
    low, high = mean_bounds(x[None], 40)
    assert low[0] == pytest.approx(max([*from_below, x.sum() / 40, 0.0]))
    assert high[0] == pytest.approx(min([*from_above, (x.sum() + 40 - asked) / 40, 1.0]))


def test_with_the_whole_pool_asked_the_interval_is_its_mean():
    rng = np.random.default_rng(1)
    d = rng.choice([-1.0, -0.25, 0.0, 0.5, 1.0], size=(20, 33))
    low, high = gain_bounds(d, 33)
    assert low == pytest.approx(d.mean(axis=1)) and (low == high).all()


def test_known_answers():
    assert settled(np.ones(20), 60, 0.03) == "above" and settled(-np.ones(20), 60, 0.03) == "below"
    assert settled(np.zeros(199), 200, 0.03) == "inside", "one item can move it by half a point"
    assert settled(np.zeros(20), 60, 0.03) == "" == settled(np.zeros(0), 60, 0.03)
    assert settled(np.r_[np.ones(3), np.zeros(97)], 100, 0.03) == "above", "the whole pool, at the smallest effect"
    low, high = gain_bounds(np.zeros((1, 59)), 60)
    assert -1 / 60 - 1e-12 <= low[0] <= 0 <= high[0] <= 1 / 60 + 1e-12, "what is left is one item"
    with pytest.raises(ValueError, match="no more than the pool"):
        mean_bounds(np.zeros((1, 5)), 4)
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        too_low(np.array([1.5]), 4, 0.5)


def test_rows_mirror_images_and_more_items():
    rng = np.random.default_rng(2)
    d = rng.choice([-1.0, 0.0, 1.0], size=(12, 80), p=[0.1, 0.5, 0.4])
    low, high = gain_bounds(d[:, :50], 80)
    for row in range(12):
        assert gain_bounds(d[row, :50], 80) == (low[row], high[row]), "row by row or together"
    mirrored = gain_bounds(-d[:, :50], 80)
    assert -mirrored[1] == pytest.approx(low) and -mirrored[0] == pytest.approx(high)
    ends = np.array([gain_bounds(d[:, :n], 80) for n in range(1, 81)])
    assert (np.diff(ends[:, 0], axis=0) > -1e-12).all() and (np.diff(ends[:, 1], axis=0) < 1e-12).all()
    assert (gain_bounds(d[:, :50], 80, confidence=0.99)[0] <= low).all()


def test_what_is_settled_at_the_looks_is_what_is_settled_then():
    rng = np.random.default_rng(3)
    d = rng.choice([-1.0, 0.0, 1.0], size=(40, 60), p=[0.1, 0.4, 0.5])
    looks = np.array([15, 30, 45, 60])
    for differences, asked in zip(d, settled_after(d, 60, 0.03, looks), strict=True):
        first = next(n for n in looks if n == 60 or settled(differences[:n], 60, 0.03))
        assert asked == first


POOLS = {
    "no gain": (400, [0.1, 0.1]),
    "no gain, all differ": (400, [0.5, 0.5]),
    "rare": (300, [0.01, 0.0]),
    "small pool": (40, [0.2, 0.1]),
    "a large loss": (200, [0.0, 0.9]),
}


@pytest.mark.parametrize("name", POOLS)
def test_the_gain_is_rarely_left_out_wherever_one_stops(name):
    total, (up, down) = POOLS[name]
    ups, downs = round(up * total), round(down * total)
    pool = np.r_[np.ones(ups), -np.ones(downs), np.zeros(total - ups - downs)]
    rng = np.random.default_rng(4)
    d = np.array([rng.permutation(pool) for _ in range(500)])
    x, mean = (d + 1) / 2, (pool.mean() + 1) / 2
    missed = (too_low(x, total, mean) | too_low(1 - x, total, 1 - mean)).any(axis=1).mean()
    assert missed <= 0.05 + 3.5 * (0.05 * 0.95 / 500) ** 0.5
    n = np.arange(1, total + 1)
    means = np.cumsum(d, axis=1) / n
    sd = np.sqrt(np.clip(np.cumsum(d**2, axis=1) / n - means**2, 0, None) * (1 - n / total) / n)
    peeked = (np.abs(means - pool.mean()) > 1.96 * sd + 1e-9)[:, 9:-1].any(axis=1).mean()
    assert peeked > 0.3 > 4 * missed, "what looking at ordinary intervals does"


def test_items_asked_are_no_more_than_was_measured_before():
    """187, 399 and 759 of 1,000 for gains of 10, 6 and 3 points: docs/statistics.md."""
    rng = np.random.default_rng(5)
    for gain, most in ((0.10, 187), (0.06, 399), (0.03, 759)):
        ups, downs = round((0.22 + gain) * 500), round((0.22 - gain) * 500)
        pool = np.r_[np.ones(ups), -np.ones(downs), np.zeros(1000 - ups - downs)]
        x = (np.array([rng.permutation(pool) for _ in range(60)]) + 1) / 2
        known = too_low(x, 1000, 0.5)
        assert np.where(known.any(axis=1), known.argmax(axis=1) + 1, 1000).mean() < most


# -- the rule ----------------------------------------------------------------------------------------------------------


def test_order_pilot_and_looks():
    items = tuple(f"t/{i}" for i in range(50))
    order = places("t", items, 0)
    assert sorted(order.values()) == list(range(50)) and order == places("t", items[::-1], 0)
    assert order != places("t", items, 1) and order != places("u", items, 0)
    assert Adaptive(pilot=0.1, block=0.1).looks(30) == [3, 6, 9, 12, 15, 18, 21, 24, 27, 30]
    assert Adaptive(pilot=0.5, block=0.25).looks(61) == [31, 47, 61]
    assert Adaptive(pilot=0.01).pilot_of(20) == 2 and Adaptive(pilot=1.0).looks(9) == [9] and Adaptive().looks(1) == [1]


def parsed(**evaluation):
    return parse_study({**STUDY, "evaluation": {**STUDY["evaluation"], **evaluation}})


def test_a_study_without_it_keeps_its_ids():
    plain = {"model": {"base": "lab:weak"}, "data": {"task": "chain"}, "tasks": {"in_domain": ["chain"]}}
    ids = [
        parse_study({**plain, "evaluation": {"items": 20, **given}}).runs()[0].id
        for given in ({}, {"adaptive": False}, {"adaptive": True}, {"adaptive": {"pilot": 0.5}}, {"adaptive": RULE})
    ]
    assert ids[0] == ids[1] == "base=weak,learning_rate=0.0003,noise_rate=0.0,task=chain,steps=128-s0-6fa21c4d"
    assert ids[2] == ids[3] and len(set(ids)) == 3, "a default that is given asks for the same"
    declared = parsed(adaptive=RULE)
    assert parse_study(declared.to_dict()) == declared
    told = {s.name: (s.value, s.source) for s in declared.settings}
    assert told["evaluation.adaptive.pilot"] == (0.25, "study") and told["evaluation.adaptive"] == (True, "study")
    assert {s.name: s.source for s in parsed(adaptive=True).settings}["evaluation.adaptive.pilot"] == "default"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"pilt": 0.4}, "evaluation.adaptive.pilt: unknown; did you mean evaluation.adaptive.pilot?"),
        ({"pilot": 0}, "evaluation.adaptive.pilot: must be more than 0, got 0"),
        ({"smallest_effect": 1}, "evaluation.adaptive.smallest_effect: must be less than 1, got 1"),
        ("yes", "evaluation.adaptive: must be true, false or a mapping of smallest_effect, pilot, block, got 'yes'"),
    ],
)
def test_mistakes_are_told_in_a_line(given, words):
    with pytest.raises(TriaxisError, match=f"^study: {words.replace('?', '[?]')}$"):
        parsed(adaptive=given)
    if given == "yes":
        with pytest.raises(TriaxisError, match="a callback asks every item; leave it out"):
            TrajectoryCallback("out", {"in_domain": ["chain"]}, evaluation={"adaptive": True})


@pytest.fixture(scope="module")
def asked_both_ways():
    """One run, its base in full; the run in full and adaptively, sampled with the same streams."""
    sampled = {"samples": 2, "temperature": 1.0}
    declared = parsed(**sampled)
    job = job_of(declared, declared.runs()[0])
    base = next(follow(job_of(declared, declared.runs()[0], base=True))).records
    rule = {**job.evaluation, "adaptive": Adaptive(**RULE).model_dump()}
    scores = {}
    for record in base:
        scores.setdefault((record.task, record.mode), []).append(record)
    adaptive = replace(job, evaluation=rule, base_scores={cell: mean_scores(own) for cell, own in scores.items()})
    return base, list(follow(job)), list(follow(adaptive)), adaptive


def test_what_is_asked_is_what_the_rule_says(asked_both_ways):
    """The run asked block by block has the responses of the run asked in full, up to where the gain was settled."""
    base, in_full, stopped, _ = asked_both_ways
    full_of = {(m.checkpoint.step, r.task, r.mode, r.item, r.sample): r for m in in_full for r in m.records}
    early = 0
    for measured in stopped:
        cells = {}
        for record in measured.records:
            cells.setdefault((record.task, record.mode), []).append(record)
            plain = replace(record, asked_at=None, asked_of=None, pilot=None, smallest_effect=None)
            assert plain == full_of[measured.checkpoint.step, record.task, record.mode, record.item, record.sample]
        assert set(cells) == {(r.task, r.mode) for r in base}
        for (task, mode), own in cells.items():
            order = places(task, tuple({r.item for r in base if r.task == task}), 0)
            scores = {(r.item, r.mode): [] for r in base if r.task == task and r.mode == mode}
            of_base = mean_scores([r for r in base if (r.task, r.mode) == (task, mode)])
            of_run = mean_scores([r for k, r in full_of.items() if k[:3] == (measured.checkpoint.step, task, mode)])
            items = sorted(order, key=order.get)
            d = np.array([of_run[item] - of_base[item] for item in items])
            looks = np.array(Adaptive(**RULE).looks(24))
            n = int(settled_after(d, 24, RULE["smallest_effect"], looks))
            assert sorted({r.asked_at for r in own}) == list(range(n)) and len(own) == 2 * n and len(scores) == 24
            assert all(r.asked_at == order[r.item] and r.asked_of == 24 for r in own)
            assert {r.asked_at for r in own if r.pilot} == set(range(6))
            early += n < 24
    assert early >= 4, "some cells are settled early, or nothing was tried"


def test_interrupted_is_uninterrupted(asked_both_ways, tmp_path):
    _, _, straight, job = asked_both_ways
    begun = follow(replace(job, state=str(tmp_path)))
    next(begun)
    begun.close()
    resumed = list(follow(replace(job, state=str(tmp_path), done=frozenset({4}))))
    assert [m.records for m in resumed] == [m.records for m in straight[1:]]


def test_without_the_base_all_is_asked(asked_both_ways):
    _, in_full, _, job = asked_both_ways
    some = {cell: scores for cell, scores in job.base_scores.items() if cell[0] != "pointer"}
    last = list(follow(replace(job, base_scores=some, done=frozenset({4}))))[-1].records
    assert sum(r.task == "pointer" for r in last) == sum(r.task == "pointer" for r in in_full[-1].records)
    assert len(last) < len(in_full[-1].records)


# -- a study -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small adaptive study, as a user runs it: two processes, so that a run could start before its base is there."""
    folder = tmp_path_factory.mktemp("studies")
    (folder / "study.yaml").write_text(yaml.safe_dump({**VARIED, "evaluation": {"items": 24, "adaptive": RULE}}))
    run = subprocess.run(
        [TRIAXIS, "run", "study.yaml", "--out", "out", "--jobs", "2"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    (folder / "printed.txt").write_text(run.stdout)
    return folder


def test_a_study_is_asked_as_its_full_evaluation_replayed(folder):
    """By another path: the records of the full evaluation with what the rule would not have asked left out."""
    declared = parse_study({**VARIED, "evaluation": {"items": 24}})
    full = []
    for job in (job_of(declared, declared.runs()[0], base=True), *(job_of(declared, r) for r in declared.runs())):
        rate = job.settings["optimization.learning_rate"]
        for measured in follow(job):
            for record in measured.records:
                assert record.asked_at is None
                row = {k: v for k, v in vars(record).items() if v is not None}
                of_run = {"optimization.learning_rate": rate} if record.run else {}
                full.append({**row, **of_run, "model.base": "lab:weak"})
    names = {name for row in full for name in row}
    table = make_table({name: [row.get(name) for row in full] for name in names})
    asked = read_table(folder / "out")
    same = ("optimization.learning_rate", "step", "task", "item", "outcome", "text", *ADAPTIVE)

    def rows(table):
        return sorted(zip(*([str(v) for v in table.arrow[name].to_pylist()] for name in same), strict=True))

    assert rows(asked) == rows(replayed(table, Adaptive(**RULE), 0)) and asked.n_rows < table.n_rows


def test_the_summary_says_what_was_asked_and_saved(folder):
    printed = " ".join((folder / "printed.txt").read_text().split())
    analysis = json.loads((folder / "out" / "analysis.json").read_text())
    stopped = [cell for cell in analysis["gains"] if cell["stopped_early"]]
    asked = sum(cell["asked"] for cell in analysis["gains"])
    assert f"{len(stopped)} of 16 cells stopped early, {asked} of 384 items asked" in printed and "% saved" in printed
    assert "6 items (the pilot;" in printed
    flagged = {(t["task"], t["run"]): t["stopped_early"] for t in analysis["trajectories"]}
    for cell in analysis["gains"]:
        place = [0, 4, 8].index(cell["step"])
        assert flagged[cell["task"], cell["run"]][place] == cell["stopped_early"]
        low, high = cell["gain"]["low"], cell["gain"]["high"]
        assert low <= cell["gain"]["value"] <= high and (low == high) == (cell["asked"] == 24)
        assert cell["settled"] in ("above", "below", "inside")
    assert "stopped early" in (folder / "out" / "report.html").read_text()


def test_a_base_gives_its_scores_to_its_runs(folder):
    with Store.open(folder / "out", read_only=True) as store:
        scores = store.base_scores("lab:weak")
        assert set(scores) == {(t, "default") for t in ("chain", "boolean", "pointer", "refusal")}
        assert all(len(of) == 24 for of in scores.values()) and store.base_scores("lab:strong") == {}


# -- what is inferred --------------------------------------------------------------------------------------------------

SIMULATED = {
    "factors": {"optimization.learning_rate": (3e-4, 3e-3)},
    "effects": {"optimization.learning_rate": 1.5},
    "gain": 1.5,
    "items": 80,
    "steps": (0, 10, 40, 160),
    "groups": {"far_ood": ("a", "b")},
    "noise": Noise(run=0.1),
    "seed": 5,
}


@pytest.fixture(scope="module")
def simulated():
    full = study(**SIMULATED).table
    return full, replayed(full, Adaptive(), 1)


def without(document, *keys):
    return {k: v for k, v in document.items() if k not in ("warnings", "gains", "n_records", *keys)}


def plain(value):
    """A document without what tells of the asking."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if k not in ("stopped_early", "method")}
    return [plain(v) for v in value] if isinstance(value, list) else value


def test_all_but_single_gains_is_inferred_from_the_pilot_alone(simulated):
    """The analysis is that of a table that never held another item."""
    full, asked = simulated
    order = {task: places(task, tuple({i for i in full.arrow["item"].to_pylist() if i.startswith(f"{task}/")}), 1)
             for task in ("a", "b")}  # fmt: skip
    rows = [
        order[t][i] < 40 for t, i in zip(full.arrow["task"].to_pylist(), full.arrow["item"].to_pylist(), strict=True)
    ]
    pilot = make_table(full.arrow.filter(rows))
    mine, other = (to_json(analyze(table)) for table in (asked, pilot))
    assert plain(without(mine)) == plain(without(other))
    assert mine["n_records"] == asked.n_rows > other["n_records"] == pilot.n_rows
    methods = [e["method"] for e in mine["effects"] if e.get("method")]
    assert methods and all(m.endswith("on the pilot items (40 of 80 a task)") for m in methods)
    assert sum("adaptive evaluation" in w and "not for all together" in w for w in mine["warnings"]) == 1


def test_what_a_judge_scores_was_asked_as_the_detectors_score_decided(simulated):
    gains = cell_gains(simulated[1])
    early = next(cell for cell in gains if cell.stopped)
    path = SimpleNamespace(source=early.source, run=early.run, mode=early.mode, tasks=(early.task,))
    judged = SimpleNamespace(**{**vars(path), "tasks": (f"{early.task} (judged)",)})
    steps = sorted({cell.step for cell in gains})
    told = Asked(gains, {}).stopped([path], steps)
    assert sum(told) > 0 and Asked(gains, {}).stopped([judged], steps) == told


def test_gains_are_of_the_pool_and_survive_a_file(simulated, tmp_path):
    full, asked = simulated
    known = {(c.run, c.step, c.task): c for c in cell_gains(replayed(full, Adaptive(pilot=1.0), 1))}
    found = cell_gains(asked)
    assert any(c.stopped for c in found) and not any(c.stopped for c in known.values()) and len(found) == len(known)
    for cell in found:
        truth = known[cell.run, cell.step, cell.task].gain
        assert isinstance(truth, Interval) and truth.low == truth.high
        if not cell.stopped:
            assert cell.gain == truth
        else:
            assert cell.settled and cell.gain.low < cell.gain.high
    covered = [c.gain.low - 1e-9 <= known[c.run, c.step, c.task].gain.value <= c.gain.high + 1e-9 for c in found]
    assert np.mean(covered) >= 0.85
    for name in ("t.csv", "t.parquet"):
        asked.write(tmp_path / name)
        assert cell_gains(read_table(tmp_path / name)) == found
    assert to_json(analyze(read_table(tmp_path / "t.csv"))) == to_json(analyze(asked))


def test_a_cell_with_holes_has_no_gain(simulated):
    _, asked = simulated
    lost = asked.arrow["asked_at"].to_numpy() != 3
    keep = lost | (asked.arrow["step"].to_numpy() != 40)
    found = cell_gains(make_table(asked.arrow.filter(keep)))
    assert all(isinstance(c.gain, NotEstimable) == (c.step == 40) for c in found)
    runs = np.array(asked.arrow["run"].to_pylist()) != ""
    bare = cell_gains(make_table(asked.arrow.filter(runs | lost)))
    assert all(isinstance(c.gain, NotEstimable) and "base" in c.gain.reason for c in bare)


def test_columns_that_say_half_are_refused(simulated):
    """Rows beyond the pilot are left out of most answers, so that what is said of them has to be whole."""
    _, asked = simulated
    with pytest.raises(TriaxisError, match="column 'pilot' is of an adaptive evaluation, and asked_at, asked_of"):
        make_table(asked.arrow.drop_columns(["asked_at", "asked_of", "smallest_effect"]))
    place = asked.arrow.column_names.index("asked_of")
    wrong = asked.arrow.set_column(place, "asked_of", [[7] * asked.n_rows])
    with pytest.raises(TriaxisError, match=r"asked_at: [0-9]+ of 7 items; places count from 0"):
        make_table(wrong)
    empty = asked.arrow.set_column(place, "asked_of", [[None] + [80] * (asked.n_rows - 1)])
    with pytest.raises(TriaxisError, match=r"row 1, asked_of: empty, and asked_at, .* go together"):
        make_table(empty)


def test_effects_are_found_and_nulls_left_alone():
    """A large effect is found from the pilot; nothing is found where nothing is."""
    false, covers = [], []
    for seed in range(8):
        simulated = study(**{**SIMULATED, "effects": {}, "seed": seed})
        table = replayed(simulated.table, Adaptive(), seed)
        for e in analyze(table, claims=()).effects:
            if isinstance(e.estimate, Interval) and e.scale == "points":
                truth = simulated.truth.effect(e.factors, e.group, e.estimand, e.scale)
                covers.append(e.estimate.low <= truth <= e.estimate.high)
                false.append(e.p < 0.05)
    assert np.mean(false) <= 0.2 and np.mean(covers) >= 0.8
    effect = next(e for e in analyze(replayed(study(**SIMULATED).table, Adaptive())).effects if e.estimand == "gain")
    assert effect.estimate.low > 0.05


def test_what_is_supported_in_full_is_supported_by_the_pilot_where_effects_are_large(simulated):
    """A verdict that is nearly the other one may be it on half of the items; none is turned round."""
    full, asked = simulated
    before, after = ({v.claim: v.decision for v in analyze(table).verdicts} for table in (full, asked))
    supported = [{claim for claim, said in found.items() if said == "supported"} for found in (before, after)]
    assert supported[0] == supported[1] != set()
    assert not any({before[claim], after[claim]} == {"supported", "refuted"} for claim in before)


# -- as a user runs it -------------------------------------------------------------------------------------------------


@pytest.fixture
def say(monkeypatch, capsys):
    def run(*words):
        monkeypatch.setattr(sys, "argv", ["triaxis", *map(str, words)])
        code = main()
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def test_checkpoints_of_another_trainer(say, tmp_path):
    """Of two runs one tells its base: it is asked until its gains are settled, the other in full."""
    declared = parsed()
    run = prepare(job_of(declared, declared.runs()[0]))
    run.training.run_to(8)
    for name, part in [(name, part) for name in ("based", "bare") for part in (run.model, run.tokenizer)]:
        part.save_pretrained(tmp_path / name / "checkpoint-8")
    (tmp_path / "runs.csv").write_text("run,model.base\nbased,lab:weak\nbare,\n")
    asking = {"tasks": STUDY["tasks"], "evaluation": {"items": 24, "adaptive": RULE}}
    (tmp_path / "tasks.yaml").write_text(yaml.safe_dump(asking))
    folders = (tmp_path / "based", tmp_path / "bare", "--tasks", tmp_path / "tasks.yaml", "--out", tmp_path / "out")
    code, out, err = say("evaluate", *folders, "--runs", tmp_path / "runs.csv", "--jobs", "1", "--json")
    assert code == 0, err
    assert "bare: every item is asked, since evaluation.adaptive compares with a base: give --base" in err
    assert all(score["items"] == 6 for score in json.loads(out)["scores"]), "scores that can be compared: the pilot"
    with Store.open(tmp_path / "out", read_only=True) as store:
        parts = {part.run: part.records for part in store.parts(text=False)}
    assert parts[""].num_rows == parts["bare"].num_rows == 96 > parts["based"].num_rows
    assert set(parts["based"]["asked_of"].to_pylist()) == {24}
    of_cells = cell_gains(read_table(tmp_path / "out"))
    assert [isinstance(cell.gain, Interval) for cell in of_cells if cell.run == "based"] == [True] * 4
    assert not any(isinstance(cell.gain, Interval) for cell in of_cells if cell.run == "bare")


def test_check_tells_the_most_and_the_least_and_power_plans_on_the_pilot(say, tmp_path):
    varied = {**VARIED, "seeds": 2}
    items = {}
    for name, given in (("full", {"items": 12}), ("adaptive", {"items": 48, "adaptive": {"pilot": 0.25}})):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({**varied, "evaluation": given}))
        code, out, _ = say("study", "power", tmp_path / f"{name}.yaml", "--json")
        assert code == 0
        items[name] = [group["items"] for group in json.loads(out)["groups"]]
    assert items["full"] == items["adaptive"]
    code, out, _ = say("study", "check", tmp_path / "adaptive.yaml", "--json")
    cost = json.loads(out)["cost"]
    assert code == 0 and 0.25 < cost["generated_tokens_least"] / cost["generated_tokens"] < 0.5
