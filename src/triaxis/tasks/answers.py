"""Whether a given answer is the reference: equal text, a choice, and as much mathematics as needs no library."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from typing import Literal

Judged = Literal["correct", "wrong", "unparsable"]
LONGEST = 2_000  # characters of an answer; more is no answer
NAME_WORDS = 6  # of a reference that is a name and no sentence; a sentence can't be compared

_LETTER = re.compile(
    r"(?:(?:option|choice|answer)\s+)?\(?([A-Za-z])\)?(?:[.):,]?$|[.):]\s+(?P<rest>.+))", re.IGNORECASE | re.DOTALL
)
_DRESS = (  # what stands around an answer and says nothing
    re.compile(r"\\(?:boxed|fbox|text|textbf|textit|mathrm|mathbf|mbox|emph)\s*\{(.*)\}", re.DOTALL),
    *(
        re.compile(rf"{left}(.*){right}", re.DOTALL)
        for left, right in (
            (r"\$\$", r"\$\$"),
            (r"\$", r"\$"),
            (r"\\\(", r"\\\)"),
            (r"\\\[", r"\\\]"),
            (r"\*\*", r"\*\*"),
            ("`", "`"),
            ('"', '"'),
        )
    ),
)
_RAISED = re.compile("[\u2070\u00b9\u00b2\u00b3\u2074-\u207f]+")  # exponents, which NFKC would set on the line
_INFINITY = re.compile(r"(?<![A-Za-z\\])infinity(?![A-Za-z])", re.IGNORECASE)
_VULGAR = re.compile("([0-9])?([\u00bc-\u00be\u2150-\u215e])")
_LATEX = (
    (re.compile(r"\\[dt]frac"), r"\\frac"),
    (re.compile(r"\\(?:text|mathrm|mathbf|textbf|mbox|operatorname)\s*\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\\(?:left|right|displaystyle|quad)(?![A-Za-z])|\\[,;!: ]|\\(?=[$%])"), ""),
    (re.compile(r"(?<=[0-9])\s*(?=\\frac)"), " "),  # a mixed number: 1\\frac12 is no eleven halves
    (re.compile(r"(?<![\w)\]}^])\\frac\s*\{(-?[0-9]+)\}\s*\{([0-9]+)\}"), r"\1/\2"),
    (re.compile(r"(?<![\w)\]}^])\\frac([0-9])([0-9])"), r"\1/\2"),
)
_NAMED = re.compile(r"([A-Za-z][A-Za-z_]{0,9})\s*=\s*(?=[-+.0-9\\(])")
_CHOICE = re.compile(r"[\[(]?([A-Ja-j])[\])]?[.:]?")  # a letter further on is a symbol
_SYMBOL = re.compile("[K-Zk-z]")
_DIGITS = r"(?:[0-9]{1,60}(?:\.[0-9]{0,60})?|\.[0-9]{1,60})"
_NUMBER = re.compile(rf"([-+]?)\s*(?:([0-9]{{1,60}})\s+(?=[0-9]+/))?({_DIGITS})(?:/([0-9]{{1,60}}))?")
_THOUSANDS = re.compile(r"(?<=[0-9]),(?=[0-9]{3}(?:[^0-9]|$))")
_BETWEEN = re.compile(r"(?<![0-9.]) | (?![0-9.])")  # a space, but for one that keeps two numbers apart
_UNIT = r"(?<=\s)[^\W\d_]{1,20}(?:[ /][^\W\d_]{1,20}){0,2}|[^\W\d_]{2,20}"
_MEASURE = re.compile(rf"(-?[0-9.]{{1,60}}(?:/[0-9]{{1,60}})?)\s*({_UNIT})")
_SCALES = {  # words that change the number before them
    *("hundred", "thousand", "million", "billion", "trillion", "lakh", "crore", "dozen", "score", "gross", "pair"),
    *("couple", "percent", "half", "third", "quarter", "fifth", "tenth", "hundredth", "thousandth", "squared", "cubed"),
    *("pi", "times", "factorial"),
}
_SHORT_WORDS = "no|on|is|in|it|if|or|of|up|us|we|he|me|my|so|to|go|do|am|an|as|at|be|by|ok"
_WORD = re.compile(rf"(?<!\\)(?<![A-Za-z])(?:[^\W\d_]{{3,}}|(?:{_SHORT_WORDS})(?![A-Za-z]))", re.IGNORECASE)
_FUNCTIONS = {"sqrt", "sin", "cos", "tan", "log", "exp", "frac", "min", "max", "mod", "infty", "cup", "cap"}


def normalised(text: str) -> str:
    """Compatible characters as one (NFKC), upper case as lower, white space as single spaces, no full stop at the
    end."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).removesuffix(".").rstrip()


