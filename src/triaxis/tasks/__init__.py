"""The lab's tasks: problems that share a procedure (apply operations to a state, one by one) but not its surface.

To add a task, write a file like `chain.py` and add it to `_REASONING` here.
"""

from __future__ import annotations

import difflib
from typing import Any

from triaxis.tasks.boolean import Boolean
from triaxis.tasks.chain import Chain
from triaxis.tasks.extremes import Extremes
from triaxis.tasks.letters import Letters
from triaxis.tasks.pointer import Pointer
from triaxis.tasks.refusal import Refusal
from triaxis.tasks.steps import LABELS
from triaxis.tasks.task import SHARED_WORDS, STRUCTURES, Task
from triaxis.tasks.verify import ANSWER, THINK
from triaxis.tasks.words import Words
from triaxis.types import MODES, TriaxisError

_REASONING: tuple[Task[Any], ...] = (Chain(), Words(), Boolean(), Pointer(), Letters(), Extremes())
_TASKS: dict[str, Task[Any]] = {task.name: task for task in (*_REASONING, Refusal(bodies=_REASONING))}
_PREFILLS = {"default": "", "direct": ANSWER, "think": THINK}


def task_names() -> tuple[str, ...]:
    """Every task that a study can name."""
    return tuple(_TASKS)


def get_task(name: str) -> Task[Any]:
    """The task of that name. Raises TriaxisError with the nearest name."""
    if name in _TASKS:
        return _TASKS[name]
    near = difflib.get_close_matches(name, _TASKS, n=1)
    hint = f'did you mean "{near[0]}"?' if near else f"choose one of {', '.join(_TASKS)}"
    raise TriaxisError(f'unknown task "{name}"; {hint}')


def prefill(mode: str) -> str:
    """What is put in the model's mouth: nothing, the answer mark, or the beginning of a thought."""
    if mode not in _PREFILLS:
        raise TriaxisError(f'unknown mode "{mode}"; choose one of {", ".join(MODES)}')
    return _PREFILLS[mode]


def vocabulary() -> tuple[str, ...]:
    """Every word of every prompt and trace, each once, in a fixed order."""
    words = [*SHARED_WORDS, *LABELS, *(word for task in _TASKS.values() for word in task.words)]
    return tuple(dict.fromkeys(words))


__all__ = ["STRUCTURES", "Task", "get_task", "prefill", "task_names", "vocabulary"]
