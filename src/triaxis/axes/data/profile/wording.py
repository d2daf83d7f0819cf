"""What nobody should learn from: an assistant's boilerplate, text that goes in circles."""

from __future__ import annotations

import re
from typing import Literal

Boilerplate = Literal["about itself", "opening", "closing"]

ENDS = 400  # characters at either end of a solution where an assistant's courtesies stand
REPEATS = 5  # in a row that make a loop
LOOP = 200  # characters that it holds at least
PERIOD = 400  # characters of the longest span whose repetition is found
_PROBE = 24  # characters that are looked for again

_ITSELF = re.compile(
    r"as an? (?:ai|artificial intelligence|large language model|language model)\b|i(?: a|')m (?:just |only )?an? "
    r"(?:ai|language model|large language model)\b|i (?:do not|don't) have (?:personal|feelings|access to real-time"
    r"|the ability to browse)|my (?:knowledge cutoff|training data|last update)|i was (?:trained|created) by"
)
_OPENING = re.compile(
    r"\s*(?:certainly|sure|of course|absolutely|great question|happy to help|i'd be happy to|thank you for"
    r"|thanks for)\b"
)
_CLOSING = re.compile(
    r"i hope (?:this|that) helps|(?:feel free|don't hesitate) to (?:ask|reach)|let me know if (?:you|there|this)|"
    r"if you have any (?:other |more |further )?questions|is there anything else"
)


def boilerplate(solution: str) -> list[Boilerplate]:
    """Which kinds of boilerplate stand in a solution."""
    found: list[Boilerplate] = []
    head = solution[:ENDS].lower().replace("’", "'")
    tail = solution[-ENDS:].lower().replace("’", "'")
    if _ITSELF.search(head) or _ITSELF.search(tail):
        found.append("about itself")
    if _OPENING.match(head):
        found.append("opening")
    if _CLOSING.search(tail):
        found.append("closing")
    return found


def loop_in(text: str) -> str:
    """A span of up to PERIOD characters, with a letter in it, that a text repeats REPEATS times or more in a row over
    LOOP characters or more; empty where there is none. Looked for at every LOOP characters, so one that is little
    longer than REPEATS times its span can be missed."""
    for at in range(0, len(text) - LOOP, LOOP // 2):
        probe = text[at : at + _PROBE]
        again = text.find(probe, at + 1, at + PERIOD + _PROBE)
        if again < 0:
            continue
        period = again - at
        length = max(period * (REPEATS - 1), LOOP - period)
        span = text[at:again]
        if text[at : at + length] == text[again : again + length] and any(map(str.isalpha, span)):
            return span
    return ""
