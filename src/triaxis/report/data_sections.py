"""A data profile as sections of plain sentences, tables and plots, from its JSON document: for page and terminal."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from triaxis.report.data_plots import bars, heat_map, histogram
from triaxis.report.data_tables import missing, share, table
from triaxis.report.tables import Table

MAX_ROWS = 20  # of a table, and of a heat map
MAX_COLUMNS = 12
ERRORS_SHOWN = 200
QUANTILES = ("0", "0.05", "0.25", "0.5", "0.75", "0.95", "0.99", "1")
QUANTILE_TITLES = ("shortest", "5 %", "25 %", "median", "75 %", "95 %", "99 %", "longest")
PARTS = {
    "prompt": "prompt: all that is said before the response",
    "thought": "thought: what stands in the think tags",
    "solution": "solution: the response after the thought",
    "response": "response: thought and solution, what is learned",
    "total": "prompt and response",
}
KINDS = {
    "long_cot": "long chain of thought: it checks or withdraws twice or more, or has more than 1,500 words",
    "short_cot": "short chain of thought: any other text in think tags",
    "unread_cot": "thought in a script that is not read: it may be long or short",
    "no_cot": "worked solution without a thought",
    "answer_only": "answer without working",
}
BEHAVIOURS = {
    "verification": "verification (let me check ...)",
    "backtracking": "backtracking (wait, that is wrong ...)",
    "subgoals": "sub-goals (first I find ...)",
    "enumeration": "enumeration (case 1 ...)",
    "backward_chaining": "backward chaining (to get 24 ...)",
}
KIND_NAMES = {
    "long_cot": "long CoT", "short_cot": "short CoT", "unread_cot": "CoT, not read", "no_cot": "no CoT",
    "answer_only": "answer only",
}  # fmt: skip
HITS = {
    "exact": "word for word",
    "normalised": "but for case and marks",
    "n-gram": "half of it or more",
    "numbers": "but for numbers",
    "span": "a passage",
}


@dataclass
class Section:
    """One section: what it is about in a sentence or two, plots by name (SVG), tables by caption."""

    id: str
    title: str
    lead: str
    plots: dict[str, str] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)
    details: dict[str, Table] = field(default_factory=dict)  # folded away on the page, and not in the terminal


def sections(document: Mapping[str, Any]) -> list[Section]:
    """The sections in the order of the page."""
    made = (_lengths, _structure, _quality, _diversity, _difficulty, _leakage, _coverage, _rows)
    return [section for make in made if (section := make(document))]


def _lengths(doc: Mapping[str, Any]) -> Section:
    tokens, unit = doc["tokens"], doc["tokens"]["unit"]
    words = "words (text between spaces, and each character of scripts that put none between words)"
    counted = f"tokens of {tokens['tokenizer']}" if unit == "tokens" else words
    lead = f"Lengths are in {counted}. A trainer with a length limit cuts or drops what is longer, often in silence; "
    lead += "its limit holds for prompt and response together."
    if unit == "words":
        lead += " Tokens are more than words, in formulas several times as many; a tokenizer was not named."
    section = Section("lengths", "How long the examples are", lead)
    held = doc["lengths"][unit]
    edges, counts = _trimmed(held["total"]["edges"], held["total"]["counts"])
    over = {float(limit): found["share"] for limit, found in tokens["over"]["total"].items() if doc["examples"]}
    if counts:
        title = f"Length of prompt and response, {unit} (each bar is a fifth longer than the one before)"
        section.plots["lengths"] = histogram(edges, counts, over, title, unit)
    rows = [
        (words, part["mean"], *(part["quantiles"][q] for q in QUANTILES)) for key, words in PARTS.items()
        if (part := held[key])["n"]
    ]  # fmt: skip
    section.tables[f"Lengths, {unit}"] = table(("part", "mean", *QUANTILE_TITLES), rows)
    limits = [
        (f"{int(limit):,}", found["rows"], share(found["share"]), share(tokens["over"]["response"][limit]["share"]))
        for limit, found in tokens["over"]["total"].items()
    ]
    titles = (f"limit, {unit}", "rows beyond it, prompt and response", "share of rows", "share, response alone")
    section.tables["What a length limit would cut or drop"] = table(titles, limits)
    shape = doc["shape"]
    ends = [(f"empty {part}", n) for part, n in shape["empty"].items()]
    ends += [("a thought and nothing after it", shape["no_end"])]
    ends += [("stops within a sentence, without an answer", shape["cut_off"])]
    section.tables["Rows with a part that is empty, or an end that is missing"] = table(("what", "rows"), ends)
    return section


def _trimmed(edges: Sequence[float], counts: Sequence[int]) -> tuple[Sequence[float], Sequence[int]]:
    """The histogram without the empty bins at its ends."""
    filled = [at for at, count in enumerate(counts) if count]
    if not filled:
        return (), ()
    first, last = filled[0], filled[-1] + 1
    return edges[first : last + 1], counts[first:last]


def _structure(doc: Mapping[str, Any]) -> Section:
    found, behaviours = doc["responses"], doc["behaviours"]
    lead = (
        "A response can think before it solves (a chain of thought, CoT), at length or briefly, work out a solution "
        "without thinking first, or only state an answer. Behaviours are found by lists of English phrases."
    )
    if n := found["unread"]:
        lead += f" {n:,} responses are in another script: no behaviour is looked for in them."
    section = Section("structure", "What the responses are made of", lead)
    kinds = [kind for kind in KINDS if kind in found["kinds"]]
    rows = [(KINDS[kind], found["kinds"][kind]["examples"], share(doc["structure"][kind])) for kind in kinds]
    section.tables["Kinds of responses"] = table(("kind", "rows", "share"), rows)
    shares = {KIND_NAMES[kind]: doc["structure"][kind] for kind in kinds if not missing(doc["structure"][kind])}
    if shares:
        percent = {kind: 100 * value for kind, value in shares.items()}
        section.plots["structure"] = bars(percent, "Kinds of responses, % of rows", " %", whole=100)
    rates = {
        BEHAVIOURS[name].partition(" (")[0]: rate for name, rate in behaviours["per_1000"].items() if not missing(rate)
    }
    if any(rates.values()):
        title = f"Reasoning behaviours in 1,000 {behaviours['unit']} of response"
        section.plots["behaviours"] = bars(rates, title, "", digits=2)
    told = [
        (words, behaviours["per_1000"][name], behaviours["examples"][name])
        for name, words in BEHAVIOURS.items()
    ]  # fmt: skip
    titles = ("behaviour", f"in 1,000 {behaviours['unit']}", "rows that show it")
    section.tables["Reasoning behaviours"] = table(titles, told, digits=2)
    marks = [(mark, n) for mark, n in found["marks"].items() if n]
    section.tables["How the final answer is marked"] = table(("mark", "rows"), marks)
    return section


def _quality(doc: Mapping[str, Any]) -> Section:
    found, answers = doc["quality"], doc["answers"]
    by = ", ".join(f"{n:,} by {name}" for name, n in found["verifiers"].items()) or "none"
    lead = (
        "The final answer of a response is compared with the reference, which the data gives; results in traces are "
        f"compared with the answer, and plain equations in them are worked out again. Answers checked: {by}."
    )
    section = Section("quality", "Whether the responses are right", lead)
    names = {
        "correct": "correct", "wrong": "wrong", "unparsable": "can't be read as an answer",
        "timeout": "no verdict in time", "missing": "no final answer found",
        "other_form": "in another form than its task reads", "no_reference": "no reference",
        "unchecked": "only math-verify could tell, and it isn't installed",
    }  # fmt: skip
    section.tables["Final answers"] = table(("final answer", "rows"), [(w, answers[k]) for k, w in names.items()])
    traces = [
        ("traces that state a result, compared with the answer", found["comparable_traces"]),
        ("... and give another answer", found["inconsistent"]),
        ("equations that could be checked", found["equations"]),
        ("... wrong", found["slips"]),
        ("... wrong, and withdrawn by what follows", found["slips_caught"]),
        ("steps in the lab's language", found["lab_steps"]),
        ("... wrong", found["lab_wrong_steps"]),
        ("responses that refuse", found["refusals"]),
        ("responses that go in circles", found["loops"]),
        *((f"responses with boilerplate: {kind}", n) for kind, n in found["boilerplate"].items()),
    ]
    section.tables["Traces and wording"] = table(("what", "number"), traces)
    for key, caption, titles in (
        ("wrong_rows", "Wrong answers, the first", ("row", "id", "given", "reference")),
        ("unparsable_rows", "Answers that can't be compared, the first", ("row", "id", "given", "reference")),
        ("inconsistent_rows", "Traces whose result is not the answer, the first", ("row", "id", "result", "answer")),
        ("slip_rows", "Wrong equations, the first", ("row", "id", "equation", "")),
        ("refusal_rows", "Refusals, the first", ("row", "id", "text", "")),
        ("loop_rows", "Responses that go in circles, the first", ("row", "id", "what is repeated", "")),
    ):
        rows = [(one["row"], one["id"], one["found"], one["against"]) for one in found[key]]
        width = 4 if titles[-1] else 3
        if rows:
            section.details[caption] = table(titles[:width], [row[:width] for row in rows])
    return section


def _diversity(doc: Mapping[str, Any]) -> Section:
    found = doc["diversity"]
    lead = (
        "Rows can repeat each other, and can be of one domain or many. An effective number says how many "
        "equally common ones would be as diverse: ten domains of which one holds nearly all rows count little more "
        f"than one. The Vendi score is such a number for prompts, by their likeness: {found['vendi_of']}."
    )
    section = Section("diversity", "How diverse they are", lead)
    cells = found["cells"]
    if (len(cells["domains"]) > 1 or len(cells["difficulties"]) > 1) and cells["rows"]:
        section.plots["cells"] = _heat_map(cells)
    repeated = {
        "the whole row": found["exact_duplicates"],
        "the prompt, not the response": found["same_normalised"] - found["exact_duplicates"],
        "nearly the prompt": found["near_prompt"],
    }
    percent = {name: 100 * n / max(found["rows"], 1) for name, n in repeated.items()}
    if any(percent.values()):
        section.plots["duplicates"] = bars(percent, "Rows that repeat an earlier one, % of rows", " %", digits=2)
    told = [
        ("rows", found["rows"]),
        ("rows that repeat an earlier row in full", found["exact_duplicates"]),
        ("further rows that pose the problem of an earlier one, in the same words or nearly", found["near_duplicates"]),
        ("different problems", found["problems"]),
        ("... nearly an earlier one, with another answer", found["near_other_answer"]),
        ("... nearly an earlier one, by words that may be a template", found["near_template"]),
        ("effective number of problems", _rounded(found["effective_problems"])),
        ("effective number of domains", _effective(found["domains"])),
        ("effective number of difficulties", _effective(found["difficulties"])),
        (f"Vendi score, of {found['vendi_most']:,} at most", _rounded(found["vendi"])),
    ]
    section.tables["Repetition and diversity"] = table(("what", "number"), told, digits=1)
    if found["clusters"]:
        rows = [
            (one["size"], ", ".join(map(str, one["rows"])), " | ".join(one["excerpts"])) for one in found["clusters"]
        ]
        section.details["The problems that are repeated most"] = table(("rows", "the first of them", "problem"), rows)
    return section


def _heat_map(cells: Mapping[str, Any]) -> str:
    """Domains by difficulties, what is beyond the room in a row or column of its own."""
    domains, levels, counts = cells["domains"], cells["difficulties"], cells["rows"]
    if len(levels) > MAX_COLUMNS:
        counts = [[*line[: MAX_COLUMNS - 1], sum(line[MAX_COLUMNS - 1 :])] for line in counts]
        levels = [*levels[: MAX_COLUMNS - 1], "others"]
    order = sorted(range(len(domains)), key=lambda at: (-sum(counts[at]), domains[at]))
    shown, rest = order[:MAX_ROWS], order[MAX_ROWS:]
    lines, names = [counts[at] for at in shown], [domains[at] for at in shown]
    if rest:
        lines.append([sum(column) for column in zip(*(counts[at] for at in rest), strict=True)])
        names.append(f"{len(rest)} others")
    return heat_map(names, levels, lines, "Rows by domain and difficulty", "difficulty, as the source gives it")


def _rounded(value: Any) -> Any:
    return value if missing(value) else round(value, 1)


def _effective(spread: Mapping[str, Any]) -> Any:
    return spread if missing(spread) else round(spread["effective"], 1)


def _difficulty(doc: Mapping[str, Any]) -> Section:
    found = doc["difficulty"]
    lead = (
        "Difficulty as the source's own field gives it, as the number of steps in the trace, and as a model's pass "
        "rate, where the data has a column of it or a model was asked (--model). They are different things: a problem "
        "can be long and easy. Their order is compared within each domain, since levels of one domain say nothing of "
        "another's."
    )
    section = Section("difficulty", "How difficult they are", lead)
    if found["thirds"]:
        section.tables.update(_thirds(found["thirds"]))
    else:
        held = [("rows with a difficulty of their source", found["with_field"])]
        section.tables["Difficulty"] = table(("what", "rows"), held)
    if asked := found["model"]:
        each = f"{asked['samples']} samples" if asked["samples"] > 1 else "one sample"
        caption = f"Pass rates of {asked['model']}, {each} a row"
        section.tables[caption] = table(("what", "number", "of what, or which share [95 %]"), list(_pass_rates(asked)))
    agreements = [(_compared(one), one["n"], _correlation(one["correlation"])) for one in found["agreement"]]
    titles = ("measures", "rows with both", "rank correlation [95 %]")
    section.tables["Agreement of the measures (1: the same order, 0: none)"] = table(titles, agreements)
    return section


def _thirds(thirds: Sequence[Mapping[str, Any]]) -> dict[str, Table]:
    """The thirds of all rows, or of each domain, the largest domains first."""
    caption = "Rows by thirds of the range of the source's difficulty"
    if not thirds[0]["domain"]:
        return {caption: table(("third", "difficulty", "rows"), [(t["name"], t["levels"], t["rows"]) for t in thirds])}
    sizes = Counter[str]()
    for one in thirds:
        sizes[one["domain"]] += one["rows"]
    shown = {domain: place for place, (domain, _) in enumerate(sizes.most_common(MAX_ROWS))}
    held = sorted((one for one in thirds if one["domain"] in shown), key=lambda one: shown[one["domain"]])
    rows = [(one["domain"], one["name"], one["levels"], one["rows"]) for one in held]
    caption += " in each domain" + (f", the {MAX_ROWS} largest" if len(sizes) > MAX_ROWS else "")
    return {caption: table(("domain", "third", "difficulty", "rows"), rows)}


def _compared(one: Mapping[str, Any]) -> str:
    """Two measures, and the domains that their agreement rests on where there are several."""
    measures = f"{one['one']} and {one['other']}".replace("_", " ")
    domains = one["domains"] + one["left_out"]
    if domains < 2 or not one["domains"]:
        return measures
    return f"{measures}, within {one['domains']} of {domains} domains"


def _pass_rates(asked: Mapping[str, Any]) -> Iterator[tuple[str, int, str]]:
    """What a model's pass rates came to, a line each."""
    n, k, outcomes = asked["asked"], asked["samples"], asked["outcomes"]
    yield "rows asked", n, f"{asked['rows']:,} rows, drawn at random"
    yield "responses that are right", asked["correct"], _estimate(asked["mean"])
    for outcome in ("wrong", "truncated", "unparsed", "refused"):
        yield f"responses by outcome: {outcome}", outcomes[outcome], share(outcomes[outcome] / (n * k)) if n else ""
    rates = asked["rates"].values()
    yield f"rows solved in none of {k}", sum(rate == 0 for rate in rates), _estimate(asked["never_solved"])
    yield f"rows solved in all of {k}", sum(rate == 1 for rate in rates), _estimate(asked["always_solved"])
    yield "reliability of these pass rates, over rows", n, _estimate(asked["reliability"], 1)
    if not missing(bound := asked["reliability"]):
        most = {name: value**0.5 for name, value in bound.items()}
        yield "... so that other measures agree with them by at most", n, _estimate(most, 1)
    for reason, rows in asked["unjudged"].items():
        yield f"rows that can't be judged: {reason}", rows, f"{asked['rows']:,} rows"
    for reason, rows in asked["left_out"].items():
        yield f"rows drawn and left out: {reason}", rows, f"{asked['drawn']:,} rows drawn"


