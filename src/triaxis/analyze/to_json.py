"""An analysis in its documented, versioned JSON form: docs/analysis-json.md."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from triaxis.records.columns import DIAGNOSTIC
from triaxis.types import (
    Analysis,
    CellGain,
    Dip,
    Effect,
    Finding,
    GroupSummary,
    Interval,
    NotEstimable,
    Trajectory,
    Verdict,
)

if TYPE_CHECKING:
    from triaxis.records.store import DiagnosticRow

VERSION = 1


def to_json(analysis: Analysis, diagnostics: Iterable[DiagnosticRow] = ()) -> dict[str, Any]:
    """Plain lists, mappings, numbers and texts; nothing in it is NaN or infinite.

    `diagnostics` are those of a study's folder, which are no part of what was inferred.
    """
    found: dict[str, Any] = _finite(
        {
            "version": VERSION,
            "trajectories": [_trajectory(t) for t in analysis.trajectories],
            "group_trajectories": [_trajectory(t) for t in analysis.group_trajectories],
            "condition_trajectories": [_trajectory(t) for t in analysis.condition_trajectories],
            "summaries": [_summary(s) for s in analysis.summaries],
            "effects": [_effect(e) for e in analysis.effects],
            "findings": [_finding(f) for f in analysis.findings],
            "claims": [_verdict(v) for v in analysis.verdicts],
            "diagnostics": [_diagnostic(row) for row in diagnostics],
            "gains": [_gain(cell) for cell in analysis.gains],
            "factors": {name: list(levels) for name, levels in analysis.factors.items()},
            "n_records": analysis.n_records,
            "seed": analysis.seed,
            "warnings": list(analysis.warnings),
        }
    )
    return found


def _finite(value: Any) -> Any:
    """The same, after a check: a number that is not finite is a fault of the analysis, never shown as one."""
    if isinstance(value, dict):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ArithmeticError("a number of the analysis is not finite")
    return value


def _value(quantity: Any) -> Any:
    if isinstance(quantity, NotEstimable):
        return {"not_estimable": quantity.reason}
    if isinstance(quantity, Interval):
        return {"value": quantity.value, "low": quantity.low, "high": quantity.high}
    if isinstance(quantity, Dip):
        return {
            "probability": quantity.probability,
            "step": quantity.step,
            "depth": _value(quantity.depth),
            "truncation_share": _value(quantity.truncation_share),
        }
    return quantity


def _trajectory(t: Trajectory) -> dict[str, Any]:
    return {
        "run": t.run,
        "seed": t.seed,
        "model.base": t.base,
        "source": t.source,
        "condition": dict(t.condition),
        "task": t.task,
        "group": t.group,
        "mode": t.mode,
        "n_runs": t.n_runs,
        "n_items": t.n_items,
        "steps": list(t.steps),
        "scores": [_value(score) for score in t.scores],
        "response_tokens": list(t.response_tokens),
        "truncated": list(t.truncated),
        "refused": list(t.refused),
        "accuracy_finished": list(t.accuracy_finished),
        "phase": t.phase,
        "phase_probability": t.phase_probability,
        "probabilities": dict(t.probabilities),
        "dip": _value(t.dip),
        "regain_probability": _value(t.regain_probability),
        "net_gain": _value(t.net_gain),
        "tau": {"value": t.tau, "from": t.tau_from},
        "stopped_early": list(t.stopped),
    }


def _diagnostic(row: DiagnosticRow) -> dict[str, Any]:
    head = {"run": row.run, "model.base": row.base, "step": row.step, "name": row.name.removeprefix(DIAGNOSTIC)}
    if row.value is None:
        return {**head, "not_estimable": row.reason}
    return {**head, "value": row.value, "low": row.low, "high": row.high, "unit": row.unit, "method": row.method}


def _effect(e: Effect) -> dict[str, Any]:
    head = {
        "estimand": e.estimand,
        "step": e.step,
        "group": e.group,
        "factors": list(e.factors),
        "contrast": e.contrast,
        "scale": e.scale,
        "source": e.source,
        "mode": e.mode,
    }
    if isinstance(e.estimate, NotEstimable):
        return {**head, "not_estimable": e.estimate.reason}
    return {
        **head,
        "value": e.estimate.value,
        "low": e.estimate.low,
        "high": e.estimate.high,
        "p": e.p,
        "p_adjusted": e.p_adjusted,
        "unit": e.unit,
        "n_units": e.n_units,
        "n_runs": e.n_runs,
        "item_pool": e.item_pool,
        "method": e.method,
        "note": e.note,
    }


def _finding(f: Finding) -> dict[str, Any]:
    head = {
        "question": f.question,
        "quantity": f.quantity,
        "unit": f.unit,
        "group": f.group,
        "factors": list(f.factors),
        "contrast": f.contrast,
        "within": dict(f.within),
        "source": f.source,
        "mode": f.mode,
    }
    if isinstance(f.estimate, NotEstimable):
        return {**head, **_value(f.estimate)}
    return {
        **head,
        **_value(f.estimate),
        "p": f.p,
        "p_adjusted": f.p_adjusted,
        "sampled": f.sampled,
        "n_units": f.n_units,
        "n_runs": f.n_runs,
        "item_pool": f.item_pool,
        "method": f.method,
        "note": f.note,
    }


def _summary(s: GroupSummary) -> dict[str, Any]:
    return {
        "condition": dict(s.condition),
        "source": s.source,
        "group": s.group,
        "mode": s.mode,
        "step": s.step,
        "n_runs": s.n_runs,
        "n_items": s.n_items,
        "base_score": s.base_score,
        "score": s.score,
        "gain": _value(s.gain),
        "best_gain": _value(s.best_gain),
        "phase": s.phase,
        "phase_probability": s.phase_probability,
        "response_tokens": s.response_tokens,
        "truncated": s.truncated,
        "unparsed": s.unparsed,
        "refused": s.refused,
        "accuracy_finished": s.accuracy_finished,
        "stopped_early": s.stopped,
    }


def _gain(cell: CellGain) -> dict[str, Any]:
    return {
        "run": cell.run,
        "source": cell.source,
        "step": cell.step,
        "task": cell.task,
        "group": cell.group,
        "mode": cell.mode,
        "asked": cell.asked,
        "of": cell.of,
        "stopped_early": cell.stopped,
        "gain": _value(cell.gain),
        "settled": cell.settled,
        "smallest_effect": cell.smallest_effect,
    }


def _verdict(v: Verdict) -> dict[str, Any]:
    return {
        "claim": v.claim,
        "statement": v.statement,
        "decision": v.decision,
        "reason": v.reason,
        "estimand": v.estimand,
        "smallest_effect": v.smallest_effect,
        "estimate": None if v.estimate is None else _value(v.estimate),
        "scale": v.scale,
        "source": v.source,
        "excludes": list(v.excludes),
        "evidence": v.evidence,
        "p": v.p,
        "p_holm": v.p_holm,
        "n_runs": v.n_runs,
        "method": v.method,
    }
