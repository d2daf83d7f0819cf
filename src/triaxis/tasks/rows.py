"""The rows of files as mappings with their place: JSON lines and arrays, plain or compressed; a row at a time."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from triaxis.study.mistakes import shown
from triaxis.types import TriaxisError

HEAD = 4096  # bytes that tell what a file is
CHUNK = 1 << 20  # bytes read at a time
MAX_ROW = 1 << 26  # bytes of a row; 64 MB of text are no example, and what is missing is a line break
ENDS_EARLY = "the file ends early: it is cut off or damaged; write or copy it again"
DAMAGED = (EOFError, OSError, zlib.error)  # what a compressed file that is not whole raises

_NOT_ROWS = (  # what else people have, by its first bytes, and what to do about it
    (b"PK\x03\x04", "a zip archive or workbook; unpack it, or save its sheet as JSON lines"),
    (b"BZh", "compressed by bzip2; unpack it, or compress it with gzip or zstd"),
    (b"\xfd7zXZ", "compressed by xz; unpack it, or compress it with gzip or zstd"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it"),
    (b"\x80\x02", "a pickle, which can run code and is never opened; save the data as JSON lines or Parquet"),
    (b"\x80\x03", "a pickle, which can run code and is never opened; save the data as JSON lines or Parquet"),
    (b"\x80\x04", "a pickle, which can run code and is never opened; save the data as JSON lines or Parquet"),
    (b"\x80\x05", "a pickle, which can run code and is never opened; save the data as JSON lines or Parquet"),
    (b"\x93NUMPY", "a NumPy array; save the data as JSON lines or Parquet"),
    (b"SQLite format 3", "an SQLite database; export the table as JSON lines or Parquet"),
    (b"version https://git-lfs", "a Git LFS pointer and not the data; run git lfs pull"),
    (b"<!DOCTYPE", "a web page; download the file itself"),
    (b"<html", "a web page; download the file itself"),
    (b"\xff\xfe", "UTF-16 text; save it as UTF-8"),
    (b"\xfe\xff", "UTF-16 text; save it as UTF-8"),
    (b"{\0", "UTF-16 text; save it as UTF-8"),
)


class Row(NamedTuple):
    """One row of a file, or why it can't be read (`values` is None). Nothing comes after a row with `ends`."""

    number: int  # from 1: the line of a JSON lines file, else the place among its rows; 0: the file as a whole
    values: dict[str, Any] | None
    problem: str = ""
    field: str = ""


class _Twice(ValueError):
    """A key that stands twice in an object, where JSON readers would drop the first in silence."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Twice(next(name for name in names if names.count(name) > 1))
    return values


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def printable(text: str) -> str:
    """Nothing that a terminal would obey: what can't be printed, and marks that turn the writing round, as escapes."""
    return text if text.isprintable() else "".join(c if c.isprintable() or c == "\t" else repr(c)[1:-1] for c in text)


def head_of(path: Path) -> bytes:
    """The first bytes of a file. Raises TriaxisError where it can't be read, is empty, or holds something else."""
    try:
        if not path.is_file():
            raise TriaxisError(f"{path}: not a file; give a file, or a folder of save_to_disk")
        with path.open("rb") as file:
            head = file.read(HEAD)
    except PermissionError:
        raise TriaxisError(f"{path}: may not be read; give yourself permission (chmod u+r)") from None
    except (OSError, ValueError) as error:
        raise TriaxisError(f"{path}: can't be read ({getattr(error, 'strerror', None) or error})") from None
    if not head:
        raise TriaxisError(f"{path}: the file is empty")
    _refuse_others(path, head)
    return head


def _refuse_others(path: Path, head: bytes) -> None:
    for magic, what in _NOT_ROWS:
        if head.startswith(magic):
            raise TriaxisError(f"{path}: {what}")
    if head[257:262] == b"ustar":
        raise TriaxisError(f"{path}: a tar archive; unpack it")
    if path.suffix.lower() in (".csv", ".tsv"):
        raise TriaxisError(f"{path}: a CSV file; name it hf:csv?data_files={path} (needs the datasets library)")


def compression_of(head: bytes) -> str:
    """ "gzip", "zstd" or "" by a file's first bytes."""
    return "gzip" if head.startswith(b"\x1f\x8b") else "zstd" if head.startswith(b"\x28\xb5\x2f\xfd") else ""


@contextmanager
def opened(path: Path, compression: str) -> Iterator[io.BufferedReader[Any]]:
    """The bytes of a file, unpacked as they are read."""
    if compression == "zstd":
        with pa.input_stream(str(path), compression="zstd") as stream:
            yield io.BufferedReader(stream, CHUNK)
    else:
        with gzip.open(path) if compression else path.open("rb") as file:
            yield file  # type: ignore[misc]


def json_rows(path: Path, compression: str) -> Iterator[Row]:
    """The rows of a JSON lines file or of a JSON array, told apart by the first character."""
    with opened(path, compression) as file:
        try:
            first = _first_characters(file)
            if compression:
                _refuse_others(path, first)
        except DAMAGED:
            yield Row(0, None, ENDS_EARLY)
            return
        lines = io.BufferedReader(_Joined(first, file), CHUNK)
        is_array = first.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")
        yield from _array(lines) if is_array else _lines(lines)


def _first_characters(file: io.BufferedReader[Any]) -> bytes:
    """The beginning of the text, far enough to see what comes first after the white space."""
    first = file.read1(HEAD)
    while (not first or first.isspace()) and len(first) < MAX_ROW and (more := file.read1(CHUNK)):
        first += more
    return first


