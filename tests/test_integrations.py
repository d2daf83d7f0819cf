"""Results of other tools as a long table: what each format holds, the factors of runs, and every way to be wrong."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from triaxis.integrations import brought, read_results
from triaxis.integrations.mapping import read_map
from triaxis.integrations.places import Pattern
from triaxis.records import make_table, read_table, records_digest
from triaxis.study.mistakes import Mistake
from triaxis.types import TriaxisError

DATA = Path(__file__).parent / "data"
LM_EVAL, LM_MAP, RUNS = DATA / "lm-eval", DATA / "lm-eval.yaml", DATA / "lm-eval-runs.csv"
INSPECT, INSPECT_MAP = DATA / "inspect", DATA / "inspect.yaml"
TRIAXIS = str(Path(sys.executable).parent / "triaxis")
MAP = "checkpoints: {pattern: '{run}/checkpoint-{step}', base: base}\n"
DATE = "2026-01-02T03-04-05.678901"
LATER = "2026-01-03T03-04-05.678901"


def columns(table):
    return {name: table.arrow[name].to_pylist() for name in table.arrow.column_names}


def rows(table, *names):
    return list(zip(*(table.arrow[name].to_pylist() for name in names), strict=True))


def result(tasks, **more):
    """A results file as lm-eval writes it: `tasks` {name: {"metric,filter": value}}, each of 4 items."""
    return {
        "results": {task: {"alias": task, **values} for task, values in tasks.items()},
        "n-samples": {task: {"original": 9, "effective": 4} for task in tasks},
        "higher_is_better": {task: {key.split(",")[0]: True for key in values} for task, values in tasks.items()},
        **more,
    }


def samples(scores, metric="exact_match", name="none", **more):
    """Lines of a samples file: one item each."""
    return [
        {"doc_id": i, "filter": name, "metrics": [metric], "doc_hash": f"h{i}", "resps": [["text"]], metric: s, **more}
        for i, s in enumerate(scores)
    ]


def put(folder, where, tasks=None, lines=None, date=DATE, **more):
    """Files of one evaluation at `where`; `lines` {task: samples}."""
    place = Path(folder) / where / "some__model"
    place.mkdir(parents=True, exist_ok=True)
    if tasks is not None:
        (place / f"results_{date}.json").write_text(json.dumps(result(tasks, **more)))
    for task, found in (lines or {}).items():
        (place / f"samples_{task}_{date}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in found))
    return place


def tree(folder, score=0.5, key="exact_match,none"):
    """A base and one run at two steps on task t, as summaries."""
    for where in ("base", "r/checkpoint-10", "r/checkpoint-20"):
        put(folder, where, {"t": {key: score}})
    return folder


@pytest.fixture
def mapped(tmp_path):
    def write(text=MAP, name="map.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


# lm-evaluation-harness


def test_real_results_give_the_scores_that_lm_eval_reports():
    table = read_results(LM_EVAL, LM_MAP)
    found = {}
    for *key, score in rows(table, "run", "step", "task", "score"):
        found.setdefault(tuple(key), []).append(score)
    told = {}
    for file in LM_EVAL.rglob("results_*.json"):
        data = json.loads(file.read_text())["results"]
        parts = file.relative_to(LM_EVAL).parts
        run, step = ("", 0) if parts[0] == "base-weak" else (parts[0], int(parts[1].removeprefix("checkpoint-")))
        told[run, step, "sums"] = data["sums"]["exact_match,flexible-extract"]
        for task in ("quiz_parity", "quiz_sizes"):
            told[run, step, task] = data[task]["acc,none"]
    assert len(told) == 15
    assert {key: sum(scores) / len(scores) for key, scores in found.items()} == pytest.approx(told)
    assert {len(scores) for scores in found.values()} == {6}
    assert table.factors == {"data.noise_rate": (0.0, 0.5)}
    assert table.warnings == ("lm-eval's means over tasks are left out, their tasks are here: quiz",)


def test_the_harness_route_equals_the_same_data_as_a_long_table(tmp_path):
    """Made here line by line, by another way than the reader's."""
    lines = []
    for file in sorted(LM_EVAL.rglob("samples_*.jsonl")):
        parts = file.relative_to(LM_EVAL).parts
        base = parts[0] == "base-weak"
        task = file.name.removeprefix("samples_").rpartition("_")[0]
        for sample in map(json.loads, file.read_text().splitlines()):
            if sample["filter"] not in ("none", "flexible-extract"):
                continue
            score = sample["exact_match" if task == "sums" else "acc"]
            lines.append(
                {
                    "run": "" if base else parts[0],
                    "step": 0 if base else int(parts[1].split("-")[1]),
                    "task": task,
                    "group": "in_domain" if task == "sums" else "far_ood",
                    "item": str(sample["doc_id"]),
                    "score": score,
                    "outcome": None if task == "sums" else "correct" if score else "wrong",
                    "model.base": "weak",
                    "data.noise_rate": None if base else {"a": 0.5, "b": 0}[parts[0]],
                }
            )
    by_hand = make_table({name: [line[name] for line in lines] for name in lines[0]})
    table = read_results(LM_EVAL, LM_MAP)
    assert records_digest(table) == records_digest(by_hand)
    table.write(tmp_path / "long.csv")
    assert read_table(tmp_path / "long.csv").arrow.equals(table.arrow)


