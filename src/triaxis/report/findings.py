"""The findings of the questions beside effects: in words, as a table a question, and the clearest of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from triaxis.report import words
from triaxis.report.digest import CLEAR_P
from triaxis.report.names import Names
from triaxis.report.tables import Cell, Table
from triaxis.types import Analysis, Finding, Interval

QUESTION_WORDS = {
    "growth": "Would more training help, and does a short one mislead",
    "length": "Response length over training",
    "stopping": "Where rules ended runs, and what that gave",
    "simple slopes": "Effects of a factor within each level of another",
    "marginal means": "Gains at each level, the other factors averaged",
    "optimum": "Where a number is best, and how that moves",
    "synergy": "Is the match more than the sum of its parts",
    "response surface": "Effects in a random design",
    "importance": "Which factors matter in a random design",
    "saturation": "Where more data stop paying",
    "exposure": "Repetition against coverage at equal steps",
    "noise": "What wrong traces cost, by base",
    "capability": "What a base can do against how large it is",
    "emergence": "Threshold or smooth growth with size",
    "reliance": "Reliance on the surface of the tasks",
    "samples": "One of several samples right",
    "cost": "What the gain costs",
    "judge": "Do the refusal detector and the judge agree",
}
SPEAKS_OF = {
    "item": "one run",
    "run (these bases)": "these bases",
}  # where a finding is not of runs, or bases, like these
TITLES = (
    "what",
    "group",
    "where",
    "estimate [95 %]",
    "p",
    "adjusted p",
    "unit (units)",
    "runs",
    "items",
    "method",
    "note",
)


def by_question(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    """Findings by their question, in the order in which questions are asked."""
    found: dict[str, list[Finding]] = {}
    for finding in findings:
        found.setdefault(finding.question, []).append(finding)
    return found


def title_of(question: str) -> str:
    """A question in words."""
    return QUESTION_WORDS.get(question, question)


def estimable(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if isinstance(finding.estimate, Interval)]


def clear(finding: Finding) -> bool:
    """Whether a finding that was tested is clear of what it was tested against, after adjustment."""
    return finding.p_adjusted is not None and finding.p_adjusted < CLEAR_P


def what_of(finding: Finding) -> str:
    """A finding's quantity with its factors and contrast."""
    about = " × ".join(words.short_names(finding.factors).values())
    contrast = f" ({finding.contrast})" if finding.contrast else ""
    return f"{finding.quantity}{': ' + about if about else ''}{contrast}"


def where_of(finding: Finding, names: Names) -> str:
    """The levels that a finding is confined to, by the factors that tell conditions apart, with its source and mode."""
    telling = [name for name in finding.within if name in names.factors] or list(finding.within)
    within = words.condition_word(finding.within, telling) if finding.within else ""
    speaks_of = "" if finding.sampled == "item" and finding.n_runs > 1 else SPEAKS_OF.get(finding.sampled, "")
    return ", ".join(part for part in (within, names.basis(finding), speaks_of) if part)


def finding_table(findings: Sequence[Finding], names: Names) -> Table:
    """Findings with every field, those that are not estimable with their reason last."""
    shown = sorted(findings, key=lambda finding: not isinstance(finding.estimate, Interval))
    return Table(TITLES, frozenset((3, 4, 5, 7)), [_row(finding, names) for finding in shown])


def _row(finding: Finding, names: Names) -> list[Cell]:
    estimate = finding.estimate
    known = isinstance(estimate, Interval)
    note = finding.note if isinstance(estimate, Interval) else f"not estimable: {estimate.reason}"
    return [
        Cell(what_of(finding)),
        Cell(words.group_word(finding.group) if finding.group else "all"),
        Cell(where_of(finding, names)),
        Cell(
            words.amount(estimate, finding.unit),
            estimate.value if isinstance(estimate, Interval) else None,
            clear(finding),
        ),
        Cell(words.p_value(finding.p), finding.p),
        Cell(words.p_value(finding.p_adjusted), finding.p_adjusted),
        Cell(f"{finding.sampled} ({finding.n_units})" if known else words.NOT_RECORDED, finding.n_units),
        Cell(str(finding.n_runs) if known else words.NOT_RECORDED, finding.n_runs),
        Cell(finding.item_pool),
        Cell(finding.method),
        Cell(note),
    ]


def clearest(analysis: Analysis, most: int) -> dict[str, list[Finding]]:
    """Of each question the findings that are clear of zero, clearest first, each quantity once; of a question that
    tests nothing, the first ones.
    """
    found: Mapping[str, list[Finding]] = by_question(estimable(analysis.findings))
    shown = {}
    for question, own in found.items():
        tests = any(finding.p is not None for finding in own)
        kept = sorted((f for f in own if clear(f)), key=_clarity) if tests else own
        once = {(f.quantity, f.factors): f for f in reversed(kept)}
        if once:
            shown[question] = sorted(once.values(), key=kept.index)[:most]
    return shown


def _clarity(finding: Finding) -> float:
    return finding.p_adjusted if finding.p_adjusted is not None else 1.0
