"""Early stopping: where each rule ended its runs, what that spared, and what was given up or won by it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from triaxis.analyze.contrasts import Asked
from triaxis.analyze.ends import OWN_END, by_rule
from triaxis.analyze.evidence import Evidence
from triaxis.analyze.paths import Path
from triaxis.analyze.questions.length import as_ratio
from triaxis.analyze.run_numbers import Answer, Number, between_conditions, change, conditions, each, head, mean
from triaxis.stats.effects import contrast
from triaxis.study.axes import NO_RULE, RULE
from triaxis.types import Finding, NotEstimable

QUESTION = "stopping"
TOKENS = "tokens"
ALL_ALIKE = "every run ended at step {}: there is nothing between runs to take an error from"


def findings(evidence: Evidence) -> list[Finding]:
    """Of each condition with a rule the step at which its runs ended; of each rule against none, in training tokens
    and in gain at a run's own end, for each group. Nothing where no run may end early."""
    if not any(by_rule(path) for asked in evidence.asked.values() for path in asked.paths):
        return []
    asked = next(iter(evidence.asked.values()))
    found = [_ended(first, [p for p in asked.paths if p.key == first.key]) for first, *_ in conditions(asked)
             if by_rule(first)]  # fmt: skip
    found += _against_none(asked, "training tokens against those of a run to its end", "ratio", _tokens, group="")
    for of_group in evidence.asked.values():
        what = "gain at a run's own end, against no rule"
        found += _against_none(of_group, what, "points", lambda path: change(path, -1))
    return found


def _ended(first: Path, own: Sequence[Path]) -> Finding:
    finding = replace(head(QUESTION, "step at which its rule ended a run", "steps", first), group="")
    ends = [path.end for path in own]
    if len(set(ends)) == 1 and len(own) > 1:
        return replace(finding, estimate=NotEstimable(ALL_ALIKE.format(f"{ends[0]:,}")), n_runs=len(own))
    answer = mean([Number(float(end)) for end in ends])
    told = f"runs ended at steps {', '.join(f'{end:,}' for end in sorted(ends))}"
    return replace(answer.told(finding, "last checkpoint"), note=told)


def _tokens(path: Path) -> Number | NotEstimable:
    tokens = float(path.measures[TOKENS][-1])
    return Number(float(np.log2(tokens))) if tokens > 0 else NotEstimable("the table has no training tokens")


def _against_none(
    asked: Asked,
    quantity: str,
    unit: str,
    number: Callable[[Path], Number | NotEstimable],
    group: str | None = None,
) -> list[Finding]:
    """Each rule minus none, the other factors averaged; nothing where the design doesn't compare them."""
    levels = asked.cells.levels.get(RULE, ())
    if NO_RULE not in levels:
        return []
    place, numbers, found = asked.cells.factors.index(RULE), each(asked.paths, number), []
    for rule in levels:
        if rule == NO_RULE:
            continue
        finding = replace(
            head(QUESTION, quantity, unit, asked.paths[0]), within={}, factors=(RULE,), contrast=f"{rule} - {NO_RULE}"
        )
        finding = finding if group is None else replace(finding, group=group)
        weights = contrast(asked.cells.design, [place], [levels.index(rule)], [levels.index(NO_RULE)])
        if isinstance(numbers, NotEstimable):
            answer = Answer(numbers, n_runs=len(asked.paths))
        elif weights is None:
            answer = Answer(NotEstimable(asked.cells.aliased((RULE,))), n_runs=len(asked.paths))
        else:
            answer = between_conditions(asked, numbers, weights)
        answer = as_ratio(answer) if unit == "ratio" else answer
        found.append(answer.told(replace(finding, note=OWN_END), f"{quantity.partition(',')[0]}, Welch"))
    return found