def test_the_order_of_lines_and_the_folder_around_change_nothing(tmp_path):
    copy = tmp_path / "elsewhere"
    shutil.copytree(LM_EVAL, copy)
    for file in copy.rglob("samples_*.jsonl"):
        file.write_text("\n\n".join(reversed(file.read_text().splitlines())))
    assert records_digest(read_results(copy, LM_MAP)) == records_digest(read_results(LM_EVAL, LM_MAP))


def test_without_samples_files_there_are_summaries_with_their_items(tmp_path):
    shutil.copytree(LM_EVAL, tmp_path / "out")
    records = read_results(tmp_path / "out", LM_MAP)
    for file in (tmp_path / "out").rglob("samples_*.jsonl"):
        file.unlink()
    table = read_results(tmp_path / "out", LM_MAP)
    assert set(table.arrow["n_items"].to_pylist()) == {6} and table.n_rows == 15
    assert set(table.arrow["item"].to_pylist()) == {None}
    means = {}
    for *key, score in rows(records, "run", "step", "task", "score"):
        means.setdefault(tuple(key), []).append(score)
    assert {tuple(key): score for *key, score in rows(table, "run", "step", "task", "score")} == pytest.approx(
        {key: sum(scores) / len(scores) for key, scores in means.items()}
    )


def test_one_checkpoint_without_samples_makes_its_task_summaries_everywhere(tmp_path):
    shutil.copytree(LM_EVAL, tmp_path / "out")
    next((tmp_path / "out" / "a").rglob("samples_sums_*.jsonl")).unlink()
    table = read_results(tmp_path / "out", LM_MAP)
    kinds = {(task, item is None) for task, item in rows(table, "task", "item")}
    assert kinds == {("sums", True), ("quiz_parity", False), ("quiz_sizes", False)}
    assert any("task sums" in w and "1 of its 5 evaluations" in w and "not paired" in w for w in table.warnings)


def test_an_outcome_is_told_only_where_it_is_known():
    """A generated response that is wrong may have been cut off, and lm-eval doesn't say."""
    outcomes = {}
    for task, outcome, score in rows(read_results(LM_EVAL, LM_MAP), "task", "outcome", "score"):
        outcomes.setdefault(task, set()).add((outcome, score))
    assert outcomes["sums"] == {(None, 0.0), (None, 1.0)}
    assert outcomes["quiz_parity"] == {("wrong", 0.0), ("correct", 1.0)}


def test_the_text_is_kept_only_if_asked(mapped):
    asked = mapped(LM_MAP.read_text().replace("runs: lm-eval-runs.csv", "text: true"))
    assert "text" not in read_results(LM_EVAL, LM_MAP).arrow.column_names
    texts = dict(rows(read_results(LM_EVAL, asked), "task", "text"))
    assert texts["sums"].startswith(("The answer is ", "So ")) and texts["quiz_parity"] == ""


def test_the_newest_evaluation_of_a_task_is_taken_and_it_is_said(tmp_path, mapped):
    tree(tmp_path / "out")
    put(tmp_path / "out", "r/checkpoint-20", {"t": {"exact_match,none": 0.75}}, date=LATER)
    put(tmp_path / "out", "r/checkpoint-10", {"u": {"exact_match,none": 0.25}}, date=LATER)
    table = read_results(tmp_path / "out", mapped())
    assert ("r", 20, "t", 0.75) in rows(table, "run", "step", "task", "score")
    assert ("r", 10, "t", 0.5) in rows(table, "run", "step", "task", "score")
    assert any("t in r/checkpoint-20 (2 times" in w and LATER in w for w in table.warnings)


def test_a_metric_that_is_no_accuracy_keeps_its_name_and_direction(tmp_path, mapped):
    for where, score in (("base", 12.5), ("r/checkpoint-10", 9.5)):
        better = {"wiki": {"word_perplexity": False}}
        lines = {"wiki": samples([[-9.0, 3]] * 4, "word_perplexity")}
        put(tmp_path / "out", where, {"wiki": {"word_perplexity,none": score}}, lines, higher_is_better=better)
    table = read_results(tmp_path / "out", mapped())
    assert rows(table, "metric", "higher_is_better", "score") == [
        ("word_perplexity", False, 12.5),
        ("word_perplexity", False, 9.5),
    ]
    assert any("no single number for word_perplexity" in w for w in table.warnings)


