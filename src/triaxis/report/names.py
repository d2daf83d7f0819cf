"""What conditions, trajectories and sources are called: by what tells them apart, and by no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from triaxis.report import words
from triaxis.types import Analysis, Effect, Finding, GroupSummary, Level, Trajectory


@dataclass(frozen=True)
class Names:
    """How the conditions of one analysis are named."""

    factors: tuple[str, ...]  # those that tell the conditions apart
    sources: Mapping[str, str]  # source -> its short name; empty where there is one source
    levels: Mapping[str, Sequence[Level]]  # of every factor, in the order of the study

    def order(self, item: GroupSummary | Trajectory) -> tuple[int, ...]:
        """Where a condition stands in the design: the place of its level on each factor, those without one last."""
        held = ((levels, item.condition.get(name)) for name, levels in self.levels.items())
        return tuple(levels.index(level) if level in levels else len(levels) for levels, level in held)

    def condition(self, item: GroupSummary | Trajectory) -> str:
        """A condition by its factors, and by its source where there are several."""
        source = self.sources.get(item.source, "")
        return ", ".join(part for part in (words.condition_word(item.condition, self.factors), source) if part)

    def trajectory(self, trajectory: Trajectory) -> str:
        """A trajectory by its task or group, its run or condition, and its mode where it is not the default."""
        where = trajectory.task or words.group_word(trajectory.group)
        who = trajectory.run or self.condition(trajectory)
        parts = [who, self.sources.get(trajectory.source, "") if trajectory.run else "", mode_word(trajectory.mode)]
        return f"{where}: {', '.join(part for part in parts if part)}"

    def basis(self, effect: Effect | Finding) -> str:
        """The source and the mode of an effect or a finding, where they need saying."""
        return ", ".join(part for part in (self.sources.get(effect.source, ""), mode_word(effect.mode)) if part)


def mode_word(mode: str) -> str:
    """A mode in words; nothing for the default."""
    return "" if mode in ("", "default") else f"{mode} mode"


def naming(analysis: Analysis) -> Names:
    """How the conditions of this analysis are named."""
    sources = [item.source for item in analysis.summaries]
    sources += [item.source for item in (*analysis.condition_trajectories, *analysis.group_trajectories)]
    factors = tuple(telling(analysis.factors, conditions(analysis)))
    return Names(factors, _short_sources(list(dict.fromkeys(sources))), analysis.factors)


def _short_sources(sources: Sequence[str]) -> dict[str, str]:
    """Each source without the words that all begin with, save the last of these: "Table 1"; none where there is one."""
    if len(sources) < 2:
        return {}
    shared = 0
    for together in zip(*(source.split() for source in sources), strict=False):
        if len(set(together)) > 1:
            break
        shared += 1
    return {source: " ".join(source.split()[max(shared - 1, 0) :]) or "no source" for source in sources}


def conditions(analysis: Analysis) -> list[Mapping[str, Level]]:
    """The distinct conditions, in the order in which they come."""
    held = [item.condition for item in analysis.summaries]
    held += [item.condition for item in (*analysis.condition_trajectories, *analysis.trajectories)]
    return list({tuple(sorted((name, repr(value)) for name, value in one.items())): one for one in held}.values())


def telling(factors: Mapping[str, Sequence[Level]], held: Sequence[Mapping[str, Level]]) -> list[str]:
    """The factors that a condition is named by: without those that only repeat another one.

    `model.parameters` says nothing beside `model.base`. A factor repeats another where that one's levels, each of
    them seen in several of the conditions `held`, fix its own.
    """
    kept = list(factors)
    for name in reversed(list(factors)):
        if any(_fixes(other, name, held) for other in kept if other != name):
            kept.remove(name)
    return kept


def _fixes(one: str, other: str, held: Sequence[Mapping[str, Level]]) -> bool:
    pairs = {(repr(condition.get(one)), repr(condition.get(other))) for condition in held}
    levels = {level for level, _ in pairs}
    return len(levels) == len(pairs) and 2 * len(levels) <= len(held) and len({level for _, level in pairs}) > 1
