"""A document in a terminal."""

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text as RichText

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
    Swatch,
    Table,
    Text,
    Verdict,
)
from seg.label_sets import Color

_BAR_CELLS = 20
_WIDTH_IN_FILES = 160  # if standard output is not a terminal
_STYLES: dict[type, str] = {Code: "cyan", Strong: "bold", Emphasis: "italic"}


def show(document: Document, console: Console | None = None) -> None:
    """Prints a document; charts are described in words, and pictures are left out.

    Args:
        document: the document to print.
        console: the console to print to; None for standard output.
    """
    if console is None:
        console = Console(highlight=False)
        if not console.is_terminal:
            console = Console(width=_WIDTH_IN_FILES, highlight=False)
    console.print(RichText(document.title, "bold"), soft_wrap=True)
    for block in document.blocks:
        _show(block, console)


def _show(block: Block, console: Console) -> None:
    match block:
        case Heading(text):
            console.print()
            console.print(RichText(text, "bold"), soft_wrap=True)
        case Verdict(text):
            console.print(RichText(text, "bold"), soft_wrap=True)
        case Text():
            console.print(RichText.assemble(*((str(part), _STYLES.get(type(part), "")) for part in block.parts)))
        case Notes(sentences):
            for sentence in sentences:
                console.print(RichText(f"Note: {sentence}"), soft_wrap=True)
        case Listing(text):
            console.print(RichText(f"\n{text.rstrip()}\n"), soft_wrap=True)
        case Figures(pairs):
            console.print(RichText(", ".join(f"{name} {value}" for name, value in pairs), "bold"), soft_wrap=True)
        case Facts(pairs):
            for name, value in pairs:
                console.print(RichText(f"{name}: {value}"), soft_wrap=True)
        case Table():
            console.print(_table(block))
        case Chart():
            console.print(RichText(f"{block.title}: {block.words}"), soft_wrap=True)
        case Pictures():
            pass


def _table(table: Table) -> RichTable:
    shown = RichTable(caption=RichText(table.caption) if table.caption else None)
    for column in table.columns:
        shown.add_column(RichText(column.name), justify="right" if column.right else "left")
        if column.bar:
            shown.add_column("", min_width=_BAR_CELLS)
    for row in table.rows:
        color = next((cell.color for cell in row if isinstance(cell, Swatch)), None)
        shown.add_row(*(part for column, cell in zip(table.columns, row, strict=True) for part in _cells(column, cell, color)))
    if table.total is not None:
        shown.add_section()
        shown.add_row(*(part for column, cell in zip(table.columns, table.total, strict=True)
                        for part in _cells(column, cell, None, "bold")))
    return shown


def _cells(column: Column, cell: Cell, color: Color | None, style: str = "") -> list[RichText]:
    """Returns the text of a cell, and its bar if the column has bars."""
    text = RichText(column.text(cell), _STYLES.get(type(cell), style))
    if isinstance(cell, Swatch):
        text = RichText.assemble(("  ", f"on {_rgb(cell.color)}"), " ", text)
    if not column.bar:
        return [text]
    length = round(cell * _BAR_CELLS) if isinstance(cell, int | float) and cell == cell else 0
    return [text, RichText("" if style else "█" * length, _rgb(color) if color else "")]


def _rgb(color: Color) -> str:
    return f"rgb({','.join(map(str, color))})"
