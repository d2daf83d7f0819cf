"""The verdict on a data set in words to act on: what was found, in how many rows, and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from triaxis.axes.data.profile.coverage import CoverageProfile
from triaxis.axes.data.profile.evaluation_index import TOUCHING
from triaxis.axes.data.profile.leakage import SetLeakage
from triaxis.axes.data.profile.pass_rates import PassRates
from triaxis.axes.data.profile.run import Profile
from triaxis.axes.data.profile.structure import KINDS, Kind
from triaxis.axes.data.profile.thirds import Third, thirds_of
from triaxis.types import NotEstimable

Urgency = Literal["act", "look", "fine"]
URGENCIES: tuple[Urgency, ...] = ("act", "look", "fine")

# From which share of the rows something is said, and from which it is something to act on. They are rules of thumb,
# set where a person would want to know; none of them is an estimate of what harms a model.
SAID = 0.001
ACTED_ON = 0.02
CUT = 0.01  # of responses beyond a length limit
KEEPS = 0.99  # of responses that a limit must keep to be proposed
TRL_DEFAULT = 1024  # tokens of prompt and response: max_length of TRL's SFTConfig
DUPLICATES = 0.01  # of rows, exact or near: to act on
MIXED = 0.05  # of responses of another kind, or that mark their answer otherwise, that make a set mixed
SCARCE = 0.05  # of rows in the easiest, middle or hardest third of their domain
ENOUGH = 20  # rows of a domain whose thirds are spoken of; traces with a result, for their disagreement to act on
NAMED = 5  # domains that a line names
NARROW = 2.0  # effective domains, below which a set is narrow
SLIPS = 0.01  # of equations
FAR = 0.10  # of target items farther from the rows than 95 % of them are from each other; .05 is what to expect
UNSEEN = 0.05  # of evaluation items that can hardly be found, or share a passage with a row: no clean bill beyond it
SOLVED = 0.1  # of the rows that a model was asked: solved, or never solved, in all of its samples
MOSTLY = 0.5  # ... from which most of them teach this model nothing: to act on
CUT_OFF = 0.05  # of its responses, that are truncated, or hold no answer that is found
UNRELIABLE = 0.5  # reliability of its pass rates, below which chance decides more of their order than the rows do
GAP = 2.0  # times the distance that chance alone would give, from which domains or difficulties differ from the target

_KIND_WORDS = {
    "long_cot": "long chains of thought",
    "short_cot": "short chains of thought",
    "unread_cot": "thoughts in a script that is not read, which may be long or short",
    "no_cot": "worked solutions without a thought",
    "answer_only": "answers without working",
}
_CLAIMS = {  # claims of the ledger that a line points to, each with what its source there makes of it
    "D1": "that more domains generalize better is a conjecture, untested (claim D1)",
    "D2": "that mixed difficulty generalizes better than hard problems alone is a conjecture, untested (claim D2)",
    "D4": "that mixed forms cost gain out of domain is a conjecture, untested (claim D4)",
    "D10": "a paper reports that long chains gain more out of domain than answers without a thought (claim D10)",
    "D3, D11": "a paper reports that wrong steps and unverified traces cost gain out of domain (claims D3 and D11)",
}


@dataclass(frozen=True)
class Statement:
    """One thing that the profile says."""

    urgency: Urgency
    about: str  # "length", "answers", ...
    text: str  # what was found
    rows: int  # in which it was found
    of: int  # rows, or what the text names, that it rests on
    do: str = ""  # what to do about it; empty: nothing


def verdict(profile: Profile) -> tuple[Statement, ...]:
    """All that is to be said, what to act on first."""
    if not profile.examples:
        return ()
    said = [statement for part in _PARTS for statement in part(profile)]
    return tuple(sorted(said, key=lambda statement: URGENCIES.index(statement.urgency)))


# -- size and shape ---------------------------------------------------------------------------------------------------


def _skipped(profile: Profile) -> Iterator[Statement]:
    if profile.skipped:
        read = profile.examples + profile.skipped
        text = f"{_share(profile.skipped, read)} of the rows can't be used and were skipped"
        yield Statement("act", "rows", text, profile.skipped, read, "mend them, or know that they are not in it")


def _length(profile: Profile) -> Iterator[Statement]:
    """What limits would cut: of prompt and response together, as trainers count."""
    shape, n = profile.shape, profile.examples
    over, most = shape.over_counts["total"], shape.lengths[shape.unit]["total"].quantiles["1"]
    limits = [limit for limit, rows in over.items() if rows >= CUT * n]
    longest = f"{most:,.0f} {shape.unit}"
    near = 4 * most > min(over)
    hint = "; tokens are more than words, so name your --tokenizer to know" if near and not shape.tokenizer else ""
    if not limits:
        text = f"fewer than 1 % of the rows exceed {min(over):,} {shape.unit}, prompt and response together"
        yield Statement("fine", "length", f"{text}; the longest has {longest}{hint}", over[min(over)], n)
        return
    limit = limits[-1]
    text = f"{_share(over[limit], n)} of the rows exceed {limit:,} {shape.unit}, prompt and response together"
    if shape.tokenizer and TRL_DEFAULT in over:
        default = f"{TRL_DEFAULT:,} (the default limit of TRL)"
        text += f", and {_share(over[TRL_DEFAULT], n)} exceed {default}" if limit > TRL_DEFAULT else " (TRL's default)"
    text += f"; a trainer with such a limit cuts or drops them. The longest has {longest}{hint}"
    enough = next((limit for limit, rows in over.items() if rows <= (1 - KEEPS) * n), None)
    room = f"of {enough:,} {shape.unit} or more" if enough else f"above {max(over):,} {shape.unit}"
    do = f"train with a limit {room}, or drop what is longer with the step cap"
    yield Statement("act", "length", text, over[limit], n, do)


def _ends(profile: Profile) -> Iterator[Statement]:
    shape, n = profile.shape, profile.examples
    for rows, what, do in (
        (shape.empty["response"], "have an empty response, on which nothing is learned", "remove them"),
        (shape.empty["prompt"], "have an empty prompt", "remove them, or see whether another column holds it"),
        (shape.no_end, "have a thought and nothing after it: no solution", "remove them, or make them again"),
        (shape.cut_off, "stop within a sentence, without an answer: they look cut off", "make them again, longer"),
    ):
        if rows:
            yield Statement(_urgency(rows, n), "ends", f"{_share(rows, n)} of the rows {what}", rows, n, do)


# -- structure --------------------------------------------------------------------------------------------------------


def _structure(profile: Profile) -> Iterator[Statement]:
    found, n = profile.structure, profile.examples
    sizes = {kind: found.kinds[kind].examples if kind in found.kinds else 0 for kind in KINDS}
    parts = sorted(((rows, kind) for kind, rows in sizes.items() if rows), reverse=True)
    text = ", ".join(f"{_share(rows, n)} {_KIND_WORDS[kind]}" for rows, kind in parts)
    rest = n - parts[0][0]
    if rest >= MIXED * n:
        most = next((kind for _, kind in parts if kind != "unread_cot"), "")
        which = f" (no kind has more rows than {most})" if most else ""
        do = f"keep one kind with the step structure{which}, or compare them in a study"
        do += f"; {_CLAIMS['D10']}" if sizes["long_cot"] and _without_thought(sizes) else ""
        yield Statement("look", "structure", f"the responses are of several kinds: {text}", rest, n, do)
    elif parts[0][1] in ("no_cot", "answer_only"):
        do = f"take traces with thoughts, to teach reasoning, unless these are meant; {_CLAIMS['D10']}"
        yield Statement("look", "structure", f"the responses are {text}", parts[0][0], n, do)
    elif parts[0][1] == "unread_cot":
        do = "see some with triaxis data show: kinds and behaviours are told of English only"
        yield Statement("look", "structure", f"the responses are {text}", parts[0][0], n, do)
    else:
        yield Statement("fine", "structure", f"the responses are {text}", parts[0][0], n)
    marked = n - found.marks["none"]
    rows = found.marks[found.mark] if found.mark != "none" else 0
    if marked and rows and marked - rows >= MIXED * n:
        marks = ", ".join(f"{mark} {_share(k, n)}" for mark, k in found.marks.items() if k and mark != "none")
        text = f"final answers are marked in several ways: {marks}"
        yield Statement("look", "structure", text, marked - rows, n, f"write them in one form; {_CLAIMS['D4']}")
    if found.several_boxed >= SAID * n:
        text = f"{_share(found.several_boxed, n)} of the solutions box several different things"
        do = "see whether the last is the answer: it is the one that is taken"
        yield Statement("look", "structure", text, found.several_boxed, n, do)


def _without_thought(sizes: Mapping[Kind, int]) -> int:
    return sizes["no_cot"] + sizes["answer_only"]


# -- quality ----------------------------------------------------------------------------------------------------------


def _answers(profile: Profile) -> Iterator[Statement]:
    found, n = profile.quality.answers, profile.examples
    asked = n - found.no_reference
    if not asked:
        text = "no row says which answer is right, so that the answers can't be checked"
        yield Statement("look", "answers", text, n, n, "say which column does: --fields reference=COLUMN")
        return
    if found.checked:
        text = f"{_share(found.wrong, found.checked)} of the final answers are wrong"
        do = f"keep the correct with the step verify; {_CLAIMS['D3, D11']}" if found.wrong else ""
        urgency = _urgency(found.wrong, found.checked)
        yield Statement(urgency, "answers", f"{text}, by the references", found.wrong, found.checked, do)
    for rows, what, do in (
        (found.missing, "state no final answer that is found", "see some with triaxis data show; remove, or mark it"),
        (found.other_form, "state their answer in another form than their task reads", "write them in one form"),
        (found.unparsable, "have an answer or reference that can't be read as one", "the report lists the first"),
        (found.timeout, "have an answer that could not be compared in time", "the report lists the first"),
        (found.unchecked, "can only be compared by math-verify, which is missing", "pip install 'triaxis[data]'"),
        (found.no_reference, "have no reference", "know that these are unchecked"),
    ):
        if rows >= SAID * n and rows:
            yield Statement("look", "answers", f"{_share(rows, n)} of the rows {what}", rows, n, do)


def _traces(profile: Profile) -> Iterator[Statement]:
    found, n = profile.quality, profile.examples
    if found.inconsistent:
        share = _share(found.inconsistent, found.comparable_traces)
        text = f"in {share} of the traces that state a result, the answer given is another"
        do = "keep those that agree, or those that are right, with the step verify"
        few = found.comparable_traces < ENOUGH
        urgency: Urgency = "look" if few else _urgency(found.inconsistent, found.comparable_traces)
        yield Statement(urgency, "traces", text, found.inconsistent, found.comparable_traces, do)
    open_slips = found.slips - found.slips_caught
    if found.equations and open_slips:
        text = f"{_share(open_slips, found.equations)} of the equations in the traces are wrong and not withdrawn later"
        urgency = "act" if open_slips >= SLIPS * found.equations else "look"
        do = f"the report lists the first; they stand in {found.examples_with_slips:,} rows at most"
        yield Statement(urgency, "traces", f"{text}, of {found.equations:,} that could be checked", open_slips, n, do)
    if found.lab_wrong_steps:
        text = f"{_share(found.lab_wrong_steps, found.lab_steps)} of the lab's steps are wrong"
        yield Statement("act", "traces", text, found.lab_wrong_steps, found.lab_steps, "make the traces again")
    for rows, what, do in (
        (found.refusals, "refuse to answer", "remove them, unless they are meant"),
        (found.loops, "repeat a passage again and again", "remove them: a model learns to go in circles"),
        (found.boilerplate.get("about itself", 0), "speak of the assistant that wrote them", "remove the sentence"),
        (found.boilerplate.get("opening", 0), "open with a courtesy (Certainly! ...)", "remove it, unless it is meant"),
        (found.boilerplate.get("closing", 0), "close with a courtesy (I hope ...)", "remove it, unless it is meant"),
    ):
        if rows and rows >= SAID * n:
            yield Statement("look", "wording", f"{_share(rows, n)} of the responses {what}", rows, n, do)


# -- diversity, difficulty --------------------------------------------------------------------------------------------


def _duplicates(profile: Profile) -> Iterator[Statement]:
    found, n = profile.diversity, profile.examples
    for rows, what, how in (
        (found.exact_duplicates, "repeat an earlier row in full", "{how: exact, of: whole}"),
        (found.near_duplicates, "pose the problem of an earlier row again, in the same words or nearly", "near"),
    ):
        if rows:
            urgency: Urgency = "act" if rows >= DUPLICATES * n else "look"
            do = f"keep one of each with the step dedupe: {how}, unless that is meant"
            yield Statement(urgency, "duplicates", f"{_share(rows, n)} of the rows {what}", rows, n, do)
    for rows, what in (
        (found.near_other_answer, "are nearly an earlier one, and have another answer: other problems, it seems"),
        (found.near_template, "are nearly an earlier one, by words that so many share that they may be a template"),
    ):
        if rows:
            text = f"{_count(rows, 'problem')} of {found.problems:,} {what}"
            yield Statement("look", "duplicates", text, rows, n, "compare some; the step dedupe: near keeps them")
    if not (found.exact_duplicates or found.near_duplicates or found.near_other_answer or found.near_template):
        yield Statement("fine", "duplicates", "no two rows pose the same problem, in the same words or nearly", 0, n)


def _domains(profile: Profile) -> Iterator[Statement]:
    found, n = profile.diversity.domains, profile.examples
    if isinstance(found, NotEstimable):
        do = "say which column does: --fields domain=COLUMN"
        yield Statement("look", "domains", "no row says its domain, so that diversity is told by words only", n, n, do)
    elif found.effective < NARROW:
        largest = max(found.counts, key=lambda name: found.counts[name])
        text = f"{_share(found.counts[largest], n)} of the rows are of the domain {largest}"
        text += f"; the domains are as diverse as {found.effective:.1f} of equal size{_unsaid(found.missing, n)}"
        do = f"add other domains, or see what their lack costs in a study; {_CLAIMS['D1']}"
        yield Statement("look", "domains", text, found.counts[largest], n, do)
    else:
        text = f"there are {len(found.counts)} domains, as diverse as {found.effective:.1f} of equal size"
        text += _unsaid(found.missing, n)
        yield Statement("fine", "domains", text, n - found.missing, n)


def _difficulty(profile: Profile) -> Iterator[Statement]:
    found, n = profile.difficulty, profile.examples
    if not found.with_field:
        do = "say which column does: --fields difficulty=COLUMN"
        yield Statement("look", "difficulty", "no row says how difficult it is", n, n, do)
        return
    thirds = thirds_of(profile.difficulty, profile.diversity)
    if isinstance(thirds, str):
        do = "give them on one scale, or name the column that has one: --fields difficulty=COLUMN"
        kinds = "several kinds" in thirds
        yield Statement("look", "difficulty", thirds, found.with_field, n, do if kinds else "")
    else:
        yield from _thirds(thirds)


def _thirds(thirds: Sequence[Third]) -> Iterator[Statement]:
    """Which thirds of difficulty are scarce: in the data, or in its domains, each with a range of its own."""
    sizes = Counter[str]()
    for third in thirds:
        sizes[third.domain] += third.rows
    several = thirds[0].domain != ""
    spoken = [third for third in thirds if not several or sizes[third.domain] >= ENOUGH]
    scarce = [third for third in spoken if third.rows < SCARCE * sizes[third.domain]]
    for name in dict.fromkeys(third.name for third in scarce):
        held = [third for third in scarce if third.name == name]
        rows, of = sum(third.rows for third in held), sum(sizes[third.domain] for third in held)
        text = f"{name} problems ({held[0].levels}) are {_share(rows, of)}"
        if several:
            domains = [f"{third.domain} ({third.levels}) {_share(third.rows, sizes[third.domain])}" for third in held]
            more = f" and {len(held) - NAMED:,} more" if len(held) > NAMED else ""
            text = f"problems that are {name} for their domain are scarce in {_count(len(held), 'domain')}: "
            text += ", ".join(domains[:NAMED]) + more
        do = "draw other shares with the step mixture" + (f"; {_CLAIMS['D2']}" if name != "hard" else "")
        yield Statement("look", "difficulty", text, rows, of, do)
    if scarce or not spoken:
        return
    rows = sum(third.rows for third in spoken)
    text = "problems are " + ", ".join(f"{third.name} ({third.levels}) {_share(third.rows, rows)}" for third in spoken)
    if several:
        domains_told = len({third.domain for third in spoken})
        text = (
            f"in each of {domains_told:,} domains, no third of its range of difficulty holds under 5 % of its problems"
        )
    yield Statement("fine", "difficulty", text, rows, rows)


def _model(profile: Profile) -> Iterator[Statement]:
    found = profile.model
    if found is None:
        return
    n, of = found.asked, f"of {found.samples} samples by {found.model}"
    if not isinstance(found.mean, NotEstimable):
        mean, low, high = (f"{100 * share:.0f}" for share in (found.mean.value, found.mean.low, found.mean.high))
        text = f"the mean pass rate of {found.model} is {mean} % [{low}, {high}], over the rows asked"
        yield Statement("fine", "pass rate", text, n, profile.examples)
    yield from _model_doubts(profile, found)
    if found.samples < 2:  # which says of no row that it is always solved, or never
        return
    always = sum(rate == 1 for rate in found.rates.values())
    never = sum(rate == 0 for rate in found.rates.values())
    if n and always >= SOLVED * n:
        text = f"{_share(always, n)} of the rows asked are solved in all {of}"
        do = "they have little left to teach this model: put 1 - its pass rate in a column, and draw by that as the"
        do += " difficulty, with the step select or mixture"
        yield Statement("act" if always >= MOSTLY * n else "look", "pass rate", text, always, n, do)
    if n and never >= SOLVED * n:
        text = f"{_share(never, n)} of the rows asked are solved in none {of}"
        do = "see whether their references are right; only their traces can teach them, its own samples can't"
        yield Statement("look", "pass rate", text, never, n, do)


def _model_doubts(profile: Profile, found: PassRates) -> Iterator[Statement]:
    """What makes a model's pass rates say less than they seem to."""
    responses = found.asked * found.samples
    for outcome, what, do in (
        ("truncated", f"ran into the limit of {found.max_new_tokens:,} tokens", "raise --max-new-tokens"),
        ("unparsed", "hold no final answer that is found", "ask for one in the prompt, or the pass rates are too low"),
    ):
        rows = found.outcomes[outcome]
        if responses and rows >= CUT_OFF * responses:
            text = f"{_share(rows, responses)} of the responses of {found.model} {what}"
            yield Statement("look", "pass rate", text, rows, responses, do)
    held = found.reliability
    if not isinstance(held, NotEstimable) and held.value < UNRELIABLE:
        text = f"the pass rates of {found.model} tell rows apart poorly (reliability {held.value:.2f})"
        do = "ask more often (--samples), or take it that the rows are alike to this model"
        yield Statement("look", "pass rate", text, found.asked, profile.examples, do)
    for reasons, of in ((found.unjudged, found.rows), (found.left_out, found.drawn)):
        for reason, rows in reasons.items():
            text = f"{_share(rows, of)} of the rows could not be asked of {found.model}: {reason}"
            yield Statement("look", "pass rate", text, rows, of, "know that they have no pass rate")


