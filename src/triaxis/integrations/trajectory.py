"""The callback for those who keep their trainer: each checkpoint of the model in training measured into a folder."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import ValidationError

from triaxis.integrations.live import standing
from triaxis.integrations.trainer_folder import TrainerFolder, digest
from triaxis.integrations.trainer_settings import NOT_FACTORS, PLAIN, Told, data_print, precision, told_by, told_by_user
from triaxis.study.evaluation import Evaluation
from triaxis.study.ids import run_id
from triaxis.study.mistakes import Mistake, first_mistake
from triaxis.study.trajectory import Trajectory
from triaxis.tasks import get_task, read_from
from triaxis.types import GROUPS, Checkpoint, Level, TriaxisError

if TYPE_CHECKING:
    from triaxis.integrations.in_training import Measurer

BATCH_SIZE = 64  # responses decoded together where the user says nothing: the optimizer's state is in memory too


def _to_stderr(line: str) -> None:
    print(f"triaxis: {line}", file=sys.stderr, flush=True)


class TrajectoryCallback:
    """Measures a model at log-spaced steps while transformers' Trainer or TRL's SFTTrainer trains it.

        trainer = SFTTrainer(..., callbacks=[TrajectoryCallback("runs", {"in_domain": ["file:test.jsonl"]})])

    `tasks` maps a group to its tasks, `evaluation` has the keys of a study's section (items, max_new_tokens, ..), and
    `steps` are those of its trajectory. `settings` are this run's, `axis.key` to value: they go before those that are
    read from the trainer, and what differs between the runs of a folder is a factor. `run` is the run's id, made of its
    settings, data and seed where it isn't given. `minutes` is what all evaluations of the run may take. `tokenizer`
    is needed where the trainer has none. What is said goes line by line to `tell`, standard error by default.

    Training is the same with and without it, bit for bit. A mistake in the arguments, or a tokenizer that can't ask,
    raises TriaxisError before the first step; after it nothing that goes wrong here stops the training.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """An instance that transformers knows for one of its callbacks; until there is one, nothing loads it."""
        from transformers import TrainerCallback

        if not issubclass(cls, TrainerCallback):
            cls = type(cls.__name__, (cls, TrainerCallback), {"__module__": cls.__module__, "__doc__": cls.__doc__})
        made: Self = object.__new__(cls)
        return made

    def __init__(
        self,
        folder: str | Path,
        tasks: Mapping[str, Sequence[str]],
        *,
        steps: Sequence[int] | Literal["auto"] = "auto",
        evaluation: Mapping[str, Any] | None = None,
        settings: Mapping[str, Level] | None = None,
        run: str | None = None,
        source: str = "",
        minutes: float | None = None,
        tokenizer: Any = None,
        tell: Callable[[str], None] = _to_stderr,
    ) -> None:
        self.folder = TrainerFolder(Path(folder))
        self.tasks = _tasks(tasks)
        self.evaluation = _evaluation(evaluation or {})
        self.trajectory = _trajectory(steps)
        self.settings = told_by_user(settings or {})
        self.run, self.source, self.minutes, self.tokenizer, self.tell = run, source, minutes, tokenizer, tell
        self._measurer: Measurer | None = None  # on the main process, while there is something to measure
        self._steps: tuple[int, ...] = ()
        self._precision = PLAIN  # in which numbers the model answers
        self._tried: set[int] = set()  # by every process alike: all of them wait at the same steps
        self._done: set[int] = set()
        self._spent = self._longest = 0.0  # seconds of evaluation: of the run, and of its longest
        self._problem = ""  # why the last step could not be measured
        self._told_budget = False

    # -- the trainer's events

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **parts: Any) -> None:
        """Make the run known and measure the base, or go on where the run was stopped."""
        from triaxis.integrations.in_training import is_sharded, undisturbed

        self._tried, self._done, self._measurer = set(), set(), None
        if is_sharded(model, args):
            self._steps = ()
            if state.is_world_process_zero:
                self.tell(
                    "the model is sharded over processes, and can't answer in one of them: nothing is measured; let"
                    " the trainer save checkpoints and evaluate those"
                )
            return
        self._steps = self._steps_for(state.max_steps)
        if state.is_world_process_zero:
            with undisturbed(model):
                self._begin(args, state, model, parts)
        if state.global_step in self._steps:  # the base, or where a resumed run was saved and not yet measured
            self._at(args, state, model)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **parts: Any) -> None:
        """Measure the checkpoint, where this step is one."""
        if state.global_step in self._steps:
            self._at(args, state, model)

    def on_epoch_end(self, args: Any, state: Any, control: Any, model: Any = None, **parts: Any) -> None:
        """Measure the end of a run that was stopped early. At `on_train_end` another checkpoint may be loaded."""
        if control.should_training_stop and self._steps and state.global_step not in self._tried:
            self._at(args, state, model, last=True)

    def on_train_end(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        """Say that the run is done, or that its last checkpoint is missing."""
        if self._measurer is None:
            return
        run = self._measurer.run
        try:
            missing = "" if state.global_step in self._done else self._problem or "not one of its checkpoints"
            self.folder.end(run, missing and f"step {state.global_step} was not measured: {missing}")
            self.tell(f"run {run} is done; triaxis analyze {self.folder.path}")
        except Exception as problem:
            self.tell(f"run {run}: {_line(problem)}; what is measured is kept")

    # -- what it does

    def _steps_for(self, total: int) -> tuple[int, ...]:
        try:
            return self.trajectory.steps_for(total)
        except Mistake as mistake:
            raise TriaxisError(f"TrajectoryCallback: steps: {mistake.message}") from None

    def _begin(self, args: Any, state: Any, model: Any, parts: Mapping[str, Any]) -> None:
        """Name the run, say with what settings, and find out what of it is measured."""
        from triaxis.integrations.in_training import Measurer

        dataset = getattr(parts.get("train_dataloader"), "dataset", None)
        told = _merged(told_by(args, state, model, parts.get("optimizer"), dataset), self.settings)
        levels = {one.name: one.value for one in told if one.name not in NOT_FACTORS}
        seed = int(args.seed)
        asked, data = self._asked(), data_print(dataset)
        done = asked | {"steps": self._steps, "seed": seed, "data": data}
        run = self.run or run_id({one.name: one.value for one in told}, done)
        tokenizer = self.tokenizer or parts.get("processing_class")
        self._measurer = Measurer(model, tokenizer, self.tasks, self.evaluation, run, self.tell)
        settings = {one.name: one.value for one in told} | {"told by": {one.name: one.source for one in told}}
        made_of = {"data": data, "questions": digest(asked)}
        self._done, self._spent = self.folder.begin(run, seed, self.source, levels, settings, made_of)
        self._precision = precision(args, model)
        self._longest = 0.0
        where = f"run {run} in {self.folder.path}: seed {seed}, measured at steps {' '.join(map(str, self._steps))}"
        self.tell(where)
        self.tell(", ".join(f"{one.name} {one.value} ({one.source})" for one in told))
        if not any(name.startswith("data.") and name != "data.examples" for name in levels):
            self.tell("nothing is known of the data; name what you vary, as settings={'data.structure': 'long_cot'}")
        if kept := sorted(self._done & set(self._steps)):
            self.tell(f"steps {' '.join(map(str, kept))} are measured already, and are not measured again")
        if state.global_step > 0:
            self._find_base(levels)

    def _asked(self) -> dict[str, Any]:
        """What is asked, for ids: the evaluation, and the tasks with the files that they are read from."""
        tasks = {group: sorted(names) for group, names in self.tasks.items()}
        read = {name: found for names in tasks.values() for name in names if (found := read_from(name))}
        evaluation = self.evaluation.model_dump(exclude={"batch_size"})
        return {"evaluation": evaluation, "tasks": tasks} | ({"read": read} if read else {})

    def _find_base(self, levels: Mapping[str, Level]) -> None:
        if 0 not in self._done and not self.folder.has_base(str(levels["model.base"])):
            self.tell("its base was never measured, and training is past it: no gain can be told of this run")

    def _at(self, args: Any, state: Any, model: Any, last: bool = False) -> None:
        """Measure this step on the main process; the others wait. What goes wrong is said, and training goes on."""
        from triaxis.integrations.in_training import freed, undisturbed, wait

        step = state.global_step
        self._tried.add(step)
        if self._measurer is not None:
            try:
                with undisturbed(model):
                    self._measure(self._measurer, model, step, float(state.epoch or 0), last or step == self._steps[-1])
            except Exception as problem:  # of a model, a verifier, a disk: none is worth a training run
                self._problem = _line(problem)
                self.tell(f"step {step} could not be measured ({self._problem}); training goes on")
            freed()
        wait(args)

    def _measure(self, measurer: Measurer, model: Any, step: int, epoch: float, last: bool) -> None:
        if step in self._done or not self._has_room(step, last):
            return
        began = time.perf_counter()
        if step == 0:
            asked = self._asked() | {"weights": measurer.weights(model)}
            asked |= {"precision": self._precision} if self._precision != PLAIN else {}
            shared = self.folder.base(asked)
            if shared.there:
                self._done.add(0)
                self.tell(f"base {shared.name} is measured already, with these weights and questions")
                return
        else:
            shared = None
        records = measurer.records(model, step, of_base=shared is not None and not shared.own)
        seconds = time.perf_counter() - began
        costs = {"evaluate": (seconds, sum(record.response_tokens or 0 for record in records))}
        self.folder.keep(measurer.run, Checkpoint(step, None, epoch), records, costs, shared)
        self._done.add(step)
        self._spent, self._longest = self._spent + seconds, max(self._longest, seconds)
        self.tell(f"step {step}: {standing(self.folder.table(), measurer.run, step, records)} [{seconds:.0f} s]")

    def _has_room(self, step: int, last: bool) -> bool:
        """Whether the budget holds this evaluation, and the last one, without which no gain can be told."""
        if self.minutes is None:
            return True
        if self._spent + self._longest * (1 if last else 2) <= 60 * self.minutes and self._spent < 60 * self.minutes:
            return True
        self._problem = f"the budget of {self.minutes:g} minutes"
        if not self._told_budget:
            kept = "; what is left is kept for the last" if not last and self._spent < 60 * self.minutes else ""
            self.tell(f"step {step} is not measured: {self._problem} for evaluations is used up{kept}")
        self._told_budget = True
        return False


def _line(problem: BaseException) -> str:
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0][:200]