class _Joined(io.RawIOBase):
    """Bytes that were read already, and then the rest of the file."""

    def __init__(self, first: bytes, rest: io.BufferedReader[Any]) -> None:
        self._first, self._rest = first, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._first[: len(buffer)] or self._rest.read1(len(buffer))
        self._first = self._first[len(data) :]
        buffer[: len(data)] = data
        return len(data)


def _lines(file: io.BufferedReader[Any]) -> Iterator[Row]:
    """The rows of JSON lines. An empty line is no row, and is counted, so that a row's number is its line."""
    number = 0
    while True:
        number += 1
        try:
            line = file.readline(MAX_ROW)
            if len(line) == MAX_ROW and not line.endswith(b"\n"):
                while (rest := file.readline(MAX_ROW)) and not rest.endswith(b"\n"):
                    pass
                yield Row(number, None, f"longer than {MAX_ROW >> 20} MB; end each row with a line break")
                continue
        except DAMAGED:
            yield Row(number, None, ENDS_EARLY)
            return
        if not line:
            return
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        if not line.isspace() and line:
            yield _decoded(number, line)


def _decoded(number: int, line: bytes) -> Row:
    """The row of one line of JSON."""
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        return Row(number, None, f"byte {line[error.start]:#04x} is not UTF-8; save the file as UTF-8")
    try:
        return _row(number, _DECODER.decode(text))
    except (ValueError, RecursionError) as error:
        return Row(number, None, _why_not_json(error, text))


def _row(number: int, value: object) -> Row:
    if isinstance(value, dict):
        return Row(number, value)
    return Row(number, None, f'{shown(value)} where an object should be, as {{"prompt": .., "completion": ..}}')


def _why_not_json(error: Exception, text: str, start: int = 0) -> str:
    """What is wrong with a row's JSON, which begins at `start` in the text that the error counts from."""
    if isinstance(error, _Twice):
        return f"the key {shown(str(error))} stands twice in one object; keep one"
    if isinstance(error, RecursionError):
        return "nested too deeply to be a row"
    if not isinstance(error, json.JSONDecodeError):
        return "a number with too many digits"
    at = error.pos - start + 1
    if "\0" in text[error.pos : error.pos + 1]:
        return f"a NUL byte at character {at:,}; remove it"
    what = error.msg[0].lower() + error.msg[1:].removesuffix(" at")
    near = f"near {shown(text[error.pos : error.pos + 20])}" if text[error.pos :].strip() else "at its end"
    hint = "write each row on one line" if text[start:].strip() in ("{", "[") else "mend the row"
    return f"not JSON: {what} at character {at:,}, {near}; {hint}"


class _Buffer:
    """The text of a file, of which only what isn't parsed yet is in memory."""

    def __init__(self, file: io.BufferedReader[Any]) -> None:
        self._file, self._decoder = file, codecs.getincrementaldecoder("utf-8-sig")()
        self._damage: Exception | None = None
        self.text, self.at = "", 0

    def fill(self) -> bool:
        """Read on, at least as much again as is waiting; False at the end. Raises as a damaged file does."""
        if self._damage is not None:
            raise self._damage
        data = bytearray()
        wanted = max(CHUNK, len(self.text) - self.at)
        try:
            while len(data) < wanted and (more := self._file.read1(wanted)):
                data += more
        except DAMAGED as error:  # after what could be read
            self._damage = error
        try:
            text = self._decoder.decode(bytes(data), final=not data)
        except UnicodeDecodeError as error:
            text, self._damage = error.object[: error.start].decode("utf-8-sig"), error
        self.text, self.at = self.text[self.at :] + text, 0
        return bool(data)

    def peek(self) -> str:
        """The next character that is not white space, which is passed over; empty at the end."""
        while True:
            match = _SPACE.match(self.text, self.at)
            self.at = match.end() if match else self.at
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.fill() and self.at >= len(self.text):
                return ""


_SPACE = re.compile(r"[ \t\r\n]*")


def _array(file: io.BufferedReader[Any]) -> Iterator[Row]:
    """The rows of a JSON array, parsed one by one. Where one is broken the next can't be found, and reading ends."""
    buffer, number, more = _Buffer(file), 0, True
    try:
        buffer.peek()
        buffer.at += 1  # its bracket
        while more and (mark := buffer.peek()) != "]":
            if number and mark != ",":
                what = f"{shown(mark)} where a comma should be; what follows is not read" if mark else ENDS_EARLY
                yield Row(number + 1, None, what)
                return
            buffer.at += bool(number)
            row, more = _element(number + 1, buffer)
            yield row
            number += 1
        buffer.at += 1
        if more and (mark := buffer.peek()):
            yield Row(number + 1, None, f"{shown(mark)} after the end of the array; keep one array in a file")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        yield Row(number + 1, None, f"byte {byte:#04x} is not UTF-8; what follows is not read; save the file as UTF-8")
    except DAMAGED:
        yield Row(number + 1, None, ENDS_EARLY)


def _element(number: int, buffer: _Buffer) -> tuple[Row, bool]:
    """The next row of an array, and whether the one after it can be found."""
    if not buffer.peek():
        return Row(number, None, ENDS_EARLY), False
    while True:
        try:
            value, buffer.at = _DECODER.raw_decode(buffer.text, buffer.at)
            return _row(number, value), True
        except (ValueError, RecursionError) as error:
            unread = isinstance(error, json.JSONDecodeError) and len(buffer.text) - buffer.at < MAX_ROW
            why = _why_not_json(error, buffer.text, buffer.at)
        if not (unread and buffer.fill()):  # what is missing may only not be read yet
            return Row(number, None, f"{why}; what follows is not read"), False