def _estimate(value: Mapping[str, Any], unit: int = 100) -> str:
    """A share with its interval: per cent, or (`unit` 1) as a fraction."""
    if missing(value):
        return f"not estimable: {value['not_estimable']}"
    if unit == 1:
        return f"{value['value']:.2f} [{value['low']:.2f}, {value['high']:.2f}]"
    return f"{100 * value['value']:.0f} % [{100 * value['low']:.0f}, {100 * value['high']:.0f}]"


def _correlation(value: Mapping[str, Any]) -> str:
    if missing(value):
        return f"not estimable: {value['not_estimable']}"
    low, high = math.floor(100 * value["low"]) / 100, math.ceil(100 * value["high"]) / 100  # outward: never of width 0
    return f"{value['value']:+.2f} [{low:+.2f}, {high:+.2f}]"


def _leakage(doc: Mapping[str, Any]) -> Section:
    found = doc["leakage"]
    title = "Whether evaluation items stand in it"
    if found is None:
        lead = "It was not compared with an evaluation set. Name those that you will score on: --against FILE."
        return Section("leakage", title, lead)
    lead = (
        "An evaluation item that the model was trained on says nothing of what it can do. An item counts as held by "
        f"the data if its text stands in a row, word for word or but for case and marks, or half of its runs of "
        f"{found['n']} words do (of 5 or 8, where a prompt is short). Near, and not counted: a row that differs by its "
        "numbers only, and one that holds a passage, fewer of those runs."
    )
    section = Section("leakage", title, lead)
    kinds = list(HITS)
    rows = [
        (one["name"], one["items"], one.get("skipped", ""), one["touched"], share(one["share"]),
         *(one["by_kind"].get(k, 0) for k in kinds), one["only_whole"])
        for one in found["sets"]
    ]  # fmt: skip
    titles = ("evaluation set", "items", "skipped", "held by the data", "share", *(HITS[kind] for kind in kinds))
    titles = (*titles, "found only as a whole turn")
    section.tables["Items by how close a row comes"] = table(titles, rows)
    pairs = [
        (one["set"], one["item"], one["row"], HITS.get(one["kind"], one["kind"]), one["evaluation"], one["training"])
        for one in found["pairs"]
    ]
    if pairs:
        titles = ("set", "item", "row", "the same", "the item", "the row")
        section.details["The closest pairs"] = table(titles, pairs)
    return section


