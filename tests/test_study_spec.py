"""A study as a user writes it: what it comes to, and every way in which it can be wrong, told in one line."""

import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triaxis.study import default_steps, difficulty_levels, load_study, parse_study, total_steps
from triaxis.study.axes import SETTINGS
from triaxis.study.reading import read_yaml
from triaxis.types import TriaxisError

ROOT = Path(__file__).parents[1]
GOOD = "model: {base: lab:strong}\ndata: {task: chain}\ntasks: {in_domain: chain}\n"
TWO = "optimization: {packing: [true, false], optimizer: [adamw, sgd], steps: [1, 2]}\n"


def study(**sections):
    return parse_study({"model": {"base": "m"}, "data": {"task": "t"}, "tasks": {"in_domain": ["t"]}} | sections)


def add(text):
    return GOOD + text


def axis(text):
    return GOOD + f"optimization: {{{text}}}"


def of_data(text):
    return f"model: {{base: x}}\ndata: {{task: a, {text}}}\ntasks: {{in_domain: a}}"


def design(text):
    return GOOD + TWO + f"design: {{{text}}}"


# the file's text, words that the line must hold
BAD = [
    ("", "is empty; a study needs"),
    ("# nothing\n", "is empty"),
    ("- a\n", "is not a mapping"),
    ("hello", "is not a mapping"),
    (add("x: ["), "line 4, column 5: expected the node content"),
    ("\tmodel: 1", "line 1, column 1: found character '\\t'"),
    (add("x: *y"), "line 4, column 4: found undefined alias"),
    (add("x: !!python/object:os.system a"), "could not determine a constructor"),
    (add("name: !!bool 7"), "line 4, column 7: '7' is no bool"),
    (add("name: !!bool yes"), "'yes' is no bool"),
    (add("a: !!timestamp 3"), "could not determine a constructor"),
    (add("a: !!timestamp 2026-01-01"), "could not determine a constructor"),
    (add("a: !!binary 3"), "could not determine a constructor"),
    (add("a: !!set {b}"), "could not determine a constructor"),
    (add("a: !!omap [b]"), "could not determine a constructor"),
    (add("a: !own%0Atag 3"), "could not determine a constructor"),
    (add("a: !!int ''"), "'' is no int"),
    (add("a: !!int " + "9" * 5000), "is no int"),
    (add("a: !!int [1]"), "expected a scalar node"),
    (add("a: !!float ''"), "'' is no float"),
    (add("a: !!null 0"), "'0' is no null"),
    (add("a: !!map 3"), "expected a mapping node"),
    (add("a: !!seq 3"), "expected a sequence node"),
    (add('"a\\nb\\0": 1'), "a b\\x00: unknown"),
    (add("a" * 900 + ": 1"), "aaa...: unknown"),
    (add("evaluation: {items: 60, items: 70}"), "line 4, column 25: the key items is given twice (first in line 4)"),
    (add("data: {task: x}"), "the key data is given twice (first in line 2)"),
    (add("1: 2"), "line 4, column 1: the key 1 is not a name"),
    ("a: 1\n---\nb: 2", "another document"),
    (add("x: \x01"), "special characters"),
    ("[" * 3000, "nested too deeply"),
    (add("x: &a [*a]"), "x: unknown; valid here: name, optimization"),
    (axis("learning_rte: 1"), "optimization.learning_rte: unknown; did you mean optimization.learning_rate?"),
    (axis("lr: 1"), "optimization.lr: unknown; did you mean optimization.learning_rate?"),
    (axis("noise_rate: 1"), "optimization.noise_rate: unknown; did you mean data.noise_rate?"),
    (axis("data.task: 1"), "did you mean data.task?"),
    (add("optimisation: {steps: 2}"), "optimisation: unknown; did you mean optimization?"),
    (add("data.noise_rate: 1"), "write data: {noise_rate: ..}"),
    (add("evaluation: {temprature: 1}"), "evaluation.temprature: unknown; did you mean evaluation.temperature?"),
    (add("budget: {hours: 1}"), "budget.hours: unknown; valid here: budget.minutes, budget.disk_gb"),
    (axis("steps: 0"), "optimization.steps: must be at least 1, got 0"),
    (axis("steps: 1.5"), "optimization.steps: must be a whole number, got 1.5"),
    (axis("steps: many"), "optimization.steps: must be a whole number, got 'many'"),
    (axis("steps: true"), "optimization.steps: must be a whole number, got True"),
    (axis("steps: 99999999999999999999999999"), "optimization.steps: must be at most"),
    (axis("steps: 10_000_001".replace("_", "")), "optimization.steps: must be at most 10,000,000, got 10000001"),
    (axis("epochs: 1e308"), "optimization.epochs: must be at most 1,000,000, got 1e+308"),
    (axis("epochs: 1e5"), "optimization.epochs: 100000.0 make 12,800,000 steps, more than 10,000,000"),
    (axis("steps: "), "optimization.steps: is empty"),
    (axis("steps: []"), "optimization.steps: an empty list"),
    (axis("steps: [1, 2, 1]"), "optimization.steps: the level 1 is listed twice"),
    (axis("steps: 2, epochs: 1"), "optimization.epochs: given with optimization.steps"),
    (axis("learning_rate: '3e-4'"), "optimization.learning_rate: must be a number, got '3e-4'"),
    (axis("learning_rate: -1"), "must be more than 0, got -1"),
    (axis("learning_rate: .inf"), "must be a finite number"),
    (axis("learning_rate: .nan"), "must be a finite number"),
    (axis("learning_rate: [1e-3, 0.001]"), "the level 0.001 is listed twice"),
    (axis("learning_rate: [[1, 2], 3]"), "must be a number, got [1, 2]"),
    (axis("optimizer: [adamw, adamv]"), "got 'adamv'; did you mean adamw?"),
    (axis("packing: yes"), "optimization.packing: must be true or false, got 'yes'"),
    (axis("micro_batch_size: 64"), "64 is more than optimization.batch_size 32"),
    (axis("batch_size: 9999"), "data.examples: 4096 is less than optimization.batch_size 9999"),
    (axis("learning_rate: {low: 1, high: 2}"), "a range needs design.kind sobol"),
    (axis("learning_rate: {lo: 1, high: 2}"), "lo: unknown; did you mean low?"),
    (axis("learning_rate: {low: 2, high: 1}"), "low (2) must be less than high (1)"),
    (axis("learning_rate: {low: 0, high: 1, scale: log}"), "must start above 0"),
    (axis("packing: {low: 0, high: 1}"), "optimization.packing: must be true or false"),
    (add("optimization: [1]"), "optimization: must be a mapping of settings"),
    ("data: {task: a}\ntasks: {in_domain: a}", "model.base: missing"),
    (GOOD.replace("lab:strong", "x" * 300), "model.base: a folder's name has at most 255 characters, got 'xxx"),
    (GOOD.replace("lab:strong", "x/" * 600), "model.base: must have at most 1024 characters, got 'x/x/"),
    (GOOD.replace("lab:strong", '"a\\0b"'), "model.base: must be printable text on one line, got 'a\\x00b'"),
    (GOOD.replace("lab:strong", '"a\\nb"'), "model.base: must be printable text on one line, got 'a\\nb'"),
    (GOOD.replace("lab:strong", '" "'), "model.base: must be printable text"),
    (GOOD.replace("lab:strong", f"[a, {'x' * 300}]"), "model.base: a folder's name has at most 255 characters"),
    (GOOD.replace("chain", "c" * 256), "data.task: must have at most 255 characters"),
    (GOOD.replace("in_domain: chain", '"in_domain": "a\\nb"'), "tasks.in_domain[0]: must be printable text"),
    ("model: {base: x}\ntasks: {in_domain: a}", "data.task: missing"),
    ("model: {base: x}\ndata: {task: a}", "tasks: missing"),
    ("model: {base: x}\ndata: {task: a}\ntasks: {}", "tasks: is empty"),
    ("model: {base: x}\ndata: {task: a}\ntasks: {in_domain: []}", "tasks.in_domain: is empty"),
    ("model: {base: x}\ndata: {task: a}\ntasks: {indomain: a}", "did you mean tasks.in_domain?"),
    ("model: {base: x}\ndata: {task: a}\ntasks: {in_domain: [a], far_ood: [a]}", "listed twice (first in in_domain)"),
    ("model: {base: x}\ndata: {task: a}\ntasks: {in_domain: [3]}", "tasks.in_domain[0]: must be text, got 3"),
    ("model: {base: x}\ndata: {task: a}\ntasks: [a]", "tasks: must be a mapping"),
    ("model: {base: x}\ndata: {task: ''}\ntasks: {in_domain: a}", "data.task: is empty"),
    (of_data("difficulty: 5-3"), "data.difficulty: the levels 5-3 run backwards; write 3-5"),
    (of_data("difficulty: hard"), "data.difficulty: must be a level (3)"),
    (of_data("noise_rate: 1.2"), "data.noise_rate: must be at most 1, got 1.2"),
    (of_data("replay_share: 1.0"), "data.replay_share: must be less than 1"),
    (of_data("examples: [16, 4096]"), "data.examples: 16 is less than optimization.batch_size 32"),
    (of_data("structure: [long, short]"), "did you mean long_cot?"),
    (of_data("examples: 1000000000"), "data.examples: must be at most 100,000,000, got 1000000000"),
    (of_data("difficulty: ٣"), "data.difficulty: must be a level (3)"),
    (of_data("difficulty: ''"), "data.difficulty: must be a level (3)"),
    (add("seeds: 0"), "seeds: a number of seeds must be 1 to 1000, got 0"),
    (add("seeds: []"), "seeds: must be a number of seeds or a list"),
    (add("seeds: [0, 0]"), "seeds: a seed is listed twice"),
    (add("seeds: [-1]"), "seeds: must be"),
    (add("seeds: [true]"), "seeds: must be"),
    (add("seeds: 1.5"), "seeds: must be"),
    (add("name: a/b"), "name: must be up to 80 letters"),
    (add("name:"), "name: is empty"),
    (add("design: {kind: factoral}"), "design.kind: must be 'factorial'"),
    (add("design: factorial"), "design: must be a mapping of settings, got 'factorial'"),
    (add("design: {points: 3}"), "design.points: belongs to design.kind sobol, and this one is factorial"),
    (add("design: {kind: sobol}"), "design.points: missing"),
    (add("design: {kind: sobol, points: 4}"), "sobol needs at least one factor"),
    (design("kind: sobol, points: 9"), "only 8 distinct combinations could be drawn, fewer than 9"),
    (design("kind: sobol, points: 20000"), "20000 is more than 10000"),
    (axis("packing: [true, false]") + "\ndesign: {kind: fractional, resolution: 3}", "needs at least 3 factors"),
    (design("kind: fractional"), "fractional needs resolution (3 to 6) or generators"),
    (design("kind: fractional, resolution: 9"), "design.resolution: must be at most 6"),
    (design("kind: fractional, generators: a b"), "must be 3 words of letters, one a factor, such as a b ab"),
    (design("kind: fractional, generators: a b aa"), "leave optimization.packing at the level"),
    (design("kind: fractional, generators: a c ac"), "design.generators:"),
    (axis("packing: [true, false], optimizer: [adamw, sgd], steps: [1, 2, 3]")
     + "\ndesign: {kind: fractional, resolution: 3}", "two levels of each factor; optimization.steps has 3"),
    (design("exclude: [{}]"), "design.exclude[0]: is empty"),
    (design("exclude: {optimization.steps: 1}"), "design.exclude: must be a list"),
    (design("exclude: [3]"), "design.exclude[0]: must be a mapping"),
    (design("exclude: [{optimization.stps: 1}]"), "did you mean optimization.steps?"),
    (design("exclude: [{data.task: chain}]"), "data.task is no factor with levels in this study"),
    (design("exclude: [{optimization.steps: 7}]"), "7 is no level of optimization.steps; it has 1, 2"),
    (design("exclude: [{optimization.packing: x}]"), "must be true or false, got 'x'"),
    (design("exclude: [{optimization.steps: [1, 2]}]"), "removes all 8 combinations"),
    (design("exclude: [{optimization.steps: 1}]"), "leaves no combination with optimization.steps 1"),
    (design("kind: one_at_a_time, exclude: [{optimization.packing: false, optimization.steps: 2}]"),
     "design.exclude[0]: matches no combination of this one_at_a_time design"),
    (design("kind: one_at_a_time, center: {optimization.steps: 3}"), "design.center.optimization.steps: 3 is no level"),
    (axis(f"steps: {list(range(1, 200))}, learning_rate: {list(range(1, 200))}"), "39601 combinations, more than"),
    (axis(f"steps: {list(range(1, 200))}") + "\nseeds: 1000", "199000 runs, more than 100000"),
    (add("trajectory: {steps: [1, 1000]}"), "trajectory.steps: step 1000 is beyond the end of a run of 128 steps"),
    (axis("epochs: 2") + "\ntrajectory: {steps: [257]}", "step 257 is beyond the end of a run of 256 steps"),
    (add("trajectory: {steps: [4, 2]}"), "trajectory.steps: steps must increase"),
    (add("trajectory: {steps: none}"), "trajectory.steps: must be auto or a list of steps"),
    (add(f"trajectory: {{steps: {list(range(2000))}}}"), "trajectory.steps: lists 2000 steps, more than 1000"),
    (add("trajectory: {steps: []}"), "trajectory.steps: must be auto or a list of steps"),
    (add("evaluation: {items: 0}"), "evaluation.items: must be at least 1"),
    (add("evaluation: {items: 1e7}"), "evaluation.items: must be at most 1,000,000, got 10000000"),
    (add("evaluation: {samples: 1e5, temperature: 1}"), "evaluation.samples: must be at most 10,000"),
    (add("evaluation: {max_new_tokens: 2000000}"), "must be auto or a whole number of tokens up to 1,000,000"),
    (add("evaluation: {samples: 4}"), "4 samples at temperature 0 would be the same"),
    (add("evaluation: {modes: [thinks]}"), "evaluation.modes[0]: must be 'default', 'direct' or 'think'"),
    (add("evaluation: {modes: [think, think]}"), "a mode is listed twice"),
    (add("evaluation: {max_new_tokens: 0}"), "must be auto or a whole number of tokens up to 1,000,000, got 0"),
    (add("budget: {minutes: 0}"), "budget.minutes: must be more than 0"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words"), BAD)
def test_a_bad_study_is_told_in_one_line(tmp_path, text, words):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(TriaxisError) as caught:
        load_study(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    assert words in line


TAGS = ["null", "bool", "int", "float", "str", "seq", "map", "set", "omap", "pairs", "binary", "timestamp", "merge",
        "value", "python/none", "python/name:os.system", "python/tuple", "yaml"]  # fmt: skip
NODES = ["", "7", "yes", "true", "010", "0x1F", "1:30", "1e400", ".nan", "2026-01-01", "2026-99-99", "é", "''", "'='",
         "[1, 2]", "[]", "[[a, b]]", "{}", "{a: 1}", "{=: 1}", "{<<: {a: 1}}", "{? [a] : 1}", "&x [*x]"]  # fmt: skip


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("node", NODES)
def test_no_tag_takes_the_reader_by_surprise(tag, node):
    for text in (f"name: !!{tag} {node}", f"? !!{tag} {node}\n: 1", f"seeds: [!!{tag} {node}]", f"!!{tag} {node}"):
        try:
            parse_study(read_yaml(text, "study.yaml"), "study.yaml")
        except TriaxisError as error:
            line = str(error)
            assert line.startswith("study.yaml: ")
            assert "\n" not in line


def test_aliases_that_unfold_to_a_billion_are_told_at_once(tmp_path):
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10))
    path = tmp_path / "bad.yaml"
    path.write_text(bomb + "seeds: *a9\n" + GOOD)
    with pytest.raises(TriaxisError) as caught:
        load_study(path)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "not UTF-8 text (byte 0)"),
        (lambda path: path.write_bytes(b"a" * 1_100_000), "1.1 MB is too large for a study"),
    ],
)
def test_a_file_that_is_no_study(tmp_path, make, words):
    path = tmp_path / "study.yaml"
    make(path)
    with pytest.raises(TriaxisError, match=re.escape(f"{path}: ")) as caught:
        load_study(path)
    assert words in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(GOOD)
    path.chmod(0)
    with pytest.raises(TriaxisError, match="may not be read"):
        load_study(path)


