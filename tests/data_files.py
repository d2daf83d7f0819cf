"""Data sets in every form that people have them in, good and bad: what the tests of reading read."""

from __future__ import annotations

import gzip
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

Content = str | bytes | Callable[[Path], None]
THOUGHT = "<think>\n2 + 2 is 4\n</think>\n\nSo \\boxed{4}."


def row(prompt: str = "What is 2 + 2?", completion: str = THOUGHT, **more: Any) -> dict[str, Any]:
    return {"prompt": prompt, "completion": completion, **more}


def chat(*turns: tuple[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in turns], **more}


def lines(*rows: object) -> str:
    """JSON lines; a text is written as it is."""
    return "".join((r if isinstance(r, str) else json.dumps(r, ensure_ascii=False)) + "\n" for r in rows)


def compressed(content: str, kind: str) -> bytes:
    return gzip.compress(content.encode()) if kind == "gzip" else pa.compress(content.encode(), kind, asbytes=True)


def zstd(content: str, *, keep: float = 1.0) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with pa.output_stream(str(path), compression="zstd") as file:
            file.write(content.encode())
        path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])

    return write


def parquet(rows: list[dict[str, Any]], *, keep: float = 1.0, harm: int | None = None) -> Callable[[Path], None]:
    """A Parquet file; of which only the beginning is kept, or a row group's first page is overwritten."""

    def write(path: Path) -> None:
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)
        data = bytearray(path.read_bytes())
        if harm is not None:
            at = pq.ParquetFile(path).metadata.row_group(harm).column(0).dictionary_page_offset
            data[at : at + 40] = b"\xff" * 40
        path.write_bytes(data[: int(keep * len(data))])

    return write


def arrow(rows: list[dict[str, Any]], *, keep: float = 1.0) -> Callable[[Path], None]:
    """An Arrow stream as the datasets library writes it, a batch a row."""

    def write(path: Path) -> None:
        table = pa.Table.from_pylist(rows)
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as out:
            for batch in table.to_batches(max_chunksize=1):
                out.write_batch(batch)
        path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])

    return write


