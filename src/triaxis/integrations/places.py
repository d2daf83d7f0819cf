"""Which folder is which checkpoint: patterns as `{run}/checkpoint-{step}` over the folders that hold results."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from triaxis.study.mistakes import Mistake
from triaxis.types import AXES, TriaxisError

RUN, STEP, SEED = "run", "step", "seed"
SHOWN = 3  # names in a message before "and n more"
PIECE = re.compile(r"\{([^{}]*)\}|([*?])|([^{}*?]+)|(.)")


@dataclass(frozen=True)
class Place:
    """A checkpoint's folder: of `run` (empty: a base) at `step`, with the seed and factors that its path tells."""

    folder: str  # below the folder of results
    run: str
    step: int
    told: Mapping[str, str]

    def __str__(self) -> str:
        return self.folder


@dataclass(frozen=True)
class Pattern:
    """A pattern of folders, a name between braces for what it reads; `*` and `?` stand for anything but a slash.

    Without `{run}` a run is told by the other names, or all are one run, named after the folder of results. The
    pattern is matched from the folder of results downwards, and whatever lies below belongs to the same checkpoint:
    lm-eval puts its files into one more folder, named after the model.
    """

    words: str
    depth: int  # folders that it spans
    names: tuple[str, ...]
    strict: re.Pattern[str]  # a step is digits; names are as short as they can be
    longest: re.Pattern[str]  # the same with names as long as they can be: another reading, where there are two
    loose: re.Pattern[str]  # a step is anything, to say what is wrong with it

    @classmethod
    def of(cls, words: str, key: str, *, base: bool) -> Pattern:
        """The pattern in words; raises Mistake, at the map's `key`, where a name in it isn't known or is missing."""
        parts = PurePosixPath(words.replace("\\", "/")).parts
        if not parts or ".." in parts or parts[0] == "/":
            raise Mistake(key, f"{words!r} must be a path below the folder of results")
        text = "/".join(parts)
        names = tuple(dict.fromkeys(match[1] for match in PIECE.finditer(text) if match[1] is not None))
        for name in names:
            _check_name(name, key, base=base)
        if not base and STEP not in names:
            raise Mistake(key, f"{words!r} doesn't say where the step is; put {{step}} into it")
        kinds = ({STEP: r"\d+", "": "[^/]+?"}, {STEP: r"\d+", "": "[^/]+"}, {STEP: "[^/]+", "": "[^/]+?"})
        return cls(words, len(parts), names, *(_compiled(text, names, {SEED: r"-?\d+", **k}, key) for k in kinds))

    def read(self, folder: str) -> dict[str, str] | None:
        """What the pattern reads from a folder (relative, with slashes); None where it doesn't fit.

        Raises TriaxisError where it fits in two ways: `{data.a}-{data.b}` on x-y-z.
        """
        front = self.front(folder)
        match = self.strict.fullmatch(front) or self.loose.fullmatch(front)
        if match is None:
            return None
        found = self._named(match)
        other = self.longest.fullmatch(front)
        if other is not None and self._named(other) != found:
            name, value = next((n, v) for n, v in self._named(other).items() if found[n] != v)
            raise TriaxisError(
                f"{front}: {self.words!r} reads it in two ways, {name} is {found[name]!r} or {value!r}; read only"
                " {run} and {step} from the folders, and give the rest in a CSV of runs"
            )
        return found

    def _named(self, match: re.Match[str]) -> dict[str, str]:
        return {name: match[f"p{i}"] for i, name in enumerate(self.names)}

    def front(self, folder: str) -> str:
        """The checkpoint's own folder: as many folders as the pattern spans."""
        return "/".join(folder.split("/")[: self.depth])


def _check_name(name: str, key: str, *, base: bool) -> None:
    axis, dot, factor = name.partition(".")
    if base and not (axis == "model" and dot and factor):
        raise Mistake(key, f"{{{name}}} is not for a base's folder, which may hold {{model.base}}, or * for anything")
    if not base and name not in (RUN, STEP, SEED) and not (axis in AXES and dot and factor):
        raise Mistake(key, f"{{{name}}} is unknown; a pattern may hold {{run}}, {{step}}, {{seed}} and {{axis.factor}}")


