"""A claim held against its two simulated cases: how often it is found where it is true, and said where it is not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from triaxis.analyze.analysis import evidence_of
from triaxis.analyze.claims import Claim, judge
from triaxis.analyze.dense import build
from triaxis.analyze.evidence import Evidence
from triaxis.analyze.paths import task_paths
from triaxis.simulate.generate import study
from triaxis.simulate.settings import Settings
from triaxis.types import Decision, TriaxisError, Verdict

Case = Literal["holds", "nothing"]
CASES: tuple[Case, ...] = ("holds", "nothing")
DECISIONS: tuple[Decision, ...] = ("supported", "refuted", "inconclusive", "not testable")
COMMON: Mapping[str, Any] = {  # what a case has unless it says otherwise: the demo's design
    "factors": {
        "optimization.learning_rate": (3e-4, 3e-3),
        "data.noise_rate": (0.0, 0.6),
        "model.base": ("lab:strong", "lab:weak"),
    },
    "bases": {"lab:strong": 0.4, "lab:weak": -0.6},
    "steps": (0, 20, 80, 320),
    "items": 60,
    "seeds": 3,
    "groups": {"in_domain": ("chain",), "near_ood": ("words",), "far_ood": ("a", "b"), "safety": ("refusal",)},
    "noise": {"run": 0.15, "checkpoint": 0.05, "item_condition": 0.2},
}
_ADAPTER = TypeAdapter(Settings)


@dataclass(frozen=True)
class Trial:
    """The verdicts on a claim in simulated studies of one case."""

    claim: str
    case: Case
    verdicts: tuple[Verdict, ...]

    def share(self, decision: Decision) -> float:
        """The share of the studies in which it was decided so."""
        return sum(verdict.decision == decision for verdict in self.verdicts) / len(self.verdicts)

    @property
    def shares(self) -> dict[Decision, float]:
        """The share of each decision."""
        return {decision: self.share(decision) for decision in DECISIONS}

    @property
    def false(self) -> float:
        """The share of false verdicts: supported where nothing is, refuted where it holds."""
        return self.share("refuted" if self.case == "holds" else "supported")


def settings_of(claim: Claim, case: Case) -> Settings:
    """The settings of a claim's case. Raises TriaxisError where they are none."""
    if claim.simulated is None:
        raise TriaxisError(f"{claim.id}: has no simulated cases; add simulated: {{holds: .., nothing: ..}}")
    given = {**COMMON, **claim.simulated.common, **getattr(claim.simulated, case)}
    known = {field.name for field in fields(Settings)}
    for name in given:
        if name not in known:
            raise TriaxisError(f"{claim.id}: simulated: unknown setting {name}; see docs/simulate.md")
    if "seed" in given:
        raise TriaxisError(f"{claim.id}: simulated: seed is given by who tries it; remove it")
    try:
        return _ADAPTER.validate_python(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise TriaxisError(f"{claim.id}: simulated, {where}: {first['msg']}; see docs/simulate.md") from None


def evidence(settings: Settings, seed: int) -> Evidence:
    """The evidence of one simulated study."""
    panel = build(study(replace(settings, seed=seed)).table)
    (found,) = evidence_of(task_paths(panel), panel)
    return found


def trial(claim: Claim, case: Case, seeds: Iterable[int]) -> Trial:
    """The claim judged in a simulated study of a case for each seed."""
    settings = settings_of(claim, case)
    return Trial(claim.id, case, tuple(judge(claim, evidence(settings, seed)) for seed in seeds))
