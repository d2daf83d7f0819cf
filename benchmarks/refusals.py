"""How often the refusal detector is right: precision and recall on replies that were written and labelled for it.

    python benchmarks/refusals.py [--misses]

The rule of `triaxis.tasks.declines` was built on `tests/data/refusals-build.jsonl`. `refusals-held-out.jsonl` was
written before, by the same hand, and not looked at until the rule stood; what it is wrong on is left as it is. A reply
is labelled refused where it gives nothing of what was asked: it declines, evades, or offers something else. Replies in
other languages than English are counted apart. Intervals are Wilson's, 95 %, over replies.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

from triaxis.stats.intervals import wilson
from triaxis.tasks.declines import is_refusal, said

DATA = Path(__file__).parents[1] / "tests" / "data"
OTHER = "other-language"


def rows(half: str) -> list[dict[str, object]]:
    text = (DATA / f"refusals-{half}.jsonl").read_text(encoding="utf-8")
    return [row | {"found": is_refusal(said(row["reply"]))} for row in map(json.loads, text.splitlines())]


def share(right: int, n: int) -> str:
    found = wilson(right / n, n)
    return f"{right / n:.2f} [{found.low:.2f}, {found.high:.2f}] ({right} of {n})"


def told(half: str, misses: bool) -> None:
    """Precision and recall in English, then by style how many are right."""
    every = rows(half)
    english = [row for row in every if row["style"] != OTHER]
    right = sum(bool(row["refused"] and row["found"]) for row in english)
    print(f"{half}: {len(english)} replies in English, {sum(bool(row['refused']) for row in english)} refused")
    print(f"  precision {share(right, sum(bool(row['found']) for row in english))}")
    print(f"  recall    {share(right, sum(bool(row['refused']) for row in english))}")
    tally = Counter((str(row["style"]), row["refused"] == row["found"]) for row in every)
    styles = dict.fromkeys(str(row["style"]) for row in every)
    by_style = [f"{style} {tally[style, True]}/{tally[style, True] + tally[style, False]}" for style in styles]
    print("  right by style: " + ", ".join(by_style))
    for row in every if misses else ():
        if row["refused"] != row["found"]:
            print(f"  {'missed' if row['refused'] else 'false '} {row['style']}: {str(row['reply'])[:100]!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--misses", action="store_true", help="Print the replies that the rule is wrong on.")
    arguments = parser.parse_args()
    for half in ("build", "held-out"):
        told(half, arguments.misses)


if __name__ == "__main__":
    main()
