"""The page of a data profile, its plots, and the words of its verdict: self-contained, escaped, true to the numbers."""

from __future__ import annotations

import copy
import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pytest

from triaxis.analyze.claims import shipped_claims
from triaxis.axes.data.open import open_examples
from triaxis.axes.data.profile import words
from triaxis.axes.data.profile.document import document_of, plain
from triaxis.axes.data.profile.run import profile_of
from triaxis.report.data_page import render_profile, write_figures, write_profile
from triaxis.report.data_plots import bars, heat_map, histogram
from triaxis.report.data_sections import sections
from triaxis.types import TriaxisError

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '<script>alert(1)</script> & "quoted" \u202e'


def rows(n=40, **changes):
    return [
        {
            "prompt": f"How much is {1000 + 37 * at} and {2000 + 91 * at}? Think of {'abcdefghij'[at % 10] * 3}{at}.",
            "completion": f"<think>{1000 + 37 * at} + {2000 + 91 * at} = {3000 + 128 * at}</think>"
            f"The answer is \\boxed{{{3000 + 128 * at}}}.",
            "answer": str(3000 + 128 * at),
            "domain": ("sums", HOSTILE)[at % 2],
            "difficulty": at % 4,
        }
        | changes
        for at in range(n)
    ]


def described(tmp_path, made, **options):
    path = tmp_path / "set.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in made), encoding="utf-8")
    return document_of(profile_of(open_examples(path), processes=1, **options))


def said(document, about):
    return [one for one in document["verdict"] if one["about"] == about]