def test_samples_that_lack_the_metric_are_counted(tmp_path, mapped):
    for where in ("base", "r/checkpoint-10"):
        lines = samples([1, 0, 1, 0])
        del lines[2]["exact_match"]
        put(tmp_path / "out", where, {"t": {"exact_match,none": 1 / 3}}, {"t": lines})
    table = read_results(tmp_path / "out", mapped())
    assert table.n_rows == 6
    assert any("2 samples have no exact_match and are left out" in w for w in table.warnings)


def test_samples_that_do_not_fit_their_results_are_told(tmp_path, mapped):
    for where in ("base", "r/checkpoint-10"):
        put(tmp_path / "out", where, {"t": {"exact_match,none": 0.75}}, {"t": samples([1, 0, 1])})
    warnings = read_results(tmp_path / "out", mapped()).warnings
    assert any("fewer items" in w and "has 3 of 4" in w for w in warnings)
    assert any("0.6667, results say 0.75" in w for w in warnings)


def test_a_task_without_any_metric_is_left_out_and_told(tmp_path, mapped):
    put(tmp_path / "out", "base", {"t": {"acc,none": 1}, "tag": {}})
    put(tmp_path / "out", "r/checkpoint-10", {"t": {"acc,none": 1}})
    table = read_results(tmp_path / "out", mapped())
    assert table.n_rows == 2 and any("without any metric, left out: tag" in w for w in table.warnings)


def test_samples_alone_are_enough(tmp_path, mapped):
    for where in ("base", "r/checkpoint-10"):
        put(tmp_path / "out", where, lines={"t": samples([1, 0, 1, 0])})
    assert read_results(tmp_path / "out", mapped()).arrow["score"].to_pylist() == [1, 0, 1, 0] * 2


def test_samples_alone_with_two_filters_need_a_choice(tmp_path, mapped):
    for where in ("base", "r/checkpoint-10"):
        put(tmp_path / "out", where, lines={"t": samples([1, 0], name="a") + samples([1, 1], name="b")})
    with pytest.raises(TriaxisError, match="several metrics: exact_match,a, exact_match,b"):
        read_results(tmp_path / "out", mapped())
    table = read_results(tmp_path / "out", mapped(MAP + 'metric: "exact_match,b"\n'))
    assert table.arrow["score"].to_pylist() == [1, 1] * 2


def test_a_mean_over_tasks_that_are_not_there_is_a_task(tmp_path, mapped):
    for where in ("base", "r/checkpoint-10"):
        put(tmp_path / "out", where, {"mmlu": {"acc,none": 0.5}}, group_subtasks={"mmlu": ["mmlu_x", "mmlu_y"]})
    assert set(read_results(tmp_path / "out", mapped()).arrow["task"].to_pylist()) == {"mmlu"}


def test_items_in_another_order_are_told_by_their_content(tmp_path, mapped):
    lines = samples([1, 0, 0, 0])
    put(tmp_path / "out", "base", lines={"t": lines})
    put(tmp_path / "out", "r/checkpoint-10", lines={"t": [{**x, "doc_id": 3 - x["doc_id"]} for x in lines]})
    table = read_results(tmp_path / "out", mapped())
    assert {(item, score) for item, score in rows(table, "item", "score")} == {
        ("h0", 1), ("h1", 0), ("h2", 0), ("h3", 0),
    }  # fmt: skip
    assert any("doc_hash" in w for w in table.warnings)


def test_other_questions_under_one_id_are_refused_unless_the_map_insists(tmp_path, mapped):
    put(tmp_path / "out", "base", lines={"t": samples([1, 0])})
    put(tmp_path / "out", "r/checkpoint-10", lines={"t": [{**x, "doc_hash": "z"} for x in samples([1, 0])]})
    with pytest.raises(TriaxisError, match=r"row 1, doc_hash: item 0 is another question.*items: doc_id"):
        read_results(tmp_path / "out", mapped())
    table = read_results(tmp_path / "out", mapped(MAP + "items: doc_id\n"))
    assert table.arrow["item"].to_pylist() == ["0", "1"] * 2


