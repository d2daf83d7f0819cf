"""The page: self-contained, escaped, complete, the same for the same input; and the picture for a README."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from report_cases import BASE, FACTORS, LR, empty, large, published, typical
from triaxis.report import trajectory_svg, words, write_html
from triaxis.report.curves import spread, step_axis
from triaxis.report.digest import missing
from triaxis.report.html import render
from triaxis.report.look import cast
from triaxis.types import Analysis, Interval, Level, Trajectory, TriaxisError

ALL = (typical, large, published, empty)
GIVEN = {
    "title": "a study",
    "provenance": {"version": "0.1", "study file": "study.yaml"},
    "settings": [("optimization.warmup_ratio", 0.1, "default"), ("data.task", "chain", "study")],
    "runs": [("lr=0.003-s0", "done", "12.1 s")],
}


class Reader(HTMLParser):
    """The text of a page, what it would load, and its data."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.loads: list[str] = []
        self.data: dict[str, str] = {}
        self.ids: list[str] = []
        self._in: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = dict(attrs)
        if held.get("id"):
            self.ids.append(str(held["id"]))
        self.loads += [
            str(held[name]) for name in ("src", "href", "data", "action", "poster", "srcset") if held.get(name)
        ]
        if tag in ("script", "style"):
            self._in.append((tag, held))

    def handle_endtag(self, tag: str) -> None:
        if self._in and self._in[-1][0] == tag:
            self._in.pop()

    def handle_data(self, data: str) -> None:
        if not self._in:
            self.words.append(data)
        elif self._in[-1][1].get("type") == "application/json":
            name = str(self._in[-1][1]["id"])
            self.data[name] = self.data.get(name, "") + data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def page() -> Reader:
    return Reader(render(typical(), **GIVEN))


@pytest.mark.parametrize("case", ALL)
def test_the_page_loads_nothing(case) -> None:
    text = render(case(), **GIVEN)
    assert all(target.startswith("#") for target in Reader(text).loads)
    assert "default-src 'none'" in text
    assert "@import" not in text.split("</style>")[0]
    assert len(text.encode()) < 8_000_000


@pytest.mark.parametrize("case", ALL)
def test_nothing_undefined_is_shown(case) -> None:
    reader = Reader(render(case(), **GIVEN))
    assert not re.search(r"\b(nan|NaN|None|inf|Infinity)\b|Interval\(|NotEstimable", reader.text)
    for figure in reader.data.values():
        assert "NaN" not in figure and "Infinity" not in figure and "None" not in figure


def test_plotly_is_there_once_and_only_with_plots(page: Reader) -> None:
    assert render(typical(), **GIVEN).count("plotly.js v") == 1
    assert len(render(empty(), **GIVEN)) < 40_000


def test_every_section_is_there_in_order(page: Reader) -> None:
    wanted = ["answer", "trajectories", "costs", "effects", "interactions", "claims", "conditions", "missing"]
    wanted += ["warnings", "settings", "runs", "provenance"]
    assert [name for name in page.ids if name in wanted] == wanted


def test_every_effect_has_its_value_interval_and_p(page: Reader) -> None:
    for effect in typical().effects:
        if isinstance(effect.estimate, Interval):
            assert words.interval(effect.estimate, effect.scale) in page.text
            assert words.p_value(effect.p_adjusted) in page.text
            assert effect.item_pool in page.text and effect.note in page.text
    assert "run, these bases (12)" in page.text and "least squares on run gains" in page.text


def test_every_reason_and_every_count_of_what_is_missing(page: Reader) -> None:
    for item in missing(typical()):
        assert f"{item.n:,} × {item.reason}" in page.text
        for kind, places in item.kinds.items():
            assert f"{kind}: {len(places):,}" in page.text


def test_verdicts_settings_runs_and_provenance(page: Reader) -> None:
    for part in (
        "supported C1", "A higher learning rate costs accuracy out of domain.", "it lies below -5 points",
        "Smallest effect of interest: +5.0 points", "C2 Three bases differ. there are two bases",
        "What the gain costs", "optimization.warmup_ratio 0.1 default",
        "lr=0.003-s0 done 12.1 s", "study file study.yaml", "records 25,200", "analysis seed 0",
    ):  # fmt: skip
        assert part in page.text, part


def test_figures_are_valid_plotly(page: Reader) -> None:
    graph_objects = pytest.importorskip("plotly.graph_objects")
    assert {"data-groups", "data-tasks", "data-costs", "data-finished", "data-effects", "data-interactions"} == set(
        page.data
    )
    for text in page.data.values():
        graph_objects.Figure(json.loads(text))


def test_the_plot_of_groups_holds_the_scores(page: Reader) -> None:
    figure = json.loads(page.data["data-groups"])
    lines = [trace for trace in figure["data"] if "marker" in trace]
    assert len(lines) == len(typical().condition_trajectories)
    for trace, one in zip(lines, typical().condition_trajectories, strict=False):
        assert trace["text"] == [str(step) for step in one.steps]
    known = {tuple(round(100 * score.value, 2) for score in one.scores) for one in typical().condition_trajectories}
    assert {tuple(trace["y"]) for trace in lines} == known
    phases = [note["text"] for note in figure["layout"]["annotations"] if "plateau" in note["text"]]
    assert phases and all(text == "plateau .93" for text in phases)


