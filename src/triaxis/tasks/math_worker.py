"""The process that `checker` asks whether two answers are equal as mathematics: pairs in, verdicts out, a line each."""

from __future__ import annotations

import json
import logging
import signal
import sys


def main() -> None:
    """Answer until there is nobody to ask."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; who asks decides what ends
    from math_verify import parse, verify

    logging.disable()
    print("ready", flush=True)
    for line in sys.stdin:
        given, reference = json.loads(line)
        print(json.dumps(_judged(parse, verify, given, reference)), flush=True)


def _judged(parse: object, verify: object, given: str, reference: str) -> str:
    assert callable(parse) and callable(verify)
    try:
        # Without time limits of its own: they rest on signals, and the one that asks ends this process in time.
        one, other = (parse(f"\\boxed{{{text}}}", parsing_timeout=None) for text in (given, reference))
        if not one or not other:
            return "unparsable"
        return "correct" if verify(other, one, timeout_seconds=None) else "wrong"
    except Exception:  # whatever the parser makes of a text that is no mathematics
        return "unparsable"


if __name__ == "__main__":
    main()
