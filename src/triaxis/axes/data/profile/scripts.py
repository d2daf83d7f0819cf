"""Scripts: what a word is where no spaces stand between words, and which texts the English phrase lists can't read."""

from __future__ import annotations

import re

from triaxis.axes.data.profile.shingles import _BY_CHARACTER as SPACELESS

_ALONE = "".join(f"{chr(low)}-{chr(high)}" for low, high in SPACELESS) + "\U00020000-\U0003ffff"  # a word each
_MARKS = (
    "\u3000-\u303f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"  # punctuation that belongs to the word before
)
_CHARACTER = re.compile(f"[{_ALONE}][{_MARKS}]*")
# A letter alone of another alphabet is a symbol, as in formulas.
_OTHER = re.compile(f"[{_ALONE}]|[^\\W\\d_a-zA-Z\u00c0-\u024f\u1e00-\u1eff{_ALONE}\U0001d400-\U0001d7ff]{{2,}}")
_LATIN = re.compile(r"(?<!\\)\b[a-zA-Z\u00c0-\u024f]{2,}")


def word_count(text: str) -> int:
    """The words of a text: what stands between spaces, and each character of scripts that put none between words."""
    if text.isascii():
        return len(text.split())
    spaced, characters = _CHARACTER.subn(" ", text)
    return len(spaced.split()) + characters


def unread(text: str) -> bool:
    """Whether most words of a text are in another script than the Latin one, so that lists of English phrases find
    nothing in it whatever it says. A command of LaTeX is no word."""
    if text.isascii():
        return False
    others = sum(1 for _ in _OTHER.finditer(text))
    return others > 0 and others > sum(1 for _ in _LATIN.finditer(text))