def test_factors_and_seeds_can_be_in_the_names_of_folders(tmp_path, mapped):
    for folder in ("lr1e-3_n_s0", "lr1e-3_n_s1", "lr1e-4_m_s0"):
        put(tmp_path / "out", f"{folder}/ckpt-10", {"t": {"acc,none": 0.5}})
    put(tmp_path / "out", "base-x1", {"t": {"acc,none": 0.5}})
    named = "lr{optimization.learning_rate}_{data.name}_s{seed}/ckpt-{step}"
    table = read_results(
        tmp_path / "out", mapped(f"checkpoints: {{pattern: '{named}', base: 'base-{{model.base}}'}}\n")
    )
    assert table.factors == {"data.name": ("m", "n"), "optimization.learning_rate": (1e-4, 1e-3)}
    assert sorted(rows(table, "seed", "model.base")) == [(0, "x1"), (0, "x1"), (0, "x1"), (1, "x1")]
    assert "optimization.learning_rate=1e-3,data.name=n,seed=1" in table.arrow["run"].to_pylist()


def test_a_folder_that_reads_in_two_ways_is_refused():
    pattern = Pattern.of("lr{optimization.lr}-{data.name}/{step}", "checkpoints.pattern", base=False)
    assert pattern.read("lr3-n/7") == {"optimization.lr": "3", "data.name": "n", "step": "7"}
    with pytest.raises(TriaxisError, match=r"two ways, optimization\.lr is '1e' or '1e-3'"):
        pattern.read("lr1e-3-n/7")


@pytest.mark.parametrize(
    ("pattern", "folder", "read"),
    [
        ("{run}/checkpoint-{step}", "a/checkpoint-10/model", {"run": "a", "step": "10"}),
        ("{run}-{step}", "lr-3-40", {"run": "lr-3", "step": "40"}),
        ("{run}/{run}_step{step}", "a/a_step7", {"run": "a", "step": "7"}),
        ("{run}/{run}_step{step}", "a/b_step7", None),
        ("*/{run}/{step}", "x.y/a/7/m", {"run": "a", "step": "7"}),
        ("{run}/s{seed}-{data.name}/{step}", "a/s3-n-m/7", {"run": "a", "seed": "3", "data.name": "n-m", "step": "7"}),
        ("{run}/checkpoint-{step}", "a/checkpoint-last", {"run": "a", "step": "last"}),
        ("{run}/checkpoint-{step}", "a", None),
        ("{run}.v1/{step}", "axv1/3", None),
    ],
)
def test_patterns(pattern, folder, read):
    assert Pattern.of(pattern, "checkpoints.pattern", base=False).read(folder) == read


NO_PATTERNS = ["{run}", "{run}/{stepp}", "../{step}", "/a/{step}", "{run/{step}", "{a.b}/{step}", ""]


@pytest.mark.parametrize("pattern", NO_PATTERNS)
def test_patterns_that_can_not_be(pattern):
    with pytest.raises(Mistake, match=r"checkpoints\.pattern"):
        Pattern.of(pattern, "checkpoints.pattern", base=False)


# Wrong maps and results: what happens to the tree, the map, and words that the one line must hold


def bad_line(out):
    put(out, "r/checkpoint-10", {"t": {"exact_match,none": 0.5}}, {"t": samples([1])})
    file = next(out.rglob("samples_*"))
    file.write_text(file.read_text() + '{"doc_id": 1, "filt')


def bad_score(out):
    put(out, "r/checkpoint-10", {"t": {"exact_match,none": 0.5}}, {"t": [*samples([1]), *samples([None])]})


def no_filter(out):
    put(out, "r/checkpoint-10", {"t": {"exact_match,none": 0.5}}, {"t": samples([1], name="strict")})


def no_id(out):
    lines = samples([1])
    del lines[0]["doc_id"]
    put(out, "r/checkpoint-10", {"t": {"exact_match,none": 0.5}}, {"t": lines})


def nothing(out):
    pass


def base(values):
    return lambda out: put(out, "base", {"t": values})


def put_at(where, values):
    return lambda out: put(out, where, {"t": values})


def written(text):
    return lambda out: next((out / "r").rglob("results*")).write_text(text)


