"""Weights & Biases: a run of a project, sent to its server or, without a key, kept in a folder for `wandb sync`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from triaxis.integrations.trackers import Destination, Points, Tracked

STEP = "optimizer_step"  # the horizontal axis of every chart
LONGEST = 128  # characters of an id, or of a project's name


class WandB:
    """Runs of one project, several open at once. What was logged is kept in a file a run: offline, nobody can be asked.

    A session that is killed between the two may log its last checkpoint again: the same values at the same step.
    """

    def __init__(self, place: Path, project: str, mode: Any) -> None:
        self.place, self.project, self.mode = place, project, mode
        self._open: dict[str, Any] = {}
        self._has: dict[str, dict[int, set[str]]] = {}

    def has(self, run: Tracked) -> Points:
        if run.name not in self._has:
            self._has[run.name] = {}
            path = self._logged(run)
            for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
                step, names = json.loads(line)
                self._has[run.name].setdefault(step, set()).update(names)
        return self._has[run.name]

    def log(self, run: Tracked, step: int, values: Mapping[str, float]) -> None:
        self.has(run)
        self._of(run).log({**values, STEP: step})
        with self._logged(run).open("a", encoding="utf-8") as file:
            file.write(json.dumps([step, sorted(values)]) + "\n")
        self._has[run.name].setdefault(step, set()).update(values)

    def end(self, run: Tracked, failed: bool) -> None:
        if (held := self._open.pop(run.name, None)) is not None:
            held.finish(exit_code=int(failed))

    def close(self) -> None:
        import wandb

        for held in self._open.values():
            held.finish()
        self._open.clear()
        wandb.teardown()

    def _logged(self, run: Tracked) -> Path:
        folder = self.place / "logged"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{_clean(run.name)}.jsonl"

    def _of(self, run: Tracked) -> Any:
        """The open run, the same one as in an earlier session."""
        if run.name not in self._open:
            import wandb

            held = wandb.init(
                project=self.project,
                id=_clean(run.name),
                name=run.name,
                config=dict(run.config),
                dir=str(self.place),
                mode=self.mode,
                resume="allow",
                reinit="create_new",
                settings=wandb.Settings(console="off", silent=True, disable_git=True, x_disable_stats=True),
            )
            held.define_metric(STEP, hidden=True)
            held.define_metric("*", step_metric=STEP)
            self._open[run.name] = held
        return self._open[run.name]


def _clean(name: str) -> str:
    return re.sub(r"[^\w.=+-]", "_", name)[-LONGEST:]


def opened(to: Destination) -> tuple[WandB, str]:
    """The tracker, and what to know of it. WANDB_MODE, WANDB_PROJECT and the rest of its settings hold as ever."""
    import wandb

    place = Path(to.place).resolve()
    place.mkdir(parents=True, exist_ok=True)
    project = os.environ.get("WANDB_PROJECT") or _clean(to.title)
    mode, note = os.environ.get("WANDB_MODE", ""), ""
    if not mode:
        try:
            wandb.login()
            mode = "online"
        except wandb.errors.UsageError:  # no key is configured
            mode = "offline"
            note = (
                f"no API key is configured, so runs stay in {to.place}: wandb login, then wandb sync --sync-all there"
            )
    return WandB(place, project, mode), note