# -- leakage, coverage ------------------------------------------------------------------------------------------------


def _leakage(profile: Profile) -> Iterator[Statement]:
    for found in profile.leakage.sets if profile.leakage else ():
        kinds = ", ".join(f"{found.by_kind[kind]:,} {kind}" for kind in TOUCHING if found.by_kind[kind])
        numbers = found.by_kind["numbers"]
        if found.touched:
            stand = "stands" if found.touched == 1 else "stand"
            text = f"{_count(found.touched, 'evaluation item')} of {found.name} {stand} in the data ({kinds})"
            text = f"{text}, in {_count(found.rows, 'row')}"
            do = "remove those rows with the step decontaminate, or scores on that set mean nothing"
            yield Statement("act", "leakage", text, found.touched, found.items, do)
        else:
            hidden = max(found.only_whole, found.by_kind["span"]) > UNSEEN * found.items
            text = f"no evaluation item of {found.name} was found in the data, whole or in half of its runs of words"
            text += _hard_to_find(found)
            do = "see the pairs that the report lists, and compare some by hand" if hidden else ""
            yield Statement("look" if hidden else "fine", "leakage", text, 0, found.items, do)
        if numbers:
            differ = "differs" if numbers == 1 else "differ"
            text = f"{_count(numbers, 'evaluation item')} of {found.name} {differ} from a row by numbers only"
            do = "decide whether that is meant; the step decontaminate keeps such rows"
            yield Statement("look", "leakage", text, numbers, found.items, do)


