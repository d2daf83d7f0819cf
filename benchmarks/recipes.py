"""How fast variants are made, and the small data set that the shipped recipes run on.

python benchmarks/recipes.py speed [--rows 20000 200000]     rows a CPU second of each operation, from file to file
python benchmarks/recipes.py data FOLDER                     word-problems.jsonl and held-out.jsonl of examples/data/
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from triaxis.axes.data.recipes import parse_recipe
from triaxis.axes.data.recipes.make import make_files

NAMES = ("Ada", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gwen", "Hugo", "Iris", "Jon")
THINGS = {
    "shopping": ("pens", "apples", "stamps", "books"),
    "travel": ("miles", "stops", "tickets", "days"),
    "gardening": ("seeds", "pots", "rows", "tulips"),
}
MOVES = (  # what happens, its sign
    ("gets {n} more", "+"),
    ("gives away {n}", "-"),
    ("then has {n} times as many", "*"),
)


def problem(rng: random.Random, domain: str, steps: int) -> dict[str, Any]:
    """A word problem of some steps with a long trace: most steps checked, some slips made and taken back."""
    name, thing = rng.choice(NAMES), rng.choice(THINGS[domain])
    value = rng.randint(5, 30)
    said, thought = [f"{name} starts with {value} {thing}."], [f"{name} has {value} {thing}."]
    for _ in range(steps):
        words, sign = rng.choice(MOVES)
        n = rng.randint(2, 4) if sign == "*" else rng.randint(2, max(2, value // 2))
        after = {"+": value + n, "-": value - n, "*": value * n}[sign]
        said.append(f"{name} {words.format(n=n)}.")
        if rng.random() < 0.2:
            thought.append(f"{value} {sign} {n} = {after + 10}.\nWait, that's not right.")
        thought.append(f"{value} {sign} {n} = {after}.")
        if rng.random() < 0.3:
            back = {"+": f"{after} - {n}", "-": f"{after} + {n}", "*": f"{after} / {n}"}[sign]
            thought.append(f"Let me check: {back} = {value}.\nYes, that's right.")
        value = after
    ask = f"How many {thing} does {name} have in the end?"
    answer = f"In the end {name} has {value} {thing}.\n\n$\\boxed{{{value}}}$"
    trace = "\n".join(thought)
    return {
        "problem": " ".join([*said, ask]),
        "response": f"<think>\n{trace}\n</think>\n\n{answer}",
        "answer": str(value),
        "subject": domain,
        "level": steps,
    }


def problems(n: int, seed: int) -> Iterator[dict[str, Any]]:
    """Rows with ids, domains and levels taking turns."""
    rng = random.Random(seed)
    for i in range(n):
        row = problem(rng, tuple(THINGS)[i % len(THINGS)], 1 + i // len(THINGS) % 3)
        yield {"id": f"wp-{i:04d}", **row}


def written(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def data(folder: Path) -> None:
    """The shipped set: 90 rows, of which some have a wrong answer, some are copies and one is in the held-out set."""
    rows, held_out = list(problems(90, 1)), list(problems(12, 2))
    for i in (10, 40, 70):
        wrong = str(int(rows[i]["answer"]) + 1)
        rows[i]["response"] = rows[i]["response"].replace(f"\\boxed{{{rows[i]['answer']}}}", f"\\boxed{{{wrong}}}")
    for i, j in ((20, 5), (55, 13)):
        rows[i] |= {key: rows[j][key] for key in ("problem", "response", "answer", "level")}
    held_out[7] |= {key: rows[33][key] for key in ("problem", "answer", "level")}
    folder.mkdir(parents=True, exist_ok=True)
    written(folder / "word-problems.jsonl", iter(rows))
    kept = ("id", "problem", "answer", "subject", "level")
    written(folder / "held-out.jsonl", ({key: row[key].replace("wp", "ho") if key == "id" else row[key] for key in kept}
                                        for row in held_out))  # fmt: skip


STEPS: dict[str, list[Any]] = {
    "nothing": [],
    "structure short_cot": [{"structure": {"kind": "short_cot", "shortfall": 1}}],
    "structure no_cot": [{"structure": "no_cot"}],
    "noise wrong_step 30 %": [{"noise": {"kind": "wrong_step", "rate": 0.3}}],
    "noise wrong_answer 30 %": [{"noise": {"kind": "wrong_answer", "rate": 0.3}}],
    "noise other_trace 30 %": [{"noise": {"kind": "other_trace", "rate": 0.3}}],
    "noise shuffled_steps 30 %": [{"noise": {"kind": "shuffled_steps", "rate": 0.3, "shortfall": 1}}],
    "noise missing_answer 30 %": [{"noise": {"kind": "missing_answer", "rate": 0.3}}],
    "mixture balanced": [{"mixture": {"shares": "balanced", "by": "both"}}],
    "curriculum": [{"mixture": {"shares": "as_is", "order": "curriculum"}}],
    "scale to half": [],
    "dedupe": ["dedupe"],
    "cap 200 words": [{"cap": {"limit": 200, "unit": "words"}}],
    "all of noise, mixture, cap": [
        {"cap": {"limit": 200, "unit": "words"}},
        {"mixture": {"shares": "balanced", "by": "both"}},
        {"noise": {"kind": "wrong_step", "rate": 0.3}},
    ],
}


def speed(sizes: list[int]) -> None:
    """Rows that come in a CPU second, from a file to a file: a process of one core, whatever runs beside it."""
    with tempfile.TemporaryDirectory() as folder:
        print(f"| operation | {' | '.join(f'{n:,} rows' for n in sizes)} |")
        print("|---" * (1 + len(sizes)) + "|")
        for n in sizes:
            written(Path(folder) / f"{n}.jsonl", problems(n, 0))
        for name, steps in STEPS.items():
            rates = []
            for n in sizes:
                done = [{"scale": n // 2}] if name.startswith("scale") else steps
                recipe = {"source": f"{folder}/{n}.jsonl", "steps": done, "output": f"{folder}/out.jsonl"}
                began = time.process_time()
                make_files(parse_recipe(recipe), force=True)
                rates.append(n / (time.process_time() - began))
            print(f"| {name} | {' | '.join(f'{rate:,.0f}' for rate in rates)} |", flush=True)
        size = (Path(folder) / f"{sizes[-1]}.jsonl").stat().st_size / sizes[-1]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"\nrows a CPU second; a row is {size:,.0f} bytes; largest memory {peak:,.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "data"])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--rows", nargs="+", type=int, default=[20_000, 200_000])
    args = parser.parse_args()
    if args.what == "speed":
        speed(args.rows)
    else:
        data(args.folder)


if __name__ == "__main__":
    main()
