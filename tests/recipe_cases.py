"""Rows, files and recipes that the tests of variants share."""

import json
from pathlib import Path

from triaxis.axes.data.recipes import make_examples, parse_recipe
from triaxis.axes.data.recipes.spec import step_of
from triaxis.tasks.stated import final_answer
from triaxis.types import Example, Turn

ROOT = Path(__file__).parents[1]
SHIPPED = sorted((ROOT / "examples" / "data").glob("*.yaml"))


def example(i, thought, solution, reference=None, domain="math", difficulty=None, **more):
    said = (Turn("user", f"question {i}"),)
    return Example(
        f"r{i}", said, thought, solution, final_answer(solution), reference, domain, difficulty, row=i, **more
    )


def sums(n=200, domains=("math", "shop"), levels=(1, 2, 3)):
    """Rows that double a sum, with a trace of two equations and a check."""
    rows = []
    for i in range(n):
        a, b = 3 + i, 4 + i % 7
        c, d = a + b, 2 * (a + b)
        thought = f"\n{a} + {b} = {c}.\nThen {c} * 2 = {d}.\nLet me check: {d} / 2 = {c}.\nYes, that's right.\n"
        solution = f"The whole is {d}.\n\n$\\boxed{{{d}}}$"
        rows.append(example(i, thought, solution, str(d), domains[i % len(domains)], levels[i % len(levels)]))
    return rows


def run(steps, rows, seed=0):
    out, entries, touched = make_examples([step_of(s, "step") for s in steps], rows, seed)
    return out, entries, touched


def ids(rows):
    return [row.id for row in rows]


def write(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def problems(n=30):
    return [
        {
            "uuid": f"p{i}",
            "problem": f"What is {i} + 4?",
            "response": f"<think>\nI add: {i} + 4 = {i + 4}.\n</think>\n\nIt is $\\boxed{{{i + 4}}}$.",
            "answer": str(i + 4),
            "subject": ("sums", "more sums")[i % 2],
            "level": i % 3,
            "extra": {"kept": [i]},
        }
        for i in range(n)
    ]


def recipe(source, steps, output="out.jsonl", **more):
    return parse_recipe({"source": source, "steps": steps, "output": output, **more})
