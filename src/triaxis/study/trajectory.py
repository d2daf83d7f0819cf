"""Which steps of a run are measured: listed by the user, or by a rule that is dense where scores move early; and whose
weights are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import PlainValidator

from triaxis.study.fields import AS_IS, MAX_WHOLE, Strict
from triaxis.study.mistakes import Mistake, shown
from triaxis.study.selection import BEST, LAST

MAX_LISTED = 1000  # checkpoints
SIXTY_FOURTHS = (1, 2, 4, 8, 16, 32, 48, 64)  # of all steps; 640 steps give the paper's 10 20 40 80 160 320 480 640


def default_steps(total_steps: int) -> tuple[int, ...]:
    """Step 0 and at most eight more, doubling from 1/64 of the run to half of it, then 3/4 and the end.

    Strictly increasing and a function of `total_steps` alone: 128 gives 0 2 4 8 16 32 64 96 128.
    """
    return tuple(sorted({0, *(max(1, (total_steps * part + 32) // 64) for part in SIXTY_FOURTHS)}))


def _steps(value: object) -> tuple[int, ...] | Literal["auto"]:
    if value == "auto":
        return "auto"
    steps = value if isinstance(value, list | tuple) else ()
    if not steps or not all(type(step) is int and 0 <= step <= MAX_WHOLE for step in steps):
        raise ValueError("must be auto or a list of steps, such as [4, 16, 64]")
    if len(steps) > MAX_LISTED:
        raise ValueError(f"lists {len(steps)} steps, more than {MAX_LISTED}; every one is a checkpoint")
    if list(steps) != sorted(set(steps)):
        raise ValueError("steps must increase, each listed once")
    return tuple(steps)


def _keep(value: object) -> tuple[int | str, ...]:
    listed = value if isinstance(value, list | tuple) else (value,)
    for i, one in enumerate(listed):
        if one not in (BEST, LAST) and not (type(one) is int and 1 <= one <= MAX_WHOLE):
            raise ValueError(
                f"must list steps from 1, {BEST} or {LAST}, such as [64, {BEST}, {LAST}], got {shown(one)}"
            )
        if one in listed[:i]:
            raise ValueError(f"{shown(one)} is listed twice")
    return tuple(listed)


class Trajectory(Strict):
    """The checkpoints of every run."""

    steps: Annotated[tuple[int, ...] | Literal["auto"], PlainValidator(_steps), AS_IS] = "auto"
    keep: Annotated[tuple[int | str, ...], PlainValidator(_keep), AS_IS] = ()  # checkpoints whose weights are kept

    def steps_for(self, total_steps: int) -> tuple[int, ...]:
        """The steps at which a run of `total_steps` is measured; 0, the base, and the last are always among them.

        Raises Mistake where a listed step lies beyond the run.
        """
        if self.steps == "auto":
            return default_steps(total_steps)
        if self.steps[-1] > total_steps:
            raise Mistake(
                "trajectory.steps", f"step {self.steps[-1]} is beyond the end of a run of {total_steps} steps"
            )
        return tuple(sorted({0, *self.steps, total_steps}))

    def check_kept(self, steps: Sequence[int]) -> None:
        """Raise Mistake where a step whose weights are to be kept is no checkpoint of a run with these."""
        for step in self.keep:
            if isinstance(step, int) and step not in steps:
                raise Mistake(
                    "trajectory.keep", f"step {step} is no checkpoint of a run that is measured at {_some(steps)}"
                )


def _some(steps: Sequence[int]) -> str:
    shown = " ".join(map(str, steps[1:9]))
    return f"{shown} .." if len(steps) > 9 else shown
