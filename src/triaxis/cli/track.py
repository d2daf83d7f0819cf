"""`triaxis track` and `triaxis run --track`: the runs of a folder, shown in TensorBoard, Weights & Biases or MLflow."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from triaxis.cli.progress import Progress
    from triaxis.execute.engine import Event
    from triaxis.integrations.trackers import Destination
    from triaxis.records import Store
    from triaxis.study import Study


def track(
    folder: Annotated[Path, typer.Argument(help="A folder of 'triaxis run' or 'triaxis evaluate', finished or not.")],
    to: Annotated[list[str], typer.Option(metavar="NAME[=PLACE]", help="tensorboard, wandb or mlflow; several times.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """Send what a folder holds to a tracker; what the tracker has is not sent again."""
    from triaxis.cli.folder import opened, study_of, title_of
    from triaxis.integrations.trackers.following import send_kept
    from triaxis.integrations.trackers.sending import Sender

    with opened(folder) as store:
        told = []
        for destination in destinations(to, folder, title_of(store, study_of(store))):
            sender = Sender(destination, _tell)
            runs = send_kept(store, sender)
            sender.close()
            told.append({
                "tracker": destination.kind, "place": destination.place, "runs": runs,
                "sent": sender.sent, "already": sender.already, "failed": sender.failed,
            })  # fmt: skip
    if as_json:
        print(json.dumps(told, indent=1))
    else:
        for one in told:
            if not one["failed"]:
                points = f"{one['sent']} checkpoints sent, {one['already']} were there"
                print(f"{one['tracker']}: {one['runs']} runs, {points} ({one['place']})")
    if any(one["failed"] for one in told):
        raise typer.Exit(1)


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def destinations(told: Sequence[str], folder: Path, title: str) -> list[Destination]:
    """The trackers that are asked for, each once. Raises TriaxisError where one can't be had."""
    if not told:
        return []
    from triaxis.integrations.trackers import destination

    return list(dict.fromkeys(destination(one, folder, title) for one in told))


@contextmanager
def following(
    to: Sequence[Destination], study: Study, store: Store, progress: Progress
) -> Iterator[Callable[[Event], None]]:
    """What hears of the events of a study: the bar, and the trackers that are asked for."""
    if not to:
        yield progress.heard
        return
    from triaxis.integrations.trackers.following import Following

    with Following(to, study, store, progress.line) as trackers:

        def heard(event: Event) -> None:
            progress.heard(event)
            trackers.heard(event)

        yield heard
