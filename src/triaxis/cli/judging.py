"""Judging as the commands show it: a bar, a line on what it took, and what to do later where the judge is down."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from triaxis.cli.progress import Counted
from triaxis.execute.judging import Judging, check_unchanged, in_a_line, judge_folder, judge_of
from triaxis.study.judging import KEY_ENV
from triaxis.types import JUDGED_GROUPS, RunFailed, TriaxisError

if TYPE_CHECKING:
    from rich.console import Console

    from triaxis.records import Store
    from triaxis.study.judging import JudgeSettings


QUIET = 5.0  # seconds between two words about tries


def judged(
    store: Store,
    settings: JudgeSettings,
    console: Console,
    *,
    groups: tuple[str, ...] = tuple(JUDGED_GROUPS),
    tasks: tuple[str, ...] = (),
) -> tuple[Judging, float]:
    """Judge what isn't judged, with a bar and a line on what it took; what came and how many seconds it needed."""
    began, bar = time.monotonic(), JudgingBar(console)
    check_unchanged(store)
    try:
        judging = judge_folder(
            store,
            judge_of(settings),
            groups=groups,
            tasks=tasks,
            concurrency=settings.concurrency,
            begins=bar.begin,
            heard=bar.move,
            told=bar.tell,
        )
    finally:
        bar.end()
    seconds = time.monotonic() - began
    print(f"triaxis: judge: {in_a_line(judging, seconds)}", file=sys.stderr)
    return judging, seconds


def judge_at_end(store: Store, settings: JudgeSettings, console: Console) -> None:
    """Judge what was just measured; whatever comes of it, the records are there and can be judged later."""
    try:
        judging, _ = judged(store, settings, console)
        lacking = f"{judging.missing:,} responses have no judgement" if judging.missing else ""
    except (TriaxisError, RunFailed) as failure:
        lacking = str(failure).removeprefix("judge: ")
    if lacking:
        later = f"triaxis judge {store.path} --endpoint {settings.endpoint} --model {settings.model}"
        later += f" --template {settings.template}" if settings.template else ""
        later += f" --key-env {settings.key_env}" if settings.key_env != KEY_ENV else ""
        print(f"triaxis: judge: {lacking}; the records are kept, judge them later: {later}", file=sys.stderr)


class JudgingBar(Counted):
    """Counts responses; there is no bar before it is known how many."""

    unit, begins = "responses", "judging"

    def __init__(self, console: Console) -> None:
        self._console, self._begun, self._told, self._tried = console, False, 0.0, -QUIET

    def begin(self, judging: Judging) -> None:
        super().__init__(judging.total, judging.kept, self._console)
        self._begun, self._told = True, time.monotonic()
        self.__enter__()

    def to_do(self) -> str:
        kept = f" ({self.already:,} are judged)" if self.already else ""
        return f"{self.total - self.already:,} responses to judge{kept}"

    def move(self, judging: Judging) -> None:
        self.measured = judging.kept + sum(judging.judged.values())
        self.bars.update(self.bar, completed=self.measured)
        if not self.console.is_terminal and time.monotonic() - self._told > 30:
            self._told = time.monotonic()
            self.line(f"{self.measured:,}/{self.total:,} responses, {self._left()}")

    def tell(self, words: str) -> None:
        """A word about tries, of all who try at once one every few seconds."""
        if time.monotonic() - self._tried > QUIET:
            self._tried = time.monotonic()
            self.line(words)

    def end(self) -> None:
        if self._begun:
            self.bars.stop()
