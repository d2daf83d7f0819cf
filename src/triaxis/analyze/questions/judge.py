"""Do the refusal detector and the judge say the same: share of responses and Cohen's kappa, and what is missing."""

from __future__ import annotations

from triaxis.analyze.evidence import Evidence
from triaxis.analyze.judged import MOST_MISSING, JudgedTask
from triaxis.stats.agreement import agreement
from triaxis.types import Finding, Interval, NotEstimable

QUESTION = "judge"
METHOD = "delta method over items (all checkpoints of an item together), t"


def findings(evidence: Evidence) -> list[Finding]:
    """Of each task that was judged how far detector and judge agree; where too much is missing, that its judged score
    is not estimable there."""
    found: list[Finding] = []
    for task in evidence.panel.judged:
        if task.source == evidence.source:
            found += _of_task(task)
    return found


def _of_task(task: JudgedTask) -> list[Finding]:
    raw, kappa = agreement(task.counts)
    found = [_finding(task, "detector and judge agree", "share", raw), _finding(task, "Cohen's kappa", "kappa", kappa)]
    if task.lost:
        reason = (
            f"{task.lost} of {task.checkpoints} checkpoints lack more than {MOST_MISSING:.0%} of their judgements; "
            "triaxis judge asks for them"
        )
        found.append(_finding(task, "score by the judge", "points", NotEstimable(reason)))
    return found


def _finding(task: JudgedTask, what: str, unit: str, estimate: Interval | NotEstimable) -> Finding:
    told = [f"{task.judge}; {task.unclear:,} of {task.responses - task.missing:,} judgements unclear"]
    told += [f"{task.missing:,} of {task.responses:,} responses without a judgement"] if task.missing else []
    return Finding(
        question=QUESTION,
        quantity=f"{what}: {task.task}",
        estimate=estimate,
        unit=unit,
        group=task.group,
        sampled="item",
        n_units=len(task.counts),
        n_runs=task.n_runs,
        item_pool="items like these",
        method=METHOD,
        note="; ".join(told),
        source=task.source,
        mode=task.mode,
    )
