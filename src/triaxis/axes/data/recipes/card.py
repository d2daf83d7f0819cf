"""The card of a variant in Markdown: what it is, from where, what was done, its shape, and how trainers load it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from triaxis.axes.data.open import Opened
from triaxis.axes.data.recipes.manifest import Manifest
from triaxis.axes.data.recipes.operation import Entry
from triaxis.axes.data.recipes.output import Written
from triaxis.axes.data.recipes.shape import Shape
from triaxis.axes.data.recipes.spec import Recipe
from triaxis.version import __version__

SHOWN = 12  # domains or difficulties in a table
COMPRESSED = (".gz", ".zst")  # LLaMA-Factory goes by the last suffix: arrow, csv, json, jsonl, parquet or txt


def card_of(recipe: Recipe, opened: Opened, manifest: Manifest, shape: Shape, written: Written) -> str:
    """The whole card. It holds no time and no machine, so that the same recipe gives the same card."""
    path = Path(recipe.output.path)
    parts = [
        f"# {path.name}",
        recipe.about or f"A variant of `{recipe.source.path}`, made by a recipe.",
        *_from(recipe, manifest),
        "## What was done",
        _operations(manifest.operations),
        *_could_not(manifest),
        "## What it is",
        *_shape(shape),
        "## How to load it",
        *_loading(recipe, written),
        "## Known limits",
        _limits(recipe, opened, manifest),
        "## The recipe",
        f"```yaml\n{yaml.safe_dump(recipe.to_dict(), sort_keys=False, allow_unicode=True).rstrip()}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _from(recipe: Recipe, manifest: Manifest) -> list[str]:
    source = manifest.source
    lines = [f"- source: `{source['path']}`, {source['rows']:,} rows read, {source['skipped']:,} skipped"]
    lines += [f"- SHA-256 of the source: `{source['sha256']}`"] if "sha256" in source else []
    lines += [
        f"- licence: {recipe.source.licence or 'not given in the recipe; that of the source holds'}",
        f"- seed {recipe.seed}, triaxis {__version__}, format {manifest.output['format']}",
        f"- {manifest.output['rows']:,} rows, SHA-256 `{manifest.output['sha256']}`",
    ]
    return ["\n".join(lines)]


def _operations(entries: tuple[Entry, ...]) -> str:
    if not entries:
        return "Nothing: the rows are those of the source, in another file or format."
    rows = ["| operation | settings | rows in | rows out | changed | left out | added |", "|---" * 7 + "|"]
    for entry in entries:
        settings = ", ".join(f"{key} {_short(value)}" for key, value in entry.settings.items())
        counts = (entry.changed.total(), entry.left_out.total(), entry.added.total())
        cells = [entry.operation, settings, *(f"{n:,}" for n in (entry.rows_in, entry.rows_out, *counts))]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def _short(value: object) -> str:
    if isinstance(value, dict):
        text = "; ".join(f"{key}: {_short(each)}" for key, each in value.items())
    elif isinstance(value, list):
        text = ", ".join(map(str, value))
    else:
        text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _could_not(manifest: Manifest) -> list[str]:
    """Reasons and notes, a line each."""
    lines = []
    for entry in manifest.operations:
        for counts, what in ((entry.left_out, "left out"), (entry.could_not, "could not be done")):
            lines += [f"- {entry.operation}: {n:,} rows {what}: {why}" for why, n in sorted(counts.items())]
        lines += [f"- {entry.operation}: {note}" for note in entry.notes]
    return ["\n".join(lines)] if lines else []


def _shape(shape: Shape) -> list[str]:
    rows = ["| words | smallest | median | 95 % | largest |", "|---" * 5 + "|"]
    for name, values in (("prompt", shape.prompt_words), ("response", shape.response_words)):
        rows.append(f"| {name} | " + " | ".join(f"{n:,}" for n in shape.quantiles(values)) + " |")
    tables = ["\n".join(rows), _counted("response", shape.by_structure(), shape.rows)]
    for name, counts in (("domain", shape.domains), ("difficulty", shape.difficulties)):
        if set(counts) != {""}:
            tables.append(_counted(name, counts, shape.rows))
    return tables


def _counted(name: str, counts: Counter[str], total: int) -> str:
    rows = [f"| {name} | rows | share |", "|---" * 3 + "|"]
    shown = counts.most_common(SHOWN)
    rows += [f"| {key.replace('|', chr(92) + '|') or '(none)'} | {n:,} | {n / total:.1%} |" for key, n in shown]
    if rest := counts.total() - sum(n for _, n in shown):
        rows.append(f"| {len(counts) - SHOWN:,} others | {rest:,} | {rest / total:.1%} |")
    return "\n".join(rows)


def _loading(recipe: Recipe, written: Written) -> list[str]:
    """A snippet for each trainer that takes this format; what it would have to be made into for the others."""
    path, fields = recipe.output.path, written.format.fields
    reader = "parquet" if path.endswith(".parquet") else "json"
    load = f'from datasets import load_dataset\n\nrows = load_dataset("{reader}", data_files="{path}", split="train")'
    needs = " (needs zstandard)" if path.endswith(".zst") else ""
    parts = [f"datasets{needs}:\n\n```python\n{load}\n```"]
    column, chat = fields.get("messages"), written.format.chat
    if column == "messages" and chat is not None and chat.keys[0] == "role":
        parts.append(_trl(load, "assistant_only_loss=True", "needs a chat template that marks what the assistant says"))
    elif set(fields.values()) >= {"prompt", "completion"}:
        parts.append(_trl(load, "completion_only_loss=True", "the response alone is learned"))
    else:
        parts.append("TRL takes `messages` or `prompt` and `completion`: make it with `format: messages`.")
    if column is not None and chat is not None:
        entry = yaml.safe_dump(_axolotl(path, column, chat), sort_keys=False).rstrip()
        parts.append(f"Axolotl:\n\n```yaml\n{entry}\n```")
    else:
        parts.append("Axolotl's `chat_template` takes lists of messages: make it with `format: messages`.")
    info = dataset_info(recipe, written)
    if info is None and Path(path).suffix in COMPRESSED:
        parts.append("LLaMA-Factory opens no compressed file: make it with an output that ends in .jsonl or .parquet.")
    elif info is None:
        parts.append("LLaMA-Factory takes conversations or alpaca: make it with `format: sharegpt` or `alpaca`.")
    else:
        parts.append(f"LLaMA-Factory, in `data/dataset_info.json`:\n\n```json\n{info.rstrip()}\n```")
    study = f"data: {{source: {path}}}"
    parts.append(f"Triaxis, in a study:\n\n```yaml\n{study}\n```\n\nor look at it: `triaxis data profile {path}`.")
    return parts


def _trl(load: str, loss: str, why: str) -> str:
    trainer = (
        f"args = SFTConfig(\n    {loss},  # {why}\n    max_length=None,  # the default cuts rows at 1,024 tokens\n)\n"
        'SFTTrainer(model="...", args=args, train_dataset=rows).train()'
    )
    return f"TRL:\n\n```python\nfrom trl import SFTConfig, SFTTrainer\n{load}\n{trainer}\n```"


def _axolotl(path: str, column: str, chat: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {"path": path, "type": "chat_template", "field_messages": column}
    entry |= {"ds_type": "parquet" if path.endswith(".parquet") else "json"}
    entry |= {"message_property_mappings": {"role": chat.keys[0], "content": chat.keys[1]}}
    entry |= {"roles_to_train": ["assistant"], "train_on_eos": "turn"}
    return {"datasets": [entry]}


def dataset_info(recipe: Recipe, written: Written) -> str | None:
    """The entry of LLaMA-Factory's dataset_info.json; None for a format or a file that it doesn't take."""
    if Path(recipe.output.path).suffix in COMPRESSED:
        return None
    fields, chat, path = written.format.fields, written.format.chat, Path(recipe.output.path)
    name = path.name.partition(".")[0]
    if "messages" in fields and chat is not None:
        entry: dict[str, Any] = {"formatting": "sharegpt", "columns": {"messages": fields["messages"]}}
        role, content = chat.keys
        entry["tags"] = {"role_tag": role, "content_tag": content}
        entry["tags"] |= {f"{r}_tag": chat.name_of(r) for r in ("user", "assistant", "system")}
    elif "prompt" in fields and "response" in fields and chat is None and "thought" not in fields:
        columns = {"prompt": fields["prompt"], "response": fields["response"]}
        columns |= {"query": fields["context"]} if "context" in fields else {}
        columns |= {"system": fields["system"]} if "system" in fields else {}
        entry = {"formatting": "alpaca", "columns": columns}
    else:
        return None
    return json.dumps({name: {"file_name": path.name, **entry}}, indent=2) + "\n"


def _limits(recipe: Recipe, opened: Opened, manifest: Manifest) -> str:
    """What a reader has to know before trusting it; each line only where it applies."""
    names = [step.name for step in recipe.steps]
    lines = ["- Whatever was wrong in the source and was not asked about above is still wrong."]
    if opened.skipped:
        lines.append(f"- {opened.skipped:,} rows of the source could not be read, and are not here.")
    if "noise" in names:
        lines.append("- Rows were made bad on purpose; the manifest says which. Not for a model that people use.")
    if "structure" in names:
        lines.append("- Traces of plain text are shortened by rule; rows where no rule holds are told above.")
    if "verify" in names:
        lines.append("- A right final answer does not say that the steps before it are right.")
    if "dedupe" in names or "decontaminate" in names:
        lines.append("- Texts are compared as texts: the same problem in other words is not found.")
    if opened.format.missing:
        lines.append(f"- The source says nothing of: {', '.join(opened.format.missing)}.")
    return "\n".join(lines)