def _coverage(doc: Mapping[str, Any]) -> Section:
    found = doc["coverage"]
    title = "Whether it covers what the model will meet"
    if found is None:
        lead = "It was not compared with a target. Name a file with questions like those to come: --target FILE."
        return Section("coverage", title, lead)
    lead = (
        f"The {found['target']:,} items of the target beside the rows: domains, difficulties, and the nearest row to "
        "each item by its words (1: the same words, 0: none in common)."
    )
    section = Section("coverage", title, lead)
    for name in ("domains", "difficulties"):
        gap = found[name]
        if missing(gap):
            continue
        labels = sorted(gap["target"], key=lambda label: -gap["target"][label])[:MAX_ROWS]
        rows = [(label, share(gap["target"][label]), share(gap["rows"].get(label, 0.0))) for label in labels]
        moved = f"{share(gap['distance'])} of the rows would have to move; chance alone gives {share(gap['by_chance'])}"
        if gap["rows_unsaid"] or gap["target_unsaid"]:
            moved += (
                f"; {share(gap['rows_unsaid'])} of the rows and {share(gap['target_unsaid'])} of the target say none"
            )
        section.tables[f"{name.capitalize()}: {moved}"] = table((name, "of the target", "of the rows"), rows)
    told: list[tuple[str, str]] = [("items far from every row (about 5 % is what to expect)", share(found["far"]))]
    told += [("items no nearer to a row than unrelated texts are", share(found["unrelated"]))]
    told += [(f"items with no row of similarity {found['near']:g}", share(found["without_neighbour"]))]
    section.tables["Nearest rows"] = table(("what", "share"), told)
    far = [(one["item"], one["text"], one["similarity"], one["row"], one["nearest"]) for one in found["farthest"]]
    titles = ("item", "the item", "similarity", "row", "the nearest row")
    section.details["The items that are farthest from the data"] = table(titles, far, digits=2)
    return section