def renamed(name: str) -> Analysis:
    """The typical analysis with a level, a task, a warning and a claim of this name."""
    analysis = typical()

    def level(condition) -> dict[str, Level]:
        return {**condition, BASE: name if condition[BASE] == "lab:weak" else condition[BASE]}

    def moved(one: Trajectory) -> Trajectory:
        return replace(one, condition=level(one.condition), task=name if one.task else "", base=name)

    return replace(
        analysis,
        trajectories=tuple(map(moved, analysis.trajectories)),
        condition_trajectories=tuple(map(moved, analysis.condition_trajectories)),
        summaries=tuple(replace(item, condition=level(item.condition)) for item in analysis.summaries),
        factors={**FACTORS, BASE: ("lab:strong", name)},
        warnings=(name,),
        verdicts=tuple(replace(verdict, claim=name, reason=name) for verdict in analysis.verdicts),
    )


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "</script><img src=x onerror=alert(1)>", "a&b \"c\" 'd' %{y}"]
)
def test_names_are_inert(name: str) -> None:
    given = GIVEN | {
        "title": name,
        "provenance": {name: name},
        "settings": [(name, name, name)],
        "runs": [(name, name, name)],
    }
    text = render(renamed(name), **given)
    honest = render(renamed("plain"), **GIVEN)
    assert text.count("<script") == honest.count("<script")
    assert text.count("</script") == honest.count("</script")
    assert "<img" not in text.split("plotly.js v")[0]
    reader = Reader(text)
    assert " ".join(name.split()) in reader.text
    for figure in reader.data.values():
        json.loads(figure)
        assert "<script" not in figure and "<img" not in figure
    assert "<script" not in trajectory_svg(renamed(name)) and "<img" not in trajectory_svg(renamed(name))
    ElementTree.fromstring(trajectory_svg(renamed(name)))


@pytest.mark.parametrize("case", ALL)
def test_the_same_input_gives_the_same_bytes(case, tmp_path: Path) -> None:
    first, second = tmp_path / "a.html", tmp_path / "b.html"
    write_html(case(), first, **GIVEN)
    write_html(case(), second, **GIVEN)
    assert first.read_bytes() == second.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "b.html"]


def test_many_runs_stay_below_8_mb_and_say_what_is_left_out() -> None:
    text = render(large(64, n_seeds=4), **GIVEN)
    assert len(text.encode()) < 8_000_000
    assert "Here are the first 1,500 of 1,792" in text


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("before")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TriaxisError, match="No space left on device"):
        write_html(typical(), path, **GIVEN)
    assert path.read_text() == "before"
    assert [held.name for held in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize("place", ["", "absent/report.html"])
def test_a_place_that_can_not_be_written_is_one_line(tmp_path: Path, place: str) -> None:
    with pytest.raises(TriaxisError) as caught:
        write_html(empty(), tmp_path / place, **GIVEN)
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_importing_the_report_loads_neither_plotly_nor_jinja() -> None:
    code = "import sys, triaxis.report; print([name for name in ('plotly', 'jinja2', 'torch') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# -- the picture ------------------------------------------------------------------------------------------------------


def test_the_picture_is_svg_with_a_line_a_condition_and_group() -> None:
    text = trajectory_svg(typical(), ("in_domain", "far_ood"))
    root = ElementTree.fromstring(text)
    assert root.get("width") == "800"
    assert len(root.findall("{http://www.w3.org/2000/svg}polyline")) == 8
    held = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"in domain", "far OOD", "0.0003", "lab:weak", "overfit .93", "optimizer step (log)", "128"} <= set(held)
    assert trajectory_svg(typical(), ("in_domain", "far_ood")) == text
    assert len(text) < 60_000


def test_a_picture_of_groups_that_were_not_measured_names_those_that_were() -> None:
    with pytest.raises(TriaxisError, match=r"name one of those measured \(ungrouped\)"):
        trajectory_svg(published())
    assert "polyline" in trajectory_svg(published(), ("ungrouped",))


def test_step_0_stands_apart_on_a_log_axis() -> None:
    axis = step_axis((0, 1, 2, 4, 8, 16, 32, 64, 128))
    assert axis.position(0) < axis.position(1) - 0.5
    assert axis.position(4) - axis.position(2) == axis.position(128) - axis.position(64)
    labels = [label for _, label in axis.ticks]
    assert labels[0] == "0" and labels[-1] == "128" and len(labels) <= 9


def test_labels_are_moved_apart_and_stay_in_the_frame() -> None:
    placed = spread([0.5, 0.5, 0.52, 1.0], 0.1, 0.0, 1.0)
    ordered = sorted(placed)
    assert all(b - a >= 0.1 - 1e-9 for a, b in itertools.pairwise(ordered))
    assert ordered[0] >= 0 and ordered[-1] <= 1
    assert spread([0.1, 0.9], 0.1, 0.0, 1.0) == [0.1, 0.9]


def test_conditions_look_different_where_there_are_few() -> None:
    analysis = typical()
    who = cast(analysis.condition_trajectories, analysis)
    assert len(set(who.styles.values())) == len(who.styles) == 4
    assert [name for name, _ in who.legend.factors] == ["learning_rate", "base"]
    one = cast(large(64).condition_trajectories, large(64))
    assert one.legend.text == f"Colour: {words.short_names([LR])[LR]}, from 0.0001 (dark blue) to 0.01 (yellow)."


def test_other_modes_have_a_section_of_their_own() -> None:
    analysis = typical()
    thinking = tuple(replace(one, mode="think") for one in analysis.condition_trajectories)
    summaries = tuple(replace(one, mode="think", score=0.123) for one in analysis.summaries)
    both = replace(
        analysis,
        condition_trajectories=(*thinking, *analysis.condition_trajectories),
        summaries=(*summaries, *analysis.summaries),
    )
    reader = Reader(render(both, **GIVEN))
    lines = [trace for trace in json.loads(reader.data["data-groups"])["data"] if "marker" in trace]
    assert len(lines) == len(analysis.condition_trajectories)
    assert "far OOD, think mode" in reader.data["data-modes"]
    assert "base lab:weak, think mode" in reader.text and "12.3" in reader.text
