"""Time and memory of `triaxis data profile` and of making variants, on reasoning traces made here.

    python benchmarks/data.py [--examples 20000] [--tokens 4000] [--times 1 10] [--keep FOLDER]

Writes a chat data set with think tags, boxed answers, references, domains and difficulties, in which shares of wrong
answers, missing answers and copies are planted; trains a small byte-pair tokenizer on its beginning; profiles every row
in full, without a model, as a user does (`triaxis data profile FILE --tokenizer tokenizer.json --json`) on two
processes; then makes a variant of each kind. `--times 1 10` does all of it for so many times the examples: it is
linear where the seconds in 1,000 rows stay what they are.
CPU seconds are those of all processes; memory is the largest sum over them of what is theirs (PSS).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from triaxis.axes.data.recipes import parse_recipe
from triaxis.axes.data.recipes.make import make_files

DOMAINS = ("algebra", "counting", "geometry", "logic", "number theory", "probability")
SAID = (
    "Let me work through this one step at a time and keep track of what is known so far.",
    "Wait, that does not look right, so let me check the last line again.",
    "First I write down the quantities that the problem gives me.",
    "Substituting this back into the equation above gives the next line.",
    "So the part that is left to find is smaller than what we began with.",
    "Alternatively, I could count the complement and take it from the total.",
    "To verify, I put the value into the original statement.",
    "The two sides agree, which is what we wanted to see.",
    "Let us consider the case where the number is even, and then the other case.",
    "Our next goal is to bound this expression from above.",
    "Hmm, going back to the definition may make this simpler.",
    "We know that the sum of the parts has to be the whole.",
)
WRONG, MISSING, COPIED = 0.05, 0.03, 0.02  # shares that are planted


def rows(n: int, tokens: int, seed: int = 0) -> Iterator[dict[str, object]]:
    """`n` rows of about `tokens` tokens each; from one seed the first m of n are the same for every n."""
    before: dict[str, object] | None = None
    for i in range(n):
        rng = random.Random(f"{seed}/{i}")
        if before is not None and rng.random() < COPIED:
            yield before | {"id": f"row-{i}"}
            continue
        start, level = rng.randrange(10, 10_000), rng.randrange(1, 6)
        question = f"A shop has {start} nails, and more come as list {rng.randrange(10**6)} says. How many has it then?"
        thought, right = _thought(rng, start, round(tokens * rng.lognormvariate(0, 0.35)))
        given = right + rng.randrange(1, 50) if rng.random() < WRONG else right
        end = "" if rng.random() < MISSING else f"\n\nThe final answer is $\\boxed{{{given}}}$."
        response = f"<think>\n{thought}\n</think>\n\nWe add up what came on all of the days.{end}"
        before = {
            "id": f"row-{i}",
            "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": response}],
            "answer": str(right),
            "domain": DOMAINS[rng.randrange(len(DOMAINS))],
            "difficulty": level,
        }
        yield before


def _thought(rng: random.Random, at: int, tokens: int) -> tuple[str, int]:
    """Words, and sums that go on from each other, of about so many byte-pair tokens; and what the last sum gives."""
    lines, said = [], 0
    while said < tokens or not lines:
        if rng.random() < 0.4 or not lines:
            more = rng.randrange(1000)
            lines.append(f"{at} + {more} = {at + more}, and with that we go on.")
            at, said = at + more, said + 17
        else:
            lines.append(SAID[rng.randrange(len(SAID))])
            said += 16
    return "\n".join(lines), at


def write(path: Path, n: int, tokens: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in rows(n, tokens):
            file.write(json.dumps(row) + "\n")


def train_tokenizer(path: Path, examples: int, tokens: int) -> None:
    """A byte-pair tokenizer of 4,000 tokens, so that nothing has to be fetched."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=4000, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    texts = (row["messages"][1]["content"] for row in rows(min(examples, 200), tokens))  # type: ignore[index]
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(path))


