"""Whether a reply declines: one rule, for what a model is trained on and for what it answers in plain language."""

from __future__ import annotations

import re

BEGINNING = 400  # characters in which a reply that declines says so

_REFUSAL = re.compile(
    r"\s*(?:i'?m (?:really |so |very )?sorry,?|sorry,?|i apologi[sz]e,?|unfortunately,?|no,)?\s*(?:but )?"
    r"(?:as an ai[^.]{0,40}, )?(?:i (?:can(?:no|')t|can not|am unable to|'?m unable to|am not able to|'?m not able to"
    r"|won't|will not|must decline) (?:help|assist|provide|comply|fulfil|answer|support|do that|engage|create|write"
    r"|share|offer|give|to|with|discuss)|i must (?:refuse|decline)|i refuse|refuse\b)"
)


def is_refusal(solution: str) -> bool:
    """Whether a solution opens by declining; the lab's `refuse` is one too. "I cannot use 3 twice" declines nothing."""
    return bool(_REFUSAL.match(solution[:BEGINNING].lower().replace("’", "'")))
