"""How often the behaviours that `triaxis data profile` counts are right: precision and recall on traces made here.

    python benchmarks/behaviours.py [--traces 200] [--seed 0] [--tuned] [--misses]

Chains of thought are built around items of reasoning-gym (running sums, partial products, Euclid's steps, legs by the
animal), with sentences of `behaviour_phrases.py` planted in them: some that show a behaviour, as many that only look
like it. Beside them stand the lab's own traces, short and long, whose slips are known from the task. A detection is
right where it lies in a sentence that was planted for its behaviour; a planted sentence is found where a detection of
its behaviour lies in it. Intervals are Wilson's, 95 %; sentences share a list, so they are a little too narrow.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from dataclasses import dataclass, field

import behaviour_phrases as phrases
import reasoning_gym

from triaxis.axes.data.profile.behaviours import BEHAVIOURS, find_behaviours
from triaxis.axes.data.profile.structure import kind_of
from triaxis.stats.intervals import wilson
from triaxis.tasks import get_task, task_names
from triaxis.types import Example

GYM = ("chain_sum", "products", "gcd", "leg_counting", "simple_equations", "gsm_symbolic")
LOOKALIKE = "none"  # of the behaviours, but with the words of one
KINDS = ("long_cot", "short_cot", "no_cot", "answer_only")  # of English traces
LAB_EACH = 5  # items a lab task and structure


@dataclass
class Trace:
    """A trace whose behaviours are known: spans of its text, by name."""

    text: str = ""
    planted: list[tuple[str, int, int]] = field(default_factory=list)

    def say(self, sentence: str, behaviour: str = "", end: str = " ") -> None:
        start = len(self.text)
        self.text += sentence
        if behaviour:
            self.planted.append((behaviour, start, len(self.text)))
        self.text += end


@dataclass
class Tally:
    detected: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    planted: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def add(self, trace: Trace) -> None:
        hits: set[tuple[str, int, int]] = set()
        for one in find_behaviours(trace.text):
            within = [p for p in trace.planted if p[0] == one.name and p[1] < one.end and one.start < p[2]]
            self.detected[one.name] += 1
            self.right[one.name] += bool(within)
            hits.update(within)
            if not within:
                around = trace.text[max(one.start - 30, 0) : one.end + 30].replace("\n", " ")
                self.notes.append(f"no {one.name}: ..{around}..")
        for span in trace.planted:
            self.planted[span[0]] += 1
            self.found[span[0]] += span in hits
            if span not in hits:
                self.notes.append(f"missed {span[0]}: {trace.text[span[1] : span[2]]}")


def steps_of(name: str, entry: dict, rng: random.Random) -> list[str]:
    """What a plain solution of the item would write down, line by line."""
    data = entry["metadata"]
    if name == "chain_sum":
        terms = data["expression"].split()
        total, lines = int(terms[0]), []
        for sign, term in zip(terms[1::2], terms[2::2], strict=True):
            after = total + int(term) if sign == "+" else total - int(term)
            lines.append(f"{total} {sign} {term} = {after}.")
            total = after
        return lines
    if name == "products":
        one, other = (int(n) for n in data["expression"].split(" * "))
        parts = [(int(digit) * 10**place) for place, digit in enumerate(reversed(str(other)))]
        return [f"{one} * {part} = {one * part}." for part in parts]
    if name == "gcd":
        a, b = sorted(data["numbers"], reverse=True)[:2]
        lines = []
        while b:
            lines.append(f"{a} = {a // b} * {b} + {a % b}.")
            a, b = b, a % b
        return lines
    if name == "leg_counting":
        return [f"The {animal}s are {n}." for animal, n in data["animals"].items()]
    return [f"The problem says: {entry['question'][:80].strip()}", f"This comes to {entry['answer']}."]


def gym_trace(entry: dict, name: str, rng: random.Random, said: dict, reflective: bool) -> Trace:
    """A chain of thought around one item; `reflective` ones verify and backtrack as well as plan."""
    trace = Trace()
    pool = list(phrases.PLAIN) + steps_of(name, entry, rng)
    lines: list[tuple[str, str]] = [(rng.choice(pool), "") for _ in range(rng.randint(6, 14))]
    for behaviour in BEHAVIOURS:
        planned = behaviour not in ("verification", "backtracking")
        for _ in range(rng.choice((0, 1, 2)) if planned else rng.choice((1, 2, 3)) if reflective else 0):
            lines.insert(rng.randrange(len(lines) + 1), (rng.choice(said[behaviour]), behaviour))
    for _ in range(rng.randint(2, 5)):
        lines.insert(rng.randrange(len(lines) + 1), (rng.choice(said[LOOKALIKE]), ""))
    for sentence, behaviour in lines:
        numbers = {letter: rng.randrange(2, 99) for letter in "abcd"}
        filled = sentence.format(**numbers, r=numbers["a"] + numbers["b"]) if "{" in sentence else sentence
        trace.say(filled, behaviour, end=rng.choice((" ", " ", "\n")))
    return trace


def lab_trace(item, task, structure: str) -> Trace:
    """A trace of the lab with what is known of it: a label is a sub-goal, `wait` a verification, a slip backtracks."""
    trace, text = Trace(), item.traces[structure]
    thought = text.partition("<think>")[2].partition("</think>")[0]
    right = [task.show_step(step) for step in task.derive(task.problem(item))]
    for label, (step, shown) in enumerate(zip(thought.split(" ; "), right, strict=False), 1):
        trace.say(f"i{label}", "subgoals")
        first, wait, rest = step.strip().removeprefix(f"i{label} ").partition(" wait ")
        trace.say(first)
        if wait:
            trace.say("wait", "verification")
            slipped = first != shown
            words = rest.removesuffix(" ;").split(" no ")
            trace.say(words[0])
            if slipped:
                trace.say("no", "backtracking")
                trace.say(words[1])
        trace.say(";")
    return trace


def made(n: int, rng: random.Random, said: dict) -> list[Trace]:
    traces = []
    for k in range(n):
        name = GYM[k % len(GYM)]
        entry = reasoning_gym.create_dataset(name, size=1, seed=rng.randrange(2**31))[0]
        traces.append(gym_trace(entry, name, rng, said, reflective=rng.random() < 0.6))
    return traces


def table(title: str, traces: list[Trace], show_misses: bool) -> None:
    tally = Tally()
    for trace in traces:
        tally.add(trace)
    words = sum(len(trace.text.split()) for trace in traces)
    print(f"\n{title}: {len(traces)} traces, {words:,} words\n")
    print("| behaviour | planted | detected | precision, % | recall, % |\n|---|---|---|---|---|")
    for name in BEHAVIOURS:
        cells = [share(tally.right[name], tally.detected[name]), share(tally.found[name], tally.planted[name])]
        print(f"| {name} | {tally.planted[name]} | {tally.detected[name]} | {cells[0]} | {cells[1]} |")
    for note, times in Counter(tally.notes).most_common() if show_misses else ():
        print(f"  {times} x {note}")


def share(part: int, whole: int) -> str:
    if not whole:
        return "none"
    interval = wilson(part / whole, whole)
    return f"{100 * part / whole:.0f} [{100 * interval.low:.0f}, {100 * interval.high:.0f}]"


def kinds(n: int, rng: random.Random, said: dict) -> None:
    """Of how many examples of each kind the kind is told right."""
    counts: Counter[tuple[str, str]] = Counter()
    for k in range(n):
        name, truth = GYM[k % len(GYM)], KINDS[k % len(KINDS)]
        entry = reasoning_gym.create_dataset(name, size=1, seed=rng.randrange(2**31))[0]
        long, short = (gym_trace(entry, name, rng, said, reflective=r).text for r in (True, False))
        end = f"The answer is {entry['answer']}."
        thought = {"long_cot": long, "short_cot": short}.get(truth)
        solution = f"{short}\n{end}" if truth == "no_cot" else end
        counts[truth, kind_of(Example("", (), thought, solution, entry["answer"]))] += 1
    print("\n| kind | " + " | ".join(f"told as {kind}" for kind in KINDS) + " |\n" + "|---" * (len(KINDS) + 1) + "|")
    for truth in KINDS:
        print(f"| {truth} | " + " | ".join(str(counts[truth, kind]) for kind in KINDS) + " |")


WORKED = (  # solutions in a sentence, with the box after it
    "Since each of the {a} boxes holds {b} pens, there are {p} pens in all.|p",
    "Adding {a} and {b} gives {s}.|s",
    "{a} birds sat there and {b} came, so {s} are there.|s",
    "With {a} rows of {b} chairs we need {p} chairs.|p",
    "Taking {a} from {s}, Jon keeps {b}.|b",
    "Twice {a} makes {d}.|d",
    "He walks {a} km there and {a} km back, {d} km together.|d",
    "{p} shared among {a} leaves {b} each.|b",
)
SAID = (
    "In the end Jon has {s} seeds.|s",
    "So there are {p} pens in all.|p",
    "Jon needs {s} more dollars.|s",
    "The total cost is {p} dollars.|p",
    "Therefore {s} chairs are needed.|s",
    "After {a} days the plant is {s} cm tall.|s",
    "On day {a} of week {b} Jon has {s} seeds.|s",
    "Cleo is {s} years old now.|s",
)


def one_sentence(n: int, rng: random.Random) -> None:
    """Of how many solutions of one sentence it is told whether they work something out."""
    print("\n| one sentence and a box | told as no_cot | told as answer_only |\n|---|---|---|")
    for name, sentences in (("works it out", WORKED), ("says the answer", SAID)):
        counts: Counter[str] = Counter()
        for k in range(n):
            a, b = rng.randrange(2, 50), rng.randrange(50, 99)
            values = {"a": a, "b": b, "s": a + b, "p": a * b, "d": 2 * a}
            sentence, _, key = sentences[k % len(sentences)].partition("|")
            solution = f"{sentence.format(**values)}\n\n$\\boxed{{{values[key]}}}$"
            counts[kind_of(Example("", (), None, solution, str(values[key])))] += 1
        print(f"| {name} | {counts['no_cot']} | {counts['answer_only']} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=int, default=200, help="of reasoning-gym")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tuned", action="store_true", help="plant the sentences that the lists were written with")
    parser.add_argument("--misses", action="store_true", help="list what was missed and what was wrong")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    lists = (phrases.TUNED, phrases.HARD_TUNED) if args.tuned else (phrases.HELD_OUT, phrases.HARD_HELD_OUT)
    said = lists[0] | {LOOKALIKE: lists[1]}
    table("reasoning-gym", made(args.traces, rng, said), args.misses)
    lab = []
    for name in task_names():
        task = get_task(name)
        if task.kind == "reasoning":
            for item in task.examples("train", args.seed, LAB_EACH):
                lab += [lab_trace(item, task, structure) for structure in ("short_cot", "long_cot")]
    table("lab", lab, args.misses)
    kinds(args.traces, rng, said)
    one_sentence(args.traces // 2, rng)


if __name__ == "__main__":
    main()
