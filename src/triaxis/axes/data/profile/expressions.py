"""The value of a plain arithmetic expression, by a small parser of our own: nothing that stands in data is ever run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

Number = int | Fraction

MAX_TOKENS = 120  # of an expression; more is no line of a calculation
MAX_DIGITS = 40  # of a number
MAX_POWER = 200  # an exponent, and the digits of what is raised times it, so that a short text can't ask for the moon

_TOKEN = re.compile(
    r"[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]+)?|\.[0-9]+|[-+*/^()%]|(?P<space>\s+)|(?P<other>.)"
)
_SIGNS = str.maketrans(
    {"×": "*", "÷": "/", "·": "*", "⋅": "*", "∗": "*", "−": "-", "²": "^2", "³": "^3", "$": " ", "&": " "}
)


class Value(NamedTuple):
    """What an expression comes to, and how it was written."""

    number: Number
    operations: int  # 0: a number alone
    decimals: int  # behind the point of a number alone
    percent: bool  # it holds a % sign
    first: Number  # its first number, for those who write 2 + 3 = 5 + 1 = 6


class NotArithmetic(ValueError):
    """The text is no expression that can be worked out here."""


def tokens_of(text: str) -> list[str]:
    """Numbers, signs and brackets. Raises NotArithmetic where something else stands among them."""
    tokens = []
    for match in _TOKEN.finditer(text.translate(_SIGNS).replace("**", "^")):
        if match.lastgroup == "other":
            raise NotArithmetic(match[0])
        if not match.lastgroup:
            tokens.append(match[0])
    return tokens


def is_number(token: str) -> bool:
    return token[0] in "0123456789."


def evaluate(tokens: Sequence[str]) -> Value:
    """The exact value of + - * / ^ %, brackets and 3(4 + 5). Raises NotArithmetic for anything else, division by zero
    and numbers that would grow too large."""
    if not tokens or len(tokens) > MAX_TOKENS:
        raise NotArithmetic("too short or too long")
    if len(tokens) == 1 and is_number(tokens[0]):
        number = _number(tokens[0])
        return Value(number, 0, len(tokens[0].partition(".")[2]), False, number)
    parser = _Parser(tokens)
    number = parser.sum()
    if parser.at < len(tokens):
        raise NotArithmetic(f"more follows: {tokens[parser.at]}")
    if parser.first is None:
        raise NotArithmetic("no number")
    alone = parser.operations == 0
    written = next(token for token in tokens if is_number(token))
    decimals = len(written.partition(".")[2]) if alone else 0
    return Value(number, parser.operations, decimals, "%" in tokens, parser.first)


class _Parser:
    """Recursive descent: sum of products of powers of numbers and brackets."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens, self.at, self.operations = [*tokens, ""], 0, 0  # an empty one is the end
        self.first: Number | None = None

    def peek(self) -> str:
        return self.tokens[self.at]

    def take(self) -> str:
        token = self.tokens[self.at]
        self.at += bool(token)
        return token

    def sum(self) -> Number:
        total = self.product()
        while (sign := self.peek()) in ("+", "-"):
            self.take()
            self.operations += 1
            other = self.product()
            total = total + other if sign == "+" else total - other
        return total

    def product(self) -> Number:
        total = self.signed()
        while (sign := self.peek()) in ("*", "/", "("):
            if sign != "(":  # a bracket that follows at once multiplies
                self.take()
            self.operations += 1
            other = self.signed()
            if sign != "/":
                total = _bounded(total * other)
            elif other == 0:
                raise NotArithmetic("division by zero")
            else:
                total = Fraction(total) / other
        return total

    def signed(self) -> Number:
        sign = 1
        while self.peek() in ("-", "+"):
            sign = -sign if self.take() == "-" else sign
        number = sign * self.power()
        if self.first is None:
            self.first = number
        return number

    def power(self) -> Number:
        base = self.atom()
        if self.peek() != "^":
            return base
        self.take()
        self.operations += 1
        if self.first is None:
            self.first = base
        return _raised(base, self.signed())

    def atom(self) -> Number:
        token = self.take()
        if token == "(":
            number = self.sum()
            if self.take() != ")":
                raise NotArithmetic("a bracket isn't closed")
        elif token and is_number(token):
            number = _number(token)
        else:
            raise NotArithmetic(f"a number is missing before {token or 'the end'}")
        while self.peek() == "%":
            self.take()
            number = Fraction(number) / 100
        if self.first is None and token != "(":
            self.first = number
        return number


def _number(token: str) -> Number:
    digits = token.replace(",", "")
    if len(digits) > MAX_DIGITS or (len(digits) > 1 and digits[0] == "0" and digits[1] != "."):
        raise NotArithmetic("a code, or a number too long")  # 007, 2024-01-05, 0110 in base two
    return Fraction(digits) if "." in digits else int(digits)


def _raised(base: Number, exponent: Number) -> Number:
    base, exponent = Fraction(base), Fraction(exponent)
    if exponent != int(exponent) or abs(exponent) > MAX_POWER or (base == 0 and exponent < 0):
        raise NotArithmetic("a power that isn't worked out here")
    size = len(str(abs(base.numerator))) + len(str(base.denominator))
    if size * abs(exponent) > MAX_POWER:
        raise NotArithmetic("a power too large")
    return Fraction(base ** int(exponent))


def _bounded(number: Number) -> Number:
    if abs(number) > 10**MAX_POWER:
        raise NotArithmetic("a number too large")
    return number
