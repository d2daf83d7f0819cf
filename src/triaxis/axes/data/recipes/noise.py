"""`noise`: a share of the rows made bad in one known way. The rows at 10 % are among those at 30 %."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Literal

from triaxis.axes.data.recipes.broken_form import inconsistent_format, missing_answer, shuffled_steps, truncated
from triaxis.axes.data.recipes.dice import Dice, draw
from triaxis.axes.data.recipes.lab import is_reference, lab_item, rewritten, structure_of
from triaxis.axes.data.recipes.operation import CannotDo, Context, Operation
from triaxis.axes.data.recipes.other_trace import Others, other_trace
from triaxis.axes.data.recipes.wrong_answer import wrong_answer
from triaxis.axes.data.recipes.wrong_step import wrong_step, wrong_step_right_answer
from triaxis.study.fields import Share
from triaxis.tasks import Task
from triaxis.tasks.steps import WITH_WRONG_STEPS, StepTask
from triaxis.types import Example, Item, NoiseKind, TriaxisError

Noisy = tuple[Example, str]  # the row, and what was done to it in a few words
KINDS: dict[NoiseKind, Callable[[Example, Dice, Others], Noisy]] = {
    "wrong_answer": wrong_answer,
    "wrong_step": wrong_step,
    "wrong_step_right_answer": wrong_step_right_answer,
    "other_trace": other_trace,
    "shuffled_steps": shuffled_steps,
    "truncated": truncated,
    "inconsistent_format": inconsistent_format,
    "missing_answer": missing_answer,
}
BORROWING: tuple[NoiseKind, ...] = ("other_trace", "wrong_answer")  # from other rows: a trace, a word as the answer


class Noise(Operation):
    """Each row has a draw of its own, and is made noisy where the draw is below the rate.

    With the mask `own` the draws of one kind say nothing of another's, so that two kinds can be mixed in a set; with
    `shared` every kind makes the same rows noisy, so that kinds are compared on the same rows.
    """

    name: ClassVar[str] = "noise"

    kind: NoiseKind
    rate: Share
    mask: Literal["own", "shared"] = "own"
    shortfall: Share = 0.1  # of the rows drawn; more that can't be made noisy are an error

    def run(self, examples: Iterator[Example], context: Context) -> Iterator[Example]:
        if self.kind not in BORROWING:
            yield from self._each(examples, Others(), context)
        else:
            with context.spill() as rows:
                others = Others(rows, context.seed)
                for example in examples:
                    others.add(example)
                yield from self._each(iter(rows), others, context)
            if others.asked:
                context.entry.notes.append(
                    f"what is borrowed is drawn among the {len(rows):,} rows at hand, in whatever order they come; "
                    "among more rows or fewer the same rows are noisy, and some of them borrow from another row"
                )
        self._check(context)

    def _each(self, examples: Iterator[Example], others: Others, context: Context) -> Iterator[Example]:
        entry = context.entry
        mask = self.kind if self.mask == "own" else ""
        for example in examples:
            if draw(context.seed, mask, example.id) >= self.rate:
                yield example
                continue
            try:
                noisy, how = self._made(example, others, context.seed)
            except CannotDo as reason:
                entry.fail(example.id, str(reason))
                yield example
                continue
            entry.change(example.id, self.kind, how)
            yield noisy

    def _made(self, example: Example, others: Others, seed: int) -> Noisy:
        """The row made noisy; a row of the lab by its task, which knows its steps."""
        lab = lab_item(example)
        if lab is None:
            return KINDS[self.kind](example, Dice(seed, self.kind, "how", example.id), others)
        task, item = lab
        if not is_reference(example, item):
            raise CannotDo("no longer the task's own trace")
        try:
            noisy = rewritten(example, task.noisy(item, structure_of(example), seed, self.kind))
        except TriaxisError as error:
            raise CannotDo(str(error).removeprefix("data.noise_kind: ")) from None
        return noisy, f"by its task{_wrong_steps(task, item, structure_of(example), seed, self.kind)}"

    def _check(self, context: Context) -> None:
        """Say what was reached; refuse to call a set noisy that is far from the rate asked for."""
        entry = context.entry
        made, failed = entry.changed.total(), entry.could_not.total()
        drawn = made + failed
        share = f"{made / entry.rows_in:.4f}" if entry.rows_in else "none"
        entry.notes.append(f"{made:,} of {entry.rows_in:,} rows are noisy ({share}; the rate is {self.rate:g})")
        if failed > self.shortfall * drawn:
            why = ", ".join(f"{why} ({n:,})" for why, n in entry.could_not.most_common(3))
            raise context.mistake(
                f"{failed:,} of the {drawn:,} rows drawn for {self.kind} can't be made so: {why}; more than the share "
                f"of {self.shortfall:g} that `shortfall` allows; take another kind"
            )


def _wrong_steps(task: Task[Any], item: Item, structure: str, seed: int, kind: NoiseKind) -> str:
    """How many steps of a noisy row of the lab are wrong themselves; empty where no steps are written, or none is."""
    if not isinstance(task, StepTask) or kind not in WITH_WRONG_STEPS or structure == "no_cot":
        return ""
    wrong, steps = task.wrong_steps(item, seed, kind)
    return f": {wrong} of {steps} steps wrong"
