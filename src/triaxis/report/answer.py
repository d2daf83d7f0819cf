"""The answer in words: at most six statements that are true of the data and hedged as the findings are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from triaxis.report import words
from triaxis.report.digest import (
    OUT_OF_DOMAIN,
    EffectRow,
    best_over_last,
    clearest_first,
    contrast_word,
    effect_rows,
    is_clear,
    last_summaries,
    main_mode,
    n_runs,
)
from triaxis.report.names import conditions, naming
from triaxis.types import (
    JUDGED_GROUPS,
    OF_REFUSALS,
    UNDECIDED,
    Analysis,
    Effect,
    GroupSummary,
    Interval,
    NotEstimable,
)

CUT = 0.1  # share of a condition's responses cut off from which on its score is told with it
SEVERAL = 4  # changes from which on the largest of them is a selected one
REFUSES_ALL = 0.9  # share of look-alikes refused from which on a score in safety says nothing of harm
NOTABLE = 0.05  # 5 points: how far the best checkpoint must lie above the last to be mentioned


@dataclass(frozen=True)
class Statement:
    """One statement of the answer with the word that it is found by."""

    label: str
    text: str


def answer(analysis: Analysis) -> list[Statement]:
    """Three to six statements: what was varied, the gains, the clearest effect, what it cost, the verdicts."""
    groups = words.in_order(summary.group for summary in analysis.summaries)
    outside = [group for group in groups if group in OUT_OF_DOMAIN]
    target = outside or [group for group in groups if group not in ("in_domain", *OF_REFUSALS)]
    statements = [Statement("Varied", _varied(analysis))]
    if target:
        statements.append(Statement("Out of domain" if outside else "Gains", _gains(analysis, target)))
    if "in_domain" in groups:
        statements.append(Statement("In domain", _gains(analysis, ["in_domain"], brief=True)))
    if analysis.effects:
        statements.append(Statement("Effects", _effects(analysis, target or groups)))
    if groups:
        statements.append(Statement("Cost", _cost(analysis, target or groups)))
    statements.append(Statement("Claims", _claims(analysis)))
    return statements


def _varied(analysis: Analysis) -> str:
    names = words.short_names(analysis.factors)
    telling = naming(analysis).factors
    varied = "; ".join(f"{names[factor]} ({words.levels(analysis.factors[factor])})" for factor in telling)
    along = [names[factor] for factor in analysis.factors if factor not in telling]
    varied += f"; and with these {', '.join(along)}" if along else ""
    size = words.count(analysis.n_records, "record") if analysis.n_records else "no records of single responses"
    measured = f"{words.count(len(conditions(analysis)), 'condition')}, {words.count(n_runs(analysis), 'run')}, {size}."
    return f"{varied}: {measured}" if varied else f"Nothing was varied: {measured}"


def _gains(analysis: Analysis, groups: Sequence[str], brief: bool = False) -> str:
    found = last_summaries(analysis, groups)
    known = _known(found)
    if not known:
        return f"No gain is estimable in {_listed(groups)}."
    text = f"{_extremes(analysis, known, several=len(groups) > 1)} {_signs(known, len(found))}".strip()
    if brief:
        return text
    picked = "The two named are picked as extremes, so they are likely overstated." if len(known) >= SEVERAL else ""
    return " ".join(part for part in (text, picked, _replicates(found), _phases(found), _missed(found)) if part)


def _known(found: Sequence[GroupSummary]) -> list[tuple[GroupSummary, Interval]]:
    return [(item, item.gain) for item in found if isinstance(item.gain, Interval) and math.isfinite(item.gain.value)]


def _extremes(analysis: Analysis, known: Sequence[tuple[GroupSummary, Interval]], several: bool) -> str:
    """The highest and the lowest gain with their intervals, called a gain or a loss only where zero is excluded."""

    called = naming(analysis)

    def told(item: GroupSummary, gain: Interval) -> str:
        where = f"{words.group_word(item.group)}; " if several else ""
        cut = item.truncated if item.truncated is not None and item.truncated >= CUT else None
        ended = f"; {words.percent(cut)} % of its responses are cut off" if cut else ""
        return f"{_points(gain, item.n_items)} ({where}{called.condition(item)}{ended})"

    def kind(item: GroupSummary, gain: Interval, end: str) -> str:
        if not words.bounded(gain, item.n_items) or gain.low <= 0 <= gain.high:
            return f"{end} change"
        largest = (gain.low > 0) == (end == "highest")
        return f"{'largest' if largest else 'smallest'} {'gain' if gain.low > 0 else 'loss'}"

    highest = max(known, key=lambda pair: pair[1].value)
    lowest = min(known, key=lambda pair: pair[1].value)
    if len(known) == 1:
        return f"The change at the last checkpoint is {told(*highest)}."
    first = f"At the last checkpoint the {kind(*highest, 'highest')} is {told(*highest)}"
    return f"{first}, the {kind(*lowest, 'lowest')} {told(*lowest)}."


def _points(gain: Interval, n_items: int | None) -> str:
    if not words.bounded(gain, n_items):
        return f"{words.points(gain.value)} points, without an interval"
    return f"{words.interval(gain)} points"


def _signs(known: Sequence[tuple[GroupSummary, Interval]], n: int) -> str:
    """How many of the changes are clear of zero, which way, and how many say nothing."""
    told = [gain for item, gain in known if words.bounded(gain, item.n_items)]
    up, down = sum(gain.low > 0 for gain in told), sum(gain.high < 0 for gain in told)
    bare = len(known) - len(told)
    if bare == n:
        return "" if n == 1 else "None has an interval."
    parts = [(up, "above zero"), (down, "below zero"), (len(told) - up - down, "not clear of zero")]
    parts += [(bare, "without an interval"), (n - len(known), "not estimable")]
    counted = ", ".join(f"{count} {what}" for count, what in parts if count)
    return f"By the 95 % intervals, of {words.count(n, 'change')}: {counted}."


def _replicates(found: Sequence[GroupSummary]) -> str:
    single = sum(item.n_runs == 1 for item in found)
    if not single:
        return ""
    who = "Each rests" if single == len(found) else f"{single} of {len(found)} rest"
    return f"{who} on one run: the interval does not cover another seed."


def _phases(found: Sequence[GroupSummary]) -> str:
    tally = Counter(item.phase for item in found if item.phase)
    named = sorted((name for name in tally if name != UNDECIDED), key=lambda name: (-tally[name], name))
    parts = [f"{name} {tally[name]}" for name in (*named, UNDECIDED) if tally[name]]
    return f"Phases: {', '.join(parts)}." if parts else ""


def _missed(found: Sequence[GroupSummary]) -> str:
    ahead = [value for item in found if (value := best_over_last(item)) is not None]
    n = sum(value >= NOTABLE for value in ahead)
    if not n:
        return ""
    most = words.points(max(ahead)).removeprefix("+")
    where = f"In {n} of {len(ahead)} the best checkpoint lies 5 points or more above the last"
    return f"{where} (at most {most}), by the estimates."


def _effects(analysis: Analysis, groups: Sequence[str]) -> str:
    mode = main_mode(analysis)
    rows = [row for row in effect_rows(analysis.effects) if row.group in groups and row.mode == mode]
    at_last = [row for row in rows if row.estimand == "gain"]
    ranked = clearest_first(at_last) or clearest_first(rows)
    own = [group for group in groups if group not in JUDGED_GROUPS.values()]  # the others are the same responses
    where = "out of domain" if set(own) <= set(OUT_OF_DOMAIN) else f"({_listed(own)})"
    if not rows:
        return f"No effect was asked for {where}."
    if not ranked:
        findings = [effect.estimate for row in rows for effect in row.scales.values()]
        reasons = Counter(finding.reason for finding in findings if isinstance(finding, NotEstimable))
        return f"No effect {where} is estimable; most often because: {reasons.most_common(1)[0][0]}."
    clear = sum(row.lead is not None and is_clear(row.lead) for row in ranked)
    count = f"{clear} of {words.count(len(ranked), 'effect')} {where} on the {_estimand(ranked)}"
    verb = "is" if clear == 1 else "are"
    return f"{count} {verb} clear of zero; the clearest is {_effect(ranked[0], analysis)}."


def _estimand(rows: Iterable[EffectRow]) -> str:
    return " or the ".join(dict.fromkeys(words.ESTIMAND_WORDS.get(row.estimand, row.estimand) for row in rows))


def _effect(row: EffectRow, analysis: Analysis) -> str:
    scales = [_on_scale(effect) for effect in row.scales.values()]
    lead = row.lead
    adjusted = (
        f"adjusted p {words.p_value(lead.p_adjusted)}" if lead and lead.p_adjusted is not None else "not adjusted"
    )
    details = [adjusted, words.count(lead.n_runs, "run") if lead else "", row.distinct("note")]
    what = f"{contrast_word(row, analysis.factors)} ({row.contrast}) in {words.group_word(row.group)}"
    return f"{what}: {', '.join(scales)} ({'; '.join(part for part in details if part)})"


def _on_scale(effect: Effect) -> str:
    unit = "log odds" if effect.scale == "logit" else "points"
    text = words.interval(effect.estimate, effect.scale)
    return f"{text} in {unit}" if text == words.NOT_ESTIMABLE else f"{text} {unit}"


def _cost(analysis: Analysis, groups: Sequence[str]) -> str:
    told = [_change_of(analysis, "safety", "Safety") or "No safety group was measured."]
    told += [_change_of(analysis, "over_refusal", "Look-alikes answered"), _refuse_all(analysis)]
    return " ".join(part for part in (*told, _length(analysis, groups)) if part)


def _change_of(analysis: Analysis, group: str, name: str) -> str:
    found = last_summaries(analysis, [group])
    known = _known(found)
    if not known:
        return f"{name}: no change is estimable." if found else ""
    return f"{name}: {_decapitalised(_extremes(analysis, known, several=False))} {_signs(known, len(found))}"


def _refuse_all(analysis: Analysis) -> str:
    """Conditions whose safety is that they refuse whatever looks like harm, harmless as it may be."""
    alike = [item for item in last_summaries(analysis, ["over_refusal"]) if (item.refused or 0) >= REFUSES_ALL]
    if not alike:
        return ""
    most = max(alike, key=lambda item: item.refused or 0)
    n = words.count(len(alike), "condition refuses", "conditions refuse")
    return (
        f"{n} nearly every look-alike (at most {words.percent(most.refused)} %, {naming(analysis).condition(most)}): "
        "what they score in safety is no judgement of harm."
    )


def _decapitalised(text: str) -> str:
    return text[:1].lower() + text[1:]


def _length(analysis: Analysis, groups: Sequence[str]) -> str:
    mode = main_mode(analysis)
    held = [t for t in analysis.condition_trajectories if t.group in groups and t.mode == mode and t.steps]
    ends = [t.response_tokens[-1] for t in held if t.response_tokens and t.response_tokens[-1] is not None]
    starts = [
        t.response_tokens[0] for t in held if t.steps[0] == 0 and t.response_tokens and t.response_tokens[0] is not None
    ]
    cut = [t.truncated[-1] for t in held if t.truncated and t.truncated[-1] is not None]
    if not ends:
        return "Response length was not recorded."
    own = [group for group in groups if group not in JUDGED_GROUPS.values()]  # the others are the same responses
    where = "out of domain" if set(own) <= set(OUT_OF_DOMAIN) else f"({_listed(own)})"
    before = f" (base: {_span(starts)})" if starts else ""
    text = f"Responses {where} are {_span(ends)} tokens long at the last checkpoint{before}"
    if not cut:
        return f"{text}."
    return f"{text}; {f'up to {words.percent(max(cut))} % of them are' if max(cut) > 0 else 'none is'} cut off there."


def _span(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    low, high = words.tokens(min(known)), words.tokens(max(known))
    return low if low == high else f"{low} to {high}"


def _claims(analysis: Analysis) -> str:
    if not analysis.verdicts:
        return "No claim was put to the test."
    parts = []
    for decision in ("supported", "refuted", "inconclusive", "not testable"):
        ids = [verdict.claim for verdict in analysis.verdicts if verdict.decision == decision]
        if ids:
            parts.append(f"{len(ids)} {decision} ({', '.join(ids)})")
    return f"Of {words.count(len(analysis.verdicts), 'claim')}: {', '.join(parts)}."


def _listed(groups: Sequence[str]) -> str:
    return ", ".join(map(words.group_word, groups))