def test_numbers_are_read_as_people_write_them(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(
        "\ufeff" + axis("learning_rate: [3e-4, 1E-3, .01, 1], steps: 1e3, optimizer: sgd"), encoding="utf-8"
    )
    read = load_study(path)
    assert read.factors == {"optimization.learning_rate": (0.0003, 0.001, 0.01, 1.0)}
    assert all(type(level) is float for level in read.factors["optimization.learning_rate"])
    steps = read.conditions()[0].settings["optimization.steps"]
    assert steps == 1000
    assert type(steps) is int
    path.write_text(axis("steps: !!int 010, batch_size: 09, learning_rate: !!float 3") + "\nname: !!str 7")
    read = load_study(path)
    chosen = read.conditions()[0].settings
    assert [chosen[f"optimization.{key}"] for key in ("steps", "batch_size", "learning_rate")] == [10, 9, 3.0]
    assert read.name == "7"


def test_settings_and_their_sources():
    made = study(optimization={"batch_size": [16, 32], "learning_rate": [1e-3]}, evaluation={"items": 8})
    found = {s.name: (s.value, s.source) for s in made.replace(seeds=1, evaluation={"samples": 1}).settings}
    assert found["optimization.batch_size"] == ((16, 32), "study")
    assert found["optimization.micro_batch_size"] == ((16, 32), "default")
    assert found["optimization.learning_rate"] == (0.001, "study")  # a list of one level is fixed
    assert found["optimization.warmup_ratio"] == (0.1, "default")
    assert found["optimization.steps"] == (128, "default")
    assert "optimization.epochs" not in found
    assert found["seeds"] == ((0,), "user")
    assert found["evaluation.items"] == (8, "study")
    assert found["evaluation.samples"] == (1, "user")
    assert [c.settings["optimization.micro_batch_size"] for c in made.conditions()] == [16, 32]


def test_unknown_tasks_are_refused_with_the_nearest():
    asked = study(tasks={"in_domain": ["t"], "near_ood": ["wrods"]})
    asked.check_tasks(["t", "wrods"])
    with pytest.raises(TriaxisError, match=r"tasks.near_ood: no task 'wrods'; did you mean words\?"):
        asked.check_tasks(["t", "words"])
    with pytest.raises(TriaxisError, match=r"data.task: no task 't'; there are chain, words"):
        asked.check_tasks(["chain", "words"])


def test_steps_of_a_trajectory():
    assert default_steps(640) == (0, 10, 20, 40, 80, 160, 320, 480, 640)  # Ren et al. 2026
    assert default_steps(128) == (0, 2, 4, 8, 16, 32, 64, 96, 128)
    assert default_steps(1) == (0, 1)
    assert study(trajectory={"steps": [4, 16]}).trajectory.steps_for(128) == (0, 4, 16, 128)


@settings(deadline=None)
@given(st.integers(1, 10**9))
def test_default_steps_rise_from_the_base_to_the_end(total):
    steps = default_steps(total)
    assert steps[0] == 0
    assert steps[-1] == total
    assert len(steps) <= 9
    assert all(a < b for a, b in pairwise(steps))


def test_difficulty_is_text_that_names_levels():
    assert difficulty_levels("3-5") == (3, 4, 5)
    assert difficulty_levels("3") == (3,)
    assert difficulty_levels("all") is None
    for bad in ("hard", "5-3", "3-", "-3", "3.0", "٣", "", "12345"):
        with pytest.raises(TriaxisError, match=r"^data.difficulty: [^\n]+$"):
            difficulty_levels(bad)
    assert study(data={"task": "t", "difficulty": [3, "4-5"]}).factors == {"data.difficulty": ("3", "4-5")}


def test_epochs_make_steps():
    made = study(data={"task": "t", "examples": 100}, optimization={"epochs": 2.5, "batch_size": 32})
    assert made.conditions()[0].total_steps == 10  # four batches an epoch, the last one ragged
    assert made.runs()[0].steps == default_steps(10)


@pytest.mark.parametrize(
    ("batches", "epochs", "steps"),
    [(50, 1.1, 55), (100, 1.1, 110), (10, 0.3, 3), (3, 0.1, 1), (7, 1e-6, 1), (50, 1.11, 56), (1, 1e6, 10**6)],
)
def test_epochs_count_as_they_are_written(batches, epochs, steps):
    made = study(data={"task": "t", "examples": 32 * batches}, optimization={"epochs": epochs})
    assert made.conditions()[0].total_steps == steps


@given(st.integers(1, 3000), st.integers(1, 400))
def test_epochs_in_hundredths_are_exact(batches, hundredths):
    levels = {"data.examples": batches, "optimization.batch_size": 1, "optimization.epochs": hundredths / 100}
    assert total_steps(levels) == -(-batches * hundredths // 100)


LEVELS = {
    "optimization": {
        "learning_rate": st.floats(1e-6, 1, allow_nan=False),
        "optimizer": st.sampled_from(["adamw", "sgd", "muon"]),
        "packing": st.booleans(),
        "steps": st.integers(1, 500),
    },
    "data": {"noise_rate": st.floats(0, 1), "structure": st.sampled_from(["long_cot", "short_cot", "no_cot"])},
    "model": {"base": st.sampled_from(["lab:strong", "lab:weak", "models/a b", "models/ä"])},
}


@st.composite
def studies(draw):
    """A random factorial: some settings fixed, some with two levels."""
    sections = {"model": {"base": "m"}, "data": {"task": "t"}, "optimization": {}, "tasks": {"in_domain": ["t"]}}
    for name, keys in LEVELS.items():
        for key, levels in keys.items():
            chosen = draw(st.lists(levels, max_size=2, unique=True))
            if chosen:
                sections[name][key] = chosen if len(chosen) > 1 else chosen[0]
    return parse_study(sections | {"seeds": draw(st.integers(1, 3))})


@settings(deadline=None, max_examples=30)
@given(studies())
def test_a_study_goes_through_json_and_back(made):
    again = parse_study(json.loads(json.dumps(made.to_dict())))
    assert again == made
    assert again.settings == made.settings
    assert [run.id for run in again.runs()] == [run.id for run in made.runs()]


@settings(deadline=None, max_examples=30)
@given(studies())
def test_ids_are_unique_short_and_safe(made):
    ids = [run.id for run in made.runs()]
    assert len(set(ids)) == len(ids) == len(made.conditions()) * len(made.seeds)
    for run_id in ids:
        assert len(run_id) <= 80
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9=,._+-]*", run_id)


@settings(deadline=None, max_examples=30)
@given(studies())
def test_the_order_in_which_a_study_is_written_changes_no_run(made):
    turned = {
        section: dict(
            reversed([(key, value[::-1] if isinstance(value, list) else value) for key, value in keys.items()])
        )
        if section in LEVELS
        else keys
        for section, keys in reversed(made.to_dict().items())
    }
    assert {run.id for run in parse_study(turned).runs()} == {run.id for run in made.runs()}


def test_a_changed_study_makes_only_the_new_runs():
    def ids(**sections):
        return {
            run.id for run in study(**{"optimization": {"learning_rate": [1e-4, 1e-3]}, "seeds": 2} | sections).runs()
        }

    first = ids()
    assert first < ids(optimization={"learning_rate": [1e-4, 1e-3, 1e-2]})
    assert first < ids(seeds=3)
    assert first < ids(
        data={"task": "t", "noise_rate": [0.0, 0.6]}
    )  # another factor, whose first level was the default
    assert first == ids(name="other", budget={"minutes": 3})
    assert first == ids(optimization={"learning_rate": [1e-4, 1e-3], "steps": 128})  # said, and the default
    for change in (
        {"optimization": {"learning_rate": [1e-4, 1e-3], "weight_decay": 0.1}},
        {"tasks": {"in_domain": ["t", "u"]}},
        {"evaluation": {"items": 61}},
        {"trajectory": {"steps": [5]}},
    ):
        assert first.isdisjoint(ids(**change)), change


def test_ids_don_t_change_between_versions():
    """What was measured is found again: change this id only with a reason to measure everything again."""
    assert study().runs()[0].id == "base=m,learning_rate=0.0003,noise_rate=0.0,task=t,steps=128-s0-5862d234"


def test_a_base_that_has_changed_makes_other_runs():
    made = study(model={"base": ["models/a", "models/b"]}, seeds=1)
    known = made.with_fingerprints({"models/a": "12ab", "lab:strong": "99"})
    by_name, first = ([run.id for run in s.runs()] for s in (made, known))
    assert first[0] != by_name[0]
    assert first[1] == by_name[1]  # of which no fingerprint was given
    assert first[0].rpartition("-")[0] == by_name[0].rpartition("-")[0]  # as readable as before
    assert next(r.id for r in made.with_fingerprints({"models/a": "34cd"}).runs()) not in (first[0], by_name[0])
    assert [r.id for r in made.runs()] == by_name  # the study itself is as it was
    assert [r.id for r in known.with_fingerprints({}).runs()] == by_name
    assert known.fingerprints == {"models/a": "12ab", "lab:strong": "99"}
    assert known.to_dict() == made.to_dict()
    more = known.replace(seeds=2)
    assert more.fingerprints == known.fingerprints
    assert [r.id for r in more.runs()][:2] == first


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_are_studies(path):
    from triaxis.tasks import task_names

    example = load_study(path)
    example.check_tasks(task_names())
    assert example.name == path.stem
    assert len(example.runs()) == len(example.conditions()) * len(example.seeds)


def test_every_key_is_documented_with_its_default():
    text = (ROOT / "docs" / "study.md").read_text(encoding="utf-8")
    rows = {cells[1].strip(" `"): cells for line in text.splitlines() if len(cells := line.split("|")) == 6}
    made = study(design={"kind": "sobol", "points": 2}, data={"task": "t", "noise_rate": [0.0, 0.5]})
    defaults = {s.name: s.value for s in made.settings if s.source == "default"}
    for name in {*SETTINGS, *(s.name for s in made.settings if not s.name.startswith("tasks."))}:
        assert name in rows, name
    for name, value in defaults.items():
        shown = rows[name][3].strip()
        if isinstance(value, bool | int | float) and name not in ("optimization.micro_batch_size", "seeds"):
            assert shown.startswith(str(value).lower()), (name, shown)


def test_the_readable_yaml_in_the_docs_is_a_study(tmp_path):
    text = (ROOT / "docs" / "study.md").read_text(encoding="utf-8")
    path = tmp_path / "docs.yaml"
    path.write_text(text.split("```yaml\n")[1].split("```")[0])
    assert len(load_study(path).conditions()) == 6


def test_importing_the_study_is_light():
    heavy = "import sys, triaxis.study; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "transformers", "scipy", "pydoe", "numpy", "pyarrow"} & set(loaded)
