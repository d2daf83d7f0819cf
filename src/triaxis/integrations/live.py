"""Where a run stands while it is trained, in one line: the phase of each group, by the shape model on what is there."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from triaxis.analyze.dense import build
from triaxis.analyze.paths import NO_BASE, Path, group_paths, task_paths
from triaxis.analyze.trajectories import run_trajectory, seed_noises
from triaxis.records import Table
from triaxis.stats.shape import DECIDED, SMALLEST_CHANGE
from triaxis.types import GROUPS, Dip, Record, Trajectory

WORDS = {
    "flat": "level with its base",
    "plateau": "risen and level",
    "rising": "rising",
    "dip": "in the dip",
    "recovered": "recovered from a dip",
    "overfit": "falling after a rise",
    "declining": "falling",
}
EITHER = (  # what can be said where one phase can't; a fall that still goes on may yet be a dip
    (("dip", "declining"), "below its base, a dip or a decline"),
    (("plateau", "rising"), "risen or still rising"),
    (("flat", "recovered"), "level with its base"),
    (("overfit", "declining"), "falling"),
)
BELOW = ("dip", "declining")


def standing(table: Table, run: str, step: int, records: Sequence[Record]) -> str:
    """Where a run stands at a step, from all that its folder holds; `records` are those of this step."""
    if step == 0:
        return "the base, " + ", ".join(f"{name} {_number(score)}" for name, score in _means(records).items())
    groups = group_paths(task_paths(build(table)), [])
    noises = seed_noises(groups)
    own = sorted((path for path in groups if path.run == run), key=lambda path: (_place(path.group), path.mode))
    told, unsure, early, reason = [], [], [], ""
    for path in own:
        found = run_trajectory(path, noises.of(path))
        if not isinstance(found.dip, Dip):
            early.append(_course(found))
            reason = "its base is not measured" if found.dip.reason == NO_BASE else found.dip.reason
        elif said := _said(found):
            others = [other for other in groups if other.run != run and _alike(other, path)]
            told.append(said + _of_others(found, [run_trajectory(o, noises.of(o)) for o in others], step))
        else:
            unsure.append(f"{_course(found)}: {_likeliest(found)}")
    told += [f"can't tell yet ({', '.join(unsure)})"] if unsure else []
    told += [f"no phase yet ({', '.join(early)}): {reason}"] if early else []
    return "; ".join(told)


def _place(group: str) -> int:
    return GROUPS.index(group) if group in GROUPS else len(GROUPS)


def _means(records: Sequence[Record]) -> dict[str, float]:
    """The mean over its tasks of each group."""
    scores: dict[str, dict[str, list[float]]] = {}
    for record in records:
        scores.setdefault(record.group, {}).setdefault(record.task, []).append(record.score)
    return {g: sum(sum(s) / len(s) for s in tasks.values()) / len(tasks) for g, tasks in scores.items()}


def _said(found: Trajectory) -> str:
    """The phase of a trajectory with its probability; where none has .8, two that have it together; else nothing."""
    p = found.probabilities
    if found.phase in WORDS:
        return f"{WORDS[found.phase]}, P {_probability(found.phase_probability)} ({_course(found)})"
    for phases, words in EITHER:
        if (together := sum(p[phase] for phase in phases)) >= DECIDED:
            return f"{words}, P {_probability(together)} ({_course(found)})"
    return ""


def _likeliest(found: Trajectory) -> str:
    """The two likeliest phases, each with its probability."""
    p = found.probabilities
    return " or ".join(f"{phase} {_number(p[phase])}" for phase in sorted(p, key=lambda phase: -p[phase])[:2])


def _course(found: Trajectory) -> str:
    """The group with its first and last score."""
    mode = "" if found.mode == "default" else f" {found.mode}"
    first, last = (_number(found.scores[i].value) for i in (0, -1))
    return f"{found.group}{mode} {first} to {last}" if found.steps[0] == 0 else f"{found.group}{mode} {last}"


def _alike(other: Path, path: Path) -> bool:
    """Whether another run says anything of this one: the same group, asked in the same way, of the same base."""
    return (other.source, other.mode, other.group, other.base) == (path.source, path.mode, path.group, path.base)


def _of_others(found: Trajectory, others: Sequence[Trajectory], step: int) -> str:
    """What became of the other runs that fell as this one has; empty where it hasn't, or where there are none.

    Only runs that went further than this step can tell. One has recovered at its first checkpoint after the bottom
    that is within a point of the base.
    """
    if sum(found.probabilities[phase] for phase in BELOW) < DECIDED:
        return ""
    such = [o for o in others if o.steps[-1] > step and _fell(o)]
    if not such:
        return ""
    times = [when for other in such if (when := _recovery(other)) is not None]
    if not times:
        return f"; none of {len(such)} such run{'s' * (len(such) > 1)} here recovered"
    ratio = median(times) / step
    by = f"by {ratio:.1f} times this step" if ratio > 1 else f"by step {median(times):g}"
    return f"; {len(times)} of {len(such)} such run{'s' * (len(such) > 1)} here recovered, {by}"


def _fell(other: Trajectory) -> bool:
    """Whether it fell below its base, for a while or for good."""
    dipped = isinstance(other.dip, Dip) and other.dip.probability >= DECIDED
    return dipped or sum(other.probabilities.get(phase, 0.0) for phase in BELOW) >= DECIDED


def _recovery(other: Trajectory) -> int | None:
    """The step by which a run that fell was level with its base again; None where it never was."""
    scores = [score.value for score in other.scores]
    bottom = min(range(1, len(scores)), key=lambda i: scores[i])
    if isinstance(other.dip, Dip) and other.dip.step in other.steps:
        bottom = other.steps.index(other.dip.step)
    level = scores[0] - SMALLEST_CHANGE
    return next((other.steps[i] for i in range(bottom + 1, len(scores)) if scores[i] >= level), None)


def _number(value: float) -> str:
    return f"{value:.2f}".removeprefix("0") if value >= 0 else f"{value:.2f}"


def _probability(p: float) -> str:
    return "> .99" if p > 0.99 else f"= {_number(p)}"
