"""MLflow: a run of an experiment, in a database of the study's folder or at the address of a server."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from triaxis.integrations.trackers import Destination, Points, Tracked

RUN = "triaxis.run"  # the tag by which a run is found again
AT_ONCE = 100  # parameters in a request; MLflow takes no more
DATABASE = "mlflow.db"


class MLflow:
    """The runs of one experiment. What it has is asked of it, since a server may hold what another session sent."""

    def __init__(self, client: Any, experiment: str) -> None:
        self.client, self.experiment = client, experiment
        self._runs: dict[str, str] = {}  # by our name, theirs
        self._has: dict[str, dict[int, set[str]]] = {}

    def has(self, run: Tracked) -> Points:
        if run.name not in self._has:
            found: dict[int, set[str]] = {}
            id = self._of(run)
            for name in self.client.get_run(id).data.metrics:
                for metric in self.client.get_metric_history(id, name):
                    found.setdefault(metric.step, set()).add(name)
            self._has[run.name] = found
        return {step: _Cleaned(names) for step, names in self._has[run.name].items()}

    def log(self, run: Tracked, step: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        self.has(run)
        now, id = int(1000 * time.time()), self._of(run)
        self.client.log_batch(id, metrics=[Metric(_clean(name), v, now, step) for name, v in values.items()])
        self._has[run.name].setdefault(step, set()).update(map(_clean, values))

    def end(self, run: Tracked, failed: bool) -> None:
        self.client.set_terminated(self._of(run), "FAILED" if failed else "FINISHED")

    def close(self) -> None:
        """Nothing is held open."""

    def _of(self, run: Tracked) -> str:
        """MLflow's id of a run, which is made where it isn't there."""
        if run.name in self._runs:
            return self._runs[run.name]
        from mlflow.entities import Param

        quote = '"' if "'" in run.name else "'"
        found = self.client.search_runs([self.experiment], f"tags.`{RUN}` = {quote}{run.name}{quote}")
        if not found:
            made = self.client.create_run(self.experiment, run_name=run.name, tags={RUN: run.name})
            told = [Param(_clean(name), str(value)) for name, value in run.config.items()]
            for first in range(0, len(told), AT_ONCE):
                self.client.log_batch(made.info.run_id, params=told[first : first + AT_ONCE])
            found = [made]
        self._runs[run.name] = str(found[0].info.run_id)
        return self._runs[run.name]


class _Cleaned(set[str]):
    """Names as MLflow has them: it takes few characters, so ours are looked up cleaned."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(_clean(str(name)))


def _clean(name: str) -> str:
    return re.sub(r"[^\w. :/-]", "_", name, flags=re.ASCII)


def opened(to: Destination) -> tuple[MLflow, str]:
    """The tracker, and what to know of it."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow.tracking import MlflowClient

    address, files = to.place, None
    if "://" not in address and address != "databricks":
        folder = Path(address).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        address, files = f"sqlite:///{folder / DATABASE}", (folder / "artifacts").as_uri()
    client = MlflowClient(tracking_uri=address)
    there = client.get_experiment_by_name(to.title)
    experiment = there.experiment_id if there else client.create_experiment(to.title, artifact_location=files)
    return MLflow(client, experiment), ""
