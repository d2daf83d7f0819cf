"""What `triaxis study power` says, as lines of text and as a document for JSON."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from triaxis.types import NotEstimable

if TYPE_CHECKING:
    from triaxis.analyze.power import GroupPower, Needed, Question, TermPower
    from triaxis.analyze.variances import Variances
    from triaxis.study import Study

NOT_ESTIMABLE = "not estimable with this design; --on one of them tells why"
LABELS = {  # of the components
    "run": "runs of a condition",
    "run_item": "run x item",
    "sample": "one response",
    "item_condition": "item x condition",
    "item_base": "item x base",
}


def lines(study: Study, question: Question, found: Sequence[GroupPower], notes: Sequence[str]) -> list[str]:
    """The answer for a terminal."""
    e, seeds = study.evaluation, len(study.seeds)
    pilot = f" (the pilot of {e.items:,})" if e.adaptive else ""
    said = [
        f"{study.name}: {_count(len(study.conditions()), 'condition')} x {_count(seeds, 'seed')},"
        f" {_count(e.inferred, 'item')} a task{pilot}, {_count(e.samples, 'response')} an item,"
        f" {100 * question.confidence:g} % intervals"
    ]
    beyond = f"beyond {_points(question.smallest)} points" if question.smallest else "clear of 0"
    if question.effect is None:
        said.append(f"The smallest effects, in points, whose interval is {beyond} with a power of .8 and of .9")
    else:
        said.append(f"The power to find an effect of {_points(question.effect)} points, its interval {beyond}")
    alike = all(each.variances == found[0].variances for each in found)
    if alike:
        said += ["", "variances", *_variance_lines(found[0].variances)]
    for each in found:
        n = len(each.sampling.items)
        said += ["", f"{', '.join(each.groups)}: {_count(n, 'task')} x {_count(each.sampling.items[0], 'item')}"]
        said += [] if alike else _variance_lines(each.variances)
        said += _table(each, question)
    said += ["", *_legend(study, found, question), *_told(found)]
    return [*said, *(f"note: {note}" for note in notes)]


def _count(n: int, of: str) -> str:
    return f"{n:,} {of}" if n == 1 else f"{n:,} {of}s"


def _points(value: float) -> str:
    return f"{100 * value:.1f}"


def _variance_lines(variances: Variances) -> list[str]:
    said = []
    for name, label in LABELS.items():
        value, source = getattr(variances.values, name), variances.sources[name]
        size = f"sd {_points(value**0.5)} points" if name == "run" else f"variance {value:.3f}"
        df = f" ({source.df} df)" if source.df is not None else ""
        if name == "run" and variances.run_upper is not None:
            df = f" ({source.df} df; upper 80 % bound {_points(variances.run_upper**0.5)})"
        if name == "sample" and not variances.splits:
            size = "-"
        said.append(f"  {label:<20} {size:<15} {source.text}{df}")
    return said


def _table(found: GroupPower, question: Question) -> list[str]:
    """A row a term that the design identifies, columns aligned."""
    terms = [term for term in found.terms if _estimable(term)]
    if not terms:
        return ["  no term of this design is estimable"]
    header, rows = _header(found, question), [_row(term, found, question) for term in terms]
    widths = [max(len(row[k]) for row in [header, *rows]) for k in range(len(header))]
    return [
        "  " + "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in [header, *rows]
    ]


def _estimable(term: TermPower) -> bool:
    return not isinstance(term.detects, NotEstimable) or term.unit == "item (these runs)"


def _header(found: GroupPower, question: Question) -> list[str]:
    upper = ["(upper)"] if found.variances.run_upper is not None else []
    asked = question.effect is not None
    names = ["term", *(["power", *upper] if asked else []), "detects .8", *upper, ".9", *upper]
    names += [] if _replicated(found) else ["these runs .8"]
    return names + (["seeds", "items", "samples"] if asked else [])


def _replicated(found: GroupPower) -> bool:
    return found.sampling.replicated or all(term.unit == "base" for term in found.terms)


def _row(term: TermPower, found: GroupPower, question: Question) -> list[str]:
    asked, upper = question.effect is not None, found.variances.run_upper is not None
    row = [":".join(term.factors)]
    if asked:
        row.append("-" if term.power is None or isinstance(term.power, NotEstimable) else f"{term.power:.2f}")
        row += [] if not upper else ["-" if term.power_upper is None else f"{term.power_upper:.2f}"]
    for at in (0.8, 0.9):
        row.append("-" if isinstance(term.detects, NotEstimable) else _size(term.detects[at]))
        row += [] if not upper else ["-" if term.detects_upper is None else _size(term.detects_upper[at])]
    if not _replicated(found):
        row.append(_size(term.these_runs) if term.unit == "item (these runs)" else "-")
    return row + ([_needed(term.seeds), _needed(term.items), _needed(term.samples)] if asked else [])


def _size(effect: float | None) -> str:
    return "none" if effect is None else _points(effect)


def _needed(needed: Needed | None) -> str:
    if needed is None:
        return "-"
    return f"{needed.least:,}" if needed.least is not None else f"limit {_size(needed.limit)}"


def _legend(study: Study, found: Sequence[GroupPower], question: Question) -> list[str]:
    """What the columns mean that are there."""
    said = []
    if question.effect is not None and any(_estimable(term) for each in found for term in each.terms):
        said.append("seeds, items, samples: the least that alone gives a power of .8, the others as they are")
    needs = [needed for each in found for t in each.terms for needed in (t.seeds, t.items, t.samples) if needed]
    if any(needed.least is None for needed in needs):
        said.append(
            "limit: no number of them alone is enough; with ever more, effects from so many points on are found"
        )
    if any(term.samples is not None for each in found for term in each.terms) and study.evaluation.temperature == 0:
        said.append("samples: more than one response an item needs evaluation.temperature above 0")
    if any(each.variances.run_upper is not None for each in found):
        said.append("(upper): with the runs' sd at its upper 80 % bound")
    if any(term.unit == "item (these runs)" for each in found for term in each.terms):
        said.append("these runs .8: what the items alone find of these very runs; it says nothing of other seeds")
    if any(_none(term) for each in found for term in each.terms):
        said.append("none: not even the largest effect that scores between 0 and 1 can have")
    return said


def _none(term: TermPower) -> bool:
    sizes = [] if isinstance(term.detects, NotEstimable) else list(term.detects.values())
    limits = [n.limit for n in (term.seeds, term.items, term.samples) if n is not None and n.least is None]
    sizes += [term.these_runs] if term.unit == "item (these runs)" else []
    return None in [*sizes, *limits]


def _told(found: Sequence[GroupPower]) -> list[str]:
    """What holds of single terms, each thing said once with the terms that it holds of."""
    of: dict[str, list[str]] = defaultdict(list)
    for term in (term for each in found for term in each.terms):
        name, said = ":".join(term.factors), []
        if isinstance(term.detects, NotEstimable) and not _estimable(term):
            own = name in term.detects.reason and len(found[0].terms) > 1
            said.append(NOT_ESTIMABLE if own else f"not estimable: {term.detects.reason}")
        for each in (*said, *term.notes):
            of[each] += [name] if name not in of[each] else []
    every = {":".join(term.factors) for each in found for term in each.terms if _estimable(term)}
    told = [f"{_names(names, every)}: {text}" for text, names in of.items()]
    of_runs = [term for each in found for term in each.terms if term.unit != "base" and _estimable(term)]
    few = sorted({name for term in of_runs for name in term.factors if name.startswith("model.")})
    return told + [f"terms with {name} speak of these bases, not of bases like them" for name in few]


def _names(names: Sequence[str], every: set[str]) -> str:
    if len(names) > 1 and set(names) == every:
        return "all of these terms"
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def document(study: Study, question: Question, found: Sequence[GroupPower], notes: Sequence[str]) -> dict[str, Any]:
    """The answer for JSON; sizes are fractions of 1."""
    return {
        "study": study.name,
        "conditions": len(study.conditions()),
        "seeds": len(study.seeds),
        "effect": question.effect,
        "smallest": question.smallest,
        "confidence": question.confidence,
        "groups": [_group_document(each) for each in found],
        "notes": list(notes),
    }


def _group_document(found: GroupPower) -> dict[str, Any]:
    variances = found.variances
    return {
        "groups": list(found.groups),
        "items": list(found.sampling.items),
        "samples": found.sampling.samples,
        "variances": {
            name: {"value": getattr(variances.values, name), "source": source.text, "df": source.df}
            for name, source in variances.sources.items()
        },
        "run_variance_upper": variances.run_upper,
        "responses_told_apart": variances.splits,
        "terms": [_term_document(term) for term in found.terms],
    }


def _term_document(term: TermPower) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        if isinstance(value, NotEstimable):
            return {"not_estimable": value.reason}
        return {f"{key:g}": inner for key, inner in value.items()} if isinstance(value, Mapping) else value

    document = {
        name: plain(getattr(term, name)) for name in ("contrast", "n_contrasts", "unit", "power", "power_upper")
    }
    document |= {name: plain(getattr(term, name)) for name in ("detects", "detects_upper", "these_runs")}
    for name in ("seeds", "items", "samples"):
        needed = getattr(term, name)
        document[f"{name}_needed"] = None if needed is None else {"least": needed.least, "limit": needed.limit}
    return {"factors": list(term.factors), **document, "notes": list(term.notes)}