def _coverage(profile: Profile) -> Iterator[Statement]:
    found = profile.coverage
    if found is None:
        return
    for name, gap in (("domains", found.domains), ("difficulties", found.difficulties)):
        if isinstance(gap, NotEstimable):
            continue
        items = round(sum(gap.target[label] for label in gap.missing) * (1 - gap.target_unsaid) * found.target)
        if gap.missing:
            text = (
                f"no row has the {name} {', '.join(gap.missing[:5])}, which {_share(items, found.target)} of the target"
            )
            yield Statement("act", "coverage", f"{text} have", items, found.target, "add such rows")
        if gap.distance > GAP * gap.by_chance:
            moved = round(gap.distance * (1 - gap.rows_unsaid) * found.rows)
            text = f"{100 * gap.distance:.0f} % of the rows would have to change their {name} to match the target"
            text += _unsaid(round(gap.rows_unsaid * found.rows), found.rows)
            do = "draw the target's shares with the step mixture"
            yield Statement("look", "coverage", text, moved, found.rows, do)
    yield from _nearest(found)


def _nearest(found: CoverageProfile) -> Iterator[Statement]:
    """How near the rows come to the target's items, and how many share no more with any than unrelated texts do."""
    n, do = found.sampled, "add rows like the farthest, which the report lists"
    if isinstance(found.unrelated, NotEstimable) or isinstance(found.without_neighbour, NotEstimable):
        return
    near = f"{_share(round(found.without_neighbour * n), n)} have none at a similarity of {found.near:g}"
    unrelated = round(found.unrelated * n)
    if found.unrelated > FAR:
        text = f"{_share(unrelated, n)} of the target's items share no more words with any row than unrelated texts do"
        own = found.own_unrelated
        alike = not isinstance(own, NotEstimable) and own > found.unrelated / 2
        if alike and not isinstance(own, NotEstimable):
            text += f"; {100 * own:.0f} % do so with each other, so that words may not tell whether they are covered"
        yield Statement("look" if alike else "act", "coverage", f"{text}; {near}", unrelated, n, do)
    if isinstance(found.far, NotEstimable):
        if found.unrelated <= FAR:
            text = f"whether items lie far from the rows can't be told: {found.far.reason}; {near}"
            yield Statement("look", "coverage", text, round(found.without_neighbour * n), n)
        return
    far = round(found.far * n)
    fewer = ", and fewer with so many rows" if found.rows > found.compared else ""
    text = f"{_share(far, n)} of the target's items lie far from every row"
    text += f" (about 5 % is what to expect, up to {100 * found.far_by_chance:.0f} % by chance{fewer}); {near}"
    if found.far > max(FAR, found.far_by_chance):
        yield Statement("act", "coverage", text, far, n, do)
    elif found.unrelated <= FAR:
        yield Statement("fine", "coverage", text, far, n)


