"""A document as JSON, for programs: its figures by name, and its content as plain data. The format has a version."""

import json
import math
from typing import Any

from seg.document.model import (
    Block,
    Cell,
    Chart,
    Document,
    Facts,
    Figures,
    Heading,
    Listing,
    Notes,
    Pictures,
    Swatch,
    Table,
    Text,
    Verdict,
)

FORMAT_VERSION = 2  # keys may be added at any time; the number is raised if the meaning of a key changes


def to_json(document: Document) -> str:
    """Returns strict JSON, without NaN. Each figure of the document gets its own line, and so does each entry of a long list."""
    lines = [f"{json.dumps(key)}: {_value(value)}" for key, value in as_dict(document).items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def as_dict(document: Document) -> dict[str, Any]:
    """Returns plain types: version, title and origin, the figures, and the blocks without drawings and pictures."""
    return {"format_version": FORMAT_VERSION, "title": document.title,
            **(document.origin.to_dict() if document.origin else {}), **document.data,
            "blocks": list(map(_plain, document.blocks))}


def _value(value: Any) -> str:
    if isinstance(value, list) and any(isinstance(entry, list | dict) for entry in value):
        return "[\n  " + ",\n  ".join(map(_dump, value)) + "\n]"
    return _dump(value)


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _plain(block: Block) -> dict[str, Any]:
    match block:
        case Heading(text) | Verdict(text):
            return {"kind": type(block).__name__.lower(), "text": text}
        case Text():
            return {"kind": "text", "text": "".join(block.parts)}
        case Notes(sentences):
            return {"kind": "notes", "sentences": list(sentences)}
        case Listing(text, language):
            return {"kind": "listing", "text": text, "language": language}
        case Figures(pairs) | Facts(pairs):
            return {"kind": type(block).__name__.lower(), "pairs": [[name, str(value)] for name, value in pairs]}
        case Table():
            return {"kind": "table", "columns": block.head, "rows": [list(map(_cell, row)) for row in block.rows],
                    "total": None if block.total is None else list(map(_cell, block.total)), "caption": block.caption}
        case Chart():
            return {"kind": "chart", "title": block.title, "text": block.words}
        case Pictures():
            return {"kind": "pictures", "title": block.title, "pictures": [picture.label for picture in block.pictures]}


def _cell(cell: Cell) -> str | int | float | None:
    if isinstance(cell, Swatch):
        return cell.name
    return None if isinstance(cell, float) and math.isnan(cell) else cell
