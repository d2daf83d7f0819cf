"""What a user tells of runs that were trained elsewhere: seeds, factors and bases, by options or in a CSV."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from triaxis.types import AXES, Level, TriaxisError

if TYPE_CHECKING:
    from triaxis.execute.checkpoints import Point
    from triaxis.execute.evaluation import RunTold
    from triaxis.records import Store

BASE = "model.base"


def told_runs(
    names: Sequence[str],
    given: Sequence[str],
    seed: int | None,
    csv: Path | None,
    base: str,
    note: Callable[[str], None],
    of_studies: Mapping[str, RunTold] | None = None,
) -> dict[str, RunTold]:
    """Each run with its seed, its factors and its base. Raises TriaxisError where two places say different things.

    `of_studies` are runs that the studies which trained them tell of, as far as nothing else is told.
    """
    from triaxis.execute.evaluation import RunTold

    by_option = dict(_factor(words) for words in given)
    if len(by_option) < len(given):
        raise TriaxisError("--set: gives a factor twice; keep one")
    if csv is not None and (given or seed is not None):
        raise TriaxisError("evaluate: give --runs, or --set and --seed, and not both")
    rows, seeds = _rows(csv, names, note) if csv is not None else ({}, {})
    told: dict[str, RunTold] = {}
    for name in dict.fromkeys(names):
        known = (of_studies or {}).get(name, RunTold(name))
        levels = {**known.levels, **rows.get(name, by_option)}
        theirs = str(levels.get(BASE, base))
        if base and theirs != base:
            said = name in rows or BASE in by_option
            where = (csv if csv is not None else "--set") if said else "the study that trained it"
            raise TriaxisError(
                f"{where}: {BASE} of run {name} is {theirs}, and --base is {base}; leave one of them out"
            )
        if theirs:
            levels[BASE] = theirs
        asked = seeds.get(name, seed)
        told[name] = RunTold(name, known.seed if asked is None else asked, levels, theirs)
    alike = [name for name, run in told.items() if run.seed is None and not run.levels.keys() - {BASE}]
    if len(alike) > 1:
        some = ", ".join(alike[:3]) + (f" and {len(alike) - 3:,} more" if len(alike) > 3 else "")
        note(f"{some}: nothing tells them apart, so they count as one condition run again: give --runs, or --set a run")
    return told


def runs_of_studies(points: Sequence[Point]) -> dict[str, RunTold]:
    """What studies tell of the runs whose weights they keep, under OUT/weights/RUN: factors, seed and base.

    A run whose checkpoints lie elsewhere is left out.
    """
    from triaxis.execute.evaluation import RunTold
    from triaxis.records import Store

    kept: dict[Path, dict[str, str]] = {}  # by a study's folder, its runs and what they are called here
    for point in points:
        for folder in Path(point.model).absolute().parents:
            if folder.parent.name == "weights" and (folder.parent.parent / "study.db").is_file():
                kept.setdefault(folder.parent.parent, {})[folder.name] = point.run
    found = {}
    for home, names in kept.items():
        with Store.open(home, read_only=True) as store:
            for run in store.status():
                if run.run in names:
                    base = str(run.settings.get(BASE, ""))
                    levels = {**run.levels, **({BASE: base} if base else {})}
                    found[names[run.run]] = RunTold(names[run.run], run.seed, levels, base)
    return found


def make_known(told: Mapping[str, RunTold], store: Store) -> None:
    """Add the runs to a folder; what an earlier call told of them stays. Raises TriaxisError where it was told
    otherwise."""
    before = {status.run: status for status in store.status()}
    rows = []
    for name, run in told.items():
        levels, seed = dict(run.levels), run.seed
        if (known := before.get(name)) is not None:
            for factor, level in levels.items():
                if known.levels.get(factor, level) != level:
                    raise TriaxisError(
                        f"{store.path}: run {name} has {factor} {known.levels[factor]}, and now it is {level}; a run "
                        "has one level of each: give it another name (--run)"
                    )
            if seed is not None and known.seed != seed:
                raise TriaxisError(f"{store.path}: run {name} has seed {known.seed}, and now it is {seed}; mend one")
            levels, seed = {**known.levels, **levels}, known.seed
        rows.append((name, seed or 0, "", levels, levels))
    store.add_runs(rows)


def _rows(
    csv: Path, names: Sequence[str], note: Callable[[str], None]
) -> tuple[dict[str, dict[str, Level]], dict[str, int]]:
    """The factors and seeds of the runs in a CSV."""
    from triaxis.integrations.runs import SEED, read_runs

    runs = read_runs(csv)
    for words in runs.warnings:
        note(words)
    lacking = sorted(set(names) - runs.rows.keys())
    if lacking:
        has = ", ".join(list(runs.rows)[:3])
        raise TriaxisError(f"{csv}: lacks run {lacking[0]}, which has checkpoints here (it has {has}); add its row")
    levels: dict[str, dict[str, Level]] = {name: {} for name in names}
    for column, values in runs.values.items():
        for name in levels:
            if column != SEED and name in values:
                levels[name][column] = _level(column, values[name])
    return levels, {name: int(value) for name, value in runs.values.get(SEED, {}).items()}


def _factor(words: str) -> tuple[str, Level]:
    """`data.noise_rate=.3` taken apart."""
    name, equals, value = words.partition("=")
    axis, dot, factor = name.strip().partition(".")
    if not equals or not value.strip():
        raise TriaxisError(f"--set {words}: reads like --set data.noise_rate=.3")
    if axis not in AXES or not dot or not factor:
        raise TriaxisError(
            f"--set {words}: a factor is called {', '.join(f'{a}.NAME' for a in AXES[:2])} or {AXES[2]}.NAME"
        )
    return name.strip(), _level(name.strip(), value.strip())


def _level(name: str, text: str) -> Level:
    """A level as a table would read it: a truth value, a number, else text; a base is text whatever it looks like."""
    if name == BASE:
        return text
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if not text.isascii() or "_" in text:  # Python takes 1_000 for a number, and other scripts' digits
        return text
    for kind in (int, float):
        try:
            level: int | float = kind(text)
        except ValueError:
            continue
        if not math.isfinite(level):
            raise TriaxisError(f"{name}: {text} is no level; give a number or a text")
        return level
    return text
