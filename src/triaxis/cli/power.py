"""`triaxis study power`: what a study can find, before it is run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from triaxis.types import TriaxisError

if TYPE_CHECKING:
    from triaxis.analyze.evidence import Evidence
    from triaxis.analyze.power_bases import Trait
    from triaxis.analyze.variances import Variances
    from triaxis.study import Study


def power(
    study: Annotated[Path, typer.Argument(help="The study, a YAML file.")],
    effect: Annotated[
        float | None,
        typer.Option(
            help="The effect to find, as a fraction (.03 is 3 points); of an interaction the difference of differences."
        ),
    ] = None,
    on: Annotated[str | None, typer.Option(help="One term: a factor, or two or three joined by colons.")] = None,
    group: Annotated[str | None, typer.Option(help="One group of tasks; all by default.")] = None,
    pilot: Annotated[
        Path | None,
        typer.Option(help="A table or a study's folder to take the variances from; stated defaults otherwise."),
    ] = None,
    confidence: Annotated[float, typer.Option(help="Of the intervals.")] = 0.95,
    smallest: Annotated[
        float,
        typer.Option(help="The smallest effect of interest: the interval has to lie beyond it, not only beyond 0."),
    ] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """The power to find an effect, and the effects that the design detects; nothing is run or simulated."""
    _check_numbers(effect, smallest, confidence)
    from triaxis.analyze.power import GroupPower, Question, Sampling, plan_terms, study_cells, terms_of
    from triaxis.analyze.power_bases import trait_terms
    from triaxis.cli.power_text import document, lines
    from triaxis.study import load_study

    declared = load_study(study)
    groups = _groups(declared, group)
    cells = study_cells(declared)
    if not cells.factors:
        raise TriaxisError(f"{study}: nothing varies, so there is no effect to find; list two levels of a setting")
    evidence = None if pilot is None else _evidence(pilot)
    known, notes = _variances(pilot, evidence, groups, group is not None)
    traits = {name: _traits(declared, evidence, name, known[name]) for name in groups}
    names = _term(declared, cells.factors, [trait.name for own in traits.values() for trait in own], on)
    question = Question(effect, smallest, confidence)
    terms, found = terms_of(cells), []
    conditions = [condition.levels for condition in declared.conditions()]
    for own in _alike(declared, groups, known):
        items = (declared.evaluation.inferred,) * len(declared.tasks[own[0]])
        sampling, variances = Sampling(len(declared.seeds), items, declared.evaluation.samples), known[own[0]]
        of_bases = trait_terms(conditions, traits[own[0]], sampling, variances, question, names)
        of_runs = () if of_bases and names else plan_terms(cells, terms, sampling, variances, question, names)
        found.append(GroupPower(own, sampling, variances, (*of_runs, *of_bases)))
    notes += _notes(declared, cells.factors, any(traits.values()))
    if as_json:
        print(json.dumps(document(declared, question, found, notes), indent=1, allow_nan=False))
        return
    print("\n".join(lines(declared, question, found, notes)))


def _check_numbers(effect: float | None, smallest: float, confidence: float) -> None:
    """Refuse what is no size of an effect, or no confidence; NaN is neither."""
    if effect is not None and not 0 < effect < 1:
        hint = f"; {effect:g} points are {effect / 100:g}" if 1 <= effect < 100 else ""
        hint = "; give its size, without the sign" if effect < 0 else hint
        raise TriaxisError(f"--effect: must be a fraction between 0 and 1, got {effect:g}{hint}")
    if not 0 <= smallest < 1:
        raise TriaxisError(f"--smallest: must be a fraction from 0 to below 1, got {smallest:g}")
    if effect is not None and effect <= smallest:
        raise TriaxisError(
            f"--effect: {effect:g} does not exceed --smallest {smallest:g}; give a larger effect to find"
        )
    if not 0.5 <= confidence < 1:
        raise TriaxisError(f"--confidence: must be from .5 to below 1, got {confidence:g}")


def _groups(study: Study, group: str | None) -> list[str]:
    from triaxis.study.mistakes import nearest

    if group is None:
        return list(study.tasks)
    if group not in study.tasks:
        near = nearest(group, study.tasks)
        hint = f"did you mean {near}?" if near else f"it has {', '.join(study.tasks)}"
        raise TriaxisError(f"--group: the study has no group {group}; {hint}")
    return [group]


def _term(study: Study, factors: Sequence[str], traits: Sequence[str], on: str | None) -> tuple[str, ...] | None:
    """The factors named by `on`, each of which has to vary or to describe bases; sorted."""
    from triaxis.study.mistakes import nearest, shown

    if on is None:
        return None
    names = tuple(name.strip() for name in on.split(":"))
    for name in names:
        if name in factors or name in traits:
            continue
        if name in study.given or name in study.conditions()[0].settings:
            raise TriaxisError(f"--on: {name} does not vary in this study; its factors are {', '.join(factors)}")
        near = nearest(name, factors)
        hint = f"did you mean {near}?" if near else f"they are {', '.join(factors)}"
        raise TriaxisError(f"--on: {shown(name)} is no factor of this study; {hint}")
    if len(set(names)) < len(names) or len(names) > 3:
        raise TriaxisError(f"--on: must be one, two or three different factors, got {on}")
    return tuple(sorted(names))


def _variances(
    pilot: Path | None, evidence: Evidence | None, groups: Sequence[str], one: bool
) -> tuple[dict[str, Variances], list[str]]:
    """The variances of each group: the pilot's, or the defaults."""
    from triaxis.analyze.variances import default_variances, pilot_variances

    if evidence is None:
        told = "the variances are defaults, not yours: give --pilot with a few runs of two seeds a condition"
        return {group: default_variances() for group in groups}, [told]
    lacking = [group for group in groups if group not in evidence.asked]
    have = ", ".join(evidence.asked) or "none with accuracy"
    if len(lacking) == len(groups):
        which = f"group {lacking[0]}" if one else "group of this study"
        raise TriaxisError(f"{pilot}: the pilot has no {which}; its groups are {have}")
    known = {g: default_variances() if g in lacking else pilot_variances(evidence, g) for g in groups}
    return known, [f"the pilot has no group {group} (it has {have}): defaults there" for group in lacking]