TWO, FILTERS = {"acc,none": 1, "acc_norm,none": 1}, {"acc,a": 1, "acc,b": 1}
SAME = "same tasks"
BAD = [
    ("cut sample", bad_line, MAP, ["samples_t_", "row 2", "not JSON, or cut off", "evaluate again"]),
    ("score is null", bad_score, MAP, ["row 2, exact_match: null is not a number"]),
    ("no such filter", no_filter, MAP, ["no filter 'none'; it has strict"]),
    ("no id", no_id, MAP, ["row 1, doc_id: missing"]),
    ("cut results", written("{"), MAP, ["not JSON, or cut off"]),
    ("other JSON", written("[]"), MAP, ["results: no tasks"]),
    ("no number", base({"exact_match,none": "N/A"}), MAP, ['"N/A" is not a number']),
    ("percent", base({"exact_match,none": 61.5}), MAP, ["results.t, score", "61.5", "percent"]),
    ("step in words", put_at("r/checkpoint-last", {}), MAP, ["checkpoint-last, step: 'last' is not"]),
    ("missing metric", nothing, MAP + "metric: {default: acc}", ["task 't' has no acc; it has exact_match,none"]),
    ("some lack it", put_at("r/checkpoint-20", {"acc,none": 1}), MAP, ["results.t: no exact_match,none"]),
    ("several metrics", base(TWO), MAP, ["several metrics: acc,none, acc_norm,none"]),
    ("several filters", base(FILTERS), MAP + "metric: acc", ["acc,a, acc,b", 'metric: {t: "acc,a"}']),
    ("metric of no task", nothing, MAP + "metric: {tt: exact_match}", ["metric: no task fits 'tt'; did you mean 't'?"]),
    ("unknown task", nothing, MAP + "groups: {far_ood: [m_*]}", ["groups.far_ood: no task fits 'm_*'; there are t"]),
    ("two groups", nothing, MAP + "groups: {far_ood: [t], safety: [t]}", ["'t' is in far_ood (t) and in safety (t)"]),
    ("unknown group", nothing, MAP + "groups: {far_odd: [t]}", ["groups: 'far_odd' is unknown; did you mean far_ood?"]),
    ("unknown mode", nothing, MAP + "mode: thinking", ["mode: 'thinking' is unknown; did you mean think?"]),
    ("unknown format", nothing, MAP + "format: lmeval", ["format: 'lmeval' is unknown", "lm-eval"]),
    ("unknown key", nothing, MAP + "group: {}", ["group: unknown; did you mean groups?"]),
    ("no checkpoints", nothing, "mode: think", ["checkpoints: missing"]),
    ("no pattern", nothing, "checkpoints: {base: base}", ["checkpoints.pattern: missing"]),
    ("empty map", nothing, "# nothing", ["is empty; a map needs checkpoints"]),
    ("broken YAML", nothing, "a: [", ["map.yaml: line 1", "correct the YAML"]),
    (
        "pattern fits nothing",
        nothing,
        MAP.replace("checkpoint-", "s-"),
        ["'{run}/s-{step}' fits no", "r/checkpoint-10"],
    ),
    ("base fits nothing", nothing, MAP.replace("base: base", "base: 'b-*'"), ["checkpoints.base: 'b-*' fits no"]),
    ("a run in the base", nothing, MAP.replace("base: base", "base: '{run}'"), ["{run} is not for a base's folder"]),
    ("both", put_at("base/checkpoint-3", {}), MAP, ["fits both checkpoints.pattern and checkpoints.base"]),
    ("no base", lambda out: shutil.rmtree(out / "base"), MAP.replace(", base: base", ""), ["no step 0"]),
    ("other format", nothing, MAP + "format: inspect", ["no results of inspect", "format: lm-eval"]),
    ("no results", lambda out: [f.unlink() for f in out.rglob("*.json")], MAP, ["no results of lm-eval", "empty"]),
    ("two at once", lambda out: shutil.copytree(out / "base/some__model", out / "base/x"), MAP, [SAME, "keep one"]),
    ("no CSV of runs", nothing, MAP + "runs: gone.csv", ["gone.csv: no such file"]),
]


