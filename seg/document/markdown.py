"""A document as Markdown, for notes, pull requests and model cards."""

import re

from seg.document.model import (
    Block,
    Cell,
    Chart,
    Code,
    Column,
    Document,
    Emphasis,
    Facts,
    Figures,
    Heading,
    Listing,
    Notes,
    Pictures,
    Strong,
    Table,
    Text,
    Verdict,
)


def to_markdown(document: Document) -> str:
    """Returns the whole document; charts are described in words, and pictures are left out."""
    parts = [f"# {_escape(document.title)}", *filter(None, map(_markdown, document.blocks))]
    return "\n\n".join(parts) + "\n"


def _markdown(block: Block) -> str:
    match block:
        case Heading(text):
            return f"## {_escape(text)}"
        case Verdict(text):
            return f"**{_escape(text)}**"
        case Text():
            return "".join(map(_inline, block.parts))
        case Notes(sentences):
            return "\n".join(f"- {_escape(sentence)}" for sentence in sentences)
        case Listing(text, language):
            return f"```{language}\n{text.rstrip()}\n```"
        case Figures(pairs):
            return ", ".join(f"**{_escape(f'{name} {value}')}**" for name, value in pairs)
        case Facts(pairs):
            return _table(Table([Column(""), Column("")], list(pairs)))
        case Table():
            return _table(block)
        case Chart():
            return f"*{_escape(block.title)}:* {_escape(block.words)}"
        case Pictures():
            return ""


def _table(table: Table) -> str:
    rule = "|".join("--:" if column.right else ":--" for column in table.columns)
    lines = [_line(map(_escape, table.head)), f"|{rule}|",
             *(_line(_cell(column, cell) for column, cell in zip(table.columns, row, strict=True)) for row in table.rows)]
    if table.total is not None:
        lines.append(_line(f"**{_escape(text)}**" for text in table.texts(table.total)))
    return "\n".join([*lines, *(["", _escape(table.caption)] if table.caption else [])])


def _line(cells: object) -> str:
    return "| " + " | ".join(cells) + " |"  # type: ignore[arg-type]


def _cell(column: Column, cell: Cell) -> str:
    return _inline(cell) if isinstance(cell, str) else _escape(column.text(cell))


def _inline(text: str) -> str:
    if isinstance(text, Code):
        fence = "``" if "`" in text else "`"
        return f"{fence}{_one_line(text).replace('|', chr(92) + '|')}{fence}"
    mark = "**" if isinstance(text, Strong) else "*" if isinstance(text, Emphasis) else ""
    return f"{mark}{_escape(text)}{mark}"


def _escape(text: str) -> str:
    """Returns the text escaped for Markdown."""
    return re.sub(r"([\\`*|<]|(?<=\])\()", r"\\\1", _one_line(text))


def _one_line(text: str) -> str:
    return str(text).replace("\n", " ")