def _alike(study: Study, groups: Sequence[str], known: Mapping[str, Variances]) -> list[tuple[str, ...]]:
    """The groups, those together that have as many tasks and the same variances: their answers are the same."""
    found: list[list[str]] = []
    for name in groups:
        same = [
            own for own in found if len(study.tasks[own[0]]) == len(study.tasks[name]) and known[own[0]] == known[name]
        ]
        if same:
            same[0].append(name)
        else:
            found.append([name])
    return [tuple(own) for own in found]


def _traits(study: Study, evidence: Evidence | None, group: str, variances: Variances) -> list[Trait]:
    """What a pilot's table says of the study's bases."""
    from triaxis.analyze.power_bases import traits_of

    if evidence is None or group not in evidence.asked:
        return []
    return traits_of(evidence.asked[group], [str(c.settings["model.base"]) for c in study.conditions()], variances)


def _evidence(pilot: Path) -> Evidence:
    from triaxis.analyze.analysis import evidence_of
    from triaxis.analyze.dense import build
    from triaxis.analyze.paths import copies, task_paths
    from triaxis.records import read_table

    table = read_table(pilot, text=False)
    panel = build(table)
    tasks = task_paths(panel)
    left = copies(tasks, [])
    whole = [path for path in tasks if path.run not in table.incomplete and (path.source, path.run) not in left]
    found = evidence_of(whole, panel)
    if not found:
        raise TriaxisError(f"{pilot}: the pilot has no finished run")
    if len(found) > 1:
        names = ", ".join(each.source or "no source" for each in found)
        raise TriaxisError(f"{pilot}: the pilot mixes {len(found)} sources ({names}); give a table of one")
    return found[0]


def _notes(study: Study, factors: Sequence[str], traits: bool) -> list[str]:
    from triaxis.analyze.bases import ENOUGH_BASES
    from triaxis.study.axes import COURSE
    from triaxis.study.identify import ONE_SEED

    notes = [ONE_SEED] if len(study.seeds) == 1 else []
    if len(study.seeds) == 2:
        notes.append(
            "two seeds a condition: the error has few degrees of freedom, and much of the power goes into that"
        )
    course = [name for name in factors if name in COURSE]
    if course and len(factors) > 1:
        notes.append(
            f"{', '.join(course)}: runs of a seed that differ in nothing else share their first steps and are no "
            "replicates of each other; what averages over them is planned as if they were, so its power is the most "
            "that it can be"
        )
    n_bases = len({str(c.settings["model.base"]) for c in study.conditions()})
    if n_bases >= ENOUGH_BASES and not traits:
        notes.append(
            f"{n_bases} bases: what describes them (size, family) is tested over bases, which is not planned here"
        )
    notes.append("gains in points at the last checkpoint, far from 0 and 1: at a floor or ceiling effects are smaller")
    return notes