def _rows(doc: Mapping[str, Any]) -> Section:
    total = doc["skipped"]
    lead = f"{total:,} rows can't be used and are in none of the numbers." if total else "Every row could be used."
    sets = [("", doc)]
    sets += [(f"{one['name']}: ", one) for one in (doc["leakage"] or {}).get("sets", ()) if "skipped" in one]
    sets += [("the target: ", doc["coverage"])] if "skipped" in (doc["coverage"] or {}) else []
    for name, one in sets[1:]:
        if n := one["skipped"]:
            lead += f" {name}{n:,} rows can't be used, and the data was not compared with them."
    section = Section("rows", "Rows that were skipped", lead)
    for name, one in sets:
        _skipped(section, name, one["skipped"], one["errors"][:ERRORS_SHOWN])
    return section


def _skipped(section: Section, name: str, total: int, errors: Sequence[Mapping[str, Any]]) -> None:
    """A table of what could not be read of one set."""
    rows = [(one["file"], one["row"], one["field"], one["problem"]) for one in errors]
    if rows:
        caption = f"the first {len(rows):,} of {total:,}" if total > len(rows) else "all of them"
        caption = f"{name}{caption}" if name else caption.capitalize()
        section.details[caption] = table(("file", "row", "field", "what is wrong, and what to do"), rows)


def facts(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a reader wants to know of where the numbers come from."""
    fields = ", ".join(f"{role} from {column}" for role, column in document["recognised"]["fields"].items())
    yield "data", document["source"]
    yield "examples", f"{document['examples']:,}"
    yield "columns", fields or "made by a task"
    yield "the data does not say", ", ".join(document["recognised"]["missing"]) or "–"
    if n := document["recognised"].get("earlier_thoughts"):
        yield "thoughts of earlier turns", f"{n:,}, in none of the numbers"
    yield "lengths counted by", document["tokens"]["tokenizer"]
    if asked := document["difficulty"]["model"]:
        how = f"temperature {asked['temperature']:g}, at most {asked['max_new_tokens']:,} tokens, seed {asked['seed']}"
        yield "pass rates of", f"{asked['model']} ({asked['fingerprint']}), {asked['samples']} samples a row, {how}"
    yield "made by", f"triaxis {document['triaxis']}, data profile version {document['version']}"