@pytest.mark.parametrize(("change", "text", "words"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_what_is_wrong_is_told_in_one_line(tmp_path, mapped, change, text, words):
    change(tree(tmp_path / "out"))
    with pytest.raises(TriaxisError) as caught:
        read_results(tmp_path / "out", mapped(text))
    line = str(caught.value)
    assert "\n" not in line and all(word in line for word in words), line


def test_two_folders_of_one_checkpoint_are_refused(tmp_path, mapped):
    for top in ("x", "y"):
        put(tmp_path / "out", f"{top}/r/10", {"t": {"acc,none": 1}})
    with pytest.raises(TriaxisError, match=r"y/r/10: is run 'r', step 10, as .*x/r/10 is"):
        read_results(tmp_path / "out", mapped("checkpoints: {pattern: '*/{run}/{step}'}"))


def test_files_in_no_checkpoint_are_counted(tmp_path, mapped):
    put(tree(tmp_path / "out"), "old-stuff", {"t": {"exact_match,none": 0.5}})
    warnings = read_results(tmp_path / "out", mapped()).warnings
    assert any("1 file fit no pattern: old-stuff/some__model/results_" in w for w in warnings)


def test_links_are_followed_and_loops_are_not(tmp_path, mapped):
    out = tree(tmp_path / "out")
    (out / "r2").mkdir()
    (out / "r2/checkpoint-10").symlink_to(out / "r/checkpoint-10")
    (out / "r/loop").symlink_to(out)
    assert set(read_results(out, mapped()).arrow["run"].to_pylist()) == {"", "r", "r2"}


def test_runs_that_nothing_tells_apart_are_told(tmp_path, mapped):
    put(tree(tmp_path / "out"), "r2/checkpoint-10", {"t": {"exact_match,none": 0.5}})
    warnings = read_results(tmp_path / "out", mapped()).warnings
    assert any("no factor tells its 2 runs apart" in w for w in warnings)
    assert not any("tells its" in w for w in read_results(LM_EVAL, LM_MAP).warnings)


# inspect_ai


def test_real_inspect_logs():
    """Two `.eval` (zstd) and one `.json`: epochs are samples, letters are scores, the stop reason gives the outcome."""
    table = read_results(INSPECT, INSPECT_MAP)
    assert table.n_rows == 3 * 4 * 2
    keys = set(rows(table, "run", "step", "item", "sample"))
    assert keys == {
        (run, step, f"s{i}", epoch)
        for run, step in (("", 0), ("a", 10), ("a", 40))
        for i in range(4)
        for epoch in (0, 1)
    }
    assert {(o, s) for o, s in rows(table, "outcome", "score")} >= {("correct", 1.0), ("wrong", 0.0)}
    assert all(tokens > 10 for tokens in table.arrow["response_tokens"].to_pylist())
    log = json.loads(next(INSPECT.rglob("*.json")).read_text())
    (told,) = [s["metrics"]["accuracy"]["value"] for s in log["results"]["scores"] if s["scorer"] == "match"]
    scores = [score for step, score in rows(table, "step", "score") if step == 40]
    assert sum(scores) / len(scores) == pytest.approx(told)


def inspect_log(path, scores, *, status="success", task="t", stop="stop", created="2026-01-01"):
    """A log as inspect_ai writes it; a score may be a value or a whole score."""
    found = []
    for i, score in enumerate(scores):
        score = score if isinstance(score, dict) and "value" in score else {"value": score}
        output = {"choices": [{"stop_reason": stop}], "usage": {"output_tokens": 7}, "completion": "x"}
        found.append({"id": i, "epoch": 1, "scores": {"s": score}, "output": output})
    path.parent.mkdir(parents=True, exist_ok=True)
    head = {"status": status, "eval": {"task": task, "created": created}}
    if path.suffix == ".json":
        path.write_text(json.dumps(head | {"samples": found}))
        return
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.json", json.dumps(head))
        for sample in found:
            archive.writestr(f"samples/{sample['id']}_epoch_1.json", json.dumps(sample))


@pytest.mark.parametrize(
    ("scores", "stop", "found"),
    [
        (["C", "I"], "stop", [(1, "correct"), (0, "wrong")]),
        (["C", "I"], "max_tokens", [(1, "correct"), (0, "truncated")]),
        (["C", "I"], "unknown", [(1, None), (0, None)]),
        (["C", "N"], "stop", [(1, None), (0, None)]),
        (["P", True], "stop", [(0.5, "wrong"), (1, "correct")]),
        (["C", {"value": "I", "reason": "refusal"}], "stop", [(1, "correct"), (0, "refused")]),
        ([0.25, 1], "stop", [(0.25, None), (1, None)]),
        ([float("nan"), 1], "stop", [(1, "correct")]),
    ],
)
def test_scores_and_outcomes_of_inspect(tmp_path, mapped, scores, stop, found):
    for where, suffix in (("base", "json"), ("r/checkpoint-5", "eval")):
        inspect_log(tmp_path / "out" / where / f"2026-01-01T00-00-00_t.{suffix}", scores, stop=stop)
    table = read_results(tmp_path / "out", mapped(MAP + "format: inspect\n"))
    assert rows(table, "score", "outcome") == found * 2
    assert set(table.arrow["metric"].to_pylist()) == {"s" if 0.25 in scores else "accuracy"}
    assert len(scores) == len(found) or any("2 samples have no s" in w for w in table.warnings)


def test_logs_that_did_not_end_are_left_out_and_the_newest_is_taken(tmp_path, mapped):
    out = tmp_path / "out"
    inspect_log(out / "base/a.eval", ["C", "C"])
    inspect_log(out / "r/checkpoint-5/a.eval", ["I", "I"])
    inspect_log(out / "r/checkpoint-5/b.eval", ["C", "I"], created="2026-01-02")
    inspect_log(out / "r/checkpoint-5/c.eval", ["I"], created="2026-01-03", status="error")
    table = read_results(out, mapped(MAP + "format: inspect\n"))
    assert [score for step, score in rows(table, "step", "score") if step == 5] == [1, 0]
    assert any("1 log of evaluations that did not end" in w and "(error)" in w for w in table.warnings)
    assert any("t in r/checkpoint-5 (2 times)" in w for w in table.warnings)


def test_several_values_of_one_scorer_are_chosen_by_name(tmp_path, mapped):
    for where in ("base", "r/checkpoint-5"):
        inspect_log(tmp_path / "out" / where / "a.eval", [{"value": {"x": 1, "y": 0}}])
    with pytest.raises(TriaxisError, match="several metrics: s,x, s,y"):
        read_results(tmp_path / "out", mapped(MAP + "format: inspect\n"))
    table = read_results(tmp_path / "out", mapped(MAP + 'format: inspect\nmetric: "s,y"\n'))
    assert table.arrow["score"].to_pylist() == [0, 0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no log of inspect_ai, or cut off"),
        (b"PK\x03\x04" + bytes(50), "no log of inspect_ai, or cut off"),
    ],
)
def test_a_damaged_log_is_told(tmp_path, mapped, content, words):
    shutil.copytree(INSPECT, tmp_path / "out")
    next((tmp_path / "out").rglob("*.eval")).write_bytes(content)
    with pytest.raises(TriaxisError, match=words):
        read_results(tmp_path / "out", INSPECT_MAP)


def test_a_bit_that_is_flipped_in_a_log_is_told_or_harmless(tmp_path):
    whole = records_digest(read_results(INSPECT, INSPECT_MAP))
    shutil.copytree(INSPECT, tmp_path / "out")
    file = next((tmp_path / "out/base").rglob("*.eval"))
    content = file.read_bytes()
    told = 0
    for at in range(100, len(content), 701):
        file.write_bytes(content[:at] + bytes([content[at] ^ 16]) + content[at + 1 :])
        try:
            assert records_digest(read_results(tmp_path / "out", INSPECT_MAP)) == whole
        except TriaxisError as error:
            assert "\n" not in str(error)
            told += 1
    assert told > 10


# Factors from a CSV of runs


LONG = "run,step,task,item,score\n,0,t,x,0\na,5,t,x,1\nb,5,t,x,0\n"


def tables(folder, long=LONG, runs="run,seed,data.name,model.base\na,3,n,w\nb,4,m,w\n"):
    (folder / "long.csv").write_text(long)
    (folder / "runs.csv").write_text(runs)
    return [folder / "long.csv"], folder / "runs.csv"


def test_factors_are_joined_onto_a_long_table(tmp_path):
    paths, runs = tables(tmp_path)
    table = brought(paths, runs_file=runs)
    found = columns(table)
    assert found["seed"] == [0, 3, 4] and found["data.name"] == [None, "n", "m"]
    assert found["model.base"] == ["w", "w", "w"], "the base's name goes without saying where all runs have one"
    whole = tmp_path / "whole.csv"
    whole.write_text(
        "run,seed,step,task,item,score,data.name,model.base\n,0,0,t,x,0,,w\na,3,5,t,x,1,n,w\nb,4,5,t,x,0,m,w\n"
    )
    assert table.arrow.equals(read_table(whole).arrow)


def test_a_field_in_both_must_be_the_same(tmp_path):
    long = "run,step,task,score,optimization.lr\na,0,t,0,1e-3\na,5,t,1,1e-3\nb,0,t,0,\nb,5,t,1,\n"
    paths, runs = tables(tmp_path, long, "run,optimization.lr\na,0.001\nb,0.01\n")
    assert columns(brought(paths, runs_file=runs))["optimization.lr"] == [0.001, 0.001, 0.01, 0.01]
    paths, runs = tables(tmp_path, long, "run,optimization.lr\nb,0.01\na,0.002\n")
    with pytest.raises(
        TriaxisError, match=r"long\.csv, row 2, optimization\.lr: 1e-3 for run 'a', but 0\.002 at .* 3;"
    ):
        brought(paths, runs_file=runs)


def test_runs_without_results_are_told_and_results_without_runs_refused(tmp_path):
    paths, runs = tables(tmp_path, runs="run,seed\na,0\nb,0\nc,0\n")
    assert any("no results for 1 run: c" in w for w in brought(paths, runs_file=runs).warnings)
    paths, runs = tables(tmp_path, runs="run,seed\na,0\n")
    with pytest.raises(TriaxisError, match=r"runs\.csv: lacks 1 of the 2 runs in .*long\.csv: b; add a row"):
        brought(paths, runs_file=runs)
    paths, runs = tables(tmp_path, LONG + "z,0,t,x,1\n", "run,seed\na,0\nb,0\n")
    assert any("at step 0 only and not in" in w and "z" in w for w in brought(paths, runs_file=runs).warnings)


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ("", "no runs"),
        ("run,seed\n", "no runs"),
        ("name,seed\na,1\n", "column 'run' is missing"),
        ("run,seed\na,1\nb,2\na,1\n", "row 4: run 'a' is in row 2 already"),
        ("run,seed,seed\na,1,1\n", "column 'seed' is there 2 times"),
        ("run,seed\na,one\n", "row 2, seed: 'one' is not a whole number"),
        ("run,seed\na,--5\n", "row 2, seed: '--5' is not a whole number"),
        ("run,seed\na,\u00b2\n", "row 2, seed: '\u00b2' is not a whole number"),
        ("run,seed\na\n", "row 2: 1 cells, the header has 2"),
        ("run,seed\n,1\n", "row 2, run: empty"),
        ("run,optimisation.lr\na,1\n", "did you mean 'optimization.lr'"),
        ("run,lr\na,1\n", "neither seed nor factors"),
        ("run,model.base\na,x\nb,y\n", "the base has no model.base, and its runs have x, y"),
    ],
)
def test_wrong_csvs_of_runs(tmp_path, runs, words):
    paths, file = tables(tmp_path, runs=runs)
    with pytest.raises(TriaxisError) as caught:
        brought(paths, runs_file=file)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_bases_and_runs_must_share_their_names(tmp_path):
    out = tmp_path / "out"
    shutil.copytree(LM_EVAL, out)
    (tmp_path / "other.csv").write_text("run,model.base\na,org/weak\nb,org/weak\n")
    with pytest.raises(TriaxisError, match=r"have model\.base weak, the runs org/weak; write"):
        read_results(out, LM_MAP, tmp_path / "other.csv")


