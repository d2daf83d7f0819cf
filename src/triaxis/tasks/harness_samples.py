"""What a sample of lm-evaluation-harness says, by one rule for those that it wrote to files and those asked here."""

from __future__ import annotations

from typing import Any

from triaxis.tasks.declines import is_refusal
from triaxis.types import Outcome

INVALID = "[invalid]"  # what its filters put where they find no answer


def first_response(resps: Any) -> str:
    """The first response to the first request; empty where log-likelihoods were compared."""
    try:
        first = resps[0][0]
    except (TypeError, LookupError):
        return ""
    return first if isinstance(first, str) else ""


def outcome_of(
    score: float, *, generated: bool, reply: str = "", filtered: Any = None, finished: bool | None = None
) -> Outcome | None:
    """The outcome of a sample by its score in [0, 1], of which only 1 is correct; None where it can't be told.

    Of likelihoods: correct or wrong. Of a response that was generated, `reply` is what was judged, `filtered` what the
    task's filter made of it, and `finished` whether it ended by itself. lm-eval's files don't say that (None), so that
    a response that is just wrong can't be told from one that was cut off.
    """
    if generated and finished is None:
        return None
    if score >= 1:
        return Outcome.CORRECT
    if not generated:
        return Outcome.WRONG
    if is_refusal(reply):
        return Outcome.REFUSED
    if not finished:
        return Outcome.TRUNCATED
    return Outcome.UNPARSED if not reply.strip() or filtered in (INVALID, [INVALID], "", []) else Outcome.WRONG
