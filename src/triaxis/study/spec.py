"""The study: what to vary and what to ask, checked and resolved, with its conditions and runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    PlainValidator,
    PrivateAttr,
    ValidationError,
    field_validator,
)

from triaxis.study.asking import grouped
from triaxis.study.axes import (
    KIND,
    MAX_STEPS,
    NO_KIND,
    NO_RULE,
    RATE,
    RULE,
    SETTINGS,
    TRAINED_ON,
    level_of,
    resolve,
    section_of,
    total_steps,
)
from triaxis.study.design import Design, Exclusion, Point, combinations
from triaxis.study.diagnostics import Diagnostics, diagnostics_of
from triaxis.study.evaluation import Adaptive, Budget, Evaluation
from triaxis.study.fields import AS_IS, MAX_WHOLE, Names, Range, Strict, Value
from triaxis.study.identify import Identification, identify
from triaxis.study.ids import run_id
from triaxis.study.judging import JudgeSettings
from triaxis.study.mistakes import Mistake, first_mistake, nearest, shown
from triaxis.study.notes import coinciding, notes_on, refuse_trained
from triaxis.study.reading import read_text, read_yaml
from triaxis.study.selection import BEST, Selection, check_groups, looked_at
from triaxis.study.trained import HARNESS, source_of
from triaxis.study.trajectory import Trajectory
from triaxis.types import AXES, Level, TriaxisError

MAX_SEEDS = 1000
MAX_RUNS = 100_000


@dataclass(frozen=True)
class Condition:
    """A point in the three axes: one level of every factor, and every setting `axis.key` resolved.

    Where there is no noise, the level of `data.noise_kind` is none.
    """

    levels: Mapping[str, Level]
    settings: Mapping[str, Level]

    @property
    def total_steps(self) -> int:
        """Optimizer steps."""
        return total_steps(self.settings)


@dataclass(frozen=True)
class Run:
    """A condition with a seed."""

    id: str
    condition: Condition
    seed: int
    steps: tuple[int, ...]  # of its trajectory: 0 first, the run's length last


@dataclass(frozen=True)
class Setting:
    """One resolved setting and where it came from; the `value` of a factor is its levels, or its range in words."""

    name: str
    value: Level | tuple[Level, ...] | None
    source: Literal["user", "study", "default"]


def _named(name: str) -> str:
    if not re.fullmatch(r"[^\W_][\w. -]{0,79}", name):
        raise ValueError(
            f"must be up to 80 letters, digits, spaces and ._-, and start with a letter, got {shown(name)}"
        )
    return name


def _seeds(value: object) -> tuple[int, ...]:
    if type(value) is int:
        if not 1 <= value <= MAX_SEEDS:
            raise ValueError(f"a number of seeds must be 1 to {MAX_SEEDS}, got {value}")
        return tuple(range(value))
    seeds = tuple(value) if isinstance(value, list | tuple) else ()
    if not 1 <= len(seeds) <= MAX_SEEDS or not all(type(seed) is int and 0 <= seed <= MAX_WHOLE for seed in seeds):
        raise ValueError(f"must be a number of seeds or a list of whole numbers from 0, got {shown(value)}")
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"a seed is listed twice in {shown(list(seeds))}; each seed is one replicate")
    return seeds


def _words(levels: Mapping[str, Any]) -> str:
    return " and ".join(f"{name} {level}" for name, level in levels.items())


_REQUIRED_KEYS: Any = Field(default={}, validate_default=True)  # an axis that is left out may still lack a key


def _section(axis: str) -> PlainValidator:
    return PlainValidator(partial(section_of, axis))


class Study(Strict):
    """A study, checked: made by `load_study` or `parse_study`, and unchangeable."""

    name: Annotated[str, AfterValidator(_named)] = "study"
    optimization: Annotated[dict[str, Value], _section("optimization"), AS_IS] = _REQUIRED_KEYS
    data: Annotated[dict[str, Value], _section("data"), AS_IS] = _REQUIRED_KEYS
    model: Annotated[dict[str, Value], _section("model"), AS_IS] = _REQUIRED_KEYS
    design: Design = Design()
    seeds: Annotated[tuple[int, ...], PlainValidator(_seeds), AS_IS] = (0, 1, 2)
    tasks: Annotated[dict[str, Names], Field(min_length=1)]
    trajectory: Trajectory = Trajectory()
    evaluation: Evaluation = Evaluation()
    selection: Selection = Selection()
    diagnostics: Annotated[Diagnostics, PlainValidator(diagnostics_of), AS_IS] = Field(default={})
    budget: Budget = Budget()
    _where: str = PrivateAttr(default="study")
    _user: frozenset[str] = PrivateAttr(default=frozenset())
    _fingerprints: dict[str, str] = PrivateAttr(default={})
    _found: tuple[str, ...] = PrivateAttr(default=())

    @field_validator("tasks")
    @classmethod
    def _groups(cls, tasks: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        return grouped(tasks)

    @property
    def given(self) -> dict[str, Value]:
        """The settings of the axes as the study gives them, `axis.key` in axis order."""
        return {f"{axis}.{key}": value for axis in AXES for key, value in getattr(self, axis).items()}

    @cached_property
    def factors(self) -> dict[str, tuple[Level, ...]]:
        """What varies: `axis.key` to its levels, as listed; those that were drawn, in order, for a range."""
        found: dict[str, tuple[Level, ...]] = {}
        for name, value in self.given.items():
            if isinstance(value, Range):
                found[name] = tuple(sorted({point[name] for point in self._points}))
            elif isinstance(value, tuple):
                found[name] = value
        return found

    @property
    def settings(self) -> list[Setting]:
        """Every resolved setting with its source, in the order of the study's sections."""
        first = self.conditions()[0].settings
        axes: dict[str, Any] = {name: self.factors.get(name, first[name]) for name in SETTINGS if name in first}
        axes |= {name: self._fixed[name] for name in (KIND,) if name in self._fixed}  # the first may be without noise
        axes |= {name: str(value) for name, value in self.given.items() if isinstance(value, Range)}
        if "optimization.micro_batch_size" not in self.given:
            axes["optimization.micro_batch_size"] = axes["optimization.batch_size"]
        values: dict[str, Any] = {"name": self.name, "seeds": self.seeds, **axes}
        values |= {f"design.{key}": getattr(self.design, key) for key in self.design.keys}
        values |= {f"tasks.{group}": names for group, names in self.tasks.items()}
        for section in ("trajectory", "selection", "budget"):
            values |= {f"{section}.{key}": value for key, value in getattr(self, section)}
        values |= {f"evaluation.{key}": value for key, value in self.evaluation.told.items()}
        values |= {f"evaluation.judge.{key}": value for key, value in self.evaluation.judge or ()}
        values["diagnostics"] = tuple(self.diagnostics)
        for name, chosen in self.diagnostics.items():
            values |= {f"diagnostics.{name}.{key}": value for key, value in chosen.items()}
        values["design.exclude"] = tuple(_words(levels) for levels in self.design.exclude)
        if "design.center" in values:
            values["design.center"] = _words(self._center)
        return [Setting(name, value, self._source(name)) for name, value in values.items()]

    def _source(self, name: str) -> Literal["user", "study", "default"]:
        section, _, key = name.partition(".")
        content = getattr(self, section)
        if name.startswith("evaluation.judge."):
            content, key = self.evaluation.judge, key.partition(".")[2]
        elif section == "evaluation":
            if not self.evaluation.gives(key):
                return "default"
            key = key.partition(".")[0]
        keys = content if isinstance(content, dict) else getattr(content, "model_fields_set", ())
        if section not in self.model_fields_set or (key and section != "diagnostics" and key not in keys):
            return "default"
        return "user" if {name, section, f"{section}.{key}"} & self._user else "study"

    @cached_property
    def _center(self) -> Point:
        named = {n: self._level(f"design.center.{n}", n, raw) for n, raw in self.design.center.items()}
        return {n: named.get(n, value[0]) for n, value in self.given.items() if isinstance(value, tuple)}

    @cached_property
    def _points(self) -> list[Point]:
        factors = {name: value for name, value in self.given.items() if isinstance(value, tuple | Range)}
        exclude: list[Exclusion] = []
        for i, raw_levels in enumerate(self.design.exclude):
            if not raw_levels:
                raise Mistake(f"design.exclude[{i}]", "is empty; name a level of one factor or more")
            exclude.append({
                name: tuple(
                    self._level(f"design.exclude[{i}].{name}", name, raw)
                    for raw in (listed if isinstance(listed, list) else [listed])
                )
                for name, listed in raw_levels.items()
            })  # fmt: skip
        return combinations(self.design, factors, self._center, exclude)

    def _level(self, path: str, name: str, raw: object) -> Level:
        """A level that the design names, which must be one of a factor's."""
        levels = self.given.get(name)
        if not isinstance(levels, tuple):
            factors = [n for n, value in self.given.items() if isinstance(value, tuple)]
            near = nearest(name, factors)
            hint = f"did you mean {near}?" if near else f"factors with levels: {', '.join(factors) or 'none'}"
            raise Mistake(path, f"{name} is no factor with levels in this study; {hint}")
        try:
            level = level_of(name, raw)
        except Mistake as mistake:
            raise Mistake(path, mistake.message) from None
        if level not in levels:
            raise Mistake(path, f"{level} is no level of {name}; it has {', '.join(str(v) for v in levels)}")
        return level

    @cached_property
    def _conditions(self) -> tuple[Condition, ...]:
        """Points that come to the same settings are one condition: counted twice it would pass for a replicate."""
        found: dict[tuple[Level, ...], Condition] = {}
        for point in self._points:
            settings = resolve(self._fixed | point)
            levels = point | {name: NO_KIND for name in (KIND,) if name in point and not settings[RATE]}
            found.setdefault(tuple(settings.values()), Condition(levels, settings))
        return tuple(found.values())

    @cached_property
    def _fixed(self) -> Point:
        return {n: value for n, value in self.given.items() if not isinstance(value, tuple | Range)}

    def conditions(self) -> tuple[Condition, ...]:
        """The design's conditions, in a stable order, each once."""
        return self._conditions

    def runs(self) -> tuple[Run, ...]:
        """Every condition with the first seed, then with the next: what is there when a study stops is balanced.

        An id is a function of nothing but what the run does: of its settings, trajectory, evaluation, tasks and seed,
        and of the fingerprints of its base, its source and its tasks where there are any. Diagnostics look and change
        nothing, so that they are no part of it.
        """
        evaluation, tasks = self.evaluation.model_dump(), {group: sorted(names) for group, names in self.tasks.items()}
        runs = []
        for seed in self.seeds:
            for condition in self._conditions:
                steps = self.trajectory.steps_for(condition.total_steps)
                done = {"steps": steps, "evaluation": evaluation, "tasks": tasks, "seed": seed}
                base = self._fingerprints.get(str(condition.settings["model.base"]))
                done |= {"base": base} if base else {}
                read = self.read_by(condition)
                done |= {"read": read} if read else {}
                if condition.settings[RULE] != NO_RULE:  # what it is stopped by is what it does
                    done |= {"selection": self.selection.items}
                runs.append(Run(run_id(condition.settings, done), condition, seed, steps))
        return tuple(runs)

    def selects(self, condition: Condition) -> dict[str, tuple[str, ...]]:
        """The tasks, by group, on whose selection split the condition's checkpoints are scored; empty for none."""
        groups = looked_at(condition.settings, self.trajectory.keep, self.selection.best)
        return {group: self.tasks[group] for group in groups if group in self.tasks}

    def read_by(self, condition: Condition | None) -> dict[str, str]:
        """What a run of the condition reads besides its base (without a condition: what is asked of every base), by
        name, with the fingerprint; what has none is left out."""
        names = {name for asked in self.tasks.values() for name in asked}
        settings = condition.settings if condition is not None else {}
        names |= {str(settings[name]) for name in TRAINED_ON if name in settings}
        return {name: self._fingerprints[name] for name in sorted(names) if name in self._fingerprints}

    def with_fingerprints(self, fingerprints: Mapping[str, str], notes: Sequence[str] = ()) -> Study:
        """The study whose run ids depend on what is read, not on its name alone.

        `fingerprints` maps a base to a short hash of its weights and tokenizer, a source or task that is read from a
        file to one of the file; it takes the place of those given before, and what it leaves out keeps the ids of its
        name. `notes` are what was seen when these were read, and go before the study's own. Neither is a part of the
        study's file.
        """
        study = self.model_copy()
        study._fingerprints, study._found = dict(fingerprints), tuple(notes)
        return study

    @property
    def fingerprints(self) -> Mapping[str, str]:
        """What is read, by name, to its fingerprint, as given to `with_fingerprints`."""
        return dict(self._fingerprints)

    @property
    def found(self) -> tuple[str, ...]:
        """The notes that were given to `with_fingerprints`."""
        return self._found

    @property
    def notes(self) -> tuple[str, ...]:
        """What weakens the study's claims without making them wrong, a sentence each."""
        settings = [condition.settings for condition in self._conditions]
        one = coinciding(settings, len(self._points), self.given.get(KIND))
        return (*self._found, *one, *notes_on(settings, self.tasks, len(self.seeds)))

    def identification(self) -> Identification:
        """What the design identifies, from every resolved setting, so that what moves with steps is known too."""
        # As the study says them: a kind of noise that is fixed is no factor, though some conditions have no noise.
        told = [{**c.settings, **self._fixed, **c.levels} for c in self._conditions]
        return identify(told, len(self.seeds))

    def check_tasks(self, known: Sequence[str], opened: Callable[[str], bool] = lambda name: False) -> None:
        """Refuse, as a TriaxisError with the nearest name, a task that isn't among those known.

        `opened` says of a name whether it belongs to no list, such as a file's; those are for others to check, and no
        `data.task`.
        """
        trained = self.given.get("data.task", ())
        asked = [("data.task", str(name)) for name in (trained if isinstance(trained, tuple) else (trained,))]
        for path, name in asked:
            if opened(name):
                benchmark = name.startswith(HARNESS)
                instead = "lm-eval's are not trained on" if benchmark else f"give it as data.source: {source_of(name)}"
                raise TriaxisError(f"{self._where}: {path}: {name} is no task of the lab; {instead}")
        asked += [(f"tasks.{group}", name) for group, names in self.tasks.items() for name in names]
        for path, name in asked:
            if name not in known and not opened(name):
                near = nearest(name, known)
                hint = f"did you mean {near}?" if near else f"there are {', '.join(known)}"
                raise TriaxisError(f"{self._where}: {path}: no task {shown(name)}; {hint}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Study) and self.to_dict() == other.to_dict()

    def to_dict(self) -> dict[str, Any]:
        """The study as written, ready for JSON; `parse_study` makes the same study of it."""
        return self.model_dump(mode="json", exclude_unset=True)

    def replace(self, **changes: Any) -> Study:
        """The study with sections changed by its user (`seeds=1`, `evaluation={"items": 20}`): a mapping is merged."""
        data = self.to_dict()
        names: set[str] = set()
        for section, change in changes.items():
            merge = isinstance(change, Mapping)
            data[section] = {**data.get(section, {}), **change} if merge else change
            names |= {f"{section}.{key}" for key in change} if merge else {section}
        study = parse_study(data, self._where)
        study._user, study._fingerprints = self._user | names, self._fingerprints
        return study


def _check_conditions(study: Study) -> None:
    """Refuse, as a Mistake, a study with a condition that can't be run."""
    if {"steps", "epochs"} <= set(study.optimization):
        raise Mistake("optimization.epochs", "given with optimization.steps, and one decides the other; remove one")
    for condition in study.conditions():
        settings = condition.settings
        batch, micro = settings["optimization.batch_size"], settings["optimization.micro_batch_size"]
        if int(micro) > int(batch):
            raise Mistake("optimization.micro_batch_size", f"{micro} is more than optimization.batch_size {batch}")
        if int(settings["data.examples"]) < int(batch):
            less = f"{settings['data.examples']} is less than optimization.batch_size {batch}"
            raise Mistake("data.examples", f"{less}; a batch would hold an example twice")
        if condition.total_steps > MAX_STEPS:
            many = f"{settings['optimization.epochs']} make {condition.total_steps:,} steps"
            raise Mistake("optimization.epochs", f"{many}, more than {MAX_STEPS:,}; take fewer")
        study.trajectory.check_kept(study.trajectory.steps_for(condition.total_steps))
    if isinstance(study.given.get(KIND), tuple) and not any(c.settings[RATE] for c in study.conditions()):
        raise Mistake(KIND, f"varies, and {RATE} is 0 throughout: there is no noise to be of a kind; give a rate")
    check_groups(
        [condition.settings for condition in study.conditions()],
        study.tasks,
        study.selection.best,
        BEST in study.trajectory.keep,
    )
    refuse_trained([condition.settings for condition in study.conditions()], study.tasks)
    n_runs = len(study.conditions()) * len(study.seeds)
    if n_runs > MAX_RUNS:
        raise Mistake(
            "seeds",
            f"{len(study.conditions())} conditions and {len(study.seeds)} seeds are {n_runs} runs, "
            f"more than {MAX_RUNS}",
        )


def _keys() -> dict[str, list[str]]:
    """The valid keys of the study (""), of each of its sections, and what a misplaced key may have meant."""
    sections: dict[str, type[Strict]] = {
        "design": Design,
        "trajectory": Trajectory,
        "evaluation": Evaluation,
        "selection": Selection,
        "evaluation.judge": JudgeSettings,
        "evaluation.adaptive": Adaptive,
        "budget": Budget,
    }
    return {"": list(Study.model_fields), "elsewhere": list(SETTINGS)} | {
        name: list(section.model_fields) for name, section in sections.items()
    }


def parse_study(data: object, where: str = "study") -> Study:
    """A study from the content of its file; `where` names it in errors. Raises TriaxisError, one line."""
    try:
        if not isinstance(data, Mapping):
            raise Mistake("", "is not a mapping; a study has keys such as model, data and tasks")
        study = Study.model_validate(dict(data))
        study._where = where
        _check_conditions(study)
        return study
    except ValidationError as error:
        raise TriaxisError(f"{where}: {first_mistake(error, _keys())}") from None
    except Mistake as mistake:
        raise TriaxisError(f"{where}: {mistake}") from None


def load_study(path: str | Path) -> Study:
    """The study in a YAML file. Raises TriaxisError, one line."""
    data = read_yaml(read_text(Path(path)), str(path))
    return parse_study(data, str(path))