class Watch(threading.Thread):
    """The largest memory of a process and those that it started, sampled five times a second."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.most, self.over = pid, 0, threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.2):
            self.most = max(self.most, sum(_pss(pid) for pid in _family(self.pid)))


def _family(pid: int) -> list[int]:
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                found += [int(child) for child in task.read_text().split()]
            except OSError:
                continue
    return found


def _pss(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))


def profiled(path: Path, *options: str) -> tuple[dict[str, object], float, float, int]:
    """The profile of a file as the command prints it: the document, wall seconds, CPU seconds, bytes at the most."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    command = [str(Path(sys.executable).parent / "triaxis"), "data", "profile", str(path), "--json", *options]
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, **quiet) as process:  # type: ignore[call-overload]
        watch = Watch(process.pid)
        watch.start()
        text = process.stdout.read() if process.stdout else b""
        if process.wait():
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
        watch.over.set()
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(text), wall, cpu, watch.most


VARIANTS: dict[str, dict[str, object]] = {
    "no_cot": {"structure": "no_cot"},
    "answer_only": {"structure": "answer_only"},
    "wrong answers": {"noise": {"kind": "wrong_answer", "rate": 0.3}},
    "wrong steps": {"noise": {"kind": "wrong_step", "rate": 0.3}},
    "other traces": {"noise": {"kind": "other_trace", "rate": 0.3}},
    "mixture": {"mixture": {"shares": "balanced", "by": "difficulty", "total": 100}},
    "scale": {"scale": 100},
    "dedupe": {"dedupe": "normalised"},
    "near dedupe": {"dedupe": "near"},
    "cap": {"cap": {"limit": 3000, "unit": "words"}},
}


def made(source: Path, name: str, examples: int) -> float:
    """Rows of the source a second, read, changed and written again."""
    (operation, settings), *_ = VARIANTS[name].items()
    if name == "scale":
        settings = examples // 2
    if isinstance(settings, dict) and "total" in settings:
        settings = settings | {"total": examples // 2}
    output = source.with_name("variant.jsonl")
    recipe = {"source": str(source), "steps": [{operation: settings}], "output": str(output)}
    began = time.perf_counter()
    make_files(parse_recipe(recipe), force=True)
    return examples / (time.perf_counter() - began)


def measure(folder: Path, examples: int, tokens: int) -> None:
    data, tokenizer = folder / f"rows-{examples}.jsonl", folder / "tokenizer.json"
    write(data, examples, tokens)
    if not tokenizer.exists():
        train_tokenizer(tokenizer, examples, tokens)
    print(f"\n{examples:,} examples, {data.stat().st_size / 1e6:,.0f} MB")
    print("| profile | tokens a row | wall, s | CPU, s | of which tokenizing | s in 1,000 rows | peak memory, MB |")
    print("|---|---|---|---|---|---|---|")
    for name, options in (("words", ()), ("tokenizer.json", ("--tokenizer", str(tokenizer)))):
        found, wall, cpu, most = profiled(data, "--processes", "2", *options)
        tokenizing = found["seconds"]["tokenizing"]  # type: ignore[index,call-overload]
        mean = found["tokens"]["mean"]  # type: ignore[index,call-overload]
        row = f"{wall:.1f} | {cpu:.1f} | {tokenizing:.1f} | {1000 * wall / examples:.2f} | {most / 1e6:,.0f}"
        print(f"| {name} | {mean:,.0f} | {row} |", flush=True)
    print("\n| variant | rows a second |\n|---|---|")
    for name in VARIANTS:
        print(f"| {name} | {made(data, name, examples):,.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=20_000)
    parser.add_argument("--tokens", type=int, default=4000)
    parser.add_argument("--times", type=int, nargs="+", default=[1])
    parser.add_argument("--keep", type=Path, help="Leave the files in this folder.")
    asked = parser.parse_args()
    print(f"{len(os.sched_getaffinity(0))} cores, about {asked.tokens:,} tokens a row")
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for times in asked.times:
            measure(folder, times * asked.examples, asked.tokens)


if __name__ == "__main__":
    main()