def _compiled(text: str, names: Sequence[str], kinds: Mapping[str, str], key: str) -> re.Pattern[str]:
    seen: set[str] = set()
    parts = []
    for match in PIECE.finditer(text):
        name, glob, plain, stray = match.groups()
        if stray:
            raise Mistake(key, f"a stray {stray!r} in {text!r}; names stand between braces, as {{run}}")
        if name is None:
            parts.append({"*": "[^/]*", "?": "[^/]"}[glob] if glob else re.escape(plain))
        elif name in seen:
            parts.append(f"(?P=p{names.index(name)})")
        else:
            seen.add(name)
            parts.append(f"(?P<p{names.index(name)}>{kinds.get(name, kinds[''])})")
    return re.compile("".join(parts))


def files_below(root: Path) -> list[Path]:
    """All files below a folder, through links too, in order of name. A link back to a folder above is not followed."""
    if not root.is_dir():
        what = "a file, where a folder of results should be" if root.exists() else "no such folder"
        raise TriaxisError(f"{root}: {what}; check the path")
    found: list[Path] = []
    failures: list[OSError] = []
    for folder, folders, files in os.walk(root, followlinks=True, onerror=failures.append):
        real = Path(folder).resolve()
        folders[:] = sorted(name for name in folders if not _above(Path(folder, name), real))
        found += (Path(folder, name) for name in sorted(files))
    if failures:
        raise TriaxisError(f"{failures[0].filename}: can't be read ({failures[0].strerror}); give yourself permission")
    return sorted(found)


def _above(folder: Path, real: Path) -> bool:
    return folder.is_symlink() and real.is_relative_to(folder.resolve())


def located(
    root: Path, files: Iterable[Path], pattern: Pattern, base: Pattern | None, what: str
) -> tuple[dict[Path, Place], list[str]]:
    """The checkpoint of each file, and warnings that count those that are in no checkpoint's folder.

    Raises TriaxisError where a pattern fits nothing, a step is no whole number, a folder is both a run's and a base's,
    or two folders are one checkpoint. `what` names the map.
    """
    places: dict[Path, Place] = {}
    by_folder: dict[str, Place] = {}
    stray = []
    folders = sorted({file.parent.relative_to(root).as_posix() for file in files})
    for folder in folders:
        place = _place(folder, root, pattern, base, what)
        if place is not None:
            by_folder[folder] = place
    for file in files:
        folder = file.parent.relative_to(root).as_posix()
        if folder in by_folder:
            places[file] = by_folder[folder]
        else:
            stray.append(file.relative_to(root).as_posix())
    for fit, key, of_base in ((pattern, "pattern", False), (base, "base", True)):
        if fit is not None and not any((place.run == "") == of_base for place in by_folder.values()):
            raise TriaxisError(
                f"{what}: checkpoints.{key}: {fit.words!r} fits no folder of results below {root};"
                f" there are {listed(folders)}"
            )
    _refuse_twins(by_folder.values(), root)
    return places, [f"{root}: {count(len(stray), 'file')} fit no pattern: {listed(stray)}"] if stray else []


def _place(folder: str, root: Path, pattern: Pattern, base: Pattern | None, what: str) -> Place | None:
    read = pattern.read(folder)
    of_base = base.read(folder) if base is not None else None
    whole = read is not None and re.fullmatch(r"\d{1,18}", read[STEP]) is not None
    if of_base is not None and base is not None:
        if whole:
            raise TriaxisError(
                f"{root / folder}: fits both checkpoints.pattern and checkpoints.base of {what}; make one narrower"
            )
        return Place(base.front(folder), "", 0, of_base)
    if read is None:
        return None
    front = pattern.front(folder)
    if not whole:
        raise TriaxisError(
            f"{root / front}, step: {read[STEP]!r} is not a whole number; rename the folder, or move it elsewhere"
        )
    told = {name: value for name, value in read.items() if name not in (RUN, STEP)}
    run = ",".join(f"{name}={value}" for name, value in told.items()) or root.resolve().name
    return Place(front, read.get(RUN) or run, int(read[STEP]), told)


def _refuse_twins(places: Iterable[Place], root: Path) -> None:
    seen: dict[tuple[object, ...], Place] = {}
    for place in places:
        key = (place.run, place.step) if place.run else ("", *sorted(place.told.items()))
        first = seen.setdefault(key, place)
        if first.folder != place.folder:
            which = f"run {place.run!r}, step {place.step}" if place.run else "the same base"
            raise TriaxisError(
                f"{root / place.folder}: is {which}, as {root / first.folder} is; tell them apart in checkpoints"
            )


def listed(names: Sequence[str], shown: int = SHOWN) -> str:
    """The first few names, and how many more."""
    more = f" and {len(names) - shown:,} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def count(n: int, what: str) -> str:
    """A number of things in words."""
    return f"1 {what}" if n == 1 else f"{n:,} {what}s"
