"""How long a user waits for the first answer: start to end, a process each.

python benchmarks/start.py [--rounds 7]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

TRIAXIS = str(Path(sys.executable).parent / "triaxis")
COMMANDS = {
    "triaxis --help": [TRIAXIS, "--help"],
    "import triaxis.analyze": [sys.executable, "-c", "import triaxis.analyze"],
    "triaxis analyze --published": [TRIAXIS, "analyze", "--published"],
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    for name, words in COMMANDS.items():
        seconds, cpu = [], []
        for _ in range(rounds):
            began, used = time.perf_counter(), sum(os.times()[2:4])
            subprocess.run(words, check=True, capture_output=True)
            seconds.append(time.perf_counter() - began)
            cpu.append(sum(os.times()[2:4]) - used)
        print(f"{name:<28} {statistics.median(seconds):5.2f} s   {statistics.median(cpu):5.2f} CPU-s")


if __name__ == "__main__":
    main()