def _merged(read: Sequence[Told], given: Sequence[Told]) -> list[Told]:
    """The settings by name, the user's own before those that were read."""
    by_name = {one.name: one for one in (*read, *given)}
    if "optimization.epochs" in by_name:  # steps follow from epochs, or the other way round
        by_name.pop("optimization.steps", None)
    return [by_name[name] for name in sorted(by_name)]


def _tasks(tasks: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """The tasks by group; raises TriaxisError for a group or a task that isn't known."""
    found: dict[str, tuple[str, ...]] = {}
    for group, names in tasks.items():
        if group not in GROUPS:
            raise TriaxisError(f"TrajectoryCallback: tasks: no group {group!r}; there are {', '.join(GROUPS)}")
        found[group] = (names,) if isinstance(names, str) else tuple(names)
    every = [name for names in found.values() for name in names]
    if not every:
        raise TriaxisError("TrajectoryCallback: tasks: none given; name some, as {'in_domain': ['file:test.jsonl']}")
    if twice := [name for i, name in enumerate(every) if name in every[:i]]:
        raise TriaxisError(f"TrajectoryCallback: tasks: {twice[0]} is listed twice; a task has one group")
    for group, names in found.items():
        for name in names:
            get_task(name).check_group(group)
    return {group: found[group] for group in GROUPS if group in found}


def _evaluation(given: Mapping[str, Any]) -> Evaluation:
    try:
        evaluation = Evaluation.model_validate({"batch_size": BATCH_SIZE} | dict(given))
    except ValidationError as error:
        mistake = first_mistake(error, {"": Evaluation.model_fields})
        raise TriaxisError(f"TrajectoryCallback: evaluation: {mistake}") from None
    if evaluation.judge is not None:
        raise TriaxisError("TrajectoryCallback: evaluation.judge: leave it out; judge the folder with triaxis judge")
    if evaluation.adaptive is not None:
        raise TriaxisError("TrajectoryCallback: evaluation: adaptive: a callback asks every item; leave it out")
    return evaluation


def _trajectory(steps: Sequence[int] | Literal["auto"]) -> Trajectory:
    try:
        return Trajectory.model_validate({"steps": steps if isinstance(steps, str) else list(steps)})
    except ValidationError as error:
        raise TriaxisError(f"TrajectoryCallback: {first_mistake(error, {})}") from None