class Reader(HTMLParser):
    """The text of a page and what it would load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.loads: list[str] = []
        self.tags: list[str] = []
        self._in = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._in = tag if tag in ("script", "style") else self._in
        self.loads += [str(value) for name, value in attrs if name in ("src", "href", "data", "action", "srcset")]

    def handle_endtag(self, tag):
        self._in = "" if tag == self._in else self._in

    def handle_data(self, data):
        if not self._in:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    made = rows()
    made[3]["completion"] = made[3]["completion"].replace("boxed{3384}", "boxed{7}")
    made[8]["completion"] = made[8]["completion"].replace("<think>", "<think>Let me check that. ")
    made[39] = made[38]
    return described(
        tmp_path_factory.mktemp("set"), made, against={HOSTILE: [made[5]["prompt"]]}, target=[made[7]["prompt"]]
    )


@pytest.fixture(scope="module")
def page(document):
    return render_profile(document)


def test_the_page_loads_nothing_and_is_small(page):
    assert all(target.startswith("#") for target in Reader(page).loads)
    assert "default-src 'none'" in page and "@import" not in page and len(page.encode()) < 200_000


def test_what_the_data_says_is_never_markup(page):
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page
    assert Reader(page).tags.count("script") == 1


def test_every_line_of_the_verdict_and_every_section_stands_on_it(document, page):
    text = Reader(page).text.lower()
    for one in document["verdict"]:
        assert " ".join(one["text"].lower().split()) in text and f"({one['rows']:,} of {one['of']:,})" in text
    for section in sections(document):
        assert f'id="{section.id}"' in page and section.title in page
    assert not re.search(r"\b(nan|NaN|None|inf|Infinity)\b|not_estimable", Reader(page).text)


def test_the_same_document_gives_the_same_page(document, page):
    slower = copy.deepcopy(document) | {"seconds": {"wall": 9.0, "tokenizing": 1.0}}
    assert render_profile(json.loads(json.dumps(slower))) == page


def test_the_plots_are_svg_and_hold_the_numbers(document, tmp_path):
    files = {path.stem: path for path in write_figures(document, tmp_path / "figures")}
    assert set(files) == {"lengths", "structure", "behaviours", "cells", "duplicates"}
    for path in files.values():
        assert ElementTree.parse(path).getroot().tag == f"{SVG}svg"
    told = [each.text for each in ElementTree.parse(files["cells"]).iter(f"{SVG}title")]
    assert len(told) == 8 and sum(int(text.split(": ")[-1].split()[0]) for text in told) == 40
    bins = [each.text for each in ElementTree.parse(files["lengths"]).iter(f"{SVG}title")]
    assert sum(int(text.split(": ")[-1].split()[0]) for text in bins) == 40


def test_a_report_that_cannot_be_written_is_told(document, tmp_path):
    with pytest.raises(TriaxisError, match="is a folder"):
        write_profile(document, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(TriaxisError, match="name another folder"):
        write_figures(document, tmp_path / "file")


def test_bars_are_as_long_as_their_values():
    root = ElementTree.fromstring(bars({"a": 10.0, "b": 5.0, "c": 0.0}, "Bars", "%"))
    widths = [float(each.get("width")) for each in root.iter(f"{SVG}rect")][1:]
    assert widths[1] == pytest.approx(widths[0] / 2, rel=0.01) and widths[2] == 0


def test_a_histogram_marks_the_limits_where_they_lie():
    text = histogram([1, 2, 4, 8], [1, 4, 2], {3: 0.5, 100: 0.0}, "Lengths", "words")
    assert "3: 50 % beyond" in text and "100: " not in text
    root = ElementTree.fromstring(text)
    boxes = list(root.iter(f"{SVG}rect"))[1:]
    tall = [float(each.get("height")) for each in boxes]
    assert tall[1] == max(tall) and tall[0] == pytest.approx(tall[1] / 4, rel=0.01)
    middle = float(boxes[1].get("x")) + float(boxes[1].get("width")) / 2
    marked = next(
        float(each.get("d").split()[0][1:]) for each in root.iter(f"{SVG}path") if each.get("stroke-dasharray")
    )
    assert marked == pytest.approx(middle, abs=1), "3 lies in the middle of the bin from 2 to 4"


def test_a_heat_map_is_darkest_where_most_rows_are():
    root = ElementTree.fromstring(heat_map(["x", "y" * 60], ["1", "2"], [[9, 0], [1, 3]], "Map", "difficulty"))
    colors = [each.get("fill") for each in root.iter(f"{SVG}rect")][1:]
    assert sorted(colors, key=lambda color: int(color[1:3], 16))[0] == colors[0]
    assert any(len(each.text or "") == 30 and each.text.endswith("…") for each in root.iter(f"{SVG}text"))


def test_a_set_without_what_is_asked_says_so(tmp_path):
    made = [{"prompt": f"Say {word}.", "completion": "Well."} for word in ("this", "that", "those", "these")]
    document = described(tmp_path, made)
    assert "can't be checked" in said(document, "answers")[0]["text"]
    assert "no row says its domain" in said(document, "domains")[0]["text"]
    assert "not estimable" in render_profile(document)
    assert document["diversity"]["domains"] == {"not_estimable": "no row says it"}
    assert document["leakage"] is None and "--against FILE" in render_profile(document)


def test_wrong_answers_are_something_to_act_on_from_a_share_on(tmp_path):
    made = rows(200)
    for at in range(3):
        made[at]["completion"] = made[at]["completion"].replace("boxed{", "boxed{9")
    assert said(described(tmp_path, made), "answers")[0]["urgency"] == "look"
    for at in range(4):
        made[at]["completion"] = made[at]["completion"].replace("boxed{", "boxed{8")
    (found,) = said(described(tmp_path, made), "answers")
    assert found["urgency"] == "act" and (found["rows"], found["of"]) == (4, 200) and "verify" in found["do"]


def test_scarce_easy_problems_are_told_with_their_levels(tmp_path):
    made = rows(100)
    for at, each in enumerate(made):
        each |= {"difficulty": "easy" if at < 2 else "medium" if at < 50 else "hard", "domain": "sums"}
    (found,) = said(described(tmp_path, made), "difficulty")
    assert found["text"] == "easy problems (easy) are 2.0 %" and (found["rows"], found["of"]) == (2, 100)
    assert "conjecture, untested (claim D2)" in found["do"]
    for at, each in enumerate(made):
        each["difficulty"] = "hard" if at < 2 else "medium" if at < 50 else "easy"
    (found,) = said(described(tmp_path, made), "difficulty")
    assert found["text"].startswith("hard problems") and "D2" not in found["do"], "D2 is about hard problems alone"


def test_thirds_are_those_of_each_domain(tmp_path):
    """Levels 1 to 3 of one domain and 8 to 10 of another: each has its own easy ones, and over both none is scarce."""
    made = rows(120, domain="sums")
    for at, each in enumerate(made):
        each |= {"domain": "sums" if at % 2 else "proofs", "difficulty": at // 2 % 3 + (1 if at % 2 else 8)}
    document = described(tmp_path, made)
    (found,) = said(document, "difficulty")
    assert found["urgency"] == "fine" and "in each of 2 domains" in found["text"]
    assert {(t["domain"], t["name"], t["rows"]) for t in document["difficulty"]["thirds"]} == {
        (domain, name, 20) for domain in ("sums", "proofs") for name in ("easy", "middle", "hard")
    }
    assert "in each domain" in render_profile(document)
    for each in made[:120:2][:56]:
        each["difficulty"] = 10
    found, _ = said(described(tmp_path, made), "difficulty")
    assert "easy for their domain are scarce in 1 domain: proofs (8) " in found["text"] and found["of"] == 60


@pytest.mark.parametrize("levels", [[-3, -2, -1, 0, 1, 2, 3], ["-3", "-2", "-1", "0", "1", "2", "3"]])
def test_negative_difficulties_keep_their_order(tmp_path, levels):
    made = rows(140, domain="sums")
    for at, each in enumerate(made):
        steps = "\n".join(["so"] * (1 + at % 7))
        each |= {"difficulty": levels[at % 7], "completion": f"<think>{steps}</think>\\boxed{{{each['answer']}}}"}
    document = described(tmp_path, made)
    thirds = document["difficulty"]["thirds"]
    assert [(t["levels"], t["rows"]) for t in thirds] == [("-3 to -2", 40), ("-1 to 0", 40), ("1 to 3", 60)]
    assert document["difficulty"]["agreement"][0]["correlation"]["value"] == pytest.approx(1.0)


def test_bins_of_negative_difficulties_keep_their_order(tmp_path):
    made = rows(70, domain="sums")  # more levels than are told apart
    for at, each in enumerate(made):
        each["difficulty"] = -3000.5 + 100 * at
    thirds = described(tmp_path, made)["difficulty"]["thirds"]
    assert thirds[0]["levels"].startswith("-3e+03 to ") and thirds[2]["levels"].endswith(" to 3.9e+03")
    assert sum(t["rows"] for t in thirds) == 70


def test_scales_that_are_mixed_have_no_thirds(tmp_path):
    made = rows(80, domain="sums")
    for at, each in enumerate(made):
        each["difficulty"] = ("easy", "hard", "1", "2", "3", "4")[at % 6]
    document = described(tmp_path, made)
    (found,) = said(document, "difficulty")
    assert found["urgency"] == "look" and "several kinds (numbers, words)" in found["text"]
    assert document["difficulty"]["thirds"] == []
    assert "several kinds" in document["difficulty"]["agreement"][0]["correlation"]["not_estimable"]


def test_a_claim_is_told_as_its_source_in_the_ledger_does():
    told = Path(words.__file__).read_text(encoding="utf-8")
    lines = [line for line in told.splitlines() if re.search(r"\(claims? D[0-9]", line)]
    ledger = {claim.id: claim for claim in shipped_claims()}
    assert len(lines) == 5 == len(words._CLAIMS)
    for line in lines:
        for id in re.findall(r"D[0-9]+", line.partition(":")[2]):
            assert ("conjecture, untested" in line) == ledger[id].source.startswith("conjecture")
            assert ("a paper reports" in line) == ("arXiv" in ledger[id].source)


def test_long_responses_name_a_limit_that_keeps_them(tmp_path):
    made = rows(100)
    for each in made[:30]:
        each["completion"] = each["completion"].replace("</think>", " word" * 3000 + "</think>")
    (found,) = said(described(tmp_path, made), "length")
    assert (
        found["urgency"] == "act"
        and found["rows"] == 30
        and found["text"].startswith("30 % of the rows exceed 2,048 words, prompt and response together")
    )
    assert "limit of 4,096 words or more" in found["do"]
    assert "TRL" not in found["text"], "its limit is in tokens, and words were counted"


class Letters:
    """A tokenizer with a token for each word."""

    name, seconds = "letters", 0.0

    def __call__(self, texts):
        return [len(text.split()) for text in texts]


def test_a_limit_is_of_prompt_and_response_together(tmp_path):
    made = rows(100)
    for at, each in enumerate(made):
        each["prompt"] = f"word{at} " * 900
        each["completion"] = "<think>" + "word " * 300 + f"</think>\\boxed{{{each['answer']}}}"
    (found,) = said(described(tmp_path, made, count=Letters()), "length")
    assert found["urgency"] == "act" and found["rows"] == 100 and "limit of 2,048 tokens" in found["do"]
    assert "100 % of the rows exceed 1,024 tokens, prompt and response together (TRL's default)" in found["text"]


def test_thoughts_without_spaces_are_neither_of_two_words_nor_short(tmp_path):
    made = rows(30)
    for at, each in enumerate(made):
        thought = "我们先看这个问题，然后再想一想。" * (40 if at else 400)
        each["completion"] = f"<think>{thought}</think>\\boxed{{{each['answer']}}}"
    document = described(tmp_path, made)
    assert document["lengths"]["words"]["response"]["quantiles"]["1"] == 400 * 14 + 1
    assert document["structure"]["unread_cot"] == pytest.approx(29 / 30) and document["structure"]["short_cot"] == 0
    assert document["structure"]["long_cot"] == pytest.approx(1 / 30)
    assert all("English" in rate["not_estimable"] for rate in document["behaviours"]["per_1000"].values())
    (found,) = said(document, "structure")
    assert found["urgency"] == "look" and "may be long or short" in found["text"]
    assert "30 responses are in another script" in render_profile(document)


def test_few_traces_that_disagree_are_something_to_look_at(tmp_path):
    for n, urgency in ((19, "look"), (20, "act")):
        made = rows(n)
        for each in made:
            each["completion"] = f"<think>So we get \\boxed{{7}}.</think>\\boxed{{{each['answer']}}}"
        found = next(one for one in said(described(tmp_path, made), "traces") if "the answer given" in one["text"])
        assert (found["urgency"], found["of"]) == (urgency, n)


def test_responses_of_two_kinds_and_two_marks_are_told(tmp_path):
    made = rows(40)
    for each in made[:10]:
        each["completion"] = f"#### {each['answer']}"
    found = [one["text"] for one in said(described(tmp_path, made), "structure")]
    assert any("several kinds" in text and "25 % answers without working" in text for text in found)
    advice = next(one["do"] for one in said(described(tmp_path, made), "structure") if "kinds" in one["text"])
    assert "no kind has more rows than short_cot" in advice and "D10" not in advice, "there are no long ones"
    assert any("marked in several ways" in text and "hashes 25 %" in text for text in found)


def test_odd_characters_and_long_names_do_not_break_the_page(tmp_path):
    assert plain({"\ud800": ["\udfff"]}) == {"\\ud800": ["\\udfff"]}, "half a character can't be written as UTF-8"
    document = described(tmp_path, rows(12, domain="\u05d0\u0301\U0001f600" + "x" * 500))
    assert "\u05d0\u0301\U0001f600" in render_profile(document)
    ElementTree.fromstring(next(each for each in sections(document) if each.id == "diversity").plots["cells"])
