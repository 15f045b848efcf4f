"""The parts of a document. They don't depend on its form."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias

from seg import machine
from seg.document.words import NOTHING, missing
from seg.files import UInt8Array
from seg.label_sets import Color


class Code(str):
    """A command, a name or a file within a text."""


class Strong(str):
    """Highlighted words."""


class Emphasis(str):
    """A term that is being explained."""


Inline: TypeAlias = str  # a plain string, or one of the three above


@dataclass(frozen=True)
class Swatch:
    """A name with its colour in pictures."""

    name: str
    color: Color


Cell: TypeAlias = Inline | Swatch | int | float | None


@dataclass(frozen=True)
class Heading:
    """Begins a section."""

    text: str


@dataclass(frozen=True)
class Verdict:
    """One sentence that sums up the document."""

    text: str


class Text:
    """A paragraph: plain strings, and `Code`, `Strong` and `Emphasis` between them."""

    def __init__(self, *parts: Inline) -> None:
        self.parts = parts


@dataclass(frozen=True)
class Notes:
    """Sentences that a reader must know, each separate."""

    sentences: Sequence[str]


@dataclass(frozen=True)
class Listing:
    """Text to be copied exactly."""

    text: str
    language: str = ""


@dataclass(frozen=True)
class Figures:
    """The few numbers that a reader looks for first: pairs of a name and a value with its unit."""

    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Facts:
    """Pairs of a name and a description."""

    pairs: Sequence[tuple[str, Inline]]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: its heading, with the unit.
        write: formats a value; a missing value is always a dash.
        right: whether it is aligned to the right, like numbers.
        bar: whether its values, 0 to 1, are also drawn as bars.
    """

    name: str
    write: Callable[[Any], str] = str
    right: bool = False
    bar: bool = False

    def text(self, cell: Cell) -> str:
        """Returns the text of a cell."""
        if isinstance(cell, Swatch):
            return cell.name
        if isinstance(cell, str):
            return cell
        return NOTHING if missing(cell) else self.write(cell)


def number(name: str, write: Callable[[Any], str] = str, bar: bool = False) -> Column:
    """Returns a column of numbers."""
    return Column(name, write, right=True, bar=bar)


@dataclass(frozen=True)
class Table:
    """Rows of cells.

    Attributes:
        columns: columns of all rows.
        rows: cells; numbers stay numbers.
        total: a last row that summarises the others; None for none.
        caption: text below the table; empty for none.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    total: Sequence[Cell] | None = None
    caption: str = ""

    @classmethod
    def of(cls, names: Sequence[str], rows: Sequence[Sequence[Cell]], left: int = 1,
           total: Sequence[Cell] | None = None) -> "Table":
        """Returns a table whose cells are formatted texts; all columns but the first `left` are aligned to the right."""
        return cls([Column(name, right=i >= left) for i, name in enumerate(names)], rows, total)

    @property
    def head(self) -> list[str]:
        """The columns' names."""
        return [column.name for column in self.columns]

    def texts(self, row: Sequence[Cell]) -> list[str]:
        """Returns the formatted text of each cell of a row."""
        return [column.text(cell) for column, cell in zip(self.columns, row, strict=True)]


@dataclass(frozen=True)
class Chart:
    """A chart of numbers.

    Attributes:
        title: what it shows.
        words: what the chart shows, in words, for forms without pictures.
        draw: draws it into an empty matplotlib figure.
        size: width and height [inch]; at most 6 wide, so that it can be read on a phone, unless it is `wide`.
        wide: whether it takes the page's whole width.
    """

    title: str
    words: str
    draw: Callable[[Any], None]
    size: tuple[float, float] = (5.2, 3.2)
    wide: bool = False


@dataclass(frozen=True)
class Picture:
    """A picture (H, W, 3) uint8 BGR, and its caption."""

    label: str
    bgr: UInt8Array


@dataclass(frozen=True)
class Pictures:
    """Pictures side by side that belong together."""

    title: str
    pictures: Sequence[Picture]


Block: TypeAlias = Heading | Verdict | Text | Notes | Listing | Figures | Facts | Table | Chart | Pictures


@dataclass(frozen=True)
class Origin:
    """Where figures come from: the command, the time and the machine."""

    command: str
    created: datetime
    machine: machine.Machine

    @classmethod
    def here(cls, *command: str) -> "Origin":
        """Describes this run of a command, word by word."""
        return cls(shlex.join(command), datetime.now(UTC), machine.describe())

    def sentence(self) -> list[Inline]:
        """Returns date, command, machine and versions, as parts of a `Text`."""
        versions = ", ".join(f"{name} {version}" for name, version in self.machine.versions.items())
        return [f"Measured on {self.created:%Y-%m-%d} by ", Code(self.command),
                f" on {self.machine}; Python {self.machine.python}, {versions}."]

    def to_dict(self) -> dict[str, Any]:
        """Returns plain types, for JSON."""
        return {"created": self.created.isoformat(timespec="seconds"), "command": self.command,
                "machine": self.machine.to_dict()}


@dataclass(frozen=True)
class Document:
    """A document to be shown and written.

    Attributes:
        title: its title.
        blocks: its content, in order.
        origin: where its figures come from; None if it has no figures.
        data: figures for programs, which JSON holds in addition to the blocks; plain types without NaN.
    """

    title: str
    blocks: Sequence[Block]
    origin: Origin | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
