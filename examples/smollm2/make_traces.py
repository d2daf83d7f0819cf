"""Write traces.jsonl: 256 questions of reasoning-gym's chain_sum, from its training side, each with a worked solution.

The questions are of the side that `rg:` tasks never ask (a quarter of all is held out); the traces add up from left to
right.
Run it here: python make_traces.py
"""

import json
from pathlib import Path

from triaxis.tasks import get_task

TASK = "rg:chain_sum?max_digits=2&max_terms=3&min_digits=1&min_terms=2"
ROWS = 256


def worked(expression: str) -> tuple[list[str], int]:
    """The lines that add `expression` up from left to right, and what it comes to."""
    words = expression.split()
    total, lines = int(words[0]), []
    for sign, number in zip(words[1::2], map(int, words[2::2]), strict=True):
        new = total + number if sign == "+" else total - number
        lines.append(f"{total} {sign} {number} = {new}")
        total = new
    return lines, total


def main() -> None:
    rows = []
    for item in get_task(TASK).examples("train", 0, ROWS):
        lines, total = worked(item.prompt.partition("problem: ")[2].partition(" =")[0])
        if str(total) != item.answer:
            raise SystemExit(f"{item.id}: the trace comes to {total}, the answer is {item.answer}")
        response = "<think>\n" + "\n".join(lines) + f"\n</think>\n\n<answer>{total}</answer>"
        turns = [{"role": "user", "content": item.prompt}, {"role": "assistant", "content": response}]
        rows.append(json.dumps({"messages": turns, "answer": item.answer}))
    Path(__file__).with_name("traces.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
