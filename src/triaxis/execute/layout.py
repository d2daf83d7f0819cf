"""How runs are laid out over processes: no part of what a run is, but recorded with where it came from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from triaxis.types import Sharding, TriaxisError

if TYPE_CHECKING:
    from triaxis.study import Study

HERE = "triaxis.execute.run:follow"  # by name: torch is loaded where it runs, not here
IN_SEVERAL = "triaxis.execute.ranks:follow"


@dataclass(frozen=True)
class Chosen:
    """A setting of a layout, told as a study's settings are."""

    name: str
    value: int | str
    source: str


@dataclass(frozen=True)
class Layout:
    """How many processes train a run together, and what each of them holds of its model."""

    processes: int = 1
    sharding: Sharding = "ddp"
    sources: tuple[str, str] = ("default", "default")  # of the two

    @property
    def work(self) -> str:
        """The function that follows a run laid out like this."""
        return HERE if self.processes == 1 else IN_SEVERAL

    @property
    def settings(self) -> list[Chosen]:
        """What of it is told with a study's settings: nothing of one process, which is how runs are by default."""
        if self.processes == 1:
            return []
        told = (("run.processes_per_run", self.processes), ("run.sharding", self.sharding))
        return [Chosen(name, value, source) for (name, value), source in zip(told, self.sources, strict=True)]

    @property
    def words(self) -> str:
        """What checkpoints are told to have been measured with; empty for one process."""
        return f"{self.processes} processes a run ({self.sharding})" if self.processes > 1 else ""


ALONE = Layout()


def laid_out(processes: int | None, sharding: Sharding | None) -> Layout:
    """A layout as it is given on the command line, None where it isn't. Raises TriaxisError for a half of one."""
    if sharding is not None and (processes or 1) == 1:
        raise TriaxisError("--sharding: says what several processes hold of a run's model; give --processes-per-run")
    sources = tuple("default" if given is None else "user" for given in (processes, sharding))
    return Layout(processes or 1, sharding or "ddp", (sources[0], sources[1]))


def check_layout(layout: Layout, study: Study) -> None:
    """Refuse what no run of the study could follow, before anything runs."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and "LOCAL_RANK" in os.environ:
        raise TriaxisError(
            "triaxis run: started several times, by torchrun or accelerate launch; start it once, with "
            f"--processes-per-run {os.environ['WORLD_SIZE']}: it starts the processes of a run itself"
        )
    if layout.processes == 1:
        return
    if find_spec("accelerate") is None:
        raise TriaxisError("--processes-per-run: needs accelerate: pip install 'triaxis[hf]'")
    from triaxis.axes.optimization.crew import check_devices  # loads torch, and so do the runs
    from triaxis.axes.optimization.held import check_sharding

    check_devices(layout.processes)
    for optimizer in sorted({str(condition.settings["optimization.optimizer"]) for condition in study.conditions()}):
        check_sharding(optimizer, layout.sharding)


def jobs_at_once(layout: Layout, jobs: int | None, cores: int) -> int:
    """Runs at a time: one a core where each is one process; where GPUs are, one, which has them all.

    Raises TriaxisError for several runs of several processes where there are GPUs: they would share devices.
    """
    if layout.processes == 1:
        return jobs or cores
    import torch

    if not torch.cuda.is_available():
        return jobs or max(1, cores // layout.processes)
    if jobs is not None and jobs > 1:
        raise TriaxisError(
            f"--jobs: {jobs} runs of {layout.processes} processes would share GPUs; leave it out, runs go one by one"
        )
    return 1