def number_text(value: int | float) -> str:
    """A number of a table as text: what is whole without a point, since a column with gaps makes 3.0 of 3."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def undressed(answer: str) -> str:
    """An answer without what is set around all of it: a box, dollar signs, stars of emphasis, `\\text{..}`, quotes."""
    text = answer.strip()
    while match := next((match for dress in _DRESS if (match := dress.fullmatch(text))), None):
        inner = match[1]
        if inner.count("{") != inner.count("}") or inner.find("}") < inner.find("{") or not inner.strip():
            break  # `\\text{a} or \\text{b}` is not all in one
        text = inner.strip()
    return text


def judge_exact(given: str, reference: str) -> Judged:
    """Whether two answers are the same text once both are `undressed` and `normalised`."""
    return "correct" if normalised(undressed(given)) == normalised(undressed(reference)) else "wrong"


def letter_of(given: str, choices: tuple[str, ...]) -> str | None:
    """The letter of the choice that is given: the choice in full, or its letter (`B`, `(b)`, `option B`), which may go
    on with the choice (`B. Paris`); None: neither."""
    given = undressed(given)
    same = [i for i, choice in enumerate(choices) if normalised(choice) == normalised(given)]
    match = _LETTER.fullmatch(given)
    at = ord(match[1].upper()) - ord("A") if match else len(choices)
    if match and at < len(choices) and len(given) == 1:
        return match[1].upper()
    if same:
        return chr(ord("A") + same[0]) if len(same) == 1 else None
    if not match or at >= len(choices):
        return None
    rest, choice = normalised(match["rest"] or ""), normalised(choices[at])
    return match[1].upper() if rest.startswith(choice) or choice.startswith(rest) else None


def written_out(answer: str) -> str:
    """An answer with signs as LaTeX writes them, for what would take `5²` for 52, or not know `½`, `°` and infinity."""
    text = _RAISED.sub(lambda raised: f"^{{{unicodedata.normalize('NFKC', raised[0])}}}", undressed(answer))
    text = _VULGAR.sub(_as_fraction, text).replace("−", "-").replace("\u00b0", "^\\circ")
    return _INFINITY.sub(r"\\infty", text)


def _as_fraction(match: re.Match[str]) -> str:
    """`2½` as the mixed number."""
    over, _, under = unicodedata.normalize("NFKC", match[2]).partition("\u2044")
    return f"{match[1] or ''}\\frac{{{over}}}{{{under or 1}}}"


def plain(answer: str) -> str:
    """An answer without its dress: box, dollar signs, spacing, simple LaTeX, commas between thousands, full stop."""
    text = unicodedata.normalize("NFKC", written_out(answer)).strip()
    for pattern, instead in _LATEX if "\\" in text else ():
        text = pattern.sub(instead, text)
    text = text.replace("$", " ").strip(" \t\n*`\"'").removesuffix(".")
    if not any(map(text.__contains__, "([{")):  # (2,100) is a pair
        text = _THOUSANDS.sub("", text)
    return " ".join(text.split())


def number_of(answer: str) -> Fraction | None:
    """The value of a plain number, fraction or mixed number (1 1/2); None for anything else, per cent included."""
    match = _NUMBER.fullmatch(_NAMED.sub("", answer, count=1) if "=" in answer else answer)
    if not match:
        return None
    value = Fraction(match[3].rstrip(".") if match[3] != "." else "0")
    if match[4]:
        if int(match[4]) == 0:
            return None
        value /= int(match[4])
    value += int(match[2] or 0)
    return -value if match[1] == "-" else value


def quick_check(given: str, reference: str) -> Judged | None:
    """The verdict where equal text, two numbers, two choices or words decide; None where only mathematics can."""
    if len(given) > LONGEST or len(reference) > LONGEST:
        return "correct" if given.strip() == reference.strip() else "unparsable"
    one, other = plain(given), plain(reference)
    if not one or not other:
        return "unparsable"
    if _BETWEEN.sub("", one) == _BETWEEN.sub("", other):
        return "correct"
    if _worded(one) and one.casefold() == other.casefold():  # where no letter is a symbol
        return "correct"
    if told := _by_value(one, other):
        return told
    if _SYMBOL.fullmatch(one) and _SYMBOL.fullmatch(other):
        return "wrong"  # n is no N, though math-verify takes them for one
    choices = _CHOICE.fullmatch(one), _CHOICE.fullmatch(other)
    if choices[0] and choices[1]:
        return "correct" if choices[0][1].upper() == choices[1][1].upper() else "wrong"
    if _worded(other):  # as products of letters, which is how mathematics reads them, words equal their anagrams
        return "wrong" if len(other.split()) <= NAME_WORDS else "unparsable"
    return None if _readable(one) and _readable(other) else "unparsable"


def _by_value(one: str, other: str) -> Judged | None:
    """The verdict on two numbers, each alone, in per cent or with a unit; None for anything else.

    Units are compared as words and nothing is converted: the same number of something else is wrong, another number
    unparsable. A unit on one side only is
    left out, as math-verify does; a per cent sign is not, since 12 % for 12 may be meant or be wrong.
    """
    names = _NAMED.match(one), _NAMED.match(other)
    if names[0] and names[1] and names[0][1] != names[1][1]:
        return None
    shares = [number_of(text.removesuffix("%").rstrip()) if text.endswith("%") else None for text in (one, other)]
    values = [
        number_of(text) if share is None else share / 100 for text, share in zip((one, other), shares, strict=True)
    ]
    if values[0] is not None and values[1] is not None:
        if (shares[0] is None) != (shares[1] is None) and values[0] in (100 * values[1], values[1] / 100):
            return "unparsable"
        return "correct" if values[0] == values[1] else "wrong"
    units = [match if (match := _MEASURE.fullmatch(text)) else None for text in (one, other)]
    if any(unit and _SCALES.intersection(_singular(unit[2]).split()) for unit in units):
        return None
    if units[0] and units[1] and _singular(units[0][2]) != _singular(units[1][2]):
        return "wrong" if units[0][1] == units[1][1] else "unparsable"
    bare = [number_of(unit[1]) if unit else value for unit, value in zip(units, values, strict=True)]
    if not any(units) or bare[0] is None or bare[1] is None:
        return None
    return "correct" if bare[0] == bare[1] else "wrong"


def _singular(unit: str) -> str:
    return " ".join(word.removesuffix("s") for word in unit.casefold().split())


def _readable(answer: str) -> bool:
    """Whether mathematics may be made of it: it holds a sign or a number, its braces close, and it is no prose."""
    closed = answer.count("{") - answer.count("\\{") == answer.count("}") - answer.count("\\}")
    holds = any(map(str.isalnum, answer)) and not answer.endswith("\\")
    return closed and holds and not (_worded(answer) and not any(map(str.isdigit, answer)))


def _worded(answer: str) -> bool:
    return any(word.lower() not in _FUNCTIONS for word in _WORD.findall(answer))
