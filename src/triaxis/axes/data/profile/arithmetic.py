"""Equations that stand in a trace and can be checked (`12 * 8 = 96`), and those of them that are wrong.

Built to raise few false alarms: what may be part of something larger (a variable before it, `mod 7` after it), what is
asked or supposed (`is 3 * 5 = 20?`) and what another unit would make right is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from triaxis.axes.data.profile.expressions import NotArithmetic, Number, Value, evaluate, is_number, tokens_of


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SPAN = 240  # characters that are looked at on either side of an equals sign

_CHARACTERS = "0123456789.,+-*/^()% $&=≈×÷·⋅∗−²³\t"
_EQUALS = re.compile(r"[=≈]")
_PIECE = re.compile(r"[.,](?=\s|$)")  # a list or a sentence goes on: another calculation
_BEFORE = frozenset(" \n\t\r\f\v:;,.([{\"'`*>|!?—–-“‘…")  # may stand right before a calculation
_AFTER = frozenset(" \n\t\r\f\v:;,.)]}\"'`*<|!?—–-“’”…")  # may stand right after one
_IDEOGRAPHS = 0x2E80  # from here on words and calculations stand side by side
_ASIDE = frozenset("})]_\\^√")  # a calculation that follows these, with a space between, is part of something larger
_WORD_BEFORE = re.compile(r"([^\W\d_]+)[ \t$]*\Z")
_WORD_AFTER = re.compile(r"[ \t$]*(\\?[A-Za-z]+)")
_JOINED_BEFORE = _words(  # a calculation after one of these words is part of a larger one
    "of times plus minus by over mod modulo percent log ln sin cos tan sqrt root half double twice squared cubed power "
    "choose less more gcd lcm max min xor per divided multiplied"
)
_JOINED_AFTER = _words(
    "mod modulo times plus minus over divided multiplied choose xor remainder rem hundred thousand million billion "
    "trillion dozen percent"
)
_UNITS = _words(
    "hour hours hr hrs minute minutes min mins second seconds sec day days week weeks month months year years km cm mm "
    "meter meters kilometers foot feet inch inches yard yards mile miles kg gram grams pound pounds ounce ounces "
    "liter liters ml dollar dollars cent cents percent pence dozen dozens"
)
_RATIOS = (10, 12, 16, 24, 3, 36, 7, 30, 52, 60, 100, 365, 1000, 1440, 3600, 5280)
_LATEX = re.compile(
    r"\\(?:(times|cdot|ast|div|approx|left|right|quad|qquad|displaystyle)(?![A-Za-z])|([,;! %$()\[\]])|"
    r"(?:boxed|fbox|text|mathrm|mathbf)\{([-0-9.,]{1,30})\})"
)
_SIGN_OF = {"times": "×", "cdot": "×", "ast": "×", "div": "÷", "approx": "≈", "%": "%"}
_FRACTION = re.compile(r"\\[dt]?frac\{([^{}\\]{1,40})\}\{([^{}\\]{1,40})\}")
_WRITTEN_FRACTION = re.compile(r"\(\(([^()]{1,40})\)/\(([^()]{1,40})\)\)")
_SIMPLE = re.compile(
    r"[ $]*([0-9]{1,12})[ $]*([-+*/×÷·−])[ $]*([0-9]{1,12})[ $]*=[ $]*(-?[0-9]{1,12})(?:[.,]? *\$? *|\$[.,] *)"
)
_BRACED_POWER = re.compile(r"\^\{(-?[0-9]{1,4})\}")
_CROSS = re.compile(r"(?<=[0-9)]) x (?=[0-9(])")
_OTHER_ARITHMETIC = re.compile(
    r"\b(?:mod|modulo|modular|binary|octal|hexadecimal|hex|xor|clock arithmetic|base[- ]?(?:[0-9]|two|eight|n)|"
    r"(?:defined|redefined|operator) (?:as|by|so))\b",
    re.IGNORECASE,
)
_OTHER_STEMS = (
    "mod",
    "Mod",
    "inary",
    "octal",
    "Octal",
    "hex",
    "Hex",
    "xor",
    "XOR",
    "lock",
    "base",
    "Base",
    "efined",
    "perator",
)
_SUPPOSED = re.compile(
    r"\b(?:if|suppose|supposing|assume|assuming|whether|not|never|impossible|wrong|incorrect|instead|claims?|claimed|"
    r"says?|said|wrote|mistake|guess|cannot|can't|doesn't|isn't)\b",
    re.IGNORECASE,
)
_DOUBTED = re.compile(
    r"[\s$)*]*(?:\?|(?:is|was|would be|which is|that's|that is|,|-|—)?\s*(?:not|wrong|incorrect|false|impossible|no\b)|"
    r"[^.\n]{0,30}\bremainder)",
    re.IGNORECASE,
)
_WITHDRAWN = re.compile(
    r"\b(?:wait|no,|oops|mistake|not right|wrong|incorrect|actually|scratch that|let me re|hmm)", re.IGNORECASE
)


class Slip(NamedTuple):
    """A wrong equation as it stands, and whether what follows withdraws it."""

    text: str
    caught: bool


class Checked(NamedTuple):
    """What came of checking a text's equations."""

    equations: int
    slips: list[Slip]