def saved(folder: Path, rows: list[dict[str, Any]], name: str = "data-00000-of-00001.arrow") -> None:
    """A folder as the datasets library's `save_to_disk` leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    arrow(rows)(folder / Path(name).name)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
    (folder / "dataset_info.json").write_text("{}")


def reaching_out(path: Path) -> None:
    saved(path, [row()], "../outside.arrow")
    (path / "outside.arrow").rename(path.parent / "outside.arrow")


def two_splits(path: Path) -> None:
    for split in ("train", "test"):
        saved(path / split, [row()])
    (path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')


def folder_of_parquet(path: Path) -> None:
    path.mkdir()
    parquet([row()])(path / "train.parquet")


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../escaped.jsonl", lines(row()))


def column_twice(path: Path) -> None:
    table = pa.table([pa.array(["a"]), pa.array(["b"]), pa.array(["c"])], names=["prompt", "prompt", "completion"])
    pq.write_table(table, path)


def not_utf8_column(path: Path) -> None:
    text = pa.array([b"good", b"caf\xe9"]).cast(pa.binary())
    made = pa.StringArray.from_buffers(2, *text.buffers()[1:])
    pq.write_table(pa.table({"prompt": pa.array(["a", "b"]), "completion": made}), path)


class Bad(NamedTuple):
    """A bad file: the words of the line that stops, and with skip the rows that are used and those that are not.

    `used` None: nothing can be used, and skipping stops too.
    """

    name: str
    file: str
    content: Content | None
    words: tuple[str, ...]
    used: int | None = None
    skipped: int = 0
    fields: dict[str, str] | None = None


GOOD = row()
HALF = "\\ud83d"
MEGABYTE = "x" * (1 << 20)
QA = {"question": "1 + 1?", "solution": "It is \\boxed{2}.", "answer": "2"}

BAD = [
    # JSON lines
    Bad("broken JSON", "d.jsonl", lines(GOOD, GOOD, '{"prompt": "a"', GOOD), ("row 3", "not JSON", "mend"), 3, 1),
    Bad("a row over several lines", "d.jsonl", json.dumps(GOOD, indent=1), ("row 1", "one line"), None),
    Bad("a comma too many", "d.jsonl", lines(GOOD, '{"prompt": "a",}'), ("row 2", "not JSON"), 1, 1),
    Bad("last line cut off", "d.jsonl", lines(GOOD) + lines(GOOD)[:40], ("row 2", "not JSON", "unterminated"), 1, 1),
    Bad("key twice", "d.jsonl", lines(GOOD, '{"prompt": "a", "prompt": "b"}'), ("row 2", "'prompt'", "twice"), 1, 1),
    Bad("a list for a row", "d.jsonl", lines(GOOD, "[1, 2]"), ("row 2", "[1, 2]", "object"), 1, 1),
    Bad("a number for a row", "d.jsonl", lines(GOOD, "7"), ("row 2", "7", "object"), 1, 1),
    Bad("an empty line counts", "d.jsonl", lines(GOOD, "", "x"), ("row 3", "not JSON"), 1, 1),
    Bad("nested too deeply", "d.jsonl", lines(GOOD, '{"a":' * 100_000), ("row 2", "deeply"), 1, 1),
    Bad("number without end", "d.jsonl", lines(GOOD, '{"a": ' + "9" * 5000 + "}"), ("row 2", "digits"), 1, 1),
    Bad("NUL byte", "d.jsonl", lines(GOOD, '{"prompt": "a\0b"}'), ("row 2", "NUL"), 1, 1),
    Bad("NUL in a text", "d.jsonl", lines(GOOD, row("a\0b")), ("row 2", "prompt", "NUL"), 1, 1),
    Bad("half a character", "d.jsonl", lines(GOOD, f'{{"prompt": "{HALF}", "completion": "x"}}'),
        ("row 2", "prompt", "\\ud83d"), 1, 1),
    Bad("Latin-1", "d.jsonl", lines(GOOD, row("caf\xe9")).encode("latin-1"), ("row 2", "0xe9", "UTF-8"), 1, 1),
    Bad("UTF-16", "d.jsonl", lines(GOOD).encode("utf-16"), ("UTF-16", "UTF-8")),
    Bad("UTF-16 without a mark", "d.jsonl", lines(GOOD).encode("utf-16-le"), ("UTF-16", "UTF-8")),
    Bad("a megabyte that is broken", "d.jsonl", lines(GOOD, f'{{"prompt": "{MEGABYTE}'), ("row 2", "not JSON"), 1, 1),
    # JSON arrays
    Bad("array, broken", "d.json", f"[{json.dumps(GOOD)}, {{]", ("row 2", "not JSON", "not read"), 1, 1),
    Bad("array, not closed", "d.json", f"[{json.dumps(GOOD)}", ("row 2", "ends early"), 1, 1),
    Bad("array, no comma", "d.json", f"[{json.dumps(GOOD)} {json.dumps(GOOD)}]", ("row 2", "comma"), 1, 1),
    Bad("array, comma at its end", "d.json", f"[{json.dumps(GOOD)},]", ("row 2", "not JSON"), 1, 1),
    Bad("array, two in a file", "d.json", f"[{json.dumps(GOOD)}][]", ("row 2", "after the end"), 1, 1),
    Bad("array, of numbers", "d.json", "[1, 2]", ("row 1", "object")),
    Bad("array, empty", "d.json", "[]", ("no rows",)),
    Bad("array, Latin-1", "d.json", json.dumps([GOOD, row("caf\xe9")], ensure_ascii=False).encode("latin-1"),
        ("row 2", "0xe9", "UTF-8"), 1, 1),
    Bad("one object", "d.json", json.dumps({"data": [GOOD]}), ("no prompt", "data")),
    # compressed
    Bad("gzip cut off", "d.jsonl.gz", compressed(lines(*[row(str(i)) for i in range(2000)]), "gzip")[:-500],
        ("ends early", "again"), -1, 1),
    Bad("gzip of nothing", "d.jsonl.gz", gzip.compress(b""), ("no rows",)),
    Bad("gzip damaged", "d.jsonl.gz", b"\x1f\x8b\x08\0" + bytes(30), ("ends early", "damaged")),
    Bad("zstd cut off", "d.jsonl.zst", zstd(lines(*[row(str(i) * 900) for i in range(2000)]), keep=0.7),
        ("ends early", "again"), -1, 1),
    Bad("gzip of a zip", "d.jsonl.gz", gzip.compress(b"PK\x03\x04" + bytes(50)), ("zip",)),
    # tables
    Bad("Parquet cut in half", "d.parquet", parquet([GOOD] * 8, keep=0.5), ("Parquet", "cut off", "again")),
    Bad("Parquet damaged", "d.parquet", parquet([row(str(i) * 50) for i in range(8)], harm=2),
        ("row 5", "Parquet", "damaged"), 4, 1),
    Bad("Parquet by name only", "d.parquet", lines(GOOD), ("not a Parquet file",)),
    Bad("Parquet without rows", "d.parquet", lambda p: pq.write_table(pa.table({"prompt": pa.array([], "string")}), p),
        ("no rows",)),
    Bad("Parquet, column twice", "d.parquet", column_twice, ("prompt", "twice")),
    Bad("Parquet, not UTF-8", "d.parquet", not_utf8_column, ("row 2", "completion", "0xe9"), 1, 1),
    Bad("Parquet, null", "d.parquet", parquet([GOOD, row(None)]), ("row 2", "prompt", "null"), 1, 1),  # type: ignore[arg-type]
    Bad("Arrow cut off", "d.arrow", arrow([row(str(i)) for i in range(8)], keep=0.6), ("Arrow", "cut off"), -1, 1),
    Bad("Arrow by name only", "d.arrow", lines(GOOD), ("not an Arrow file",)),
    # what is no data set
    Bad("empty file", "d.jsonl", "", ("empty",)),
    Bad("blank lines only", "d.jsonl", "\n\n \n", ("no rows",)),
    Bad("byte-order mark only", "d.jsonl", b"\xef\xbb\xbf", ("no rows",)),
    Bad("missing file", "d.jsonl", None, ("no such file", "check")),
    Bad("missing file, near", "data/d.jsom", lambda p: (p.parent.mkdir(), p.with_suffix(".json").write_text("[]"))[0],
        ("no such file", "d.json")),
    Bad("below a file", "d.jsonl/x", lambda p: p.parent.write_text("{}"), ("no such file",)),
    Bad("a name too long", "x" * 300, None, ("can't be read", "too long")),
    Bad("pattern without files", "*.jsonl", None, ("no file fits",)),
    Bad("a folder", "folder", lambda p: p.mkdir(), ("is a folder", "name a file")),
    Bad("a folder of Parquet", "folder", folder_of_parquet, ("is a folder", "*.parquet")),
    Bad("two splits", "folder", two_splits, ("train, test", "name one")),
    Bad("saved folder that reaches out", "folder", reaching_out, ("'../outside.arrow'", "lies outside", "not read")),
    Bad("saved folder without its file", "folder", lambda p: (saved(p, [GOOD]), next(p.glob("*.arrow")).unlink())[0],
        ("not a file",)),
    Bad("zip archive", "d.zip", zipped, ("zip", "unpack")),
    Bad("pickle", "d.pkl", pickle.dumps([GOOD]), ("pickle", "never opened")),
    Bad("a picture", "d.jsonl", b"\x89PNG\r\n\x1a\n" + bytes(100), ("row 1",)),
    Bad("CSV", "d.csv", "prompt,completion\na,b\n", ("CSV", "hf:csv?data_files=")),
    Bad("a Git LFS pointer", "d.jsonl", "version https://git-lfs.github.com/spec/v1\n", ("git lfs pull",)),
    # columns
    Bad("no such column", "d.jsonl", lines(GOOD), ("promt", "no such column", "'prompt'"), fields={"prompt": "promt"}),
    Bad("no such role", "d.jsonl", lines(GOOD), ("refrence", "no such role", "reference"), fields={"refrence": "x"}),
    Bad("nothing recognised", "d.jsonl", lines({"text": "a"}), ("no prompt and no response", "text", "prompt=COLUMN")),
    Bad("no response", "d.jsonl", lines({"prompt": "a"}), ("no response", "response=COLUMN")),
    Bad("two forms", "d.jsonl", lines(row(**chat(("user", "a"), ("assistant", "b")))),
        ("messages or prompt + completion", "messages=messages")),
    Bad("two responses", "d.jsonl", lines(row(solution="b")), ("prompt + completion or prompt + solution",)),
    Bad("two references", "d.jsonl", lines(row(answer="4", expected_answer="5")), ("expected_answer or answer",)),
    Bad("mixed schemas", "d.jsonl", lines(GOOD, GOOD, chat(("user", "a"), ("assistant", "b")), GOOD),
        ("row 3", "prompt", "no such field"), 3, 1),
    # values
    Bad("null prompt", "d.jsonl", lines(GOOD, row(None)), ("row 2", "prompt", "null"), 1, 1),  # type: ignore[arg-type]
    Bad("empty prompt", "d.jsonl", lines(GOOD, row(" \n")), ("row 2", "prompt", "empty"), 1, 1),
    Bad("empty response", "d.jsonl", lines(GOOD, row(completion="")), ("row 2", "completion", "empty"), 1, 1),
    Bad("a number for a prompt", "d.jsonl", lines(GOOD, row(7)), ("row 2", "prompt", "7", "text"), 1, 1),  # type: ignore[arg-type]
    Bad("an object for a response", "d.jsonl", lines(GOOD, row(completion={"a": 1})),  # type: ignore[arg-type]
        ("row 2", "completion", "text"), 1, 1),
    Bad("a list for a reference", "d.jsonl", lines({**QA}, {**QA, "answer": ["2"]}), ("row 2", "answer", "text"), 1, 1),
    Bad("a list for a domain", "d.jsonl", lines(row(domain="x"), row(domain=["x"])), ("row 2", "domain"), 1, 1),
    Bad("infinite difficulty", "d.jsonl", lines(row(level=1), '{"prompt": "a", "completion": "b", "level": Infinity}'),
        ("row 2", "level", "not a number"), 1, 1),
    Bad("a difficulty beyond floats", "d.jsonl",
        lines(row(level=1), '{"prompt": "a", "completion": "b", "level": -1e999}'),
        ("row 2", "level", "not a number"), 1, 1),
    Bad("difficulty of 4,001 digits", "d.jsonl", lines(row(level=1), row(level=10**4000)),
        ("row 2", "level", "too large"), 1, 1),
    Bad("infinite domain", "d.jsonl", lines(row(domain=1), '{"prompt": "a", "completion": "b", "domain": Infinity}'),
        ("row 2", "domain", "not a number"), 1, 1),
    Bad("NaN for a response", "d.jsonl", lines(row(), '{"prompt": "a", "completion": NaN}'),
        ("row 2", "completion", "not a number"), 1, 1),
    Bad("a terminal's escape in a column", "d.jsonl", lines({"\x1b[2Jask": "a", "\u009b2Jreply": "b"}),
        ("no prompt", "\\x1b[2Jask", "\\x9b2Jreply")),
    Bad("a terminal's escape in an id", "d.jsonl", lines(row(id="\x1b]0;x"), row(id="\x1b]0;x")),
        ("row 2", "id", "\\x1b]0;x"), 1, 1),
    Bad("a terminal's escape in a message's key", "d.jsonl",
        lines(chat(("user", "a"), ("assistant", "b")), {"messages": [{"\x1b[2J": "user"}]}),
        ("row 2", "messages", "\\x1b[2J"), 1, 1),
    Bad("duplicated ids", "d.jsonl", lines(row(id="a"), row(id="b"), row(id="a")), ("row 3", "id", "'a'"), 2, 1),
    Bad("null id", "d.jsonl", lines(row(id=1), row(id=None)), ("row 2", "id", "null"), 1, 1),
    # conversations
    Bad("assistant first", "d.jsonl", lines(chat(("user", "a"), ("assistant", "b")), chat(("assistant", "b"))),
        ("row 2", "messages", "assistant speaks first"), 1, 1),
    Bad("assistant first, after the system", "d.jsonl",
        lines(chat(("user", "a"), ("assistant", "b")), chat(("system", "s"), ("assistant", "b"))),
        ("row 2", "messages", "assistant speaks first"), 1, 1),
    Bad("several assistant turns", "d.jsonl",
        lines(chat(("user", "a"), ("assistant", "b")), chat(("user", "a"), ("assistant", "b"), ("assistant", "c"))),
        ("row 2", "messages", "in a row"), 1, 1),
    Bad("no assistant turn", "d.jsonl", lines(chat(("user", "a"), ("assistant", "b")), chat(("user", "a"))),
        ("row 2", "messages", "no response"), 1, 1),
    Bad("no turns", "d.jsonl", lines(chat(("user", "a"), ("assistant", "b")), chat()), ("row 2", "empty list"), 1, 1),
    Bad("unknown role", "d.jsonl", lines(chat(("user", "a"), ("assistant", "b")), chat(("tool", "a"), ("gpt", "b"))),
        ("row 2", "'tool'"), 1, 1),
    Bad("text for messages", "d.jsonl", lines(chat(("user", "a"), ("assistant", "b")), {"messages": "a"}),
        ("row 2", "messages", "list"), 1, 1),
    Bad("texts in messages", "d.jsonl", lines(chat(("user", "a"), ("assistant", "b")), {"messages": ["a", "b"]}),
        ("row 2", "messages", "role"), 1, 1),
    Bad("message without content", "d.jsonl",
        lines(chat(("user", "a"), ("assistant", "b")), {"messages": [{"role": "user"}]}), ("row 2", "role"), 1, 1),
    Bad("null content", "d.jsonl", lines(chat(("user", "a"), ("assistant", "b")), chat(("user", "a"), ("gpt", None))),
        ("row 2", "messages.content", "null"), 1, 1),
    Bad("a picture in a message", "d.jsonl",
        lines(chat(("user", "a"), ("assistant", "b")), chat(("user", [{"type": "image"}]), ("gpt", "b"))),
        ("row 2", "messages.content", "image"), 1, 1),
    # thoughts and answers
    Bad("tag not closed", "d.jsonl", lines(GOOD, row(completion="<think>a")), ("row 2", "completion", "never closed"),
        1, 1),
    Bad("tag not opened", "d.jsonl", lines(GOOD, row(completion="a</think>b")), ("row 2", "never opened"), 1, 1),
    Bad("tags nested", "d.jsonl", lines(GOOD, row(completion="<think>a<think>b</think></think>c")),
        ("row 2", "completion", "inside another"), 1, 1),
    Bad("two thoughts", "d.jsonl", lines(GOOD, row(completion="<think>a</think>b<think>c</think>d")),
        ("row 2", "completion", "2 thoughts"), 1, 1),
    Bad("tags the wrong way round", "d.jsonl", lines(GOOD, row(completion="</think>a<think>")), ("row 2", "before"),
        1, 1),
    Bad("text before the thought", "d.jsonl", lines(GOOD, row(completion="Hm. <think>a</think>b")),
        ("row 2", "text before"), 1, 1),
    Bad("two kinds of tags", "d.jsonl", lines(GOOD, row(completion="<think>a</think><thinking>b</thinking>")),
        ("row 2", "two kinds"), 1, 1),
    Bad("nothing but tags", "d.jsonl", lines(GOOD, row(completion="   ")), ("row 2", "empty"), 1, 1),
    Bad("several boxed answers", "d.jsonl", lines(GOOD, row(completion="\\boxed{1} or \\boxed{2}")),
        ("row 2", "completion", "2 different boxed", "'1', '2'"), 1, 1),
    Bad("thought in two places", "d.jsonl", lines(row(thought="x", completion="y"), row(thought="x")),
        ("row 2", "completion", "thought"), 1, 1),
]  # fmt: skip

FINE = [  # odd, but nothing is wrong: name, file, content, the one prompt in it
    ("byte-order mark", "d.jsonl", b"\xef\xbb\xbf" + lines(GOOD).encode(), GOOD["prompt"]),
    ("byte-order mark, array", "d.json", b"\xef\xbb\xbf" + json.dumps([GOOD]).encode(), GOOD["prompt"]),
    ("Windows line ends", "d.jsonl", lines(GOOD).replace("\n", "\r\n"), GOOD["prompt"]),
    ("no line end", "d.jsonl", lines(GOOD).rstrip(), GOOD["prompt"]),
    ("a line separator in a text", "d.jsonl", lines(row("a\u2028b\x85c")), "a\u2028b\x85c"),
    ("a line of a megabyte", "d.jsonl", lines(row(MEGABYTE)), MEGABYTE),
    ("an array element of megabytes", "d.json", json.dumps([row(MEGABYTE * 3)]), MEGABYTE * 3),
    ("unicode digits", "d.jsonl", lines(row("٤٢ + ４２ = ?", level="٣")), "٤٢ + ４２ = ?"),
    ("right to left", "d.jsonl", lines(row("מה זה \u202e42\u202c?")), "מה זה \u202e42\u202c?"),
    ("combining characters", "d.jsonl", lines(row("e\u0301 \u200d 👩‍👩‍👧")), "e\u0301 \u200d 👩‍👩‍👧"),
    ("braces of a path", "a[1].jsonl", lines(GOOD), GOOD["prompt"]),
    ("another name", "data.txt", lines(GOOD), GOOD["prompt"]),
    ("gzip by content", "d.jsonl", gzip.compress(lines(GOOD).encode()), GOOD["prompt"]),
    ("NaN", "d.jsonl", lines('{"prompt": "a", "completion": "b", "difficulty": NaN}'), "a"),
]