_PARTS = (
    _skipped, _length, _ends, _structure, _answers, _traces, _duplicates, _domains, _difficulty, _model, _leakage,
    _coverage,
)  # fmt: skip


def _hard_to_find(found: SetLeakage) -> str:
    """What a search that found nothing could not see."""
    said = ""
    if found.word_for_word:
        said += f"; {_count(found.word_for_word, 'short one')} would have to stand in a prompt word for word"
    if found.only_whole:
        said += f"; {found.only_whole:,} could only be found as a whole turn"
    if spans := found.by_kind["span"]:
        said += f"; {spans:,} share a passage with a row"
    return said


def _unsaid(rows: int, of: int) -> str:
    return f"; {_share(rows, of)} of the rows say none" if rows else ""


def _urgency(rows: int, of: int) -> Urgency:
    return "act" if rows >= ACTED_ON * of and rows else "look" if rows else "fine"


def _share(rows: int, of: int) -> str:
    """A share in per cent, with as many figures as it takes; 0 only where it is none."""
    if not rows:
        return "0 %"
    share = 100 * rows / of
    if rows == of:
        return "100 %"
    if share >= 99.5:
        return "over 99 %"
    return f"{share:.0f} %" if share >= 10 else f"{share:.1f} %" if share >= 0.1 else f"{share:.2g} %"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"
