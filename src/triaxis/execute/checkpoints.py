"""Which checkpoint is which: run and step of folders and names as trainers write them, told or refused."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from triaxis.execute.keeping import WEIGHTS
from triaxis.study.selection import BEST
from triaxis.types import TriaxisError

_STEP = re.compile(r"(?<![a-z])(?:checkpoint|ckpt|global[-_]?step|step|iteration|iter)[-_=]?([0-9]+)", re.IGNORECASE)
_TRAINERS = re.compile(r"checkpoint-[0-9]+")  # of transformers: never the name of a model of the hub
_GIVEN = re.compile(r"(.+)@([0-9]+)")
_RUN = re.compile(r"[^\W_.][^/\0]*")
SHOWN = 3  # names in a message before "and n more"
MAX_STEP = 2**53


@dataclass(frozen=True)
class Point:
    """A checkpoint to be measured. A base has an empty run."""

    model: str  # a folder, a base of the lab, a name of the hub
    run: str
    step: int

    @property
    def id(self) -> str:
        return f"{self.run} step {self.step}" if self.run else f"base {self.model}"


def points_of(words: Sequence[str], run: str = "") -> list[Point]:
    """The checkpoints that words name, by run and step.

    A word is a checkpoint (a folder, a name of the hub), with `@STEP` where its name tells none, or a trainer's folder
    that holds several. The run is `run`, else the folder that holds the checkpoint. Raises TriaxisError for a word that
    names no checkpoint, and for two checkpoints that would be one.
    """
    found = [point for word in words for point in _points(word, run)]
    for point in found:
        if not _RUN.fullmatch(point.run) or point.run.startswith("base "):
            raise TriaxisError(
                f"{point.model}: {point.run!r} can't name a run, since it names a folder; give --run NAME"
            )
    counts = Counter((point.run, point.step) for point in found)
    (name, step), most = max(counts.items(), key=lambda pair: pair[1])
    if most > 1:
        same = [point.model for point in found if (point.run, point.step) == (name, step)]
        raise TriaxisError(
            f"{_some(same)}: are all step {step} of run {name}; leave one out, give another step (CHECKPOINT@STEP), or "
            "evaluate them one by one with --run"
        )
    if not run:
        _refuse_namesakes(found)
    return sorted(found, key=lambda point: (point.run, point.step))


def step_in(name: str) -> int | None:
    """The step that a folder's name tells: checkpoint-640, step_640, global_step640, iter-00640; None where it tells
    none, or two."""
    steps = {int(match[1]) for match in _STEP.finditer(name)}
    return steps.pop() if len(steps) == 1 else None


def _points(word: str, run: str) -> Iterator[Point]:
    given = _GIVEN.fullmatch(word)
    if given and not Path(word).is_dir():
        model, step = given[1], int(given[2])
        if step > MAX_STEP:
            raise TriaxisError(f"{word}: {step} is no step of a run")
        _check_there(model)
        yield Point(model, run or _run_of(model), step)
        return
    _check_there(word)
    inside = _inside(word)
    if inside:
        for folder in inside:
            yield Point(str(folder), run or _run_of(str(folder)), int(step_in(folder.name) or 0))
        return
    told = step_in(_last(word))
    if told is None:
        raise TriaxisError(
            f"{word}: its name tells no step, as checkpoint-640, step_640 or iter-00640 do; give it: {word}@STEP"
        )
    yield Point(word, run or _run_of(word), told)


def _check_there(word: str) -> None:
    """Refuse a folder that isn't there, before it is taken for a name of the hub."""
    path = Path(word)
    if path.is_file():
        raise TriaxisError(f"{word}: a file; name the checkpoint's folder, as save_pretrained or a Trainer wrote it")
    if path.is_dir() or word.startswith("lab:"):
        return
    local = word.startswith((".", "/", "~")) or len(path.parts) > 2 or _TRAINERS.fullmatch(path.name)
    if local or (path.parent != Path() and path.parent.is_dir()):
        there = [folder.name for folder in _folders(path.parent)]
        has = f"; {path.parent} holds {_some(there)}" if there else ""
        raise TriaxisError(f"{word}: no such checkpoint{has}")


def _inside(word: str) -> list[Path]:
    """The checkpoints in a trainer's folder, in the order of their steps; a checkpoint itself holds none."""
    path = Path(word)
    if not path.is_dir() or (step_in(path.resolve().name) is not None and (path / "config.json").is_file()):
        return []
    inside = [folder for folder in _folders(path) if step_in(folder.name) is not None]
    return sorted(inside, key=lambda folder: int(step_in(folder.name) or 0))


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(folder for folder in path.iterdir() if folder.is_dir())
    except OSError:
        return []


def _last(word: str) -> str:
    """What of a name tells the step: a folder's own name; of the hub's, the revision, else the name."""
    return Path(word).resolve().name if Path(word).is_dir() else word.rpartition("@")[2].rpartition("/")[2]


def _run_of(model: str) -> str:
    """The run that a checkpoint belongs to: the folder that holds it; of a name of the hub, the model."""
    path = Path(model)
    if path.is_dir():
        path = path.resolve()
        return _home(path).name if step_in(path.name) is not None else path.name
    return model.partition("@")[0].rpartition("/")[2].replace("lab:", "")


def _home(checkpoint: Path) -> Path:
    """The folder of a checkpoint's run. A study keeps the best one of a run apart, in a folder of its own."""
    home = checkpoint.parent
    return home.parent if home.name == BEST and home.parent.parent.name == WEIGHTS else home


def _refuse_namesakes(found: Sequence[Point]) -> None:
    """Refuse to take for one run what lies in two folders of one name."""
    homes: dict[str, set[Path]] = {}
    for point in found:
        if Path(point.model).is_dir() and step_in(_last(point.model)) is not None:
            homes.setdefault(point.run, set()).add(_home(Path(point.model).resolve()))
    for name, folders in homes.items():
        if len(folders) > 1:
            raise TriaxisError(
                f"{_some(sorted(map(str, folders)))}: two folders that are both called {name}; evaluate them one by "
                "one, each with --run NAME"
            )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