def check_equations(text: str) -> Checked:
    """Checks every equation of a text that can be checked: each pair of neighbours in a chain is one.

    At least one side has an operation (`x = 3` and `3 = 3` are none). Sides are compared exactly, but for rounding: a
    number alone may be off by less than one in its last place behind the point, or be the nearest whole number, where
    the other side has more decimals; behind ≈ by 5 %. `2 + 3 = 5 + 1 = 6` is taken as it is meant.
    """
    if "=" not in text and "≈" not in text:
        return Checked(0, [])
    plain = _plain(text)
    equations, slips = 0, []
    for run in _runs(plain):
        if _plainly_right(run.text):
            equations += 1
            continue
        for pair in _pairs(plain, run):
            if _agree(pair):
                equations += 1
            elif not _excused(plain, run, pair):
                equations += 1
                slips.append(Slip(pair.text, bool(_WITHDRAWN.search(plain, run.end, run.end + 120))))
    if slips and any(stem in plain for stem in _OTHER_STEMS) and _OTHER_ARITHMETIC.search(plain):
        return Checked(equations - len(slips), [])
    return Checked(equations, slips)


def _plainly_right(run: str) -> bool:
    """Whether it is the commonest form, two whole numbers and their result, and right: nothing else need be known."""
    match = _SIMPLE.fullmatch(run)
    if not match:
        return False
    one, other, result = int(match[1]), int(match[3]), int(match[4])
    if match[2] in "/÷":
        return other != 0 and one == other * result
    return result == (one + other if match[2] == "+" else one - other if match[2] in "-−" else one * other)


class _Pair(NamedTuple):
    """Two neighbouring sides that were worked out, and how they were written."""

    left: Value
    right: Value
    written: tuple[str, str, str]  # one side, the sign, the other

    @property
    def text(self) -> str:
        return " ".join(_WRITTEN_FRACTION.sub(r"\1/\2", " ".join(self.written)).split())


class _Run(NamedTuple):
    """A stretch of digits and signs around an equals sign."""

    start: int
    end: int
    text: str


def _plain(text: str) -> str:
    """The text with simple LaTeX written as signs; lines stay lines."""
    if "\\" in text:
        text = _LATEX.sub(lambda m: m[3] if m[3] else _SIGN_OF.get(m[1] or m[2], " "), text)
        if "frac" in text:
            text = _FRACTION.sub(r"((\1)/(\2))", text)
    if "^{" in text:
        text = _BRACED_POWER.sub(r"^(\1)", text)
    return _CROSS.sub(" × ", text) if " x " in text else text


def _runs(text: str) -> Iterator[_Run]:
    """Maximal stretches around each equals sign; one that goes on for more than SPAN is no line of a calculation."""
    done = 0
    for match in _EQUALS.finditer(text):
        at = match.start()
        if at < done:
            continue
        first = max(done, at - SPAN)
        start = first + len(text[first:at].rstrip(_CHARACTERS))
        after = text[at : at + SPAN]
        done = at + len(after) - len(after.lstrip(_CHARACTERS))
        if (start > first or first == 0 or first > at - SPAN) and done - at < SPAN:
            yield from _pieces(_Run(start, done, text[start:done]))


def _pieces(run: _Run) -> Iterator[_Run]:
    """The calculations of a stretch that is a list or several sentences."""
    begin = 0
    for mark in _PIECE.finditer(run.text):
        yield _Run(run.start + begin, run.start + mark.start(), run.text[begin : mark.start()])
        begin = mark.end()
    yield _Run(run.start + begin, run.end, run.text[begin:])


def _pairs(text: str, run: _Run) -> Iterator[_Pair]:
    """Neighbouring sides that can be worked out, at least one of them with an operation."""
    signs = _EQUALS.findall(run.text)
    if not signs:
        return
    sides = _EQUALS.split(run.text)
    begun, ended = _begun(text, run.start, sides[0]), _ended(text, run.end, sides[-1])
    values = [_first(begun), *map(_middle, sides[1:-1]), _last(ended)]
    for i, sign in enumerate(signs):
        left, right = values[i], values[i + 1]
        if left and right and (left.operations or right.operations):
            yield _Pair(left, right, (sides[i], sign, sides[i + 1]))


def _begun(text: str, start: int, side: str) -> str:
    """The first side of a run, empty where what stands before it belongs to it, and without the mark of a list."""
    bare = side.lstrip(" \t$&")
    before = text[start - 1] if start else "\n"
    at_line_start = before == "\n"
    if at_line_start:
        bare = re.sub(r"^(?:[-*+] +|\*\*)", "", bare)
    if not bare:
        return ""
    touching = bare == side and not at_line_start
    if (touching and before not in _BEFORE and ord(before) < _IDEOGRAPHS) or before in _ASIDE:
        return ""
    word = _WORD_BEFORE.search(text, max(start - 14, 0), start)
    if word and word[1].isascii() and (len(word[1]) == 1 or word[1].lower() in _JOINED_BEFORE):
        return ""
    return bare


