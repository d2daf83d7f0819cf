"""A long trace without its detours, where plain rules can tell them apart; anything else is left to say so.

Two detours are told: a check that confirms ("Let me verify: 3 + 4 = 7. Yes, that's right.") and a slip that is taken
back ("3 + 4 = 8. Wait, no. 3 + 4 = 7."). A trace with any other turn (another approach, a doubt that comes to nothing)
is not shortened, since what follows may rest on it; nor is one in which a check, a turn or a wrong equation is left.
"""

from __future__ import annotations

import re

from triaxis.axes.data.profile.arithmetic import check_equations
from triaxis.axes.data.profile.behaviours import count_behaviours
from triaxis.axes.data.recipes.arithmetic import NUMBER, Equation, equations
from triaxis.axes.data.recipes.operation import CannotDo

_SENTENCE = re.compile(r".+?(?:[.!?…]+(?=\s)|\n|\Z)\s*", re.DOTALL)
_LEAD = r"(?:(?:oh|ah|but|so|and|now|well|then|okay|ok|wait|hmm+)\b[\s,.]*)*"
_CHECK = re.compile(
    _LEAD + r"(?:(?:let me|let's|let us|i(?:'ll| will)|(?:i|we) (?:should|can|need to|want to|have to))"
    r"\s+(?:just\s+|also\s+|quickly\s+)?(?:double[- ]?check|verify|re-?check|check|confirm)\b"
    r"|(?:double[- ]?check(?:ing)?|re-?checking|checking|check:|verifying)(?!\w))",
    re.IGNORECASE,
)
_CONFIRMED = re.compile(
    r"\b(?:that(?:'s| is)|this is|it(?:'s| is)|which is|all|looks?|seems?) (?:right|correct|good|fine|consistent)\b"
    r"|\b(?:checks? out|it matches|they match|that matches|confirmed|verified|yes|correct)\b|✓",
    re.IGNORECASE,
)
_DOUBTED = re.compile(  # a check that says any of these does not confirm
    r"\b(?:not?|never|cannot|hardly|wrong|incorrect|mistaken?|error|off|fails?|instead|contradicts?|however|but)\b"
    r"|n['’]t\b",
    re.IGNORECASE,
)
_ASKED = re.compile(r"\b(?:whether|if)\b|\?", re.IGNORECASE)  # "Is that right?" confirms nothing
_TURN = re.compile(
    r"(?:(?:oh|ah|but|so|and|well)\b[\s,]*)*"
    r"(?:(?:wait|hmm+|hold on|actually|oops|scratch that)\b|no,|let me (?:re|try again)"
    r"|(?:that|this|it)(?:'s| is| was) (?:not (?:right|correct)|wrong|off|incorrect)\b"
    r"|(?:that|this|it) (?:can['’]t|cannot|isn['’]t|doesn['’]t)\b"
    r"|i (?:(?:must have |have )?(?:made an? (?:mistake|error|slip)|miscounted|miscalculated|misread|forgot))\b)",
    re.IGNORECASE,
)
_OTHER = re.compile(
    r"\b(?:alternatively|another (?:approach|way)|going back|start(?:ing)? over|on second thought|let me try)\b", re.I
)
_WORDS = (  # some detour opens with one of these: a trace without any need not be taken apart
    *("check", "verif", "confirm", "wait", "hmm", "hold on", "actually", "oops", "no,", "scratch", "let me", "mis"),
    *("not ", "can't", "can’t", "cannot", "n't", "n’t", "wrong", "incorrect", " off", "forgot", "error", "alternativ"),
    *("made a slip", "another", "going back", "start over", "starting over", "second thought"),
)
_REACH = 6  # sentences within which a check is confirmed, or a slip corrected


def shortened(thought: str) -> str:
    """The trace with its detours taken out; itself where it has none. Raises CannotDo where one can't be told, and
    where what is left would not be verified steps alone, as `data profile` sees them."""
    lower = thought.lower()
    short = _without_detours(thought) if any(word in lower for word in _WORDS) else thought
    _check_steps(short)
    return short


