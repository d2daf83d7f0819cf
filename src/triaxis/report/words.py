"""How numbers, levels and conditions are written for people: one wording for terminal, page and figure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from triaxis.types import GROUPS, JUDGED_GROUPS, MODES, Interval, Level, NotEstimable

NOT_ESTIMABLE = "not estimable"
NOT_RECORDED = "–"
GROUP_WORDS = {
    "in_domain": "in domain",
    "near_ood": "near OOD",
    "far_ood": "far OOD",
    "over_refusal": "look-alikes",  # whose score is the share that is answered
    "safety_judged": "safety (judged)",
    "over_refusal_judged": "look-alikes (judged)",
}
ESTIMAND_WORDS = {
    "gain": "gain at the last checkpoint",
    "best": "gain at the best checkpoint",
    "mean": "mean gain over the trajectory",
}


def _signed(value: float, decimals: int) -> str:
    text = f"{value:+.{decimals}f}"
    return text.replace("-", "+") if float(text) == 0 else text


def points(value: float) -> str:
    """A difference of scores (fractions of 1) in points: "+12.3"."""
    return _signed(100 * value, 1) if math.isfinite(value) else NOT_ESTIMABLE


def logits(value: float) -> str:
    """A difference of log odds: "-1.52"."""
    return _signed(value, 2) if math.isfinite(value) else NOT_ESTIMABLE


def percent(value: float | None) -> str:
    """A score or share (a fraction of 1) in percent: "45.2"; what was not recorded is a dash."""
    if value is None or not math.isfinite(value):
        return NOT_RECORDED
    return f"{abs(100 * value):.1f}" if abs(value) < 5e-4 else f"{100 * value:.1f}"


def has_width(interval: Interval) -> bool:
    """Whether an interval says anything of uncertainty: bounds that are finite and not the value itself."""
    return math.isfinite(interval.low) and math.isfinite(interval.high) and interval.low < interval.high


def bounded(interval: Interval, n_items: int | None) -> bool:
    """Whether the bounds of a gain say something: a width, or (no item changed) none where the items are known."""
    return has_width(interval) or (n_items is not None and interval.low == interval.high)


def interval(finding: Interval | NotEstimable | None, scale: str = "points", bounds: bool = True) -> str:
    """A change with its 95 % interval: "+12.3 [+8.1, +16.4]" in points, "-0.52 [-0.80, -0.24]" in logits."""
    write = logits if scale == "logit" else points
    if not isinstance(finding, Interval) or not math.isfinite(finding.value):
        return NOT_ESTIMABLE
    if not bounds:
        return write(finding.value)
    if not (math.isfinite(finding.low) and math.isfinite(finding.high)):
        return f"{write(finding.value)} (no interval)"
    return f"{write(finding.value)} [{write(finding.low)}, {write(finding.high)}]"


def amount(finding: Interval | NotEstimable | None, unit: str, bounds: bool = True) -> str:
    """An estimate in its own unit with its 95 % interval: "+3.1 [+1.0, +5.2] points", "0.42 [0.31, 0.55] share"."""
    if not isinstance(finding, Interval) or not math.isfinite(finding.value):
        return NOT_ESTIMABLE
    signed = {"points": points, "logit": logits, "doublings": logits, "correlation": logits}

    def write(value: float) -> str:
        return signed[unit](value) if unit in signed else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"

    named = {"logit": "log odds", "level": ""}.get(unit, unit)
    told = f"{write(finding.value)} [{write(finding.low)}, {write(finding.high)}]" if bounds else write(finding.value)
    return f"{told} {named}".strip()


def gain(finding: Interval | NotEstimable, n_items: int | None) -> str:
    """A gain with its interval, or the gain alone where the number of items is not known."""
    if isinstance(finding, Interval) and math.isfinite(finding.value) and not bounded(finding, n_items):
        return f"{points(finding.value)} (no interval)"
    return interval(finding)


def probability(value: float) -> str:
    """A probability in two digits: ".93", ">.99", "<.01"."""
    if not math.isfinite(value):
        return NOT_ESTIMABLE
    if value >= 0.995:
        return ">.99"
    return "<.01" if value < 0.005 else f"{value:.2f}".removeprefix("0")


def p_value(value: float | None) -> str:
    """A p-value: ".012", "<.001"; a dash where there is no test."""
    if value is None or not math.isfinite(value):
        return NOT_RECORDED
    if value < 0.001:
        return "<.001"
    return "1" if value >= 0.9995 else f"{value:.3f}".removeprefix("0")


def tokens(value: float | None) -> str:
    """A mean response length in tokens."""
    if value is None or not math.isfinite(value):
        return NOT_RECORDED
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.1f}"


def phase(name: str, chance: float) -> str:
    """A phase with its probability: "plateau .93"; alone where no shape was fitted."""
    return f"{name} {probability(chance)}" if math.isfinite(chance) and chance > 0 else name


def level(value: object) -> str:
    """A level as the study writes it; numbers without trailing digits."""
    if value is None:
        return NOT_RECORDED
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}" if math.isfinite(value) else NOT_RECORDED
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(level(part) for part in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {level(part)}" for name, part in value.items())
    return str(value)


def levels(values: Sequence[object], most: int = 6) -> str:
    """The levels of a factor: "0.0003, 0.003", or how many there are and their ends."""
    shown = [level(value) for value in values]
    return ", ".join(shown) if len(shown) <= most else f"{len(shown)} levels from {shown[0]} to {shown[-1]}"


def count(n: int, noun: str, plural: str | None = None) -> str:
    """A number of things: "1 run", "1,200 records"."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def group_word(group: str) -> str:
    """A task group in words."""
    return GROUP_WORDS.get(group, group or "ungrouped")


def in_order(groups: Iterable[str], known: Sequence[str] = (*GROUPS, *JUDGED_GROUPS.values())) -> list[str]:
    """Groups without repeats: the known ones in the house's order, then the rest as they came."""
    seen = list(dict.fromkeys(groups))
    return [name for name in known if name in seen] + [name for name in seen if name not in known]


def modes_in_order(modes: Iterable[str]) -> list[str]:
    """Modes without repeats, default first."""
    return in_order(modes, MODES)


def short_names(factors: Iterable[str]) -> dict[str, str]:
    """Each "axis.factor" by its last part, or in full where two would read the same."""
    names = list(factors)
    last = [name.rpartition(".")[2] for name in names]
    return {name: part if last.count(part) == 1 else name for name, part in zip(names, last, strict=True)}


def condition_word(condition: Mapping[str, Level], factors: Sequence[str]) -> str:
    """A condition in one line, by these factors: "learning_rate 0.003, base lab:weak"; by all where none is given."""
    names = short_names(factors or condition)
    parts = [f"{short} {level(condition[name])}" for name, short in names.items() if name in condition]
    return ", ".join(parts) or "the one condition"
