"""The whole inference from one table, in order: arrays, trajectories, summaries, effects, claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

from triaxis.analyze.claims import Claim, adjusted, judge, shipped_claims, untestable
from triaxis.analyze.dense import Panel, build
from triaxis.analyze.effects import effects, primary_mode
from triaxis.analyze.evidence import Evidence
from triaxis.analyze.paths import Path, by_condition, copies, group_paths, task_paths
from triaxis.analyze.questions import QUESTIONS
from triaxis.analyze.stopped import Asked
from triaxis.analyze.summaries import group_summaries
from triaxis.analyze.trajectories import Noises, condition_trajectory, run_trajectory, seed_noises
from triaxis.stats.intervals import benjamini_hochberg
from triaxis.types import Analysis, Finding, Trajectory, TriaxisError, Verdict

if TYPE_CHECKING:
    from triaxis.records import Table
    from triaxis.study import Study


def analyze(
    table: Table, *, study: Study | None = None, seed: int = 0, claims: Sequence[Claim] | None = None
) -> Analysis:
    """Everything that Triaxis infers from a table; a pure function of its arguments.

    `study`, where known, tells which runs are still missing from the table; `claims` are put to the test in the place
    of those that are shipped. Raises TriaxisError where the table holds no run.
    """
    panel = build(table)
    if not panel.series:
        raise TriaxisError("the table has base rows only: no run to analyse; add rows with a run id")
    warnings = panel.warnings
    if study is not None:
        warnings += [*study.notes, *_against_study(study, {series.run for series in panel.series})]
    tasks = task_paths(panel)
    groups = group_paths(tasks, warnings)
    left = copies(tasks, warnings)
    task_noise, group_noise = (
        seed_noises([path for path in each if (path.source, path.run) not in left]) for each in (tasks, groups)
    )
    # A run that failed or is still under way has no last checkpoint to be compared: its trajectory is all it gives.
    whole, whole_tasks = (
        [p for p in each if p.run not in table.incomplete and (p.source, p.run) not in left] for each in (groups, tasks)
    )
    asked = Asked.of(table)
    warnings += asked.warnings
    conditions = {
        key: _flagged(condition_trajectory(own, group_noise.of(own[0])), own, asked)
        for key, own in by_condition(whole).items()
    }
    warnings += [*_other_modes(whole), *_twice(tasks)]
    found = effects(whole, warnings)
    evidence = evidence_of(whole_tasks, panel, seed)
    return Analysis(
        trajectories=_runs(tasks, task_noise, asked),
        group_trajectories=_runs(groups, group_noise, asked),
        condition_trajectories=tuple(conditions.values()),
        summaries=group_summaries(whole, conditions),
        effects=asked.said(found),
        findings=asked.said(findings(evidence)),
        verdicts=asked.said(verdicts(evidence, shipped_claims() if claims is None else claims)),
        warnings=(*table.warnings, *warnings),
        factors=panel.factors,
        n_records=panel.n_records,
        seed=seed,
        gains=tuple(asked.gains),
    )


def _against_study(study: Study, there: set[str]) -> list[str]:
    """What the table lacks of the study, and what it has besides."""
    planned = [run.id for run in study.runs()]
    missing = [run for run in planned if run not in there]
    besides = sorted(there - set(planned))
    told = []
    if missing:
        told.append(f"{len(missing)} of {len(planned)} runs of the study are not in the table: {_some(missing)}")
    if besides:
        told.append(f"{len(besides)} runs in the table are not in the study: {_some(besides)}")
    return told


def _other_modes(paths: Sequence[Path]) -> list[str]:
    """Groups that effects leave out, not being scored in the mode that effects speak of."""
    modes: dict[str, dict[str, set[str]]] = {}
    for path in paths:
        modes.setdefault(path.source, {}).setdefault(path.group, set()).add(path.mode)
    told = []
    for source, groups in modes.items():
        mode = primary_mode(set().union(*groups.values()))
        for group, there in groups.items():
            if mode not in there:
                where = f"group {group}" + (f" ({source})" if source else "")
                told.append(f"{where}: scored in mode {', '.join(sorted(there))}, not in {mode}: not in effects")
    return told


def _twice(paths: Sequence[Path]) -> list[str]:
    """Trajectories that two sources hold: equal in base, in factors that both name and in scores of shared tasks."""
    runs: dict[tuple[str, str], list[Path]] = {}
    buckets: dict[tuple[object, ...], set[tuple[str, str]]] = {}
    for path in paths:
        runs.setdefault((path.source, path.run), []).append(path)
        buckets.setdefault((path.base, *_scored(path)), set()).add((path.source, path.run))
    pairs = {pair for alike in buckets.values() for pair in combinations(sorted(alike), 2)}
    return [
        f"the same trajectory in two sources is counted in each: run {one[1]} of {one[0] or 'no source'} and"
        f" run {other[1]} of {other[0] or 'no source'}"
        for one, other in sorted(pairs)
        if one[0] != other[0] and _same(runs[one], runs[other])
    ]


def _scored(path: Path) -> tuple[str, str, tuple[int, ...], tuple[float, ...]]:
    return path.task, path.mode, path.steps, tuple(float(round(score, 9)) for score in path.scores)


def _same(one: Sequence[Path], other: Sequence[Path]) -> bool:
    left, right = one[0].condition, other[0].condition
    if any(left[name] != right[name] for name in left.keys() & right.keys()):
        return False
    mine, theirs = ({(path.task, path.mode): _scored(path) for path in own} for own in (one, other))
    return all(mine[task] == theirs[task] for task in mine.keys() & theirs.keys())


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")


def _runs(paths: Sequence[Path], noises: Noises, asked: Asked) -> tuple[Trajectory, ...]:
    return tuple(_flagged(run_trajectory(path, noises.of(path)), [path], asked) for path in paths)


def _flagged(trajectory: Trajectory, paths: Sequence[Path], asked: Asked) -> Trajectory:
    """With how many of the cells behind each checkpoint were stopped early."""
    return replace(trajectory, stopped=asked.stopped(paths, trajectory.steps))


def _reasons(judged: Sequence[Verdict], sources: Sequence[str]) -> str:
    """Why no source can test a claim: one reason where it is the same everywhere, else each with its sources."""
    of: dict[str, list[str]] = {}
    for source, verdict in zip(sources, judged, strict=True):
        of.setdefault(verdict.reason, []).append(source)
    if len(of) == 1:
        return judged[0].reason
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in of.items())


def evidence_of(tasks: Sequence[Path], panel: Panel, seed: int = 0) -> list[Evidence]:
    """The evidence of each source, in order of its name; `seed` is that of every resampling on it."""
    sources = sorted({path.source for path in tasks})
    return [Evidence(source, [path for path in tasks if path.source == source], panel, seed) for source in sources]


def findings(evidence: Sequence[Evidence]) -> tuple[Finding, ...]:
    """What every question finds in every source, with Benjamini-Hochberg's p over all that have one."""
    found = [finding for each in evidence for question in QUESTIONS for finding in question(each)]
    tested = [i for i, finding in enumerate(found) if finding.p is not None]
    for i, p in zip(tested, benjamini_hochberg([found[i].p or 0.0 for i in tested]), strict=True):
        found[i] = replace(found[i], p_adjusted=p)
    return tuple(found)


def verdicts(evidence: Sequence[Evidence], claims: Sequence[Claim]) -> tuple[Verdict, ...]:
    """The verdicts on claims, source by source; a claim that no source can test is told once."""
    if not evidence:
        return tuple(untestable(claim, "no run is finished") for claim in claims)
    sources = [each.source for each in evidence]
    by_source = [adjusted(claims, [judge(claim, each) for claim in claims]) for each in evidence]
    found: list[Verdict] = []
    for judged in zip(*by_source, strict=True):
        tested = [
            replace(verdict, evidence=source, reason=f"{source}: {verdict.reason}" if sources[1:] else verdict.reason)
            for source, verdict in zip(sources, judged, strict=True)
            if verdict.decision != "not testable"
        ]
        found += tested or [replace(judged[0], reason=_reasons(judged, sources))]
    return tuple(found)