def _ended(text: str, end: int, side: str) -> str:
    """The last side of a run, empty where what stands after it belongs to it."""
    bare = side.rstrip(" \t$&*")
    after = text[end : end + 1]
    if bare == side and after and after not in _AFTER and ord(after) < _IDEOGRAPHS:
        return ""
    word = _WORD_AFTER.match(text, end, end + 20)
    if word and (len(word[1]) == 1 or word[1][0] == "\\" or word[1].lower() in _JOINED_AFTER):
        return ""
    return bare[:-1].rstrip() if bare.endswith(" -") and word else bare  # a dash, and what is said of it


def _first(side: str) -> Value | None:
    """The value of the side that a run begins with: what stands before it in the run need not belong to it."""
    try:
        tokens = tokens_of(side)
    except NotArithmetic:
        return None
    tokens, cut = _after_open_bracket(tokens)
    if breaks := _breaks(tokens):
        if _grouped_by_spaces(tokens, breaks[-1]):
            return None
        tokens, cut = tokens[breaks[-1] :], False
    minus = cut or re.match(r"\s*-[0-9(.]", side)
    if not tokens or (tokens[0] in "*/^%)+") or (tokens[0] == "-" and not minus):
        return None
    return _value(tokens)


def _middle(side: str) -> Value | None:
    try:
        return _value(tokens_of(side))
    except NotArithmetic:
        return None


def _last(side: str) -> Value | None:
    """The value of the side that a run ends with: what stands after it in the run need not belong to it."""
    try:
        tokens = tokens_of(side.rstrip(".… "))
    except NotArithmetic:
        return None
    tokens = tokens[: _unbalanced(tokens)]
    if breaks := _breaks(tokens):
        if _grouped_by_spaces(tokens, breaks[0]) or tokens[breaks[0] + 1 : breaks[0] + 2] == ["/"]:  # 3 1/2
            return None
        tokens = tokens[: breaks[0]]
    return _value(tokens)


def _value(tokens: list[str]) -> Value | None:
    try:
        return evaluate(tokens)
    except NotArithmetic:
        return None


def _after_open_bracket(tokens: list[str]) -> tuple[list[str], bool]:
    """What stands after the last bracket without its partner, and whether that one opens."""
    stack: list[int] = []
    begin, opens = 0, False
    for i, token in enumerate(tokens):
        if token == "(":
            stack.append(i)
        elif token == ")" and stack:
            stack.pop()
        elif token == ")":
            begin = i + 1
    if stack:
        begin, opens = stack[-1] + 1, True
    return tokens[begin:], opens


def _unbalanced(tokens: list[str]) -> int:
    """Where the first bracket stands that has no partner; the length where all have one."""
    stack: list[int] = []
    for i, token in enumerate(tokens):
        if token == "(":
            stack.append(i)
        elif token == ")" and stack:
            stack.pop()
        elif token == ")":
            return i
    return stack[0] if stack else len(tokens)


def _breaks(tokens: list[str]) -> list[int]:
    """Where a number follows a number or a closed bracket: two calculations side by side."""
    return [
        i for i in range(1, len(tokens)) if is_number(tokens[i]) and (is_number(tokens[i - 1]) or tokens[i - 1] == ")")
    ]


def _grouped_by_spaces(tokens: list[str], at: int) -> bool:
    """Whether the numbers at a break may be one number, 12 000, or a mixed one, 2 1/2."""
    fraction = tokens[at + 1 : at + 2] == ["/"] and is_number(tokens[at - 1])
    return (len(tokens[at]) == 3 and tokens[at].isdigit() and tokens[at - 1].isdigit()) or fraction


def _agree(pair: _Pair) -> bool:
    left, right = pair.left, pair.right
    if left.number == right.number or right.first == left.number:
        return True
    if pair.written[1] == "≈" and abs(Fraction(left.number) - right.number) <= abs(Fraction(right.number)) / 20:
        return True
    both = ((left, right), (right, left))
    return any(not alone.operations and _rounded(exact.number, alone) for exact, alone in both)


def _rounded(exact: Number, alone: Value) -> bool:
    """Whether a number alone may be `exact` in fewer decimals: cut or rounded there, or the nearest whole number."""
    unit, error = Fraction(1, int(10**alone.decimals)), abs(Fraction(exact) - Fraction(alone.number))
    if Fraction(exact) % unit == 0:
        return False
    return error < unit if alone.decimals else error <= unit / 2


def _excused(text: str, run: _Run, pair: _Pair) -> bool:
    """Whether a pair that differs may be right all the same, or is not claimed."""
    left, right = pair.left, pair.right
    if left.percent or right.percent:
        return True
    word = _WORD_AFTER.match(text, run.end, run.end + 20)
    if word and word[1].lower() in _UNITS and right.number and left.number:
        ratio = Fraction(left.number) / Fraction(right.number)
        if ratio in _RATIOS or 1 / ratio in _RATIOS:
            return True
    sentence = re.split(r"[.!?\n]", text[max(run.start - 60, 0) : run.start])[-1]
    return bool(_SUPPOSED.search(sentence) or _DOUBTED.match(text, run.end, run.end + 60))