# As a user runs it


def triaxis(*words):
    return subprocess.run([TRIAXIS, *map(str, words)], capture_output=True, text=True, timeout=120, check=False)


def test_analyze_a_folder_of_results(tmp_path):
    result = triaxis("analyze", LM_EVAL, "--map", LM_MAP, "--table", tmp_path / "long.csv", "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    again = triaxis("analyze", tmp_path / "long.csv", "--json")
    assert again.returncode == 0, again.stderr
    told = [found.pop("warnings"), json.loads(again.stdout)]
    told[1].pop("warnings")
    assert found == told[1] and any("quiz" in w for w in told[0])
    gains = {(t["run"], t["task"]): t["net_gain"] for t in found["trajectories"]}
    assert gains["a", "sums"]["low"] <= gains["a", "sums"]["value"] <= gains["a", "sums"]["high"]


def test_a_folder_without_its_map_shows_the_smallest(tmp_path):
    shutil.copytree(LM_EVAL, tmp_path / "out")
    result = triaxis("analyze", tmp_path / "out")
    assert result.returncode == 2 and result.stdout == "" and result.stderr.count("\n") == 1
    smallest = result.stderr.partition("the smallest is ")[2].strip()
    assert smallest == "{checkpoints: {pattern: '{run}/checkpoint-{step}', base: 'base-weak'}}"
    (tmp_path / "map.yaml").write_text(smallest)
    (tmp_path / "map.yaml").write_text(f"{smallest[1:-1]}\nmetric: {{default: acc, sums: 'exact_match,strict-match'}}")
    assert triaxis("analyze", tmp_path / "out", "--map", tmp_path / "map.yaml").returncode == 0


def test_wrong_usage_is_exit_code_2(tmp_path):
    for words in (
        ("--published", "--runs", RUNS),
        (RUNS, "--map", LM_MAP),
        (tmp_path / "gone", "--map", LM_MAP),
        (LM_EVAL, "--map", tmp_path / "gone.yaml"),
    ):
        result = triaxis("analyze", *words)
        assert result.returncode == 2 and result.stderr.count("\n") == 1, (words, result.stderr)


def test_the_document_shows_what_happens(tmp_path):
    """Its maps are maps, its CSVs are read, and its long table is the one that the command writes."""
    text = (DATA.parents[1] / "docs" / "bring-your-own.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)
    maps = [block for kind, block in blocks if kind == "yaml"]
    assert len(maps) >= 2
    for i, block in enumerate(maps):
        (tmp_path / f"{i}.yaml").write_text(block)
        read_map(tmp_path / f"{i}.yaml")
    results, runs, joined = (block for kind, block in blocks if kind == "csv")
    (tmp_path / "results.csv").write_text(results)
    (tmp_path / "runs.csv").write_text(runs)
    brought([tmp_path / "results.csv"], runs_file=tmp_path / "runs.csv").write(tmp_path / "long.csv")
    assert (tmp_path / "long.csv").read_text() == joined


def test_no_torch_is_imported():
    code = (
        "import sys;"  # pandas is not ours to forbid: pyarrow takes it where it is installed
        "from pathlib import Path; from triaxis.integrations import read_results;"
        f"read_results(Path({str(LM_EVAL)!r}), Path({str(LM_MAP)!r}));"
        "print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.strip() == "[]"
