"""The summary in the terminal: known strings, and nothing undefined, cut or dropped in silence."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from report_cases import BASE, LR, empty, large, published, typical
from triaxis.report import print_analysis, words
from triaxis.report.answer import answer
from triaxis.report.digest import clearest_first, effect_rows, missing
from triaxis.report.names import naming, telling
from triaxis.types import Analysis, Interval, NotEstimable

ALL = (typical, large, published, empty)


def printed(
    analysis: Analysis, width: int = 100, path: Path | None = None, what: Mapping[str, object] | None = None
) -> str:
    out = io.StringIO()
    print_analysis(analysis, Console(file=out, width=width), title="a study", path=path, what=what)
    return out.getvalue()


def test_known_lines_of_a_known_analysis() -> None:
    text = printed(typical(), path=Path("out/report.html"), what={"cost": "4.2 min"})
    for line in (
        "optimization.learning_rate  0.0003, 0.003",
        "model.base                  lab:strong, lab:weak",
        "measured                    4 conditions, 12 runs, 25,200 records",
        "cost                        4.2 min",
        "far OOD: step 128, 3 runs a condition, 240 items",
        "0.003    lab:weak   25.1   0.0 -25.1 [-29.1, -21.1] +19.5 overfit .93     63 8.0 0.0",
        "learning_rate: 0.003 - 0.0003       far OOD     -34.1 [-39.1, -29.1]   -1.52 [-1.82, -1.22]   .002",
        "unit: run; scale dependent",
        "unit: run; ceiling",
        "C1: supported",
        "  A higher learning rate costs accuracy out of domain.",
        "- C2: there are two bases",
        "- gain [far OOD; learning_rate 0.003, one run]: +12.0 [+8.0, +16.0] points, adj. p .020",
        "- two bases: the effect of the base speaks of these bases (2 times)",
        "Not estimable: 375 quantities",
        "- 2 × a cell is at 1: not testable, ceiling (effect)",
        "... and 1 more in the report",
        "Report: out/report.html",
    ):
        assert line in text.splitlines(), f"{line!r} is not in\n{text}"


@pytest.mark.parametrize("case", ALL)
def test_nothing_undefined_is_printed_as_a_number_or_as_a_python_value(case) -> None:
    text = printed(case())
    assert not re.search(r"\b(nan|NaN|None|inf|Infinity)\b|Interval\(|NotEstimable", text)


@pytest.mark.parametrize("case", ALL)
def test_plain_when_piped_and_within_100_columns(case) -> None:
    text = printed(case(), width=80)
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 100
    assert all(line == line.rstrip() for line in text.splitlines())


def test_many_conditions_are_shortened_and_the_rest_is_counted() -> None:
    text = printed(large(64), path=Path("r.html"))
    assert len(text.splitlines()) < 160
    assert text.count("... and 52 more in the report") == 4
    assert "... and 22 more in the report" in text  # warnings
    assert "64 levels from 0.0001 to 0.01" in text


def test_without_a_report_the_rest_is_not_promised_there() -> None:
    text = printed(large(64))
    assert "more in the report" not in text
    assert "... and 52 more; write a report to see them" in text


def test_every_reason_for_what_is_not_estimable_is_counted() -> None:
    analysis = typical()
    gone = NotEstimable("its base was not measured")
    summaries = tuple(replace(item, gain=gone) if item.group == "far_ood" else item for item in analysis.summaries)
    text = printed(replace(analysis, summaries=summaries))
    assert "- 4 × its base was not measured (gain)" in text
    assert text.count("not estimable") >= 4
    assert sum(item.n for item in missing(replace(analysis, summaries=summaries))) == 375 + 4


def test_a_value_that_is_no_number_counts_as_not_estimable() -> None:
    analysis = typical()
    bad = Interval(float("nan"), float("nan"), float("nan"))
    text = printed(replace(analysis, summaries=tuple(replace(item, gain=bad) for item in analysis.summaries)))
    assert "nan" not in text.lower()
    assert "- 16 × the estimate is not a finite number (gain)" in text


def test_markup_in_names_is_printed_as_it_is() -> None:
    analysis = typical()
    odd = tuple(replace(item, condition={LR: "[bold]x[/bold]", BASE: "[/]"}) for item in analysis.summaries)
    changed = replace(analysis, summaries=odd, factors={LR: ("[bold]x[/bold]",), BASE: ("[/]",)})
    assert "[bold]x[/bold]" in printed(changed)


def test_effects_are_sorted_by_adjusted_p_and_the_inestimable_left_to_their_reasons() -> None:
    ranked = clearest_first(effect_rows(typical().effects))
    assert [row.lead.p_adjusted for row in ranked if row.lead] == [0.002, 0.011, 0.06, 0.81]


def test_an_effect_of_two_sources_is_two_rows() -> None:
    effects = typical().effects[:2]
    twice = [*effects, *(replace(effect, source="elsewhere") for effect in effects)]
    assert len(effect_rows(twice)) == 2


def test_the_answer_in_words_is_what_the_numbers_say() -> None:
    told = {statement.label: statement.text for statement in answer(typical())}
    assert 3 <= len(told) <= 6
    assert told["Out of domain"].startswith(
        "At the last checkpoint the largest gain is +54.9 [+50.9, +58.9] points (near OOD; learning_rate 0.0003, base "
        "lab:strong), the largest loss -25.1 [-29.1, -21.1] points (near OOD; learning_rate 0.003, base lab:weak). By "
        "the 95 % intervals, of 8 changes: 6 above zero, 2 below zero."
    )
    assert (
        "In 4 of 8 the best checkpoint lies 5 points or more above the last (at most 45.8), by the estimates."
        in told["Out of domain"]
    )
    assert told["Effects"].startswith(
        "2 of 3 effects out of domain on the gain at the last checkpoint are clear of zero"
    )
    assert "the largest loss -70.0 [-74.0, -66.0] points" in told["Cost"]
    assert told["Claims"] == "Of 2 claims: 1 supported (C1), 1 not testable (C2)."


def test_a_gain_whose_interval_holds_zero_is_called_a_change() -> None:
    analysis = typical()
    flat = tuple(replace(item, gain=Interval(0.02, -0.03, 0.07)) for item in analysis.summaries)
    told = {statement.label: statement.text for statement in answer(replace(analysis, summaries=flat))}
    assert "gain is" not in told["Out of domain"] and "loss" not in told["Out of domain"]
    assert "of 8 changes: 8 not clear of zero" in told["Out of domain"]


def test_no_item_changed_is_an_interval_and_no_items_is_none() -> None:
    assert words.gain(Interval(-1.0, -1.0, -1.0), n_items=40) == "-100.0 [-100.0, -100.0]"
    assert words.gain(Interval(-1.0, -1.0, -1.0), n_items=None) == "-100.0 (no interval)"
    assert words.gain(Interval(0.1, float("-inf"), float("inf")), n_items=40) == "+10.0 (no interval)"


def test_a_single_run_is_said_to_be_one() -> None:
    analysis = typical()
    single = replace(analysis, summaries=tuple(replace(item, n_runs=1) for item in analysis.summaries))
    assert "Each rests on one run: the interval does not cover another seed." in printed(single).replace("\n  ", " ")


def test_no_interval_is_said_and_not_faked() -> None:
    text = printed(published())
    assert "+10.0 (no interval)" in text
    assert "[+10.0, +10.0]" not in text


def test_a_factor_that_repeats_another_is_left_out_of_names() -> None:
    held = [
        {"model.base": base, "model.parameters": size, "data.name": name}
        for base, size in (("a", 4), ("b", 8))
        for name in ("x", "y")
    ]
    factors = {"model.base": ("a", "b"), "model.parameters": (4, 8), "data.name": ("x", "y")}
    assert telling(factors, held) == ["model.base", "data.name"]
    assert list(naming(large(16)).factors) == [LR, "data.noise_rate"]  # each level once: nothing repeats anything


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1234, "+12.3"), (-0.0001, "+0.0"), (0.0, "+0.0"), (-0.1, "-10.0"), (float("nan"), "not estimable")],
)
def test_points(value: float, text: str) -> None:
    assert words.points(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.934, ".93"), (1.0, ">.99"), (0.0, "<.01"), (0.5, ".50"), (float("nan"), "not estimable")]
)
def test_probability(value: float, text: str) -> None:
    assert words.probability(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.0004, "<.001"), (0.0123, ".012"), (1.0, "1"), (None, "–")])
def test_p_value(value: float | None, text: str) -> None:
    assert words.p_value(value) == text


def test_a_loss_that_is_cut_off_responses_is_told_with_them() -> None:
    analysis = typical()
    cut = tuple(replace(item, truncated=0.6) if item.group == "safety" else item for item in analysis.summaries)
    told = {statement.label: statement.text for statement in answer(replace(analysis, summaries=cut))}
    assert "base lab:weak; 60.0 % of its responses are cut off)" in told["Cost"]
    assert "cut off)" not in told["Out of domain"]


def test_a_narrow_terminal_folds_and_loses_nothing() -> None:
    out = io.StringIO()
    print_analysis(typical(), Console(file=out, width=60, force_terminal=True, no_color=True), title="a study")
    text = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())
    assert max(map(len, text.splitlines())) <= 60
    assert "…" not in text
    assert "lab:strong" in text and "supported" in text


def test_other_modes_are_counted_below_the_default() -> None:
    analysis = typical()
    thinking = tuple(replace(item, mode="think") for item in analysis.summaries)
    text = printed(replace(analysis, summaries=(*thinking, *analysis.summaries)), path=Path("r.html"))
    assert text.count("far OOD: step 128") == 1
    assert "... and 16 more in the report, in think mode" in text


def test_conditions_stand_in_the_order_of_the_design() -> None:
    analysis = typical()
    assert printed(replace(analysis, summaries=analysis.summaries[::-1])) == printed(analysis)
