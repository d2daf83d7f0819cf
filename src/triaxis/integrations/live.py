"""Where a run stands while it is trained, in one line: the phase of each group, by the shape model on what is there."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from triaxis.analyze.dense import build
from triaxis.analyze.paths import NO_BASE, Path, group_paths, task_paths
from triaxis.analyze.trajectories import Noises, run_trajectory, seed_noises
from triaxis.records import Table
from triaxis.stats.noise import SeedNoise
from triaxis.stats.shape import DECIDED, SMALLEST_CHANGE
from triaxis.types import GROUPS, Dip, Record, Trajectory

WORDS = {
    "flat": "level with its base",
    "plateau": "risen and level",
    "rising": "rising",
    "recovered": "recovered from a dip",
    "overfit": "falling after a rise",
    "declining": "falling",
}
IN_DIP, BELOW = "in the dip", "below its base, a dip or a decline"  # a fall that still goes on may yet be a dip
EITHER = (  # what can be said where one phase can't
    (("plateau", "rising"), "risen or still rising"),
    (("flat", "recovered"), "level with its base"),
    (("overfit", "declining"), "falling"),
)
# What a checkpoint may wander, in score, where no seeds tell: with .01 alone, as an analysis takes it, what is said of
# runs that wander by .03 is right half as often as it says (benchmarks/live.py).
WANDERS = (0.005, 0.01, 0.02, 0.04)


def standing(table: Table, run: str, step: int, records: Sequence[Record]) -> str:
    """Where a run stands at a step, from all that its folder holds; `records` are those of this step."""
    if step == 0:
        return "the base, " + ", ".join(f"{name} {_number(score)}" for name, score in _means(records).items())
    groups = group_paths(task_paths(build(table)), [])
    noises = seed_noises(groups)
    own = sorted((path for path in groups if path.run == run), key=lambda path: (_place(path.group), path.mode))
    told, unsure, early, reason = [], [], [], ""
    for path in own:
        found = _read(path, noises)
        if not isinstance(found.dip, Dip):
            early.append(_course(found))
            reason = "its base is not measured" if found.dip.reason == NO_BASE else found.dip.reason
        elif claimed := claim(found):
            fallen = claimed[0] in (IN_DIP, BELOW)
            limit = _if_it_wanders(path, noises, claimed) if fallen else ""
            words = f"{claimed[0]}, P {_probability(claimed[1])} ({_course(found)}{limit})"
            others = [other for other in groups if other.run != run and _alike(other, path)]
            told.append(words + (_of_others([_read(other, noises) for other in others], step) if fallen else ""))
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


def _read(path: Path, noises: Noises) -> Trajectory:
    """The trajectory so far; without seeds that tell how far a checkpoint wanders, averaged over what it may be."""
    noise = noises.of(path)
    if noise.source == "seeds":
        return run_trajectory(path, noise)
    return run_trajectory(path, *(SeedNoise(wander, 0.0, noise.source) for wander in WANDERS))


def _if_it_wanders(path: Path, noises: Noises, claimed: tuple[str, float]) -> str:
    """What a fall's probability is where checkpoints wander the most that they may: averaged over less, it is said too
    surely of runs that do (benchmarks/live.py). Empty where seeds tell how far they wander.
    """
    if noises.of(path).source == "seeds":
        return ""
    found = run_trajectory(path, SeedNoise(max(WANDERS), 0.0, "default"))
    p = (found.in_dip_probability if claimed[0] == IN_DIP else found.below_probability) or 0.0
    return (
        f"; P {_probability(p)} if its checkpoints wander by {100 * max(WANDERS):g} points, which one seed can't tell"
    )


def claim(found: Trajectory) -> tuple[str, float] | None:
    """What can be said of where a trajectory stands, with its probability; None where nothing has .8.

    Where it stands now comes first: one that comes back from a dip, and isn't back yet, is in the dip.
    """
    p = found.probabilities
    if (p_dip := found.in_dip_probability or 0.0) >= DECIDED:
        return IN_DIP, p_dip
    if found.phase in WORDS:
        return WORDS[found.phase], found.phase_probability
    if (p_below := found.below_probability or 0.0) >= DECIDED:
        return BELOW, p_below
    sums = ((words, sum(p[phase] for phase in phases)) for phases, words in EITHER)
    return next(((words, together) for words, together in sums if together >= DECIDED), None)


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


def _of_others(others: Sequence[Trajectory], step: int) -> str:
    """What became of the other runs that fell as one at this step has; empty where there are none.

    Only runs that went further than this step can tell. One has recovered at its first checkpoint after the bottom
    that is within a point of the base.
    """
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
    return dipped or (other.below_probability or 0.0) >= DECIDED


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
