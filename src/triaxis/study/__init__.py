"""What to vary and what to ask: the study, its conditions and runs, and what its design identifies."""

from triaxis.study.axes import OF_BASES, REPLAY_TASK, default_of, difficulty_levels, total_steps, trained_on
from triaxis.study.exposure import Together
from triaxis.study.identify import Identification, Term, identify
from triaxis.study.spec import Condition, Run, Setting, Study, load_study, parse_study
from triaxis.study.trajectory import default_steps

__all__ = [
    "OF_BASES",
    "REPLAY_TASK",
    "Condition",
    "Identification",
    "Run",
    "Setting",
    "Study",
    "Term",
    "Together",
    "default_of",
    "default_steps",
    "difficulty_levels",
    "identify",
    "load_study",
    "parse_study",
    "total_steps",
    "trained_on",
]