def _check_steps(text: str) -> None:
    """Raise CannotDo where a trace still turns or checks something, or has a step that is wrong."""
    shown = count_behaviours(text)
    if shown["verification"] or shown["backtracking"]:
        raise CannotDo(f"a {'turn' if shown['backtracking'] else 'check'} that no rule takes out")
    if check_equations(text).slips:
        raise CannotDo("a wrong equation that nothing takes back")


def _without_detours(thought: str) -> str:
    others = _OTHER.search(thought) is not None
    trace = _Trace(thought)
    i = 0
    while i < len(trace.sentences):
        opening = trace.sentences[i].lstrip(" \n-*•")
        if _CHECK.match(opening):
            first, i = i, trace.confirmed(i)
        elif _TURN.match(opening):
            first, i = trace.corrected(i)
        elif others and _OTHER.search(opening):
            raise CannotDo("a turn that no rule can tell")
        else:
            i += 1
            continue
        trace.drop(first, i)
    return trace.kept() if trace.dropped else thought


class _Trace:
    """The sentences of a trace, with where each number stands for the first and the last time."""

    def __init__(self, text: str) -> None:
        self.sentences: list[str] = _SENTENCE.findall(text)
        self.dropped: set[int] = set()
        self._equations: dict[int, list[Equation]] = {}
        self._numbers = [NUMBER.findall(sentence) for sentence in self.sentences]
        self._last = {n: i for i, found in enumerate(self._numbers) for n in found}
        self._first = {n: i for i in range(len(self._numbers) - 1, -1, -1) for n in self._numbers[i]}

    def drop(self, first: int, end: int) -> None:
        """Take out the sentences from `first` to before `end`."""
        self.dropped.update(range(first, end))

    def kept(self) -> str:
        """What is left."""
        return "".join(s for i, s in enumerate(self.sentences) if i not in self.dropped).rstrip()

    def confirmed(self, start: int) -> int:
        """One past the sentence that confirms a check. What the check computes anew must not be needed later."""
        for end in range(start, min(start + _REACH, len(self.sentences))):
            sentence = self.sentences[end]
            if _DOUBTED.search(sentence):
                break
            if end > start and (_TURN.match(sentence.lstrip()) or _OTHER.search(sentence)):
                break
            found = _CONFIRMED.search(sentence)
            if found and not _ASKED.search(sentence[: found.start()]) and "?" not in sentence[found.end() :]:
                self._agrees(start, end)
                return end + 1
        raise CannotDo("a check that is not confirmed")

    def _agrees(self, start: int, end: int) -> None:
        """Raise CannotDo where what a check works out is wrong, comes to a number that did not stand before it, or is
        used after it."""
        worked_out = [equation for i in range(start, end + 1) for equation in self.equations(i)]
        if not all(equation.right for equation in worked_out):
            raise CannotDo("a check that is wrong itself")
        if worked_out and self._first.get(worked_out[-1].result_text.lstrip("-−"), start) >= start:
            raise CannotDo("a check that comes to another number")
        inside = {n for numbers in self._numbers[start : end + 1] for n in numbers}
        if any(self._first[n] >= start and self._last[n] > end for n in inside):
            raise CannotDo("a check whose results are used later")

    def equations(self, i: int) -> list[Equation]:
        """Those of a sentence."""
        if i not in self._equations:
            self._equations[i] = equations(self.sentences[i])
        return self._equations[i]

    def corrected(self, turn: int) -> tuple[int, int]:
        """From the sentence with the slip up to, not including, the one that corrects it: the same left side, another
        result. The wrong result must not be used after that."""
        before = range(turn - 1, max(turn - 1 - _REACH, -1), -1)
        slip = next((i for i in before if i not in self.dropped and self.equations(i)), None)
        if slip is None:
            raise CannotDo("a turn that no rule can tell")
        wrong = self.equations(slip)[-1]
        for end in range(turn, min(turn + _REACH, len(self.sentences))):
            for equation in self.equations(end):
                if equation.left_text != wrong.left_text or equation.result == wrong.result:
                    continue
                if end == turn:  # "No, 3 + 4 = 7": its first words can't be cut by rule
                    raise CannotDo("a correction inside the sentence that turns")
                if self._last.get(wrong.result_text, 0) > end or not equation.right:
                    raise CannotDo("a slip whose result is used later")
                return slip, end
        raise CannotDo("a turn that is not corrected")
