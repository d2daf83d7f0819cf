"""Equations of a text that can be rewritten: where each stands, with its two sides and what the left comes to."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

from triaxis.axes.data.profile.expressions import NotArithmetic, Number, evaluate, tokens_of

NUMBER = re.compile(r"(?<![\w.,])(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\w]|[.,]\d)")
_VALUE = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
_GAP = r"[ \t]{0,3}+"  # bounded and possessive, as terms are: no text takes more than linear time
_TERM = rf"(?>\({{0,4}}{_GAP}[-−]?{_GAP}(?:\\?\$)?{_VALUE}{_GAP}(?:\\?%)?(?:{_GAP}\)){{0,4}}{_GAP})"
_SIGN = r"(?:\*\*|[-+−–*×·÷/^]|\\times|\\cdot|\\div)"
_EQUATION = re.compile(
    rf"(?<![\w.,)\]}}+*/^×·÷])(?P<left>{_TERM}(?:{_SIGN}{_GAP}{_TERM}){{1,12}}+)&?={_GAP}(?:\\?\$)?(?P<result>[-−]?{_VALUE})"
    rf"(?![\w%(]|[.,]\d|{_GAP}(?:[+*×·÷/^]|[-−–](?=[ ]?\d)|\\times|\\cdot|\\div|\\%))"
)
_INSIDE = (*"+-−–*×·÷/^([{", r"\times", r"\cdot", r"\div")  # what an expression goes on after
_SIMPLE = re.compile(r"([1-9]\d{0,11}|0)[ \t]*([-+−*×·÷/])[ \t]*([1-9]\d{0,11}|0)")
_LATEX = re.compile(r"\\(?:times|cdot|div|%|\$)|–")
_SIGNS = {r"\times": "*", r"\cdot": "*", r"\div": "/", r"\%": "%", "–": "-"}


class Equation(NamedTuple):
    """`3 + 4 = 7` at its place in a text: `text[start:end]`, its left side up to `left_end`, its result from there."""

    start: int
    left_end: int
    result_start: int
    end: int
    left_text: str  # without white space
    result_text: str
    left: Number  # what the left side comes to
    result: Number  # what is written down
    right: bool  # whether that is what the left side comes to, to the decimals that are written


def equations(text: str) -> list[Equation]:
    """The equations of a text that hold numbers alone, in order."""
    found = []
    for match in _EQUATION.finditer(text) if "=" in text else ():
        before = text[max(0, match.start() - 12) : match.start()].rstrip()
        if before.endswith(_INSIDE):
            continue  # the pattern begins inside a longer expression
        left = match["left"]
        value = worked_out(left)
        if value is None:
            continue
        shown = match["result"]
        result = value_of(shown)
        found.append(
            Equation(
                match.start(),
                match.start() + len(left.rstrip()),
                match.start("result"),
                match.end(),
                "".join(left.split()),
                shown,
                value,
                result,
                value == result or rounded(value, decimals(shown)) == result,
            )
        )
    return found


def worked_out(expression: str) -> Number | None:
    """What an expression of numbers, + - * / ^, % and brackets comes to; None for anything else."""
    if simple := _SIMPLE.fullmatch(expression.strip()):  # most of them, and ten times as fast
        one, sign, other = int(simple[1]), simple[2], int(simple[3])
        if sign in "/÷":
            return Fraction(one, other) if other else None
        return one + other if sign == "+" else one - other if sign in "-−" else one * other
    try:
        return evaluate(tokens_of(_LATEX.sub(_sign_of, expression))).number
    except NotArithmetic:
        return None


def _sign_of(match: re.Match[str]) -> str:
    return _SIGNS.get(match[0], " ")


def value_of(text: str) -> Number:
    """A number as it is written (1,250 or −3.5). Raises ValueError for anything else."""
    plain = text.replace(",", "").replace("−", "-")
    return int(plain) if "." not in plain else Fraction(plain)


def decimals(text: str) -> int:
    """How many decimals are written."""
    return len(text.partition(".")[2])


def rounded(value: Number, places: int) -> Number:
    """Half away from zero, as people round."""
    if value.denominator == 1:
        return value
    scaled = abs(Fraction(value)) * 10**places
    whole = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    return Fraction(whole, 10**places) * (1 if value >= 0 else -1)


def written(value: Number, like: str, most: int = 4) -> str | None:
    """A value written as another number was: its commas and, where that was rounded, its decimals. None where it
    would take more than `most` decimals to be exact."""
    if value.denominator == 1 and "." not in like:
        return f"{value.numerator:,}" if "," in like else str(value.numerator)
    places = decimals(like)
    while places <= most and rounded(value, places) != value:
        places += 1
    if places > most:
        return None
    text = f"{abs(value.numerator) * 10**places // value.denominator:0{places + 1}d}"
    whole, fraction = (text[:-places], text[-places:]) if places else (text, "")
    whole = f"{int(whole):,}" if "," in like else whole
    return ("-" if value < 0 else "") + whole + ("." + fraction if fraction else "")
